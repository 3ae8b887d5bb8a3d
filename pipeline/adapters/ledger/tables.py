"""The ledger's tables as this version reads them, rows as values and foreign errors in our words.

`migrations` makes and upgrades them; a test holds the two together.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from pipeline.governance.errors import LedgerBusy, Unavailable
from pipeline.governance.record.ledger import Event, SlotState, StoredEvent, UnreadableEvent, event_type

BUSY_SECONDS = 5
VERSION_TABLE = "ledger_version"
LOCKED = ("55P03", "40001", "40P01")  # PostgreSQL's: the lock was not had in time, or two waited for each other
NUMBER = re.compile(r"[0-9]{1,18}")
METADATA = sa.MetaData()
EVENTS = sa.Table(
    "ledger_event",
    METADATA,
    sa.Column("registry", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("previous_hash", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    # Copies from the body, to search by; `problems` compares them with it.
    sa.Column("type", sa.String(20), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("decision", sa.String(64)),
    sa.Column("key", sa.Text),
    sa.UniqueConstraint("registry", "hash"),
    sa.UniqueConstraint("registry", "key"),
    sa.Index("ledger_event_of_model", "registry", "model", "sequence"),
    sa.Index("ledger_event_of_decision", "registry", "decision"),
    sa.Index("ledger_event_of_type", "type", "registry", "model", "sequence"),
)
SLOTS = sa.Table(
    "ledger_slot",
    METADATA,
    sa.Column("registry", sa.String(64), primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("kind", sa.String(5), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("recorded", sa.Text),
    sa.Column("generation", sa.Integer, nullable=False),
    sa.Column("pending", sa.String(64)),
    sa.Column("drift", sa.Boolean, key="out_of_band", nullable=False),
    sa.Column("observed", sa.Text),
    sa.Column("since", sa.String(32)),
    # By the database's clock, which is the same for every process; verify cannot replay it.
    sa.Column("pending_since", sa.String(32)),
)
REGISTRIES = sa.Table(
    "ledger_registry",
    METADATA,
    sa.Column("registry", sa.String(64), primary_key=True),
    sa.Column("address", sa.Text, primary_key=True),
    sa.Column("first_seen", sa.String(32), nullable=False),
)
EVIDENCE = sa.Table(
    "ledger_evidence",
    METADATA,
    sa.Column("sha256", sa.String(64), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)
MARKS = sa.Table(
    "ledger_mark",
    METADATA,
    sa.Column("registry", sa.String(64), primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("topic", sa.String(10), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("created_at", sa.String(32), primary_key=True),
    sa.Column("sequence", sa.Integer, nullable=False),
)
CHAMPIONS = sa.Table(
    "ledger_champion",
    METADATA,
    sa.Column("registry", sa.String(64), primary_key=True),
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("version", sa.Integer),
    sa.Column("period", sa.Boolean, nullable=False),
    sa.Column("depth", sa.Integer),
    sa.Index("ledger_champion_of_depth", "registry", "model", "depth"),
    sa.Index("ledger_champion_of_version", "registry", "model", "version", "depth"),
    sa.Index("ledger_champion_of_period", "registry", "model", "period", "sequence"),
)
OUTBOX = sa.Table(
    "ledger_outbox",
    METADATA,
    sa.Column("registry", sa.String(64), primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("due", sa.String(32), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("delivered", sa.Text, nullable=False),
    sa.Column("failure", sa.Text, nullable=False),
)
# Those of a slot in every revision.
SLOT_COLUMNS = tuple(column for column in SLOTS.c if column.name != "pending_since")


@contextmanager
def translated(busy_seconds: float = BUSY_SECONDS) -> Iterator[None]:
    """The database's errors in our words, without its SQL."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        if _was_given_up(error):
            return
        why = getattr(error, "orig", None) or type(error).__name__
        if is_locked(why):
            raise LedgerBusy(f"the ledger stayed locked for {busy_seconds:g} s; try again") from error
        raise Unavailable(f"the ledger cannot be used: {one_line(why)}") from error
    except UnicodeDecodeError as error:
        raise Unavailable("the ledger cannot be used: what it holds is not in UTF-8") from error


def _was_given_up(error: BaseException | None) -> bool:
    """Whether it happened while rows were closed that nobody wanted any more: whoever asked has what they asked for."""
    while error is not None and not isinstance(error, GeneratorExit):
        error = error.__context__
    return error is not None


def is_locked(why: object) -> bool:
    if isinstance(why, sqlite3.OperationalError):
        return "locked" in str(why)
    return getattr(why, "sqlstate", None) in LOCKED


def one_line(error: object) -> str:
    """A message of a server, which has several lines and tabs, and may have a hint."""
    return " ".join(str(error).split())


UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, RecursionError)


def listed_event(row: sa.Row[Any]) -> StoredEvent | UnreadableEvent:
    """For a list, of which one damaged event is no end."""
    try:
        return stored_event(row)
    except Unavailable:
        return UnreadableEvent(row.sequence, event_type(str(row.type)).value, str(row.model))


def stored_event(row: sa.Row[Any]) -> StoredEvent:
    try:
        event = Event.from_body(row.body)
    except UNREADABLE as error:
        raise Unavailable(f"the ledger's event {row.sequence} cannot be read; run verify") from error
    return StoredEvent(row.sequence, row.previous_hash, row.hash, row.body, event)


def slot_state(row: sa.Row[Any]) -> SlotState:
    since = None if row.since is None else moment(row.since, "slot")
    if type(row.generation) is not int or not _is_slot(row):
        raise Unavailable("the ledger's slot cannot be read; run verify")
    return SlotState(row.recorded, row.generation, row.pending, row.out_of_band, row.observed, since)


def _is_slot(row: sa.Row[Any]) -> bool:
    """A version is told by its number, and an alias holds one."""
    if type(row.name) is not str or row.kind not in ("alias", "stage"):
        return False
    numbers = (row.name,) if row.kind == "stage" else (row.recorded, row.observed)
    return all(each is None or NUMBER.fullmatch(str(each)) for each in numbers)


def moment(text: str, what: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except (ValueError, TypeError) as error:
        raise Unavailable(f"the ledger's {what} cannot be read; run verify") from error


# What each database says in its own words: the time, what stands in an event's text, which tables there are.

Compiler = Any  # SQLAlchemy's own type of it is not public


class DatabaseTime(FunctionElement[str]):
    """The database's clock, as text in ISO 8601 and UTC with milliseconds: the same for every process and host."""

    type = sa.String()
    inherit_cache = True


class DaysPending(FunctionElement[float]):
    """For how many days a decision is pending, by the database's clock; NULL where that was not recorded."""

    type = sa.Float()
    inherit_cache = True


class SubjectVersion(FunctionElement[int]):
    """The version that an event is about; NULL where there is none, or the text is damaged.

    An index is made of it: word for word as a query says it, for SQLite has to find it again.
    """

    type = sa.Integer()
    inherit_cache = True


class EventStamp(FunctionElement[str]):
    """The time of an event as its text has it; NULL where the text is damaged.

    By the database's own parser: reading 100,000 events as values takes ten times as long.
    """

    type = sa.String()
    inherit_cache = True


class SignedRequest(FunctionElement[int]):
    """The number of the request that an approval, rejection or withdrawal is about; NULL where the text is damaged."""

    type = sa.Integer()
    inherit_cache = True


class MadeDecision(FunctionElement[str]):
    """The decision that an approval has made, as the last one needed; NULL for one that others have to follow."""

    type = sa.String()
    inherit_cache = True


# PostgreSQL's parser raises at damaged text; in canonical JSON, with sorted keys and escaped quotes, these stand once.
SQLITE: dict[type[FunctionElement[Any]], str] = {
    DatabaseTime: "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    DaysPending: "julianday('now') - julianday(ledger_slot.pending_since)",
    SubjectVersion: "CASE WHEN typeof(body) = 'text' AND json_valid(body) "
    "THEN json_extract(body, '$.subject.version') END",
    EventStamp: "CASE WHEN typeof(body) = 'text' AND json_valid(body) THEN json_extract(body, '$.at') END",
    SignedRequest: "CASE WHEN typeof(body) = 'text' AND json_valid(body) THEN json_extract(body, '$.requested') END",
    MadeDecision: "CASE WHEN typeof(body) = 'text' AND json_valid(body) THEN json_extract(body, '$.decides') END",
}
POSTGRES: dict[type[FunctionElement[Any]], str] = {
    DatabaseTime: """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    DaysPending: "EXTRACT(EPOCH FROM clock_timestamp() - ledger_slot.pending_since::timestamptz)::float / 86400",
    SubjectVersion: "ledger_subject_version(body)",
    EventStamp: "ledger_event_stamp(body)",
    SignedRequest: """substring(body from '"requested":([0-9]{1,18})[,}]')::bigint""",
    MadeDecision: """substring(body from '"changes":\\[\\],"decides":"([^"]+)"')""",
}


@compiles(DatabaseTime, "sqlite")
@compiles(DaysPending, "sqlite")
@compiles(SubjectVersion, "sqlite")
@compiles(EventStamp, "sqlite")
@compiles(SignedRequest, "sqlite")
@compiles(MadeDecision, "sqlite")
def _in_sqlite(element: FunctionElement[Any], _compiler: Compiler, **_options: object) -> str:
    return SQLITE[type(element)]


@compiles(DatabaseTime, "postgresql")
@compiles(DaysPending, "postgresql")
@compiles(SubjectVersion, "postgresql")
@compiles(EventStamp, "postgresql")
@compiles(SignedRequest, "postgresql")
@compiles(MadeDecision, "postgresql")
def _in_postgres(element: FunctionElement[Any], _compiler: Compiler, **_options: object) -> str:
    return POSTGRES[type(element)].replace("%", "%%")


TABLES = {
    "sqlite": sa.text("SELECT name FROM sqlite_master WHERE type = 'table'"),
    "postgresql": sa.text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"),
}


def table_names(connection: sa.Connection) -> set[str]:
    """Every table of the database, or of the schema that the address names."""
    return set(connection.scalars(TABLES[connection.dialect.name]))
