"""Explain a model's rows in its original columns: exactly where the model allows it, else by sampling."""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from pipeline.explanation.exact import ExactMethod, NotExact, exact_method
from pipeline.explanation.model_output import Model
from pipeline.explanation.result import Explanation
from pipeline.explanation.sampling import explain_by_sampling
from pipeline.governance.errors import InvalidInput


class Explainer:
    """Explains one model: prepared once, for any number of calls; it needs as much memory as the model.

    model: a fitted scikit-learn Pipeline, or anything with predict_proba or predict, from the original columns.
    background: rows of the training data in those columns, about 50; sampling takes time in proportion to them.
    """

    def __init__(self, model: Model, *, background: pd.DataFrame, seed: int = 0) -> None:
        if not len(background) or not background.columns.is_unique or not len(background.columns):
            raise InvalidInput("the background needs rows, and columns of different names")
        self._model, self._background, self._seed = model, background, seed
        self._libraries = ThreadpoolController()
        self._method: ExactMethod | None = None
        self.fallback = ""
        try:
            self._method = exact_method(model, background)
        except NotExact as reason:
            self.fallback = str(reason)

    @property
    def exact(self) -> bool:
        """Whether an exact method will be tried; the sum check has the last word."""
        return self._method is not None

    def explain(self, rows: pd.DataFrame) -> Explanation:
        """Explains rows exactly, else by sampling. Raises InvalidInput for missing columns and rows it refuses."""
        try:
            return self.explain_exactly(rows)
        except NotExact as reason:
            return self.explain_by_sampling(rows, str(reason))

    def explain_exactly(self, rows: pd.DataFrame) -> Explanation:
        """Explains rows by the exact method. Raises NotExact with the reason why it cannot, InvalidInput."""
        if self._method is None:
            raise NotExact(self.fallback)
        with self._one_thread():
            return self._method.explain(self._ordered(rows))

    def explain_by_sampling(self, rows: pd.DataFrame, reason: str) -> Explanation:
        """Explains rows by sampling; `reason` says why no exact method was used. Raises InvalidInput."""
        rows = self._ordered(rows)
        with self._one_thread():
            return explain_by_sampling(self._model, rows, self._background, seed=self._seed, reason=reason)

    def _one_thread(self) -> AbstractContextManager[object]:
        # On busy cores the threads of OpenMP wait for each other in loops: histogram boosting took five times as long.
        limited: AbstractContextManager[object] = self._libraries.limit(limits=1, user_api="openmp")
        return limited

    def _ordered(self, rows: pd.DataFrame) -> pd.DataFrame:
        columns = self._background.columns
        if missing := [str(name) for name in columns if name not in rows.columns]:
            raise InvalidInput(f"column {missing[0]}: is missing in the rows to explain")
        if not len(rows):
            raise InvalidInput("there are no rows to explain")
        return rows[list(columns)]


def explain(model: Model, rows: pd.DataFrame, *, background: pd.DataFrame, seed: int = 0) -> Explanation:
    """Explains rows with an Explainer that is made for this one call; the same values for the same seed."""
    return Explainer(model, background=background, seed=seed).explain(rows)


# How a model uses its columns as a whole: which rows to explain, and the document `explanation.json`.

EXACT_ROWS, SAMPLED_ROWS = 300, 50
MOST_CLASSES = 50
BANDS = 10


def explain_summary(
    explainer: Explainer, rows: pd.DataFrame, target: pd.Series, *, seed: int = 0
) -> tuple[NDArray[np.intp], Explanation]:
    """The positions of the explained rows, and their explanation: 300 where it is exact, 50 where it is sampled.

    target: the actual class or number of each row. Raises InvalidInput.
    """
    positions = summary_rows(target, exact=True, seed=seed)
    try:
        return positions, explainer.explain_exactly(rows.iloc[positions])
    except NotExact as reason:
        positions = summary_rows(target, exact=False, seed=seed)
        return positions, explainer.explain_by_sampling(rows.iloc[positions], str(reason))


def summary_rows(target: pd.Series, *, exact: bool, seed: int = 0) -> NDArray[np.intp]:
    """Sorted positions of at most 300 rows, or 50, each class with its share to within one row.

    Of 300 stratified rows the mean |value| per column is within 1.3 % of all rows', in measurements on 627. A number
    with many values is cut into ten bands.
    """
    wanted = min(len(target), EXACT_ROWS if exact else SAMPLED_ROWS)
    if pd.api.types.is_numeric_dtype(target) and target.nunique() > MOST_CLASSES:
        target = target.rank(method="first") // (len(target) / BANDS)
    classes, _ = pd.factorize(target, sort=True)
    shuffled = np.lexsort((np.random.default_rng(seed).random(len(target)), classes))
    # Every so many rows of those ordered by class and shuffled within: systematic sampling keeps the shares.
    every = (np.arange(wanted) * len(target)) // max(1, wanted)
    return np.sort(shuffled[every])


def summarise(explanation: Explanation) -> dict[str, Any]:
    """The document `explanation.json`, in which all numbers are finite.

    mean_abs: per class and column, the mean of |value| over the rows, on `scale`. importance: its mean over the
    classes, largest first; never the mean of the values themselves, which cancel out over the classes.
    """
    mean_abs = np.abs(explanation.values).mean(axis=0)
    ranking = np.argsort(-mean_abs.mean(axis=1), kind="stable")
    importance = mean_abs.mean(axis=1).tolist()
    return {
        "method": explanation.method,
        "scale": explanation.scale,
        "sampled": explanation.sampled,
        "n": len(explanation),
        "classes": list(explanation.classes),
        "columns": list(explanation.columns),
        "sum_error": explanation.sum_error,
        "tolerance": explanation.tolerance,
        "fallback": explanation.fallback,
        "base_values": dict(zip(explanation.classes, explanation.base_values.tolist(), strict=True)),
        "mean_abs": {
            name: dict(zip(explanation.columns, mean_abs[:, position].tolist(), strict=True))
            for position, name in enumerate(explanation.classes)
        },
        "importance": [{"column": explanation.columns[each], "mean_abs": importance[each]} for each in ranking],
    }
