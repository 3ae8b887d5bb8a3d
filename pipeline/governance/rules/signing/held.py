"""By which roles a signature counts that was given before: they are looked up again, also those of a token."""

from datetime import datetime
from itertools import takewhile

from pipeline.governance.actor import Actor, Role, UsedToken, actor_in
from pipeline.governance.policy import Policy
from pipeline.governance.ports import Ledger
from pipeline.governance.record.ledger import EventType, StoredEvent
from pipeline.governance.record.requests import SignedApproval
from pipeline.governance.tokens import role_of_first


def roles_held(signed: SignedApproval, policy: Policy, ledger: Ledger, *, now: datetime) -> tuple[Role, ...]:
    """Those that whoever signed has now, by the groups of then; of a token at most its own role.

    A token that has expired since was good when it signed. One that was revoked has none: its groups are as they were
    when it was made, so that there is no other way to take a role from it. Raises Unavailable.
    """
    person, token = actor_in(signed.actor), signed.actor.get("token")
    if token is None:
        return policy.roles_of(person)
    if _was_revoked(token["name"], signed.sequence, ledger):
        return ()
    owner_role = role_of_first(person, ledger.tokens.all(), now)
    (role,) = map(Role, signed.actor["roles"])
    return policy.roles_of(Actor.by_token(UsedToken(token["name"], role, person, owner_role)))


def _was_revoked(name: str, sequence: int, ledger: Ledger) -> bool:
    """Whether a token of this name was, after an event: the chain knows, also where the name was given again."""
    revoked = ledger.page(only=(EventType.TOKEN_REVOKED,))
    later = takewhile(lambda each: each.sequence > sequence, revoked)
    return any(isinstance(each, StoredEvent) and each.event.content["token"]["name"] == name for each in later)
