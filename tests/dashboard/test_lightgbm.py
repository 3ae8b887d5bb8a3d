"""A real LightGBM model on Explain, Predict and Compare, under both trust policies."""

import warnings
from dataclasses import replace

import pytest

from support.desks import build_desk
from support.explained_desk import POLICY, content
from support.hostile_models import rows
from support.in_memory import InMemoryRegistry
from support.seen import badges, texts

DOSE = "dose"
NOT_LOADED = "Its flavor is lightgbm, which is not loaded under this trust policy"
PRODUCERS = replace(POLICY, trust="producers")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """As `mlflow.lightgbm.save_model` leaves it, with an input example."""
    import mlflow.lightgbm
    from lightgbm import LGBMClassifier

    inputs, truth = rows()
    inputs, folder = inputs[["Age", "Weight"]], tmp_path_factory.mktemp("boosted") / "model"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        model = LGBMClassifier(n_estimators=5, verbose=-1).fit(inputs, truth)
        mlflow.lightgbm.save_model(model, folder, pip_requirements=[], input_example=inputs.head(3))
    return content(folder)


@pytest.fixture
def show(files, worker, open_page, score_with):
    """Opens a page of a desk with two such versions, under a policy."""
    registry = InMemoryRegistry()
    registry.add_model(DOSE)
    for _ in range(2):
        registry.add_version(DOSE, files=files)

    def shown(policy, page, **query):
        score_with(worker, policy)
        return open_page(build_desk(registry), page, model=DOSE, **query)

    return shown


@pytest.mark.parametrize("page", ["explain", "predict"])
def test_it_is_not_loaded_under_the_allow_list(show, page):
    """The flavor is named, no form asks for a row, and there is no way to load it anyway."""
    app = show(POLICY, page, version="1")

    assert not app.exception
    assert NOT_LOADED in texts(app)
    assert not app.number_input
    assert not app.button


def test_producers_that_are_trusted_explain(show):
    """Exactly, by the trees; how it was loaded is a badge."""
    app = show(PRODUCERS, "explain", version="1", show="One row")

    assert not app.exception
    assert any("Loaded by MLflow" in each for each in badges(app))
    assert "Exact effects, which account for the whole answer" in texts(app)


def test_producers_that_are_trusted_predict(show):
    """Both versions answer with probabilities."""
    app = show(PRODUCERS, "predict", version="1", beside="2")

    assert not app.exception
    assert {"Version 1 predicts", "Version 2 predicts"} <= {each.value for each in app.caption}
    assert app.get("plotly_chart")


def test_it_is_compared_without_being_loaded(show):
    """What is missing for a verdict is named."""
    app = show(POLICY, "compare", versions="1,2")

    assert not app.exception
    assert "Version 2 came without evaluation rows." in texts(app)
