"""Verify, reconcile and export: whether the ledger, the registry and the files agree, and the ledger as a document."""

from collections.abc import Callable

import streamlit as st

from dashboard import caching, session
from dashboard.components import widgets, words
from pipeline.governance.errors import SignoffError
from pipeline.governance.rules.reconcile import IntegrityProblem
from pipeline.governance.service import GovernanceService
from pipeline.governance.text import visible

PROBLEMS = {  # by the kind of problem
    "registry": "The registry is not known",
    "ledger": "The record is damaged",
    "pending": "A decision has not ended",
    "out_of_band": "Changed outside of this desk",
    "tampering": "Files changed",
}
VERIFIED, FAILED = "verified", "failed"  # keys of the session: what the last click found, or why it failed


def integrity(model: str | None) -> None:
    service = session.desk()  # the export is made at a click, in a thread that belongs to no page
    st.header("Integrity and export", anchor=False)
    may_write = widgets.writes_notice()
    with st.container(horizontal=True):
        st.button("Verify", icon=":material/verified:", on_click=_attempt, args=(_verify,))
        st.button("Reconcile", icon=":material/sync:", on_click=_attempt, args=(_reconcile,), disabled=not may_write)
        st.download_button(
            "Export as JSON",
            data=lambda: exported(service, model),
            file_name="ledger.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
    _result_of_last_click()


def exported(service: GovernanceService, model: str | None) -> bytes:
    """The document of `signoff history MODEL --export`; of all models where none is chosen."""
    return "".join(service.export(model)).encode()


def _result_of_last_click() -> None:
    if FAILED in st.session_state:
        widgets.message(*st.session_state[FAILED], colour="red")
    if VERIFIED not in st.session_state:
        st.caption(
            "Verify checks the chain of events, the registry against it, and the files in use. "
            "Reconcile finishes what a crash left and records what was changed outside of this desk."
        )
        return
    events, problems = st.session_state[VERIFIED]
    if not problems:
        widgets.message("Clean", f"{words.count(events, 'event')}; the registry agrees with them.", colour="green")
        return
    text = "\n".join(map(_told, problems))
    widgets.message(words.count(len(problems), "problem"), text, colour="red")


def _told(problem: IntegrityProblem) -> str:
    """A problem as the other pages tell it; one that has no such sentence after a word for its kind."""
    said = problem.plain or f"{PROBLEMS[problem.kind]}: {problem.text}"
    return f"{visible(problem.model)}: {said}" if problem.model else said


def _attempt(command: Callable[[], None]) -> None:
    """Runs the command of a click. A failure is shown until a click succeeds, in place of an earlier verification."""
    try:
        command()
    except SignoffError as error:
        st.session_state.pop(VERIFIED, None)
        st.session_state[FAILED] = (widgets.title_of(error), str(error))
    else:
        st.session_state.pop(FAILED, None)


def _reconcile() -> None:
    """Writes to the ledger and finishes decisions in the registry: whoever may not decide may not do this either."""
    session.signer()
    events = session.desk().reconcile()
    caching.forget_reads()
    session.flash(f"{words.count(len(events), 'event')} recorded" if events else "Nothing to finish or record")


def _verify() -> None:
    st.session_state[VERIFIED] = (session.desk().event_count(), session.desk().verify())
