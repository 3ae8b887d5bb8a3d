"""One version: what it is, what the gates say about a move, and the decision."""

import streamlit as st

from dashboard import pages, session
from dashboard.address import picker
from dashboard.components import widgets
from dashboard.components.trust import review_again_badge, trust_badge
from dashboard.review import sections
from dashboard.review import verdict as opening
from dashboard.review.comments import how_many
from dashboard.review.decision_form import decision_form, show_refusal
from dashboard.review.gates import gates
from dashboard.review.move_picker import chosen_move
from dashboard.review.receipt import decided, receipt
from dashboard.review.request_form import request_form
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.rules.review import Review


def review_page() -> None:
    picked = picker.picked_version()
    if picked is None:
        widgets.nothing_yet("Review", "no version to review")
        return
    evidence = header(*picked)
    widgets.changed_outside(evidence.model)
    widgets.guarded(lambda: decide(evidence), "decide")


def header(model: str, version: int) -> Evidence:
    """Draws the heading before it reads the version."""
    with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
        with st.container(horizontal=True, vertical_alignment="center", width="content"):
            widgets.title(f"Version {version}", model, width="content")
            evidence = session.evidence(model, version)
            widgets.state_badges(evidence.content["stage"], evidence.content["aliases"])
            trust_badge(model, version)
            review_again_badge(model, version, evidence.content["created_at"])
            how_many(evidence)
        with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
            picker.fields(model)
            champion = session.champion_of(model)
            if champion not in (None, version):
                pages.link_compare("Compare", model, [champion, version], tip="With the champion")
            pages.link_history("History", model, version)
    return evidence


def decide(evidence: Evidence) -> None:
    first, about, move, made = st.container(), evidence, None, decided(evidence)
    try:
        move = chosen_move(evidence, settled=made is not None)
        if move is not None and move.kind is MoveKind.ROLLBACK and move.version is not None:
            about = session.evidence(move.model, move.version)
    finally:  # also above the refusal of an impossible move
        with first:
            opening.verdict(about, goes_back=about is not evidence)
    if move is None:
        show_refusal(evidence.model)
        if made is None:
            st.caption("This version serves. Choose a move to see its gates.")
        else:
            receipt(made)
        sections.gaps(evidence)
        sections.tabs(evidence, None)
        return
    with st.spinner("Checking the gates"):
        review = sections.review(move, about)
    shown, form = st.columns([3, 2], gap="medium")
    with shown:
        gates(review)
        sections.gaps(about)
        sections.intervals(review.evidence, review.incumbent)
        flips = opening.flips(review)
    with form:
        sign(review)
    if flips is not None:
        opening.flipped_rows(review, flips)
    sections.tabs(about, review)


def sign(review: Review) -> None:
    """The form of one person, or of several where the move asks for the approval of others."""
    if review.rules.approvals:
        request_form(review)
    else:
        widgets.writes_notice(review.move.kind)
        decision_form(review)


review_page()
