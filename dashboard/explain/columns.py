"""How a version uses its columns as a whole, from the explanation that came with it: nothing is loaded for it.

Its files come from strangers: that they fit together is checked before anything is drawn from them.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from dashboard import session
from dashboard.address import in_address
from dashboard.components import charts, explanation_charts, widgets, words
from dashboard.components.explanations import classes_of, explained_by
from pipeline.comparison.rows import Rows
from pipeline.explanation.result import Explanation, to_json
from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.documents import ExplanationSummary
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.text import visible
from pipeline.serving.predictions import Target


@dataclass(frozen=True)
class StoredExplanation:
    """The values behind the explanation summary."""

    # Contributions per explained row, column and class.
    explanation: Explanation
    # The number of each explained row among the evaluation rows, in the order of the explanation.
    positions: tuple[int, ...]

    def document(self, row: int) -> dict[str, Any] | None:
        """The explanation of one evaluation row, as a live one would be; None for a row that was not explained."""
        return to_json(self.explanation, self.positions.index(row)) if row in self.positions else None

    def values_by_column(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """What the explained rows hold, per column in the order of the explanation."""
        return {name: rows.inputs[name][list(self.positions)] for name in self.explanation.columns}


def stored_explanation(evidence: Evidence) -> StoredExplanation:
    """Reads what came with the version. Raises NotFound and InvalidInput where files are missing or do not fit."""
    model, version = evidence.model, evidence.version
    explanation, rows = session.stored_explanation(model, version), session.evaluation_rows(model, version)
    return matched(explanation, evidence.explanation, rows)


def matched(explanation: Explanation, summary: ExplanationSummary, rows: Rows) -> StoredExplanation:
    """Finds the explained rows among the evaluation rows. Raises InvalidInput where the files do not fit together."""
    fits = len(summary.rows) == len(explanation) and all(0 <= each < len(rows) for each in summary.rows)
    if not fits or not set(explanation.columns) <= set(rows.inputs):
        raise InvalidInput("explanation: its rows and columns are not those of the evaluation rows")
    return StoredExplanation(explanation, summary.rows)


def columns(target: Target) -> None:
    """Draws the mean absolute effect of every column, then the effects of one class row by row."""
    evidence = target.evidence
    summary = evidence.explanation
    if not (shares := summary.mean_abs):
        live = " One row can be explained all the same, live." if target.state.usable else ""
        st.caption(f"The version came without an explanation summary.{live}")
        return
    order = classes_of(list(shares), evidence)
    scale, labels = visible(str(summary.scale), most=40), evidence.feature_schema.labels
    explained_by(summary)
    left, right = st.columns(2, gap="medium")
    with left:
        st.header("Which columns matter", anchor=False)
        figure = explanation_charts.importance({name: shares[name] for name in order}, scale, labels)
        st.plotly_chart(figure, config=charts.PLAIN, alt="Mean absolute effect of each column")
        if len(shares) > 1:
            st.caption("The effects on the classes are stacked.")
    widgets.guarded(partial(_effects, evidence, scale, right), "values")


def _effects(evidence: Evidence, scale: str, beside: DeltaGenerator) -> None:
    """The effects on one class: of every column, drawn in `beside`, and of one column against its own value, below."""
    stored, rows = stored_explanation(evidence), session.evaluation_rows(evidence.model, evidence.version)
    classes, labels = list(stored.explanation.classes), evidence.feature_schema.labels
    with beside:
        st.header("How they matter", anchor=False)
        options = classes_of(classes, evidence)
        chosen = st.selectbox("Class", options, format_func=words.name, width=260, **in_address.one_of("of", options))
        effects = stored.explanation.values[:, :, classes.index(chosen)]
        values = stored.values_by_column(rows)
        output = "the output" if len(classes) == 1 else explanation_charts.short(chosen)
        title = f"Effect on {output} ({scale})"
        dark = st.context.theme.type == "dark"
        figure = explanation_charts.beeswarm(effects, values, title, labels=labels, dark=dark)
        st.plotly_chart(figure, config=charts.PLAIN, alt="Effect of each column on the class, one dot per row")
        st.caption(f"One dot per row, {len(effects):,} rows. Grey: text, which has no order.")
    st.header("One column", anchor=False)
    order = np.abs(effects).mean(axis=0).argsort()[::-1]
    names = [stored.explanation.columns[each] for each in order]
    called = partial(words.column, labels=labels)
    column = st.selectbox("Column", names, format_func=called, width=320, **in_address.one_of("column", names))
    own = effects[:, stored.explanation.columns.index(column)]
    unit = evidence.feature_schema.units.get(column)
    name = words.column(column, labels) + (f", {unit}" if unit else "")
    figure = explanation_charts.dependence(own, values[column], name, title=title)
    st.plotly_chart(figure, config=charts.PLAIN, alt="Effect of one column against its own value")
    st.caption(f"One dot per row, {len(own):,} rows: the effect of the column beside its own value.")
