"""What each database says in its own words: the time, what stands in an event's text, which tables there are."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

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


SQLITE: dict[type[FunctionElement[Any]], str] = {
    DatabaseTime: "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')",
    DaysPending: "julianday('now') - julianday(ledger_slot.pending_since)",
    SubjectVersion: "CASE WHEN typeof(body) = 'text' AND json_valid(body) "
    "THEN json_extract(body, '$.subject.version') END",
    EventStamp: "CASE WHEN typeof(body) = 'text' AND json_valid(body) THEN json_extract(body, '$.at') END",
}
POSTGRES: dict[type[FunctionElement[Any]], str] = {
    DatabaseTime: """to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')""",
    DaysPending: "EXTRACT(EPOCH FROM clock_timestamp() - ledger_slot.pending_since::timestamptz)::float / 86400",
    SubjectVersion: "ledger_subject_version(body)",
    EventStamp: "ledger_event_stamp(body)",
}


@compiles(DatabaseTime, "sqlite")
@compiles(DaysPending, "sqlite")
@compiles(SubjectVersion, "sqlite")
@compiles(EventStamp, "sqlite")
def _in_sqlite(element: FunctionElement[Any], _compiler: Compiler, **_options: object) -> str:
    return SQLITE[type(element)]


@compiles(DatabaseTime, "postgresql")
@compiles(DaysPending, "postgresql")
@compiles(SubjectVersion, "postgresql")
@compiles(EventStamp, "postgresql")
def _in_postgres(element: FunctionElement[Any], _compiler: Compiler, **_options: object) -> str:
    return POSTGRES[type(element)].replace("%", "%%")


TABLES = {
    "sqlite": sa.text("SELECT name FROM sqlite_master WHERE type = 'table'"),
    "postgresql": sa.text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"),
}


def table_names(connection: sa.Connection) -> set[str]:
    """Every table of the database, or of the schema that the address names."""
    return set(connection.scalars(TABLES[connection.dialect.name]))
