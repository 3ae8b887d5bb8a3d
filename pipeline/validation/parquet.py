"""The one place that reads Parquet bytes: on the thread that asks, and with no other one started.

An Arrow thread that still runs when the process ends is ended while it holds C++ frames, and the whole process aborts,
once in some fifty times (apache/arrow#34314, #45017). One starts as soon as a Python object is read from or columns are
fetched ahead, whatever `use_threads` says.

A stranger's file is measured by its footer first, and what it says about pandas or Python types is not used.
"""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

Arrow = Any  # of a library without types
LENGTH_BYTES = 8  # of the footer, and the magic word behind it
MOST_FOOTER_BYTES = 8 * 2**20
MOST_LISTED = 5_000  # schema elements, row groups, columns of one: Arrow walks them by recursion
MOST_NAME_BYTES = 2**20
BROKEN = (pa.ArrowException, OSError, ValueError)


@dataclass(frozen=True)
class Limits:
    """What a stranger's file may hold."""

    unpacked_bytes: int  # of all its row groups
    rows: int = 2**40
    cells: int = 2**40


def open_parquet(data: bytes, *, limits: Limits | None = None, **options: Any) -> Arrow:  # noqa: ANN401 (PyArrow's own)
    """The open file, of which nothing but the footer was read; read on with `use_threads=False`.

    limits: of a stranger's file, which is refused where its footer exceeds them. Raises BROKEN.
    """
    if limits is None:
        return pq.ParquetFile(pa.BufferReader(data), pre_buffer=False, **options)
    if int.from_bytes(data[-LENGTH_BYTES : -LENGTH_BYTES // 2], "little") > MOST_FOOTER_BYTES:
        raise ValueError(f"its footer is larger than {MOST_FOOTER_BYTES // 2**20} MB")
    parquet = pq.ParquetFile(
        pa.BufferReader(data),
        pre_buffer=False,
        thrift_container_size_limit=MOST_LISTED,
        thrift_string_size_limit=MOST_NAME_BYTES,
        arrow_extensions_enabled=False,
        **options,
    )
    _check_footer(parquet.metadata, limits)
    return parquet


def _check_footer(footer: Arrow, limits: Limits) -> None:
    rows, columns = footer.num_rows, footer.num_columns
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    if rows < 0 or rows > limits.rows or rows * columns > limits.cells:
        raise ValueError(f"{rows:,} rows of {columns:,} columns; at most {limits.rows:,} rows are read")
    if any(group.num_rows < 0 for group in groups) or sum(group.num_rows for group in groups) != rows:
        raise ValueError("its row groups have other rows than it says")
    sizes = [group.column(index) for group in groups for index in range(group.num_columns)]
    unpacked = sum(max(0, column.total_uncompressed_size) for column in sizes)
    if unpacked > limits.unpacked_bytes:
        raise ValueError(f"it unpacks to more than {limits.unpacked_bytes // 2**20} MB")


def read_frame(data: bytes) -> pd.DataFrame:
    """Every column, as pandas reads a Parquet file. Raises as `open_parquet`."""
    frame: pd.DataFrame = open_parquet(data).read(use_threads=False).to_pandas(use_threads=False)
    return frame


def first_rows(data: bytes, count: int, *, limits: Limits) -> pd.DataFrame:
    """Of a stranger's file. Raises as open_parquet does."""
    parquet = open_parquet(data, limits=limits)
    batches = parquet.iter_batches(batch_size=count, use_threads=False)
    table = pa.Table.from_batches([next(batches)] if parquet.metadata.num_rows else [], parquet.schema_arrow)
    frame: pd.DataFrame = table.to_pandas(use_threads=False, ignore_metadata=True)
    return frame
