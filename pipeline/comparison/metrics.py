"""The metrics, defined once for whatever compares or recomputes: from counts, and from probabilities.

The same definitions as `pipeline.training`, whose results are claims here; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison.rows import ACTUAL, PREDICTED, Rows
from pipeline.governance.errors import InvalidInput

Array = NDArray[Any]
CALIBRATION_BINS = 10
MOST_CLASSES = 40


@dataclass(frozen=True)
class Losses:
    """What probabilities give per row: `losses` for the log loss, `bins` and `gaps` for the calibration error.

    gaps: the highest probability minus right (1) or wrong (0).
    """

    losses: Array
    bins: Array
    gaps: Array

    def calibration_error(self, draws: Array) -> Array:
        """Per line of `draws`, which holds row numbers: the bins' mean |gap|, weighted by their rows."""
        lines, n = draws.shape
        places = (self.bins[draws] + np.arange(lines)[:, None] * CALIBRATION_BINS).ravel()
        sums = np.bincount(places, weights=self.gaps[draws].ravel(), minlength=lines * CALIBRATION_BINS)
        return np.abs(sums.reshape(lines, CALIBRATION_BINS)).sum(axis=1) / n


@dataclass(frozen=True)
class Errors:
    """What predicted numbers miss per row: `squares` and `sizes` of the errors; `actual`: for the variance."""

    squares: Array
    sizes: Array
    actual: Array

    def metrics(self, draws: Array) -> dict[str, Array]:
        """scikit-learn's, one value per line of `draws`, which holds row numbers; no r2 where all have one value."""
        mean_squares, actual = self.squares[draws].mean(axis=1), self.actual[draws]
        found = {"rmse": np.sqrt(mean_squares), "mae": self.sizes[draws].mean(axis=1)}
        if np.ptp(self.actual):
            variance = actual.var(axis=1)
            found["r2"] = 1 - np.divide(mean_squares, variance, out=np.ones_like(variance), where=variance > 0)
        return found


def row_errors(rows: Rows) -> Errors | None:
    """None for classes: text, whole numbers, and whatever has probabilities. Raises InvalidInput."""
    columns = rows.actual, rows.predicted
    if rows.classes or any(column.dtype == object for column in columns):
        return None
    if all((column == np.round(column)).all() for column in columns):
        return None
    if not all(np.isfinite(column).all() for column in columns):
        raise InvalidInput(f"{ACTUAL} or {PREDICTED}: has missing values")
    sizes = np.abs(rows.predicted - rows.actual)
    return Errors(sizes**2, sizes, rows.actual)


def row_losses(rows: Rows) -> Losses | None:
    """None where the probabilities cannot be used: none there, or none for a class that occurs."""
    chances, position = rows.probabilities, {name: index for index, name in enumerate(rows.classes)}
    places = [position.get(value) for value in rows.actual.tolist()]
    if None in places or not np.isfinite(chances).all() or (chances < 0).any() or (chances.sum(axis=1) <= 0).any():
        return None
    smallest = np.finfo(np.float64).eps
    true = (chances / chances.sum(axis=1, keepdims=True))[np.arange(len(places)), np.array(places)]
    top = chances.max(axis=1)
    bins = np.minimum((top * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    return Losses(-np.log(np.clip(true, smallest, 1 - smallest)), bins, top - (rows.actual == rows.predicted))


def measure(rows: Rows) -> dict[str, float]:
    """Every metric of one set of rows, of numbers or of classes; the two losses only where there are probabilities."""
    if (errors := row_errors(rows)) is not None:
        return {name: float(values[0]) for name, values in errors.metrics(np.arange(len(rows))[None, :]).items()}
    labels, (actual, predicted) = positions(rows.classes, rows.actual, rows.predicted)
    matrix = confusions(np.ones((1, len(actual))), actual * len(labels) + predicted, len(labels))
    found = {name: float(values[0]) for name, values in count_metrics(matrix).items()}
    if (losses := row_losses(rows)) is not None:
        found["log_loss"] = float(losses.losses.mean())
        found["calibration_error"] = float(losses.calibration_error(np.arange(len(actual))[None, :])[0])
    return found


def positions(classes: tuple[str, ...], *columns: Array) -> tuple[tuple[Any, ...], Array]:
    """The labels, those of `classes` first, and each column as positions among them; shape (columns, n).

    Raises InvalidInput for missing labels and for too many.
    """
    order: dict[Any, int] = {}
    found = np.array([[order.setdefault(value, len(order)) for value in column.tolist()] for column in columns])
    if any(value is None or value != value for value in order):  # noqa: PLR0124 (NaN differs from itself)
        raise InvalidInput(f"{ACTUAL} or {PREDICTED}: has missing values")
    if len(order) > MOST_CLASSES:
        raise InvalidInput(f"{ACTUAL}: {len(order):,} different values; classes are compared up to {MOST_CLASSES}")
    known = [name for name in classes if name in order]
    labels = (*known, *sorted(set(order) - set(known), key=str))
    place = np.empty(len(labels), dtype=np.intp)
    place[[order[label] for label in labels]] = np.arange(len(labels))
    return labels, place[found]


def confusions(weights: Array, cells: Array, size: int) -> Array:
    """One matrix per line of `weights`, true classes as rows; weights[:, i] belongs into cells[i]."""
    lines = len(weights)
    places = np.arange(lines)[:, None] * size**2 + cells
    counts = np.bincount(places.ravel(), weights=weights.ravel(), minlength=lines * size**2)
    return counts.reshape(lines, size, size)


def count_metrics(matrices: Array) -> dict[str, Array]:
    """scikit-learn's metrics, one value per matrix.

    As there, macro averages leave out a class that is neither true nor predicted, and 0/0 counts as 0.
    """
    hits = matrices.diagonal(axis1=1, axis2=2)
    support, predicted = matrices.sum(axis=2), matrices.sum(axis=1)
    classes, rows = (support + predicted > 0).sum(axis=1), support.sum(axis=1)
    f1 = 2 * hits / (support + predicted).clip(min=1)
    return {
        "accuracy": hits.sum(axis=1) / rows,
        "f1_macro": f1.sum(axis=1) / classes,
        "f1_weighted": (f1 * support).sum(axis=1) / rows,
        "precision_macro": (hits / predicted.clip(min=1)).sum(axis=1) / classes,
        "recall_macro": (hits / support.clip(min=1)).sum(axis=1) / classes,
    }
