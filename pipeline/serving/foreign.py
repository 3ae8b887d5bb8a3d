"""Models that only MLflow itself can load: for registries whose producers the operator trusts, in the worker only.

`mlflow.pyfunc.load_model` unpickles, imports a loader and puts a code folder on the path, as the model's own MLmodel
asks. Nothing in this module may be called outside the worker process; `serving.trust` decides whether it is called.
"""

import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from sklearn.base import BaseEstimator

from pipeline.governance.errors import Refused
from pipeline.serving.loader import UNUSABLE, LoadedModel, files_of, read_description, short


class PlainModel:
    """What MLflow promises of every model: `predict`, from rows to a prediction for each."""

    def __init__(self, loaded: mlflow.pyfunc.PyFuncModel) -> None:
        self._loaded = loaded

    def predict(self, rows: Any) -> Any:  # noqa: ANN401 (a frame or an array, as the model likes it)
        return self._loaded.predict(rows)


def load_with_mlflow(folder: Path) -> LoadedModel:
    """Whatever MLflow makes of the folder; the object inside where it is one of scikit-learn's kind.

    Raises Refused with the reason.
    """
    names = frozenset(file.path for file in files_of(folder))
    description = read_description(folder)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path.home() / 'nothing.db'}"  # never a ./mlruns beside anything
    try:
        loaded = mlflow.pyfunc.load_model(str(folder))
        model = _inner(loaded)
    except (MlflowException, *UNUSABLE) as error:
        raise Refused(f"MLflow cannot load it ({short(error)})") from error
    steps = getattr(model, "steps", None)
    named = steps[-1][-1] if isinstance(steps, list) and steps else model
    kind = loaded.metadata.flavors.get("python_function", {}).get("loader_module", "python_function")
    name = str(kind) if isinstance(model, PlainModel) else type(named).__name__
    return LoadedModel(model, name, description, folder, names)


def _inner(loaded: mlflow.pyfunc.PyFuncModel) -> Any:  # noqa: ANN401 (whatever the flavor holds)
    """scikit-learn's own object, or one with its methods: only that one tells probabilities and class names."""
    try:
        model = loaded.get_raw_model()
    except (NotImplementedError, AttributeError, MlflowException):
        model = None
    return model if isinstance(model, BaseEstimator) or hasattr(model, "predict_proba") else PlainModel(loaded)
