"""The history as people read it: one row per decision, however many events it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.components import tables, widgets, words
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.record.history import UNREADABLE, Entry, Period
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import ARROW, change_of, sentence
from pipeline.governance.text import visible

OTHER, SIGNATURES, FINDINGS = "Other", "Signatures", "Findings"
KINDS: Mapping[str, tuple[EventType, ...]] = {
    "Decisions": (EventType.DECIDED, EventType.APPLIED, EventType.ABORTED),
    "Refusals": (EventType.DENIED,),
    "Changed outside": (EventType.OUT_OF_BAND, EventType.ADOPTED, EventType.REVERTED, EventType.CONFLICT),
    SIGNATURES: (
        EventType.REQUESTED,
        EventType.APPROVED,
        EventType.REJECTED,
        EventType.WITHDRAWN,
        EventType.OVERRIDDEN,
        EventType.ACKNOWLEDGED,
    ),
    "Comments": (EventType.COMMENTED,),
    FINDINGS: (EventType.FINDING_OPENED, EventType.FINDING_CLOSED),
    OTHER: (EventType.BASELINE, EventType.TAMPERING, EventType.TOKEN_ISSUED, EventType.TOKEN_REVOKED),
}
WORDS: Mapping[str, str] = {
    EventType.BASELINE: "· Taken over",
    EventType.DECIDED: "… Pending",
    EventType.APPLIED: "✓ Applied",
    EventType.ABORTED: "✕ Not applied",
    EventType.CONFLICT: "! Conflict",
    EventType.DENIED: "✕ Refused",
    EventType.OUT_OF_BAND: "! Changed outside",
    EventType.ADOPTED: "✓ Accepted",
    EventType.REVERTED: "✓ Undone",
    EventType.TAMPERING: "! Files changed",
    EventType.REQUESTED: "… Requested",
    EventType.APPROVED: "✓ Approved",
    EventType.REJECTED: "✕ Rejected",
    EventType.WITHDRAWN: "· Withdrawn",
    EventType.OVERRIDDEN: "! Overridden",
    EventType.ACKNOWLEDGED: "✓ Acknowledged",
    EventType.COMMENTED: "· Comment",
    EventType.REGISTERED: "· Registered",
    EventType.FINDING_OPENED: "! Finding",
    EventType.FINDING_CLOSED: "✓ Finding closed",
    EventType.TOKEN_ISSUED: "· Token made",
    EventType.TOKEN_REVOKED: "· Token revoked",
    UNREADABLE: "! Unreadable",
}
COLOURS: Mapping[str, widgets.Colour] = {"✓": "green", "✕": "red", "!": "orange", "…": "blue", "·": "gray"}
LONGEST_REASON = 300
DEEDS: Mapping[str, str] = {
    MoveKind.STAGING: "✓ To Staging",
    MoveKind.PRODUCTION: "✓ Promoted",
    MoveKind.ARCHIVED: "✓ Archived",
    MoveKind.NONE: "✓ Stage taken",
    MoveKind.ALIAS: "✓ Alias set",
    MoveKind.UNALIAS: "✓ Alias removed",
    MoveKind.ROLLBACK: "✓ Rolled back",
}


@dataclass(frozen=True)
class HistoryLine:
    """One row of the history."""

    entry: Entry  # the event; of a decision the one that ended it
    intent: Entry | None  # of a decision the event before it, which has the gates

    @property
    def gates(self) -> list[dict[str, Any]]:
        gates = (self.intent or self.entry).content.get("gates")
        return [each for each in gates if isinstance(each, dict)] if isinstance(gates, list) else []

    def fact(self, name: str) -> Any:  # noqa: ANN401 (whatever the event holds)
        """From the event, else from its intent."""
        found = self.entry.content.get(name)
        return found if found is not None or self.intent is None else self.intent.content.get(name)


def types_of(kinds: Sequence[str]) -> tuple[frozenset[str] | None, frozenset[str]]:
    """The event types that these kinds show (None: every type), and those among them that they do not show.

    Without kinds every type is shown. OTHER shows its own types and those that no kind names.
    """
    wanted = frozenset(each.value for kind in kinds for each in KINDS[kind])
    if not kinds:
        return None, frozenset()
    named = frozenset(each.value for types in KINDS.values() for each in types)
    return (None, named - wanted) if OTHER in kinds else (wanted, frozenset())


def table(found: Sequence[HistoryLine], *, models: bool = True) -> pd.DataFrame:
    """One row per event. models: whether there is a column with the model."""
    frame = pd.DataFrame(
        {
            "No.": [line.entry.number for line in found],
            "When": [line.entry.at and tables.utc(line.entry.at) for line in found],
            "Event": [[event_word(line.entry)] for line in found],
            "Model": [visible(line.entry.model) for line in found],
            "Who": [line.entry.signature or "" for line in found],
            "Change": [change(line.entry) for line in found],
            "Reason": [visible(line.entry.why or line.entry.reason or "", most=LONGEST_REASON) for line in found],
        }
    )
    return frame if models else frame.drop(columns="Model")


def event_word(entry: Entry) -> str:
    """What a decision did, where it was applied; else how it ended."""
    if entry.type is EventType.APPLIED:
        return DEEDS.get(entry.meaning or "", WORDS[EventType.APPLIED])
    return WORDS.get(entry.type, f"· {visible(entry.type.value)}")


def event_colours() -> dict[str, widgets.Colour]:
    return {word: COLOURS[word[0]] for word in (*WORDS.values(), *DEEDS.values())}


def change(entry: Entry) -> str:
    """Everything that an event changed, or what was asked for, on one line."""
    if entry.type is EventType.TAMPERING:
        now = (entry.content.get("subject") or {}).get("file_digest")
        recorded = words.digest(str(entry.content.get("recorded_digest")))
        return f"fingerprint of the files {recorded} {ARROW} {words.digest(str(now)) if now else 'gone'}"
    if entry.type in KINDS[FINDINGS]:
        return f"version {entry.version}"
    if entry.type in (EventType.DENIED, *KINDS[SIGNATURES]):
        version = "" if entry.version is None else f"version {entry.version} "
        asked = "asked" if "requested" not in entry.content else f"request {entry.content['requested']}"
        return f"{asked}: {version}{ARROW} {visible(entry.after or '')}"
    return change_of(entry)


def last_line(entry: Entry) -> str:
    """When it happened, who did what and what that changed, in one sentence."""
    found = ": ".join(filter(None, (sentence(entry), change(entry))))
    return ", ".join(filter(None, (words.when(entry.at) if entry.at else "", found)))


def since(champion: int, created_at: str, *, periods: Sequence[Period], entries: Sequence[Entry]) -> str:
    """Since when the champion serves and who made it champion, as markdown. created_at: when it was registered."""
    last = periods[-1] if periods and periods[-1].end is None else None
    if last is None or last.version != champion or last.created_at not in (None, created_at):
        return "Not set by this desk."
    made = next((entry for entry in entries if entry.sequence == last.sequence), None)
    start = words.when(last.start)
    if made is None or made.actor is None:
        return f"Champion since {start} or before: found when the desk took over."
    return f"Champion since {start}, by {words.label(made.actor)} ({str(made.established).replace('_', '-')})"
