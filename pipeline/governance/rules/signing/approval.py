"""The road of several persons: somebody asks for a move, others approve or reject it, the last approval makes it.

Each signature is bound to the files, the evidence, the champion beside it, the rules of the move and the state of what
it moves. Requester, registrar and approvers are different persons, each told by issuer and subject.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Unpack

from pipeline.governance.actor import Actor, Role, actor_in, actor_json
from pipeline.governance.errors import (
    Conflict,
    DecisionPending,
    InvalidInput,
    NotAllowed,
    NotAttested,
    NotFound,
    Refused,
    RequestClosed,
    RequestStale,
)
from pipeline.governance.lifecycle import Move, MoveKind
from pipeline.governance.policy import LivePolicy, MoveRules, Policy
from pipeline.governance.ports import Clock, Ledger, LedgerTransaction
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.ledger import Event, EventType, StoredEvent, iso
from pipeline.governance.record.registrars import Registrar, registrars_of
from pipeline.governance.record.requests import (
    GONE,
    Binding,
    MoveRequest,
    RequestState,
    RequestView,
    changed_words,
    find_open_requests,
    find_request,
    find_requests,
)
from pipeline.governance.roles import ACTIONS, Action
from pipeline.governance.rules.decide import Decider, Outcome
from pipeline.governance.rules.reconcile import Reconciler
from pipeline.governance.rules.repeats import KeyOptions, check_same, check_unused, key_digest
from pipeline.governance.rules.signing.adoption import adoption_of
from pipeline.governance.rules.signing.matter import Matter, ReviewedMove
from pipeline.governance.rules.signing.separation import (
    approvals_needed,
    check_approver,
    check_rejecter,
    check_withdrawer,
)
from pipeline.governance.rules.signing.standing import Standing, signer_json


class OpenedPanel(NamedTuple):
    """A part of the review that the approver had opened."""

    name: str
    at: datetime


@dataclass(frozen=True)
class SignedAct:
    """One person's act upon a request."""

    request: int
    reason: str
    actor: Actor
    evidence: str = ""  # the digest that an approver looked at
    expect: str = ""  # the state that an approver looked at
    attested: tuple[str, ...] = ()  # the keys of the sentences that an approver confirms
    opened: tuple[OpenedPanel, ...] = ()
    key: str | None = None  # the same key again is the same act
    body: str = ""  # the digest of all that the key stands for, where that is more than request and reason

    def digest(self, act: str) -> str:
        """What a key stands for."""
        return _act_digest(act, self.actor, self.body, request=self.request, reason=self.reason)


@dataclass(frozen=True)
class Approved:
    """An approval, and the decision where it was the last one needed."""

    view: RequestView
    outcome: Outcome | None

    def as_json(self) -> dict[str, Any]:
        return {**self.view.as_json(), "decision": self.outcome and self.outcome.as_json()}


class AskOptions(KeyOptions, total=False):
    """What somebody who asks looks at and accepts, as for a decision."""

    evidence: str | None
    expect: str | None
    accept_warnings: bool


@dataclass(frozen=True)
class Approvals:
    """Asks for moves, and signs what was asked for."""

    ledger: Ledger
    policies: LivePolicy
    clock: Clock
    decider: Decider
    reconciler: Reconciler

    @property
    def policy(self) -> Policy:
        """With the roles of now. Raises NotAllowed while they cannot be read."""
        return self.policies.now()

    @property
    def _standing(self) -> Standing:
        return Standing(self.ledger, self.policies, self.clock)

    def ask(self, move: Move, *, reason: str, actor: Actor, options: AskOptions) -> MoveRequest:
        """Record `requested`.

        Raises Refused and Conflict after recording `denied`: also where the move needs no approval, and where the same
        was asked for already and can still be approved.
        """
        about = [move.model, move.kind, move.version, move.alias]
        digest = _act_digest("request", actor, options.get("body", ""), move=about, reason=reason)
        if earlier := self._earlier(options.get("key"), digest):
            return find_request(self.ledger, earlier.sequence)
        with self._denying(move, actor, reason, about={"meaning": "request"}):
            matter = self._matter(move, actor)
            if sentence := self.policy.closed(move.kind):
                raise NotAllowed(f"actor: {sentence.removesuffix('.')}")
            roles = self.policy.demand(actor, Action.REQUEST, among=matter.rules.asking_roles)
            if not matter.rules.approvals:
                raise Refused(f"request: {matter.meaning} needs no approval; whoever may make it can do so at once")
            matter.check(
                expect=options.get("expect"),
                evidence=options.get("evidence"),
                accept_warnings=options.get("accept_warnings", False),
            )
            now = self.clock.now()
            content = {
                **matter.content(),
                "actor": signer_json(actor, roles),
                "meaning": matter.meaning,
                "reason": reason,
                "bound": matter.binding.as_json(),
                "evidence": matter.binding.evidence,
                "policy": self.policy.digest,
                "needed": approvals_needed(matter.rules, self._registrars(matter.evidences), [actor]),
                "expires_at": iso(now + timedelta(days=matter.rules.expires_days)),
                "request": digest,
            }
            with matter.locked() as transaction:
                check_unused(transaction, options.get("key"))
                self._check_first(matter, now)
                event = Event(EventType.REQUESTED, move.model, now, key=options.get("key"), content=content)
                return MoveRequest.of([transaction.append(event)])

    def approve(self, signing: SignedAct) -> Approved:
        """Record `approved`; with the last signature that is needed, the decision too, which is then applied.

        Raises NotFound; Refused and Conflict after recording `denied`; Unavailable, where the registry stops answering
        after that, for a request that is approved and that `reconcile` finishes.
        """
        request = find_request(self.ledger, signing.request)
        if self._earlier(signing.key, signing.digest("approve")):
            return Approved(self.view(request), None)
        actor = signing.actor
        with self._denying(request.move, actor, signing.reason, about=_about("approve", request)):
            self._check_open(request)
            matter = self._matter(request.move, actor)
            self._approving(actor, matter)
            self._check_current(request, self._standing.stale(request, matter.rules, matter.binding))
            registrars = self._registrars(matter.evidences)
            check_approver(request, registrars, actor)
            attested = _check_attested(matter.rules, signing.attested)
            matter.check(expect=signing.expect, evidence=signing.evidence, accept_warnings=request.accepted)
            with matter.locked() as transaction:
                check_unused(transaction, signing.key)
                # Nobody can sign while the lock is held; a role may have been taken away before, a registrar told.
                roles, current = self._approving(actor, matter), find_request(self.ledger, request.sequence)
                registrars = self._registrars(matter.evidences)
                self._check_open(current)
                self._check_current(current, self._standing.lost(current, matter.rules))
                check_approver(current, registrars, actor)
                content = {
                    **_signed(request, signing, roles, act="approve"),
                    "evidence": signing.evidence,
                    "state": signing.expect,
                    "attested": attested,
                    "opened": [{"panel": each.name, "at": iso(each.at)} for each in signing.opened],
                }
                finish = self._sign(transaction, current, matter, content=content, key=signing.key)
        outcome = finish() if finish else None
        return Approved(self.view(find_request(self.ledger, request.sequence)), outcome)

    def _sign(
        self,
        transaction: LedgerTransaction,
        request: MoveRequest,
        matter: Matter,
        *,
        content: Mapping[str, Any],
        key: str | None,
    ) -> Callable[[], Outcome] | None:
        """Append the approval and, where it is the last one, what was asked for. None: others have to sign yet."""
        actor, registrars = actor_in(content["actor"]), self._registrars(matter.evidences)
        counted = self._standing.counted(request, matter.rules, registrars)
        signers = [actor_in(each.actor) for each in counted]
        last = len(counted) + 1 >= approvals_needed(matter.rules, registrars, [*signers, actor])
        decision = self.decider.new_id() if last else None
        event = Event(
            EventType.APPROVED, request.model, self.clock.now(), key=key, content={**content, "decides": decision}
        )
        stored = transaction.append(event)
        if decision is None:
            return None
        quoted = {
            "requested": request.sequence,
            "requested_by": dict(request.actor),
            "approvals": [*(each.sequence for each in counted), stored.sequence],
            "actor": content["actor"],
        }
        return matter.settle(transaction, decision, reason=request.reason, quoted=quoted)

    def reject(self, signing: SignedAct) -> RequestView:
        """Record `rejected`. Raises NotFound; Refused and Conflict after recording `denied`."""

        def check(request: MoveRequest) -> tuple[Role, ...]:
            roles = self.policy.demand(signing.actor, Action.APPROVE, among=self.rejecting_roles(request), act="reject")
            check_rejecter(request, signing.actor)
            return roles

        return self._close(signing, EventType.REJECTED, act="reject", check=check)

    def withdraw(self, signing: SignedAct) -> RequestView:
        """Record `withdrawn`. Raises NotFound; Refused and Conflict after recording `denied`."""

        def check(request: MoveRequest) -> tuple[Role, ...]:
            roles = self.policy.demand(signing.actor, Action.REQUEST, act="withdraw")
            check_withdrawer(request, signing.actor)
            return roles

        return self._close(signing, EventType.WITHDRAWN, act="withdraw", check=check)

    def comment(
        self, move: Move, text: str, *, actor: Actor, about: Mapping[str, Any], **once: Unpack[KeyOptions]
    ) -> StoredEvent:
        """Record `commented`; about: the version as subject, and the request where it is about one."""
        key = once.get("key")
        digest = _act_digest("comment", actor, once.get("body", ""), model=move.model, about=about, text=text)
        if earlier := self._earlier(key, digest):
            return earlier
        with self._denying(move, actor, text, about={"meaning": "comment"}):
            policy = self.policy
            policy.check(actor, Action.COMMENT)  # no signature: a login of any age will do
            roles = tuple(role for role in policy.roles_of(actor) if role in ACTIONS[Action.COMMENT])
            content = {**about, "actor": actor_json(actor, roles), "meaning": "comment", "text": text}
            if key:
                content["request"] = digest
            with self.ledger.transaction() as transaction:
                check_unused(transaction, key)
                event = Event(EventType.COMMENTED, move.model, self.clock.now(), key=key, content=content)
                return transaction.append(event)

    def _close(
        self,
        signing: SignedAct,
        kind: EventType,
        *,
        act: str,
        check: Callable[[MoveRequest], tuple[Role, ...]],
    ) -> RequestView:
        request = find_request(self.ledger, signing.request)
        if self._earlier(signing.key, signing.digest(act)):
            return self.view(request)
        with self._denying(request.move, signing.actor, signing.reason, about=_about(act, request)):
            roles = check(request)
            with self.ledger.transaction() as transaction:
                check_unused(transaction, signing.key)
                self._check_open(find_request(self.ledger, request.sequence), expired=True)
                content = _signed(request, signing, roles, act=act)
                transaction.append(Event(kind, request.model, self.clock.now(), key=signing.key, content=content))
        return self.view(find_request(self.ledger, request.sequence))

    # What a list of them shows

    def open_views(self, model: str | None = None) -> list[RequestView]:
        """The requests about a model, or about all, that have not ended, the newest first. Raises Unavailable."""
        return [self.view(each) for each in find_open_requests(self.ledger, model)]

    def ended_views(self, model: str | None = None) -> list[RequestView]:
        """Those that have ended, the newest first."""
        return [each for each in map(self.view, find_requests(self.ledger, model)) if not each.is_waiting]

    def view(self, request: MoveRequest) -> RequestView:
        """A request as it stands now; of one that is closed, the registry is not asked. Raises Unavailable."""
        state, needed = request.state(self.clock.now()), int(request.content["needed"])
        if state is not RequestState.OPEN:
            return RequestView(request, state, (), needed, len(request.approvals))
        try:
            rules, evidences, binding = self._look(request.move)
        except NotFound:
            return RequestView(request, state, (GONE,), needed, len(request.approvals))
        registrars = self._registrars(evidences)
        counted = self._standing.counted(request, rules, registrars)
        needed = approvals_needed(rules, registrars, [actor_in(each.actor) for each in counted])
        stale, roles = self._standing.stale(request, rules, binding), rules.approver_roles
        return RequestView(request, state, stale, needed, len(counted), registrars, roles)

    def _look(self, move: Move) -> tuple[MoveRules, tuple[Evidence, ...], Binding]:
        """What a list needs, without looking at gates. Raises NotFound."""
        if move.kind is MoveKind.RECONCILE:
            found = adoption_of(self.reconciler, move.model, acting=False)
            return found.rules, found.evidences, found.binding
        prospect = self.decider.reviewer.prospect(move)
        return prospect.rules, (prospect.evidence,), prospect.binding(self.policies.started)

    # What holds for every signature

    def _matter(self, move: Move, actor: Actor) -> "Matter":
        if move.kind is MoveKind.RECONCILE:
            return adoption_of(self.reconciler, move.model, acting=True)
        return ReviewedMove(self.decider, self.decider.review(move), actor)

    def _registrars(self, evidences: Iterable[Evidence]) -> tuple[Registrar, ...]:
        return registrars_of(self.ledger, evidences, self.policies.started.logins)

    def _approving(self, actor: Actor, matter: Matter) -> tuple[Role, ...]:
        """The roles by which somebody may approve. Raises NotAllowed."""
        return self.policy.demand(actor, Action.APPROVE, among=matter.rules.approver_roles)

    def rejecting_roles(self, request: MoveRequest) -> tuple[Role, ...]:
        """Of which one rejects a request, also one about a version that is gone."""
        if request.is_adoption:
            return tuple(role for rules in self.policies.started.moves.values() for role in rules.approver_roles)
        return self.policies.started.rules_of(request.move.kind).approver_roles

    def _check_open(self, request: MoveRequest, *, expired: bool = False) -> None:
        """expired: whether one that has expired may still be closed."""
        state = request.state(self.clock.now())
        if state is not RequestState.OPEN and not (expired and state is RequestState.EXPIRED):
            raise RequestClosed(f"request: {request.sequence} is {state.words}; look at the requests again")

    def _check_current(self, request: MoveRequest, stale: Collection[str]) -> None:
        """Raises RequestStale where something is another than those who signed saw."""
        if stale:
            raise RequestStale(f"request: {changed_words(stale)} changed since {request.sequence} was made; ask again")

    def _check_first(self, matter: Matter, now: datetime) -> None:
        """Under the lock: the same is not asked for already. What can no longer be approved is in nobody's way."""
        wanted = matter.content()
        for each in find_open_requests(self.ledger, matter.move.model):
            same = (each.content["meaning"], each.to, each.version) == (
                matter.meaning,
                wanted["to"],
                wanted["subject"].get("version"),
            )
            if not same or each.state(now) is not RequestState.OPEN:
                continue
            if not self._standing.stale(each, matter.rules, matter.binding):
                raise DecisionPending(f"request: {each.sequence} asks for the same; it can be approved or withdrawn")

    def _earlier(self, key: str | None, digest: str) -> StoredEvent | None:
        """The event that the same act wrote before. Raises KeyReused for another one."""
        if key is None:
            return None
        with self.ledger.transaction() as transaction:
            found = transaction.find_key(key)
        if found is not None:
            check_same(found, digest)
        return found

    @contextmanager
    def _denying(self, move: Move, actor: Actor, reason: str, *, about: Mapping[str, Any]) -> Iterator[None]:
        """Record whatever refuses the block as `denied`."""
        try:
            yield
        except (Refused, Conflict) as error:
            self.decider.deny(move, actor, reason, error=error, about=about)


def _about(act: str, request: MoveRequest) -> dict[str, Any]:
    """What a refusal says of the request."""
    return {"meaning": act, "requested": request.sequence, "to": request.to}


def _signed(request: MoveRequest, signing: SignedAct, roles: tuple[Role, ...], *, act: str) -> dict[str, Any]:
    """What every event about a request holds."""
    return {
        "actor": signer_json(signing.actor, roles),
        "meaning": request.content["meaning"],
        "reason": signing.reason,
        "requested": request.sequence,
        "subject": request.content["subject"],
        "to": request.to,
        "request": signing.digest(act),
    }


def _check_attested(rules: MoveRules, attested: Collection[str]) -> dict[str, str]:
    """The sentences that are confirmed, by key. Raises NotAttested, and InvalidInput for a key that there is not."""
    if unknown := sorted(set(attested) - set(rules.attestations)):
        allowed = ", ".join(rules.attestations) or "none"
        raise InvalidInput(f"attest: there is no sentence {', '.join(unknown)}; there are {allowed}")
    if missing := [f"{key} ({text})" for key, text in rules.attestations.items() if key not in attested]:
        raise NotAttested(f"attest: to be confirmed too: {', '.join(missing)}")
    return dict(rules.attestations)


def _act_digest(act: str, actor: Actor, body: str, **about: Any) -> str:  # noqa: ANN401 (whatever is JSON)
    return key_digest({"act": act, "actor": list(actor.person), **about}, body)
