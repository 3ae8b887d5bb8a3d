"""Everything that the ledger holds about one decision, in the form in which somebody else can check it.

A hash of the chain covers the text of its event and the hash before it. The events from the first one of the decision
to the first checkpoint behind its last one therefore place the decision: what came before is in the first
`previous_hash`, and nothing that came after can change them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.ports import KeptCheckpoint, Ledger
from pipeline.governance.record.checkpoint import CheckpointKey
from pipeline.governance.record.ledger import ENDS, Event, EventType, StoredEvent, UnreadableEvent

SIGNING = (EventType.REQUESTED, EventType.APPROVED, EventType.REJECTED, EventType.WITHDRAWN)
DECIDING = (EventType.DECIDED, EventType.ADOPTED)


@dataclass(frozen=True)
class DecisionRecord:
    """One decision with its part of the chain; of an event that belongs to no decision, that event."""

    # The number of the decision, or of the event.
    number: int
    # The id of the registry that the chain is about.
    registry: str
    # Its own events in order: signatures, the intent, the end.
    story: tuple[StoredEvent, ...]
    # The sequences with which its part of the chain begins and ends.
    first: int
    last: int
    # The stored text by the digest that the events quote; None where the ledger does not hold it any more.
    evidence: Mapping[str, str | None]
    # Those that were kept of this part, by sequence.
    checkpoints: tuple[KeptCheckpoint, ...]
    # The public keys that may have signed them.
    keys: tuple[CheckpointKey, ...] = ()

    @property
    def decided(self) -> Event:
        """The event with the number: of a decision the intent, which holds gates and evidence."""
        return next(each.event for each in self.story if each.sequence == self.number)

    @property
    def end(self) -> Event | None:
        """How the decision ended; None where it has not, or where there is none."""
        last = self.story[-1].event
        return last if last.type in ENDS and last.content.get("intent") == self.number else None


def read_decision(ledger: Ledger, number: int, checkpoints: Sequence[Path] = ()) -> DecisionRecord:
    """The record of a decision by its number, or by that of any of its events: a signature, the intent, the end.

    Of a request that led to none, its events. checkpoints: files of other hosts. Raises NotFound where there is no such
    event or file, InvalidInput for a file that says nothing of this chain, Unavailable where an event cannot be read.
    """
    number, story = _story(ledger, _stored(ledger, number))
    first, last = story[0].sequence, story[-1].sequence
    kept = sorted(ledger.kept_checkpoints(checkpoints), key=lambda each: each.sequence)
    behind = next((each.sequence for each in kept if each.sequence >= last), None)
    last = _newest(ledger) if behind is None else behind
    return DecisionRecord(
        number,
        registry=ledger.registry() or "",
        story=story,
        first=first,
        last=last,
        evidence={digest: _text(ledger, digest) for each in story for digest in quoted_digests(each.event)},
        checkpoints=tuple(each for each in kept if first <= each.sequence <= last),
        keys=ledger.checkpoint_keys(),
    )


def part_of_chain(ledger: Ledger, record: DecisionRecord) -> Iterator[StoredEvent]:
    """The events of the chain that place the decision, in order."""
    for stored in ledger.events(after=record.first - 1):
        if stored.sequence > record.last:
            return
        yield stored


def quoted_digests(event: Event) -> list[str]:
    """The digests of the evidence that an event quotes: of the version, and of the incumbent beside it."""
    incumbent = event.content.get("incumbent") or {}
    found = (event.content.get("evidence"), incumbent.get("evidence"))
    return [digest for digest in found if digest is not None]


def _stored(ledger: Ledger, number: int) -> StoredEvent:
    found = next(ledger.page(before=number + 1), None)
    if found is None or found.sequence != number:
        raise NotFound(f"decision: the ledger holds no event {number}")
    if isinstance(found, UnreadableEvent):
        raise Unavailable(f"the ledger's event {number} cannot be read; run verify")
    return found


def _story(ledger: Ledger, asked: StoredEvent) -> tuple[int, tuple[StoredEvent, ...]]:
    """The number of the decision that an event belongs to, and its events in order."""
    decided = asked
    if asked.event.type in ENDS and (intent := asked.event.content.get("intent")) is not None:
        decided = _stored(ledger, intent)
    elif asked.event.type in SIGNING:
        request = asked.event.content.get("requested", asked.sequence)
        later = ledger.events(model=asked.event.model, after=request)
        about = [each for each in later if each.event.content.get("requested") == request]
        found = next((each for each in about if each.event.type in DECIDING), None)
        if found is None:
            signed = [each for each in about if each.event.type in SIGNING]
            return request, (_stored(ledger, request), *signed)
        decided = found
    before = (_stored(ledger, each) for each in _signatures(decided.event))
    return decided.sequence, (*before, decided, *_end(ledger, decided))


def _signatures(event: Event) -> list[int]:
    """The numbers of the events that a decision quotes: its request, the approvals, or the override, in order."""
    names = ("requested", "overridden")
    found: list[Any] = [*(event.content.get(name) for name in names), *(event.content.get("approvals") or ())]
    return sorted({each for each in found if type(each) is int})


def _end(ledger: Ledger, decided: StoredEvent) -> list[StoredEvent]:
    if decided.event.type is not EventType.DECIDED:
        return []
    later = ledger.events(model=decided.event.model, after=decided.sequence)
    ends = (each for each in later if each.event.type in ENDS)
    found = next((each for each in ends if each.event.decision == decided.event.decision), None)
    return [] if found is None else [found]


def _newest(ledger: Ledger) -> int:
    return next(each.sequence for each in ledger.page())


def _text(ledger: Ledger, digest: str) -> str | None:
    with suppress(NotFound):
        return ledger.evidence(digest)
    return None
