"""The road of several persons, as the service gives it: ask, sign, override, look at what waits, comment."""

from dataclasses import replace
from itertools import takewhile
from typing import Unpack

from pipeline.governance.actor import Actor, actor_json
from pipeline.governance.errors import InvalidInput, NotAllowed, NotFound
from pipeline.governance.lifecycle import CHAMPION, Move, MoveKind, Slot, check_move
from pipeline.governance.policy import LivePolicy
from pipeline.governance.reason import check_comment, check_reason
from pipeline.governance.record.history import Entry, one_line_each
from pipeline.governance.record.ledger import ENDS, Event, EventType, StoredEvent, iso
from pipeline.governance.record.registrars import registration
from pipeline.governance.record.requests import SIGNING, MoveRequest, RequestView, find_request
from pipeline.governance.roles import Action
from pipeline.governance.rules.decide import Options, Outcome, Request
from pipeline.governance.rules.reconcile import Reconciler
from pipeline.governance.rules.repeats import KeyOptions, record_refusal
from pipeline.governance.rules.review import Review
from pipeline.governance.rules.signing.approval import Approvals, Approved, AskOptions, OpenedPanel, SignedAct
from pipeline.governance.rules.signing.override import OpenOverride, Overrides
from pipeline.governance.rules.signing.queues import SigningQueues, signable
from pipeline.governance.rules.signing.turn import AdoptionTurn, Turn, adoption_turn_of, turn_of
from pipeline.governance.service.reading import RecordReader

__all__ = ["OpenedPanel", "RequestDesk", "SignedAct"]
BEGINS = (EventType.REQUESTED, EventType.OVERRIDDEN)
OF_A_STORY = (*SIGNING, EventType.OVERRIDDEN, EventType.ACKNOWLEDGED, EventType.COMMENTED, EventType.DECIDED, *ENDS)


class RequestDesk(RecordReader):
    """The part of the service in which several persons sign."""

    actor: Actor
    _approvals: Approvals
    _overrides: Overrides
    _policies: LivePolicy
    _reconciler: Reconciler

    def request(self, move: Move, *, reason: str, actor: Actor, **options: Unpack[AskOptions]) -> MoveRequest:
        """Ask for a move that needs the approval of others, such as a review was drawn for.

        Raises InvalidInput for what is no move or no reason; Refused and Conflict, which the ledger then holds as
        `denied`; NotFound; Unavailable.
        """
        asked = check_move(move)
        self._reconciler.take_over(move.model)
        return self._approvals.ask(asked, reason=check_reason(reason), actor=actor, options=options)

    def request_rollback(self, model: str, *, reason: str, actor: Actor, **options: Unpack[AskOptions]) -> MoveRequest:
        """Ask for the return to the previous champion. Raises NotFound where the ledger knows none."""
        return self.request(self.rollback_move(model), reason=reason, actor=actor, **options)

    def request_adoption(self, model: str, *, reason: str, actor: Actor, **options: Unpack[AskOptions]) -> MoveRequest:
        """Ask for what differs to be taken as recorded, where that would have needed the approval of others."""
        asked = Move(model, MoveKind.RECONCILE, None)
        return self._approvals.ask(asked, reason=check_reason(reason), actor=actor, options=options)

    def rollback_move(self, model: str) -> Move:
        """The move that a rollback would make. Raises NotFound where the ledger knows no earlier champion."""
        self._registry.model(model)
        version = self._reconciler.reviewer.previous_champion(model)
        if version is None:
            raise NotFound(f"rollback: the ledger knows no earlier champion of {model!r}")
        return Move(model, MoveKind.ROLLBACK, version)

    def approve(self, signing: SignedAct) -> Approved:
        """Approve a request; the last approval that is needed makes the move in the same step.

        Raises InvalidInput without evidence and state; NotFound; Refused and Conflict, which the ledger then holds as
        `denied`; Unavailable, also where the request is approved and `reconcile` finishes it.
        """
        for name, given in (("evidence", signing.evidence), ("state", signing.expect)):
            if not given:
                raise InvalidInput(f"{name}: an approval says which {name} was looked at; see the review")
        return self._approvals.approve(_with_reason(signing))

    def reject(self, signing: SignedAct) -> RequestView:
        """End a request of somebody else. Raises as `approve`."""
        return self._approvals.reject(_with_reason(signing))

    def withdraw(self, signing: SignedAct) -> RequestView:
        """End a request of one's own. Raises as `approve`."""
        return self._approvals.withdraw(_with_reason(signing))

    def turn(self, review: Review, actor: Actor) -> Turn:
        """What somebody may do about a move that others sign, and why not what they may not; nothing is recorded.

        Raises NotAllowed for who signs nothing at all; Unavailable.
        """
        return turn_of(self._approvals, review, actor)

    def adoption_turn(self, model: str, actor: Actor) -> AdoptionTurn | None:
        """The same about the adoption of what was moved past the desk; None where that is up to one person, and nobody
        has asked for it. Raises as `turn`, and NotFound.
        """
        return adoption_turn_of(self._approvals, model, actor)

    def authorise(self, action: Action) -> None:
        """Raises NotAllowed where whoever asks has no role for it."""
        self._policies.known().check(self.actor, action)

    def check_reader(self, act: str, number: int | None) -> None:
        """Whoever reads nothing here is refused before anything is looked up: the sentence and the event that it leaves
        are the same whether or not there is such a model, version or number. Raises NotAllowed.
        """
        policy = replace(self._policies.started, roles=self._policies.book.known())  # at no time: reading asks for none
        try:
            policy.check(self.actor, Action.READ)
        except NotAllowed as error:
            about = {"meaning": "decide"} if number is None else {"meaning": act, "looked_up": number}
            actor = actor_json(self.actor, policy.roles_of(self.actor))
            content = {"actor": actor, **about, "refusal": type(error).__name__, "why": str(error)}
            record_refusal(self._ledger, Event(EventType.DENIED, "", self._reconciler.clock.now(), content=content))
            raise

    def find_request(self, number: int) -> RequestView:
        """One request as it stands now. Raises NotFound, Unavailable."""
        return self._approvals.view(find_request(self._ledger, number))

    def requests(self, model: str | None = None, *, due: bool = False) -> list[RequestView]:
        """The requests that wait, of one model or of all, the newest first. Raises Unavailable.

        due: those that nobody can approve as they are, because something has changed or time is up.
        """
        found = self._approvals.open_views(model)
        return [each for each in found if (each.is_due if due else each.is_waiting)]

    def closed_requests(self, model: str | None = None) -> list[RequestView]:
        """Those that have ended, the newest first."""
        return self._approvals.ended_views(model)

    def queues(self, actor: Actor) -> SigningQueues:
        """What waits for somebody, what they asked for, and the overrides that nobody has looked at.

        Raises Unavailable.
        """
        policy = self._policies.known()
        roles = policy.roles_of(actor) if policy.may(actor, Action.APPROVE) else ()
        live = self._approvals.open_views()
        overrides = tuple(self._overrides.open())
        return SigningQueues(
            waiting=signable(live, actor, roles),
            asked=tuple(each for each in live if each.request.requester == actor.person),
            overrides=overrides,
            open_to_person=frozenset(
                each.sequence for each in overrides if policy.may(actor, Action.ACKNOWLEDGE) and not each.is_by(actor)
            ),
            names=self._ledger.names.all() if live or overrides else {},
        )

    def story(self, number: int) -> list[Entry]:
        """Everything about the request or the override that an event belongs to, one line per decision, oldest first.

        Empty for an event that belongs to none.
        """
        found = self.event(number)
        first = None if found is None else _begin(found)
        if found is None or first is None:
            return []
        events = takewhile(lambda each: each.sequence >= first, self._ledger.page(found.model, only=OF_A_STORY))
        told = [each for each in self._told(events) if _begin(each) == first]
        return one_line_each(told[::-1])

    def comments(self, model: str, version: int, created_at: str) -> list[Entry]:
        """The comments on a version, the newest first; created_at: when it was registered, as its evidence has it."""
        told = self._told(self._ledger.page(model, only=(EventType.COMMENTED,)))
        return [each for each in told if each.is_about(version, created_at)]

    def request_comments(self, number: int) -> list[Entry]:
        """The comments on a request, the newest first."""
        found = self.event(number)
        if found is None or found.type is not EventType.REQUESTED:
            return []
        events = takewhile(
            lambda each: each.sequence > number, self._ledger.page(found.model, only=(EventType.COMMENTED,))
        )
        return [each for each in self._told(events) if each.content.get("requested") == number]

    def override(self, move: Move, *, reason: str, actor: Actor, **options: Unpack[Options]) -> Outcome:
        """Make a move without the approvals and gates that the policy lets an override skip. Raises as `decide`."""
        request = Request(check_move(move), check_reason(reason), actor, **options)
        self._reconciler.take_over(move.model)
        return self._overrides.override(request)

    def acknowledge(self, number: int, *, reason: str, actor: Actor) -> StoredEvent:
        """Say that one has looked at somebody's override; number: its own, or that of the decision that it made.

        Raises NotFound; Refused and Conflict, which the ledger then holds as `denied`.
        """
        return self._overrides.acknowledge(number, reason=check_reason(reason), actor=actor)

    def open_overrides(self, model: str | None = None) -> list[OpenOverride]:
        """The overrides of a model, or of all, that nobody else has looked at, the newest first."""
        return self._overrides.open(model)

    def comment(
        self,
        model: str,
        version: int,
        text: str,
        *,
        actor: Actor,
        request: int | None = None,
        **once: Unpack[KeyOptions],
    ) -> StoredEvent:
        """Add plain text to the record of a version, and of a request about it.

        Raises InvalidInput for a text that is too long or empty, or a request about another version; NotFound; Refused
        and Conflict, which the ledger then holds as `denied`.
        """
        checked, record = check_comment(text), self._registry.version(model, version)
        if request is not None:
            found = find_request(self._ledger, request)
            if (found.model, found.version) != (model, version):
                raise InvalidInput(f"request: {request} is not about version {version} of {model!r}")
        subject = {"model": model, "version": version, "created_at": iso(record.row.created_at)}
        about = {"subject": subject, **({} if request is None else {"requested": request})}
        return self._approvals.comment(Move(model, MoveKind.NONE, version), checked, actor=actor, about=about, **once)

    def record_registration(self, model: str, version: int, actor: Actor) -> StoredEvent | None:
        """Record who registered a version with the files that it has now; None where the ledger knows that.

        Raises NotFound.
        """
        reviewer = self._reconciler.reviewer
        evidence = reviewer.evidence(self._registry.version(model, version))
        if registration(self._ledger, evidence) is not None:
            return None
        self._reconciler.take_over(model)
        content = {"actor": actor_json(actor, ()), "meaning": "register", "subject": evidence.subject()}
        event = Event(EventType.REGISTERED, model, self._reconciler.clock.now(), content=content)
        with self._ledger.transaction() as transaction:
            return transaction.append(event)

    def not_approved_here(self, model: str) -> str | None:
        """Why nobody has approved the recorded champion at this desk, as a sentence; None where somebody did, and where
        the move to Production asks for no approval. Raises NotFound.
        """
        policy = self._policies.started
        if not policy.rules_of(MoveKind.PRODUCTION, len(policy.tiers)).approvals:
            return None
        slot = Slot.of_alias(model, CHAMPION)
        newest = next(iter(self._ledger.champions(model, newest=1)), None)
        if newest is None or newest.event.type is not EventType.BASELINE:
            return None
        tier = policy.tier_of(model, self._registry.model(model).tags)
        if not policy.rules_of(MoveKind.PRODUCTION, tier).approvals:
            return None
        version = next((each.to for each in newest.event.changes if each.slot == slot), None)
        found = f"{newest.event.at:%Y-%m-%d}"
        return f"Version {version} was champion when this desk first looked, on {found}: not approved here."


def _with_reason(signing: SignedAct) -> SignedAct:
    """As it is recorded. Raises InvalidInput."""
    return replace(signing, reason=check_reason(signing.reason))


def _begin(found: Entry) -> int | None:
    """The number of the request or override that an event is about; None where it is about none."""
    named = found.content.get("requested") or found.content.get("overridden")
    return named if type(named) is int else found.sequence if found.type in BEGINS else None
