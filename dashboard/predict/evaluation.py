"""A file whose truth is known: what a version does on its rows, and which of two is better."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from dashboard import quality, session
from dashboard.components import charts, tables, widgets, words
from dashboard.components.row_form import labels_of
from dashboard.predict.upload import Upload
from pipeline.comparison import search
from pipeline.governance.errors import InvalidInput
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.documents import Evaluation
from pipeline.governance.record.evidence import Metric
from pipeline.serving.batch.labelled import LabelledRows, labelled, on_the_same_rows, truth_column
from pipeline.serving.batch.upload import UploadedRows
from pipeline.serving.predictions import Target
from pipeline.serving.targets import input_schema

TRUTH, NO_COLUMN = "truth", "No column"
FIRST = ("accuracy", "f1_macro", "mae", "rmse", "r2", "log_loss", "calibration_error")
MOST_FIGURES = 4
VERDICT_COLOURS = ["green", "red", "gray"]


def against_the_truth(file: Upload, target: Target, beside: Target | None) -> None:
    """Draws it where a column of the file holds the truth. beside: a version that is compared on the same rows."""
    rows = file.scored(target).rows
    if rows is None:
        return
    st.header("Against the truth", anchor=False)
    column = _picked_column(target, rows)
    if column is None:
        return
    found = labelled(target, rows, column)
    if found.left_out:
        widgets.message(
            "Without a usable truth",
            f"{words.count(found.left_out, 'row')} left out here; the first: {found.first_left_out}",
            colour="orange",
        )
    with st.spinner("Evaluating"):
        own = file.once("evaluated", target.digest, column, make=lambda: session.comparer().evaluate(found.rows))
    _figures(own)
    _classes(own)
    _weak(file, target, found, column=column)
    if beside is None:
        st.caption("Choose a version in the field Beside to see which of the two is better on these rows.")
    else:
        with st.spinner("Comparing"):
            _beside(file, (target, beside), found, column=column)


def _picked_column(target: Target, rows: UploadedRows) -> str | None:
    """The column that holds the truth; None where there is none, which is said."""
    if not rows.others:
        st.caption("With the truth in one more column, the file is also evaluated.")
        return None
    known, options = truth_column(target, rows.others), [NO_COLUMN, *rows.others]
    # Another file may not have the column that was picked for the last one.
    if st.session_state.get(TRUTH) not in options:
        st.session_state[TRUTH] = known or NO_COLUMN
    column = st.selectbox("Column with the truth", options, key=TRUTH, format_func=words.name, width=320)
    return None if column == NO_COLUMN else str(column)


def _figures(found: Evaluation) -> None:
    """The best known metrics, each with its interval and the number of rows."""
    metrics = [
        Metric(name, each.value, each.low, each.high, found.n)
        for name, each in found.metrics.items()
        if each.value is not None
    ]
    shown = sorted(metrics, key=lambda each: FIRST.index(each.name) if each.name in FIRST else len(FIRST))
    with st.grid(MOST_FIGURES, min_column_width=150):
        for metric in shown[:MOST_FIGURES]:
            widgets.metric(metric)
    level = f"{found.confidence:.0%}" if found.confidence else ""
    st.caption(f"{words.count(found.n or 0, 'row')} of the file with their truth, intervals at {level}.")


def _classes(found: Evaluation) -> None:
    if not found.per_class:
        return
    left, right = st.columns([9, 11], gap="medium")
    with left:
        if matrix := tables.confusion(found):
            st.markdown("**Confusion**")
            figure = charts.confusion(*matrix, dark=st.context.theme.type == "dark")
            st.plotly_chart(figure, config=charts.PLAIN, alt="Confusion matrix: true by predicted class")
    with right:
        st.markdown("**Per class**")
        widgets.frame(tables.per_class(found), "Per class", digits=("Precision", "Recall", "F1"))


def _weak(file: Upload, target: Target, found: LabelledRows, *, column: str) -> None:
    """The slices of the file that nobody listed, by the same search as of a version's own evaluation rows."""
    with st.spinner("Searching"):
        weak = file.once(
            "weak",
            target.digest,
            column,
            make=lambda: search.weaker_than_overall(found.rows, session.settings().evaluation.confidence),
        )
    quality.weak_slices(weak, labels_of(input_schema(target)))


def _beside(file: Upload, targets: tuple[Target, Target], own: LabelledRows, *, column: str) -> None:
    """Which of the two is better on the rows that both predicted."""
    first, second = targets
    theirs = file.scored(second).rows
    if theirs is None:
        raise InvalidInput(
            f"{second.label}: no row of the file could be scored; {file.scored(second).result.first_problem}"
        )
    same = on_the_same_rows(own, labelled(second, theirs, column))
    both, confidence = (first.digest, second.digest, column), session.settings().evaluation.confidence
    paired = file.once("paired", *both, make=lambda: session.comparer().pair_rows(*same))
    worse = file.once("worse", *both, make=lambda: search.worse_than(same[1], same[0], confidence))
    names = f"Version {first.resolved.version}", f"Version {second.resolved.version}"
    st.markdown(f"**{names[1]} beside {names[0].lower()}**")
    st.text(_sentence(paired.metrics, names, paired.n))
    frame = _differences(paired.metrics, names)
    verdicts = st.column_config.MultiselectColumn(
        options=list(words.VERDICTS.values()), color=VERDICT_COLOURS, width=170
    )
    widgets.frame(
        frame,
        "Metrics of both versions on the same rows, with difference and verdict",
        digits=names,
        differences=["Difference"],
        columns={"Verdict": verdicts},
    )
    quality.worse_slices(worse, names, labels_of(input_schema(first)))


def _sentence(found: Sequence[MetricDifference], names: tuple[str, ...], n: int) -> str:
    judged = [each.verdict for each in found]
    counts = [f"{word} in {count}" for word in words.VERDICTS if (count := judged.count(word))]
    told = " and ".join([", ".join(counts[:-1]), counts[-1]] if len(counts) > 1 else counts) or "not judged"
    rows, metrics = words.count(n, "row"), words.count(len(found), "metric")
    return f"On the same {rows}, against {names[0].lower()}: {names[1].lower()} is {told}, of {metrics}."


def _differences(found: Sequence[MetricDifference], names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Metric": [words.metric(each.metric) for each in found],
            "Verdict": [[words.VERDICTS[each.verdict]] if each.verdict else [] for each in found],
            names[0]: [each.incumbent for each in found],
            names[1]: [each.candidate for each in found],
            "Difference": [each.difference for each in found],
            "Interval of the difference": [words.signed_interval(each.low, each.high) for each in found],
            "n": [each.n for each in found],
        }
    )
