"""Slices that nobody listed: every value of a column and every combination of two, searched for where a version fails.

One version is weak in a slice where it does worse than chance would let it among rows of the same overall quality; a
version is worse than another there where it loses more rows to the other than a fair coin explains. Levels are
categories, or ranges of a number with about as many rows each. What is found holds together: the chance that any of it
is an accident is at most 1 - confidence, however many combinations were tried and however they overlap.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import bdtr, gammaln, ndtr, stdtrit

from pipeline.comparison.intervals import both_errors, share_interval, wilson
from pipeline.comparison.metrics import Array, row_errors
from pipeline.comparison.rows import Rows, require_same_rows

FEWEST_ROWS = 30  # of a slice
MOST_COLUMNS = 40  # the first ones; what is left out is said
MOST_LEVELS = 8  # of one column, the most frequent categories
RANGES = 4  # of a number
MOST_FOUND = 20  # that are handed back
ROWS_AT_ONCE = 20_000
SMALLEST = np.finfo(float).tiny
NO_REASON = -1.0  # standard deviations: a share nearer to the overall one is not tested further


@dataclass(frozen=True)
class FoundSlice:
    """Rows that have one or two things in common, on which a version is weak."""

    # One or two pairs of a column and its value or range, such as ("Gender", "Female").
    parts: tuple[tuple[str, str], ...]
    # Rows in the slice.
    n: int
    # What the version reaches there: accuracy, or the mean absolute error where numbers are predicted.
    value: float
    # What it is held against: the same over all rows, or of the other version in the slice.
    reference: float
    # The interval of `value`, or of the difference where two versions are compared, widened for all that was tried.
    low: float
    # Its upper end.
    high: float
    # The p-value times the number of tests that could have been significant, at most 1.
    p_value: float

    @property
    def difference(self) -> float:
        return self.value - self.reference


@dataclass(frozen=True)
class SliceSearch:
    """What a search has tried and found."""

    # "accuracy" or "mae".
    metric: str
    # Whether two versions were compared.
    paired: bool
    # Rows that were searched.
    rows: int
    # How many slices of at least 30 rows were tried.
    tried: int
    # Columns whose values make slices.
    columns: int
    # Columns that were not searched: beyond the 40th, or without two levels of 30 rows.
    left_out: int
    # How many are weak, before the list was cut and combinations that say nothing new were left out.
    significant: int
    # The worst first: at most 20, without combinations that do not differ from one of their columns alone.
    found: tuple[FoundSlice, ...]


@dataclass(frozen=True)
class Trials:
    """One entry per slice."""

    # Rows.
    n: Array
    # The value of each slice, and what it is held against.
    value: Array
    reference: Array
    # One-sided, that it is no worse.
    p_values: Array
    # The smallest that each test could have given.
    least: Array
    # Whether `reference` is another version's value in the slice, instead of one value for all slices.
    paired: bool
    # Of numbers: the standard deviation of what the value, or the difference, is the mean of. None for classes.
    deviation: Array | None = None
    # Of two versions of classes: the rows that only the one that is judged predicts right.
    gained: Array | None = None

    def interval(self, position: int, tail: float) -> tuple[float, float]:
        """Of the value, or of the difference where it is paired."""
        n, value, reference = (float(each[position]) for each in (self.n, self.value, self.reference))
        if self.deviation is not None:
            middle = value - reference if self.paired else value
            reach = float(-stdtrit(n - 1, tail) * self.deviation[position] / np.sqrt(n))
            return middle - reach, middle + reach
        if self.gained is None:
            return wilson(round(value * n), int(n), 1 - 2 * tail)
        gained = int(self.gained[position])
        return share_interval(gained, gained - round((value - reference) * n), n=int(n), tail=tail)


@dataclass(frozen=True)
class Levels:
    """The levels of all columns, numbered through, and which of them each row has."""

    # Column and value or range of each level.
    names: tuple[tuple[str, str], ...]
    # Shape (rows, columns): the number of the level, -1 for none.
    codes: Array

    def sums(self, *weights: Array) -> list[Array]:
        """Per weight (rows,) a symmetric matrix over the levels: its sum over the rows that have both levels."""
        size = len(self.names)
        found = [np.zeros((size, size)) for _ in weights]
        for start in range(0, len(self.codes), ROWS_AT_ONCE):
            codes = self.codes[start : start + ROWS_AT_ONCE]
            has = np.zeros((len(codes), size + 1), dtype=np.float32)  # -1 falls into the last column
            np.put_along_axis(has, codes, 1, axis=1)
            has = has[:, :size]
            for number, weight in enumerate(weights):
                part = weight[start : start + ROWS_AT_ONCE, None]
                # Counts are whole numbers, exact in float32 up to 2**24; other sums need double precision.
                exact = part.dtype == np.bool_
                weighted = has * (part.astype(np.float32) if exact else part)
                found[number] += weighted.T @ (has if exact else has.astype(float))
        return found


def weaker_than_overall(rows: Rows, confidence: float) -> SliceSearch:
    """Slices on which a version is less accurate, or misses by more, than over all rows.

    Classes: the hypergeometric test, exact (R. A. Fisher, The Design of Experiments, 1935), that a slice is as right as
    any choice of as many rows. Numbers: Wilcoxon's rank sum of the absolute errors with the normal approximation
    (F. Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1, 1945). Raises InvalidInput.
    """
    levels, errors = levels_of(rows.inputs), row_errors(rows)
    if errors is not None:
        ranks = ranks_of(errors.sizes)
        counts, sizes, squares, ranked = levels.sums(np.ones(len(rows), bool), errors.sizes, errors.squares, ranks)
        where = _worth_trying(counts, len(rows))
        n, mean = counts[where], sizes[where] / counts[where]
        overall = float(errors.sizes.mean())
        spread = np.sqrt(n * float(ranks.var()) * (len(rows) - n) / max(1, len(rows) - 1))
        p_values = ndtr(-(ranked[where] - n * float(ranks.mean())) / np.maximum(spread, SMALLEST))
        deviation = np.sqrt(np.maximum(0, squares[where] / n - mean**2) * n / (n - 1))
        p_values, least = np.where(mean > overall, p_values, 1.0), np.zeros(len(n))
        tests = Trials(n, mean, np.full(len(n), overall), p_values, least, paired=False, deviation=deviation)
        return _searched("mae", levels, tests, where=where, rows=rows, confidence=confidence)
    right = np.asarray(rows.actual == rows.predicted, dtype=bool)
    counts, hits = levels.sums(np.ones(len(rows), bool), right)
    where = _worth_trying(counts, len(rows))
    n, own, total = counts[where], hits[where], int(right.sum())
    overall = total / max(1, len(rows))
    p_values = few_hits(own, n, total=total, rows=len(rows))
    tests = Trials(n, own / n, np.full(len(n), overall), p_values, np.zeros(len(n)), paired=False)
    return _searched("accuracy", levels, tests, where=where, rows=rows, confidence=confidence)


def worse_than(b: Rows, a: Rows, confidence: float) -> SliceSearch:
    """Slices of the same rows on which b is worse than a.

    Classes: McNemar's exact test, one-sided (see intervals.mcnemar). Numbers: the signed ranks of the differences of
    the absolute errors with the normal approximation (F. Wilcoxon, 1945). Raises InvalidInput where the rows differ.
    """
    require_same_rows(b, a)
    levels, errors = levels_of(b.inputs), both_errors(b, a)
    everyone = np.ones(len(b), bool)
    if errors is not None:
        after, before = (each.sizes for each in errors)
        steps = after - before
        ranks = np.where(steps != 0, ranks_of(np.abs(steps)), 0.0)
        sums = levels.sums(everyone, after, before, steps**2, np.sign(steps) * ranks, ranks**2)
        where = _worth_trying(sums[0], len(b))
        n, own, other, squares, signed, ranked = (each[where] for each in sums)
        p_values = ndtr(-signed / np.sqrt(np.maximum(ranked, SMALLEST)))
        mean = (own - other) / n
        deviation = np.sqrt(np.maximum(0, squares / n - mean**2) * n / (n - 1))
        p_values, least = np.where(mean > 0, p_values, 1.0), np.zeros(len(n))
        tests = Trials(n, own / n, other / n, p_values, least, paired=True, deviation=deviation)
        return _searched("mae", levels, tests, where=where, rows=b, confidence=confidence)
    right, earlier = (np.asarray(each.actual == each.predicted, dtype=bool) for each in (b, a))
    sums = levels.sums(everyone, right, earlier, right & ~earlier)
    where = _worth_trying(sums[0], len(b))
    n, own, other, gained = (each[where] for each in sums)
    lost = gained - own + other
    p_values = np.where(lost > gained, bdtr(gained, (gained + lost).astype(int), 0.5), 1.0)
    least = 0.5 ** (gained + lost)
    tests = Trials(n, own / n, other / n, p_values, least, paired=True, gained=gained)
    return _searched("accuracy", levels, tests, where=where, rows=b, confidence=confidence)


def levels_of(inputs: Mapping[str, Array]) -> Levels:
    """At most eight levels of at least 30 rows for each of the first 40 columns; fewer than two make no slices."""
    names: list[tuple[str, str]] = []
    columns = []
    for name, column in list(inputs.items())[:MOST_COLUMNS]:
        values, positions = _text_levels(column) if column.dtype == object else _number_levels(column)
        counts = np.bincount(positions[positions >= 0], minlength=len(values))
        kept = np.argsort(-counts, kind="stable")[:MOST_LEVELS]
        kept = np.sort(kept[counts[kept] >= FEWEST_ROWS])
        if len(kept) > 1:
            number = np.full(len(values) + 1, -1)
            number[kept] = len(names) + np.arange(len(kept))
            names.extend((name, values[each]) for each in kept)
            columns.append(number[positions])
    rows = len(next(iter(inputs.values()))) if inputs else 0
    return Levels(tuple(names), np.stack(columns, axis=1) if columns else np.zeros((rows, 0), dtype=int))


def _text_levels(column: Array) -> tuple[list[str], Array]:
    """Missing ones are a level of their own."""
    order: dict[str, int] = {}
    positions = [order.setdefault("missing" if each is None else str(each), len(order)) for each in column.tolist()]
    return list(order), np.array(positions, dtype=int)


def _number_levels(column: Array) -> tuple[list[str], Array]:
    """Each value where there are few, else ranges from one quartile to the next; the last holds its upper end."""
    known = np.isfinite(column)
    values = np.unique(column[known])
    positions = np.full(len(column), -1)
    if len(values) <= MOST_LEVELS:
        positions[known] = np.searchsorted(values, column[known])
        names = [f"{value:g}" for value in values]
    else:
        edges = np.unique(np.quantile(column[known], np.linspace(0, 1, RANGES + 1)))
        positions[known] = np.searchsorted(edges[1:-1], column[known], side="right")
        names = [f"{low:.4g}\N{EN DASH}{high:.4g}" for low, high in pairwise(edges)]
    positions[~known] = len(names)
    return [*names, "missing"], positions


def _worth_trying(counts: Array, rows: int) -> tuple[Array, Array]:
    """The two levels of each slice, equal for one column alone: of enough rows, and none that is another one again."""
    own = counts.diagonal()
    same = (counts == own[:, None]) | (counts == own[None, :])
    np.fill_diagonal(same, own == rows)
    first, second = np.nonzero(np.triu((counts >= FEWEST_ROWS) & ~same))
    return first, second


def few_hits(hits: Array, n: Array, *, total: int, rows: int) -> Array:
    """P(at most so many hits among n of all rows, of which `total` are hits); 1 where they are hardly fewer than usual.

    Far fewer sums than slices: what lies near the overall share could not be found anyway.
    """
    share = total / max(1, rows)
    spread = np.sqrt(np.maximum(SMALLEST, n * share * (1 - share) * (rows - n) / max(1, rows - 1)))
    p_values = np.ones(len(n))
    few = (hits - n * share) / spread < NO_REASON
    p_values[few] = _hypergeometric(hits[few], n[few], total=total, rows=rows)
    return p_values


def _hypergeometric(hits: Array, n: Array, *, total: int, rows: int) -> Array:
    """The distribution function. Below the mean each term is smaller than the one before: a sum that soon ends."""
    logarithm = _log_choose(total, hits) + _log_choose(rows - total, n - hits) - _log_choose(rows, n)
    term = np.exp(logarithm)
    found, x = term.copy(), hits.copy()
    while len(x) and (term > found * np.finfo(float).eps).any():
        term = term * x * np.maximum(0, rows - total - n + x) / ((total - x + 1) * (n - x + 1))
        x = np.maximum(0, x - 1)
        found += term
    return np.minimum(1.0, found)


def _log_choose(n: Array | int, k: Array) -> Array:
    found: Array = gammaln(np.add(n, 1)) - gammaln(k + 1) - gammaln(n - k + 1)
    return found


def ranks_of(values: Array) -> Array:
    """Ranks from 1; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: Array = np.cumsum(counts) - (counts - 1) / 2
    return means[inverse]


def tarone(least: Array, level: float) -> int:
    """How many tests count when p-values are corrected: those that could be significant at all.

    R. E. Tarone, A modified Bonferroni method for discrete data, Biometrics 46, 1990: the smallest k such that at most
    k tests can fall below level / k. Where each test can give any p-value, k is their number, as with Bonferroni.
    """
    if not len(least):
        return 1
    k = np.arange(1, len(least) + 1)
    able = np.searchsorted(np.sort(least), level / k, side="right")
    return int(k[np.argmax(able <= k)])


def _searched(
    metric: str, levels: Levels, tests: Trials, *, where: tuple[Array, Array], rows: Rows, confidence: float
) -> SliceSearch:
    """Corrects the p-values and keeps what is significant. where: the two levels of each test's slice."""
    level, k = 1 - confidence, tarone(tests.least, 1 - confidence)
    corrected = np.minimum(1.0, tests.p_values * k)
    weak = np.flatnonzero(corrected <= level)
    by_effect = -np.abs(tests.value[weak] - tests.reference[weak])
    found: dict[tuple[int, ...], FoundSlice] = {}
    for each in weak[np.lexsort((by_effect, corrected[weak]))].tolist():
        numbers = tuple(dict.fromkeys((int(where[0][each]), int(where[1][each]))))
        low, high = tests.interval(each, level / 2 / k)
        found[numbers] = FoundSlice(
            parts=tuple(levels.names[number] for number in numbers),
            n=int(tests.n[each]),
            value=float(tests.value[each]),
            reference=float(tests.reference[each]),
            low=low,
            high=high,
            p_value=float(corrected[each]),
        )
    kept = [each for numbers, each in found.items() if _says_more(numbers, found, paired=tests.paired)]
    return SliceSearch(
        metric=metric,
        paired=tests.paired,
        rows=len(rows),
        tried=len(tests.n),
        columns=levels.codes.shape[1],
        left_out=len(rows.inputs) - levels.codes.shape[1],
        significant=len(found),
        found=tuple(kept[:MOST_FOUND]),
    )


def _says_more(numbers: tuple[int, ...], found: Mapping[tuple[int, ...], FoundSlice], *, paired: bool) -> bool:
    """Whether a combination differs from what each of its columns alone, where that is found too, already says."""
    own = found[numbers]
    singles = [found[number,] for number in numbers if (number,) in found] if len(numbers) > 1 else []
    return all(not own.low <= (each.difference if paired else each.value) <= own.high for each in singles)
