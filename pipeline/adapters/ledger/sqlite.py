"""A ledger in a file of SQLite: one host, nothing to set up."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from pipeline.adapters.ledger.database import RowsUnreadable
from pipeline.governance.errors import Unavailable

SOME = 5  # of what SQLite finds in its own pages


class SqliteLedger:
    """Implements LedgerDatabase."""

    one_host = True

    def __init__(self, file: Path, *, busy_seconds: float) -> None:
        self._file, self._busy_seconds = file, busy_seconds
        self.place = str(file)
        self.checkpoint_file = file.with_suffix(".checkpoints.jsonl")
        self.reading = self._engine(self._connect_reading, "BEGIN")
        # The write lock is taken at once: two that read first would deadlock.
        self.writing = self._engine(self._connect_writing, "BEGIN IMMEDIATE")

    def may_exist(self) -> bool:
        return self._file.exists()

    @contextmanager
    def stored_rows(self) -> Iterator["SqliteRows"]:
        """Text that is no UTF-8 comes with surrogates."""
        try:
            connection = self._connect_reading()
        except sqlite3.Error as error:
            raise Unavailable(f"the ledger cannot be used: {error}") from error
        connection.text_factory = methodcaller("decode", errors="surrogateescape")
        with closing(connection):
            yield SqliteRows(connection)

    def _engine(self, connect: Any, begin_with: str) -> sa.Engine:  # noqa: ANN401 (SQLAlchemy's own type is private)
        engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.pool.QueuePool)

        @sa.event.listens_for(engine, "begin")
        def begin(connection: sa.Connection) -> None:
            connection.exec_driver_sql(begin_with)

        return engine

    def _connect_writing(self) -> sqlite3.Connection:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        connection = self._connect("rwc")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # with NORMAL the last commits may be lost when the power fails
        return connection

    def _connect_reading(self) -> sqlite3.Connection:
        """A connection that writes nothing and makes no file that stays.

        SQLite makes two files beside a ledger in WAL mode while it is open. The last connection takes them away, unless
        it may not write; so it may, but no statement does. What a crash left there is not folded in by a reader.
        """
        log = self._file.with_name(f"{self._file.name}-wal")
        left = log.exists() and log.stat().st_size
        connection = self._connect("ro" if left else "rw")
        connection.execute("PRAGMA query_only=ON")
        # A text that is no UTF-8 is no end of the others; `verify` names it.
        connection.text_factory = partial(str, encoding="utf-8", errors="replace")
        return connection

    def _connect(self, mode: str) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(self._file))}?mode={mode}",
            uri=True,
            timeout=self._busy_seconds,
            check_same_thread=False,
            isolation_level=None,
        )


class SqliteRows:
    """Implements StoredRows."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def read(self, statement: str, *values: object) -> Iterator[Sequence[Any]]:
        try:
            yield from self._connection.execute(statement, values)
        except sqlite3.Error as error:
            raise RowsUnreadable(str(error), no_table="no such table" in str(error)) from error

    def damaged_pages(self) -> Iterator[str]:
        for (found,) in self.read(f"PRAGMA quick_check({SOME})"):
            if found != "ok":
                yield found
