"""The sections of the review page, each about one version; what is missing is named, never guessed."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import pages, quality, session
from dashboard.address.section import chosen_section
from dashboard.components import charts, explanation_charts, tables, widgets, words
from dashboard.components.explanations import classes_of, explained_by
from dashboard.components.signatures.acts import opened
from dashboard.components.trust import FINGERPRINT
from dashboard.review import performance
from dashboard.review.comments import comments
from pipeline import model_card
from pipeline.governance.lifecycle import Move
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.documents import Evaluation
from pipeline.governance.record.evidence import Evidence, Metric, Recomputation
from pipeline.governance.rules.merit import Merit
from pipeline.governance.rules.review import Review
from pipeline.governance.text import visible
from pipeline.model_card import Card
from pipeline.model_card.content import sentences

SHA256_PIXELS = 480  # of a column that clips none
MOST_NAMED = 6  # metrics that the chart of intervals leaves out
DIGITS = 6  # of a claim: recomputed figures may differ behind the fourth


def gaps(evidence: Evidence) -> None:
    if evidence.gaps:
        with widgets.message(
            words.count(len(evidence.gaps), "gap") + " in the evidence",
            "\n".join(f"{gap.name}: {gap.text}" for gap in evidence.gaps),
            colour="orange",
        ):
            pass


def intervals(evidence: Evidence, champion: Evidence | None) -> None:
    """The shares among the metrics with their intervals, beside the champion's; nothing where there are none."""
    shown = [metric for metric in map(evidence.metric, tables.SHARES) if metric is not None]
    if shares := [metric for metric in shown if 0 <= metric.value <= 1 and metric.low is not None]:
        theirs = [] if champion is None else [found for each in shares if (found := champion.metric(each.name))]
        names = (f"Version {evidence.version}", f"Champion {champion.version}" if champion else "")
        versions = {names[0]: evidence.version} | ({names[1]: champion.version} if champion else {})
        colours = quality.colours(evidence.model, versions)
        figure = charts.metric_intervals(shares, theirs, names, colours=colours)
        st.plotly_chart(figure, config=charts.PLAIN, alt="Metrics with their intervals beside the champion's")
        if others := _not_drawn(evidence, shares):
            more = f" and {len(others) - MOST_NAMED:,} more" if len(others) > MOST_NAMED else ""
            named = ", ".join(map(words.metric_in_markdown, others[:MOST_NAMED]))
            st.caption(f"More is better in each. Not drawn: {named}{more}.")


def _not_drawn(evidence: Evidence, drawn: Iterable[Metric]) -> list[str]:
    """The other metrics that have an interval: they may be the ones that get worse."""
    return [each.name for each in evidence.metrics() if each.low is not None and each not in drawn]


def metrics(evidence: Evidence, champion: Evidence | None, differences: Iterable[MetricDifference] | None) -> None:
    """The figures of this version and of the champion, on the same scale and with the same digits."""
    table = tables.metrics(evidence, champion, differences)
    if table.empty:
        st.caption("The version has no metrics.")
        return
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
            st.header("Confusion", anchor=False)
            figure = charts.confusion(*found, dark=st.context.theme.type == "dark")
            st.plotly_chart(figure, config=charts.PLAIN, alt="Confusion matrix: true by predicted class")
    with right:
        _table("Per class", tables.per_class(evaluation), ("Precision", "Recall", "F1"))
    _table("Per slice", tables.slices(evaluation, evidence.feature_schema.labels), ("Accuracy",))
    if found is None and not evaluation.per_class and not evaluation.slices:
        st.caption("The version came without an evaluation file: no confusion matrix, no classes, no slices.")
    widgets.guarded(partial(performance.by_kind, evidence), "performance")


def explanation(evidence: Evidence) -> None:
    """The importance of each column, from the summary that came with the version; nothing is loaded."""
    summary = evidence.explanation
    if not (shares := summary.mean_abs):
        st.caption("The version came without an explanation summary.")
        return
    explained_by(summary)
    ordered = {name: shares[name] for name in classes_of(list(shares), evidence)}
    scale, labels = visible(str(summary.scale), most=40), evidence.feature_schema.labels
    figure = explanation_charts.importance(ordered, scale, labels)
    st.plotly_chart(figure, config=charts.PLAIN, alt="Mean absolute effect of each column")
    pages.link_explain("Explain", evidence.model, evidence.version)


def lineage(evidence: Evidence) -> None:
    content, found = evidence.content, evidence.lineage
    environment, commit = found.environment, found.commit
    if commit and found.dirty:
        commit = f"{commit}, with changes not committed: {_joined(found.changed) or 'not recorded which'}"
    widgets.facts(
        {
            "Run": content["run_id"],
            "Registered": words.moment(content["created_at"]),
            "Registered by": content["registered_by"],
            "Source": content["source"],
            "Data": found.data.get("source"),
            "Data fingerprint": found.data.get("sha256"),
            "Commit": commit,
            "Trained": words.moment(found.trained_at),
            "Python": environment.python,
            "Platform": environment.platform,
            "Processor features": _joined(environment.processor_features),
            "Built on": environment.blas,
            "Numerical libraries": _pairs(environment.libraries),
            "Threads": _pairs(environment.threads),
            "Fingerprint of the pinned packages": environment.lock_sha256,
            "Flavors": ", ".join(content["flavors"]),
        }
    )
    if report := sentences(evidence.data_report, evidence.feature_schema.labels):
        st.header("Data checks", anchor=False)
        st.text("\n".join(report))
    left, right = st.columns(2, gap="medium")
    for column, title, values in ((left, "Parameters", content["params"]), (right, "Packages", environment.packages)):
        with column:
            if values:
                st.header(title, anchor=False)
                widgets.frame(tables.names_and_values(values), title)


def files(evidence: Evidence) -> None:
    table = tables.files(evidence)
    if table.empty:
        st.caption("The model's files cannot be read.")
        return
    total = sum(each["size"] for each in evidence.content["files"])
    st.caption(
        f"{words.count(len(table), 'file')}, {words.size(total)}. The fingerprint covers every name and byte.",
        help=FINGERPRINT,
    )
    st.code(evidence.file_digest or words.NOTHING, language=None, wrap_lines=True)
    whole = {"sha256": st.column_config.TextColumn(width=SHA256_PIXELS)}
    widgets.frame(table, "Files with size and sha256", columns=whole)


def texts(evidence: Evidence) -> None:
    """As text: in markdown a description could draw an approval of its own."""
    content = evidence.content
    st.header("Description", anchor=False)
    if content["description"]:
        st.text(content["description"])
    else:
        st.caption("The version has no description.")
    st.header("Tags", anchor=False)
    if content["tags"]:
        widgets.frame(tables.names_and_values(content["tags"]), "Tags")
    else:
        st.caption("The version has no tags.")


def claims(evidence: Evidence) -> None:
    """The stored evaluation rows, scored again by the version's own bytes in the worker."""
    key = _recomputation_key(evidence)
    st.caption("Scores the stored evaluation rows with the version's own bytes, in a process of its own.")
    if st.button("Recompute the claims", icon=":material/calculate:"):
        with st.spinner("Loading the version and scoring its rows", show_time=True):
            st.session_state[key] = session.desk().recompute(evidence.model, evidence.version)
        st.rerun()  # the gates stand above
    if key in st.session_state:
        _claims_table(st.session_state[key])


def _claims_table(found: Recomputation) -> None:
    if found.holds:
        text = f"{words.count(len(found.claims), 'claim')} on {found.measured.n:,} rows."
        widgets.message("The claims hold", text, colour="green")
    else:
        widgets.message("Claims contradicted", found.sentence, colour="red")
    table = pd.DataFrame(
        {
            "Metric": [words.metric(claim.name) for claim in found.claims],
            "Claimed by": [claim.claimant for claim in found.claims],
            "Claimed": [f"{claim.claimed:.{DIGITS}f}" for claim in found.claims],
            "Recomputed": [f"{claim.recomputed:.{DIGITS}f}" for claim in found.claims],
            "Result": ["holds" if claim.holds else "differs" for claim in found.claims],
        }
    )
    widgets.frame(table, "Claimed and recomputed metrics")
    if found.measured.compiled:
        st.text(f"Single rows over HTTP are {found.measured.compiled}.")  # may quote the version's own names


def review(move: Move, evidence: Evidence) -> Review:
    """The gates of a move. Claims that were recomputed on this page are among them, and count in the decision too.

    A rollback is the review of another version, whose claims are not those of this page.
    """
    own = move.version == evidence.version
    return session.review(move, st.session_state.get(_recomputation_key(evidence)) if own else None)


def _recomputation_key(evidence: Evidence) -> str:
    return f"recomputed/{evidence.digest}"


def card(evidence: Evidence) -> None:
    """The same card as `signoff card`, made when it is asked for."""
    st.caption("One page for the file: use, data, metrics with intervals, slices, explanation, limits and decisions.")
    pages.link_card("Open the card, which the browser can print", evidence.model, evidence.version)
    name = f"version-{evidence.version}-card"
    with st.container(horizontal=True):
        for label, ending, mime, write in (
            ("Model card (HTML)", "html", "text/html", model_card.to_html),
            ("Model card (Markdown)", "md", "text/markdown", model_card.to_markdown),
        ):
            st.download_button(
                label,
                data=partial(_written, write, evidence.model, evidence.version),
                file_name=f"{name}.{ending}",
                mime=mime,
                icon=":material/description:",
                on_click="ignore",
            )


def _written(write: Callable[[Card], str], model: str, version: int) -> str:
    return write(model_card.describe(session.desk(), model, version))


SECTIONS: Mapping[str, Callable[[Evidence], None]] = {
    "Classes and slices": classes,
    "Explanation": explanation,
    "Lineage": lineage,
    "Files": files,
    "Description and tags": texts,
    "Claims": claims,
    "Comments": comments,
    "Card": card,
}

METRICS = "Metrics"


def section(evidence: Evidence, champion: Evidence | None, merit: Merit | None) -> None:
    """Draws the section that is open. champion, merit: what the version is compared with, and how it compares."""
    name = chosen_section((METRICS, *SECTIONS), heading=f"Version {evidence.version} in detail")
    opened(evidence.digest, name)
    if name == METRICS:
        metrics(evidence, champion, merit.differences if merit else None)
    else:
        widgets.guarded(partial(SECTIONS[name], evidence), "section")


def _table(title: str, table: pd.DataFrame, digits: tuple[str, ...]) -> None:
    if not table.empty:
        st.header(title, anchor=False)
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


def _joined(values: Iterable[object] | None) -> str | None:
    return None if values is None else ", ".join(map(str, values))


def _pairs(values: Mapping[str, Any]) -> str | None:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None) or None
