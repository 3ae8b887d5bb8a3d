"""Whether a version may be used: what the ledger holds about its bytes. Rules only; nothing is loaded here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pipeline.governance.evidence import Evidence
from pipeline.governance.ledger import Event, SlotState, replay
from pipeline.governance.lifecycle import CHAMPION, Slot
from pipeline.governance.recorded import SETTLED, Recorded, recorded_files, recorded_of


class Trust(StrEnum):
    """TRUSTED: the policy lets it be loaded, and its bytes are those that were approved. IN_REVIEW: loadable, but not
    approved. UNTRUSTED: not loaded, the reason says why. TAMPERED: its bytes are not those in the ledger.
    """

    TRUSTED = "trusted"
    IN_REVIEW = "in review"
    UNTRUSTED = "untrusted"
    TAMPERED = "tampered"


@dataclass(frozen=True)
class TrustState:
    """One version's state. reason: a sentence for UNTRUSTED and TAMPERED, else what to know about it, or empty.

    digest: of its files now; None where they are gone. loaded: whether that was tried. foreign: loaded by MLflow,
    because `serving.trust` is "producers": code that came with the model has run in the worker.
    """

    state: Trust
    digest: str | None
    reason: str = ""
    loaded: bool = False
    foreign: bool = False

    @property
    def usable(self) -> bool:
        return self.state in {Trust.TRUSTED, Trust.IN_REVIEW}


class LedgerView(NamedTuple):
    """What the ledger holds of one model: its champion (None: none, or the ledger does not know the model), files by
    version, since when it is champion, and whether a decision about that has not ended.
    """

    known: bool
    champion: int | None
    files: Mapping[int, Recorded]
    since: datetime | None = None
    pending: bool = False

    @classmethod
    def of(cls, model: str, events: Iterable[Event]) -> "LedgerView":
        """From the events of the model, in order."""
        every = list(events)
        slot = Slot.of_alias(model, CHAMPION)
        held = replay(every).get(slot, SlotState.initial(slot))
        champion = None if held.recorded is None else int(held.recorded)
        known = any(event.type in SETTLED for event in every)  # a refusal alone claims nothing
        return cls(known, champion, recorded_files(every), _since(every, slot), held.pending is not None)


def _since(events: Iterable[Event], slot: Slot) -> datetime | None:
    """When the slot was last given another content."""
    content, since = None, None
    for event in events:
        change = next((each for each in event.changes if each.slot == slot), None)
        if change is not None and event.type in SETTLED and change.to != content:
            content, since = change.to, event.at
    return since


def judge(evidence: Evidence, view: LedgerView) -> TrustState:
    """By the ledger alone: TRUSTED and IN_REVIEW hold only if it can be loaded as well."""
    digest, recorded = evidence.file_digest, recorded_of(evidence, view.files, champion=view.champion)
    if recorded is not None and (difference := recorded.difference(evidence)):
        return TrustState(Trust.TAMPERED, digest, f"its files {difference}")
    if digest is None:
        return TrustState(Trust.UNTRUSTED, None, "its files cannot be read")
    if recorded is not None and recorded.approved:
        return TrustState(Trust.TRUSTED, digest)
    return TrustState(Trust.IN_REVIEW, digest, "nobody has approved it yet")
