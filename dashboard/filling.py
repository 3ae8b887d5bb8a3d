"""Filling an empty registry with the demo: the button on the overview, and on every page how far it is."""

import subprocess
import time
from contextlib import suppress

import streamlit as st

from dashboard import caching, session
from dashboard.components import widgets, words
from dashboard.demo_run import DemoRun, DemoState
from pipeline.governance.errors import NotAllowed
from pipeline.governance.text import visible

EVERY_SECONDS = 1
LONGEST_LINE = 200


@caching.made_once
def _started() -> "list[subprocess.Popen[bytes]]":
    """The process that this dashboard started, kept so that it is reaped; the file lock tells of any other."""
    return []


def empty_registry() -> None:
    busy = filling()
    st.header("The registry is being filled" if busy else "The registry is empty", anchor=False)
    if busy:
        st.text("The versions of the demo are here as soon as it has ended. It goes on if you leave the page.")
        return
    st.text(
        "A training pipeline registers versions; here they are reviewed and signed. To see how that looks, fill the\n"
        "registry with the demo: it trains every candidate of params.yaml on sample data, registers a version for\n"
        "each, asks for the moves that the policy grants to automation, and records a first champion."
    )
    st.caption("The same on a command line")
    st.code("signoff demo", language=None, width=420)
    _button()


def _button() -> None:
    state = demo().state()
    if state.exit_code not in (None, 0) or (state.exit_code is None and state.last):
        said = visible(state.last, most=LONGEST_LINE) or "It wrote nothing."
        widgets.message("The demo has failed", said, colour="red")
    may_write = widgets.writes_notice()
    st.button(
        "Fill with the demo",
        type="primary",
        icon=":material/play_arrow:",
        disabled=not may_write,
        on_click=_start,
        key="fill",
    )


def filling() -> bool:
    return demo().running or any(process.poll() is None for process in _started())


def show_progress() -> None:
    """On every page, as long as the demo fills the registry."""
    if filling():
        _progress()


@st.fragment(run_every=EVERY_SECONDS)
def _progress() -> None:
    """Every visitor sees the same; where it has ended, the page is drawn anew from what is there now."""
    if widgets.address_is_settled("filling") and not filling():
        caching.forget_reads()
        st.rerun()
    state = demo().state()
    st.progress(state.share, text=_told(state))


def _told(state: DemoState) -> str:
    if not state.total:
        return "The demo begins to fill the registry"
    left = state.seconds_left(time.time())
    estimate = "" if left is None else f", about {words.duration(left)} left"
    return f"The demo fills the registry: step {state.done} of {state.total} ({words.label(state.last)}){estimate}"


def demo() -> DemoRun:
    return DemoRun.of(session.settings().environment.tracking_uri)


def _start() -> None:
    """Starts or joins the demo. Whoever may not decide starts nothing; the page says why."""
    with suppress(NotAllowed):
        session.signer()
        # Asked now, since the page may have been drawn long ago: the demo is for a registry that nobody uses.
        if any(model.versions for model in session.desk().models()):
            caching.forget_reads()
        elif not filling():
            _started()[:] = [demo().start()]
