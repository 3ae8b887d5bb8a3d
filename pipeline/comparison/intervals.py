"""Intervals: of one version's metrics, of the differences between two versions, and the paired test of their accuracy.

To compare, both versions are judged on rows drawn again together, so that what makes a row hard for both cancels out
(B. Efron and R. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import DTypeLike
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
from pipeline.comparison.rows import Rows
from pipeline.comparison.slices import slices
from pipeline.governance.errors import InvalidInput
from pipeline.governance.ports import MetricDifference

MOST_NUMBERS_AT_ONCE = 5_000_000  # in one block of draws
MOST_DRAWN_ROWS = 20_000_000  # in all draws of the losses: from 20,000 rows on there are fewer draws, but 200 at least
FEWEST_DRAWS = 200
Group = tuple[str, Array]  # a label, and a mask over all rows


@dataclass(frozen=True)
class Draws:
    """How rows are drawn again; the same draws give the same intervals."""

    # How often all rows are drawn again.
    samples: int
    # Of the random generator.
    seed: int
    # Of each interval, such as 0.95.
    confidence: float

    @property
    def tail(self) -> float:
        return (1 - self.confidence) / 2


def wilson(hits: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval for a share of n rows; 0 to 1 where there are no rows."""
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, width = hits / n, 1 + z**2 / n
    middle = (share + z**2 / (2 * n)) / width
    half = z * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5 / width
    return max(0.0, middle - half), min(1.0, middle + half)


def percentile_intervals(
    metrics: Callable[[Array], Mapping[str, Array]], n: int, draws: Draws
) -> dict[str, tuple[float, float]]:
    """The bootstrap's percentile interval of each metric over n rows; `metrics` gives one value per line of a draw."""
    # Row numbers of 64 bits: with others the generator draws other rows, and stored evaluations have other intervals.
    blocks = [metrics(rows) for rows in _row_numbers(n, draws.samples, draws.seed, dtype=np.int64)]
    tails = [draws.tail, (1 + draws.confidence) / 2]
    limits = {name: np.quantile(np.concatenate([block[name] for block in blocks]), tails) for name in blocks[0]}
    return {name: (float(low), float(high)) for name, (low, high) in limits.items()}


def overall(ours: Rows, theirs: Rows, draws: Draws) -> list[MetricDifference]:
    """Metrics over all rows, ours minus theirs, with percentile intervals: of numbers or of classes."""
    if (errors := both_errors(ours, theirs)) is not None:
        return list(_drawn_again(*errors, len(ours), draws=draws))
    found = _counted(ours, theirs, draws)
    first, second = row_losses(ours), row_losses(theirs)
    if first is None or second is None:  # one of the two has no usable probabilities
        return found
    return [*found, *_drawn_again(first, second, len(ours), draws=draws)]


def both_errors(ours: Rows, theirs: Rows) -> tuple[Errors, Errors] | None:
    """The errors of two versions that predict numbers; None for classes. Raises InvalidInput for one of each."""
    first, second = row_errors(ours), row_errors(theirs)
    if first is None and second is None:
        return None
    if first is None or second is None:
        raise InvalidInput("one of the two predicts classes, the other numbers")
    return first, second


def _drawn_again(
    first: Errors | Losses, second: Errors | Losses, n: int, *, draws: Draws
) -> Iterator[MetricDifference]:
    """The differences of metrics and their percentile intervals, from rows drawn by their numbers."""
    whole = np.arange(n)[None, :]
    after, before = first.metrics(whole), second.metrics(whole)
    samples = min(draws.samples, max(FEWEST_DRAWS, MOST_DRAWN_ROWS // n))
    drawn_rows = _row_numbers(n, samples, draws.seed, dtype=np.int32)
    blocks = [(first.metrics(rows), second.metrics(rows)) for rows in drawn_rows]
    for name in after:
        drawn = np.concatenate([one[name] - other[name] for one, other in blocks])
        yield _difference(name, float(after[name][0]), float(before[name][0]), drawn=drawn, draws=draws, n=n)


def _counted(ours: Rows, theirs: Rows, draws: Draws) -> list[MetricDifference]:
    """These metrics depend on the counts of (actual, ours, theirs) only, so drawing rows with replacement is drawing
    those counts from a multinomial distribution.
    """
    labels, triples = positions(ours.classes, ours.actual, ours.predicted, theirs.predicted)
    kinds, counts = np.unique(triples, axis=1, return_counts=True)
    n, block, size = len(ours), max(1, MOST_NUMBERS_AT_ONCE // len(counts)), len(labels)
    random = np.random.default_rng(draws.seed)
    seen = [_metrics(counts[None, :], kinds, which=each, size=size) for each in (1, 2)]
    blocks = []
    for start in range(0, draws.samples, block):
        drawn = random.multinomial(n, counts / n, size=min(block, draws.samples - start))
        after, before = (_metrics(drawn, kinds, which=each, size=size) for each in (1, 2))
        blocks.append({name: after[name] - before[name] for name in after})
    drawn_of = {name: np.concatenate([block[name] for block in blocks]) for name in seen[0]}
    return [
        _difference(name, float(seen[0][name][0]), float(seen[1][name][0]), drawn=drawn, draws=draws, n=n)
        for name, drawn in drawn_of.items()
    ]


def _metrics(weights: Array, kinds: Array, *, which: int, size: int) -> dict[str, Array]:
    """Per line of `weights`, which says how often each kind of row, (3, kinds), is there; which: 1 ours, 2 theirs."""
    return count_metrics(confusions(weights, kinds[0] * size + kinds[which], size))


def _row_numbers(n: int, samples: int, seed: int, *, dtype: DTypeLike) -> Iterator[Array]:
    """Blocks of draws: as many lines of n row numbers as memory allows at once."""
    random, block = np.random.default_rng(seed), max(1, MOST_NUMBERS_AT_ONCE // n)
    for start in range(0, samples, block):
        yield random.integers(n, size=(min(block, samples - start), n), dtype=dtype)


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
    groups = [(each.label, each.inside) for each in slices(ours.inputs, age_bands)]
    if (errors := both_errors(ours, theirs)) is not None:
        return errors_together(*errors, groups, tail=draws.tail)
    return _shares_together(ours, theirs, groups, metric="accuracy", tail=draws.tail)


def errors_together(first: Errors, second: Errors, groups: Iterable[Group], *, tail: float) -> list[MetricDifference]:
    """Student's interval of the mean difference in each group of at least two rows, widened for their number."""
    judged = [(label, inside) for label, inside in groups if np.count_nonzero(inside) > 1]
    found = []
    for label, inside in judged:
        after, before = first.sizes[inside], second.sizes[inside]
        n, steps = len(after), after - before
        reach = float(-stdtrit(n - 1, tail / len(judged)) * steps.std(ddof=1) / np.sqrt(n))
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
    groups = ((str(label), actual == position) for position, label in enumerate(labels))
    return _shares_together(ours, theirs, groups, metric="recall", tail=draws.tail)


def _shares_together(
    ours: Rows, theirs: Rows, groups: Iterable[Group], *, metric: str, tail: float
) -> list[MetricDifference]:
    """The share predicted right in each group of rows, with intervals wide enough to hold together (Bonferroni).

    With 40 groups at 95 % each interval is one at 99.875 %: otherwise two of them would look different by chance.
    """
    right, before = ours.actual == ours.predicted, theirs.actual == theirs.predicted
    judged = [(label, inside) for label, inside in groups if inside.any()]
    found = []
    for label, inside in judged:
        n, hits, earlier = (int(np.count_nonzero(which)) for which in (inside, right & inside, before & inside))
        gained = int(np.count_nonzero(right & ~before & inside))
        lost = gained - hits + earlier
        low, high = share_interval(gained, lost, n=n, tail=tail / len(judged))
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
