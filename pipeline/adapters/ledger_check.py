"""What `verify` looks at in a stored ledger: links, copies, slots, evidence and checkpoints."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.adapters.sql_tables import EVENTS, UNREADABLE
from pipeline.governance.ledger import FIRST_HASH, Event, EventType, SlotState, fold, link_problems
from pipeline.governance.lifecycle import Slot
from pipeline.governance.standing import ChampionRow, Mark, Standing

COPIES = ("type", "model", "decision", "key")
UNKEPT = 1  # of the applied decisions: a crash may come between the end of one and its checkpoint
CHECKED = tuple(EVENTS.c[name] for name in ("sequence", "previous_hash", "hash", "body", *COPIES))


class ChainCheck:
    """Sees every event once, in order, and keeps what is wrong.

    Its memory grows with slots, versions and champions, not with events.
    """

    def __init__(self, checkpoints: Mapping[int, str]) -> None:
        self._checkpoints = checkpoints
        self._after = (0, FIRST_HASH)
        self._slots: dict[Slot, SlotState] = {}
        self._quoted: dict[str, int] = {}
        self._standing = Standing()
        self._applied = 0
        self._problems: list[str] = []

    def look(self, row: Sequence[Any]) -> None:
        """One row, as CHECKED orders the columns."""
        sequence, previous_hash, stored_hash, body, *copies = row
        self._problems += link_problems(sequence, previous_hash, stored_hash, body=body, after=self._after)
        self._after = (self._after[0] + 1, stored_hash)
        if self._checkpoints.get(sequence, stored_hash) != stored_hash:
            self._problems.append(f"event {sequence}: differs from its checkpoint")
        try:
            event = Event.from_body(body)
            self._standing.follow(event, sequence)
        except UNREADABLE:
            self._problems.append(f"event {sequence}: cannot be read")
            return
        if copies != [event.type.value, event.model, event.decision, event.key]:
            self._problems.append(f"event {sequence}: its columns differ from its body")
        self._applied += event.type is EventType.APPLIED
        for change in event.changes:
            before = self._slots.get(change.slot) or SlotState.initial(change.slot)
            self._slots[change.slot] = fold(before, event, change)
        if quoted := event.content.get("evidence"):
            self._quoted.setdefault(quoted, sequence)

    def problems(self, held: Mapping[Slot, SlotState]) -> Iterator[str]:
        """Of the events; `held` are the slots as the ledger keeps them."""
        yield from self._problems
        if not self._checkpoints and self._applied > UNKEPT:
            yield f"checkpoint file: is gone, or holds nothing of this registry, after {self._applied} decisions"
        for sequence in sorted(set(self._checkpoints)):
            if sequence > self._after[0]:
                yield f"event {sequence}: is in a checkpoint and was cut off"
        for slot in sorted({*self._slots, *held}):
            if self._slots.get(slot) != held.get(slot):
                yield f"slot {slot.label} of {slot.model!r}: is not what replaying the events gives"

    def standing_problems(
        self, marks: Mapping[Mark, int], champions: Mapping[str, Mapping[int, ChampionRow]]
    ) -> Iterator[str]:
        """Of what the ledger keeps so that a long history need not be replayed."""
        for mark in sorted({*self._standing.marks, *marks}):
            if self._standing.marks.get(mark) != marks.get(mark):
                yield (
                    f"{mark.topic} of version {mark.version} of {mark.model!r}: the event that is kept as the one that "
                    "counts is not what replaying the events gives"
                )
        for model in sorted({*self._standing.champions, *champions}):
            if self._standing.champions.get(model, {}) != champions.get(model, {}):
                yield f"champions of {model!r}: what is kept of them is not what replaying the events gives"

    def evidence_problems(self, digests: Mapping[str, str]) -> Iterator[str]:
        """Of the evidence: `digests` are the sha256 of what is kept, by the sha256 under which it is kept."""
        for name, digest in digests.items():
            if name != digest:
                yield f"evidence {name[:12]}: was changed after it was written"
        for quoted, sequence in self._quoted.items():
            if quoted not in digests:
                yield f"event {sequence}: the evidence {quoted[:12]} that it quotes is gone"


def read_checkpoint(line: str) -> dict[str, Any] | None:
    """A line of the checkpoint file; None where it is damaged."""
    try:
        kept = json.loads(line)
        return {"registry": kept["registry"], "sequence": int(kept["sequence"]), "hash": str(kept["hash"])}
    except (ValueError, KeyError, TypeError):
        return None
