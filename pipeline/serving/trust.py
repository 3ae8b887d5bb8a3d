"""Whether a version may be used: what the ledger holds about its bytes. Rules only; nothing is loaded here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pipeline.governance.evidence import Evidence
from pipeline.governance.ledger import Event, EventType, SlotState, replay
from pipeline.governance.lifecycle import CHAMPION, Slot, Stage

SETTLED = (EventType.BASELINE, EventType.APPLIED, EventType.DRIFT_ADOPTED)


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


class Recorded(NamedTuple):
    """What the ledger last settled about a version's files; approved: as champion or for Production."""

    digest: str
    created_at: str | None
    approved: bool


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
        return cls(bool(every), champion, _recorded_files(every), _since(every, slot), held.pending is not None)


def _since(events: Iterable[Event], slot: Slot) -> datetime | None:
    """When the slot was last given another content."""
    content, since = None, None
    for event in events:
        change = next((each for each in event.changes if each.slot == slot), None)
        if change is not None and event.type in SETTLED and change.to != content:
            content, since = change.to, event.at
    return since


def _recorded_files(events: Iterable[Event]) -> dict[int, Recorded]:
    """By version. An approval holds until the next one: whoever moves another alias onto changed bytes has not approved
    them.
    """
    found: dict[int, Recorded] = {}
    for event in events:
        subject: Mapping[str, Any] = event.content.get("subject") or {}
        version, digest = subject.get("version"), subject.get("file_digest")
        if event.type not in SETTLED or not isinstance(version, int) or not isinstance(digest, str):
            continue
        approved = _approves(event, version)
        if approved or not (version in found and found[version].approved):
            found[version] = Recorded(digest, subject.get("created_at"), approved)
    return found


def _approves(event: Event, version: int) -> bool:
    champion, stage = Slot.of_alias(event.model, CHAMPION), Slot.of_stage(event.model, version)
    return any(
        (change.slot == champion and change.to == str(version))
        or (change.slot == stage and change.to == Stage.PRODUCTION.value)
        for change in event.changes
    )


def judge(evidence: Evidence, view: LedgerView) -> TrustState:
    """By the ledger alone: TRUSTED and IN_REVIEW hold only if it can be loaded as well."""
    digest, recorded = evidence.file_digest, view.files.get(evidence.version)
    # A number is given out again after a deletion; under the recorded champion's, only the recorded bytes will do.
    champion = view.champion == evidence.version
    same = recorded is not None and (champion or recorded.created_at == evidence.content["created_at"])
    if recorded is not None and same and recorded.digest != digest:
        now = "are gone" if digest is None else f"have the digest {digest[:12]}"
        reason = f"its files {now}, the ledger says {recorded.digest[:12]}"
        return TrustState(Trust.TAMPERED, digest, reason)
    if digest is None:
        return TrustState(Trust.UNTRUSTED, None, "its files cannot be read")
    if recorded is not None and same and recorded.approved:
        return TrustState(Trust.TRUSTED, digest)
    return TrustState(Trust.IN_REVIEW, digest, "nobody has approved it yet")
