"""Out-of-band changes: what moved past the desk, and the form that adopts it or reverts it."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from dashboard import session
from dashboard.components import tables, widgets, words
from dashboard.components.submit_once import drawn_key, once, renew
from pipeline.governance.errors import SignoffError
from pipeline.governance.ledger import StoredEvent
from pipeline.governance.out_of_band import OutOfBandChange, state_text
from pipeline.governance.reason import MOST_REASON_CHARACTERS, REASON_LENGTH

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
    with st.container(border=True, key="out_of_band"):
        moved = words.count(len(found), "slot")
        st.badge(f"{moved} moved out-of-band", icon=":material/warning:", color="orange")
        slot = st.column_config.TextColumn(help="An alias of the model, or the stage of a version")
        columns = {"Slot": slot, **widgets.times("Changed after", "Seen")}
        table = tables.differences(found)
        st.dataframe(table, hide_index=True, height="content", column_config=columns, alt="What moved out-of-band")
        if refusal := st.session_state.pop(REFUSAL, None):
            widgets.message(*refusal, colour="red")
        if model is None:
            st.caption("Choose the model above to adopt or revert this.")
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
            st.form_submit_button("Adopt what the registry holds", icon=":material/check:", on_click=_end, args=adopt)
            st.form_submit_button("Revert to what the ledger says", icon=":material/undo:", on_click=_end, args=revert)
    st.caption("Refused if anything of this model has moved since you looked.")


def _end(draft: OutOfBandDraft, ending: str) -> None:
    text = st.session_state.get(draft.reason, "")
    try:
        event = once(draft.key, lambda: _send(draft, ending, text))
    except SignoffError as error:
        st.session_state[REFUSAL] = (widgets.title_of(error), str(error))
    else:
        renew(f"out_of_band/{draft.model}")
        done = "adopted" if ending == ADOPT else "reverted"
        session.flash(f"The out-of-band change is {done}: event {event.sequence}")


def _send(draft: OutOfBandDraft, ending: str, reason: str) -> StoredEvent:
    """The one call to the service. Reads are forgotten here, see decision_form.send of the review page."""
    try:
        service, actor = session.desk(), session.signer()
        send = service.adopt if ending == ADOPT else service.revert
        return send(draft.model, reason=reason, actor=actor, expect=draft.state)
    finally:
        session.forget_reads()
