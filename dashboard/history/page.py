"""Who decided what, when and why; what moved by another way; who was champion when."""

from collections.abc import Sequence

import streamlit as st

from dashboard import pages, session
from dashboard.components import history_lines, widgets, words
from dashboard.components.history_lines import HistoryLine
from dashboard.history import panels as history_panels
from dashboard.history.out_of_band_form import out_of_band
from dashboard.history.panels import EVENT, events_table
from pipeline.governance.history import HistoryPage
from pipeline.governance.reconcile import pending_sentence

ALL = "All models"
BEFORE = "before"  # of the address: the page begins above this event
MOST_DIGITS = 18  # more fit no database


def history_page() -> None:
    st.title("History", anchor=False)
    model = chosen_model()
    unfinished(model)
    named = [model] if model else known_models()
    if not session.silence() and (moved := [each for name in named for each in session.differences(name)]):
        out_of_band(moved, model)
    kinds = st.pills("Show", list(history_lines.KINDS), selection_mode="multi", key="kind", bind="query-params")
    page = shown_page(model, kinds)
    if not page.lines and not kinds and BEFORE not in st.query_params:
        st.info("The ledger holds no events yet.")
        return
    chosen = events_table([HistoryLine(*each) for each in page.lines], model, kinds)
    other_pages(page)
    for sentence in session.given_out_again(model):
        st.text(sentence)
    if chosen is not None:
        widgets.guarded(lambda: history_panels.event_detail(chosen), "event")
    if model is not None:
        st.subheader("Champion over time", anchor=False)
        widgets.guarded(lambda: history_panels.champions_over_time(model), "champions")
    history_panels.integrity(model)


def shown_page(model: str | None, kinds: Sequence[str]) -> HistoryPage:
    """The page that the address names; where it names an older event alone, the page of that event."""
    only, without = history_lines.types_of(kinds)
    before = number(BEFORE)
    page = session.history_page(model, before=before, only=only, without=without)
    event = number(EVENT)
    if before is None and event is not None and page.older is not None and event < page.older:
        st.query_params[BEFORE] = str(event + 1)
        return session.history_page(model, before=event + 1, only=only, without=without)
    return page


def other_pages(page: HistoryPage) -> None:
    with st.container(horizontal=True):
        if BEFORE in st.query_params:
            st.button("Newest", icon=":material/first_page:", on_click=open_page, args=(None,))
        if page.older is not None:
            st.button("Older", icon=":material/chevron_right:", on_click=open_page, args=(page.older,))


def open_page(before: int | None) -> None:
    st.query_params.pop(EVENT, None)
    st.query_params.pop(BEFORE, None)
    if before is not None:
        st.query_params[BEFORE] = str(before)


def number(name: str) -> int | None:
    """A number in the address; None where there is none that an event could have."""
    text = st.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def known_models() -> list[str]:
    """Those of the registry, as far as it answers, and those that only the ledger still knows."""
    there = () if session.silence() else session.models()
    return sorted({record.name for record in there} | set(session.recorded_models()))


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
