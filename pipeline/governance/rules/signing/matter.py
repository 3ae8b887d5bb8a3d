"""What is asked for: a move with its review, or the adoption of what somebody moved past the desk."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple, Protocol

from pipeline.governance.actor import Actor
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import CHAMPION, MOVE_TO_STAGE, Move, MoveKind, Stage
from pipeline.governance.policy import MoveRules
from pipeline.governance.ports import LedgerTransaction, VersionRecord
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.ledger import StoredEvent
from pipeline.governance.record.out_of_band import OutOfBandChange
from pipeline.governance.record.requests import Binding
from pipeline.governance.rules.decide import Decider, Outcome, Request
from pipeline.governance.rules.review import Review, Reviewer


class Matter(Protocol):
    """What a request is about, read anew: a move with its review, or an adoption."""

    @property
    def move(self) -> Move: ...
    @property
    def meaning(self) -> str: ...
    @property
    def rules(self) -> MoveRules: ...
    @property
    def binding(self) -> Binding: ...
    @property
    def evidences(self) -> tuple[Evidence, ...]:
        """Of the versions that it is about: whoever registered one of them does not sign."""

    def check(self, *, expect: str | None, evidence: str | None, accept_warnings: bool | Collection[str]) -> None:
        """Raises what refuses it."""

    def content(self) -> dict[str, Any]:
        """What a request says about it: subject, target, gates."""

    def locked(self) -> AbstractContextManager[LedgerTransaction]:
        """The ledger under its lock, in which everything is as it was read. Raises Conflict."""

    def settle(
        self, transaction: LedgerTransaction, decision: str, *, reason: str, quoted: Mapping[str, Any]
    ) -> Callable[[], Outcome]:
        """Record what was asked for under the id of a decision; the call that it gives makes it so."""


@dataclass(frozen=True)
class ReviewedMove:
    """A move with its review."""

    decider: Decider
    review: Review
    actor: Actor  # who signs

    @property
    def move(self) -> Move:
        return self.review.move

    @property
    def meaning(self) -> str:
        return self.move.kind.value

    @property
    def rules(self) -> MoveRules:
        return self.review.rules

    @property
    def binding(self) -> Binding:
        return self.review.prospect.binding(self.decider.policies.started)

    @property
    def evidence(self) -> Evidence:
        return self.review.evidence

    @property
    def evidences(self) -> tuple[Evidence, ...]:
        return (self.evidence,)

    def check(self, *, expect: str | None, evidence: str | None, accept_warnings: bool | Collection[str]) -> None:
        self.review.check(expect=expect, evidence=evidence, accept_warnings=accept_warnings)
        self.decider.check_rollback(self.move)

    def content(self) -> dict[str, Any]:
        return {
            "subject": self.evidence.subject(),
            "to": self.move.target,
            "gates": [gate.as_json() for gate in self.review.gates],
            "accepted_warnings": [gate.name for gate in self.review.warnings],
        }

    def locked(self) -> AbstractContextManager[LedgerTransaction]:
        return self.decider.locked(Request(self.move, "", self.actor), self.review)

    def settle(
        self, transaction: LedgerTransaction, decision: str, *, reason: str, quoted: Mapping[str, Any]
    ) -> Callable[[], Outcome]:
        request = Request(self.move, reason, self.actor)
        intent = self.decider.intend_reviewed(transaction, request, self.review, decision=decision, quoted=quoted)
        return lambda: self.decider.finish(self.move, intent)


class MovePast(NamedTuple):
    """A move that somebody made past the desk, as the desk would have made it."""

    rules: MoveRules
    record: VersionRecord


def moves_past(reviewer: Reviewer, model: str, differences: Sequence[OutOfBandChange]) -> list[MovePast]:
    """The moves that would have led to what is there now and that need approvals."""
    found = []
    for kind, version in filter(None, map(_made_by, differences)):
        with suppress(NotFound):
            record = reviewer.registry.version(model, version)
            found.append(MovePast(reviewer.rules(kind, record), record))
    return [each for each in found if each.rules.approvals]


def rules_of_adoption(reviewer: Reviewer, moves: Iterable[MovePast]) -> MoveRules:
    """What all these moves ask for together: one signature stands for each of them."""
    own = reviewer.policy.rules_of(MoveKind.RECONCILE)
    asking = [rules for rules in (own, *(each.rules for each in moves)) if rules.approvals]
    return reduce(MoveRules.together, asking or [own])


def _made_by(change: OutOfBandChange) -> tuple[MoveKind, int] | None:
    """The move that the desk would have made instead, and its version; None for a version that was deleted."""
    slot = change.slot
    if slot.kind == "stage":
        return None if change.observed is None else (MOVE_TO_STAGE[Stage(change.observed)], int(slot.name))
    if change.observed is None:
        return MoveKind.UNALIAS, int(str(change.recorded))
    return MoveKind.PRODUCTION if slot.name == CHAMPION else MoveKind.ALIAS, int(change.observed)


def is_signed(decided: StoredEvent, reviewer: Reviewer) -> bool:
    """Whether others approved an intent, for files that are still there: they need not sign again for an outage."""
    content = decided.event.content
    if not content.get("requested"):
        return False
    subject = content["subject"]
    try:
        record = reviewer.registry.version(decided.event.model, subject["version"])
    except NotFound:
        return False
    return bool(reviewer.evidence(record, fresh=True).subject() == subject)
