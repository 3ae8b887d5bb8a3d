"""MLflow's client, calm: opened without the process-wide address, on a store that is created once, and slow to hang."""

import logging
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pipeline.adapters.mlflow_database import REVISION, SqliteDatabase, has_table, sqlite_path
from pipeline.adapters.mlflow_errors import mlflow_errors
from pipeline.governance.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Creating a store takes 5 seconds on a quiet machine; others who start at the same time wait for it.
CREATION_SECONDS = 60.0
# By default one call to a dead server takes 4 minutes.
CALM = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}
ADDRESSES = "sqlite:////path/mlflow.db or http://127.0.0.1:5000; folders are read no more since MLflow 3.13"
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
    try:
        with mlflow_errors("such store"):
            return MlflowClient(tracking_uri, tracking_uri)
    except InvalidInput as error:
        raise InvalidInput(f"MLFLOW_TRACKING_URI: is no address of a registry, such as {ADDRESSES}") from error


def initialise_store(tracking_uri: str) -> "MlflowClient":
    """A client on a store that is there: a SQLite database is created under a lock, because first starts race.

    Raises Unavailable, also for a SQLite file that holds something else than MLflow's tables.
    """
    path = sqlite_path(tracking_uri)
    if path is None:
        return open_client(tracking_uri)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with store_lock(path):
            _check_own(SqliteDatabase(path))
            client = open_client(tracking_uri)
            _touch(client)
            return client
    except Timeout as error:
        raise Unavailable("The registry does not answer: another process is setting it up.") from error
    except OSError as error:
        raise Unavailable("The registry does not answer: its database cannot be opened.") from error


def store_lock(path: Path) -> FileLock:
    """The lock beside a SQLite store, for what only one process may do."""
    return FileLock(f"{path}.lock", timeout=CREATION_SECONDS)


def _check_own(database: SqliteDatabase) -> None:
    """MLflow would create its tables in any database that it is given."""
    if not database.exists():
        return
    with database.connect() as query:
        foreign = query("select count(*) from sqlite_master")[0][0] and not has_table(query, REVISION)
    if foreign:
        raise Unavailable("The registry does not answer: its database belongs to another program.")


def _touch(client: "MlflowClient") -> None:
    """The first calls create the tables of both halves, tracking and registry."""
    logger = logging.getLogger("mlflow.store.db.utils")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with mlflow_errors("such store"):
            client.search_experiments(max_results=1)
            client.search_registered_models(max_results=1)
    finally:
        logger.setLevel(level)
