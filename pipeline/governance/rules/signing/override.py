"""Break glass: a move without the others' approvals, which stays open until another person has acknowledged it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.governance.actor import Actor, Role, actor_json, person_in, signature
from pipeline.governance.errors import Conflict, NotAllowed, NotFound, Refused, RequestClosed
from pipeline.governance.lifecycle import Move, MoveKind
from pipeline.governance.policy import LivePolicy, Policy
from pipeline.governance.ports import Ledger
from pipeline.governance.record.ledger import Event, EventType, StoredEvent, iso
from pipeline.governance.record.registrars import Registrar, registrar_of
from pipeline.governance.roles import Action
from pipeline.governance.rules.decide import Decider, Outcome, Request
from pipeline.governance.rules.review import Review
from pipeline.governance.rules.signing.separation import check_breaker


@dataclass(frozen=True)
class OpenOverride:
    """An override that nobody but whoever made it has looked at."""

    sequence: int
    model: str
    at: datetime
    content: Mapping[str, Any]  # of the event

    @property
    def version(self) -> int | None:
        version: int | None = self.content["subject"].get("version")
        return version

    @property
    def to(self) -> str:
        return str(self.content["to"])

    @property
    def reason(self) -> str:
        return str(self.content["reason"])

    @property
    def signature(self) -> str:
        """Who, and how that was known."""
        actor = self.content["actor"]
        return signature(str(actor["subject"]), actor.get("established"))

    def is_by(self, actor: Actor) -> bool:
        return person_in(self.content["actor"]) == actor.person

    @property
    def skipped(self) -> tuple[str, ...]:
        """The gates that were left unpassed."""
        return tuple(self.content["skipped"])

    @property
    def registrar_unknown(self) -> bool:
        """Whether nobody could tell that whoever overrode had not registered the version; of older ones nobody says."""
        return self.content.get("registrar_known") is False

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.sequence,
            "model": self.model,
            "version": self.version,
            "to": self.to,
            "by": self.content["actor"]["subject"],
            "at": iso(self.at),
            "reason": self.reason,
            "skipped": list(self.skipped),
            "approvals": self.content["needed"],
            "registrar_known": self.content.get("registrar_known"),
        }


@dataclass(frozen=True)
class Overrides:
    """Makes a move in spite of the rules that may be overridden, and keeps it open to be looked at."""

    ledger: Ledger
    policies: LivePolicy
    decider: Decider

    @property
    def policy(self) -> Policy:
        """With the roles of now. Raises NotAllowed while they cannot be read."""
        return self.policies.now()

    def override(self, request: Request) -> Outcome:
        """Record `overridden` and `decided`, and apply.

        It skips approvals and the gates of `policy.override_skips`, no others. Raises Refused and Conflict after
        recording `denied`, and as Decider.decide.
        """
        try:
            if earlier := self.decider.earlier(request):
                return earlier
            self._breaking(request.actor)
            review = self.decider.review(request.move, recompute=request.recompute)
            registrar = registrar_of(self.ledger, review.evidence, self.policy.logins)
            check_breaker(registrar, request.actor)
            review.check(
                expect=request.expect,
                evidence=request.evidence,
                accept_warnings=request.accept_warnings,
                skipped=self.policy.override_skips,
            )
            self.decider.check_rollback(request.move)
            with self.decider.locked(request, review) as transaction:
                # The role may have been taken away meanwhile.
                event = self._overridden(request, review, self._breaking(request.actor), registrar=registrar)
                stored = transaction.append(event)
                quoted = {"overridden": stored.sequence, "actor": stored.event.content["actor"]}
                intent = self.decider.intend_reviewed(transaction, request, review, quoted=quoted)
        except (Refused, Conflict) as error:
            self.decider.deny(request.move, request.actor, request.reason, error=error, about={"meaning": "override"})
        return self.decider.finish(request.move, intent)

    def _breaking(self, actor: Actor) -> tuple[Role, ...]:
        return self.policy.demand(actor, Action.OVERRIDE)

    def _overridden(self, request: Request, review: Review, roles: tuple[Role, ...], *, registrar: Registrar) -> Event:
        content = {
            "actor": actor_json(request.actor, roles),
            "meaning": request.move.kind.value,
            "reason": request.reason,
            "subject": review.evidence.subject(),
            "to": request.move.target,
            "evidence": review.evidence.digest,
            "state": review.state,
            "skipped": [gate.name for gate in review.blocked_by],
            "needed": review.rules.approvals,
            # An emergency does not wait where nobody knows; who looks at it afterwards is told.
            "registrar_known": registrar.is_known_to([request.actor]),
        }
        return Event(EventType.OVERRIDDEN, request.move.model, self.decider.clock.now(), content=content)

    def acknowledge(self, number: int, *, reason: str, actor: Actor) -> StoredEvent:
        """Record `acknowledged`: somebody else has looked at it. Raises NotFound, Refused and Conflict."""
        found = self._find(number)
        number = found.sequence
        content = {"subject": found.content["subject"], "to": found.to, "meaning": "acknowledge", "overridden": number}
        move = Move(found.model, MoveKind.RECONCILE, None)
        try:
            roles = self.policy.demand(actor, Action.ACKNOWLEDGE)
            if found.is_by(actor):
                raise NotAllowed(f"acknowledge: {number} is your own override; somebody else has to look at it")
            signed = {**content, "actor": actor_json(actor, roles), "reason": reason}
            event = Event(EventType.ACKNOWLEDGED, found.model, self.decider.clock.now(), content=signed)
            with self.ledger.transaction() as transaction:
                if number not in {each.sequence for each in self.open(found.model)}:
                    raise RequestClosed(f"acknowledge: {number} was acknowledged already")
                return transaction.append(event)
        except (Refused, Conflict) as error:
            self.decider.deny(move, actor, reason, error=error, about=content)

    def open(self, model: str | None = None) -> list[OpenOverride]:
        """The overrides of a model, or of all, that nobody has acknowledged, the newest first."""
        events = [
            each
            for each in self.ledger.page(model, only=(EventType.OVERRIDDEN, EventType.ACKNOWLEDGED))
            if isinstance(each, StoredEvent)
        ]
        seen = {each.event.content.get("overridden") for each in events}
        return [_open(each) for each in events if each.event.type is EventType.OVERRIDDEN and each.sequence not in seen]

    def _find(self, number: int) -> OpenOverride:
        stored = next(self.ledger.page(before=number + 1), None)
        if isinstance(stored, StoredEvent) and stored.sequence == number:
            if stored.event.type is EventType.OVERRIDDEN:
                return _open(stored)
            of = stored.event.content.get("overridden")  # the decision that it led to is what people know
            if of is not None:
                return self._find(of)
        raise NotFound(f"override: the ledger holds none with the number {number}")


def _open(stored: StoredEvent) -> OpenOverride:
    return OpenOverride(stored.sequence, stored.event.model, stored.event.at, stored.event.content)
