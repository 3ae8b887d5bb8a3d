"""An evaluation in the shapes that plotting and comparing tools read: a table of metrics and two files of points."""

from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.training.files import write_bytes, write_json
from pipeline.training.intervals import calibration_bins

PROBABILITY = "probability_"


def write_figures(folder: Path, evaluation: dict[str, Any], rows: pd.DataFrame) -> None:
    """`metrics.json` with intervals and n, `confusion.csv` with a line per row, `calibration.csv` with one per bin."""
    write_json(folder / "metrics.json", metrics_table(evaluation))
    _write_csv(folder / "confusion.csv", rows[["actual", "predicted"]])
    _write_csv(folder / "calibration.csv", calibration_curve(rows))


def metrics_table(evaluation: dict[str, Any]) -> dict[str, Any]:
    """Without latency, so that equal models have equal files."""
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
    """Per bin of the predicted class's probability: its mean, the share of right predictions, and n."""
    confidence = rows[[name for name in rows.columns if name.startswith(PROBABILITY)]].max(axis=1)
    right = (rows["actual"] == rows["predicted"]).astype("float64")
    table = pd.DataFrame({"confidence": confidence, "accuracy": right, "n": 1})
    bins = calibration_bins(confidence.to_numpy())
    return table.groupby(bins).agg({"confidence": "mean", "accuracy": "mean", "n": "sum"})


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())
