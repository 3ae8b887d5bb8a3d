"""The second version that is asked aside: how often both agree, which is right more often, which rows flip, and why."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import caching, pages, session
from dashboard.components import tables, widgets, words
from dashboard.components.explanations import DifferingAnswer, why_they_differ
from dashboard.monitoring.log import log_desk
from pipeline.governance.errors import NotFound
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.findings import Window
from pipeline.governance.roles import Action
from pipeline.governance.rules.paired import Agreement
from pipeline.governance.rules.watching import WatchReport
from pipeline.governance.text import visible
from pipeline.monitoring.log_desk import MOST_COMPARED
from pipeline.monitoring.prediction_log import Answer, Selection, StoredPrediction
from pipeline.monitoring.side_by_side import SideBySide
from pipeline.validation.schema import schema_of

TURN_ON = "monitoring:\n  log:\n    enabled: true\n  shadow: challenger"
WHAT = "A shadow is a second version that is asked about the rows that the champion has answered. It answers nobody."
AGREEMENT = "The share of the rows to which both give the same answer, with Wilson's interval."
PAIRED = (
    "Both are judged on the same rows, drawn again together (paired bootstrap). "
    "An interval of the difference that holds 0 decides nothing."
)
MCNEMAR = (
    "McNemar's exact test looks at the rows that only one of the two has right: p is how likely a split as uneven as "
    "this is where both are right equally often."
)
COMPARED_SECONDS = 60.0  # a comparison of many rows takes a second or two
RIGHT_MORE_OFTEN = ("accuracy", "mae")  # the metric of classes, and of numbers
VERDICT_COLOURS = {words.BETTER: "green", words.WORSE: "red", words.ALIKE: "gray"}
BADGES: dict[str, widgets.Colour] = {"better": "green", "worse": "red", "not distinguishable": "gray"}
MOST_NAMED = 8
SMALLEST_SHOWN = 0.0001
ROW = "row"  # in the address: the prediction_id of the row that is explained
NOT_KNOWN = "not known"


@caching.fresh(most=20, seconds=COMPARED_SECONDS)
def compared(model: str, version: int, window: Window) -> SideBySide:
    """A champion and its shadow on the rows that both answered. Raises NotFound where there are none."""
    wanted = Selection(model, since=window.since, until=window.until, version=version)
    return log_desk().side_by_side(wanted)


def shadow(watched: WatchReport) -> None:
    """The whole section. Raises NotAllowed for who may not read rows of the log."""
    session.admit(Action.READ_LOG)
    try:
        found = compared(watched.model, watched.version, watched.window)
    except NotFound:
        _nothing(watched)
        return
    _figures(found)
    _who_is_right(found)
    if _of_numbers(found):
        st.caption("Numbers are predicted, which do not flip as classes do.")
    elif found.flips:
        _flips(found)


def _nothing(watched: WatchReport) -> None:
    """Why there is nothing to show: no shadow, an alias that no version has, or no row yet."""
    alias = session.settings().monitoring.shadow
    if alias is None:
        with widgets.message("No shadow", WHAT, colour="blue"):
            st.code(TURN_ON, language=None)
            st.caption("The alias names the version. Whatever serves has to be started again.")
        return
    version = next((each.aliases.get(alias) for each in session.models() if each.name == watched.model), None)
    alias_shown = visible(alias)
    if version is None:
        text = f"No version of the model has the alias {alias_shown}, which the settings name as the shadow."
    elif version == watched.version:
        text = f"The alias {alias_shown}, which the settings name as the shadow, is on the champion itself."
    else:
        text = (
            f"Version {version} ({alias_shown}) has answered no row of this time that version {watched.version} "
            "answered. It is asked half a second after the champion, and only about rows that the log keeps."
        )
    widgets.message("Nothing to compare yet", text, colour="blue")


def _figures(found: SideBySide) -> None:
    rows = ("the newest " if found.n == MOST_COMPARED else "") + words.count(found.n, "row")
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.text(
            f"Version {found.shadow} ({visible(found.alias)}) was asked aside about {rows} that version "
            f"{found.version} answered from {words.when(found.since)} to {words.when(found.until)}.",
            help=WHAT,
        )
        pages.link_compare("Compare on held-out rows", found.model, (found.version, found.shadow))
    low, high = found.interval
    with st.grid(4, min_column_width=150):
        st.metric(
            "Same answer",
            f"{found.share:.1%}",
            f"{low:.1%}\N{EN DASH}{high:.1%}",
            delta_color="off",
            delta_arrow="off",
            border=True,
            height="stretch",
            help=AGREEMENT,
        )
        st.metric("Rows that both answered", f"{found.n:,}", border=True, height="stretch")
        st.metric("Answered differently", f"{found.n - found.agree:,}", border=True, height="stretch")
        st.metric("Outcome is known", f"{found.outcomes:,}", border=True, height="stretch")


def _names(found: SideBySide) -> tuple[str, str]:
    return f"Version {found.version}", f"Version {found.shadow}"


def _of_numbers(found: SideBySide) -> bool:
    """Whether numbers are predicted: a class that is called by a number has a probability."""
    shown = [each.prediction for each in found.flips]
    return bool(shown) and all(isinstance(each.prediction, float) and not each.probabilities for each in shown)


def _who_is_right(found: SideBySide) -> None:
    """By outcomes: which of the two is right more often, on the same rows."""
    st.header("Which is right more often", anchor=False, help=PAIRED)
    if found.paired is None:
        why = "cannot be compared with the answers" if found.outcomes else "of none of these rows is known"
        st.text(
            f"The outcome {why}: signoff outcomes FILE, or POST /api/v1/outcomes, tells what turned out to be true."
        )
        return
    metrics = found.paired.metrics
    first = next((each for name in RIGHT_MORE_OFTEN for each in metrics if each.metric == name), None)
    if first is not None:
        _verdict(found, first)
    if found.paired.agreement is not None:
        _counts(found.paired.agreement, _names(found))
    _metrics(metrics, _names(found))


def _verdict(found: SideBySide, metric: MetricDifference) -> None:
    a, b = _names(found)
    verdict = metric.verdict or "not distinguishable"
    says = {
        "better": f"{b} is right more often than {a.lower()}.",
        "worse": f"{b} is right less often than {a.lower()}.",
        "not distinguishable": "Neither is right more often by more than chance explains.",
    }
    if metric.metric != "accuracy":
        says |= {"better": f"{b} errs less than {a.lower()}.", "worse": f"{b} errs more than {a.lower()}."}
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.badge(says[verdict], color=BADGES[verdict])
        st.text(
            f"{words.metric_markdown(metric.metric)} {words.number(metric.candidate)} beside "
            f"{words.number(metric.incumbent)}: {words.difference(metric)} on {words.count(metric.n, 'row')}."
        )


def _counts(found: Agreement, names: tuple[str, str]) -> None:
    a, b = (name.lower() for name in names)
    p_value = f"p = {found.p_value:.4f}" if found.p_value >= SMALLEST_SHOWN else f"p < {SMALLEST_SHOWN}"
    st.text(
        f"Of {words.count(found.n, 'row')} with an outcome both are right on {found.both_right:,}, only {a} on "
        f"{found.only_a_right:,}, only {b} on {found.only_b_right:,}, neither on "
        f"{found.both_wrong_alike + found.both_wrong_differently:,}. McNemar's test: {p_value}.",
        help=MCNEMAR,
    )


def _metrics(metrics: Sequence[MetricDifference], names: tuple[str, str]) -> None:
    frame = pd.DataFrame(
        {
            "Metric": [words.metric(each.metric) for each in metrics],
            "Verdict": [[words.VERDICTS[each.verdict]] if each.verdict else [] for each in metrics],
            names[0]: [each.incumbent for each in metrics],
            names[1]: [each.candidate for each in metrics],
            "Difference": [each.difference for each in metrics],
            "Interval of the difference": [words.signed_interval(each.low, each.high) for each in metrics],
            "Rows": [each.n for each in metrics],
        }
    )
    verdict = st.column_config.MultiselectColumn(
        options=list(VERDICT_COLOURS), color=list(VERDICT_COLOURS.values()), width=160
    )
    widgets.frame(
        frame,
        "Both versions on the rows with an outcome",
        digits=names,
        differences=["Difference"],
        height=widgets.height_of(len(frame)),
        columns={"Verdict": verdict},
    )


def _flips(found: SideBySide) -> None:
    """Which answers changed into which, and the rows themselves; one is explained."""
    flipped = found.n - found.agree
    st.header("Rows that flip", anchor=False)
    _flip_counts(found)
    more = f"The newest {len(found.flips):,} of {flipped:,}." if flipped > len(found.flips) else ""
    clear = sorted({name for each in found.flips for name in each.prediction.clear})
    kept = "with the columns that the log stores in clear" if clear else "of which the log stores no column in clear"
    st.caption(f"The rows, {kept}. {more} Select one to see why the two differ.".replace("  ", " "))
    _rows(found, clear)
    asked = st.query_params.get(ROW)
    chosen = next((each for each in found.flips if each.prediction.prediction_id == asked), None)
    if chosen is not None:
        widgets.guarded(partial(_one, found, chosen), "flip")
    elif asked is not None:
        st.caption("The row in the address is none of these.")


def _flip_counts(found: SideBySide) -> None:
    """Which answers changed into which."""
    names, counts = _names(found), found.flip_counts
    frame = pd.DataFrame(
        {
            names[0]: [words.name(each.prediction) for each in counts],
            names[1]: [words.name(each.shadow) for each in counts],
            "Rows": [each.n for each in counts],
        }
    )
    rows = st.column_config.ProgressColumn(format="%d", min_value=0, max_value=max(each.n for each in counts))
    alt = "Pairs of different answers, the most frequent first"
    widgets.frame(frame, alt, height=widgets.height_of(len(frame)), columns={"Rows": rows})


def _rows(found: SideBySide, clear: Sequence[str]) -> None:
    names = _names(found)
    labels = session.evidence(found.model, found.version).feature_schema.labels
    frame = pd.DataFrame(
        {
            "At": [tables.utc(each.prediction.at) for each in found.flips],
            names[0]: [_said(each.prediction.prediction) for each in found.flips],
            names[1]: [_said(each.shadow.prediction) for each in found.flips if each.shadow],
            "Outcome": [NOT_KNOWN if each.outcome is None else _said(each.outcome.actual) for each in found.flips],
            **{words.column(name, labels): [each.prediction.clear.get(name) for each in found.flips] for name in clear},
        }
    )
    key = f"flips/{found.version}/{found.shadow}"

    def open_row() -> None:
        selected = st.session_state[key].selection.rows
        if selected and selected[0] < len(found.flips):
            st.query_params[ROW] = found.flips[selected[0]].prediction.prediction_id
        else:
            st.query_params.pop(ROW, None)

    st.dataframe(
        frame,
        hide_index=True,
        height=widgets.height_of(min(len(frame), MOST_NAMED)),
        key=key,
        on_select=open_row,
        selection_mode="single-row",
        column_config=widgets.times_to_the_second("At"),
        placeholder=words.NOTHING,
        alt="Rows that the two versions answer differently",
    )


def _said(answer: Answer) -> str:
    return words.name(str(answer))


def _one(found: SideBySide, flip: StoredPrediction) -> None:
    """Why the two differ on a row, where all of its columns are stored in clear; else what is not known."""
    assert flip.shadow is not None  # noqa: S101 (a flip has two answers)
    names, evidence = _names(found), _evidence(found)
    st.header("Why the two differ", anchor=False)
    outcome = NOT_KNOWN if flip.outcome is None else _said(flip.outcome.actual)
    st.text(
        f"{_sentence(names[0], flip.prediction)} {_sentence(names[1], flip.shadow)} Outcome: {outcome}. "
        f"Prediction {flip.prediction.prediction_id}."
    )
    if why_not := _unknown(flip, evidence):
        widgets.message("Reasons are not known", why_not, colour="blue")
        return
    sides = (
        DifferingAnswer(names[0], evidence[0], str(flip.prediction.prediction)),
        DifferingAnswer(names[1], evidence[1], str(flip.shadow.prediction)),
    )
    why_they_differ(sides, flip.prediction.clear)


def _evidence(found: SideBySide) -> tuple[Evidence, Evidence]:
    return session.evidence(found.model, found.version), session.evidence(found.model, found.shadow)


def _sentence(name: str, answer: Any) -> str:  # noqa: ANN401 (LoggedPrediction or ShadowAnswer)
    sure = "" if answer.confidence is None else f" ({answer.confidence:.2f})"
    return f"{name} said {_said(answer.prediction)}{sure}."


def _unknown(flip: StoredPrediction, evidence: tuple[Evidence, Evidence]) -> str:
    """Why nobody can explain the row any more, as one sentence; empty where somebody can."""
    assert flip.shadow is not None  # noqa: S101 (a flip has two answers)
    schemas = [schema_of(each.feature_schema, each.content["signature"]) for each in evidence]
    needed = dict.fromkeys(name for schema in schemas if schema is not None for name in schema.names)
    missing = [visible(name) for name in needed if name not in flip.prediction.clear]
    if missing:
        more = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
        return (
            f"An explanation needs the whole row, and the log does not hold {', '.join(missing[:MOST_NAMED])}{more} in "
            "clear. monitoring.log.clear names the columns that it keeps so."
        )
    answered = flip.prediction.digest, flip.shadow.digest
    changed = [each.version for each, digest in zip(evidence, answered, strict=True) if each.file_digest != digest]
    if changed:
        return f"Version {changed[0]} has other files now than those that answered."
    return ""
