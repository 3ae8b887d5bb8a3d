"""Compile a loaded model and compare it with the original: it answers only where nobody could tell the two apart.

Compared are all stored evaluation rows, the input example, and rows at the model's own split thresholds: every label
must be the same and no probability may differ by more than MOST_DIFFERENCE.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.governance.text import visible
from pipeline.serving.compiled.code import Code, Compiled, NotThisRow
from pipeline.serving.compiled.convert import MOST_NAME, CannotConvert, convert
from pipeline.serving.compiled.form import (
    MOST_DIFFERENCE,
    MOST_STORED,
    MOST_TEXTS,
    NO_ROWS,
    Equality,
    Label,
    short_number,
)
from pipeline.serving.compiled.thresholds import rows_at, splits_of

CHUNK = 2_000
BASE_ROWS = 400  # from which rows at thresholds are made

Columns = Sequence[Sequence[Any]]
# (labels, probabilities) of rows, as the original answers them.
Original = Callable[[pd.DataFrame], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Version:
    """A loaded model, and the rows that came with it."""

    model: Any  # scikit-learn's
    original: Original
    rows: pd.DataFrame  # as the model is given them; may have gaps


@dataclass(frozen=True)
class Proven:
    """A compiled form that may answer, with what was compared."""

    code: Code
    comparison: Equality
    labels: tuple[Label, ...]  # by column of the probabilities
    texts: tuple[tuple[str, ...] | None, ...]  # by column: those that were compared, None for numbers
    sample: tuple[tuple[Any, ...], ...]  # one of the rows, by column


def prove(version: Version, *, converted: Callable[[Any, pd.DataFrame], Code] = convert) -> Proven | Equality:
    """The compiled form where it is equal to the original, else the comparison that says why not."""
    rows = version.rows.dropna().reset_index(drop=True)  # a row with a gap is the original's to answer
    if not len(rows):
        return Equality(equal=False, why_not=NO_ROWS)
    if len(rows) > MOST_STORED:
        return Equality(equal=False, why_not=f"more than {MOST_STORED:,} rows came with it to compare on")
    try:
        texts = _texts(rows)
        code = converted(version.model, rows)
        found = Compiled.of_code(code)
        near = _rows_at_thresholds(version.model, rows)
    except CannotConvert as reason:
        return Equality(equal=False, why_not=str(reason))
    except ImportError as error:
        return Equality(equal=False, why_not=f"cannot be converted here ({visible(str(error), most=MOST_NAME)})")
    comparison = _compared(version, found, (rows, near))
    if not comparison.equal:
        return comparison
    labels = tuple(np.asarray(version.model.classes_).tolist())
    return Proven(code, comparison, labels, texts, tuple((column.iloc[0],) for _, column in rows.items()))


def _texts(rows: pd.DataFrame) -> tuple[tuple[str, ...] | None, ...]:
    """By column its different texts. Raises CannotConvert for free text."""
    found: list[tuple[str, ...] | None] = []
    for name, column in rows.items():
        texts = None if pd.api.types.is_numeric_dtype(column) else tuple(str(each) for each in column.unique())
        if texts is not None and len(texts) > MOST_TEXTS:
            shown = visible(str(name), most=MOST_NAME)
            raise CannotConvert(f"cannot be converted (the column {shown} has more than {MOST_TEXTS} different texts)")
        found.append(texts)
    return tuple(found)


def _rows_at_thresholds(model: Any, rows: pd.DataFrame) -> pd.DataFrame:  # noqa: ANN401
    steps = getattr(model, "steps", [(None, model)])

    def prepare(frame: pd.DataFrame) -> np.ndarray:
        return np.asarray(model[:-1].transform(frame) if len(steps) > 1 else frame)

    return rows_at(splits_of(steps[-1][1]), rows.head(BASE_ROWS), prepare)


def _compared(version: Version, found: Compiled, groups: tuple[pd.DataFrame, pd.DataFrame]) -> Equality:
    """The comparison of stored rows and of those at thresholds, which ends with the first chunk that differs."""
    largest = 0.0
    for rows in groups:
        for start in range(0, len(rows), CHUNK):
            chunk = rows.iloc[start : start + CHUNK]
            difference = _difference(version, found, chunk)
            largest = max(largest, difference)
            if not largest <= MOST_DIFFERENCE:
                where = "one of the rows that came with it" if rows is groups[0] else "a row at a split threshold"
                how = f"by {short_number(largest)}" if np.isfinite(largest) else "in its label or its form"
                return Equality(equal=False, why_not=f"its compiled form differs on {where} {how}")
    return Equality(True, stored=len(groups[0]), at_thresholds=len(groups[1]), difference=largest)


def _difference(version: Version, found: Compiled, rows: pd.DataFrame) -> float:
    """The largest difference of a probability; infinity where a label, or the form of the answer, is another."""
    labels, probabilities = version.original(rows)
    try:
        ours = found.probabilities([column.tolist() for _, column in rows.items()])
    except NotThisRow:
        return float("inf")
    if ours.shape != probabilities.shape:
        return float("inf")
    predicted = np.asarray(version.model.classes_)[ours.argmax(axis=1)]
    if not (predicted == labels).all():
        return float("inf")
    return float(np.abs(ours - probabilities).max())
