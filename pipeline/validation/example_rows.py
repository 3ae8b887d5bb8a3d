"""The rows of an input example, in every form in which MLflow writes one, and in the types of the model's signature."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pandas as pd

from pipeline.validation.documents import read_json
from pipeline.validation.schema import SIGNATURE

Json = Any
Rows = Any  # a frame, or an array where the model takes one
# MLflow's file for serving wraps the same content once more.
WRAPPERS = ("dataframe_split", "dataframe_records", "inputs", "instances")
WITHOUT_GAPS = ("int", "bool")  # dtypes of NumPy that have no missing value


def rows_of_example(content: Json, *, as_frame: bool, signature: Json = None) -> Rows:
    """At most as many rows as the file has; see typed. Raises TypeError for what is neither a table nor an array."""
    if isinstance(content, dict):
        content = next((content[key] for key in WRAPPERS if key in content), content)
    if isinstance(content, dict):
        return typed(_of_object(content), signature)
    if not isinstance(content, list):
        raise TypeError("neither a table nor an array")
    if as_frame or (content and all(isinstance(row, dict) for row in content)):
        return typed(pd.DataFrame(content), signature)
    return np.array(content)


def _of_object(content: Mapping[str, Any]) -> pd.DataFrame:
    """A frame without names of its columns, one with them, columns by name, or one row."""
    is_split = "data" in content and set(content) <= {"data", "columns", "index"}
    if is_split and ("columns" in content or isinstance(content["data"], list)):
        return pd.DataFrame(content["data"], columns=content.get("columns"))
    if all(isinstance(values, list) for values in content.values()):
        return pd.DataFrame(content)
    return pd.DataFrame([content])


def typed(frame: pd.DataFrame, signature: Json) -> pd.DataFrame:
    """The frame in the types of the signature, as far as its values allow: JSON has no dates and one kind of number."""
    for name, dtype in _dtypes(signature).items():
        column = next((each for each in frame.columns if str(each) == name), None)
        if column is not None:
            with suppress(ArithmeticError, TypeError, ValueError):
                frame[column] = like(frame[column], dtype)
    return frame


def like(column: pd.Series, dtype: Any) -> pd.Series:  # noqa: ANN401 (pandas' own or a name)
    """The column in the dtype; where that has no missing value and the column has one, in the nearest that has."""
    name = str(dtype)
    if name.startswith(WITHOUT_GAPS) and column.isna().any():
        dtype = "object" if name == "bool" else "float64"
    return column.astype(dtype)


def names_of(columns: Iterable[Any], signature: Json) -> list[Any]:
    """The names as the signature has them: of a frame that was logged without names they are numbers, not text."""
    numbers = {str(each["name"]): each["name"] for each in _inputs(signature) if isinstance(each.get("name"), int)}
    return [numbers.get(name, name) for name in columns]


def _dtypes(signature: Json) -> Mapping[str, str]:
    return {
        str(each.get("name", position)): SIGNATURE[str(each["type"])][1]
        for position, each in enumerate(_inputs(signature))
        if str(each.get("type")) in SIGNATURE
    }


def _inputs(signature: Json) -> list[dict[str, Any]]:
    """signature: as MLmodel has it, its inputs as a text of JSON; whatever is another thing names no columns."""
    with suppress(TypeError, ValueError, KeyError):
        inputs = signature["inputs"]
        return [each if isinstance(each, dict) else {} for each in read_json(inputs if isinstance(inputs, str) else "")]
    return []
