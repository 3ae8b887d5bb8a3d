"""A forest's probabilities are exactly those of scikit-learn."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline, make_pipeline

from pipeline.serving.worker.outputs import forest_probabilities
from support.hostile_models import fitted, rows

NUMBERS = ["Age", "Weight"]


def forests() -> dict[str, tuple[Any, pd.DataFrame]]:
    inputs, truth = rows()
    numbers = inputs[NUMBERS]
    gaps = numbers.mask(numbers > 100)
    seeded: dict[str, Any] = {"n_estimators": 40, "random_state": 3}
    return {
        "pipeline": (fitted("random_forest"), inputs),
        "alone": (RandomForestClassifier(**seeded).fit(numbers, truth), numbers),
        "extra trees, weighted": (ExtraTreesClassifier(**seeded, class_weight="balanced").fit(numbers, truth), numbers),
        "only step": (make_pipeline(RandomForestClassifier(**seeded)).fit(numbers, truth), numbers),
        "bootstrap of a few": (RandomForestClassifier(**seeded, max_samples=5).fit(numbers, truth), numbers),
        "missing values": (RandomForestClassifier(**seeded).fit(gaps, truth), gaps),
    }


@pytest.mark.parametrize("name", list(forests()))
@pytest.mark.parametrize("count", [1, 120])
def test_the_numbers_are_the_same_to_the_last_bit(name: str, count: int) -> None:
    """One row or many, weighted, with missing values, alone or at the end of a Pipeline."""
    model, inputs = forests()[name]
    frame = inputs.head(count)
    found = forest_probabilities(model, frame)
    assert found is not None
    assert found.tobytes() == np.ascontiguousarray(model.predict_proba(frame)).tobytes()


def test_other_models_are_left_to_themselves() -> None:
    """Boosting, a forest of several targets, a subclass that may do something else."""
    inputs, truth = rows()
    numbers = inputs[NUMBERS]

    class Other(RandomForestClassifier):
        """Somebody's own."""

    two = np.column_stack([truth, truth])
    for model in (
        fitted("logistic_regression"),
        RandomForestClassifier(3).fit(numbers, two),
        Other(3).fit(numbers, truth),
        Pipeline([("model", Other(3))]).fit(numbers, truth),
    ):
        assert forest_probabilities(model, numbers) is None


def test_rows_are_checked_as_scikit_learn_does() -> None:
    """An infinite value is refused."""
    inputs, truth = rows()
    numbers = inputs[NUMBERS]
    model = RandomForestClassifier(3).fit(numbers, truth)
    with pytest.raises(ValueError, match="infinity"):
        forest_probabilities(model, numbers.where(numbers < 60, np.inf))
