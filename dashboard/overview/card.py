"""The tile of a model on the overview: its champion, the versions that wait for a review, and its last event."""

from collections.abc import Set

import streamlit as st

from dashboard import pages, session
from dashboard.components import trend, widgets, words
from dashboard.components.history_lines import last_line, since
from dashboard.components.trust import Named, review_again_badge, trust_badge
from dashboard.overview import signatures, waiting
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.history import ModelOverview
from pipeline.governance.rules.merit import Waiting
from pipeline.governance.rules.reconcile import pending_sentence


def urgency(model: ModelOverview) -> tuple[bool, bool, str]:
    """The order of the tiles: out-of-band changes first, then versions that wait for a review, then by name."""
    return not model.differences, not model.waiting, model.record.name


def card(model: ModelOverview, found: Waiting | None, refused: Set[Named]) -> None:
    """Draws the tile. found: who waits in order of merit, None while that is looked for. refused: see waiting.draw."""
    name = model.record.name
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(words.label(name), anchor=False, width="content")
        st.markdown(" ".join(_stages(model)), width="content")  # one element: each costs a first visit 2 to 5 ms
        pages.link_versions(words.count(model.record.versions, "version"), name)
        pages.link_history("History", name)
    if model.waiting:
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            waiting.verdict(model, found, refused)
    _champion(model)
    if (serving := model.stages[Stage.PRODUCTION]) > 1:
        st.caption(f":material/warning: {serving:,} versions are in Production; the desk keeps to one.")
    if model.outside:
        st.caption(f":material/warning: Version {model.champion} serves and is not in Production.")
    waiting.draw(model, found, refused)
    trend.small(name)
    for each in model.pending:
        st.caption(f":material/hourglass_top: {words.sentence(pending_sentence(each))}")
    if model.last is not None:
        st.text(f"Last event: {last_line(model.last)}")


def _stages(model: ModelOverview) -> list[str]:
    """How many versions each stage has, as markdown of our own words."""
    found = ((stage, n) for stage, n in model.stages.items() if n)
    return [
        f":{widgets.STAGE_COLOURS[stage]}-badge[{n:,} in {'no stage' if stage is Stage.NONE else stage}]"
        for stage, n in found
    ]


def _champion(model: ModelOverview) -> None:
    name, version = model.record.name, model.champion
    if version is None:
        st.text("No champion: nothing serves.")
        return
    evidence = session.evidence(name, version)
    periods = session.champions(name)
    made = session.event(periods[-1].sequence) if periods else None
    st.caption(since(version, evidence.content["created_at"], periods=periods, entries=[made] if made else []))
    with st.container(gap=None):  # drawn as the versions that wait are below it, to be held against them
        with st.container(horizontal=True, vertical_alignment="center"):
            pages.link_review(f"Review version {version}", name, version)
            trust_badge(name, version)
            signatures.found_champion(name)
            review_again_badge(name, version, evidence.content["created_at"])
        found = [metric for each in session.metric_names(name)[:2] if (metric := evidence.metric(each)) is not None]
        if found:
            st.text(" · ".join(map(words.measured, found)))
