"""The parts of the page: figures, accuracy, traffic, predictions, drift; every figure with its n."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from dashboard.components import charts, widgets, words
from dashboard.monitoring import charts as own_charts
from pipeline.governance.record.evidence import Metric
from pipeline.governance.rules.watching import LOG_IS_OFF, AccuracyFigure, Drift, WatchReport
from pipeline.governance.text import visible

TURN_ON = "monitoring:\n  log:\n    enabled: true"
DISTANCE = "Jensen-Shannon distance, from 0 (the same shares) to 1 (nothing in common)"
ADJUSTED = "p of the test, adjusted for all that is tested together: the false-discovery rate at which it counts"
OUTSIDE = "Share of the rows whose value the training data did not hold"
ESTIMATED = (
    "Estimated without labels: how often the version was right at each confidence on the held-out rows, over the "
    "confidences of this window. It cannot see that the truth itself has changed."
)
DIFFERS, SAME, UNTESTED = "! Differs", "≈ Not distinguishable", "· Too few rows"
COLOURS: Mapping[str, widgets.Colour] = {DIFFERS: "orange", SAME: "gray", UNTESTED: "gray"}
ALPHA = 0.05
MOST_BINS = 64


def figures(found: WatchReport) -> None:
    """What happened, in five numbers."""
    traffic, accuracy = found.traffic, found.accuracy
    with st.grid(5, min_column_width=150):
        st.metric("Rows answered", f"{traffic.total('rows'):,}", border=True)
        _accuracy_figure(accuracy.now, "Accuracy, measured" if accuracy.measured else "Accuracy, estimated")
        st.metric("95 % answered within", _milliseconds(traffic.p95_ms), border=True, height="stretch")
        st.metric("Values refused", f"{traffic.total('refused'):,}", border=True, height="stretch")
        st.metric("Values out of range", f"{traffic.total('outside'):,}", border=True, height="stretch")
    if failed := traffic.total("failed"):
        kinds = ", ".join(f"{visible(name)} {n:,}" for name, n in traffic.failed.items())
        widgets.message("Requests failed", f"{words.count(failed, 'request')}: {kinds}", colour="orange")
    if traffic.gaps or traffic.lost:
        widgets.message("The log has gaps", _gaps(found), colour="orange")


def _gaps(found: WatchReport) -> str:
    lost, gaps = found.traffic.lost, found.traffic.gaps
    told = []
    if gaps:
        told.append(f"{words.count(gaps, 'process')} ended before the last answers were written: signoff log status.")
    if lost:
        told.append(f"{words.count(lost, 'answer')} came faster than they could be written and were not counted.")
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


def nothing_to_compare(found: WatchReport) -> None:
    """Why there is nothing to compare; where the log is off, how it is turned on."""
    off = found.gap == LOG_IS_OFF
    with widgets.message("Not watched" if off else "Nothing to compare", visible(found.gap), colour="blue"):
        if off:
            st.code(TURN_ON, language="yaml")
            st.caption(
                "What the API answers is then counted by hour, column and class; rows are kept as you say there."
            )


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
        "": names,
        "Accuracy": [each.value for each in known.values()],
        "95 % interval": [words.interval(each.low, each.high) for each in known.values()],
        "Rows": [each.n for each in known.values()],
    }
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width=430):
            widgets.frame(pd.DataFrame(rows), "Accuracy as approved, estimated and measured", digits=("Accuracy",))
        with st.container(width="stretch"):
            st.plotly_chart(own_charts.accuracies(tuple(names), tuple(shown)), config=charts.PLAIN, key="accuracies")


def traffic(found: WatchReport) -> None:
    """By hour; and which columns were refused or out of range."""
    st.header("Traffic", anchor=False)
    hours = found.traffic.hours
    figure = own_charts.traffic(
        tuple(each.hour for each in hours),
        tuple(each.rows for each in hours),
        tuple(each.refused for each in hours),
    )
    st.plotly_chart(figure, config=charts.PLAIN, key="traffic")
    names = sorted({*found.traffic.refused, *found.traffic.outside})
    if names:
        rows = {
            "Column": [visible(name) or "the row as a whole" for name in names],
            "Refused": [found.traffic.refused.get(name, 0) for name in names],
            "Out of range": [found.traffic.outside.get(name, 0) for name in names],
        }
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
                st.text(verdict_sentence(each))
                _shares(each, key=each.name)


def drift(found: WatchReport) -> None:
    """Every column, those that differ first; one is shown in full."""
    st.header("Columns", anchor=False)
    columns = sorted(found.columns, key=lambda each: (-significant(each), -each.effect))
    tested = sum(bool(each.test) for each in found.drifts)
    st.caption(
        f"{words.count(found.n, 'row')} beside the rows that the version was evaluated on; "
        f"{tested} distributions tested together at a false-discovery rate of {ALPHA:.0%}."
    )
    chosen = _columns_table(columns)
    if columns:
        each = columns[chosen]
        st.subheader(words.label(each.name), anchor=False)
        st.text(verdict_sentence(each))
        _shares(each, key="column")


def _columns_table(columns: Sequence[Drift]) -> int:
    """Which row is selected; the first without one."""
    frame = pd.DataFrame(
        {
            "Column": [visible(each.name) for each in columns],
            "Verdict": [[verdict(each)] for each in columns],
            "Distance": [each.effect for each in columns],
            "Adjusted p": [_p(each.adjusted) if each.test else "" for each in columns],
            "Rows": [each.n for each in columns],
            "Out of range": [f"{each.outside:.1%}" for each in columns],
        }
    )
    event = st.dataframe(
        frame,
        hide_index=True,
        key="columns",
        height=widgets.height_of(len(frame)),
        on_select="rerun",
        selection_mode="single-row",
        alt="Drift by column",
        column_config={
            "Verdict": st.column_config.MultiselectColumn(
                options=list(COLOURS), color=list(COLOURS.values()), width=170
            ),
            "Distance": st.column_config.NumberColumn(format="%.3f", help=DISTANCE, width=90),
            "Adjusted p": st.column_config.TextColumn(help=ADJUSTED, width=100),
            "Out of range": st.column_config.TextColumn(help=OUTSIDE, width=110),
        },
    )
    rows = event.selection.rows
    return rows[0] if rows and rows[0] < len(columns) else 0


def significant(each: Drift) -> bool:
    return bool(each.test) and each.adjusted <= ALPHA


def verdict(each: Drift) -> str:
    if not each.test:
        return UNTESTED
    return DIFFERS if significant(each) else SAME


def verdict_sentence(each: Drift) -> str:
    """Test, size of the effect and n."""
    if not each.test:
        return f"Too few rows to test: n = {each.n:,}."
    says = "Differs" if significant(each) else "Not distinguishable"
    return f"{says}: distance {each.effect:.3f}, {each.test} test, adjusted p {_p(each.adjusted)}, n = {each.n:,}."


def _shares(each: Drift, *, key: str) -> None:
    shown = [
        position
        for position in range(min(len(each.labels), MOST_BINS))
        if each.before[position] > 0 or each.now[position] > 0
    ]
    figure = own_charts.shares(
        tuple(each.labels[position] for position in shown),
        tuple(each.before[position] for position in shown),
        tuple(each.now[position] for position in shown),
    )
    st.plotly_chart(figure, config=charts.PLAIN, key=f"shares/{key}")


def _p(value: float) -> str:
    return "under 0.0001" if value < 0.0001 else f"{value:.4f}"  # noqa: PLR2004 (four digits)


def _milliseconds(value: float | None) -> str:
    return words.NOTHING if value is None else f"{value:g} ms"
