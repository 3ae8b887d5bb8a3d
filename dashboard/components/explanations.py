"""Explanations as several pages show them: of one row, a second opinion, and the summary that came with a version."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard import computed, session
from dashboard.address import in_address
from dashboard.components import charts, explanation_charts, widgets, words
from pipeline.explanation.wording import Side, contrasts, sentences, smallest_reason
from pipeline.governance.ports import Json
from pipeline.governance.record.documents import ExplanationSummary, FeatureSchema
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.text import minus, visible
from pipeline.serving.predictions import Explanations, Target
from pipeline.serving.targets import input_schema
from pipeline.validation.rows import Row, Value

AS_PREDICTED = "As predicted"
LITTLE_FIT = 0.3
STARTING_POINT = (
    "Where an explanation starts: what the version says on average over typical rows, before it knows this one. "
    "Also called base value."
)
LOG_ODDS = " Log-odds: the logarithm of how much likelier than not; around one half, 0.1 of it is 0.025 of probability."
WHOLE = (
    "The starting point and the effects of all columns together give what the version says. "
    "Where they do not, the explanation leaves something out."
)
TOP_OF_OPINION = 5
KINDS_OF_EFFECTS = ("Exact", "Sampled")


def starting_point(scale: str) -> str:
    """Help for whoever reads effects on this scale."""
    return STARTING_POINT + (LOG_ODDS if scale == "log-odds" else "")


def as_pairs(row: Row) -> tuple[tuple[str, Value], ...]:
    """A row as a hashable value, so that a cache can look it up."""
    return tuple(row.items())


def sum_check(document: Mapping[str, Any], tolerance: float, *, adds_up: bool, head: str = "") -> None:
    """Says whether an explanation is exact and accounts for the output, and in its help how it was computed; a failure
    is shown in a red box.

    document: of an explanation or of a summary. head: stands before the sentence.
    """
    method, error = visible(str(document["method"]), most=120), float(document["sum_error"])
    if adds_up:
        kind = method.partition(" ")[0].capitalize()
        effects = f"{kind} effects" if kind in KINDS_OF_EFFECTS else "Effects"
        computed = f"Method: {words.code(method)}. Off by at most {error:.1g}, where {tolerance:.0e} is allowed."
        st.text(f"{head}{effects}, which account for the whole answer.", help=f"{WHOLE} {computed}")
    else:
        text = f"{head}Method: {method}. The effects miss the answer by {error:.2g}; {tolerance:.0e} is allowed."
        widgets.message("Explains only a part", text, colour="red")


def what_to_know(found: Explanations) -> None:
    """Says why it is only sampled, and which rows stand for "nothing known" where the version brought none."""
    if found.fallback:
        st.text(f"Sampled, because {visible(found.fallback, most=200)}.")
    if found.background:
        st.text(found.background)


def why(document: Mapping[str, Any], row: Row, class_name: str, *, schema: FeatureSchema) -> None:
    """Draws the waterfall of one class and its sentences. document: see explanation.result.to_json."""
    scale, effects = str(document["scale"]), document["contributions"][class_name]
    ends = (document["base_values"][class_name], document["output"][class_name])
    is_number = list(document["classes"]) == ["output"]
    title = "Output" if is_number else f"{explanation_charts.short(class_name)} ({scale})"
    dark = st.context.theme.type == "dark"
    figure = explanation_charts.waterfall(effects, row, ends, title=title, labels=schema.labels, dark=dark)
    left, right = st.columns([11, 9], gap="medium")
    with left:
        st.plotly_chart(figure, config=charts.PLAIN, alt="From nothing known to the output, column by column")
    with right:
        st.header("In words", anchor=False)
        reasons = sentences(document, row, class_name, units=schema.units, labels=schema.labels)
        what = "the output" if is_number else "this class"
        st.text("\n".join(f"•  {visible(each)}" for each in reasons) or f"No column moves {what} noticeably.")
        named = "" if scale == "value" else f" ({scale})"
        text = minus(f"With nothing known about the row {ends[0]:.3f}, for this row {ends[1]:.3f}") + f"{named}."
        st.text(text, help=starting_point(scale))


def second_opinion(target: Target, row: Row, class_name: str) -> None:
    """Draws a local linear model of the same row and class, and says how far the two methods agree."""
    if not st.toggle("Second opinion", **in_address.flag("opinion")):
        return
    model, version = target.resolved.model, target.resolved.version
    found = session.opinion(model, version, target.digest, row=as_pairs(row), class_name=class_name)
    top = sorted(found.weights, key=lambda name: -abs(found.weights[name]))[:TOP_OF_OPINION]
    shared = round(found.agreement * min(TOP_OF_OPINION, len(found.weights)))
    fit = minus(f"{found.r2:.2f}")
    st.text(f"A linear model around this row names {shared} of the same {len(top)} largest columns. R² {fit}.")
    if found.r2 < LITTLE_FIT:
        st.caption("It fits poorly here: its weights mean little.")
    least = smallest_reason(max(map(abs, found.weights.values()), default=0.0))
    labels = target.evidence.feature_schema.labels
    weights = (f"•  {words.column(name, labels)} {'raises' if found.weights[name] > 0 else 'lowers'} it by "
             f"{abs(found.weights[name]):.2f}" for name in top if abs(found.weights[name]) >= least)  # fmt: skip
    st.text("\n".join(weights))
    st.caption(f"On the {found.scale}, against rows of the background with other values. In the manner of LIME.")


def picked_class(classes: list[str], predicted: str) -> str:
    options = list(dict.fromkeys([AS_PREDICTED, *classes]))
    chosen = st.selectbox("Class", options, format_func=words.name, width=260, **in_address.one_of("class", options))
    return predicted if chosen == AS_PREDICTED else str(chosen)


# Two versions that say different things to the same row.


@dataclass(frozen=True)
class DifferingAnswer:
    """What one of the two says."""

    name: str  # what the page calls the version, such as "Version 4"
    evidence: Evidence
    predicted: Json


Sides = tuple[DifferingAnswer, DifferingAnswer]  # the reference first


def why_they_differ(sides: Sides, row: Mapping[str, Any]) -> None:
    """In which columns their reasons differ, explained live by both on one scale.

    Raises Refused and IntegrityFailure for a version that is not loaded, and as the scorer does.
    """
    with st.spinner("Explaining the row with both versions"):
        found = _explained_by_both(sides, row)
    if not found[0].comparable_with(found[1]):
        st.caption("One of the two gives no probabilities, so their reasons have no common scale.")
        return
    chosen = _explained_class(sides[1], found[1])
    # The compared version first: the question is what it does differently.
    told = [Side(side.name.lower(), each.documents[0]) for side, each in zip(sides, found, strict=True)]
    schema = sides[1].evidence.feature_schema
    left, right = st.columns([11, 9], gap="medium")
    with left:
        _steps_between(sides, found, chosen)
    with right:
        st.header("In words", anchor=False)
        reasons = contrasts((told[1], told[0]), found[1].rows[0], chosen, units=schema.units, labels=schema.labels)
        st.text(
            "\n".join(f"•  {visible(each)}" for each in reasons) or "No column moves it noticeably in either version."
        )
        how = "sampled in both" if found[0].sampled else "exact in both"
        st.caption(f"All figures are effects on the {found[0].scale}, by the same method, {how}.")
    with st.container(gap="xxsmall"):
        for side, each in zip(sides, found, strict=True):
            sum_check(each.documents[0], each.tolerance, adds_up=each.adds_up, head=f"{side.name}. ")


def _explained_by_both(sides: Sides, row: Mapping[str, Any]) -> tuple[Explanations, Explanations]:
    model = sides[0].evidence.model
    targets = [session.scorer().targets.usable(session.target(model, side.evidence.version)) for side in sides]
    a, b = (
        as_pairs({name: value for name, value in row.items() if name in input_schema(target).names})
        for target in targets
    )
    versions = [(side.evidence.version, target.digest) for side, target in zip(sides, targets, strict=True)]
    first, second = computed.explained_alike(model, (versions[0], versions[1]), rows=((a,), (b,)))
    return first, second


def _explained_class(side: DifferingAnswer, found: Explanations) -> str:
    """Which class is explained: what the compared version predicts, unless somebody chooses another one."""
    classes, predicted = list(found.documents[0]["classes"]), str(side.predicted)
    if len(classes) == 1:
        return str(classes[0])
    chosen = picked_class(classes_of(classes, side.evidence), predicted)
    by = f", as {side.name.lower()} predicts" if chosen == predicted else ""
    st.text(f"Explained: {visible(chosen)}{by}")
    return chosen


def _steps_between(sides: Sides, found: tuple[Explanations, Explanations], class_name: str) -> None:
    """A waterfall from what the reference says to what the compared version says."""
    if any(class_name not in each.documents[0]["contributions"] for each in found):
        st.caption("One of the two does not know this class.")
        return
    effects, base, output = (
        [each.documents[0][part][class_name] for each in found] for part in ("contributions", "base_values", "output")
    )
    steps = {name: effects[1].get(name, 0.0) - effects[0].get(name, 0.0) for name in {**effects[0], **effects[1]}}
    figure = explanation_charts.waterfall(
        {explanation_charts.NOTHING_KNOWN: base[1] - base[0], **steps},
        found[1].rows[0],
        (output[0], output[1]),
        title=f"{explanation_charts.short(class_name)} ({found[0].scale})",
        labels=sides[1].evidence.feature_schema.labels,
        names=(sides[0].name, sides[1].name),
        dark=st.context.theme.type == "dark",
    )
    st.plotly_chart(figure, config=charts.PLAIN, alt="From one version's output to the other's, column by column")


# The explanation summary that came with a version.


def classes_of(classes: Sequence[str], evidence: Evidence) -> list[str]:
    """The classes in the order of the evaluation, if it names the same ones."""
    named = [str(each) for each in evidence.evaluation.classes or ()]
    return named if sorted(named) == sorted(classes) else list(classes)


def importance(evidence: Evidence) -> dict[str, float]:
    """The share of each column in the sum of all columns, which versions on different scales can be compared by."""
    found = {str(column): value for column, value in evidence.explanation.importance}
    known = {name: abs(value) for name, value in found.items() if value is not None}
    total = sum(known.values())
    return {name: value / total for name, value in known.items()} if total else {}


def explained_by(summary: ExplanationSummary) -> None:
    """Says on how many rows the summary was made, by which method, and whether it accounts for the output."""
    rows = words.count(summary.n or 0, "evaluation row")
    st.caption(f"Mean over {rows}, drawn so that each class has its share.")
    if summary.sum_error is None or summary.tolerance is None:
        method = visible(str(summary.method), most=120)
        st.text(f"Method: {method}. Whether the effects account for the whole answer is not said.", help=WHOLE)
    else:
        document = {"method": summary.method, "sum_error": summary.sum_error}
        sum_check(document, summary.tolerance, adds_up=summary.sum_error <= summary.tolerance)
