"""What the overview shows of an empty registry: how to fill it, a button that does, and how far that is."""

import subprocess
from contextlib import suppress

import streamlit as st

from dashboard import session
from dashboard.components import widgets
from dashboard.overview.demo_run import DemoRun, DemoState
from pipeline.governance.errors import NotAllowed
from pipeline.governance.text import visible

EVERY_SECONDS = 1
LONGEST_LINE = 200


@st.cache_resource(show_spinner=False)
def _started() -> "list[subprocess.Popen[bytes]]":
    """The process that this dashboard started, kept so that it is reaped; the file lock tells of any other."""
    return []


def empty_registry() -> None:
    st.subheader("The registry is empty", anchor=False)
    st.text(
        "A training pipeline registers versions; here they are reviewed and signed. To see how that looks, fill the\n"
        "registry with the demo: it trains every candidate of params.yaml on sample data, registers a version for\n"
        "each, asks for the moves that the policy grants to automation, and records a first champion."
    )
    st.caption("The same on a command line")
    st.code("python -m pipeline demo", language="bash", width=420)
    progress()


@st.fragment(run_every=EVERY_SECONDS)
def progress() -> None:
    """Reads the state of the demo every second; every visitor sees the same."""
    state = demo().state()
    if state.running or _is_starting():
        _running(state)
        return
    if state.exit_code == 0 and st.session_state.pop("demo_watched", False):
        session.forget_reads()
        st.rerun()
    if state.exit_code not in (None, 0) or (state.exit_code is None and state.lines):
        last = visible(state.lines[-1], most=LONGEST_LINE) if state.lines else "It wrote nothing."
        widgets.message("The demo has failed", last, colour="red")
    may_write = widgets.writes_notice()
    st.button(
        "Fill with the demo",
        type="primary",
        icon=":material/play_arrow:",
        disabled=not may_write,
        on_click=_start,
        key="fill",
    )


def demo() -> DemoRun:
    return DemoRun.of(session.settings().environment.tracking_uri)


def _running(state: DemoState) -> None:
    st.session_state["demo_watched"] = True
    text = f"Step {state.done} of {state.total}" if state.total else "Starting"
    st.progress(state.share, text=text)
    st.code("\n".join(visible(line, most=LONGEST_LINE) for line in state.lines) or "…", language=None)
    st.caption("This goes on when the page is closed.")


def _is_starting() -> bool:
    return any(process.poll() is None for process in _started())


def _start() -> None:
    """Starts or joins the demo. Whoever may not decide starts nothing; the page says why."""
    with suppress(NotAllowed):
        session.signer()
        # Asked now, since the page may have been drawn long ago: the demo is for a registry that nobody uses.
        if any(model.versions for model in session.desk().models()):
            session.forget_reads()
        elif not demo().state().running and not _is_starting():
            _started()[:] = [demo().start()]
