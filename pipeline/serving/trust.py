"""Whether a version may be used: what the ledger holds about its bytes. Rules only; nothing is loaded here."""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.governance.evidence import Evidence
from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.standing import LedgerView, recorded_of


class Trust(StrEnum):
    """Whether a version may be used."""

    TRUSTED = "trusted"  # the policy lets it be loaded, and its bytes are those that were approved
    OUTSIDE = "not approved here"  # it can be loaded; it was made champion by another way than a recorded decision
    IN_REVIEW = "in review"  # it can be loaded, and nobody has approved it
    UNTRUSTED = "untrusted"  # it is not loaded; the reason says why
    TAMPERED = "tampered"  # its bytes are not those in the ledger


@dataclass(frozen=True)
class TrustState:
    """The state of one version."""

    state: Trust
    digest: str | None  # of its files now; None where they are gone
    reason: str = ""  # a sentence for UNTRUSTED, TAMPERED and OUTSIDE, else what to know about it, or empty
    loaded: bool = False  # whether it was tried
    foreign: bool = False  # loaded by MLflow, with code that came with it, because `serving.trust` is "producers"

    @property
    def usable(self) -> bool:
        return self.state in {Trust.TRUSTED, Trust.OUTSIDE, Trust.IN_REVIEW}


def judge(evidence: Evidence, view: LedgerView) -> TrustState:
    """By the ledger alone: TRUSTED, OUTSIDE and IN_REVIEW hold only if it can be loaded as well."""
    digest, recorded = evidence.file_digest, recorded_of(evidence, view.files, champion=view.champion)
    if recorded is not None and (difference := recorded.difference(evidence)):
        return TrustState(Trust.TAMPERED, digest, f"its files {difference}")
    if digest is None:
        return TrustState(Trust.UNTRUSTED, None, "its files cannot be read")
    if _champion_unknown(evidence, view):
        who = f"version {view.champion}" if view.champion else "no version"
        return TrustState(
            Trust.OUTSIDE, digest, f"it was made champion outside of this desk; by the record it is {who}"
        )
    if recorded is not None and recorded.approved:
        return TrustState(Trust.TRUSTED, digest)
    return TrustState(Trust.IN_REVIEW, digest, "nobody has approved it yet")


def _champion_unknown(evidence: Evidence, view: LedgerView) -> bool:
    """Whether the version is champion in the registry and another one by the ledger, with no decision on the way."""
    champion = CHAMPION in evidence.content["aliases"]
    return champion and view.known and not view.pending and view.champion != evidence.version
