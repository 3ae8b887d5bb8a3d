"""The ledger in SQL tables of its own, through SQLAlchemy Core, on SQLite or PostgreSQL.

The chain is per registry. Triggers refuse UPDATE and DELETE on events and evidence: they stop accidents, not whoever
owns the file. For that there are the hashes, and the checkpoints in a file beside the database.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's too

from pipeline.adapters.ledger.check import ChainCheck, LedgerCheck
from pipeline.adapters.ledger.checkpoints import CheckpointFile
from pipeline.adapters.ledger.database import open_database
from pipeline.adapters.ledger.people import SqlNames, SqlTokens
from pipeline.adapters.ledger.schema import (
    FIRST,
    HEAD,
    check_known,
    empty_engine,
    load_alembic,
    make_writable,
    revision_of,
)
from pipeline.adapters.ledger.standing import (
    OF_REGISTRY,
    champion_events,
    marked_events,
    newest_first,
    open_request_events,
    replayed,
    without_credentials,
)
from pipeline.adapters.ledger.tables import (
    BUSY_SECONDS,
    EVENTS,
    EVIDENCE,
    REGISTRIES,
    SLOT_COLUMNS,
    SLOTS,
    DatabaseTime,
    DaysPending,
    EventStamp,
    SubjectVersion,
    listed_event,
    moment,
    slot_state,
    stored_event,
    translated,
)
from pipeline.adapters.ledger.transaction import BASELINE, NEWEST, SqlTransaction
from pipeline.adapters.notify.outbox import SqlOutbox
from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.lifecycle import Slot
from pipeline.governance.ports import Clock, KeptCheckpoint, KnownRegistry, PendingDecision, Upgrade
from pipeline.governance.record.checkpoint import ChainCheckpoint, CheckpointKey, Signing
from pipeline.governance.record.ledger import (
    EventType,
    SlotState,
    StoredEvent,
    Topic,
    UnreadableEvent,
    iso,
    stored_names,
)
from pipeline.governance.record.standing import LedgerStanding, is_about, newest_of


class RegistryId(Protocol):
    """Which registry's chain this is; reading must not choose one."""

    def known(self) -> str | None:
        """The registry's id; None where none was chosen yet: then the ledger holds nothing about it."""

    def keep(self) -> str:
        """The registry's id, chosen where there is none."""


A_PAGE, MANY = 100, 1_000  # rows that are read at a time, where some may be taken or all
NOTE_REGISTRY = insert(REGISTRIES).on_conflict_do_nothing()
NO_TIME = timedelta()
# One step of the index each: DISTINCT would read every event.
MODELS = sa.text(
    "WITH RECURSIVE held(model) AS (SELECT min(model) FROM ledger_event WHERE registry = :registry AND model > '' "
    "UNION ALL SELECT (SELECT min(model) FROM ledger_event WHERE registry = :registry AND model > held.model) "
    "FROM held WHERE held.model IS NOT NULL) SELECT model FROM held WHERE model IS NOT NULL"
)
PENDING = sa.select(SLOTS.c.pending).where(SLOTS.c.registry == sa.bindparam("registry"), SLOTS.c.pending.is_not(None))
OF_DECISION = (
    sa.select(EVENTS).where(OF_REGISTRY, EVENTS.c.decision == sa.bindparam("wanted")).order_by(EVENTS.c.sequence)
)


class Opened(NamedTuple):
    """A connection for reading."""

    connection: sa.Connection  # reads one snapshot
    revision: str  # of the tables
    there: bool = True  # whether there is a ledger

    @property
    def current(self) -> bool:
        """Whether the tables are those of this version."""
        return self.revision == HEAD

    def rows(self, wanted: sa.Select[Any] | sa.CompoundSelect[Any], at_once: int) -> sa.CursorResult[Any]:
        """The rows as they are taken; to be closed before the connection is, by whoever takes only some."""
        return self.connection.execute(wanted, execution_options={"yield_per": at_once})


class SqlLedger:
    """The chain of one registry; implements the port Ledger. The tables are made, or upgraded, at the first write."""

    def __init__(
        self,
        url: str,
        *,
        registry: RegistryId,
        clock: Clock,
        address: str = "",
        busy_seconds: float = BUSY_SECONDS,
        checkpoint_file: Path | None = None,
        signing: Signing | None = None,
        told: Collection[str] = (),
    ) -> None:
        """address: where the registry is. checkpoint_file: None for the one that goes with the database.
        told: the types of events that go to the outbox.

        Raises InvalidInput for a database that is neither SQLite nor PostgreSQL.
        """
        self._database = open_database(url, busy_seconds=busy_seconds)
        file = checkpoint_file or self._database.checkpoint_file
        self._checkpoints = CheckpointFile(file, signing or Signing())
        self._registry, self._clock = registry, clock
        self._address, self._busy_seconds = without_credentials(address), busy_seconds
        self._empty = empty_engine()
        self._noted, self._told = not address, told
        self.tokens = SqlTokens(self._read, self._write, self._id)
        self.outbox = SqlOutbox(self._id, self._read, self._write)
        self.names = SqlNames(self._read, self._write)

    def _id(self) -> str:
        return self._registry.known() or ""

    @property
    def address(self) -> str:
        return self._address

    @property
    def checkpoint_file(self) -> Path:
        """One JSON line per applied decision; copy it to where the database's owner cannot write."""
        return self._checkpoints.file

    def registry(self) -> str | None:
        return self._registry.known()

    def exists(self) -> bool:
        with self._read() as opened:
            return opened.there

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        self._check_writable()  # before an id is kept in a registry about which nothing could be recorded
        registry = self._registry.keep()
        with self._write() as connection:
            if not self._noted:
                note = {"registry": registry, "address": self._address, "first_seen": iso(self._clock.now())}
                connection.execute(NOTE_REGISTRY, note)
            yield SqlTransaction(connection, registry, self._told)
        self._noted = True

    def events(self, *, model: str | None = None, after: int = 0) -> Iterator[StoredEvent]:
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.sequence > after)
        if model is not None:
            wanted = wanted.where(EVENTS.c.model == model)
        with self._read() as opened, opened.rows(wanted.order_by(EVENTS.c.sequence), MANY) as rows:
            yield from map(stored_event, rows)

    def page(
        self,
        model: str | None = None,
        *,
        before: int | None = None,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> Iterator[StoredEvent | UnreadableEvent]:
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id())
        if before is not None:
            wanted = wanted.where(EVENTS.c.sequence < before)
        kinds = None if only is None else sorted({*stored_names(only)} - {*stored_names(without)})
        with self._read() as opened, opened.rows(newest_first(wanted, model, kinds, without=without), A_PAGE) as rows:
            yield from map(listed_event, rows)

    def open_requests(self, model: str | None = None) -> list[StoredEvent]:
        with self._read() as opened:
            rows = opened.connection.execute(open_request_events(self._id(), model))
            return [each for each in map(listed_event, rows) if isinstance(each, StoredEvent)]

    def about(self, model: str, version: int) -> Iterator[StoredEvent]:
        of_model = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.model == model)
        with self._read() as opened:
            if not opened.current:
                rows = opened.connection.execute(of_model.order_by(EVENTS.c.sequence.desc()))
                yield from (each for each in map(stored_event, rows) if is_about(each.event, version))
                return
            touched = marked_events(self._id(), model, Topic.TOUCHED, version=version).order_by(None)
            wanted = sa.union_all(of_model.where(SubjectVersion() == version), touched)
            with opened.rows(wanted.order_by(wanted.selected_columns.sequence.desc()), A_PAGE) as rows:
                yield from map(stored_event, rows)

    def current(self, model: str, topic: Topic, version: int | None = None) -> list[StoredEvent]:
        with self._read() as opened:
            if opened.current:
                return _stored(opened, marked_events(self._id(), model, topic, version=version))
            return self._numbered(opened, self._replayed(opened, model).sequences(model, topic, version))

    def champions(self, model: str, newest: int | None = None) -> list[StoredEvent]:
        with self._read() as opened:
            if opened.current:
                return _stored(opened, champion_events(self._id(), model, newest, stack=False))[::-1]
            return newest_of(self._numbered(opened, self._replayed(opened, model).periods(model)), newest)

    def former_champions(self, model: str, newest: int | None = None) -> list[StoredEvent]:
        with self._read() as opened:
            if opened.current:
                return _stored(opened, champion_events(self._id(), model, newest, stack=True))[::-1]
            stack = [row.sequence for row in self._replayed(opened, model).stack(model)]
            return newest_of(self._numbered(opened, stack), newest)

    def _replayed(self, opened: Opened, model: str) -> LedgerStanding:
        """What still counts, from all events of the model: of tables that are older or later than this version."""
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.model == model)
        with opened.rows(wanted.order_by(EVENTS.c.sequence), MANY) as rows:
            return replayed((row.sequence, stored_event(row).event) for row in rows)

    def _numbered(self, opened: Opened, sequences: list[int]) -> list[StoredEvent]:
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.sequence == sa.bindparam("number"))
        return [stored_event(opened.connection.execute(wanted, {"number": each}).one()) for each in sequences]

    def count(self) -> int:
        with self._read() as opened:
            wanted = sa.select(sa.func.count()).select_from(EVENTS).where(EVENTS.c.registry == self._id())
            return opened.connection.scalar(wanted) or 0

    def last(self, model: str) -> StoredEvent | None:
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.model == model)
        with self._read() as opened:
            row = opened.connection.execute(wanted.order_by(EVENTS.c.sequence.desc()).limit(1)).first()
        return None if row is None else stored_event(row)

    def baseline(self, model: str) -> StoredEvent | None:
        with self._read() as opened:
            row = opened.connection.execute(BASELINE, {"registry": self._id(), "wanted": model}).first()
        return None if row is None else stored_event(row)

    def models(self) -> list[str]:
        with self._read() as opened:
            return sorted(opened.connection.scalars(MODELS, {"registry": self._id()}))

    def registries(self) -> list[KnownRegistry]:
        wanted = sa.select(REGISTRIES).order_by(REGISTRIES.c.first_seen, REGISTRIES.c.address, REGISTRIES.c.registry)
        with self._read() as opened:
            rows = opened.connection.execute(wanted).all() if opened.revision != FIRST else []
        return [_known_registry(row) for row in rows]

    def pending(self, model: str | None = None) -> list[PendingDecision]:
        found: dict[str, PendingDecision] = {}
        with self._read() as opened:
            age = DaysPending() if opened.revision != FIRST else sa.null()
            slots = PENDING.add_columns(age.label("days"), DatabaseTime().label("now"))
            if model is not None:
                slots = slots.where(SLOTS.c.model == model)
            for row in opened.connection.execute(slots, {"registry": self._id()}).all():
                about = opened.connection.execute(OF_DECISION, {"registry": self._id(), "wanted": row.pending})
                intent = next((each for each in about if each.type == EventType.DECIDED.value), None)
                if intent is not None:
                    found[row.pending] = _pending(intent, row)
        return sorted(found.values(), key=lambda each: each.sequence)

    def slots(self, model: str) -> dict[Slot, SlotState]:
        wanted = sa.select(*SLOT_COLUMNS).where(SLOTS.c.registry == self._id(), SLOTS.c.model == model)
        with self._read() as opened:
            return {Slot(row.model, row.kind, row.name): slot_state(row) for row in opened.connection.execute(wanted)}

    def put_evidence(self, sha256: str, body: str) -> None:
        with self._write() as connection:
            if connection.execute(sa.select(EVIDENCE.c.sha256).where(EVIDENCE.c.sha256 == sha256)).first() is None:
                connection.execute(EVIDENCE.insert().values(sha256=sha256, body=body))

    def evidence(self, sha256: str) -> str:
        with self._read() as opened:
            body = opened.connection.scalar(sa.select(EVIDENCE.c.body).where(EVIDENCE.c.sha256 == sha256))
        if body is None:
            raise NotFound(f"evidence: the ledger holds none with the digest {sha256}")
        return str(body)

    def problems(self, checkpoints: Sequence[Path] = ()) -> list[str]:
        registry = self._id()
        recorded = self._checkpoints.read(registry, checkpoints)
        try:
            with self._read() as opened:
                there, current = opened.there, opened.current
            if not there:
                newest = max(recorded.hashes, default=None)
                cut = [] if newest is None else [f"event {newest}: is in a checkpoint, and there is no ledger"]
                return [*cut, *recorded.problems]
            check = ChainCheck(recorded.hashes, own_file=self._database.one_host)
            with self._database.stored_rows() as rows:
                found = LedgerCheck(rows, registry, check).problems(standing=current)
        except Unavailable as error:
            found = [str(error)]
        return [*found, *recorded.problems]

    def unprotected(self) -> str | None:
        if not self.exists() or self.checkpoint_file.exists():
            return None
        return (
            f"there is no checkpoint file {self.checkpoint_file.name} beside the ledger: whoever owns the ledger could "
            "have written it anew or cut off its end, and nothing would show it"
        )

    def stamps(self) -> Iterator[tuple[int, datetime]]:
        stamps = sa.select(EVENTS.c.sequence, EventStamp().label("at")).where(EVENTS.c.registry == self._id())
        stamps = stamps.order_by(EVENTS.c.sequence)
        with self._read() as opened, opened.rows(stamps, MANY) as rows:
            for row in rows:
                with suppress(ValueError, TypeError):  # `problems` says what cannot be read
                    yield row.sequence, datetime.fromisoformat(row.at).astimezone(UTC)

    def keep_checkpoint(self) -> None:
        with self._write() as connection:  # the ledger's lock is the file's too
            newest = connection.execute(NEWEST, {"registry": self._id()}).first()
            if newest is None:
                return
            at = iso(self._clock.now())
            self._checkpoints.keep(ChainCheckpoint(self._id(), newest.sequence, newest.hash, at))

    def kept_checkpoints(self, elsewhere: Sequence[Path] = ()) -> list[KeptCheckpoint]:
        with translated():
            kept = self._checkpoints.lines(self._id(), elsewhere)
            return [KeptCheckpoint(each.sequence, line) for line, each in kept.items()]

    def checkpoint_keys(self) -> tuple[CheckpointKey, ...]:
        return self._checkpoints.signing.keys

    def upgrade(self, *, new: bool = False) -> Upgrade:
        before = self._check_writable()
        if before is None and not new:
            raise NotFound(
                f"ledger: there is none at {self._database.place}; the first decision makes it, or ledger upgrade --new"
            )
        with self._write():
            return Upgrade(before, HEAD)

    def close(self) -> None:
        """Close the connections that wait for the next use; a later one opens its own."""
        self._database.reading.dispose()
        self._database.writing.dispose()

    @contextmanager
    def _read(self) -> Iterator[Opened]:
        """A connection that cannot write; to an empty ledger where there is none."""
        with translated(self._busy_seconds):
            if self._database.may_exist():
                with self._database.reading.begin() as connection:
                    if (revision := revision_of(connection)) is not None:
                        yield Opened(connection, revision)
                        return
            with self._empty.begin() as connection:
                yield Opened(connection, HEAD, there=False)

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with translated(self._busy_seconds), self._database.writing.begin() as connection:
            make_writable(connection)
            yield connection

    def _check_writable(self) -> str | None:
        """The revision before the first write, None where there is no ledger. Raises Unavailable for a later one."""
        with self._read() as opened:
            found = opened.revision if opened.there else None
        check_known(found)
        if found != HEAD:
            load_alembic()
        return found


def _pending(intent: sa.Row[Any], slot: sa.Row[Any]) -> PendingDecision:
    """The pending decision, aged by its own stamp where the database's time was not recorded."""
    event = stored_event(intent).event
    age = datetime.fromisoformat(slot.now) - event.at if slot.days is None else timedelta(days=slot.days)
    return PendingDecision(intent.sequence, event.model, slot.pending, event.at, max(age, NO_TIME))


def _known_registry(row: sa.Row[Any]) -> KnownRegistry:
    first_seen = moment(row.first_seen, "list of registries")
    if type(row.address) is not str or type(row.registry) is not str:
        raise Unavailable("the ledger's list of registries cannot be read; run verify")
    return KnownRegistry(row.address, row.registry, first_seen)


def _stored(opened: Opened, wanted: sa.Select[Any]) -> list[StoredEvent]:
    return [stored_event(row) for row in opened.connection.execute(wanted)]
