"""The ledger in SQL tables of its own, through SQLAlchemy Core; SQLite for now.

The chain is per registry. Triggers refuse UPDATE and DELETE on events and evidence: they stop accidents, not whoever
owns the file. For that there are the hashes, and the checkpoints in a file beside the database.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from pipeline.adapters.sql_tables import (
    APPEND_ONLY,
    EVENTS,
    EVIDENCE,
    METADATA,
    SLOTS,
    slot_state,
    sqlite_engine,
    stored_event,
    translated,
)
from pipeline.governance.errors import InvalidInput, NotFound
from pipeline.governance.ledger import (
    Event,
    EventType,
    SlotState,
    StoredEvent,
    chain,
    chain_problems,
    fold,
    iso,
    replay,
)
from pipeline.governance.lifecycle import Slot
from pipeline.governance.ports import Clock


class RegistryId(Protocol):
    """Which registry's chain this is; reading must not choose one."""

    def known(self) -> str | None:
        """None where no id was chosen yet: then the ledger holds nothing about the registry."""

    def keep(self) -> str:
        """Choose one where there is none."""


class SqlTransaction:
    """One open transaction that holds the write lock."""

    def __init__(self, connection: sa.Connection, registry: str) -> None:
        self._connection, self._registry = connection, registry

    def slot(self, slot: Slot) -> SlotState | None:
        row = self._connection.execute(sa.select(SLOTS).where(self._is(slot))).first()
        return None if row is None else slot_state(row)

    def find_key(self, key: str) -> StoredEvent | None:
        row = self._connection.execute(self._events().where(EVENTS.c.key == key)).first()
        return None if row is None else stored_event(row)

    def has_baseline(self, model: str) -> bool:
        found = self._events().where(EVENTS.c.model == model, EVENTS.c.type == EventType.BASELINE.value)
        return self._connection.execute(found.limit(1)).first() is not None

    def append(self, event: Event) -> StoredEvent:
        last = self._connection.execute(self._events().order_by(EVENTS.c.sequence.desc()).limit(1)).first()
        stored = chain(event, None if last is None else stored_event(last))
        copies = {"type": event.type.value, "model": event.model, "decision": event.decision, "key": event.key}
        row = {
            "registry": self._registry,
            "sequence": stored.sequence,
            "previous_hash": stored.previous_hash,
            "hash": stored.hash,
            "body": stored.body,
        }
        self._connection.execute(EVENTS.insert().values(**row, **copies))
        for change in event.changes:
            before = self.slot(change.slot) or SlotState.initial(change.slot)
            self._keep(change.slot, fold(before, event, change))
        return stored

    def _keep(self, slot: Slot, state: SlotState) -> None:
        values = {
            "recorded": state.recorded,
            "generation": state.generation,
            "pending": state.pending,
            "drift": state.drift,
            "observed": state.observed,
            "since": None if state.since is None else iso(state.since),
        }
        changed = self._connection.execute(SLOTS.update().where(self._is(slot)).values(values))
        if changed.rowcount == 0:
            key = {"registry": self._registry, "model": slot.model, "kind": slot.kind, "name": slot.name}
            self._connection.execute(SLOTS.insert().values({**key, **values}))

    def _events(self) -> sa.Select[Any]:
        return sa.select(EVENTS).where(EVENTS.c.registry == self._registry)

    def _is(self, slot: Slot) -> sa.ColumnElement[bool]:
        return sa.and_(
            SLOTS.c.registry == self._registry,
            SLOTS.c.model == slot.model,
            SLOTS.c.kind == slot.kind,
            SLOTS.c.name == slot.name,
        )


class SqlLedger:
    """The chain of one registry; implements the port Ledger. The tables are made at the first use."""

    def __init__(self, url: str, *, registry: RegistryId, clock: Clock) -> None:
        """Raises InvalidInput for a database other than SQLite."""
        try:
            parsed = sa.make_url(url)
        except sa.exc.ArgumentError as error:
            raise InvalidInput("SIGNOFF_LEDGER_URL: is not a database URL such as sqlite:////path/ledger.db") from error
        if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
            raise InvalidInput("SIGNOFF_LEDGER_URL: only SQLite files are supported, such as sqlite:////path/ledger.db")
        self._file = Path(parsed.database)
        self._registry, self._clock = registry, clock
        self._engine = sqlite_engine(url)
        self._ready = False

    def _id(self) -> str:
        return self._registry.known() or ""

    @property
    def checkpoint_file(self) -> Path:
        """One JSON line per applied decision; copy it to where the database's owner cannot write."""
        return self._file.with_suffix(".checkpoints.jsonl")

    @contextmanager
    def transaction(self) -> Iterator[SqlTransaction]:
        registry = self._registry.keep()
        with self._connection(write=True) as connection:
            yield SqlTransaction(connection, registry)

    def events(self, *, model: str | None = None, after: int = 0) -> Iterator[StoredEvent]:
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.sequence > after)
        if model is not None:
            wanted = wanted.where(EVENTS.c.model == model)
        with self._connection() as connection:
            rows = connection.execution_options(yield_per=1_000).execute(wanted.order_by(EVENTS.c.sequence))
            for row in rows:
                yield stored_event(row)

    def last(self, model: str) -> StoredEvent | None:
        wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id(), EVENTS.c.model == model)
        with self._connection() as connection:
            row = connection.execute(wanted.order_by(EVENTS.c.sequence.desc()).limit(1)).first()
        return None if row is None else stored_event(row)

    def models(self) -> list[str]:
        with self._connection() as connection:
            wanted = sa.select(EVENTS.c.model).where(EVENTS.c.registry == self._id()).distinct()
            return sorted(connection.scalars(wanted))

    def slots(self, model: str) -> dict[Slot, SlotState]:
        wanted = sa.select(SLOTS).where(SLOTS.c.registry == self._id(), SLOTS.c.model == model)
        with self._connection() as connection:
            return {Slot(row.model, row.kind, row.name): slot_state(row) for row in connection.execute(wanted)}

    def put_evidence(self, sha256: str, body: str) -> None:
        with self._connection(write=True) as connection:
            if connection.execute(sa.select(EVIDENCE.c.sha256).where(EVIDENCE.c.sha256 == sha256)).first() is None:
                connection.execute(EVIDENCE.insert().values(sha256=sha256, body=body))

    def evidence(self, sha256: str) -> str:
        with self._connection() as connection:
            body = connection.scalar(sa.select(EVIDENCE.c.body).where(EVIDENCE.c.sha256 == sha256))
        if body is None:
            raise NotFound(f"evidence: the ledger holds none with the digest {sha256}")
        return str(body)

    def problems(self) -> list[str]:
        with self._connection() as connection:
            wanted = sa.select(EVENTS).where(EVENTS.c.registry == self._id()).order_by(EVENTS.c.sequence)
            rows = connection.execute(wanted).all()
            slots = connection.execute(sa.select(SLOTS).where(SLOTS.c.registry == self._id())).all()
        events, unreadable = _read_events(rows)
        return [
            *chain_problems((row.sequence, row.previous_hash, row.hash, row.body) for row in rows),
            *unreadable,
            *_slot_problems(events, slots),
            *_checkpoint_problems(self._checkpoints(), {row.sequence: row.hash for row in rows}),
        ]

    def keep_checkpoint(self) -> None:
        wanted = sa.select(EVENTS.c.sequence, EVENTS.c.hash).where(EVENTS.c.registry == self._id())
        with self._connection() as connection:
            newest = connection.execute(wanted.order_by(EVENTS.c.sequence.desc()).limit(1)).first()
        if newest is None:
            return
        kept = {"registry": self._id(), "sequence": newest.sequence, "hash": newest.hash}
        line = json.dumps({**kept, "at": iso(self._clock.now())}) + "\n"
        with translated(), self.checkpoint_file.open("a", encoding="utf-8") as file:
            file.write(line)

    def _checkpoints(self) -> Iterator[tuple[int, str]]:
        if not self.checkpoint_file.exists():
            return
        for line in self.checkpoint_file.read_text(encoding="utf-8").splitlines():
            try:
                kept = json.loads(line)
                if kept["registry"] == self._id():
                    yield int(kept["sequence"]), str(kept["hash"])
            except (ValueError, KeyError, TypeError):
                yield -1, line[:80]

    @contextmanager
    def _connection(self, *, write: bool = False) -> Iterator[sa.Connection]:
        with translated():
            self._prepare()
            begin = "BEGIN IMMEDIATE" if write else "BEGIN"
            with self._engine.execution_options(begin=begin).begin() as connection:
                yield connection

    def _prepare(self) -> None:
        """Make the tables, once per process; two processes at the same time wait for each other."""
        if self._ready:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
            METADATA.create_all(connection)
            for table in APPEND_ONLY:
                for verb in ("UPDATE", "DELETE"):
                    connection.exec_driver_sql(
                        f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
                        "BEGIN SELECT raise(abort, 'the ledger is append-only'); END"
                    )
        self._ready = True


def _read_events(rows: Sequence[sa.Row[Any]]) -> tuple[list[Event], list[str]]:
    events, problems = [], []
    for row in rows:
        try:
            event = Event.from_body(row.body)
        except (ValueError, KeyError, TypeError):
            problems.append(f"event {row.sequence}: cannot be read")
            continue
        copied = (event.type.value, event.model, event.decision, event.key)
        if copied != (row.type, row.model, row.decision, row.key):
            problems.append(f"event {row.sequence}: its columns differ from its body")
        events.append(event)
    return events, problems


def _slot_problems(events: list[Event], rows: Sequence[sa.Row[Any]]) -> Iterator[str]:
    replayed = replay(events)
    held = {Slot(row.model, row.kind, row.name): slot_state(row) for row in rows}
    for slot in sorted({*replayed, *held}):
        if replayed.get(slot) != held.get(slot):
            yield f"slot {slot.label} of {slot.model!r}: is not what replaying the events gives"


def _checkpoint_problems(checkpoints: Iterator[tuple[int, str]], hashes: Mapping[int, str]) -> Iterator[str]:
    for sequence, kept in checkpoints:
        if sequence < 0:
            yield f"checkpoint file: a line cannot be read ({kept})"
        elif sequence not in hashes:
            yield f"event {sequence}: is in a checkpoint and was cut off"
        elif hashes[sequence] != kept:
            yield f"event {sequence}: differs from its checkpoint"
