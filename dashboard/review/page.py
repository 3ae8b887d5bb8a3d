"""One version: what it is, what the gates say about a move, and the decision."""

from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.components import picker, tables, widgets
from dashboard.components.trust import trust_badge
from dashboard.review import evidence as panels
from dashboard.review import extras as review_extras
from dashboard.review.decision_form import decision_form, show_refusal
from dashboard.review.move_picker import chosen_move
from pipeline.governance.evidence import Evidence
from pipeline.governance.review import Review

SECTIONS: Mapping[str, Callable[[Evidence], None]] = {
    "Classes and slices": panels.classes,
    "Explanation": review_extras.explanation,
    "Lineage": panels.lineage,
    "Files": panels.files,
    "Description and tags": panels.texts,
    "Claims": review_extras.claims,
    "Card": review_extras.card,
}
METRICS = "Metrics"


def review_page() -> None:
    picked = picker.picked_version()
    if picked is None:
        st.title("Review", anchor=False)
        st.info("There is no version to review yet. The overview says how to fill the registry.")
        pages.link_overview()
        return
    evidence = session.evidence(*picked)
    header(evidence)
    if moved := session.differences(evidence.model):
        widgets.out_of_band(evidence.model, moved)
    panels.kpis(evidence)
    widgets.guarded(lambda: decide(evidence), "decide")


def header(evidence: Evidence) -> None:
    content = evidence.content
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            st.title(f"Version {evidence.version}", width="content", anchor=False)
            widgets.state_badges(content["stage"], content["aliases"])
            trust_badge(evidence.model, evidence.version)
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            picker.fields(evidence.model)
            champion = session.champion_of(evidence.model)
            if champion not in (None, evidence.version):
                versions = [champion, evidence.version]
                pages.link_compare("Compare", evidence.model, versions, tip="With the champion")
            pages.link_history("History", evidence.model)


def decide(evidence: Evidence) -> None:
    move = chosen_move(evidence)
    if move is None:
        show_refusal(evidence.model)
        st.caption("This version serves. Choose a move to see its gates.")
        panels.gaps(evidence)
        sections(evidence, None)
        return
    with st.spinner("Checking the gates"):
        review = review_extras.review(move, evidence)
    shown, form = st.columns([7, 3], gap="medium")
    with shown:
        st.subheader("Gates", anchor=False)
        widgets.gates_table(tables.gates(review.gates), key="gates")
        widgets.failed_gates(review.warnings, "Warnings", "orange")
        panels.gaps(evidence)
    with form:
        widgets.writes_notice()
        decision_form(review)
    sections(evidence, review)


def sections(evidence: Evidence, review: Review | None) -> None:
    """Of the version that the page is about: a rollback is the review of another one."""
    tabs = st.tabs([METRICS, *SECTIONS], key="show", on_change="rerun", bind="query-params")
    own = review if review and review.evidence.version == evidence.version else None
    if tabs[0].open:
        with tabs[0]:
            panels.metrics(evidence, own.incumbent if own else None, own.differences if own else None)
    for tab, draw in zip(tabs[1:], SECTIONS.values(), strict=True):
        if tab.open:
            with tab:
                widgets.guarded(partial(draw, evidence), "section")


review_page()
