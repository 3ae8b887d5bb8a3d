"""Who decided what, when and why; what moved by another way; who was champion when."""

import streamlit as st

from dashboard import history_lines, history_panels, pages, session, widgets, words
from dashboard.drift_form import drift
from dashboard.events_table import events_table
from pipeline.governance.history import given_out_again
from pipeline.governance.verify import pending_sentence

ALL = "All models"


def history_page() -> None:
    st.title("History", anchor=False)
    model = chosen_model()
    entries = session.history(model)
    unfinished(model)
    named = [model] if model else known_models()
    if not session.silence() and (moved := [each for name in named for each in session.differences(name)]):
        drift(moved, model)
    if not entries:
        st.info("The ledger holds no events yet.")
        return
    kinds = st.pills("Show", list(history_lines.KINDS), selection_mode="multi", key="kind", bind="query-params")
    chosen = events_table(history_lines.of_kinds(history_lines.lines(entries), kinds), model, kinds)
    for sentence in given_out_again(entries):
        st.text(sentence)
    if chosen is not None:
        widgets.guarded(lambda: history_panels.event_detail(chosen), "event")
    if model is not None:
        st.subheader("Champion over time", anchor=False)
        widgets.guarded(lambda: history_panels.champions_over_time(model), "champions")
    history_panels.integrity(model)


def known_models() -> list[str]:
    """Those of the registry, as far as it answers, and those that only the ledger still knows."""
    there = () if session.silence() else session.models()
    return sorted({record.name for record in there} | {entry.model for entry in session.history(None)})


def unfinished(model: str | None) -> None:
    """What stands between the record and the registry now: one that does not answer, decisions that have not ended."""
    if why := session.silence():
        text = f"{why.rstrip('.')}; this is the record of the registry that had its address."
        with widgets.message("From the ledger alone", text, colour="orange"):
            widgets.try_again("registry")
    if pending := session.pending(model):
        text = "\n".join(f"{words.name(each.model)}: {pending_sentence(each)}" for each in pending)
        widgets.message(words.count(len(pending), "decision") + " pending", text, colour="blue")


def chosen_model() -> str | None:
    names = known_models()
    asked = st.query_params.get("model")
    st.session_state["history_model"] = asked if asked in names else ALL
    if asked is not None and asked not in names:
        st.info("Neither the registry nor the ledger knows the model of this address. All models are shown.")
    options = [ALL, *names]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox(
            "Model", options, key="history_model", on_change=open_model, format_func=words.name, width=260
        )
        if chosen == ALL:
            return None
        pages.link_versions("Versions", chosen)
    return chosen


def open_model() -> None:
    chosen = st.session_state["history_model"]
    st.query_params.from_dict({} if chosen == ALL else {"model": chosen})


history_page()
