"""Many rows checked at once, column by column, with the same verdict as one after the other.

Only what is surely fine is decided here, on whole columns. Every other row goes through rows.check_row, so that the
rules and their sentences stay in one place.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.validation.rows import CheckedRow, Problem, Repeated, Value, check_row, nullable
from pipeline.validation.schema import ColumnSchema, InputSchema, Kind
from pipeline.validation.values import EXACT, LARGEST, MOST_TEXT, WHOLE

# One column of many rows against its rule: which cells are surely fine, and their values.

Arrow = Any  # pyarrow has no types
Mask = np.ndarray
TYPES = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "category": pa.string(),
    "text": pa.string(),
    "boolean": pa.bool_(),
    "datetime": pa.timestamp("ns"),
}
TRUE, FALSE = ["true", "True", "TRUE"], ["false", "False", "FALSE"]
NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"
WHOLE_NUMBER = r"^-?[0-9]+$"  # as Arrow reads it
# May be a number, a missing value or one of the words for no number: anything else is a word.
NO_WORD = r"^[\pZ\pC]*$|[0-9]|[nN][aA][nN]|[iI][nN][fF]"
VISIBLE = r"[^\pZ\pC]"
# Written as Arrow reads it, and in years that nanoseconds reach.
MOMENT = r"^(1[7-9]|2[01])\d\d-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?)?$"
CLOSE = 1e-9  # as math.isclose


@dataclass(frozen=True)
class Column:
    """The values where they are surely right (null elsewhere), which those are, and which of them are odd.

    A missing value that may be missing is sure, and null.
    """

    values: Arrow
    sure: Mask
    odd: Mask


def cell_of(array: Arrow, position: int) -> Any:  # noqa: ANN401 (whatever the array holds)
    """As Python has it; what Python has no value for, such as a time in the year 33,658, as its type and number."""
    cell = array[position]
    try:
        return cell.as_py()
    except (ArithmeticError, ValueError):
        return f"{array.type} {getattr(cell, 'value', '')}"


def check_column(array: Arrow, rule: ColumnSchema, count: int, *, from_text: bool) -> Column:
    if array is None:
        return _nothing_sure(rule, count)
    if pa.types.is_null(array.type):
        return _missing(rule, count)
    text = pa.types.is_string(array.type)
    return CHECKS[rule.kind](array, rule, text=text, from_text=from_text)


def _nothing_sure(rule: ColumnSchema, count: int) -> Column:
    none = np.zeros(count, dtype=bool)
    return Column(pa.nulls(count, TYPES.get(rule.kind, pa.null())), none, none)


def _missing(rule: ColumnSchema, count: int) -> Column:
    column = _nothing_sure(rule, count)
    return column if rule.required else Column(column.values, ~column.sure, column.odd)


def _numbers(array: Arrow, rule: ColumnSchema, *, text: bool, from_text: bool) -> Column:
    """Where a float may not tell two whole numbers apart, nothing is sure but what came as 64 bits for 64 bits."""
    if text:
        found = _parsed(array) if from_text else None
    else:
        found = _as_floats(array)
    if found is None:
        return _nothing_sure(rule, len(array))
    values, nothing = _floats(found), _mask(pc.is_null(found))
    with np.errstate(invalid="ignore"):
        sure = np.abs(values) < EXACT
        if (np.abs(values) >= EXACT).any() and (exact := _exactly(array, rule, text=text)) is not None:
            return exact
        if rule.dtype in LARGEST:
            sure &= np.abs(values) <= LARGEST[rule.dtype]
        if rule.minimum is not None:
            sure &= values >= rule.minimum
        if rule.maximum is not None:
            sure &= values <= rule.maximum
        if rule.kind == "integer":
            limit = float(WHOLE.get(rule.dtype, 2**63))
            sure &= (np.floor(values) == values) & (values >= -limit) & (values < limit)
    odd = sure & _outside(values, rule)
    kept = np.where(sure, values, 0.0)
    whole = kept.astype(np.int64) if rule.kind == "integer" else kept
    return Column(pa.array(whole, mask=~sure), sure | _allowed_to_miss(nothing, rule, blank=text, array=array), odd)


def _exactly(array: Arrow, rule: ColumnSchema, *, text: bool) -> Column | None:
    """A column of whole numbers such as identifiers, some beyond what floats tell apart; None where it is another one.

    Ranges are compared by floats, so there are none here.
    """
    if rule.kind != "integer" or WHOLE.get(rule.dtype) != 2**63 or not rule.required or _has_range(rule):
        return None
    if not (
        pa.types.is_integer(array.type) or (text and pc.all(pc.match_substring_regex(array, WHOLE_NUMBER)).as_py())
    ):
        return None
    try:
        whole = pc.cast(array, pa.int64())
    except pa.ArrowInvalid:
        return None
    there = _mask(pc.is_valid(whole))
    return Column(whole, there, np.zeros(len(array), dtype=bool))


def _has_range(rule: ColumnSchema) -> bool:
    return any(end is not None for end in (rule.minimum, rule.maximum, rule.lowest, rule.highest))


def _allowed_to_miss(nothing: Mask, rule: ColumnSchema, *, blank: bool, array: Arrow) -> Mask:
    """Which cells are surely missing and may be."""
    if rule.required:
        return np.zeros(len(nothing), dtype=bool)
    return nothing & (_mask(pc.equal(array, "").fill_null(True)) if blank else True)


def _parsed(array: Arrow) -> Arrow:
    """Text as numbers, null where it surely is none or may be none."""
    try:
        return pc.cast(array, pa.float64())
    except pa.ArrowInvalid:
        looks = pc.match_substring_regex(array, NUMBER)
        return pc.cast(pc.if_else(looks, pc.ascii_trim_whitespace(array), None), pa.float64())


def _as_floats(array: Arrow) -> Arrow:
    """None for a type whose values are no plain numbers."""
    kind = array.type
    if pa.types.is_float32(kind) or pa.types.is_float64(kind) or pa.types.is_integer(kind):
        return pc.cast(array, pa.float64(), safe=False)
    return None


def _outside(values: Mask, rule: ColumnSchema) -> Mask:
    """As rows.check_row warns: not between, and not as good as on one of the ends."""
    if rule.lowest is None or rule.highest is None:
        return np.zeros(len(values), dtype=bool)
    with np.errstate(invalid="ignore", over="ignore"):
        found = ~((values >= rule.lowest) & (values <= rule.highest))
        for end in (rule.lowest, rule.highest):
            apart = np.abs(values - end)
            found &= ~((apart <= CLOSE * np.abs(values)) | (apart <= abs(CLOSE * end)))
    return found


def _booleans(array: Arrow, rule: ColumnSchema, *, text: bool, from_text: bool) -> Column:
    count = len(array)
    if text and from_text:
        true, false = (_mask(pc.is_in(array, value_set=pa.array(words))) for words in (TRUE, FALSE))
        sure = true | false
    elif pa.types.is_boolean(array.type):
        true, sure = _mask(array), _mask(pc.is_valid(array))
    else:
        return _nothing_sure(rule, count)
    nothing = _mask(pc.equal(array, "")) | ~_mask(pc.is_valid(array)) if text else ~sure
    missing = nothing & (not rule.required)
    return Column(pa.array(true, mask=~sure), sure | missing, np.zeros(count, dtype=bool))


def _moments(array: Arrow, rule: ColumnSchema, *, text: bool, from_text: bool) -> Column:  # noqa: ARG001 (text is text)
    """Times with a zone are kept by Arrow as what they are in UTC."""
    if not (text or pa.types.is_temporal(array.type)) or pa.types.is_time(array.type):
        return _nothing_sure(rule, len(array))
    plain = pc.if_else(pc.match_substring_regex(array, MOMENT), array, None) if text else array
    try:
        values = pc.cast(plain, TYPES["datetime"])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _nothing_sure(rule, len(array))
    sure, nothing = _mask(pc.is_valid(values)), ~_mask(pc.is_valid(array))
    missing = _allowed_to_miss(_mask(pc.is_null(values)) if text else nothing, rule, blank=text, array=array)
    return Column(values, sure | missing, np.zeros(len(array), dtype=bool))


def _texts(array: Arrow, rule: ColumnSchema, *, text: bool, from_text: bool) -> Column:
    if not text:
        return _nothing_sure(rule, len(array))
    nothing = _mask(pc.equal(array, "").fill_null(True))
    if rule.kind == "category":
        known = pa.array([each for each in rule.categories if each.strip()], type=pa.string())
        sure = _mask(pc.is_in(array, value_set=known))
    else:
        sure = ~nothing & _mask(pc.less_equal(pc.utf8_length(array), MOST_TEXT))
        if from_text:
            sure &= _mask(pc.match_substring_regex(array, VISIBLE))
    odd = sure & _unseen(array, rule)
    values = array if sure.all() else pc.if_else(pa.array(sure), array, None)
    return Column(values, sure | (nothing & (not rule.required)), odd)


def _unseen(array: Arrow, rule: ColumnSchema) -> Mask:
    if not rule.unseen:
        return np.zeros(len(array), dtype=bool)
    return _mask(pc.is_in(array, value_set=pa.array(rule.unseen, type=pa.string())))


def _anything(array: Arrow, rule: ColumnSchema, *, text: bool, from_text: bool) -> Column:
    """Of text it is decided for all rows at once whether it is numbers; a mixture is nothing sure."""
    if not text:
        kind = _booleans if pa.types.is_boolean(array.type) else _numbers
        return kind(array, rule, text=False, from_text=from_text)
    if not from_text:
        return _texts(array, rule, text=True, from_text=False)
    if not pc.any(pc.match_substring_regex(array, NO_WORD)).as_py():
        return _texts(array, rule, text=True, from_text=True)
    found = _numbers(array, rule, text=True, from_text=True)
    return found if found.sure.all() else _nothing_sure(rule, len(array))


def _unfit(array: Arrow, rule: ColumnSchema, *, text: bool, from_text: bool) -> Column:  # noqa: ARG001
    return _nothing_sure(rule, len(array))


CHECKS: Mapping[Kind, Callable[..., Column]] = {
    "number": _numbers,
    "integer": _numbers,
    "category": _texts,
    "text": _texts,
    "boolean": _booleans,
    "datetime": _moments,
    "any": _anything,
    "unfit": _unfit,
}


def _floats(array: Arrow) -> Mask:
    """NaN for null."""
    return np.asarray(pc.fill_null(array, math.nan).to_numpy(zero_copy_only=False))


def _mask(array: Arrow) -> Mask:
    """False for null."""
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False))


PLAIN_TYPES: tuple[set[type], ...] = ({int, float}, {str}, {bool})  # Arrow would take True for 1.0 beside numbers
JSON = "json"  # instead of a dtype: each cell is JSON text


@dataclass(frozen=True)
class Input:
    """Rows by column as they came; None for a column that Arrow has no one type for. row: the cells of one row.

    whole: which rows have the columns of the schema that must be there and no other ones, None for all.
    """

    arrays: Mapping[str, Arrow]
    count: int
    row: Callable[[int], Mapping[str, object]]
    whole: Mask | None = None

    @classmethod
    def of_table(cls, table: Arrow, schema: InputSchema) -> "Input":
        """A table or record batch that has every column of the schema that must be there; others are left out."""
        there = set(table.schema.names)
        arrays = {
            name: _flat(table.column(name)) if name in there else pa.nulls(table.num_rows) for name in schema.names
        }
        return cls(
            arrays, table.num_rows, lambda position: {name: cell_of(each, position) for name, each in arrays.items()}
        )

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, object]], schema: InputSchema) -> "Input":
        """Rows as JSON has them."""
        names, required = set(schema.names), set(schema.required)
        arrays = {name: _of_values([row.get(name) for row in rows]) for name in schema.names}
        fits = (required <= row.keys() <= names and not isinstance(row, Repeated) for row in rows)
        whole = np.fromiter(fits, dtype=bool, count=len(rows))
        return cls(arrays, len(rows), rows.__getitem__, whole)


@dataclass(frozen=True)
class CheckedColumns:
    """The verdict on rows. usable: which can be used. odd: which of those a warning goes with.

    values: a record batch of the usable rows, in the schema's order. dtypes: what pandas is to make of its columns,
    empty where that is left to it. problems: by position, of the rows that cannot be used. numbers: see check_many.
    """

    schema: InputSchema
    usable: Mask
    odd: Mask
    values: Arrow
    dtypes: tuple[str, ...]
    problems: Mapping[int, tuple[Problem, ...]]
    check: Callable[[int], CheckedRow]
    numbers: Sequence[int] | Mask | None = None

    def warnings(self, position: int) -> tuple[Problem, ...]:
        return self.check(position).warnings if self.odd[position] else ()


def check_many(
    given: Input, schema: InputSchema, *, from_text: bool = False, numbers: Sequence[int] | Mask | None = None
) -> CheckedColumns:
    """As rows.check_row of each row. numbers: how the sentences call the rows; without them they name none."""

    def check(position: int) -> CheckedRow:
        number = None if numbers is None else int(numbers[position])
        return check_row(given.row(position), schema, from_text=from_text, row=number)

    columns = [check_column(given.arrays[rule.name], rule, given.count, from_text=from_text) for rule in schema.columns]
    sure = np.ones(given.count, dtype=bool) if given.whole is None else given.whole.copy()
    odd = np.zeros(given.count, dtype=bool)
    for column in columns:
        sure &= column.sure
        odd |= column.odd
    looked_at = {int(position): check(int(position)) for position in np.flatnonzero(~sure)}
    problems = {position: row.problems for position, row in looked_at.items() if row.problems}
    fine = {position: row for position, row in looked_at.items() if not row.problems}
    for position, row in fine.items():
        odd[position] = bool(row.warnings)
    usable = sure.copy()
    usable[list(fine)] = True
    values = [_patched(column.values, fine, rule) for column, rule in zip(columns, schema.columns, strict=True)]
    if problems:
        values = [each.filter(pa.array(usable)) for each in values]
    dtypes = tuple(_dtype(rule, each) for rule, each in zip(schema.columns, values, strict=True))
    batch = pa.record_batch(values, names=list(schema.names))
    return CheckedColumns(schema, usable, odd & usable, batch, dtypes, problems, check, numbers)


def _dtype(rule: ColumnSchema, values: Arrow) -> str:
    if pa.types.is_binary(values.type):
        return JSON
    return nullable(rule.dtype) if values.null_count else rule.dtype


def _patched(values: Arrow, fine: Mapping[int, CheckedRow], rule: ColumnSchema) -> Arrow:
    """With the values that check_row has read put in their places."""
    if not fine:
        return values
    read = [row.values[rule.name] for row in fine.values()]
    if rule.kind == "any":
        return _of_mixed(values, list(fine), read)
    mask = np.zeros(len(values), dtype=bool)
    mask[list(fine)] = True
    return pc.replace_with_mask(values, pa.array(mask), _typed(read, values.type))


def _typed(read: Sequence[Value], kind: Arrow) -> Arrow:
    """Arrow makes times of text only by a cast."""
    return pa.array(read, type=pa.string()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(read, type=kind)


def _of_mixed(values: Arrow, positions: Sequence[int], read: Sequence[Value]) -> Arrow:
    """A column about which nothing is known may hold numbers beside words: those travel as JSON, cell by cell."""
    cells = values.to_pylist()
    for position, value in zip(positions, read, strict=True):
        cells[position] = value
    same = _of_values(cells)
    if same is not None:
        return same
    return pa.array([json.dumps(cell).encode() for cell in cells], type=pa.binary())


def _of_values(values: Sequence[object]) -> Arrow:
    """None for values of several types, or of one that Arrow does not have."""
    kinds = {type(value) for value in values} - {type(None)}
    if not any(kinds <= plain for plain in PLAIN_TYPES):
        return None
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None


def _flat(column: Arrow) -> Arrow:
    """One array without a dictionary (pandas' categories), text of every kind as one kind of text."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = pc.cast(array, array.type.value_type)
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.cast(array, pa.string())
    return array
