"""Models that only MLflow itself can load: for registries whose producers the operator trusts, in the worker only.

`mlflow.pyfunc.load_model` unpickles, imports a loader and puts a code folder on the path, as the model's own MLmodel
asks. Nothing in this module may be called outside the worker process; `serving.trust` decides whether it is called.
"""

import os
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from pipeline.governance.errors import Refused
from pipeline.serving.worker.load import (
    MOST_TEXT_BYTES,
    LoadedModel,
    NotHere,
    check_scikit_learn,
    files_of,
    read_description,
    short,
)

REQUIREMENTS = "requirements.txt"
PINNED = re.compile(r"^\s*scikit[-_.]learn\s*={2,3}\s*(\d+\.\d+[\w.]*)", re.MULTILINE | re.IGNORECASE)


class PlainModel:
    """What MLflow promises of every model: `predict`, from rows to a prediction for each. raw: the object inside."""

    def __init__(self, loaded: mlflow.pyfunc.PyFuncModel, raw: Any) -> None:  # noqa: ANN401 (of any flavor)
        self._loaded, self.raw = loaded, raw

    def predict(self, rows: Any) -> Any:  # noqa: ANN401 (a frame or an array, as the model likes it)
        # MLflow refuses categories of numbers, which are all that such a booster takes.
        model = self.raw if getattr(self.raw, "pandas_categorical", None) else self._loaded
        try:
            return model.predict(rows)
        except MlflowException as error:
            # It writes out the rows and the whole schema before it says what is wrong.
            raise ValueError(str(error).rpartition("Error: ")[2]) from error


def load_with_mlflow(folder: Path) -> LoadedModel:
    """Whatever MLflow makes of the folder; the object inside where it is one of scikit-learn's kind.

    Raises Refused with the reason, NotHere for a model of another scikit-learn.
    """
    names = frozenset(file.path for file in files_of(folder))
    description = read_description(folder)
    if needed := _scikit_learn(description, folder):
        check_scikit_learn(needed)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path.home() / 'nothing.db'}"  # never a ./mlruns beside anything
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", InconsistentVersionWarning)
        loaded, model = _loaded(folder)
    for warning in seen:
        if isinstance(warning.message, InconsistentVersionWarning):
            check_scikit_learn(str(warning.message.original_sklearn_version))
    steps = getattr(model, "steps", None)
    named = steps[-1][-1] if isinstance(steps, list) and steps else model
    kind = loaded.metadata.flavors.get("python_function", {}).get("loader_module", "python_function")
    name = str(kind) if isinstance(model, PlainModel) else type(named).__name__
    return LoadedModel(model, name, description, folder, names)


def _loaded(folder: Path) -> tuple[mlflow.pyfunc.PyFuncModel, Any]:
    try:
        loaded = mlflow.pyfunc.load_model(str(folder))
        return loaded, _inner(loaded)
    except MemoryError:
        raise
    except ImportError as error:
        raise NotHere(f"MLflow cannot load it ({short(error)})") from error
    except BaseException as error:  # there is nothing that code which came with a model might not raise
        raise Refused(f"MLflow cannot load it ({short(error)})") from error


def _scikit_learn(description: Mapping[str, Any], folder: Path) -> str:
    """The version that a model of scikit-learn, or of Python code that may hold one, was made with; empty if not said.

    Boosters and networks have formats of their own: for them the environment that they were made in says nothing.
    """
    flavors = description["flavors"]
    if set(flavors) - {"sklearn", "python_function"}:
        return ""
    said = flavors.get("sklearn")
    if isinstance(said, dict) and said.get("sklearn_version"):
        return str(said["sklearn_version"])
    path = folder / REQUIREMENTS
    if not path.is_file() or path.stat().st_size > MOST_TEXT_BYTES:
        return ""
    found = PINNED.search(path.read_text(encoding="utf-8", errors="replace"))
    return found[1] if found else ""


def _inner(loaded: mlflow.pyfunc.PyFuncModel) -> Any:  # noqa: ANN401 (whatever the flavor holds)
    """scikit-learn's own object, or one with its methods: only that one tells probabilities and class names."""
    try:
        model = loaded.get_raw_model()
    except (NotImplementedError, AttributeError, MlflowException):
        model = None
    is_like_ours = isinstance(model, BaseEstimator) or hasattr(model, "predict_proba")
    return model if is_like_ours else PlainModel(loaded, model)
