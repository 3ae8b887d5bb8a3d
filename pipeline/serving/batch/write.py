"""Where scored rows go: CSV that a spreadsheet can open safely, or Arrow on its way to Parquet with types.

What is written for some rows never depends on which other rows came with them.
"""

import csv
import io
from collections.abc import Sequence
from typing import IO, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.serving.batch.formulas import neutral, neutral_texts, text_buffers
from pipeline.serving.batch.read import without_name
from pipeline.validation.columns import TYPES, Arrow, value_at
from pipeline.validation.schema import InputSchema

QUOTED = '"\n\r'  # and the separator
GROUP_ROWS = 2**16


class Writable(Protocol):
    """A stream that takes bytes."""

    def write(self, data: bytes | memoryview, /) -> int: ...


class Writer(Protocol):
    """A file of rows that is being written."""

    typed: bool  # it wants values of the columns' types, not the text that a CSV file had

    def begin(self) -> None:
        """Writes the header; left out where writing goes on in the middle of a file."""

    def write(self, rows: Arrow, lines: Arrow = None) -> None:
        """Writes more rows, in the columns of the header. lines: see chunks.Chunk, for the first of these columns."""


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
        self.write_values([self._header])

    def write(self, rows: Arrow, lines: Arrow = None) -> None:
        if not rows.num_rows:
            return
        there = 0 if lines is None else self._input_columns
        columns = [_csv_text(column, self._separator) for column in rows.columns[there:]]
        text = pc.binary_join_element_wise(*columns, self._separator) if len(columns) > 1 else columns[0]
        self._stream.write(_bytes_of(pc.binary_join_element_wise(lines if there else "", text, "\n", "")))

    def write_values(self, rows: Sequence[Sequence[Any]]) -> None:
        """Writes a few rows of any values."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=self._separator, lineterminator="\n")
        writer.writerows([neutral(value) for value in row] for row in rows)
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
    """Writes a Parquet file from an ArrowWriter's stream: row groups of the same rows whatever the batches had."""
    with pa.ipc.open_stream(stream) as reader, pq.ParquetWriter(target, reader.schema) as writer:
        batches: list[Arrow] = []  # not written yet
        for batch in reader:
            batches.append(batch)
            while sum(each.num_rows for each in batches) >= GROUP_ROWS:
                table = pa.Table.from_batches(batches)
                writer.write_table(table.slice(0, GROUP_ROWS).combine_chunks())
                batches = table.slice(GROUP_ROWS).to_batches()
        if batches:
            writer.write_table(pa.Table.from_batches(batches).combine_chunks())


def _as(column: Arrow, field: Arrow) -> Arrow:
    """The column in the type of its field; a column that is null throughout has no type."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array if array.type == field.type else array.cast(field.type)


def _bytes_of(texts: Arrow) -> memoryview:
    """The bytes of all texts, one after the other, as they lie in memory."""
    data, offsets = text_buffers(texts)
    return memoryview(data)[offsets[0] : offsets[-1]]


def _csv_text(column: Arrow, separator: str) -> Arrow:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = array.type
    if pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind):
        return _filled(pc.cast(array, pa.string()))
    if not pa.types.is_string(kind):
        values = (value_at(array, position) for position in range(len(array)))
        array = pa.array(["" if value is None else str(value) for value in values], type=pa.string())
    return _quoted(neutral_texts(_filled(array)), QUOTED + separator)


def _filled(texts: Arrow) -> Arrow:
    return pc.fill_null(texts, "") if texts.null_count else texts


def _quoted(texts: Arrow, special: str) -> Arrow:
    data = bytes(_bytes_of(texts))
    if not any(each.encode() in data for each in special):
        return texts
    whole = pc.binary_join_element_wise('"', pc.replace_substring(texts, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(texts, f"[{special}]"), whole, texts)
