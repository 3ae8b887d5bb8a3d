"""Verify, reconcile and export: whether the ledger, the registry and the files agree, and the ledger as a document."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import caching, session
from dashboard.components import tables, widgets, words
from dashboard.components.signing import drawn_key, once, renew
from pipeline.governance.errors import SignoffError
from pipeline.governance.reason import MOST_REASON_CHARACTERS, REASON_LENGTH
from pipeline.governance.record.history import entry
from pipeline.governance.record.ledger import StoredEvent
from pipeline.governance.record.out_of_band import OutOfBandChange, state_text
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


# Out-of-band changes: what moved past the desk, and the form that adopts it or reverts it.

REFUSAL = "out_of_band_refusal"
ADOPT, REVERT = "adopt", "revert"


@dataclass(frozen=True)
class OutOfBandDraft:
    """The form as it was drawn."""

    model: str
    state: str  # of the registry as it was shown; the service refuses if it has changed
    key: str  # idempotency key: one form is one command, also on a double click

    @property
    def reason(self) -> str:
        """Under which key the session keeps the typed reason."""
        return f"out_of_band_reason/{self.key}"


def out_of_band(found: Sequence[OutOfBandChange], model: str | None) -> None:
    """What was changed by another way, in plain words and as a table, and the form that ends it."""
    with st.container(border=True, key="out_of_band"):
        widgets.changed_sentences(found)
        with st.expander("When it was changed"):
            columns = widgets.times_to_the_second("Changed after", "Seen")
            table = tables.differences(found)
            st.dataframe(
                table,
                hide_index=True,
                height="content",
                column_config=columns,
                alt="What was changed outside of this desk",
            )
        if refusal := st.session_state.pop(REFUSAL, None):
            widgets.message(*refusal, colour="red")
        if model is None:
            st.caption("Choose the model above to accept or undo this.")
        else:
            _form(OutOfBandDraft(model, state_text(found), drawn_key(f"out_of_band/{model}")))


def _form(draft: OutOfBandDraft) -> None:
    with st.form(f"out_of_band_form/{draft.key}", border=False, enter_to_submit=False):
        st.text_area(
            "Reason",
            key=draft.reason,
            height=80,
            max_chars=MOST_REASON_CHARACTERS,
            placeholder=f"Why, in {REASON_LENGTH}",
        )
        with st.container(horizontal=True):
            adopt, revert = (draft, ADOPT), (draft, REVERT)
            st.form_submit_button("Accept what is there now", icon=":material/check:", on_click=_end, args=adopt)
            st.form_submit_button("Undo it, back to the record", icon=":material/undo:", on_click=_end, args=revert)
    st.caption("Refused if anything of this model has moved since you looked.")


def _end(draft: OutOfBandDraft, ending: str) -> None:
    text = st.session_state.get(draft.reason, "")
    try:
        event = once(draft.key, lambda: _send(draft, ending, text))
    except SignoffError as error:
        st.session_state[REFUSAL] = (widgets.title_of(error), str(error))
    else:
        renew(f"out_of_band/{draft.model}")
        done = "accepted" if ending == ADOPT else "undone"
        session.flash(f"What was changed outside of this desk is {done}: event {entry(event).number}")


def _send(draft: OutOfBandDraft, ending: str, reason: str) -> StoredEvent:
    """The one call to the service. Reads are forgotten here, see decision_form.send of the review page."""
    try:
        service, actor = session.desk(), session.actor()
        send = service.adopt if ending == ADOPT else service.revert
        return send(draft.model, reason=reason, actor=actor, expect=draft.state)
    finally:
        caching.forget_reads()
