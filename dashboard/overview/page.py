"""What serves now, what waits for a review, what moved out-of-band: one tile per model."""

from collections.abc import Callable
from functools import partial
from typing import Any

import streamlit as st

from dashboard import pages, session
from dashboard.components import widgets, words
from dashboard.components.trust import changed_box, changed_files, unusable
from dashboard.filling import empty_registry
from dashboard.overview import card as model_card
from dashboard.overview import findings, signatures, waiting
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.history import ModelOverview

CARD_PIXELS, CARDS_ABREAST, MOST_CARDS = 390, 3, 40  # two abreast at 1280 pixels


def overview_page() -> None:
    widgets.title("Overview")
    models = sorted(session.overview(), key=model_card.urgency)
    lost()
    if not any(model.record.versions for model in models):
        emptied() if session.gone() else empty_registry()
        return
    cards = models[:MOST_CARDS]
    looks = waiting.looks(cards)
    champions = [(each.record.name, each.champion) for each in cards if each.champion is not None]
    changed = {named: reason for named in champions if (reason := changed_files(*named))}
    queues = signatures.queues(session.visitor())
    place = signatures.begin(queues)
    figures(models, len(changed))
    with widgets.place():
        for named, reason in changed.items():
            changed_box("Files changed", *named, reason=reason)
        for model in models:
            if model.differences:
                widgets.out_of_band(model.record.name, model.differences)
    findings.boxes(models)
    found, late = waiting.found(looks, dict(champions))
    signatures.draw(place, queues, models, merits=found)
    listed = {each.record.name: waiting.shown(each, found.get(each.record.name)) for each in cards}
    asked = [(name, version) for name, versions in listed.items() for version in versions]
    refused, unseen = unusable([*asked, *champions])
    with _side_by_side(len(cards)):
        for index, model in enumerate(cards):
            with st.container(border=True, height="stretch", key=f"card_{index}"):
                model_card.card(model, found.get(model.record.name), refused)
    if len(models) > MOST_CARDS:
        st.caption(f"{len(models) - MOST_CARDS:,} more models are listed on the page Versions.")
    if late or unseen:
        widgets.redraw_when_done([*late, *unseen])


def _side_by_side(cards: int) -> Any:  # noqa: ANN401 (Streamlit's container)
    """A grid is drawn twice, since it measures its width first; one card alone needs none."""
    return st.container() if cards == 1 else st.grid(min(CARDS_ABREAST, cards), min_column_width=CARD_PIXELS)


def emptied() -> None:
    """There were versions: a demo would not bring them back."""
    st.header("The registry holds no version any more", anchor=False)
    st.text(
        "The record says what was there, and nothing of it is lost. Where the registry's database or server has only\n"
        "been moved, put it back or give this desk its new address, MLFLOW_TRACKING_URI."
    )


def lost() -> None:
    """Says that the ledger is of another registry, that models it knows are gone, that people were not told, or that
    somebody gave themselves a role before anybody could log in.
    """
    if sentence := session.unknown_registry():
        widgets.message("Unknown registry", words.sentence(sentence), colour="orange")
    for name, differences in session.gone().items():
        widgets.out_of_band(name, differences)
    if unsent := session.unsent_notices():
        widgets.message("Not told", unsent, colour="orange")
    if first := session.first_token():
        widgets.message("First token", first, colour="orange")


def figures(models: list[ModelOverview], changed: int) -> None:
    """The numbers of the whole registry, each a link to what it counts; as text where no page shows all of that."""
    waits = [each.record.name for each in models if each.waiting]
    moved = [each.record.name for each in models if each.differences]
    n_versions = sum(model.record.versions for model in models)
    n_waiting = sum(len(model.waiting) for model in models)
    gone = sum(map(len, session.gone().values()))
    outside = sum(len(model.differences) for model in models) + gone + changed
    tip = widgets.OUT_OF_BAND if outside else None
    history = partial(pages.link_history, model=moved[0] if len(moved) == 1 else "", tip=tip)
    only = models[0].record.name if len(models) == 1 else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        # Named, as Versions would name it itself: that would be a second step of the browser's history.
        listed = partial(pages.link_versions, model=models[0].record.name)
        if not only:  # whose name its card has
            _figure(len(models), "models", listed)
        versions = "version" if n_versions == 1 else "versions"
        _figure(n_versions, versions, listed if only else None)
        waiting_versions = (
            partial(pages.link_versions, model=waits[0], stage=Stage.STAGING) if len(waits) == 1 else None
        )
        _figure(n_waiting, "waiting for review", waiting_versions)
        _figure(outside, "changed outside", history, bad=outside > 0)


def _figure(value: int, counted: str, link: Callable[[str], None] | None, *, bad: bool = False) -> None:
    """One element: a metric of Streamlit is up to three pieces of markdown, and its code a file of its own."""
    text = f":red[**{value:,}** {counted}]" if bad else f"**{value:,}** {counted}"
    link(text) if link else st.markdown(text, width="content")


overview_page()
