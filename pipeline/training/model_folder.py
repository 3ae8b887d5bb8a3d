"""The folder of a trained model: the file that holds it, and our documents and tables beside it."""

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.tree._tree import Tree

from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.documents import (
    BACKGROUND,
    DOCUMENTS,
    EVALUATION_ROWS,
    EXPLANATION_VALUES,
    document_path,
)
from pipeline.serving.worker.load import import_skops
from pipeline.settings.schema import SchemaSettings
from pipeline.training.files import replacing, write_json, write_parquet

MODEL_FILE = "model.skops"
TABLES = {"evaluation_rows": EVALUATION_ROWS, "background": BACKGROUND}
# What every registered folder holds beside the registry's own files.
FILES = (
    MODEL_FILE,
    *map(document_path, DOCUMENTS),
    *TABLES.values(),
    EXPLANATION_VALUES,
)
EXAMPLE_ROWS, BACKGROUND_ROWS = 5, 50


def save_model(model: Pipeline, folder: Path, *, allowed_types: list[str]) -> None:
    """The model in skops format as the only file of the folder, atomically.

    Raises InvalidInput for a model that needs types outside `serving.allowed_types`: nobody could load it later.
    """
    skops_io = import_skops()
    with replacing(folder) as unfinished:
        unfinished.mkdir()
        skops_io.dump(model, unfinished / MODEL_FILE)
        types = set(skops_io.get_untrusted_types(file=unfinished / MODEL_FILE)) - set(allowed_types)
        if types:
            raise InvalidInput(f"the model needs types outside serving.allowed_types: {', '.join(sorted(types))}")


def load_model(folder: Path, allowed_types: list[str]) -> Pipeline:
    """Loads the model that a step before has saved in our own work folder."""
    try:
        return import_skops().load(folder / MODEL_FILE, trusted=allowed_types)
    except FileNotFoundError as error:
        raise InvalidInput(f"{folder / MODEL_FILE}: is missing; run the training steps in order") from error


def background_rows(train: pd.DataFrame, schema: SchemaSettings) -> pd.DataFrame:
    """Inputs of at most 50 training rows, each class with its share."""
    if len(train) > BACKGROUND_ROWS and train[schema.target.name].nunique() <= BACKGROUND_ROWS:
        truth = train[schema.target.name]
        train, _ = train_test_split(train, train_size=BACKGROUND_ROWS, random_state=0, stratify=truth)
    return train.head(BACKGROUND_ROWS)[list(schema.columns)].reset_index(drop=True)


def complete_folder(
    model: Path, target: Path, *, documents: dict[str, object], tables: dict[str, pd.DataFrame | Path], values: Path
) -> None:
    """A copy of a saved model with our files under `signoff/`. Tables are frames, or Parquet files to be copied.

    values: the file `explanation.npz`.
    """
    with replacing(target) as unfinished:
        shutil.copytree(model, unfinished)
        for name, document in documents.items():
            write_json(unfinished / document_path(name), document)
        shutil.copyfile(values, unfinished / EXPLANATION_VALUES)
        for name, table in tables.items():
            path = unfinished / TABLES[name]
            if isinstance(table, Path):
                shutil.copyfile(table, path)
            else:
                write_parquet(path, table)


# What a fitted model has learned, as one digest: two saved files of the same model differ in bytes.

# Where histogram boosting keeps what it has learned.
LEARNED_PRIVATELY = ("_baseline_prediction", "_bin_mapper", "_predictors")
# They change how fast a model works, not what it says.
NO_CONTENT = ("n_jobs", "verbose", "warm_start", "copy", "memory")


def model_fingerprint(model: BaseEstimator) -> str:
    """sha256 over parameters and fitted values in a stable order: equal for models that compute the same."""
    total = hashlib.sha256()
    for part in _parts(model):
        # The length keeps "ab", "c" apart from "a", "bc".
        total.update(len(part).to_bytes(8, "big"))
        total.update(part)
    return total.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:  # noqa: ANN401 (anything that an estimator may hold)
    if isinstance(value, np.ndarray):
        yield from _array_parts(value)
    elif isinstance(value, BaseEstimator | TreePredictor | Tree | _BinMapper):
        yield type(value).__qualname__.encode()
        yield from _parts(_content(value))
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            yield str(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, list | tuple):
        yield f"list {len(value)}".encode()
        for item in value:
            yield from _parts(item)
    else:
        yield _scalar(value).encode()


def _content(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 (see _parts)
    if isinstance(value, Tree):
        state: Mapping[str, Any] = value.__getstate__()
        return {name: state[name] for name in ("max_depth", "node_count", "nodes", "values")}
    if not isinstance(value, BaseEstimator) or isinstance(value, _BinMapper):
        return {name: each for name, each in vars(value).items() if name not in ("n_threads", "random_state")}
    learned = {
        name: each
        for name, each in vars(value).items()
        if (name.endswith("_") and not name.startswith("_")) or name in LEARNED_PRIVATELY
    }
    # Steps of a pipeline are fitted in place: they are its parameters.
    return {**{name: each for name, each in value.get_params(deep=False).items() if name not in NO_CONTENT}, **learned}


def _array_parts(array: np.ndarray) -> Iterator[bytes]:
    yield f"{array.dtype.str if array.dtype.names is None else array.dtype.names} {array.shape}".encode()
    if array.dtype.names is not None:
        # Field by field: the bytes between the fields of a tree's node are whatever memory held before.
        for name in array.dtype.names:
            yield np.ascontiguousarray(array[name]).tobytes()
    elif array.dtype.hasobject:
        yield from _parts(array.tolist())
    else:
        yield np.ascontiguousarray(array).tobytes()


def _scalar(value: Any) -> str:  # noqa: ANN401 (see _parts)
    """The text of numbers, text and None; the name of functions and losses, whose text holds an address."""
    if value is None or isinstance(value, bool | int | float | str | np.generic | slice | np.dtype):
        return repr(value)
    return str(getattr(value, "__name__", type(value).__qualname__))
