"""The table of the ledger's events, page by page, and one event in full: what the approver saw, and what is there now.

The address names the page (`before`: only events below this number) and the event that is open (`event`).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import session
from dashboard.components import charts, history_lines, tables, widgets, words
from dashboard.components.charts import LEAST_PIXELS, ROW_PIXELS, framed
from dashboard.components.history_lines import HistoryLine
from dashboard.components.trust import trust_badge
from pipeline.governance.documents import DOCUMENTS, entry_of
from pipeline.governance.errors import NotFound
from pipeline.governance.history import Entry, Period
from pipeline.governance.ledger import EventType, canonical, digest_of
from pipeline.governance.policy import Mode
from pipeline.governance.record import HistoryPage

EVENT, BEFORE = "event", "before"  # in the address
MOST_DIGITS = 18  # a number with more is no event of any database

# Content of the evidence that is compared by itself; metrics, tags and parameters are compared one by one.
FACTS = ("stage", "aliases", "status", "description", "file_digest", "run_id", "source")
GROUPS = ("metrics", "tags", "params")
SAME, CHANGED = "✓ Same", "! Changed"


def events_page(model: str | None, kinds: Sequence[str]) -> HistoryPage:
    """The page that the address names; where it names only an event, and an older one, the page of that event."""
    only, without = history_lines.types_of(kinds)
    before = _number_in_address(BEFORE)
    page = session.history_page(model, before=before, only=only, without=without)
    event = _last_event_of(_number_in_address(EVENT))
    if before is None and event is not None and page.older is not None and event < page.older:
        st.query_params[BEFORE] = str(event + 1)
        return session.history_page(model, before=event + 1, only=only, without=without)
    return page


def _last_event_of(number: int | None) -> int | None:
    """The event with which the line of this number stands in the table: of a decision the one that ended it."""
    line = None if number is None else session.decision(number)
    return line[0].sequence if line else number


def _number_in_address(name: str) -> int | None:
    """None where the address has no number there that an event could have."""
    text = st.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MOST_DIGITS else None


def links_to_other_pages(page: HistoryPage) -> None:
    with st.container(horizontal=True):
        if BEFORE in st.query_params:
            st.button("Newest", icon=":material/first_page:", on_click=_open_page, args=(None,))
        if page.older is not None:
            st.button("Older", icon=":material/chevron_right:", on_click=_open_page, args=(page.older,))


def _open_page(before: int | None) -> None:
    st.query_params.pop(EVENT, None)
    st.query_params.pop(BEFORE, None)
    if before is not None:
        st.query_params[BEFORE] = str(before)


def events_table(found: Sequence[HistoryLine], model: str | None, kinds: Sequence[str]) -> HistoryLine | None:
    """Draws the events and returns the one that is selected; the address may select it by its number."""
    asked = _row_of(_number_in_address(EVENT), found)
    colours = history_lines.event_colours()
    table = st.dataframe(
        history_lines.table(found, models=model is None),
        hide_index=True,
        height=widgets.height_of(len(found)),
        key=f"history/{model}/{'/'.join(kinds)}/{st.query_params.get(BEFORE, '')}",
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
    rows = table.selection.rows
    if not rows or rows[0] >= len(found):
        st.query_params.pop(EVENT, None)
        st.caption("Select a row to see the gates and the evidence of that time.")
        return None
    selected = found[rows[0]]
    st.query_params[EVENT] = str(selected.entry.number)
    return selected


def _row_of(number: int | None, found: Sequence[HistoryLine]) -> int | None:
    """A decision is found by its number, and by that of its last event, which older addresses have."""
    numbers = ((row, (line.entry.number, line.entry.sequence)) for row, line in enumerate(found))
    return next((row for row, either in numbers if number in either), None)


def event_in_full(line: HistoryLine) -> None:
    """Draws one event with its reason, its gates, and its evidence beside what the registry holds now."""
    entry = line.entry
    with st.container(border=True, key="event"):
        st.subheader(f"{_numbered(line)}: {history_lines.event_word(entry)[2:].lower()}", anchor=False)
        if text := entry.why or entry.reason:
            st.text(text)
        warnings = line.fact("accepted_warnings")
        widgets.facts(
            {
                "When": words.when(entry.at) if entry.at else None,
                "Who": entry.signature or "",
                "Model": entry.model,
                "Version": entry.version,
                "Registered": words.moment(entry.created_at) or None,
                "Change": history_lines.change(entry),
                "Reason": entry.reason if entry.why else None,
                "Accepted warnings": ", ".join(map(str, warnings)) if warnings else None,
                "Evidence": entry.evidence,
                "Policy": line.fact("policy"),
                "Recorded as": f"events {entry.number} and {entry.sequence}" if line.intent else None,
            }
        )
        if line.gates:
            st.caption("Gates at that time")
            rows = ({**gate, "result": _result(gate)} for gate in line.gates)
            widgets.gates_table(tables.gate_rows(rows), "gates_then")
        if entry.evidence and entry.version is not None:
            _evidence_then_and_now(entry, entry.evidence, entry.version)


def _numbered(line: HistoryLine) -> str:
    """An event with its number; a decision has the one that its receipt, its tags and the command line name."""
    decided = line.intent is not None or line.entry.type is EventType.DECIDED
    return f"{'Decision' if decided else 'Event'} {line.entry.number}"


def _result(gate: dict[str, Any]) -> str:
    if gate.get("passed"):
        return words.PASSED
    modes = {mode.value: word for mode, word in words.FAILED.items()}
    return modes.get(str(gate.get("mode")), words.FAILED[Mode.PREVENT])


def _evidence_then_and_now(entry: Entry, digest: str, version: int) -> None:
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
    table = then_and_now(then, now.content)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if then.get("file_digest") == now.file_digest:
            st.badge("The files are those of the decision", icon=":material/check_circle:", color="green")
        else:
            st.badge("The files are not those of the decision", icon=":material/error:", color="red")
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


def then_and_now(then: Mapping[str, Any], now: Mapping[str, Any]) -> pd.DataFrame:
    """One line per fact, metric, tag, parameter, document and file of either evidence; the changed ones first."""
    before, after = _flat(then), _flat(now)
    names = [*before, *(name for name in after if name not in before)]
    changed = {name: before.get(name) != after.get(name) for name in names}
    order = sorted(names, key=lambda name: not changed[name])
    return pd.DataFrame(
        {
            "Result": [[CHANGED if changed[name] else SAME] for name in order],
            "Fact": [tables.cell(name) for name in order],
            "Then": [_cell(before.get(name), after.get(name)) for name in order],
            "Now": [_cell(after.get(name), before.get(name)) for name in order],
        }
    )


def _flat(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of evidence by names without levels."""
    found = {name: content.get(name) for name in FACTS}
    for group in GROUPS:
        values = entry_of(content, group)
        found |= {f"{group[:-1]} {key}": values[key] for key in sorted(values)}
    for name in ("signature", *DOCUMENTS):  # each too large for a cell: equal parts have the same digest
        part = content.get(name)
        found[name.replace("_", " ")] = None if part is None else words.digest(digest_of(canonical({"part": part})))
    found["gaps"] = [str(gap.get("text")) for gap in content.get("gaps") or ()]
    return found | {f"file {file['path']}": words.digest(file["sha256"]) for file in content.get("files") or ()}


def _cell(value: object, other: object) -> str:
    """A number with four digits, or with all of them where the other value differs only behind the fourth."""
    if isinstance(value, list):
        return tables.cell(", ".join(map(str, value)))
    if not isinstance(value, float):
        return tables.cell(value)
    equal = isinstance(other, float) and value != other and words.number(value) == words.number(other)
    return repr(value) if equal else words.number(value)


# Which version was champion when, by the ledger: a chart of the newest changes, and the champion at a chosen time.


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
    figure = timeline(periods, datetime.now(UTC))
    st.plotly_chart(figure, config=charts.PLAIN, alt="Which version was champion when")
    _champion_at(model)


def timeline(periods: Sequence[Period], now: datetime) -> go.Figure:
    """One bar per period as champion; the present period ends at `now`, the right edge."""
    ends = [period.end or max(now, period.start) for period in periods]  # a clock may have been set back
    names = _names(periods)
    bars = go.Bar(
        y=names,
        base=[period.start.isoformat() for period in periods],
        x=[(end - period.start).total_seconds() * 1000 for period, end in zip(periods, ends, strict=True)],
        orientation="h",
        width=0.5,
        hovertemplate=[_tooltip(period) for period in periods],
    )
    rows = len(set(names))
    figure = framed(go.Figure(bars), height=max(LEAST_PIXELS, ROW_PIXELS * rows + 50))
    figure.update_xaxes(type="date", title=None)
    return figure.update_yaxes(type="category")


def _names(periods: Sequence[Period]) -> list[str]:
    """Names of the versions, with the time of registration where a number was given to two versions in turn."""
    versions = {(each.version, each.created_at) for each in periods if each.created_at}
    registrations = Counter(version for version, _ in versions)
    return [
        f"Version {each.version}" + (f" of {words.moment(each.created_at)}" if registrations[each.version] > 1 else "")
        for each in periods
    ]


def _tooltip(period: Period) -> str:
    end = f"{period.end:%Y-%m-%d %H:%M} UTC" if period.end else "now"
    return f"Version {period.version}<br>{period.start:%Y-%m-%d %H:%M} UTC to {end}<extra></extra>"


def _champion_at(model: str) -> None:
    """Answers who was champion at a time that the visitor chooses, with the stages of all versions then."""
    chosen = st.datetime_input(
        "Who was champion at (UTC)",
        _end_of_first_minute(),
        key="at",
        bind="query-params",
        format="YYYY-MM-DD",
        step=60,
        width=260,
    )
    then = session.desk().at(model, chosen.replace(tzinfo=UTC))
    if not then.known:
        st.text(f"{words.when(then.at)}: {then.unknown}")
        return
    who = "Nobody" if then.champion is None else f"Version {then.champion}"
    stages = ", ".join(f"version {version} in {stage}" for version, stage in sorted(then.stages.items()))
    st.text(f"{who} at {words.when(then.at)}. Stages then: {stages or 'none'}.")


def _end_of_first_minute() -> datetime:
    """The end of the minute in which the session first asked: a default that moves would make a new field each time."""
    now = datetime.now(UTC).replace(second=0, microsecond=0, tzinfo=None) + timedelta(minutes=1)
    first: datetime = st.session_state.setdefault("first_minute", now)
    return first
