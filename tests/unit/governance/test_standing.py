"""Whether whoever asked may still ask when others sign: by the roles of then and the groups kept with the request."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from pipeline.governance.actor import Actor, Role, UsedToken
from pipeline.governance.errors import DecisionPending, RequestStale
from pipeline.governance.lifecycle import CHAMPION, Stage
from pipeline.governance.policy import Policy
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.requests import RequestState
from pipeline.governance.roles import FixedRoles, Provider
from pipeline.governance.rules.signing.turn import Act
from support.decisions import types
from support.desks import GRACE, MODEL, REASON
from support.in_memory import InMemoryLedger
from support.signers import (
    ALAN,
    ANNA,
    RITA,
    ROLES,
    TO_PRODUCTION,
    approve,
    ask,
    person,
    roles,
    signing,
    signing_desk,
    signing_policy,
    with_policy,
)

WORDS = "the role of whoever asked for it changed"
WITHOUT_RITA = roles({actor: held for actor, held in ROLES.items() if actor != RITA})
GROUPED = replace(person("gina"), groups=("reviewers", "staff"))


def grouped(approvals: int = 1) -> Policy:
    """Where members of a group ask."""
    return replace(signing_policy(approvals), roles=replace(roles(), groups={"reviewers": (Role.REVIEWER,)}))


def test_what_somebody_without_a_role_asked_for_is_not_applied() -> None:
    """The queue says why, and so do the refusal and the form; with the role back it can be approved as it was."""
    desk = signing_desk()
    request = ask(desk)
    later = with_policy(desk, replace(desk.policy, roles=WITHOUT_RITA))
    view = later.find_request(request.sequence)

    assert (view.stale, view.is_due, view.as_json()["stale"]) == (("requester",), True, ["requester"])
    assert view.stale_sentence == "the role of whoever asked for it"
    assert [each.request.sequence for each in later.requests(due=True)] == [request.sequence]
    assert WORDS in later.turn(later.review(TO_PRODUCTION), ANNA).refusals[Act.APPROVE]
    with pytest.raises(RequestStale, match=WORDS):
        approve(later, request, ANNA)
    assert later.registry.state(MODEL).champion is None
    assert (desk.history(MODEL)[-1].type, desk.history(MODEL)[-1].meaning) == (EventType.DENIED, "approve")
    assert approve(desk, request, ANNA).view.state is RequestState.APPLIED


def test_another_role_that_may_ask_is_enough() -> None:
    """What counts is whether they may ask, not by which role they did."""
    desk = signing_desk()
    request = ask(desk)
    for held, stale in (((Role.APPROVER,), ()), ((Role.ADMIN, Role.VIEWER), ("requester",))):
        later = with_policy(desk, replace(desk.policy, roles=roles({**ROLES, RITA: held})))
        assert later.find_request(request.sequence).stale == stale


def test_a_request_of_somebody_without_a_role_is_in_nobodys_way() -> None:
    """Somebody else asks for the same; while the first could be approved they could not."""
    desk = signing_desk()
    request = ask(desk)
    with pytest.raises(DecisionPending):
        ask(desk, actor=ANNA)
    later = with_policy(desk, replace(desk.policy, roles=WITHOUT_RITA))
    again = ask(later, actor=ANNA)

    assert approve(later, again, ALAN).view.state is RequestState.APPLIED
    assert later.reject(signing(request, ANNA)).state is RequestState.REJECTED


def test_it_holds_for_an_adoption_too() -> None:
    """What somebody moved past the desk is not signed for by who may ask no more."""
    desk = signing_desk()
    desk.registry.set_alias(MODEL, CHAMPION, 1)
    desk.registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    later = with_policy(desk, replace(desk.policy, roles=WITHOUT_RITA))

    assert later.find_request(request.sequence).stale == ("requester",)
    with pytest.raises(RequestStale, match=WORDS):
        approve(later, request, ANNA)


def test_a_role_is_looked_at_again_under_the_lock() -> None:
    """It may be taken away while the lock is waited for."""

    class Waiting(InMemoryLedger):
        busy = False

        @contextmanager
        def transaction(self) -> Iterator[InMemoryLedger]:
            if self.busy:
                object.__setattr__(desk.decider.policies, "book", FixedRoles(WITHOUT_RITA))
            with super().transaction() as transaction:
                yield transaction

    ledger = Waiting()
    desk = signing_desk(ledger=ledger)
    request = ask(desk)
    ledger.busy = True
    with pytest.raises(RequestStale, match=WORDS):
        approve(desk, request, ANNA)

    assert desk.registry.state(MODEL).champion is None
    assert EventType.APPROVED not in types(desk)


@pytest.mark.parametrize(
    "actor", [GROUPED, Actor.by_token(UsedToken("ci", Role.REVIEWER, GROUPED))], ids=["login", "token"]
)
def test_groups_count_as_they_were_when_it_was_asked_for(actor: Actor) -> None:
    """They are kept with the request, also those of a token's owner; the group itself may lose the role."""
    desk = signing_desk(policy=grouped())
    request = ask(desk, actor=actor)
    ungrouped = with_policy(desk, replace(desk.policy, roles=roles()))

    assert request.actor["groups"] == ["reviewers", "staff"]
    assert (desk.find_request(request.sequence).stale, ungrouped.find_request(request.sequence).stale) == (
        (),
        ("requester",),
    )
    assert approve(desk, request, ANNA).view.state is RequestState.APPLIED


def test_whoever_made_the_first_token_asks_as_long_as_it_is_good() -> None:
    """Their role is the token's: the policy does not list them."""
    policy = replace(signing_policy(), provider=Provider.OIDC)
    desk = signing_desk(policy=policy)
    made = desk.as_(GRACE).issue_token("first", Role.REVIEWER, 30, first=True)
    request = ask(desk, actor=desk.authenticate(made.secret))
    assert desk.find_request(request.sequence).stale == ()
    desk.as_(desk.authenticate(made.secret)).revoke_token("first")

    assert desk.find_request(request.sequence).stale == ("requester",)
