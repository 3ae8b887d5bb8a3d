"""Which columns matter to a version, how, and why it says what it says about one row."""

from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.address import picker
from dashboard.address.section import chosen_section
from dashboard.components import widgets
from dashboard.components.trust import state_line
from dashboard.explain.columns import columns
from dashboard.explain.one_row import ONE_ROW, ROW, one_row
from pipeline.serving.predictions import Target
from pipeline.serving.trust import Trust

SECTIONS = {"Columns": columns, ONE_ROW: one_row}


def explain_page() -> None:
    picked = picker.picked_version()
    if picked is None:
        widgets.nothing_yet("Explain", "no version to explain")
        return
    header(*picked)
    widgets.changed_outside(picked[0])
    with st.spinner("Loading the version"):
        target = session.target(*picked)
    state_line(target)
    if target.state.state is not Trust.TAMPERED:
        sections(target)


def header(model: str, version: int) -> None:
    """Draws the heading before it reads the version."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            widgets.title(f"Explain version {version}", model, width="content")
            evidence = session.evidence(model, version)
            widgets.state_badges(evidence.content["stage"], evidence.content["aliases"])
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            picker.fields(model)
            pages.link_predict("Predict", model, version)
            pages.link_review("Review", model, version)


def sections(target: Target) -> None:
    """A link to a row opens it."""
    chosen = chosen_section(list(SECTIONS), default=ONE_ROW if ROW in st.query_params else None)
    widgets.guarded(partial(SECTIONS[chosen], target), "section")


explain_page()
