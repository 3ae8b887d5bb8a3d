"""What the worker does with a loaded model: describe, predict, explain, ask for a second opinion.

Rows arrive as `{"columns": [...], "dtypes": [...], "values": [one list per column]}`, null for a missing value, or
without columns and values and with an Arrow stream beside them; an empty dtype leaves it to pandas. Everything that is
returned is finite.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.governance.errors import Refused, SignoffError
from pipeline.governance.record.documents import BACKGROUND
from pipeline.serving.worker.arrow import encode_contributions, encode_predictions, frame_of
from pipeline.serving.worker.load import (
    UNUSABLE,
    LoadedModel,
    ModelFailure,
    NoInputExample,
    input_example,
    short,
    whole,
)
from pipeline.serving.worker.model_cache import CachedModel, load
from pipeline.serving.worker.model_inputs import categories_of, with_categories
from pipeline.serving.worker.outputs import ModelOutput, check_explained, output_of
from pipeline.serving.worker.protocol import ARROW, Frame
from pipeline.validation.stored_rows import Limits, first_rows, like, names_of

MOST_BACKGROUND_BYTES = 10 * 2**20
MOST_BACKGROUND_ROWS = 200
BACKGROUND_LIMITS = Limits(unpacked_bytes=100 * 2**20, rows=100_000, cells=10_000_000)
ALIKE = "two versions are compared by one method and on one scale"  # why an exact explanation is sampled
MOST_EXPLAINED_ROWS = 50
MOST_NAMES = 2_000


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Raises whatever a stranger's model raises, also SystemExit, as its failure: the process stays."""
    try:
        yield
    except (ModelFailure, SignoffError, MemoryError):
        raise
    except BaseException as error:  # there is nothing that a model might not raise
        raise ModelFailure(f"{what} ({short(error)})") from error


def smoke(folder: Path, *, allowed_types: Collection[str], trust: str) -> Frame:
    """The predictions for the input example that came with the model. Raises Refused, ModelFailure."""
    cached = load(folder, allowed_types=allowed_types, trust=trust)
    rows = input_example(cached.loaded)
    with failing("cannot predict its input example"):
        rows = as_fitted(cached, rows) if isinstance(rows, pd.DataFrame) else rows
        found = output_of(cached, rows)
        _require_answers(found)
        return {"prediction": found.plain(), "model_type": cached.loaded.model_type}


def describe(cached: CachedModel) -> Frame:
    """What a model tells without rows: class labels, column names, the input example as columns.

    `names` are the columns of a table that it answers with. Raises ModelFailure where the example shows that its
    answers cannot be used.
    """
    model, found = cached.loaded.model, _tried(cached)
    names = getattr(model, "feature_names_in_", None)
    classes = getattr(model, "classes_", None)
    known = [] if classes is None else [str(each) for each in np.ravel(classes)]
    return {
        "model_type": cached.loaded.model_type,
        "mlflow_flavor": cached.mlflow_flavor,
        "classes": known or (list(found.classes) if found else []),
        "probabilities": hasattr(model, "predict_proba") or bool(found and found.probabilities is not None),
        "names": list(found.names) if found else [],
        "columns": [] if names is None else [str(name) for name in names[:MOST_NAMES]],
        "example": _example(cached.loaded),
    }


def _tried(cached: CachedModel) -> ModelOutput | None:
    """The output for the input example; None where it cannot be asked about one.

    An example that does not fit says nothing about other rows; an answer in a form that cannot be used does.
    """
    try:
        with failing("cannot predict its input example"):
            rows = pd.DataFrame(input_example(cached.loaded))
            rows.columns = [str(name) for name in rows.columns]
            rows = as_fitted(cached, rows)
    except (ModelFailure, Refused):
        return None
    try:
        return output_of(cached, rows)
    except (ModelFailure, Refused, MemoryError):
        raise
    except BaseException:  # noqa: BLE001 (see failing)
        return None


def _example(loaded: LoadedModel) -> Frame:
    """The input example, values by column; empty where there is none that can be read."""
    try:
        rows = pd.DataFrame(input_example(loaded))
    except Refused:
        return {}
    return {str(name): _plain(column) for name, column in list(rows.items())[:MOST_NAMES]}


def _plain(column: pd.Series) -> list[Any]:
    """The values as JSON has them, times as text; NaN, infinity and bytes become null."""
    values = [value.isoformat() if isinstance(value, pd.Timestamp) else value for value in column]
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    plain = (str, bool, int)
    return [
        value if isinstance(value, plain) or (isinstance(value, float) and np.isfinite(value)) else None
        for value in values
    ]


def _frame(cached: CachedModel, rows: Frame, arrow: bytes | None = None) -> pd.DataFrame:
    """The rows in the columns that the model was fitted with. Raises ModelFailure for values of another dtype."""
    try:
        frame = _of_lists(rows) if arrow is None else frame_of(arrow, rows["dtypes"])
    except UNUSABLE as error:
        raise ModelFailure(f"cannot take these rows ({short(error)})") from error
    return as_fitted(cached, frame)


def as_fitted(cached: CachedModel, frame: pd.DataFrame) -> pd.DataFrame:
    """The rows with the names and categories that the model was fitted with. Raises Refused."""
    frame = frame.set_axis(names_of(frame.columns, cached.loaded.description.get("signature")), axis=1)
    fitted = list(getattr(cached.loaded.model, "feature_names_in_", frame.columns))
    frame = frame[fitted] if set(fitted) <= set(frame.columns) else frame
    if cached.categories is None:
        cached.categories = categories_of(cached.loaded.model, frame)
    return with_categories(frame, cached.categories) if cached.categories else frame


def _of_lists(rows: Frame) -> pd.DataFrame:
    columns = zip(rows["columns"], rows["dtypes"], rows["values"], strict=True)
    return pd.DataFrame({name: pd.Series(values, dtype=dtype or None) for name, dtype, values in columns})


def predict(cached: CachedModel, rows: Frame, arrow: bytes | None = None) -> Frame:
    """One prediction per row; probabilities in the order of `classes`, null for a row without a finite answer.

    Rows that came by Arrow are answered by Arrow, see arrow.encode_predictions, also where some have no finite answer.
    Raises ModelFailure, Refused.
    """
    frame = _frame(cached, rows, arrow)
    with failing("cannot predict these rows"):
        if arrow is not None:
            # The linear algebra of one row rounds otherwise than of several: a file would not tell its chunks apart.
            several = pd.concat([frame, frame], ignore_index=True) if len(frame) == 1 else frame
            found = output_of(cached, several).head(len(frame))
            return {"classes": list(found.classes), "arrow": encode_predictions(found.values, found.probabilities)}
        found = output_of(cached, frame)
        _require_answers(found)
        probabilities = found.probabilities
        return {
            "predictions": found.plain(),
            "classes": list(found.classes),
            "probabilities": None if probabilities is None else probabilities.astype(np.float64).tolist(),
        }


def _require_answers(found: ModelOutput) -> None:
    missing = np.flatnonzero(~found.answered)
    if len(missing):
        where = f" to row {missing[0] + 1:,}" if len(found.answered) > 1 else ""
        raise ModelFailure(f"gives no finite answer{where}")


def explain(cached: CachedModel, rows: Frame, *, sample: bool = False) -> Frame:
    """One document per row, as pipeline.explanation.result.to_json gives it, and what holds for all of them.

    sample: whether it is sampled although it could be exact, see Scorer.explain_alike. Raises InvalidInput, Refused.
    """
    from pipeline.explanation.exact import TREE_METHOD  # noqa: PLC0415 (with scikit-learn)
    from pipeline.explanation.result import to_json  # noqa: PLC0415 (with scikit-learn)

    frame = _frame(cached, rows)
    found = _explained(cached, frame, sample=sample)
    return {
        "explanations": [to_json(found, position) for position in range(len(found))],
        "sampled": found.sampled,
        "tolerance": found.tolerance,
        "adds_up": found.adds_up,
        "fallback": found.fallback,
        "background": "" if found.method == TREE_METHOD else _substitute(cached.loaded),
    }


def strongest(cached: CachedModel, request: Frame) -> Frame:
    """Per row, the `most` columns that add or take most of the output for what is predicted, the strongest first.

    Raises ModelFailure, InvalidInput, Refused.
    """
    frame = _frame(cached, request["rows"], request[ARROW])
    found = _explained(cached, frame)
    predicted = [str(each) for each in output_of(cached, frame).plain()]
    positions = [found.classes.index(each) if each in found.classes else 0 for each in predicted]
    values = found.values[np.arange(len(frame)), :, positions]
    order = np.argsort(-np.abs(values), axis=1, kind="stable")[:, : request["most"]]
    names = np.array(found.columns, dtype=object)[order]
    return {
        "arrow": encode_contributions(names, np.take_along_axis(values, order, axis=1)),
        "sum_error": found.sum_error,
        "adds_up": bool(found.adds_up),
    }


def second_opinion(cached: CachedModel, request: Frame) -> Frame:
    """A local surrogate for one row and class, and how far its first columns agree with `contributions`.

    Raises InvalidInput, Refused.
    """
    from pipeline.explanation import sampling  # noqa: PLC0415 (with scikit-learn)

    frame = _frame(cached, request["rows"])
    background = _background(cached, frame)
    opinion = sampling.second_opinion(
        cached.loaded.model,
        frame,
        background=background,
        class_index=request["class_index"],
        scale=request["scale"],
    )
    share = sampling.agreement(request["contributions"], opinion.weights)
    return {"weights": dict(opinion.weights), "r2": opinion.r2, "scale": opinion.scale, "agreement": share}


def _explained(cached: CachedModel, frame: pd.DataFrame, *, sample: bool = False) -> Any:  # noqa: ANN401 (an Explanation, imported late)
    """The explanation of the rows. Raises ModelFailure, InvalidInput, Refused."""
    if len(frame) > MOST_EXPLAINED_ROWS:
        raise Refused(f"at most {MOST_EXPLAINED_ROWS} rows are explained at once")
    with failing("cannot be explained"):
        explainer = _explainer(cached, frame)
        found = explainer.explain_by_sampling(frame, ALIKE) if sample else explainer.explain(frame)
        if found.scale == "probability":
            check_explained(cached, frame, found.output)
    return found


def _explainer(cached: CachedModel, frame: pd.DataFrame) -> Any:  # noqa: ANN401 (an Explainer, imported late)
    from pipeline.explanation.explain import Explainer  # noqa: PLC0415 (shap and scikit-learn)

    if cached.explainer is None:
        cached.explainer = Explainer(cached.loaded.model, background=_background(cached, frame))
    return cached.explainer


def _background(cached: CachedModel, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows that stand for "nothing known", in the columns and dtypes of the rows to explain.

    Those stored with the version; else its input example, which may be one row only. Raises Refused where there are
    none.
    """
    try:
        if _has_background(loaded := cached.loaded):
            content = (loaded.folder / BACKGROUND).read_bytes()
            found = first_rows(content, MOST_BACKGROUND_ROWS, limits=BACKGROUND_LIMITS)
        else:
            found = pd.DataFrame(input_example(loaded))
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
    return BACKGROUND in loaded.names and whole(loaded, BACKGROUND).stat().st_size <= MOST_BACKGROUND_BYTES
