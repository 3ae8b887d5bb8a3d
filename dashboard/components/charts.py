"""Charts as pure functions of plain values. Colours come from the theme."""

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import plotly.graph_objects as go

from dashboard.caching import drawn_once
from pipeline.comparison.performance import PrecisionRecall, Residuals
from pipeline.governance.metrics import metric_label
from pipeline.governance.record.evidence import Metric
from pipeline.governance.rules.paired import CalibrationPoint

PLAIN = {"displayModeBar": False}
# From the page's own background: Streamlit's scale would make every empty cell of a dark page bright blue.
SHADES_ON_LIGHT, SHADES_ON_DARK = ["#F4F6FA", "#1D4ED8"], ["#1A2233", "#2563EB"]
# Of versions: the champion, else the reference, is blue on every page; the others follow.
VERSIONS_ON_LIGHT, VERSIONS_ON_DARK = ["#1D4ED8", "#B45309", "#7C3AED"], ["#60A5FA", "#FB923C", "#A78BFA"]
Colours = Mapping[str, str]  # by what each trace is called
NO_COLOURS: Colours = MappingProxyType({})  # the theme's
ROW_PIXELS, LEAST_PIXELS = 34, 120
LONGEST_METRIC = 18  # characters of a line on an axis
LEGEND_ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


@drawn_once
def confusion(classes: Sequence[str], counts: Sequence[Sequence[float]], *, dark: bool = False) -> go.Figure:
    """A confusion matrix with counts in the cells, shaded by the share of the true class.

    Shares make a rare class as visible as a frequent one. counts: a row per true class, a column per predicted class.
    """
    shares = [[value / (sum(row) or 1) for value in row] for row in counts]
    return true_by_predicted(
        classes,
        shares,
        [[f"{value:,.0f}" for value in row] for row in counts],
        cell="%{text} rows, %{z:.4f} of the class",
        colours=SHADES_ON_DARK if dark else SHADES_ON_LIGHT,
        span=(0, 1),
    )


def true_by_predicted(
    classes: Sequence[str],
    shares: Sequence[Sequence[float]],
    texts: Sequence[Sequence[str]],
    *,
    cell: str,
    colours: Sequence[object],
    span: tuple[float, float],
) -> go.Figure:
    """A heat map with a cell per pair of classes, rows are the true ones.

    shares: the colour of each cell. texts: what stands in each cell. cell: its tooltip. colours: a Plotly colour scale.
    span: the shares at the two ends of that scale.
    """
    heatmap = go.Heatmap(
        x=list(classes),
        y=list(classes),
        z=shares,
        text=texts,
        texttemplate="%{text}",
        hovertemplate=f"true %{{y}}<br>predicted %{{x}}<br>{cell}<extra></extra>",
        colorscale=colours,
        zmin=span[0],
        zmax=span[1],
        xgap=1,
        ygap=1,
        showscale=False,
    )
    figure = framed(go.Figure(heatmap), height=max(320, ROW_PIXELS * len(classes) + 140))
    figure.update_xaxes(title="Predicted", tickangle=-35)
    return figure.update_yaxes(title="True", autorange="reversed")


@drawn_once
def metric_intervals(
    own: Sequence[Metric], champion: Sequence[Metric], names: tuple[str, str], *, colours: Colours = NO_COLOURS
) -> go.Figure:
    """Each metric as a point with its interval, this version above the champion. names: what each of the two is called.

    own, champion: metrics between 0 and 1 by the same names. colours: by these names, see version_colours.
    """
    figure = go.Figure()
    for metrics, name, symbol in ((own, names[0], "circle"), (champion, names[1], "diamond")):
        if metrics:
            figure.add_scatter(
                x=[metric.value for metric in metrics],
                y=[metric_tick(metric.name) for metric in metrics],
                error_x=interval_bars([(metric.value, metric.low, metric.high) for metric in metrics]),
                mode="markers",
                orientation="h",  # without it the points of a group lie on one line
                marker={"size": 9, "symbol": symbol, "color": colours.get(name)},
                name=name,
            )
    framed(figure, height=max(200, ROW_PIXELS * len(own) + 100))
    figure.update_layout(scattermode="group", legend={"orientation": "h", "y": 1.12, "x": 0})
    ends = [end for metric in (*own, *champion) for end in (metric.value, metric.low, metric.high) if end is not None]
    margin = max(0.01, (max(ends) - min(ends)) * 0.1)
    shown = [max(0, min(ends) - margin), min(1, max(ends) + margin)]
    figure.update_xaxes(tickformat=f".{digits_of(shown)}f", range=shown)
    return figure.update_yaxes(autorange="reversed")


def version_colours(versions: Mapping[str, int], champion: int | None, *, dark: bool = False) -> dict[str, str]:
    """A colour for each name of a version. A version alone that does not serve has the second one.

    versions: numbers by what each is called in the chart, the reference first.
    """
    first = champion if champion in versions.values() or len(versions) == 1 else next(iter(versions.values()), None)
    blue, *others = VERSIONS_ON_DARK if dark else VERSIONS_ON_LIGHT
    rest = [name for name, version in versions.items() if version != first]
    found = {name: blue for name, version in versions.items() if version == first}
    return found | {name: others[index % len(others)] for index, name in enumerate(rest)}


def framed(figure: go.Figure, *, height: int) -> go.Figure:
    return figure.update_layout(height=height, margin={"l": 0, "r": 0, "t": 8, "b": 0}, dragmode=False)


def digits_of(values: Iterable[float]) -> int:
    """How many digits the marks of an axis over these values need: all the same."""
    ends = list(values)
    span = max(ends, default=0) - min(ends, default=0) or 0.01
    return min(4, max(0, math.ceil(-math.log10(span / 10))))


def metric_tick(name: str) -> str:
    """What people call a metric, for an axis: a long one on several lines, since a phone has no room for it on one."""
    return "<br>".join(map(plain, textwrap.wrap(metric_label(name), LONGEST_METRIC)))


def plain(text: str) -> str:
    """Escapes a name for a label: Plotly reads some HTML there, so a name could draw a link."""
    return html.escape(text, quote=False)


# How good a version is by its kind.

SMALLEST_DOT, LARGEST_DOT = 6, 20
QUIET = "#94A3B8"
MARKS = ("circle", "diamond", "square", "triangle-up")


@drawn_once
def calibration(curves: Mapping[str, Sequence[CalibrationPoint]], *, colours: Colours = NO_COLOURS) -> go.Figure:
    """A reliability diagram: the share predicted right with its interval against the mean of the highest probability.

    A version whose probabilities can be taken as they are lies on the diagonal. No line joins the points: between two
    bins nothing was measured. curves: per version one point per bin. colours: see version_colours.
    """
    figure = go.Figure()
    most = max((point.n for points in curves.values() for point in points), default=1)
    for (name, points), symbol in zip(curves.items(), MARKS, strict=False):
        # The area of a dot grows with n.
        sizes = [SMALLEST_DOT + (LARGEST_DOT - SMALLEST_DOT) * float((point.n / most) ** 0.5) for point in points]
        figure.add_scatter(
            x=[point.probability for point in points],
            y=[point.right for point in points],
            customdata=[[point.n, point.right_low, point.right_high] for point in points],
            error_y=interval_bars([(point.right, point.right_low, point.right_high) for point in points]),
            mode="markers",
            cliponaxis=False,  # a share of 0 lies on the edge
            marker={"size": sizes, "symbol": symbol, "color": colours.get(name)},
            name=name,
            hovertemplate="probability %{x:.4f}, right %{y:.4f}<br>%{customdata[1]:.4f} to %{customdata[2]:.4f}"
            "<br>n = %{customdata[0]:,}<extra></extra>",
        )
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"dash": "dot", "width": 1, "color": QUIET},
        name="Probability = share right", hoverinfo="skip",
    )  # fmt: skip
    framed(figure, height=400)
    figure.update_layout(legend=LEGEND_ABOVE)
    figure.update_xaxes(title="Mean of the highest probability", range=[0, 1.03], tickformat=".1f")
    return figure.update_yaxes(title="Share predicted right", range=[0, 1.05], tickformat=".1f")


@drawn_once
def precision_recall(curves: Mapping[str, PrecisionRecall], *, colours: Colours = NO_COLOURS) -> go.Figure:
    """Precision against recall at every threshold. curves, colours: by what each is called."""
    figure = go.Figure()
    for (name, curve), dash in zip(curves.items(), ("solid", "dash", "dot", "dashdot"), strict=False):
        figure.add_scatter(
            x=curve.recall,
            y=curve.precision,
            mode="lines",
            line={"shape": "vh", "dash": dash, "color": colours.get(name)},
            name=name,
            hovertemplate=f"{plain(name)}<br>recall %{{x:.4f}}, precision %{{y:.4f}}<extra></extra>",
        )
    framed(figure, height=360).update_layout(legend=LEGEND_ABOVE, showlegend=True)
    figure.update_xaxes(title="Recall", range=[0, 1.01], tickformat=".1f")
    return figure.update_yaxes(title="Precision", range=[0, 1.03], tickformat=".1f")


@drawn_once
def residuals(found: Residuals, target: str) -> go.Figure:
    """Each miss against the actual number, and per range of it the mean miss with its interval.

    target: what is predicted.
    """
    figure = go.Figure()
    figure.add_scatter(
        x=found.actual,
        y=found.residuals,
        mode="markers",
        marker={"size": 4, "opacity": 0.5, "color": QUIET},
        name="One row",
        hovertemplate="actual %{x:.4g}<br>missed by %{y:+.4g}<extra></extra>",
    )
    figure.add_scatter(
        x=[(each.start + each.end) / 2 for each in found.ranges],
        y=[each.bias for each in found.ranges],
        customdata=[[each.n, each.bias_low, each.bias_high] for each in found.ranges],
        error_y=interval_bars([(each.bias, each.bias_low, each.bias_high) for each in found.ranges]),
        mode="markers",
        marker={"size": 9, "symbol": "diamond"},
        name="Mean of a range",
        hovertemplate="%{y:+.4g} (%{customdata[1]:+.4g} to %{customdata[2]:+.4g})<br>n = %{customdata[0]:,}"
        "<extra></extra>",
    )
    figure.add_hline(y=0, line={"color": QUIET, "width": 1})
    framed(figure, height=360).update_layout(legend=LEGEND_ABOVE)
    figure.update_xaxes(title=f"Actual {plain(target)}")
    return figure.update_yaxes(title="Predicted minus actual")


def interval_bars(points: Sequence[tuple[float, float | None, float | None]], **more: float) -> dict[str, object]:
    """Error bars from a value and the ends of its interval, of no length where an end is not known.

    more: how Plotly is to draw them.
    """
    return {
        "type": "data",
        "symmetric": False,
        "array": [0 if high is None else high - value for value, _, high in points],
        "arrayminus": [0 if low is None else value - low for value, low, _ in points],
        "thickness": 1.5,
        **more,
    }
