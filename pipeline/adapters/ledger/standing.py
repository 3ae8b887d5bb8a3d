"""Which events still count, in tables: followed with each event, read instead of a replay, rebuilt by an upgrade."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's too

from pipeline.adapters.ledger.tables import (
    CHAMPIONS,
    EVENTS,
    MARKS,
    SLOTS,
    UNREADABLE,
    MadeDecision,
    SignedRequest,
    stored_event,
)
from pipeline.governance.record.ledger import Event, EventType, Topic, stored_names
from pipeline.governance.record.requests import CLOSED_BY, SIGNED
from pipeline.governance.record.standing import (
    ChampionHeld,
    ChampionRow,
    LedgerStanding,
    TopicMark,
    champion_step,
    marks,
    touched_marks,
)

OF_REGISTRY = EVENTS.c.registry == sa.bindparam("registry")
MARK_KEY = ("registry", "model", "topic", "version", "created_at")
MARKED = sa.select(EVENTS).join(
    MARKS,
    sa.and_(
        EVENTS.c.registry == MARKS.c.registry,
        EVENTS.c.sequence == MARKS.c.sequence,
        *(MARKS.c[name] == sa.bindparam(name) for name in MARK_KEY),
    ),
)
NEW_MARK = insert(MARKS)
FIRST_MARK = NEW_MARK.on_conflict_do_nothing()
LAST_MARK = NEW_MARK.on_conflict_do_update(index_elements=MARK_KEY, set_={"sequence": NEW_MARK.excluded.sequence})
OF_MODEL = sa.and_(CHAMPIONS.c.registry == sa.bindparam("of_registry"), CHAMPIONS.c.model == sa.bindparam("of_model"))
NEWEST_PERIOD = (
    sa.select(CHAMPIONS.c.version)
    .where(OF_MODEL, CHAMPIONS.c.period == sa.true())
    .order_by(CHAMPIONS.c.sequence.desc())
    .limit(1)
)
TOP = (
    sa.select(CHAMPIONS.c.depth, CHAMPIONS.c.version)
    .where(OF_MODEL, CHAMPIONS.c.depth.is_not(None))
    .order_by(CHAMPIONS.c.depth.desc())
    .limit(1)
)
DEPTH_OF = sa.select(sa.func.min(CHAMPIONS.c.depth)).where(OF_MODEL, CHAMPIONS.c.version == sa.bindparam("of_version"))
ABOVE = sa.and_(OF_MODEL, CHAMPIONS.c.depth > sa.bindparam("cut"))
FORGET = CHAMPIONS.delete().where(ABOVE, CHAMPIONS.c.period == sa.false())
CUT = CHAMPIONS.update().where(ABOVE).values(depth=None)


class SqlStanding:
    """The marks and champions of one registry, inside a transaction that holds the write lock."""

    def __init__(self, connection: sa.Connection, registry: str) -> None:
        self._connection, self._registry = connection, registry

    def follow(self, event: Event, sequence: int) -> None:
        for mark in marks(event, self._marked):
            statement = FIRST_MARK if mark.topic is Topic.NUMBER else LAST_MARK
            self._connection.execute(statement, mark_row(self._registry, mark, sequence))
        if touched := touched_marks(event, sequence):
            self._connection.execute(NEW_MARK, [mark_row(self._registry, mark, sequence) for mark in touched])
        if any(change.slot.kind == "alias" for change in event.changes):
            self._follow_champion(event, sequence)

    def _marked(self, mark: TopicMark) -> Event | None:
        row = self._connection.execute(MARKED, {**mark._asdict(), "registry": self._registry}).first()
        return None if row is None else stored_event(row).event

    def _follow_champion(self, event: Event, sequence: int) -> None:
        key = {"of_registry": self._registry, "of_model": event.model}
        top = self._connection.execute(TOP, key).first()
        champion = self._connection.scalar(NEWEST_PERIOD, key)
        before = ChampionHeld(champion, top.depth, top.version) if top else ChampionHeld(champion)
        step = champion_step(
            event,
            sequence,
            before=before,
            depth_of=lambda version: self._connection.scalar(DEPTH_OF, {**key, "of_version": version}),
        )
        if step.cut is not None:
            self._connection.execute(FORGET, {**key, "cut": step.cut})
            self._connection.execute(CUT, {**key, "cut": step.cut})
        if step.row is not None:
            self._connection.execute(CHAMPIONS.insert(), champion_row(self._registry, event.model, step.row))


def mark_row(registry: str, mark: TopicMark, sequence: int) -> dict[str, Any]:
    return {"registry": registry, **mark._asdict(), "topic": mark.topic.value, "sequence": sequence}


def champion_row(registry: str, model: str, row: ChampionRow) -> dict[str, Any]:
    return {"registry": registry, "model": model, **row._asdict()}


def rebuild(connection: sa.Connection) -> None:
    """From the events alone; those that cannot be read are left out, `verify` names them."""
    connection.execute(MARKS.delete())
    connection.execute(CHAMPIONS.delete())
    for registry in connection.scalars(sa.select(EVENTS.c.registry).distinct()).all():
        standing = replayed(_readable(connection, registry))
        found = [mark_row(registry, mark, sequence) for mark, sequence in standing.marks.items()]
        champions = [
            champion_row(registry, model, row) for model, rows in standing.champions.items() for row in rows.values()
        ]
        for table, rows in ((MARKS, found), (CHAMPIONS, champions)):
            if rows:
                connection.execute(table.insert(), rows)


def replayed(events: Iterator[tuple[int, Event]]) -> LedgerStanding:
    standing = LedgerStanding()
    for sequence, event in events:
        try:
            standing.follow(event, sequence)
        except UNREADABLE:
            continue
    return standing


def _readable(connection: sa.Connection, registry: str) -> Iterator[tuple[int, Event]]:
    wanted = sa.select(EVENTS.c.sequence, EVENTS.c.body).where(OF_REGISTRY).order_by(EVENTS.c.sequence)
    for row in connection.execution_options(yield_per=1_000).execute(wanted, {"registry": registry}):
        try:
            yield row.sequence, Event.from_body(row.body)
        except UNREADABLE:
            continue


def marked_events(registry: str, model: str, topic: Topic, *, version: int | None) -> sa.Select[Any]:
    """The events that still count for a topic, in order."""
    wanted = (
        sa.select(EVENTS)
        .join(MARKS, sa.and_(EVENTS.c.registry == MARKS.c.registry, EVENTS.c.sequence == MARKS.c.sequence))
        .where(MARKS.c.registry == registry, MARKS.c.model == model, MARKS.c.topic == topic.value)
        .order_by(EVENTS.c.sequence)
    )
    return wanted if version is None else wanted.where(MARKS.c.version == version)


def champion_events(registry: str, model: str, newest: int | None, *, stack: bool) -> sa.Select[Any]:
    """The events that began or ended a period, or those on the stack for a rollback, the newest first."""
    kept = CHAMPIONS.c.depth.is_not(None) if stack else CHAMPIONS.c.period == sa.true()
    order = CHAMPIONS.c.depth if stack else CHAMPIONS.c.sequence
    return (
        sa.select(EVENTS)
        .join(CHAMPIONS, sa.and_(EVENTS.c.registry == CHAMPIONS.c.registry, EVENTS.c.sequence == CHAMPIONS.c.sequence))
        .where(CHAMPIONS.c.registry == registry, CHAMPIONS.c.model == model, kept)
        .order_by(order.desc())
        .limit(newest)
    )


def newest_first(
    wanted: sa.Select[Any], model: str | None, kinds: Sequence[str] | None, *, without: Collection[str]
) -> sa.Select[Any] | sa.CompoundSelect[Any]:
    """Events in reverse order: of a model, of some types (None: all but `without`).

    The events of each type of a model stand in order in an index, and the lists are merged as they are read: otherwise
    the database would go through all events of the model where those of a type are rare.
    """
    if model is not None:
        wanted = wanted.where(EVENTS.c.model == model)
    if kinds is None:
        wanted = wanted.where(EVENTS.c.type.not_in(stored_names(without)))
    elif model is None or not kinds:
        wanted = wanted.where(EVENTS.c.type.in_(kinds))
    else:
        merged = sa.union_all(*(wanted.where(EVENTS.c.type == kind) for kind in kinds))
        return merged.order_by(merged.selected_columns.sequence.desc())
    return wanted.order_by(EVENTS.c.sequence.desc())


def open_request_events(registry: str, model: str | None) -> sa.Select[Any]:
    """What was signed on the way of each request that has not ended, in order.

    The database looks for them in the texts of the signatures: of requests that have ended no text leaves it.
    """
    of_model = [EVENTS.c.registry == registry, *([] if model is None else [EVENTS.c.model == model])]
    of_type = EVENTS.c.type.in_
    requested, signed = of_type([EventType.REQUESTED.value]), of_type([each.value for each in SIGNED])
    pending = sa.select(SLOTS.c.pending).where(SLOTS.c.registry == registry, SLOTS.c.pending.is_not(None))
    # Nothing at all is not among no decisions either: an approval that others follow ends nothing.
    has_ended = sa.and_(MadeDecision().is_not(None), MadeDecision().not_in(pending))
    ends = sa.or_(of_type([each.value for each in CLOSED_BY]), has_ended)
    ended = sa.select(SignedRequest()).where(*of_model, signed, ends, SignedRequest().is_not(None))
    wanted = sa.select(EVENTS.c.sequence).where(*of_model, requested, EVENTS.c.sequence.not_in(ended)).cte("open")
    numbers = sa.select(wanted.c.sequence)
    of_open = sa.or_(sa.and_(requested, EVENTS.c.sequence.in_(numbers)), sa.and_(signed, SignedRequest().in_(numbers)))
    first = sa.select(sa.func.min(wanted.c.sequence)).scalar_subquery()  # what is older is about none of them
    return sa.select(EVENTS).where(*of_model, EVENTS.c.sequence >= first, of_open).order_by(EVENTS.c.sequence)


# An address as it may be kept and shown: one spelling, and nothing secret.

# A password may hold an @ or a / as it is; where it cannot be told from a host, rather the host goes.
CREDENTIALS = re.compile(r"[^:/?#@]*(:.*)?@")
QUERY = re.compile(r"[?#][\w.-]+=.*$|[?#][^@]*$")


def without_credentials(address: str) -> str:
    """Without user, password, driver and query; of a local file the whole path."""
    scheme, separator, rest = address.partition("://")
    scheme = scheme.lower().partition("+")[0]
    if not separator:
        return f"file://{Path(address.removeprefix('file:')).resolve()}" if address else ""
    if scheme == "sqlite":
        return f"sqlite:///{Path(rest.partition('?')[0].removeprefix('/')).resolve()}"
    if scheme == "file":
        return f"file://{Path(rest.removeprefix('localhost')).resolve()}"
    place = QUERY.sub("", rest)
    secret = CREDENTIALS.match(place)
    host, slash, path = place[secret.end() if secret else 0 :].partition("/")
    return f"{scheme}://{host.lower()}{slash}{path}".rstrip("/")
