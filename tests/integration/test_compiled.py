"""Compiled forms: equal to the original to within 1e-6 on every row that can tell the two apart, or not used."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, PolynomialFeatures, StandardScaler

from pipeline.serving.compiled.code import Code, Compiled, NotThisRow
from pipeline.serving.compiled.compare import Proven, Version, prove
from pipeline.serving.compiled.convert import MOST_COLUMNS, MOST_NODES, convert, nodes_of
from pipeline.serving.compiled.form import (
    MOST_BOOSTED,
    MOST_ROWS,
    MOST_STORED,
    MOST_TEXTS,
    CompiledForm,
    Equality,
    short_number,
)
from pipeline.serving.compiled.thresholds import rows_at, splits_of
from pipeline.settings import read_settings
from pipeline.training.candidates import fit_pipeline
from pipeline.training.data import generate_sample
from support.candidates import untrained

SETTINGS = read_settings(environ={})
INPUTS = list(SETTINGS.schema_.columns)
TREES = ("random_forest", "extra_trees", "hist_gradient_boosting")


@dataclass(frozen=True)
class Fitted:
    """A fitted model and rows that it was not fitted on."""

    model: Any
    rows: pd.DataFrame

    def version(self, rows: pd.DataFrame | None = None) -> Version:
        def original(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
            return self.model.predict(frame), self.model.predict_proba(frame)

        return Version(self.model, original, self.rows if rows is None else rows)

    def changed(self, change: Callable[[Any], None]) -> Code:
        """The code of the same model after a change."""
        other = copy.deepcopy(self.model)
        change(other)
        return convert(other, self.rows)


@pytest.fixture(scope="module")
def candidates() -> dict[str, Fitted]:
    """Every recipe of params.yaml, as it is there."""
    rows = generate_sample(900, seed=3)
    train, test = rows.iloc[:600], rows.iloc[600:]
    return {
        name: Fitted(fit_pipeline(untrained(SETTINGS, name), train[INPUTS], train["NObeyesdad"]), test[INPUTS])
        for name in SETTINGS.candidates
    }


@pytest.fixture(scope="module")
def proven(candidates: dict[str, Fitted]) -> dict[str, Proven | Equality]:
    return {name: prove(each.version()) for name, each in candidates.items()}


def numbers_model(*steps: Any, columns: int = 2) -> Fitted:
    """Fitted on columns of numbers from 0 to 1."""
    rows = pd.DataFrame(np.random.default_rng(5).random((80, columns)), columns=[f"n{each}" for each in range(columns)])
    truth = np.where(rows["n0"] > 0.5, "high", "low")
    return Fitted(make_pipeline(*steps).fit(rows, truth), rows)


def why_not(found: Proven | Equality) -> str:
    assert isinstance(found, Equality)
    assert not found.equal
    return found.why_not


# Equal


@pytest.mark.parametrize("name", SETTINGS.candidates)
def test_every_candidate_of_the_settings_compiles(proven: dict[str, Proven | Equality], name: str) -> None:
    """Forests, boosting with the body-mass index and the linear model: the same labels, and no probability further off
    than 1e-6, also on both sides of the split thresholds.
    """
    found = proven[name]

    assert isinstance(found, Proven), found
    assert found.comparison.stored == 300
    assert found.comparison.difference <= 1e-6
    assert (found.comparison.at_thresholds > 300) == (name in TREES)


@pytest.mark.parametrize("name", SETTINGS.candidates)
@pytest.mark.parametrize("count", [1, 3])
def test_a_few_rows_are_answered_as_by_the_original(
    candidates: dict[str, Fitted], proven: dict[str, Proven | Equality], name: str, count: int
) -> None:
    """By columns of plain values, in the order of the model's classes."""
    found, rows = proven[name], candidates[name].rows.head(count)
    assert isinstance(found, Proven)
    ours = Compiled.of_code(Code.of_frame(found.code.as_frame())).probabilities([rows[each].tolist() for each in rows])

    assert found.labels == tuple(candidates[name].model.classes_)
    assert np.abs(ours - candidates[name].model.predict_proba(rows)).max() <= 1e-6


def test_what_was_compared_is_said() -> None:
    """In one sentence, which also says why the original answers."""
    equal = Equality(equal=True, stored=720, at_thresholds=1300, difference=6.1e-8)
    assert equal.sentence == "compiled, equal on 720 rows and 1,300 at split thresholds, largest difference 6e-8"
    assert Equality(equal=True, stored=3).sentence == "compiled, equal on 3 rows, largest difference 0"
    assert Equality(equal=False, why_not="no rows").sentence == "answered by the original: no rows"
    assert [short_number(each) for each in (0.0, 1e-16, 0.013, 2.0)] == ["0", "1e-16", "1e-2", "2e0"]


def test_boosting_is_asked_about_fewer_rows(proven: dict[str, Proven | Equality]) -> None:
    """With more the original is faster; of the others more may come at once."""
    most = {}
    for name, found in proven.items():
        assert isinstance(found, Proven)
        most[name] = CompiledForm(found.comparison, code=found.code.as_frame()).most_rows
    assert most.pop("hist_gradient_boosting") == MOST_BOOSTED
    assert set(most.values()) == {MOST_ROWS}


def test_two_classes_and_no_preparation() -> None:
    """Binary boosting gives one number per row, and trees alone take the columns as they are."""
    for steps in (
        (RandomForestClassifier(5, random_state=1),),
        (HistGradientBoostingClassifier(max_iter=5, random_state=1),),
        (StandardScaler(), LogisticRegression()),
    ):
        found = prove(numbers_model(*steps).version())
        assert isinstance(found, Proven), found


# Rows at thresholds


@pytest.mark.parametrize("name", TREES)
def test_rows_at_thresholds_are_neighbouring_doubles_on_two_sides(candidates: dict[str, Fitted], name: str) -> None:
    """Each pair differs in one number by one step, and falls to different sides of a split."""
    model, rows = candidates[name].model, candidates[name].rows.head(40)
    splits = splits_of(model[-1])
    found = rows_at(splits, rows, model[:-1].transform)
    numbers = [each for each in INPUTS if pd.api.types.is_numeric_dtype(rows[each])]
    prepared = model[:-1].transform(found).astype(splits.kind)

    assert len(found) > 100
    assert set(found["Weight"]) - set(rows["Weight"])
    assert found[numbers].notna().all(axis=None)
    assert len(np.unique(prepared, axis=0)) > len(found) / 4


def test_a_last_bit_of_the_preparation_is_caught_at_a_threshold(candidates: dict[str, Fitted]) -> None:
    """A scaler that is off by one rounding step changes no stored row; it is not used all the same."""
    fitted = candidates["hist_gradient_boosting"]

    def nudge(model: Any) -> None:
        scaler = model[0].named_transformers_["numbers"]
        of_weight = scaler.feature_names_in_ == "Weight"
        scaler.mean_ = np.where(of_weight, np.nextafter(scaler.mean_, np.inf), scaler.mean_)

    code = fitted.changed(nudge)
    between = fitted.rows.assign(Weight=fitted.rows["Weight"] + 0.00123)  # weights are rounded, as thresholds may be
    found = prove(fitted.version(between), converted=lambda *_: code)

    assert why_not(found).startswith("its compiled form differs on a row at a split threshold")


# Off by a converter


def test_a_converter_that_is_off_is_caught(candidates: dict[str, Fitted]) -> None:
    """By another tree, by a weight, by the order of classes."""
    forest, linear = candidates["random_forest"], candidates["logistic_regression"]

    def other_tree(model: Any) -> None:
        model[-1].estimators_ = [*model[-1].estimators_[:-1], model[-1].estimators_[0]]

    def other_order(model: Any) -> None:
        model[-1].coef_, model[-1].intercept_ = model[-1].coef_[::-1], model[-1].intercept_[::-1]

    def other_weight(model: Any) -> None:
        model[-1].coef_ = model[-1].coef_ * 1.001

    cases = [
        (forest, forest.changed(other_tree)),
        (linear, linear.changed(other_order)),
        (linear, linear.changed(other_weight)),
    ]
    for fitted, code in cases:
        found = prove(fitted.version(), converted=lambda *_, code=code: code)  # type: ignore[misc]
        assert why_not(found).startswith("its compiled form differs on one of the rows that came with it")


# Not converted


def test_what_cannot_be_converted_says_why() -> None:
    """The kind of estimator, a step, a function; the original answers."""
    cases = {
        "KNeighborsClassifier is no kind that is": numbers_model(StandardScaler(), KNeighborsClassifier()),
        "MinMaxScaler is no step that is": numbers_model(MinMaxScaler(), LogisticRegression()),
        "another function than numpy.reciprocal": numbers_model(
            FunctionTransformer(np.log1p, feature_names_out="one-to-one"), LogisticRegression()
        ),
        "more than 200 columns": numbers_model(LogisticRegression(), columns=MOST_COLUMNS + 1),
    }
    for sentence, fitted in cases.items():
        assert sentence in why_not(prove(fitted.version()))


def test_columns_of_other_types_are_not_converted() -> None:
    """In single precision a scaler computes otherwise."""
    fitted = numbers_model(StandardScaler(), LogisticRegression())
    single = fitted.rows.astype("float32")
    assert "the column n0 holds float32" in why_not(prove(fitted.version(single)))
    renamed = fitted.rows.rename(columns={"n0": "other"})
    assert "does not name the columns" in why_not(prove(fitted.version(renamed)))


def test_sizes_are_bounded(candidates: dict[str, Fitted]) -> None:
    """Nodes, stored rows, different texts: beyond, the original answers, and says so."""
    forest = copy.copy(candidates["random_forest"].model[-1])
    forest.estimators_ = forest.estimators_ * (MOST_NODES // nodes_of(forest) + 1)
    pipeline = Pipeline([("columns", candidates["random_forest"].model[0]), ("model", forest)])
    large = Fitted(pipeline, candidates["random_forest"].rows)
    assert "more than 5,000,000 nodes" in why_not(prove(large.version()))

    few = numbers_model(StandardScaler(), LogisticRegression())
    many = few.rows.iloc[np.zeros(MOST_STORED + 1, dtype=int)]
    assert "more than 100,000 rows" in why_not(prove(few.version(many)))
    free = few.rows.assign(n1=[f"text {each}" for each in range(80)])
    assert isinstance(prove(few.version(free.head(0))), Equality)
    texts = pd.concat([free] * 3, ignore_index=True).assign(n1=[f"text {each}" for each in range(240)])
    assert f"more than {MOST_TEXTS} different texts" in why_not(prove(few.version(texts)))


def test_without_rows_nothing_is_proven(candidates: dict[str, Fitted]) -> None:
    """Also where each row has a gap, which the original answers."""
    fitted = candidates["logistic_regression"]
    for rows in (fitted.rows.head(0), fitted.rows.assign(Age=np.nan)):
        assert why_not(prove(fitted.version(rows))) == "no evaluation rows came with it to compare on"


def test_categories_that_are_numbers_are_not_converted() -> None:
    """The compiled form would take 1.5 for the category 1, and an infinite product for one that is unknown."""
    products = PolynomialFeatures(include_bias=False)
    rows = pd.DataFrame(np.random.default_rng(5).integers(1, 4, (80, 2)).astype(float), columns=["n0", "n1"])
    truth = np.where(rows["n0"] > 1.5, "high", "low")
    for steps in ([], [products]):
        model = make_pipeline(*steps, OneHotEncoder(handle_unknown="ignore"), RandomForestClassifier(3))
        fitted = Fitted(model.fit(rows, truth), rows)
        assert why_not(prove(fitted.version())) == "cannot be converted (OneHotEncoder of something else than text)"


# Rows that are the original's


def one_over_n0() -> ColumnTransformer:
    return ColumnTransformer(
        [("one_over", FunctionTransformer(np.reciprocal), ["n0"]), ("rest", "passthrough", ["n1"])]
    )


REFUSED_ROWS = {  # what scikit-learn refuses, or has no finite answer to, of numbers that are finite themselves
    "a reciprocal of 0": ([one_over_n0], [0.0, 0.5]),
    "a scaler that overflows": ([StandardScaler], [1.7e308, 0.5]),
    "an overflow that a reciprocal makes 0 of": (
        [StandardScaler, lambda: FunctionTransformer(np.reciprocal), StandardScaler],
        [1.7e308, 0.5],
    ),
    "a product that overflows": ([lambda: PolynomialFeatures(include_bias=False)], [1e200, 0.5]),
}


@pytest.mark.parametrize("case", REFUSED_ROWS)
@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        RandomForestClassifier(3, random_state=1),
        ExtraTreesClassifier(3, random_state=1),
        HistGradientBoostingClassifier(max_iter=3, random_state=1),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_value_that_is_not_finite_is_left_to_the_original(case: str, estimator: Any) -> None:
    """Of every kind of model, also where a probability of 0 or 1 hides it; other rows are answered."""
    preparation, values = REFUSED_ROWS[case]
    fitted = numbers_model(*(make() for make in preparation), estimator)
    found = Compiled.of_code(convert(fitted.model, fitted.rows))

    expected = fitted.model.predict_proba(fitted.rows.head(1))
    assert np.allclose(found.probabilities([fitted.rows[each].head(1).tolist() for each in fitted.rows]), expected)
    with pytest.raises(NotThisRow):
        found.probabilities([[each] for each in values])


def test_a_value_beyond_single_precision_is_left_to_the_original() -> None:
    """Of a forest, which scikit-learn refuses; and sums of a linear model, which it may add up in another order."""
    for estimator, value in ((RandomForestClassifier(3, random_state=1), 1e300), (LogisticRegression(), 1.7e308)):
        fitted = numbers_model(estimator)
        with pytest.raises(NotThisRow):
            Compiled.of_code(convert(fitted.model, fitted.rows)).probabilities([[value], [value]])


def test_a_form_takes_only_what_was_compared() -> None:
    """A missing value, or a text that no compared row held, goes to the original."""
    form = CompiledForm(Equality(equal=True), ("a", "b"), (1, 2), (None, frozenset({"no", "yes"})))

    assert form.takes((3, "yes"))
    assert not form.takes((None, "yes"))
    assert not form.takes((3, "maybe"))
    assert not form.takes((3, None))
    assert [form.label(each) for each in ((0.2, 0.8), (0.5, 0.5))] == [2, 1]
    assert [form.decides(each) for each in ((0.2, 0.8), (0.5, 0.5), (0.5, 0.5000015))] == [True, False, False]


FINE: dict[str, Any] = {
    "comparison": Equality(equal=True, stored=3).as_json(),
    "classes": ["a"],
    "labels": ["a"],
    "known_texts": [None],
    "names": ["x"],
    "texts": [False],
    "joined": True,
    "graph": 1,
    "code": b"1",
    "sample": [[0.5]],
}
NAN = float("nan")


def test_what_a_worker_says_is_checked() -> None:
    """A model may have taken over the process that compiles: whatever else it says, the original answers."""
    assert CompiledForm.of_answer(FINE).equal
    refused = Equality(equal=False, why_not="x").as_json()
    assert CompiledForm.of_answer({"comparison": refused}).comparison.sentence == "answered by the original: x"
    compared: dict[str, list[Any]] = {
        "stored": ["x", -1, 10**9, True, None],
        "difference": [NAN, 1.0, -1e-9, "0"],
        "equal": ["yes", 1, None],
        "at_thresholds": [10**9],
        "why_not": [3],
    }
    said: dict[str, list[Any]] = {
        "comparison": [{**FINE["comparison"], name: wrong} for name in compared for wrong in compared[name]],
        "labels": [[], [None], [NAN], "a"],
        "classes": [[1], "a", []],
        "known_texts": [[1], [], ["a"], [["x"] * (MOST_TEXTS + 1)]],
        "sample": [[[NAN]], [0.5], [[]], [[{}]]],
        "code": [1, "a", None],
        "graph": [-1],
        "joined": ["yes"],
    }
    said["comparison"] += [None, [], {"else": 1}]
    for answer in ({}, *({**FINE, name: wrong} for name in said for wrong in said[name])):
        sentence = CompiledForm.of_answer(answer).comparison.sentence
        assert sentence == "answered by the original: its compilation answers something else than was asked", answer


def test_what_a_worker_says_is_no_request() -> None:
    """Only the code and what belongs to it goes on to the workers that serve, never what a request says itself."""
    form = CompiledForm.of_answer({**FINE, "trust": "producers", "folder": "/", "op": "predict", "digest": "0"})

    assert set(form.code) == {"names", "texts", "joined", "graph", "code", "sample"}
