"""Differences of metrics with intervals from the paired bootstrap, and the paired test of the accuracy.

Both versions are judged on rows drawn again together, so that what makes a row hard for both cancels out (B. Efron and
R. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, stdtrit

from pipeline.comparison.metrics import (
    Array,
    Errors,
    Losses,
    confusions,
    count_metrics,
    positions,
    row_errors,
    row_losses,
)
from pipeline.comparison.rows import Rows, slices
from pipeline.governance.errors import InvalidInput
from pipeline.governance.ports import MetricDifference

MOST_NUMBERS_AT_ONCE = 5_000_000  # in one block of draws
MOST_DRAWN_ROWS = 20_000_000  # in all draws of the losses: from 20,000 rows on there are fewer draws, but 200 at least
FEWEST_DRAWS = 200


@dataclass(frozen=True)
class Draws:
    """samples: how often rows are drawn again. confidence: of each interval, such as 0.95."""

    samples: int
    seed: int
    confidence: float

    @property
    def tail(self) -> float:
        return (1 - self.confidence) / 2


def overall(ours: Rows, theirs: Rows, draws: Draws) -> list[MetricDifference]:
    """Metrics over all rows, ours minus theirs, with percentile intervals: of numbers or of classes."""
    if (errors := both_errors(ours, theirs)) is not None:
        return list(_missed(*errors, draws=draws))
    return [*_counted(ours, theirs, draws), *_lost(ours, theirs, draws)]


def both_errors(ours: Rows, theirs: Rows) -> tuple[Errors, Errors] | None:
    """None where they predict classes. Raises InvalidInput where one predicts classes and the other numbers."""
    first, second = row_errors(ours), row_errors(theirs)
    if first is None and second is None:
        return None
    if first is None or second is None:
        raise InvalidInput("one of the two predicts classes, the other numbers")
    return first, second


def _missed(first: Errors, second: Errors, *, draws: Draws) -> Iterator[MetricDifference]:
    n = len(first.actual)
    whole = np.arange(n)[None, :]
    after, before = first.metrics(whole), second.metrics(whole)
    parts = [(first.metrics(rows), second.metrics(rows)) for rows in _row_draws(n, draws)]
    for name in after:
        drawn = np.concatenate([one[name] - other[name] for one, other in parts])
        yield _difference(name, float(after[name][0]), float(before[name][0]), drawn=drawn, draws=draws, n=n)


def _counted(ours: Rows, theirs: Rows, draws: Draws) -> Iterator[MetricDifference]:
    """These metrics depend on the counts of (actual, ours, theirs) only, so drawing rows with replacement is drawing
    those counts from a multinomial distribution.
    """
    labels, triples = positions(ours.classes, ours.actual, ours.predicted, theirs.predicted)
    kinds, counts = np.unique(triples, axis=1, return_counts=True)
    n, block, size = len(ours), max(1, MOST_NUMBERS_AT_ONCE // len(counts)), len(labels)
    random = np.random.default_rng(draws.seed)
    seen = [_metrics(counts[None, :], kinds, which=each, size=size) for each in (1, 2)]
    parts = []
    for start in range(0, draws.samples, block):
        drawn = random.multinomial(n, counts / n, size=min(block, draws.samples - start))
        after, before = (_metrics(drawn, kinds, which=each, size=size) for each in (1, 2))
        parts.append({name: after[name] - before[name] for name in after})
    for name in seen[0]:
        values = float(seen[0][name][0]), float(seen[1][name][0])
        yield _difference(name, *values, drawn=np.concatenate([part[name] for part in parts]), draws=draws, n=n)


def _metrics(weights: Array, kinds: Array, *, which: int, size: int) -> dict[str, Array]:
    """Per line of `weights`, which says how often each kind of row, (3, kinds), is there; which: 1 ours, 2 theirs."""
    return count_metrics(confusions(weights, kinds[0] * size + kinds[which], size))


def _lost(ours: Rows, theirs: Rows, draws: Draws) -> Iterator[MetricDifference]:
    """The two losses, on row numbers drawn by themselves; nothing where one of the two has no usable probabilities."""
    first, second = row_losses(ours), row_losses(theirs)
    if first is None or second is None:
        return
    whole = np.arange(len(ours))[None, :]
    after, before = _losses(first, whole), _losses(second, whole)
    parts = [(_losses(first, rows), _losses(second, rows)) for rows in _row_draws(len(ours), draws)]
    for name in after:
        drawn = np.concatenate([one[name] - other[name] for one, other in parts])
        yield _difference(name, float(after[name][0]), float(before[name][0]), drawn=drawn, draws=draws, n=len(ours))


def _losses(losses: Losses, rows: Array) -> dict[str, Array]:
    """One value per line of `rows`, which holds row numbers."""
    return {"log_loss": losses.losses[rows].mean(axis=1), "calibration_error": losses.calibration_error(rows)}


def _row_draws(n: int, draws: Draws) -> Iterator[Array]:
    random, block = np.random.default_rng(draws.seed), max(1, MOST_NUMBERS_AT_ONCE // n)
    samples = min(draws.samples, max(FEWEST_DRAWS, MOST_DRAWN_ROWS // n))
    for start in range(0, samples, block):
        yield random.integers(n, size=(min(block, samples - start), n), dtype=np.int32)


def _difference(
    name: str, candidate: float, incumbent: float, *, drawn: Array, draws: Draws, n: int
) -> MetricDifference:
    observed = candidate - incumbent
    low, high = np.quantile(drawn, [draws.tail, 1 - draws.tail])
    # Drawing rows again inflates a calibration error: the interval could lie beside the difference.
    low, high = min(float(low), observed), max(float(high), observed)
    return MetricDifference(name, observed, low, high, n, candidate=candidate, incumbent=incumbent)


def sliced(ours: Rows, theirs: Rows, draws: Draws, *, age_bands: tuple[float, ...]) -> list[MetricDifference]:
    """Accuracy in each slice of the inputs, of numbers the mean absolute error; the intervals hold together."""
    if (errors := both_errors(ours, theirs)) is not None:
        return _missed_together(*errors, parts=slices(ours.inputs, age_bands), tail=draws.tail)
    return _together(ours, theirs, slices(ours.inputs, age_bands), metric="accuracy", tail=draws.tail)


def _missed_together(
    first: Errors, second: Errors, *, parts: Iterator[tuple[str, Array]], tail: float
) -> list[MetricDifference]:
    """Student's interval of the mean difference in each part of at least two rows, widened as in `_together`."""
    held = [(label, inside) for label, inside in parts if np.count_nonzero(inside) > 1]
    found = []
    for label, inside in held:
        after, before = first.sizes[inside], second.sizes[inside]
        n, steps = len(after), after - before
        reach = float(-stdtrit(n - 1, tail / len(held)) * steps.std(ddof=1) / np.sqrt(n))
        mean, values = float(steps.mean()), (float(after.mean()), float(before.mean()))
        found.append(
            MetricDifference(
                "mae", mean, mean - reach, mean + reach, n, label, candidate=values[0], incumbent=values[1]
            )
        )
    return found


def per_class(ours: Rows, theirs: Rows, draws: Draws) -> list[MetricDifference]:
    """Recall of each class that occurs, in the order of the labels; the intervals hold together. None of numbers."""
    if both_errors(ours, theirs) is not None:
        return []
    labels, (actual, *_) = positions(ours.classes, ours.actual, ours.predicted, theirs.predicted)
    inside = ((str(label), actual == place) for place, label in enumerate(labels))
    return _together(ours, theirs, inside, metric="recall", tail=draws.tail)


def _together(
    ours: Rows, theirs: Rows, parts: Iterator[tuple[str, Array]], *, metric: str, tail: float
) -> list[MetricDifference]:
    """The share predicted right in each part, with intervals wide enough to hold together (Bonferroni).

    With 40 parts at 95 % each interval is one at 99.875 %: otherwise two of them would look different by chance.
    """
    right, before = ours.actual == ours.predicted, theirs.actual == theirs.predicted
    held = [(label, inside) for label, inside in parts if inside.any()]
    found = []
    for label, inside in held:
        n, hits, earlier = (int(np.count_nonzero(which)) for which in (inside, right & inside, before & inside))
        gained = int(np.count_nonzero(right & ~before & inside))
        lost = gained - hits + earlier
        low, high = share_interval(gained, lost, n=n, tail=tail / len(held))
        found.append(
            MetricDifference(
                metric, (gained - lost) / n, low, high, n, label, candidate=hits / n, incumbent=earlier / n
            )
        )
    return found


def share_interval(gained: int, lost: int, *, n: int, tail: float) -> tuple[float, float]:
    """The percentile interval of (gained - lost) / n that infinitely many draws of the n rows would give.

    The sum of n independent steps of +1, -1 and 0 has the n-th convolution power as its distribution; far out, where
    Bonferroni puts the limits, a thousand draws would say nothing.
    """
    if gained == lost == 0:
        return 0.0, 0.0
    step = np.zeros(2 * n + 1)
    step[[0, 1, -1]] = (n - gained - lost) / n, gained / n, lost / n  # position -1 stands for the step -1
    power = np.fft.irfft(np.fft.rfft(step) ** n, len(step))
    cumulated = np.cumsum(np.roll(power, n))  # position i stands for the sum i - n
    low, high = (int(np.searchsorted(cumulated, share)) - n for share in (tail, 1 - tail))
    return low / n, high / n


def mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided exact p-value that two classifiers are right equally often, from the rows where one of them is.

    Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
    Psychometrika 12, 1947; exact as in A. Agresti, Categorical Data Analysis, 2nd edition 2002, section 10.1: given
    their number, such rows fall to either side like a fair coin.
    """
    rows = only_first + only_second
    return 1.0 if rows == 0 else min(1.0, 2 * float(bdtr(min(only_first, only_second), rows, 0.5)))
