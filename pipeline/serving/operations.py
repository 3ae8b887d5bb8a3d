"""What the worker does with a loaded model: describe, predict, explain, ask for a second opinion.

Rows arrive as `{"columns": [...], "dtypes": [...], "values": [one list per column]}`, null for a missing value, or
without columns and values and with an Arrow stream beside them; an empty dtype leaves it to pandas. Everything that is
returned is finite.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.governance.errors import Refused
from pipeline.serving.arrow_rows import frame_of, paired, said
from pipeline.serving.example_rows import like, names_of
from pipeline.serving.forests import forest_probabilities
from pipeline.serving.frames import ARROW, Frame
from pipeline.serving.held import Held, load
from pipeline.serving.loader import (
    UNUSABLE,
    LoadedModel,
    NoInputExample,
    input_example,
    short,
)

BACKGROUND = "signoff/background.parquet"
MOST_BACKGROUND_BYTES = 10 * 2**20
MOST_BACKGROUND_ROWS = 200
MOST_EXPLAINED_ROWS = 50
MOST_NAMES = 2_000
# Of these, `predict` is the class with the largest probability: asking for both would take twice the time.
LARGEST_WINS = {
    "DecisionTreeClassifier", "ExtraTreeClassifier", "ExtraTreesClassifier", "GaussianNB",
    "HistGradientBoostingClassifier", "LogisticRegression", "LogisticRegressionCV", "MLPClassifier",
    "RandomForestClassifier",
}  # fmt: skip


class Failed(Exception):
    """The model does not do what was asked; the message ends a sentence that begins with its name."""


def smoke(folder: Path, *, allowed_types: Collection[str], trust: str) -> Frame:
    """The predictions for the input example that came with the model. Raises Refused, Failed."""
    held = load(folder, allowed_types=allowed_types, trust=trust)
    rows = input_example(held.loaded)
    try:
        prediction = np.asarray(held.loaded.model.predict(rows)).tolist()
        json.dumps(prediction, allow_nan=False)
    except UNUSABLE as error:
        raise Failed(f"cannot predict its input example ({short(error)})") from error
    return {"prediction": prediction, "model_type": held.loaded.model_type}


def describe(held: Held) -> Frame:
    """What can be told of a model without rows: class labels, column names, the input example as columns."""
    model = held.loaded.model
    names = getattr(model, "feature_names_in_", None)
    classes = getattr(model, "classes_", None)
    return {
        "model_type": held.loaded.model_type,
        "foreign": held.foreign,
        "classes": [] if classes is None else [str(each) for each in np.ravel(classes)],
        "probabilities": hasattr(model, "predict_proba"),
        "columns": [] if names is None else [str(name) for name in names[:MOST_NAMES]],
        "example": _example(held.loaded),
    }


def _example(loaded: LoadedModel) -> Frame:
    """Column name to values; empty where there is no example that can be read."""
    try:
        rows = pd.DataFrame(input_example(loaded))
    except Refused:
        return {}
    return {str(name): _plain(column) for name, column in list(rows.items())[:MOST_NAMES]}


def _plain(column: pd.Series) -> list[Any]:
    """Values as JSON has them, times as text; what it has not (NaN, infinity, bytes) is null."""
    values = [value.isoformat() if isinstance(value, pd.Timestamp) else value for value in column]
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    kept = (str, bool, int)
    return [
        value if isinstance(value, kept) or (isinstance(value, float) and np.isfinite(value)) else None
        for value in values
    ]


def _frame(held: Held, rows: Frame, arrow: bytes | None = None) -> pd.DataFrame:
    """In the order of the columns that the model was fitted with. Raises Failed for values of another dtype."""
    try:
        frame = _of_lists(rows) if arrow is None else frame_of(arrow, rows["dtypes"])
    except UNUSABLE as error:
        raise Failed(f"cannot take these rows ({short(error)})") from error
    frame.columns = names_of(frame.columns, held.loaded.description.get("signature"))
    fitted = list(getattr(held.loaded.model, "feature_names_in_", frame.columns))
    return frame[fitted] if set(fitted) <= set(frame.columns) else frame


def _of_lists(rows: Frame) -> pd.DataFrame:
    columns = zip(rows["columns"], rows["dtypes"], rows["values"], strict=True)
    return pd.DataFrame({name: pd.Series(values, dtype=dtype or None) for name, dtype, values in columns})


def predict(held: Held, rows: Frame, arrow: bytes | None = None) -> Frame:
    """One prediction per row; probabilities, one list per row in the order of `classes`, null where it has none.

    Rows that came by Arrow are answered by Arrow, see arrow_rows.said. Raises Failed.
    """
    frame = _frame(held, rows, arrow)
    try:
        if arrow is not None:
            predicted, classes, probabilities = _predicted(held, _at_least_two(frame))
            first = slice(len(frame))
            return {
                "classes": classes,
                "arrow": said(predicted[first], None if probabilities is None else probabilities[first]),
            }
        predicted, classes, probabilities = _predicted(held, frame)
        answer = {
            "predictions": predicted.tolist(),
            "classes": classes,
            "probabilities": None if probabilities is None else probabilities.tolist(),
        }
        json.dumps(answer, allow_nan=False)
    except UNUSABLE as error:
        raise Failed(f"cannot predict these rows ({short(error)})") from error
    return answer


def _at_least_two(frame: pd.DataFrame) -> pd.DataFrame:
    """The linear algebra of one row rounds otherwise than that of several: a file would not tell its chunks apart."""
    return pd.concat([frame, frame], ignore_index=True) if len(frame) == 1 else frame


def _predicted(held: Held, frame: pd.DataFrame) -> tuple[np.ndarray, list[str], np.ndarray | None]:
    """Predictions, names of the classes that probabilities are about, and those."""
    model = held.loaded.model
    classes, probabilities = getattr(model, "classes_", None), _probabilities(model, frame)
    if probabilities is not None and classes is not None and held.loaded.model_type in LARGEST_WINS:
        predicted = np.asarray(classes)[probabilities.argmax(axis=1)]
    else:
        predicted = _one_each(model.predict(frame), len(frame))
    return predicted, _names(classes, probabilities), probabilities


def _probabilities(model: Any, frame: pd.DataFrame) -> np.ndarray | None:  # noqa: ANN401 (scikit-learn's duck)
    if not hasattr(model, "predict_proba"):
        return None
    of_forest = forest_probabilities(model, frame)
    said = model.predict_proba(frame) if of_forest is None else of_forest
    if isinstance(said, list) or np.ndim(said) != 2:  # noqa: PLR2004
        raise Failed("predicts several targets at once; one can be shown")
    return np.asarray(said, dtype=np.float64)


def _one_each(predicted: Any, count: int) -> np.ndarray:  # noqa: ANN401 (a frame, a series or an array)
    values = np.asarray(predicted)
    if values.shape not in {(count,), (count, 1)}:
        raise Failed("predicts several targets at once; one can be shown")
    return values.reshape(count)


def _names(classes: Any, probabilities: np.ndarray | None) -> list[str]:  # noqa: ANN401
    if probabilities is None:
        return []
    width = probabilities.shape[1]
    known = classes is not None and len(classes) == width
    return [str(each) for each in (classes if known else range(width))]


def explain(held: Held, rows: Frame) -> Frame:
    """One document per row, as pipeline.explanation.result.to_json gives it, and what holds for all of them.

    Raises InvalidInput, Refused.
    """
    from pipeline.explanation.exact import TREE_METHOD  # noqa: PLC0415 (with scikit-learn)
    from pipeline.explanation.result import to_json  # noqa: PLC0415 (with scikit-learn)

    frame = _frame(held, rows)
    if len(frame) > MOST_EXPLAINED_ROWS:
        raise Refused(f"at most {MOST_EXPLAINED_ROWS} rows are explained at once")
    found = _explainer(held, frame).explain(frame)
    return {
        "explanations": [to_json(found, position) for position in range(len(found))],
        "sampled": found.sampled,
        "tolerance": found.tolerance,
        "adds_up": found.adds_up,
        "fallback": found.fallback,
        "background": "" if found.method == TREE_METHOD else _substitute(held.loaded),
    }


def strongest(held: Held, request: Frame) -> Frame:
    """Per row, the `most` columns that add or take most of the output for what is predicted, the strongest first.

    Raises Failed, InvalidInput, Refused.
    """
    frame = _frame(held, request["rows"], request[ARROW])
    if len(frame) > MOST_EXPLAINED_ROWS:
        raise Refused(f"at most {MOST_EXPLAINED_ROWS} rows are explained at once")
    found = _explainer(held, frame).explain(frame)
    predicted = [str(each) for each in _predicted(held, frame)[0].tolist()]
    places = [found.classes.index(each) if each in found.classes else 0 for each in predicted]
    values = found.values[np.arange(len(frame)), :, places]
    order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, : request["most"]]
    names = np.array(found.columns, dtype=object)[order]
    return {
        "arrow": paired(names, np.take_along_axis(values, order, axis=1)),
        "sum_error": found.sum_error,
        "adds_up": bool(found.adds_up),
    }


def second_opinion(held: Held, request: Frame) -> Frame:
    """A local surrogate for one row and class, and how far its first columns agree with `contributions`.

    Raises InvalidInput, Refused.
    """
    from pipeline.explanation import surrogate  # noqa: PLC0415 (with scikit-learn)

    frame = _frame(held, request["rows"])
    background = _background(held, frame)
    opinion = surrogate.second_opinion(
        held.loaded.model,
        frame,
        background=background,
        class_index=request["class_index"],
        scale=request["scale"],
    )
    share = surrogate.agreement(request["contributions"], opinion.weights)
    return {"weights": dict(opinion.weights), "r2": opinion.r2, "scale": opinion.scale, "agreement": share}


def _explainer(held: Held, frame: pd.DataFrame) -> Any:  # noqa: ANN401 (an Explainer, imported late)
    from pipeline.explanation.explain import Explainer  # noqa: PLC0415 (shap and scikit-learn)

    if held.explainer is None:
        held.explainer = Explainer(held.loaded.model, background=_background(held, frame))
    return held.explainer


def _background(held: Held, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that stand for "nothing known", in the columns and dtypes of the rows to explain.

    Those stored with the version; else its input example, which may be one row only. Raises Refused where there are
    none.
    """
    try:
        stored = _stored_background(held.loaded)
        found = pd.DataFrame(input_example(held.loaded)) if stored is None else stored
        found.columns = [str(name) for name in found.columns]
        # An optional column may be absent there; a number is a name of its own.
        columns = {name: found[str(name)] if str(name) in found else pd.Series(index=found.index) for name in frame}
        return pd.DataFrame({name: like(column, frame[name].dtype) for name, column in columns.items()})
    except NoInputExample as error:
        raise Refused("it came with neither background rows nor an input example to explain against") from error
    except UNUSABLE as error:
        raise Refused(f"its background rows cannot be used ({short(error)})") from error


def _substitute(loaded: LoadedModel) -> str:
    """What stands for "nothing known" in place of background rows; empty where those came with the version."""
    if _has_background(loaded):
        return ""
    n = len(input_example(loaded))
    rows = "the one row" if n == 1 else f"the {n} rows"
    return f'It came without background rows: {rows} of its input example stand for "nothing known".'


def _has_background(loaded: LoadedModel) -> bool:
    return BACKGROUND in loaded.names and (loaded.folder / BACKGROUND).stat().st_size <= MOST_BACKGROUND_BYTES


def _stored_background(loaded: LoadedModel) -> pd.DataFrame | None:
    if not _has_background(loaded):
        return None
    return pd.read_parquet(loaded.folder / BACKGROUND).head(MOST_BACKGROUND_ROWS)
