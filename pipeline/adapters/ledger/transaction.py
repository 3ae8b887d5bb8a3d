"""Appending to the ledger in one transaction: the event, the slots that it changes, and what still counts after it."""

from collections.abc import Collection

import sqlalchemy as sa

from pipeline.adapters.ledger.people import put_token, tokens_of
from pipeline.adapters.ledger.standing import OF_REGISTRY, SqlStanding
from pipeline.adapters.ledger.tables import EVENTS, OUTBOX, SLOT_COLUMNS, SLOTS, DatabaseTime, slot_state, stored_event
from pipeline.adapters.notify.outbox import to_be_told
from pipeline.governance.lifecycle import Slot
from pipeline.governance.record.ledger import FIRST_HASH, Event, EventType, SlotState, StoredEvent, chain, fold, iso
from pipeline.governance.tokens import TokenRecord

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
SLOT, CHANGE_SLOT = sa.select(*SLOT_COLUMNS).where(IS_SLOT), SLOTS.update().where(IS_SLOT)
PENDING_FROM_NOW = SLOTS.update().where(IS_SLOT).values(pending_since=DatabaseTime())
PENDING_NO_MORE = SLOTS.update().where(IS_SLOT).values(pending_since=None)


class SqlTransaction:
    """One open transaction that holds the write lock."""

    def __init__(self, connection: sa.Connection, registry: str, told: Collection[str] = ()) -> None:
        """told: the types of events that go to the outbox."""
        self._connection, self._registry, self._told = connection, registry, told
        self._standing = SqlStanding(connection, registry)

    def slot(self, slot: Slot) -> SlotState | None:
        row = self._connection.execute(SLOT, self._key(slot)).first()
        return None if row is None else slot_state(row)

    def find_key(self, key: str) -> StoredEvent | None:
        row = self._connection.execute(OF_KEY, {"registry": self._registry, "wanted": key}).first()
        return None if row is None else stored_event(row)

    def has_baseline(self, model: str) -> bool:
        return self._connection.execute(BASELINE, {"registry": self._registry, "wanted": model}).first() is not None

    def issued_tokens(self) -> list[TokenRecord]:
        return tokens_of(self._connection, self._registry)

    def keep_token(self, token: TokenRecord) -> None:
        put_token(self._connection, self._registry, token)

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
            self._keep(change.slot, after, before)
        self._standing.follow(event, stored.sequence)
        if event.type in self._told:
            self._connection.execute(OUTBOX.insert(), to_be_told(self._registry, stored))
        return stored

    def _keep(self, slot: Slot, state: SlotState, before: SlotState | None) -> None:
        since = None if state.since is None else iso(state.since)
        values = {**state._asdict(), "since": since}
        if before is None:
            key = dict(zip(SLOT_KEY, (self._registry, *slot), strict=True))
            self._connection.execute(SLOTS.insert(), {**key, **values})
        else:
            self._connection.execute(CHANGE_SLOT, {**self._key(slot), **values})
        pending = None if before is None else before.pending
        if state.pending != pending:
            self._connection.execute(PENDING_FROM_NOW if state.pending else PENDING_NO_MORE, self._key(slot))

    def _key(self, slot: Slot) -> dict[str, str]:
        return {f"of_{name}": value for name, value in zip(SLOT_KEY, (self._registry, *slot), strict=True)}
