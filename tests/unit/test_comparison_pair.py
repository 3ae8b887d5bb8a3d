"""Two files of evaluation rows for people: losses, recall per class, the paired test, flips, confusion, calibration."""

import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, mean_absolute_error, r2_score, recall_score, root_mean_squared_error

from pipeline.comparison import PairedBootstrap
from pipeline.comparison.agreement import calibration
from pipeline.comparison.evaluation import EvaluatedPredictions
from pipeline.comparison.intervals import mcnemar, wilson
from pipeline.comparison.metrics import measure, row_losses
from pipeline.comparison.rows import read_rows
from pipeline.governance.errors import InvalidInput
from pipeline.governance.ports import MetricDifference
from pipeline.governance.rules.paired import FlipKind, drawn_calibration_error
from pipeline.settings import read_settings
from pipeline.training.evaluate import evaluate_predictions

CLASSES = ("low", "middle", "high")
COMPARER = PairedBootstrap(samples=400, seed=52, confidence=0.95, age_bands=(0, 30, 100))


def evaluated(sharpness: float, *, n: int = 400, seed: int = 1) -> pd.DataFrame:
    """The same inputs and truth every time; the sharper, the more probability the true class gets."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"Gender": random.choice(["Female", "Male"], n), "Age": random.uniform(14, 60, n)})
    truth = random.integers(3, size=n)
    scores = np.random.default_rng(seed).normal(size=(n, 3)) + sharpness * np.eye(3)[truth]
    chances = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    names = np.array(CLASSES)
    frame = frame.assign(actual=names[truth], predicted=names[chances.argmax(axis=1)])
    return frame.assign(**{f"probability_{name}": chances[:, index] for index, name in enumerate(CLASSES)})


def parquet(frame: pd.DataFrame) -> bytes:
    target = io.BytesIO()
    frame.to_parquet(target, index=False)
    return target.getvalue()


WEAK, STRONG = evaluated(1.0), evaluated(3.0, seed=2)
PAIRED = COMPARER.pair(parquet(WEAK), parquet(STRONG))


def predictions(frame: pd.DataFrame) -> EvaluatedPredictions:
    actual, predicted = (frame[name].map(CLASSES.index).to_numpy() for name in ("actual", "predicted"))
    return EvaluatedPredictions(CLASSES, actual, predicted, frame.filter(like="probability_").to_numpy())


@pytest.mark.parametrize("frame", [WEAK, STRONG], ids=["weak", "strong"])
def test_metrics_are_defined_as_in_training(frame):
    """What is recomputed is the same number as what training claims, far below the tolerance of the gate."""
    claimed = evaluate_predictions(predictions(frame), read_settings(environ={}).evaluation)["metrics"]
    found = measure(read_rows(parquet(frame), "rows"))

    assert found == pytest.approx({name: entry["value"] for name, entry in claimed.items()}, abs=1e-12)


def test_every_metric_comes_with_both_values_and_a_verdict():
    """B minus a, losses included, on all rows."""
    values = [measure(read_rows(parquet(frame), "rows")) for frame in (WEAK, STRONG)]

    assert [each.metric for each in PAIRED.metrics] == list(values[0])
    for each in PAIRED.metrics:
        a, b = (found[each.metric] for found in values)
        assert (each.incumbent, each.candidate, each.difference) == pytest.approx((a, b, b - a))
        assert each.low <= each.difference <= each.high
        assert each.n == 400
    # The strong one is right more often than it says.
    assert [each.verdict for each in PAIRED.metrics] == ["better"] * 6 + ["worse"]


@pytest.mark.parametrize(
    ("metric", "low", "high", "verdict"),
    [
        ("accuracy", 0.01, 0.05, "better"),
        ("accuracy", -0.05, -0.01, "worse"),
        ("log_loss", 0.01, 0.05, "worse"),
        ("calibration_error", -0.05, -0.01, "better"),
        ("log_loss", -0.01, 0.05, "not distinguishable"),
        ("accuracy", 0.0, 0.05, "not distinguishable"),
    ],
)
def test_of_a_loss_less_is_better(metric, low, high, verdict):
    """The interval decides, and for which metric lower is better is known in one place."""
    assert MetricDifference(metric, (low + high) / 2, low, high, 100).verdict == verdict


def test_the_loss_interval_agrees_with_drawing_rows():
    """Up to the noise of drawing."""
    losses = [-np.log(frame.filter(like="probability_").to_numpy()[np.arange(400), frame["actual"].map(CLASSES.index)])
              for frame in (WEAK, STRONG)]  # fmt: skip
    drawn = (losses[1] - losses[0])[np.random.default_rng(3).integers(400, size=(4000, 400))].mean(axis=1)
    found = next(each for each in PAIRED.metrics if each.metric == "log_loss")

    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.02)


def test_recall_per_class_is_scikit_learn_s():
    """In the order of the probability columns, with the class's own number of rows and intervals that hold together."""
    before, after = (recall_score(frame["actual"], frame["predicted"], average=None, labels=CLASSES)
                     for frame in (WEAK, STRONG))  # fmt: skip

    assert [each.slice for each in PAIRED.classes] == list(CLASSES)
    assert [each.n for each in PAIRED.classes] == [(WEAK["actual"] == name).sum() for name in CLASSES]
    assert [each.candidate for each in PAIRED.classes] == pytest.approx(list(after))
    assert [each.difference for each in PAIRED.classes] == pytest.approx(list(after - before))
    # Three intervals that hold together are each one at 1 - 0.05 / 3.
    right = [(frame["actual"] == frame["predicted"])[WEAK["actual"] == "low"].to_numpy() for frame in (WEAK, STRONG)]
    gain, n = right[1].astype(float) - right[0], PAIRED.classes[0].n
    drawn = gain[np.random.default_rng(3).integers(n, size=(20_000, n))].mean(axis=1)
    expected = np.quantile(drawn, [0.05 / 6, 1 - 0.05 / 6])
    assert [PAIRED.classes[0].low, PAIRED.classes[0].high] == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 11), (11, 3), (5, 5), (40, 90), (3000, 3100)])
def test_mcnemar_is_the_exact_binomial_test(first, second):
    """Two-sided, from the rows where only one of the two is right."""
    expected = binomtest(first, first + second).pvalue if first + second else 1.0

    assert mcnemar(first, second) == pytest.approx(expected)


def test_counts_of_agreement_add_up():
    """Right and wrong of both, and the flipped ones among them."""
    right = [(frame["actual"] == frame["predicted"]).to_numpy() for frame in (WEAK, STRONG)]
    found = PAIRED.agreement

    assert found.n == 400
    assert found.both_right == (right[0] & right[1]).sum()
    assert found.only_a_right == (right[0] & ~right[1]).sum()
    assert found.only_b_right == (right[1] & ~right[0]).sum()
    assert found.flipped == (WEAK["predicted"] != STRONG["predicted"]).sum()
    assert found.p_value == pytest.approx(mcnemar(found.only_a_right, found.only_b_right))
    assert found.as_json()["flipped"] == found.flipped


def test_flipped_rows_come_whole():
    """Position, inputs, truth, both predictions and both highest probabilities."""
    flips = COMPARER.flips(parquet(WEAK), parquet(STRONG))
    first = flips.rows[0]
    row = WEAK.iloc[first.row]

    assert flips.agreement == PAIRED.agreement
    assert [each.row for each in flips.rows] == np.flatnonzero(WEAK["predicted"] != STRONG["predicted"]).tolist()
    assert first.inputs == {"Gender": row["Gender"], "Age": row["Age"]}
    assert (first.actual, first.a, first.b) == (row["actual"], row["predicted"], STRONG["predicted"][first.row])
    assert first.a_probability == WEAK.filter(like="probability_").iloc[first.row].max()
    assert first.b_probability == STRONG.filter(like="probability_").iloc[first.row].max()
    kinds = [each.kind for each in flips.rows]
    assert kinds.count(FlipKind.GAINED) == flips.agreement.only_b_right
    assert kinds.count(FlipKind.LOST) == flips.agreement.only_a_right
    assert kinds.count(FlipKind.CHANGED) == flips.agreement.both_wrong_differently


def test_a_missing_input_of_a_flipped_row_is_none():
    """JSON has no NaN."""
    before, after = WEAK.assign(Age=np.nan), STRONG.assign(Age=np.nan)

    assert {each.inputs["Age"] for each in COMPARER.flips(parquet(before), parquet(after)).rows} == {None}


def test_confusions_and_moves_are_scikit_learn_s():
    """Per version by true and predicted class; the moves by the two predictions; the difference is b minus a."""
    found = PAIRED.confusions
    before, after = (confusion_matrix(frame["actual"], frame["predicted"], labels=CLASSES) for frame in (WEAK, STRONG))

    assert found.classes == CLASSES
    assert np.array_equal(found.a, before)
    assert np.array_equal(found.b, after)
    assert np.array_equal(found.difference, after - before)
    assert np.array_equal(found.moves, confusion_matrix(WEAK["predicted"], STRONG["predicted"], labels=CLASSES))


def test_calibration_points_give_the_calibration_error():
    """Per bin of the highest probability: its mean, the share right with Wilson's interval, the number of rows."""
    points, rows = PAIRED.calibration_a or (), read_rows(parquet(WEAK), "rows")

    assert np.sum([point.n for point in points]) == 400
    assert all(point.low <= point.probability <= point.high for point in points)
    assert all((point.right_low, point.right_high) == wilson(round(point.right * point.n), point.n, 0.95)
               for point in points)  # fmt: skip
    assert min(np.bincount(row_losses(rows).bins)[4:]) >= 20  # only the bin from 0.3 is thin here
    assert drawn_calibration_error(points) <= measure(rows)["calibration_error"]
    assert [point.low for point in points] == [0.3, 0.5, 0.6, 0.7, 0.8, 0.9]


@pytest.mark.parametrize(
    ("highest", "bins"),
    [
        ([0.35] * 5 + [0.55] * 30 + [0.95] * 40, [(0.3, 0.6, 35), (0.9, 1.0, 40)]),
        ([0.35] * 30 + [0.95] * 19, [(0.3, 1.0, 49)]),
        ([0.95] * 3, [(0.9, 1.0, 3)]),
        ([0.45] * 20 + [0.55] * 20, [(0.4, 0.5, 20), (0.5, 0.6, 20)]),
    ],
    ids=["first is thin", "last is thin", "few rows", "none is thin"],
)
def test_thin_bins_are_merged(highest, bins):
    """A point of the picture stands for at least 20 rows, where there are as many; no row is left out."""
    frame = pd.DataFrame({"actual": "a", "predicted": "a", "probability_a": highest})
    frame["probability_b"] = frame["probability_c"] = (1 - frame["probability_a"]) / 2
    points = calibration(read_rows(parquet(frame), "rows"), 0.95)

    assert [(point.low, point.high, point.n) for point in points] == bins


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.drop(columns="probability_low"),
        lambda frame: frame.drop(columns=[f"probability_{name}" for name in CLASSES]),
        lambda frame: frame.assign(probability_low=np.nan),
        lambda frame: frame.assign(probability_low=-0.1),
        lambda frame: frame.assign(**{f"probability_{name}": 0.0 for name in CLASSES}),
        lambda frame: frame.assign(probability_low="much"),
    ],
    ids=["one class", "all", "NaN", "negative", "zeros", "text"],
)
def test_without_usable_probabilities_there_are_no_losses(change):
    """The other metrics stay; no calibration, and no highest probability where it is no number."""
    found = COMPARER.pair(parquet(WEAK), parquet(change(STRONG)))

    assert [each.metric for each in found.metrics] == [each.metric for each in PAIRED.metrics[:5]]
    assert found.calibration_b is None
    assert found.calibration_a == PAIRED.calibration_a


def test_a_file_without_probabilities_has_no_highest_one():
    """The flipped rows are still there."""
    bare = STRONG[["Gender", "Age", "actual", "predicted"]]
    flips = COMPARER.flips(parquet(WEAK), parquet(bare))

    assert {each.b_probability for each in flips.rows} == {None}
    assert len(flips.rows) == flips.agreement.flipped


def test_rows_that_differ_are_refused():
    """For every method, with the reason."""
    for method in (COMPARER.pair, COMPARER.flips):
        with pytest.raises(InvalidInput, match=r"same rows \(400 and 399 rows\)"):
            method(parquet(WEAK), parquet(STRONG.head(399)))


def test_two_columns_of_one_name_are_refused():
    """Which of the two would be the input is anybody's guess."""
    frame = WEAK[["Gender", "Age", "actual", "predicted"]]
    table = pa.Table.from_pandas(frame, preserve_index=False).rename_columns(["Age", "Age", "actual", "predicted"])
    target = io.BytesIO()
    pq.write_table(table, target)

    with pytest.raises(InvalidInput, match="two columns of the same name"):
        COMPARER.pair(target.getvalue(), target.getvalue())


def test_a_file_of_more_than_100_megabytes_is_refused():
    """Unread."""
    with pytest.raises(InvalidInput, match="larger than 100 MB"):
        read_rows(bytes(100 * 2**20 + 1), "rows")


def test_many_rows_need_fewer_draws():
    """The losses of 60,000 rows are drawn 333 times, not 1,000: each draw costs as much as all rows."""
    comparer = PairedBootstrap(samples=1000, seed=1, confidence=0.95)
    frames = [evaluated(sharpness, n=60_000, seed=seed) for sharpness, seed in ((2.0, 1), (2.1, 2))]
    found = comparer.compare(*(parquet(frame) for frame in reversed(frames)))

    assert [each.verdict for each in found if each.metric == "log_loss"] == ["better"]


def numbers(noise: float, *, n: int = 400) -> pd.DataFrame:
    """Predicted numbers with errors of that size; inputs and truth are always the same."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"Gender": random.choice(["Female", "Male"], n), "actual": random.normal(10, 3, n)})
    return frame.assign(predicted=frame["actual"] + np.random.default_rng(5).normal(0, noise, n))


CLOSE, FAR = parquet(numbers(1.0)), parquet(numbers(2.0))


def test_numbers_are_compared_by_their_errors():
    """As scikit-learn counts them; a larger error is worse, a larger r2 better."""
    found = {each.metric: each for each in COMPARER.compare(FAR, CLOSE) if not each.slice}
    frame = numbers(2.0)

    assert {name: each.verdict for name, each in found.items()} == {"rmse": "worse", "mae": "worse", "r2": "worse"}
    assert found["rmse"].candidate == pytest.approx(root_mean_squared_error(frame["actual"], frame["predicted"]))
    assert found["mae"].candidate == pytest.approx(mean_absolute_error(frame["actual"], frame["predicted"]))
    assert found["r2"].candidate == pytest.approx(r2_score(frame["actual"], frame["predicted"]))
    assert measure(read_rows(FAR, "rows")) == pytest.approx({name: each.candidate for name, each in found.items()})
    assert {each.metric: each.verdict for each in COMPARER.compare(CLOSE, FAR) if not each.slice} == {
        "rmse": "better", "mae": "better", "r2": "better",
    }  # fmt: skip


def test_numbers_have_slices_and_no_classes():
    """The mean absolute error per slice; nothing that flips."""
    paired = COMPARER.pair(CLOSE, FAR)

    assert {(each.slice, each.metric, each.verdict) for each in paired.slices} == {
        ("Gender = Female", "mae", "worse"),
        ("Gender = Male", "mae", "worse"),
    }
    assert (paired.n, paired.classes, paired.agreement, paired.confusions, paired.calibration_a) == (
        400,
        (),
        None,
        None,
        None,
    )
    with pytest.raises(InvalidInput, match="numbers, which do not flip"):
        COMPARER.flips(CLOSE, FAR)


def test_equal_numbers_are_not_distinguishable():
    """In no metric and no slice."""
    assert {each.verdict for each in COMPARER.compare(CLOSE, CLOSE)} == {"not distinguishable"}


def test_one_true_value_has_no_r2():
    """There is no variance to explain."""
    flat = numbers(1.0).assign(actual=10.5)

    assert sorted(measure(read_rows(parquet(flat), "rows"))) == ["mae", "rmse"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda frame: frame.assign(predicted=frame["actual"].round()), "one of the two predicts classes"),
        (lambda frame: frame.assign(predicted=frame["predicted"].where(frame.index > 0)), "missing values"),
    ],
    ids=["classes", "missing"],
)
def test_numbers_are_compared_with_numbers(change, sentence):
    """Whole numbers alone are classes."""
    whole = numbers(1.0).assign(actual=lambda frame: frame["actual"].round())

    with pytest.raises(InvalidInput, match=sentence):
        COMPARER.compare(parquet(change(whole)), parquet(whole))
