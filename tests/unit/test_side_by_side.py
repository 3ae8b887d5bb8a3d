"""Two versions explained alike: when their reasons have a difference, and the difference of their importance."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline.explanation.result import Explanation, to_json
from pipeline.explanation.side_by_side import importance_differences, sizes_of, sizes_of_documents
from pipeline.serving.predictions import Explanations


def explanation(shift: float = 0.0, *, n: int = 12) -> Explanation:
    values = np.random.default_rng(0).normal(size=(n, 2, 3)) + shift
    return Explanation(
        columns=("Weight", "Age"), classes=("a", "b", "c"), values=values, base_values=np.zeros(3),
        output=np.zeros((n, 3)), scale="probability", method="exact", sampled=False, sum_error=0.0, tolerance=1.0,
    )  # fmt: skip


def explained(scale: str, method: str, *, sampled: bool) -> Explanations:
    document: dict[str, Any] = {"scale": scale, "method": method}
    return Explanations(
        model="m", version=1, digest="", documents=(document,), rows=({},), units={}, labels={}, sampled=sampled,
        tolerance=0.0, adds_up=True, fallback="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("a", "b", "comparable"),
    [
        (("probability", "tree", False), ("probability", "tree", False), True),
        (("probability", "tree", False), ("probability", "linear", False), False),
        (("probability", "sampled, 50 rows", True), ("probability", "sampled, 10 rows", True), True),
        (("probability", "tree", False), ("probability", "sampled", True), False),
        (("log-odds", "linear", False), ("log-odds", "linear", False), False),
        (("probability", "tree", False), ("log-odds", "linear", False), False),
        (("value", "linear", False), ("value", "linear", False), True),
    ],
)
def test_what_has_a_difference(a, b, comparable):
    """The same scale, which is not log-odds, and the same method."""
    first, second = (explained(scale, method, sampled=sampled) for scale, method, sampled in (a, b))

    assert first.comparable_with(second) is second.comparable_with(first) is comparable


def test_sizes_are_those_of_the_stored_values():
    """From documents as from the file: the mean over the classes of what a column adds or takes."""
    whole = explanation()
    by_document = sizes_of_documents([to_json(whole, row) for row in range(12)])

    assert by_document.keys() == sizes_of(whole, range(12)).keys() == {"Weight", "Age"}
    for name, sizes in sizes_of(whole, [3, 1]).items():
        np.testing.assert_allclose(sizes, by_document[name][[3, 1]])


def test_differences_have_intervals_that_hold_together():
    """B minus a on the same rows, the largest first; with two columns each interval is one at 97.5 %."""
    a, b = (sizes_of(each, range(12)) for each in (explanation(), explanation(0.5)))
    found = importance_differences(a, b, 0.95)
    steps = b[found[0].column] - a[found[0].column]
    expected = stats.t.interval(0.975, 11, steps.mean(), steps.std(ddof=1) / np.sqrt(12))

    assert (found[0].low, found[0].high) == pytest.approx(expected)
    assert found[0].difference == pytest.approx(steps.mean())
    assert abs(found[0].difference) >= abs(found[1].difference)
    assert {each.n for each in found} == {12}


def test_without_common_columns_or_rows_there_is_no_difference():
    """One row has no interval; a column that only one of the two has is left out."""
    a = sizes_of(explanation(), range(12))

    assert importance_differences(a, {"Other": a["Age"]}, 0.95) == []
    assert importance_differences({"Age": a["Age"][:1]}, {"Age": a["Age"][:1]}, 0.95) == []
    assert [each.column for each in importance_differences(a, {"Age": a["Age"]}, 0.95)] == ["Age"]
