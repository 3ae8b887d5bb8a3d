"""Each column beside the rows that the version was evaluated on: test, size of the difference, verdict."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from dashboard import session
from dashboard.components import charts, widgets, words
from dashboard.monitoring import charts as own_charts
from pipeline.governance.rules.watching import Drift, WatchReport, WatchRules
from pipeline.governance.text import visible

DISTANCE = (
    "Jensen-Shannon distance of the shares per bin: 0 where they are the same, 1 where they have nothing in common. "
    "From {effect:g} on a difference is a finding, from {high_effect:g} on a high one."
)
ADJUSTED = (
    "How likely so large a difference is by chance (p of the test), adjusted for everything that is tested together. "
    "Up to {false_discovery_rate:g} it counts: of the differences that count, at most that share is due to chance "
    "(false-discovery rate, Benjamini and Hochberg)."
)
TEST = "Pearson's chi-squared test: whether the rows of the window and the held-out rows come from one distribution."
OUTSIDE = "Share of the rows whose value the training data did not hold"
MUCH, DIFFERS, LITTLE = "✕ Differs much", "! Differs", "· Differs little"
SAME, UNTESTED = "≈ Not distinguishable", "· Too few rows"
COLOURS: Mapping[str, widgets.Colour] = {MUCH: "red", DIFFERS: "orange", LITTLE: "gray", SAME: "gray", UNTESTED: "gray"}
URGENT = (MUCH, DIFFERS, LITTLE, SAME, UNTESTED)
MOST_BINS = 64
LEAST_P = 0.0001


def columns(found: WatchReport) -> None:
    """Every column, those that differ most first; one is shown in full."""
    if not found.n:
        widgets.message("Nothing to compare", visible(found.gap) or "No row was counted in this time.", colour="blue")
        return
    used = rules()
    listed = sorted(found.columns, key=lambda each: (URGENT.index(verdict(each, used)), -each.effect))
    tested = sum(bool(each.test) for each in found.drifts)
    st.caption(
        f"{words.count(found.n, 'row')} beside the rows that the version was evaluated on; "
        f"{words.count(tested, 'distribution')} tested together. Select a column to see it.",
        help=TEST,
    )
    labels = session.evidence(found.model, found.version).feature_schema.labels
    chosen = _table(listed, labels)
    if listed:
        each = listed[chosen]
        st.header(words.label(words.column(each.name, labels)), anchor=False)
        sentence(each)
        shares(each, key="column")


def rules() -> WatchRules:
    """From when on a difference is a finding."""
    return session.settings().monitoring.rules()


def verdict(each: Drift, used: WatchRules) -> str:
    """The same as a finding says."""
    if not each.test:
        return SAME if _in_one_bin(each) else UNTESTED
    if each.adjusted > used.false_discovery_rate:
        return SAME
    if each.effect < used.effect:
        return LITTLE
    return MUCH if each.effect >= used.high_effect else DIFFERS


def _in_one_bin(each: Drift) -> bool:
    """Whether all rows lie in the bin that held all rows before: then there is nothing to test."""
    return bool(each.n) and 1 in each.now and each.now.index(1) == (each.before.index(1) if 1 in each.before else None)


def sentence(each: Drift) -> None:
    """Verdict, size of the difference, test and n, with the terms explained."""
    used = rules()
    said = verdict(each, used)
    if not each.test:
        text = f"Too few rows to test: n = {each.n:,}." if said is UNTESTED else f"As evaluated: n = {each.n:,}."
        st.text(text)
        return
    st.text(
        f"{said[2:]}: distance {each.effect:.3f}, {each.test} test, adjusted p {_p(each.adjusted)}, n = {each.n:,}.",
        help=f"{_filled(DISTANCE)}\n\n{TEST}\n\n{_filled(ADJUSTED)}",
    )


def _filled(text: str) -> str:
    used = rules()
    return text.format(effect=used.effect, high_effect=used.high_effect, false_discovery_rate=used.false_discovery_rate)


def shares(each: Drift, *, key: str) -> None:
    """A chart of both distributions."""
    shown = [
        position
        for position in range(min(len(each.labels), MOST_BINS))
        if each.before[position] > 0 or each.now[position] > 0
    ]
    figure = own_charts.shares(
        tuple(each.labels[position] for position in shown),
        tuple(each.before[position] for position in shown),
        tuple(each.now[position] for position in shown),
    )
    st.plotly_chart(figure, config=charts.PLAIN, key=f"shares/{key}", alt="Share of the rows per bin, then and now")


def _table(listed: Sequence[Drift], labels: Mapping[str, str]) -> int:
    """Which row is selected; the first without one. labels: of the columns."""
    used = rules()
    frame = pd.DataFrame(
        {
            "Column": [words.column(each.name, labels) for each in listed],
            "Verdict": [[verdict(each, used)] for each in listed],
            "Distance": [each.effect for each in listed],
            "Adjusted p": [_p(each.adjusted) if each.test else "" for each in listed],
            "Rows": [each.n for each in listed],
            "Out of range": [f"{each.outside:.1%}" for each in listed],
        }
    )
    event = st.dataframe(
        frame,
        hide_index=True,
        key="columns",
        height=widgets.height_of(len(frame)),
        on_select="rerun",
        selection_mode="single-row",
        placeholder=words.NOTHING,
        alt="Drift by column",
        column_config={
            "Column": st.column_config.TextColumn(width=230),
            "Verdict": st.column_config.MultiselectColumn(
                options=list(COLOURS), color=list(COLOURS.values()), width=165
            ),
            "Distance": st.column_config.NumberColumn(format="%.3f", help=_filled(DISTANCE), width=90),
            "Adjusted p": st.column_config.TextColumn(help=_filled(ADJUSTED), width=110),
            "Rows": st.column_config.NumberColumn(format="localized", width=90),
            "Out of range": st.column_config.TextColumn(help=OUTSIDE, width=110),
        },
    )
    rows = event.selection.rows
    return rows[0] if rows and rows[0] < len(listed) else 0


def _p(value: float) -> str:
    return f"under {LEAST_P:g}" if value < LEAST_P else f"{value:.4f}"
