"""Read-only connections to the database of a registry: nothing is written, not even a file beside it."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import sqlalchemy

from pipeline.governance.errors import InvalidInput, Unavailable

LOCK_SECONDS = 5.0
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
    """What a database says about its tables; `revisions` are Alembic's, none where it keeps none."""

    tables: frozenset[str]
    revisions: tuple[str, ...]


class Database(Protocol):
    """Where read-only statements go; one connection is one consistent view."""

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

    def place(self) -> tuple[int, int] | None:
        """Which file it is, whatever its name: device and inode. None where it is not there."""
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
        with database_errors(), closing(self._open()) as connection:
            connection.execute("begin")  # one snapshot for all statements
            yield lambda statement, values=(): connection.execute(statement, values).fetchall()

    def check_writable(self) -> None:
        """Raises Unavailable where another process holds the lock: MLflow itself would wait for 20 seconds."""
        with database_errors():
            connection = sqlite3.connect(self.path, timeout=LOCK_SECONDS, isolation_level=None)
            with closing(connection):
                connection.execute("begin immediate")
                connection.execute("rollback")

    def _open(self) -> sqlite3.Connection:
        uri = f"{self.path.absolute().as_uri()}?mode=ro{self._untouched()}"
        connection = sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS, isolation_level=None)
        if self._trace:
            connection.set_trace_callback(self._trace)
        return connection

    def _untouched(self) -> str:
        """A database that writes ahead gets two files beside it from whoever reads it, and keeps them afterwards.

        Where nobody has it open there is nothing in them: then it is read as a file that does not change.
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
            raise Unavailable("The registry does not answer: its database was not closed by the program that wrote it.")
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
    """The database of an address; None for a server, a folder, or what is no address. Raises InvalidInput."""
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
    """Unavailable for whatever a database raises; its text may hold SQL and data, so it stays in the cause."""
    try:
        yield
    except sqlite3.OperationalError as error:
        busy = "locked" in str(error) or "busy" in str(error)
        reason = "the database stayed locked" if busy else "the database cannot be used"
        raise Unavailable(f"The registry does not answer: {reason}.") from error
    except (sqlite3.Error, sqlalchemy.exc.SQLAlchemyError) as error:
        raise Unavailable("The registry does not answer: the database cannot be used.") from error
