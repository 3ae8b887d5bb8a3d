"""Reads rows that are stored with a version: Parquet files and input examples.

Parquet is read here alone, on the thread that asks, and with no other one started.

An Arrow thread that still runs when the process ends is ended while it holds C++ frames, and the whole process aborts,
once in some fifty times (apache/arrow#34314, #45017). One starts as soon as a Python object is read from or columns are
fetched ahead, whatever `use_threads` says.

A stranger's file is measured by its footer first, and what it says about pandas or Python types is not used.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.validation.documents import read_json
from pipeline.validation.schema import SIGNATURE

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
    rows: int = 2**40  # the most rows
    cells: int = 2**40  # the most values: rows times columns


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
    """Every column of a Parquet file, as pandas reads it. Raises as `open_parquet`."""
    frame: pd.DataFrame = open_parquet(data).read(use_threads=False).to_pandas(use_threads=False)
    return frame


def first_rows(data: bytes, count: int, *, limits: Limits) -> pd.DataFrame:
    """The first rows of a stranger's Parquet file. Raises as open_parquet does."""
    parquet = open_parquet(data, limits=limits)
    batches = parquet.iter_batches(batch_size=count, use_threads=False)
    table = pa.Table.from_batches([next(batches)] if parquet.metadata.num_rows else [], parquet.schema_arrow)
    frame: pd.DataFrame = table.to_pandas(use_threads=False, ignore_metadata=True)
    return frame


# The rows of an input example, in every form in which MLflow writes one, and in the types of the model's signature.

Json = Any
Rows = Any  # a frame, or an array where the model takes one
# MLflow's file for serving wraps the same content once more.
WRAPPERS = ("dataframe_split", "dataframe_records", "inputs", "instances")
WITHOUT_GAPS = ("int", "bool")  # dtypes of NumPy that have no missing value


def rows_of_example(content: Json, *, as_frame: bool, signature: Json = None) -> Rows:
    """The rows of an input example; see typed. Raises TypeError for what is neither a table nor an array."""
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPERS if key in content), content)
    if isinstance(content, dict):
        return typed(_of_object(content), signature)
    if not isinstance(content, list):
        raise TypeError("neither a table nor an array")
    if as_frame or (content and all(isinstance(row, dict) for row in content)):
        return typed(pd.DataFrame(content), signature)
    return np.array(content)


def _of_object(content: Mapping[str, Any]) -> pd.DataFrame:
    """The frame of a JSON object: a split frame with or without column names, columns by name, or one row."""
    is_split = "data" in content and set(content) <= {"data", "columns", "index"}
    if is_split and ("columns" in content or isinstance(content["data"], list)):
        return pd.DataFrame(content["data"], columns=content.get("columns"))
    if all(isinstance(values, list) for values in content.values()):
        return pd.DataFrame(content)
    return pd.DataFrame([content])


def typed(frame: pd.DataFrame, signature: Json) -> pd.DataFrame:
    """The frame in the types of the signature, as far as its values allow: JSON has no dates and one kind of number."""
    dtypes = {
        str(each.get("name", position)): SIGNATURE[str(each["type"])][1]
        for position, each in enumerate(_inputs(signature))
        if str(each.get("type")) in SIGNATURE
    }
    for name, dtype in dtypes.items():
        column = next((each for each in frame.columns if str(each) == name), None)
        if column is not None:
            with suppress(ArithmeticError, TypeError, ValueError):
                frame[column] = like(frame[column], dtype)
    return frame


def like(column: pd.Series, dtype: Any) -> pd.Series:  # noqa: ANN401 (pandas' own or a name)
    """The column in the dtype; where that has no missing value and the column has one, in the nearest that has."""
    name = str(dtype)
    if name.startswith(WITHOUT_GAPS) and column.isna().any():
        dtype = "object" if name == "bool" else "float64"
    return column.astype(dtype)


def names_of(columns: Iterable[Any], signature: Json) -> list[Any]:
    """The column names as the signature has them: numbers, not text, of a frame that was logged without names."""
    numbers = {str(each["name"]): each["name"] for each in _inputs(signature) if isinstance(each.get("name"), int)}
    return [numbers.get(name, name) for name in columns]


def _inputs(signature: Json) -> list[dict[str, Any]]:
    """The inputs of MLmodel's signature, which holds them as JSON text; anything else names no columns."""
    with suppress(TypeError, ValueError, KeyError):
        inputs = signature["inputs"]
        return [each if isinstance(each, dict) else {} for each in read_json(inputs if isinstance(inputs, str) else "")]
    return []
