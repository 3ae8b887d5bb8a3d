"""What is shown of predictions: of one row, of one column that moves, and of a file."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from dashboard import pages, session
from dashboard.compare.tables import importance
from dashboard.components import charts, explanation_charts, widgets, words
from dashboard.components.one_explanation import as_pairs, sum_check, what_to_know
from pipeline.governance.evidence import Evidence
from pipeline.governance.text import visible
from pipeline.serving.predictions import Prediction, Target
from pipeline.serving.what_if import curve_points, points
from pipeline.validation.rows import CheckedRow, check_row
from pipeline.validation.schema import ColumnSchema, InputSchema
from pipeline.validation.values import unit

MOST_CURVES = 10


def answers(row: CheckedRow, targets: Sequence[Target]) -> None:
    """What each version says about the row, and why the first one does."""
    found: dict[str, Prediction] = {}
    grid = st.grid(len(targets), min_column_width=200)
    for target in targets:
        checked = row if target is targets[0] else _for_another(row, target)
        with grid.cell():
            widgets.guarded(partial(_answer, target, checked, found), f"answer/{target.resolved.version}")
    if said := {name: each.probabilities for name, each in found.items() if each.probabilities}:
        classes = classes_of(targets[0].classes, targets[0].evidence)
        figure = explanation_charts.probabilities(said, classes)
        st.plotly_chart(figure, config=charts.PLAIN, alt="Probability of each class")
    if targets[0].classes and len({each.value for each in found.values()}) > 1:  # two numbers hardly ever agree
        st.badge("The two do not agree", icon=":material/compare_arrows:", color="orange")
    widgets.guarded(lambda: _reasons(targets[0], row), "reasons")


def _for_another(row: CheckedRow, target: Target) -> CheckedRow:
    """The form is the first version's: what another one does not take is left out for it."""
    layout = target.schema or InputSchema((), "model")
    return check_row({name: value for name, value in row.values.items() if name in layout.names}, layout)


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


def _heading(said: Prediction) -> str:
    """A number as it is; a class is anybody's text."""
    plain = isinstance(said.value, int | float) and not isinstance(said.value, bool)
    return in_words(said.value) if plain else words.label(in_words(said.value))


def _reasons(target: Target, row: CheckedRow) -> None:
    model, version = target.resolved.model, target.resolved.version
    found = session.explained(model, version, target.digest, row=as_pairs(row.values))
    top, scale = found.top_class(), found.documents[0]["scale"]
    st.subheader(f"Why version {version} says so", anchor=False)
    lines = found.sentences(class_name=top)
    st.text("\n".join(f"•  {visible(line)}" for line in lines) or "No column moves the prediction noticeably.")
    sum_check(found.documents[0], found.tolerance, adds_up=found.adds_up)
    what_to_know(found)
    st.caption(f"Effects on the {scale}, against what the version says with nothing known.")
    pages.link_explain("Explain this row", model, version, source="Typed in", show="One row")


def what_if(row: CheckedRow, target: Target) -> None:
    """One column moves, the others stay: what the version says then, asked in one request."""
    layout = target.schema or InputSchema((), "model")
    movable = {rule.name: rule for rule in layout.columns if len(points(rule, row.values[rule.name])) > 1}
    first = [name for name in importance(target.evidence) if name in movable]
    if not movable:
        st.caption("Nothing says which values its columns may have.")
        return
    names = list(dict.fromkeys([*first, *movable]))
    column = st.selectbox("Column to move", names, key="column", bind="query-params", format_func=words.name, width=320)
    over = curve_points(movable[column], row.values[column])
    rows = [check_row({**row.values, column: value}, layout) for value in over]
    good = [(value, each) for value, each in zip(over, rows, strict=True) if not each.problems]
    said = session.scorer().predict_checked(target, [each for _, each in good]).rows
    places = [value for value, _ in good]
    axes = (_with_unit(movable[column]), "Probability" if target.probabilities else "Output")
    figure = explanation_charts.curves(_lines(said, target), places, axes, at=row.values[column])
    st.plotly_chart(figure, config=charts.PLAIN, alt="What the version says while one column moves")
    value = row.values[column]
    own = "missing" if value is None else f"{in_words(value)}{unit(movable[column])}"
    st.text(f"{visible(column)} is {own} in the row.{_classes_met(said, target)}")
    st.caption("All other columns stay as they are: not every such row needs to exist.")


def classes_of(classes: Sequence[str], evidence: Evidence) -> list[str]:
    """In the order of the evaluation, if it names the same ones."""
    told = evidence.document("evaluation").get("classes")
    named = [str(each) for each in told] if isinstance(told, list) else []
    return named if sorted(named) == sorted(classes) else list(classes)


def _classes_met(said: Sequence[Prediction], target: Target) -> str:
    met = list(dict.fromkeys(visible(str(each.value), most=60) for each in said))
    return f" Over this range the version predicts {', '.join(met)}." if target.classes else ""


def in_words(value: object) -> str:
    """A table's columns with their names."""
    if isinstance(value, Mapping):
        return ", ".join(f"{visible(str(name))}: {in_words(each)}" for name, each in value.items())
    return f"{value:.6g}" if isinstance(value, float) else visible(str(value))


def _lines(said: Sequence[Prediction], target: Target) -> Mapping[str, list[float]]:
    if not target.probabilities:
        numbers = [each.value for each in said if isinstance(each.value, int | float)]
        return {"Output": [float(each) for each in numbers]} if len(numbers) == len(said) else {}
    found = {name: [each.probabilities[name] for each in said] for name in classes_of(target.classes, target.evidence)}
    highest = sorted(found, key=lambda name: -max(found[name]))[:MOST_CURVES]
    return {name: values for name, values in found.items() if name in highest}


def _with_unit(rule: ColumnSchema) -> str:
    return f"{rule.name} ({rule.unit})" if rule.unit else rule.name
