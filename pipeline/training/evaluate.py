"""Evaluates a fitted pipeline on held-out rows: metrics, slices, cross-validation, baseline and latency."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from pipeline.comparison.evaluation import Document, EvaluatedPredictions, evaluated
from pipeline.comparison.intervals import Draws, wilson
from pipeline.comparison.metrics import calibration_bins
from pipeline.comparison.slices import AGE, Slice, age_bands, category_slices
from pipeline.settings import EvaluationSettings, Settings
from pipeline.settings.schema import SchemaSettings
from pipeline.training.candidates import fit_pipeline
from pipeline.training.data import rows_fingerprint
from pipeline.training.files import write_bytes, write_json

LATENCY_ROWS = 20


def predict_rows(model: Pipeline, rows: pd.DataFrame, schema: SchemaSettings) -> EvaluatedPredictions:
    """Predictions beside the true classes of held-out rows; a class that training never saw has probability 0."""
    classes = tuple(schema.target.classes)
    position = {name: index for index, name in enumerate(classes)}
    known = model.predict_proba(rows[list(schema.columns)])
    probabilities = np.zeros((len(rows), len(classes)))
    columns = np.array([position[name] for name in model.classes_])
    probabilities[:, columns] = known
    actual = rows[schema.target.name].map(position).to_numpy(dtype=np.intp)
    # The first of equals in the model's own order, as `predict` decides.
    return EvaluatedPredictions(classes, actual, columns[known.argmax(axis=1)], probabilities)


def evaluate_predictions(predictions: EvaluatedPredictions, settings: EvaluationSettings) -> Document:
    """The part of the evaluation that needs nothing but predictions and truth."""
    return evaluated(predictions, Draws(settings.bootstrap_samples, settings.bootstrap_seed, settings.confidence))


def slices(rows: pd.DataFrame, predictions: EvaluatedPredictions, settings: Settings) -> list[Document]:
    """Accuracy on each category and age band, with Wilson's interval; slices without rows are left out."""
    right = predictions.actual == predictions.predicted
    schema, confidence = settings.schema_, settings.evaluation.confidence
    groups = [
        each
        for name, column in schema.categories.items()
        for each in category_slices(name, rows[name].to_numpy(), column.categories)
    ]
    if AGE in schema.numbers:
        groups += age_bands(rows[AGE].to_numpy(), settings.evaluation.age_bands)
    return [_slice(each, right[each.inside], confidence=confidence) for each in groups if each.inside.any()]


def _slice(group: Slice, right: np.ndarray, *, confidence: float) -> Document:
    hits, n = int(right.sum()), len(right)
    low, high = wilson(hits, n, confidence)
    return {"column": group.column, "value": group.value, "n": n, "accuracy": hits / n, "low": low, "high": high}


def cross_validate(pipeline: Pipeline, train: pd.DataFrame, settings: Settings) -> Document:
    """Accuracy in each fold of the training rows, with mean and deviation; every fold fits the whole pipeline anew."""
    folds = settings.evaluation.cross_validation_folds
    inputs, truth = train[list(settings.schema_.columns)], train[settings.schema_.target.name]
    folds_of_rows = StratifiedKFold(folds, shuffle=True, random_state=settings.split.seed).split(inputs, truth)
    scores = []
    for fitted_on, left_out in folds_of_rows:
        fitted = fit_pipeline(clone(pipeline), inputs.iloc[fitted_on], truth.iloc[fitted_on])
        with threadpool_limits(1):
            scores.append(float(fitted.score(inputs.iloc[left_out], truth.iloc[left_out])))
    return {"folds": folds, "mean": float(np.mean(scores)), "std": float(np.std(scores)), "scores": scores}


def baseline(train: pd.DataFrame, test: pd.DataFrame, target: str) -> Document:
    """The most frequent class of the training rows, and the accuracy of always predicting it."""
    most = str(train[target].value_counts().sort_index().idxmax())
    return {"class": most, "accuracy": float((test[target] == most).mean())}


def latency(model: Pipeline, inputs: pd.DataFrame) -> Document:
    """Median and 95th percentile of the milliseconds for one row, predicted alone on one thread of this machine."""
    rows = [inputs.iloc[[index % len(inputs)]] for index in range(LATENCY_ROWS)]
    times = []
    with threadpool_limits(1):
        model.predict_proba(rows[0])
        for row in rows:
            start = time.perf_counter()
            model.predict_proba(row)
            times.append((time.perf_counter() - start) * 1000)
    return {"median": float(np.median(times)), "p95": float(np.quantile(times, 0.95)), "n": len(times)}


def evaluation_rows(rows: pd.DataFrame, predictions: EvaluatedPredictions, schema: SchemaSettings) -> pd.DataFrame:
    """The held-out rows with the columns `actual`, `predicted` and one `probability_CLASS` per class."""
    names = np.array(predictions.classes)
    frame = rows[list(schema.columns)].assign(
        actual=pd.Series(names[predictions.actual], dtype="str"),
        predicted=pd.Series(names[predictions.predicted], dtype="str"),
    )
    for index, name in enumerate(predictions.classes):
        frame[f"probability_{name}"] = predictions.probabilities[:, index]
    return frame


def evaluate_model(
    model: Pipeline, *, train: pd.DataFrame, test: pd.DataFrame, settings: Settings
) -> tuple[Document, pd.DataFrame]:
    """The documents `evaluation.json` and `evaluation_rows.parquet`, measured on one thread."""
    with threadpool_limits(1):
        predictions = predict_rows(model, test, settings.schema_)
    schema = settings.schema_
    rows = evaluation_rows(test, predictions, schema)
    document = {
        **evaluate_predictions(predictions, settings.evaluation),
        "target": schema.target.name,
        "classes": schema.target.classes,
        "cross_validation": cross_validate(model, train, settings),
        "baseline": baseline(train, test, schema.target.name),
        "slices": slices(test, predictions, settings),
        "rows_fingerprint": rows_fingerprint(rows[[*schema.columns, "actual"]]),
    }
    return document, rows


# An evaluation in the shapes that plotting and comparing tools read: a table of metrics and two files of points.

PROBABILITY = "probability_"


def write_figures(folder: Path, evaluation: dict[str, Any], rows: pd.DataFrame) -> None:
    """`metrics.json` with intervals and n, `confusion.csv` with a line per row, `calibration.csv` with one per bin."""
    write_json(folder / "metrics.json", metrics_table(evaluation))
    _write_csv(folder / "confusion.csv", rows[["actual", "predicted"]])
    _write_csv(folder / "calibration.csv", calibration_curve(rows))


def metrics_table(evaluation: dict[str, Any]) -> dict[str, Any]:
    """n, the metrics with their intervals, folds and baseline; no latency, so that equal models have equal files."""
    metrics = {
        name: {end: entry[end] for end in ("value", "low", "high")} for name, entry in evaluation["metrics"].items()
    }
    folds = evaluation["cross_validation"]
    return {
        "n": evaluation["n"],
        **metrics,
        "cv_accuracy": {"mean": folds["mean"], "std": folds["std"]},
        "baseline_accuracy": evaluation["baseline"]["accuracy"],
    }


def calibration_curve(rows: pd.DataFrame) -> pd.DataFrame:
    """Per bin of the highest probability: its mean, the share of right predictions, and n."""
    confidence = rows[[name for name in rows.columns if name.startswith(PROBABILITY)]].max(axis=1)
    right = (rows["actual"] == rows["predicted"]).astype("float64")
    table = pd.DataFrame({"confidence": confidence, "accuracy": right, "n": 1})
    bins = calibration_bins(confidence.to_numpy())
    return table.groupby(bins).agg({"confidence": "mean", "accuracy": "mean", "n": "sum"})


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())
