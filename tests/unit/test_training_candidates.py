"""Recipes as pipelines."""

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.pipeline import Pipeline

from pipeline.governance.errors import InvalidInput
from pipeline.settings import CandidateSettings, Settings, read_settings
from pipeline.training.candidates import fit_pipeline
from pipeline.training.data import generate_sample
from pipeline.training.model_folder import model_fingerprint
from support.candidates import untrained

SETTINGS = read_settings(environ={})
INPUTS = list(SETTINGS.schema_.columns)
SMALL = {
    "logistic_regression": {"max_iter": 2000},
    "random_forest": {"n_estimators": 5, "max_depth": 6},
    "extra_trees": {"n_estimators": 5},
    "hist_gradient_boosting": {"max_iter": 5},
}


def settings_with(**recipes: CandidateSettings) -> Settings:
    return SETTINGS.model_copy(update={"candidates": recipes})


def small(name: str) -> Settings:
    index = name == "hist_gradient_boosting"
    recipe = CandidateSettings(estimator=name, body_mass_index=index, parameters=SMALL[name])  # type: ignore[arg-type]
    return settings_with(**{name: recipe})


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return generate_sample(300, seed=3)


@pytest.fixture(scope="module", params=SMALL)
def fitted(request, rows) -> Pipeline:
    return fit_pipeline(untrained(small(request.param), request.param), rows[INPUTS], rows["NObeyesdad"])


def test_pipelines_need_only_allowed_types(fitted):
    """Each saved pipeline loads with the types of the settings, and none of its parts is of this project."""
    content = skops.io.dumps(fitted)

    assert set(skops.io.get_untrusted_types(data=content)) <= set(SETTINGS.serving.allowed_types)
    assert not [name for name in skops.io.get_untrusted_types(data=content) if name.startswith("pipeline.")]


def test_saved_pipelines_predict_bit_for_bit_the_same(fitted, rows):
    """A pipeline that was saved and loaded gives the same bits and has the same fingerprint."""
    loaded = skops.io.loads(skops.io.dumps(fitted), trusted=SETTINGS.serving.allowed_types)

    assert np.array_equal(loaded.predict_proba(rows[INPUTS]), fitted.predict_proba(rows[INPUTS]))
    assert model_fingerprint(loaded) == model_fingerprint(fitted)


def test_unknown_categories_do_not_crash(fitted, rows):
    """A category that training has not seen still gives probabilities."""
    strange = rows[INPUTS].head(2).assign(MTRANS="Rocket", CALC="Daily")

    assert fitted.predict_proba(strange).sum(axis=1) == pytest.approx([1, 1])


def test_columns_may_come_in_another_order(fitted, rows):
    """Columns are found by name."""
    backwards = rows[INPUTS[::-1]]

    assert fitted.predict(backwards).tolist() == fitted.predict(rows[INPUTS]).tolist()


def test_models_predict_on_one_thread(fitted):
    """With several threads the last bits of a forest's probability change from call to call."""
    assert fitted.named_steps["model"].get_params().get("n_jobs") in (None, 1)


def test_body_mass_index_is_one_column(rows):
    """The added column is W/H², made of stock parts."""
    settings = small("hist_gradient_boosting")
    columns = untrained(settings, "hist_gradient_boosting").named_steps["columns"].fit(rows[INPUTS])

    names = columns.get_feature_names_out()

    assert [name for name in names if name.startswith("body_mass_index")] == [names[-1]]
    assert columns.transform(rows[INPUTS])[:, -1] == pytest.approx(rows["Weight"] / rows["Height"] ** 2, rel=1e-12)


def test_fingerprint_tells_models_apart(rows):
    """Another seed learns other trees and has another fingerprint."""
    prints = set()
    for seed in (1, 2):
        recipe = CandidateSettings(estimator="random_forest", parameters={"n_estimators": 3, "random_state": seed})
        pipeline = untrained(settings_with(forest=recipe), "forest")
        pipeline.named_steps["model"].set_params(random_state=seed)
        model = fit_pipeline(pipeline, rows[INPUTS], rows["NObeyesdad"])
        model.named_steps["model"].set_params(random_state=0)
        prints.add(model_fingerprint(model))

    assert len(prints) == 2


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (
            {"estimator": "random_forest", "parameters": {"trees": 3}},
            r"candidates\.it\.parameters\.trees: random_forest has",
        ),
        (
            {"estimator": "random_forest", "parameters": {"max_depth": "deep"}},
            r"RandomForestClassifier: cannot be fitted",
        ),
    ],
)
def test_wrong_recipes_are_refused(rows, recipe, sentence):
    """A parameter that the estimator lacks, or a value that it refuses, is one sentence."""
    settings = settings_with(it=CandidateSettings(**recipe))

    with pytest.raises(InvalidInput, match=sentence):
        fit_pipeline(untrained(settings, "it"), rows[INPUTS], rows["NObeyesdad"])


def test_unknown_candidates_are_refused():
    """A name that is not in the settings is answered with those that are."""
    with pytest.raises(
        InvalidInput, match="candidate 'forrest': is not in the settings; there are logistic_regression, "
    ):
        untrained(SETTINGS, "forrest")
