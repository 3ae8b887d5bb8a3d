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
    """The fields of a request that carry the usable rows."""
    return {"rows": {"dtypes": list(checked.dtypes)}, "arrow": packed(checked.values)}


def packed(batch: Arrow) -> bytes:
    """One record batch as an Arrow stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def unpacked(stream: bytes) -> Arrow:
    """The table of an Arrow stream, checked to its last value: whoever reads it later trusts lengths and offsets.

    Raises ValueError, OSError.
    """
    table = pa.ipc.open_stream(stream).read_all().combine_chunks()
    table.validate(full=True)
    return table


def frame_of(stream: bytes, dtypes: Sequence[str]) -> pd.DataFrame:
    """The frame that pandas would make of the same values as lists.

    Raises ValueError for values that the dtype does not hold.
    """
    table = unpacked(stream)
    columns = zip(table.schema.names, table.columns, dtypes, strict=True)
    return pd.DataFrame({name: _series(column, dtype) for name, column, dtype in columns}, copy=False)


def _series(column: Arrow, dtype: str) -> pd.Series:
    if dtype == JSON:
        return pd.Series([json.loads(value) for value in column.to_pylist()])
    if dtype.startswith("int"):  # NumPy would let large numbers run over in silence
        column = column.cast(pa.type_for_alias(dtype))
    found = column.to_pandas()
    series: pd.Series = found.astype(dtype) if dtype and found.dtype != dtype else found
    return series


def encode_predictions(values: np.ndarray | pd.DataFrame, probabilities: np.ndarray | None) -> bytes:
    """An Arrow stream with the column `prediction`, a struct where the model answers with a table, then one column per
    class by its position.

    All are null for a row without a finite answer, see outputs.ModelOutput. probabilities: (n, classes).
    Raises ValueError for what is neither text, number nor truth value.
    """
    from pipeline.serving.worker.outputs import ModelOutput  # noqa: PLC0415 (scikit-learn: for the worker only)

    output = ModelOutput(values, probabilities=probabilities)
    unanswered = ~output.answered
    by_class = [] if probabilities is None else list(probabilities.T.astype(np.float64))
    columns = [_predictions(output, unanswered), *(pa.array(each, mask=unanswered) for each in by_class)]
    return packed(pa.record_batch(columns, names=["prediction", *map(str, range(len(by_class)))]))


def _predictions(output: "ModelOutput", unanswered: np.ndarray) -> Arrow:
    if output.names:
        rows = output.plain()
        columns = [pa.array([row[name] for row in rows]) for name in output.names]
        found = pa.StructArray.from_arrays(columns, names=list(output.names), mask=pa.array(unanswered))
    else:
        found = pa.array(output.plain(), mask=unanswered)
    if not _is_answer(found.type):
        raise ValueError("predicts something else than text, numbers and truth values")
    return found


def decode_predictions(answer: Frame, *, rows: int, about: str) -> Arrow:
    """The table of predictions, null where there was none.

    Raises Unavailable where the worker sent another one than it was asked for.
    """
    wanted = ["prediction", *(str(position) for position in range(len(answer["classes"])))]
    return _decode(answer, wanted, rows=rows, about=about)


def without_unanswered(checked: CheckedColumns, answers: Arrow) -> tuple[CheckedColumns, Arrow]:
    """The check and the answers without rows that got no finite answer, each with a sentence instead.

    answers: of the usable rows, from decode_predictions.
    """
    unanswered = answers.column("prediction").is_null().to_numpy()
    if not unanswered.any():
        return checked, answers
    positions = np.flatnonzero(checked.usable)[unanswered]
    usable = checked.usable.copy()
    usable[positions] = False
    more = {int(position): (_unanswered(checked, int(position)),) for position in positions}
    answered = pa.array(~unanswered)
    found = replace(
        checked,
        usable=usable,
        out_of_range=checked.out_of_range & usable,
        values=checked.values.filter(answered),
        problems=dict(sorted({**checked.problems, **more}.items())),
    )
    return found, answers.filter(answered)


def _unanswered(checked: CheckedColumns, position: int) -> Problem:
    row = None if checked.numbers is None else int(checked.numbers[position])
    return Problem("", row, f"{'the row' if row is None else f'row {row}'}: the model gives no finite answer")


def encode_contributions(columns: np.ndarray, contributions: np.ndarray) -> bytes:
    """The largest contributions of each row as an Arrow stream: per rank one column with names and one with values.

    columns: the names, (rows, ranks). contributions: what these columns add to the output, (rows, ranks).
    """
    pairs = [each for rank in range(columns.shape[1]) for each in (columns[:, rank], contributions[:, rank])]
    return packed(pa.record_batch([pa.array(each) for each in pairs], names=_ranks(columns.shape[1])))


def decode_contributions(answer: Frame, *, rows: int, ranks: int, about: str) -> Arrow:
    """The table of contributions. Raises as decode_predictions does."""
    return _decode(answer, _ranks(ranks), rows=rows, about=about)


def joined(tables: Sequence[Arrow]) -> Arrow:
    return pa.concat_tables(tables).combine_chunks()


def _ranks(count: int) -> list[str]:
    return [name for rank in range(count) for name in (f"{rank}", f"{rank} adds")]


def _is_answer(kind: Arrow) -> bool:
    kinds = [field.type for field in kind] if pa.types.is_struct(kind) else [kind]
    return set(kinds) <= {*ANSWERS, pa.null()}


def _decode(answer: Frame, wanted: list[str], *, rows: int, about: str) -> Arrow:
    try:
        table = unpacked(answer["arrow"])
    except (KeyError, OSError, ValueError) as error:
        raise Unavailable(f"{about}: the worker's answer cannot be read") from error
    if table.num_rows != rows or table.schema.names != wanted or not all(map(_is_answer, table.schema.types)):
        raise Unavailable(f"{about}: the worker's answer has other rows or columns than were asked for")
    return table
