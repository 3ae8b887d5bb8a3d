"""Opening a ledger for reading or writing, which revision its tables have, and bringing them up to this version's."""

import importlib
import sqlite3
from functools import partial
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa

from pipeline.adapters.ledger.standing import rebuild
from pipeline.adapters.ledger.tables import EVENTS, METADATA, VERSION_TABLE
from pipeline.governance.errors import Unavailable
from pipeline.governance.record.ledger import EventType, stored_names

FIRST, HEAD = "0001", "0005"
KNOWN = (FIRST, "0002", "0003", "0004", HEAD)
TABLES = sa.text("SELECT name FROM sqlite_master WHERE type = 'table'")
REVISION = sa.select(sa.table(VERSION_TABLE, sa.column("version_num")).c.version_num)
# The distinct types, one step of the index each: DISTINCT would read every event.
TYPES = sa.text(
    "WITH RECURSIVE held(type) AS (SELECT min(type) FROM ledger_event UNION ALL "
    "SELECT (SELECT min(type) FROM ledger_event WHERE type > held.type) FROM held WHERE held.type IS NOT NULL) "
    "SELECT type FROM held WHERE type IS NOT NULL"
)


def writing_engine(file: Path, *, busy_seconds: float) -> sa.Engine:
    """An engine that makes the file and takes the write lock at once: two that read first would deadlock."""

    def connect() -> sqlite3.Connection:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = _connect(file, "rwc", busy_seconds)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # with NORMAL the last commits may be lost when the power fails
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool)
    _begins_with(engine, "BEGIN IMMEDIATE")
    return engine


def reading_engine(file: Path, *, busy_seconds: float) -> sa.Engine:
    """An engine that writes nothing and makes no file that stays.

    SQLite makes two files beside a ledger in WAL mode while it is open. The last connection takes them away, unless it
    may not write; so it may, but no statement does. What a crash left there is not folded into the ledger by a reader.
    """

    def connect() -> sqlite3.Connection:
        return _connect_reading(file, busy_seconds)

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool)
    _begins_with(engine, "BEGIN")
    return engine


def careful_connection(file: Path, *, busy_seconds: float) -> sqlite3.Connection:
    """A connection for reading what may be damaged: text that is no UTF-8 comes with surrogates."""
    try:
        connection = _connect_reading(file, busy_seconds)
    except sqlite3.Error as error:
        raise Unavailable(f"the ledger cannot be used: {error}") from error
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    return connection


def empty_engine() -> sa.Engine:
    """A ledger without events in memory: what reading finds where there is no ledger."""
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
    METADATA.create_all(engine)
    return engine


def revision_of(connection: sa.Connection) -> str | None:
    """The revision of the tables; None where there is no ledger. Without a version table they are the first."""
    names = set(connection.scalars(TABLES))
    if VERSION_TABLE in names:
        return str(connection.scalar(REVISION) or "")
    return FIRST if EVENTS.name in names else None


def check_known(revision: str | None) -> None:
    """Raises Unavailable for tables of a later version."""
    if revision is not None and revision not in KNOWN:
        raise Unavailable(
            f"ledger: its tables have the revision {revision!r}, which this version of Signoff can read but not write; "
            "upgrade Signoff"
        )


def make_writable(connection: sa.Connection) -> None:
    """Makes or upgrades the tables; the caller holds the write lock.

    Raises Unavailable for a ledger that a later version of Signoff has written to.
    """
    revision = revision_of(connection)
    check_known(revision)
    if revision != HEAD:
        _upgrade(connection, revision)
    unknown = sorted(set(connection.scalars(TYPES)) - set(stored_names(EventType)))
    if unknown:
        raise Unavailable(
            f"ledger: holds events of the type {unknown[0]!r}, which this version of Signoff can list but not follow; "
            "upgrade Signoff"
        )


def load_alembic() -> None:
    """Imports Alembic before the write lock is taken: it takes half a second, for which nobody should wait."""
    importlib.import_module("alembic.command")


def _upgrade(connection: sa.Connection, revision: str | None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "pipeline.adapters.ledger:migrations")
    config.attributes["connection"] = connection
    if revision == FIRST and not sa.inspect(connection).has_table(VERSION_TABLE):
        command.stamp(config, FIRST)
    command.upgrade(config, "head")
    rebuild(connection)


def _connect_reading(file: Path, busy_seconds: float) -> sqlite3.Connection:
    log = file.with_name(f"{file.name}-wal")
    left = log.exists() and log.stat().st_size
    connection = _connect(file, "ro" if left else "rw", busy_seconds)
    connection.execute("PRAGMA query_only=ON")
    # A text that is no UTF-8 is no end of the others; `verify` names it.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    return connection


def _connect(file: Path, mode: str, busy_seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(file))}?mode={mode}",
        uri=True,
        timeout=busy_seconds,
        check_same_thread=False,
        isolation_level=None,
    )


def _begins_with(engine: sa.Engine, statement: str) -> None:
    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(statement)
