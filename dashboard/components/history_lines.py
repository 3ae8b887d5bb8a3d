"""The history as people read it: one row per decision, however many events it took."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from dashboard.components import tables, words
from pipeline.governance.history import UNREADABLE, Entry, Period
from pipeline.governance.ledger import EventType, SlotChange
from pipeline.governance.text import visible

OTHER = "Other"
KINDS: Mapping[str, tuple[EventType, ...]] = {
    "Decisions": (EventType.DECIDED, EventType.APPLIED, EventType.ABORTED),
    "Refusals": (EventType.DENIED,),
    "Out-of-band": (EventType.OUT_OF_BAND, EventType.ADOPTED, EventType.REVERTED, EventType.CONFLICT),
    OTHER: (EventType.BASELINE, EventType.TAMPERING),
}
WORDS: Mapping[str, str] = {
    EventType.BASELINE: "· Taken over",
    EventType.DECIDED: "… Pending",
    EventType.APPLIED: "✓ Applied",
    EventType.ABORTED: "✕ Not applied",
    EventType.CONFLICT: "! Conflict",
    EventType.DENIED: "✕ Refused",
    EventType.OUT_OF_BAND: "! Out-of-band",
    EventType.ADOPTED: "✓ Adopted",
    EventType.REVERTED: "✓ Reverted",
    EventType.TAMPERING: "! Files changed",
    UNREADABLE: "! Unreadable",
}
COLOURS = {"✓": "green", "✕": "red", "!": "orange", "…": "blue", "·": "gray"}
LONGEST_REASON = 300
UNSET = "unset"  # an alias that is on no version, a version that is not there


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
            "Version": pd.array([line.entry.version for line in found], dtype="Int64"),
            "Change": [change(line.entry) for line in found],
            "Who": [line.entry.signature or "" for line in found],
            "Reason": [visible(line.entry.why or line.entry.reason or "", most=LONGEST_REASON) for line in found],
        }
    )
    return frame if models else frame.drop(columns="Model")


def event_word(entry: Entry) -> str:
    if entry.type is EventType.APPLIED and entry.meaning == "rollback":
        return "✓ Rolled back"
    return WORDS.get(entry.type, f"· {visible(entry.type.value)}")


def event_colours() -> dict[str, str]:
    known = [*WORDS.values(), "✓ Rolled back"]
    return {word: COLOURS[word[0]] for word in known}


def change(entry: Entry) -> str:
    """What an event changed, as "before → after"; an out-of-band event may list several aliases and stages."""
    if entry.type in (EventType.OUT_OF_BAND, EventType.ADOPTED, EventType.REVERTED):
        return ", ".join(_slot(each, entry.type) for each in entry.changes)
    if entry.type is EventType.TAMPERING:
        now = (entry.content.get("subject") or {}).get("file_digest")
        recorded = words.digest(str(entry.content.get("recorded_digest")))
        return f"{recorded} → {words.digest(str(now)) if now else 'gone'}"
    if entry.type is EventType.BASELINE:
        return words.count(len(entry.changes), "alias or stage", "aliases and stages") + " as found"
    before = visible(entry.before or "")
    after = visible(entry.after or "")
    slot = f"{visible(entry.slot)}: " if entry.slot and entry.slot.startswith("@") else ""
    return f"{slot}{before or UNSET} → {after or UNSET}" if entry.slot else (after and f"→ {after}")


def last_line(entry: Entry) -> str:
    """When it happened, what was changed and by whom, in one sentence."""
    found = [words.when(entry.at) if entry.at else "", event_word(entry)[2:]]
    if entry.version is not None:
        found.append(f"version {entry.version}")
    return ", ".join(each for each in (*found, change(entry), entry.signature) if each)


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


def _slot(each: SlotChange, event: str) -> str:
    after = each.observed if event is EventType.OUT_OF_BAND else each.to
    return f"{visible(each.slot.label)}: {each.expected or UNSET} → {after or UNSET}"
