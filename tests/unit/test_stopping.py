"""Ctrl-C in `signoff score`, also where Python drops it."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from pipeline.cli.scoring import STOPPED, stoppable


class PressedInFinaliser:
    """Ctrl-C while an object is collected: Python reports the KeyboardInterrupt and goes on."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture
def ignoring() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_inside_a_finaliser_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    """The chunk that is written ends; at its report the command stops, and the handler is the one before."""
    before = signal.getsignal(signal.SIGINT)
    reported: list[Any] = []
    with pytest.raises(typer.Exit) as stopped, stoppable("out.csv", lambda *each: reported.append(each)) as report:
        report(1, 100, "first")
        PressedInFinaliser()
        reported.append("went on")
        report(2, 100, "second")
    assert stopped.value.exit_code == STOPPED
    assert reported == [(1, 100, "first"), "went on"]
    assert "out.csv: stopped; the same command goes on from here" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_elsewhere_stops_at_once() -> None:
    """As ever: where it arrives."""
    with pytest.raises(typer.Exit) as stopped, stoppable("out.csv", lambda *_: None):
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")
    assert stopped.value.exit_code == STOPPED


@pytest.mark.usefixtures("ignoring")
def test_what_ignores_ctrl_c_goes_on_ignoring_it() -> None:
    """As a command that a shell runs in the background."""
    with stoppable("out.csv", lambda *_: None) as report:
        signal.raise_signal(signal.SIGINT)
        report(1, 100, "went on")
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
