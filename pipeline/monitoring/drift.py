"""Whether rows that came later are distributed as those that a version was evaluated on, from counts per bin.

The test is Pearson's chi-squared test of homogeneity (A. Agresti, Categorical Data Analysis, 2nd edition 2002, section
3.2), with rare bins drawn together; over all columns the false-discovery rate is held (Y. Benjamini and Y. Hochberg,
Controlling the false discovery rate, JRSS B 57, 1995). How much differs is the Jensen-Shannon distance (J. Lin,
Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 37, 1991): a test alone calls
any difference significant once there are enough rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2_contingency, false_discovery_control

from pipeline.governance.rules.watching import Drift
from pipeline.monitoring.profile import BinCounts, ConfidenceCounts

Array = NDArray[Any]
FEWEST_EXPECTED = 5  # rows in a bin, below which the chi-squared distribution does not hold (W. Cochran, 1954)
TEST = "chi-squared"


def compare(name: str, reference: BinCounts | ConfidenceCounts, counts: Mapping[int, int]) -> Drift:
    """One distribution beside its reference; counts: rows of the window by bin, of which unknown ones are left out."""
    before = np.array(reference.counts, dtype=np.float64)
    now = np.zeros_like(before)
    for position, n in counts.items():
        if 0 <= position < len(now):
            now[position] += n
    n = int(now.sum())
    labels = reference.bins.labels() if isinstance(reference, BinCounts) else reference.labels()
    if not n:
        return Drift(name, "", 1.0, 1.0, 0.0, 0, labels, _shares(before), tuple(0.0 for _ in before))
    table = _merged(np.stack([before, now]))
    outside = reference.bins.outside if isinstance(reference, BinCounts) else ()
    p = _homogeneous(table)
    return Drift(
        name,
        test="" if p is None else TEST,
        p=1.0 if p is None else p,
        adjusted=1.0 if p is None else p,
        effect=float(np.nan_to_num(jensenshannon(*table, base=2))),
        n=n,
        labels=labels,
        before=_shares(before),
        now=_shares(now),
        outside=float(now[list(outside)].sum() / n),
    )


def controlled(drifts: Sequence[Drift]) -> list[Drift]:
    """The same with p adjusted for all of them together; those that could not be tested count as equal."""
    tested = [each for each in drifts if each.test]
    if not tested:
        return list(drifts)
    adjusted = iter(false_discovery_control([each.p for each in tested]))
    return [replace(each, adjusted=float(next(adjusted))) if each.test else each for each in drifts]


def _homogeneous(table: Array) -> float | None:
    """The p-value that both lines come from one distribution; None where only one bin is left."""
    if table.shape[1] < 2:  # noqa: PLR2004 (one bin holds everything, then and now)
        return None
    return float(chi2_contingency(table, correction=False).pvalue)


def _merged(table: Array) -> Array:
    """The bins of which both lines expect enough rows, and one more for all others together."""
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    rare = expected < FEWEST_EXPECTED
    if not rare.any():
        return table
    kept, rest = table[:, ~rare], table[:, rare].sum(axis=1, keepdims=True)
    if kept.shape[1] and expected[rare].sum() < FEWEST_EXPECTED:
        smallest = int(np.argmin(kept.sum(axis=0)))
        kept[:, smallest] += rest[:, 0]
        return kept
    return np.concatenate([kept, rest], axis=1)


def _shares(counts: Array) -> tuple[float, ...]:
    total = counts.sum()
    return tuple((counts / total).tolist()) if total else tuple(0.0 for _ in counts)
