"""Class probabilities of a forest, bit for bit those of its predict_proba, without what that spends per tree.

scikit-learn hands each tree to joblib and checks the rows again for it: of one row through 300 trees that is most of
the time. Trees are added in the same order here, so the sums are the same.
"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline

FORESTS = (RandomForestClassifier, ExtraTreesClassifier)


def forest_probabilities(model: Any, frame: pd.DataFrame) -> np.ndarray | None:  # noqa: ANN401 (scikit-learn's duck)
    """None for what is no forest with one target, alone or at the end of a Pipeline. Raises as the model does."""
    forest = model.steps[-1][1] if type(model) is Pipeline else model
    if type(forest) not in FORESTS or forest.n_outputs_ != 1:
        return None
    rows = model[:-1].transform(frame) if forest is not model and len(model.steps) > 1 else frame
    rows = forest._validate_X_predict(rows)  # noqa: SLF001 (once, as predict_proba does it)
    total = np.zeros((rows.shape[0], forest.n_classes_), dtype=np.float64)
    for tree in forest.estimators_:
        total += tree.tree_.predict(rows)[:, : forest.n_classes_]
    total /= len(forest.estimators_)
    return total
