"""How a version uses its columns as a whole, and why one row; live where it may be loaded, else from its files."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import session
from dashboard.components import charts, explanation_charts, widgets, words
from dashboard.components import one_explanation as explain_row
from dashboard.components.explanation_summary import classes_of, explained_by
from dashboard.components.row_form import outside, typed_row
from dashboard.explain import data as explain_data
from dashboard.explain.data import Stored
from pipeline.comparison.rows import Rows
from pipeline.governance.documents import EVALUATION_ROWS
from pipeline.governance.errors import NotFound
from pipeline.governance.evidence import Evidence
from pipeline.governance.text import visible
from pipeline.serving.predictions import Target
from pipeline.serving.targets import input_schema
from pipeline.validation.rows import Row

ROW = "row"
SOURCES = ("Evaluation rows", "Typed in")
TABLE_PIXELS = 260


def columns(target: Target) -> None:
    """From the files that came with the version; nothing is loaded for it."""
    evidence = target.evidence
    summary = evidence.explanation
    if not (shares := summary.mean_abs):
        live = " One row can be explained all the same, live." if target.state.usable else ""
        st.caption(f"The version came without an explanation summary.{live}")
        return
    order = classes_of(list(shares), evidence)
    scale = visible(str(summary.scale), most=40)
    explained_by(summary)
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader("Which columns matter", anchor=False)
        figure = explanation_charts.importance({name: shares[name] for name in order}, scale)
        st.plotly_chart(figure, config=charts.PLAIN, alt="Mean absolute effect of each column")
        if len(shares) > 1:
            st.caption("The effects on the classes are stacked.")
    widgets.guarded(partial(_values, evidence, scale, right), "values")


def _values(evidence: Evidence, scale: str, place: DeltaGenerator) -> None:
    """One class in detail: every column in `place`, one column below."""
    found, rows = stored_of(evidence), session.evaluation_rows(evidence.model, evidence.version)
    classes = list(found.explanation.classes)
    with place:
        st.subheader("How they matter", anchor=False)
        chosen = st.selectbox("Class", classes_of(classes, evidence), key="of", bind="query-params",
                              format_func=words.name, width=260)  # fmt: skip
        effects = found.explanation.values[:, :, classes.index(chosen)]
        own = explain_data.columns_of(found, rows)
        named = "the output" if len(classes) == 1 else explanation_charts.short(chosen)
        title = f"Effect on {named} ({scale})"
        figure = explanation_charts.beeswarm(effects, own, title, dark=st.context.theme.type == "dark")
        st.plotly_chart(figure, config=charts.PLAIN, alt="Effect of each column on the class, one dot per row")
        st.caption(f"One dot per row, {len(effects):,} rows. Grey: text, which has no order.")
    st.subheader("One column", anchor=False)
    order = np.abs(effects).mean(axis=0).argsort()[::-1]
    names = [found.explanation.columns[each] for each in order]
    column = st.selectbox("Column", names, key="column", bind="query-params", format_func=words.name, width=320)
    held = effects[:, found.explanation.columns.index(column)]
    figure = explanation_charts.dependence(held, own[column], _with_unit(column, evidence), title=title)
    st.plotly_chart(figure, config=charts.PLAIN, alt="Effect of one column against its own value")
    st.caption(f"One dot per row, {len(held):,} rows: the effect of {words.label(column)} beside its own value.")


def _with_unit(column: str, evidence: Evidence) -> str:
    unit = evidence.feature_schema.units.get(column)
    return f"{column} ({unit})" if unit else column


def stored_of(evidence: Evidence) -> Stored:
    """Raises NotFound and InvalidInput where the files are not there or do not fit together."""
    model, version = evidence.model, evidence.version
    explanation, rows = session.stored_explanation(model, version), session.evaluation_rows(model, version)
    return explain_data.stored(explanation, evidence.explanation, rows)


def one_row(target: Target) -> None:
    """Of the evaluation rows, or typed in where the version may be loaded."""
    source = SOURCES[0]
    if target.state.usable:
        stored = any(file["path"] == EVALUATION_ROWS for file in target.evidence.content["files"])
        source = st.segmented_control("Row from", SOURCES, default=SOURCES[0 if stored else 1], required=True,
                                      key="source", bind="query-params")  # fmt: skip
    if source == SOURCES[1]:
        row = typed_row(target.resolved.model, input_schema(target), "Explain")
        if row is not None:
            outside(row)
            widgets.guarded(partial(_live, target, row.values), "why")
        return
    rows = session.evaluation_rows(target.resolved.model, target.resolved.version)
    position = _chosen(target, rows)
    if position is not None:
        widgets.guarded(partial(_of_evaluation, target, rows, position), "why")


def _chosen(target: Target, rows: Rows) -> int | None:
    """The row of the address, else the first that the filters leave."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kinds = st.pills("Show", [explain_data.WRONG, explain_data.UNSURE], selection_mode="multi", key="rows",
                         bind="query-params", on_change=_forget_row)  # fmt: skip
        actual = st.multiselect("Actual class", explain_data.actual_classes(rows), key="actual", bind="query-params",
                                placeholder="All", width=320, on_change=_forget_row)  # fmt: skip
    held = explain_data.positions(rows, kinds, actual)
    if not target.state.usable:
        known = set(stored_of(target.evidence).positions)
        held = [each for each in held if each in known]
    st.caption(f"{len(held):,} of {words.count(len(rows), 'evaluation row')}. Select one to explain it.")
    _table(rows, held, f"rows/{target.resolved.model}/{target.resolved.version}/{kinds}/{actual}")
    asked = st.query_params.get(ROW, "")
    if not asked:
        return held[0] if held else None
    if not (asked.isascii() and asked.isdecimal() and int(asked) < len(rows)):
        raise NotFound(f"row: the version has {len(rows):,} evaluation rows, from 0; there is no {asked[:20]!r}")
    return int(asked)


def _forget_row() -> None:
    """Another filter: its first row is shown."""
    st.query_params.pop(ROW, None)


def _table(rows: Rows, held: list[int], key: str) -> None:
    frame = explain_data.table(rows, held)

    def open_row() -> None:
        selected = st.session_state[key].selection.rows
        if selected and selected[0] < len(held):
            st.query_params[ROW] = str(held[selected[0]])

    st.dataframe(
        frame,
        hide_index=True,
        height=TABLE_PIXELS if len(frame) > 6 else "content",  # noqa: PLR2004 (rows that fit)
        key=key,
        on_select=open_row,
        selection_mode="single-row",
        column_config={
            "Row": st.column_config.NumberColumn(format="%d", pinned=True, width=65),
            explain_data.HIGHEST: st.column_config.NumberColumn(format="%.2f"),
        },
        placeholder=words.NOTHING,
        alt="Evaluation rows with actual and predicted class and the inputs",
    )


def _of_evaluation(target: Target, rows: Rows, position: int) -> None:
    row = explain_data.one_row(rows, position)
    with st.container(gap="xxsmall"):
        st.subheader(f"Row {position}", anchor=False)
        st.text(f"Actual {visible(str(rows.actual[position]))}, predicted {visible(str(rows.predicted[position]))}")
    if target.state.usable:
        wanted = {name: value for name, value in row.items() if name in input_schema(target).names}
        _live(target, wanted)
        return
    found = stored_of(target.evidence)
    document = found.document(position)
    if document is None:
        st.caption("The files of the version explain other rows, not this one.")
        return
    st.caption("As stored with the version, not recomputed.")
    _explained(document, row, target)
    explain_row.sum_check(document, found.explanation.tolerance, adds_up=found.explanation.adds_up)


def _live(target: Target, row: Row) -> None:
    model, version = target.resolved.model, target.resolved.version
    found = session.explained(model, version, target.digest, row=explain_row.as_pairs(row))
    class_name = _explained(found.documents[0], found.rows[0], target)
    explain_row.sum_check(found.documents[0], found.tolerance, adds_up=found.adds_up)
    explain_row.what_to_know(found)
    explain_row.second_opinion(target, found.rows[0], class_name)


def _explained(document: Mapping[str, Any], row: Row, target: Target) -> str:
    output, classes = document["output"], list(document["classes"])
    class_name = top = str(max(output, key=lambda name: output[name]))
    if len(classes) > 1:
        class_name = explain_row.picked_class(classes_of(classes, target.evidence), top)
        st.text(f"Explained: {visible(class_name)}")
    explain_row.why(document, row, class_name, units=target.evidence.feature_schema.units)
    return class_name
