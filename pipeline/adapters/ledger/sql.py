"""The ledger in SQL tables of its own, through SQLAlchemy Core; SQLite for now.

The chain is per registry. Triggers refuse UPDATE and DELETE on events and evidence: they stop accidents, not whoever
owns the file. For that there are the hashes, and the checkpoints in a file beside the database.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from pipeline.adapters.ledger.check import LedgerCheck, append_line, checkpoints_of, read_checkpoint, read_lines
from pipeline.adapters.ledger.schema import (
    FIRST,
    HEAD,
    careful_connection,
    check_known,
    empty_engine,
    load_alembic,
    make_writable,
    reading_engine,
    revision_of,
    writing_engine,
)
from pipeline.adapters.ledger.standing import (
    OF_REGISTRY,
    champion_events,
    marked_events,
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
    SUBJECT_VERSION,
    listed_event,
    moment,
    slot_state,
    stored_event,
    translated,
)
from pipeline.adapters.ledger.transaction import BASELINE, DATABASE_TIME, NEWEST, SqlTransaction
from pipeline.governance.errors import InvalidInput, NotFound, Unavailable
from pipeline.governance.lifecycle import Slot
from pipeline.governance.ports import Clock, KeptCheckpoint, KnownRegistry, PendingDecision, Upgrade
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


# By SQLite's own parser: reading 100,000 events as values takes ten times as long.
STAMPS = (
    sa.select(
        EVENTS.c.sequence,
        sa.literal_column("CASE WHEN typeof(body) = 'text' AND json_valid(body) THEN json_extract(body, '$.at') END"),
    )
    .where(OF_REGISTRY)
    .order_by(EVENTS.c.sequence)
)
DAYS_PENDING: sa.ColumnElement[float] = sa.literal_column("julianday('now') - julianday(ledger_slot.pending_since)")
NOTE_REGISTRY = sqlite_insert(REGISTRIES).on_conflict_do_nothing()
NO_TIME = timedelta()
# One step of the index each: DISTINCT would read every event.
MODELS = sa.text(
    "WITH RECURSIVE held(model) AS (SELECT min(model) FROM ledger_event WHERE registry = :registry UNION ALL "
    "SELECT (SELECT min(model) FROM ledger_event WHERE registry = :registry AND model > held.model) FROM held "
    "WHERE held.model IS NOT NULL) SELECT model FROM held WHERE model IS NOT NULL"
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


class SqlLedger:
    """The chain of one registry; implements the port Ledger. The tables are made, or upgraded, at the first write."""

    def __init__(
        self, url: str, *, registry: RegistryId, clock: Clock, address: str = "", busy_seconds: float = BUSY_SECONDS
    ) -> None:
        """address: where the registry is. Raises InvalidInput for a database other than SQLite."""
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise InvalidInput("SIGNOFF_LEDGER_URL: is not a database URL such as sqlite:////path/ledger.db") from error
        is_file = parsed.get_backend_name() == "sqlite" and not parsed.host
        if not is_file or not parsed.database or parsed.database == ":memory:":
            raise InvalidInput("SIGNOFF_LEDGER_URL: only SQLite files are supported, such as sqlite:////path/ledger.db")
        self._file = Path(parsed.database)
        self._registry, self._clock = registry, clock
        self._address, self._busy_seconds = without_credentials(address), busy_seconds
        self._reading = reading_engine(self._file, busy_seconds=busy_seconds)
        self._writing = writing_engine(self._file, busy_seconds=busy_seconds)
        self._empty = empty_engine()
        self._noted = not address

    def _id(self) -> str:
        return self._registry.known() or ""

    @property
    def address(self) -> str:
        return self._address

    @property
    def checkpoint_file(self) -> Path:
        """One JSON line per applied decision; copy it to where the database's owner cannot write."""
        return self._file.with_suffix(".checkpoints.jsonl")

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
            yield SqlTransaction(connection, registry)
        self._noted = True

    def events(self, *, model: str | None = None, after: int = 0) -> Iterator[StoredEvent]:
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.sequence > after)
        if model is not None:
            wanted = wanted.where(EVENTS.c.model == model)
        with self._read() as opened:
            rows = opened.connection.execution_options(yield_per=1_000).execute(wanted.order_by(EVENTS.c.sequence))
            for row in rows:
                yield stored_event(row)

    def page(
        self,
        model: str | None = None,
        *,
        before: int | None = None,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> Iterator[StoredEvent | UnreadableEvent]:
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.type.not_in(stored_names(without)))
        if model is not None:
            wanted = wanted.where(EVENTS.c.model == model)
        if before is not None:
            wanted = wanted.where(EVENTS.c.sequence < before)
        if only is not None:
            wanted = wanted.where(EVENTS.c.type.in_(stored_names(only)))
        with self._read() as opened:
            for row in opened.connection.execute(wanted.order_by(EVENTS.c.sequence.desc())):
                yield listed_event(row)

    def about(self, model: str, version: int) -> Iterator[StoredEvent]:
        of_model = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.model == model)
        with self._read() as opened:
            if not opened.current:
                rows = opened.connection.execute(of_model.order_by(EVENTS.c.sequence.desc()))
                yield from (each for each in map(stored_event, rows) if is_about(each.event, version))
                return
            touched = marked_events(self._id(), model, Topic.TOUCHED, version=version).order_by(None)
            wanted = sa.union_all(of_model.where(SUBJECT_VERSION == version), touched)  # noqa: SIM300 (a column)
            for row in opened.connection.execute(wanted.order_by(wanted.selected_columns.sequence.desc())):
                yield stored_event(row)

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
        rows = opened.connection.execution_options(yield_per=1_000).execute(wanted.order_by(EVENTS.c.sequence))
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
            return list(opened.connection.scalars(MODELS, {"registry": self._id()}))

    def registries(self) -> list[KnownRegistry]:
        wanted = sa.select(REGISTRIES).order_by(REGISTRIES.c.first_seen, REGISTRIES.c.address, REGISTRIES.c.registry)
        with self._read() as opened:
            rows = opened.connection.execute(wanted).all() if opened.revision != FIRST else []
        return [_known_registry(row) for row in rows]

    def pending(self, model: str | None = None) -> list[PendingDecision]:
        found: dict[str, PendingDecision] = {}
        with self._read() as opened:
            age = DAYS_PENDING if opened.revision != FIRST else sa.null()
            slots = PENDING.add_columns(age.label("days"), DATABASE_TIME.label("now"))
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
        lines, unread = [], []
        try:
            lines = read_lines(self.checkpoint_file)
        except OSError as error:
            unread.append(f"checkpoint file: cannot be read ({error.strerror})")
        registry = self._id()
        for file in checkpoints:
            copied = _lines_of(file)
            if not checkpoints_of(copied, registry):
                unread.append(f"checkpoint file {file}: holds nothing of this registry")
            lines += copied
        recorded = checkpoints_of(lines, registry)
        broken = [
            f"checkpoint file: a line cannot be read ({each[:80]})" for each in lines if not read_checkpoint(each)
        ]
        try:
            with self._read() as opened:
                there, current = opened.there, opened.current
            if not there:
                cut = [f"event {max(recorded)}: is in a checkpoint, and there is no ledger"] if recorded else []
                return [*cut, *unread, *broken]
            with closing(careful_connection(self._file, busy_seconds=self._busy_seconds)) as connection:
                found = LedgerCheck(connection, registry, recorded).problems(standing=current)
        except Unavailable as error:
            found = [str(error)]
        return [*found, *unread, *broken]

    def unprotected(self) -> str | None:
        if not self.exists() or self.checkpoint_file.exists():
            return None
        return (
            f"there is no checkpoint file {self.checkpoint_file.name} beside the ledger: whoever owns the ledger could "
            "have written it anew or cut off its end, and nothing would show it"
        )

    def stamps(self) -> Iterator[tuple[int, datetime]]:
        with self._read() as opened:
            for sequence, at in opened.connection.execute(STAMPS, {"registry": self._id()}):
                with suppress(ValueError, TypeError):  # `problems` says what cannot be read
                    yield sequence, datetime.fromisoformat(at).astimezone(UTC)

    def keep_checkpoint(self) -> None:
        with self._write() as connection:  # the ledger's lock is the file's too
            newest = connection.execute(NEWEST, {"registry": self._id()}).first()
            if newest is None:
                return
            checkpoint = {"registry": self._id(), "sequence": newest.sequence, "hash": newest.hash}
            append_line(self.checkpoint_file, json.dumps({**checkpoint, "at": iso(self._clock.now())}))

    def kept_checkpoints(self) -> list[KeptCheckpoint]:
        with translated():
            lines, registry = read_lines(self.checkpoint_file), self._id()
        pairs = ((line, read_checkpoint(line)) for line in lines)
        return [
            KeptCheckpoint(found["sequence"], line) for line, found in pairs if found and found["registry"] == registry
        ]

    def upgrade(self) -> Upgrade:
        before = self._check_writable()
        if before is None:
            raise NotFound(f"ledger: there is none at {self._file}; the first decision makes it")
        with self._write():
            return Upgrade(before, HEAD)

    @contextmanager
    def _read(self) -> Iterator[Opened]:
        """A connection that cannot write; to an empty ledger where there is none."""
        with translated(self._busy_seconds):
            if self._file.exists():
                with self._reading.begin() as connection:
                    if (revision := revision_of(connection)) is not None:
                        yield Opened(connection, revision)
                        return
            with self._empty.begin() as connection:
                yield Opened(connection, HEAD, there=False)

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with translated(self._busy_seconds), self._writing.begin() as connection:
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


def _lines_of(file: Path) -> list[str]:
    """The lines of a checkpoint file from elsewhere. Raises NotFound and InvalidInput."""
    if not file.exists():
        raise NotFound(f"checkpoint: there is no file {file}")
    try:
        return read_lines(file)
    except OSError as error:
        raise InvalidInput(f"checkpoint: {file} cannot be read ({error.strerror})") from error
