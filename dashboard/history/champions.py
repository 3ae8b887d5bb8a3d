"""Which version was champion when, by the ledger: a chart of the newest changes, and the champion at a chosen time."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import plotly.graph_objects as go
import streamlit as st

from dashboard import session
from dashboard.components import charts, words
from dashboard.components.charts import LEAST_PIXELS, ROW_PIXELS, framed
from dashboard.components.trust import trust_badge
from pipeline.governance.history import Period


def champions_over_time(model: str) -> None:
    periods = session.champions(model)
    if not periods:
        st.caption("The ledger knows no champion of this model.")
        return
    if periods[-1].end is None:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.text(f"By the ledger version {periods[-1].version} serves now", width="content")
            trust_badge(model, periods[-1].version)
    if len(periods) > session.MOST_PERIODS:
        periods = periods[-session.MOST_PERIODS :]
        st.caption(f"The newest {session.MOST_PERIODS} changes; `signoff history` lists all.")
    figure = timeline(periods, datetime.now(UTC))
    st.plotly_chart(figure, config=charts.PLAIN, alt="Which version was champion when")
    _champion_at(model)


def timeline(periods: Sequence[Period], now: datetime) -> go.Figure:
    """One bar per period as champion; the present period ends at `now`, the right edge."""
    ends = [period.end or max(now, period.start) for period in periods]  # a clock may have been set back
    names = _names(periods)
    bars = go.Bar(
        y=names,
        base=[period.start.isoformat() for period in periods],
        x=[(end - period.start).total_seconds() * 1000 for period, end in zip(periods, ends, strict=True)],
        orientation="h",
        width=0.5,
        hovertemplate=[_tooltip(period) for period in periods],
    )
    rows = len(set(names))
    figure = framed(go.Figure(bars), height=max(LEAST_PIXELS, ROW_PIXELS * rows + 50))
    figure.update_xaxes(type="date", title=None)
    return figure.update_yaxes(type="category")


def _names(periods: Sequence[Period]) -> list[str]:
    """Names of the versions, with the time of registration where a number was given to two versions in turn."""
    versions = {(each.version, each.created_at) for each in periods if each.created_at}
    registrations = Counter(version for version, _ in versions)
    return [
        f"Version {each.version}" + (f" of {words.moment(each.created_at)}" if registrations[each.version] > 1 else "")
        for each in periods
    ]


def _tooltip(period: Period) -> str:
    end = f"{period.end:%Y-%m-%d %H:%M} UTC" if period.end else "now"
    return f"Version {period.version}<br>{period.start:%Y-%m-%d %H:%M} UTC to {end}<extra></extra>"


def _champion_at(model: str) -> None:
    """Answers who was champion at a time that the visitor chooses, with the stages of all versions then."""
    chosen = st.datetime_input(
        "Who was champion at (UTC)",
        _end_of_first_minute(),
        key="at",
        bind="query-params",
        format="YYYY-MM-DD",
        step=60,
        width=260,
    )
    then = session.desk().at(model, chosen.replace(tzinfo=UTC))
    if not then.known:
        st.text(f"{words.when(then.at)}: {then.unknown}")
        return
    who = "Nobody" if then.champion is None else f"Version {then.champion}"
    stages = ", ".join(f"version {version} in {stage}" for version, stage in sorted(then.stages.items()))
    st.text(f"{who} at {words.when(then.at)}. Stages then: {stages or 'none'}.")


def _end_of_first_minute() -> datetime:
    """The end of the minute in which the session first asked: a default that moves would make a new field each time."""
    now = datetime.now(UTC).replace(second=0, microsecond=0, tzinfo=None) + timedelta(minutes=1)
    first: datetime = st.session_state.setdefault("first_minute", now)
    return first
