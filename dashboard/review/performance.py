"""How good one version is by its kind, from its stored evaluation rows, and where it is weaker than overall.

What is drawn follows the kind: probabilities of classes have a calibration, two classes a curve of precision and
recall, numbers have residuals. Without stored rows nothing of it is known, and that is said.
"""

import streamlit as st

from dashboard import computed, quality
from dashboard.components import charts, tables, widgets, words
from pipeline.comparison.performance import PrecisionRecall, Residuals
from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.governance.record.evidence import Evidence


def by_kind(evidence: Evidence) -> None:
    """Curves and errors by range; then the slices that nobody listed."""
    digest = evidence.file_digest
    if digest is None or all(each["path"] != EVALUATION_ROWS for each in evidence.content["files"]):
        st.caption("The version came without evaluation rows: neither curves nor weak slices can be shown.")
        return
    found = computed.kind_performance(evidence.model, evidence.version, digest)
    if found.curves:
        _curves(found.curves)
    if found.residuals is not None:
        _residuals(found.residuals, str(evidence.feature_schema.target.get("name") or "value"))
    if found.calibration is not None:
        st.header("Calibration", anchor=False)
        name, error = f"Version {evidence.version}", evidence.metric("calibration_error")
        error_of = {name: error.value if error else None}
        quality.calibration(evidence.model, {name: evidence.version}, curves={name: found.calibration}, errors=error_of)
    weak = computed.weak_slices(evidence.model, evidence.version, digest)
    quality.weak_slices(weak, evidence.feature_schema.labels)


def _curves(curves: tuple[PrecisionRecall, ...]) -> None:
    st.header("Precision and recall", anchor=False)
    figure = charts.precision_recall({words.name(each.class_name): each for each in curves})
    st.plotly_chart(figure, config=charts.PLAIN, alt="Precision against recall for each of the two classes")
    lines = [
        f"{words.name(each.class_name)}: average precision {each.average:.4f} ({words.interval(each.low, each.high)}), "
        f"{each.positives:,} of {words.count(each.n, 'row')}; guessing would reach {each.positives / each.n:.4f}."
        for each in curves
    ]
    st.text("\n".join(lines))


def _residuals(found: Residuals, target: str) -> None:
    st.header("Errors by range", anchor=False)
    figure = charts.residuals(found, words.name(target))
    st.plotly_chart(figure, config=charts.PLAIN, alt="Predicted minus actual for each row, and the mean per range")
    widgets.frame(
        tables.error_ranges(found),
        "Errors by range of the actual number",
        digits=["Mean absolute error"],
        differences=["Bias"],
    )
    shown = f"{len(found.actual):,} of {found.n:,} rows are drawn. " if found.n > len(found.actual) else ""
    st.caption(
        f"{shown}Bias: the mean of predicted minus actual, above zero where the version says too much. "
        "Intervals are widened so that those of all ranges hold together."
    )
