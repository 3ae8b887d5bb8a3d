"""Review's form where others sign: each person sees what is theirs to do, and who else is needed."""

from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipeline import bootstrap
from pipeline.governance.actor import Actor
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import EventType
from support.desks import MODEL, REASON, KnownDifferences, OpenDesk, build_desk, worse
from support.seen import button, texts
from support.signers import ALAN, ANNA, BEN, RITA, TRAINER, ask, signing_desk, signing_policy

SENTENCES = {"data": "I know where the data come from.", "harm": "I know *whom* it can harm."}


@pytest.fixture
def looking_as(open_page, monkeypatch):
    """The review of version 1's move to Production, as somebody sees it."""

    def look(desk: OpenDesk, actor: Actor, **query: str) -> AppTest:
        monkeypatch.setattr(bootstrap, "visitor", lambda *_arguments, **_options: actor)
        return open_page(desk, "review", **{"model": MODEL, "version": "1", "to": "Production", **query})

    return look


def primary(app: AppTest) -> list[str]:
    """The labels of the primary actions."""
    return [each.label for each in app.main.button if each.proto.type == "primary"]


def labels(app: AppTest) -> set[str]:
    return {each.label for each in app.main.button}


def area(app: AppTest, label: str) -> Any:
    return next(each for each in app.text_area if each.label == label)


def sign(app: AppTest, label: str, reason: str = REASON) -> AppTest:
    area(app, "Reason").input(reason)
    found: AppTest = button(app.run(), label).click().run()
    assert not found.exception
    return found


def test_a_move_is_requested_and_approved_by_two(looking_as):
    """The requester accepts the warnings, approvers see which; the last approval shows the receipt of a promotion."""
    desk = signing_desk(2, comparer=KnownDifferences([worse("f1_macro")]))
    free = build_desk(desk.registry, desk.ledger, policy=signing_policy(0), clock=desk.clock)
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        free.promote(MODEL, 2, stage, reason=REASON, actor=ANNA, accept_warnings=True)
    app = looking_as(desk, RITA)
    assert primary(app) == ["Request"]
    assert any("needs 2 approvals from people with the role approver" in each.value for each in app.caption)
    app.checkbox[0].check()
    app = sign(app, "Request")
    assert primary(app) == ["Withdraw the request"]
    (asked,) = desk.requests()

    app = looking_as(desk, ANNA)
    assert primary(app) == ["Approve"]
    assert "Reject" in labels(app)
    assert "Not worse than the champion" in texts(app)
    app = sign(app, "Approve")
    assert primary(app) == []
    assert "you have approved" in texts(app)

    app = sign(looking_as(desk, ALAN), "Approve")
    assert any("is applied" in each.value for each in app.success)
    assert desk.state(MODEL).champion == 1
    assert desk.find_request(asked.request.sequence).counted == 2


def test_each_sentence_is_confirmed_before_the_approval(looking_as):
    """One by one; what the approver had open goes with the signature, and so does what was shown."""
    desk = signing_desk(policy=signing_policy(attestations=SENTENCES))
    request = ask(desk)
    app = looking_as(desk, ANNA, show="Lineage")
    assert [each.label for each in app.checkbox] == [SENTENCES["data"], f"`{SENTENCES['harm']}`"]
    assert button(app, "Approve").disabled
    app = app.checkbox[0].check().run()
    assert button(app, "Approve").disabled
    app = app.checkbox[1].check().run()
    sign(app, "Approve")
    approved = next(each for each in desk.history(MODEL) if each.type is EventType.APPROVED)

    assert approved.content["attested"] == SENTENCES
    assert approved.content["evidence"] == request.binding.evidence
    assert [each["panel"] for each in approved.content["opened"]] == ["Lineage"]


@pytest.mark.parametrize(
    ("actor", "why", "acts"),
    [
        (RITA, "has the role reviewer", ["Withdraw the request"]),
        (TRAINER, "you registered this version", []),
    ],
    ids=["requester", "registrar"],
)
def test_who_may_not_approve_is_told_before_anything_is_typed(looking_as, actor, why, acts):
    """With what is theirs to do instead."""
    desk = signing_desk()
    ask(desk)
    app = looking_as(desk, actor)

    assert why in texts(app)
    assert "Approve" not in labels(app)
    assert primary(app) == acts
    assert ("Reject" in labels(app)) == (actor is TRAINER)


@pytest.mark.parametrize(("label", "actor"), [("Withdraw the request", RITA), ("Reject", ANNA)])
def test_a_request_is_closed_with_a_reason(looking_as, label, actor):
    """Then it can be asked for again."""
    desk = signing_desk()
    ask(desk)
    app = looking_as(desk, actor)
    app = sign(app, label, reason="")
    assert "Reason: 0 characters given" in texts(app)
    app = sign(app, label)

    assert desk.requests() == []
    assert primary(app) == ["Request"]


def test_a_request_is_commented_on_where_it_is_signed(looking_as):
    """What is no comment is refused there; the comments of the version stay in their section."""
    desk = signing_desk()
    request = ask(desk)
    desk.comment(MODEL, 1, "Of the version.", actor=RITA)
    app = button(looking_as(desk, ANNA), "Add comment").click().run()
    assert "comment: 0 characters given" in texts(app)
    area(app, "Comment").set_value("Which rows?").run()
    app = button(app, "Add comment").click().run()

    assert not app.exception
    assert "Comments on the request" in [each.value for each in app.caption]
    assert "anna (oidc), " in texts(app)
    assert "Which rows?" in texts(app)
    assert "Of the version." not in texts(app)
    assert [each.reason for each in desk.request_comments(request.sequence)] == ["Which rows?"]


def test_a_stale_and_an_expired_request_say_why(looking_as):
    """What has changed is named, and the request can be made anew or cleared away."""
    desk = signing_desk()
    ask(desk)
    desk.registry.set_tags(MODEL, 1, {"note": "new"})
    app = looking_as(desk, RITA)
    assert "The evidence changed since it was made." in texts(app)
    assert primary(app) == ["Request"]
    assert "Withdraw the request" in labels(app)

    app = sign(app, "Request")
    desk.clock.time += timedelta(days=8)
    app = looking_as(desk, RITA, again="1")
    assert "It expired on" in texts(app)


def test_the_glass_is_broken_behind_a_fold(looking_as):
    """For who has the role only; it says what it skips, keeps the typed reason, and the receipt follows."""
    desk = signing_desk(2)
    assert "Override: Move version 1 to Production" not in labels(looking_as(desk, ANNA))
    app = looking_as(desk, BEN)
    assert primary(app) == []
    assert "The approvals of others" in texts(app)
    area(app, "Reason").input("What I think of it so far").run()
    app = looking_as(desk, BEN)
    assert area(app, "Reason").value == "What I think of it so far"
    app = sign(app, "Override: Move version 1 to Production")

    assert any("is applied" in each.value for each in app.success)
    assert len(desk.open_overrides(MODEL)) == 1


def test_a_move_of_one_person_stays_as_it_is(open_page, desk):
    """One step, with the one primary action; whichever panel is open, the receipt follows."""
    app = open_page(desk, "review", model=MODEL, version="2", show="Lineage")
    assert primary(app) == ["Move version 2 to Production"]
    assert "Request" not in labels(app)
    app = sign(app, "Move version 2 to Production")

    assert any("is applied" in each.value for each in app.success)
