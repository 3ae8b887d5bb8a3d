"""A file of rows with the truth in one of its columns: the same Rows that evaluations and comparisons are made of."""

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.comparison.rows import Array, Rows
from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import visible
from pipeline.serving.batch.upload import UploadedRows
from pipeline.serving.predictions import Target
from pipeline.validation.columns import Arrow, Input, check_many
from pipeline.validation.rows import MOST_NAME
from pipeline.validation.schema import ColumnSchema, InputSchema


@dataclass(frozen=True)
class LabelledRows:
    """The rows of an upload whose truth is known, with the predictions of one version."""

    rows: Rows
    # The line of the file that each row is in.
    lines: Array
    # Rows that were predicted but have no usable truth.
    left_out: int
    # A sentence about the first of those; empty where there are none.
    first_left_out: str


def truth_column(target: Target, others: tuple[str, ...]) -> str | None:
    """Which column of a file holds the truth: the one that the version was trained to predict, else `actual`."""
    named = target.evidence.feature_schema.target.get("name")
    return next((name for name in (named, "actual") if isinstance(name, str) and name in others), None)


def labelled(target: Target, uploaded: UploadedRows, column: str) -> LabelledRows:
    """The rows with their truth, which is checked as an input column is: a class unknown to the version is left out.

    Raises InvalidInput where it answers with a table, and where no row has a truth that can be used.
    """
    if target.names:
        raise InvalidInput(f"{target.label}: answers with several columns, which are not evaluated")
    truth = uploaded.table.column(column).combine_chunks()
    about = _column(target, column, uploaded.predictions)
    if about.kind != "number":
        truth = labels(truth)
    schema = InputSchema((about,), "model")
    given = Input.of_table(pa.table({column: truth}), schema)
    found = check_many(given, schema, from_text=uploaded.from_text, numbers=uploaded.lines)
    left_out = len(found.usable) - found.values.num_rows
    first = next((problems[0].sentence for problems in found.problems.values()), "")
    if not found.values.num_rows:
        name = visible(column, most=MOST_NAME)
        raise InvalidInput(f"{name}: no row has a truth that can be used ({first})")
    rows = _rows(target, uploaded, truth=found.values.column(0), usable=found.usable)
    return LabelledRows(rows, uploaded.lines[found.usable], left_out, first)


def on_the_same_rows(first: LabelledRows, second: LabelledRows) -> tuple[Rows, Rows]:
    """The rows that both versions predicted, with the columns of the first. Raises InvalidInput for none."""
    _, ours, theirs = np.intersect1d(first.lines, second.lines, assume_unique=True, return_indices=True)
    if not len(ours):
        raise InvalidInput("the file: no row was predicted by both versions")
    own = _picked(first.rows, ours)
    return own, replace(_picked(second.rows, theirs), inputs=own.inputs)


def labels(array: Arrow) -> Arrow:
    """Classes as text, as a model's own classes are named: 1 for 1.0, and True."""
    if isinstance(array, pa.DictionaryArray):
        array = pc.cast(array, array.type.value_type)
    if pa.types.is_boolean(array.type):
        return pc.if_else(array, "True", "False")
    if pa.types.is_floating(array.type):
        whole = pc.equal(pc.floor(array), array)
        if pc.all(whole).as_py():
            array = pc.cast(array, pa.int64(), safe=False)
    return pc.cast(array, pa.string())


def _column(target: Target, name: str, predictions: Arrow) -> ColumnSchema:
    """The schema of the truth: a class of the version, any text, or a number."""
    if target.classes:
        return ColumnSchema(name, "category", "str", categories=_classes(target))
    if pa.types.is_string(predictions.type):
        return ColumnSchema(name, "text", "str")
    return ColumnSchema(name, "number", "float64")


def _classes(target: Target) -> tuple[str, ...]:
    """The classes as the version describes them, with those that it never met; else as the model has them."""
    described = tuple(map(str, target.evidence.feature_schema.classes or ()))
    return described if set(target.classes) <= set(described) else target.classes


def _rows(target: Target, uploaded: UploadedRows, *, truth: Arrow, usable: Array) -> Rows:
    known = target.classes if target.probabilities else ()
    mask, classes = pa.array(usable), tuple(each for each in _classes(target) if each in known)
    predictions = uploaded.predictions.filter(mask)
    probabilities = [uploaded.table.column(f"probability_{name}").combine_chunks().filter(mask) for name in classes]
    columns = [_plain(truth), _plain(labels(predictions) if pa.types.is_string(truth.type) else predictions)]
    shares = np.array([each.to_numpy(zero_copy_only=False) for each in probabilities], dtype=np.float64)
    inputs = {name: uploaded.inputs.column(name).combine_chunks() for name in uploaded.inputs.column_names}
    sliced = {name: _plain(array.filter(mask)) for name, array in inputs.items() if _makes_slices(array)}
    return Rows(sliced, columns[0], columns[1], classes, shares.T.reshape(len(columns[0]), len(classes)))


def _makes_slices(array: Arrow) -> bool:
    """Text, numbers and truth values, as evaluation rows hold them; not times."""
    kind = array.type
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return bool(numeric or pa.types.is_boolean(kind) or pa.types.is_string(kind))


def _plain(array: Arrow) -> Array:
    """The column as NumPy holds it: text as Python strings, numbers as float64."""
    if pa.types.is_string(array.type):
        return np.array(array.to_pylist(), dtype=object)
    found: Array = pc.cast(array, pa.float64()).to_numpy(zero_copy_only=False)
    return found


def _picked(rows: Rows, positions: Array) -> Rows:
    inputs = {name: values[positions] for name, values in rows.inputs.items()}
    return Rows(inputs, rows.actual[positions], rows.predicted[positions], rows.classes, rows.probabilities[positions])
