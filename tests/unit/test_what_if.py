"""What would change the answer, searched on models whose answer is known."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from pipeline.serving.predictions import Prediction
from pipeline.serving.what_if import curve_points, points, smallest_change
from pipeline.validation.rows import CheckedRow, Row, check_row
from pipeline.validation.schema import ColumnSchema, InputSchema

WEIGHT = ColumnSchema("Weight", "number", "float64", minimum=25, maximum=260, lowest=40, highest=140)
MEALS = ColumnSchema("Meals", "integer", "int64", minimum=1, maximum=4)
SMOKES = ColumnSchema("Smokes", "category", "str", categories=("no", "yes"))
ACTIVE = ColumnSchema("Active", "boolean", "bool")
LAYOUT = InputSchema((WEIGHT, MEALS, SMOKES, ACTIVE), "feature schema")
NAMES = LAYOUT.names
START = {"Weight": 80.0, "Meals": 2, "Smokes": "no", "Active": False}


class Model:
    """Adds points for each column; from 1 on it says "high". Counts the rows that it was asked about."""

    def __init__(self, *, probabilities: bool = True, **weights: float) -> None:
        self.weights, self.probabilities, self.asked = weights, probabilities, 0

    def __call__(self, rows: Sequence[CheckedRow]) -> list[Prediction]:
        self.asked += len(rows)
        return [self.say(row.values) for row in rows]

    def say(self, row: Row) -> Prediction:
        parts = {
            "Weight": (float(str(row["Weight"])) - 80) / 100,
            "Meals": int(str(row["Meals"])) - 2,
            "Smokes": row["Smokes"] == "yes",
            "Active": row["Active"] is True,
        }
        score = sum(self.weights.get(name, 0) * float(value) for name, value in parts.items())
        high = 1 / (1 + math.exp(1 - score))
        chances = {"high": high, "low": 1 - high} if self.probabilities else {}
        return Prediction("high" if score >= 1 else "low", chances)


def search(model: Model, *, may_change: Sequence[str] = NAMES, wanted: str | None = None):
    return smallest_change(model, check_row(START, LAYOUT), LAYOUT, may_change=may_change, wanted=wanted)


def test_one_number_moves_just_as_far_as_it_must():
    """50 kg are needed: the grid of 4 kg is refined to a tenth of one."""
    found = search(Model(Weight=2))

    assert found.values == {"Weight": 130.0}
    assert found.prediction.value == "high"
    assert found.size == pytest.approx(0.5)


def test_only_columns_that_may_change_are_moved():
    """What is not named stays, although it would be the shorter way."""
    found = search(Model(Weight=2, Smokes=1), may_change=["Smokes"])

    assert found.values == {"Smokes": "yes"}


def test_fewer_columns_win_over_a_shorter_way():
    """One category, of size 1, is less to change than two columns."""
    assert search(Model(Weight=1.2, Meals=0.3, Smokes=1)).values == {"Smokes": "yes"}


@pytest.mark.parametrize(
    ("weights", "columns"), [({"Meals": 0.25, "Smokes": 0.6}, 2), ({"Meals": 0.1, "Smokes": 0.4, "Active": 0.5}, 3)]
)
def test_several_columns_where_one_is_not_enough(weights, columns):
    """Up to three; whole numbers stay whole and booleans stay booleans."""
    found = search(Model(**weights))

    assert len(found.values) == columns
    assert found.prediction.value == "high"
    assert isinstance(found.values["Meals"], int)
    assert check_row({**START, **found.values}, LAYOUT).problems == ()


def test_a_whole_number_is_moved_by_whole_steps():
    """Of three possible values the nearest that is enough."""
    found = search(Model(Meals=1.0))

    assert found.values == {"Meals": 3}
    assert type(found.values["Meals"]) is int


def test_no_change_is_invented():
    """A model that never says anything else has none; nor has one whose way needs four columns."""
    assert search(Model()) is None
    assert search(Model(Weight=0.3, Meals=0.1, Smokes=0.3, Active=0.3)) is None


def test_a_class_that_is_wanted():
    """Another class than the one that was asked for does not count."""
    assert search(Model(Smokes=1), wanted="high").values == {"Smokes": "yes"}
    assert search(Model(Smokes=1), wanted="medium") is None


def test_without_probabilities_only_single_columns_are_tried():
    """Nothing tells which of the others would be nearer."""
    assert search(Model(probabilities=False, Smokes=1)).values == {"Smokes": "yes"}
    assert search(Model(probabilities=False, Meals=0.25, Smokes=0.6)) is None


def test_nothing_may_change():
    """The model is asked about the row itself and nothing else."""
    model = Model(Smokes=1)

    assert search(model, may_change=["Unknown"]) is None
    assert model.asked == 1


def test_the_search_is_bounded():
    """A few thousand rows, whatever the model says."""
    model = Model()
    search(model)

    assert model.asked < 5_000


def test_points_of_every_kind():
    """Numbers over the training range, whole ones whole, categories and booleans all; text has none."""
    assert (points(WEIGHT, 80)[0], points(WEIGHT, 80)[-1]) == (40, 140)
    assert points(MEALS, 2) == [1, 2, 3, 4]
    assert points(SMOKES, "no") == ["no", "yes"]
    assert points(ACTIVE, False) == [False, True]
    assert points(ColumnSchema("Note", "text"), "hello") == []
    assert points(ColumnSchema("Dose", "number"), 10.0)[0] == 5
    assert points(ColumnSchema("Dose", "number"), 0.0) == []
    assert points(ColumnSchema("Dose", "number", required=False), None) == []
    assert points(ColumnSchema("When", "datetime"), "2024-03-05T00:00:00") == []
    assert points(ColumnSchema("Customer", "integer", "int64"), 2**53 + 1) == []


def test_a_curve_has_the_number_of_the_row_itself():
    """A tree steps: between two points of a coarse grid a line would say something else than the model."""
    over: list[Any] = curve_points(WEIGHT, 80.03)

    assert over == sorted(over)
    assert {40, 80.03, 140} <= set(over)
    assert len(over) > len(points(WEIGHT, 80.03))
    assert curve_points(MEALS, 2) == points(MEALS, 2)
    assert 503 in curve_points(ColumnSchema("Steps", "integer", minimum=0, maximum=1_000), 503)
    outside: list[Any] = curve_points(WEIGHT, 500.0)
    assert outside[-1] == 500
    assert max(right - left for left, right in pairwise(outside)) < 5  # no line over a gap
    assert curve_points(SMOKES, "no") == points(SMOKES, "no")
