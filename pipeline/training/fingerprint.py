"""What a fitted model has learned, as one digest: two saved files of the same model differ in bytes."""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble._hist_gradient_boosting.binning import _BinMapper
from sklearn.ensemble._hist_gradient_boosting.predictor import TreePredictor
from sklearn.tree._tree import Tree

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
    """Numbers, text and None by their text; functions and losses by their name, for their text has an address."""
    if value is None or isinstance(value, bool | int | float | str | np.generic | slice | np.dtype):
        return repr(value)
    return str(getattr(value, "__name__", type(value).__qualname__))
