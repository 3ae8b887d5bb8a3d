"""How good a version is by its kind, from its stored rows: of two classes precision and recall, of numbers the errors
by range of the actual number. Everything has its n and its interval.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import stdtrit

from pipeline.comparison.agreement import calibration
from pipeline.comparison.intervals import (
    FEWEST_DRAWS,
    MOST_DRAWN_ROWS,
    Draws,
    Group,
    both_errors,
    errors_together,
    percentile_intervals,
)
from pipeline.comparison.metrics import Array, Errors, row_errors, row_losses
from pipeline.comparison.rows import Rows, class_names, require_same_rows
from pipeline.governance.ports import MetricDifference
from pipeline.governance.rules.paired import CalibrationPoint

TWO = 2
MOST_POINTS = 500  # of a curve
MOST_DOTS = 2_000  # of residuals
MOST_RANGES, FEWEST_IN_RANGE = 8, 20
AVERAGE_PRECISION = "average_precision"


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """One class against the other, at every threshold on its probability."""

    # The class that is looked for.
    class_name: str
    # Rows whose actual class it is.
    positives: int
    # All rows.
    n: int
    # Shape (points,): from the highest threshold to the lowest.
    recall: Array
    # Shape (points,): the share of those above the threshold that are of the class.
    precision: Array
    # scikit-learn's: the mean precision, weighted by the recall that each threshold adds.
    average: float
    # The ends of its bootstrap interval.
    low: float
    high: float


@dataclass(frozen=True)
class ErrorRange:
    """The rows whose actual number lies in a range; intervals are Student's, widened to hold together."""

    # From this number, which belongs to the range.
    start: float
    # To this one, which belongs to the next range; of the last range to itself.
    end: float
    n: int
    # The mean absolute error and its interval.
    error: float
    error_low: float
    error_high: float
    # The mean of predicted minus actual, above zero where the version says too much, and its interval.
    bias: float
    bias_low: float
    bias_high: float


@dataclass(frozen=True, eq=False)
class Residuals:
    """By how much predicted numbers miss the actual ones."""

    # Shape (dots,): actual numbers of at most 2,000 rows, evenly chosen from those in their order.
    actual: Array
    # Shape (dots,): predicted minus actual of the same rows.
    residuals: Array
    # Rows before the choice.
    n: int
    # Up to eight ranges with about as many rows each, at least 20.
    ranges: tuple[ErrorRange, ...]


@dataclass(frozen=True, eq=False)
class Performance:
    """What fits the kind of a version; the rest is empty."""

    # Evaluation rows.
    n: int
    # None where there are no usable probabilities.
    calibration: tuple[CalibrationPoint, ...] | None
    # One per class where there are two with usable probabilities, and both occur.
    curves: tuple[PrecisionRecall, ...]
    # None for classes.
    residuals: Residuals | None


@dataclass(frozen=True)
class KindDifferences:
    """Two versions on the same rows, b minus a, beyond what every pair of versions is compared by."""

    # Average precision of each class, named in `slice`; the rows are drawn together.
    precision: tuple[MetricDifference, ...]
    # The mean absolute error per range of the actual number, named in `slice`; the intervals hold together.
    ranges: tuple[MetricDifference, ...]


def performance(rows: Rows, draws: Draws) -> Performance:
    """Raises InvalidInput where the rows hold missing values."""
    return Performance(
        n=len(rows),
        calibration=calibration(rows, draws.confidence),
        curves=tuple(_curve(ranking, draws) for ranking in _rankings(rows)),
        residuals=None if (errors := row_errors(rows)) is None else _residuals(rows, errors, draws),
    )


def kind_differences(a: Rows, b: Rows, draws: Draws) -> KindDifferences:
    """Raises InvalidInput where the rows differ, or one predicts classes and the other numbers."""
    require_same_rows(a, b)
    if (errors := both_errors(b, a)) is not None:
        groups: list[Group] = [(f"{low:.4g}\N{EN DASH}{high:.4g}", inside) for low, high, inside in _ranges(a.actual)]
        return KindDifferences((), tuple(errors_together(*errors, groups, tail=draws.tail)))
    first, second = ({each.class_name: each for each in _rankings(rows)} for rows in (a, b))
    pairs = [(first[name], second[name]) for name in first if name in second]
    return KindDifferences(tuple(_difference(*pair, draws=draws) for pair in pairs), ())


# Two classes.


@dataclass(frozen=True, eq=False)
class Ranking:
    """The rows in the order of a class's probability, the highest first."""

    class_name: str
    # Shape (rows,): the numbers of the rows.
    order: Array
    # Shape (rows,): whether each row, in that order, is of the class.
    positive: Array
    # Positions of the last row of each different probability: rows that tie are taken together.
    ends: Array

    def curve(self, weights: Array) -> tuple[Array, Array]:
        """Recall and precision at each threshold. weights: how often each row counts, by its number."""
        own = weights[self.order]
        hits, taken = np.cumsum(own * self.positive)[self.ends], np.cumsum(own)[self.ends]
        return hits / max(1, hits[-1]), hits / np.maximum(1, taken)

    def average_precision(self, weights: Array) -> float:
        recall, precision = self.curve(weights)
        return float(np.sum(np.diff(recall, prepend=0) * precision))


def _rankings(rows: Rows) -> Iterator[Ranking]:
    if len(rows.classes) != TWO or row_losses(rows) is None:
        return
    actual = class_names(rows.actual, rows.classes)
    if len(set(actual.tolist())) != TWO:
        return
    for position, name in enumerate(rows.classes):
        scores = rows.probabilities[:, position]
        order = np.argsort(-scores, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
        yield Ranking(name, order, np.asarray(actual == name)[order], ends)


def _curve(ranking: Ranking, draws: Draws) -> PrecisionRecall:
    n = len(ranking.order)
    recall, precision = ranking.curve(np.ones(n))
    average = ranking.average_precision(np.ones(n))
    low, high = _drawn(ranking.average_precision, n, draws)
    shown = np.unique(np.linspace(0, len(recall) - 1, min(MOST_POINTS, len(recall))).astype(int))
    positives = int(ranking.positive.sum())
    ends = min(low, average), max(high, average)
    return PrecisionRecall(ranking.class_name, positives, n, recall[shown], precision[shown], average, *ends)


def _difference(a: Ranking, b: Ranking, *, draws: Draws) -> MetricDifference:
    n, name = len(a.order), a.class_name
    before, after = (each.average_precision(np.ones(n)) for each in (a, b))
    low, high = _drawn(lambda weights: b.average_precision(weights) - a.average_precision(weights), n, draws)
    seen = after - before
    ends = min(low, seen), max(high, seen)
    return MetricDifference(AVERAGE_PRECISION, seen, *ends, n, name, candidate=after, incumbent=before)


def _drawn(measure: Callable[[Array], float], n: int, draws: Draws) -> tuple[float, float]:
    """The percentile interval of what is measured with the weights of rows that were drawn again."""
    samples = min(draws.samples, max(FEWEST_DRAWS, MOST_DRAWN_ROWS // n))

    def metrics(lines: Array) -> dict[str, Array]:
        return {"": np.array([measure(np.bincount(line, minlength=n)) for line in lines])}

    return percentile_intervals(metrics, n, Draws(samples, draws.seed, draws.confidence))[""]


# Numbers.


def _residuals(rows: Rows, errors: Errors, draws: Draws) -> Residuals:
    order = np.argsort(rows.actual, kind="stable")
    shown = order[np.unique(np.linspace(0, len(order) - 1, min(MOST_DOTS, len(order))).astype(int))]
    misses, found = rows.predicted - rows.actual, list(_ranges(rows.actual))
    ranges = []
    for low, high, inside in found:
        error, bias = (_student(values[inside], draws.tail / len(found)) for values in (errors.sizes, misses))
        ranges.append(ErrorRange(low, high, int(inside.sum()), *error, *bias))
    return Residuals(rows.actual[shown], misses[shown], len(rows), tuple(ranges))


def _ranges(actual: Array) -> Iterator[tuple[float, float, Array]]:
    """Start, end and a mask, from quantile to quantile; one range where there are fewer than 40 rows."""
    wanted = int(np.clip(len(actual) // FEWEST_IN_RANGE, 1, MOST_RANGES))
    edges = np.unique(np.quantile(actual, np.linspace(0, 1, wanted + 1)))
    if len(edges) == 1:
        edges = np.repeat(edges, 2)
    for low, high in pairwise(edges.tolist()):
        inside = (actual >= low) & ((actual < high) | (high == edges[-1]))
        if np.count_nonzero(inside) > 1:
            yield low, high, inside


def _student(values: Array, tail: float) -> tuple[float, float, float]:
    """The mean and the ends of its interval."""
    mean = float(values.mean())
    reach = float(-stdtrit(len(values) - 1, tail) * values.std(ddof=1) / np.sqrt(len(values)))
    return mean, mean - reach, mean + reach
