"""A request for a decision, what it gives, and what is checked against the review before anything is written."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.governance.actors import Actor
from pipeline.governance.errors import (
    Blocked,
    DecisionPending,
    NothingToDo,
    OutOfBand,
    StaleEvidence,
    StateChanged,
    WarningsNotAccepted,
)
from pipeline.governance.gates import GateResult
from pipeline.governance.ledger import SlotChange, SlotState, canonical, digest_of
from pipeline.governance.lifecycle import Change, ModelState, Move, Slot
from pipeline.governance.review import Review


@dataclass(frozen=True)
class Request:
    """One call to decide.

    evidence, expect: the digest and the state that the actor looked at; None decides on a fresh read. key: the same key
    again gives the first outcome and changes nothing. recompute: hold the claims against the bytes, as in the review.
    """

    move: Move
    reason: str
    actor: Actor
    evidence: str | None = None
    expect: str | None = None
    accept_warnings: bool = False
    recompute: bool = False
    key: str | None = None

    @property
    def digest(self) -> str:
        """What a key stands for: another move, reason or actor under the same key is another request."""
        move = [self.move.model, self.move.kind.value, self.move.version, self.move.alias]
        return digest_of(canonical({"move": move, "reason": self.reason, "actor": self.actor.subject}))


@dataclass(frozen=True)
class Outcome:
    """A decision that was applied. `replayed`: an earlier request with the same key had applied it.

    notice: what else has to be known about it, as a sentence; empty where there is nothing.
    """

    decision: str
    sequence: int
    model: str
    version: int | None
    target: str
    changes: tuple[SlotChange, ...]
    evidence: str | None
    replayed: bool = False
    notice: str = ""

    def as_json(self) -> dict[str, Any]:
        content = {
            "decision": self.decision,
            "sequence": self.sequence,
            "model": self.model,
            "version": self.version,
            "to": self.target,
            "changes": [change.as_json() for change in self.changes],
            "evidence": self.evidence,
            "replayed": self.replayed,
        }
        return {**content, "notice": self.notice} if self.notice else content


def check(request: Request, review: Review) -> None:
    """Raises the refusal that a reviewer should read first."""
    if request.expect is not None and request.expect != review.state:
        raise StateChanged(
            f"state: expected {request.expect}, it is {review.state or 'like that already'}; look at the review again"
        )
    if request.evidence is not None and request.evidence != review.evidence.digest:
        raise StaleEvidence("evidence: the version has changed since you looked; look at the review again")
    for gate in review.blocked_by:
        if gate.name == "slot_settled":
            raise (DecisionPending if gate.observed == "pending" else OutOfBand)(f"slot_settled: {gate.why}")
        if gate.name == "changes_something":
            raise NothingToDo(f"changes_something: {gate.why}")
    if review.blocked_by:
        raise Blocked(_sentences(review.blocked_by))
    if review.warnings and not request.accept_warnings:
        raise WarningsNotAccepted(f"{_sentences(review.warnings)} Accept the warnings to go on.")


def check_registry(changes: Iterable[Change], state: ModelState) -> None:
    """Raises StateChanged where somebody moved a slot in the registry since the review read it."""
    for change in changes:
        if state.value(change.slot) != change.expected:
            raise StateChanged(f"state: {change.slot.label} changed since you looked; look at the review again")


def _sentences(gates: Iterable[GateResult]) -> str:
    return " ".join(f"{gate.name}: {gate.why}" for gate in gates)


def check_slot(held: SlotState | None, seen: SlotState, slot: Slot) -> None:
    """Compare and set: raises where the slot is not as it was reviewed."""
    now = held or SlotState.initial(slot)
    if now.pending:
        raise DecisionPending(f"a decision about {slot.label} has not ended; reconcile finishes it")
    if (now.recorded, now.generation, now.drift) != (seen.recorded, seen.generation, seen.drift):
        raise StateChanged(f"state: {slot.label} changed since you looked; look at the review again")
