"""What happened at a glance: figures, accuracy, traffic, predictions; every figure with its n."""

import pandas as pd
import streamlit as st

from dashboard import session
from dashboard.components import charts, widgets, words
from dashboard.monitoring import charts as own_charts
from dashboard.monitoring.drift import sentence, shares
from pipeline.governance.record.evidence import Metric
from pipeline.governance.rules.watching import AccuracyFigure, WatchReport
from pipeline.governance.text import visible

TURN_ON = "monitoring:\n  log:\n    enabled: true"
ESTIMATED = (
    "Estimated without labels: how often the version was right at each confidence on the held-out rows, over the "
    "confidences of this window. It cannot see that the truth itself has changed."
)
WITHIN = "Of 100 requests, 95 were answered within this time; the upper end of the step that holds the 95th."
REFUSED = "Values that did not fit, so that the version was not asked."
OUTSIDE = "Values that the training data did not hold. The version was asked, and its caller warned."


def figures(found: WatchReport) -> None:
    """What happened, in five numbers, and what is wrong with them."""
    traffic, accuracy = found.traffic, found.accuracy
    window, rules = found.window, session.settings().monitoring.rules()
    st.caption(
        f"Version {found.version} from {words.when(window.since)} to {words.when(window.until)}: "
        "whole hours, of which the last one goes on."
    )
    with st.grid(5, min_column_width=150):
        st.metric("Rows answered", f"{traffic.total('rows'):,}", border=True, height="stretch")
        how = "measured" if accuracy.is_measured(rules) else "estimated"
        _accuracy_figure(accuracy.now(rules), f"Accuracy, {how}")
        st.metric("95 % answered within", _milliseconds(traffic.p95_ms), border=True, height="stretch", help=WITHIN)
        st.metric("Values refused", f"{traffic.total('refused'):,}", border=True, height="stretch", help=REFUSED)
        st.metric("Values out of range", f"{traffic.total('outside'):,}", border=True, height="stretch", help=OUTSIDE)
    if failed := traffic.total("failed"):
        kinds = ", ".join(f"{visible(name)} {n:,}" for name, n in traffic.failed.items())
        widgets.message("Requests failed", f"{words.count(failed, 'request')}: {kinds}", colour="orange")
    if traffic.gaps or traffic.lost:
        widgets.message("The log has gaps", _gaps(found), colour="orange")


def _gaps(found: WatchReport) -> str:
    lost, gaps = found.traffic.lost, found.traffic.gaps
    told = []
    if gaps:
        told.append(f"{words.count(gaps, 'process')} ended before the last answers were written; Log says which.")
    if lost:
        told.append(f"{words.count(lost, 'answer')} could not be written and were not counted.")
    return "\n".join(told)


def _accuracy_figure(found: AccuracyFigure | None, label: str) -> None:
    if found is None:
        st.metric("Accuracy now", words.NOTHING, border=True, height="stretch", help=ESTIMATED)
        return
    spread = words.spread(Metric("accuracy", found.value, found.low, found.high, found.n))
    st.metric(
        label,
        words.number(found.value),
        spread,
        delta_color="off",
        delta_arrow="off",
        border=True,
        height="stretch",
        help=ESTIMATED,
    )


def off(found: WatchReport) -> None:
    """How the log is turned on, and what was approved."""
    with widgets.message("Not watched", found.gap, colour="blue"):
        st.code(TURN_ON, language=None)
        st.caption("What the API answers is then counted by hour, column and class; rows are kept as you say there.")
    accuracy(found)


def at_a_glance(found: WatchReport) -> None:
    """Everything but the columns."""
    if found.gap:
        widgets.message("Nothing to compare", visible(found.gap), colour="blue")
    fewest = session.settings().monitoring.fewest_rows
    if 0 < found.n < fewest:
        text = f"{words.count(found.n, 'row')} in this time; below {fewest:,} no difference becomes a finding."
        widgets.message("Few rows", text, colour="gray")
    accuracy(found)
    if found.traffic.hours:
        traffic(found)
    if found.n:
        predictions(found)


def accuracy(found: WatchReport) -> None:
    """As approved, estimated and measured, each with its interval."""
    report = found.accuracy
    listed = {"Approved": report.approved, "Estimated": report.estimated, "Measured": report.measured}
    known = {name: each for name, each in listed.items() if each is not None}
    if not known:
        return
    st.header("Accuracy", anchor=False, help=ESTIMATED)
    names = list(known)
    shown = [(each.value, each.low, each.high) for each in known.values()]
    rows = {
        "Figure": names,
        "Accuracy": [each.value for each in known.values()],
        f"{session.settings().evaluation.confidence * 100:g} % interval": [
            words.interval(each.low, each.high) for each in known.values()
        ],
        "Rows": [each.n for each in known.values()],
    }
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width=430):
            widgets.frame(
                pd.DataFrame(rows),
                "Accuracy as approved, estimated and measured",
                digits=("Accuracy",),
                columns={"Rows": st.column_config.NumberColumn(format="localized")},
            )
        with st.container(width="stretch"):
            st.plotly_chart(
                own_charts.accuracies(tuple(names), tuple(shown)),
                config=charts.PLAIN,
                key="accuracies",
                alt="Each accuracy with its interval",
            )


def traffic(found: WatchReport) -> None:
    """By hour; and which columns were refused or out of range."""
    st.header("Traffic by hour (UTC)", anchor=False)
    hours = found.traffic.hours
    figure = own_charts.traffic(
        tuple(each.hour for each in hours),
        tuple(each.rows for each in hours),
        tuple(each.refused for each in hours),
        window=(found.window.since, found.window.until),
    )
    st.plotly_chart(figure, config=charts.PLAIN, key="traffic", alt="Rows answered and values refused by hour (UTC)")
    names = sorted({*found.traffic.refused, *found.traffic.outside})
    if names:
        rows = {
            "Column": [visible(name) or "the row as a whole" for name in names],
            "Refused": [found.traffic.refused.get(name, 0) for name in names],
            "Out of range": [found.traffic.outside.get(name, 0) for name in names],
        }
        st.caption("Values that were refused or out of range, by column")
        frame = pd.DataFrame(rows).sort_values(["Refused", "Out of range"], ascending=False)
        widgets.frame(frame, "Refused and out-of-range values by column", height=widgets.height_of(len(frame)))


def predictions(found: WatchReport) -> None:
    """Predicted classes and confidence, then and now."""
    shown = [
        (title, each)
        for title, each in (("Predicted classes", found.predictions), ("Confidence", found.confidence))
        if each is not None and each.n
    ]
    with st.grid(len(shown) or 1, min_column_width=330):
        for title, each in shown:
            with st.container():
                st.header(title, anchor=False)
                sentence(each)
                shares(each, key=each.name)


def _milliseconds(value: float | None) -> str:
    return words.NOTHING if value is None else f"{value:g} ms"
