"""A row that a version takes: to try it with, and to show in the documentation of its columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.validation.rows import CheckedRow, Value, check_row
from pipeline.validation.schema import ColumnRule, Layout


def example_row(layout: Layout, shown: Mapping[str, Sequence[Any]] | None = None) -> CheckedRow | None:
    """From the defaults of the columns, else from the input example (`shown`), else from what a column allows.

    None where a column says too little to make one up, or where the row breaks the columns' own rules.
    """
    values = {rule.name: _value(rule, (shown or {}).get(rule.name, ())) for rule in layout.columns}
    checked = check_row(values, layout)
    return None if checked.problems else checked


def _value(rule: ColumnRule, shown: Sequence[Any]) -> Value:
    """None also where nothing is known, which a column that must be filled refuses."""
    known = (value for value in shown if isinstance(value, str | int | float))
    found: Value = rule.default if rule.default is not None else next(known, None)
    if found is not None:
        return found
    if rule.categories:
        return rule.categories[0]
    if rule.kind == "boolean":
        return False
    if rule.kind in {"number", "integer"}:
        return _inside(rule)
    return None


def _inside(rule: ColumnRule) -> float:
    """0 where that is allowed, else the bound that is nearer to it."""
    lowest = rule.minimum if rule.minimum is not None else rule.lowest
    highest = rule.maximum if rule.maximum is not None else rule.highest
    return max(lowest if lowest is not None else 0.0, min(highest if highest is not None else 0.0, 0.0))
