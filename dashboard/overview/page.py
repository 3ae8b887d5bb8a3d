"""What serves now, what waits for a review, what moved out-of-band: one tile per model."""

import streamlit as st

from dashboard import session
from dashboard.components import widgets, words
from dashboard.components.trust import changed_box, changed_files, unusable
from dashboard.filling import empty_registry
from dashboard.overview import card as model_card
from pipeline.governance.history import ModelOverview

CARD_PIXELS, MOST_CARDS = 420, 40


def overview_page() -> None:
    st.title("Overview", anchor=False)
    models = sorted(session.overview(), key=model_card.urgency)
    lost()
    if not any(model.record.versions for model in models):
        empty_registry()
        return
    cards = models[:MOST_CARDS]
    champions = [(each.record.name, each.champion) for each in cards if each.champion is not None]
    changed = {named: reason for named in champions if (reason := changed_files(*named))}
    figures(models, len(changed))
    for named, reason in changed.items():
        changed_box("Files changed", *named, reason=reason)
    for model in models:
        if model.differences:
            widgets.out_of_band(model.record.name, model.differences)
    refused = unusable((each.record.name, version) for each in cards for version in model_card.shown_waiting(each))
    with st.grid(min(2, len(models)), min_column_width=CARD_PIXELS):
        for index, model in enumerate(cards):
            with st.container(border=True, height="stretch", key=f"card_{index}"):
                model_card.card(model, refused)
    if len(models) > MOST_CARDS:
        st.caption(f"{len(models) - MOST_CARDS:,} more models are listed on the page Versions.")


def lost() -> None:
    """Says that the ledger is of another registry, or that models it knows are gone from this one."""
    if sentence := session.unknown_registry():
        widgets.message("Unknown registry", words.sentence(sentence), colour="orange")
    for name, differences in session.gone().items():
        widgets.out_of_band(name, differences)


def figures(models: list[ModelOverview], changed: int) -> None:
    with st.grid(4, min_column_width=150):
        st.metric("Models", len(models), border=True)
        st.metric("Versions", f"{sum(model.record.versions for model in models):,}", border=True)
        st.metric("Waiting for review", sum(len(model.waiting) for model in models), border=True)
        moved = sum(len(model.differences) for model in models) + sum(map(len, session.gone().values()))
        st.metric("Out-of-band changes", moved + changed, border=True)


overview_page()
