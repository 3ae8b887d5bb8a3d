"""Which version was champion when, by the ledger: a chart of the newest changes, and the champion at a chosen time."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import plotly.graph_objects as go
import streamlit as st

from dashboard import caching, session
from dashboard.address import in_address
from dashboard.components import charts, words
from dashboard.components.charts import LEAST_PIXELS, ROW_PIXELS, framed
from dashboard.components.trust import trust_badge
from pipeline.governance.errors import SignoffError
from pipeline.governance.record.history import Moment, OutsidePeriod, Period

EDGE_PIXELS = 4  # of a short bar's outline: the least width that it is drawn with
SHORT_BARS = 200  # a bar is short where more of its length than this would lie side by side
OUTSIDE, OUTSIDE_COLOUR = "Outside of this desk", "#DC2626"


def champions_over_time(model: str) -> None:
    periods = session.champions(model)
    if not periods:
        st.caption("The ledger knows no champion of this model.")
        return
    outside = outside_now(model)
    if periods[-1].end is None:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            serves = "is to serve now, and another one is in its place" if _still(outside) else "serves now"
            st.text(f"By the record version {periods[-1].version} {serves}", width="content")
            if not session.silence():
                trust_badge(model, periods[-1].version)
    if len(periods) > session.MOST_PERIODS:
        periods = periods[-session.MOST_PERIODS :]
        st.caption(f"The newest {session.MOST_PERIODS} changes; `signoff history` lists all.")
    figure = timeline(periods, right_edge(), outside, dark=st.context.theme.type == "dark")
    st.plotly_chart(figure, config=charts.PLAIN, alt="Which version was champion when")
    _champion_at(model)


@caching.fresh(most=1)
def right_edge() -> datetime:
    """Now, for as long as reads are fresh: the picture is the same until then."""
    return datetime.now(UTC)


@caching.fresh()
def champion_at(model: str, moment: datetime) -> Moment:
    return session.desk().at(model, moment)


@caching.fresh()
def outside_periods(model: str) -> tuple[OutsidePeriod, ...]:
    """See service.outside_periods; of so many events that the chart is no denser than that of the champions."""
    return tuple(session.desk().outside_periods(model, newest=2 * session.MOST_PERIODS))


def outside_now(model: str) -> tuple[OutsidePeriod, ...]:
    """When another champion was seen in the registry, and the one that is there now where no event says so yet."""
    recorded = outside_periods(model)
    try:
        found = [] if session.silence() else [each for each in session.differences(model) if each.of_champion]
    except SignoffError:
        found = []
    unreported = [
        OutsidePeriod(int(each.observed) if each.observed else None, each.seen, None, 0)
        for each in found
        if not each.reported
    ]
    return (*recorded, *unreported)


def _still(outside: Sequence[OutsidePeriod]) -> bool:
    return bool(outside) and outside[-1].end is None


@caching.drawn_once
def timeline(
    periods: Sequence[Period], now: datetime, outside: Sequence[OutsidePeriod] = (), *, dark: bool = False
) -> go.Figure:
    """One bar per period as champion; the present period ends at `now`, the right edge. Minutes in a year are seen too:
    a short bar has an edge of some pixels, a long one none, which would reach into the time of another champion.

    outside: times in which the registry had another champion, in red on the line of the version that it had.
    """
    blue = (charts.VERSIONS_ON_DARK if dark else charts.VERSIONS_ON_LIGHT)[0]
    ends = [period.end or max(now, period.start) for period in periods]  # a clock may have been set back
    names = _names(periods)
    spans = [end - period.start for period, end in zip(periods, ends, strict=True)]
    shortest = (max(ends) - periods[0].start) / SHORT_BARS
    bars = go.Bar(
        y=names,
        base=[period.start.isoformat() for period in periods],
        x=[span.total_seconds() * 1000 for span in spans],
        orientation="h",
        width=0.5,
        marker={"color": blue, "line": {"color": blue, "width": [EDGE_PIXELS * (span < shortest) for span in spans]}},
        hovertemplate=[_tooltip(period) for period in periods],
    )
    drawn, rows = [bars], set(names)
    if outside:
        bars.name = "By a decision"
        drawn.append(_outside_bars(outside, now))
        rows |= set(drawn[-1].y)
    figure = framed(go.Figure(drawn), height=max(LEAST_PIXELS, ROW_PIXELS * len(rows) + (90 if outside else 50)))
    figure.update_layout(barmode="overlay", showlegend=bool(outside), legend=charts.LEGEND_ABOVE)
    figure.update_xaxes(type="date", title=None)
    return figure.update_yaxes(type="category")


def _outside_bars(outside: Sequence[OutsidePeriod], now: datetime) -> go.Bar:
    ends = [each.end or max(now, each.start) for each in outside]
    spans = zip(outside, ends, strict=True)
    return go.Bar(
        name=OUTSIDE,
        y=[f"Version {each.version}" if each.version else "No champion" for each in outside],
        base=[each.start.isoformat() for each in outside],
        x=[(end - each.start).total_seconds() * 1000 for each, end in spans],
        orientation="h",
        width=0.5,
        marker={
            "color": OUTSIDE_COLOUR,
            "pattern": {"shape": "/"},
            "line": {"color": OUTSIDE_COLOUR, "width": EDGE_PIXELS},
        },
        hovertemplate=[
            f"Changed outside of this desk<br>seen {each.start:%Y-%m-%d %H:%M:%S} UTC, "
            f"until {f'{each.end:%Y-%m-%d %H:%M:%S} UTC' if each.end else 'now'}<extra></extra>"
            for each in outside
        ],
    )


def _names(periods: Sequence[Period]) -> list[str]:
    """Names of the versions, with the time of registration where a number was given to two versions in turn."""
    versions = {(each.version, each.created_at) for each in periods if each.created_at}
    registrations = Counter(version for version, _ in versions)
    return [
        f"Version {each.version}" + (f" of {words.moment(each.created_at)}" if registrations[each.version] > 1 else "")
        for each in periods
    ]


def _tooltip(period: Period) -> str:
    end = f"{period.end:%Y-%m-%d %H:%M:%S} UTC" if period.end else "now"
    return f"Version {period.version}<br>{period.start:%Y-%m-%d %H:%M:%S} UTC to {end}<extra></extra>"


def _champion_at(model: str) -> None:
    """Answers who was champion at a time that the visitor chooses, with the stages of all versions then."""
    chosen = st.datetime_input(
        "Who was champion at (UTC)",
        format="YYYY-MM-DD",
        step=60,
        width=260,
        **in_address.moment("at", _end_of_first_minute()),
    )
    then = champion_at(model, chosen.replace(tzinfo=UTC))
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
