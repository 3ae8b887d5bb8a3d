"""Read-only connections to MLflow's database, and whether its private schema is the one that we know."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy

from pipeline.adapters.mlflow_errors import database_errors
from pipeline.governance.errors import InvalidInput, Unavailable

LOCK_SECONDS = 5.0
# The Alembic revision of MLflow 3.17. Any other is read through MLflow's own client.
KNOWN_REVISION = "dc11669786a5"
REVISION = "select version_num from alembic_version"
# One statement per table that mlflow_sql.py reads: it fails where a column is missing.
COLUMNS = (
    "select workspace, name, description from registered_models where 1 = 0",
    "select workspace, name, key, value from registered_model_tags where 1 = 0",
    "select workspace, name, alias, version from registered_model_aliases where 1 = 0",
    """select workspace, name, version, creation_time, description, user_id, current_stage, source, run_id, status,
    status_message, storage_location from model_versions where 1 = 0""",
    "select workspace, name, version, key, value from model_version_tags where 1 = 0",
    "select run_uuid, user_id, lifecycle_stage from runs where 1 = 0",
    "select run_uuid, key, value from tags where 1 = 0",
    "select run_uuid, key, value from params where 1 = 0",
    "select run_uuid, key, value, is_nan from latest_metrics where 1 = 0",
    "select experiment_id, workspace, name from experiments where 1 = 0",
    "select experiment_id, key, value from experiment_tags where 1 = 0",
)

Values = Mapping[str, Any]
Query = Callable[..., list[Any]]  # (statement, values) → tuples or what unpacks like them


class Database(Protocol):
    """Where read-only statements go; one connection is one consistent view."""

    @contextmanager
    def connect(self) -> Iterator[Query]:
        """Raises Unavailable."""


class SqliteDatabase:
    """Implements Database on a SQLite file. `trace` is called with every statement."""

    def __init__(self, path: Path, *, trace: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._trace = trace

    def exists(self) -> bool:
        """Whether anything was written to it. Raises Unavailable when that cannot be told, or it is a folder."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise Unavailable("The registry does not answer: its database cannot be opened.") from error
        if not self.path.is_file():
            raise Unavailable("The registry does not answer: its database is not a file.")
        return found.st_size > 0

    @contextmanager
    def connect(self) -> Iterator[Query]:
        with database_errors(), closing(self._open()) as connection:
            connection.execute("begin")  # one snapshot for all statements
            yield lambda statement, values=(): connection.execute(statement, values).fetchall()

    def check_readable(self) -> None:
        """Raises Unavailable where another process holds the lock: MLflow itself would wait for 20 seconds."""
        with self.connect() as query:
            query("select count(*) from sqlite_master")

    def check_writable(self) -> None:
        """As `check_readable`, for the lock that a write needs."""
        with database_errors():
            connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None)
            with closing(connection):
                connection.execute("begin immediate")
                connection.execute("rollback")

    def _open(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
        if self._trace:
            connection.set_trace_callback(self._trace)
        return connection


class ServerDatabase:
    """Implements Database on PostgreSQL; give it a role that may only read."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    @contextmanager
    def connect(self) -> Iterator[Query]:
        with database_errors(), self._engine.connect() as connection:

            def query(statement: str, values: Values | None = None) -> list[Any]:
                return list(connection.execute(sqlalchemy.text(statement), values or {}).fetchall())

            yield query

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        try:
            return sqlalchemy.create_engine(
                self._uri, connect_args={"connect_timeout": int(LOCK_SECONDS)}, isolation_level="REPEATABLE READ"
            )
        except ImportError as error:
            raise Unavailable("The registry does not answer: this installation has no driver for it.") from error


def has_known_revision(query: Query) -> bool:
    """False, too, where there is no such table: not MLflow's database, or one that is just being created."""
    return _answers(query, REVISION) == [(KNOWN_REVISION,)]


def has_table(query: Query, statement: str) -> bool:
    """Whether the statement finds its table."""
    return _answers(query, statement) is not None


def has_known_columns(query: Query) -> bool:
    return all(has_table(query, statement) for statement in COLUMNS)


def _answers(query: Query, statement: str) -> list[tuple[Any, ...]] | None:
    """None where the statement names a table or column that is not there."""
    try:
        return [tuple(row) for row in query(statement)]
    except sqlalchemy.exc.ProgrammingError:
        return None
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return None
        raise


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address, None for other addresses and for databases in memory.

    Raises InvalidInput.
    """
    if not uri.startswith("sqlite"):
        return None
    try:
        name = sqlalchemy.make_url(uri).database
    except sqlalchemy.exc.ArgumentError as error:
        raise InvalidInput("The registry's address is not sqlite:/// and a path.") from error
    return Path(name).absolute() if name and name != ":memory:" else None
