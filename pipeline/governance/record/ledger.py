"""The hash-chained ledger as plain values: events, their canonical text, and the state that replaying them gives.

The stored text is what is hashed, never written again to be checked. Chaining as in Haber and Stornetta, "How to
time-stamp a digital document" (1991): tamper-evident, not tamper-proof.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple

from pipeline.governance.lifecycle import Slot, Stage

FIRST_HASH = "0" * 64
HASH_LABEL = "signoff-event-v1"
# What the readers of an event rely on, wherever it holds more than null.
KINDS: Mapping[str, type] = {
    "actor": dict,
    "subject": dict,
    "gates": list,
    **dict.fromkeys(("meaning", "reason", "text", "why", "to", "evidence"), str),
    **dict.fromkeys(("intent", "requested", "overridden", "closes"), int),
    **dict.fromkeys(("bound", "requested_by", "finding"), dict),
    "approvals": list,
}
TEXTS = {str, type(None)}  # of what a change says about its slot


class EventType(StrEnum):
    """Past tense, because an event has happened."""

    BASELINE = "baseline"
    REQUESTED = "requested"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    DECIDED = "decided"
    APPLIED = "applied"
    ABORTED = "aborted"
    CONFLICT = "conflict"
    DENIED = "denied"
    OUT_OF_BAND = "out_of_band"
    ADOPTED = "adopted"
    REVERTED = "reverted"
    OVERRIDDEN = "overridden"
    ACKNOWLEDGED = "acknowledged"
    COMMENTED = "commented"
    REGISTERED = "registered"
    ROLE_GRANTED = "role_granted"
    ROLE_REVOKED = "role_revoked"
    TOKEN_ISSUED = "token_issued"  # noqa: S105 (a word, not a secret)
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 (a word, not a secret)
    TAMPERING = "tampering"
    FINDING_OPENED = "finding_opened"
    FINDING_CLOSED = "finding_closed"


class UnknownType(str):
    """The type of an event that a later version of Signoff wrote: it can be listed, not followed."""

    __slots__ = ()

    @property
    def value(self) -> str:
        return str(self)


# What earlier versions wrote instead. Such events keep their text, and thereby their hash.
EARLIER_NAMES: Mapping[str, EventType] = {
    "drift": EventType.OUT_OF_BAND,
    "drift_adopted": EventType.ADOPTED,
    "drift_reverted": EventType.REVERTED,
}


STORED_TYPES: Mapping[str, EventType] = {**{each.value: each for each in EventType}, **EARLIER_NAMES}


def stored_names(types: Iterable[str]) -> list[str]:
    """Every name under which a ledger may hold events of these types."""
    wanted = set(types)
    return sorted(wanted | {earlier for earlier, kind in EARLIER_NAMES.items() if kind in wanted})


ENDS = (EventType.APPLIED, EventType.ABORTED, EventType.CONFLICT, EventType.REVERTED)


class Topic(StrEnum):
    """What an event may still count for."""

    FILES = "files"  # what was last settled about the files of a version
    GATES = "gates"  # the last decision about a version, with its gates
    ALARM = "alarm"  # the last alarm about the files of a version
    NUMBER = "number"  # the first event about a version: a number is given out again after a deletion
    TOUCHED = "touched"  # every event that moved the stage or an alias of a version other than its subject


class SlotChange(NamedTuple):
    """One slot in an event."""

    slot: Slot
    expected: str | None  # what the ledger held before
    to: str | None  # what it was, or is to be, changed to
    observed: str | None = None  # what was seen in the registry

    def as_json(self) -> dict[str, Any]:
        return {
            "kind": self.slot.kind,
            "name": self.slot.name,
            "expected": self.expected,
            "to": self.to,
            "observed": self.observed,
        }


class Event(NamedTuple):
    """What happened to one model. `content` holds the rest of the body: actor, reason, subject, gates, digests."""

    type: EventType | UnknownType
    model: str
    at: datetime
    changes: tuple[SlotChange, ...] = ()
    decision: str | None = None
    key: str | None = None
    content: Mapping[str, Any] = MappingProxyType({})

    def body(self) -> str:
        """Canonical JSON: sorted keys, no NaN, time as ISO 8601 in UTC with microseconds."""
        return canonical(
            {
                **self.content,
                "type": self.type.value,
                "model": self.model,
                "at": iso(self.at),
                "changes": [change.as_json() for change in self.changes],
                "decision": self.decision,
                "key": self.key,
            }
        )

    @classmethod
    def from_body(cls, body: str) -> "Event":
        """Raises ValueError, KeyError or TypeError for a text that is no event."""
        return cls.from_content(json.loads(body))

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> "Event":
        """From what the text of an event says, which the event then holds. Raises as from_body does."""
        model = content.pop("model")
        changes = tuple(
            [
                SlotChange(Slot(model, each["kind"], each["name"]), each["expected"], each["to"], each["observed"])
                for each in content.pop("changes")
            ]
        )
        kind, at = event_type(content.pop("type")), datetime.fromisoformat(content.pop("at"))
        _check(at, content, changes)
        return cls(kind, model, at, changes, content.pop("decision"), content.pop("key"), content)


class StoredEvent(NamedTuple):
    """An event with its place in the chain and the very text that was hashed."""

    sequence: int
    previous_hash: str
    hash: str
    body: str
    event: Event


class UnreadableEvent(NamedTuple):
    """A stored event whose text is damaged: what its columns say, which nothing protects."""

    sequence: int
    type: str
    model: str


class SlotState(NamedTuple):
    """What the ledger holds true of a slot."""

    recorded: str | None = None  # the content that a decision, a baseline or an adoption put there
    generation: int = 0  # how often that happened
    pending: str | None = None  # the decision that has not ended
    out_of_band: bool = False  # whether the registry was seen to differ
    observed: str | None = None  # what was last seen in the registry
    since: datetime | None = None  # when the ledger last knew the registry to agree

    @classmethod
    def initial(cls, slot: Slot) -> "SlotState":
        """Before any event: a version starts in stage None, an alias is not there."""
        return cls(recorded=Stage.NONE.value if slot.kind == "stage" else None)


def slot_text(slot: Slot, content: str | None, generation: int) -> str:
    """A slot as somebody looked at it, `slot=content#generation`; equal text means that nothing has moved."""
    return f"{slot.label}={content or ''}#{generation}"


def canonical(content: Mapping[str, Any]) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def digest_of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _check(at: datetime, content: Mapping[str, Any], changes: Iterable[SlotChange]) -> None:
    """Raises TypeError for what is JSON, and no event that was ever written."""
    for name, value in content.items():
        if name in KINDS and type(value) is not KINDS[name] and value is not None:
            raise TypeError(name)
    for gate in content.get("gates") or ():
        if type(gate) is not dict or "passed" not in gate:
            raise TypeError("gates")
    for change in changes:
        if not TEXTS.issuperset(map(type, change[1:])):
            raise TypeError("changes")
    if at.tzinfo is None:
        raise TypeError("at")


def event_type(name: str) -> EventType | UnknownType:
    """The type that a stored name stands for, whichever version of Signoff wrote it."""
    return STORED_TYPES.get(name) or UnknownType(name)


def event_hash(previous_hash: str, sequence: int, body: str) -> str:
    return digest_of(f"{HASH_LABEL}\0{previous_hash}\0{sequence}\0{body}")


def chain(event: Event, sequence: int, previous_hash: str) -> StoredEvent:
    """The event with its number and the hash of the one before it."""
    body = event.body()
    return StoredEvent(sequence, previous_hash, event_hash(previous_hash, sequence, body), body, event)


def fold(state: SlotState, event: Event, change: SlotChange) -> SlotState:
    """One slot after one event that names it."""
    match event.type:
        case EventType.BASELINE:
            return SlotState(recorded=change.to, observed=change.to, since=event.at)
        case EventType.DECIDED:
            return state._replace(pending=event.decision)
        case EventType.APPLIED | EventType.ADOPTED | EventType.REVERTED:
            return SlotState(change.to, state.generation + 1, observed=change.to, since=event.at)
        case EventType.ABORTED:
            return state._replace(pending=None)
        case EventType.CONFLICT | EventType.OUT_OF_BAND:
            differs = change.observed != state.recorded
            since = state.since if differs else event.at
            # Not _replace: a chain may hold a hundred thousand of these, and `verify` folds them all.
            return SlotState(
                state.recorded,
                state.generation,
                pending=None,
                out_of_band=differs,
                observed=change.observed,
                since=since,
            )
        case _:
            return state


def replay(events: Iterable[Event]) -> dict[Slot, SlotState]:
    """Every slot's state after the events."""
    slots: dict[Slot, SlotState] = {}
    for event in events:
        for change in event.changes:
            slots[change.slot] = fold(slots.get(change.slot, SlotState.initial(change.slot)), event, change)
    return slots


SEEN = (EventType.OUT_OF_BAND, EventType.CONFLICT)  # in which what was observed comes after, not what was asked for


def moved(kind: EventType | UnknownType, changes: Iterable[SlotChange]) -> list[SlotChange]:
    """The changes that are any: a decision also names the slots that it holds as they are."""
    return [each for each in changes if each.expected != (each.observed if kind in SEEN else each.to)]


def touched_versions(kind: EventType | UnknownType, changes: Iterable[SlotChange]) -> set[int]:
    """The versions of which an event moved the stage, or an alias onto or away from them, or saw that it was moved.

    None of a baseline: what was found when a model was taken over has not been moved.
    """
    if kind is EventType.BASELINE or not (found := moved(kind, changes)):
        return set()
    names = (
        name
        for each in found
        for name in ((each.slot.name,) if each.slot.kind == "stage" else (each.expected, each.to, each.observed))
    )
    return {int(name) for name in names if name is not None and name.isascii() and name.isdecimal()}


def link_problems(
    sequence: int, previous_hash: str, stored_hash: str, *, body: str, after: tuple[int, str]
) -> list[str]:
    """What is wrong with one link, given number and hash of the one before it ((0, FIRST_HASH) for the first)."""
    number, previous = after
    expected_hash = event_hash(previous_hash, sequence, body)
    if (sequence, previous_hash, stored_hash) == (number + 1, previous, expected_hash):
        return []
    wrong = {
        f"should be number {number + 1}": sequence != number + 1,
        "does not follow from the event before it": previous_hash != previous,
        "was changed after it was written": stored_hash != expected_hash,
    }
    return [f"event {sequence}: {what}" for what, holds in wrong.items() if holds]


def chain_problems(events: Iterable[StoredEvent]) -> list[str]:
    """What is wrong in a chain, from its first event on."""
    problems, after = [], (0, FIRST_HASH)
    for each in events:
        problems += link_problems(each.sequence, each.previous_hash, each.hash, body=each.body, after=after)
        after = (after[0] + 1, each.hash)
    return problems


def former_champions(events: Iterable[Event], slot: Slot) -> list[tuple[int, Event]]:
    """The champions that a rollback can return to, as a stack: (version, event that made it so), the newest last.

    A rollback takes its predecessor off the stack, so that two rollbacks in a row go two steps back.
    """
    stack: list[tuple[int, Event]] = []
    for event in events:
        value = _champion_set_by(event, slot)
        if value is None:
            continue
        numbers = [number for number, _ in stack]
        if event.content.get("meaning") == "rollback" and value in numbers:
            del stack[numbers.index(value) + 1 :]
        elif not stack or stack[-1][0] != value:
            stack.append((value, event))
    return stack


def _champion_set_by(event: Event, slot: Slot) -> int | None:
    if event.type not in (EventType.BASELINE, EventType.APPLIED, EventType.ADOPTED):
        return None
    return next((int(each.to) for each in event.changes if each.slot == slot and each.to is not None), None)
