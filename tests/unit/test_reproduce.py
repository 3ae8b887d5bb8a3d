"""A rebuild held against what was recorded, without training anything."""

import io
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from pipeline.governance.record.documents import parse_lineage
from pipeline.reproduce.differences import (
    PredictionCheck,
    Rebuilt,
    RebuiltDifference,
    check_predictions,
    other_conditions,
)
from pipeline.reproduce.differences import result_differences as differences
from pipeline.reproduce.recorded import RecordedLineage, RecordedVersion
from pipeline.reproduce.reproduce import Reproduction

ROWS = pd.DataFrame(
    {
        "Age": [20.0, 30.0],
        "actual": ["a", "b"],
        "predicted": ["a", "b"],
        "probability_a": [0.75, 0.25],
        "probability_b": [0.25, 0.75],
    }
)
EVALUATION = {"n": 2, "metrics": {"accuracy": {"value": 1.0}}, "per_class": [{"class": "a", "n": 1}]}
SAME = PredictionCheck(2, 0, 0.0)


def parquet(rows: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.to_parquet(buffer, index=False)
    return buffer.getvalue()


def recorded(**environment: Any) -> RecordedVersion:
    lineage = RecordedLineage.model_validate(
        {
            "data": {"source": "a.csv", "sha256": "d" * 64},
            "split": {"test_share": 0.3, "seed": 1, "train_rows": 7},
            "candidate": {"name": "../up", "estimator": "x", "parameters": {}, "body_mass_index": False},
            "git": {"commit": "c" * 40},
            "fingerprint": "f" * 64,
        }
    )
    return RecordedVersion(
        model="m",
        version=1,
        lineage=lineage,
        environment=parse_lineage({"environment": environment}).environment,
        environment_facts=environment,
        settings={},
        evaluation={**EVALUATION, "latency_ms": {"median": 3.0}},
        rows=parquet(ROWS),
        notes=(),
    )


def rebuilt(**changes: Any) -> Rebuilt:
    same = {
        "data": {"sha256": "d" * 64},
        "fit": {"fingerprint": "f" * 64},
        "evaluation": {**EVALUATION, "training_key": "k"},
        "rows": parquet(ROWS),
        "environment": {},
    }
    return Rebuilt(**{**same, **changes})


def test_equal_results_have_no_differences():
    """Latency and training key are no results."""
    assert list(differences(recorded(), rebuilt(), SAME)) == []
    assert check_predictions(parquet(ROWS), parquet(ROWS)) == SAME


@pytest.mark.parametrize(
    ("changes", "part", "name"),
    [
        ({"data": {"sha256": "e" * 64}}, "data", "sha256"),
        ({"fit": {"fingerprint": "0" * 64}}, "fingerprint", "fingerprint"),
        ({"evaluation": {**EVALUATION, "per_class": [{"class": "a", "n": 2}]}}, "metrics", "per_class.0.n"),
        ({"evaluation": {**EVALUATION, "new": 1}}, "metrics", "new"),
    ],
)
def test_each_part_that_differs_is_named(changes, part, name):
    """With the dotted path of what differs."""
    found = list(differences(recorded(), rebuilt(**changes), SAME))

    assert [(each.part, each.name) for each in found] == [(part, name)]


def test_the_largest_difference_and_other_classes_are_found():
    """Also where a probability is NaN on one side."""
    other = ROWS.assign(predicted=["a", "a"], probability_a=[0.75, 0.5], probability_b=[0.25, 0.5])
    broken = ROWS.assign(probability_a=[float("nan"), 0.25])
    check = check_predictions(parquet(ROWS), parquet(other))

    assert check == PredictionCheck(2, 1, 0.25)
    assert check_predictions(parquet(ROWS), parquet(broken)).largest_difference == 1.0
    assert [each.name for each in differences(recorded(), rebuilt(), check)] == [
        "rows of another class",
        "largest difference of a probability",
    ]


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (ROWS.assign(Age=[20.0, 31.0]), "not evaluated on the same rows"),
        (ROWS.rename(columns={"probability_b": "probability_c"}), "other classes"),
    ],
)
def test_rows_that_cannot_be_compared_are_a_difference(other, sentence):
    """Never an empty comparison that would read as identical."""
    check = check_predictions(parquet(ROWS), parquet(other))

    assert sentence in (check.problem or "")
    assert [each.part for each in differences(recorded(), rebuilt(), check)] == ["predictions"]


def test_only_what_both_recorded_is_a_condition():
    """A package that is gone counts, one that nobody recorded does not."""
    then = recorded(python="3.11.1", packages={"numpy": "1", "gone": "2"}, cpu_count=2)
    now = rebuilt(environment={"python": "3.12.0", "packages": {"numpy": "1", "new": "3"}})

    assert [(each.name, each.recorded, each.rebuilt) for each in other_conditions(then, now)] == [
        ("packages.gone", "2", None),
        ("python", "3.11.1", "3.12.0"),
    ]


ACCURACY = RebuiltDifference("metrics", "metrics.log_loss.value", 0.25, 0.25 + 5e-10)
PROBABILITY = RebuiltDifference("predictions", "largest difference of a probability", 0.0, 9e-10)
FINGERPRINT = RebuiltDifference("fingerprint", "fingerprint", "0" * 64, "f" * 64)
PROCESSOR = RebuiltDifference("environment", "processor.features.0", "AVX2", "NEON")
KERNEL = RebuiltDifference("environment", "platform", "Linux-6.1", "Linux-6.2")


@pytest.mark.parametrize(
    ("found", "conditions", "expected"),
    [
        ([], [], "identical"),
        ([], [PROCESSOR], "identical"),
        ([ACCURACY, PROBABILITY], [PROCESSOR], "within_1e-9"),
        ([ACCURACY, PROBABILITY], [], "within_1e-9"),
        ([ACCURACY, PROBABILITY, FINGERPRINT], [PROCESSOR], "within_1e-9"),
        ([FINGERPRINT], [RebuiltDifference("environment", "threads.OMP_NUM_THREADS", "1", "2")], "within_1e-9"),
        ([FINGERPRINT], [], "differs"),
        ([FINGERPRINT], [KERNEL], "differs"),
        ([replace(ACCURACY, rebuilt=0.25 + 2e-9)], [PROCESSOR], "differs"),
        ([replace(PROBABILITY, rebuilt=2e-9)], [PROCESSOR], "differs"),
        ([replace(ACCURACY, rebuilt=None)], [PROCESSOR], "differs"),
        ([RebuiltDifference("metrics", "classes.0", "a", "b")], [PROCESSOR], "differs"),
        ([RebuiltDifference("metrics", "flag", False, 0)], [PROCESSOR], "differs"),
        ([RebuiltDifference("predictions", "rows of another class", 0, 1)], [PROCESSOR], "differs"),
        ([RebuiltDifference("data", "sha256", "d" * 64, "e" * 64)], [PROCESSOR], "differs"),
    ],
)
def test_rounding_is_a_verdict_of_its_own(found, conditions, expected):
    """Every number within 1e-9, and another fingerprint only where something that rounds is another."""
    reproduction = Reproduction("m", 1, "c" * 40, 2, 9e-10, tuple(found), tuple(conditions), ())

    assert reproduction.verdict.value == reproduction.as_json()["verdict"] == expected
    assert (reproduction.as_json()["identical"], reproduction.differs) == (
        expected == "identical",
        expected == "differs",
    )
