"""Drift and accuracy without labels: shifts that were planted are found, and what did not shift raises no alarm."""

from datetime import timedelta

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from pipeline.comparison.intervals import wilson
from pipeline.governance.rules.watching import AccuracyFigure
from pipeline.monitoring.drift import TEST, compare, controlled
from pipeline.monitoring.estimate import estimated_accuracy, measured_accuracy
from pipeline.monitoring.profile import BinCounts, CategoryBins, ConfidenceCounts, NumberBins, Profile
from support.shifts import DRAWS, WINDOW, WINDOWS, judged, planted, profile_of_held_out_rows, rows, watched


@pytest.fixture(scope="module")
def profile() -> Profile:
    return profile_of_held_out_rows()


def test_planted_shifts_are_found_and_the_others_are_quiet(profile, capsys):
    """Of 20 windows in which one column has moved nearly all are found, of 20 others hardly one raises an alarm."""
    seen = planted(profile)
    with capsys.disabled():
        print(f"\n{seen.sentence}")  # noqa: T201 (the figures of the method)

    # Some room: another version of NumPy may draw other rows from the same seeds.
    assert seen.found >= 16
    assert seen.alarms <= 2
    assert seen.beside <= 2


def test_estimated_accuracy_holds_while_the_inputs_move(profile):
    """The interval holds what the rows turn out to be in nearly all of 20 windows, also where the weight has moved."""
    inside = 0
    for seed in range(WINDOWS):
        random = np.random.default_rng(3_000 + seed)
        frame = rows(random, 2_000)
        found = watched(profile, judged(frame.assign(weight=frame["weight"] * (1 + seed / 100)), random))
        estimate = found.report.accuracy.estimated
        assert estimate is not None
        assert estimate.low is not None
        assert estimate.high is not None
        assert estimate.low <= estimate.value <= estimate.high
        margin = 1.96 * (0.25 / 2_000) ** 0.5  # the truth of 2,000 rows is drawn, too
        inside += estimate.low - margin <= found.accuracy <= estimate.high + margin

    assert inside >= 17


def test_a_test_is_pearsons_and_the_effect_is_a_distance():
    """P is SciPy's of the two lines; nothing in common is 1, the same shares 0."""
    reference = BinCounts(CategoryBins(("a", "b")), (0, 0, 60, 40))

    found = compare("x", reference, {2: 30, 3: 70})

    assert (found.test, found.n, found.labels[2:]) == (TEST, 100, ("a", "b"))
    assert found.p == pytest.approx(chi2_contingency([[60, 40], [30, 70]], correction=False).pvalue)
    assert found.before == (0.0, 0.0, 0.6, 0.4)
    assert found.now == (0.0, 0.0, 0.3, 0.7)
    assert compare("x", reference, {2: 600, 3: 400}).effect == 0
    assert compare("x", reference, {1: 100}).effect == pytest.approx(1)
    assert compare("x", reference, {1: 100}).outside == 1


def test_rare_bins_are_drawn_together():
    """Where fewer than five rows are expected the distribution of the test does not hold."""
    reference = BinCounts(NumberBins(0, 9, tuple(float(cut) for cut in range(1, 9))), (0, 0, *[10] * 9, 0))

    whole, few = compare("x", reference, dict.fromkeys(range(2, 11), 10)), compare("x", reference, {2: 3})

    assert whole.p == pytest.approx(1)
    assert few.test == ""
    assert few.p == few.adjusted == 1


def test_a_few_rare_rows_join_the_smallest_bin():
    """Together they would still be too few for the test."""
    reference = BinCounts(CategoryBins(("a", "b")), (0, 1, 300, 200))

    found = compare("x", reference, {1: 1, 2: 60, 3: 39})

    assert found.test == TEST
    assert found.p > 0.9


def test_no_rows_say_nothing():
    """Neither does a bin that the reference does not know."""
    reference = BinCounts(CategoryBins(("a",)), (0, 0, 5))

    found = compare("x", reference, {7: 5})

    assert (found.n, found.test, found.effect) == (0, "", 0.0)
    assert controlled([found]) == [found]


def test_many_columns_are_judged_together():
    """One p of 0.04 in twenty is what chance gives."""
    reference = BinCounts(CategoryBins(("a", "b")), (0, 0, 500, 500))
    same, other = compare("x", reference, {2: 250, 3: 250}), compare("y", reference, {2: 280, 3: 220})

    found = controlled([other, *[same] * 19])

    assert other.p < 0.1 < found[0].adjusted
    assert found[0].p == other.p


def test_accuracy_is_not_estimated_without_rows():
    """Nor from bins that the reference does not have; and measured only where an outcome is known."""
    reference = ConfidenceCounts((0.5,), (0, 100), (0, 80))

    assert estimated_accuracy(reference, {}, DRAWS) is None
    assert measured_accuracy(0, 0, DRAWS) is None
    assert estimated_accuracy(reference, {0: 10}, DRAWS).value == 0.8
    assert measured_accuracy(81, 263, DRAWS) == AccuracyFigure(81 / 263, *wilson(81, 263, 0.95), 263)
    assert WINDOW.until - WINDOW.since == timedelta(hours=24)
