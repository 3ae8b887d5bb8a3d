"""Where scored rows go: CSV that a spreadsheet can open safely, or Arrow on its way to Parquet with types.

What is written for some rows never depends on which other rows came with them.
"""

import csv
import io
import re
from collections.abc import Sequence
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.serving.batch.read import without_name
from pipeline.validation.columns import TYPES, Arrow, cell_of
from pipeline.validation.schema import InputSchema

# What a spreadsheet takes for a formula, also in its full-width form.
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
# First bytes of texts that may be one; those that are left over by this pattern are none.
MAYBE = np.zeros(256, dtype=bool)
MAYBE[[*range(33), *b"=+-@\x7f", *range(128, 256)]] = True
MAYBE_FORMULA = "^[\\pZ\\pC]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]"
QUOTED = '"\n\r'  # and the separator
GROUP_ROWS = 2**16


def neutral(cell: object) -> object:
    """Text that a spreadsheet would run is prefixed with an apostrophe; numbers, also written as text, are not."""
    if isinstance(cell, str) and FORMULA.match(cell) and not PLAIN_NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


class Writable(Protocol):
    """Where bytes go."""

    def write(self, data: bytes | memoryview, /) -> int: ...


class Writer(Protocol):
    """A file of rows that is being written. typed: it wants values, not the text that a CSV file had."""

    typed: bool

    def begin(self) -> None:
        """The header; left out where writing goes on in the middle of a file."""

    def write(self, rows: Arrow, lines: Arrow = None) -> None:
        """More rows, in the columns of the header. lines: see chunks.Chunk, for the first of these columns."""


class CsvWriter:
    """UTF-8, one header line; formulas in text are neutralised.

    input_columns: how many of the header are in the lines that `write` gets; 0 where those are not to be used.
    """

    typed = False

    def __init__(
        self, stream: Writable, header: Sequence[str], *, input_columns: int = 0, separator: str = ","
    ) -> None:
        self._stream, self._header, self._input_columns, self._separator = stream, header, input_columns, separator

    def begin(self) -> None:
        self.write_cells([self._header])

    def write(self, rows: Arrow, lines: Arrow = None) -> None:
        if not rows.num_rows:
            return
        there = 0 if lines is None else self._input_columns
        columns = [_csv_text(column, self._separator) for column in rows.columns[there:]]
        text = pc.binary_join_element_wise(*columns, self._separator) if len(columns) > 1 else columns[0]
        self._stream.write(_bytes_of(pc.binary_join_element_wise(lines if there else "", text, "\n", "")))

    def write_cells(self, rows: Sequence[Sequence[Any]]) -> None:
        """The same for a few rows of any values."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self._separator, lineterminator="\n")
        writer.writerows([neutral(cell) for cell in row] for row in rows)
        self._stream.write(text.getvalue().encode())


class ArrowWriter:
    """An Arrow stream that lacks its end, so that it can be cut after any batch and gone on with; see to_parquet."""

    typed = True

    def __init__(self, stream: Writable, schema: Arrow) -> None:
        self._stream, self._schema = stream, schema

    def begin(self) -> None:
        self._stream.write(self._schema.serialize())

    def write(self, rows: Arrow, lines: Arrow = None) -> None:  # noqa: ARG002 (for text only)
        if rows.num_rows:
            batch = pa.record_batch([_as(*pair) for pair in zip(rows.columns, self._schema, strict=True)], self._schema)
            self._stream.write(batch.serialize())


def output_schema(header: Sequence[str], added: Arrow, *, schema: InputSchema, arrow: Arrow) -> Arrow:
    """The Arrow schema of the output: the columns of the input file, then those of the predictions.

    Columns of a Parquet input keep the types of its Arrow schema; those of a CSV input, which has none (`arrow` is
    None), get them from the version's schema, and where they have no name, one by their position.
    """
    if arrow is not None:
        return pa.schema([*arrow, *added])
    columns = [schema.column(name) for name in header]
    types = [TYPES.get(column.kind, pa.string()) if column else pa.string() for column in columns]
    names = [f"column_{number}" if without_name(name) else name for number, name in enumerate(header, start=1)]
    return pa.schema([*zip(names, types, strict=True), *added])


def to_parquet(stream: IO[bytes], target: IO[bytes]) -> None:
    """From what an ArrowWriter wrote. Row groups have the same rows whatever the batches had."""
    with pa.ipc.open_stream(stream) as reader, pq.ParquetWriter(target, reader.schema) as writer:
        held: list[Arrow] = []
        for batch in reader:
            held.append(batch)
            while sum(each.num_rows for each in held) >= GROUP_ROWS:
                table = pa.Table.from_batches(held)
                writer.write_table(table.slice(0, GROUP_ROWS).combine_chunks())
                held = table.slice(GROUP_ROWS).to_batches()
        if held:
            writer.write_table(pa.Table.from_batches(held).combine_chunks())


def _as(column: Arrow, field: Arrow) -> Arrow:
    """In the type of its field; a column that is null throughout has none."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array if array.type == field.type else array.cast(field.type)


def _bytes_of(texts: Arrow) -> memoryview:
    """All of them, one after the other, as they lie in memory."""
    data, offsets = _data_of(texts)
    return memoryview(data)[offsets[0] : offsets[-1]]


def _csv_text(column: Arrow, separator: str) -> Arrow:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _filled(pc.cast(array, pa.string()))
    if not pa.types.is_string(kind):
        cells = (cell_of(array, position) for position in range(len(array)))
        array = pa.array(["" if cell is None else str(cell) for cell in cells], type=pa.string())
    return _quoted(_neutral(_filled(array)), QUOTED + separator)


def _filled(texts: Arrow) -> Arrow:
    return pc.fill_null(texts, "") if texts.null_count else texts


def _neutral(texts: Arrow) -> Arrow:
    """Only texts that begin as a formula may are looked at one by one."""
    data, offsets = _data_of(texts)
    filled = np.flatnonzero(offsets[1:] > offsets[:-1])
    maybe = filled[MAYBE[data[offsets[filled]]]]
    if not len(maybe):
        return texts
    some = texts.take(pa.array(maybe))
    found = np.asarray(pc.match_substring_regex(some, MAYBE_FORMULA).to_numpy(zero_copy_only=False))
    if not found.any():
        return texts
    cells = texts.take(pa.array(maybe[found])).to_pylist()
    mask = np.zeros(len(texts), dtype=bool)
    mask[maybe[found]] = True
    return pc.replace_with_mask(texts, pa.array(mask), pa.array([neutral(cell) for cell in cells], type=pa.string()))


def _quoted(texts: Arrow, special: str) -> Arrow:
    data = bytes(_bytes_of(texts))
    if not any(each.encode() in data for each in special):
        return texts
    whole = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(texts, f"[{special}]"), whole, texts)


def _data_of(texts: Arrow) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of all, and where in them each begins."""
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    data = texts.buffers()[2]
    return np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(0, np.uint8), offsets
