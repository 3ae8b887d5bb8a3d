"""Whether a signature still stands: whoever asked or approved may have lost the role since."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from pipeline.governance.actor import Actor, Role, UsedToken, actor_in, actor_json
from pipeline.governance.policy import LivePolicy, MoveRules
from pipeline.governance.ports import Clock, Ledger
from pipeline.governance.record.ledger import EventType, StoredEvent
from pipeline.governance.record.registrars import Registrar
from pipeline.governance.record.requests import REQUESTER, Binding, MoveRequest, SignedApproval
from pipeline.governance.roles import ACTIONS, Action
from pipeline.governance.tokens import FIRST_ISSUER, role_of_first


def signer_json(actor: Actor, roles: tuple[Role, ...]) -> dict[str, Any]:
    """As an event about a request holds who signed, with the groups on which the role may rest."""
    content = actor_json(actor, roles)
    groups = actor.itself.groups
    return {**content, "groups": list(groups)} if groups else content


@dataclass(frozen=True)
class Standing:
    """Looks at signatures again, by the roles of now and the groups that were recorded with each."""

    ledger: Ledger
    policies: LivePolicy
    clock: Clock

    def counted(
        self, request: MoveRequest, rules: MoveRules, registrars: Collection[Registrar]
    ) -> list[SignedApproval]:
        """The approvals of those who may still approve: a role may have been taken away, a registrar become known."""
        found = []
        for each in request.approvals:
            own = any(registrar.may_be(actor_in(each.actor)) for registrar in registrars)
            if not own and not self._roles_of_approver(each).isdisjoint(rules.approver_roles):
                found.append(each)
        return found

    def stale(self, request: MoveRequest, rules: MoveRules, now: Binding) -> tuple[str, ...]:
        """The names of what is another than those who signed saw, and whether whoever asked may ask no more."""
        return (*request.binding.changed(now), *self.lost(request, rules))

    def lost(self, request: MoveRequest, rules: MoveRules) -> tuple[str, ...]:
        """REQUESTER where whoever asked has no role any more that may ask for the move; otherwise nothing."""
        held = ACTIONS[Action.REQUEST].intersection(rules.asking_roles)
        return (REQUESTER,) if self._roles_of(request.actor).isdisjoint(held) else ()

    def _roles_of(self, signed: Mapping[str, Any]) -> frozenset[Role]:
        """The roles that whoever signed an event has now; signed: as the event holds them."""
        signer = actor_in(signed)
        roles, first = frozenset(self.policies.known().roles_of(signer)), self._first_role(signer)
        return roles | {first} if first else roles

    def _first_role(self, signer: Actor) -> Role | None:
        if signer.issuer != FIRST_ISSUER:
            return None
        return role_of_first(signer, self.ledger.tokens.all(), self.clock.now())

    def _roles_of_approver(self, signed: SignedApproval) -> frozenset[Role]:
        """As `_roles_of`, of a token at most its own.

        A token that has expired since was good when it signed. One that was revoked has none: its groups stay as they
        were when it was made, so that there is no other way to take a role from it alone.
        """
        token = signed.actor.get("token")
        if token is None:
            return self._roles_of(signed.actor)
        if self._was_revoked(token["name"], signed.sequence):
            return frozenset()
        owner, (role,) = actor_in(signed.actor), map(Role, signed.actor["roles"])
        acting = Actor.by_token(UsedToken(token["name"], role, owner, self._first_role(owner)))
        return frozenset(self.policies.known().roles_of(acting))

    def _was_revoked(self, name: str, sequence: int) -> bool:
        """Whether a token of this name was, after an event: the chain knows, also where the name was given again."""
        revoked = self.ledger.page(only=(EventType.TOKEN_REVOKED,))
        later = takewhile(lambda each: each.sequence > sequence, revoked)
        return any(isinstance(each, StoredEvent) and each.event.content["token"]["name"] == name for each in later)
