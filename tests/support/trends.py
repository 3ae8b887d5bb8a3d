"""Registries whose versions have one metric, and events at minutes, for the trend of it."""

from datetime import datetime, timedelta
from typing import Any

from pipeline.governance.lifecycle import CHAMPION, Slot
from pipeline.governance.record.ledger import Event, EventType, SlotChange
from pipeline.governance.rules.trend import Trend
from support.desks import MODEL, OpenDesk, small_registry
from support.in_memory import EPOCH, InMemoryRegistry


def registry_of(*values: float | None, metric: str = "accuracy", spread: float = 0.02) -> InMemoryRegistry:
    """A version a minute with this value of the metric and an interval around it; None: without."""
    registry = small_registry(versions=0)
    for value in values:
        ends = {} if value is None else {f"{metric}_low": value - spread, f"{metric}_high": value + spread}
        registry.add_version(MODEL, metrics={} if value is None else {metric: value, **ends})
    return registry


def minute(number: float) -> datetime:
    return EPOCH + timedelta(minutes=number)


def happened(desk: OpenDesk, at: float, kind: EventType = EventType.APPLIED, **champion: Any) -> None:
    """An event at this minute. to: who is champion after it; created_at: when that version was registered."""
    changes: tuple[SlotChange, ...] = ()
    if "to" in champion:
        to = champion["to"]
        changes = (SlotChange(Slot.of_alias(MODEL, CHAMPION), None, None if to is None else str(to)),)
    subject = {"version": champion.get("to"), "created_at": champion.get("created_at")}
    with desk.ledger.transaction() as transaction:
        transaction.append(Event(kind, MODEL, minute(at), changes=changes, content={"subject": subject}))


def shown(desk: OpenDesk, metric: str = "accuracy", versions: tuple[int, int] | None = None) -> Trend:
    return desk.trend(MODEL, metric).shown(versions)
