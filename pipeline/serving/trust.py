"""Whether a version may be used: what the ledger holds about its bytes. Rules only; nothing is loaded here."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.governance.evidence import Evidence
from pipeline.governance.standing import LedgerView, recorded_of


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
