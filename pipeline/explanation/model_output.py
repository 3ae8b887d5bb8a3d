"""The model's own output for given rows, against which every explanation is checked."""

from typing import Any

import numpy as np
from sklearn.utils import get_tags

from pipeline.explanation.result import Numbers, Scale
from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import first_line

Model = Any  # scikit-learn's estimators share methods, not a type
Preparation = Any  # a fitted transformer, or None
Rows = Any  # a frame, or the matrix that a preparation makes of it
NUMBER = ("output",)
# What these kinds of models answer with is a name, though it looks like a number.
LABELS = {"clusterer": "the number of a cluster", "outlier_detector": "1 for usual and -1 for unusual rows"}


def natural_scale(model: Model) -> Scale:
    """The scale on which a model is explained: probabilities where it has them.

    Raises InvalidInput for a classifier that gives labels only, and for what does not predict at all.
    """
    try:
        kind = get_tags(model).estimator_type or ""
    except (AttributeError, TypeError):  # no scikit-learn estimator
        kind = ""
    if label := LABELS.get(kind):
        raise InvalidInput(f"the model answers with {label}, which nothing adds to; it is not explained")
    if hasattr(model, "predict_proba"):
        return "probability"
    gives_numbers = hasattr(model, "decision_function" if hasattr(model, "classes_") else "predict")
    if not gives_numbers:
        raise InvalidInput(f"{type(model).__name__}: gives neither probabilities nor numbers; it cannot be explained")
    return "value"


def class_names(model: Model, width: int) -> tuple[str, ...]:
    """One name per column of the output; numbers where a classifier has no `classes_` that fit."""
    known = getattr(model, "classes_", None)
    if known is not None and len(known) == width and not any(np.ndim(name) for name in known):
        return tuple(str(name) for name in known)
    return NUMBER if width == 1 else tuple(str(position) for position in range(width))


def own_output(model: Model, rows: Rows, scale: Scale) -> Numbers:
    """The model's output, shape (rows, classes), on `scale`; a binary margin is the first class's with a minus sign.

    Raises InvalidInput where the model refuses the rows, or gives something else than one finite number per class.
    """
    try:
        output = np.asarray(_call(model, rows, scale), dtype=np.float64)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput(
            f"the model cannot predict these rows ({type(error).__name__}: {first_line(error)})"
        ) from error
    if output.ndim == 1:
        output = output[:, None] if not hasattr(model, "classes_") else np.column_stack([-output, output])
    if output.ndim != 2 or (not hasattr(model, "classes_") and scale == "value" and output.shape[1] != 1):  # noqa: PLR2004
        raise InvalidInput("the model predicts several targets at once; one can be explained")
    if len(output) != rows.shape[0]:
        raise InvalidInput(
            f"the model gives another number of answers ({len(output):,}) than there are rows ({rows.shape[0]:,})"
        )
    if not np.isfinite(output).all():
        raise InvalidInput("the model's output for these rows is not a finite number")
    return output


def _call(model: Model, rows: Rows, scale: Scale) -> object:
    if scale == "probability":
        return model.predict_proba(rows)
    if not hasattr(model, "classes_"):
        return model.predict(rows)
    return model.predict(rows, raw_score=True) if is_lightgbm(model) else model.decision_function(rows)


def is_lightgbm(model: Model) -> bool:
    """Whether it is LightGBM's, by the name of its module: the library need not be installed."""
    return type(model).__module__ == "lightgbm.sklearn" and type(model).__name__ in {"LGBMClassifier", "LGBMRegressor"}
