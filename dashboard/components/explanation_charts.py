"""Charts of explanations and predictions, as pure functions of plain values. Names are escaped for Plotly."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from dashboard.caching import drawn_once
from dashboard.components import words
from dashboard.components.charts import LEAST_PIXELS, LEGEND_ABOVE, NO_COLOURS, ROW_PIXELS, framed, plain
from pipeline.governance.text import NO_LABELS, minus, visible

Array = NDArray[Any]
# Orange raises and blue lowers; signs say the same.
RAISES_ON_LIGHT, LOWERS_ON_LIGHT = "#C2410C", "#1D4ED8"
RAISES_ON_DARK, LOWERS_ON_DARK = "#FB923C", "#60A5FA"
GREY = "#94A3B8"
SMALL = '<span style="font-size:9px">'
LONGEST_LABEL, LONGEST_CALLED, LONGEST_AXIS = 24, 32, 60
BREAKS = "_ -"
ENDS, NOTHING_KNOWN = ("Nothing known", "Output"), "With nothing known"
MOST_BARS, MOST_SWARMS, MOST_STEPS, MOST_LEVELS = 15, 12, 9, 20
SWARM_WIDTH, SWARM_BINS = 0.38, 60
LEGEND_PIXELS = 20  # of an entry
LEGEND = {**LEGEND_ABOVE, "traceorder": "normal"}


@drawn_once
def importance(
    mean_abs: Mapping[str, Mapping[str, float]], scale: str, labels: Mapping[str, str] = NO_LABELS
) -> go.Figure:
    """Bars of the mean absolute effect per column, stacked by class, the largest on top.

    mean_abs: per class and column. scale: the unit of the effects, such as "probability". labels: of the columns.
    """
    totals: dict[str, float] = {}
    for by_column in mean_abs.values():
        totals = {name: totals.get(name, 0) + abs(value) for name, value in by_column.items()}
    names = sorted(totals, key=lambda name: -totals[name])[:MOST_BARS]
    figure = go.Figure()
    for class_name, by_column in mean_abs.items():
        figure.add_bar(
            x=[by_column[name] for name in names],
            y=ticks(names, labels),
            orientation="h",
            name=short(class_name),
            hovertemplate=f"%{{y}}<br>{short(class_name)}: %{{x:.4f}}<extra></extra>",
        )
    legend = LEGEND_PIXELS * len(mean_abs) if len(mean_abs) > 1 else 0  # one below the other where there is no room
    framed(figure, height=ROW_PIXELS * len(names) + legend + 70)
    figure.update_layout(barmode="stack", legend=LEGEND, showlegend=len(mean_abs) > 1)
    figure.update_xaxes(title=f"Mean absolute effect ({scale})")
    return figure.update_yaxes(autorange="reversed")


@drawn_once
def beeswarm(effects: Array, columns: Mapping[str, Array], title: str, *,
             labels: Mapping[str, str] = NO_LABELS, dark: bool = False) -> go.Figure:  # fmt: skip
    """A beeswarm: one dot per row and column, placed by its effect and coloured by the value that the row has there.

    effects: rows by columns. columns: the values of the same rows by column name, in the same order.
    """
    names = list(columns)
    order = np.abs(effects).mean(axis=0).argsort()[::-1][:MOST_SWARMS]
    figure = go.Figure()
    shades = [_shades(columns[names[each]]) for each in order]
    for coloured, marker in ((True, _scale(dark=dark)), (False, {"color": GREY})):
        ranks = [rank for rank, shade in enumerate(shades) if (shade is not None) is coloured]
        if ranks:
            drawn = [order[rank] for rank in ranks]
            colours = {"color": np.concatenate([shades[rank] for rank in ranks])} if coloured else {}
            figure.add_scatter(
                x=np.concatenate([effects[:, each] for each in drawn]),
                y=np.concatenate([rank + _offsets(effects[:, order[rank]]) for rank in ranks]),
                text=[f"{short(names[each])} = {shown(value)}" for each in drawn for value in columns[names[each]]],
                mode="markers",
                marker={"size": 4, "opacity": 0.75, **marker, **colours},
                hovertemplate="%{text}<br>%{x:+.4f}<extra></extra>",
            )
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    framed(figure, height=26 * len(order) + 150)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title=title)
    ticktext = ticks([names[each] for each in order], labels)
    figure.update_yaxes(tickvals=list(range(len(order))), ticktext=ticktext)
    return figure.update_yaxes(range=[len(order) - 0.4, -0.6], showgrid=False, zeroline=False)


@drawn_once
def dependence(effects: Array, values: Array, column: str, *, title: str) -> go.Figure:
    """The effect of one column against its own value: dots for numbers, one box per value for text."""
    figure = go.Figure()
    if values.dtype == object:
        texts = np.array([shown(value) for value in values])
        for level in sorted(set(texts.tolist()))[:MOST_LEVELS]:
            own = effects[texts == level]
            figure.add_box(y=own, name=f"{level} (n = {len(own):,})", boxpoints="all", pointpos=0, jitter=0.4)
    else:
        hover = "%{x:.4g}<br>%{y:+.4f}<extra></extra>"
        figure.add_scatter(x=values, y=effects, mode="markers", marker={"size": 5, "opacity": 0.6}, hovertemplate=hover)
    figure.add_hline(y=0, line={"color": GREY, "width": 1})
    framed(figure, height=360).update_layout(showlegend=False)
    figure.update_xaxes(title=plain(visible(column, most=LONGEST_AXIS)))
    return figure.update_yaxes(title=title)


@drawn_once
def waterfall(effects: Mapping[str, float], row: Mapping[str, object], ends: tuple[float, float], *,
              title: str, labels: Mapping[str, str] = NO_LABELS, names: tuple[str, str] = ENDS,
              dark: bool = False) -> go.Figure:  # fmt: skip
    """A waterfall for one row and class: from the base value to the output, the largest effects by name.

    Effects that would be written as a zero are summed with those of the other columns. effects: by column. row: the
    values of the row, for the labels. ends: the base value and the output. labels: what people call the columns. names:
    what the two ends are called.
    """
    base, output = ends
    digits = _decimals([*effects.values(), *ends])
    steps, texts = _steps(effects, row, labels, least=0.5 / 10**digits)
    figures = [f"{base:,.{digits}f}", *(f"{step:+,.{digits}f}" for step in steps), f"{output:,.{digits}f}"]
    raises, lowers = (RAISES_ON_DARK, LOWERS_ON_DARK) if dark else (RAISES_ON_LIGHT, LOWERS_ON_LIGHT)
    positions = list(range(len(steps) + 2))
    figure = go.Figure(
        go.Waterfall(
            orientation="h",
            y=positions,
            x=[base, *steps, 0],
            measure=["absolute", *["relative"] * len(steps), "total"],
            text=[minus(each) for each in figures],
            textposition="outside",
            cliponaxis=False,
            increasing={"marker": {"color": raises}},
            decreasing={"marker": {"color": lowers}},
            totals={"marker": {"color": GREY}},
            connector={"line": {"color": GREY, "width": 1, "dash": "dot"}},
            hovertemplate="%{text}<extra></extra>",
        )
    )
    framed(figure, height=32 * len(positions) + 70).update_layout(showlegend=False, margin_r=36)
    figure.update_xaxes(title=title, range=_range_with_margin([base, *np.cumsum([base, *steps]).tolist()]))
    ticktext = [names[0], *texts, names[1]]
    return figure.update_yaxes(tickvals=positions, ticktext=ticktext, range=[len(positions) - 0.4, -0.6])


def _steps(
    effects: Mapping[str, float], row: Mapping[str, object], labels: Mapping[str, str], *, least: float
) -> tuple[list[float], list[str]]:
    """The largest effects, and the sum of all others, with what each is called. least: smaller ones are not named."""
    ordered = sorted(effects, key=lambda name: -abs(effects[name]))
    named = [name for name in ordered[:MOST_STEPS] if abs(effects[name]) >= least]
    steps = [effects[name] for name in named]
    texts = [f"{tick(each, labels)} = {shown(row.get(each))}" if each in row else short(each) for each in named]
    if rest := ordered[len(named) :]:
        steps.append(sum(effects[name] for name in rest))
        texts.append(words.count(len(rest), "other column" if named else "column"))
    return steps, texts


def _decimals(values: Sequence[float]) -> int:
    """How many decimals tell such values apart: three up to 10, fewer for larger ones, more where all are small."""
    most = max(map(abs, values))
    size = math.floor(math.log10(most)) if math.isfinite(most) and most else 0
    return max(0, 3 - size) if size > 0 else max(3, 2 - size)


@drawn_once
def probabilities(
    found: Mapping[str, Mapping[str, float]], classes: Sequence[str], *, colours: Mapping[str, str] = NO_COLOURS
) -> go.Figure:
    """One bar per class, and per version where there are two. found: per version and class, between 0 and 1.

    colours: of the versions.
    """
    figure = go.Figure()
    for (name, by_class), pattern in zip(found.items(), ("", "/"), strict=False):
        values = [by_class.get(each) for each in classes]
        figure.add_bar(
            x=values,
            y=ticks(classes, NO_LABELS),
            orientation="h",
            name=name,
            marker={
                "color": colours.get(name),
                "pattern": {"shape": pattern, "fillmode": "overlay", "solidity": 0.25, "size": 6},
            },
            text=["" if value is None else f"{value:.3f}" for value in values],
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.4f}<extra></extra>",
        )
    framed(figure, height=max(LEAST_PIXELS, (18 + 14 * len(found)) * len(classes) + 60))
    figure.update_layout(barmode="group", bargap=0.25, legend=LEGEND, showlegend=len(found) > 1)
    figure.update_xaxes(range=[0, 1.12], tickvals=[0, 0.25, 0.5, 0.75, 1], title="Probability")
    return figure.update_yaxes(autorange="reversed")


@drawn_once
def curves(
    outputs: Mapping[str, Sequence[float]], over: Sequence[Any], axes: tuple[str, str], *, at: object
) -> go.Figure:
    """What the model predicts while one column moves: curves over a number, bars over categories.

    outputs: per class, one value per point of `over`. at: the row's own value, marked by a dotted line.
    """
    figure, numeric = go.Figure(), not isinstance(at, str) and all(not isinstance(each, str) for each in over)
    positions = list(over) if numeric else ticks([str(each) for each in over], NO_LABELS)
    for name, values in outputs.items():
        hover = f"%{{x}}<br>{short(name)}: %{{y:.3f}}<extra></extra>"
        if numeric:
            figure.add_scatter(x=positions, y=list(values), mode="lines", name=short(name), hovertemplate=hover)
        else:
            figure.add_bar(x=positions, y=list(values), name=short(name), hovertemplate=hover)
    if numeric and at is not None:
        figure.add_vline(x=at, line={"color": GREY, "width": 1.5, "dash": "dot"})
    framed(figure, height=430)
    figure.update_layout(barmode="stack", legend=LEGEND, showlegend=len(outputs) > 1)
    figure.update_xaxes(title=plain(visible(axes[0], most=LONGEST_AXIS)))
    return figure.update_yaxes(title=axes[1], rangemode="tozero")


def on_two_lines(text: object) -> str:
    """A name for an axis: a long one is broken after an underscore, a space or a hyphen before it is cut."""
    shown = visible(str(text), most=2 * LONGEST_LABEL)
    if len(shown) <= LONGEST_LABEL:
        return plain(shown)
    middle = sorted(range(1, len(shown)), key=lambda position: abs(position - len(shown) / 2))
    breaks = (position for position in middle if shown[position - 1] in BREAKS and position <= LONGEST_LABEL)
    end = next(breaks, LONGEST_LABEL)
    return f"{plain(shown[:end])}<br>{plain(visible(shown[end:], most=LONGEST_LABEL))}"


def tick(column: str, labels: Mapping[str, str]) -> str:
    """A column on an axis: what people call it and, small below, its own name; a name that says it all stands alone."""
    label = labels.get(column)
    if not label:
        return on_two_lines(column)
    return f"{plain(visible(label, most=LONGEST_CALLED))}<br>{SMALL}{short(column)}</span>"


def short(text: object) -> str:
    """A name for a chart: cut to a length, and with its HTML escaped."""
    return plain(visible(str(text), most=LONGEST_LABEL))


def shown(value: object) -> str:
    if value is None or value != value:  # noqa: PLR0124 (NaN differs from itself)
        return "missing"
    return short(value) if isinstance(value, str | bool) else minus(f"{value:.4g}")


def ticks(names: Sequence[str], labels: Mapping[str, str]) -> list[str]:
    """Labels that differ: Plotly would draw two columns with the same label, once they are cut, on one line."""
    cut = [tick(name, labels) for name in names]
    return [label if cut.count(label) == 1 else f"{label} ({number})" for number, label in enumerate(cut, start=1)]


def _scale(*, dark: bool) -> dict[str, Any]:
    ends = (LOWERS_ON_DARK, RAISES_ON_DARK) if dark else (LOWERS_ON_LIGHT, RAISES_ON_LIGHT)
    bar = {"tickvals": [0, 1], "ticktext": ["low", "high"], "thickness": 8, "len": 0.6, "title": "Value"}
    return {"colorscale": [[0, ends[0]], [0.5, GREY], [1, ends[1]]], "cmin": 0, "cmax": 1, "colorbar": bar}


def _shades(column: Array) -> Array | None:
    """0 to 1 between the 5th and the 95th percentile of a column of numbers; None for text, which has no order."""
    finite = column[np.isfinite(column)] if column.dtype != object else column[:0]
    if not len(finite):
        return None
    low, high = np.percentile(finite, [5, 95])
    return np.asarray(np.clip((column - low) / ((high - low) or 1), 0, 1))


def _offsets(effects: Array) -> Array:
    """How far each dot is moved from its line, up and down in turn, so that dots do not hide each other.

    Nothing is random: the same effects make the same picture.
    """
    span = float(np.ptp(effects)) or 1.0
    bins = np.minimum((effects - effects.min()) / span * SWARM_BINS, SWARM_BINS - 1).astype(int)
    seen: dict[int, int] = {}
    layers = np.zeros(len(bins))
    for dot, each in enumerate(bins.tolist()):
        rank = seen[each] = seen.get(each, -1) + 1
        layers[dot] = (rank + 1) // 2 * (-1 if rank % 2 else 1)
    return np.asarray(layers / max(1.0, np.abs(layers).max()) * SWARM_WIDTH)


def _range_with_margin(values: Sequence[float]) -> list[float]:
    """The range of an axis, with room for the figures beside the bars."""
    low, high = min(0.0, *values), max(0.0, *values)
    margin = (high - low or 1) * 0.18
    return [low - (margin if low < 0 else 0), high + margin]
