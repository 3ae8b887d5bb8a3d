"""Two versions compared on their evaluation rows."""

import io
import pickle
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from pipeline.comparison import PairedBootstrap
from pipeline.governance.errors import InvalidInput

CLASSES = [f"Level_{index}" for index in range(7)]
METRICS = ["accuracy", "f1_macro", "f1_weighted", "precision_macro", "recall_macro"]
COMPARER = PairedBootstrap(samples=1000, seed=52, confidence=0.95, age_bands=(0, 20, 30, 100))


def evaluated(right: float, *, n: int = 627, seed: int = 1) -> pd.DataFrame:
    """Rows whose inputs and truth are always the same; a share of at least `right` is predicted right."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "Gender": random.choice(["Female", "Male"], n),
            "Age": random.uniform(14, 60, n),
            "NCP": random.integers(1, 5, n),
        }
    )
    truth = random.integers(7, size=n)
    random = np.random.default_rng(seed)
    said = np.where(random.random(n) < right, truth, random.integers(7, size=n))
    names = np.array(CLASSES)
    return frame.assign(actual=names[truth], predicted=names[said], probability_Level_0=0.5)


def parquet(frame: pd.DataFrame) -> bytes:
    target = io.BytesIO()
    frame.to_parquet(target, index=False)
    return target.getvalue()


def compare(candidate: pd.DataFrame, incumbent: pd.DataFrame, comparer: PairedBootstrap = COMPARER):
    return comparer.compare(parquet(candidate), parquet(incumbent))


def test_differences_are_those_of_scikit_learn():
    """Each difference over all rows is scikit-learn's metric of the candidate minus that of the incumbent."""
    candidate, incumbent = evaluated(0.9), evaluated(0.7, seed=2)
    found = {each.metric: each.difference for each in compare(candidate, incumbent) if not each.slice}

    def expected(frame):
        truth, said = frame["actual"], frame["predicted"]
        return {
            "accuracy": (truth == said).mean(),
            "f1_macro": f1_score(truth, said, average="macro"),
            "f1_weighted": f1_score(truth, said, average="weighted"),
            "precision_macro": precision_score(truth, said, average="macro", zero_division=0),
            "recall_macro": recall_score(truth, said, average="macro"),
        }

    ours, theirs = expected(candidate), expected(incumbent)
    assert found == pytest.approx({name: ours[name] - theirs[name] for name in METRICS})


def test_class_that_nobody_has_is_left_out():
    """A class that only the other version predicts does not enter a version's macro averages."""
    incumbent = pd.DataFrame({"actual": ["a", "a", "b", "b"], "predicted": ["a", "b", "b", "b"]})
    candidate = incumbent.assign(predicted=["a", "c", "b", "b"])
    found = {each.metric: each.difference for each in compare(candidate, incumbent)}
    macro = [f1_score(frame["actual"], frame["predicted"], average="macro") for frame in (candidate, incumbent)]
    assert found["f1_macro"] == pytest.approx(macro[0] - macro[1])


def test_order_of_the_result():
    """All rows come first, then one line per category and band of age, each with its number of rows."""
    frame = evaluated(0.9)
    found = compare(frame, evaluated(0.8, seed=2))
    assert [each.metric for each in found[:5]] == METRICS
    assert {each.n for each in found[:5]} == {627}
    assert [each.slice for each in found[5:]] == [
        "Gender = Female",
        "Gender = Male",
        "Age = 0\N{EN DASH}20",
        "Age = 20\N{EN DASH}30",
        "Age = 30\N{EN DASH}100",
    ]
    assert found[5].n == (frame["Gender"] == "Female").sum()
    assert sum(each.n for each in found[7:]) == 627


def test_bands_only_where_asked_for():
    """Without bands a column named Age is a number like any other."""
    found = compare(evaluated(0.9), evaluated(0.8), PairedBootstrap(samples=100, seed=1, confidence=0.95))
    assert not [each for each in found if each.slice.startswith("Age")]


def test_same_predictions_are_not_distinguishable():
    """Two versions that predict alike differ by 0, with the interval 0 to 0."""
    found = compare(evaluated(0.9), evaluated(0.9))
    assert {(each.difference, each.low, each.high, each.verdict) for each in found} == {
        (0, 0, 0, "not distinguishable")
    }


def test_clear_difference_has_a_verdict_both_ways():
    """What is clearly better one way round is clearly worse the other way round."""
    good, bad = evaluated(0.95), evaluated(0.6, seed=2)
    assert {each.verdict for each in compare(good, bad)} == {"better"}
    assert {each.verdict for each in compare(bad, good)} == {"worse"}


def test_same_files_same_numbers():
    """The draws are fixed by the seed."""
    candidate, incumbent = evaluated(0.9), evaluated(0.88, seed=2)
    assert compare(candidate, incumbent) == compare(candidate, incumbent)
    other = compare(candidate, incumbent, PairedBootstrap(samples=1000, seed=1, confidence=0.95))
    assert other[1] != compare(candidate, incumbent)[1]


def test_interval_agrees_with_drawing_rows():
    """The interval is the one that drawing whole rows in pairs gives, up to the noise of drawing."""
    candidate, incumbent = evaluated(0.9), evaluated(0.8, seed=2)
    truth, ours, theirs = (column.to_numpy() for column in (candidate.actual, candidate.predicted, incumbent.predicted))
    gain = (truth == ours).astype(float) - (truth == theirs)
    drawn = gain[np.random.default_rng(3).integers(627, size=(4000, 627))].mean(axis=1)
    found = compare(candidate, incumbent)[0]
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.006)


def test_slices_are_widened_for_their_number():
    """The interval of a slice is that of drawing its rows at a confidence of 1 - 0.05 / 5 for five slices."""
    candidate, incumbent = evaluated(0.9), evaluated(0.8, seed=2)
    inside = (candidate["Gender"] == "Female").to_numpy()
    right = [(frame["actual"] == frame["predicted"]).to_numpy()[inside] for frame in (candidate, incumbent)]
    gain, n = right[0].astype(float) - right[1], int(inside.sum())
    drawn = gain[np.random.default_rng(3).integers(n, size=(20_000, n))].mean(axis=1)
    found = next(each for each in compare(candidate, incumbent) if each.slice == "Gender = Female")
    assert [found.low, found.high] == pytest.approx(np.quantile(drawn, [0.005, 0.995]), abs=0.008)


def test_chance_alone_rarely_gives_a_verdict():
    """Of 60 pairs of equally good versions at most 10 % have any slice that looks worse."""
    comparer = PairedBootstrap(samples=100, seed=52, confidence=0.95, age_bands=(0, 20, 30, 100))
    alarms = 0
    for seed in range(60):
        found = compare(evaluated(0.9, seed=2 * seed + 1), evaluated(0.9, seed=2 * seed + 2), comparer)
        alarms += any(each.slice and each.verdict == "worse" for each in found)
    assert alarms <= 6


def test_fast_enough_for_a_page():
    """A thousand draws of 627 rows with seven classes take less than half a second of the processor."""
    files = parquet(evaluated(0.9)), parquet(evaluated(0.8, seed=2))
    COMPARER.compare(*files)
    start = time.process_time()
    COMPARER.compare(*files)
    assert time.process_time() - start < 0.5


def test_missing_inputs_are_equal_to_each_other():
    """A missing number or category in both files is the same row."""
    frame = evaluated(0.9)
    frame.loc[0, "Age"] = None
    frame.loc[1, "Gender"] = None
    found = compare(frame, frame)
    assert sum(each.n for each in found if each.slice.startswith("Gender")) == 626


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda frame: frame.head(600), r"not evaluated on the same rows \(627 and 600 rows\)"),
        (lambda frame: frame.assign(Age=frame["Age"] + 1), r"same rows \(Age differs in 627 of 627 rows\)"),
        (lambda frame: frame.assign(Gender="Male"), r"same rows \(Gender differs in \d+ of 627 rows\)"),
        (lambda frame: frame.assign(actual=frame["actual"].iloc[::-1].to_numpy()), r"same rows \(actual differs"),
        (lambda frame: frame.drop(columns="NCP"), r"same columns \(only one of them has 'NCP'\)"),
        (lambda frame: frame.drop(columns="actual"), r"incumbent: the evaluation rows have no column 'actual'"),
        (lambda frame: frame.drop(columns="predicted"), r"incumbent: .* no column 'predicted'"),
        (lambda frame: frame.head(0), r"incumbent: 0 evaluation rows"),
        (lambda frame: frame.assign(predicted=[None, *frame["predicted"][1:]]), r"predicted: has missing values"),
        (lambda frame: frame.assign(NCP=pd.Timestamp("2026-01-01")), r"NCP: holds timestamp"),
        (lambda frame: frame.assign(NCP=[[1]] * 627), r"NCP: holds list"),
        (lambda frame: frame.assign(NCP=[b"x"] * 627), r"NCP: holds .*binary"),
        (lambda frame: frame.assign(predicted=[str(index) for index in range(627)]), r"different values; classes"),
    ],
    ids=lambda value: "" if callable(value) else value[:30],
)
def test_rows_that_differ_or_are_unusable(change, sentence):
    """What cannot be compared is refused with one sentence that says why."""
    with pytest.raises(InvalidInput, match=sentence):
        compare(evaluated(0.9), change(evaluated(0.8)))


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all", parquet(evaluated(0.9))[:-200]], ids=len)
def test_damaged_parquet(damage):
    """A file that is no Parquet is invalid input, not a crash."""
    with pytest.raises(InvalidInput, match="candidate: the evaluation rows cannot be read"):
        COMPARER.compare(damage, parquet(evaluated(0.9)))


def test_too_many_rows():
    """The number of rows is looked at before anything is unpacked."""
    table = pa.table({"actual": pa.array(["a"] * 200_001), "predicted": pa.array(["a"] * 200_001)})
    target = io.BytesIO()
    pq.write_table(table, target)
    with pytest.raises(InvalidInput, match="200,001 evaluation rows"):
        COMPARER.compare(target.getvalue(), target.getvalue())


def test_repeated_text_does_not_unpack():
    """A text of 5 MB that stands in 200,000 rows is refused without asking for a terabyte."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), ["x" * 5_000_000])
    table = pa.table({"note": text, "actual": ["a"] * 200_000, "predicted": ["a"] * 200_000})
    target = io.BytesIO()
    pq.write_table(table, target, compression="zstd")
    with pytest.raises(InvalidInput, match="note: holds a text of more than 10,000 characters"):
        COMPARER.compare(target.getvalue(), target.getvalue())


class Marks:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", ["arrow.py_extension_type", "arrow.parquet.unknown", "pandas.period"])
def test_types_that_carry_code(tmp_path, name):
    """The pickle in a type's description stays shut: the column is read as it is stored, or the file is refused."""
    marker = tmp_path / "ran"
    described = {"ARROW:extension:name": name, "ARROW:extension:metadata": pickle.dumps(Marks(marker))}
    fields = [pa.field("note", pa.int64(), metadata=described), ("actual", pa.string()), ("predicted", pa.string())]
    schema = pa.schema(fields, metadata={"pandas": pickle.dumps(Marks(marker))})
    target = io.BytesIO()
    pq.write_table(pa.table([[1, 2], ["a", "b"], ["a", "b"]], schema=schema), target)
    with suppress(InvalidInput):
        assert COMPARER.compare(target.getvalue(), target.getvalue())[0].difference == 0
    assert not marker.exists()
