"""What one version does on rows with their truth: metrics with intervals, per class, and the confusion matrix.

The same for the rows that training held out and for a labelled file.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison.intervals import FEWEST_DRAWS, MOST_DRAWN_ROWS, Draws, percentile_intervals, wilson
from pipeline.comparison.metrics import (
    Errors,
    Losses,
    class_counts,
    confusions,
    count_metrics,
    losses_of,
    positions,
    row_errors,
    row_losses,
)
from pipeline.comparison.rows import Rows
from pipeline.governance.record.documents import Evaluation, parse_evaluation

Document = dict[str, Any]
Positions = NDArray[np.integer]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class _Counted:
    """The cells of a confusion matrix that the rows fall into, and what their probabilities cost."""

    actual: Positions
    predicted: Positions
    # Classes.
    size: int
    # None where there are no usable probabilities.
    losses: Losses | None

    def confusion(self) -> Positions:
        """Counts by [true][predicted]."""
        size = self.size
        return np.bincount(self.actual * size + self.predicted, minlength=size**2).reshape(size, size)

    def metrics(self, draws: Positions) -> dict[str, Numbers]:
        """Every metric, one value per line of `draws`, which holds row numbers."""
        cells = (self.actual * self.size + self.predicted)[draws]
        found = count_metrics(confusions(np.ones(cells.shape), cells, self.size))
        return {**found, **self.losses.metrics(draws)} if self.losses else found


@dataclass(frozen=True)
class EvaluatedPredictions:
    """Truth and predictions of rows that were not trained on."""

    # Every class that is evaluated, also those that do not occur.
    classes: tuple[str, ...]
    # The position in `classes` of each row's true class.
    actual: Positions
    # The position in `classes` of each row's prediction.
    predicted: Positions
    # Shape (rows, classes).
    probabilities: Numbers

    @property
    def counted(self) -> _Counted:
        losses = losses_of(self.probabilities, self.actual, right=self.actual == self.predicted)
        return _Counted(self.actual, self.predicted, len(self.classes), losses)

    def metrics(self, draws: Positions) -> dict[str, Numbers]:
        """Every metric, one value per line of `draws`, which holds row numbers."""
        return self.counted.metrics(draws)


def evaluated(predictions: EvaluatedPredictions, draws: Draws) -> Document:
    """The part of the document `evaluation.json` that needs nothing but predictions and truth."""
    return _of_classes(predictions.counted, predictions.classes, draws)


def evaluate_rows(rows: Rows, draws: Draws) -> Evaluation:
    """The same of any rows: of numbers the errors, of classes those that occur.

    From 20,000 rows on there are fewer draws, but 200 at least. Raises InvalidInput for missing labels and too many.
    """
    samples = min(draws.samples, max(FEWEST_DRAWS, MOST_DRAWN_ROWS // len(rows)))
    drawn = Draws(samples, draws.seed, draws.confidence)
    if (errors := row_errors(rows)) is not None:
        return parse_evaluation(_of_numbers(errors, drawn))
    labels, (actual, predicted) = positions(rows.classes, rows.actual, rows.predicted)
    counted = _Counted(actual, predicted, len(labels), row_losses(rows))
    return parse_evaluation(_of_classes(counted, tuple(map(str, labels)), drawn))


def _of_numbers(errors: Errors, draws: Draws) -> Document:
    n = len(errors.actual)
    values = errors.metrics(np.arange(n)[None, :])
    intervals = percentile_intervals(errors.metrics, n, draws)
    return {"n": n, "confidence": draws.confidence, "metrics": _bootstrapped(values, intervals)}


def _of_classes(counted: _Counted, classes: tuple[str, ...], draws: Draws) -> Document:
    confusion = counted.confusion()
    hits, n = int(confusion.trace()), len(counted.actual)
    low, high = wilson(hits, n, draws.confidence)
    values = counted.metrics(np.arange(n)[None, :])
    others = _bootstrapped(values, percentile_intervals(counted.metrics, n, draws))
    # Accuracy comes from Wilson's formula, the others from the bootstrap.
    accuracy = {"value": hits / n, "low": low, "high": high, "method": "wilson"}
    return {
        "n": n,
        "confidence": draws.confidence,
        "metrics": {**others, "accuracy": accuracy},
        "per_class": _per_class(confusion, classes, draws.confidence),
        "confusion": {"classes": list(classes), "matrix": confusion.tolist()},
    }


def _bootstrapped(values: dict[str, Numbers], intervals: dict[str, tuple[float, float]]) -> Document:
    """Drawing rows again inflates the calibration error: its interval could lie beside the value."""
    found = {}
    for name, (low, high) in intervals.items():
        value = float(values[name][0])
        found[name] = {"value": value, "low": min(low, value), "high": max(high, value), "method": "bootstrap"}
    return found


def _per_class(confusion: Positions, classes: tuple[str, ...], confidence: float) -> list[Document]:
    counts = class_counts(confusion)
    precision, recall, f1 = counts.precision, counts.recall, counts.f1
    lines = []
    for index, name in enumerate(classes):
        low, high = wilson(int(counts.hits[index]), int(counts.support[index]), confidence)
        lines.append(
            {
                "class": name,
                "n": int(counts.support[index]),
                "precision": float(precision[index]),
                "recall": float(recall[index]),
                "recall_low": low,
                "recall_high": high,
                "f1": float(f1[index]),
            }
        )
    return lines
