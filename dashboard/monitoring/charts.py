"""Charts of the page as pure functions of plain values."""

from collections.abc import Sequence
from datetime import datetime

import plotly.graph_objects as go

from dashboard.caching import drawn_once
from dashboard.components.charts import LEGEND_ABOVE, QUIET, digits_of, framed, interval_bars, plain

HELD_OUT, NOW = "Held-out rows", "This window"
TILTS = [0, -35, -90]  # of labels: the first with which they do not lie on each other
HOUR_MILLISECONDS, BAR = 3_600_000, 0.8  # an hour, and the part of it that its bars fill


@drawn_once
def shares(labels: Sequence[str], before: Sequence[float], now: Sequence[float]) -> go.Figure:
    """The share of the rows in each bin, as evaluated and in the window."""
    figure = go.Figure()
    names = [plain(label) for label in labels]
    figure.add_bar(x=names, y=before, name=HELD_OUT, marker_color=QUIET, hovertemplate="%{x}: %{y:.1%}<extra></extra>")
    figure.add_bar(x=names, y=now, name=NOW, hovertemplate="%{x}: %{y:.1%}<extra></extra>")
    framed(figure, height=300).update_layout(barmode="group", legend=LEGEND_ABOVE, bargap=0.25)
    figure.update_xaxes(type="category", autotickangles=TILTS)
    return figure.update_yaxes(tickformat=".0%", rangemode="tozero")


@drawn_once
def traffic(
    hours: Sequence[datetime], rows: Sequence[int], refused: Sequence[int], *, window: tuple[datetime, datetime]
) -> go.Figure:
    """Answered rows and refused values by hour, over the whole window: hours without anything are empty."""
    figure = go.Figure()
    shown = [("Rows answered", rows), ("Values refused", refused)] if any(refused) else [("Rows answered", rows)]
    width = HOUR_MILLISECONDS * BAR / len(shown)
    for position, (name, counts) in enumerate(shown):
        figure.add_bar(
            x=hours,
            y=counts,
            name=name,
            width=width,
            offset=HOUR_MILLISECONDS * (1 - BAR) / 2 + position * width,
            hovertemplate="%{x|%m-%d %H:00}: %{y:,}",
        )
    framed(figure, height=210).update_layout(legend=LEGEND_ABOVE, showlegend=len(shown) > 1)
    figure.update_xaxes(type="date", range=list(window), tickformat="%H:%M\n%d %b")
    return figure.update_yaxes(rangemode="tozero", tickformat=",~d")


@drawn_once
def accuracies(names: Sequence[str], values: Sequence[tuple[float, float | None, float | None]]) -> go.Figure:
    """Each accuracy as a point with its interval. values: the figure and the ends of its interval."""
    figure = go.Figure()
    figure.add_scatter(
        x=[value for value, *_ in values],
        y=list(names),
        error_x=interval_bars(list(values)),
        mode="markers",
        orientation="h",
        marker={"size": 9},
        hovertemplate="%{y}: %{x:.4f}<extra></extra>",
    )
    framed(figure, height=60 + 40 * len(names))
    ends = [end for each in values for end in each if end is not None]
    figure.update_xaxes(tickformat=f".{digits_of(ends)}f")
    return figure.update_yaxes(autorange="reversed")
