"""Rows of a file as they are read: the interface of every file format, and the pieces that it hands out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.validation.columns import Arrow, Mask

CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class BadLine:
    """A row of a file whose values cannot be assigned to columns."""

    number: int  # of the line where it begins; the header is line 1
    values: Sequence[str]  # as far as the row could be split
    problem: str  # why they cannot be assigned, in a sentence


@dataclass(frozen=True)
class Position:
    """A place between two rows of a file, where reading can go on."""

    at: int  # bytes of a CSV file, rows of a Parquet file
    row: int  # the number of the last line or row before it


@dataclass(frozen=True)
class Chunk:
    """Some consecutive rows of a file, by column."""

    rows: Arrow  # a record batch or table of the rows whose values could be assigned to columns
    numbers: Mask  # of the lines where each of these rows begins
    broken: Sequence[BadLine]  # the other rows
    after: Position  # where the next chunk begins
    # Of a CSV file: each of `rows` as it stands there, with a separator behind it, where it can be copied as it is
    # into another file with the same separator; else None.
    lines: Arrow = None

    def __len__(self) -> int:
        return len(self.numbers) + len(self.broken)


class RowsFile(Protocol):
    """A file of rows, whatever its format."""

    header: tuple[str, ...]  # the column names of the file; a column without a name is no input
    from_text: bool  # every value is text, and "" is a missing one
    arrow_schema: Arrow  # the types of the columns; None where all is text
    separator: str  # between the columns of a text file, else ""

    @property
    def position(self) -> Position:
        """Where the next chunk begins."""

    def go_to(self, position: Position) -> None:
        """Moves forward to the end of a chunk."""

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """The rows in chunks of at most `rows`. Raises InvalidInput where the rest cannot be read."""

    def share_read(self) -> float:
        """The share of the file that was read, in [0, 1]; 0 where its size is unknown."""
