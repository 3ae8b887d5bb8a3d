"""Many rows between caller and worker as Arrow streams, without a Python object per cell."""

import json
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.governance.errors import Unavailable
from pipeline.serving.column_checks import Arrow
from pipeline.serving.columns import JSON, CheckedColumns
from pipeline.serving.frames import Frame

ANSWERS = (pa.string(), pa.int64(), pa.float64(), pa.bool_())


def rows_of(checked: CheckedColumns) -> Frame:
    """The usable rows, as part of a request."""
    return {"rows": {"dtypes": list(checked.dtypes)}, "arrow": packed(checked.values)}


def packed(batch: Arrow) -> bytes:
    """One record batch as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue().to_pybytes()


def unpacked(stream: bytes) -> Arrow:
    """Checked to its last value: what reads it later trusts lengths and offsets. Raises ValueError, OSError."""
    table = pa.ipc.open_stream(stream).read_all().combine_chunks()
    table.validate(full=True)
    return table


def frame_of(stream: bytes, dtypes: Sequence[str]) -> pd.DataFrame:
    """The same frame as pandas makes of lists. Raises ValueError for values that the dtype does not hold."""
    table = unpacked(stream)
    columns = zip(table.schema.names, table.columns, dtypes, strict=True)
    return pd.DataFrame({name: _series(column, dtype) for name, column, dtype in columns}, copy=False)


def _series(column: Arrow, dtype: str) -> pd.Series:
    if dtype == JSON:
        return pd.Series([json.loads(cell) for cell in column.to_pylist()])
    if dtype.startswith("int"):  # NumPy would let large numbers run over in silence
        column = column.cast(pa.type_for_alias(dtype))
    found = column.to_pandas()
    return found.astype(dtype) if dtype and found.dtype != dtype else found


def said(predicted: np.ndarray, probabilities: np.ndarray | None) -> bytes:
    """The column `prediction`, then one per class by its position. Raises ValueError for what is no finite answer."""
    answers = pa.array(predicted.tolist())
    chances = [] if probabilities is None else list(np.ascontiguousarray(probabilities.T))
    numbers = [*chances, *([predicted] if pa.types.is_floating(answers.type) else [])]
    if answers.type not in ANSWERS or answers.null_count or not all(np.isfinite(each).all() for each in numbers):
        raise ValueError("predicts something else than text, numbers and truth values, or no finite number")
    names = ["prediction", *(str(position) for position in range(len(chances)))]
    return packed(pa.record_batch([answers, *chances], names=names))


def heard(answer: Frame, *, rows: int, about: str) -> Arrow:
    """The table of predictions. Raises Unavailable where the worker sent another one than it was asked for."""
    wanted = ["prediction", *(str(position) for position in range(len(answer["classes"])))]
    return _heard(answer, wanted, rows=rows, about=about)


def paired(columns: np.ndarray, contributions: np.ndarray) -> bytes:
    """Two columns per rank: which column of the rows it is, and what it adds. Both (rows, ranks)."""
    pairs = [each for rank in range(columns.shape[1]) for each in (columns[:, rank], contributions[:, rank])]
    return packed(pa.record_batch([pa.array(each) for each in pairs], names=_ranks(columns.shape[1])))


def heard_pairs(answer: Frame, *, rows: int, pairs: int, about: str) -> Arrow:
    """The table of contributions. Raises as heard does."""
    return _heard(answer, _ranks(pairs), rows=rows, about=about)


def joined(tables: Sequence[Arrow]) -> Arrow:
    return pa.concat_tables(tables).combine_chunks()


def _ranks(count: int) -> list[str]:
    return [name for rank in range(count) for name in (f"{rank}", f"{rank} adds")]


def _heard(answer: Frame, wanted: list[str], *, rows: int, about: str) -> Arrow:
    try:
        table = unpacked(answer["arrow"])
    except (KeyError, OSError, ValueError) as error:
        raise Unavailable(f"{about}: the worker's answer cannot be read") from error
    if table.num_rows != rows or table.schema.names != wanted or not set(table.schema.types) <= set(ANSWERS):
        raise Unavailable(f"{about}: the worker's answer has other rows or columns than were asked for")
    return table
