"""The trend of a metric over the versions of a model, large on Versions and small on a card of the Overview."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import plotly.graph_objects as go
import streamlit as st

from dashboard import caching, pages, session
from dashboard.address import in_address
from dashboard.components import history_lines, tables, words
from dashboard.components.charts import PLAIN, digits_of, framed, interval_bars, plain
from pipeline.governance.metrics import Direction
from pipeline.governance.rules.trend import (
    MOST_MARKS,
    MOST_POINTS,
    NEWEST_VERSIONS,
    ROOM_BEHIND,
    Trend,
    TrendBand,
    TrendMark,
    TrendPoint,
)

# Blue is the champion on every page, red an alarm; every other version is grey.
ON_LIGHT = {
    "champion": "#1D4ED8",
    "version": "#64748B",
    "alarm": "#B91C1C",
    "band": "29, 78, 216",
    "pale": "#0F172A",
    "strong": "#FFFFFF",
}
ON_DARK = {
    "champion": "#60A5FA",
    "version": "#94A3B8",
    "alarm": "#F87171",
    "band": "96, 165, 250",
    "pale": "#FFFFFF",
    "strong": "#0F172A",
}
SHADES = (0.09, 0.18)  # by turns, so that one champion's time ends where the next one's begins
BARS, BAR_HALF = (0.3, 1), 0.42  # below them
EDGE = "\N{NO-BREAK SPACE}" * 2  # between a number and the end of the chart
NO_VALUE, CHAMPION, DECISIONS, ALARMS = "No value", "Champion", "Decisions", "Alarms"
LARGE_PIXELS, SMALL_PIXELS, LANE_PIXELS = 320, 190, 26
MOST_TICKS, MOST_LINES = 10, 6
LABEL_SHARE, WORD_SHARE = 0.03, 0.12  # of the width: a narrower band has its number in the tooltip only
BELOW = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}
ORDER = (
    "Versions stand one step apart in the order of their registration, since trainings register several at once and "
    "then none for long. Between two of them stands what happened meanwhile; the shade is the time of a champion."
)
SPARK_WIDTH, SPARK_HEIGHT, SPARK_EDGE = 200, 36, 5  # pixels
SPARK_HELP = "One dot for each version, upwards is better; the large one is the champion."
FEW, SPARKS = 30, 40  # versions: from how many on there is a range to pick, how many a card's line has


@dataclass(frozen=True)
class NewestValues:
    """The first metric of the versions table, of the newest versions that have it."""

    metric: str
    direction: Direction | None
    values: tuple[tuple[int, float], ...]  # by version, oldest first
    champion: int | None


def figure(found: Trend, *, small: bool = False, dark: bool = False) -> go.Figure:
    """The metric upwards to its better end, the champions' times shaded, below it what was decided and the alarms.

    A version without the metric is marked on a line of its own, never as a zero.
    """
    colours, drawn = ON_DARK if dark else ON_LIGHT, go.Figure()
    for number, band in enumerate(found.bands):
        shade = f"rgba({colours['band']}, {SHADES[number % 2]})"
        drawn.add_vrect(x0=band.start, x1=band.end, fillcolor=shade, line_width=0, layer="below")
    _serving(drawn, found, colours["champion"])
    if found.grouped:
        _groups(drawn, found, colours["version"])
    else:
        _versions(drawn, [each for each in found.known if not each.served], colours["version"], name="Version")
    _versions(drawn, [each for each in found.known if each.served], colours["champion"], name="Was or is champion")
    lanes = _lanes(found)
    _marks(drawn, found, lanes=lanes, colours=colours)
    return _axes(drawn, found, lanes=lanes, small=small)


def _serving(drawn: go.Figure, found: Trend, colour: str) -> None:
    """The value of whatever served, as a line over its time."""
    for number, band in enumerate([each for each in found.bands if each.value is not None]):
        drawn.add_scatter(
            x=[band.start, band.end],
            y=[band.value] * 2,
            mode="lines",
            line={"width": 2, "color": colour},
            name="Champion of the time",
            legendgroup="champion",
            showlegend=not number,
            hovertemplate=f"{_band_text(band)}<br>{plain(words.metric(found.metric))} %{{y:.4f}}<extra></extra>",
        )


def _versions(drawn: go.Figure, points: Sequence[TrendPoint], colour: str, *, name: str) -> None:
    """Each version with its interval."""
    if not points:
        return
    served = points[0].served
    drawn.add_scatter(
        x=[each.place for each in points],
        y=[each.value for each in points],
        error_y=interval_bars(
            [(each.value or 0, each.low, each.high) for each in points], width=0 if len(points) > FEW else 3
        ),
        mode="markers",
        marker={"size": 10 if served else 8, "symbol": "diamond" if served else "circle", "color": colour},
        name=name,
        customdata=[_point_text(each) for each in points],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _groups(drawn: go.Figure, found: Trend, colour: str) -> None:
    """Neighbours as their median, from the lowest to the highest value."""
    groups = found.groups()
    drawn.add_scatter(
        x=[each.place for each in groups],
        y=[each.middle for each in groups],
        error_y=interval_bars([(each.middle, each.lowest, each.highest) for each in groups], thickness=1, width=0),
        mode="markers",
        marker={"size": 5, "color": colour},
        name=f"{found.group_size:,} versions: median, lowest to highest",
        customdata=[
            f"Versions {each.first} to {each.last}, {each.n:,} with a value<br>median {words.number(each.middle)}, "
            f"{words.number(each.lowest)} to {words.number(each.highest)}"
            for each in groups
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _lanes(found: Trend) -> list[str]:
    """What stands below the chart, from the bottom; a lane without anything is left out."""
    has = {
        ALARMS: any(mark.alarm for mark in found.marks),
        DECISIONS: any(not mark.alarm for mark in found.marks),
        CHAMPION: bool(found.bands),
        NO_VALUE: len(found.known) < len(found.points),
    }
    return [name for name, there in has.items() if there]


def _marks(drawn: go.Figure, found: Trend, *, lanes: Sequence[str], colours: Mapping[str, str]) -> None:
    shown: dict[str, list[tuple[float, str]]] = {
        NO_VALUE: [(place, words.sentence(plain(gap))) for place, gap in found.gaps()],
        DECISIONS: [(mark.place, _mark_text(mark)) for mark in found.marks if not mark.alarm],
        ALARMS: [(mark.place, _mark_text(mark)) for mark in found.marks if mark.alarm],
    }
    _names(drawn, found, lane=lanes.index(CHAMPION) if found.bands else 0, colours=colours)
    looks = {NO_VALUE: ("x-thin", "version"), DECISIONS: ("triangle-up", "version"), ALARMS: ("x", "alarm")}
    for lane in [each for each in lanes if each in looks]:
        symbol, colour = looks[lane]
        drawn.add_scatter(
            x=[place for place, _ in shown[lane]],
            y=[lane] * len(shown[lane]),
            yaxis="y2",
            mode="markers",
            marker={"size": 9, "symbol": symbol, "color": colours[colour],
                    "line": {"width": 1.5 if symbol == "x-thin" else 0, "color": colours[colour]}},
            name=lane,
            showlegend=False,
            customdata=[text for _, text in shown[lane]],
            hovertemplate="%{customdata}<extra></extra>",
        )  # fmt: skip


def _names(drawn: go.Figure, found: Trend, *, lane: int, colours: Mapping[str, str]) -> None:
    """A bar for the time of each champion with its number, by turns pale and strong as the shade above it."""
    for number, band in enumerate(found.bands):
        drawn.add_shape(
            type="rect",
            yref="y2",
            x0=band.start,
            x1=band.end,
            y0=lane - BAR_HALF,
            y1=lane + BAR_HALF,
            fillcolor=f"rgba({colours['band']}, {BARS[number % 2]})",
            line_width=0,
            layer="below",
        )

    def last(band: TrendBand) -> bool:  # its number may be wider than its time
        return band.end == found.end and band.end - band.start < 2 * ROOM_BEHIND * found.end

    wide = [each for each in found.bands if each.end - each.start >= LABEL_SHARE * found.end or not each.period.end]
    if found.bands:
        drawn.add_scatter(
            x=[each.end if last(each) else (each.start + each.end) / 2 for each in wide],
            y=[CHAMPION] * len(wide),
            yaxis="y2",
            mode="text",
            text=[_bar_text(each, found.end) + (EDGE if last(each) else "") for each in wide],
            textfont={"color": [colours[("pale", "strong")[found.bands.index(each) % 2]] for each in wide]},
            textposition=["middle left" if last(each) else "middle center" for each in wide],
            name=CHAMPION,
            showlegend=False,
            customdata=[_band_text(each) for each in wide],
            hovertemplate="%{customdata}<extra></extra>",
        )


def _bar_text(band: TrendBand, end: float) -> str:
    word = "version " if band.end - band.start >= WORD_SHARE * end else ""
    return f"{word}{band.period.version}"


def _axes(drawn: go.Figure, found: Trend, *, lanes: Sequence[str], small: bool) -> go.Figure:
    height = (SMALL_PIXELS if small else LARGE_PIXELS) + LANE_PIXELS * len(lanes)
    share = LANE_PIXELS * len(lanes) / (height - (30 if small else 85))
    framed(drawn, height=height)
    autorange = "reversed" if found.direction is Direction.LOWEST else True  # upwards is better on all these charts
    drawn.update_layout(
        legend=BELOW,
        showlegend=not small,
        hovermode="closest",
        hoverlabel={"align": "left"},
        margin={"b": 0 if small else 35},
    )
    drawn.update_layout(
        yaxis={"domain": [share, 1], "tickformat": f".{_digits(found)}f", "autorange": autorange},
        yaxis2={"domain": [0, share], "categoryorder": "array", "categoryarray": list(lanes),
                "range": [-0.5, len(lanes) - 0.5], "showgrid": False, "zeroline": False},
    )  # fmt: skip
    step = max(1, -(-len(found.points) // (MOST_TICKS // 2 if small else MOST_TICKS)))
    ticks = found.points[::-1][::step]
    drawn.update_xaxes(
        title=None if small else "Version, in the order of registration",
        range=[0.4, found.end],
        tickvals=[each.place for each in ticks],
        ticktext=[str(each.row.version) for each in ticks],
        showgrid=False,
        zeroline=False,
        anchor="y2" if lanes else "y",
    )
    return drawn


def _digits(found: Trend) -> int:
    return digits_of(end for each in found.known for end in (each.value, each.low, each.high) if end is not None)


def _point_text(point: TrendPoint) -> str:
    row = point.row
    interval = words.interval(point.low, point.high)
    kind = plain(tables.cell(row.tags.get("model_type", "")))
    found = [
        f"Version {row.version}: {words.number(point.value)}" + (f" ({interval})" if interval else ", no interval"),
        ", ".join(each for each in (kind, words.stage(row.stage.value)) if each),
        f"registered {words.when(row.created_at)}",
    ]
    return "<br>".join(found)


def _band_text(band: TrendBand) -> str:
    period = band.period
    end = "now" if period.end is None else words.when(period.end)
    return f"Version {period.version} was champion from {words.when(period.start)} to {end}"


def _mark_text(mark: TrendMark) -> str:
    lines = [plain(history_lines.last_line(each)) for each in mark.entries[:MOST_LINES]]
    more = len(mark.entries) - len(lines)
    return "<br>".join([*lines, f"and {more:,} more"] if more else lines)


# Drawing it.


@caching.fresh(most=20)
def drawn_figure(model: str, metric: str, versions: tuple[int, int] | None, *, small: bool, dark: bool) -> go.Figure:
    return figure(session.trend(model, metric, versions), small=small, dark=dark)


@caching.fresh()
def newest_values(model: str) -> NewestValues:
    found = session.version_table(model)
    if not (columns := found.metrics):
        return NewestValues("", None, (), None)
    known = found.frame[["Version", columns[0].name]].head(SPARKS).dropna()[::-1]
    pairs = zip(known["Version"].tolist(), known[columns[0].name].tolist(), strict=True)
    return NewestValues(columns[0].name, columns[0].direction, tuple(pairs), found.champion)


def large(model: str) -> None:
    """Draws the fields for metric and range, which the address keeps, the chart, and what it leaves out."""
    if not (options := _metrics(model)):
        st.info("No version has a metric.")
        return
    metric, versions = _fields(model, options)
    found = session.trend(model, metric, versions)
    st.caption(better(found), help=ORDER)
    if not found.known:
        st.info(f"None of the {words.count(len(found.points), 'version')} shown has this metric.")
        return
    _chart(model, found, versions, small=False)
    for sentence in left_out(found):
        st.caption(sentence)


def small(model: str) -> None:
    """Draws the newest versions' values as a line, and the chart once it is opened: its code is long to load."""
    found = newest_values(model)
    if len(found.values) < 2:  # noqa: PLR2004 (one value has no trend)
        return
    (oldest, first), (newest, last) = found.values[0], found.values[-1]
    name = words.metric_markdown(found.metric)
    said = f"from {words.number(first)} of version {oldest} to {words.number(last)} of version {newest}"
    alt = f"{name} {tables.aim(found.direction)}".rstrip()
    line = b64encode(spark(found, dark=st.context.theme.type == "dark").encode()).decode()
    st.caption(f"![{alt} {said}, upwards is better](data:image/svg+xml;base64,{line}) {name} {said}", help=SPARK_HELP)
    box = st.expander("Trend", **in_address.flag(f"trend/{model}"))
    if box.open:
        with box:
            shown = session.trend(model, found.metric, None)
            st.caption(better(shown), help=ORDER)
            _chart(model, shown, None, small=True)
            pages.link_versions("Larger, and of other metrics", model, show="Trend")


def spark(found: NewestValues, *, dark: bool = False) -> str:
    """A line with a dot for each version, the champion in its colour, as SVG. Streamlit's own little charts load a
    library of 0.8 MB on each first visit, and its images are one more file to wait for: it stands in a caption.
    """
    colours, values = ON_DARK if dark else ON_LIGHT, [value for _, value in found.values]
    low, high = min(values), max(values)
    step = (SPARK_WIDTH - 2 * SPARK_EDGE) / (len(values) - 1)

    def at(index: int, value: float) -> tuple[float, float]:
        share = (value - low) / (high - low) if high > low else 0.5
        up = 1 - share if found.direction is Direction.LOWEST else share
        return SPARK_EDGE + index * step, SPARK_HEIGHT - SPARK_EDGE - up * (SPARK_HEIGHT - 2 * SPARK_EDGE)

    places = [(version, *at(index, value)) for index, (version, value) in enumerate(found.values)]
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{4 if version == found.champion else 2.5}" '
        f'fill="{colours["champion" if version == found.champion else "version"]}"/>'
        for version, x, y in places
    )
    line = " ".join(f"{x:.1f},{y:.1f}" for _, x, y in places)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}">'
        f'<polyline points="{line}" fill="none" stroke="{colours["version"]}" stroke-width="1.5"/>{dots}</svg>'
    )


def _chart(model: str, found: Trend, versions: tuple[int, int] | None, *, small: bool) -> None:
    dark = st.context.theme.type == "dark"
    st.plotly_chart(
        drawn_figure(model, found.metric, versions, small=small, dark=dark),
        key=f"trend_chart/{model}",
        config=PLAIN,
        alt=f"{words.metric(found.metric)} over {words.count(len(found.points), 'version')} of {words.name(model)}",
    )


def _metrics(model: str) -> list[str]:
    """Those that can be chosen, the one that the address names among them."""
    asked = st.query_params.get("metric", "")
    return list(dict.fromkeys([*session.known_metrics(model), *([asked] if asked else [])]))


def _fields(model: str, options: Sequence[str]) -> tuple[str, tuple[int, int] | None]:
    numbers = session.version_table(model).numbers
    with st.container(horizontal=True):
        metric = st.selectbox(
            "Metric", options, format_func=words.metric, width=260, **in_address.one_of("metric", options)
        )
        if len(numbers) <= FEW:
            return metric or options[0], None
        oldest, newest = numbers[-1], numbers[0]
        shown = numbers[min(len(numbers), NEWEST_VERSIONS) - 1], newest
        named = in_address.between("versions", (oldest, newest), default=shown)
        chosen = st.slider("Versions", oldest, newest, width=420, **named)
    return metric or options[0], cast("tuple[int, int]", chosen)  # of two: its value is one, see Streamlit's slider


def better(found: Trend) -> str:
    """What upwards and the bars mean in the chart, as markdown."""
    metric, bars = words.metric_in_markdown(found.metric), ""
    if not found.grouped and any(each.low is not None for each in found.known):
        bars = " Bars are the intervals that were logged."
    if found.direction is None:
        return f"Nobody says whether more or less {metric} is better.{bars}"
    turned = f": less {metric}, since the axis is turned" if found.direction is Direction.LOWEST else ""
    return f"Upwards is better{turned}.{bars}"


def left_out(found: Trend) -> list[str]:
    """One sentence for each thing that the chart does not show."""
    missing, without = len(found.points) - len(found.known), sum(each.low is None for each in found.known)
    sentences = []
    if len(found.points) < found.versions:
        sentences.append(f"{len(found.points):,} of {found.versions:,} versions; the range above leads to the others.")
    if found.grouped:
        sentences.append(
            f"More than {MOST_POINTS} versions are drawn as groups of {found.group_size:,} neighbours: the mark is the "
            "median, the bar goes from the lowest to the highest value. A narrower range shows each with its interval."
        )
    if missing:
        sentences.append(f"{words.count(missing, 'version')} without a value, marked below the chart.")
    if without and not found.grouped:
        sentences.append(f"{words.count(without, 'version')} without an interval.")
    if found.marked_since:
        sentences.append(
            f"The newest {MOST_MARKS} decisions and alarms are marked; before {words.when(found.marked_since)} none is."
        )
    return sentences
