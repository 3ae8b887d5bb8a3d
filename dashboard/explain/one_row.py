"""Why one row: of the evaluation rows or typed in, live where the version may be loaded, else from its files."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import session
from dashboard.address import in_address
from dashboard.address.section import SHOW
from dashboard.components import tables, widgets, words
from dashboard.components.explanations import (
    as_pairs,
    classes_of,
    picked_class,
    second_opinion,
    sum_check,
    what_to_know,
    why,
)
from dashboard.components.row_form import outside, typed_row
from dashboard.explain.columns import stored_explanation
from pipeline.comparison.rows import Rows
from pipeline.governance.errors import NotFound
from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.governance.text import visible
from pipeline.serving.predictions import Target
from pipeline.serving.targets import input_schema
from pipeline.validation.rows import Row

ONE_ROW = "One row"  # the section
ROW = "row"  # in the address: its number among the evaluation rows
SOURCES = STORED, TYPED = "Evaluation rows", "Typed in"
TABLE_PIXELS, ROWS_THAT_FIT = 260, 6
LOW_CONFIDENCE = 0.6
KINDS = WRONG, UNSURE = "Wrong", f"Probability below {LOW_CONFIDENCE:g}"
MOST_INPUTS = 30
FIRST_ROW = {ROW: None, SHOW: ONE_ROW}  # where a filter changes, the first row that it leaves is shown
HIGHEST, PREDICTED = "Highest probability", "Predicted"


def one_row(target: Target) -> None:
    """Explains a row of the evaluation rows, or one that is typed in where the version may be loaded."""
    source = STORED
    if target.state.usable:
        has_rows = any(file["path"] == EVALUATION_ROWS for file in target.evidence.content["files"])
        named = in_address.one_of("source", SOURCES, default=STORED if has_rows else TYPED)
        source = st.segmented_control("Row from", SOURCES, required=True, **named) or source
    if source == TYPED:
        row = typed_row(target.resolved.model, input_schema(target), "Explain")
        if row is not None:
            outside(row, input_schema(target))
            widgets.guarded(partial(_explain_live, target, row.values), "why")
        return
    rows = session.evaluation_rows(target.resolved.model, target.resolved.version)
    number = _chosen_row(target, rows)
    if number is not None:
        widgets.guarded(partial(_explain_evaluation_row, target, rows, number), "why")


def _chosen_row(target: Target, rows: Rows) -> int | None:
    """The number of the row that the address names, else of the first that the filters leave."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        shown = in_address.some_of("rows", KINDS, also=FIRST_ROW)
        kinds = st.pills("Show", KINDS, selection_mode="multi", **shown)
        classes = sorted({tables.cell(_plain(each)) for each in rows.actual})
        named = in_address.some_of("actual", classes, also=FIRST_ROW)
        actual = st.multiselect("Actual class", classes, placeholder="All", width=320, **named)
    numbers = _filtered(rows, kinds, actual)
    if not target.state.usable:
        explained = set(stored_explanation(target.evidence).positions)
        numbers = [each for each in numbers if each in explained]
    st.caption(f"{len(numbers):,} of {words.count(len(rows), 'evaluation row')}. Select one to explain it.")
    key = f"rows/{target.resolved.model}/{target.resolved.version}/{kinds}/{actual}"
    _rows_table(rows, numbers, key, labels=target.evidence.feature_schema.labels)
    asked = st.query_params.get(ROW, "")
    if not asked:
        return numbers[0] if numbers else None
    if not (asked.isascii() and asked.isdecimal() and int(asked) < len(rows)):
        raise NotFound(f"row: the version has {len(rows):,} evaluation rows, from 0; there is no {asked[:20]!r}")
    return int(asked)


def _filtered(rows: Rows, kinds: Sequence[str], actual: Sequence[str]) -> list[int]:
    """The numbers of the rows that are of every kind (WRONG, UNSURE) and of any of the classes (none given: all)."""
    keep = np.ones(len(rows), dtype=bool)
    if WRONG in kinds:
        keep &= rows.actual != rows.predicted
    if UNSURE in kinds and len(rows.classes):
        keep &= rows.probabilities.max(axis=1) < LOW_CONFIDENCE
    if actual:
        keep &= np.isin([tables.cell(_plain(each)) for each in rows.actual], list(actual))
    return [int(each) for each in np.flatnonzero(keep)]


def _rows_table(rows: Rows, numbers: list[int], key: str, *, labels: Mapping[str, str]) -> None:
    """Actual and predicted class of the rows, then their inputs; a selected row is named in the address."""
    columns: dict[str, Any] = {
        "Row": numbers,
        "Actual": [tables.cell(_plain(each)) for each in rows.actual[numbers]],
        PREDICTED: [tables.cell(_plain(each)) for each in rows.predicted[numbers]],
    }
    if len(rows.classes):
        columns[HIGHEST] = rows.probabilities[numbers].max(axis=1)
    for name in list(rows.inputs)[:MOST_INPUTS]:
        head = words.column(name, labels)
        columns[f"{head} (input)" if head in columns else head] = [_plain(each) for each in rows.inputs[name][numbers]]

    def open_row() -> None:
        selected = st.session_state[key].selection.rows
        if selected and selected[0] < len(numbers):
            st.query_params[ROW] = str(numbers[selected[0]])

    st.dataframe(
        pd.DataFrame(columns),
        hide_index=True,
        height=TABLE_PIXELS if len(numbers) > ROWS_THAT_FIT else "content",
        key=key,
        on_select=open_row,
        selection_mode="single-row",
        column_config={
            "Row": st.column_config.NumberColumn(format="%d", pinned=True, width=65),
            HIGHEST: st.column_config.NumberColumn(format="%.2f"),
        },
        placeholder=words.NOTHING,
        alt="Evaluation rows with actual and predicted class and the inputs",
    )


def _explain_evaluation_row(target: Target, rows: Rows, number: int) -> None:
    row: Row = {name: _plain(values[number]) for name, values in rows.inputs.items()}
    with st.container(gap="xxsmall"):
        st.header(f"Row {number}", anchor=False)
        st.text(f"Actual {visible(str(rows.actual[number]))}, predicted {visible(str(rows.predicted[number]))}")
    if target.state.usable:
        _explain_live(target, {name: value for name, value in row.items() if name in input_schema(target).names})
        return
    stored = stored_explanation(target.evidence)
    document = stored.document(number)
    if document is None:
        st.caption("The files of the version explain other rows, not this one.")
        return
    st.caption("As stored with the version, not recomputed.")
    _draw(document, row, target)
    sum_check(document, stored.explanation.tolerance, adds_up=stored.explanation.adds_up)


def _explain_live(target: Target, row: Row) -> None:
    model, version = target.resolved.model, target.resolved.version
    found = session.explained(model, version, target.digest, row=as_pairs(row))
    class_name = _draw(found.documents[0], found.rows[0], target)
    sum_check(found.documents[0], found.tolerance, adds_up=found.adds_up)
    what_to_know(found)
    second_opinion(target, found.rows[0], class_name)


def _draw(document: Mapping[str, Any], row: Row, target: Target) -> str:
    """Draws the explanation of one class and returns its name: the predicted one, or the one that the visitor picks."""
    output, classes = document["output"], list(document["classes"])
    class_name = top = str(max(output, key=lambda name: output[name]))
    if len(classes) > 1:
        class_name = picked_class(classes_of(classes, target.evidence), top)
        st.text(f"Explained: {visible(class_name)}")
    why(document, row, class_name, schema=target.evidence.feature_schema)
    return class_name


def _plain(value: Any) -> Any:  # noqa: ANN401 (a number or a text, as the column holds it)
    """A Python value as the scorer takes it, None for a missing one."""
    found = value.item() if isinstance(value, np.generic) else value
    return None if found != found else found  # noqa: PLR0124 (NaN differs from itself)
