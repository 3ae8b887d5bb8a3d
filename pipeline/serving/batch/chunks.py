"""Rows of a file as they are read: some at a time, by column, each with its place."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.validation.columns import Arrow, Mask

CHUNK_BYTES = 8 * 2**20


@dataclass(frozen=True)
class BadLine:
    """A row of a file whose cells cannot be assigned to columns, and why. number: where it begins; the header is 1."""

    number: int
    cells: Sequence[str]
    problem: str


@dataclass(frozen=True)
class Position:
    """Between two rows. at: bytes of a CSV file, rows of a Parquet file. row: the number of the last line or row."""

    at: int
    row: int


@dataclass(frozen=True)
class Chunk:
    """Some rows. cells: a record batch of those whose cells could be assigned. numbers: where each of them begins.

    broken: the others. after: where the next chunk begins. lines: of a CSV file, each row of `cells` as it stands there
    with a separator behind it, where it could be written into another one of that separator as it is; else None.
    """

    cells: Arrow
    numbers: Mask
    broken: Sequence[BadLine]
    after: Position
    lines: Arrow = None

    def __len__(self) -> int:
        return len(self.numbers) + len(self.broken)
