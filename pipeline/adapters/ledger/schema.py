"""Which revision a ledger's tables have, and bringing them up to this version's."""

import importlib
from typing import Any

import sqlalchemy as sa

from pipeline.adapters.ledger.standing import rebuild
from pipeline.adapters.ledger.tables import EVENTS, METADATA, VERSION_TABLE, table_names
from pipeline.governance.errors import Unavailable
from pipeline.governance.record.ledger import EventType, stored_names

FIRST, HEAD = "0001", "0007"
KNOWN = (FIRST, "0002", "0003", "0004", "0005", "0006", HEAD)
UPGRADE_SECONDS = 600  # until one statement of it is answered
REVISION = sa.select(sa.table(VERSION_TABLE, sa.column("version_num")).c.version_num)
# The distinct types, one step of the index each: DISTINCT would read every event.
TYPES = sa.text(
    "WITH RECURSIVE held(type) AS (SELECT min(type) FROM ledger_event UNION ALL "
    "SELECT (SELECT min(type) FROM ledger_event WHERE type > held.type) FROM held WHERE held.type IS NOT NULL) "
    "SELECT type FROM held WHERE type IS NOT NULL"
)


def empty_engine() -> sa.Engine:
    """A ledger without events in memory: what reading finds where there is no ledger."""
    engine = sa.create_engine("sqlite://", poolclass=sa.pool.StaticPool, connect_args={"check_same_thread": False})
    METADATA.create_all(engine)
    return engine


def revision_of(connection: sa.Connection) -> str | None:
    """The revision of the tables; None where there is no ledger. Without a version table they are the first."""
    names = table_names(connection)
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


def prepare_upgrade(connection: sa.Connection) -> None:
    """Raises Unavailable for a database of PostgreSQL that cannot hold every text; waits longer for what follows."""
    if (encoding := connection.scalar(sa.text("SELECT current_setting('server_encoding')"))) != "UTF8":
        raise Unavailable(f"ledger: its database has the encoding {encoding}; make one with ENCODING 'UTF8'")
    opened: Any = connection.connection.driver_connection
    opened.answer_seconds = UPGRADE_SECONDS


def load_alembic() -> None:
    """Imports Alembic before the write lock is taken: it takes half a second, for which nobody should wait."""
    importlib.import_module("alembic.command")


def _upgrade(connection: sa.Connection, revision: str | None) -> None:
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        prepare_upgrade(connection)
    config = Config()
    config.set_main_option("script_location", "pipeline.adapters.ledger:migrations")
    config.attributes["connection"] = connection
    if revision == FIRST and not sa.inspect(connection).has_table(VERSION_TABLE):
        command.stamp(config, FIRST)
    command.upgrade(config, "head")
    rebuild(connection)
