"""Parquet read a chunk at a time; row groups are streamed, whatever their size."""

from collections.abc import Iterator
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import visible
from pipeline.serving.batch.chunks import CHUNK_BYTES, Chunk, Position
from pipeline.validation.column_checks import Arrow

BUFFER_BYTES = 2**20
MOST_SHOWN = 80
BROKEN = (pa.ArrowException, OSError, ValueError)


class ParquetFile:
    """Cells are Python values; null is a missing one. A chunk never spans two row groups."""

    from_text, separator = False, ""

    def __init__(self, stream: IO[bytes], *, name: str) -> None:
        self._name, self._read = name, 0
        try:
            self._file = pq.ParquetFile(stream, buffer_size=BUFFER_BYTES, pre_buffer=False)
            self.schema = self._file.schema_arrow
        except BROKEN as error:
            raise InvalidInput(
                f"{self._name}: is not a Parquet file that can be read ({_first_line(error)})"
            ) from error
        self.header = tuple(self.schema.names)

    @property
    def position(self) -> Position:
        return Position(self._read, self._read)

    def go_to(self, position: Position) -> None:
        self._read = position.at

    def share_read(self) -> float:
        return self._read / max(1, self._file.metadata.num_rows)

    def chunks(self, rows: int) -> Iterator[Chunk]:
        """Raises InvalidInput where the rest cannot be read."""
        try:
            first = 0
            for group in range(self._file.metadata.num_row_groups):
                about = self._file.metadata.row_group(group)
                if first + about.num_rows > self._read:
                    yield from self._group(group, first, min(rows, _rows_of(about)))
                first += about.num_rows
        except BROKEN as error:
            text = f"cannot be read after row {self._read} ({_first_line(error)})"
            raise InvalidInput(f"{self._name}: {text}") from error

    def _group(self, group: int, first: int, rows: int) -> Iterator[Chunk]:
        """What of it was not read yet; pieces always begin at the same rows."""
        for batch in self._file.iter_batches(batch_size=rows, row_groups=[group], use_threads=False):
            after = first + batch.num_rows
            if after > self._read:
                batch.validate(full=True)
                self._read = after
                yield Chunk(batch, np.arange(first + 1, after + 1), (), self.position)
            first = after


def _rows_of(about: Arrow) -> int:
    """As many as are about CHUNK_BYTES."""
    return max(1, int(about.num_rows * CHUNK_BYTES / max(1, about.total_byte_size)))


def _first_line(error: BaseException) -> str:
    return visible(str(error).strip().split("\n", maxsplit=1)[0], most=MOST_SHOWN)
