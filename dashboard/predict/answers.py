"""The prediction of each chosen version for one row, and why the first version gives it."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.components import charts, explanation_charts, widgets, words
from dashboard.components.explanations import as_pairs, classes_of, sum_check, what_to_know
from pipeline.governance.text import visible
from pipeline.serving.predictions import Prediction, Target
from pipeline.validation.rows import CheckedRow, check_row
from pipeline.validation.schema import InputSchema


def answers(row: CheckedRow, targets: Sequence[Target]) -> None:
    """Draws each version's prediction side by side, their probabilities as bars, and the reasons of the first."""
    found: dict[str, Prediction] = {}
    grid = st.grid(len(targets), min_column_width=200)
    for target in targets:
        checked = row if target is targets[0] else _for_another(row, target)
        with grid.cell():
            widgets.guarded(partial(_answer, target, checked, found), f"answer/{target.resolved.version}")
    if probabilities := {name: each.probabilities for name, each in found.items() if each.probabilities}:
        classes = classes_of(targets[0].classes, targets[0].evidence)
        figure = explanation_charts.probabilities(probabilities, classes)
        st.plotly_chart(figure, config=charts.PLAIN, alt="Probability of each class")
    if targets[0].classes and len({each.value for each in found.values()}) > 1:  # two numbers hardly ever agree
        st.badge("The two do not agree", icon=":material/compare_arrows:", color="orange")
    widgets.guarded(lambda: _reasons(targets[0], row), "reasons")


def _for_another(row: CheckedRow, target: Target) -> CheckedRow:
    """The row with the columns that this version takes: the form was made from the first version's columns."""
    schema = target.schema or InputSchema((), "model")
    return check_row({name: value for name, value in row.values.items() if name in schema.names}, schema)


def _answer(target: Target, row: CheckedRow, found: dict[str, Prediction]) -> None:
    session.scorer().targets.usable(target)
    if row.problems:
        widgets.message("Not valid", "\n".join(each.sentence for each in row.problems), colour="orange")
        return
    head = f"Version {target.resolved.version}"
    prediction = session.scorer().predict_checked(target, [row]).rows[0]
    found[head] = prediction
    with st.container(gap="xxsmall"):
        st.caption(f"{head} predicts")
        st.subheader(_heading(prediction), anchor=False)
        st.caption(f"From the files {words.digest(target.digest)}")


def _heading(prediction: Prediction) -> str:
    """A number is written as it is; the name of a class is text from the model, made safe for a heading."""
    is_number = isinstance(prediction.value, int | float) and not isinstance(prediction.value, bool)
    text = in_words(prediction.value)
    return text if is_number else words.label(text)


def _reasons(target: Target, row: CheckedRow) -> None:
    model, version = target.resolved.model, target.resolved.version
    found = session.explained(model, version, target.digest, row=as_pairs(row.values))
    top, scale = found.top_class(), found.documents[0]["scale"]
    st.subheader(f"Why version {version} says so", anchor=False)
    sentences = found.sentences(class_name=top)
    st.text("\n".join(f"•  {visible(each)}" for each in sentences) or "No column moves the prediction noticeably.")
    sum_check(found.documents[0], found.tolerance, adds_up=found.adds_up)
    what_to_know(found)
    st.caption(f"Effects on the {scale}, against what the version says with nothing known.")
    pages.link_explain("Explain this row", model, version, source="Typed in", show="One row")


def in_words(value: object) -> str:
    """A prediction as text; one with several output columns names each of them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(str(name))}: {in_words(each)}" for name, each in value.items())
    return f"{value:.6g}" if isinstance(value, float) else visible(str(value))
