"""The parts of the history page below its table: one event in full, champions over time, verification."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from dashboard import session
from dashboard.components import charts, history_lines, tables, widgets, words
from dashboard.components.history_lines import Line
from dashboard.components.trust import trust_badge
from dashboard.history.then_and_now import CHANGED, SAME, compared
from pipeline.governance.errors import NotFound, SignoffError
from pipeline.governance.history import Entry
from pipeline.governance.policy import Mode
from pipeline.governance.service import GovernanceService

VERIFIED, FAILED = "verified", "failed"


def event_detail(line: Line) -> None:
    entry = line.entry
    with st.container(border=True, key="event"):
        st.subheader(f"Event {entry.sequence}: {history_lines.event_word(entry)[2:].lower()}", anchor=False)
        if text := entry.why or entry.reason:
            st.text(text)
        widgets.facts(_facts(line))
        if line.gates:
            st.caption("Gates at that time")
            widgets.gates_table(
                tables.gate_rows({**gate, "result": _result(gate)} for gate in line.gates), "gates_then"
            )
        if entry.evidence and entry.version is not None:
            _seen_then(entry, entry.evidence, entry.version)


def champions_over_time(model: str) -> None:
    periods = session.champions(model)
    if not periods:
        st.caption("The ledger knows no champion of this model.")
        return
    if periods[-1].end is None:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.text(f"By the ledger version {periods[-1].version} serves now", width="content")
            trust_badge(model, periods[-1].version)
    if len(periods) > session.MOST_PERIODS:
        periods = periods[-session.MOST_PERIODS :]
        st.caption(f"The newest {session.MOST_PERIODS} changes; `signoff history` lists all.")
    figure = charts.champions(periods, datetime.now(UTC))
    st.plotly_chart(figure, config=charts.PLAIN, alt="Which version was champion when")
    _champion_at(model)


def integrity(model: str | None) -> None:
    service = session.desk()  # the export is made at a click, in a thread that is no page
    st.subheader("Integrity and export", anchor=False)
    may_write = widgets.writes_notice()
    with st.container(horizontal=True):
        st.button("Verify", icon=":material/verified:", on_click=_attempt, args=(_verify,))
        st.button("Reconcile", icon=":material/sync:", on_click=_attempt, args=(_reconcile,), disabled=not may_write)
        st.download_button(
            "Export as JSON",
            data=lambda: exported(service, model),
            file_name="ledger.json",
            mime="application/json",
            icon=":material/download:",
            on_click="ignore",
        )
    _verification()


def _verification() -> None:
    """What the last click found, or why it could not."""
    if FAILED in st.session_state:
        widgets.message(*st.session_state[FAILED], colour="red")
    if VERIFIED not in st.session_state:
        st.caption(
            "Verify checks the chain of events, the registry against it, and the files in use. "
            "Reconcile finishes what a crash left and records what moved by another way."
        )
        return
    events, problems = st.session_state[VERIFIED]
    if not problems:
        widgets.message("Clean", f"{words.count(events, 'event')}; the registry agrees with them.", colour="green")
        return
    text = "\n".join(f"{each.kind}: {each.model} {each.text}" for each in problems)
    widgets.message(words.count(len(problems), "problem"), text, colour="red")


def exported(service: GovernanceService, model: str | None) -> bytes:
    """The document of `signoff history MODEL --export`; of all models where none is chosen."""
    return "".join(service.export(model)).encode()


def _attempt(act: Callable[[], None]) -> None:
    """A click that cannot be done says why until one can; what an earlier one found may not hold any more."""
    try:
        act()
    except SignoffError as error:
        st.session_state.pop(VERIFIED, None)
        st.session_state[FAILED] = (widgets.title_of(error), str(error))
    else:
        st.session_state.pop(FAILED, None)


def _reconcile() -> None:
    """It writes to the ledger and finishes decisions in the registry: whoever may not decide may not do this."""
    session.signer()
    events = session.desk().reconcile()
    session.forget_reads()
    session.flash(f"{words.count(len(events), 'event')} recorded" if events else "Nothing to finish or record")


def _verify() -> None:
    st.session_state[VERIFIED] = (session.desk().ledger.count(), session.desk().verify())


def _champion_at(model: str) -> None:
    asked = st.datetime_input(
        "Who was champion at (UTC)",
        _this_minute(),
        key="at",
        bind="query-params",
        format="YYYY-MM-DD",
        step=60,
        width=260,
    )
    moment = session.desk().at(model, asked.replace(tzinfo=UTC))
    if not moment.known:
        st.text(f"{words.when(moment.at)}: {moment.unknown}")
        return
    who = "Nobody" if moment.champion is None else f"Version {moment.champion}"
    held = ", ".join(f"version {version} in {stage}" for version, stage in sorted(moment.stages.items()))
    st.text(f"{who} at {words.when(moment.at)}. Stages then: {held or 'none'}.")


def _this_minute() -> datetime:
    """The end of it, the same for the whole session: a default that moves would make a new field each minute."""
    now = datetime.now(UTC).replace(second=0, microsecond=0, tzinfo=None) + timedelta(minutes=1)
    first: datetime = st.session_state.setdefault("first_minute", now)
    return first


def _facts(line: Line) -> dict[str, object]:
    entry = line.entry
    warnings = line.fact("accepted_warnings")
    return {
        "When": words.when(entry.at) if entry.at else None,
        "Who": history_lines.who(entry),
        "Model": entry.model,
        "Version": entry.version,
        "Registered": words.moment(entry.created_at) or None,
        "Change": history_lines.change(entry),
        "Reason": entry.reason if entry.why else None,
        "Accepted warnings": ", ".join(map(str, warnings)) if warnings else None,
        "Evidence": entry.evidence,
        "Policy": line.fact("policy"),
        "Intent": f"event {line.intent.sequence}" if line.intent else None,
    }


def _result(gate: dict[str, Any]) -> str:
    if gate.get("passed"):
        return words.PASSED
    modes = {mode.value: word for mode, word in words.FAILED.items()}
    return modes.get(str(gate.get("mode")), words.FAILED[Mode.PREVENT])


def _seen_then(entry: Entry, digest: str, version: int) -> None:
    st.caption("What the approver saw, beside what is there now")
    try:
        then = json.loads(session.desk().evidence(digest))
        now = session.evidence(entry.model, version)
    except NotFound as error:
        widgets.message("Not there any more", str(error), colour="orange")
        return
    if then.get("created_at") != now.content["created_at"]:
        registered = words.moment(now.content["created_at"])
        text = f"The version was deleted; what has its number now was registered at {registered}."
        widgets.message("Not there any more", text, colour="orange")
        return
    table = compared(then, now.content)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _same_bytes(then.get("file_digest"), now.file_digest)
        trust_badge(entry.model, version)
    st.dataframe(
        table,
        hide_index=True,
        height=widgets.height_of(len(table)),
        column_config={
            "Result": st.column_config.MultiselectColumn(options=[SAME, CHANGED], color=["gray", "orange"], width=100),
            "Fact": st.column_config.TextColumn(width=220),
        },
        alt="Facts then and now",
    )


def _same_bytes(then: str | None, now: str | None) -> None:
    if then == now:
        st.badge("The files are those of the decision", icon=":material/check_circle:", color="green")
    else:
        st.badge("The files are not those of the decision", icon=":material/error:", color="red")
