"""What a model answers is brought into one form and checked, or refused by a sentence; nothing is guessed."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix, issparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain
from sklearn.neural_network import MLPClassifier

from pipeline.governance.errors import Refused
from pipeline.serving.worker import operations
from pipeline.serving.worker.__main__ import answer, sendable
from pipeline.serving.worker.arrow import packed, unpacked
from pipeline.serving.worker.load import LoadedModel, ModelFailure, short
from pipeline.serving.worker.model_cache import CachedModel
from pipeline.serving.worker.outputs import probability_fault, several_of

THREE = np.array([[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]])


class Answering:
    """A model of strangers: says of each row what the test says, whatever the row."""

    def __init__(self, *, predict: Any = None, predict_proba: Any = None, classes: Any = None) -> None:
        self._said = predict
        if predict_proba is not None:
            self.predict_proba = lambda rows: _as_many(predict_proba, len(rows))
        if classes is not None:
            self.classes_ = np.array(classes)

    def predict(self, rows: pd.DataFrame) -> Any:
        return self._said(rows) if callable(self._said) else _as_many(self._said, len(rows))


def _as_many(said: Any, count: int) -> Any:
    if issparse(said):
        return said[np.arange(count) % said.shape[0]]
    if isinstance(said, pd.DataFrame):
        return said.take(np.arange(count) % len(said)).reset_index(drop=True)
    if isinstance(said, dict):
        return {name: _as_many(values, count) for name, values in said.items()}
    if isinstance(said, list):
        return [said[place % len(said)] for place in range(count)]
    return np.take(said, np.arange(count) % len(said), axis=0)


def held(model: Any, name: str = "Stranger") -> CachedModel:
    return CachedModel(LoadedModel(model, name, {}, Path(), frozenset()), mlflow_flavor=True)


def lists(count: int = 2, **columns: list[Any]) -> dict[str, Any]:
    columns = columns or {"a": [float(place) for place in range(count)]}
    return {"columns": list(columns), "dtypes": [""] * len(columns), "values": list(columns.values())}


def by_lists(model: Any, count: int = 2) -> Any:
    return operations.predict(held(model), lists(count))


def by_arrow(model: Any, count: int = 2) -> Any:
    sent = packed(pa.record_batch({"a": [float(place) for place in range(count)]}))
    said = operations.predict(held(model), {"dtypes": ["float64"]}, sent)
    return said["classes"], unpacked(said["arrow"]).to_pylist()


def refusal(model: Any, count: int = 2) -> str:
    with pytest.raises((ModelFailure, Refused)) as by_list:
        by_lists(model, count)
    with pytest.raises((ModelFailure, Refused)) as in_columns:
        by_arrow(model, count)
    assert str(by_list.value) == str(in_columns.value)
    return str(by_list.value)


@pytest.mark.parametrize(
    "said",
    [
        np.array([1.5, 2.5]),
        np.array([[1.5], [2.5]]),
        [1.5, 2.5],
        pd.DataFrame({"any name": [1.5, 2.5]}),
        {"any name": np.array([[1.5], [2.5]])},
    ],
    ids=["array", "column", "list", "frame", "mapping"],
)
def test_one_value_per_row(said):
    """Of any container."""
    assert by_lists(Answering(predict=said)) == {"predictions": [1.5, 2.5], "classes": [], "probabilities": None}
    assert by_arrow(Answering(predict=said)) == ([], [{"prediction": 1.5}, {"prediction": 2.5}])


@pytest.mark.parametrize("said", [THREE, THREE.astype(np.float32), pd.DataFrame(THREE)])
def test_class_probabilities_of_boosters_and_networks(said):
    """A model with `predict` only that gives rows of shares: the most probable class, by its position."""
    found = by_lists(Answering(predict=said))

    assert found["predictions"] == [1, 0]
    assert found["classes"] == ["0", "1", "2"]
    assert np.allclose(found["probabilities"], THREE)
    json.dumps(found, allow_nan=False)


def test_class_probabilities_in_a_frame_have_the_names_of_its_columns():
    """They are the classes."""
    classes, rows = by_arrow(Answering(predict=pd.DataFrame(THREE, columns=["low", "middle", "high"])))

    assert classes == ["low", "middle", "high"]
    assert rows[0] == {"prediction": "middle", "0": 0.2, "1": 0.5, "2": 0.3}


def test_a_frame_shows_its_columns():
    """In a file each is a column of its own; a cell without a value is null."""
    table = pd.DataFrame({"score": [0.5, np.inf], "label": ["a", "b"], "at": pd.to_datetime(["2026-01-02", None])})  # type: ignore[arg-type]
    known = [
        {"score": 0.5, "label": "a", "at": "2026-01-02T00:00:00"},
        {"score": None, "label": "b", "at": None},
    ]

    assert by_lists(Answering(predict=table))["predictions"] == known
    assert [row["prediction"] for row in by_arrow(Answering(predict=table))[1]] == known
    records = Answering(predict=[{"score": 0.5, "label": "a"}, {"score": 1.0, "label": "b"}])
    assert by_lists(records)["predictions"][1] == {"score": 1.0, "label": "b"}


def test_names_of_several_levels_are_one_text_each():
    """As of a class as of a column."""
    names = pd.MultiIndex.from_tuples([("score", "no"), ("score", "yes")])

    found = by_lists(Answering(predict=pd.DataFrame([[0.2, 0.8], [0.7, 0.3]], columns=names)))

    assert found["predictions"] == ["('score', 'yes')", "('score', 'no')"]


def test_one_sparse_column_is_one_value_per_row():
    """As scikit-learn's own models may answer."""
    assert by_lists(Answering(predict=csr_matrix([[1.5], [0.0]])))["predictions"] == [1.5, 0.0]


def test_several_labels_at_once_have_no_sum():
    """One of scikit-learn that says yes or no to each label, with a probability for each."""
    random = np.random.default_rng(1)
    inputs = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    truth = np.column_stack([inputs["a"] > 0, inputs["b"] > 0]).astype(int)
    model = OneVsRestClassifier(LogisticRegression()).fit(inputs, truth)
    known = held(model, "OneVsRestClassifier")
    rows = lists(a=[1.0, -1.0], b=[1.0, -1.0])

    found = operations.predict(known, rows)

    assert found["predictions"] == [{"0": 1, "1": 1}, {"0": 0, "1": 0}]
    assert np.allclose(found["probabilities"], model.predict_proba(inputs.iloc[:0].reindex([0, 1]).assign(**_of(rows))))
    assert abs(sum(found["probabilities"][0]) - 1) > 0.1


@pytest.mark.parametrize(
    "estimator", [ClassifierChain(LogisticRegression()), MLPClassifier((3,), max_iter=30, random_state=0)]
)
def test_several_labels_of_chains_and_networks(estimator):
    """By the number of each label, whatever the model keeps as its classes."""
    random = np.random.default_rng(7)
    inputs = pd.DataFrame(random.normal(size=(60, 2)), columns=["a", "b"])
    truth = np.column_stack([inputs["a"] > 0, inputs["b"] > 0]).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = estimator.fit(inputs, truth)
    rows = lists(a=[1.0, -1.0], b=[1.0, -1.0])

    found = operations.predict(held(model, type(model).__name__), rows)

    assert found["classes"] == ["0", "1"]
    assert found["predictions"] == [dict(zip("01", row, strict=True)) for row in model.predict(pd.DataFrame(_of(rows)))]
    assert np.allclose(found["probabilities"], model.predict_proba(pd.DataFrame(_of(rows))))


def test_classes_of_the_same_name_are_refused():
    """One of them would hide the other."""
    model = Answering(predict=[1, 1], predict_proba=np.array([[0.5, 0.5]]), classes=np.array([1, "1"], dtype=object))

    assert refusal(model) == "has two classes of the same name"


def _of(rows: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(rows["columns"], rows["values"], strict=True))


SHOWN = "one value, class probabilities or a table with names can be shown"
SEVERAL = "predicts several targets at once, in an array of the shape"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            np.array([[3.0, 4.0], [5.0, 6.0]]),
            f"{SEVERAL} (2, 2); {SHOWN}",
        ),
        (np.zeros((2, 3, 4)), f"answers with an array of the shape (2, 3, 4); {SHOWN}"),
        (np.zeros((2, 0)), f"answers with an array of the shape (2, 0); {SHOWN}"),
        ([{1}, {2}], f"answers with values of the type set; {SHOWN}"),
        (pd.DataFrame([[1, "a"]] * 2, columns=["x", "x"]), "answers with a table of two columns of the same name"),
        (lambda rows: 3.5, "gives one answer for 2 rows"),
        (lambda rows: np.arange(len(rows) - 1), "gives 1 answer for 2 rows"),
        (lambda rows: np.arange(len(rows) + 1), "gives 3 answers for 2 rows"),
        (lambda rows: pd.DataFrame({"a": [1], "b": ["x"]}), "gives 1 answer for 2 rows"),
        (list, "gives 1 answer for 2 rows"),
        (lambda rows: (each for each in range(len(rows))), f"answers with a generator; {SHOWN}"),
        ([[1.0], [1.0, 2.0]], f"answers with lists of different lengths; {SHOWN}"),
        (csr_matrix(np.eye(2) * 3), f"{SEVERAL} (2, 2); {SHOWN}"),
        ([2**70, 1], "answers with a whole number of more than 64 bits (1.18059e+21)"),
        (np.array([2**64 - 1, 1], dtype=np.uint64), "answers with a whole number of more than 64 bits (1.84467e+19)"),
    ],
)
def test_any_other_answer_is_said_by_its_form(said, sentence):
    """The same sentence whether rows came as lists or by Arrow."""
    assert refusal(Answering(predict=said)) == sentence


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("columns", [["a"], ["a", "b"], ["a", "b", "c"]])
def test_a_model_that_reads_the_names_of_columns_is_found_out_with_any_number_of_rows(columns, count):
    """Also where there happen to be as many rows as columns, and one row."""
    rows = lists(count, **{name: [float(place) for place in range(count)] for name in columns})

    with pytest.raises(ModelFailure, match=f"gives {len(columns)} answers? for"):
        operations.predict(held(Answering(predict=lambda frame: [len(name) for name in frame])), rows)


def test_several_rows_are_neither_one_nor_as_many_as_columns():
    """Frames and arrays alike."""
    for width in (1, 2, 3):
        for count in (1, 2, 3):
            rows = several_of(pd.DataFrame(np.zeros((count, width))))
            assert len(rows) >= max(2, count)
            assert len(rows) != width
            assert len(several_of(np.zeros((count, width)))) == len(rows)


@pytest.mark.parametrize(
    ("chances", "sentence"),
    [
        ([[0.5, 175.0]], "gives probabilities outside 0 to 1, such as 175"),
        ([[1.00001, -0.00001]], "gives probabilities outside 0 to 1, such as 1.00001"),
        ([[-0.00001, 1.0]], "gives probabilities outside 0 to 1, such as -1e-05"),
        ([[0.5, 0.5], [0.5, 0.4]], "gives class probabilities that sum to 0.9, not to 1"),
        ([[0.5, 0.500002]], "gives class probabilities that sum to 1.000002, not to 1"),
    ],
)
def test_probabilities_that_are_none_are_not_shown(chances, sentence):
    """Of any classifier, by every operation that would show them."""
    model = Answering(predict=["x", "y"], predict_proba=np.array(chances), classes=["x", "y"])

    assert refusal(model) == sentence
    with pytest.raises(ModelFailure, match="gives"):
        operations.check_explained(held(model), pd.DataFrame({"a": [1.0]}), np.array([[0.5, 175.0]]))  # type: ignore[attr-defined]


@pytest.mark.parametrize("chances", [[[1.0000005, -0.0000005]], [[0.5, 0.5000005]], [[0.3]], [[1.0]]])
def test_rounding_is_no_reason_and_one_column_has_no_sum(chances):
    """A millionth is allowed."""
    model = Answering(predict=["x"], predict_proba=np.array(chances), classes=["x", "y"][: len(chances[0])])

    assert by_lists(model)["probabilities"][0] == chances[0]


def test_single_precision_may_miss_the_sum_by_more():
    """By a ten-thousandth."""
    off = np.array([[0.5, 0.50005]])

    assert probability_fault(off, one_class=True, single=False)
    assert not probability_fault(off, one_class=True, single=True)
    found = by_lists(Answering(predict=["x"], predict_proba=off.astype(np.float32), classes=["x", "y"]))
    assert found["predictions"] == ["x", "x"]


def test_probabilities_once_are_probabilities_always():
    """What a network gives for other rows is held to the same form, not taken for something else."""
    known = held(Answering(predict=lambda rows: np.where(rows["a"].to_numpy()[:, None] < 5, [0.4, 0.6], [4.0, 6.0])))

    operations.predict(known, lists())
    with pytest.raises(ModelFailure, match="gives probabilities outside 0 to 1, such as 6"):
        operations.predict(known, lists(a=[9.0, 9.0]))


def test_a_row_without_a_finite_answer_is_one_row():
    """By Arrow it is null, the others stay; a list of rows has no place for it, and the sentence says which."""
    model = Answering(predict=lambda rows: np.where(rows["a"] == 1, np.nan, rows["a"]))

    assert by_arrow(model, 3)[1] == [{"prediction": 0.0}, {"prediction": None}, {"prediction": 2.0}]
    with pytest.raises(ModelFailure, match=r"^gives no finite answer to row 2$"):
        by_lists(model, 3)
    unsure = Answering(predict=["x"], predict_proba=np.array([[0.5, 0.5], [np.nan, 0.5]]), classes=["x", "y"])
    assert by_arrow(unsure)[1][1] == {"prediction": None, "0": None, "1": None}


class Unprintable(Exception):
    """Raises while it is written out."""

    def __str__(self) -> str:
        raise RuntimeError


RAISED = [
    Exception("no"),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    RecursionError("deep"),
    UserWarning("old"),
    StopIteration(),
    Unprintable(),
    type("Own", (BaseException,), {})("mine"),
]


@pytest.mark.parametrize("raised", RAISED, ids=lambda each: type(each).__name__)
def test_whatever_a_model_raises_is_a_refusal(raised):
    """With one sentence; the process stays."""

    def predict(_: pd.DataFrame) -> Any:
        raise raised

    model = Answering(predict=predict)

    assert refusal(model).startswith(f"cannot predict these rows ({type(raised).__name__}")
    assert "\n" not in refusal(model)


def test_a_model_that_needs_more_memory_says_so():
    """Memory is a reason of its own, for the caller knows the limit."""

    def predict(_: pd.DataFrame) -> Any:
        raise MemoryError

    with pytest.raises(MemoryError):
        by_lists(Answering(predict=predict))


def test_what_is_no_text_is_not_sent():
    """Half of a surrogate pair would fail wherever it is shown, in an answer and in what a model raised."""
    whole, half = "\N{GRINNING FACE}", "\ud83d"

    assert b"cannot be sent" not in b"".join(sendable({"prediction": whole}))
    assert b"gives an answer that cannot be sent (UnicodeEncodeError" in b"".join(sendable({"prediction": half}))
    assert short(ValueError(f"{whole}{half}")) == f"ValueError: {whole}\\ud83d"


def test_requests_that_nothing_fits_are_answered():
    """A request without what its operation needs, and an answer that no frame holds."""
    said = answer({"op": "smoke", "folder": 3, "allowed_types": []})

    assert said["kind"] == "failed"
    assert str(said["error"]).startswith("cannot do what was asked (TypeError")
    for content in ({"prediction": float("nan")}, {"prediction": {1}}, {"prediction": "x" * 70_000_000}):
        assert b"gives an answer that cannot be sent" in b"".join(sendable(content))


def test_one_regression_is_not_touched():
    """The numbers are those of the model, to the last bit."""
    inputs = pd.DataFrame({"a": [0.0, 1.0, 2.0]})
    model = LinearRegression().fit(inputs, [0.1, 0.3, 0.2])

    assert by_lists(model, 3)["predictions"] == model.predict(inputs).tolist()
