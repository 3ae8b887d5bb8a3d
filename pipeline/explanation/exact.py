"""Exact methods: trees and linear models behind a preparation whose encoded columns have one source each."""

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn import ensemble, linear_model, tree
from sklearn.pipeline import Pipeline

from pipeline.explanation.model_output import Model, Preparation, Rows, class_names, is_lightgbm, own_output
from pipeline.explanation.result import Explanation, Numbers, Scale
from pipeline.explanation.sources import column_sources, probe_rows
from pipeline.governance.text import first_line

# shap, imported when it is first needed and without matplotlib.

Module = Any  # of a library without types
_importing = threading.Lock()


def load_shap() -> Module:
    """The library shap. With matplotlib masked the import takes a quarter of the time and a fifth of the memory.

    shap 0.51 and 0.54 import matplotlib for charts that nobody draws here and do without where it is missing; loading
    it lazily is asked for in shap#4835. Afterwards matplotlib can be imported as before. The lock holds back a second
    thread that comes for shap; one that imports matplotlib itself in this moment would fail.
    """
    with _importing:
        if "shap" in sys.modules or "matplotlib" in sys.modules:
            return _import()
        sys.modules["matplotlib"] = None  # type: ignore[assignment]  # the documented way to make an import fail
        try:
            return _import()
        finally:
            del sys.modules["matplotlib"]


def _import() -> Module:
    import shap

    return shap


# By exact type: what inherits from these may predict in another way.
FORESTS = (
    tree.DecisionTreeClassifier, tree.DecisionTreeRegressor, tree.ExtraTreeClassifier, tree.ExtraTreeRegressor,
    ensemble.RandomForestClassifier, ensemble.RandomForestRegressor,
    ensemble.ExtraTreesClassifier, ensemble.ExtraTreesRegressor,
)  # fmt: skip
BOOSTINGS = (ensemble.HistGradientBoostingClassifier, ensemble.HistGradientBoostingRegressor)
LINEAR = (
    linear_model.LogisticRegression, linear_model.LogisticRegressionCV,
    linear_model.LinearRegression, linear_model.Ridge, linear_model.RidgeCV, linear_model.Lasso, linear_model.LassoCV,
    linear_model.ElasticNet, linear_model.ElasticNetCV, linear_model.SGDRegressor,
)  # fmt: skip
LOG_ODDS = ("binary", "multiclass")  # objectives of LightGBM
TOLERANCE = 1e-9
TREE_METHOD, LINEAR_METHOD = "exact (tree, path-dependent)", "exact (linear)"
Effects = Callable[[Numbers], Numbers]  # (n, encoded) to (n, encoded, classes)


class NotExact(Exception):
    """No exact method fits this model; the message says why."""


@dataclass(frozen=True)
class ExactMethod:
    """An exact method for one model: effects of the encoded columns, summed up over their original columns."""

    # For people, such as "exact (linear)".
    name: str
    # The transformer in front of the estimator; None where there is none.
    preparation: Preparation
    # What predicts from the encoded columns.
    estimator: Model
    # Shape (encoded columns, original columns): 1 where the first is computed from the second.
    sources: Numbers
    # From encoded rows to the effect of each encoded column on each class.
    effects: Effects
    # Shape (classes,): the output with nothing known.
    base_values: Numbers
    # In what effects and output are measured.
    scale: Scale

    def explain(self, rows: pd.DataFrame) -> Explanation:
        """Explains rows. Raises NotExact where the values miss the model's output, InvalidInput where it has none.

        The model is asked, not shap: its check_additivity compares with its own copy of the model and passes on values
        that are wrong (shap#3436).
        """
        encoded = _prepared(self.preparation, rows)
        output = own_output(self.estimator, encoded, self.scale)
        values = np.einsum("nec,eo->noc", self.effects(_dense(encoded)), self.sources)
        sum_error = float(np.abs(self.base_values + values.sum(axis=1) - output).max())
        # Rounding grows with the numbers: a price of 500,000 cannot be met to the ninth decimal.
        tolerance = TOLERANCE * max(1.0, float(np.abs(output).max())) if self.scale == "value" else TOLERANCE
        if not sum_error <= tolerance:
            raise NotExact(f"the exact values miss the model's output by {sum_error:.2g}")
        return Explanation(
            columns=tuple(str(name) for name in rows.columns),
            classes=class_names(self.estimator, output.shape[1]),
            values=values,
            base_values=self.base_values,
            output=output,
            scale=self.scale,
            method=self.name,
            sampled=False,
            sum_error=sum_error,
            tolerance=tolerance,
        )


def exact_method(model: Model, background: pd.DataFrame) -> ExactMethod:
    """The exact method for a model, prepared for any number of rows. Raises NotExact with the reason."""
    preparation, estimator = (model[:-1], model[-1]) if type(model) is Pipeline and len(model) > 1 else (None, model)
    _require_exact_type(estimator)
    try:
        probe = probe_rows(preparation, background)
        sources = column_sources(lambda rows: _dense(_prepared(preparation, rows)), probe)
        encoded = _dense(_prepared(preparation, background))
    except (ValueError, TypeError, AttributeError) as error:
        raise NotExact(
            f"the model's preparation cannot be probed ({type(error).__name__}: {first_line(error)})"
        ) from error
    _require_one_source(sources, background)
    if type(estimator) in LINEAR:
        name, (effects, base) = LINEAR_METHOD, _linear(estimator, encoded.mean(axis=0))
    elif is_lightgbm(estimator):
        name, (effects, base) = TREE_METHOD, _lightgbm(estimator, encoded)
    else:
        name, (effects, base) = TREE_METHOD, _trees(estimator)
    return ExactMethod(name, preparation, estimator, sources, effects, base, _scale(estimator))


def _require_exact_type(estimator: Model) -> None:
    kind = type(estimator)
    if is_lightgbm(estimator):
        usual = estimator.objective_ in LOG_ODDS and float(estimator.get_params().get("sigmoid", 1)) == 1
        if hasattr(estimator, "classes_") and not usual:  # under another objective it is another quantity
            raise NotExact(f"the raw score of this {kind.__name__} is not its log-odds")
        return
    if kind not in (*FORESTS, *BOOSTINGS, *LINEAR):
        raise NotExact(f"{kind.__name__} has no exact method")
    if kind in FORESTS and getattr(estimator, "n_outputs_", 1) != 1:
        raise NotExact(f"{kind.__name__} predicts several targets")
    categorical = getattr(estimator, "is_categorical_", None)
    if kind in BOOSTINGS and categorical is not None and np.any(categorical):
        # shap reads the splits as thresholds: off by up to 18 log-odds, without a warning (shap#3436).
        raise NotExact(f"{kind.__name__} splits on categories by itself")


def _require_one_source(sources: Numbers, background: pd.DataFrame) -> None:
    mixed = sources[sources.sum(axis=1) > 1]
    if len(mixed):
        names = ", ".join(str(name) for name in background.columns[mixed[0] > 0])
        raise NotExact(f"an input of the model is made from several columns ({names})")


def _prepared(preparation: Preparation, rows: pd.DataFrame) -> Rows:
    return rows if preparation is None else preparation.transform(rows)


def _dense(encoded: Rows) -> Numbers:
    return np.asarray(encoded.toarray() if issparse(encoded) else encoded, dtype=np.float64)


def _scale(estimator: Model) -> Scale:
    if not hasattr(estimator, "classes_"):
        return "value"
    return "probability" if type(estimator) in FORESTS else "log-odds"


def _trees(estimator: Model) -> tuple[Effects, Numbers]:
    """TreeSHAP, path-dependent (S. Lundberg et al., From local explanations to global understanding with explainable AI
    for trees, Nature Machine Intelligence 2, 2020).

    Without background rows: with them shap changes the method, cuts them to 100, and misses the output by up to 0.01.
    """
    explainer = load_shap().TreeExplainer(estimator)
    base = np.atleast_1d(np.asarray(explainer.expected_value, dtype=np.float64))

    def effects(encoded: Numbers) -> Numbers:
        # One row per call: the C code holds the interpreter lock (shap#4162), a long call would stop every thread.
        values = [np.asarray(explainer.shap_values(row[None], check_additivity=False)) for row in encoded]
        return np.concatenate(values).reshape(*encoded.shape, -1)

    return _of_each_class(estimator, effects, base)


def _lightgbm(estimator: Model, encoded: Numbers) -> tuple[Effects, Numbers]:
    """The same method as LightGBM has it built in (`pred_contrib`). Raises NotExact where it has none."""
    from lightgbm.basic import LightGBMError

    def contributions(rows: Numbers) -> Numbers:
        """Shape (rows, encoded columns and one for the base value, classes)."""
        found = np.asarray(estimator.booster_.predict(rows, pred_contrib=True), dtype=np.float64)
        return found.reshape(len(rows), -1, rows.shape[1] + 1).transpose(0, 2, 1)

    try:
        base = contributions(encoded[:1])[0, -1]
    except LightGBMError as error:
        raise NotExact(f"LightGBM: {str(error).strip()[:200]}") from error
    return _of_each_class(estimator, lambda rows: contributions(rows)[:, :-1], base)


def _of_each_class(estimator: Model, effects: Effects, base: Numbers) -> tuple[Effects, Numbers]:
    """Contributions of both classes of a binary classifier, which is explained for its second class alone."""
    if not hasattr(estimator, "classes_") or len(base) > 1:
        return effects, base

    def both(encoded: Numbers) -> Numbers:
        values = effects(encoded)
        return np.concatenate([-values, values], axis=2)

    return both, np.concatenate([-base, base])


def _linear(estimator: Model, mean: Numbers) -> tuple[Effects, Numbers]:
    """Coefficient times distance from the background's mean (S. Lundberg and S.-I. Lee, A unified approach to
    interpreting model predictions, NeurIPS 2017, corollary 1). shap's own class cuts the background to 100 rows.
    """
    coefficients = np.atleast_2d(estimator.coef_)
    if hasattr(estimator, "classes_") and len(coefficients) == 1:
        coefficients = np.concatenate([-coefficients, coefficients])
        intercept = np.concatenate([-estimator.intercept_, estimator.intercept_])
    else:
        intercept = np.atleast_1d(estimator.intercept_)
    return lambda encoded: (encoded - mean)[:, :, None] * coefficients.T, intercept + coefficients @ mean
