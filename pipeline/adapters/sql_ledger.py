"""The ledger in SQL tables of its own, through SQLAlchemy Core; SQLite for now.

The chain is per registry. Triggers refuse UPDATE and DELETE on events and evidence: they stop accidents, not whoever
owns the file. For that there are the hashes, and the checkpoints in a file beside the database.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

from pipeline.adapters.ledger_check import CHECKED, ChainCheck, read_checkpoint
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
    FIRST_HASH,
    Event,
    EventType,
    SlotState,
    StoredEvent,
    chain,
    digest_of,
    fold,
    iso,
)
from pipeline.governance.lifecycle import Slot
from pipeline.governance.ports import Clock


class RegistryId(Protocol):
    """Which registry's chain this is; reading must not choose one."""

    def known(self) -> str | None:
        """None where no id was chosen yet: then the ledger holds nothing about the registry."""

    def keep(self) -> str:
        """Choose one where there is none."""


OF_REGISTRY = EVENTS.c.registry == sa.bindparam("registry")
NEWEST = sa.select(EVENTS.c.sequence, EVENTS.c.hash).where(OF_REGISTRY).order_by(EVENTS.c.sequence.desc()).limit(1)
OF_KEY = sa.select(EVENTS).where(OF_REGISTRY, EVENTS.c.key == sa.bindparam("wanted"))
BASELINE = (
    sa.select(EVENTS)
    .where(OF_REGISTRY, EVENTS.c.model == sa.bindparam("wanted"), EVENTS.c.type == EventType.BASELINE.value)
    .order_by(EVENTS.c.sequence)
    .limit(1)
)
SLOT_KEY = ("registry", "model", "kind", "name")
IS_SLOT = sa.and_(*(SLOTS.c[name] == sa.bindparam(f"of_{name}") for name in SLOT_KEY))
SLOT, CHANGE_SLOT = sa.select(SLOTS).where(IS_SLOT), SLOTS.update().where(IS_SLOT)


class SqlTransaction:
    """One open transaction that holds the write lock."""

    def __init__(self, connection: sa.Connection, registry: str) -> None:
        self._connection, self._registry = connection, registry

    def slot(self, slot: Slot) -> SlotState | None:
        row = self._connection.execute(SLOT, self._key(slot)).first()
        return None if row is None else slot_state(row)

    def find_key(self, key: str) -> StoredEvent | None:
        row = self._connection.execute(OF_KEY, {"registry": self._registry, "wanted": key}).first()
        return None if row is None else stored_event(row)

    def has_baseline(self, model: str) -> bool:
        return self._connection.execute(BASELINE, {"registry": self._registry, "wanted": model}).first() is not None

    def append(self, event: Event) -> StoredEvent:
        last = self._connection.execute(NEWEST, {"registry": self._registry}).first()
        sequence, previous_hash = (last.sequence, last.hash) if last else (0, FIRST_HASH)
        stored = chain(event, sequence + 1, previous_hash)
        row = {
            "registry": self._registry,
            "sequence": stored.sequence,
            "previous_hash": stored.previous_hash,
            "hash": stored.hash,
            "body": stored.body,
            "type": event.type.value,
            "model": event.model,
            "decision": event.decision,
            "key": event.key,
        }
        self._connection.execute(EVENTS.insert(), row)
        for change in event.changes:
            before = self.slot(change.slot)
            after = fold(before or SlotState.initial(change.slot), event, change)
            self._keep(change.slot, after, new=before is None)
        return stored

    def _keep(self, slot: Slot, state: SlotState, *, new: bool) -> None:
        since = None if state.since is None else iso(state.since)
        values = {**state._asdict(), "since": since}
        if new:
            key = dict(zip(SLOT_KEY, (self._registry, *slot), strict=True))
            self._connection.execute(SLOTS.insert(), {**key, **values})
        else:
            self._connection.execute(CHANGE_SLOT, {**self._key(slot), **values})

    def _key(self, slot: Slot) -> dict[str, str]:
        return {f"of_{name}": value for name, value in zip(SLOT_KEY, (self._registry, *slot), strict=True)}


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
        self._reading = sqlite_engine(url)
        self._writing = self._reading.execution_options(begin="BEGIN IMMEDIATE")
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

    def baseline(self, model: str) -> StoredEvent | None:
        with self._connection() as connection:
            row = connection.execute(BASELINE, {"registry": self._id(), "wanted": model}).first()
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
        check = ChainCheck(dict(self._checkpoints()))
        with self._connection() as connection:
            rows = connection.execution_options(yield_per=2_000).execute(
                sa.select(*CHECKED).where(OF_REGISTRY).order_by(EVENTS.c.sequence), {"registry": self._id()}
            )
            for row in rows:
                check.look(row)
            held = connection.execute(sa.select(SLOTS).where(SLOTS.c.registry == self._id())).all()
            evidence = connection.execution_options(yield_per=50).execute(sa.select(EVIDENCE))
            digests = {row.sha256: digest_of(row.body) for row in evidence}
        slots = {Slot(row.model, row.kind, row.name): slot_state(row) for row in held}
        return [*check.problems(slots), *check.evidence_problems(digests), *self._broken_checkpoints()]

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
        for line in self._checkpoint_lines():
            kept = read_checkpoint(line)
            if kept is not None and kept["registry"] == self._id():
                yield int(kept["sequence"]), str(kept["hash"])

    def _broken_checkpoints(self) -> list[str]:
        lines = self._checkpoint_lines()
        return [f"checkpoint file: a line cannot be read ({each[:80]})" for each in lines if not read_checkpoint(each)]

    def _checkpoint_lines(self) -> list[str]:
        with translated():
            return (
                self.checkpoint_file.read_text(encoding="utf-8").splitlines() if self.checkpoint_file.exists() else []
            )

    @contextmanager
    def _connection(self, *, write: bool = False) -> Iterator[sa.Connection]:
        with translated():
            self._prepare()
            with (self._writing if write else self._reading).begin() as connection:
                yield connection

    def _prepare(self) -> None:
        """Make the tables, once per process; two processes at the same time wait for each other."""
        if self._ready:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._writing.begin() as connection:
            METADATA.create_all(connection)
            for table in APPEND_ONLY:
                for verb in ("UPDATE", "DELETE"):
                    connection.exec_driver_sql(
                        f"CREATE TRIGGER IF NOT EXISTS {table.name}_no_{verb.lower()} BEFORE {verb} ON {table.name} "
                        "BEGIN SELECT raise(abort, 'the ledger is append-only'); END"
                    )
        self._ready = True
