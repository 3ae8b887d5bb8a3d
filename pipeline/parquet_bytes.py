"""The one place that reads Parquet bytes: on the thread that asks, and with no other one started.

An Arrow thread that still runs when the process ends is ended while it holds C++ frames, and the whole process aborts,
once in some fifty times (apache/arrow#34314, #45017). One starts as soon as a Python object is read from or columns are
fetched ahead, whatever `use_threads` says.
"""

from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq


def open_parquet(data: bytes, **options: Any) -> Any:  # noqa: ANN401 (of a library without types)
    """The open file, of which nothing but the footer was read; read on with `use_threads=False`.

    Raises what PyArrow raises for bytes that are no Parquet file.
    """
    return pq.ParquetFile(pa.BufferReader(data), pre_buffer=False, **options)


def read_frame(data: bytes) -> pd.DataFrame:
    """Every column, as pandas reads a Parquet file. Raises as `open_parquet`."""
    frame: pd.DataFrame = open_parquet(data).read(use_threads=False).to_pandas(use_threads=False)
    return frame
