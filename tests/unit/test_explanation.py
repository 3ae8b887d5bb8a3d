"""What an explanation promises: original columns, sums that meet the model's own output, and the method by its name."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from pipeline.explanation.explain import Explainer, explain
from pipeline.explanation.model_output import own_output
from pipeline.explanation.result import to_json
from pipeline.governance.errors import InvalidInput
from pipeline.settings import ROOT, read_settings
from support.candidates import untrained

FEW = {"random_forest": {"n_estimators": 5}, "extra_trees": {"n_estimators": 5, "max_depth": 6}}
FEW |= {"hist_gradient_boosting": {"max_iter": 3}, "logistic_regression": {"max_iter": 2000}}
TREE, LINEAR = "exact (tree, path-dependent)", "exact (linear)"
SAMPLED = "sampled (permutation, 330 evaluations, 50 background rows)"


@pytest.fixture(scope="module")
def settings():
    full = read_settings(environ={})
    candidates = {
        name: candidate.model_copy(update={"parameters": FEW[name]}) for name, candidate in full.candidates.items()
    }
    return full.model_copy(update={"candidates": candidates})


@pytest.fixture(scope="module")
def rows(settings):
    """210 rows of the settings' schema; the rarest category of MTRANS only in the last ten."""
    random, schema = np.random.default_rng(7), settings.schema_
    columns = {}
    for name, column in schema.columns.items():
        if column.type == "number":
            columns[name] = random.uniform(column.minimum, column.maximum, 210).round(2)
        else:
            columns[name] = random.choice(column.categories, 210)
    frame = pd.DataFrame(columns)[list(schema.columns)]
    last = schema.columns["MTRANS"].categories[0]
    frame.loc[:199, "MTRANS"] = frame.loc[:199, "MTRANS"].replace(last, "Walking")
    frame.loc[200:, "MTRANS"] = last
    return frame


@pytest.fixture(scope="module")
def labels(settings, rows):
    names = np.array(settings.schema_.target.classes)
    ranks = (rows["Weight"] / rows["Height"] ** 2).rank(method="first").to_numpy()
    return names[((ranks - 1) * len(names) // len(ranks)).astype(int)]


@pytest.fixture(scope="module")
def background(rows):
    return rows.head(50)


def encoder(rows, numbers=None):
    text = [name for name in rows if not pd.api.types.is_numeric_dtype(rows[name])]
    others = [name for name in rows if name not in text]
    return ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), text),
            ("numbers", numbers or StandardScaler(), others),
        ]
    )


def difference(found):
    return np.abs(found.base_values + found.values.sum(axis=1) - found.output).max()


class TestCandidates:
    """The recipes of params.yaml, with few trees."""

    @pytest.mark.parametrize(
        ("name", "method", "scale", "tolerance"),
        [
            ("logistic_regression", LINEAR, "log-odds", 1e-9),
            ("random_forest", TREE, "probability", 1e-9),
            ("extra_trees", TREE, "probability", 1e-9),
            ("hist_gradient_boosting", SAMPLED, "probability", 1e-6),
        ],
    )
    def test_add_up_in_the_original_columns(
        self, settings, rows, labels, background, *, name, method, scale, tolerance
    ):
        """Base and contributions sum to the model's own output, per class, in the columns that a person knows."""
        model = untrained(settings, name).fit(rows, labels)
        found = explain(model, rows.tail(4), background=background)

        assert (found.method, found.scale, found.tolerance) == (method, scale, tolerance)
        assert found.columns == tuple(settings.schema_.columns)
        assert found.classes == tuple(sorted(settings.schema_.target.classes))
        assert found.values.shape == (4, 16, 7)
        np.testing.assert_array_equal(found.output, own_output(model, rows.tail(4), scale))
        assert found.adds_up
        assert difference(found) <= tolerance

    def test_a_body_mass_index_is_sampled_and_says_why(self, settings, rows, labels, background):
        """An encoded column of two original ones cannot be summed back, and the reason names both."""
        model = untrained(settings, "hist_gradient_boosting").fit(rows, labels)
        found = explain(model, rows.head(1), background=background)

        assert found.sampled
        assert found.fallback == "an input of the model is made from several columns (Height, Weight)"

    def test_a_category_that_the_background_lacks_stays_exact(self, settings, rows, labels, background):
        """The absence of a rare category has an effect too, and it is booked on the right column."""
        model = untrained(settings, "logistic_regression").fit(rows, labels)
        assert "Automobile" not in set(background["MTRANS"])
        found = explain(model, rows.iloc[[0, 205]], background=background)

        assert (found.method, found.fallback) == (LINEAR, "")

    @pytest.mark.parametrize("name", ["logistic_regression", "random_forest", "hist_gradient_boosting"])
    def test_unknown_category_is_explained(self, settings, rows, labels, background, *, name):
        """A value that training never saw is a row of zeros for the encoder, not a failure."""
        model = untrained(settings, name).fit(rows, labels)
        found = explain(model, rows.head(1).assign(MTRANS="Submarine"), background=background)

        assert found.adds_up

    @pytest.mark.parametrize(("column", "name"), [("MTRANS", "logistic_regression"), ("Age", "random_forest")])
    def test_missing_value_is_explained(self, settings, rows, labels, background, *, column, name):
        """Where the model predicts a row with a missing value, it is explained."""
        model = untrained(settings, name).fit(rows, labels)
        found = explain(model, rows.head(1).assign(**{column: None}).astype(rows.dtypes), background=background)

        assert found.adds_up

    def test_a_row_that_the_model_refuses_is_invalid_input(self, settings, rows, labels, background):
        """A linear model cannot take a missing number: one sentence, no traceback of a library."""
        model = untrained(settings, "logistic_regression").fit(rows, labels)

        with pytest.raises(InvalidInput, match="the model cannot predict these rows"):
            explain(model, rows.head(1).assign(Age=np.nan), background=background)

    @pytest.mark.parametrize("name", ["random_forest", "hist_gradient_boosting"])
    def test_whole_numbers_are_explained(self, settings, rows, labels, background, *, name):
        """A row from JSON has whole numbers where training had fractions; the values are the same."""
        model = untrained(settings, name).fit(rows, labels)
        whole = rows.head(2).assign(Age=[30, 40], Weight=[70, 80])
        found = explain(model, whole, background=background)

        assert whole["Age"].dtype == "int64"
        assert found.adds_up
        np.testing.assert_array_equal(
            found.values, explain(model, whole.astype(rows.dtypes), background=background).values
        )


class TestOtherModels:
    """Numbers, two classes, and what has no exact method."""

    @pytest.mark.parametrize(
        ("estimator", "method"),
        [
            (RandomForestRegressor(5, random_state=0), TREE),
            (LinearRegression(), LINEAR),
            (HistGradientBoostingRegressor(max_iter=5), TREE),
        ],
    )
    def test_a_number_is_explained_in_its_own_unit(self, rows, background, *, estimator, method):
        """A regression has the one class "output"; base and contributions sum to the predicted value."""
        model = make_pipeline(encoder(rows), estimator).fit(rows, 1000 * rows["Weight"])
        found = explain(model, rows.tail(3), background=background)

        assert (found.classes, found.scale, found.method) == (("output",), "value", method)
        np.testing.assert_allclose((found.base_values + found.values.sum(axis=1))[:, 0], model.predict(rows.tail(3)))
        assert found.adds_up

    @pytest.mark.parametrize(
        ("estimator", "scale"),
        [
            (LogisticRegression(max_iter=500), "log-odds"),
            (HistGradientBoostingClassifier(max_iter=5), "log-odds"),
            (RandomForestClassifier(5, random_state=0), "probability"),
        ],
    )
    def test_two_classes_mirror_each_other(self, rows, background, *, estimator, scale):
        """What raises one of two classes lowers the other by as much."""
        model = make_pipeline(encoder(rows), estimator).fit(rows, np.where(rows["Age"] > 50, "old", "young"))
        found = explain(model, rows.tail(3), background=background)

        assert (found.classes, found.scale, found.sampled, found.adds_up) == (("old", "young"), scale, False, True)
        np.testing.assert_allclose(found.values[:, :, 0], -found.values[:, :, 1], atol=1e-12)

    @pytest.mark.parametrize(
        ("options", "named", "scale"),
        [
            ({}, tuple("abc"), "log-odds"),
            ({}, ("no", "yes"), "log-odds"),
            ({}, None, "value"),
            ({"boosting_type": "dart"}, tuple("abc"), "log-odds"),
            ({"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}, ("no", "yes"), "log-odds"),
        ],
    )
    def test_lightgbm_is_exact(self, rows, background, *, options, named, scale):
        """By the method that it has built in, on its own raw score, and booked on the column that decides."""
        numbers, truth = ["Age", "Height", "Weight"], rows["Weight"]
        if named:
            truth = pd.qcut(truth, len(named), labels=list(named)).astype(str)
        kind = LGBMClassifier if named else LGBMRegressor
        model = kind(n_estimators=5, verbose=-1, **options).fit(rows[numbers], truth)
        found = explain(model, rows[numbers].tail(3), background=background[numbers])

        assert (found.method, found.scale, found.fallback) == (TREE, scale, "")
        assert found.classes == (named or ("output",))
        np.testing.assert_array_equal(found.output, own_output(model, rows[numbers].tail(3), scale))
        assert difference(found) <= found.tolerance
        assert set(np.abs(found.values).sum(axis=2).argmax(axis=1)) == {numbers.index("Weight")}

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"linear_tree": True}, "LightGBM: Predicting SHAP feature contributions is not implemented"),
            ({"sigmoid": 2}, "the raw score of this LGBMClassifier is not its log-odds"),
            ({"objective": "multiclassova"}, "the raw score of this LGBMClassifier is not its log-odds"),
        ],
    )
    def test_lightgbm_without_an_exact_method_is_sampled(self, rows, background, *, options, reason):
        """And says why, instead of ending whoever asks it."""
        numbers = ["Age", "Weight"]
        kinds = pd.qcut(rows["Weight"], 3 if "objective" in options else 2, labels=False)
        model = LGBMClassifier(n_estimators=3, verbose=-1, **options).fit(rows[numbers], kinds)
        found = explain(model, rows[numbers].tail(1), background=background[numbers])

        assert (found.scale, found.sampled) == ("probability", True)
        assert found.fallback.startswith(reason)
        assert found.adds_up

    def test_gradient_boosting_is_sampled(self, rows, labels, background):
        """A model without an exact method is explained by sampling, and the reason is named."""
        model = make_pipeline(encoder(rows), GradientBoostingClassifier(n_estimators=2)).fit(rows, labels)
        found = explain(model, rows.head(1), background=background)

        assert (found.method, found.scale) == (SAMPLED, "probability")
        assert found.fallback == "GradientBoostingClassifier has no exact method"
        assert found.adds_up

    def test_values_that_miss_the_output_are_replaced(self, rows, background):
        """With a log link the tree's values sum to a logarithm; the check against the model itself notices."""
        estimator = HistGradientBoostingRegressor(loss="poisson", max_iter=5)
        model = make_pipeline(encoder(rows), estimator).fit(rows, rows["Weight"])
        explainer = Explainer(model, background=background)
        found = explainer.explain(rows.head(1))

        assert explainer.exact
        assert found.sampled
        assert found.fallback.startswith("the exact values miss the model's output by ")
        assert found.adds_up

    def test_splits_on_categories_are_not_read_as_thresholds(self, rows, labels, background):
        """The library shap is silently wrong there (shap#3436), so it is not asked."""
        ordinal = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
        preparation = ColumnTransformer([("text", ordinal, ["CAEC", "CALC"])], remainder="drop")
        estimator = HistGradientBoostingClassifier(max_iter=2, categorical_features=[0, 1])
        model = make_pipeline(preparation, estimator).fit(rows, labels)
        found = explain(model, rows.head(1), background=background)

        assert found.fallback == "HistGradientBoostingClassifier splits on categories by itself"
        assert found.sampled

    def test_a_model_without_preparation_is_explained(self, rows, labels, background):
        """A bare tree on numbers needs no pipeline around it."""
        numbers = ["Age", "Weight"]
        model = DecisionTreeClassifier(max_depth=4).fit(rows[numbers], labels)
        found = explain(model, rows[numbers].head(3), background=background[numbers])

        assert (found.columns, found.method, found.adds_up) == (("Age", "Weight"), TREE, True)

    def test_margins_without_probabilities_are_values(self, rows, labels, background):
        """A classifier that has a decision function only is explained on that."""
        model = make_pipeline(encoder(rows), LinearSVC()).fit(rows, labels)
        found = explain(model, rows.head(1), background=background)

        assert (found.scale, found.values.shape, found.adds_up) == ("value", (1, 16, 7), True)

    @pytest.mark.parametrize(
        ("last", "answer"),
        [
            (KMeans(3, n_init=1, random_state=0), "the number of a cluster"),
            (IsolationForest(n_estimators=3, random_state=0), "1 for usual and -1 for unusual rows"),
        ],
        ids=["clusters", "outliers"],
    )
    def test_a_name_that_looks_like_a_number_is_refused(self, rows, background, last, answer):
        """Contributions to it would add up, to a figure that means nothing."""
        model = make_pipeline(encoder(rows), last).fit(rows)

        with pytest.raises(InvalidInput, match=f"answers with {answer}"):
            explain(model, rows.head(1), background=background)

    def test_a_model_of_several_targets_is_refused(self, rows, background):
        """There is one explanation per output; which one was meant is not guessed."""
        model = make_pipeline(encoder(rows), RandomForestRegressor(2)).fit(rows, rows[["Age", "Weight"]])

        with pytest.raises(InvalidInput, match="several targets"):
            explain(model, rows.head(1), background=background)

    def test_an_output_that_is_no_number_is_refused(self):
        """An infinite prediction has no contributions."""
        frame = pd.DataFrame({"x": [1.0, np.inf], "y": [1.0, 1.0]})

        with pytest.raises(InvalidInput, match="is not a finite number"):
            explain(Product(), frame, background=frame)

    def test_what_gives_labels_only_is_refused(self, background):
        """Without a number there is nothing to add up to."""

        class Labels:
            classes_ = ("a", "b")

        with pytest.raises(InvalidInput, match="Labels: gives neither probabilities nor numbers"):
            explain(Labels(), background.head(1), background=background)


class TestSources:
    """From encoded columns back to the original ones."""

    @pytest.mark.parametrize("sparse", [False, True])
    def test_tricky_names(self, sparse):
        """Column `a` with value `b_c` and column `a_b` with value `c` are both encoded as `a_b_c`."""
        random = np.random.default_rng(0)
        frame = pd.DataFrame({"a": random.choice(["b_c", "x"], 80), "a_b": random.choice(["c", "y"], 80)})
        target = 5 * (frame["a"] == "b_c")
        hot = OneHotEncoder(sparse_output=sparse)
        found = explain(make_pipeline(hot, LinearRegression()).fit(frame, target), frame, background=frame)

        expected = target - target.mean()
        np.testing.assert_allclose(found.values[:, 0, 0], expected, atol=1e-9)
        np.testing.assert_allclose(found.values[:, 1, 0], 0, atol=1e-9)
        assert found.method == LINEAR

    @pytest.mark.parametrize(
        "chosen",
        [["size"], [1], [-1], np.array([False, True]), slice(1, None), slice("size", None), lambda frame: ["size"]],
        ids=["names", "position", "from the end", "mask", "slice", "slice of names", "callable"],
    )
    def test_rare_categories_however_columns_are_chosen(self, chosen):
        """Each way to name a column leads to the categories that the background lacks."""
        frame = pd.DataFrame({"age": np.arange(60.0), "size": ["s", "m", "l"] * 20})
        target = frame["age"] + 3 * (frame["size"] == "l")
        hot = OneHotEncoder(sparse_output=False)
        parts = [("size", hot, chosen), ("none", hot, []), ("age", "passthrough", ["age"])]
        preparation = make_pipeline(ColumnTransformer(parts), StandardScaler())
        model = make_pipeline(preparation, LinearRegression()).fit(frame, target)
        background = frame[frame["size"] == "s"]
        found = explain(model, frame.head(3), background=background)

        assert (found.method, found.fallback) == (LINEAR, "")
        np.testing.assert_allclose(np.diff(found.values[:, 1, 0]), [0, 3], atol=1e-9)

    def test_codes_that_an_encoder_knows_are_enough(self):
        """An encoder that refuses a new number is not asked about one."""
        frame = pd.DataFrame({"code": [1, 2, 3] * 20, "x": np.arange(60.0)})
        preparation = ColumnTransformer([("code", OneHotEncoder(), ["code"])], remainder="passthrough")
        model = make_pipeline(preparation, LinearRegression()).fit(frame, frame["x"] + (frame["code"] == 2))

        assert explain(model, frame.head(2), background=frame.head(1)).fallback == ""

    def test_a_preparation_that_gives_no_numbers_is_sampled(self):
        """Where the encoded rows cannot be read, the reason is a sentence."""
        frame = pd.DataFrame({"x": np.arange(60.0)})
        model = make_pipeline(Refusing(), LinearRegression()).fit(frame, frame["x"])
        found = explain(model, frame.head(2), background=frame)

        assert found.fallback == "the model's preparation cannot be probed (ValueError: too many rows)"
        assert found.adds_up

    @pytest.mark.parametrize("order", [1, -1])
    def test_products_of_categories_have_two_sources(self, order):
        """A pair of categories that few rows have is still seen to depend on both columns."""
        random = np.random.default_rng(1)
        frame = pd.DataFrame({"a": random.choice(list("pqrs"), 60), "b": random.choice(list("uvwx"), 60)})
        frame = frame[list(frame)[::order]]
        products = make_pipeline(OneHotEncoder(sparse_output=False), PolynomialFeatures(2, interaction_only=True))
        model = make_pipeline(*[step for _, step in products.steps], LogisticRegression()).fit(
            frame, (frame["a"] == "p") & (frame["b"] == "u")
        )
        found = explain(model, frame.head(2), background=frame)

        assert found.fallback == f"an input of the model is made from several columns ({', '.join(map(str, frame))})"

    def test_columns_are_found_by_name(self, rows, labels, background):
        """Another order of the columns, or one too many, changes nothing; a missing one is named."""
        model = make_pipeline(encoder(rows), DecisionTreeClassifier(max_depth=3)).fit(rows, labels)
        explainer = Explainer(model, background=background)
        turned = rows[rows.columns[::-1]].assign(extra=1).head(2)

        np.testing.assert_array_equal(explainer.explain(turned).values, explainer.explain(rows.head(2)).values)
        with pytest.raises(InvalidInput, match="column Age: is missing"):
            explainer.explain(rows.drop(columns="Age").head(2))
        with pytest.raises(InvalidInput, match="no rows to explain"):
            explainer.explain(rows.head(0))
        with pytest.raises(InvalidInput, match="the background needs rows"):
            Explainer(model, background=background.head(0))


class Refusing(TransformerMixin, BaseEstimator):
    """Takes no more than 110 rows at once."""

    def fit(self, frame, target=None):
        self.fitted_ = True
        return self

    def transform(self, frame):
        if len(frame) > 110:
            raise ValueError("too many rows")
        return frame


class Product:
    """f(x, y) = x * y."""

    def predict(self, frame):
        return frame["x"].to_numpy() * frame["y"].to_numpy()


class TestSampling:
    """Permutations of the original columns."""

    def test_two_columns_have_the_textbook_values(self):
        """Of x*y = 6 against 1*0: x joins first for 0 or last for 4, so 2; y joins for 2 or for 6, so 4."""
        found = explain(Product(), pd.DataFrame({"x": [3], "y": [2]}), background=pd.DataFrame({"x": [1], "y": [0]}))

        assert found.values[0, :, 0].tolist() == [2, 4]
        assert found.base_values.tolist() == [0]
        assert found.method == "sampled (permutation, 330 evaluations, 1 background rows)"

    def test_comes_close_to_the_exact_values(self, rows, labels, background):
        """Of a linear model on one scale, sampling finds what the closed form has, to within rounding."""
        model = make_pipeline(encoder(rows), LinearRegression()).fit(rows, rows["Weight"] * 2 + rows["Age"])
        explainer = Explainer(model, background=background)
        exact, sampled = explainer.explain(rows.tail(3)), explainer.explain_by_sampling(rows.tail(3), "asked for")

        np.testing.assert_allclose(sampled.values, exact.values, atol=1e-8)
        np.testing.assert_allclose(sampled.base_values, exact.base_values)

    def test_same_seed_same_values(self, settings, rows, labels, background):
        """A row has the same values whoever asks again, and whichever rows are asked for with it."""
        model = untrained(settings, "random_forest").fit(rows, labels)
        five, again, six = (Explainer(model, background=background, seed=seed) for seed in (5, 5, 6))
        np.random.seed(3)
        before = np.random.get_state()[1].copy()
        together = five.explain_by_sampling(rows.head(3), "")
        alone = again.explain_by_sampling(rows.iloc[[2]], "")
        other = six.explain_by_sampling(rows.iloc[[2]], "")

        np.testing.assert_array_equal(together.values[2], alone.values[0])
        assert (other.values != alone.values).any()
        np.testing.assert_array_equal(np.random.get_state()[1], before)

    def test_a_large_background_is_cut(self, rows, labels):
        """At most 50 background rows are asked for, and the method says so."""
        model = make_pipeline(encoder(rows), GradientBoostingClassifier(n_estimators=1)).fit(rows, labels)

        assert explain(model, rows.head(1), background=rows).method == SAMPLED


def test_one_row_as_json(rows, background):
    """The form that the command line prints: numbers by class, then by column, that a parser takes back."""
    model = make_pipeline(encoder(rows), LogisticRegression(max_iter=500)).fit(rows, rows["Age"] > 50)
    document = json.loads(json.dumps(to_json(explain(model, rows.head(2), background=background), 1), allow_nan=False))

    keys = ["classes", "scale", "method", "sum_error", "base_values", "contributions", "output"]
    assert list(document) == keys
    assert document["classes"] == ["False", "True"]
    assert list(document["contributions"]["True"]) == list(rows)
    total = document["base_values"]["True"] + sum(document["contributions"]["True"].values())
    assert total == pytest.approx(document["output"]["True"])


def test_import_is_cheap():
    """Neither shap nor matplotlib is imported before something is explained, and matplotlib still can be afterwards."""
    script = """
import sys
import pipeline.explanation.explain, pipeline.explanation.explain, pipeline.explanation.sampling
import pipeline.explanation.wording
assert not {"shap", "matplotlib"} & set(sys.modules), "imported too early"
from pipeline.explanation.exact import load_shap
assert load_shap() is load_shap() is sys.modules["shap"]
assert "matplotlib" not in sys.modules
import matplotlib
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_wording_needs_no_library():
    """A screen turns contributions into words without NumPy or scikit-learn."""
    script = "import sys, pipeline.explanation.wording; assert not {'numpy', 'pandas', 'sklearn'} & set(sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
