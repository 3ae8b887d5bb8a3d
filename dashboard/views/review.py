"""One version: what it is, what the gates say about a move, and the decision."""

from collections.abc import Callable, Mapping

import streamlit as st

from dashboard import evidence_panels as panels
from dashboard import pages, session, tables, widgets
from dashboard.choices import chosen_move
from dashboard.decision_form import decision_form
from dashboard.picker import picked_version
from pipeline.governance.evidence import Evidence
from pipeline.governance.review import Review

SECTIONS: Mapping[str, Callable[[Review], None]] = {
    "Metrics": panels.metrics,
    "Classes and slices": lambda review: panels.classes(review.evidence),
    "Lineage": lambda review: panels.lineage(review.evidence),
    "Files": lambda review: panels.files(review.evidence),
    "Description and tags": lambda review: panels.texts(review.evidence),
}


def review_page() -> None:
    picked = picked_version()
    if picked is None:
        widgets.title("Review")
        st.info("There is no version to review yet. The overview says how to fill the registry.")
        return
    evidence = session.evidence(*picked)
    header(evidence)
    panels.kpis(evidence)
    widgets.guarded(lambda: decide(evidence))


def header(evidence: Evidence) -> None:
    content = evidence.content
    widgets.title(f"Version {evidence.version}", lambda: widgets.state_badges(content["stage"], content["aliases"]))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.text(content["model"])
        pages.link_versions("All versions", evidence.model)
        pages.link_history("History", evidence.model)


def decide(evidence: Evidence) -> None:
    move = chosen_move(evidence)
    with st.spinner("Checking the gates"):
        review = session.review(move)
    shown, form = st.columns([3, 2], gap="medium")
    with form:
        widgets.writes_notice()
        decision_form(review)
    with shown:
        st.subheader(f"Gates for {move.target}" if move.alias is None else "Gates", anchor=False)
        widgets.gates_table(tables.gates(review.gates), key="gates")
        panels.gaps(review.evidence)
        sections(review)


def sections(review: Review) -> None:
    tabs = st.tabs(list(SECTIONS), key="show", on_change="rerun", bind="query-params")
    for tab, draw in zip(tabs, SECTIONS.values(), strict=True):
        if tab.open:
            with tab:
                draw(review)


review_page()
