"""The documents of a version: parsed once, and whatever a stranger wrote is a value or nothing."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.governance.record.documents import (
    DOCUMENTS,
    ClassMetrics,
    ConfusionMatrix,
    MeasuredMetric,
    SliceMetrics,
    document_path,
    parse_data_report,
    parse_evaluation,
    parse_explanation,
    parse_feature_schema,
    parse_lineage,
)
from support.desks import MODEL, build_desk, good_documents, small_registry

PARSERS = {
    "evaluation": parse_evaluation,
    "feature_schema": parse_feature_schema,
    "lineage": parse_lineage,
    "data_report": parse_data_report,
    "explanation": parse_explanation,
}
KEYS = st.sampled_from(
    ["n", "metrics", "accuracy", "value", "per_class", "slices", "confusion", "classes", "matrix", "baseline", "mean",
     "cross_validation", "columns", "target", "unit", "data", "git", "changed", "environment", "processor", "features",
     "rows_read", "rows_used", "dropped", "unknown", "extra_columns", "importance", "mean_abs", "rows", "sum_error"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**400)
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=6), max_leaves=20
)


def test_there_is_a_parser_for_each_document() -> None:
    """And each lies under one folder."""
    assert tuple(PARSERS) == DOCUMENTS
    assert document_path("evaluation") == "signoff/evaluation.json"


@pytest.mark.parametrize("name", DOCUMENTS)
@given(document=ANY_JSON)
def test_any_json_is_parsed(name: str, document: object) -> None:
    """Nothing that a stranger can write is an exception."""
    found = PARSERS[name](document)

    assert found is None or dataclasses.is_dataclass(found)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_nothing_is_parsed_as_nothing(name: str) -> None:
    """A document that is not there gives the values of an empty one."""
    assert PARSERS[name](None) == PARSERS[name]({}) == PARSERS[name](["no object"])


def test_an_evaluation() -> None:
    """Every part; what is of another shape is left out or None."""
    found = parse_evaluation(
        {
            "n": 627,
            "confidence": 0.95,
            "metrics": {"accuracy": {"value": 0.9, "low": 0.88, "high": True}, "loss": "much"},
            "per_class": [3, {"class": "a", "n": 5.0, "recall": 1}],
            "slices": [{"column": "SMOKE", "value": "yes", "n": 12, "accuracy": 0.5, "low": 0.2, "high": 0.8}],
            "confusion": {"classes": ["a", "b"], "matrix": [[1, 2], [3, 4]]},
            "classes": ["a", "b"],
            "baseline": {"accuracy": 0.2},
            "cross_validation": {"mean": 0.8, "std": 0.1},
            "rows_fingerprint": "f0",
        }
    )

    assert (found.n, found.confidence, found.baseline_accuracy, found.rows_fingerprint) == (627, 0.95, 0.2, "f0")
    assert found.metrics == {"accuracy": MeasuredMetric(0.9, 0.88, None), "loss": MeasuredMetric(None, None, None)}
    assert found.per_class == (ClassMetrics("a", 5, None, 1.0, None, None, None),)
    assert found.slices == (SliceMetrics("SMOKE", "yes", 12, 0.5, 0.2, 0.8),)
    assert found.confusion == ConfusionMatrix(("a", "b"), ((1, 2), (3, 4)))
    assert (found.classes, found.folds_mean, found.folds_deviation) == (("a", "b"), 0.8, 0.1)


@pytest.mark.parametrize("matrix", [[[1, 2]], [[1], [2]], [[1, "2"], [3, 4]], [1, 2], None, {}])
def test_a_confusion_matrix_is_square(matrix: object) -> None:
    """And holds numbers alone."""
    assert parse_evaluation({"confusion": {"classes": ["a", "b"], "matrix": matrix}}).confusion is None


def test_mean_contributions_are_of_the_same_columns_in_every_class() -> None:
    """Bars of different columns could not be stacked."""
    same = {"a": {"x": -1, "y": 2}, "b": {"x": 3, "y": 0.5}}

    assert parse_explanation({"mean_abs": same}).mean_abs == {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 0.5}}
    assert parse_explanation({"mean_abs": {**same, "c": {"x": 1}}}).mean_abs == {}
    assert parse_explanation({"mean_abs": {"a": {}}}).mean_abs == {}


def test_the_rows_of_an_explanation_are_whole_numbers() -> None:
    """True is no position."""
    assert parse_explanation({"rows": [1, True, 2.0, "3", 4]}).rows == (1, 4)


def test_units_are_text() -> None:
    """Of the columns that have one."""
    columns = {"a": {"unit": "kg"}, "b": {"unit": 3}, "c": "no object", "d": {"unit": ""}}

    found = parse_feature_schema({"columns": columns})

    assert found.units == {"a": "kg"}
    assert (found.columns, [*found.described]) == (columns, ["a", "b", "d"])
    assert parse_feature_schema({"columns": ["a"]}).units == {}


def test_labels_say_more_than_the_name() -> None:
    """A description without its question mark; none that repeats the name, is empty or no text."""
    columns = {
        "SMOKE": {"description": "Smokes?"},
        "Age": {"description": "age in years"},
        "a": {"description": ""},
        "b": {"description": 1},
        "c": "text",
    }

    assert parse_feature_schema({"columns": columns}).labels == {"SMOKE": "Smokes"}


def test_evidence_hands_out_what_was_parsed_and_digests_what_came() -> None:
    """Parsed once per evidence; the text under the digest holds the documents as they are in the files."""
    registry = small_registry(versions=0)
    documents = good_documents(0.93)
    documents["evaluation"]["unheard_of"] = {"kept": ["as", "it", "is"]}
    registry.add_version(MODEL, documents=documents, files={"MLmodel": b"x"})
    found = build_desk(registry).show(MODEL, 1)

    assert found.evaluation is found.evaluation
    assert found.evaluation.metrics["accuracy"].value == 0.93
    assert json.loads(found.text)["evaluation"] == documents["evaluation"]


def test_a_lineage_names_the_commit_and_what_differed_from_it() -> None:
    """Files that differed are None where that was not recorded: an empty list says that none did."""
    found = parse_lineage({"git": {"commit": "c0ffee", "dirty": True, "changed": ["README.md"]}})

    assert (found.commit, found.dirty, found.changed) == ("c0ffee", True, ("README.md",))
    assert (parse_lineage({}).commit, parse_lineage({}).changed) == (None, None)
