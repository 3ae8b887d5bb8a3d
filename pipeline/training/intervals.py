"""Metrics from counts, and intervals: Wilson for shares, bootstrap over the rows for everything else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Counts = NDArray[np.integer]
Positions = NDArray[np.integer]
CALIBRATION_BINS = 10
MOST_NUMBERS_AT_ONCE = 5_000_000  # in one block of bootstrap draws


@dataclass(frozen=True)
class EvaluatedPredictions:
    """Truth and predictions as positions in `classes`; `probabilities` has one column per class."""

    classes: tuple[str, ...]
    actual: Positions
    predicted: Positions
    probabilities: Numbers

    @property
    def rows(self) -> int:
        return len(self.actual)

    def confusion(self) -> Counts:
        """Rows are the true classes."""
        size = len(self.classes)
        return np.bincount(self.actual * size + self.predicted, minlength=size**2).reshape(size, size)


def wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval for a share; 0 to 1 where there are no rows."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, width = hits / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / width
    half = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5 / width
    return max(0.0, middle - half), min(1.0, middle + half)


def count_metrics(confusion: Counts) -> dict[str, Numbers]:
    """scikit-learn's metrics from a stack of confusion matrices, one value per matrix.

    A class that is neither true nor predicted in a matrix is left out of its macro averages; 0/0 counts as 0.
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    present = support + predicted > 0
    classes, rows = present.sum(axis=-1), support.sum(axis=-1)
    f1 = ratio(2 * hits, support + predicted)
    return {
        "f1_macro": f1.sum(axis=-1) / classes,
        "f1_weighted": (f1 * support).sum(axis=-1) / rows,
        "precision_macro": ratio(hits, predicted).sum(axis=-1) / classes,
        "recall_macro": ratio(hits, support).sum(axis=-1) / classes,
    }


def ratio(part: Numbers, whole: Counts) -> Numbers:
    """0 where there is nothing to divide by."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def row_losses(predictions: EvaluatedPredictions) -> Numbers:
    """Minus the logarithm of the true class's probability, kept finite as scikit-learn does."""
    smallest = np.finfo(np.float64).eps
    normalised = predictions.probabilities / predictions.probabilities.sum(axis=1, keepdims=True)
    true = normalised[np.arange(predictions.rows), predictions.actual]
    return -np.log(np.clip(true, smallest, 1 - smallest))


def calibration_gaps(predictions: EvaluatedPredictions) -> tuple[Positions, Numbers]:
    """Per row its bin, by the probability of the predicted class, and that probability minus right (1) or wrong (0)."""
    confidence = predictions.probabilities.max(axis=1)
    return calibration_bins(confidence), confidence - (predictions.actual == predictions.predicted)


def calibration_bins(confidence: Numbers) -> Positions:
    """Ten of equal width; the last one holds its upper edge too."""
    return np.minimum((confidence * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)


def all_metrics(predictions: EvaluatedPredictions, draws: Positions) -> dict[str, Numbers]:
    """Each metric but accuracy per line of `draws`, which holds row numbers."""
    count, rows = draws.shape
    size = len(predictions.classes)
    line = np.arange(count)[:, None]
    cells = (predictions.actual * size + predictions.predicted)[draws] + line * size**2
    confusions = np.bincount(cells.ravel(), minlength=count * size**2).reshape(count, size, size)
    bins, gaps = calibration_gaps(predictions)
    places = (bins[draws] + line * CALIBRATION_BINS).ravel()
    sums = np.bincount(places, weights=gaps[draws].ravel(), minlength=count * CALIBRATION_BINS)
    return {
        **count_metrics(confusions),
        "log_loss": row_losses(predictions)[draws].mean(axis=1),
        "calibration_error": np.abs(sums.reshape(count, CALIBRATION_BINS)).sum(axis=1) / rows,
    }


def bootstrap(
    predictions: EvaluatedPredictions, *, samples: int, seed: int, confidence: float
) -> Mapping[str, tuple[float, float]]:
    """Percentile intervals over rows drawn with replacement; the same ones for the same arguments."""
    blocks = [all_metrics(predictions, draws) for draws in _draws(predictions.rows, samples, seed)]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    limits = {name: np.quantile(np.concatenate([block[name] for block in blocks]), tails) for name in blocks[0]}
    return {name: (float(low), float(high)) for name, (low, high) in limits.items()}


def _draws(rows: int, samples: int, seed: int) -> Iterator[Positions]:
    random = np.random.default_rng(seed)
    block = max(1, MOST_NUMBERS_AT_ONCE // rows)
    for start in range(0, samples, block):
        yield random.integers(rows, size=(min(block, samples - start), rows))
