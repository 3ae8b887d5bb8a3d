"""The table of versions: which columns it has, in which order its rows stand, and what a figure is beside the champion.

Streamlit keeps no order that is clicked into a heading, so the order that is to be shared is a field of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa
import streamlit as st

from dashboard import caching, session
from dashboard.address import in_address
from dashboard.components import tables, trust, widgets, words
from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.metrics import Direction
from pipeline.governance.record.evidence import LATENCY_METRIC
from pipeline.governance.rules.compare import MetricColumn

NEWEST, BEST_FIRST = "Newest first", "Best {} first"
OTHERS = ("Stage", "Aliases", tables.BEST, trust.COLUMN, "Gates", "Type", "Created", "Owner", "Status", "Description")
SHOWN = OTHERS[:7]
DIFFERENCE_HELP = "The value minus the champion's: a plain difference and no verdict; Compare has that"
INTERVAL_HELP = "95 % interval, as the run logged it"


@dataclass(frozen=True)
class TableColumns:
    """What somebody wants to see."""

    metrics: tuple[MetricColumn, ...]
    differences: tuple[str, ...]  # the metrics that have their difference to the champion beside them
    intervals: tuple[str, ...]  # those that have their interval
    others: tuple[str, ...]  # of OTHERS
    best_by: str | None  # the metric by which the rows stand; None: the newest first

    def names(self, frame: pd.DataFrame) -> list[str]:
        """The columns of the frame, in order; an interval or difference that the frame does not have is left out."""
        figures = []
        for metric in self.metrics:
            figures.append(metric.name)
            figures += [tables.interval_of(metric.name)] if metric.name in self.intervals else []
            figures += [tables.difference_of(metric.name)] if metric.name in self.differences else []
        return [name for name in ("Version", *figures, *self.others) if name in frame]


@dataclass(frozen=True, eq=False)
class ShownVersions:
    """The rows that somebody wants to see. Equal to itself only: what is made of it is kept by it."""

    frame: pd.DataFrame  # as tables.versions has them, in the wanted order
    numbers: tuple[int, ...]  # of the versions, in the same order
    looked_at: tuple[int, ...]  # see trust.looked_at


def choose(model: str) -> tuple[session.VersionTable, TableColumns]:
    """All versions and what the address wants of them; the fields that change that are drawn when opened."""
    preset = [each.name for each in session.version_table(model).metrics]
    metrics, intervals = in_address.values("metrics", preset), in_address.values("intervals", [])
    chosen = () if metrics == preset else tuple(metrics)
    table = session.version_table(model, chosen, tuple(intervals))
    names = [each.name for each in table.metrics]
    differences = in_address.values("differences", names[:1])
    others = [name for name in in_address.values("columns", SHOWN) if name in OTHERS]
    orders = {BEST_FIRST.format(words.name(each.name)): each.name for each in table.metrics if each.direction}
    order = st.query_params.get("order", NEWEST)
    box = st.popover("Columns", icon=":material/view_column:", key="choose_columns", on_change="rerun")
    if box.open:
        with box:
            for missing in [name for name in metrics if name not in names]:
                st.text(f"No version has {words.metric_in_text(missing)}.")
            _field("Metrics", "metrics", preset, options=session.known_metrics(model))
            _field("Interval of", "intervals", [], options=names)
            _field("Difference to the champion of", "differences", names[:1], options=names)
            _field("Other columns", "columns", SHOWN, options=OTHERS)
            every = [NEWEST, *orders]  # the address keeps the registry's name of the metric
            st.selectbox("Order", every, format_func=partial(_order, orders), **in_address.one_of("order", every))
    return table, TableColumns(
        table.metrics, tuple(differences), intervals=tuple(intervals), others=tuple(others), best_by=orders.get(order)
    )


def _order(orders: Mapping[str, str], order: str) -> str:
    return BEST_FIRST.format(words.metric_in_text(orders[order])) if order in orders else order


def _field(label: str, key: str, preset: Sequence[str], *, options: Sequence[str]) -> None:
    """A value that only the address names is an option too."""
    every = list(dict.fromkeys([*options, *in_address.values(key, preset)]))
    named = in_address.some_of(key, every, default=preset)
    st.multiselect(label, every, format_func=words.metric, **named)


@caching.fresh(most=20)
def narrowed(
    table: session.VersionTable, columns: TableColumns, *, text: str, stages: tuple[str, ...]
) -> ShownVersions:
    """The rows that have every word of the text and one of the stages, in the wanted order."""
    rows = _ordered(tables.narrowed(table.frame, text, stages), columns)
    return ShownVersions(rows, tuple(rows["Version"].tolist()), trust.looked_at(rows))


def _ordered(found: pd.DataFrame, columns: TableColumns) -> pd.DataFrame:
    """Those without the metric of the order come last."""
    metric = next((each for each in columns.metrics if each.name == columns.best_by), None)
    if metric is None:
        return found
    return found.sort_values(
        metric.name, ascending=metric.direction is Direction.LOWEST, na_position="last", kind="stable"
    )


def draw(shown: ShownVersions, model: str, columns: TableColumns, *, of: int) -> list[int]:
    """Draws the table. Returns the version numbers of the selected rows.

    of: how many versions there are. The table keeps their height, however few are shown: what stands below stays where
    it is, and the browser draws a table that is resized twice as often.
    """
    trusted = trust.known_words(model, shown.looked_at) if trust.COLUMN in columns.others else ()
    cells, config = _cells(shown, columns, trusted)
    event = st.dataframe(
        cells,
        height=widgets.height_of(of),
        key=f"versions/{model}/{columns.best_by}" if columns.best_by else f"versions/{model}",
        on_select="rerun",
        selection_mode="multi-row",
        column_config=config,
        placeholder=words.NOTHING,
        alt="Versions with metrics, stage, aliases and gates",
    )
    return [shown.numbers[row] for row in event.selection.rows if row < len(shown.numbers)]


@caching.fresh(most=20)
def _cells(
    shown: ShownVersions, columns: TableColumns, trusted: tuple[tuple[int, str], ...]
) -> tuple[pa.Table, Mapping[str, Any]]:
    """The table as the browser gets it, and how it shows the columns: to make it anew takes half of a rerun.

    trusted: see trust.known_words.
    """
    seen, frame = dict(trusted), shown.frame.copy()
    frame[trust.COLUMN] = [[seen.get(version, trust.NOT_LOOKED_AT)] for version in shown.numbers]
    frame["Stage"] = frame["Stage"].map(lambda stage: [stage])
    cells = pa.Table.from_pandas(frame[columns.names(frame)], preserve_index=False)
    return cells, {**_figures(columns.metrics), **_config(shown.frame)}


def _figures(metrics: Sequence[MetricColumn]) -> dict[str, Any]:
    # Streamlit's number format writes a hyphen for a minus and +0.0000 for no difference. Figures written by pandas, as
    # in the small tables (widgets.figures), would take longer than the page for 1,000 versions, and text does not sort.
    config: dict[str, Any] = {}
    for metric in metrics:
        name, aim = metric.name, tables.aim(metric.direction)
        config |= {
            name: st.column_config.NumberColumn(
                f"{words.metric(name)} {aim}".rstrip(), format=_digits(name), help=_heading_help(metric)
            ),
            tables.difference_of(name): st.column_config.NumberColumn(
                "vs champion", format=widgets.SIGNED, help=DIFFERENCE_HELP, width=90
            ),
            tables.interval_of(name): st.column_config.TextColumn("interval", help=INTERVAL_HELP, width=120),
        }
    return config


def _digits(metric: str) -> str:
    """Milliseconds are measured to a tenth at best."""
    return "%.1f" if metric == LATENCY_METRIC else widgets.FOUR_DIGITS


def _heading_help(metric: MetricColumn) -> str:
    """What the metric is, and what the arrow means."""
    said = f"{direction_help(metric.direction)}."
    return f"{words.metric_help(metric.name)} {said}".strip()


def direction_help(direction: Direction | None) -> str:
    """What the arrow in a heading means."""
    if direction is None:
        return "Nobody says whether more or less is better"
    return "More is better" if direction is Direction.HIGHEST else "Less is better"


def _config(found: pd.DataFrame) -> Mapping[str, Any]:
    aliases = sorted({alias for names in found["Aliases"] for alias in names} - {CHAMPION})
    metrics = sorted({name for names in found[tables.BEST] for name in names})
    return {
        "Version": st.column_config.NumberColumn(format="%d", pinned=True, width=62),
        tables.BEST: st.column_config.MultiselectColumn(
            options=metrics, color=["green"] * len(metrics), width=118,
            help="The metrics of which no version has a better value, latency left out; that may be chance",
        ),
        "Stage": widgets.stage_column(),
        "Status": st.column_config.TextColumn(width=75, help="MLflow's; READY says nothing about the files"),
        "Owner": st.column_config.TextColumn(help="The tag owner or mlflow.user, else what made the version"),
        "Aliases": st.column_config.MultiselectColumn(
            options=[CHAMPION, *aliases], color=["blue", *("gray" for _ in aliases)], width=90
        ),
        "Gates": st.column_config.TextColumn(help="At the last decision about the version; its review has them now"),
        **trust.column(),
        **widgets.times("Created"),
    }  # fmt: skip
