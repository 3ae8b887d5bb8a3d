"""MLflow's client, calm: opened without the process-wide address, on a store that is created once, and slow to hang."""

import logging
import os
import threading
from typing import TYPE_CHECKING

from filelock import Timeout

from pipeline.adapters.mlflow.database import sqlite_path
from pipeline.adapters.mlflow.errors import mlflow_errors
from pipeline.adapters.mlflow.schema import check_schema, store_lock
from pipeline.adapters.mlflow.server import check_server
from pipeline.governance.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

# By default one call to a dead server takes 4 minutes.
CALM = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
ADDRESSES = "sqlite:////path/mlflow.db or http://127.0.0.1:5000; folders are read no more since MLflow 3.13"
STATEMENTS = "mlflow.store.db.utils"
_importing = threading.Lock()


def open_client(tracking_uri: str) -> "MlflowClient":
    """A client of this address only; `set_tracking_uri` would be process-wide.

    Raises Unavailable, InvalidInput for an address that MLflow cannot use; it may hold a password and is not repeated.
    """
    for name, value in CALM.items():
        os.environ.setdefault(name, value)
    with _importing:
        # Importing takes seconds, and reading a SQLite store does without it; telemetry is decided at import.
        from mlflow import MlflowClient  # noqa: PLC0415

        # It logs each failed statement with values and a traceback, and raises it too, which is told in a sentence.
        logging.getLogger(STATEMENTS).setLevel(logging.CRITICAL)
    try:
        with mlflow_errors("such store"):
            check_server(tracking_uri)
            return MlflowClient(tracking_uri, tracking_uri)
    except InvalidInput as error:
        raise InvalidInput(f"MLFLOW_TRACKING_URI: is no address of a registry, such as {ADDRESSES}") from error


def initialise_store(tracking_uri: str) -> "MlflowClient":
    """A client on a store that is there: a SQLite database is created under a lock, because first starts race.

    Raises Unavailable, also for a database that MLflow would change for good or that holds something else.
    """
    path = sqlite_path(tracking_uri)
    if check_schema(tracking_uri) or path is None:
        return open_client(tracking_uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with store_lock(path):
            check_schema(tracking_uri)
            client = open_client(tracking_uri)
            _touch(client)
            return client
    except Timeout as error:
        raise Unavailable("The registry does not answer: another process is setting it up.") from error
    except OSError as error:
        raise Unavailable("The registry does not answer: its database cannot be opened.") from error


def _touch(client: "MlflowClient") -> None:
    """The first calls create the tables of both halves, tracking and registry."""
    with mlflow_errors("such store"):
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
