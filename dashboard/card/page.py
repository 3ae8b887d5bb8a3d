"""The model card of a version as a page that prints well: what it is for, its data, figures, limits and decisions."""

import re
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import pages, session
from dashboard.address import in_address, picker
from dashboard.components import charts, explanation_charts, widgets, words
from pipeline import model_card
from pipeline.governance.record.evidence import Metric
from pipeline.governance.text import visible
from pipeline.model_card import Card, Section, Table
from pipeline.model_card.charts import Chart, IntervalChart, MatrixChart

FORMS = (("HTML", "html", "text/html", model_card.to_html), ("Markdown", "md", "text/markdown", model_card.to_markdown))
DIGEST = re.compile(r"\b([0-9a-f]{16})([0-9a-f]{16})([0-9a-f]{16})([0-9a-f]{16})\b")
MOST_ROWS = 12  # of a table that is not folded
IN_GROUPS = r"\1 \2 \3 \4"  # so that it wraps


def card_page() -> None:
    picked = picker.picked_version()
    if picked is None:
        widgets.nothing_yet("Model card", "no version")
        return
    row = header(*picked)
    widgets.changed_outside(picked[0])
    card = session.card(*picked)
    with row:
        unfolded = st.toggle("Unfold all", help="Before the page is printed", **in_address.flag("unfolded"))
        downloads(card, picked[1])
    for section in card.in_words:
        draw(section, unfolded=unfolded)


def header(model: str, version: int) -> DeltaGenerator:
    """Drawn before the card is read. Returns the row of links, which the downloads join.

    The links stand first: on paper the logo lies over the beginning of the first line.
    """
    row = st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="right")
    with row:
        pages.link_review("Review", model, version)
    widgets.title(f"Model card of version {version}", model)
    return row


def downloads(card: Card, version: int) -> None:
    for name, ending, mime, write in FORMS:
        st.download_button(
            name, partial(write, card), f"version-{version}-card.{ending}", mime, icon=":material/download:",
            on_click="ignore", help="The whole card as one file. The browser can also print this page",
        )  # fmt: skip


def draw(section: Section, *, unfolded: bool) -> None:
    """unfolded: whether long tables are open, as they have to be on paper; what is closed is not printed."""
    st.header(section.title, anchor=False)
    if section.sentences:
        st.text("\n".join(map(visible, section.sentences)))
    if section.chart:
        st.plotly_chart(figure(section.chart), config=charts.PLAIN, alt=f"{section.title}, the table below as a chart")
    if section.table and len(section.table.rows) > MOST_ROWS:
        # Another key when it is to be open: a fold keeps the state that it had.
        key = f"fold/{section.title}/{unfolded}"
        with st.expander(f"{len(section.table.rows)} lines", expanded=unfolded, key=key):
            table(section.table, section.title)
    elif section.table:
        table(section.table, section.title)
    if section.missing:
        st.text("\n".join(f"Missing: {visible(each)}" for each in section.missing))


def table(found: Table, title: str) -> None:
    """As text that wraps, not as cells that scroll: what does not fit would be cut on paper."""
    rows = [[words.passage(DIGEST.sub(IN_GROUPS, cell)) for cell in row] for row in found.rows]
    heads = [head or "Fact" for head in found.heads]
    st.table(pd.DataFrame(rows, columns=heads).set_index(heads[0]), border="horizontal", alt=title)


def figure(chart: Chart) -> go.Figure:
    """The chart in the colours of the page."""
    if isinstance(chart, IntervalChart):
        metrics = [Metric(name, value, low, high) for name, value, low, high in chart.rows]
        return charts.metric_intervals(metrics, [], ("", ""))
    if isinstance(chart, MatrixChart):
        return charts.confusion(chart.classes, chart.counts, dark=st.context.theme.type == "dark")
    return explanation_charts.importance({"": dict(chart.rows)}, chart.unit)


card_page()
