"""Which versions may be used: what the policy lets be loaded, and what the ledger holds about their bytes.

Rules only; nothing is loaded here.
"""

from dataclasses import dataclass
from enum import StrEnum

from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.standing import LedgerView, recorded_of


@dataclass(frozen=True)
class LoadingPolicy:
    """Which models the workers load, and how long a request may take."""

    # "allow_list" or "producers", see `serving.trust` in params.yaml.
    trust: str
    # Types that a skops file may hold beside skops' own list.
    allowed_types: tuple[str, ...]
    # Models in the memory of each worker.
    kept_models: int
    # Until an answer to a prediction and to an explanation must be there.
    predict_seconds: float
    explain_seconds: float


class Trust(StrEnum):
    """Whether a version may be used."""

    # The policy lets it be loaded, and its bytes are those that were approved.
    TRUSTED = "trusted"
    # It can be loaded, and it was made champion by another way than a recorded decision.
    OUTSIDE = "not approved here"
    # It can be loaded, and nobody has approved it.
    IN_REVIEW = "in review"
    # It is not loaded; the reason says why.
    UNTRUSTED = "untrusted"
    # Its bytes are not those in the ledger.
    TAMPERED = "tampered"


@dataclass(frozen=True)
class TrustState:
    """Whether one version may be used, and why not."""

    state: Trust
    # The digest of its files now; None where they are gone.
    digest: str | None
    # Why it is UNTRUSTED, TAMPERED or OUTSIDE; of a usable version what to know about it, empty where there is nothing.
    reason: str = ""
    # Whether a worker has tried to load it.
    loaded: bool = False
    # Whether MLflow loads it, with code that came with it, because `serving.trust` is "producers".
    mlflow_flavor: bool = False

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
