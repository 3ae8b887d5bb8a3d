"""What serves now, what waits for a review, what moved out-of-band: one card per model."""

import streamlit as st

from dashboard import pages, session, tables, widgets, words
from dashboard.filling import empty_registry
from dashboard.history_lines import last_line, since
from pipeline.governance.service import ModelOverview

CARD_PIXELS = 420
MOST_SHOWN, MOST_CARDS = 5, 40


def overview_page() -> None:
    st.title("Overview", anchor=False)
    models = session.overview()
    if not any(model.record.versions for model in models):
        empty_registry()
        return
    figures(models)
    for model in models:
        if model.differences:
            out_of_band(model)
    with st.grid(min(2, len(models)), min_column_width=CARD_PIXELS):
        for index, model in enumerate(sorted(models, key=urgency)[:MOST_CARDS]):
            with st.container(border=True, height="stretch", key=f"card_{index}"):
                card(model)
    if len(models) > MOST_CARDS:
        st.caption(f"{len(models) - MOST_CARDS:,} more models are listed on the page Versions.")


def urgency(model: ModelOverview) -> tuple[bool, bool, str]:
    """What somebody has to do something about comes first."""
    return not model.differences, not model.waiting, model.record.name


def figures(models: tuple[ModelOverview, ...]) -> None:
    with st.grid(4, min_column_width=150):
        st.metric("Models", len(models), border=True)
        st.metric("Versions", f"{sum(model.record.versions for model in models):,}", border=True)
        st.metric("Waiting for review", sum(len(model.waiting) for model in models), border=True)
        st.metric("Out-of-band changes", sum(len(model.differences) for model in models), border=True)


def out_of_band(model: ModelOverview) -> None:
    sentences = "\n".join(f"•  {each.sentence}" for each in model.differences[:MOST_SHOWN])
    with widgets.message("Moved out-of-band", f"{model.record.name}\n{sentences}", colour="orange"):
        pages.link_history("See what moved, adopt or revert it", model.record.name)


def card(model: ModelOverview) -> None:
    name = model.record.name
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(words.label(name), anchor=False, width="content")
        for stage, held in model.stages.items():
            if held:
                st.badge(f"{words.stage(stage.value)} {held:,}", color=widgets.STAGE_COLOURS[stage])
        pages.link_versions(words.count(model.record.versions, "version"), name)
        pages.link_history("History", name)
    champion(model)
    waiting(model)
    if model.last is not None:
        with st.container(gap=None):
            st.caption("Last event")
            st.text(last_line(model.last))


def champion(model: ModelOverview) -> None:
    name, version = model.record.name, model.champion
    if version is None:
        st.text("No champion: nothing serves.")
        return
    evidence = session.evidence(name, version)
    found = [metric for each in session.metric_names()[:2] if (metric := evidence.metric(each)) is not None]
    with st.grid(3, min_column_width=120):
        st.metric("Champion", f"Version {version}")
        for metric in found:
            spread = words.spread(metric) or None
            label, value = words.label(metric.name), words.number(metric.value)
            st.metric(label, value, spread, delta_color="off", delta_arrow="off")
    with st.container(horizontal=True, vertical_alignment="center"):
        pages.link_review(f"Review version {version}", name, version)
        st.caption(since(session.champions(name), session.history(name)), width="content")


def waiting(model: ModelOverview) -> None:
    if not model.waiting:
        st.caption("Nothing waits for a review.")
        return
    name, frame = model.record.name, session.versions(model.record.name)
    st.caption(f"{words.count(len(model.waiting), 'version')} in Staging, waiting for a review")
    with st.container(gap=None):
        for version in model.waiting[:MOST_SHOWN]:
            with st.container(horizontal=True, vertical_alignment="center"):
                pages.link_review(f"Review version {version}", name, version)
                st.text(tables.brief(frame, version, session.metric_names()[:2]))
    if len(model.waiting) > MOST_SHOWN:
        pages.link_versions(f"{len(model.waiting) - MOST_SHOWN:,} more", name)


overview_page()
