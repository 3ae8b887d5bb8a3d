"""Files of rows, text or Parquet, read a piece at a time; what pandas would let pass or shift in silence is refused."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import IO, Protocol

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import visible
from pipeline.serving.batch.chunks import Chunk, Position
from pipeline.serving.batch.parquet_file import ParquetFile
from pipeline.serving.batch.read_ahead import Unpacked
from pipeline.serving.batch.read_csv import CsvFile
from pipeline.validation.column_checks import Arrow

TEXT = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}  # and what separates their columns
PARQUET, GZIP = ".parquet", ".gz"
KINDS = (*TEXT, PARQUET)
MOST_COLUMNS = 200
MOST_SHOWN = 80


class Table(Protocol):
    """A file of rows. from_text: every cell is text, "" a missing one. schema: Arrow's, None where all is text.

    header: as it stands there; a column without a name is nobody's input. separator: of text.
    """

    header: tuple[str, ...]
    from_text: bool
    schema: Arrow
    separator: str

    @property
    def position(self) -> Position:
        """Where the next chunk begins."""

    def go_to(self, position: Position) -> None:
        """Forward to where a chunk ended."""

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """At most `rows` rows at a time. Raises InvalidInput where the rest cannot be read."""

    def share_read(self) -> float:
        """In [0, 1]; 0 where nobody knows the size."""


def kind_of(name: str) -> str:
    """The ending, one of KINDS. Raises InvalidInput for another one."""
    folded = name.casefold()
    kind = next((each for each in KINDS if folded.endswith(each)), "")
    if not kind:
        more = (
            "; save an Excel workbook as CSV in UTF-8" if folded.endswith((".xls", ".xlsx", ".xlsm", ".xlsb")) else ""
        )
        raise InvalidInput(f"{short(name)}: must end in {', '.join(KINDS[:-1])} or {KINDS[-1]}{more}")
    return kind


def open_table(stream: IO[bytes], *, name: str, size: int | None, most_unpacked: int | None = None) -> Table:
    """The header is read and checked now. `name` only tells the kind by its ending; Parquet must be seekable.

    size: in bytes, None where nobody knows. most_unpacked: refuse a compressed file that holds more.
    Raises InvalidInput with one sentence.
    """
    kind, shown = kind_of(name), short(name)
    if size == 0:
        raise InvalidInput(f"{shown}: is empty")
    table: Table
    if kind == PARQUET:
        table = ParquetFile(stream, name=shown)
    else:
        text = Unpacked(stream, name=shown, most=most_unpacked) if kind.endswith(GZIP) else stream
        table = CsvFile(text, name=shown, size=size, separator=TEXT[kind])
    _check_header(table.header, shown)
    return table


def without_name(column: str) -> bool:
    """As of an index that pandas wrote, or behind a comma at the end of a line."""
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
    return visible(text.strip().split("\n", maxsplit=1)[0], most=MOST_SHOWN)
