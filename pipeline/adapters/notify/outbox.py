"""The outbox in the ledger's database: a row per event of which somebody has not been told."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa

from pipeline.adapters.ledger.tables import OUTBOX, moment
from pipeline.governance.ports import Notice
from pipeline.governance.record.ledger import StoredEvent, iso

OF_REGISTRY = OUTBOX.c.registry == sa.bindparam("registry")
WAITING = sa.select(OUTBOX).where(OF_REGISTRY).order_by(OUTBOX.c.sequence)
DUE = WAITING.where(OUTBOX.c.due <= sa.bindparam("now")).limit(1)
ONE = sa.and_(OUTBOX.c.registry == sa.bindparam("of_registry"), OUTBOX.c.sequence == sa.bindparam("of_sequence"))


class OpenedForReading(Protocol):
    """A connection, and whether the tables are those of this version."""

    @property
    def connection(self) -> sa.Connection: ...

    @property
    def current(self) -> bool: ...


@dataclass(frozen=True)
class SqlOutbox:
    """Implements Outbox over the connections of a ledger."""

    registry: Callable[[], str]
    read: Callable[[], AbstractContextManager[OpenedForReading]]
    write: Callable[[], AbstractContextManager[sa.Connection]]

    def notices(self) -> list[Notice]:
        with self.read() as opened:
            rows = opened.connection.execute(WAITING, {"registry": self.registry()}).all() if opened.current else []
        return [_notice(row) for row in rows]

    def claim(self, now: datetime, until: datetime) -> Notice | None:
        wanted = {"registry": self.registry(), "now": iso(now)}
        with self.read() as opened:
            if not opened.current or opened.connection.execute(DUE, wanted).first() is None:
                return None
        with self.write() as connection:
            row = connection.execute(DUE, wanted).first()
            if row is None:
                return None
            connection.execute(OUTBOX.update().where(ONE).values(due=iso(until)), self._key(row.sequence))
            return _notice(row)

    def keep(self, notice: Notice) -> None:
        values = {
            "due": iso(notice.due),
            "attempts": notice.attempts,
            "delivered": json.dumps(notice.delivered),
            "failure": notice.failure,
        }
        with self.write() as connection:
            connection.execute(OUTBOX.update().where(ONE).values(values), self._key(notice.sequence))

    def remove(self, sequence: int) -> None:
        with self.write() as connection:
            connection.execute(OUTBOX.delete().where(ONE), self._key(sequence))

    def _key(self, sequence: int) -> dict[str, Any]:
        return {"of_registry": self.registry(), "of_sequence": sequence}


def to_be_told(registry: str, stored: StoredEvent) -> dict[str, Any]:
    """The row of an event that was appended just now: due at once."""
    return {
        "registry": registry,
        "sequence": stored.sequence,
        "due": iso(stored.event.at),
        "attempts": 0,
        "delivered": "[]",
        "failure": "",
    }


def _notice(row: sa.Row[Any]) -> Notice:
    return Notice(
        sequence=row.sequence,
        due=moment(row.due, "outbox"),
        attempts=row.attempts,
        delivered=tuple(json.loads(row.delivered)),
        failure=row.failure,
    )
