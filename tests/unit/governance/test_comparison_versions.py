"""Two versions side by side, from their evidence and their rows."""

from typing import Any

import pytest

from pipeline.governance.errors import InvalidInput, NotFound
from pipeline.governance.ports import MetricDifference
from pipeline.governance.rules.compare import Differences, Pair
from pipeline.governance.service import GovernanceService
from support.desks import MODEL, KnownDifferences, build_desk, equal, good_documents, worse
from support.in_memory import InMemoryRegistry

ROWS = {"signoff/evaluation_rows.parquet": b"rows"}
BETTER = MetricDifference("accuracy", 0.05, 0.02, 0.08, 627, candidate=0.95, incumbent=0.9)
FOUND = [BETTER, MetricDifference("recall", 0.1, 0.05, 0.2, 40, "Normal_Weight"), worse("accuracy", slice="SMOKE = no")]


def desk(
    first: dict[str, Any] | None = None, second: dict[str, Any] | None = None, **options: Any
) -> GovernanceService:
    """Two versions with what the test says of each."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for given in (first, second):
        registry.add_version(MODEL, **{"files": ROWS, **(given or {})})
    return build_desk(registry, **options)


def documents(accuracy: float = 0.9, **evaluation: Any) -> dict[str, Any]:
    found = good_documents(accuracy)
    return {"documents": {**found, "evaluation": {**found["evaluation"], **evaluation}}}


def test_metrics_on_the_same_rows_carry_a_verdict() -> None:
    """With both values, b minus a, interval and n; what was not drawn again has both values only."""
    service = desk({"metrics": {"cv": 0.8}}, {"metrics": {"cv": 0.9}}, comparer=KnownDifferences(FOUND))
    found = service.compare(MODEL, 1, 2)

    assert found.as_json()["metrics"] == [
        {"name": "accuracy", "a": 0.9, "b": 0.95, "difference": 0.05, "interval": [0.02, 0.08], "verdict": "better"},
        {"name": "cv", "a": 0.8, "b": 0.9, "difference": pytest.approx(0.1), "interval": None, "verdict": None},
    ]
    assert [(each.name, each.verdict, each.n) for each in found.classes] == [("Normal_Weight", "better", 40)]
    assert [(each.name, each.verdict, each.n) for each in found.slices] == [("SMOKE = no", "worse", 627)]
    assert found.warning is None


def test_the_json_has_the_keys_of_the_design() -> None:
    """And nothing else at the top."""
    found = desk(documents(), documents(), comparer=KnownDifferences(FOUND)).compare(MODEL, 1, 2).as_json()

    assert list(found) == ["metrics", "params", "tags", "schema", "data"]
    assert set(found["data"]) == {"different", "equal", "environment", "rows"}
    assert found["data"]["rows"]["agreement"]["flipped"] == 3
    assert found["data"]["rows"]["warning"] is None


def test_a_metric_that_one_lacks_has_no_difference() -> None:
    """None, not zero."""
    line = desk({"metrics": {"cv": 0.8}}, {}).compare(MODEL, 1, 2).metrics[-1]

    assert (line.name, line.a, line.b, line.difference) == ("cv", 0.8, None, None)


def test_other_rows_are_named_by_their_fingerprints() -> None:
    """The metrics are shown without a verdict; the rows are not even read."""
    service = desk(documents(0.9, rows_fingerprint="a" * 64), documents(0.95, rows_fingerprint="b" * 64))
    found = service.compare(MODEL, 1, 2)

    assert found.warning is not None
    assert found.warning.name == "different_rows"
    assert "fingerprints aaaaaaaaaaaa and bbbbbbbbbbbb" in found.warning.text
    assert [(each.name, each.interval, each.verdict) for each in found.metrics] == [("accuracy", None, None)]
    assert (found.classes, found.slices, found.paired) == ((), (), None)
    assert found.as_json()["data"]["rows"]["same"] is False


@pytest.mark.parametrize(
    ("first", "comparer", "sentence"),
    [
        ({"files": {}}, None, "Not comparable on the same rows"),
        ({}, KnownDifferences(refusal=InvalidInput("Age differs in 3 of 627 rows")), "Age differs in 3 of 627 rows"),
    ],
    ids=["no rows", "rows that differ"],
)
def test_rows_that_cannot_be_compared_are_a_warning(
    first: dict[str, Any], comparer: KnownDifferences | None, sentence: str
) -> None:
    """With the reason; everything else is still compared."""
    found = desk(first, {}, comparer=comparer).compare(MODEL, 1, 2)

    assert found.warning is not None
    assert found.warning.name == "not_compared"
    assert sentence in found.warning.text


def test_only_what_differs_is_listed() -> None:
    """Parameters, tags, feature schema, signature, data and environment by name; the equal ones are counted."""
    lineage = {"data": {"sha256": "1"}, "split": {"seed": 52}, "git": {"commit": "c"},
               "environment": {"python": "3.12", "packages": {"skops": "0.16"}}}  # fmt: skip
    other = {**lineage, "data": {"sha256": "2"}, "environment": {"python": "3.12", "packages": {"skops": "0.17"}}}
    schema = {"columns": {"Age": {"minimum": 10, "unit": "years"}}, "target": {"name": "level"}}
    first, second = documents(), documents()
    first["documents"] |= {"lineage": lineage, "feature_schema": schema}
    second["documents"] |= {"lineage": other, "feature_schema": {"columns": {"Age": {"minimum": 14, "unit": "years"}}}}
    first |= {"params": {"C": "1", "seed": "5"}, "signature": {"inputs": [{"name": "Age", "type": "double"}]}}
    second |= {"params": {"seed": "5"}, "signature": {"inputs": [{"name": "Age", "type": "long"}, "odd"]}}
    found = desk(first, second).compare(MODEL, 1, 2)

    assert found.params == Differences((Pair("C", "1", None),), 1)
    assert found.schema.different == (
        Pair("Age.minimum", 10, 14),
        Pair("signature.inputs.1", None, "odd"),
        Pair("signature.inputs.Age", "double", "long"),
        Pair("target.name", "level", None),
    )
    assert found.data.different == (Pair("sha256", "1", "2"),)
    assert found.environment.different == (Pair("packages.skops", "0.16", "0.17"),)
    assert found.as_json()["params"] == {"different": [{"name": "C", "a": "1", "b": None}], "equal": 1}


def test_true_is_not_one() -> None:
    """Though Python says so; 1 and 1.0 are the same number."""
    assert Differences.between({"x": True, "y": 1}, {"x": 1, "y": 1.0}).different == (Pair("x", True, 1),)


def test_flips_come_from_the_comparer() -> None:
    """With what it counted."""
    assert desk().flips(MODEL, 1, 2).agreement.flipped == 3


@pytest.mark.parametrize("method", ["compare", "flips"])
def test_a_version_is_not_compared_with_itself(method: str) -> None:
    """Nor with one that does not exist."""
    with pytest.raises(InvalidInput, match="name two versions"):
        getattr(desk(), method)(MODEL, 1, 1)
    with pytest.raises(NotFound):
        getattr(desk(), method)(MODEL, 1, 9)


def test_confusions_subtract() -> None:
    """Counts of b minus those of a."""
    paired = desk(comparer=KnownDifferences([equal("accuracy")])).compare(MODEL, 1, 2).paired

    assert paired is not None
    assert paired.confusions.difference == ((1, -1), (0, 0))
