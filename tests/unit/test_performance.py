"""What fits the kind of a version: precision and recall of two classes, errors of numbers by range."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, precision_recall_curve

from pipeline.comparison.evaluation import evaluate_rows
from pipeline.comparison.intervals import Draws
from pipeline.comparison.metrics import measure
from pipeline.comparison.performance import kind_differences, performance
from pipeline.comparison.rows import Rows

DRAWS = Draws(200, 52, 0.95)


def two_classes(sharpness: float, *, n: int = 300, classes: tuple[str, ...] = ("no", "yes")) -> Rows:
    """The sharper, the more probability the true class gets; probabilities with two decimals tie."""
    truth = np.random.default_rng(0).random(n) < 0.2
    scores = np.random.default_rng(1).normal(size=n) + sharpness * (truth - 0.5)
    chances = np.round(1 / (1 + np.exp(-scores)), 2)
    actual, predicted = (np.where(each, "yes", "no").astype(object) for each in (truth, chances > 0.5))
    both = np.stack([1 - chances, chances], axis=1)
    return Rows({}, actual, predicted, classes, both[:, : len(classes)])


def numbers(noise: float, *, n: int = 400) -> Rows:
    actual = np.random.default_rng(0).normal(50, 10, n)
    return Rows({}, actual, actual + 1 + np.random.default_rng(2).normal(0, noise, n), (), np.zeros((n, 0)))


def test_the_curve_is_scikit_learn_s():
    """Of each of the two classes; rows of one probability are taken together."""
    rows = two_classes(2.0)
    for curve, position in zip(performance(rows, DRAWS).curves, (0, 1), strict=True):
        truth, scores = rows.actual == rows.classes[position], rows.probabilities[:, position]
        precision, recall, _ = precision_recall_curve(truth, scores)

        assert (curve.class_name, curve.positives, curve.n) == (rows.classes[position], truth.sum(), 300)
        assert curve.average == pytest.approx(average_precision_score(truth, scores))
        assert curve.low < curve.average < curve.high
        assert curve.recall == pytest.approx(recall[-2::-1])
        assert curve.precision == pytest.approx(precision[-2::-1])


def test_two_versions_of_two_classes_differ_in_average_precision():
    """Per class, b minus a, with an interval over rows drawn together: sharper probabilities are better."""
    found = kind_differences(two_classes(1.0), two_classes(3.0), DRAWS)

    assert [(each.slice, each.verdict, each.n) for each in found.precision] == [("no", "better", 300),
                                                                                ("yes", "better", 300)]  # fmt: skip
    assert found.ranges == ()
    same = kind_differences(two_classes(1.0), two_classes(1.0), DRAWS)
    assert {each.verdict for each in same.precision} == {"not distinguishable"}


@pytest.mark.parametrize("names", [("0", "1"), ("False", "True"), ("0.0", "1.0")])
def test_classes_may_be_whole_numbers_or_truth_values(names):
    """Rows of the classes 0 and 1, or False and True, have the curves, the calibration and the losses of text."""
    text = two_classes(2.0)
    actual, predicted = ((each == "yes").astype(float) for each in (text.actual, text.predicted))  # as a file is read
    rows = Rows({}, actual, predicted, names, text.probabilities)
    found, expected = performance(rows, DRAWS), performance(text, DRAWS)

    assert [each.class_name for each in found.curves] == list(names)
    assert [each.average for each in found.curves] == [each.average for each in expected.curves]
    assert found.calibration == expected.calibration
    assert measure(rows) == measure(text)
    assert evaluate_rows(rows, DRAWS).confusion.classes == names
    assert [each.verdict for each in kind_differences(rows, rows, DRAWS).precision] == ["not distinguishable"] * 2


@pytest.mark.parametrize(
    "rows",
    [
        two_classes(1.0, classes=("no",)),
        Rows({}, np.array(["a"] * 9, object), np.array(["a"] * 9, object), ("a", "b"), np.full((9, 2), 0.5)),
        Rows({}, np.array(["a", "c"], object), np.array(["a"] * 2, object), ("a", "b"), np.full((2, 2), 0.5)),
    ],
    ids=["one class has probabilities", "one class occurs", "a class without probability"],
)
def test_without_two_classes_there_is_no_curve(rows):
    """Nor are there residuals; the rest stays empty."""
    found = performance(rows, DRAWS)

    assert (found.curves, found.residuals) == ((), None)


def test_errors_by_range_of_the_actual_number():
    """Eight ranges of 50 rows: the mean absolute error and the bias as SciPy has them, widened for eight."""
    rows = numbers(2.0)
    found = performance(rows, DRAWS)
    worst = found.residuals.ranges[0]
    inside = rows.actual < worst.end
    misses = (rows.predicted - rows.actual)[inside]
    low, high = stats.t.interval(1 - 0.05 / 8, 49, misses.mean(), misses.std(ddof=1) / np.sqrt(50))

    assert [each.n for each in found.residuals.ranges] == [50] * 8
    assert (worst.error, worst.bias) == pytest.approx((np.abs(misses).mean(), misses.mean()))
    assert (worst.bias_low, worst.bias_high) == pytest.approx((low, high))
    assert worst.error_low < worst.error < worst.error_high
    assert found.residuals.residuals == pytest.approx((rows.predicted - rows.actual)[np.argsort(rows.actual)])
    assert (found.calibration, found.curves) == (None, ())


def test_two_versions_of_numbers_differ_by_range():
    """The mean absolute error in the same ranges, b minus a: larger errors are worse."""
    found = kind_differences(numbers(1.0), numbers(4.0), DRAWS)

    assert [each.verdict for each in found.ranges] == ["worse"] * 8
    assert [each.n for each in found.ranges] == [50] * 8


@pytest.mark.parametrize("n", [2, 25, 39])
def test_few_rows_are_one_range(n):
    """Each range has at least 20 rows where there are as many."""
    found = performance(numbers(1.0, n=n), DRAWS).residuals

    assert [each.n for each in found.ranges] == [n]


def test_a_constant_number_is_one_range():
    """From the number to itself."""
    rows = Rows({}, np.full(60, 2.5), np.linspace(2, 3, 60), (), np.zeros((60, 0)))
    (only,) = performance(rows, DRAWS).residuals.ranges

    assert (only.start, only.end, only.n) == (2.5, 2.5, 60)


def test_a_long_file_is_drawn_with_2000_dots():
    """Evenly chosen from the smallest to the largest; the ranges count all."""
    found = performance(numbers(1.0, n=5_000), DRAWS).residuals

    assert (len(found.actual), found.n) == (2_000, 5_000)
    assert np.sum([each.n for each in found.ranges]) == 5_000
