"""A ledger on a PostgreSQL server, which several hosts share.

A writer takes an advisory lock first and reads the head of the chain after that, at READ COMMITTED: by a snapshot from
before the lock it would read a head that somebody else has moved. A reader sees one snapshot. A server that does not
answer is given up on this side: its own time limits are of no use when it hangs.
"""

import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.abc import PQGen

from pipeline.adapters.ledger.database import RowsUnreadable
from pipeline.adapters.ledger.tables import one_line
from pipeline.governance.errors import Unavailable
from pipeline.settings import VAR

LOCK = int.from_bytes(b"signoff", "big")  # of the whole database
CONNECT_SECONDS = 4
PING_SECONDS = 3  # with the connection after it still below ten
CHECK_SECONDS = 60  # an answer to `verify`, which reads everything
READ_BEGIN = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
# An operator may have switched off that a commit is on the disk when it is answered; for a ledger it has to be.
DURABLE = "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"


class PatientConnection(psycopg.Connection[Any]):
    """A connection that is given up where the server does not answer."""

    answer_seconds: float = CHECK_SECONDS  # until a statement is answered

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:  # noqa: ANN401
        """As psycopg.Connection.wait; raises OperationalError, with the connection closed, when the time is over."""
        seconds = timeout or (PING_SECONDS if self.autocommit else self.answer_seconds)
        begun = time.monotonic()
        try:
            return super().wait(gen, interval, seconds)
        except psycopg.OperationalError as error:
            if time.monotonic() - begun < seconds:
                raise
            self.close()
            raise psycopg.OperationalError(f"the server did not answer within {seconds:g} s") from error


class PostgresLedger:
    """Implements LedgerDatabase."""

    one_host = False

    def __init__(self, url: sa.URL, *, busy_seconds: float) -> None:
        seconds = busy_seconds + PING_SECONDS  # the lock is waited for by the server
        port = f":{url.port}" if url.port else ""
        host = url.host or url.query.get("host") or "localhost"
        self.place = f"database {url.database} at {host}{port}"
        self.checkpoint_file = VAR / f"{url.database}.checkpoints.jsonl"
        lock = f"SET LOCAL lock_timeout = {round(busy_seconds * 1000)}; SELECT pg_advisory_xact_lock({LOCK})"
        self.reading = _engine(url, READ_BEGIN, answer_seconds=seconds)
        self.writing = _engine(url, f"{lock}; {DURABLE}", answer_seconds=seconds)
        # Nobody has to close a ledger: connections that wait in its pools end with it.
        weakref.finalize(self, _close, self.reading, self.writing)

    def may_exist(self) -> bool:
        return True

    @contextmanager
    def stored_rows(self) -> Iterator["PostgresRows"]:
        try:
            pooled = self.reading.raw_connection()
        except sa.exc.SQLAlchemyError as error:
            raise Unavailable(f"the ledger cannot be used: {one_line(getattr(error, 'orig', error))}") from error
        connection: PatientConnection = pooled.driver_connection  # type: ignore[assignment]
        pooled.detach()
        connection.answer_seconds = CHECK_SECONDS
        with connection:
            connection.isolation_level, connection.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
            yield PostgresRows(connection)


class PostgresRows:
    """Implements StoredRows."""

    def __init__(self, connection: PatientConnection) -> None:
        self._connection = connection

    def read(self, statement: str, *values: object) -> Iterator[Sequence[Any]]:
        try:
            with self._connection.cursor("stored_rows") as cursor:
                cursor.itersize = 1_000
                cursor.execute(statement.replace("?", "%s").encode(), values)
                yield from cursor
        except psycopg.Error as error:
            if not self._connection.closed:
                self._connection.rollback()
            raise RowsUnreadable(one_line(error), no_table=isinstance(error, psycopg.errors.UndefinedTable)) from error

    def damaged_pages(self) -> Iterator[str]:
        """None: a damaged page is met where its rows are read."""
        yield from ()


def _engine(url: sa.URL, begin_with: str, *, answer_seconds: float) -> sa.Engine:
    engine = sa.create_engine(
        url,
        connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "signoff", **_own(url)},
        pool_pre_ping=True,  # a server that was started anew answers the next one, not the one after it
        pool_timeout=answer_seconds,
    )

    @sa.event.listens_for(engine, "do_connect")
    def connect(_dialect: object, _record: object, _args: object, options: dict[str, Any]) -> PatientConnection:
        return PatientConnection.connect(**options)

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        opened: Any = connection.connection.driver_connection
        opened.answer_seconds = answer_seconds
        connection.exec_driver_sql(begin_with)

    return engine


def _close(*engines: sa.Engine) -> None:
    for engine in engines:
        engine.dispose()


def _own(url: sa.URL) -> dict[str, Any]:
    """What the address itself says of these, as it may."""
    return {name: url.query[name] for name in ("connect_timeout", "application_name") if name in url.query}
