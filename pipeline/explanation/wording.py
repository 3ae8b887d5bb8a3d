"""An explanation in sentences for people; standard library only, because screens use it on the worker's answers."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from pipeline.governance.text import NO_LABELS, called, minus

SMALLEST = 0.005  # shown with two decimals, less is 0.00
ROUNDING = 1e-9  # of the largest effect; of what a model says, a double rounds off less than a thousandth of that
OF_OUTPUT = 1e-13


@dataclass(frozen=True)
class Side:
    """One of two versions in a sentence."""

    # Such as "version 2".
    name: str
    # One explained row as result.to_json gives it.
    document: Mapping[str, Any]

    def effects(self, class_name: str) -> Mapping[str, float]:
        """The effect of each column; none where the version does not know the class."""
        found: Mapping[str, float] = self.document["contributions"].get(class_name, {})
        return found

    @property
    def scale(self) -> str:
        return str(self.document["scale"])

    def noticed(self, class_name: str, column: str) -> float:
        """The effect of the column, 0 where it is too small to be a reason."""
        effect = self.effects(class_name).get(column, 0.0)
        return effect if abs(effect) >= _least(self.document, class_name) else 0.0


def sentences(
    document: Mapping[str, Any],
    row: Mapping[str, Any],
    class_name: str,
    *,
    units: Mapping[str, str],
    labels: Mapping[str, str] = NO_LABELS,
    most: int = 5,
) -> list[str]:
    """The columns that move one class most, largest first: "Weight 112 kg raises Obesity_Type_III by 0.31".

    document: one row as result.to_json gives it. row: its values by column. units: of the columns that have one.
    labels: what people call the columns whose name does not say it.
    """
    contributions: Mapping[str, float] = document["contributions"][class_name]
    scale = document["scale"]
    what = _subject(class_name, document)
    ordered = sorted(contributions.items(), key=lambda each: -abs(each[1]))
    least = _least(document, class_name)
    shown = [(name, effect) for name, effect in ordered[:most] if abs(effect) >= least]
    return [
        f"{_with_value(name, row, units, labels=labels)} {_verb(effect)} {what} by {_amount(abs(effect), scale)}"
        for name, effect in shown
    ]


def contrasts(
    sides: tuple[Side, Side],
    row: Mapping[str, Any],
    class_name: str,
    *,
    units: Mapping[str, str],
    labels: Mapping[str, str] = NO_LABELS,
    most: int = 5,
) -> list[str]:
    """The columns whose effect on one class differs most between two versions, the largest difference first:
    "Weight 112 kg raises Obesity_Type_III by 0.31 in version 2, lowers it by 0.02 in version 1".

    Both sides are on one scale (see Explanations.comparable_with). units, labels: as for `sentences`.
    """
    first, second = (side.effects(class_name) for side in sides)
    names = list(dict.fromkeys([*first, *second]))
    ordered = sorted(names, key=lambda name: -abs(first.get(name, 0.0) - second.get(name, 0.0)))
    what = _subject(class_name, sides[0].document)
    found = ((name, [side.noticed(class_name, name) for side in sides]) for name in ordered[:most])
    return [
        f"{_with_value(name, row, units, labels=labels)} {_in_turn(sides, effects, what)}"
        for name, effects in found
        if any(effects)
    ]


def _with_value(name: str, row: Mapping[str, Any], units: Mapping[str, str], *, labels: Mapping[str, str]) -> str:
    return f"{called(name, labels)} {_value(row.get(name), units.get(name, ''))}"


def _in_turn(sides: tuple[Side, Side], effects: Sequence[float], what: str) -> str:
    """One clause per side, the first with `what`, the next with "it"; an effect of 0 is one that nobody notices."""
    clauses = []
    for side, effect in zip(sides, effects, strict=True):
        if effect:
            clauses.append(f"{_verb(effect)} {what} by {_amount(abs(effect), side.scale)} in {side.name}")
        else:
            clauses.append(f"hardly moves {what} in {side.name}")
        what = "it"
    return ", ".join(clauses)


def _subject(class_name: str, document: Mapping[str, Any]) -> str:
    return f"the {class_name}" if list(document["classes"]) == ["output"] else class_name


def _verb(effect: float) -> str:
    return "raises" if effect > 0 else "lowers"


def _least(document: Mapping[str, Any], class_name: str) -> float:
    """The smallest effect that is a reason: nothing that comes of rounding, or that two decimals would show as 0.00."""
    effects: Mapping[str, float] = document["contributions"].get(class_name, {})
    output = max(abs(document.get(ends, {}).get(class_name, 0.0)) for ends in ("base_values", "output"))
    smallest = smallest_reason(max(map(abs, effects.values()), default=0.0), output)
    return smallest if document["scale"] == "value" else max(SMALLEST, smallest)


def smallest_reason(largest: float, output: float = 0.0) -> float:
    """The smallest effect that is no rounding of the `largest` effect or of the model's `output`; always above 0."""
    return max(ROUNDING * largest, OF_OUTPUT * output, sys.float_info.min)


def _amount(effect: float, scale: str) -> str:
    if scale == "value":
        return _number(effect)
    return f"{effect:.2f} log-odds" if scale == "log-odds" else f"{effect:.2f}"


def _value(value: object, unit: str) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN differs from itself)
        return "(missing)"
    quantity = _quantity(value)
    if quantity is None:
        return f"= {value}"
    if unit[:1].isdigit():  # "1 never to 3 always" explains a scale, it is no unit
        unit = f"({unit})"
    return f"{quantity} {unit}".rstrip()


def _quantity(value: object) -> str | None:
    """A value in a sentence, a whole number to its last digit; None for what is no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return minus(f"{value:,}")
    return _number(float(value)) if isinstance(value, Real) else None


def _number(value: float) -> str:
    """A number with four significant digits, whole from 1,000 on."""
    return minus(f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}")  # noqa: PLR2004
