"""Where scored rows go: CSV that a spreadsheet can open safely, or Parquet with types."""

import csv
import io
import re
from collections.abc import Sequence
from typing import IO, Any, Protocol

from pipeline.serving.layout import Layout

Cells = Sequence[Any]
# What a spreadsheet takes for a formula, also in its full-width form.
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
PLAIN_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
ARROW_TYPES = {"number": "float64", "integer": "int64", "boolean": "bool_"}


def neutral(cell: object) -> object:
    """Text that a spreadsheet would run is prefixed with an apostrophe; numbers, also written as text, are not."""
    if isinstance(cell, str) and FORMULA.match(cell) and not PLAIN_NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


class Sink(Protocol):
    """A file of rows that is being written. typed: it wants values, not the text that a CSV file had."""

    typed: bool

    def write(self, rows: Sequence[Cells]) -> None:
        """More rows, in the order of the header."""

    def finish(self) -> None:
        """Nothing comes any more. The stream stays open."""


class CsvSink:
    """UTF-8, comma, one header line; formulas in text are neutralised."""

    typed = False

    def __init__(self, stream: IO[bytes], header: Sequence[str]) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text, lineterminator="\n")
        self.write([header])

    def write(self, rows: Sequence[Cells]) -> None:
        self._writer.writerows([neutral(cell) for cell in row] for row in rows)

    def finish(self) -> None:
        self._text.flush()
        self._text.detach()  # else it would close the stream, which is not its own


class ParquetSink:
    """Columns keep the types of a Parquet input; those of a CSV input get them from the layout.

    schema: of the input, None for a CSV file. Types of the added columns come from the first rows.
    """

    typed = True

    def __init__(self, stream: IO[bytes], header: Sequence[str], *, layout: Layout, schema: Any = None) -> None:  # noqa: ANN401 (pyarrow has no types)
        self._stream, self._header, self._layout, self._input = stream, header, layout, schema
        self._writer: Any = None

    def write(self, rows: Sequence[Cells]) -> None:
        import pyarrow as pa  # noqa: PLC0415 (CSV needs none of it)
        import pyarrow.parquet as pq  # noqa: PLC0415

        if not rows:
            return
        columns = [list(column) for column in zip(*rows, strict=True)]
        if self._writer is None:
            known = [self._type(pa, position) for position in range(len(columns))]
            types = [kind or pa.array(column).type for kind, column in zip(known, columns, strict=True)]
            self._writer = pq.ParquetWriter(self._stream, pa.schema(list(zip(self._header, types, strict=True))))
        schema = self._writer.schema
        arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _type(self, pa: Any, position: int) -> Any:  # noqa: ANN401
        """None for a column that was added."""
        name = self._header[position]
        if self._input is not None:
            return self._input.field(position).type if position < len(self._input) else None
        rule = self._layout.column(name)
        if name in {"prediction", "model_version", "model_digest"} or name.startswith("probability_"):
            return None
        return getattr(pa, ARROW_TYPES.get(rule.kind, "string") if rule else "string")()
