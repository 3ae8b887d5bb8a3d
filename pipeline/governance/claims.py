"""What came with a version, held against what its own bytes give on the stored evaluation rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pipeline.governance.documents import number
from pipeline.governance.evidence import Evidence
from pipeline.governance.ports import VersionRecord

TOLERANCE = 1e-9  # sums in another order differ by less, one row more or less by more


@dataclass(frozen=True)
class RecomputedMetrics:
    """The version's bytes on its own evaluation rows. changed_rows: where the prediction is not the stored one."""

    n: int
    metrics: Mapping[str, float]
    changed_rows: int


class Recomputer(Protocol):
    """Scores a version's stored evaluation rows under the trust policy, away from this process."""

    def recompute(self, record: VersionRecord, *, file_digest: str) -> RecomputedMetrics:
        """Raises Refused, NotFound, InvalidInput or IntegrityFailure with the reason."""


@dataclass(frozen=True)
class Claim:
    """One metric as it was claimed and as it was measured now.

    source: "evaluation" for the file among the version's own, "run" for the metrics that MLflow holds for it, on
    its logged model or its run, which anybody can write again.
    """

    name: str
    source: str
    claimed: float
    recomputed: float

    @property
    def claimant(self) -> str:
        """The source in words."""
        return "the evaluation file" if self.source == "evaluation" else "MLflow"

    @property
    def holds(self) -> bool:
        return abs(self.claimed - self.recomputed) <= TOLERANCE

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "source": self.source,
            "claimed": self.claimed,
            "recomputed": self.recomputed,
            "holds": self.holds,
        }


@dataclass(frozen=True)
class Recomputation:
    """Every claim that could be measured again, by name."""

    measured: RecomputedMetrics
    claims: tuple[Claim, ...]

    @property
    def contradicted(self) -> tuple[Claim, ...]:
        return tuple(claim for claim in self.claims if not claim.holds)

    @property
    def holds(self) -> bool:
        return not self.contradicted and not self.measured.changed_rows

    @property
    def sentence(self) -> str:
        """What does not hold; empty where everything does."""
        wrong = [
            f"{claim.name} is claimed as {claim.claimed:.6g} by {claim.claimant} and is {claim.recomputed:.6g}"
            for claim in self.contradicted
        ]
        if changed := self.measured.changed_rows:
            wrong.append(f"{changed:,} of {self.measured.n:,} stored predictions are not what the version predicts")
        return f"{'; '.join(wrong)}." if wrong else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.measured.n,
            "changed_rows": self.measured.changed_rows,
            "holds": self.holds,
            "claims": [claim.as_json() for claim in self.claims],
        }


def check_claims(evidence: Evidence, measured: RecomputedMetrics) -> Recomputation:
    return Recomputation(measured, tuple(_claims(evidence, measured.metrics)))


def _claims(evidence: Evidence, recomputed: Mapping[str, float]) -> Iterator[Claim]:
    for name, value in sorted(recomputed.items()):
        measured = evidence.evaluation.metrics.get(name)
        sources = {
            "evaluation": None if measured is None else measured.value,
            "run": number(evidence.content["metrics"].get(name)),
        }
        yield from (Claim(name, source, claimed, value) for source, claimed in sources.items() if claimed is not None)
