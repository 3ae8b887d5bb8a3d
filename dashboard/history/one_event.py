"""One event in full: who did what, everything that it changed, and what the approver saw beside what is there now."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import pages, session
from dashboard.components import history_lines, tables, widgets, words
from dashboard.components.history_lines import HistoryLine
from dashboard.components.trust import trust_badge
from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.policy import Mode
from pipeline.governance.record.documents import DOCUMENTS, entry_of
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import EventType, canonical, digest_of
from pipeline.governance.record.telling import changes_text, sentence
from pipeline.governance.text import visible

# Content of the evidence that is compared by itself; metrics, tags and parameters are compared one by one.
FACTS = ("stage", "aliases", "status", "description", "file_digest", "run_id", "source")
GROUPS = ("metrics", "tags", "params")
SAME, DECIDED, CHANGED = "✓ Same", "✓ As decided", "! Changed"
MOST_NAMED = 5
MOST_CHANGES = 20


def event_in_full(line: HistoryLine) -> None:
    """Draws one event with its reason, its gates, and its evidence beside what the registry holds now."""
    with st.container(border=True, key="event"):
        told(line)
        entry = line.entry
        warnings = line.fact("accepted_warnings")
        widgets.facts(
            {
                "Who": entry.signature or "",
                "Model": entry.model,
                "Version": entry.version,
                "Registered": words.moment(entry.created_at) or None,
                "Accepted warnings": ", ".join(map(str, warnings)) if warnings else None,
                "Recorded as": f"events {entry.number} and {entry.sequence}" if line.intent else None,
            }
        )
        digests({"Evidence": entry.evidence, "Policy": line.fact("policy")})
        links(line)
        if line.gates:
            gates_then(line.gates)
        if entry.evidence and entry.version is not None:
            widgets.guarded(partial(evidence_then_and_now, entry, entry.evidence, entry.version), "evidence")


def told(line: HistoryLine) -> None:
    """When, who, what, every change, and why: what happened, for somebody who reads nothing else."""
    entry = line.entry
    decided = line.intent is not None or entry.type is EventType.DECIDED
    word = history_lines.event_word(entry)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(f"{'Decision' if decided else 'Event'} {entry.number}", anchor=False, width="content")
        st.badge(word[2:], color=history_lines.event_colours().get(word, "gray"))
    when = f"{words.to_the_second(entry.at)}: " if entry.at else ""
    st.text(f"{when}{sentence(entry)}.")
    changes = changes_text(entry.type, entry.moved, most=MOST_CHANGES)
    shown = changes.split("; ") if changes else [history_lines.change(entry)]
    if text := "\n".join(f"•  {each}" for each in shown if each):
        st.text(text)
    if entry.why:
        st.text(f"Why it was refused: {entry.why}" if entry.type is EventType.DENIED else entry.why)
    if entry.reason:
        st.text(f"Reason: {entry.reason}")


def digests(found: Mapping[str, str | None]) -> None:
    """Each by its beginning, which opens all of it to be copied."""
    shown = {name: digest for name, digest in found.items() if digest}
    if shown:
        with st.container(horizontal=True):
            for name, digest in shown.items():
                with st.popover(f"{name} {words.label(words.digest(digest))}", icon=":material/fingerprint:"):
                    st.code(visible(digest), language=None, wrap_lines=True)


def links(line: HistoryLine) -> None:
    """To the version, and to the comparison with the champion that it was held against."""
    entry, incumbent = line.entry, (line.fact("incumbent") or {}).get("version")
    if entry.version is None:
        return
    with st.container(horizontal=True):
        pages.link_review(f"Version {entry.version}", entry.model, entry.version)
        if isinstance(incumbent, int) and incumbent != entry.version:
            pages.link_compare(f"Compare with version {incumbent}", entry.model, [incumbent, entry.version])


def gates_then(found: Sequence[Mapping[str, Any]]) -> None:
    """What failed at that time in a table, what passed folded below it."""
    rows = [{**gate, "result": _result(gate)} for gate in found]
    failed = [row for row in rows if row["result"] != words.PASSED]
    passed = [row for row in rows if row["result"] == words.PASSED]
    st.caption("Gates at that time")
    if failed:
        widgets.gates_table(tables.gate_rows(failed), "gates_failed_then")
    with st.expander(f"{len(passed):,} of {len(rows):,} passed"):
        widgets.gates_table(tables.gate_rows(passed), "gates_then")


def _result(gate: Mapping[str, Any]) -> str:
    if gate.get("passed"):
        return words.PASSED
    modes = {mode.value: word for mode, word in words.FAILED.items()}
    return modes.get(str(gate.get("mode")), words.FAILED[Mode.PREVENT])


def evidence_then_and_now(entry: Entry, digest: str, version: int) -> None:
    st.caption("What the approver saw, beside what is there now")
    then: dict[str, Any] | None = None
    try:
        then = json.loads(session.desk().evidence(digest))
        now = session.evidence(entry.model, version)
    except NotFound as error:
        widgets.message("Not there any more", str(error), colour="orange")
        return
    except Unavailable:
        if then is None:  # the ledger itself does not answer
            raise
        st.text("The registry does not answer: this is what the approver saw, with nothing beside it.")
        _facts_table(then_and_now(then, {})[["Fact", "Then"]], "What the approver saw")
        return
    if then.get("created_at") != now.content["created_at"]:
        registered = words.moment(now.content["created_at"])
        text = f"The version was deleted; what has its number now was registered at {registered}."
        widgets.message("Not there any more", text, colour="orange")
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if then.get("file_digest") == now.file_digest:
            st.badge("The files are those of the decision", icon=":material/check_circle:", color="green")
        else:
            st.badge("The files are not those of the decision", icon=":material/error:", color="red")
        trust_badge(entry.model, version)
    table = then_and_now(then, now.content, expected=after_decision(then, entry))
    differs = table["Result"].map(lambda result: result != [SAME])
    st.text(_summary(table["Fact"][differs].tolist(), len(table)))
    if differs.any():
        _facts_table(table[differs], "What is different now")
    with st.expander(f"The same now as then: {words.count(int((~differs).sum()), 'fact')}"):
        _facts_table(table[~differs], "What is the same now as then")


def _summary(changed: list[str], all_facts: int) -> str:
    if not changed:
        return f"All {all_facts:,} facts are as the approver saw them."
    named = ", ".join(changed[:MOST_NAMED]) + (f" and {len(changed) - MOST_NAMED} more" if changed[MOST_NAMED:] else "")
    differ = "is" if len(changed) == 1 else "are"
    return f"{len(changed):,} of {words.count(all_facts, 'fact')} {differ} different now: {named}."


def _facts_table(table: pd.DataFrame, alt: str) -> None:
    st.dataframe(
        table,
        hide_index=True,
        height=widgets.height_of(len(table)),
        column_config={
            "Result": st.column_config.MultiselectColumn(
                options=[SAME, DECIDED, CHANGED], color=["gray", "green", "orange"], width=120
            ),
            "Fact": st.column_config.TextColumn(width=220),
        },
        alt=alt,
    )


def after_decision(then: Mapping[str, Any], entry: Entry) -> Mapping[str, Any]:
    """Stage and aliases of the version as the decision left them."""
    own, aliases, stage = str(entry.version), set(then.get("aliases") or []), then.get("stage")
    for change in entry.changes:
        if change.slot.kind == "stage" and change.slot.name == own:
            stage = change.to
        elif change.slot.kind == "alias" and own in (change.to, change.expected):
            (aliases.add if change.to == own else aliases.discard)(change.slot.name)
    return {"stage": stage, "aliases": sorted(aliases)}


def then_and_now(
    then: Mapping[str, Any], now: Mapping[str, Any], *, expected: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """One line per fact, metric, tag, parameter, document and file of either evidence; the changed ones first.

    expected: facts as the decision itself left them.
    """
    before, after, decided = _flat(then), _flat(now), expected or {}
    names = [*before, *(name for name in after if name not in before)]
    changed = {name: before.get(name) != after.get(name) for name in names}
    as_decided = {name for name, value in decided.items() if value == after.get(name)}
    results = {name: (DECIDED if name in as_decided else CHANGED) if changed[name] else SAME for name in names}
    order = sorted(names, key=lambda name: not changed[name])
    return pd.DataFrame(
        {
            "Result": [[results[name]] for name in order],
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
