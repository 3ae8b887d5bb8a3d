"""Charts as pure functions of plain values. Colours come from the theme."""

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from pipeline.governance.evidence import Metric

PLAIN = {"displayModeBar": False}
# From the page's own background: Streamlit's scale would make every empty cell of a dark page bright blue.
SHADES_ON_LIGHT, SHADES_ON_DARK = ["#F4F6FA", "#1D4ED8"], ["#1A2233", "#60A5FA"]
ROW_PIXELS, LEAST_PIXELS = 34, 120
LEGEND_ABOVE = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0}


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


def metric_intervals(own: Sequence[Metric], champion: Sequence[Metric], names: tuple[str, str]) -> go.Figure:
    """Each metric as a point with its interval, this version above the champion. names: what each of the two is called.

    own, champion: metrics between 0 and 1 by the same names.
    """
    figure = go.Figure()
    for metrics, name, symbol in ((own, names[0], "circle"), (champion, names[1], "diamond")):
        if metrics:
            figure.add_scatter(
                x=[metric.value for metric in metrics],
                y=[metric.name for metric in metrics],
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [(metric.high or metric.value) - metric.value for metric in metrics],
                    "arrayminus": [metric.value - (metric.low or metric.value) for metric in metrics],
                    "thickness": 1.5,
                },
                mode="markers",
                orientation="h",  # without it the points of a group lie on one line
                marker={"size": 9, "symbol": symbol},
                name=name,
            )
    framed(figure, height=max(200, ROW_PIXELS * len(own) + 100))
    figure.update_layout(scattermode="group", legend={"orientation": "h", "y": 1.12, "x": 0})
    ends = [end for metric in (*own, *champion) for end in (metric.value, metric.low, metric.high) if end is not None]
    margin = max(0.01, (max(ends) - min(ends)) * 0.1)
    figure.update_xaxes(tickformat=".3~f", range=[max(0, min(ends) - margin), min(1, max(ends) + margin)])
    return figure.update_yaxes(autorange="reversed")


def framed(figure: go.Figure, *, height: int) -> go.Figure:
    return figure.update_layout(height=height, margin={"l": 0, "r": 0, "t": 8, "b": 0}, dragmode=False)


def plain(text: str) -> str:
    """Escapes a name for a label: Plotly reads some HTML there, so a name could draw a link."""
    return html.escape(text, quote=False)
