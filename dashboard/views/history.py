"""Who decided what, when and why; what moved by another way; who was champion when."""

import streamlit as st

from dashboard import history_lines, history_panels, pages, session, widgets, words
from dashboard.drift_form import drift
from dashboard.history_lines import Line

ALL = "All models"
EVENT = "event"


def history_page() -> None:
    st.title("History", anchor=False)
    model = chosen_model()
    entries = session.history(model)
    named = [model] if model else known_models()
    if moved := [each for name in named for each in session.differences(name)]:
        drift(moved, model)
    if not entries:
        st.info("The ledger holds no events yet.")
        return
    kinds = st.pills("Show", list(history_lines.KINDS), selection_mode="multi", key="kind", bind="query-params")
    found = history_lines.of_kinds(history_lines.lines(entries), kinds)
    chosen = table(found, model, key=f"history/{model}/{'/'.join(kinds)}")
    if chosen is not None:
        history_panels.event_detail(chosen)
    over_time(model)
    footer(model)


def known_models() -> list[str]:
    """Those of the registry, and those that only the ledger still knows."""
    names = {record.name for record in session.models()} | {entry.model for entry in session.history(None)}
    return sorted(names)


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


def table(found: list[Line], model: str | None, key: str) -> Line | None:
    """The selected line; the address may name it by its number."""
    by_number = {str(line.entry.sequence): index for index, line in enumerate(found)}
    asked = by_number.get(st.query_params.get(EVENT, ""))
    colours = history_lines.event_colours()
    event = st.dataframe(
        history_lines.table(found, models=model is None),
        hide_index=True,
        height=widgets.height_of(len(found)),
        key=key,
        on_select="rerun",
        selection_mode="single-row",
        selection_default=None if asked is None else {"selection": {"rows": [asked]}},
        column_config={
            "No.": st.column_config.NumberColumn(format="%d", width=55),
            "Event": st.column_config.MultiselectColumn(options=list(colours), color=list(colours.values()), width=125),
            "Version": st.column_config.NumberColumn(format="%d", width=70),
            **widgets.times("When"),
        },
        placeholder=words.NOTHING,
        alt="Events, newest first",
    )
    rows = event.selection.rows
    chosen = found[rows[0]] if rows and rows[0] < len(found) else None
    if chosen is None:
        st.query_params.pop(EVENT, None)
        st.caption("Select a row to see the gates and the evidence of that time.")
    else:
        st.query_params[EVENT] = str(chosen.entry.sequence)
    return chosen


def over_time(model: str | None) -> None:
    if model is not None:
        st.subheader("Champion over time", anchor=False)
        widgets.guarded(lambda: history_panels.champions_over_time(model))


def footer(model: str | None) -> None:
    st.subheader("Integrity and export", anchor=False)
    entries = session.history(model)
    with st.container(horizontal=True):
        history_panels.verify_button()
        st.download_button(
            "Export as JSON",
            data=lambda: history_panels.as_json(entries),
            file_name="history.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
    history_panels.verification()


history_page()
