"""Two versions on the same rows: agreement, flipped predictions, confusion matrices and calibration."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.comparison.intervals import mcnemar, wilson
from pipeline.comparison.metrics import CALIBRATION_BINS, Array, confusions, positions, row_losses
from pipeline.comparison.rows import Rows
from pipeline.governance.rules.paired import Agreement, CalibrationPoint, Confusions, Flip, FlipKind, Flips

MOST_FLIPS = 10_000
FEWEST_IN_BIN = 20  # rows


def agreement(a: Rows, b: Rows) -> Agreement:
    right_a, right_b, alike = a.actual == a.predicted, b.actual == b.predicted, a.predicted == b.predicted
    only_a, only_b = _count(right_a & ~right_b), _count(right_b & ~right_a)
    neither = ~right_a & ~right_b
    return Agreement(
        both_right=_count(right_a & right_b),
        only_a_right=only_a,
        only_b_right=only_b,
        both_wrong_alike=_count(neither & alike),
        both_wrong_differently=_count(neither & ~alike),
        p_value=mcnemar(only_a, only_b),
    )


def _count(which: Array) -> int:
    return int(np.count_nonzero(which))


def flips(a: Rows, b: Rows) -> Flips:
    """The agreement, and the first 10,000 rows whose predictions differ, with every column."""
    found = np.flatnonzero(a.predicted != b.predicted)[:MOST_FLIPS].tolist()
    return Flips(agreement(a, b), tuple(_flip(a, b, row) for row in found))


def _flip(a: Rows, b: Rows, row: int) -> Flip:
    actual, first, second = (_plain(column[row]) for column in (a.actual, a.predicted, b.predicted))
    kind = FlipKind.LOST if first == actual else FlipKind.GAINED if second == actual else FlipKind.CHANGED
    inputs = {name: _plain(column[row]) for name, column in a.inputs.items()}
    return Flip(row, inputs, actual, first, second, kind, _highest(a, row), _highest(b, row))


def _highest(rows: Rows, row: int) -> float | None:
    probabilities = rows.probabilities[row]
    return float(probabilities.max()) if len(probabilities) and np.isfinite(probabilities).all() else None


def _plain(value: Any) -> Any:  # noqa: ANN401 (a number or a text, as the column holds it)
    """The value as JSON has it: NaN becomes None."""
    number = value.item() if isinstance(value, np.generic) else value
    return None if number != number else number  # noqa: PLR0124 (NaN differs from itself)


def confusion_counts(a: Rows, b: Rows) -> Confusions:
    labels, (actual, first, second) = positions(a.classes, a.actual, a.predicted, b.predicted)
    size, ones = len(labels), np.ones((1, len(a)))
    found = (confusions(ones, rows * size + columns, size)[0] for rows, columns in
             ((actual, first), (actual, second), (first, second)))  # fmt: skip
    tables = (tuple(tuple(int(count) for count in line) for line in table) for table in found)
    return Confusions(tuple(str(label) for label in labels), *tables)


def calibration(rows: Rows, confidence: float) -> tuple[CalibrationPoint, ...] | None:
    """The bins of the calibration error, thin ones merged; None where there are no usable probabilities.

    A bin of fewer than 20 rows is taken together with the next ones, the last with the one before: the share right
    among three rows would say nothing. The intervals are Wilson's, each at `confidence`.
    """
    losses = row_losses(rows)
    if losses is None:
        return None
    highest, right = rows.probabilities.max(axis=1), rows.actual == rows.predicted
    found = ((ends, np.isin(losses.bins, bins)) for ends, bins in _merged(losses.bins))
    return tuple(_point(highest[inside], right[inside], ends, confidence=confidence) for ends, inside in found)


def _merged(bins: Array) -> Iterator[tuple[tuple[float, float], list[int]]]:
    """Each run of bins with at least 20 rows together: where it starts and ends, and which bins hold its rows."""
    counts = np.bincount(bins, minlength=CALIBRATION_BINS)
    groups: list[list[int]] = [[]]
    for index in np.flatnonzero(counts).tolist():
        if counts[groups[-1]].sum() >= FEWEST_IN_BIN and counts[index:].sum() >= FEWEST_IN_BIN:
            groups.append([])
        groups[-1].append(index)
    for group in groups:
        yield (group[0] / CALIBRATION_BINS, (group[-1] + 1) / CALIBRATION_BINS), group


def _point(highest: Array, right: Array, ends: tuple[float, float], *, confidence: float) -> CalibrationPoint:
    n, hits = len(right), _count(right)
    low, high = wilson(hits, n, confidence)
    return CalibrationPoint(*ends, float(highest.mean()), hits / n, n, right_low=low, right_high=high)
