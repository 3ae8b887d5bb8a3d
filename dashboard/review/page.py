"""One version: what it is, what the gates say about a move, and the decision."""

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import streamlit as st

from dashboard import merits, pages, session
from dashboard.address import picker
from dashboard.components import widgets
from dashboard.components.trust import review_again_badge, trust_badge
from dashboard.review import sections
from dashboard.review import verdict as opening
from dashboard.review.comments import how_many
from dashboard.review.decision_form import decision_form, show_refusal
from dashboard.review.gates import gates
from dashboard.review.move_picker import Offer, chosen_move, offer
from dashboard.review.receipt import Line, decided, receipt
from dashboard.review.request_form import request_form
from pipeline.governance.errors import NotFound, SignoffError
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.rules.merit import Merit
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


@dataclass(frozen=True)
class Shown:
    """What a review page shows, whichever move is chosen."""

    offered: Offer
    about: Evidence  # of the version that the move is about: after a rollback another one than the page's
    champion: Evidence | None  # where that is another version and can be read
    made: Line | None  # the decision whose receipt stands in place of a form

    @property
    def goes_back(self) -> bool:
        return self.about is not self.offered.evidence

    @property
    def drawn_from(self) -> tuple[object, ...]:
        """What the parts around the move are drawn from: where it has changed, they are drawn anew."""
        return self.offered.evidence.digest, self.about.digest, self.champion and self.champion.digest


def shown(evidence: Evidence) -> Shown:
    made = decided(evidence)
    offered = offer(evidence, settled=made is not None)
    back = offered.returns_to
    about = evidence if back is None else session.evidence(evidence.model, back)
    return Shown(offered, about, champion_beside(about), made)


def champion_beside(about: Evidence) -> Evidence | None:
    champion = session.champion_of(about.model)
    if champion in (None, about.version):
        return None
    with suppress(NotFound):
        return session.evidence(about.model, champion)
    return None


def decide(evidence: Evidence) -> None:
    now = shown(evidence)
    with widgets.place():
        merit = compared(now.about)
        opening.verdict(now.about, merit, goes_back=now.goes_back)
    left, right = st.columns([4, 3], gap="medium")
    with left:
        opening.figures(now.about, merit)
        sections.gaps(now.about)
        sections.intervals(now.about, now.champion)
    with right:
        decision(now, merit)
    if now.goes_back and now.champion is not None:
        widgets.guarded(partial(opening.flips, now.about, now.champion), "flips")  # a rollback does not wait for them
    sections.section(now.about, now.champion, merit)


def compared(about: Evidence) -> Merit | None:
    """How it compares with the champion. Where that fails the page says why: no decision waits for it but by a gate."""
    try:
        return merits.beside_the_champion(about)
    except SignoffError as error:
        widgets.failure(error, "compared")
        return None


@st.fragment
def decision(before: Shown, merit: Merit | None) -> None:
    """Drawn anew by itself: a choice here changes nothing of the verdict and of the sections, mostly."""
    if session.FLASH in st.session_state:
        st.rerun()  # something was decided or signed here, which the whole page tells
    widgets.guarded(partial(draw_decision, before, merit), "decide")


def draw_decision(before: Shown, merit: Merit | None) -> None:
    """before, merit: what the page around it was drawn from."""
    own = before.offered.evidence
    now = shown(session.evidence(own.model, own.version))
    if now.drawn_from != before.drawn_from:
        st.rerun()
    chosen = chosen_move(now.offered)
    if chosen is not None:
        with st.spinner("Checking the gates"):
            review = sections.review(chosen, now.about)
        with widgets.place():
            gates(review)
        sign(review, merit)
        return
    show_refusal(own.model)
    if now.made is None:
        st.caption("This version serves. Choose a move to see its gates.")
    else:
        receipt(now.made)


def sign(review: Review, merit: Merit | None) -> None:
    """The form of one person, or of several where the move asks for the approval of others."""
    if review.rules.approvals:
        request_form(review, merit)
    else:
        widgets.writes_notice(review.move.kind)
        decision_form(review, merit)


review_page()
