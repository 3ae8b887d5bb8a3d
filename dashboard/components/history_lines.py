"""The history as people read it: one row per decision, however many events it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.components import tables, widgets, words
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.record.history import Entry, Period
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import (
    DEED_WORDS,
    EVENT_WORDS,
    FINDING,
    SIGNING,
    change_or_wish,
    event_word,
    sentence,
    word_for_reason,
)
from pipeline.governance.text import visible

OTHER, SIGNATURES, FINDINGS = "Other", "Signatures", "Findings"
KINDS: Mapping[str, tuple[EventType, ...]] = {
    "Decisions": (EventType.DECIDED, EventType.APPLIED, EventType.ABORTED),
    "Refusals": (EventType.DENIED,),
    "Changed outside": (EventType.OUT_OF_BAND, EventType.ADOPTED, EventType.REVERTED, EventType.CONFLICT),
    SIGNATURES: SIGNING,
    "Comments": (EventType.COMMENTED,),
    FINDINGS: FINDING,
    OTHER: (EventType.BASELINE, EventType.TAMPERING, EventType.TOKEN_ISSUED, EventType.TOKEN_REVOKED),
}
COLOURS: Mapping[str, widgets.Colour] = {"✓": "green", "✕": "red", "!": "orange", "…": "blue", "·": "gray"}
LONGEST_REASON = 300


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
            "Who": [line.entry.signature or "" for line in found],
            "Event": [[event_word(line.entry)] for line in found],
            "Model": [visible(line.entry.model) for line in found],
            "Change": [change_or_wish(line.entry) for line in found],
            "Reason": [visible(_why(line.entry), most=LONGEST_REASON) for line in found],
        }
    )
    return frame if models else frame.drop(columns="Model")


def _why(entry: Entry) -> str:
    """Why somebody did it, or why it was refused or cannot be read."""
    if entry.type is EventType.DENIED and entry.why:
        return f"Refused: {entry.why}"
    return entry.why or entry.reason or ""


def event_colours() -> dict[str, widgets.Colour]:
    return {word: COLOURS[word[0]] for word in (*EVENT_WORDS.values(), *DEED_WORDS.values())}


def last_line(entry: Entry) -> str:
    """When it happened, who did what, what that changed and why."""
    found = ": ".join(filter(None, (sentence(entry), change_or_wish(entry))))
    why = f"{word_for_reason(entry)}: {visible(entry.reason, most=LONGEST_REASON)}" if entry.reason else ""
    return " · ".join(filter(None, (words.when(entry.at) if entry.at else "", found, why)))


def since(champion: int, created_at: str, *, periods: Sequence[Period], entries: Sequence[Entry]) -> str:
    """Since when the champion serves and who made it champion, as markdown. created_at: when it was registered."""
    last = periods[-1] if periods and periods[-1].end is None else None
    if last is None or last.version != champion or last.created_at not in (None, created_at):
        return "Champion, not set by this desk."
    made = next((entry for entry in entries if entry.sequence == last.sequence), None)
    start = words.when(last.start)
    if made is None or made.actor is None:
        return f"Champion since {start} or before: found when the desk took over."
    who = f"{words.label(made.name or made.actor)} ({str(made.established).replace('_', '-')})"
    if made.meaning == MoveKind.ROLLBACK:
        return f"Champion again since {start}: {who} rolled back to it"
    return f"Champion since {start}, by {who}"
