"""Where a ledger's tables are: a file of SQLite on one host, or a PostgreSQL server that several hosts share."""

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from pipeline.governance.errors import InvalidInput

SETTING = "SIGNOFF_LEDGER_URL"
FORMS = "sqlite:////path/FILE.db or postgresql+psycopg://USER@HOST/DATABASE"
DRIVERS = ("postgresql", "postgresql+psycopg")  # the first means the second since SQLAlchemy 2.1


class RowsUnreadable(Exception):
    """What the database says when it cannot give rows that `verify` asks for."""

    def __init__(self, why: str, *, no_table: bool = False) -> None:
        super().__init__(why)
        self.no_table = no_table  # whether there is no such table


class StoredRows(Protocol):
    """Rows as they lie in the tables, for reading what may be damaged."""

    def read(self, statement: str, *values: object) -> Iterator[Sequence[Any]]:
        """The rows of a SELECT, one after the other; `?` stands for a value. Raises RowsUnreadable, at any row."""

    def damaged_pages(self) -> Iterator[str]:
        """What the database finds in its own pages, where it can be asked."""


class LedgerDatabase(Protocol):
    """A place for the ledger's tables, opened for reading and for writing."""

    place: str  # for messages: without user and password
    checkpoint_file: Path  # where checkpoints are kept unless somebody says otherwise
    one_host: bool  # whether every decision is made on this host, so that its checkpoint file has them all
    reading: sa.Engine  # transactions that see one snapshot and write nothing
    writing: sa.Engine  # transactions that begin with the write lock

    def may_exist(self) -> bool:
        """Whether there is anything to open; opening for reading makes nothing."""

    def stored_rows(self) -> AbstractContextManager[StoredRows]:
        """Raises Unavailable."""


def prepare_threads() -> None:
    """Imports the part of SQLAlchemy that the ledger does not use and MLflow does, before several threads ask at once.

    Statements of one thread fail while another one is importing it: it registers what is not yet complete.
    """
    import sqlalchemy.orm  # noqa: F401


def open_database(url: str, *, busy_seconds: float, setting: str = SETTING) -> LedgerDatabase:
    """Opens nothing yet. busy_seconds: how long to wait for the write lock. setting: what the address was given by.

    Raises InvalidInput for an address of another kind, and for PostgreSQL without its driver.
    """
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise InvalidInput(f"{setting}: is not a database URL such as {FORMS}") from error
    if parsed.get_backend_name() == "sqlite":
        return _sqlite_file(parsed, busy_seconds, setting)
    if parsed.drivername not in DRIVERS or not parsed.database:
        raise InvalidInput(f"{setting}: {parsed.drivername} is not supported, or no database is named; it is {FORMS}")
    if importlib.util.find_spec("psycopg") is None:
        raise InvalidInput(f"{setting}: PostgreSQL needs a driver; install it with pip install 'signoff[postgres]'")
    from pipeline.adapters.ledger.postgres import PostgresLedger

    return PostgresLedger(parsed.set(drivername="postgresql+psycopg"), busy_seconds=busy_seconds)


def _sqlite_file(parsed: sa.URL, busy_seconds: float, setting: str) -> LedgerDatabase:
    from pipeline.adapters.ledger.sqlite import SqliteLedger

    if parsed.host or not parsed.database or parsed.database == ":memory:":
        raise InvalidInput(f"{setting}: SQLite needs a file; it is {FORMS}")
    return SqliteLedger(Path(parsed.database), busy_seconds=busy_seconds)
