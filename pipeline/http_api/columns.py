"""The columns of the served version as JSON Schema: what a caller may send, in the words of its feature schema."""

import sys
from typing import Any

from pipeline.governance.text import visible
from pipeline.validation.moments import EXAMPLE, PATTERN
from pipeline.validation.rows import CheckedRow
from pipeline.validation.schema import ColumnRule, Kind, Layout
from pipeline.validation.values import MOST_TEXT

Json = dict[str, Any]
MOST_DESCRIPTION = 500
LARGEST = sys.float_info.max
WHOLE = {"int32": (-(2**31), 2**31 - 1)}
WHOLE_DEFAULT = (-(2**63), 2**63 - 1)
# What may be missing travels as doubles, which tell whole numbers apart up to here.
WHOLE_OPTIONAL = (-(2**53), 2**53)
PLAIN: dict[Kind, Json] = {
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "pattern": PATTERN},
    "unfit": {"type": "null"},
}


def row_schema(layout: Layout, example: CheckedRow | None) -> Json:
    """One row: every column that has to be there, those that may be left out, and nothing else."""
    schema: Json = {
        "type": "object",
        "title": "Row",
        "description": f"One row of the {len(layout.columns)} columns that the version takes.",
        "properties": {rule.name: _column(rule) for rule in layout.columns},
        "required": list(layout.required),
        "additionalProperties": False,
    }
    return {**schema, "examples": [dict(example.values)]} if example else schema


def _column(rule: ColumnRule) -> Json:
    schema = {**_allowed(rule), "description": _described(rule)}
    if rule.unit:
        schema["x-unit"] = visible(rule.unit, most=MOST_DESCRIPTION)
    if rule.default is not None:
        schema["examples"] = [rule.default]
    return schema if rule.required else {"anyOf": [schema, {"type": "null"}], "description": schema["description"]}


def _allowed(rule: ColumnRule) -> Json:
    if rule.kind in PLAIN:
        return PLAIN[rule.kind]
    if rule.kind == "number":
        return {"type": "number", **_range(rule, -LARGEST, LARGEST)}
    if rule.kind == "integer":
        largest = WHOLE.get(rule.dtype, WHOLE_DEFAULT if rule.required else WHOLE_OPTIONAL)
        return {"type": "integer", **_range(rule, *largest)}
    if rule.kind == "category":
        return {"type": "string", "enum": list(rule.categories)}
    if rule.kind == "text":
        return {"type": "string", **_length(rule)}
    return {
        "anyOf": [
            {"type": "string", **_length(rule)},
            {"type": "number", "minimum": -LARGEST, "maximum": LARGEST},
            {"type": "boolean"},
        ]
    }


def _length(rule: ColumnRule) -> Json:
    """An empty text is a missing value."""
    return {"minLength": 1 if rule.required else 0, "maxLength": MOST_TEXT}


def _range(rule: ColumnRule, lowest: float, highest: float) -> Json:
    return {
        "minimum": lowest if rule.minimum is None else rule.minimum,
        "maximum": highest if rule.maximum is None else rule.maximum,
    }


def _described(rule: ColumnRule) -> str:
    """With the unit, and with the range of the training data, outside of which an answer carries a warning."""
    trained = rule.lowest is not None and rule.highest is not None
    parts = [
        rule.description,
        rule.refusal,
        f"A date or time in ISO 8601, such as {EXAMPLE}; with an offset it is taken in UTC"
        if rule.kind == "datetime"
        else "",
        f"Unit: {rule.unit}" if rule.unit else "",
        f"In the training data: {rule.lowest:.10g} to {rule.highest:.10g}" if trained else "",
        f"Not in the training data: {', '.join(rule.unseen[:12])}" if rule.unseen else "",
    ]
    return visible(". ".join(part.rstrip(".") for part in parts if part), most=MOST_DESCRIPTION)
