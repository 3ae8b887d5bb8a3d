"""Whether a version may be used: what the ledger holds about its bytes. Rules only; nothing is loaded here."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pipeline.governance.evidence import Evidence
from pipeline.governance.ledger import Topic
from pipeline.governance.lifecycle import CHAMPION, Slot
from pipeline.governance.ports import Ledger
from pipeline.governance.recorded import RecordedFiles, recorded_files, recorded_of


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
    files: Mapping[int, RecordedFiles]
    since: datetime | None = None
    pending: bool = False

    @classmethod
    def read(cls, ledger: Ledger, model: str) -> "LedgerView":
        """From what still counts of the model's events."""
        held = ledger.slots(model).get(Slot.of_alias(model, CHAMPION))
        champion = None if held is None or held.recorded is None else int(held.recorded)
        newest = ledger.champions(model, newest=1)
        files = recorded_files(stored.event for stored in ledger.current(model, Topic.FILES))
        since = newest[-1].event.at if newest else None
        return cls(ledger.baseline(model) is not None, champion, files, since, bool(held and held.pending))


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
