"""What waits for whom, what belongs to one story, and what was said about a version."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.governance.actor import Actor, Role
from pipeline.governance.lifecycle import CHAMPION, MoveKind, Stage
from pipeline.governance.policy import Tier
from pipeline.governance.record.ledger import EventType
from support.desks import GRACE, MODEL, REASON, OpenDesk, build_desk, small_registry
from support.signers import (
    ADMIN,
    ALAN,
    ANNA,
    BEN,
    RITA,
    TO_PRODUCTION,
    TRAINER,
    approve,
    ask,
    signing,
    signing_desk,
    signing_policy,
)


def waiting(desk: OpenDesk, actor: Actor) -> list[int]:
    return [each.request.sequence for each in desk.queues(actor).waiting]


def asked(desk: OpenDesk, actor: Actor) -> list[int]:
    return [each.request.sequence for each in desk.queues(actor).asked]


def test_a_request_waits_for_those_who_may_sign_it() -> None:
    """Not for who asked, who registered the version, who has signed already, and who has no role for it."""
    desk = signing_desk(2)
    request = ask(desk, actor=ANNA).sequence

    assert {actor.subject: waiting(desk, actor) for actor in (ALAN, ANNA, TRAINER, RITA, BEN, ADMIN)} == {
        "alan": [request], "anna": [], "trainer": [], "rita": [], "ben": [], "admin": []
    }  # fmt: skip
    assert (asked(desk, ANNA), asked(desk, RITA)) == ([request], [])

    approve(desk, desk.find_request(request).request, ALAN)

    assert waiting(desk, ALAN) == []
    assert [(each.counted, each.missing) for each in desk.queues(ANNA).asked] == [(1, 1)]


def test_what_can_be_approved_as_it_is_waits_first() -> None:
    """Then what is stale, by name; what has ended waits for nobody."""
    desk = signing_desk()
    stale = ask(desk)
    desk.registry.set_tags(MODEL, 1, {"note": "new"})
    fresh = ask(desk, actor=ALAN)

    queue = desk.queues(ANNA)
    assert [(each.request.sequence, each.stale) for each in queue.waiting] == [
        (fresh.sequence, ()),
        (stale.sequence, ("evidence",)),
    ]
    desk.withdraw(signing(stale, RITA))
    approve(desk, fresh, ANNA)

    assert desk.queues(ANNA).is_empty
    assert desk.queues(RITA).is_empty


def test_what_has_expired_waits_for_whoever_asked_only() -> None:
    """Until they ask again."""
    desk = signing_desk()
    request = ask(desk)
    desk.clock.time += timedelta(days=8)

    assert (waiting(desk, ANNA), asked(desk, RITA)) == ([], [request.sequence])


def test_a_name_from_the_network_signs_nothing() -> None:
    """Whatever role everybody has who declares a name."""
    policy = signing_policy()
    open_to_all = replace(policy, roles=replace(policy.roles, self_declared=(Role.APPROVER,)))
    desk = signing_desk(policy=open_to_all)
    request = ask(desk).sequence

    assert waiting(desk, GRACE) == [request]
    assert waiting(desk, replace(GRACE, loopback=False)) == []


def test_people_are_called_by_their_names() -> None:
    """Those that are kept beside the chain; a name that was erased is the subject again."""
    desk = signing_desk()
    request = ask(desk)
    queue = desk.queues(RITA)

    assert queue.who(request.actor) == "rita (oidc)"
    assert replace(queue, names={RITA.person.reference: "Rita R."}).who(request.actor) == "Rita R. (oidc)"


def test_a_request_and_its_signatures_are_one_story() -> None:
    """From any of its events: signatures, comments, and the decision as one line."""
    desk = signing_desk(2)
    request = ask(desk)
    desk.comment(MODEL, 1, "See the oldest.", actor=ADMIN, request=request.sequence)
    desk.comment(MODEL, 1, "About the version alone.", actor=ADMIN)
    approve(desk, request, ALAN)
    approve(desk, request, ANNA)
    told = desk.story(request.sequence)

    assert [each.type for each in told] == [
        EventType.REQUESTED, EventType.COMMENTED, EventType.APPROVED, EventType.APPROVED, EventType.APPLIED
    ]  # fmt: skip
    assert [desk.story(each.sequence) for each in told] == [told] * len(told)


def test_an_override_and_who_looked_at_it_are_one_story() -> None:
    """An event that belongs to neither has none."""
    desk = signing_desk()
    desk.override(TO_PRODUCTION, reason=REASON, actor=BEN)
    (override,) = desk.queues(RITA).overrides
    assert [len(desk.queues(actor).open_to_person) for actor in (ADMIN, ANNA, RITA, BEN)] == [1, 1, 0, 0]
    desk.acknowledge(override.sequence, reason=REASON, actor=ADMIN)

    assert [each.type for each in desk.story(override.sequence)] == [
        EventType.OVERRIDDEN, EventType.APPLIED, EventType.ACKNOWLEDGED
    ]  # fmt: skip
    assert (desk.story(1), desk.story(999), desk.queues(RITA).is_empty) == ([], [], True)


def test_comments_are_those_of_this_very_version() -> None:
    """The newest first; the number may have been another version's."""
    desk = signing_desk()
    for text in ("First.", "Second."):
        desk.comment(MODEL, 1, text, actor=RITA)
    desk.comment(MODEL, 2, "Of another.", actor=RITA)
    created_at = desk.show(MODEL, 1).content["created_at"]

    assert [each.reason for each in desk.comments(MODEL, 1, created_at)] == ["Second.", "First."]
    assert desk.comments(MODEL, 1, "2020-01-01T00:00:00+00:00") == []


def test_comments_on_a_request_are_told_with_it() -> None:
    """Those that name it, the newest first; a number that no request has has none."""
    desk = signing_desk()
    request = ask(desk)
    for text, about in (("First.", request.sequence), ("Of the version.", None), ("Second.", request.sequence)):
        desk.comment(MODEL, 1, text, actor=RITA, request=about)

    assert [each.reason for each in desk.request_comments(request.sequence)] == ["Second.", "First."]
    assert desk.request_comments(1) == desk.request_comments(999) == []


@pytest.mark.parametrize(("models", "said"), [((), False), ((MODEL,), True)])
def test_a_found_champion_needs_no_approval_where_the_move_asks_for_none(models: tuple[str, ...], said: bool) -> None:
    """A tier may ask for it."""
    registry = small_registry()
    registry.set_alias(MODEL, CHAMPION, 2)
    registry.set_stage(MODEL, 2, Stage.PRODUCTION)
    strict = signing_policy(1)
    tier = Tier("strict", models=models, moves={MoveKind.PRODUCTION: strict.moves[MoveKind.PRODUCTION]})
    desk = build_desk(registry, policy=replace(signing_policy(0), tiers=(tier,)))
    desk.look()
    plain = build_desk(registry, desk.ledger)

    assert (desk.not_approved_here(MODEL) is not None) is said
    assert plain.not_approved_here(MODEL) is None
