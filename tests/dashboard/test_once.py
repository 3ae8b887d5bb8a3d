"""Two clicks on one button are one command."""

import threading
import time

import pytest

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
