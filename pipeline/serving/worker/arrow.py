"""Many rows between caller and worker as Arrow streams, without a Python object per cell."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.governance.errors import Unavailable
from pipeline.serving.worker.protocol import Frame
from pipeline.validation.columns import JSON, Arrow, CheckedColumns
from pipeline.validation.rows import Problem

if TYPE_CHECKING:
    from pipeline.serving.worker.outputs import ModelOutput

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


def said(values: np.ndarray | pd.DataFrame, probabilities: np.ndarray | None) -> bytes:
    """The column `prediction`, a struct where the model answers with a table, then one per class by its position.

    All are null for a row without a finite answer; see outputs.ModelOutput. Raises
    ValueError for what is neither text, number
    nor truth value.
    """
    from pipeline.serving.worker.outputs import ModelOutput  # noqa: PLC0415 (scikit-learn: for the worker only)

    told = ModelOutput(values, probabilities=probabilities)
    silent = ~told.answered
    chances = [] if probabilities is None else list(probabilities.T.astype(np.float64))
    answers = [_answers(told, silent), *(pa.array(each, mask=silent) for each in chances)]
    return packed(pa.record_batch(answers, names=["prediction", *(str(place) for place in range(len(chances)))]))


def _answers(told: "ModelOutput", silent: np.ndarray) -> Arrow:
    if told.names:
        rows = told.plain()
        columns = [pa.array([row[name] for row in rows]) for name in told.names]
        found = pa.StructArray.from_arrays(columns, names=list(told.names), mask=pa.array(silent))
    else:
        found = pa.array(told.plain(), mask=silent)
    if not _is_answer(found.type):
        raise ValueError("predicts something else than text, numbers and truth values")
    return found


def heard(answer: Frame, *, rows: int, about: str) -> Arrow:
    """The table of predictions, null where there was none.

    Raises Unavailable where the worker sent another one than it was asked for.
    """
    wanted = ["prediction", *(str(position) for position in range(len(answer["classes"])))]
    return _heard(answer, wanted, rows=rows, about=about)


def answered(checked: CheckedColumns, answers: Arrow) -> tuple[CheckedColumns, Arrow]:
    """Rows without a finite answer are rows that cannot be used: told by their number, the others are as good as ever.

    answers: of the usable rows, as heard.
    """
    silent = answers.column("prediction").is_null().to_numpy()
    if not silent.any():
        return checked, answers
    positions = np.flatnonzero(checked.usable)[silent]
    usable = checked.usable.copy()
    usable[positions] = False
    kept, told = pa.array(~silent), {int(position): (_unanswered(checked, int(position)),) for position in positions}
    problems = dict(sorted({**checked.problems, **told}.items()))
    values = checked.values.filter(kept)
    return replace(checked, usable=usable, odd=checked.odd & usable, values=values, problems=problems), answers.filter(
        kept
    )


def _unanswered(checked: CheckedColumns, position: int) -> Problem:
    row = None if checked.numbers is None else int(checked.numbers[position])
    return Problem("", row, f"{'the row' if row is None else f'row {row}'}: the model gives no finite answer")


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


def _is_answer(kind: Arrow) -> bool:
    kinds = [field.type for field in kind] if pa.types.is_struct(kind) else [kind]
    return set(kinds) <= {*ANSWERS, pa.null()}


def _heard(answer: Frame, wanted: list[str], *, rows: int, about: str) -> Arrow:
    try:
        table = unpacked(answer["arrow"])
    except (KeyError, OSError, ValueError) as error:
        raise Unavailable(f"{about}: the worker's answer cannot be read") from error
    if table.num_rows != rows or table.schema.names != wanted or not all(map(_is_answer, table.schema.types)):
        raise Unavailable(f"{about}: the worker's answer has other rows or columns than were asked for")
    return table
