"""What a model answers for some rows, brought into one of three forms and checked: a value per row, class probabilities
with it, or a table. A model that answers otherwise is refused by a sentence that says how; nothing is guessed.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.pipeline import Pipeline

from pipeline.serving.worker.load import Model, ModelFailure, Rows
from pipeline.serving.worker.model_cache import CachedModel

# Class probabilities of a forest, bit for bit those of its predict_proba, without what that spends per tree.

FORESTS = (RandomForestClassifier, ExtraTreesClassifier)


def forest_probabilities(model: Any, frame: pd.DataFrame) -> np.ndarray | None:  # noqa: ANN401 (scikit-learn's duck)
    """The probabilities; None for what is no forest with one target. Raises as the model does."""
    forest = model.steps[-1][1] if type(model) is Pipeline else model
    if type(forest) not in FORESTS or forest.n_outputs_ != 1:
        return None
    rows = model[:-1].transform(frame) if forest is not model and len(model.steps) > 1 else frame
    rows = forest._validate_X_predict(rows)  # noqa: SLF001 (once, as predict_proba does it)
    total = np.zeros((rows.shape[0], forest.n_classes_), dtype=np.float64)
    for tree in forest.estimators_:
        total += tree.tree_.predict(rows)[:, : forest.n_classes_]
    total /= len(forest.estimators_)
    return total


Form = Literal["", "value", "probabilities", "table"]
TABLE_DIMENSIONS = 2
MOST_NAME = 80
DOUBLE_BYTES = 8
OUTSIDE = 1e-6  # how far rounding may carry a probability out of 0 to 1
MISSED_SUM = {False: 1e-6, True: 1e-4}  # by whether they are in single precision
SHOWN = "one value, class probabilities or a table with names can be shown"
# Of these, `predict` is the class with the largest probability: asking for both would take twice the time.
LARGEST_WINS = {
    "DecisionTreeClassifier", "ExtraTreeClassifier", "ExtraTreesClassifier", "GaussianNB",
    "HistGradientBoostingClassifier", "LogisticRegression", "LogisticRegressionCV", "RandomForestClassifier",
}  # fmt: skip


@dataclass(frozen=True)
class ModelOutput:
    """The answer of a model, one entry per row."""

    values: np.ndarray | pd.DataFrame  # a class, a number or a truth value per row, or a table with named columns
    classes: tuple[str, ...] = ()  # the labels of the columns of `probabilities`
    probabilities: np.ndarray | None = None  # (n, classes), None where the model gives none

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of a table; empty for one value per row."""
        return tuple(str(name) for name in self.values.columns) if isinstance(self.values, pd.DataFrame) else ()

    @property
    def answered(self) -> np.ndarray:
        """A mask of the rows that have a finite answer."""
        if isinstance(self.values, pd.DataFrame):
            columns = [_present(self.values.iloc[:, position].to_numpy()) for position in range(len(self.names))]
            return np.any(columns, axis=0)
        found = _present(self.values)
        return found if self.probabilities is None else found & np.isfinite(self.probabilities).all(axis=1)

    def head(self, count: int) -> "ModelOutput":
        probabilities = None if self.probabilities is None else self.probabilities[:count]
        return ModelOutput(self.values[:count], self.classes, probabilities)

    def plain(self) -> list[Any]:
        """One answer per row as JSON has it: a value, or a table's columns by name; None for no finite number."""
        if isinstance(self.values, np.ndarray) and self.values.dtype.kind in "biU":
            values: list[Any] = self.values.tolist()
            return values
        if not isinstance(self.values, pd.DataFrame):
            return [_plain(value) for value in pd.Series(self.values).tolist()]
        columns = [
            [_plain(value) for value in self.values.iloc[:, position].tolist()] for position in range(len(self.names))
        ]
        return [dict(zip(self.names, values, strict=True)) for values in zip(*columns, strict=True)]


def output_of(cached: CachedModel, rows: Rows) -> ModelOutput:
    """The model's output for at least one row, checked. The first time it is asked about several rows, to see that it
    answers per row.

    Raises ModelFailure, and whatever the model raises.
    """
    if not cached.asked:
        if len(several := several_of(rows)) > len(rows):
            _ask(cached, several)
        cached.asked = True
    return _ask(cached, rows)


def several_of(rows: Rows) -> Rows:
    """The rows, repeated until there are two or more, and not as many as columns: a model that iterates over
    the columns' names would answer as often.
    """
    width = rows.shape[1] if rows.ndim > 1 else 1
    count = max(2, len(rows))
    positions = np.arange(count + (count == width)) % len(rows)
    return rows.iloc[positions].reset_index(drop=True) if isinstance(rows, pd.DataFrame) else rows[positions]


def _ask(cached: CachedModel, rows: Rows) -> ModelOutput:
    model = cached.loaded.model
    output = _classified(cached, model, rows) if hasattr(model, "predict_proba") else _predicted(cached, model, rows)
    # A table beside probabilities has several labels, whose probabilities have no sum.
    one_class, found = not output.names, output.probabilities
    if found is not None and (fault := _fault_of_finite(found, one_class=one_class)):
        raise ModelFailure(fault)
    cached.form = cached.form or _form_of(output)
    if cached.form != _form_of(output):
        raise ModelFailure(f"answers these rows in another form ({_form_of(output)}) than others ({cached.form})")
    return output


def _form_of(output: ModelOutput) -> Form:
    return "table" if output.names else "value" if output.probabilities is None else "probabilities"


def _classified(cached: CachedModel, model: Model, rows: Rows) -> ModelOutput:
    """The output of a classifier of scikit-learn's kind."""
    known, probabilities = _classes(model), _probabilities(model, rows)
    if known is not None and cached.loaded.model_type in LARGEST_WINS:
        return ModelOutput(np.asarray(known)[probabilities.argmax(axis=1)], _names(known, probabilities), probabilities)
    predicted = _formed(model.predict(rows), len(rows))
    if isinstance(predicted, np.ndarray) and predicted.ndim > 1:
        # Several labels at once: one of none or several classes, each with a probability of its own.
        if known is None or predicted.shape != probabilities.shape or len(known) != predicted.shape[1]:
            raise ModelFailure(_shape(predicted))
        predicted = pd.DataFrame(predicted, columns=[str(each) for each in known])
    return ModelOutput(predicted, _names(known, probabilities), probabilities)


def _classes(model: Model) -> Any:  # noqa: ANN401 (an array, a list, None)
    """The class labels; of a chain with two classes per label, the number of each label."""
    known = getattr(model, "classes_", None)
    if known is None or not any(np.ndim(each) for each in known):
        return known
    if not all(list(each) in ([0, 1], [False, True]) for each in known):
        raise ModelFailure(f"predicts several targets at once, with classes of their own; {SHOWN}")
    return range(len(known))


def _probabilities(model: Model, rows: Rows) -> np.ndarray:
    of_forest = forest_probabilities(model, rows) if isinstance(rows, pd.DataFrame) else None
    output = model.predict_proba(rows) if of_forest is None else of_forest
    if isinstance(output, list) or np.ndim(output) != TABLE_DIMENSIONS:
        raise ModelFailure(f"predicts several targets at once, or no probability per class; {SHOWN}")
    probabilities = np.asarray(output)
    _check_count(len(probabilities), len(rows))
    return probabilities if probabilities.dtype.kind == "f" else probabilities.astype(np.float64)


def _names(known: Any, probabilities: np.ndarray) -> tuple[str, ...]:  # noqa: ANN401
    width = probabilities.shape[1]
    labels = known if known is not None and len(known) == width else range(width)
    names = tuple(str(each) for each in labels)
    if len(set(names)) < len(names):
        raise ModelFailure("has two classes of the same name")
    return names


def _predicted(cached: CachedModel, model: Model, rows: Rows) -> ModelOutput:
    """The output of a model with `predict` alone: boosters and networks give probabilities by that name, too."""
    found = _formed(model.predict(rows), len(rows))
    if found.ndim == 1 or (isinstance(found, pd.DataFrame) and cached.form == "table"):
        return ModelOutput(found)
    labels = list(found.columns) if isinstance(found, pd.DataFrame) else list(range(found.shape[1]))
    probabilities = _as_numbers(found)
    if probabilities is not None and (cached.form == "probabilities" or _fault_of_finite(probabilities) is None):
        best = np.array(labels)[np.nan_to_num(probabilities, nan=-1).argmax(axis=1)]
        return ModelOutput(best, tuple(str(each) for each in labels), probabilities)
    if isinstance(found, pd.DataFrame):
        return ModelOutput(found)
    raise ModelFailure(_shape(found))


def _as_numbers(found: np.ndarray | pd.DataFrame) -> np.ndarray | None:
    """The output as floating point in its own precision; None for anything else."""
    kinds = [found.dtype] if isinstance(found, np.ndarray) else list(found.dtypes)
    if not all(isinstance(kind, np.dtype) and kind.kind == "f" for kind in kinds):
        return None
    least = min(kinds, key=lambda kind: kind.itemsize)
    return np.asarray(found, dtype=least)


def _fault_of_finite(probabilities: np.ndarray, *, one_class: bool = True) -> str | None:
    finite = probabilities[np.isfinite(probabilities).all(axis=1)]
    return probability_fault(finite, one_class=one_class, single=probabilities.dtype.itemsize < DOUBLE_BYTES)


def probability_fault(found: np.ndarray, *, one_class: bool, single: bool) -> str | None:
    """Why finite numbers (n, classes) are no probabilities, as the end of a sentence; None where they are.

    one_class: they are about one of several classes, so that those of a row sum to 1; one column has no such sum.
    single: they were computed in single precision.
    """
    least, most = float(found.min(initial=0.0)), float(found.max(initial=0.0))
    if least < -OUTSIDE or most > 1 + OUTSIDE:
        return f"gives probabilities outside 0 to 1, such as {most if most > 1 + OUTSIDE else least:.6g}"
    if one_class and found.shape[1] > 1 and len(found):
        sums = found.sum(axis=1, dtype=np.float64)
        worst = float(sums[int(np.argmax(np.abs(sums - 1)))])
        if abs(worst - 1) > MISSED_SUM[single]:
            return f"gives class probabilities that sum to {worst:.9g}, not to 1"
    return None


def check_explained(cached: CachedModel, rows: pd.DataFrame, output: np.ndarray) -> None:
    """Raises ModelFailure for explained probabilities (n, classes) that would not be shown as a prediction."""
    fault = probability_fault(output, one_class=cached.form != "table", single=True)
    if fault and np.ndim(cached.loaded.model.predict(rows)) > 1:  # several labels, and nobody has asked before
        fault = probability_fault(output, one_class=False, single=True)
    if fault:
        raise ModelFailure(fault)


def _formed(output: Any, count: int) -> np.ndarray | pd.DataFrame:  # noqa: ANN401 (whatever a model answers)
    """The output with one dimension, or as a table of two columns and more. Raises ModelFailure for any other shape."""
    if isinstance(output, dict):
        output = pd.DataFrame({name: _column(values, count) for name, values in output.items()})
    elif isinstance(output, list) and output and all(isinstance(each, dict) for each in output):
        output = pd.DataFrame(output)
    found = _flat_names(output) if isinstance(output, pd.DataFrame) else _array(output, count)
    _check_count(len(found), count)
    if found.ndim > TABLE_DIMENSIONS or (found.ndim == TABLE_DIMENSIONS and not found.shape[1]):
        raise ModelFailure(_shape(found))
    if found.ndim == TABLE_DIMENSIONS and found.shape[1] == 1:
        return np.asarray(found).reshape(count)
    if isinstance(found, pd.DataFrame) and not found.columns.map(str).is_unique:
        raise ModelFailure("answers with a table of two columns of the same name")
    return found


def _flat_names(table: pd.DataFrame) -> pd.DataFrame:
    """The table with names of several levels as one text each."""
    several = isinstance(table.columns, pd.MultiIndex)
    return table.set_axis(table.columns.map(str), axis=1) if several else table


def _array(output: Any, count: int) -> np.ndarray:  # noqa: ANN401
    """The output as an array of at least one dimension. Raises ModelFailure."""
    try:
        found = output.toarray() if issparse(output) else np.asarray(output)
    except ValueError as error:
        raise ModelFailure(f"answers with lists of different lengths; {SHOWN}") from error
    if found.ndim == 0 and (output is None or np.isscalar(output) or isinstance(output, np.ndarray)):
        raise ModelFailure(f"gives one answer for {count:,} rows")
    if found.ndim == 0:
        raise ModelFailure(f"answers with a {type(output).__name__[:MOST_NAME]}; {SHOWN}")
    return found


def _column(values: Any, count: int) -> np.ndarray:  # noqa: ANN401
    found = np.asarray(values)
    if found.ndim == TABLE_DIMENSIONS and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise ModelFailure(_shape(found))
    _check_count(len(found), count)
    return found


def _check_count(answers: int, rows: int) -> None:
    if answers != rows:
        raise ModelFailure(f"gives {answers:,} answer{'' if answers == 1 else 's'} for {rows:,} rows")


def _shape(found: Any) -> str:  # noqa: ANN401 (an array of whichever library)
    several = np.ndim(found) == TABLE_DIMENSIONS and found.shape[1] > 1
    what = "predicts several targets at once, in" if several else "answers with"
    return f"{what} an array of the shape {tuple(found.shape)}; {SHOWN}"


def _present(values: np.ndarray) -> np.ndarray:
    """A mask of the values that are not missing, and finite."""
    if values.dtype.kind in "fc":
        return np.isfinite(values)
    if values.dtype != object:
        return ~pd.isna(values)
    infinite = [isinstance(each, float) and bool(np.isinf(each)) for each in values]
    return ~(np.array(infinite, dtype=bool) | np.asarray(pd.isna(values)))


def _plain(value: Any) -> Any:  # noqa: ANN401 (of whichever type to what JSON has)
    """The values as JSON has them: text, truth values, finite numbers; a time is text."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ModelFailure(f"answers with a whole number of more than 64 bits ({value:.6g})")
    if isinstance(value, str | bool | int):
        return value
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise ModelFailure(f"answers with values of the type {type(value).__name__[:MOST_NAME]}; {SHOWN}")
