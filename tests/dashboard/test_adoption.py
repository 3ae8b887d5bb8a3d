"""History where accepting what moved past the desk takes others: each person has there what is theirs to do."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.caching import forget_reads
from pipeline import bootstrap
from pipeline.governance.actor import Actor, Established
from pipeline.governance.lifecycle import CHAMPION, Stage
from pipeline.governance.record.ledger import EventType
from support.desks import MODEL, REASON, OpenDesk
from support.seen import button, label_of, texts
from support.signers import ADMIN, ALAN, ANNA, RITA, TRAINER, signing_desk, signing_policy

ACCEPT, ASK, UNDO = "Accept what is there now", "Ask others to accept it", "Undo it, back to the record"
WAYS = {ACCEPT, ASK, UNDO, "Approve", "Reject", "Withdraw the request"}
Look = Callable[..., AppTest]


@pytest.fixture
def looking_as(open_page: Look, monkeypatch: pytest.MonkeyPatch) -> Look:
    """The history of the model, or another page, as somebody sees it."""

    def look(desk: OpenDesk, actor: Actor, page: str = "history") -> AppTest:
        monkeypatch.setattr(bootstrap, "visitor", lambda *_arguments, **_options: actor)
        forget_reads()
        return open_page(desk, page, **({"model": MODEL} if page else {}))

    return look


def moved_desk(approvals: int = 1, **rules: Any) -> OpenDesk:
    """Version 1 was made champion past a desk that asks for approvals."""
    desk = signing_desk(policy=signing_policy(approvals, **rules))
    desk.registry.set_alias(MODEL, CHAMPION, 1)
    desk.registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    return desk


def ways(app: AppTest) -> set[str]:
    assert not app.exception
    return {each.label for each in app.main.button} & WAYS


def primary(app: AppTest) -> list[str]:
    return [each.label for each in app.main.button if each.proto.type == "primary"]


def sign(app: AppTest, label: str, reason: str = REASON) -> AppTest:
    next(each for each in app.text_area if each.label == "Reason").input(reason)
    found: AppTest = button(app.run(), label).click().run()
    assert not found.exception
    return found


def test_it_is_asked_for_and_approved_by_two(looking_as: Look) -> None:
    """From the link on the Overview to the event that accepts it; whoever asked may only withdraw."""
    desk = moved_desk(2)
    app = looking_as(desk, RITA)
    assert (ways(app), primary(app)) == ({ASK, UNDO}, [ASK])
    assert any("To accept it takes 2 approvals from people with the role" in each.value for each in app.caption)
    app = sign(app, ASK)
    assert ways(app) == {"Withdraw the request", UNDO}
    (asked,) = desk.requests()
    assert asked.request.is_adoption

    overview = looking_as(desk, ANNA, "")
    assert "Accept what was changed outside" in [label_of(each) for each in overview.get("page_link")]
    app = looking_as(desk, ANNA)
    assert (ways(app), primary(app)) == ({"Approve", "Reject", UNDO}, ["Approve"])
    assert REASON in texts(app)
    app = sign(app, "Approve")
    assert ways(app) == {UNDO, "Reject"}
    assert "you have approved" in texts(app)

    app = sign(looking_as(desk, ALAN), "Approve")
    newest = desk.history(MODEL)[-1]
    assert [each.value for each in app.toast] == [
        f"What was changed outside of this desk is accepted: event {newest.number}"
    ]
    assert (newest.type, newest.actor, desk.differences(MODEL)) == (EventType.ADOPTED, "alan", [])
    assert ways(app) == set()


@pytest.mark.parametrize(
    ("actor", "label", "ended"), [(RITA, "Withdraw the request", "withdrawn"), (ANNA, "Reject", "rejected")]
)
def test_a_request_is_ended_where_it_waits(looking_as: Look, actor: Actor, label: str, ended: str) -> None:
    """By who asked and by who may reject; then it can be asked for anew."""
    desk = moved_desk()
    request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    app = sign(looking_as(desk, actor), label)

    assert any(f"Request {request.sequence} is {ended}." in each.value for each in app.toast)
    assert desk.requests() == []
    assert ways(app) == {ASK, UNDO}


def test_who_registered_the_version_does_not_approve_it(looking_as: Look) -> None:
    """Said before anything is typed, with what is theirs instead."""
    desk = moved_desk()
    desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    app = looking_as(desk, TRAINER)

    assert "you registered this version" in texts(app)
    assert ways(app) == {"Reject", UNDO}


def test_who_may_not_ask_is_told_why(looking_as: Look) -> None:
    """And who signs nothing at all has no form."""
    desk = moved_desk()
    app = looking_as(desk, ADMIN)
    assert "request needs one of" in texts(app)
    assert ways(app) == {UNDO}

    app = looking_as(desk, Actor("mallory", Established.SELF_DECLARED))
    assert "a self-declared identity decides only on this machine" in texts(app)
    assert ways(app) == set()


def test_what_the_desk_would_not_accept_is_not_asked_for(looking_as: Look) -> None:
    """Two versions in Production: the sentence of the refusal stands there, and the way back is open."""
    desk = moved_desk()
    desk.registry.set_stage(MODEL, 2, Stage.PRODUCTION)
    app = looking_as(desk, RITA)

    assert "versions 1, 2 in Production" in texts(app)
    assert ways(app) == {UNDO}


def test_each_sentence_is_confirmed_before_the_approval(looking_as: Look) -> None:
    """As for the move that would have led there."""
    desk = moved_desk(attestations={"data": "I know where the data come from."})
    desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    app = looking_as(desk, ANNA)
    assert button(app, "Approve").disabled
    sign(app.checkbox[0].check().run(), "Approve")

    approved = next(each for each in desk.history(MODEL) if each.type is EventType.APPROVED)
    assert approved.content["attested"] == {"data": "I know where the data come from."}


def test_what_moved_after_the_form_was_drawn_is_not_signed(looking_as: Look) -> None:
    """Neither asked for nor approved: the form gives back the state that it showed. The reason stays."""
    desk = moved_desk()
    app = looking_as(desk, RITA)
    desk.registry.set_alias(MODEL, "shadow", 2)
    app = sign(app, ASK)

    assert "look at the differences again" in texts(app)
    assert desk.requests() == []
    assert next(each for each in app.text_area if each.label == "Reason").value == REASON


@pytest.mark.parametrize("left", ["undone", "expired"])
def test_a_request_that_nobody_can_approve_is_cleared_away(looking_as: Look, left: str) -> None:
    """Where nothing differs any more it still stands on the page, until somebody ends it."""
    desk = moved_desk()
    desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    if left == "undone":
        desk.revert(MODEL, reason=REASON, actor=ANNA)
    else:
        desk.clock.time += timedelta(days=8)
    app = looking_as(desk, RITA)

    assert "Nobody can approve it as it is" in "\n".join(each.value for each in app.markdown)
    assert ways(app) == {"Withdraw the request"} | ({ASK, UNDO} if left == "expired" else set())
    assert "Request" not in texts(sign(app, "Withdraw the request")) or left == "expired"
