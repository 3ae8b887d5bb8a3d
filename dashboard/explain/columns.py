"""How a version uses its columns as a whole, from the files that came with it: nothing is loaded for it."""

from functools import partial

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard import session
from dashboard.components import charts, explanation_charts, widgets, words
from dashboard.components.explanations import classes_of, explained_by
from dashboard.explain.stored import stored_explanation
from pipeline.governance.evidence import Evidence
from pipeline.governance.text import visible
from pipeline.serving.predictions import Target


def columns(target: Target) -> None:
    """Draws the mean absolute effect of every column, then the effects of one class row by row."""
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
    widgets.guarded(partial(_effects, evidence, scale, right), "values")


def _effects(evidence: Evidence, scale: str, beside: DeltaGenerator) -> None:
    """The effects on one class: of every column, drawn in `beside`, and of one column against its own value, below."""
    stored, rows = stored_explanation(evidence), session.evaluation_rows(evidence.model, evidence.version)
    classes = list(stored.explanation.classes)
    with beside:
        st.subheader("How they matter", anchor=False)
        chosen = st.selectbox("Class", classes_of(classes, evidence), key="of", bind="query-params",
                              format_func=words.name, width=260)  # fmt: skip
        effects = stored.explanation.values[:, :, classes.index(chosen)]
        values = stored.values_by_column(rows)
        output = "the output" if len(classes) == 1 else explanation_charts.short(chosen)
        title = f"Effect on {output} ({scale})"
        figure = explanation_charts.beeswarm(effects, values, title, dark=st.context.theme.type == "dark")
        st.plotly_chart(figure, config=charts.PLAIN, alt="Effect of each column on the class, one dot per row")
        st.caption(f"One dot per row, {len(effects):,} rows. Grey: text, which has no order.")
    st.subheader("One column", anchor=False)
    order = np.abs(effects).mean(axis=0).argsort()[::-1]
    names = [stored.explanation.columns[each] for each in order]
    column = st.selectbox("Column", names, key="column", bind="query-params", format_func=words.name, width=320)
    own = effects[:, stored.explanation.columns.index(column)]
    figure = explanation_charts.dependence(own, values[column], _with_unit(column, evidence), title=title)
    st.plotly_chart(figure, config=charts.PLAIN, alt="Effect of one column against its own value")
    st.caption(f"One dot per row, {len(own):,} rows: the effect of {words.label(column)} beside its own value.")


def _with_unit(column: str, evidence: Evidence) -> str:
    unit = evidence.feature_schema.units.get(column)
    return f"{column} ({unit})" if unit else column
