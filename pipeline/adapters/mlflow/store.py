"""Opens MLflow's client: without the process-wide address, and on a SQLite store that is created under a lock."""

import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from filelock import Timeout

from pipeline.adapters.mlflow.database import check_schema, sqlite_path, store_lock
from pipeline.adapters.mlflow.errors import ALREADY_EXISTS, mlflow_errors
from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.settings import VAR

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


# What MLflow cannot open, or Signoff does not support: refused by name before it shows as unexpected answers.

SERVERS = ("http://", "https://")
# 2.9 is the oldest server that was tried; aliases came with 2.3, and a new major version may change any answer.
OLDEST, NEWEST_MAJOR = (2, 9), 3
LOGGED_MODELS = (3, 0)
ALLOW_FOLDERS = "MLFLOW_ALLOW_FILE_STORE"
NUMBER = re.compile(r"(\d{1,4})\.(\d{1,4})[\w.+-]{0,40}")


def _check_server(uri: str, *, least: tuple[int, int], why: str) -> None:
    """Ask a server for its version, and refuse a folder; other addresses, and who does not tell, are let through.

    Imports MLflow, and raises what its requests raise; Unavailable for a version outside of what is supported.
    """
    is_folder = uri.startswith("file:") or (":" not in uri and uri != "databricks")
    if is_folder and os.environ.get(ALLOW_FOLDERS, "").lower() not in {"true", "1"}:
        raise Unavailable(
            "The registry is a folder, which MLflow reads no more: run `mlflow migrate-filestore` and give the address "
            f"of the database, or set {ALLOW_FOLDERS}=true."
        )
    if not uri.startswith(SERVERS):
        return
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    answer = http_request(get_default_host_creds(uri), "/version", "GET", raise_on_status=False)
    found = NUMBER.fullmatch(answer.text.strip()) if answer.status_code == 200 else None  # noqa: PLR2004
    if found and not (least <= (int(found[1]), int(found[2])) and int(found[1]) <= NEWEST_MAJOR):
        oldest = ".".join(map(str, least))
        raise Unavailable(
            f"The registry's server runs MLflow {found[0]}: {why} those from {oldest} up to {NEWEST_MAJOR}.x."
        )


ADDRESSES = "sqlite:////path/mlflow.db or http://127.0.0.1:5000; folders are read no more since MLflow 3.13"
STATEMENTS = "mlflow.store.db.utils"
_importing = threading.Lock()


def _open_client(tracking_uri: str, *, least: tuple[int, int], why: str) -> "MlflowClient":
    """A client of this address only; `set_tracking_uri` would be process-wide.

    Raises Unavailable, InvalidInput for an address that MLflow cannot use; it may hold a password and is not repeated.
    """
    with _importing:
        # Importing takes seconds, and reading a SQLite store does without it; telemetry is decided at import.
        from mlflow import MlflowClient

        # It logs each failed statement with its values and a traceback, and raises it too.
        logging.getLogger(STATEMENTS).setLevel(logging.CRITICAL)
    try:
        with mlflow_errors("such store"):
            _check_server(tracking_uri, least=least, why=why)
            return MlflowClient(tracking_uri, tracking_uri)
    except InvalidInput as error:
        raise InvalidInput(f"MLFLOW_TRACKING_URI: is no address of a registry, such as {ADDRESSES}") from error


def initialise_store(
    tracking_uri: str, *, least: tuple[int, int] = OLDEST, why: str = "Signoff reads"
) -> "MlflowClient":
    """A client on a store that is there: a SQLite database is created under a lock, because first starts race.

    least, why: the oldest server that will do, and the words before it in the refusal of another.
    Raises Unavailable, also for a database that MLflow would change for good or that holds something else.
    """
    path = sqlite_path(tracking_uri)
    if check_schema(tracking_uri) or path is None:
        return _open_client(tracking_uri, least=least, why=why)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with store_lock(path):
            check_schema(tracking_uri)
            client = _open_client(tracking_uri, least=least, why=why)
            # The first calls create the tables of both halves, tracking and registry.
            with mlflow_errors("such store"), _without_migration_log():
                client.search_experiments(max_results=1)
                client.search_registered_models(max_results=1)
            return client
    except Timeout as error:
        raise Unavailable("The registry does not answer: another process is setting it up.") from error
    except OSError as error:
        raise Unavailable("The registry does not answer: its database cannot be opened.") from error


@contextmanager
def _without_migration_log() -> Iterator[None]:
    """Silences the sixty lines that MLflow logs about migrations when it creates a store."""
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(max(logging.WARNING, logger.level))
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def ensure_experiment(
    client: "MlflowClient", tracking_uri: str, name: str, *, tags: Mapping[str, str] | None = None
) -> "Experiment":
    """The experiment of this name, made with these tags when it is not there. Raises InvalidInput for a deleted one."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            client.create_experiment(name, _artifacts(tracking_uri), dict(tags or {}))
        except MlflowException as error:
            if error.error_code != ALREADY_EXISTS:
                raise
        found = client.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        raise InvalidInput(f"experiment: {name!r} was deleted; restore it or name another")
    return found


def _artifacts(tracking_uri: str) -> str | None:
    """Where files are stored: beside the database, as an absolute path. MLflow's default is the current folder."""
    if "://" not in tracking_uri or tracking_uri.startswith((*SERVERS, "databricks")):
        return None
    path = sqlite_path(tracking_uri)
    return ((VAR if path is None else path.parent) / "artifacts").as_uri()
