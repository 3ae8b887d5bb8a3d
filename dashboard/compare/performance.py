"""Two versions by their kind, from the stored rows of both, and where the compared one is worse than the reference."""

import streamlit as st

from dashboard import computed, quality
from dashboard.address import in_address
from dashboard.compare import charts as compare_charts
from dashboard.compare import tables
from dashboard.compare.sections import dark, metrics_table, minus
from dashboard.components import charts, words
from pipeline.comparison.performance import PrecisionRecall
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.rules.compare import Comparison, MetricRow

Side = tuple[int, str]


def by_kind(comparison: Comparison) -> None:
    """Of two classes the curves of both versions, of numbers the errors by range; then the slices nobody listed."""
    a, b = _side(comparison.a), _side(comparison.b)
    if comparison.paired is None or a is None or b is None:  # why, the page says above
        return
    found = computed.kind_differences(comparison.a.model, a, b)
    if found.ranges:
        _ranges(comparison, found.ranges)
    if found.precision:
        _curves(comparison, (a, b), found.precision)
    worse = computed.worse_slices(comparison.a.model, a, b)
    quality.worse_slices(worse, tables.heads(comparison), comparison.b.feature_schema.labels)


def _side(evidence: Evidence) -> Side | None:
    return None if evidence.file_digest is None else (evidence.version, evidence.file_digest)


def _curves(comparison: Comparison, sides: tuple[Side, Side], differences: tuple[MetricDifference, ...]) -> None:
    st.header("Precision and recall", anchor=False)
    classes = [each.slice for each in differences]
    chosen = st.segmented_control(
        "Class that is looked for",
        classes,
        format_func=words.label,
        required=True,
        **in_address.one_of("positive", classes, default=classes[-1]),
    )
    curves: dict[str, PrecisionRecall] = {}
    for name, side in zip(tables.heads(comparison), sides, strict=True):
        by_class = {each.class_name: each for each in computed.kind_performance(comparison.a.model, *side).curves}
        curves[name] = by_class[chosen or classes[-1]]
    colours = quality.colours(comparison.a.model, tables.versions(comparison))
    figure = charts.precision_recall(curves, colours=colours)
    st.plotly_chart(figure, config=charts.PLAIN, alt="Precision against recall in both versions")
    rows = [MetricRow.compared(each, each.slice) for each in differences]
    frame = tables.metric_rows("Average precision of", rows, tables.heads(comparison))
    metrics_table(frame, comparison, "Average precision of both versions for each class")


def _ranges(comparison: Comparison, differences: tuple[MetricDifference, ...]) -> None:
    st.header("Mean absolute error by range", anchor=False)
    rows = [MetricRow.compared(each, each.slice) for each in differences]
    figure = compare_charts.differences(rows, minus(comparison), dark=dark())
    st.plotly_chart(figure, config=charts.PLAIN, alt="Difference of the mean absolute error by range")
    frame = tables.metric_rows("Actual", rows, tables.heads(comparison))
    metrics_table(frame, comparison, "Mean absolute error of both versions by range of the actual number")
