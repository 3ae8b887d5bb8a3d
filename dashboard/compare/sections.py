"""The sections of the compare page, each about two versions; `a` is the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import merits, pages, quality, session
from dashboard.address import in_address
from dashboard.compare import charts as compare_charts
from dashboard.compare import tables
from dashboard.compare.picker import ComparedVersions
from dashboard.components import charts, widgets, words
from dashboard.components.trust import trust_badge
from pipeline.governance.metrics import Direction, direction_of
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.rules.compare import Comparison, Differences, MetricRow
from pipeline.governance.rules.paired import Agreement

VERDICT_LOOKS: dict[str, tuple[str, widgets.Colour]] = {
    "better": (":material/check:", "green"),
    "worse": (":material/close:", "red"),
    "not distinguishable": (":material/drag_handle:", "gray"),
}
VERDICT_COLOURS = {words.BETTER: "green", words.WORSE: "red", words.ALIKE: "gray"}
RESULT_COLOURS = {tables.DIFFERS: "orange", tables.SAME: "gray"}
MOST_NAMED = 12  # in a tooltip
SIGNIFICANCE, SMALLEST_SHOWN = 0.05, 0.0001


def sides(comparison: Comparison) -> None:
    left, right = st.columns(2, gap="medium")
    for column, evidence, role in ((left, comparison.a, "Reference"), (right, comparison.b, "Compared with")):
        with column, st.container(border=True, gap="xsmall"):
            _side(evidence, role)


def verdicts(comparison: Comparison) -> None:
    """How many metrics are better and worse, in one line; or why the two versions cannot be compared so."""
    if comparison.warning is not None:
        missing = [f"{head} came without evaluation rows." for head in tables.without_rows(comparison)]
        text = "\n".join(missing or [comparison.warning.text])
        with widgets.message("Not evaluated on the same rows", text, colour="orange"):
            st.caption("Each version's own figures are shown below. They do not say which of the two is better.")
        _costs(comparison)
        return
    if comparison.paired is not None:
        a, b = tables.heads(comparison)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"{b} against {a.lower()}, on the same {comparison.paired.n:,} rows:", width="content")
            _count_badges(comparison.metrics)
            _costs(comparison)
    if found := tables.contradictions(comparison):
        with widgets.message("Claims that the rows contradict", "\n".join(found), colour="red"):
            st.caption("The comparison uses the rows.")


def _costs(comparison: Comparison) -> None:
    """Latency and size of the compared version beside the reference's."""
    a, b = comparison.a, comparison.b
    merit = merits.merit(a.model, b.version, a.version)
    if badges := widgets.cost_badges(merit):
        st.markdown(" ".join(badges), width="content", help=widgets.costs(merit, "the reference's"))


def metrics(comparison: Comparison) -> None:
    frame = tables.metrics(comparison)
    if frame.empty:
        st.caption("Neither version has metrics.")
        return
    # r2 has no unit: on the axis of errors, which have one, its interval would be a dot.
    numbers = comparison.paired is not None and comparison.paired.confusions is None
    if shown := [row for row in comparison.metrics if row.interval and not (numbers and row.name == "r2")]:
        figure = compare_charts.differences(shown, minus(comparison), dark=dark())
        st.plotly_chart(figure, config=charts.PLAIN, alt="Difference of each metric with its interval")
    metrics_table(frame, comparison, "Metrics of both versions with difference, interval, n and verdict")
    if comparison.paired is not None:
        if comparison.paired.agreement is not None:
            _agreement(comparison, comparison.paired.agreement)
        _how_judged(comparison)


def classes(comparison: Comparison) -> None:
    paired = comparison.paired
    if paired is None:
        st.caption("Classes and slices are compared on the same rows only.")
        return
    if paired.confusions is None:
        st.caption("Numbers are predicted, so there are no classes.")
        _slices(comparison, "Mean absolute error")
        return
    st.header("Recall per class", anchor=False)
    _count_badges(comparison.classes)
    frame = tables.metric_rows("Class", comparison.classes, tables.heads(comparison))
    metrics_table(frame, comparison, "Recall per class with difference, interval, n and verdict")
    st.header("Confusion, difference", anchor=False)
    figure = compare_charts.confusion_difference(paired.confusions, dark=dark())
    st.plotly_chart(figure, config=charts.PLAIN, alt="Confusion counts: version compared minus reference")
    st.caption(f"Rows of {minus(comparison).lower()}. Green: more right or fewer mistakes. Red: worse.")
    _slices(comparison, "Accuracy")


def _slices(comparison: Comparison, metric: str) -> None:
    st.header(f"{metric} per slice", anchor=False)
    _count_badges(comparison.slices)
    labels = comparison.b.feature_schema.labels
    rows = [replace(row, name=_called(row.name, labels)) for row in tables.worst_first(comparison.slices)]
    frame = tables.metric_rows("Slice", rows, tables.heads(comparison))
    metrics_table(frame, comparison, f"{metric} per slice with difference, interval, n and verdict")
    st.caption(
        "Intervals are widened so that those of all classes hold together, and those of all slices. "
        "With few rows only a large difference can be told."
    )


def _called(slice_name: str, labels: Mapping[str, str]) -> str:
    """A slice such as "CALC = Always" with what people call its column."""
    column, equals, value = slice_name.partition(" = ")
    return f"{words.column(column, labels)}{equals}{value}"


def calibration(comparison: Comparison) -> None:
    paired = comparison.paired
    if paired is None:
        st.caption("Calibration is compared on the same rows only.")
        return
    curves = dict(zip(tables.heads(comparison), (paired.calibration_a, paired.calibration_b), strict=True))
    for name in (name for name, points in curves.items() if points is None):
        st.caption(f"{name} came without probabilities that can be used.")
    if known := {name: points for name, points in curves.items() if points is not None}:
        error = next((row for row in comparison.metrics if row.name == "calibration_error"), tables.NO_ROW)
        errors = dict(zip(tables.heads(comparison), (error.a, error.b), strict=True))
        quality.calibration(comparison.a.model, tables.versions(comparison), curves=known, errors=errors)
    metrics_table(
        tables.metric_rows(
            tables.METRIC,
            [row for row in comparison.metrics if row.name in ("calibration_error", "log_loss")],
            tables.heads(comparison),
        ),
        comparison,
        "Calibration error and log loss of both versions",
    )


def different(comparison: Comparison) -> None:
    only = st.toggle("Differences only", **in_address.flag("only", default=True))
    for section, attribute in tables.SECTIONS.items():
        found: Differences = getattr(comparison, attribute)
        st.header(section, anchor=False)
        n = len(found.different)
        st.caption(f"{words.count(n, 'difference') if n else 'No differences'}, {found.equal:,} equal.")
        frame = tables.differences(comparison, section, only=only)
        if not frame.empty:
            st.dataframe(
                frame,
                hide_index=True,
                height=widgets.height_of(len(frame)),
                column_config={tables.RESULT: badge_column(RESULT_COLOURS, 105)},
                placeholder=words.NOTHING,
                alt=f"{section} of both versions",
            )


def _side(evidence: Evidence, role: str) -> None:
    content = evidence.content
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(role, width="content")
        widgets.state_badges(content["stage"], content["aliases"])
        trust_badge(evidence.model, evidence.version)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(f"Version {evidence.version}", anchor=False, width="content")
        pages.link_review("Review", evidence.model, evidence.version)
    kind = words.name(str(content["tags"].get("model_type") or tables.flavor(evidence)))
    st.text(f"{kind}, registered {words.moment(content['created_at'])}")


def _count_badges(rows: Sequence[MetricRow]) -> None:
    with st.container(horizontal=True, vertical_alignment="center", width="content"):
        for verdict, n in tables.counts(rows).items():
            icon, colour = VERDICT_LOOKS[verdict]
            named = [words.label(row.name) for row in rows if row.verdict == verdict]
            more = f" and {n - MOST_NAMED} more" if n > MOST_NAMED else ""
            st.badge(f"{n} {verdict}", icon=icon, color=colour, help=", ".join(named[:MOST_NAMED]) + more)


def _agreement(comparison: Comparison, found: Agreement) -> None:
    a, b = (name.lower() for name in tables.heads(comparison))
    p_value = f"p = {found.p_value:.4f}" if found.p_value >= SMALLEST_SHOWN else f"p < {SMALLEST_SHOWN}"
    conclusion = (
        "The one that is right more often is unlikely to be so by chance."
        if found.p_value < SIGNIFICANCE
        else "There is no evidence that one is right more often."
    )
    with st.container(gap="xxsmall"):
        st.text(
            f"Of {found.n:,} rows both are right on {found.both_right:,}, only {a} on {found.only_a_right:,}, only {b} "
            f"on {found.only_b_right:,}. They predict {found.flipped:,} rows differently."
        )
        st.text(f"McNemar's exact test of the accuracy: {p_value}. {conclusion}")


def _how_judged(comparison: Comparison) -> None:
    confidence = session.settings().evaluation.confidence
    lower = [row.name for row in comparison.metrics if row.verdict and direction_of(row.name) is Direction.LOWEST]
    less = f" Of {' and '.join(sorted(map(words.metric_in_text, lower)))} less is better." if lower else ""
    st.caption(
        f"Both are judged on the same rows, drawn again together; intervals at {confidence:.0%}. "
        f"An interval that holds 0 means: not distinguishable.{less} "
        "Figures without a verdict are as each run claims them."
    )


def metrics_table(frame: pd.DataFrame, comparison: Comparison, alt: str) -> None:
    widgets.frame(
        frame,
        alt,
        digits=tables.heads(comparison),
        differences=[tables.DIFFERENCE],
        height=widgets.height_of(len(frame)),
        columns={
            frame.columns[0]: st.column_config.TextColumn(pinned=True),
            tables.VERDICT: badge_column(VERDICT_COLOURS, 150),
        },
    )


def badge_column(colours: dict[str, str], width: int) -> Any:  # noqa: ANN401 (Streamlit's column)
    """A column whose cells are lists of words drawn as badges; a colour only repeats what its word says."""
    return st.column_config.MultiselectColumn(options=list(colours), color=list(colours.values()), width=width)


def minus(comparison: Comparison) -> str:
    a, b = tables.heads(comparison)
    return f"{b} minus {a.lower()}"


def dark() -> bool:
    return st.context.theme.type == "dark"


# Several versions against one reference: all in a table, and which of them is shown in detail.


def in_detail(choice: ComparedVersions) -> int:
    """The version that the rest of the page compares with the reference; of several the visitor chooses one."""
    if len(choice.others) == 1:
        return choice.others[0]
    _table(choice)
    chosen = st.segmented_control(
        f"In detail, against version {choice.reference}",
        list(choice.others),
        format_func=lambda version: f"Version {version}",
        required=True,
        **in_address.one_of("with", choice.others),
    )
    return chosen or choice.others[0]


def _table(choice: ComparedVersions) -> None:
    found = [session.comparison(choice.model, choice.reference, each) for each in choice.others]
    names = session.metric_names(choice.model)
    colours = {tables.REFERENCE: "blue", **VERDICT_COLOURS}
    widgets.frame(
        tables.at_a_glance(found, names),
        f"Each version against version {choice.reference}",
        digits=names,
        columns={
            "Version": st.column_config.NumberColumn(format="%d", pinned=True, width=75),
            **{name: st.column_config.NumberColumn(words.metric(name), format=widgets.FOUR_DIGITS) for name in names},
            **{
                f"{name}, verdict": st.column_config.MultiselectColumn(
                    f"{words.metric(name)}, verdict", options=list(colours), color=list(colours.values()), width=150
                )
                for name in names
            },
        },
    )
