"""Requests as the ledger holds them: what was asked for, whose signatures it has, and how it ended."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import takewhile
from typing import Any, Self

from pipeline.governance.actor import Actor, Person, Role, person_in, signature
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import Move, MoveKind
from pipeline.governance.ports import Ledger
from pipeline.governance.record.ledger import ENDS, EventType, StoredEvent, iso
from pipeline.governance.record.registrars import Registrar

SIGNED = (EventType.APPROVED, EventType.REJECTED, EventType.WITHDRAWN)
SIGNING = (EventType.REQUESTED, *SIGNED)
# What a request is bound to, and what is said where it is another.
BOUND_TO: Mapping[str, str] = {
    "files": "the files of the version",
    "evidence": "the evidence",
    "incumbent": "the champion that it is compared with",
    "rules": "the rules of the move",
    "state": "the state of what it moves",
}
GONE, REQUESTER = "version", "requester"
WORDS: Mapping[str, str] = {
    **BOUND_TO,
    GONE: "whether the version is there",
    REQUESTER: "the role of whoever asked for it",
}
ADOPT = "adopt"


class RequestState(StrEnum):
    """Where a request is on its way; expired is told by the clock, everything else by events."""

    OPEN = "open"
    APPROVED = "approved"  # the last signature is there, and the decision that it made has not ended
    APPLIED = "applied"
    NOT_APPLIED = "not_applied"  # it was decided, and the registry did not take it
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"

    @property
    def words(self) -> str:
        return self.value.replace("_", " ")


CLOSED_BY = {EventType.REJECTED: RequestState.REJECTED, EventType.WITHDRAWN: RequestState.WITHDRAWN}


@dataclass(frozen=True)
class Binding:
    """What those who sign a request sign for: where one of these is another, they signed for something else."""

    files: str | None  # the digest of the version's files
    evidence: str  # its digest
    incumbent: str  # the champion's number and the digest of its files; empty where there is none
    rules: str  # the digest of what the policy asks of this move
    state: str  # the slots that it changes, see slot_text

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in BOUND_TO}

    def changed(self, now: "Binding") -> tuple[str, ...]:
        """The names of what is another now, in the order of BOUND_TO."""
        return tuple(name for name in BOUND_TO if getattr(self, name) != getattr(now, name))


@dataclass(frozen=True)
class SignedApproval:
    """One person's signature under a request."""

    sequence: int
    at: datetime
    actor: Mapping[str, Any]  # as the event holds it
    reason: str | None
    decision: str | None  # the decision that it made, as the last one that was needed; None: others are to follow

    @property
    def person(self) -> Person | None:
        return person_in(self.actor)

    def as_json(self) -> dict[str, Any]:
        return {
            "sequence": self.sequence,
            "by": self.actor.get("subject"),
            "established": self.actor.get("established"),
            "at": iso(self.at),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class MoveRequest:
    """A move that somebody asked for, as the events about it say."""

    sequence: int  # of its `requested` event, by which it is called
    model: str
    at: datetime
    content: Mapping[str, Any]  # of that event
    approvals: tuple[SignedApproval, ...] = ()
    end: StoredEvent | None = None  # `rejected` or `withdrawn`, or how the decision that it led to ended

    @classmethod
    def of(cls, events: Sequence[StoredEvent], end: StoredEvent | None = None) -> Self:
        """From the `requested` event and those about it, in order. end: of the decision that it led to."""
        first, *later = events
        signed = tuple(_signed(each) for each in later if each.event.type is EventType.APPROVED)
        closed = next((each for each in later if each.event.type in CLOSED_BY), end)
        return cls(first.sequence, first.event.model, first.event.at, first.event.content, signed, closed)

    @property
    def expires_at(self) -> datetime:
        return datetime.fromisoformat(self.content["expires_at"])

    @property
    def move(self) -> Move:
        """Of an adoption the move of kind `reconcile`."""
        to, version = str(self.content["to"]), self.version
        if self.is_adoption:
            return Move(self.model, MoveKind.RECONCILE, None)
        kind = MoveKind(self.content["meaning"])
        if kind in (MoveKind.ALIAS, MoveKind.UNALIAS):
            return Move(self.model, kind, version if kind is MoveKind.ALIAS else None, to.removeprefix("@"))
        return Move(self.model, kind, version)

    @property
    def is_adoption(self) -> bool:
        return bool(self.content["meaning"] == ADOPT)

    @property
    def version(self) -> int | None:
        version: int | None = self.content["subject"].get("version")
        return version

    @property
    def created_at(self) -> str:
        """When its version was registered; empty where it is about none."""
        return str(self.content["subject"].get("created_at") or "")

    @property
    def to(self) -> str:
        """The target in words, as a review's."""
        return str(self.content["to"])

    @property
    def reason(self) -> str:
        return str(self.content["reason"])

    @property
    def actor(self) -> Mapping[str, Any]:
        """Whoever asked, as the event holds it."""
        actor: Mapping[str, Any] = self.content["actor"]
        return actor

    @property
    def requester(self) -> Person | None:
        return person_in(self.actor)

    @property
    def signature(self) -> str:
        """Who asked, and how that was known."""
        return signature(str(self.actor.get("subject")), self.actor.get("established"))

    @property
    def binding(self) -> Binding:
        return Binding(**{name: self.content["bound"].get(name) for name in BOUND_TO})

    @property
    def accepted(self) -> frozenset[str]:
        """The names of the gates of which the requester accepted the warning."""
        return frozenset(self.content["accepted_warnings"])

    @property
    def decision(self) -> str | None:
        """The decision that the last approval made; None where none has yet."""
        return next((each.decision for each in self.approvals if each.decision), None)

    def state(self, now: datetime) -> RequestState:
        if self.end is not None:
            if self.end.event.type in (EventType.APPLIED, EventType.ADOPTED):
                return RequestState.APPLIED
            return CLOSED_BY.get(self.end.event.type, RequestState.NOT_APPLIED)  # type: ignore[arg-type]
        if self.decision is not None:
            return RequestState.APPROVED
        return RequestState.EXPIRED if now > self.expires_at else RequestState.OPEN


@dataclass(frozen=True)
class RequestView:
    """A request as it stands now."""

    request: MoveRequest
    state: RequestState
    stale: tuple[str, ...]  # the names, see WORDS, of what is another than those who signed saw
    needed: int  # approvals that it takes in all; as it was asked for, where it is closed
    counted: int  # those that it has and that still count
    registrars: tuple[Registrar, ...] = ()  # of each version that it is about; empty where it is closed
    approver_roles: tuple[Role, ...] = ()  # by which its move is approved; empty where it is closed

    @property
    def is_due(self) -> bool:
        """Whether somebody has to look at it again: nobody can approve it as it is."""
        return self.state is RequestState.EXPIRED or (self.state is RequestState.OPEN and bool(self.stale))

    @property
    def is_waiting(self) -> bool:
        return self.state in (RequestState.OPEN, RequestState.APPROVED)

    @property
    def missing(self) -> int:
        """How many approvals it still takes."""
        return max(self.needed - self.counted, 0)

    def may_be_signed_by(self, actor: Actor, roles: Collection[Role]) -> bool:
        """Whether somebody with these roles may approve or reject it: who neither asked, nor registered a version of
        it, nor has signed already.
        """
        others = {self.request.requester, *(each.person for each in self.request.approvals)}
        own = actor.person in others or any(each.may_be(actor) for each in self.registrars)
        return self.state is RequestState.OPEN and not own and not set(self.approver_roles).isdisjoint(roles)

    @property
    def stale_sentence(self) -> str:
        """What is another now, in words; empty where nothing is."""
        return changed_words(self.stale)

    def as_json(self) -> dict[str, Any]:
        found = self.request
        return {
            "id": found.sequence,
            "model": found.model,
            "version": found.version,
            "to": found.to,
            "state": self.state.value,
            "requested_by": found.actor.get("subject"),
            "established": found.actor.get("established"),
            "requested_at": iso(found.at),
            "reason": found.reason,
            "approvals": [each.as_json() for each in found.approvals],
            "counted": self.counted,
            "needed": self.needed,
            "accepted_warnings": sorted(found.accepted),
            "stale": list(self.stale),
            "expires_at": iso(found.expires_at),
            "evidence": found.binding.evidence,
            "expect": found.binding.state,
        }


def changed_words(names: Iterable[str]) -> str:
    """What is another now, in words for the middle of a sentence; empty where nothing is."""
    return " and ".join(WORDS[name] for name in names)


def _signed(stored: StoredEvent) -> SignedApproval:
    content = stored.event.content
    return SignedApproval(
        stored.sequence, stored.event.at, content["actor"], content.get("reason"), content.get("decides")
    )


def find_request(ledger: Ledger, number: int) -> MoveRequest:
    """One request by its number. Raises NotFound."""
    first = next(ledger.page(before=number + 1), None)
    if not isinstance(first, StoredEvent) or first.sequence != number or first.event.type is not EventType.REQUESTED:
        raise NotFound(f"request: the ledger holds none with the number {number}")
    later = takewhile(lambda each: each.sequence > number, ledger.page(first.event.model, only=SIGNED))
    return _with_end(ledger, [first, *_about(later, number)])


def find_open_requests(ledger: Ledger, model: str | None = None) -> list[MoveRequest]:
    """The requests about a model, or about all, that nobody has closed and whose decision, where they led to one, has
    not ended; the newest first. Of those that have ended nothing is read.
    """
    events = ledger.open_requests(model)
    firsts = [each for each in reversed(events) if each.event.type is EventType.REQUESTED]
    return [MoveRequest.of([first, *_about(reversed(events), first.sequence)]) for first in firsts]


def find_requests(ledger: Ledger, model: str | None = None) -> list[MoveRequest]:
    """Every request about a model, or about all, the newest first."""
    about: dict[int, list[StoredEvent]] = {}
    firsts: list[StoredEvent] = []
    for each in ledger.page(model, only=SIGNING):
        if not isinstance(each, StoredEvent):
            continue
        if each.event.type is EventType.REQUESTED:
            firsts.append(each)
        else:
            about.setdefault(each.event.content["requested"], []).insert(0, each)
    return [_with_end(ledger, [first, *about.get(first.sequence, [])]) for first in firsts]


def _about(events: Iterable[Any], number: int) -> list[StoredEvent]:
    """The later events about a request, oldest first."""
    found = [each for each in events if isinstance(each, StoredEvent)]
    return [each for each in reversed(found) if each.event.content.get("requested") == number]


def _with_end(ledger: Ledger, events: Sequence[StoredEvent]) -> MoveRequest:
    request = MoveRequest.of(events)
    last = next((each for each in request.approvals if each.decision), None)
    if last is None:
        return request
    ended = (each for each in _ends(ledger, request.model, last) if each.event.decision == last.decision)
    return MoveRequest.of(events, next(ended, None))


def _ends(ledger: Ledger, model: str, last: SignedApproval) -> Iterator[StoredEvent]:
    later = ledger.events(model=model, after=last.sequence)
    return (each for each in later if each.event.type in (*ENDS, EventType.ADOPTED))
