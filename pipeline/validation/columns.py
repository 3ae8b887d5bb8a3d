"""Many rows checked at once, column by column, with the same verdict as one after the other.

Only what is certainly valid is decided here, on whole columns. Every row with an undecided value goes through
rows.check_row, so that refusals and their sentences stay in one place.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.validation.ranges import CLOSE, EXACT, MOST_TEXT, WHOLE, accepted_range, training_range
from pipeline.validation.rows import CheckedRow, Problem, Repeated, Value, check_row, nullable
from pipeline.validation.schema import ColumnSchema, InputSchema, Kind
from pipeline.validation.values import DAY, NUMBER_PATTERN, TIME

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
NUMBER = rf"^\s*{NUMBER_PATTERN}\s*$"
WHOLE_NUMBER = r"^-?[0-9]+$"  # as Arrow reads it
# May be a number, a missing value or one of the words for no number: anything else is a word.
NO_WORD = r"^[\pZ\pC]*$|[0-9]|[nN][aA][nN]|[iI][nN][fF]"
VISIBLE = r"[^\pZ\pC]"
# Written as Arrow reads it, and in years that nanoseconds reach.
MOMENT = rf"^(1[7-9]|2[01])\d\d{DAY}({TIME})?$"


@dataclass(frozen=True)
class ColumnResult:
    """Result for one column of many rows."""

    values: Arrow  # parsed; null where undecided, and where a value is missing that may be
    valid: Mask  # where the value is certainly valid; the others are undecided
    out_of_range: Mask  # where a valid value lies outside the training data


def value_at(array: Arrow, position: int) -> Any:  # noqa: ANN401 (whatever the array holds)
    """The value as Python has it; one that Python lacks, such as a time in the year 33,658, as its type and number."""
    scalar = array[position]
    try:
        return scalar.as_py()
    except (ArithmeticError, ValueError):
        return f"{array.type} {getattr(scalar, 'value', '')}"


def check_column(array: Arrow, column: ColumnSchema, count: int, *, from_text: bool) -> ColumnResult:
    if array is None:
        return _undecided(column, count)
    if pa.types.is_null(array.type):
        found = _undecided(column, count)
        return found if column.required else replace(found, valid=~found.valid)
    text = pa.types.is_string(array.type)
    return CHECKS[column.kind](array, column, text=text, from_text=from_text)


def _undecided(column: ColumnSchema, count: int) -> ColumnResult:
    none = np.zeros(count, dtype=bool)
    return ColumnResult(pa.nulls(count, TYPES.get(column.kind, pa.null())), none, none)


def _numbers(array: Arrow, column: ColumnSchema, *, text: bool, from_text: bool) -> ColumnResult:
    """The result for numbers. What doubles may not tell apart stays undecided, but 64 bits that came for 64 bits."""
    if text:
        found = _parsed(array) if from_text else None
    else:
        found = _as_floats(array)
    if found is None:
        return _undecided(column, len(array))
    values = np.asarray(pc.fill_null(found, math.nan).to_numpy(zero_copy_only=False))
    nothing = _mask(pc.is_null(found))
    with np.errstate(invalid="ignore"):
        if (np.abs(values) >= EXACT).any() and (exact := _exactly(array, column, text=text)) is not None:
            return exact
        lowest, highest = accepted_range(column)
        valid = (np.abs(values) < EXACT) & (values >= lowest) & (values <= highest)
        if column.kind == "integer":
            valid &= np.floor(values) == values
    out_of_range = valid & _outside(values, column)
    filled = np.where(valid, values, 0.0)
    whole = filled.astype(np.int64) if column.kind == "integer" else filled
    return ColumnResult(
        pa.array(whole, mask=~valid), valid | _allowed_to_miss(nothing, column, blank=text, array=array), out_of_range
    )


def _exactly(array: Arrow, column: ColumnSchema, *, text: bool) -> ColumnResult | None:
    """The result for whole numbers such as identifiers, some of them beyond what doubles tell apart; else None.

    Ranges are compared as doubles, so a column with a range is not decided here.
    """
    has_range = any(end is not None for end in (column.minimum, column.maximum, column.lowest, column.highest))
    if column.kind != "integer" or WHOLE.get(column.dtype) != 2**63 or not column.required or has_range:
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
    return ColumnResult(whole, there, np.zeros(len(array), dtype=bool))


def _allowed_to_miss(nothing: Mask, column: ColumnSchema, *, blank: bool, array: Arrow) -> Mask:
    """A mask of the values that are certainly missing, where they may be."""
    if column.required:
        return np.zeros(len(nothing), dtype=bool)
    return nothing & (_mask(pc.equal(array, "").fill_null(True)) if blank else True)


def _parsed(array: Arrow) -> Arrow:
    """The text parsed as numbers; null where it is none, or may be none."""
    try:
        return pc.cast(array, pa.float64())
    except pa.ArrowInvalid:
        looks = pc.match_substring_regex(array, NUMBER)
        return pc.cast(pc.if_else(looks, pc.ascii_trim_whitespace(array), None), pa.float64())


def _as_floats(array: Arrow) -> Arrow:
    """The numbers as doubles; None for a type whose values are no plain numbers."""
    kind = array.type
    if pa.types.is_float32(kind) or pa.types.is_float64(kind) or pa.types.is_integer(kind):
        return pc.cast(array, pa.float64(), safe=False)
    return None


def _outside(values: Mask, column: ColumnSchema) -> Mask:
    """Which numbers lie outside the training range, as ranges.is_outside decides it."""
    ends = training_range(column)
    if ends is None:
        return np.zeros(len(values), dtype=bool)
    lowest, highest = ends
    with np.errstate(invalid="ignore", over="ignore"):
        found = ~((values >= lowest) & (values <= highest))
        for end in ends:
            apart = np.abs(values - end)
            found &= ~((apart <= CLOSE * np.abs(values)) | (apart <= abs(CLOSE * end)))
    return found


def _booleans(array: Arrow, column: ColumnSchema, *, text: bool, from_text: bool) -> ColumnResult:
    count = len(array)
    if text and from_text:
        true, false = (_mask(pc.is_in(array, value_set=pa.array(words))) for words in (TRUE, FALSE))
        valid = true | false
    elif pa.types.is_boolean(array.type):
        true, valid = _mask(array), _mask(pc.is_valid(array))
    else:
        return _undecided(column, count)
    nothing = _mask(pc.equal(array, "")) | ~_mask(pc.is_valid(array)) if text else ~valid
    missing = nothing & (not column.required)
    return ColumnResult(pa.array(true, mask=~valid), valid | missing, np.zeros(count, dtype=bool))


def _moments(array: Arrow, column: ColumnSchema, *, text: bool, from_text: bool) -> ColumnResult:  # noqa: ARG001 (text is text)
    """The result for dates and times. Arrow keeps those with a zone as what they are in UTC."""
    if not (text or pa.types.is_temporal(array.type)) or pa.types.is_time(array.type):
        return _undecided(column, len(array))
    plain = pc.if_else(pc.match_substring_regex(array, MOMENT), array, None) if text else array
    try:
        values = pc.cast(plain, TYPES["datetime"])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _undecided(column, len(array))
    valid, nothing = _mask(pc.is_valid(values)), ~_mask(pc.is_valid(array))
    missing = _allowed_to_miss(_mask(pc.is_null(values)) if text else nothing, column, blank=text, array=array)
    return ColumnResult(values, valid | missing, np.zeros(len(array), dtype=bool))


def _texts(array: Arrow, column: ColumnSchema, *, text: bool, from_text: bool) -> ColumnResult:
    if not text:
        return _undecided(column, len(array))
    nothing = _mask(pc.equal(array, "").fill_null(True))
    if column.kind == "category":
        known = pa.array([each for each in column.categories if each.strip()], type=pa.string())
        valid = _mask(pc.is_in(array, value_set=known))
    else:
        valid = ~nothing & _mask(pc.less_equal(pc.utf8_length(array), MOST_TEXT))
        if from_text:
            valid &= _mask(pc.match_substring_regex(array, VISIBLE))
    out_of_range = valid & _unseen(array, column)
    values = array if valid.all() else pc.if_else(pa.array(valid), array, None)
    return ColumnResult(values, valid | (nothing & (not column.required)), out_of_range)


def _unseen(array: Arrow, column: ColumnSchema) -> Mask:
    if not column.unseen:
        return np.zeros(len(array), dtype=bool)
    return _mask(pc.is_in(array, value_set=pa.array(column.unseen, type=pa.string())))


def _anything(array: Arrow, column: ColumnSchema, *, text: bool, from_text: bool) -> ColumnResult:
    """The result where nothing is known of the column: its text is all numbers or none is; a mixture is undecided."""
    if not text:
        kind = _booleans if pa.types.is_boolean(array.type) else _numbers
        return kind(array, column, text=False, from_text=from_text)
    if not from_text:
        return _texts(array, column, text=True, from_text=False)
    if not pc.any(pc.match_substring_regex(array, NO_WORD)).as_py():
        return _texts(array, column, text=True, from_text=True)
    found = _numbers(array, column, text=True, from_text=True)
    return found if found.valid.all() else _undecided(column, len(array))


CHECKS: Mapping[Kind, Callable[..., ColumnResult]] = {
    "number": _numbers,
    "integer": _numbers,
    "category": _texts,
    "text": _texts,
    "boolean": _booleans,
    "datetime": _moments,
    "any": _anything,
    "unfit": lambda array, column, **_: _undecided(column, len(array)),
}


def _mask(array: Arrow) -> Mask:
    """The booleans as a NumPy mask, False for null."""
    return np.asarray(pc.fill_null(array, False).to_numpy(zero_copy_only=False))


PLAIN_TYPES: tuple[set[type], ...] = ({int, float}, {str}, {bool})  # Arrow would take True for 1.0 beside numbers
JSON = "json"  # instead of a dtype: each value is JSON text


@dataclass(frozen=True)
class Input:
    """Rows by column as they came, not checked yet."""

    arrays: Mapping[str, Arrow]  # None for a column that Arrow has no one type for
    count: int  # rows
    row: Callable[[int], Mapping[str, object]]  # the values of one row, by its position
    whole: Mask | None = None  # which rows have all required columns and no unknown ones; None: all have

    @classmethod
    def of_table(cls, table: Arrow, schema: InputSchema) -> "Input":
        """The rows of a table or record batch that has every required column; columns that are no input are dropped."""
        there = set(table.schema.names)
        arrays = {
            name: _flat(table.column(name)) if name in there else pa.nulls(table.num_rows) for name in schema.names
        }
        return cls(
            arrays, table.num_rows, lambda position: {name: value_at(each, position) for name, each in arrays.items()}
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
    """The verdict on many rows."""

    schema: InputSchema  # the columns that were checked against
    usable: Mask  # which rows can be used
    out_of_range: Mask  # which of those hold a value outside the training data
    values: Arrow  # a record batch of the usable rows, in the schema's order
    dtypes: tuple[str, ...]  # what pandas is to make of its columns, empty where that is left to pandas
    problems: Mapping[int, tuple[Problem, ...]]  # of the rows that cannot be used, by position
    check: Callable[[int], CheckedRow]  # the verdict on one row alone, by position
    numbers: Sequence[int] | Mask | None = None  # see check_many

    def warnings(self, position: int) -> tuple[Problem, ...]:
        return self.check(position).warnings if self.out_of_range[position] else ()


def check_many(
    given: Input, schema: InputSchema, *, from_text: bool = False, numbers: Sequence[int] | Mask | None = None
) -> CheckedColumns:
    """The same verdict as rows.check_row of each row. numbers: how the sentences call the rows; None names none."""

    def check(position: int) -> CheckedRow:
        number = None if numbers is None else int(numbers[position])
        return check_row(given.row(position), schema, from_text=from_text, row=number)

    results = [
        check_column(given.arrays[column.name], column, given.count, from_text=from_text) for column in schema.columns
    ]
    valid = np.ones(given.count, dtype=bool) if given.whole is None else given.whole.copy()
    out_of_range = np.zeros(given.count, dtype=bool)
    for result in results:
        valid &= result.valid
        out_of_range |= result.out_of_range
    undecided = {int(position): check(int(position)) for position in np.flatnonzero(~valid)}
    problems = {position: row.problems for position, row in undecided.items() if row.problems}
    fine = {position: row for position, row in undecided.items() if not row.problems}
    for position, row in fine.items():
        out_of_range[position] = bool(row.warnings)
    usable = valid.copy()
    usable[list(fine)] = True
    values = [_patched(result.values, fine, column) for result, column in zip(results, schema.columns, strict=True)]
    if problems:
        values = [each.filter(pa.array(usable)) for each in values]
    dtypes = tuple(_dtype(column, each) for column, each in zip(schema.columns, values, strict=True))
    batch = pa.record_batch(values, names=list(schema.names))
    return CheckedColumns(schema, usable, out_of_range & usable, batch, dtypes, problems, check, numbers)


def _dtype(column: ColumnSchema, values: Arrow) -> str:
    if pa.types.is_binary(values.type):
        return JSON
    return nullable(column.dtype) if values.null_count else column.dtype


def _patched(values: Arrow, fine: Mapping[int, CheckedRow], column: ColumnSchema) -> Arrow:
    """The column with the values that check_row has parsed put in their places."""
    if not fine:
        return values
    read = [row.values[column.name] for row in fine.values()]
    if column.kind == "any":
        return _of_mixed(values, list(fine), read)
    mask = np.zeros(len(values), dtype=bool)
    mask[list(fine)] = True
    kind = values.type  # Arrow makes times of text only by a cast
    typed = pa.array(read, type=pa.string()).cast(kind) if pa.types.is_timestamp(kind) else pa.array(read, type=kind)
    return pc.replace_with_mask(values, pa.array(mask), typed)


def _of_mixed(values: Arrow, positions: Sequence[int], read: Sequence[Value]) -> Arrow:
    """A column about which nothing is known may mix numbers and words: each value travels as JSON."""
    mixed = values.to_pylist()
    for position, value in zip(positions, read, strict=True):
        mixed[position] = value
    same = _of_values(mixed)
    if same is not None:
        return same
    return pa.array([json.dumps(value).encode() for value in mixed], type=pa.binary())


def _of_values(values: Sequence[object]) -> Arrow:
    """The values as an Arrow array; None for values of several types, or of a type that Arrow lacks."""
    kinds = {type(value) for value in values} - {type(None)}
    if not any(kinds <= plain for plain in PLAIN_TYPES):
        return None
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeError):
        return None


def _flat(column: Arrow) -> Arrow:
    """The column as one array without a dictionary (pandas' categories), every kind of text as one kind."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if pa.types.is_dictionary(array.type):
        array = pc.cast(array, array.type.value_type)
    kind = array.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pc.cast(array, pa.string())
    return array
