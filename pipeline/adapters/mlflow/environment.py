"""What MLflow reads from the environment: set as soon as anything of this package that imports MLflow is imported."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

RETRIES, TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
# Defaults: a variable that is set already stays as it is.
MLFLOW_ENVIRONMENT = {
    # By default one call to a dead server takes 4 minutes.
    RETRIES: "0",
    TIMEOUT: "5",
    # Read once, when MLflow is imported.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # No progress bars and links between the lines that we print.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
for name, value in MLFLOW_ENVIRONMENT.items():
    os.environ.setdefault(name, value)

TRANSFER_SECONDS = 120


@contextmanager
def transferring() -> Iterator[None]:
    """Allows more time per request, for model files: a server that forwards them to a store answers large ones late."""
    with _restored(TIMEOUT):
        os.environ[TIMEOUT] = str(max(TRANSFER_SECONDS, int(os.environ.get(TIMEOUT, "0"))))
        yield


@contextmanager
def process_address(tracking_uri: str) -> Iterator[None]:
    """Gives this address to MLflow calls that ask the process instead of their client, and repeats no request.

    On a SQL store `create_model_version` looks up its source by the address of the process; a request that is repeated
    after a lost answer would make a second version.
    """
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    with _restored(RETRIES, "MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(tracking_uri)
        os.environ[RETRIES] = "0"
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)


@contextmanager
def _restored(*names: str) -> Iterator[None]:
    """Puts these environment variables back to what they were when the block ends."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
