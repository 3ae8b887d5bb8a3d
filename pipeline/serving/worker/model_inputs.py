"""What a model is given in place of a frame: the one text column of raw documents, records, categories of pandas.

A step that reads documents iterates over what it is given. Of a frame that is the names of its columns: it would answer
the same for every text, without an error.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction import DictVectorizer, FeatureHasher
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from pipeline.governance.errors import Refused
from pipeline.serving.worker.load import Model, Rows

DOCUMENTS = (CountVectorizer, HashingVectorizer)
RECORDS = (DictVectorizer, FeatureHasher)
ASKED = {"predict", "predict_proba", "predict_log_proba", "decision_function", "transform"}
# Where estimators that wrap others keep those that were fitted.
FITTED = ("best_estimator_", "estimator_", "regressor_", "calibrated_classifiers_", "estimators_", "estimator")


class DocumentModel:
    """A model that begins with `reader`: turns a frame into what the reader iterates over."""

    def __init__(self, model: Model, reader: Any) -> None:  # noqa: ANN401 (a transformer of scikit-learn)
        self._model, self._reader = model, reader

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the model has)
        if name.startswith("_") and name != "__sklearn_tags__":
            raise AttributeError(name)
        found = getattr(self._model, name)
        return (lambda rows: found(self._read(rows))) if name in ASKED else found

    def _read(self, rows: Rows) -> Any:  # noqa: ANN401 (texts or records)
        frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(rows)
        if isinstance(self._reader, RECORDS):
            return frame.to_dict("records")
        if frame.shape[1] != 1:
            names = ", ".join(str(name)[:80] for name in frame.columns[:5])
            reads = f"it begins with {type(self._reader).__name__}, which reads one column of text"
            raise Refused(f"{reads}; there are {frame.shape[1]:,}: {names}")
        return frame.iloc[:, 0]


def reading(model: Model) -> Model:
    """The model, or a wrapper that takes a frame where it cannot. Raises Refused for one that frames cannot feed."""
    reader = next(_readers(model), None)
    if isinstance(reader, FeatureHasher) and reader.input_type != "dict":
        raise Refused(f"it begins with FeatureHasher, which reads lists of {reader.input_type}s; a row has columns")
    return model if reader is None else DocumentModel(model, reader)


def _readers(model: Model) -> Iterator[Any]:
    """The steps that read documents or records from what the model itself is given."""
    if isinstance(model, (*DOCUMENTS, *RECORDS)):
        yield model
    elif isinstance(model, Pipeline):
        yield from _first_readers([step for _, step in model.steps])
    elif isinstance(model, FeatureUnion):
        for _, part in model.transformer_list:
            yield from _readers(part)
    elif not isinstance(model, ColumnTransformer):  # that one hands over columns itself
        for name in FITTED:
            fitted = getattr(model, "__dict__", {}).get(name)
            for part in fitted if isinstance(fitted, list) else [fitted]:
                yield from _readers(part) if part is not None and part is not model else ()


def _first_readers(steps: list[Any]) -> Iterator[Any]:
    """The readers of the first step that is more than a function of its input; one fitted with a table gets it."""
    for step in steps:
        if isinstance(step, FunctionTransformer):
            if hasattr(step, "n_features_in_"):
                return
        elif step not in {None, "passthrough"}:
            yield from _readers(step)
            return


def categories_of(model: Model, frame: pd.DataFrame) -> Mapping[str, list[Any]]:
    """The categories per column that LightGBM was trained with: it refuses text, and other categories.

    Raises Refused where it does not say of which columns they are.
    """
    booster = _booster(model)
    known = getattr(booster, "pandas_categorical", None)
    if not known:
        return {}
    used = _used_as_categories(booster, len(frame.columns))
    columns = [
        name
        for name, of_model in zip(frame.columns, used, strict=True)
        if of_model or not pd.api.types.is_numeric_dtype(frame[name])
    ]
    if len(columns) != len(known):
        raise Refused(f"it was trained with categories in {len(known)} columns and does not say in which")
    return dict(zip(columns, known, strict=True))


def with_categories(frame: pd.DataFrame, categories: Mapping[str, list[Any]]) -> pd.DataFrame:
    """The columns as pandas' categories; any other value is a missing one."""
    return frame.assign(**{name: pd.Categorical(frame[name], categories=known) for name, known in categories.items()})


def _booster(model: Model) -> Any:  # noqa: ANN401 (LightGBM's, by its attributes: the library need not be installed)
    if type(model).__module__.startswith("lightgbm"):
        return getattr(model, "booster_", model)
    raw = getattr(model, "raw", None)
    return raw if type(raw).__module__.startswith("lightgbm") else None


def _used_as_categories(booster: Any, width: int) -> np.ndarray:  # noqa: ANN401
    """The columns that trees split by category; one that no tree uses tells nothing."""
    about = booster.dump_model(num_iteration=1)["feature_infos"]
    used = [bool(about.get(name, {}).get("values")) for name in booster.feature_name()]
    return np.array(used if len(used) == width else [False] * width)
