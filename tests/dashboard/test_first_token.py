"""The Overview says that somebody gave themselves a role before anybody could log in."""

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

from pipeline.governance.actor import Role
from support.desks import GRACE, build_desk
from support.seen import texts


def test_the_first_token_is_shown(open_page: Callable[..., AppTest]) -> None:
    """With who, when, and until when; History tells of it too. A usual token is no news."""
    desk = build_desk()
    desk.as_(GRACE).issue_token("first", Role.ADMIN, 30, first=True)
    desk.as_(GRACE).issue_token("usual", Role.VIEWER, 30)
    overview, history = open_page(desk), open_page(desk, "history", event="1")

    assert not overview.exception
    assert not history.exception
    assert "grace made the token first (admin) at the desk's machine" in texts(overview)
    assert "usual" not in texts(overview)
    assert "grace made the token first" in texts(history)
