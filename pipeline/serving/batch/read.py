"""Files of rows, text or Parquet, read a piece at a time; what pandas would let pass or shift in silence is refused."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import first_line
from pipeline.serving.batch.chunks import CHUNK_BYTES, Chunk, Position, RowsFile
from pipeline.serving.batch.read_csv import CsvFile, Unpacked

# Parquet read a chunk at a time; row groups are streamed, whatever their size.

BUFFER_BYTES = 2**20
BROKEN = (pa.ArrowException, OSError, ValueError)


class ParquetFile:
    """Values have the types of the file; null is a missing one. A chunk never spans two row groups."""

    from_text, separator = False, ""

    def __init__(self, stream: IO[bytes], *, name: str) -> None:
        self._name, self._read = name, 0
        try:
            self._file = pq.ParquetFile(stream, buffer_size=BUFFER_BYTES, pre_buffer=False)
            self.arrow_schema = self._file.schema_arrow
        except BROKEN as error:
            raise InvalidInput(f"{self._name}: is not a Parquet file that can be read ({first_line(error)})") from error
        self.header = tuple(self.arrow_schema.names)

    @property
    def position(self) -> Position:
        return Position(self._read, self._read)

    def go_to(self, position: Position) -> None:
        self._read = position.at

    def share_read(self) -> float:
        return float(self._read / max(1, self._file.metadata.num_rows))

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """The rows in chunks of at most `rows`. Raises InvalidInput where the rest cannot be read."""
        try:
            first = 0
            for group in range(self._file.metadata.num_row_groups):
                about = self._file.metadata.row_group(group)
                if first + about.num_rows > self._read:
                    fit = int(about.num_rows * CHUNK_BYTES / max(1, about.total_byte_size))
                    yield from self._group(group, first, min(rows, max(1, fit)))
                first += about.num_rows
        except BROKEN as error:
            text = f"cannot be read after row {self._read} ({first_line(error)})"
            raise InvalidInput(f"{self._name}: {text}") from error

    def _group(self, group: int, first: int, rows: int) -> Iterator[Chunk]:
        """The rest of a row group; its pieces always begin at the same rows."""
        for batch in self._file.iter_batches(batch_size=rows, row_groups=[group], use_threads=False):
            after = first + batch.num_rows
            if after > self._read:
                batch.validate(full=True)
                self._read = after
                yield Chunk(batch, np.arange(first + 1, after + 1), (), self.position)
            first = after


TEXT = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}  # and what separates their columns
PARQUET, GZIP = ".parquet", ".gz"
KINDS = (*TEXT, PARQUET)
MOST_COLUMNS = 200
MOST_SHOWN = 80


def kind_of(name: str) -> str:
    """The ending of a file's name, one of KINDS. Raises InvalidInput for another one."""
    folded = name.casefold()
    kind = next((each for each in KINDS if folded.endswith(each)), "")
    if not kind:
        more = (
            "; save an Excel workbook as CSV in UTF-8" if folded.endswith((".xls", ".xlsx", ".xlsm", ".xlsb")) else ""
        )
        raise InvalidInput(f"{short(name)}: must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}{more}")
    return kind


def open_table(stream: IO[bytes], *, name: str, size: int | None, most_unpacked: int | None = None) -> RowsFile:
    """Opens a file, with its header read and checked. `name` tells the kind by its ending; Parquet must be seekable.

    size: in bytes, None where nobody knows. most_unpacked: refuse a compressed file that holds more.
    Raises InvalidInput with one sentence.
    """
    kind, shown = kind_of(name), short(name)
    if size == 0:
        raise InvalidInput(f"{shown}: is empty")
    table: RowsFile
    if kind == PARQUET:
        table = ParquetFile(stream, name=shown)
    else:
        text = Unpacked(stream, name=shown, most=most_unpacked) if kind.endswith(GZIP) else stream
        table = CsvFile(text, name=shown, size=size, separator=TEXT[kind])
    _check_header(table.header, shown)
    return table


def without_name(column: str) -> bool:
    """Whether a column has no name: an index that pandas wrote, or what follows a comma at a line's end."""
    return not column.strip()


def _check_header(header: Sequence[str], shown: str) -> None:
    if not header:
        raise InvalidInput(f"{shown}: is empty")
    if len(header) > MOST_COLUMNS:
        raise InvalidInput(f"{shown}: has {len(header):,} columns; at most {MOST_COLUMNS} are read")
    if all(map(without_name, header)):
        raise InvalidInput(f"{shown}: no column of the header has a name")
    if twice := [each for each, count in Counter(header).items() if count > 1 and not without_name(each)]:
        raise InvalidInput(f"{shown}: the header names the column {short(twice[0])} more than once")


def short(text: str) -> str:
    return first_line(text, most=MOST_SHOWN)
