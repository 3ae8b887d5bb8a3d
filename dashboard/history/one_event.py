"""One event in full: who did what, everything that it changed, and what the approver saw beside what is there now."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import streamlit as st

from dashboard import caching, pages, session
from dashboard.components import history_lines, tables, widgets, words
from dashboard.components.history_lines import HistoryLine
from dashboard.history.then_and_now import evidence_then_and_now
from pipeline import evidence_pack
from pipeline.governance.errors import Blocked, WarningsNotAccepted
from pipeline.governance.policy import Mode
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import change_or_wish, changes_text, event_word, sentence, word_for_reason
from pipeline.governance.record.telling import told as told_of
from pipeline.governance.rules.gate_words import label_of
from pipeline.governance.service import GovernanceService

MOST_CHANGES = 20
GATES_NOT_PASSED = {Blocked.__name__, WarningsNotAccepted.__name__}  # refusals that name their gates


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
                "Accepted warnings": labels(warnings),
                **signed(line),
                "Recorded as": f"events {entry.number} and {entry.sequence}" if line.intent else None,
            }
        )
        widgets.digests({"Evidence": entry.evidence, "Policy": line.fact("policy"), **alarm(entry)})
        links(line)
        widgets.guarded(partial(story, entry), "story")
        if line.gates:
            gates_then(line.gates)
        if entry.evidence and entry.version is not None:
            widgets.guarded(partial(evidence_then_and_now, entry, entry.evidence, entry.version), "evidence")


def told(line: HistoryLine) -> None:
    """When, who, what, every change, and why: what happened, for somebody who reads nothing else."""
    entry = line.entry
    decided = line.intent is not None or entry.type is EventType.DECIDED
    word = event_word(entry)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(f"{'Decision' if decided else 'Event'} {entry.number}", anchor=False, width="content")
        st.badge(word[2:], color=history_lines.event_colours().get(word, "gray"))
    when = f"{words.to_the_second(entry.at)}: " if entry.at else ""
    st.text(f"{when}{sentence(entry)}.")
    changes = changes_text(entry.type, entry.moved, most=MOST_CHANGES)
    shown = changes.split("; ") if changes else [change_or_wish(entry)]
    if text := "\n".join(f"•  {each}" for each in shown if each):
        st.text(text)
    if entry.why:
        st.text(f"{_word_for_why(entry)}{entry.why}")
    if entry.reason:
        st.text(f"{word_for_reason(entry)}: {entry.reason}")


def _word_for_why(entry: Entry) -> str:
    if entry.type is not EventType.DENIED:
        return ""
    return "Gates not passed: " if entry.content.get("refusal") in GATES_NOT_PASSED else "Why it was refused: "


def signed(line: HistoryLine) -> dict[str, str | None]:
    """What a signature and an override say beside their reason."""
    attested, opened = line.fact("attested") or {}, line.fact("opened") or []
    panels = (f"{each['panel']} at {words.moment(each['at'])}" for each in opened)
    return {
        "Confirmed": " ".join(map(str, attested.values())) or None,
        "Had opened": ", ".join(panels) or None,
        "Gates not passed": labels(line.fact("skipped")),
        "Registered by": "not known" if line.fact("registrar_known") is False else None,
        "Expires": words.moment(line.fact("expires_at")) or None,
    }


def labels(gates: Sequence[object] | None) -> str | None:
    """What people read of gates, from their names; None of none."""
    return ", ".join(label_of(str(each)) for each in gates or ()) or None


def alarm(entry: Entry) -> dict[str, str | None]:
    """Of an alarm the fingerprints of the files that were recorded, and of those that were found."""
    if entry.type is not EventType.TAMPERING:
        return {}
    found = (entry.content.get("subject") or {}).get("file_digest")
    return {"Files recorded": entry.content.get("recorded_digest"), "Files found": found}


def story(entry: Entry) -> None:
    """The request or override that an event belongs to, from the beginning; nothing where it is the only event."""
    found = story_of(entry.sequence)
    if len(found) > 1:
        first = found[0]
        name = "Override" if first.type is EventType.OVERRIDDEN else "Request"
        st.caption(f"{name} {first.sequence} from the beginning")
        for each in found:
            st.text(told_of(each))


@caching.fresh()
def story_of(number: int) -> tuple[Entry, ...]:
    """See service.story."""
    return tuple(session.desk().story(number))


def links(line: HistoryLine) -> None:
    """To the version, to the comparison with the champion that it was held against, and to all of it as a zip."""
    entry, incumbent = line.entry, (line.fact("incumbent") or {}).get("version")
    with st.container(horizontal=True, vertical_alignment="center"):
        if entry.version is not None:
            pages.link_review(f"Version {entry.version}", entry.model, entry.version)
            if isinstance(incumbent, int) and incumbent != entry.version:
                pages.link_compare(f"Compare with version {incumbent}", entry.model, [incumbent, entry.version])
        service = session.desk()  # the zip is made at a click, in a thread that belongs to no page
        st.download_button(
            "Evidence pack",
            data=partial(packed, service, entry.number),
            file_name=evidence_pack.file_name(entry.number),
            mime="application/zip",
            icon=":material/folder_zip:",
            on_click="ignore",
            help="Everything recorded about this, as a zip that is checked without Signoff, by python verify.py",
        )


def packed(service: GovernanceService, number: int) -> bytes:
    """The zip of `signoff export`."""
    with evidence_pack.evidence_pack(service, number) as file:
        return file.read()


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
