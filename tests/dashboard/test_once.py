"""Two clicks on one button are one command, and what a timer asked before a click undoes nothing of it."""

import threading
import time

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.components.signing import once


def test_two_clicks_at_once_act_once():
    """The second waits for the first and is told the same."""
    acted, told = [], []

    def act():
        time.sleep(0.05)
        acted.append(1)
        return len(acted)

    clicks = [threading.Thread(target=lambda: told.append(once("two clicks", act))) for _ in range(2)]
    for click in clicks:
        click.start()
    for click in clicks:
        click.join()

    assert acted == [1]
    assert told == [1, 1]


def test_what_was_refused_can_be_tried_again():
    """A refusal is no result."""
    with pytest.raises(ZeroDivisionError):
        once("refused", lambda: 1 // 0)

    assert once("refused", lambda: 2) == 2


def test_a_timer_that_asked_before_a_click_draws_nothing_anew():
    """It comes with the address of before: the page would forget the receipt that the click has led to."""

    def look() -> None:  # AppTest runs the source of this function alone
        import streamlit as st

        from dashboard.components.widgets import address_is_settled

        st.text(address_is_settled("looks"))

    app, told = AppTest.from_function(look), []
    for decided in ("", "", "7", "", "7", "7"):  # the fourth was asked before the click
        app.query_params["decided"] = decided
        told.append(app.run().text[0].value)

    assert told == ["False", "True", "False", "False", "False", "True"]
