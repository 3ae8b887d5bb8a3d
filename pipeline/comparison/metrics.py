"""The metrics, defined once for training, comparison and recomputation: from counts, probabilities and numbers.

Arrays of several draws have one line per draw: a draw is a set of row numbers, drawn with replacement.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison.rows import ACTUAL, PREDICTED, Rows, class_names
from pipeline.governance.errors import InvalidInput

Array = NDArray[Any]
CALIBRATION_BINS = 10
MOST_CLASSES = 40


@dataclass(frozen=True)
class Losses:
    """What predicted probabilities cost, per row."""

    # Minus the logarithm of the true class's probability, kept finite as scikit-learn does.
    losses: Array
    # The bin of the highest probability, for the calibration error.
    bins: Array
    # The highest probability minus 1 where the prediction is right, minus 0 where it is wrong.
    gaps: Array

    def metrics(self, draws: Array) -> dict[str, Array]:
        """Log loss and calibration error, one value per line of `draws`."""
        return {"log_loss": self.losses[draws].mean(axis=1), "calibration_error": self.calibration_error(draws)}

    def calibration_error(self, draws: Array) -> Array:
        """The mean absolute gap of the bins, weighted by their rows; one value per line of `draws`."""
        lines, n = draws.shape
        cells = (self.bins[draws] + np.arange(lines)[:, None] * CALIBRATION_BINS).ravel()
        sums = np.bincount(cells, weights=self.gaps[draws].ravel(), minlength=lines * CALIBRATION_BINS)
        errors: Array = np.abs(sums.reshape(lines, CALIBRATION_BINS)).sum(axis=1) / n
        return errors


@dataclass(frozen=True)
class Errors:
    """By how much predicted numbers miss the actual ones, per row."""

    # Squared errors.
    squares: Array
    # Absolute errors.
    sizes: Array
    # The actual numbers, whose variance r2 needs.
    actual: Array

    def metrics(self, draws: Array) -> dict[str, Array]:
        """scikit-learn's rmse, mae and r2, one value per line of `draws`; no r2 where all rows have the same number."""
        mean_squares, actual = self.squares[draws].mean(axis=1), self.actual[draws]
        found = {"rmse": np.sqrt(mean_squares), "mae": self.sizes[draws].mean(axis=1)}
        if np.ptp(self.actual):
            variance = actual.var(axis=1)
            found["r2"] = 1 - np.divide(mean_squares, variance, out=np.ones_like(variance), where=variance > 0)
        return found


def row_errors(rows: Rows) -> Errors | None:
    """The errors of predicted numbers; None for text, whole numbers and what has probabilities. Raises InvalidInput."""
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
    """The losses of the probabilities; None where there are none, or none for a class that occurs."""
    probabilities, position = rows.probabilities, {name: index for index, name in enumerate(rows.classes)}
    actual = [position.get(value) for value in class_names(rows.actual, rows.classes).tolist()]
    if None in actual or not np.isfinite(probabilities).all():
        return None
    if (probabilities < 0).any() or (probabilities.sum(axis=1) <= 0).any():
        return None
    return losses_of(probabilities, np.array(actual), right=rows.actual == rows.predicted)


def losses_of(probabilities: Array, actual: Array, *, right: Array) -> Losses:
    """The losses of finite probabilities, shape (rows, classes); `actual` holds the column of each row's true class."""
    smallest = np.finfo(np.float64).eps
    true = (probabilities / probabilities.sum(axis=1, keepdims=True))[np.arange(len(actual)), actual]
    highest = probabilities.max(axis=1)
    return Losses(-np.log(np.clip(true, smallest, 1 - smallest)), calibration_bins(highest), highest - right)


def calibration_bins(highest: Array) -> Array:
    """Ten bins of equal width over [0, 1]; each holds its lower edge, the last one its upper edge too."""
    return np.minimum((highest * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)


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
    named = [class_names(column, classes).tolist() for column in columns]
    found = np.array([[order.setdefault(value, len(order)) for value in column] for column in named])
    if any(value is None or value != value for value in order):  # noqa: PLR0124 (NaN differs from itself)
        raise InvalidInput(f"{ACTUAL} or {PREDICTED}: has missing values")
    if len(order) > MOST_CLASSES:
        raise InvalidInput(f"{ACTUAL}: {len(order):,} different values; classes are compared up to {MOST_CLASSES}")
    known = [name for name in classes if name in order]
    labels = (*known, *sorted(set(order) - set(known), key=str))
    position = np.empty(len(labels), dtype=np.intp)
    position[[order[label] for label in labels]] = np.arange(len(labels))
    return labels, position[found]


def confusions(weights: Array, cells: Array, size: int) -> Array:
    """One matrix per line of `weights`, true classes as rows; weights[:, i] belongs into cells[i]."""
    lines = len(weights)
    positions_of_all = np.arange(lines)[:, None] * size**2 + cells
    counts = np.bincount(positions_of_all.ravel(), weights=weights.ravel(), minlength=lines * size**2)
    return counts.reshape(lines, size, size)


@dataclass(frozen=True)
class ClassCounts:
    """What a stack of confusion matrices, true classes as rows, says per matrix and class."""

    # Rows that were predicted right.
    hits: Array
    # Rows whose true class it is.
    support: Array
    # Rows for which it was predicted.
    predicted: Array

    @property
    def precision(self) -> Array:
        share: Array = self.hits / self.predicted.clip(min=1)
        return share

    @property
    def recall(self) -> Array:
        share: Array = self.hits / self.support.clip(min=1)
        return share

    @property
    def f1(self) -> Array:
        mean: Array = 2 * self.hits / (self.support + self.predicted).clip(min=1)
        return mean


def class_counts(matrices: Array) -> ClassCounts:
    """The counts per class of one confusion matrix or of a stack of them, shape (..., classes)."""
    return ClassCounts(matrices.diagonal(axis1=-2, axis2=-1), matrices.sum(axis=-1), matrices.sum(axis=-2))


def count_metrics(matrices: Array) -> dict[str, Array]:
    """scikit-learn's metrics, one value per matrix.

    As there, macro averages leave out a class that is neither true nor predicted, and 0/0 counts as 0.
    """
    found = class_counts(matrices)
    classes, rows = (found.support + found.predicted > 0).sum(axis=-1), found.support.sum(axis=-1)
    f1 = found.f1
    return {
        "accuracy": found.hits.sum(axis=-1) / rows,
        "f1_macro": f1.sum(axis=-1) / classes,
        "f1_weighted": (f1 * found.support).sum(axis=-1) / rows,
        "precision_macro": found.precision.sum(axis=-1) / classes,
        "recall_macro": found.recall.sum(axis=-1) / classes,
    }
