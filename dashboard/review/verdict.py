"""How a review begins: whether the version is better than the champion, in what, and whether another one is better."""

from collections.abc import Mapping
from concurrent.futures import wait
from typing import Literal

import pandas as pd
import streamlit as st

from dashboard import merits, pages, session
from dashboard.components import tables, trust, widgets, words
from pipeline.governance.errors import InvalidInput, NotFound, SignoffError
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.evidence import Evidence, Metric
from pipeline.governance.record.history import successor
from pipeline.governance.rules.merit import BETTER, WORSE, Merit
from pipeline.governance.rules.paired import FlipKind, Flips
from pipeline.governance.text import signed, visible

MOST_FIGURES, BESIDE, MOST_FLIPS = 4, 2, 200
FLIPS_PIXELS = 320
BELOW = "Below it: the interval of the difference to the champion on the same rows, then that of the metric itself."
UNBROKEN = "\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}"
COLOURS: Mapping[str, widgets.Colour] = {BETTER: "green", WORSE: "red"}


def verdict(evidence: Evidence, merit: Merit | None, *, goes_back: bool = False) -> None:
    """The verdict, and a version that is better yet.

    First of all that somebody rolled back from it. merit: it beside the champion, where that can be said. goes_back: it
    is the version to which a rollback returns.
    """
    _rolled_back(evidence)
    if goes_back:
        st.header(f"Version {evidence.version}, to which a rollback returns", anchor=False)
    champion = session.champion_of(evidence.model)
    if champion is None:
        st.caption("No version serves: there is no champion to compare with.")
    elif merit is None and champion != evidence.version:
        st.caption(f"Nothing is compared: the champion, version {champion}, or its rows cannot be read.")
    elif merit is not None:
        _summary(merit)
    _better_yet(evidence, champion)


def _rolled_back(evidence: Evidence) -> None:
    """Who took the version back, when and why, unless it has served again since."""
    periods = session.champions(evidence.model)
    after = successor(evidence.version, evidence.content["created_at"], periods)
    event = session.event(after.sequence) if after else None
    if after is None or event is None or event.meaning != MoveKind.ROLLBACK:
        return
    told = (
        f"{words.when(after.start)}: {event.signature} rolled back from version {evidence.version} to {after.version}."
    )
    with widgets.message("Rolled back", f"{told}\nReason: {visible(event.reason or '')}", colour="orange"):
        pages.link_event(f"Decision {event.number} in History", evidence.model, event.number)


def flips(back: Evidence, serves: Evidence) -> None:
    """Of a rollback: how many rows the version to return to predicts differently, and which."""
    try:
        found = session.flips(back.model, serves.version, back.version)
    except (NotFound, InvalidInput) as error:
        st.caption("Which predictions would change is not known.")
        st.text(words.sentence(str(error)))
        return
    agreement = found.agreement
    st.header("Predictions that change", anchor=False)
    gained, lost = agreement.only_b_right, agreement.only_a_right
    st.markdown(
        f"Of {agreement.n:,} rows version {back.version} predicts {agreement.flipped:,} differently: "
        f":green-badge[{gained:,} become right] :red-badge[{lost:,} become wrong] "
        f":gray-badge[{agreement.both_wrong_differently:,} stay wrong]"
    )
    pages.link_compare("Compare the two", back.model, [serves.version, back.version])
    if found.rows:
        _flipped_rows(back, serves, found)


def _flipped_rows(back: Evidence, serves: Evidence, found: Flips) -> None:
    meanings = {FlipKind.GAINED: "becomes right", FlipKind.LOST: "becomes wrong", FlipKind.CHANGED: "stays wrong"}
    shown = found.rows[:MOST_FLIPS]
    table = pd.DataFrame(
        {
            "Row": [each.row for each in shown],
            "What it means": [meanings[each.kind] for each in shown],
            "Actual": [tables.cell(each.actual) for each in shown],
            f"Version {serves.version}": [tables.cell(each.a) for each in shown],
            f"Version {back.version}": [tables.cell(each.b) for each in shown],
        }
    )
    height: int | Literal["content"] = FLIPS_PIXELS if len(shown) > MOST_FIGURES else "content"
    widgets.frame(table, "Rows that are predicted differently", height=height)


def _summary(merit: Merit) -> None:
    counts = " ".join(widgets.verdict_badges(merit))
    costs = " ".join(widgets.cost_badges(merit))
    champion = f"the champion, version {merit.reference}"
    tip = " ".join((widgets.named_metrics(merit), widgets.costs(merit, "the champion's")))
    if merit.primary is None:
        st.markdown(f"{counts} with {champion} {costs}", help=tip)
    else:
        st.markdown(f"Compared with {champion}, on the same {merit.n:,} rows: {counts} {costs}", help=tip)
    if merit.gap:
        st.text(merit.gap.text)


def _better_yet(evidence: Evidence, champion: int | None) -> None:
    """The version that waits and is better than this one, with a link."""
    model = next((each for each in session.overview() if each.record.name == evidence.model), None)
    if model is None or not set(model.waiting) - {evidence.version}:
        return
    look = merits.waiting(evidence.model, champion, model.waiting)
    wait([look], timeout=trust.GLANCE_SECONDS)
    if not look.done():
        widgets.redraw_when_done([look])
        return
    best = None if look.exception() else look.result().best
    if best is None or best.version == evidence.version:
        return
    try:
        merit = merits.merit(evidence.model, best.version, evidence.version)
    except SignoffError:  # it is a hint
        return
    if merit.overall == BETTER:
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            pages.link_review(f"Version {best.version} is better than this one", evidence.model, best.version)
            waits = "It waits too" if evidence.version in model.waiting else "It waits for a review"
            st.caption(f"{waits}: {merit.phrase('this one')}.", width="content")


def figures(evidence: Evidence, merit: Merit | None) -> None:
    """The best known metrics, and before them those that get worse: none of these is below the fold."""
    differences = {each.metric: each for each in merit.differences} if merit else {}
    worse = [name for name, each in differences.items() if each.verdict == WORSE]
    known = [*session.metric_names(evidence.model), "recall_macro"]
    names = dict.fromkeys([*known[:1], *worse, *known[1:]])
    found = [metric for metric in map(evidence.metric, names) if metric is not None][:MOST_FIGURES]
    if found:
        with st.grid(BESIDE, min_column_width=150):
            for metric in found:
                _card(metric, differences.get(metric.name))
    shown = {metric.name for metric in found}
    if rest := [
        f"{words.metric_markdown(name)} {words.difference(differences[name])}" for name in worse if name not in shown
    ]:
        st.markdown(f":red[**{'Also worse' if found else 'Worse'}:** {'; '.join(rest)}]")


def _card(metric: Metric, difference: MetricDifference | None) -> None:
    """A metric with interval and n; its difference to the champion's in the colour of the verdict."""
    if difference is None:
        widgets.metric(metric)
        return
    said = difference.verdict if difference.verdict in COLOURS else ""
    with st.container(border=True, gap=None, height="stretch"):
        st.metric(
            words.metric_markdown(metric.name),
            words.number(metric.value),
            f"{signed(difference.difference)} {said}".rstrip(),
            delta_color=COLOURS.get(difference.verdict or "", "gray"),
            delta_arrow="up" if difference.difference > 0 else "down",
            help=f"{words.metric_help(metric.name)} {BELOW}".strip(),
        )
        by = f"difference {words.signed_interval(difference.low, difference.high)}"
        head = by if said else f"{difference.verdict or 'no verdict'}, {by}"
        st.caption(f"{head}  \nvalue {words.spread(metric).replace(' = ', UNBROKEN)}")
