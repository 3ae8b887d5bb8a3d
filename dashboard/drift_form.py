"""Out-of-band changes: what moved by another way, and the two ways to end it."""

from collections.abc import Sequence

import streamlit as st

from dashboard import session, tables, widgets, words
from dashboard.once import drawn_key, once, renew
from pipeline.governance.drift import Difference
from pipeline.governance.errors import SignoffError
from pipeline.governance.ledger import StoredEvent
from pipeline.governance.lifecycle import FEWEST_REASON_CHARACTERS, MOST_REASON_CHARACTERS

REFUSAL = "drift_refusal"
ADOPT, REVERT = "adopt", "revert"


def drift(found: Sequence[Difference], model: str | None) -> None:
    with st.container(border=True, key="drift"):
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
            _form(model)


def _form(model: str) -> None:
    key = drawn_key(f"drift/{model}")
    reason = f"drift_reason/{key}"
    with st.form(f"drift_form/{key}", border=False, enter_to_submit=False):
        st.text_area(
            "Reason",
            key=reason,
            height=80,
            max_chars=MOST_REASON_CHARACTERS,
            placeholder=f"Why, in {FEWEST_REASON_CHARACTERS} to {MOST_REASON_CHARACTERS:,} characters",
        )
        with st.container(horizontal=True):
            adopt, revert = (model, ADOPT, key, reason), (model, REVERT, key, reason)
            st.form_submit_button("Adopt what the registry holds", icon=":material/check:", on_click=_end, args=adopt)
            st.form_submit_button("Revert to what the ledger says", icon=":material/undo:", on_click=_end, args=revert)


def _end(model: str, way: str, key: str, reason: str) -> None:
    text = st.session_state.get(reason, "")
    try:
        event = once(key, lambda: _send(model, way, text))
    except SignoffError as error:
        st.session_state[REFUSAL] = (widgets.title_of(error), str(error))
    else:
        renew(f"drift/{model}")
        done = "adopted" if way == ADOPT else "reverted"
        session.flash(f"The out-of-band change is {done}: event {event.sequence}")
    session.forget_reads()


def _send(model: str, way: str, reason: str) -> StoredEvent:
    service, actor = session.desk(), session.signer()
    send = service.adopt if way == ADOPT else service.revert
    return send(model, reason=reason, actor=actor)
