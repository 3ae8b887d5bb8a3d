"""Explain a model's rows in its original columns: exactly where the model allows it, else by sampling."""

from contextlib import AbstractContextManager

import pandas as pd
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
        """Raises InvalidInput for rows that lack a column or that the model itself refuses."""
        try:
            return self.explain_exactly(rows)
        except NotExact as reason:
            return self.explain_by_sampling(rows, str(reason))

    def explain_exactly(self, rows: pd.DataFrame) -> Explanation:
        """Raises NotExact with the reason, InvalidInput."""
        if self._method is None:
            raise NotExact(self.fallback)
        with self._one_thread():
            return self._method.explain(self._ordered(rows))

    def explain_by_sampling(self, rows: pd.DataFrame, reason: str) -> Explanation:
        """Raises InvalidInput."""
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
