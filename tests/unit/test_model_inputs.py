"""Models that do not take a frame get what they were fitted on, or are refused by name; so are other versions."""

import json
import operator
import pickle
import warnings
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sklearn
from lightgbm import Dataset, LGBMClassifier, train
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from pipeline.governance.errors import Refused
from pipeline.serving.worker import operations
from pipeline.serving.worker.allow_list import NotHere
from pipeline.serving.worker.arrow import packed, unpacked
from pipeline.serving.worker.load import LoadedModel, ModelFailure
from pipeline.serving.worker.model_cache import CachedModel, load
from pipeline.serving.worker.model_inputs import reading
from pipeline.validation.columns import Arrow
from support.hostile_models import ALLOWED, describe

TEXTS = pd.Series(["good product", "bad product", "nice and good", "terrible bad"] * 10, name="review")
TRUTH = ["pos", "neg", "pos", "neg"] * 10


def held(model: Any) -> CachedModel:
    return CachedModel(LoadedModel(reading(model), type(model).__name__, {}, Path(), frozenset()), mlflow_flavor=True)


def texts(*given: str, name: str = "review") -> dict[str, Any]:
    return {"columns": [name], "dtypes": ["str"], "values": [list(given)]}


PIPELINES = {
    "count": lambda: make_pipeline(CountVectorizer(), LogisticRegression()),
    "tfidf": lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()),
    "hashing": lambda: make_pipeline(HashingVectorizer(n_features=64), LogisticRegression()),
    "union": lambda: make_pipeline(
        FeatureUnion([("words", TfidfVectorizer()), ("letters", CountVectorizer(analyzer="char"))]),
        LogisticRegression(),
    ),
    "nested": lambda: make_pipeline(make_pipeline("passthrough", TfidfVectorizer()), LogisticRegression()),
    "behind a function": lambda: make_pipeline(FunctionTransformer(), TfidfVectorizer(), LogisticRegression()),
    "search": lambda: GridSearchCV(make_pipeline(TfidfVectorizer(), LogisticRegression()), {}, cv=2),
    "voting": lambda: VotingClassifier([("a", make_pipeline(TfidfVectorizer(), LogisticRegression()))], voting="soft"),
    "calibrated": lambda: CalibratedClassifierCV(make_pipeline(TfidfVectorizer(), LogisticRegression()), cv=2),
    "one against the rest": lambda: OneVsRestClassifier(make_pipeline(TfidfVectorizer(), LogisticRegression())),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_raw_documents_are_read_and_not_the_name_of_their_column(name):
    """One text or many, as lists or by Arrow: what the model says by hand."""
    model = PIPELINES[name]().fit(TEXTS, TRUTH)
    by_hand = model.predict_proba(["good nice", "terrible bad"])

    both = operations.predict(held(model), texts("good nice", "terrible bad"))
    alone = operations.predict(held(model), texts("terrible bad"))
    sent = packed(pd_batch(review=["good nice", "terrible bad"]))
    arrow = unpacked(operations.predict(held(model), {"dtypes": ["str"]}, sent)["arrow"])

    assert both["predictions"] == ["pos", "neg"] == arrow.column("prediction").to_pylist()
    assert np.allclose(both["probabilities"], by_hand)
    assert np.allclose(alone["probabilities"], by_hand[1:])


def pd_batch(**columns: list[Any]) -> Arrow:
    return pa.record_batch(columns)


def test_a_text_column_of_a_column_transformer_needs_no_help():
    """It hands its column over as a series by itself."""
    frame = pd.DataFrame({"review": TEXTS, "stars": [5.0, 1.0, 4.0, 2.0] * 10})
    columns = ColumnTransformer([("text", TfidfVectorizer(), "review"), ("number", "passthrough", ["stars"])])
    model = make_pipeline(columns, LogisticRegression()).fit(frame, TRUTH)

    assert reading(model) is model
    rows = {"columns": ["review", "stars"], "dtypes": ["str", "float64"], "values": [["good"], [5.0]]}
    assert operations.predict(held(model), rows)["predictions"] == ["pos"]


def test_a_function_that_takes_the_column_out_of_a_table_gets_the_table():
    """It was fitted with one, as scikit-learn notes on it."""
    frame = pd.DataFrame({"review": TEXTS, "stars": [5.0, 1.0, 4.0, 2.0] * 10})
    taken = FunctionTransformer(operator.itemgetter("review"))
    model = make_pipeline(taken, TfidfVectorizer(), LogisticRegression()).fit(frame, TRUTH)
    rows = {"columns": ["review", "stars"], "dtypes": ["str", "float64"], "values": [["good nice"], [5.0]]}

    assert operations.predict(held(model), rows)["predictions"] == ["pos"]


def test_raw_documents_with_several_columns_are_refused_by_name():
    """Which of them is the text nobody knows."""
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, TRUTH)
    rows = {"columns": ["title", "body"], "dtypes": ["str", "str"], "values": [["good"], ["bad"]]}
    sentence = r"it begins with TfidfVectorizer, which reads one column of text; there are 2: title, body"

    with pytest.raises(Refused, match=sentence):
        operations.predict(held(model), rows)


def test_records_are_read_by_their_names():
    """A vectorizer of dictionaries gets dictionaries, one of other things is refused by name."""
    frame = pd.DataFrame({"place": ["a", "b", "a", "c"], "size": [1.0, 2.0, 3.0, 4.0]})
    model = make_pipeline(DictVectorizer(), LinearRegression()).fit(frame.to_dict("records"), [1.0, 5.0, 3.0, 9.0])
    rows = {"columns": ["place", "size"], "dtypes": ["str", "float64"], "values": [["a", "b"], [1.0, 2.0]]}

    assert operations.predict(held(model), rows)["predictions"] == pytest.approx(
        model.predict([{"place": "a", "size": 1.0}, {"place": "b", "size": 2.0}])
    )
    with pytest.raises(Refused, match="it begins with FeatureHasher, which reads lists of strings; a row has columns"):
        reading(make_pipeline(FeatureHasher(input_type="string"), LinearRegression()))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A text model as MLflow saves it with skops, with two texts as its example."""
    folder = tmp_path_factory.mktemp("text") / "model"
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, TRUTH)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        mlflow.sklearn.save_model(
            model, folder, serialization_format="skops", pip_requirements=[], input_example=TEXTS.head(2).to_frame()
        )
    return folder


def test_every_operation_of_a_text_model_answers(saved):
    """Described, tried, explained and given a second opinion; none by a crash."""
    known = load(saved, allowed_types=ALLOWED, trust="allow_list")

    assert operations.smoke(saved, allowed_types=ALLOWED, trust="allow_list")["prediction"] == ["pos", "neg"]
    assert operations.describe(known)["classes"] == ["neg", "pos"]
    explained = operations.explain(known, texts("good"))
    document = explained["explanations"][0]
    assert explained["fallback"] == "DocumentModel has no exact method"
    assert document["contributions"]["pos"]["review"] > 0
    second = {"class_index": 1, "scale": "probability", "contributions": document["contributions"]["pos"]}
    assert operations.second_opinion(known, {"rows": texts("good"), **second})["weights"]["review"] > 0


def test_a_description_asks_about_several_rows(tmp_path):
    """A model that answers once, whatever it is given, is refused before anybody sees an answer."""

    class Names:
        def predict(self, rows: pd.DataFrame) -> list[str]:
            return [str(name) for name in rows]

    known = held(Names())
    known.loaded = described_by({"columns": ["a"], "data": [[1.0]]}, Names(), tmp_path)
    with pytest.raises(ModelFailure, match="gives 1 answer for 2 rows"):
        operations.describe(known)


def described_by(content: dict[str, Any], model: Any, folder: Path) -> LoadedModel:
    (folder / "example.json").write_text(json.dumps(content))
    about = {"saved_input_example_info": {"artifact_path": "example.json", "type": "dataframe"}}
    return LoadedModel(model, "Stranger", about, folder, frozenset({"example.json"}))


# Another scikit-learn


class Holding(mlflow.pyfunc.PythonModel):
    """Somebody's code around a pickle of scikit-learn."""

    def load_context(self, context: Any) -> None:
        self._model = pickle.loads(Path(context.artifacts["model"]).read_bytes())

    def predict(self, context, model_input, params=None):
        return self._model.predict(model_input)


def pickled(folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        model = LinearRegression().fit(pd.DataFrame({"a": [0.0, 1.0]}), [0.0, 1.0])
        mlflow.sklearn.save_model(model, folder, serialization_format="pickle", pip_requirements=[])
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(NotHere) as caught:
        load(folder, allowed_types=ALLOWED, trust="producers")
    return str(caught.value)


HAVE = ".".join(sklearn.__version__.split(".")[:2])
ANOTHER = f"it needs scikit-learn 1.2, have {HAVE}"


def test_another_version_in_the_description(tmp_path):
    """The version check holds where the producers are trusted, too."""
    folder = pickled(tmp_path / "model")
    assert load(folder, allowed_types=ALLOWED, trust="producers").mlflow_flavor
    describe(folder, lambda described: described["flavors"]["sklearn"].update(sklearn_version="1.2.2"))

    assert refused(folder) == ANOTHER


@pytest.mark.parametrize("line", ["scikit-learn==1.2.2", "scikit_learn == 1.2.0 ; python_version > '3'"])
def test_another_version_in_the_requirements(tmp_path, line):
    """Where the description does not say it."""
    folder = pickled(tmp_path / "model")
    describe(folder, lambda described: described["flavors"]["sklearn"].pop("sklearn_version"))
    (folder / "requirements.txt").write_text("mlflow\nscikit-learn>=1.0\n")
    assert load(folder, allowed_types=ALLOWED, trust="producers").mlflow_flavor
    (folder / "requirements.txt").write_text(f"mlflow\n{line}\n")

    assert refused(folder) == ANOTHER


def test_another_version_in_the_pickle_itself(tmp_path):
    """An estimator says which scikit-learn made it, also inside of somebody's own code."""
    folder = pickled(tmp_path / "model")
    path = folder / "model.pkl"
    model = path.read_bytes()
    assert sklearn.__version__.encode() in model
    path.write_bytes(model.replace(sklearn.__version__.encode(), b"1.2.2"[: len(sklearn.__version__)]))
    within = tmp_path / "within"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        mlflow.pyfunc.save_model(
            within, python_model=Holding(), artifacts={"model": str(path)}, pip_requirements=["pandas"]
        )

    assert refused(folder) == ANOTHER
    assert refused(within) == ANOTHER


# Categories of pandas


@pytest.fixture(scope="module")
def categories() -> tuple[pd.DataFrame, np.ndarray]:
    random = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "size": random.normal(size=300),
            "colour": pd.Categorical(random.choice(["red", "green", "blue"], 300)),
            "same": pd.Categorical(["x"] * 300),
            "code": pd.Categorical(random.choice([3, 5, 9], 300)),
        }
    )
    return frame, ((frame["colour"] == "red") | (frame["code"] == 5)).to_numpy().astype(int)


SENT: dict[str, Any] = {
    "columns": ["size", "colour", "same", "code"],
    "dtypes": ["float64", "str", "str", "int64"],
    "values": [[0.1, -0.2, 0.3, 0.1], ["red", "green", "blue", "green"], ["x"] * 4, [3, 9, 5, 3]],
}


def test_categories_reach_lightgbm(categories):
    """A classifier and a bare booster: as the frame with its categories is predicted."""
    frame, truth = categories
    shaped = pd.DataFrame(dict(zip(SENT["columns"], SENT["values"], strict=True)))
    for name in ("colour", "same", "code"):
        shaped[name] = pd.Categorical(shaped[name], categories=frame[name].cat.categories)
    model = LGBMClassifier(n_estimators=8, verbose=-1, min_child_samples=2).fit(frame, truth)
    booster = train({"objective": "binary", "verbose": -1}, Dataset(frame, truth), 8)

    found = operations.predict(held(model), SENT)

    assert np.allclose(found["probabilities"], model.predict_proba(shaped))
    assert found["predictions"] == [1, 0, 1, 0]
    assert operations.predict(held(booster), SENT)["predictions"] == pytest.approx(booster.predict(shaped))


def test_categories_that_nobody_can_assign_are_refused(categories):
    """A booster knows how many of its columns were categories, and not always which."""
    frame, truth = categories
    model = LGBMClassifier(n_estimators=2, verbose=-1).fit(frame[["size", "code"]].assign(code=frame["code"]), truth)
    model.booster_.pandas_categorical = [*model.booster_.pandas_categorical, ["a"]]  # type: ignore[misc]
    rows = {"columns": ["size", "code"], "dtypes": ["float64", "int64"], "values": [[0.1], [3]]}

    with pytest.raises(Refused, match="it was trained with categories in 2 columns and does not say in which"):
        operations.predict(held(model), rows)
