"""What a reviewer is shown about a version, section by section; what is missing is named, never guessed."""

from collections.abc import Iterable, Mapping
from typing import Any

import streamlit as st

from dashboard import session
from dashboard.components import charts, tables, widgets, words
from pipeline.governance.documents import Evaluation, Lineage
from pipeline.governance.evidence import Evidence
from pipeline.governance.ports import MetricDifference
from pipeline.governance.text import visible
from pipeline.model_card.data_report import sentences

MOST_KPIS = 4


def kpis(evidence: Evidence) -> None:
    """The best known metrics, each with its interval and sample size."""
    names = [*session.metric_names(evidence.model), "recall_macro"]
    found = [metric for metric in map(evidence.metric, dict.fromkeys(names)) if metric is not None][:MOST_KPIS]
    if not found:
        return
    with st.grid(MOST_KPIS, min_column_width=150):
        for metric in found:
            widgets.metric(metric, border=True)


def gaps(evidence: Evidence) -> None:
    if evidence.gaps:
        with widgets.message(
            words.count(len(evidence.gaps), "gap") + " in the evidence",
            "\n".join(f"{gap.name}: {gap.text}" for gap in evidence.gaps),
            colour="orange",
        ):
            pass


def metrics(evidence: Evidence, champion: Evidence | None, differences: Iterable[MetricDifference] | None) -> None:
    """The figures of this version and of the champion, on the same scale and with the same digits."""
    table = tables.metrics(evidence, champion, differences)
    if table.empty:
        st.caption("The version has no metrics.")
        return
    shown = [metric for metric in map(evidence.metric, tables.SHARES) if metric is not None]
    if shares := [metric for metric in shown if 0 <= metric.value <= 1 and metric.low is not None]:
        theirs = [] if champion is None else [found for each in shares if (found := champion.metric(each.name))]
        names = (f"Version {evidence.version}", f"Champion {champion.version}" if champion else "")
        figure = charts.metric_intervals(shares, theirs, names)
        st.plotly_chart(figure, config=charts.PLAIN, alt="Metrics with their intervals beside the champion's")
    columns = tables.metric_columns(evidence, champion)
    widgets.frame(table, "Metrics with interval and n, and the champion's", digits=columns)
    if measured := {each.name: each.dataset for each in evidence.metrics() if each.dataset}:
        st.caption("Measured on")
        st.text("\n".join(f"{visible(name)}: {visible(dataset)}" for name, dataset in measured.items()))
    _evaluation_notes(evidence.evaluation)


def classes(evidence: Evidence) -> None:
    evaluation = evidence.evaluation
    left, right = st.columns(2, gap="medium")
    with left:
        if found := tables.confusion(evaluation):
            st.subheader("Confusion", anchor=False)
            figure = charts.confusion(*found, dark=st.context.theme.type == "dark")
            st.plotly_chart(figure, config=charts.PLAIN, alt="Confusion matrix: true by predicted class")
    with right:
        _table("Per class", tables.per_class(evaluation), ("Precision", "Recall", "F1"))
    _table("Per slice", tables.slices(evaluation), ("Accuracy",))
    if found is None and not evaluation.per_class and not evaluation.slices:
        st.caption("The version came without an evaluation file: no confusion matrix, no classes, no slices.")


def lineage(evidence: Evidence) -> None:
    content, found = evidence.content, evidence.lineage
    environment = found.environment
    widgets.facts(
        {
            "Run": content["run_id"],
            "Registered": words.moment(content["created_at"]),
            "Registered by": content["registered_by"],
            "Source": content["source"],
            "Data": found.data.get("source"),
            "Data fingerprint": found.data.get("sha256"),
            "Commit": _commit(found),
            "Trained": words.moment(found.trained_at),
            "Python": environment.python,
            "Platform": environment.platform,
            "Processor features": _joined(environment.processor_features),
            "Built on": environment.blas,
            "Numerical libraries": _pairs(environment.libraries),
            "Threads": _pairs(environment.threads),
            "Digest of the pins": environment.lock_sha256,
            "Flavors": ", ".join(content["flavors"]),
        }
    )
    if report := sentences(evidence.data_report):
        st.subheader("Data checks", anchor=False)
        st.text("\n".join(report))
    left, right = st.columns(2, gap="medium")
    for place, title, held in ((left, "Parameters", content["params"]), (right, "Packages", environment.packages)):
        with place:
            if held:
                st.subheader(title, anchor=False)
                widgets.frame(tables.names_and_values(held), title)


def files(evidence: Evidence) -> None:
    table = tables.files(evidence)
    if table.empty:
        st.caption("The model's files cannot be read.")
        return
    total = sum(each["size"] for each in evidence.content["files"])
    st.caption(f"{words.count(len(table), 'file')}, {words.size(total)}. The digest covers every name and byte.")
    st.code(evidence.file_digest or words.NOTHING, language=None, wrap_lines=True)
    widgets.frame(table, "Files with size and sha256")


def texts(evidence: Evidence) -> None:
    """As text: in markdown a description could draw an approval of its own."""
    content = evidence.content
    st.subheader("Description", anchor=False)
    if content["description"]:
        st.text(content["description"])
    else:
        st.caption("The version has no description.")
    st.subheader("Tags", anchor=False)
    if content["tags"]:
        widgets.frame(tables.names_and_values(content["tags"]), "Tags")
    else:
        st.caption("The version has no tags.")


def _table(title: str, table: Any, digits: tuple[str, ...]) -> None:  # noqa: ANN401 (a data frame)
    if not table.empty:
        st.subheader(title, anchor=False)
        widgets.frame(table, title, digits=digits)


def _evaluation_notes(evaluation: Evaluation) -> None:
    notes = []
    if evaluation.n is not None:
        level = f", intervals at {evaluation.confidence:.0%}" if evaluation.confidence else ""
        notes.append(f"{evaluation.n:,} held-out rows{level}.")
    if (accuracy := evaluation.baseline_accuracy) is not None:
        notes.append(f"Always answering the most frequent class would reach an accuracy of {accuracy:.4f}.")
    mean, deviation = evaluation.folds_mean, evaluation.folds_deviation
    if mean is not None and deviation is not None:
        notes.append(f"Cross-validated accuracy on the training rows {mean:.4f} ± {deviation:.4f}.")
    if notes:
        st.caption(" ".join(notes))


def _commit(lineage: Lineage) -> object:
    if not lineage.commit or not lineage.dirty:
        return lineage.commit
    return f"{lineage.commit}, with changes not committed: {_joined(lineage.changed) or 'not recorded which'}"


def _joined(values: Iterable[object] | None) -> str | None:
    return None if values is None else ", ".join(map(str, values))


def _pairs(found: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{name} {value}" for name, value in found.items() if value is not None) or None
