"""Adopting asks for what the move would have asked for: past the desk is no way round those who sign."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.governance.errors import Refused, StaleEvidence, StateChanged
from pipeline.governance.lifecycle import ModelState, Move, MoveKind
from pipeline.governance.policy import MoveRules
from pipeline.governance.ports import LedgerTransaction
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.ledger import canonical, digest_of
from pipeline.governance.record.out_of_band import OutOfBandChange, check_unmoved, state_text
from pipeline.governance.record.requests import ADOPT, Binding
from pipeline.governance.rules.decide import Outcome
from pipeline.governance.rules.reconcile import Reconciler
from pipeline.governance.rules.signing.matter import moves_past, rules_of_adoption


@dataclass(frozen=True)
class Adoption:
    """Everything in which the registry differs from the ledger about one model, to be taken as recorded."""

    reconciler: Reconciler
    model: str
    differences: Sequence[OutOfBandChange]
    registry: ModelState  # as it was read
    rules: MoveRules  # what the moves that would have led here ask for together
    evidences: tuple[Evidence, ...]  # of the versions that those of these moves are about that need approvals

    @property
    def move(self) -> Move:
        return Move(self.model, MoveKind.RECONCILE, None)

    @property
    def meaning(self) -> str:
        return ADOPT

    @property
    def evidence(self) -> Evidence | None:
        """The champion's, which is what the ledger records of an adoption; None where there is none."""
        return self.reconciler.champion_evidence(self.model, self.registry)

    @property
    def binding(self) -> Binding:
        state, champion = state_text(self.differences), self.evidence
        return Binding(
            files=self._files,
            evidence=digest_of(state) if champion is None else champion.digest,
            incumbent="",
            rules=self.reconciler.decider.policies.started.rules_digest(self.rules),
            state=state,
        )

    @property
    def _files(self) -> str | None:
        """Of one version its own digest, of several one over all of theirs."""
        champion = self.evidence
        found = {each.version: each.file_digest for each in (*([champion] if champion else []), *self.evidences)}
        if len(found) > 1:
            return digest_of(canonical({str(version): digest for version, digest in found.items()}))
        return next(iter(found.values()), None)

    def check(self, *, expect: str | None, evidence: str | None, accept_warnings: bool | Collection[str]) -> None:
        """An adoption has no gates, and no warnings to accept."""
        del accept_warnings
        if expect not in (None, self.binding.state):
            seen = f"expected {expect}, it is {self.binding.state}"
            raise StateChanged(f"state: it has changed since you looked ({seen}); look at the differences again")
        if evidence not in (None, self.binding.evidence):
            raise StaleEvidence("evidence: the champion has changed since you looked; look at the differences again")
        if self.rules.approvals and not self.rules.approver_roles:
            raise Refused(
                "adopt: no role may approve all that was changed (approver_roles in policy.moves); revert, or put a "
                "part of it back in the registry first"
            )
        self.reconciler.check_adoptable(self.model, self.differences, self.registry)

    def content(self) -> dict[str, Any]:
        subject = self.reconciler.champion_subject(self.model, self.registry)
        return {"subject": subject, "to": ADOPT, "gates": [], "accepted_warnings": []}

    @contextmanager
    def locked(self) -> Iterator[LedgerTransaction]:
        if champion := self.evidence:
            self.reconciler.ledger.put_evidence(champion.digest, champion.text)
        with self.reconciler.ledger.transaction() as transaction:
            check_unmoved(transaction, self.differences)
            yield transaction

    def settle(
        self, transaction: LedgerTransaction, decision: str, *, reason: str, quoted: Mapping[str, Any]
    ) -> Callable[[], Outcome]:
        content = {"meaning": ADOPT, "reason": reason, "subject": self.content()["subject"], **quoted}
        event = self.reconciler.adopted(self.model, self.differences, content)._replace(decision=decision)
        stored = transaction.append(event)
        outcome = Outcome(
            decision=decision,
            sequence=stored.sequence,
            model=self.model,
            version=None,
            target=ADOPT,
            changes=stored.event.changes,
            evidence=None,
        )
        return lambda: outcome


def adoption_of(reconciler: Reconciler, model: str, *, acting: bool) -> Adoption:
    """acting: what is asked for is recorded as seen first, and there must be something. Raises NotFound and Refused."""
    differences = reconciler.reported(model, None) if acting else reconciler.differences(model)
    reviewer = reconciler.reviewer
    moves = moves_past(reviewer, model, differences)
    records = {each.record.row.version: each.record for each in moves}
    return Adoption(
        reconciler,
        model,
        differences,
        reconciler.state(model),
        rules_of_adoption(reviewer, moves),
        evidences=tuple(reviewer.evidence(records[version], fresh=acting) for version in sorted(records)),
    )
