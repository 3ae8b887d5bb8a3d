"""The parts of the history page below its table: one event in full, champions over time, verification."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import session
from dashboard.components import charts, history_lines, tables, widgets, words
from dashboard.components.history_lines import HistoryLine
from dashboard.components.trust import trust_badge
from pipeline.governance.documents import DOCUMENTS, entry_of
from pipeline.governance.errors import NotFound, SignoffError
from pipeline.governance.history import Entry
from pipeline.governance.ledger import canonical, digest_of
from pipeline.governance.policy import Mode
from pipeline.governance.service import GovernanceService

# What an approver saw beside what is there now.

FACTS = ("stage", "aliases", "status", "description", "file_digest", "run_id", "source")
GROUPS = ("metrics", "tags", "params")
SAME, CHANGED = "✓ Same", "! Changed"


def compared(then: Mapping[str, Any], now: Mapping[str, Any]) -> pd.DataFrame:
    """One line per fact, metric, tag, parameter, document and file of either side; the changed ones first."""
    before, after = _flat(then), _flat(now)
    names = [*before, *(name for name in after if name not in before)]
    changed = {name: before.get(name) != after.get(name) for name in names}
    order = sorted(names, key=lambda name: not changed[name])
    return pd.DataFrame(
        {
            "Result": [[CHANGED if changed[name] else SAME] for name in order],
            "Fact": [tables.cell(name) for name in order],
            "Then": [_shown(before.get(name), after.get(name)) for name in order],
            "Now": [_shown(after.get(name), before.get(name)) for name in order],
        }
    )


def _shown(value: object, other: object) -> str:
    """Four digits, unless the difference lies behind them."""
    if isinstance(value, list):
        return tables.cell(", ".join(map(str, value)))
    if not isinstance(value, float):
        return tables.cell(value)
    equal = isinstance(other, float) and value != other and words.number(value) == words.number(other)
    return repr(value) if equal else words.number(value)


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: content.get(name) for name in FACTS}
    for group in GROUPS:
        held = entry_of(content, group)
        found |= {f"{group[:-1]} {key}": held[key] for key in sorted(held)}
    found |= {name.replace("_", " "): _digest(content.get(name)) for name in ("signature", *DOCUMENTS)}
    found["gaps"] = [str(gap.get("text")) for gap in content.get("gaps") or ()]
    return found | {f"file {file['path']}": words.digest(file["sha256"]) for file in content.get("files") or ()}


def _digest(part: object) -> str | None:
    """Of a part too large for a cell: equal ones are the same."""
    return None if part is None else words.digest(digest_of(canonical({"part": part})))


VERIFIED, FAILED = "verified", "failed"


def event_detail(line: HistoryLine) -> None:
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


def _facts(line: HistoryLine) -> dict[str, object]:
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


# The table of events, and which of them is open: the address says it.

EVENT = "event"


def events_table(found: Sequence[HistoryLine], model: str | None, kinds: Sequence[str]) -> HistoryLine | None:
    """The selected line; the address may name it by its number."""
    by_number = {str(line.entry.sequence): index for index, line in enumerate(found)}
    asked = by_number.get(st.query_params.get(EVENT, ""))
    colours = history_lines.event_colours()
    event = st.dataframe(
        history_lines.table(found, models=model is None),
        hide_index=True,
        height=widgets.height_of(len(found)),
        key=f"history/{model}/{'/'.join(kinds)}/{st.query_params.get('before', '')}",
        on_select="rerun",
        selection_mode="single-row",
        selection_default=None if asked is None else {"selection": {"rows": [asked]}},
        column_config={
            "No.": st.column_config.NumberColumn(format="%d", width=55),
            "Event": st.column_config.MultiselectColumn(options=list(colours), color=list(colours.values()), width=125),
            "Version": st.column_config.NumberColumn(format="%d", width=70),
            **widgets.times("When"),
        },
        placeholder=words.NOTHING,
        alt="Events, newest first",
    )
    return _opened(found, event.selection.rows)


def _opened(found: Sequence[HistoryLine], rows: Sequence[int]) -> HistoryLine | None:
    if not rows or rows[0] >= len(found):
        st.query_params.pop(EVENT, None)
        st.caption("Select a row to see the gates and the evidence of that time.")
        return None
    st.query_params[EVENT] = str(found[rows[0]].entry.sequence)
    return found[rows[0]]
