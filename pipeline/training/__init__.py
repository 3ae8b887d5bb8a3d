"""From rows to registered versions: prepare, fit, evaluate, register."""

import os

# Read when MLflow is imported, so before any module of this package imports it.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
