"""Many rows checked at once, column by column, with the same verdict as one after the other.

Only what is surely fine is decided here, on whole columns. Every other row goes through rows.check_row, so that the
rules and their sentences stay in one place.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.validation.column_checks import Arrow, Mask, cell_of, check_column
from pipeline.validation.rows import CheckedRow, Problem, Repeated, Value, check_row, nullable
from pipeline.validation.schema import ColumnRule, Layout

PLAIN_TYPES: tuple[set[type], ...] = ({int, float}, {str}, {bool})  # Arrow would take True for 1.0 beside numbers
JSON = "json"  # instead of a dtype: each cell is JSON text


@dataclass(frozen=True)
class Given:
    """Rows by column as they came; None for a column that Arrow has no one type for. row: the cells of one row.

    whole: which rows have the columns of the layout that must be there and no other ones, None for all.
    """

    arrays: Mapping[str, Arrow]
    count: int
    row: Callable[[int], Mapping[str, object]]
    whole: Mask | None = None

    @classmethod
    def of_table(cls, table: Arrow, layout: Layout) -> "Given":
        """A table or record batch that has every column of the layout that must be there; others are left out."""
        there = set(table.schema.names)
        arrays = {
            name: _flat(table.column(name)) if name in there else pa.nulls(table.num_rows) for name in layout.names
        }
        return cls(
            arrays, table.num_rows, lambda position: {name: cell_of(each, position) for name, each in arrays.items()}
        )

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, object]], layout: Layout) -> "Given":
        """Rows as JSON has them."""
        names, required = set(layout.names), set(layout.required)
        arrays = {name: _of_values([row.get(name) for row in rows]) for name in layout.names}
        fits = (required <= row.keys() <= names and not isinstance(row, Repeated) for row in rows)
        whole = np.fromiter(fits, dtype=bool, count=len(rows))
        return cls(arrays, len(rows), rows.__getitem__, whole)


@dataclass(frozen=True)
class CheckedColumns:
    """The verdict on rows. usable: which can be used. odd: which of those a warning goes with.

    values: a record batch of the usable rows, in the layout's order. dtypes: what pandas is to make of its columns,
    empty where that is left to it. problems: by position, of the rows that cannot be used. numbers: see check_many.
    """

    layout: Layout
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
    given: Given, layout: Layout, *, from_text: bool = False, numbers: Sequence[int] | Mask | None = None
) -> CheckedColumns:
    """As rows.check_row of each row. numbers: how the sentences call the rows; without them they name none."""

    def check(position: int) -> CheckedRow:
        number = None if numbers is None else int(numbers[position])
        return check_row(given.row(position), layout, from_text=from_text, row=number)

    columns = [check_column(given.arrays[rule.name], rule, given.count, from_text=from_text) for rule in layout.columns]
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
    values = [_patched(column.values, fine, rule) for column, rule in zip(columns, layout.columns, strict=True)]
    if problems:
        values = [each.filter(pa.array(usable)) for each in values]
    dtypes = tuple(_dtype(rule, each) for rule, each in zip(layout.columns, values, strict=True))
    batch = pa.record_batch(values, names=list(layout.names))
    return CheckedColumns(layout, usable, odd & usable, batch, dtypes, problems, check, numbers)


def _dtype(rule: ColumnRule, values: Arrow) -> str:
    if pa.types.is_binary(values.type):
        return JSON
    return nullable(rule.dtype) if values.null_count else rule.dtype


def _patched(values: Arrow, fine: Mapping[int, CheckedRow], rule: ColumnRule) -> Arrow:
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
