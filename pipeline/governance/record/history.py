"""What the ledger tells: events for people, who was champion when, and what a time in the past looked like."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pipeline.governance.actor import signature
from pipeline.governance.lifecycle import CHAMPION, ModelState, Slot, Stage
from pipeline.governance.ports import ModelRecord, PendingDecision
from pipeline.governance.record.ledger import (
    ENDS,
    SEEN,
    Event,
    EventType,
    SlotChange,
    StoredEvent,
    UnknownType,
    UnreadableEvent,
    former_champions,
    iso,
    moved,
    replay,
    touched_versions,
)
from pipeline.governance.record.out_of_band import OutOfBandChange
from pipeline.governance.text import visible

NOT_READ = ("at", "actor", "established", "reason", "version", "slot", "before", "after", "evidence", "meaning")
UNREADABLE = UnknownType("unreadable")
SETTLING = (EventType.BASELINE, EventType.APPLIED, EventType.ADOPTED, EventType.REVERTED)


@dataclass(frozen=True)
class Entry:
    """One event as a line of the history."""

    sequence: int
    type: EventType | UnknownType
    at: datetime | None  # None for an event that cannot be read; then `why` says so
    actor: str | None  # None where nobody acted
    established: str | None  # how the identity of the actor was established
    reason: str | None
    model: str
    version: int | None
    slot: str | None  # the slot that `before` and `after` are about
    # The stage of the version where the move is about one, else the content of the slot that commits it.
    before: str | None
    after: str | None  # likewise, after the event
    evidence: str | None  # the digest of the evidence that was looked at
    meaning: str | None
    why: str | None  # why it was refused, or cannot be read
    changes: tuple[SlotChange, ...] = ()  # all its slots
    content: Mapping[str, Any] = field(default_factory=dict)  # the rest of the event, as stored
    name: str | None = None  # what the actor is called, where a table beside the chain knows it
    asker_name: str | None = None  # and whoever had asked for the move

    @property
    def number(self) -> int:
        """The number of the decision: the sequence of its `decided` event, whose end names it; else the event's own."""
        intent = self.content.get("intent")
        return intent if self.type in ENDS and type(intent) is int else self.sequence

    @property
    def moved(self) -> list[SlotChange]:
        """The changes that are any, of all that the event names."""
        return moved(self.type, self.changes)

    @property
    def signature(self) -> str | None:
        """Who, and how that was known; None where nobody acted."""
        return None if self.actor is None else signature(self.name or self.actor, self.established)

    @property
    def reference(self) -> str | None:
        """Under which the actor's name is kept beside the chain; None where the event itself has the name."""
        return _reference(self.content.get("actor"))

    @property
    def asker_reference(self) -> str | None:
        """The same of whoever had asked for the move."""
        return _reference(self.content.get("requested_by"))

    @property
    def created_at(self) -> str | None:
        """When its version was registered, as far as the event says so."""
        return _created_at(self.content, self.version)

    def is_about(self, version: int, created_at: str) -> bool:
        """About this very version: a number is given out again after a deletion.

        An event that holds the number alone is about whatever had it at the time.
        """
        if self.version != version:
            return False
        if self.created_at is None:
            return self.at is not None and iso(self.at) >= created_at
        return self.created_at == created_at

    def concerns(self, version: int, created_at: str) -> bool:
        """About this very version, or moving its stage, or an alias onto or away from it, since it is there."""
        if self.is_about(version, created_at):
            return True
        touched = version in touched_versions(self.type, self.changes)
        other = self.version == version and self.created_at is not None  # the same number, of another version
        return touched and not other and self.at is not None and iso(self.at) >= created_at

    def as_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "number": self.number,
            "type": self.type.value,
            "at": None if self.at is None else iso(self.at),
            "actor": self.actor,
            "established": self.established,
            "reason": self.reason,
            "model": self.model,
            "version": self.version,
            "created_at": self.created_at,
            "slot": self.slot,
            "from": self.before,
            "to": self.after,
            "evidence": self.evidence,
            "changes": [change.as_json() for change in self.changes],
        }


@dataclass(frozen=True)
class Period:
    """A version that was champion from one time to another, and the event that made it so."""

    version: int
    start: datetime
    end: datetime | None  # None: it still is
    sequence: int  # of the event
    created_at: str | None = None  # when the version was registered, where the event says so


@dataclass(frozen=True)
class Moment:
    """What the ledger says of a model at a time."""

    model: str
    at: datetime
    champion: int | None
    stages: Mapping[int, str]  # by version; every stage other than None
    since: datetime | None  # when the ledger took the model over; None where it has not
    created_at: str | None = None  # when the champion of that time was registered, where the ledger says so

    @property
    def known(self) -> bool:
        return self.since is not None and self.since <= self.at

    @property
    def unknown(self) -> str | None:
        """Why nothing is said about that time, as one sentence; None where it is known."""
        if self.known:
            return None
        if self.since is None:
            return "The ledger has not taken this model over: nothing is known about it."
        begin = f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        return f"The ledger begins at {begin} UTC for this model: nothing is known about before."

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "at": iso(self.at),
            "champion": self.champion,
            "stages": {str(version): stage for version, stage in sorted(self.stages.items())},
            "known": self.known,
            "since": None if self.since is None else iso(self.since),
            "created_at": self.created_at,
        }


@dataclass(frozen=True)
class GateCount:
    """How many gates of a version's last decision passed, and how many warned or were only noted."""

    passed: int
    failed: int


def entry(stored: StoredEvent | UnreadableEvent) -> Entry:
    if isinstance(stored, UnreadableEvent):
        why = f"This event cannot be read; verify says more. Beside its text it is called {stored.type}."
        nothing: dict[str, Any] = dict.fromkeys(NOT_READ)
        return Entry(sequence=stored.sequence, type=UNREADABLE, model=stored.model, why=why, **nothing)
    event, content = stored.event, stored.event.content
    actor: Mapping[str, Any] = content.get("actor") or {}
    subject: Mapping[str, Any] = content.get("subject") or {}
    shown = _shown_change(event, subject)
    # For an out-of-band change or a conflict, what was seen comes after; for everything else what was asked for.
    seen = event.type in SEEN
    return Entry(
        sequence=stored.sequence,
        type=event.type,
        at=event.at,
        actor=actor.get("subject"),
        established=actor.get("established"),
        reason=content.get("reason") or content.get("text"),
        model=event.model,
        version=_version(event, subject, shown),
        slot=shown.slot.label if shown else None,
        before=shown.expected if shown else None,
        after=(shown.observed if seen else shown.to) if shown else content.get("to"),
        evidence=content.get("evidence"),
        meaning=content.get("meaning"),
        why=content.get("why"),
        changes=event.changes,
        content=content,
    )


def given_out_again(entries: Iterable[Entry]) -> list[str]:
    """One sentence per number that the events hold for more than one version, as it happens after a deletion."""
    found: dict[tuple[str, int], dict[str, None]] = {}
    for each in entries:
        if each.version is not None and each.created_at is not None:
            found.setdefault((each.model, each.version), {})[each.created_at] = None
    return [
        f"Number {version} of {visible(model)} was given out again: its versions were registered {' and '.join(times)}."
        for (model, version), times in found.items()
        if len(times) > 1
    ]


def one_line_each(entries: Sequence[Entry]) -> list[Entry]:
    """For people: an intent that has ended is left out, because its end says the same."""
    ended = {entry.content.get("intent") for entry in entries if entry.type in ENDS}
    return [entry for entry in entries if entry.sequence not in ended]


def _shown_change(event: Event, subject: Mapping[str, Any]) -> SlotChange | None:
    """Of a promotion, the version's own stage: the alias that commits it says the same from the model's side."""
    name = str(subject.get("version"))
    moved = (each for each in event.changes if each.expected != each.to)
    own = (each for each in moved if each.slot.kind == "stage" and each.slot.name == name)
    return next(own, event.changes[0] if event.changes else None)


def about(event: Event) -> tuple[int | None, str | None]:
    """The version that an event is about, and when that one was registered, as far as the event says so."""
    subject: Mapping[str, Any] = event.content.get("subject") or {}
    version = _version(event, subject, _shown_change(event, subject))
    return version, _created_at(event.content, version)


def _version(event: Event, subject: Mapping[str, Any], shown: SlotChange | None) -> int | None:
    """Of an adopted change the version that moved; the subject that it quotes is the champion, whose files count."""
    if event.type is not EventType.ADOPTED or shown is None:
        return subject.get("version")
    moved = shown.slot.name if shown.slot.kind == "stage" else shown.to
    return None if moved is None else int(moved)


def _created_at(content: Mapping[str, Any], version: int | None) -> str | None:
    """Of an event's own version; the subject may be another one, such as the champion beside an adopted change."""
    subject: Mapping[str, Any] = content.get("subject") or {}
    created_at: str | None = subject.get("created_at") if subject.get("version") == version else None
    return created_at


def _reference(actor: Mapping[str, Any] | None) -> str | None:
    found = (actor or {}).get("person")
    return found if isinstance(found, str) else None


def moment(model: str, events: Iterable[StoredEvent], at: datetime) -> Moment:
    """The recorded state at a time: an intent counts only once it was applied."""
    settling = [stored for stored in events if stored.event.type in SETTLING]
    # By sequence: what came before an event of that time was before it, whatever a clock that was ahead stamped on it.
    until = settling[: max((number for number, stored in enumerate(settling, 1) if stored.event.at <= at), default=0)]
    slots = replay(stored.event for stored in until)
    periods = champion_periods(model, until)
    champion = periods[-1] if periods and periods[-1].end is None else None
    stages = {
        int(slot.name): slot_state.recorded
        for slot, slot_state in slots.items()
        if slot.kind == "stage" and slot_state.recorded not in (None, "None")
    }
    return Moment(
        model,
        at,
        champion=champion.version if champion else None,
        stages={version: str(stage) for version, stage in stages.items()},
        since=min((stored.event.at for stored in settling), default=None),
        created_at=champion.created_at if champion else None,
    )


def champion_periods(model: str, events: Iterable[StoredEvent]) -> list[Period]:
    """Oldest first, by sequence; a period ends where the next one starts or where the alias was removed."""
    slot = Slot.of_alias(model, CHAMPION)
    periods: list[Period] = []
    for stored in events:
        change = next((each for each in stored.event.changes if each.slot == slot), None)
        if change is None or stored.event.type not in SETTLING:
            continue
        current = periods[-1] if periods and periods[-1].end is None else None
        if current and change.to == str(current.version):
            continue
        if current:
            periods[-1] = replace(current, end=stored.event.at)
        if change.to is not None:
            created_at = _created_at(stored.event.content, int(change.to))
            periods.append(Period(int(change.to), stored.event.at, None, stored.sequence, created_at))
    return _in_order(periods)


def successor(version: int, created_at: str, periods: Sequence[Period]) -> Period | None:
    """The period that took the place of the version's newest one; None where it never was champion, or still is.

    periods: in order. created_at: when the version was registered: a number may have been another version's.
    """
    ended = [each for each in periods if each.version == version and each.created_at in (None, created_at)]
    if not ended or ended[-1].end is None:
        return None
    return next((each for each in periods if each.start >= ended[-1].end and each.sequence > ended[-1].sequence), None)


def _in_order(periods: Sequence[Period]) -> list[Period]:
    """No period ends before it starts or after the next one: what a clock that was ahead stamped is cut back."""
    ordered: list[Period] = []
    latest: datetime | None = None
    for period in reversed(periods):
        end = period.end and min(period.end, latest or period.end)
        latest = min(period.start, end or latest or period.start)
        ordered.append(replace(period, start=latest, end=end))
    return ordered[::-1]


@dataclass(frozen=True)
class OutsidePeriod:
    """A time in which the registry had another champion than the ledger, as far as somebody looked."""

    version: int | None  # the champion in the registry; None: it had none
    start: datetime  # when it was seen
    end: datetime | None  # None: it still is so
    sequence: int  # of the event that saw it


OUTSIDE = (EventType.OUT_OF_BAND, EventType.CONFLICT, EventType.ADOPTED, EventType.REVERTED)


def outside_periods(model: str, events: Iterable[StoredEvent]) -> list[OutsidePeriod]:
    """Oldest first, from events of the types OUTSIDE in order; a period ends where it is adopted, reverted or undone.

    An event of another type changes nothing: a slot that differs takes no decision.
    """
    slot = Slot.of_alias(model, CHAMPION)
    periods: list[OutsidePeriod] = []
    for stored in events:
        change = next((each for each in stored.event.changes if each.slot == slot), None)
        if change is None or stored.event.type not in OUTSIDE:
            continue
        if periods and periods[-1].end is None:
            periods[-1] = replace(periods[-1], end=max(stored.event.at, periods[-1].start))
        if stored.event.type in SEEN and change.observed != change.expected:
            version = None if change.observed is None else int(change.observed)
            periods.append(OutsidePeriod(version, stored.event.at, None, stored.sequence))
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


@dataclass(frozen=True)
class ModelOverview:
    """One model on the first page."""

    record: ModelRecord
    champion: int | None  # what serves
    outside: bool  # whether the champion is not in Production
    stages: dict[Stage, int]  # how many versions are in each
    waiting: tuple[int, ...]  # versions in Staging, the newest first
    differences: tuple[OutOfBandChange, ...]  # out-of-band changes
    pending: tuple[PendingDecision, ...]  # decisions that have not ended
    last: Entry | None  # the newest event
    unstaged: tuple[int, ...] = ()  # versions in no stage that are newer than the champion, the newest first


def overview(
    record: ModelRecord,
    state: ModelState,
    *,
    differences: Sequence[OutOfBandChange],
    pending: Sequence[PendingDecision],
    last: Entry | None,
) -> ModelOverview:
    """From what registry and ledger hold of the model; `last` is its newest event."""
    waiting = [version for version in state.in_stage(Stage.STAGING) if version != state.champion]
    unstaged = [version for version in state.in_stage(Stage.NONE) if version > (state.champion or 0)]
    return ModelOverview(
        record=record,
        champion=state.champion,
        outside=state.champion_outside_production,
        stages={stage: len(state.in_stage(stage)) for stage in Stage},
        waiting=tuple(sorted(waiting, reverse=True)),
        differences=tuple(differences),
        pending=tuple(pending),
        last=last,
        unstaged=tuple(sorted(unstaged, reverse=True)),
    )
