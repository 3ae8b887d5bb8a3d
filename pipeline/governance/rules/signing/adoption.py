"""Adopting asks for what the move would have asked for: past the desk is no way round those who sign."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.governance.errors import StaleEvidence, StateChanged
from pipeline.governance.lifecycle import ModelState, Move, MoveKind
from pipeline.governance.policy import MoveRules
from pipeline.governance.ports import LedgerTransaction
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.ledger import digest_of
from pipeline.governance.record.out_of_band import OutOfBandChange, check_unmoved, state_text
from pipeline.governance.record.requests import ADOPT, Binding
from pipeline.governance.rules.decide import Outcome
from pipeline.governance.rules.reconcile import Reconciler
from pipeline.governance.rules.signing.matter import rules_of_adoption


@dataclass(frozen=True)
class Adoption:
    """Everything in which the registry differs from the ledger about one model, to be taken as recorded."""

    reconciler: Reconciler
    model: str
    differences: Sequence[OutOfBandChange]
    registry: ModelState  # as it was read
    rules: MoveRules  # of the move, among those that would have led here, that asks for most

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
            files=None if champion is None else champion.file_digest,
            evidence=digest_of(state) if champion is None else champion.digest,
            incumbent="",
            rules=self.reconciler.decider.policies.started.rules_digest(self.rules),
            state=state,
        )

    def check(self, *, expect: str | None, evidence: str | None, accept_warnings: bool | Collection[str]) -> None:
        """An adoption has no gates, and no warnings to accept."""
        del accept_warnings
        if expect not in (None, self.binding.state):
            raise StateChanged(f"state: expected {expect}, it is {self.binding.state}; look at the differences again")
        if evidence not in (None, self.binding.evidence):
            raise StaleEvidence("evidence: the champion has changed since you looked; look at the differences again")
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
    rules = rules_of_adoption(reconciler.reviewer, model, differences)
    return Adoption(reconciler, model, differences, reconciler.state(model), rules)
