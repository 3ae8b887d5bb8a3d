"""Evaluation against scikit-learn and literal values."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from pipeline.comparison.evaluation import EvaluatedPredictions
from pipeline.comparison.intervals import Draws, percentile_intervals, wilson
from pipeline.settings import read_settings
from pipeline.training.data import generate_sample
from pipeline.training.evaluate import baseline, evaluate_predictions, evaluation_rows, slices

SETTINGS = read_settings(environ={})
CLASSES = ("a", "b", "c", "never")


@pytest.fixture(scope="module")
def predictions() -> EvaluatedPredictions:
    """Two hundred rows of three classes; a fourth one is known and neither true nor predicted."""
    random = np.random.default_rng(1)
    probabilities = np.column_stack([random.dirichlet([1, 1, 1], size=200), np.zeros(200)])
    actual = np.where(random.random(200) < 0.6, probabilities.argmax(axis=1), random.integers(3, size=200))
    return EvaluatedPredictions(CLASSES, actual, probabilities.argmax(axis=1), probabilities)


def test_wilson_known_value():
    """81 of 263 at 95 % is 0.2553 to 0.3662 (Newcombe 1998, table I)."""
    assert wilson(81, 263, 0.95) == pytest.approx((0.2553, 0.3662), abs=5e-5)


@pytest.mark.parametrize(("hits", "n", "low", "high"), [(0, 0, 0, 1), (0, 20, 0, 0.1611), (20, 20, 0.8389, 1)])
def test_wilson_at_the_ends(hits, n, low, high):
    """No rows say nothing, and the interval stays inside 0 to 1."""
    assert wilson(hits, n, 0.95) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("f1_macro", lambda t, p: metrics.f1_score(t, p, average="macro")),
        ("f1_weighted", lambda t, p: metrics.f1_score(t, p, average="weighted")),
        ("precision_macro", lambda t, p: metrics.precision_score(t, p, average="macro")),
        ("recall_macro", lambda t, p: metrics.recall_score(t, p, average="macro")),
    ],
)
def test_metrics_are_those_of_scikit_learn(predictions, name, score):
    """Values from counts are equal to scikit-learn's, with a class that does not occur."""
    ours = predictions.metrics(np.arange(200)[None, :])[name][0]

    assert ours == pytest.approx(score(predictions.actual, predictions.predicted), rel=1e-12)


def test_bootstrap_draws_are_those_of_scikit_learn(predictions):
    """Each line of a draw gives what scikit-learn gives on the drawn rows."""
    draws = np.random.default_rng(2).integers(200, size=(3, 200))
    expected = [
        metrics.f1_score(predictions.actual[draw], predictions.predicted[draw], average="macro") for draw in draws
    ]

    assert predictions.metrics(draws)["f1_macro"] == pytest.approx(expected, rel=1e-12)


def test_log_loss_is_that_of_scikit_learn(predictions):
    """A true class with probability 0 costs much, not infinitely much."""
    ours = predictions.metrics(np.arange(200)[None, :])["log_loss"][0]

    assert ours == pytest.approx(metrics.log_loss(predictions.actual, predictions.probabilities, labels=[0, 1, 2, 3]))


def test_calibration_error_by_hand():
    """Ten rows said with 0.9 of which seven are right are 0.2 off."""
    probabilities = np.tile([0.9, 0.1], (10, 1))
    actual = np.array([0] * 7 + [1] * 3)
    ten = EvaluatedPredictions(("a", "b"), actual, np.zeros(10, dtype=int), probabilities)

    assert ten.metrics(np.arange(10)[None, :])["calibration_error"][0] == pytest.approx(0.2)


def test_intervals_hold_their_values(predictions):
    """Every metric lies inside its interval, which names the method that made it."""
    found = evaluate_predictions(predictions, SETTINGS.evaluation)["metrics"]

    assert all(entry["low"] <= entry["value"] <= entry["high"] for entry in found.values())
    assert {name for name, entry in found.items() if entry["method"] == "wilson"} == {"accuracy"}
    assert len(found) == 7


def test_bootstrap_is_repeatable_and_narrows(predictions):
    """The same seed gives the same interval; a lower confidence gives a narrower one."""
    wide = percentile_intervals(predictions.metrics, 200, Draws(300, 1, 0.95))
    narrow = percentile_intervals(predictions.metrics, 200, Draws(300, 1, 0.5))

    assert wide == percentile_intervals(predictions.metrics, 200, Draws(300, 1, 0.95))
    assert wide["f1_macro"][0] < narrow["f1_macro"][0] < narrow["f1_macro"][1] < wide["f1_macro"][1]


def test_confusion_rows_are_true_classes(predictions):
    """The matrix agrees with scikit-learn's, and each row adds up to the class's support."""
    document = evaluate_predictions(predictions, SETTINGS.evaluation)
    matrix = document["confusion"]["matrix"]

    assert matrix == metrics.confusion_matrix(predictions.actual, predictions.predicted, labels=[0, 1, 2, 3]).tolist()
    assert [sum(row) for row in matrix] == [line["n"] for line in document["per_class"]]


def test_per_class_recall_has_an_interval(predictions):
    """Recall per class is scikit-learn's and lies inside Wilson's interval."""
    lines = evaluate_predictions(predictions, SETTINGS.evaluation)["per_class"]
    expected = metrics.recall_score(predictions.actual, predictions.predicted, average=None, labels=[0, 1, 2])

    assert [line["recall"] for line in lines[:3]] == pytest.approx(expected.tolist())
    assert all(line["recall_low"] <= line["recall"] <= line["recall_high"] for line in lines)


@pytest.fixture(scope="module")
def sliced() -> tuple[pd.DataFrame, list[dict]]:
    rows = generate_sample(100, seed=3)
    rows.loc[0, "Age"], rows.loc[1, "Age"] = 20.0, 100.0
    right = np.arange(100) % 4 != 0
    actual = np.zeros(100, dtype=int)
    probabilities = np.eye(7)[np.where(right, 0, 1)]
    predictions = EvaluatedPredictions(
        tuple(SETTINGS.schema_.target.classes), actual, probabilities.argmax(axis=1), probabilities
    )
    return rows, slices(rows, predictions, SETTINGS)


def test_slices_of_a_column_cover_all_rows(sliced):
    """Each categorical column, and the bands of age, divide all rows."""
    rows, found = sliced
    columns = {entry["column"] for entry in found}

    assert columns == {*SETTINGS.schema_.categories, "Age"}
    assert {sum(entry["n"] for entry in found if entry["column"] == name) for name in columns} == {len(rows)}


def test_age_bands_hold_their_lower_edge(sliced):
    """Twenty belongs to the band from 20 to 25, and the last band holds its upper edge."""
    rows, found = sliced
    bands = {entry["value"]: entry["n"] for entry in found if entry["column"] == "Age"}

    assert bands["20\N{EN DASH}25"] == rows["Age"].between(20, 25, inclusive="left").sum()
    assert bands["30\N{EN DASH}100"] == (rows["Age"] >= 30).sum()


def test_slice_accuracy(sliced):
    """A slice's accuracy is the share of its rows that are right, inside its interval."""
    rows, found = sliced
    entry = next(entry for entry in found if entry["value"] == "Female")
    right = (np.arange(100) % 4 != 0)[(rows["Gender"] == "Female").to_numpy()]

    assert entry["accuracy"] == right.mean()
    assert entry["low"] < entry["accuracy"] < entry["high"]


def test_baseline_is_the_most_frequent_class_of_training():
    """The baseline is chosen on the training rows and measured on the test rows."""
    train = pd.DataFrame({"t": ["a", "a", "b"]})
    test = pd.DataFrame({"t": ["a", "b", "b", "b"]})

    assert baseline(train, test, "t") == {"class": "a", "accuracy": 0.25}


def test_evaluation_rows_have_inputs_truth_and_probabilities():
    """One row per test row: the inputs as they came, actual, predicted, and a probability per class."""
    rows = generate_sample(10, seed=3)
    classes = tuple(SETTINGS.schema_.target.classes)
    predictions = EvaluatedPredictions(classes, np.arange(10) % 7, np.arange(10) % 7, np.full((10, 7), 1 / 7))

    frame = evaluation_rows(rows, predictions, SETTINGS.schema_)

    assert list(frame.columns) == [
        *SETTINGS.schema_.columns, "actual", "predicted", *(f"probability_{name}" for name in classes)
    ]  # fmt: skip
    assert frame["predicted"].tolist() == [classes[index % 7] for index in range(10)]
