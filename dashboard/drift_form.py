"""Out-of-band changes: what moved by another way, and the two ways to end it."""

from collections.abc import Sequence

import streamlit as st

from dashboard import session, tables, widgets, words
from pipeline.governance.drift import Difference
from pipeline.governance.errors import SignoffError
from pipeline.governance.lifecycle import FEWEST_REASON_CHARACTERS, MOST_REASON_CHARACTERS

REFUSAL = "drift_refusal"
ADOPT, REVERT = "adopt", "revert"


def drift(found: Sequence[Difference], model: str | None) -> None:
    with st.container(border=True, key="drift"):
        moved = words.count(len(found), "slot")
        st.badge(f"{moved} moved out-of-band", icon=":material/warning:", color="orange")
        columns = widgets.times("Changed after", "Seen")
        table = tables.differences(found)
        st.dataframe(table, hide_index=True, height="content", column_config=columns, alt="What moved out-of-band")
        if refusal := st.session_state.pop(REFUSAL, None):
            widgets.message(*refusal, colour="red")
        if model is None:
            st.caption("Choose the model above to adopt or revert this.")
        else:
            _form(model)


def _form(model: str) -> None:
    key = f"drift_reason/{model}"
    with st.form(f"drift/{model}", border=False, enter_to_submit=False):
        st.text_area(
            "Reason",
            key=key,
            height=80,
            max_chars=MOST_REASON_CHARACTERS,
            placeholder=f"Why, in {FEWEST_REASON_CHARACTERS} to {MOST_REASON_CHARACTERS:,} characters",
        )
        with st.container(horizontal=True):
            st.form_submit_button(
                "Adopt what the registry holds", icon=":material/check:", on_click=_end, args=(model, ADOPT, key)
            )
            st.form_submit_button(
                "Revert to what the ledger says", icon=":material/undo:", on_click=_end, args=(model, REVERT, key)
            )


def _end(model: str, way: str, key: str) -> None:
    service, reason = session.desk(), st.session_state.get(key, "")
    try:
        if way == ADOPT:
            event = service.adopt(model, reason=reason, actor=session.signer())
        else:
            event = service.revert(model, reason=reason, actor=session.signer())
    except SignoffError as error:
        st.session_state[REFUSAL] = (widgets.title_of(error), str(error))
    else:
        st.session_state[key] = ""
        done = "adopted" if way == ADOPT else "reverted"
        session.flash(f"The out-of-band change is {done}: event {event.sequence}")
    session.forget_reads()
