"""What the ledger tells: events for people, who was champion when, and what a time in the past looked like."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.governance.ledger import ENDS, Event, EventType, SlotChange, StoredEvent, former_champions, iso, replay
from pipeline.governance.lifecycle import CHAMPION, Slot

SETTLING = (EventType.BASELINE, EventType.APPLIED, EventType.DRIFT_ADOPTED, EventType.DRIFT_REVERTED)


@dataclass(frozen=True)
class Entry:
    """One event as a line of the history; `changes` are all its slots.

    before, after: the stage of the version where the move is about one, else the content of the slot that commits it.
    """

    sequence: int
    type: EventType
    at: datetime
    actor: str | None
    established: str | None
    reason: str | None
    model: str
    version: int | None
    slot: str | None
    before: str | None
    after: str | None
    evidence: str | None
    meaning: str | None
    why: str | None
    changes: tuple[SlotChange, ...] = ()
    content: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "type": self.type.value,
            "at": iso(self.at),
            "actor": self.actor,
            "reason": self.reason,
            "model": self.model,
            "version": self.version,
            "slot": self.slot,
            "from": self.before,
            "to": self.after,
            "evidence": self.evidence,
            "changes": [change.as_json() for change in self.changes],
        }


@dataclass(frozen=True)
class Period:
    """A version that was champion from one time to another (None: still is), and the event that made it so."""

    version: int
    start: datetime
    end: datetime | None
    sequence: int


@dataclass(frozen=True)
class Moment:
    """What the ledger says of a model at a time: the champion, and every stage other than None."""

    model: str
    at: datetime
    champion: int | None
    stages: Mapping[int, str]

    def as_json(self) -> dict[str, Any]:
        stages = {str(version): stage for version, stage in sorted(self.stages.items())}
        return {"model": self.model, "at": iso(self.at), "champion": self.champion, "stages": stages}


@dataclass(frozen=True)
class GateCount:
    """How many gates of a version's last decision passed, and how many warned or were only noted."""

    passed: int
    failed: int


def entry(stored: StoredEvent) -> Entry:
    event, content = stored.event, stored.event.content
    actor: Mapping[str, Any] = content.get("actor") or {}
    subject: Mapping[str, Any] = content.get("subject") or {}
    shown = _shown_change(event, subject)
    return Entry(
        sequence=stored.sequence,
        type=event.type,
        at=event.at,
        actor=actor.get("subject"),
        established=actor.get("established"),
        reason=content.get("reason"),
        model=event.model,
        version=_version(event, subject, shown),
        slot=shown.slot.label if shown else None,
        before=shown.expected if shown else None,
        after=_after(event, shown) if shown else content.get("to"),
        evidence=content.get("evidence"),
        meaning=content.get("meaning"),
        why=content.get("why"),
        changes=event.changes,
        content=content,
    )


def one_line_each(entries: Sequence[Entry]) -> list[Entry]:
    """For people: an intent that has ended is left out, because its end says the same."""
    ended = {entry.content.get("intent") for entry in entries if entry.type in ENDS}
    return [entry for entry in entries if entry.sequence not in ended]


def _shown_change(event: Event, subject: Mapping[str, Any]) -> SlotChange | None:
    """Of a promotion, the version's own stage: the alias that commits it says the same from the model's side."""
    own = (
        each for each in event.changes if each.slot.kind == "stage" and each.slot.name == str(subject.get("version"))
    )
    return next(own, event.changes[0] if event.changes else None)


def _version(event: Event, subject: Mapping[str, Any], shown: SlotChange | None) -> int | None:
    """Of an adopted change the version that moved; the subject that it quotes is the champion, whose files count."""
    if event.type is not EventType.DRIFT_ADOPTED or shown is None:
        return subject.get("version")
    moved = shown.slot.name if shown.slot.kind == "stage" else shown.to
    return None if moved is None else int(moved)


def _after(event: Event, change: SlotChange) -> str | None:
    """Drift tells what was seen; everything else what was asked for."""
    return change.observed if event.type in (EventType.DRIFT, EventType.CONFLICT) else change.to


def moment(model: str, events: Iterable[Event], at: datetime) -> Moment:
    """The recorded state at a time: an intent counts only once it was applied."""
    slots = replay(event for event in events if event.at <= at and event.type in SETTLING)
    champion = slots.get(Slot.of_alias(model, CHAMPION))
    stages = {
        int(slot.name): held.recorded
        for slot, held in slots.items()
        if slot.kind == "stage" and held.recorded not in (None, "None")
    }
    number = champion.recorded if champion else None
    return Moment(model, at, None if number is None else int(number), {k: str(v) for k, v in stages.items()})


def champion_periods(model: str, events: Iterable[StoredEvent]) -> list[Period]:
    """Oldest first; a period ends where the next one starts or where the alias was removed."""
    slot = Slot.of_alias(model, CHAMPION)
    periods: list[Period] = []
    for stored in events:
        change = next((each for each in stored.event.changes if each.slot == slot), None)
        if change is None or stored.event.type not in SETTLING:
            continue
        held = periods[-1] if periods and periods[-1].end is None else None
        if held and change.to == str(held.version):
            continue
        if held:
            periods[-1] = Period(held.version, held.start, stored.event.at, held.sequence)
        if change.to is not None:
            periods.append(Period(int(change.to), stored.event.at, None, stored.sequence))
    return periods


def gate_counts(events: Iterable[Event]) -> dict[tuple[int, str | None], GateCount]:
    """By version and its creation time, for a number is given out again after a deletion."""
    found: dict[tuple[int, str | None], GateCount] = {}
    for event in events:
        subject: Mapping[str, Any] = event.content.get("subject") or {}
        gates, version = event.content.get("gates"), subject.get("version")
        if event.type is EventType.DECIDED and gates and isinstance(version, int):
            passed = sum(bool(gate["passed"]) for gate in gates)
            found[version, subject.get("created_at")] = GateCount(passed, len(gates) - passed)
    return found


def rollback_target(model: str, events: Iterable[Event]) -> int | None:
    """The version that was champion before the present one; None where there was none."""
    stack = former_champions(events, Slot.of_alias(model, CHAMPION))
    return stack[-2][0] if len(stack) > 1 else None
