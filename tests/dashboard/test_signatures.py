"""What several persons see who sign: their queues, overrides, comments, and a request told as one story."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.caching import forget_reads
from dashboard.history.one_event import labels
from pipeline.governance.actor import Role
from pipeline.governance.lifecycle import CHAMPION, MoveKind, Stage
from pipeline.governance.service import GovernanceService
from support.desks import GRACE, MODEL, REASON, OpenDesk, build_desk, small_registry
from support.seen import badges, button, frame, label_of, links, texts
from support.signers import (
    ADMIN,
    ANNA,
    BEN,
    RITA,
    TO_PRODUCTION,
    TRAINER,
    approve,
    ask,
    person,
    roles,
    signing_desk,
    signing_policy,
)

Open = Callable[..., AppTest]


def desk_of(*roles: Role, approvals: int = 2, **parts: Any) -> OpenDesk:
    """A desk at which grace, who looks at the pages, has these roles; version 1 waits in Staging."""
    policy = signing_policy(approvals, kinds=(MoveKind.PRODUCTION, MoveKind.ROLLBACK))
    known = replace(policy.roles, self_declared=roles)
    return signing_desk(policy=replace(policy, roles=known), **parts)


def headers(app: AppTest) -> list[str]:
    return [each.value for each in app.header]


def address(app: AppTest, label: str) -> str:
    return next(str(each.proto.query_string) for each in app.get("page_link") if label_of(each) == label)


def test_what_i_may_sign_waits_for_me(open_page: Open) -> None:
    """With who asked, why, whose signatures it has and what it takes; the link leads to the version and the move."""
    desk = desk_of(Role.APPROVER)
    approve(desk, ask(desk), ANNA)
    app = open_page(desk)

    assert not app.exception
    assert "Waiting for you" in headers(app)
    assert "You asked for" not in headers(app)
    assert f"{MODEL}: rita (oidc) asked on" in texts(app)
    assert "1 of 2 approvals, by anna (oidc). 1 more needed, by the role approver, not by who asked" in texts(app)
    assert address(app, "Move version 1 to Production") == f"model={MODEL}&version=1&to=Production"


def test_what_i_asked_for_says_what_became_of_it(open_page: Open) -> None:
    """A request that is stale says why by name, and one that is not says until when."""
    desk = desk_of(Role.REVIEWER)
    ask(desk, actor=GRACE)
    fresh = texts(open_page(desk))
    desk.registry.set_tags(MODEL, 1, {"note": "new"})
    forget_reads()
    app = open_page(desk)

    assert "Until 2026-01-08" in fresh
    assert "You asked for" in headers(app)
    assert "Waiting for you" not in headers(app)
    assert any("Stale" in each for each in badges(app))
    assert "Nobody can approve it as it is, because the evidence changed: it has to be asked for again." in texts(app)


def test_gates_are_told_by_their_labels(open_page: Open) -> None:
    """Of an override on the Overview and in its event, and of the warnings that a decision accepted."""
    policy = replace(signing_policy(2, kinds=(MoveKind.PRODUCTION,)), override_skips=("stage_is_staging",))
    desk = signing_desk(policy=replace(policy, roles=replace(policy.roles, self_declared=(Role.VIEWER,))))
    desk.override(replace(TO_PRODUCTION, version=2), reason=REASON, actor=BEN)

    event = open_page(desk, "history", model=MODEL, event=str(desk.open_overrides()[0].sequence))

    for app in (open_page(desk), event):
        assert "Reviewed in Staging" in texts(app)
        assert "stage_is_staging" not in texts(app)
    assert labels(["claims_recomputed", "a_gate_of_later"]) == "Claims hold when recomputed, a_gate_of_later"
    assert labels(None) is None


def test_an_override_says_where_nobody_knows_who_registered(open_page: Open) -> None:
    """On the Overview and in its event."""
    policy = signing_policy()
    held = replace(policy.roles, self_declared=(Role.VIEWER,))
    desk = signing_desk(policy=replace(policy, roles=held), registered_by=None)
    desk.override(TO_PRODUCTION, reason=REASON, actor=BEN)
    event = open_page(desk, "history", model=MODEL, event=str(desk.open_overrides()[0].sequence))

    assert "Who registered the version is not known: it may have been the same person." in texts(open_page(desk))
    assert "not known" in texts(event)


def test_an_override_is_red_until_somebody_else_has_looked_at_it(open_page: Open) -> None:
    """With who, when and why."""
    desk = desk_of(Role.VIEWER)
    desk.override(TO_PRODUCTION, reason=REASON, actor=BEN)
    app = open_page(desk)
    assert "I have looked at it" not in [each.label for each in app.button]
    assert any(":red-badge[:material/error: Rules overridden]" in each for each in badges(app))
    assert f"ben (oidc) on 2026-01-01 00:00 UTC: {MODEL}, version 1 to Production, without the" in texts(app)
    assert f"Reason: {REASON}" in texts(app)

    assert "Who registered the version is not known" not in texts(app)

    desk.acknowledge(desk.open_overrides()[0].sequence, reason=REASON, actor=ADMIN)
    forget_reads()

    assert not any("Rules overridden" in each for each in badges(open_page(desk)))


def test_an_override_is_acknowledged_where_it_stands(open_page: Open) -> None:
    """By who may, with a reason; one that is too short is refused there."""
    desk = desk_of(Role.APPROVER)
    desk.override(TO_PRODUCTION, reason=REASON, actor=BEN)
    app = button(open_page(desk), "I have looked at it").click().run()
    assert "reason: 0 characters given, 10 to 2,000 characters are allowed" in texts(app)

    app.text_area[0].set_value(REASON).run()
    button(app, "I have looked at it").click().run()

    assert not app.exception
    assert desk.open_overrides() == []
    assert not any("Rules overridden" in each for each in badges(app))


def test_a_rollback_that_waits_leads_to_the_champion(open_page: Open) -> None:
    """Where Review offers it."""
    desk = desk_of(Role.APPROVER, approvals=1)
    approve(desk, ask(desk), ANNA)
    desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=ANNA)
    approve(desk, ask(desk, replace(TO_PRODUCTION, version=2)), ANNA)
    desk.request_rollback(MODEL, reason=REASON, actor=RITA)

    link = address(open_page(desk), "Roll back to version 1")
    assert link.replace("+", " ").replace("%20", " ") == f"model={MODEL}&version=2&to=Roll back"


def test_a_champion_that_was_found_is_not_approved_here(open_page: Open) -> None:
    """Said at its tile."""
    registry = small_registry()
    registry.set_alias(MODEL, CHAMPION, 2)
    registry.set_stage(MODEL, 2, Stage.PRODUCTION)
    assert any("Not approved here" in each for each in badges(open_page(desk_of(Role.VIEWER, registry=registry))))


def test_alone_nothing_of_it_is_there(open_page: Open, desk: GovernanceService) -> None:
    """Where one person decides."""
    app = open_page(desk)

    assert not {"Waiting for you", "You asked for"} & set(headers(app))
    assert not any("Not approved here" in each or "overridden" in each for each in badges(app))


def test_a_comment_is_plain_text_on_review_and_card(open_page: Open) -> None:
    """The newest first; what is no comment is refused beside the form and stays typed."""
    desk = desk_of(Role.REVIEWER)
    desk.comment(MODEL, 1, "The first.", actor=RITA)
    app = open_page(desk, "review", model=MODEL, version="1", show="Comments")
    assert any("1 comment" in each for each in badges(app))
    button(app, "Add comment").click().run()
    assert "comment: 0 characters given" in texts(app)

    app.text_area[-1].set_value("**Bold**\nand two lines").run()
    button(app, "Add comment").click().run()

    assert not app.exception
    assert "**Bold**\nand two lines" in texts(app)
    assert texts(app).index("**Bold**") < texts(app).index("The first.")
    assert app.text_area[-1].value == ""
    assert [each.reason for each in desk.history(MODEL)[-2:]] == ["The first.", "**Bold**\nand two lines"]
    card = open_page(desk, "card", model=MODEL, version="1")
    assert any("The first." in str(each.value.to_dict()) for each in card.table)


def test_a_comment_on_a_request_is_answered_where_it_waits(open_page: Open) -> None:
    """On the Overview: the newest as a line, all of them and the form behind a button; none of the version's own."""
    desk = desk_of(Role.APPROVER)
    request = ask(desk)
    desk.comment(MODEL, 1, "Of the version.", actor=RITA)
    desk.comment(MODEL, 1, "**Soon**, please.", actor=RITA, request=request.sequence)
    app = open_page(desk)
    assert "rita (oidc): **Soon**, please." in texts(app)
    assert "Of the version." not in texts(app)
    app.text_area[0].set_value("Why now?").run()
    button(app, "Add comment").click().run()

    assert not app.exception
    assert [each.reason for each in desk.request_comments(request.sequence)] == ["Why now?", "**Soon**, please."]
    assert "grace (self-declared): Why now?" in texts(app)


def test_who_may_not_comment_has_no_form(open_page: Open) -> None:
    """Only what others said."""
    app = open_page(desk_of(Role.VIEWER), "review", model=MODEL, version="1", show="Comments")

    assert "Nobody has commented on this version." in [each.value for each in app.caption]
    assert "Add comment" not in [each.label for each in app.button]


@pytest.mark.parametrize("of", [0, -1])
def test_a_request_is_told_with_its_signatures_as_one_story(open_page: Open, of: int) -> None:
    """From the request itself as from the decision that it led to."""
    desk = desk_of(Role.VIEWER, approvals=1)
    request = ask(desk)
    desk.comment(MODEL, 1, "See the oldest.", actor=ADMIN, request=request.sequence)
    approve(desk, request, ANNA)
    number = desk.story(request.sequence)[of].number
    app = open_page(desk, "history", model=MODEL, event=str(number))
    told = texts(app)

    assert not app.exception
    assert f"Request {request.sequence} from the beginning" in [each.value for each in app.caption]
    steps = [
        "rita asked for approval to promote version 1",
        "admin commented on version 1.\nComment: See the oldest.",
        "anna approved the request to promote version 1",
        "anna promoted version 1 to Production, as rita had asked for.",
    ]
    story = told[told.rindex(steps[0]) :]
    assert [story.index(each) for each in steps] == sorted(story.index(each) for each in steps)
    assert "Version 1" in links(app)


def test_people_are_called_by_their_names(open_page: Open) -> None:
    """Where a login provider's subjects say nothing to anybody: in the queue, in its comments and in History."""
    rita, anna = person("u-3", "Rita"), person("u-7", "Anna <b>B</b>")
    held = roles({rita: (Role.REVIEWER,), anna: (Role.APPROVER,)})
    policy = replace(signing_policy(2), roles=replace(held, self_declared=(Role.APPROVER,)))
    desk = build_desk(policy=policy)
    desk.record_registration(MODEL, 1, TRAINER)
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=anna)
    request = ask(desk, actor=rita)
    desk.comment(MODEL, 1, "See the oldest.", actor=anna, request=request.sequence)
    approve(desk, request, anna)
    waiting, story = (texts(open_page(desk, *page)) for page in ((), ("history",)))
    app = open_page(desk, "history", model=MODEL)

    assert f"{MODEL}: Rita (oidc) asked on" in waiting
    assert "1 of 2 approvals, by Anna <b>B</b> (oidc)" in waiting
    assert {"Rita (oidc)", "Anna <b>B</b> (oidc)"} <= set(frame(app, "Who")["Who"])
    assert "u-7" not in waiting + story
    assert "u-3" not in waiting + story
