"""Files of rows, CSV and Parquet, read a piece at a time; what pandas would let pass or shift in silence is refused."""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath
from typing import IO, Any, Protocol

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import visible

MOST_COLUMNS = 200
MOST_LINE_CHARACTERS = 2**20
MOST_SHOWN = 80
SEPARATORS = {";": "';'", "\t": "a tab", "|": "'|'"}
UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Line:
    """One row of a file. number: where it begins, the header of a CSV file being 1; of Parquet the row, from 1.

    problem: why its cells cannot be assigned to columns; empty where they can.
    """

    number: int
    cells: Sequence[Any]
    problem: str = ""


class Table(Protocol):
    """A file of rows. from_text: every cell is text, "" a missing one."""

    header: tuple[str, ...]
    from_text: bool

    def chunks(self, rows: int) -> Iterator[list[Line]]:
        """At most `rows` rows at a time. Raises InvalidInput where the rest cannot be read."""

    def share_read(self) -> float:
        """In [0, 1]."""


def open_table(stream: IO[bytes], *, name: str) -> Table:
    """The header is read and checked now. `stream` must be seekable; `name` only tells the kind by its ending.

    Raises InvalidInput with one sentence.
    """
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    kind = PurePath(name).suffix.casefold()
    if kind not in {".csv", ".parquet"}:
        raise InvalidInput(f"{_short(name)}: must end in .csv or .parquet")
    if size == 0:
        raise InvalidInput(f"{_short(name)}: is empty")
    table: Table = CsvTable(stream, name=name, size=size) if kind == ".csv" else ParquetTable(stream, name=name)
    _check_header(table.header, name)
    return table


class CsvTable:
    """Comma-separated, UTF-8 with or without a byte order mark, the first line naming the columns."""

    from_text = True

    def __init__(self, stream: IO[bytes], *, name: str, size: int) -> None:
        self._name, self._stream, self._size = _short(name), stream, size
        if stream.read(2) in UTF16:
            raise InvalidInput(f"{self._name}: is UTF-16; save it as UTF-8")
        stream.seek(0)
        self._text = io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")
        self._line = 0
        self._rows = csv.reader(self._lines(), strict=True)
        self.header = tuple(next(self._cells(), Line(1, ())).cells)
        self._check_separator()

    def chunks(self, rows: int) -> Iterator[list[Line]]:
        lines = self._cells()
        while chunk := list(islice(lines, rows)):
            yield [self._checked(line) for line in chunk]

    def share_read(self) -> float:
        return min(1.0, self._stream.tell() / self._size)

    def _lines(self) -> Iterator[str]:
        while line := self._read_line():
            self._line += 1
            if "\0" in line:
                raise InvalidInput(f"{self._name}: line {self._line} has a NUL character; it is no CSV file")
            if len(line) >= MOST_LINE_CHARACTERS:
                raise InvalidInput(f"{self._name}: line {self._line} has more than {MOST_LINE_CHARACTERS:,} characters")
            yield line

    def _read_line(self) -> str:
        try:
            return self._text.readline(MOST_LINE_CHARACTERS)
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{self._name}: is not UTF-8 after line {self._line}; save it as UTF-8") from error

    def _cells(self) -> Iterator[Line]:
        """Empty lines are left out."""
        while True:
            first = self._line + 1
            try:
                cells = next(self._rows)
            except StopIteration:
                return
            except csv.Error as error:
                text = f"a quote in the row that begins in line {first} is not closed, or closed too early"
                raise InvalidInput(f"{self._name}: {text} ({error})") from error
            if cells:
                yield Line(first, cells)

    def _checked(self, line: Line) -> Line:
        # Rows that are all one field too long would be moved by one column, with the first taken for row names.
        if len(line.cells) == len(self.header):
            return line
        return Line(line.number, line.cells, f"has {len(line.cells)} fields, the header has {len(self.header)}")

    def _check_separator(self) -> None:
        if len(self.header) == 1:
            for separator, shown in SEPARATORS.items():
                if separator in self.header[0]:
                    raise InvalidInput(f"{self._name}: looks like {shown} separates the columns; it must be a comma")


class ParquetTable:
    """Cells are Python values; null is a missing one."""

    from_text = False

    def __init__(self, stream: IO[bytes], *, name: str) -> None:
        import pyarrow as pa  # noqa: PLC0415 (slow to import, and CSV needs none of it)
        import pyarrow.parquet as pq  # noqa: PLC0415

        self._name, self._read = _short(name), 0
        self._broken = (pa.ArrowException, OSError, ValueError)
        try:
            self._file = pq.ParquetFile(stream)
            self.schema = self._file.schema_arrow
        except self._broken as error:
            raise InvalidInput(
                f"{self._name}: is not a Parquet file that can be read ({_short(str(error))})"
            ) from error
        self.header = tuple(self.schema.names)

    def chunks(self, rows: int) -> Iterator[list[Line]]:
        try:
            for batch in self._file.iter_batches(batch_size=rows):
                columns = [column.to_pylist() for column in batch.columns]
                first, cells = self._read + 1, zip(*columns, strict=True)
                self._read += batch.num_rows
                yield [Line(number, row) for number, row in enumerate(cells, start=first)]
        except self._broken as error:
            text = f"cannot be read after row {self._read} ({_short(str(error))})"
            raise InvalidInput(f"{self._name}: {text}") from error

    def share_read(self) -> float:
        return self._read / max(1, self._file.metadata.num_rows)


def _check_header(header: Sequence[str], name: str) -> None:
    shown = _short(name)
    if not header:
        raise InvalidInput(f"{shown}: is empty")
    if len(header) > MOST_COLUMNS:
        raise InvalidInput(f"{shown}: has {len(header):,} columns; at most {MOST_COLUMNS} are read")
    if "" in (unnamed := [each.strip() for each in header]):
        raise InvalidInput(f"{shown}: column {unnamed.index('') + 1} of the header has no name")
    if twice := [each for each, count in Counter(header).items() if count > 1]:
        raise InvalidInput(f"{shown}: the header names the column {_short(twice[0])} more than once")


def _short(text: str) -> str:
    return visible(text.strip().split("\n", maxsplit=1)[0], most=MOST_SHOWN)
