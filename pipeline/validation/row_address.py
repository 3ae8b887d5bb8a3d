"""A row in the address of a page: the values that differ from the defaults as short JSON, and back; checked as any row.

Standard library only.
"""

import json
from collections.abc import Mapping

from pipeline.governance.errors import InvalidInput
from pipeline.validation.ranges import EXACT
from pipeline.validation.rows import InvalidRows, Row, Value, check_row, parse_row
from pipeline.validation.schema import InputSchema

MOST_CHARACTERS = 1_500  # before it is encoded; browsers and proxies take addresses of some 8,000


def row_text(row: Row, schema: InputSchema) -> str:
    """What stands in the address for a checked row: empty for the defaults, and for a row that is too long for one."""
    differing = {
        column.name: _short(row[column.name])
        for column in schema.columns
        if column.name in row and not _same(row[column.name], column.default)
    }
    text = json.dumps(differing, ensure_ascii=False, separators=(",", ":")) if differing else ""
    return text if len(text) <= MOST_CHARACTERS else ""


def row_of_text(text: str, schema: InputSchema) -> Mapping[str, object]:
    """The values that the address names; all others are the defaults.

    Raises InvalidInput with the first thing that is wrong: an address may be old, cut, or anybody's.
    """
    if len(text) > MOST_CHARACTERS:
        raise InvalidInput(f"the row: has more than {MOST_CHARACTERS:,} characters")
    given = parse_row(text)
    defaults = {column.name: column.default for column in schema.columns}
    problems = check_row({**defaults, **given}, schema, from_text=True).problems
    if wrong := [problem for problem in problems if problem.column in given]:
        raise InvalidRows(wrong[:1])
    return given


def _short(value: Value) -> Value:
    """A whole number without its point."""
    whole = isinstance(value, float) and value.is_integer() and abs(value) < EXACT
    return int(value) if whole and value is not None else value


def _same(value: Value, default: Value) -> bool:
    """To Python, True is 1."""
    return value == default and isinstance(value, bool) == isinstance(default, bool)
