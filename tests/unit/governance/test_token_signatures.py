"""Approvals that somebody gives with a token: they count as long as the role does on which they rest."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.governance.actor import Actor, Role
from pipeline.governance.policy import Policy
from pipeline.governance.record.requests import MoveRequest, RequestState
from pipeline.governance.tokens import FIRST_ISSUER
from support.desks import GRACE, OpenDesk, TickingClock
from support.signers import ADMIN, ALAN, ANNA, approve, ask, person, roles, signing_desk, signing_policy, with_policy

GINA = replace(person("gina"), groups=("ml-approvers", "staff"))
GROUPS = {"ml-approvers": (Role.APPROVER, Role.REVIEWER)}


def policy_of(
    groups: Mapping[str, tuple[Role, ...]] = GROUPS, tokens: Mapping[str, tuple[Role, ...]] | None = None
) -> Policy:
    """Two approve; whoever is in a group has its roles."""
    return replace(signing_policy(2), roles=replace(roles(), groups=groups, tokens=tokens or {}))


def by_token(desk: OpenDesk, owner: Actor, name: str = "ci", days: int = 7) -> Actor:
    """Who comes with a token that somebody made."""
    return desk.authenticate(desk.as_(owner).issue_token(name, Role.APPROVER, days).secret)


def signed_by(desk: OpenDesk, owner: Actor) -> MoveRequest:
    """A request that has one of two signatures: by a token of somebody."""
    request = ask(desk)
    approve(desk, request, by_token(desk, owner))
    return request


def counted(desk: OpenDesk, request: MoveRequest) -> int:
    return desk.find_request(request.sequence).counted


@pytest.mark.parametrize("owner", [GINA, ANNA], ids=["by a group", "by name"])
def test_a_signature_by_a_token_counts(owner: Actor) -> None:
    """As its owner's; the groups on which the role rests stand with it."""
    desk = signing_desk(policy=policy_of())
    request = signed_by(desk, owner)
    assert counted(desk, request) == 1
    held = desk.find_request(request.sequence).request.approvals[0].actor
    assert (held["roles"], held.get("groups", [])) == (["approver"], list(owner.groups))

    assert approve(desk, request, ALAN).view.state is RequestState.APPLIED
    assert desk.ledger.problems() == []


def test_it_can_be_the_last_one() -> None:
    """The order of the two is no matter."""
    desk = signing_desk(policy=policy_of())
    request = ask(desk)
    approve(desk, request, ALAN)

    assert approve(desk, request, by_token(desk, GINA)).view.state is RequestState.APPLIED


@pytest.mark.parametrize(
    "later",
    [policy_of({}), policy_of({"ml-approvers": (Role.REVIEWER,)}), policy_of(tokens={"ci": (Role.REVIEWER,)})],
    ids=["no group", "another role", "the token's section"],
)
def test_it_counts_no_more_without_the_role(later: Policy) -> None:
    """By the roles of then: whatever takes the role from the token takes its signature back."""
    desk = signing_desk(policy=policy_of())
    request = signed_by(desk, GINA)
    changed = with_policy(desk, later)

    assert counted(changed, request) == 0
    assert approve(changed, request, ALAN).view.state is RequestState.OPEN
    assert approve(changed, request, ANNA).view.state is RequestState.APPLIED


def test_it_counts_no_more_where_the_token_was_revoked() -> None:
    """Also by somebody else, and also where its name was given again."""
    desk = signing_desk(policy=policy_of())
    request = signed_by(desk, GINA)
    by_token(desk, GINA, "other")
    desk.as_(GINA).revoke_token("other")
    assert counted(desk, request) == 1
    desk.as_(ADMIN).revoke_token("ci")
    assert counted(desk, request) == 0
    by_token(desk, GINA)
    assert counted(desk, request) == 0

    assert approve(desk, request, ALAN).view.state is RequestState.OPEN


def test_a_name_that_was_revoked_before_counts() -> None:
    """Its signatures are those of the token that has the name now."""
    desk = signing_desk(policy=policy_of())
    by_token(desk, GINA)
    desk.as_(GINA).revoke_token("ci")

    assert counted(desk, signed_by(desk, GINA)) == 1


def test_it_outlives_a_token_that_expires() -> None:
    """The token was good when it signed; whoever made it wanted it to end."""
    clock = TickingClock()
    desk = signing_desk(policy=policy_of(), clock=clock)
    request = ask(desk)
    approve(desk, request, by_token(desk, GINA, days=1))
    clock.time += timedelta(days=2)

    assert counted(desk, request) == 1
    desk.as_(GINA).revoke_token("ci")
    assert counted(desk, request) == 0


@pytest.mark.parametrize("ended", ["revoked", "expired"])
def test_a_signature_by_the_first_token_lasts_as_its_role_does(ended: str) -> None:
    """Whoever made it has no other role: until it expires or is revoked."""
    clock = TickingClock()
    desk = signing_desk(policy=policy_of(), clock=clock)
    made = desk.as_(GRACE).issue_token("first", Role.APPROVER, 2, first=True)
    first = desk.authenticate(made.secret)
    request = ask(desk)
    approve(desk, request, by_token(desk, first, "second", days=1))
    assert (first.person.issuer, counted(desk, request)) == (FIRST_ISSUER, 1)
    if ended == "revoked":
        desk.as_(first).revoke_token("first")
    else:
        clock.time += timedelta(days=3)

    assert counted(desk, request) == 0
