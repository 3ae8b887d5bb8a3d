"""Every version of a model with its figures, stage and aliases; a row leads to its review, several to Compare."""

from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.address import in_address
from dashboard.address.picker import LAST_MODEL, picked_model, reference_first
from dashboard.address.section import chosen_section
from dashboard.components import trend, trust, widgets
from dashboard.components.words import name
from dashboard.versions import table
from dashboard.versions.archive import archive_form
from pipeline.governance.lifecycle import Stage

TABLE, TREND = "Table", "Trend"


def versions_page() -> None:
    names = [record.name for record in session.models()]
    if not names:
        widgets.nothing_yet("Versions", "no model")
        return
    model = picked_model(names)
    widgets.title("Versions", model)
    st.session_state["versions_model"] = st.session_state[LAST_MODEL] = model
    in_address.write(model=model)
    st.selectbox("Model", names, key="versions_model", on_change=open_model, format_func=name, width=260)
    widgets.changed_outside(model)
    if chosen_section([TABLE, TREND]) == TABLE:
        versions(model)
    else:
        trend.large(model)


def open_model() -> None:
    """Columns, order, metric and range are of the model that is left."""
    st.query_params.from_dict({"model": st.session_state["versions_model"]})


@st.fragment
def versions(model: str) -> None:
    """Drawn anew by itself: a filter or a selection changes nothing of the page around the table."""
    if session.FLASH in st.session_state:
        st.rerun()  # something was decided here, which the whole page tells
    widgets.guarded(partial(versions_table, model), "versions")


def versions_table(model: str) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text, stages = filters()
        every, columns = table.choose(model)
    found = table.narrowed(every, columns, text=text, stages=tuple(stages))
    actions = st.container(horizontal=True, vertical_alignment="center")
    chosen = table.draw(found, model, columns, of=len(every.numbers))
    with actions:
        selected(model, chosen, found=len(found.numbers), of=len(every.numbers))
        pages.link_history("History", model)
    archive_form(model, chosen)


def selected(model: str, chosen: list[int], *, found: int, of: int) -> None:
    """What can be done with the selected versions. found, of: how many versions the table shows, of how many."""
    if not chosen:
        most = trust.MOST_LOOKED_AT
        more = "" if found <= most else f" Trust is looked at for {most}, those in use first."
        st.caption(f"{found:,} of {of:,} versions. Select one to review it, or several to compare.{more}")
    elif len(chosen) == 1:
        st.text(f"Version {chosen[0]} selected")
        trust.trust_badge(model, chosen[0])
        pages.link_review(f"Review version {chosen[0]}", model, chosen[0])
    else:
        st.text(f"{len(chosen):,} versions selected")
        pages.link_compare("Compare them", model, reference_first(model, chosen))


def filters() -> tuple[str, list[str]]:
    """The words and the stages to which the table is narrowed."""
    text = st.text_input(
        "Filter",
        type="search",
        placeholder="Type, alias, tag or text",
        width=260,
        max_chars=in_address.MOST_CHARACTERS,
        **in_address.text("q"),
    )
    words_of_stages = [stage.value for stage in Stage]
    stages = st.pills("Stage", words_of_stages, selection_mode="multi", **in_address.some_of("stage", words_of_stages))
    return text or "", stages


versions_page()
