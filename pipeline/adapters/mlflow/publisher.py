"""The registry as training meets it: opened once, locked where two trainings could meet, with its errors translated."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pipeline.adapters.mlflow.database import check_schema
from pipeline.adapters.mlflow.store import LOGGED_MODELS, check_server
from pipeline.governance.errors import InvalidInput, LedgerBusy, Unavailable
from pipeline.settings import VAR

LOCK_SECONDS = 1800
ALREADY_THERE = ErrorCode.Name(RESOURCE_ALREADY_EXISTS)
RETRIES, TIMEOUT = "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"
# By default one call to a dead server takes 4 minutes.
CALM = {RETRIES: "0", TIMEOUT: "5"}
TRANSFER_SECONDS = 120
NO_ANSWER = "API request to "


def database_path(uri: str) -> Path | None:
    """The file of a SQLite address, absolute; None for other addresses. Creates nothing."""
    try:
        url = make_url(uri)
    except ArgumentError:
        return None
    if url.get_backend_name() != "sqlite" or not url.database:
        return None
    return Path(url.database).resolve()


def open_registry(uri: str) -> MlflowClient:
    """A client of this address. The first one creates a SQLite store; others wait, because first starts race.

    Raises Unavailable for a database that MLflow would change for good, and a server without logged models.
    """
    path = database_path(uri)
    if path is None:
        for name, value in CALM.items():
            os.environ.setdefault(name, value)
    check_server(uri, least=LOGGED_MODELS, why="training registers logged models, which are kept by")
    if check_schema(uri) or path is None:
        return MlflowClient(uri, uri)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(Path(f"{path}.lock")), _without_migration_log():
        check_schema(uri)
        client = MlflowClient(uri, uri)
        # The first calls create the tables of both halves, tracking and registry.
        client.search_experiments(max_results=1)
        client.search_registered_models(max_results=1)
    return client


@contextmanager
def _without_migration_log() -> Iterator[None]:
    """Creating a store logs some sixty lines about migrations."""
    loggers = [logging.getLogger(name) for name in ("alembic", "mlflow.store.db.utils")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time on this machine. Raises LedgerBusy after half an hour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise LedgerBusy(f"another training holds {path}") from error


def model_lock(uri: str, model: str) -> Path:
    """The lock of one model name, beside a SQLite database, otherwise in the project's own folder."""
    path = database_path(uri)
    name = hashlib.sha256(f"{uri} {model}".encode()).hexdigest()[:16]
    return (VAR if path is None else path.parent) / "locks" / f"register-{name}.lock"


def experiment_id(client: MlflowClient, uri: str, name: str) -> str:
    """The experiment of this name, made when it is not there. Raises InvalidInput for a deleted one."""
    found = client.get_experiment_by_name(name) or _create_experiment(client, uri, name)
    if found.lifecycle_stage == "deleted":
        raise InvalidInput(f"experiment: {name!r} was deleted; restore it or name another")
    return str(found.experiment_id)


def _create_experiment(client: MlflowClient, uri: str, name: str) -> Experiment:
    try:
        client.create_experiment(name, artifact_location=_artifacts(uri))
    except MlflowException as error:
        if error.error_code != ALREADY_THERE:
            raise
    return client.get_experiment_by_name(name)


def _artifacts(uri: str) -> str | None:
    """Absolute and beside the database: MLflow's default is the folder that it happens to be started in."""
    if "://" not in uri or uri.startswith(("http://", "https://", "databricks")):
        return None
    path = database_path(uri)
    return ((VAR if path is None else path.parent) / "artifacts").as_uri()


def ensure_model(client: MlflowClient, name: str, description: str) -> None:
    """The registered model is there, whoever made it."""
    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != ALREADY_THERE:
            raise


@contextmanager
def process_address(uri: str) -> Iterator[None]:
    """For the calls of MLflow that ignore their client and ask the process: this address, and no repeated requests.

    On a SQL store `create_model_version` looks up its source by the address of the process; a request that is repeated
    after a lost answer would make a second version.
    """
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    with _environment(RETRIES, "MLFLOW_TRACKING_URI"):
        mlflow.set_tracking_uri(uri)
        os.environ[RETRIES] = "0"
        try:
            yield
        finally:
            mlflow.set_tracking_uri(before)


@contextmanager
def transferring() -> Iterator[None]:
    """For model files: a server that passes them on to its own store answers a large one late."""
    with _environment(TIMEOUT):
        os.environ[TIMEOUT] = str(max(TRANSFER_SECONDS, int(os.environ.get(TIMEOUT, "0"))))
        yield


@contextmanager
def _environment(*names: str) -> Iterator[None]:
    """These variables are afterwards what they were before."""
    before = {name: os.environ.get(name) for name in names}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def registry_errors() -> Iterator[None]:
    """MLflow's errors as Unavailable, the cause kept; its text may hold addresses and rows, so only a line is shown."""
    try:
        yield
    except MlflowException as error:
        line = str(error).strip().split("\n", maxsplit=1)[0][:200]
        if line.startswith(NO_ANSWER):  # with the address, which may hold a password
            raise Unavailable("The registry does not answer.") from error
        raise Unavailable(f"the registry does not do it: {line}") from error
    except OSError as error:
        raise Unavailable(f"the registry's files cannot be used: {error.strerror or error}") from error
