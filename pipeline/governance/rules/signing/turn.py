"""Whose turn it is: what one person may do about a move that others sign, told before anything is typed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from pipeline.governance.actor import Actor, Role
from pipeline.governance.errors import Blocked, Conflict, NotAllowed, Refused, RequestClosed, RequestStale
from pipeline.governance.lifecycle import Move
from pipeline.governance.policy import MoveRules, Policy
from pipeline.governance.record.registrars import Registrar, registrar_of, registrars_of
from pipeline.governance.record.requests import RequestState, RequestView, find_open_requests
from pipeline.governance.roles import Action
from pipeline.governance.rules.gates import GateResult
from pipeline.governance.rules.review import Review
from pipeline.governance.rules.signing.adoption import Adoption, adoption_of
from pipeline.governance.rules.signing.approval import Approvals
from pipeline.governance.rules.signing.separation import (
    approvals_needed,
    check_approver,
    check_breaker,
    check_rejecter,
    check_withdrawer,
)


class Act(StrEnum):
    """What somebody may do about a move that others sign."""

    REQUEST = "request"
    APPROVE = "approve"
    REJECT = "reject"
    WITHDRAW = "withdraw"
    OVERRIDE = "override"


@dataclass(frozen=True)
class Turn:
    """What one person may do about a move, and who else is needed."""

    # The newest request for this move that waits; where none does, the newest that can be approved no more and that
    # nobody has closed.
    view: RequestView | None
    needed: int  # approvals that a request of this person would take
    approver_roles: tuple[Role, ...]  # of which an approval needs one
    # Why this person may not, in a sentence; an act that is not among them is theirs to do.
    refusals: Mapping[Act, str]
    breaks_glass: bool  # whether this person has a role that overrides at all
    skips: tuple[GateResult, ...]  # the gates that block, and that an override would leave unpassed

    def may(self, act: Act) -> bool:
        return act not in self.refusals

    @property
    def waits(self) -> bool:
        """Whether a request is there that can be approved as it is, or is being applied."""
        return self.view is not None and not self.view.is_due


@dataclass(frozen=True)
class AdoptionTurn:
    """What one person may do about what was moved past the desk, where others sign for taking it as recorded."""

    turn: Turn
    asks: bool  # whether adopting it takes the approval of others now; False: only a request from before is left
    attestations: Mapping[str, str]  # the sentences that an approver confirms, by key
    # What an approval or a request gives back as looked at.
    evidence: str
    state: str


def turn_of(approvals: Approvals, review: Review, actor: Actor) -> Turn:
    """Raises NotAllowed for who signs nothing at all, StaleLogin among them; Unavailable."""
    policy = approvals.policies.known()
    policy.check_signer(actor)
    registrar = registrar_of(approvals.ledger, review.evidence, policy.logins)
    view = _newest(approvals, review.move)
    person = _Person(actor, policy, review.rules, (registrar,))
    checks: dict[Act, Callable[[], object]] = {
        Act.REQUEST: person.check_request,
        Act.OVERRIDE: lambda: _check_override(policy, actor, registrar, blocked_by=review.blocked_by),
        **({} if view is None else person.checks(view, rejecting=review.rules.approver_roles)),
    }
    return Turn(
        view,
        approvals_needed(review.rules, (registrar,), [actor]),
        review.rules.approver_roles,
        refusals=_refusals(checks),
        breaks_glass=policy.may(actor, Action.OVERRIDE),
        skips=tuple(review.blocked_by),
    )


def adoption_turn_of(approvals: Approvals, model: str, actor: Actor) -> AdoptionTurn | None:
    """None where others sign nothing: whoever may adopt does so at once, and no request waits.

    Raises NotAllowed for who signs nothing at all; NotFound; Unavailable.
    """
    adoption = adoption_of(approvals.reconciler, model, acting=False)
    view, asks = _newest(approvals, adoption.move), bool(adoption.differences and adoption.rules.approvals)
    if view is None and not asks:
        return None
    policy = approvals.policies.known()
    policy.check_signer(actor)
    registrars = registrars_of(approvals.ledger, adoption.evidences, policy.logins)
    person, binding = _Person(actor, policy, adoption.rules, registrars), adoption.binding
    checks: dict[Act, Callable[[], object]] = {
        Act.REQUEST: lambda: _check_adoption(person, adoption),
        **({} if view is None else person.checks(view, rejecting=approvals.rejecting_roles(view.request))),
    }
    turn = Turn(
        view,
        approvals_needed(adoption.rules, registrars, [actor]),
        adoption.rules.approver_roles,
        refusals=_refusals(checks),
        breaks_glass=False,
        skips=(),
    )
    return AdoptionTurn(turn, asks, adoption.rules.attestations, evidence=binding.evidence, state=binding.state)


def _newest(approvals: Approvals, move: Move) -> RequestView | None:
    asked = [each for each in find_open_requests(approvals.ledger, move.model) if each.move == move]
    views = [approvals.view(each) for each in asked]
    return next((each for each in views if not each.is_due), next(iter(views), None))


def _check_approvable(view: RequestView) -> None:
    """Raises RequestClosed and RequestStale."""
    number = view.request.sequence
    if view.state is not RequestState.OPEN:
        raise RequestClosed(f"request: {number} is {view.state.words}")
    if view.stale:
        raise RequestStale(f"request: {view.stale_sentence} changed since {number} was made; ask again")


@dataclass(frozen=True)
class _Person:
    """What one person may do about what others sign; each check raises what the service would refuse with."""

    actor: Actor
    policy: Policy  # with the roles of now
    rules: MoveRules  # of the move
    registrars: tuple[Registrar, ...]  # of each version that it is about

    def check_request(self) -> None:
        self.policy.demand(self.actor, Action.REQUEST, among=self.rules.asking_roles)

    def checks(self, view: RequestView, *, rejecting: Iterable[Role]) -> dict[Act, Callable[[], object]]:
        """Of what may be done about a request. rejecting: the roles of which one rejects it."""
        return {
            Act.APPROVE: partial(self._check_approve, view),
            Act.REJECT: partial(self._check_reject, view, rejecting),
            Act.WITHDRAW: partial(self._check_withdraw, view),
        }

    def _check_approve(self, view: RequestView) -> None:
        self.policy.demand(self.actor, Action.APPROVE, among=self.rules.approver_roles)
        _check_approvable(view)
        check_approver(view.request, self.registrars, self.actor)

    def _check_reject(self, view: RequestView, rejecting: Iterable[Role]) -> None:
        self.policy.demand(self.actor, Action.APPROVE, among=rejecting, act="reject")
        check_rejecter(view.request, self.actor)

    def _check_withdraw(self, view: RequestView) -> None:
        self.policy.demand(self.actor, Action.REQUEST, act="withdraw")
        check_withdrawer(view.request, self.actor)


def _check_override(policy: Policy, actor: Actor, registrar: Registrar, *, blocked_by: Iterable[GateResult]) -> None:
    """Also raises Blocked, where a gate stands in the way that no override skips."""
    policy.demand(actor, Action.OVERRIDE)
    check_breaker(registrar, actor)
    if kept := [gate.label for gate in blocked_by if gate.name not in policy.override_skips]:
        raise Blocked(f"override: it does not skip {', '.join(kept)}; policy.override_skips lists what it may")


def _check_adoption(person: _Person, adoption: Adoption) -> None:
    """Also raises what the registry, as it is, refuses an adoption for."""
    if sentence := person.policy.closed(adoption.move.kind):
        raise NotAllowed(f"actor: {sentence.removesuffix('.')}")
    person.check_request()
    adoption.check(expect=None, evidence=None, accept_warnings=False)


def _refusals(checks: Mapping[Act, Callable[[], object]]) -> dict[Act, str]:
    return {act: why for act, check in checks.items() if (why := _why(check))}


def _why(check: Callable[[], object]) -> str:
    """What refuses, in a sentence; empty where nothing does."""
    try:
        check()
    except (Refused, Conflict) as error:
        return str(error)
    return ""
