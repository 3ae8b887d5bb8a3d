"""A candidate's recipe as one scikit-learn Pipeline from the raw row to the prediction, made of stock parts only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, PolynomialFeatures, StandardScaler
from threadpoolctl import threadpool_limits

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import first_line
from pipeline.settings import CandidateSettings, Settings
from pipeline.settings.schema import SchemaSettings

ESTIMATORS: Mapping[str, type[Any]] = {
    "logistic_regression": LogisticRegression,
    "random_forest": RandomForestClassifier,
    "extra_trees": ExtraTreesClassifier,
    "hist_gradient_boosting": HistGradientBoostingClassifier,
}
FORESTS = (RandomForestClassifier, ExtraTreesClassifier)
ROWS_THAT_PAY = 20_000
HEIGHT, WEIGHT = "Height", "Weight"


@dataclass(frozen=True)
class Candidate:
    """A recipe of the settings, to be trained on certain rows, with the keys that recognise its results."""

    # Its name in `params.yaml`.
    name: str
    recipe: CandidateSettings
    # Parameters of the estimator, with the split's seed where the recipe leaves the random state open.
    parameters: Mapping[str, Any]
    # Equal for trainings that give the same fitted model.
    fit_key: str
    # Equal for trainings that give the same version.
    training_key: str

    def facts(self) -> dict[str, Any]:
        """The recipe as the document `lineage.json` has it."""
        return {
            "name": self.name,
            "estimator": self.recipe.estimator,
            "parameters": self.parameters,
            "body_mass_index": self.recipe.body_mass_index,
        }


def read_recipe(settings: Settings, name: str) -> tuple[CandidateSettings, dict[str, Any]]:
    """The recipe of this name and the parameters of its estimator.

    Raises InvalidInput for a name that is not in the settings, and a parameter that the estimator does not have.
    """
    if name not in settings.candidates:
        raise InvalidInput(f"candidate {name!r}: is not in the settings; there are {', '.join(settings.candidates)}")
    recipe = settings.candidates[name]
    allowed = ESTIMATORS[recipe.estimator]().get_params()
    unknown = sorted(set(recipe.parameters) - set(allowed))
    if unknown:
        known = ", ".join(sorted(allowed))
        raise InvalidInput(
            f"candidates.{name}.parameters.{unknown[0]}: {recipe.estimator} has no such parameter; {known}"
        )
    open_seed = {"random_state": settings.split.seed} if "random_state" in allowed else {}
    return recipe, open_seed | recipe.parameters


def build_pipeline(candidate: Candidate, schema: SchemaSettings) -> Pipeline:
    """The unfitted pipeline of a candidate, with explicit lists of columns."""
    estimator = ESTIMATORS[candidate.recipe.estimator](**candidate.parameters)
    parts: list[tuple[str, Any, list[str]]] = [
        ("numbers", StandardScaler(), list(schema.numbers)),
        # A category that training has not seen is a row of zeros, never a crash.
        ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(schema.categories)),
    ]
    if candidate.recipe.body_mass_index:
        if not {HEIGHT, WEIGHT} <= set(schema.numbers):
            raise InvalidInput(
                f"candidates.{candidate.name}.body_mass_index: needs the number columns {HEIGHT} and {WEIGHT}"
            )
        parts.append(("body_mass_index", _body_mass_index(), [HEIGHT, WEIGHT]))
    return Pipeline([("columns", ColumnTransformer(parts)), ("model", estimator)])


def _body_mass_index() -> Pipeline:
    """One column, 1/H · 1/H · W: the only product of three different columns that PolynomialFeatures finds here."""
    factors = ColumnTransformer(
        [
            ("one_over_height", _reciprocal(), [HEIGHT]),
            ("one_over_height_again", _reciprocal(), [HEIGHT]),
            ("weight", "passthrough", [WEIGHT]),
        ]
    )
    product = PolynomialFeatures(degree=(3, 3), interaction_only=True, include_bias=False)
    return Pipeline([("factors", factors), ("product", product)])


def _reciprocal() -> FunctionTransformer:
    # numpy's own function: skops knows it and needs no trust for it.
    return FunctionTransformer(np.reciprocal, feature_names_out="one-to-one")


def fitting_threads(rows: int) -> threadpool_limits:
    """One thread for linear algebra, whose sums differ in their last bits with the number; OpenMP where it pays.

    With few rows two threads of histogram boosting gain nothing, and on a busy machine they wait for each other: 15
    times as long was measured.
    """
    return threadpool_limits(1, user_api="blas" if rows >= ROWS_THAT_PAY else None)


def fit_pipeline(pipeline: Pipeline, inputs: pd.DataFrame, truth: pd.Series) -> Pipeline:
    """The pipeline, fitted. Raises InvalidInput where scikit-learn refuses the recipe's values.

    Forests are fitted on every core, which changes no bit of them, and predict on one: with several, the order in which
    trees are added up, and with it the last bits of a probability, changes from call to call.
    """
    estimator: ClassifierMixin = pipeline.named_steps["model"]
    if isinstance(estimator, FORESTS):
        estimator.set_params(n_jobs=joblib.cpu_count())
    try:
        with fitting_threads(len(inputs)):
            pipeline.fit(inputs, truth)
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{type(estimator).__name__}: cannot be fitted ({first_line(error)})") from error
    if isinstance(estimator, FORESTS):
        estimator.set_params(n_jobs=1)
    return pipeline
