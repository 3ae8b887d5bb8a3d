"""Files of rows, CSV and Parquet, read a piece at a time; what pandas would let pass or shift in silence is refused."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import IO, Protocol

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import visible
from pipeline.serving.chunks import Chunk, Position
from pipeline.serving.column_checks import Arrow
from pipeline.serving.csv_file import CsvFile
from pipeline.serving.parquet_file import ParquetFile

KINDS = (".csv", ".parquet")
MOST_COLUMNS = 200
MOST_SHOWN = 80


class Table(Protocol):
    """A file of rows. from_text: every cell is text, "" a missing one. schema: Arrow's, None where all is text."""

    header: tuple[str, ...]
    from_text: bool
    schema: Arrow

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
    """The ending. Raises InvalidInput for one that is neither .csv nor .parquet."""
    kind = PurePath(name).suffix.casefold()
    if kind not in KINDS:
        raise InvalidInput(f"{short(name)}: must end in .csv or .parquet")
    return kind


def open_table(stream: IO[bytes], *, name: str, size: int | None) -> Table:
    """The header is read and checked now. `name` only tells the kind by its ending; Parquet must be seekable.

    size: in bytes, None where nobody knows. Raises InvalidInput with one sentence.
    """
    kind, shown = kind_of(name), short(name)
    if size == 0:
        raise InvalidInput(f"{shown}: is empty")
    table: Table = CsvFile(stream, name=shown, size=size) if kind == ".csv" else ParquetFile(stream, name=shown)
    _check_header(table.header, shown)
    return table


def _check_header(header: Sequence[str], shown: str) -> None:
    if not header:
        raise InvalidInput(f"{shown}: is empty")
    if len(header) > MOST_COLUMNS:
        raise InvalidInput(f"{shown}: has {len(header):,} columns; at most {MOST_COLUMNS} are read")
    if "" in (unnamed := [each.strip() for each in header]):
        raise InvalidInput(f"{shown}: column {unnamed.index('') + 1} of the header has no name")
    if twice := [each for each, count in Counter(header).items() if count > 1]:
        raise InvalidInput(f"{shown}: the header names the column {short(twice[0])} more than once")


def short(text: str) -> str:
    return visible(text.strip().split("\n", maxsplit=1)[0], most=MOST_SHOWN)
