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
from pipeline.validation.ranges import EXACT
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
    """`values` of the changed columns only; `prediction` is the model's for the row with them.

    size: the sum over the columns of the moved share of their range; a category counts 1.
    """

    values: Changes
    prediction: Prediction
    size: float


def points(rule: ColumnSchema, own: Value) -> list[Value]:
    """Values over which a column may be moved, in order; empty where nothing says which it may have."""
    if rule.categories:
        return list(rule.categories)
    if rule.kind == "boolean":
        return [False, True]
    if rule.kind not in {"number", "integer"}:
        return []
    low, high = value_range(rule, own)
    if rule.kind == "integer" and max(abs(low), abs(high)) >= EXACT:  # an identifier: half of it is somebody else's
        return []
    found = _between(low, high, POINTS) if low < high else []
    return list(dict.fromkeys(round(each) for each in found)) if rule.kind == "integer" else [*found]


def curve_points(rule: ColumnSchema, own: Value) -> list[Value]:
    """As points, so many that the steps of a tree look like steps; from and to the row's own number, too."""
    found = points(rule, own)
    if rule.categories or rule.kind not in {"number", "integer"} or not found or not _is_number(own):
        return found
    low, high = value_range(rule, own)
    places = _between(min(low, own), max(high, own), CURVE_POINTS)
    return [*sorted({own, *(map(round, places) if rule.kind == "integer" else places)})]


def value_range(rule: ColumnSchema, own: Value) -> tuple[float, float]:
    """Where it was trained, else where values are allowed, else around the row's own."""
    for low, high in ((rule.lowest, rule.highest), (rule.minimum, rule.maximum)):
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
    rules = [rule for name in may_change if (rule := schema.column(name)) and points(rule, row.values[rule.name])]
    search = _Search(ask, row, schema, tuple(rules), str(ask([row])[0].value), wanted)
    states: list[Changes] = [{}]
    for _ in range(min(MOST_COLUMNS, len(rules))):
        found = search.asked(chain.from_iterable(map(search.one_more, states)))
        if reached := [change for change in found if search.is_reached(change.prediction)]:
            return search.smallest(reached)
        if not (states := search.nearest(found)):
            break
    return None


@dataclass(frozen=True)
class _Search:
    ask: Ask
    row: CheckedRow
    schema: InputSchema
    rules: tuple[ColumnSchema, ...]
    present: str
    wanted: str | None

    def is_reached(self, said: Prediction) -> bool:
        return str(said.value) != self.present and self.wanted in {None, str(said.value)}

    def one_more(self, state: Changes) -> list[Changes]:
        """Every value of every column that is not changed yet."""
        return [
            {**state, rule.name: value}
            for rule in self.rules
            if rule.name not in state
            for value in points(rule, self.own(rule))
            if value != self.own(rule)
        ]

    def own(self, rule: ColumnSchema) -> Value:
        return self.row.values[rule.name]

    def asked(self, many: Iterable[Changes]) -> list[Counterfactual]:
        """Each with what the model says and its size; the values are allowed, for they come from the rules."""
        changes = list({tuple(sorted(each.items())): each for each in many}.values())
        rows = [replace(self.row, values={**self.row.values, **each}) for each in changes]
        said = self.ask(rows) if rows else []
        return [Counterfactual(each, answer, self.size(each)) for each, answer in zip(changes, said, strict=True)]

    def size(self, changes: Changes) -> float:
        return sum(self._moved(rule, changes[rule.name]) for rule in self.rules if rule.name in changes)

    def _moved(self, rule: ColumnSchema, value: Value) -> float:
        own = self.own(rule)
        if isinstance(own, bool | str) or not isinstance(own, int | float) or not isinstance(value, int | float):
            return 1.0
        low, high = value_range(rule, own)
        return abs(value - own) / (high - low)

    def nearest(self, found: Sequence[Counterfactual]) -> list[Changes]:
        """The changes that bring the class nearest; none where the model gives no probabilities."""
        known = [each for each in found if each.prediction.probabilities]
        return [each.values for each in sorted(known, key=lambda each: -self._progress(each.prediction))[:BEAM]]

    def _progress(self, said: Prediction) -> float:
        if self.wanted is not None:
            return said.probabilities.get(self.wanted, 0.0)
        return -said.probabilities.get(self.present, 0.0)

    def smallest(self, reached: Sequence[Counterfactual]) -> Counterfactual:
        """On the grid another set of columns may look smaller than it is: the best of a few sets are refined."""
        best: dict[frozenset[str], Counterfactual] = {}
        for change in sorted(reached, key=lambda each: each.size):
            best.setdefault(frozenset(change.values), change)
        return self._confirmed(min(map(self._refined, list(best.values())[:REFINED]), key=lambda each: each.size))

    def _refined(self, change: Counterfactual) -> Counterfactual:
        """Each number as near to the row's own as the model still gives the class, on a finer grid, rounded."""
        for rule in self.rules:
            value, own = change.values.get(rule.name), self.own(rule)
            if _is_number(value) and _is_number(own):
                change = self._nearer(change, rule, own=own, value=value)
        return change

    def _nearer(self, change: Counterfactual, rule: ColumnSchema, *, own: float, value: float) -> Counterfactual:
        low, high = value_range(rule, own)
        step = 1.0 if rule.kind == "integer" else 10 ** math.floor(math.log10((high - low) / STEPS))
        ends = (value + step, value - step)  # rounded, the value itself may fall short of the class
        finer = {_rounded(each, step) for each in (*_between(min(own, value), max(own, value), STEPS), *ends)}
        held = [int(each) if rule.kind == "integer" else each for each in finer if each != own and _allows(rule, each)]
        tried = self.asked({**change.values, rule.name: each} for each in held)
        reached = [each for each in tried if self.is_reached(each.prediction)]
        return min(reached or [change], key=lambda each: each.size)

    def _confirmed(self, change: Counterfactual) -> Counterfactual:
        """Asked once more as a row that was checked like any other."""
        checked = check_row({**self.row.values, **change.values}, self.schema)
        return replace(change, prediction=self.ask([checked])[0])


def _is_number(value: Value) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _allows(rule: ColumnSchema, value: float) -> bool:
    return (rule.minimum is None or value >= rule.minimum) and (rule.maximum is None or value <= rule.maximum)


def _rounded(value: float, step: float) -> float:
    return round(round(value / step) * step, 12)


def _between(low: float, high: float, count: int) -> list[float]:
    return [low + (high - low) * position / (count - 1) for position in range(count)]
