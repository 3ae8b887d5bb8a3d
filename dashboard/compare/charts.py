"""Charts of two versions as pure functions of plain values; `a` is the reference, differences are b minus a."""

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from dashboard.caching import drawn_once
from dashboard.components.charts import (
    LEAST_PIXELS,
    LEGEND_ABOVE,
    ROW_PIXELS,
    digits_of,
    framed,
    interval_bars,
    metric_tick,
    plain,
    true_by_predicted,
)
from dashboard.components.explanation_charts import ticks
from dashboard.components.words import ALIKE, BETTER, VERDICTS, WORSE
from pipeline.explanation.side_by_side import ImportanceDifference
from pipeline.governance.metrics import Direction, direction_of
from pipeline.governance.rules.compare import MetricRow
from pipeline.governance.rules.paired import Confusions
from pipeline.governance.text import minus, signed

# Green and red as the badges; shapes, sides and words say the same to those who cannot tell them apart.
COLOURS_ON_LIGHT = {BETTER: "#15803D", WORSE: "#B91C1C", ALIKE: "#64748B"}
COLOURS_ON_DARK = {BETTER: "#4ADE80", WORSE: "#F87171", ALIKE: "#94A3B8"}
SYMBOLS = {BETTER: "triangle-up", WORSE: "triangle-down", ALIKE: "circle"}
MIDDLE_ON_LIGHT, MIDDLE_ON_DARK = "#F4F6FA", "#1A2233"
MOST_COLUMNS = 15
NO_DIFFERENCE = 1e-9


@drawn_once
def differences(rows: Sequence[MetricRow], title: str, *, dark: bool = False) -> go.Figure:
    """Each difference as a point with its interval, better to the right also where less is better.

    One whose interval holds zero is not distinguishable. The hover has the difference as it is.
    """
    figure, colours = go.Figure(), COLOURS_ON_DARK if dark else COLOURS_ON_LIGHT
    names = [metric_tick(row.name) for row in rows]
    for verdict in (BETTER, WORSE, ALIKE):
        judged = (row for row in rows if VERDICTS.get(row.verdict or "") == verdict)
        shown = [(row, row.interval) for row in judged if row.interval]
        if shown:
            gains = [_gain(row, ends) for row, ends in shown]
            figure.add_scatter(
                x=[gain for gain, _, _ in gains],
                y=[metric_tick(row.name) for row, _ in shown],
                customdata=[signed(row.difference or 0) for row, _ in shown],
                error_x=interval_bars(gains),
                mode="markers",
                marker={"size": 10, "symbol": SYMBOLS[verdict], "color": colours[verdict]},
                name=verdict,
                hovertemplate="%{y}: %{customdata}<extra></extra>",
            )
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": colours[ALIKE]})
    framed(figure, height=max(LEAST_PIXELS, 28 * len(names) + 150))
    figure.update_layout(legend=LEGEND_ABOVE, showlegend=True)
    ends = [0.0, *(end for row in rows if row.interval for end in row.interval)]
    # On three lines: on one a phone would cut it.
    title = f"{title},<br>better to the right: turned<br>round where less is better"
    figure.update_xaxes(tickformat=f".{digits_of(ends)}f", title=title)
    return figure.update_yaxes(categoryorder="array", categoryarray=names[::-1])


def _gain(row: MetricRow, ends: tuple[float, float]) -> tuple[float, float, float]:
    """Difference and ends of its interval, turned round where less is better."""
    difference, (low, high) = row.difference or 0.0, ends
    if row.verdict in ("better", "worse"):
        less = (difference < 0) == (row.verdict == "better")
    else:
        less = direction_of(row.name) is Direction.LOWEST
    return (-difference, -high, -low) if less else (difference, low, high)


@drawn_once
def confusion_difference(found: Confusions, *, dark: bool = False) -> go.Figure:
    """The confusion matrix of b minus that of a, as counts; the colours are shares of the true class.

    Green is better (more right on the diagonal, fewer mistakes elsewhere), red is worse.
    """
    difference, classes = found.difference, [plain(name) for name in found.classes]
    gains = [
        [(count if row == column else -count) / (sum(found.a[row]) or 1) for column, count in enumerate(counts)]
        for row, counts in enumerate(difference)
    ]
    most = max([abs(gain) for row in gains for gain in row] + [NO_DIFFERENCE])
    # Also on dark: white counts can be read on them, and hardly on the lighter ones.
    colours, middle = COLOURS_ON_LIGHT, MIDDLE_ON_DARK if dark else MIDDLE_ON_LIGHT
    return true_by_predicted(
        classes,
        gains,
        [[minus(f"{count:+,}") if count else "" for count in counts] for counts in difference],
        cell="%{text} rows",
        colours=[[0, colours[WORSE]], [0.5, middle], [1, colours[BETTER]]],
        span=(-most, most),
    )


@drawn_once
def importances(
    shares: Mapping[str, Mapping[str, float]], labels: Mapping[str, str], *, colours: Mapping[str, str]
) -> go.Figure:
    """The columns that matter most to any version, each version as a bar.

    shares: per version and column. labels: what people call the columns. colours: of the versions.
    """
    highest: dict[str, float] = {}
    for by_column in shares.values():
        highest |= {name: max(share, highest.get(name, 0)) for name, share in by_column.items()}
    shown = sorted(highest, key=lambda name: -highest[name])[:MOST_COLUMNS]
    figure = go.Figure()
    for (name, by_column), pattern in zip(shares.items(), ("", "/"), strict=False):
        figure.add_bar(
            x=[by_column.get(column) for column in shown],
            y=ticks(shown, labels),
            orientation="h",
            name=name,
            marker={
                "color": colours.get(name),
                "pattern": {"shape": pattern, "fillmode": "overlay", "solidity": 0.25, "size": 6},
            },
            hovertemplate="%{y}: %{x:.1%}<extra></extra>",
        )
    framed(figure, height=ROW_PIXELS * len(shown) + 90)
    figure.update_layout(barmode="group", bargap=0.25, legend=LEGEND_ABOVE)
    figure.update_xaxes(tickformat=".0%", title="Share of the total")
    return figure.update_yaxes(autorange="reversed")


@drawn_once
def importance_differences(found: Sequence[ImportanceDifference], labels: Mapping[str, str], title: str) -> go.Figure:
    """The difference of each column's mean absolute contribution with its interval, the largest on top."""
    shown = found[:MOST_COLUMNS]
    figure = go.Figure()
    figure.add_scatter(
        x=[each.difference for each in shown],
        y=ticks([each.column for each in shown], labels),
        error_x=interval_bars([(each.difference, each.low, each.high) for each in shown]),
        mode="markers",
        marker={"size": 9},
        hovertemplate="%{y}: %{x:+.4f}<extra></extra>",
    )
    figure.add_vline(x=0, line={"width": 1, "dash": "dot", "color": COLOURS_ON_LIGHT[ALIKE]})
    framed(figure, height=ROW_PIXELS * len(shown) + 90)
    figure.update_xaxes(tickformat="+.3~f", title=title)
    return figure.update_yaxes(autorange="reversed")
