"""The prediction of each chosen version for one row, and why the first version gives it."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from dashboard import pages, quality, session
from dashboard.address import in_address
from dashboard.components import charts, explanation_charts, widgets, words
from dashboard.components.explanations import as_pairs, classes_of, importance, starting_point, sum_check, what_to_know
from dashboard.components.row_form import told
from dashboard.components.trust import FINGERPRINT
from pipeline.governance.text import minus, visible
from pipeline.serving.predictions import Prediction, Target
from pipeline.serving.what_if import Counterfactual, curve_points, points
from pipeline.validation.rows import CheckedRow, check_row
from pipeline.validation.schema import ColumnSchema, InputSchema
from pipeline.validation.values import unit


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
        versions = {f"Version {each.resolved.version}": each.resolved.version for each in targets}
        colours = quality.colours(targets[0].resolved.model, versions)
        figure = explanation_charts.probabilities(probabilities, classes, colours=colours)
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
        labels = target.evidence.feature_schema.labels
        widgets.message("Not valid", "\n".join(told(each, labels) for each in row.problems), colour="orange")
        return
    head = f"Version {target.resolved.version}"
    prediction = session.scorer().predict_checked(target, [row]).rows[0]
    found[head] = prediction
    with st.container(gap="xxsmall"):
        st.caption(f"{head} predicts")
        is_number = isinstance(prediction.value, int | float) and not isinstance(prediction.value, bool)
        text = in_words(prediction.value)
        # The name of a class is text from the model, made safe for a heading.
        st.header(text if is_number else words.label(text), anchor=False)
        st.caption(f"From the files {words.digest(target.digest)}", help=FINGERPRINT)


def _reasons(target: Target, row: CheckedRow) -> None:
    model, version = target.resolved.model, target.resolved.version
    found = session.explained(model, version, target.digest, row=as_pairs(row.values))
    top, scale = found.top_class(), found.documents[0]["scale"]
    st.header(f"Why version {version} says so", anchor=False)
    sentences = found.sentences(class_name=top)
    st.text("\n".join(f"•  {visible(each)}" for each in sentences) or "No column moves the prediction noticeably.")
    sum_check(found.documents[0], found.tolerance, adds_up=found.adds_up)
    what_to_know(found)
    st.caption(f"Effects on the {scale}, against what the version says with nothing known.", help=starting_point(scale))
    same_row = {name: st.query_params[name] for name in (session.ROW_VALUES,) if name in st.query_params}
    pages.link_explain("Explain this row", model, version, source="Typed in", show="One row", **same_row)


def in_words(value: object) -> str:
    """A prediction as text; one with several output columns names each of them."""
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(str(name))}: {in_words(each)}" for name, each in value.items())
    return minus(f"{value:.6g}") if isinstance(value, float) else visible(str(value))


# What a version would say of another row: one column moves, and the smallest change that gives another class.

ANY = "Any other class"
MOST_CURVES = 10


def what_if(row: CheckedRow, target: Target) -> None:
    """Moves one column and leaves the others: draws what the version predicts over its range, asked in one request."""
    schema = target.schema or InputSchema((), "model")
    movable = {each.name: each for each in schema.columns if len(points(each, row.values[each.name])) > 1}
    if not movable:
        st.caption("Nothing says which values its columns may have.")
        return
    most_important = [name for name in importance(target.evidence) if name in movable]
    names = list(dict.fromkeys([*most_important, *movable]))
    called = partial(words.column, labels=target.evidence.feature_schema.labels)
    name = st.selectbox("Column to move", names, format_func=called, width=320, **in_address.one_of("column", names))
    column, value = movable[name], row.values[name]
    over = curve_points(column, value)
    rows = [check_row({**row.values, name: each}, schema) for each in over]
    valid = [(each, checked) for each, checked in zip(over, rows, strict=True) if not checked.problems]
    predictions = session.scorer().predict_checked(target, [checked for _, checked in valid]).rows
    head = called(name) + (f", {column.unit}" if column.unit else "")
    axes = (head, "Probability" if target.probabilities else "Output")
    figure = explanation_charts.curves(_curves(predictions, target), [each for each, _ in valid], axes, at=value)
    st.plotly_chart(figure, config=charts.PLAIN, alt="What the version says while one column moves")
    own = "missing" if value is None else f"{in_words(value)}{unit(column)}"
    met = dict.fromkeys(visible(str(each.value), most=60) for each in predictions)
    classes_met = f" Over this range the version predicts {', '.join(met)}." if target.classes else ""
    st.text(f"{called(name)} is {own} in the row.{classes_met}")
    st.caption("All other columns stay as they are: not every such row needs to exist.")


def _curves(predictions: Sequence[Prediction], target: Target) -> Mapping[str, list[float]]:
    """One curve per class, those with the highest probabilities; the output alone where there are no probabilities."""
    if not target.probabilities:
        numbers = [float(each.value) for each in predictions if isinstance(each.value, int | float)]
        return {"Output": numbers} if len(numbers) == len(predictions) else {}
    classes = classes_of(target.classes, target.evidence)
    found = {name: [each.probabilities[name] for each in predictions] for name in classes}
    highest = sorted(found, key=lambda name: -max(found[name]))[:MOST_CURVES]
    return {name: values for name, values in found.items() if name in highest}


def smallest_change(row: CheckedRow, target: Target) -> None:
    """Searches the smallest change to another class, in the columns that the policy lets a person change."""
    allowed = session.settings().policy.may_change.get(target.resolved.model, [])
    may_change = [name for name in allowed if target.schema and target.schema.column(name)]
    if not target.classes:
        st.caption("The version answers with a number: there is no other class to reach.")
    elif not may_change:
        st.caption("The policy (policy.may_change) names no column of this model that a person could change.")
    else:
        _search(row, target, may_change)


def _search(row: CheckedRow, target: Target, may_change: list[str]) -> None:
    present = str(session.scorer().predict_checked(target, [row]).rows[0].value)
    options = [ANY, *(name for name in classes_of(target.classes, target.evidence) if name != present)]
    wanted = st.selectbox(
        "To the class", options, format_func=words.name, width=320, **in_address.one_of("to_class", options)
    )
    model, version = target.resolved.model, target.resolved.version
    to_class, pairs = None if wanted == ANY else str(wanted), as_pairs(row.values)
    with st.spinner("Searching"):
        found = session.smallest_change(model, version, target.digest, row=pairs, wanted=to_class)
    if found is None:
        st.text("No change of up to three of these columns was found that gives it.")
    else:
        _counterfactual(found, row, target)
    named = [words.column(each, target.evidence.feature_schema.labels) for each in may_change]
    st.text(f"May change, by the policy: {', '.join(named)}. All others stay as they are.")


def _counterfactual(found: Counterfactual, row: CheckedRow, target: Target) -> None:
    probability = found.prediction.probabilities.get(str(found.prediction.value))
    with st.container(horizontal=True, vertical_alignment="center"):
        known = "" if probability is None else f", probability {probability:.3f}"
        st.text(f"Gives {in_words(found.prediction.value)}{known}")
        st.badge("Confirmed by the version", icon=":material/check_circle:", color="green")
    changes, labels = [], target.evidence.feature_schema.labels
    for name, value in found.values.items():
        column = target.schema.column(name) if target.schema else None
        changes.append([words.column(name, labels), _with_unit(row.values[name], column), _with_unit(value, column)])
    frame = pd.DataFrame(changes, columns=["Column", "Now", "Then"])
    st.dataframe(frame, hide_index=True, width=480, key="smallest_change")


def _with_unit(value: object, column: ColumnSchema | None) -> str:
    if value is None:
        return "missing"
    return f"{in_words(value)}{unit(column) if column and not isinstance(value, str) else ''}"
