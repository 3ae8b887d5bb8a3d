"""The accuracy of rows whose truth nobody knows yet, from how often the version is right at each confidence.

Confidence-based performance estimation of the accuracy: the mean calibrated probability of the predicted class (J.
Białek et al., Estimating Model Performance Under Covariate Shift Without Labels, arXiv 2401.08348, section 2; J.
Kivimäki et al., Performance Estimation in Binary Classification Using Calibrated Confidence, arXiv 2505.05295).
Calibrated by histogram binning (B. Zadrozny and C. Elkan, ICML 2001) on the held-out rows, so that counts per bin are
all that it takes. It holds where the inputs are distributed otherwise and the truth given the inputs is as before;
where the truth itself has changed, only outcomes show it.
"""

from collections.abc import Mapping

import numpy as np

from pipeline.comparison.intervals import Draws, wilson
from pipeline.governance.rules.watching import AccuracyFigure
from pipeline.monitoring.profile import ConfidenceCounts

PRIOR = 0.5  # Jeffreys' prior of a share, so that a bin that was always right is not certain to be


def estimated_accuracy(reference: ConfidenceCounts, counts: Mapping[int, int], draws: Draws) -> AccuracyFigure | None:
    """The estimate for rows with these counts per bin of confidence; None where there are no rows.

    The interval is a percentile interval: the rows are drawn again (their counts from a multinomial distribution), and
    so is what the held-out rows say about each bin (its share from the posterior with Jeffreys' prior).
    """
    rows, hits = np.array(reference.counts, dtype=np.float64), np.array(reference.hits, dtype=np.float64)
    now = np.array([counts.get(position, 0) for position in range(len(rows))], dtype=np.int64)
    n = int(now.sum())
    if not n:
        return None
    # A bin that held no row of the evaluation is as right as all of them together.
    right = np.where(rows > 0, hits / np.maximum(rows, 1), hits.sum() / rows.sum())
    random = np.random.default_rng(draws.seed)
    shares = random.beta(hits + PRIOR, rows - hits + PRIOR, size=(draws.samples, len(rows)))
    drawn = random.multinomial(n, now / n, size=draws.samples)
    value = float(right @ now / n)
    low, high = np.quantile((shares * drawn).sum(axis=1) / n, [draws.tail, 1 - draws.tail])
    return AccuracyFigure(value, min(float(low), value), max(float(high), value), n)


def measured_accuracy(hits: int, n: int, draws: Draws) -> AccuracyFigure | None:
    """Of rows of which the outcome is known, with Wilson's interval; None where there are none."""
    return AccuracyFigure(hits / n, *wilson(hits, n, draws.confidence), n) if n else None
