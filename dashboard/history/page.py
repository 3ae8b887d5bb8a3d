"""Who decided what, when and why; what moved out-of-band; who was champion when."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import pages, session
from dashboard.components import widgets, words
from dashboard.components.history_lines import HistoryLine
from dashboard.history.champions import champions_over_time
from dashboard.history.events import (
    events_page,
    events_table,
    given_out_again,
    links_to_other_pages,
)
from dashboard.history.filters import BEFORE, narrowed
from dashboard.history.integrity import integrity
from dashboard.history.one_event import event_in_full
from dashboard.history.out_of_band import out_of_band
from pipeline.governance.rules.reconcile import pending_sentence

ALL = "All models"


def history_page() -> None:
    asked, place = st.query_params.get("model"), st.empty()
    with place:
        widgets.title("History", asked or "all models")
    bar = st.container(horizontal=True, vertical_alignment="bottom")
    model = chosen_model(asked, bar)
    if asked and model is None:
        with place:
            widgets.title("History", "all models")
    unfinished(model)
    names = [model] if model else known_models()
    if not session.silence():
        out_of_band([each for name in names for each in session.differences(name)], model)
    chosen = narrowed(model, bar)
    if model is not None:
        with bar:
            pages.link_versions("Versions", model)
    page = events_page(chosen)
    if not page.lines and chosen.everything and BEFORE not in st.query_params:
        st.info("The ledger holds no events yet.")
        return
    selected = events_table([HistoryLine(*each) for each in page.lines], chosen)
    links_to_other_pages(page)
    for sentence in given_out_again(model):
        st.text(sentence)
    if selected is not None:
        widgets.guarded(lambda: event_in_full(selected), "event")
    if model is not None:
        st.header("Champion over time", anchor=False)
        widgets.guarded(lambda: champions_over_time(model), "champions")
    integrity(model)


def known_models() -> list[str]:
    """The models of the registry, as far as it answers, and those that only the ledger still knows."""
    registered = () if session.silence() else session.models()
    return sorted({record.name for record in registered} | set(session.recorded_models()))


def unfinished(model: str | None) -> None:
    """Says that the registry does not answer, and which decisions have not ended."""
    if why := session.silence():
        text = f"{why.rstrip('.')}; {session.desk().whose_record()}."
        with widgets.message("From the ledger alone", text, colour="orange"):
            widgets.try_again("registry")
    if pending := session.pending(model):
        text = "\n".join(f"{words.name(each.model)}: {pending_sentence(each)}" for each in pending)
        widgets.message(words.count(len(pending), "decision") + " pending", text, colour="blue")


def chosen_model(asked: str | None, bar: DeltaGenerator) -> str | None:
    """The model that the address names, if it is known; None for all models. bar: where the field is drawn."""
    names = known_models()
    st.session_state["history_model"] = asked if asked in names else ALL
    if asked is not None and asked not in names:
        st.info("Neither the registry nor the ledger knows the model of this address. All models are shown.")
    chosen = bar.selectbox(
        "Model", [ALL, *names], key="history_model", on_change=open_model, format_func=words.name, width=260
    )
    return None if chosen == ALL else chosen


def open_model() -> None:
    chosen = st.session_state["history_model"]
    st.query_params.from_dict({} if chosen == ALL else {"model": chosen})


history_page()
