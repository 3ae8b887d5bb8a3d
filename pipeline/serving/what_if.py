"""What would change the answer: one column that moves, and the smallest change that gives another class.

The search asks the model about every change that it considers and gives none that the model did not confirm. It is
exhaustive over single columns on a grid and a beam search over two and three columns: a smaller change may exist
between the points. Counterfactual explanations: Wachter, Mittelstadt and Russell, Harvard JOLT 31(2), 2018.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeGuard

from pipeline.serving.predictions import Prediction
from pipeline.validation.ranges import EXACT, accepted_range
from pipeline.validation.rows import CheckedRow, Value, check_row
from pipeline.validation.schema import ColumnSchema, InputSchema

Ask = Callable[[Sequence[CheckedRow]], Sequence[Prediction]]
Changes = Mapping[str, Value]
POINTS, CURVE_POINTS = 25, 100
SPREAD = 0.5  # of a number about which nothing is known
MOST_COLUMNS = 3
BEAM = 8
REFINED = 4
STEPS = 1_000  # a changed number is rounded to a power of ten that makes at least as many in its range


@dataclass(frozen=True)
class Counterfactual:
    """A change of a row that gives another prediction."""

    values: Changes  # of the changed columns only
    prediction: Prediction  # the model's for the row with them
    size: float  # the sum over the columns of the moved share of their range; a category counts 1


def points(column: ColumnSchema, own: Value) -> list[Value]:
    """The values over which a column may be moved, in order; none where nothing says which it may have."""
    if column.categories:
        return list(column.categories)
    if column.kind == "boolean":
        return [False, True]
    if column.kind not in {"number", "integer"}:
        return []
    low, high = value_range(column, own)
    if column.kind == "integer" and max(abs(low), abs(high)) >= EXACT:  # an identifier: half of it is somebody else's
        return []
    found = _between(low, high, POINTS) if low < high else []
    return list(dict.fromkeys(round(each) for each in found)) if column.kind == "integer" else [*found]


def curve_points(column: ColumnSchema, own: Value) -> list[Value]:
    """As points, but so many that a tree's steps show; the range is widened to the row's own number."""
    found = points(column, own)
    if column.categories or column.kind not in {"number", "integer"} or not found or not _is_number(own):
        return found
    low, high = value_range(column, own)
    positions = _between(min(low, own), max(high, own), CURVE_POINTS)
    return [*sorted({own, *(map(round, positions) if column.kind == "integer" else positions)})]


def value_range(column: ColumnSchema, own: Value) -> tuple[float, float]:
    """The range of a number: where it was trained, else what is allowed, else around the row's own value."""
    for low, high in ((column.lowest, column.highest), (column.minimum, column.maximum)):
        if low is not None and high is not None:
            return low, high
    value = float(own) if isinstance(own, int | float) else 0.0
    return value - abs(value) * SPREAD, value + abs(value) * SPREAD


def smallest_change(
    ask: Ask, row: CheckedRow, schema: InputSchema, *, may_change: Iterable[str], wanted: str | None = None
) -> Counterfactual | None:
    """The fewest columns, and of as few the smallest size, that give `wanted` (None: any other class).

    None where no change of up to three columns was found. `ask` predicts rows that are checked already.
    """
    columns = [
        column for name in may_change if (column := schema.column(name)) and points(column, row.values[column.name])
    ]
    search = _Search(ask, row, schema, tuple(columns), str(ask([row])[0].value), wanted)
    states: list[Changes] = [{}]
    for _ in range(min(MOST_COLUMNS, len(columns))):
        found = search.asked(chain.from_iterable(map(search.one_more, states)))
        if reached := [change for change in found if search.is_reached(change.prediction)]:
            return search.smallest(reached)
        if not (states := search.nearest(found)):
            break
    return None


@dataclass(frozen=True)
class _Search:
    ask: Ask  # predicts checked rows
    row: CheckedRow  # the row to change
    schema: InputSchema
    columns: tuple[ColumnSchema, ...]  # that may change
    present: str
    wanted: str | None  # the class to reach; None: any other

    def is_reached(self, answer: Prediction) -> bool:
        return str(answer.value) != self.present and self.wanted in {None, str(answer.value)}

    def one_more(self, state: Changes) -> list[Changes]:
        """The change with every value of every column that is not changed yet."""
        return [
            {**state, column.name: value}
            for column in self.columns
            if column.name not in state
            for value in points(column, self.own(column))
            if value != self.own(column)
        ]

    def own(self, column: ColumnSchema) -> Value:
        return self.row.values[column.name]

    def asked(self, many: Iterable[Changes]) -> list[Counterfactual]:
        """Each change with the model's prediction and its size; its values come from the schema, so they are valid."""
        changes = list({tuple(sorted(each.items())): each for each in many}.values())
        rows = [replace(self.row, values={**self.row.values, **each}) for each in changes]
        answers = self.ask(rows) if rows else []
        return [Counterfactual(each, answer, self.size(each)) for each, answer in zip(changes, answers, strict=True)]

    def size(self, changes: Changes) -> float:
        return sum(self._moved(column, changes[column.name]) for column in self.columns if column.name in changes)

    def _moved(self, column: ColumnSchema, value: Value) -> float:
        own = self.own(column)
        if isinstance(own, bool | str) or not isinstance(own, int | float) or not isinstance(value, int | float):
            return 1.0
        low, high = value_range(column, own)
        return abs(value - own) / (high - low)

    def nearest(self, found: Sequence[Counterfactual]) -> list[Changes]:
        """The changes whose prediction is nearest to the class; none where the model gives no probabilities."""
        known = [each for each in found if each.prediction.probabilities]
        return [each.values for each in sorted(known, key=lambda each: -self._progress(each.prediction))[:BEAM]]

    def _progress(self, answer: Prediction) -> float:
        if self.wanted is not None:
            return answer.probabilities.get(self.wanted, 0.0)
        return -answer.probabilities.get(self.present, 0.0)

    def smallest(self, reached: Sequence[Counterfactual]) -> Counterfactual:
        """On the grid another set of columns may look smaller than it is: the best of a few sets are refined."""
        best: dict[frozenset[str], Counterfactual] = {}
        for change in sorted(reached, key=lambda each: each.size):
            best.setdefault(frozenset(change.values), change)
        found = min(map(self._refined, list(best.values())[:REFINED]), key=lambda each: each.size)
        checked = check_row({**self.row.values, **found.values}, self.schema)  # asked again like any other row
        return replace(found, prediction=self.ask([checked])[0])

    def _refined(self, change: Counterfactual) -> Counterfactual:
        """The change with each number as near to the row's own as keeps the class, on a finer grid, rounded."""
        for column in self.columns:
            value, own = change.values.get(column.name), self.own(column)
            if _is_number(value) and _is_number(own):
                change = self._nearer(change, column, own=own, value=value)
        return change

    def _nearer(self, change: Counterfactual, column: ColumnSchema, *, own: float, value: float) -> Counterfactual:
        low, high = value_range(column, own)
        step = 1.0 if column.kind == "integer" else 10 ** math.floor(math.log10((high - low) / STEPS))
        ends = (value + step, value - step)  # rounded, the value itself may fall short of the class
        near = (*_between(min(own, value), max(own, value), STEPS), *ends)
        finer = {round(round(each / step) * step, 12) for each in near}
        allowed = [each for each in finer if each != own and _allows(column, each)]
        whole = column.kind == "integer"
        tried = self.asked({**change.values, column.name: int(each) if whole else each} for each in allowed)
        reached = [each for each in tried if self.is_reached(each.prediction)]
        return min(reached or [change], key=lambda each: each.size)


def _is_number(value: Value) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _allows(column: ColumnSchema, value: float) -> bool:
    lowest, highest = accepted_range(column)
    return lowest <= value <= highest


def _between(low: float, high: float, count: int) -> list[float]:
    return [low + (high - low) * position / (count - 1) for position in range(count)]
