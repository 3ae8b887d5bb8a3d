"""Read-only connections to the database of a registry: nothing is written, not even a file beside it.

But what a killed process of Signoff, or another one, left half-written in a store that Signoff writes is undone.
"""

import importlib.util
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from time import sleep
from typing import Any, NamedTuple, Protocol

import sqlalchemy
from filelock import FileLock, Timeout

from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.governance.text import visible

LOCK_SECONDS = 5.0
LOOKS, LOOK_SECONDS = 5, 0.02  # at a journal that may be a writer's who ends
NOT_CLOSED = "The registry does not answer: its database was not closed by the program that wrote it."
NO_SQLITE = "The registry's address is not sqlite:/// and a path."
# The databases that MLflow can use beside SQLite.
SERVERS = ("postgresql", "mysql", "mssql")
# What to install where the driver that an address names, or SQLAlchemy's own choice for it, cannot be imported.
PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
# Two bytes of a SQLite file's header say whether its owner writes ahead into a second file.
HEADER_BYTES, WRITES_AHEAD = slice(18, 20), b"\x02\x02"
SQLITE_TABLES = "select name from sqlite_master where type = 'table'"
REVISION_TABLE = "alembic_version"
REVISION = "select version_num from alembic_version"

Values = Mapping[str, Any]
Query = Callable[..., list[Any]]  # (statement, values) → tuples or what unpacks like them


class Schema(NamedTuple):
    """The names of a database's tables and the version of its schema."""

    tables: frozenset[str]
    # Alembic's revisions; empty where the database has no such table.
    revisions: tuple[str, ...]


class Database(Protocol):
    """A database that takes read-only statements; one connection sees one snapshot."""

    @contextmanager
    def connect(self) -> Iterator[Query]:
        """Raises Unavailable."""

    def schema(self) -> Schema:
        """Raises Unavailable."""


class SqliteDatabase:
    """Implements Database on a SQLite file. `trace` is called with every statement."""

    def __init__(self, path: Path, *, trace: Callable[[str], None] | None = None) -> None:
        self.path = path
        self._trace = trace

    def exists(self) -> bool:
        """Whether the file is there and not empty. Raises Unavailable where it cannot be looked at or is a folder."""
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise Unavailable("The registry does not answer: its database cannot be opened.") from error
        if not self.path.is_file():
            raise Unavailable("The registry does not answer: its database is not a file.")
        return found.st_size > 0

    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the file, which stay when it is renamed; None where there is none."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def schema(self) -> Schema:
        if not self.exists():
            return Schema(frozenset(), ())
        with self.connect() as query:
            tables = frozenset(name for (name,) in query(SQLITE_TABLES))
            found = query(REVISION) if REVISION_TABLE in tables else []
        return Schema(tables, tuple(str(revision) for (revision,) in found))

    @contextmanager
    def connect(self) -> Iterator[Query]:
        with database_errors(), closing(self._snapshot()) as connection:
            yield lambda statement, values=(): connection.execute(statement, values).fetchall()

    def check_writable(self) -> None:
        """Raises Unavailable where another process holds the write lock: MLflow itself would wait for 20 seconds."""
        with database_errors():
            connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None)
            with closing(connection):
                connection.execute("begin immediate")
                connection.execute("rollback")

    def mark_written(self) -> None:
        """Says to every process of Signoff that Signoff writes into this store, by the file that is its lock."""
        with suppress(OSError):  # who may write a file and not beside it leaves the undoing to its owner
            lock_path(self.path).touch()

    def _snapshot(self) -> sqlite3.Connection:
        """A connection that has begun to read: nobody commits until it is closed. Raises Unavailable.

        A database that a killed process has left half-written cannot be read until its journal is played back, which
        SQLite does for the first who may write (section 4 of its "File Locking And Concurrency"). It is asked for that
        where Signoff writes into this store; elsewhere the database is left to its owner. A reader who comes while a
        writer ends takes its journal for such a one (SQLite's ticket 3883): it is believed only when it stays.
        """
        for _ in range(LOOKS):
            if (connection := self._begun()) is not None:
                return connection
            sleep(LOOK_SECONDS)
        if not lock_path(self.path).exists():
            raise Unavailable(NOT_CLOSED)
        self.check_writable()
        if (connection := self._begun()) is None:
            raise Unavailable(NOT_CLOSED)
        return connection

    def _begun(self) -> sqlite3.Connection | None:
        """A connection with its snapshot of the database; None where a journal seems to wait for its playback."""
        connection = self._open()
        try:
            connection.execute("begin")
            connection.execute("pragma schema_version")
        except sqlite3.Error as error:
            connection.close()
            if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:
                raise
            return None
        return connection

    def _open(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode=ro{self._untouched()}"
        connection = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
        if self._trace:
            connection.set_trace_callback(self._trace)
        return connection

    def _untouched(self) -> str:
        """The URI parameter that keeps SQLite from leaving files behind; empty where it would leave none.

        Reading a database in write-ahead mode makes two files beside it, which stay. Where no program has it open there
        is nothing in them: then it is opened as a file that does not change. Raises Unavailable.
        """
        try:
            with self.path.open("rb") as file:
                ahead = file.read(HEADER_BYTES.stop)[HEADER_BYTES] == WRITES_AHEAD
        except OSError as error:
            raise Unavailable("The registry does not answer: its database cannot be opened.") from error
        log, index = (self.path.with_name(f"{self.path.name}{ending}") for ending in ("-wal", "-shm"))
        if not ahead or (log.exists() and index.exists()):
            return ""
        if log.exists() and log.stat().st_size:
            raise Unavailable(NOT_CLOSED)
        return "&immutable=1"


class ServerDatabase:
    """Implements Database on a database server; give it a role that may only read."""

    def __init__(self, uri: str, backend: str = "postgresql") -> None:
        self._uri, self._backend = uri, backend

    def schema(self) -> Schema:
        with database_errors(), self._engine.connect() as connection:
            tables = frozenset(sqlalchemy.inspect(connection).get_table_names())
            found = connection.execute(sqlalchemy.text(REVISION)) if REVISION_TABLE in tables else ()
            return Schema(tables, tuple(str(row[0]) for row in found))

    @contextmanager
    def connect(self) -> Iterator[Query]:
        with database_errors(), self._engine.connect() as connection:

            def query(statement: str, values: Values | None = None) -> list[Any]:
                return list(connection.execute(sqlalchemy.text(statement), values or {}).fetchall())

            yield query

    @cached_property
    def _engine(self) -> sqlalchemy.Engine:
        limit = {} if self._backend == "mssql" else {"connect_timeout": int(LOCK_SECONDS)}
        try:
            return sqlalchemy.create_engine(self._uri, connect_args=limit, isolation_level="REPEATABLE READ")
        except ImportError as error:
            driver = error.name or self._backend
            raise Unavailable(
                f"The registry does not answer: this installation has no driver for {self._backend}; install "
                f"{PACKAGES.get(driver, driver)}."
            ) from error


def database_of(uri: str) -> SqliteDatabase | ServerDatabase | None:
    """The database at an address; None for a server, a folder, or what is no address. Raises InvalidInput."""
    if path := sqlite_path(uri):
        return SqliteDatabase(path)
    backend = uri.split(":", maxsplit=1)[0].split("+", maxsplit=1)[0]
    return ServerDatabase(uri, backend) if backend in SERVERS else None


def sqlite_path(uri: str) -> Path | None:
    """The file of a SQLite address, None for other addresses and for databases in memory.

    Raises InvalidInput.
    """
    if not uri.startswith("sqlite"):
        return None
    try:
        address = sqlalchemy.make_url(uri)
    except sqlalchemy.exc.ArgumentError as error:
        raise InvalidInput(NO_SQLITE) from error
    if address.get_backend_name() != "sqlite" or address.host:
        raise InvalidInput(NO_SQLITE)  # with two slashes the first folder would be a host, and the rest another path
    name = address.database
    return Path(name).absolute() if name and name != ":memory:" else None


@contextmanager
def database_errors() -> Iterator[None]:
    """Raises Unavailable for whatever a database raises, whose text may hold SQL and data and stays in the cause."""
    try:
        yield
    except sqlite3.OperationalError as error:
        busy = "locked" in str(error) or "busy" in str(error)
        reason = "the database stayed locked" if busy else "the database cannot be used"
        raise Unavailable(f"The registry does not answer: {reason}.") from error
    except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError) as error:
        raise Unavailable("The registry does not answer: the database cannot be used.") from error


# Whether the private schema of MLflow's database is the one that our SQL is written for.

# The Alembic revision of MLflow 3.17. Any other is read through MLflow's own client, if that may open it.
KNOWN_REVISION = "dc11669786a5"
# One statement per table that `sql.py` reads: it fails where a column is missing.
COLUMNS = (
    "select workspace, name, description from registered_models where 1 = 0",
    "select workspace, name, key, value from registered_model_tags where 1 = 0",
    "select workspace, name, alias, version from registered_model_aliases where 1 = 0",
    """select workspace, name, version, creation_time, description, user_id, current_stage, source, run_id, status,
    status_message, storage_location from model_versions where 1 = 0""",
    "select workspace, name, version, key, value from model_version_tags where 1 = 0",
    "select run_uuid, user_id, lifecycle_stage, artifact_uri from runs where 1 = 0",
    "select run_uuid, key, value from tags where 1 = 0",
    "select run_uuid, key, value from params where 1 = 0",
    "select run_uuid, key, value, is_nan from latest_metrics where 1 = 0",
    """select model_id, source_run_id, name, creation_timestamp_ms, lifecycle_stage, artifact_location
    from logged_models where 1 = 0""",
    """select model_id, run_id, metric_name, metric_timestamp_ms, metric_step, metric_value, dataset_name,
    dataset_digest from logged_model_metrics where 1 = 0""",
    "select model_id, param_key, param_value from logged_model_params where 1 = 0",
    "select experiment_id, workspace, name from experiments where 1 = 0",
    "select experiment_id, key, value from experiment_tags where 1 = 0",
)


def has_known_revision(query: Query) -> bool:
    """Whether the schema is MLflow 3.17's; False also where there is no table that names a revision."""
    return _answers(query, REVISION) == [(KNOWN_REVISION,)]


def has_known_columns(query: Query) -> bool:
    return all(_answers(query, statement) is not None for statement in COLUMNS)


def _answers(query: Query, statement: str) -> list[tuple[Any, ...]] | None:
    """The rows that the statement gives; None where it names a table or column that is not there."""
    try:
        return [tuple(row) for row in query(statement)]
    except sqlalchemy.exc.ProgrammingError:
        return None
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return None
        raise


# Which program's tables a database holds, found out before MLflow opens it: it upgrades an older schema without asking.

# Creating a store takes 5 seconds on a quiet machine; others who start at the same time wait for it.
CREATION_SECONDS = 60.0
# Tables that MLflow had before it numbered its schemas, and those of its registry.
TABLES = ({"experiments", "runs"}, {"registered_models", "model_versions"})
LONGEST_REVISION = 40
NUMBERED = re.compile(r"^(down_revision|revision)\b.*?=\s*[\"'](\w+)[\"']", re.MULTILINE)


def check_schema(uri: str) -> bool:
    """Whether MLflow may open this address as it is; False where its database holds no tables yet.

    Raises Unavailable for a database of another MLflow, older or newer, and for one of another program.
    """
    database = database_of(uri)
    return database is None or holds_registry(database)


def holds_registry(database: Database) -> bool:
    """Whether MLflow's tables are there, see check_schema; waits for a process of ours that is making them."""
    schema = database.schema()
    if _refusal(schema) and isinstance(database, SqliteDatabase) and _was_made(database.path):
        schema = database.schema()
    if refusal := _refusal(schema):
        raise Unavailable(refusal)
    return bool(schema.revisions)


def store_lock(path: Path) -> FileLock:
    """The lock beside a SQLite store, for what only one process may do."""
    return FileLock(lock_path(path), timeout=CREATION_SECONDS)


def lock_path(path: Path) -> Path:
    """Lies beside each SQLite store that Signoff has made or written, and stays."""
    return path.with_name(f"{path.name}.lock")


def _was_made(path: Path) -> bool:
    """Whether another process may have made the tables meanwhile; no lock is made beside a database that has none."""
    if not lock_path(path).exists():
        return False
    try:
        with store_lock(path):
            return True
    except (OSError, Timeout):
        return False


def _refusal(schema: Schema) -> str | None:
    """Why the installed MLflow must not open such a database; None where it may."""
    tables = {name for name in schema.tables if not name.startswith("alembic_")}
    head, older = installed_revisions()
    if schema.revisions == (head,) or not (tables or schema.revisions):
        return None
    if not any(each <= tables for each in TABLES):
        return "The registry does not answer: its database belongs to another program."
    revision = visible(" ".join(schema.revisions), most=LONGEST_REVISION) or "none"
    left = f"The registry's database is left as it is: its schema (revision {revision}) is of"
    if set(schema.revisions) <= older:
        return (
            f"{left} an older MLflow; run `mlflow db upgrade` on it after a backup, and know that the MLflow which "
            "uses it now cannot go on then."
        )
    return f"{left} a newer MLflow than this installation knows; upgrade Signoff."


@cache
def installed_revisions() -> tuple[str, frozenset[str]]:
    """The newest schema revision of the installed MLflow and every older one, from its files, without importing it."""
    found = importlib.util.find_spec("mlflow")
    assert found is not None and found.origin is not None  # noqa: S101, PT018 (a requirement of this package)
    steps = Path(found.origin).parent.glob("store/db_migrations/versions/*.py")
    numbers = [NUMBERED.findall(step.read_text(encoding="utf-8")) for step in steps]
    made = {number for pairs in numbers for name, number in pairs if name == "revision"}
    replaced = {number for pairs in numbers for name, number in pairs if name == "down_revision"}
    return next(iter(made - replaced)), frozenset(replaced)
