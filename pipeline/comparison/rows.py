"""Reads evaluation rows from a stranger's Parquet file: plain numbers and text, unpacked once their size is known."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import first_line
from pipeline.validation.stored_rows import Limits, open_parquet

Array = NDArray[Any]
Arrow = Any  # of a library without types
ACTUAL, PREDICTED, PROBABILITY = "actual", "predicted", "probability_"
TRUTH_VALUES = {"False": 0.0, "True": 1.0}
MOST_BYTES = 100 * 2**20
MOST_ROWS = 200_000
MOST_CELLS = 20_000_000
MOST_CHARACTERS = 10_000  # of one text: each is compared once per row
LIMITS = Limits(unpacked_bytes=8 * MOST_CELLS + MOST_BYTES)  # rows and columns have a sentence of their own
# What types that others register may raise.
UNREADABLE = (ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError)


@dataclass(frozen=True)
class Rows:
    """Columns of equal length: numbers as float64, text as Python strings (None where there is none)."""

    # The input columns by name.
    inputs: dict[str, Array]
    # The true class or number of each row.
    actual: Array
    # What the version predicted for it.
    predicted: Array
    # The classes that have a column of probabilities, in the file's order; empty where it has none.
    classes: tuple[str, ...]
    # Shape (rows, classes).
    probabilities: Array

    def __len__(self) -> int:
        return len(self.actual)


def read_rows(data: bytes, name: str) -> Rows:
    """The file holds the input columns, then `actual`, `predicted` and, per class, `probability_CLASS`.

    Raises InvalidInput, which starts with `name`, with one sentence.
    """
    if len(data) > MOST_BYTES:
        raise InvalidInput(f"{name}: the evaluation rows are larger than {MOST_BYTES // 2**20} MB")
    try:
        schema = open_parquet(data, limits=LIMITS).schema_arrow
        # As dictionaries: a text that is repeated in every row stays one in memory.
        texts = [field.name for field in schema if field.type in {pa.string(), pa.large_string()}]
        parquet = open_parquet(data, limits=LIMITS, read_dictionary=texts)
        inputs, probabilities = _needed(parquet, name)
        table = parquet.read(columns=[*inputs, ACTUAL, PREDICTED, *probabilities], use_threads=False)
        columns = {column: _values(table.column(column), f"{name}: {column}") for column in table.column_names}
    except (pa.ArrowException, *UNREADABLE) as error:
        raise InvalidInput(f"{name}: the evaluation rows cannot be read ({first_line(error)})") from error
    return Rows(
        inputs={column: columns[column] for column in inputs},
        actual=columns[ACTUAL],
        predicted=columns[PREDICTED],
        classes=tuple(column.removeprefix(PROBABILITY) for column in probabilities),
        probabilities=np.array([columns[column] for column in probabilities]).T.reshape(
            table.num_rows, len(probabilities)
        ),
    )


def class_names(column: Array, classes: tuple[str, ...]) -> Array:
    """Classes that are numbers or truth values, by the names that the columns of probabilities give them.

    A file has 1.0 for the class 1 as for True, since all numbers are read as float64. Text and a number without a name
    stay as they are.
    """
    if column.dtype == object or not classes:
        return column
    names: dict[float, str] = {}
    for name in classes:
        with suppress(ValueError):
            names.setdefault(TRUTH_VALUES[name] if name in TRUTH_VALUES else float(name), name)
    named: Array = np.array([names.get(value, value) for value in column.tolist()], dtype=object)
    return named


def _needed(parquet: Arrow, name: str) -> tuple[list[str], list[str]]:
    """The input columns, which stand before `actual`, and those of probabilities. Nothing was unpacked yet."""
    names, rows = parquet.schema_arrow.names, parquet.metadata.num_rows
    if missing := [column for column in (ACTUAL, PREDICTED) if names.count(column) != 1]:
        raise InvalidInput(f"{name}: the evaluation rows have no column {missing[0]!r}, or several")
    first = names.index(ACTUAL)
    inputs = [column for column in names[:first] if column != PREDICTED]
    probabilities = [column for column in names[first:] if column.startswith(PROBABILITY)]
    if len({*inputs, *probabilities}) < len(inputs) + len(probabilities):
        raise InvalidInput(f"{name}: the evaluation rows have two columns of the same name")
    if not 0 < rows <= MOST_ROWS or rows * len(names) > MOST_CELLS:
        raise InvalidInput(f"{name}: {rows:,} evaluation rows of {len(names):,} columns; at most {MOST_ROWS:,} rows")
    kinds = parquet.schema_arrow
    return inputs, [column for column in probabilities if pa.types.is_floating(kinds.field(column).type)]


def _values(column: Arrow, where: str) -> Array:
    """A column as plain numbers or text; Python types and pandas' notes in the file are not used."""
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        numbers: Array = column.cast(pa.float64(), safe=False).to_numpy()
        return numbers
    if not pa.types.is_dictionary(kind) or kind.value_type not in {pa.string(), pa.large_string()}:
        raise InvalidInput(f"{where}: holds {str(kind)[:80]}; evaluation rows hold numbers and text")
    whole = column.unify_dictionaries().combine_chunks()
    texts = [*whole.dictionary.to_pylist(), None]
    if any(len(text or "") > MOST_CHARACTERS for text in texts):
        raise InvalidInput(f"{where}: holds a text of more than {MOST_CHARACTERS:,} characters")
    values: Array = np.array(texts, dtype=object)[whole.indices.fill_null(-1).to_numpy()]
    return values


def require_same_rows(ours: Rows, theirs: Rows) -> None:
    """Raises InvalidInput where the inputs or the truth of any row differ."""
    if only := sorted(set(ours.inputs) ^ set(theirs.inputs)):
        raise InvalidInput(f"the two were not evaluated on the same columns (only one of them has {only[0]!r})")
    n, m = len(ours), len(theirs)
    if n != m:
        raise InvalidInput(f"the two were not evaluated on the same rows ({n:,} and {m:,} rows)")
    pairs = {name: (column, theirs.inputs[name]) for name, column in ours.inputs.items()}
    for name, (first, second) in {**pairs, ACTUAL: (ours.actual, theirs.actual)}.items():
        both_missing = (first != first) & (second != second)  # noqa: PLR0124 (NaN differs from itself)
        if different := int(((first != second) & ~both_missing).sum()):
            where = f"{name} differs in {different:,} of {n:,} rows"
            raise InvalidInput(f"the two were not evaluated on the same rows ({where})")
