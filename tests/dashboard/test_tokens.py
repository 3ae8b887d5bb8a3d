"""The page of tokens: each person makes, sees and ends their own; who looks after them sees and ends all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from pipeline import bootstrap
from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.record.ledger import EventType
from pipeline.governance.roles import Provider, Roles
from pipeline.governance.tokens import PREFIX, TokenState
from support.desks import OpenDesk, TickingClock, build_desk, default_policy
from support.seen import button, frame, texts

LookAs = Callable[..., AppTest]
ISSUER = "https://login.example.org"
ADA = Actor("a-1", Established.OIDC, "Ada", ISSUER, groups=("approvers",))
BEN = Actor("b-2", Established.OIDC, "Ben", ISSUER, groups=("admins",))
BOT = Actor("c-3", Established.OIDC, "Bot", ISSUER, groups=("callers",))


def desk_of_many(*, fresh: timedelta | None = None) -> OpenDesk:
    groups = {"approvers": (Role.APPROVER, Role.REVIEWER), "admins": (Role.ADMIN,), "callers": (Role.CALLER,)}
    roles = Roles(groups={**groups, "viewers": (Role.VIEWER,)})
    return build_desk(policy=replace(default_policy(), provider=Provider.OIDC, roles=roles, fresh=fresh))


@pytest.fixture
def looking_as(open_page: LookAs, monkeypatch: pytest.MonkeyPatch) -> LookAs:
    """The page, as somebody sees it."""

    def look(desk: OpenDesk, actor: Actor) -> AppTest:
        monkeypatch.setattr(bootstrap, "visitor", lambda *_arguments, **_options: actor)
        return open_page(desk, "tokens")

    return look


def selected(app: AppTest, row: int) -> AppTest:
    key = f"tokens/{app.session_state['token_list']}"
    app.session_state[key] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return app.run()


def make(app: AppTest, name: str, role: Role = Role.REVIEWER) -> AppTest:
    app.text_input[0].input(name)
    app.selectbox[0].select(role)
    app.number_input[0].set_value(30)
    found: AppTest = button(app.run(), "Make the token").click().run()
    return found


def test_a_token_is_shown_once(looking_as: LookAs) -> None:
    """In the answer to the click, until its maker has it or leaves the page; the desk accepts it for its maker."""
    desk = desk_of_many()
    app = looking_as(desk, ADA)
    assert "You have made no token." in [each.value for each in app.caption]
    assert app.selectbox[0].options == ["viewer", "reviewer", "approver", "caller"]
    app = make(app, "nightly")
    assert not app.exception
    (secret,) = [each.value for each in app.code]
    assert secret.startswith(PREFIX)
    assert desk.authenticate(secret).is_same_person(ADA)
    assert list(frame(app, "Role")[["Name", "Role"]].iloc[0]) == ["nightly", "reviewer"]

    assert [each.value for each in button(app, "I have copied it").click().run().code] == []
    app = make(app, "second", Role.VIEWER)
    app.switch_page("history/page.py").run()
    app.switch_page("tokens/page.py").run()
    assert [each.value for each in app.code] == []
    assert len(frame(app, "Role")) == 2


def test_what_cannot_be_made_is_said_at_the_form(looking_as: LookAs) -> None:
    """In the service's sentence; what was typed stays."""
    desk = desk_of_many()
    app = make(looking_as(desk, ADA), "")
    assert "token: a name has 1 to 100 printable characters; got ''" in texts(app)
    app = make(make(app, "nightly"), "nightly")

    assert "token: there is one called 'nightly'; revoke it first" in texts(app)
    assert app.text_input[0].value == "nightly"
    assert len(desk.ledger.tokens.all()) == 1


def test_a_person_ends_their_own_token(looking_as: LookAs) -> None:
    """Selected and confirmed; nobody else's is listed."""
    desk = desk_of_many()
    desk.as_(BEN).issue_token("of ben", Role.ADMIN, 30)
    desk.as_(ADA).issue_token("mine", Role.REVIEWER, 30)
    app = looking_as(desk, ADA)
    assert list(frame(app, "Role")["Name"]) == ["mine"]
    assert "Owner" not in frame(app, "Role")
    button(selected(app, 0), "Revoke it").click().run()

    assert not app.exception
    assert {each.name: each.state(desk.time()) for each in desk.ledger.tokens.all()} == {
        "mine": TokenState.REVOKED, "of ben": TokenState.ACTIVE
    }  # fmt: skip
    assert frame(app, "Role")["State"].tolist() == [["Revoked"]]
    assert "Revoke it" not in [each.label for each in selected(app, 0).button]


def test_who_looks_after_tokens_sees_and_ends_all(looking_as: LookAs) -> None:
    """With what their owners are called; those that are good come first."""
    desk = desk_of_many()
    for name in ("a", "b", "c"):
        desk.as_(ADA).issue_token(name, Role.REVIEWER, 30)
    desk.as_(ADA).revoke_token("a")
    app = looking_as(desk, BEN)
    assert frame(app, "Role")[["Name", "Owner"]].values.tolist() == [["b", "Ada"], ["c", "Ada"], ["a", "Ada"]]
    assert app.selectbox[0].options == ["viewer", "admin"]
    button(selected(app, 1), "Revoke it").click().run()

    assert desk.history()[-1].type is EventType.TOKEN_REVOKED
    assert desk.history()[-1].content["actor"]["subject"] == "b-2"


def test_an_old_login_lists_and_makes_none(looking_as: LookAs) -> None:
    """It says so before anything is typed, with the way to a new login."""
    desk = desk_of_many(fresh=timedelta(minutes=15))
    desk.as_(replace(ADA, authenticated_at=TickingClock().now())).issue_token("mine", Role.REVIEWER, 30)
    app = looking_as(desk, ADA)

    assert list(frame(app, "Role")["Name"]) == ["mine"]
    assert app.button(key="log_in_again")
    assert "Make the token" not in [each.label for each in app.button]


@pytest.mark.parametrize(("actor", "there"), [(ADA, True), (BOT, False)], ids=["approver", "caller"])
def test_the_way_there_is_for_who_may(looking_as: LookAs, actor: Actor, there: bool) -> None:
    """In the sidebar, below the pages; who reads nothing gets no page."""
    app = looking_as(desk_of_many(), actor)
    labels = [str(each.proto.label) for each in app.sidebar.get("page_link")]

    assert ("Tokens" in labels) is there
    assert bool(app.selectbox) is there
