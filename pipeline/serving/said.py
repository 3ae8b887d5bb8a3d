"""What a worker may say about a version: its answers as fields of known types. A model may have taken the process over.

Whatever else it says is one refusal, as for a model that fails; nothing of it goes any further.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.serving.worker.client import WorkerRefusal

Single = str | bool | int | float
SOMETHING_ELSE = "answers something else than it was asked"
Found = TypeVar("Found", bound="Said")


class Said(BaseModel):
    """Fields of these very types, with finite numbers; other fields are left out."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class Description(Said):
    """What a loaded version is, see operations.describe."""

    model_type: str
    mlflow_flavor: bool
    classes: list[str]
    probabilities: bool
    names: list[str] = []
    columns: list[str] = []
    example: dict[str, list[Single | None]]


class PredictedRows(Said):
    """The answers to some rows, see operations.predict."""

    predictions: list[Single | dict[str, Single | None]]
    classes: list[str]
    probabilities: list[list[float]] | None


def checked(kind: type[Found], answer: Mapping[str, Any], *, about: str) -> Found:
    """The answer to a question about a version. Raises WorkerRefusal for anything else than its kind."""
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        raise WorkerRefusal(about, SOMETHING_ELSE, kind="failed") from error


def predicted_rows(answer: Mapping[str, Any], *, rows: int | None, about: str) -> PredictedRows:
    """The answers to so many rows, None for any number, with a probability for each class where there are some.

    Raises WorkerRefusal.
    """
    found = checked(PredictedRows, answer, about=about)
    chances = found.probabilities
    fits = chances is None or (
        len(chances) == len(found.predictions) and all(len(each) == len(found.classes) for each in chances)
    )
    if not fits or len(found.predictions) != (len(found.predictions) if rows is None else rows):
        raise WorkerRefusal(about, SOMETHING_ELSE, kind="failed")
    return found
