"""From rows to registered versions: prepare, fit, evaluate, register."""

import os

# Read when MLflow is imported, so before any module of this package imports it: no telemetry, no lines between ours.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
for name, value in QUIET.items():
    os.environ.setdefault(name, value)
