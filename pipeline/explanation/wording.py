"""An explanation in plain words. Standard library only: screens use it on what the worker answered."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

SMALLEST = 0.005  # shown with two decimals, less is 0.00


def sentences(
    document: Mapping[str, Any], row: Mapping[str, Any], class_name: str, *, schema: Mapping[str, Any], most: int = 5
) -> list[str]:
    """The columns that move one class most, largest first: "Weight 112 kg raises Obesity_Type_III by 0.31".

    document: one row as result.to_json gives it. row: its values by column. schema: the feature schema, for the units.
    """
    contributions: Mapping[str, float] = document["contributions"][class_name]
    scale = document["scale"]
    what = f"the {class_name}" if list(document["classes"]) == ["output"] else class_name
    ordered = sorted(contributions.items(), key=lambda each: -abs(each[1]))
    shown = [(name, effect) for name, effect in ordered[:most] if scale == "value" or abs(effect) >= SMALLEST]
    columns = schema.get("columns", {})
    return [
        f"{name} {_value(row.get(name), columns.get(name, {}))} {'raises' if effect > 0 else 'lowers'} {what} "
        f"by {_amount(abs(effect), scale)}"
        for name, effect in shown
        if effect
    ]


def _amount(effect: float, scale: str) -> str:
    if scale == "value":
        return _number(effect)
    return f"{effect:.2f} log-odds" if scale == "log-odds" else f"{effect:.2f}"


def _value(value: object, column: Mapping[str, Any]) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN differs from itself)
        return "(missing)"
    if isinstance(value, bool) or not isinstance(value, Real):
        return f"= {value}"
    unit = str(column.get("unit") or "")
    if unit[:1].isdigit():  # "1 never to 3 always" explains a scale, it is no unit
        unit = f"({unit})"
    return f"{_number(float(value))} {unit}".rstrip()


def _number(value: float) -> str:
    """Four significant digits; whole from 1,000 on."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004
