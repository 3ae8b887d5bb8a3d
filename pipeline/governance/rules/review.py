"""A review: evidence, gates and incumbent of one move, and whether the move is open."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline.governance.errors import (
    Blocked,
    DecisionPending,
    IntegrityFailure,
    InvalidInput,
    NotFound,
    NothingToDo,
    NotTried,
    OutOfBand,
    Refused,
    SignoffError,
    StaleEvidence,
    StateChanged,
    Unavailable,
    WarningsNotAccepted,
)
from pipeline.governance.lifecycle import CHAMPION, Change, ModelState, Move, MoveKind, Slot, plan_changes
from pipeline.governance.policy import Mode, MoveRules, Policy
from pipeline.governance.ports import (
    Comparer,
    Gap,
    Ledger,
    MetricDifference,
    Registry,
    SmokePredictor,
    VersionRecord,
)
from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.governance.record.evidence import Evidence, Recomputation, Recomputer, assemble, check_claims
from pipeline.governance.record.findings import urgent_findings
from pipeline.governance.record.history import rollback_target
from pipeline.governance.record.ledger import SlotState, Topic, former_champions, slot_text
from pipeline.governance.record.out_of_band import ENDED_BY
from pipeline.governance.record.requests import Binding
from pipeline.governance.record.standing import RecordedFiles, recorded_files, recorded_of
from pipeline.governance.rules.gates import COMPARING, RECOMPUTING, Facts, GateResult, JudgedGates, Missing, check_gates

CHANGES_SOMETHING, SLOT_SETTLED, FILES_UNCHANGED = "changes_something", "slot_settled", "files_unchanged"
MOVE_LISTED = "move_listed"  # only where it is not
GIVES_A_ROLE = frozenset({MoveKind.STAGING, MoveKind.PRODUCTION, MoveKind.ALIAS, MoveKind.ROLLBACK})


@dataclass(frozen=True)
class Prospect:
    """A move as it stands now: what it would change, on which evidence, under which rules; no gate was looked at."""

    move: Move
    evidence: Evidence
    incumbent: Evidence | None  # the champion's, None where there is none or it is this version
    changes: tuple[Change, ...]  # what the move would change, the slot that commits it first
    slots: tuple[SlotState, ...]  # the ledger's state of each of them
    rules: MoveRules  # what the policy asks of this move of this model
    record: VersionRecord
    registry: ModelState  # as it was read
    # The model's newest event when this began: what was recorded later is not in it. 0 where there was none.
    newest_event: int

    @property
    def state(self) -> str:
        """The slots as they are now, see slot_text."""
        pairs = zip(self.changes, self.slots, strict=True)
        return ",".join(slot_text(each.slot, each.expected, slot_state.generation) for each, slot_state in pairs)

    def binding(self, policy: Policy) -> Binding:
        """What whoever signs a request for the move signs for."""
        champion = self.incumbent
        return Binding(
            files=self.evidence.file_digest,
            evidence=self.evidence.digest,
            incumbent="" if champion is None else f"{champion.version} {champion.file_digest}",
            rules=policy.rules_digest(self.rules),
            state=self.state,
        )


@dataclass(frozen=True)
class Review(JudgedGates):
    """What a reviewer is shown before a decision."""

    prospect: Prospect
    # Those that always hold (`changes_something`, `slot_settled`, `files_unchanged`) and those of the policy.
    gates: tuple[GateResult, ...]
    differences: tuple[MetricDifference, ...] = ()  # against the incumbent, on the same rows
    recomputation: Recomputation | None = None  # None where it was not asked for or failed; then the gate says why

    @property
    def move(self) -> Move:
        return self.prospect.move

    @property
    def evidence(self) -> Evidence:
        return self.prospect.evidence

    @property
    def incumbent(self) -> Evidence | None:
        return self.prospect.incumbent

    @property
    def changes(self) -> tuple[Change, ...]:
        return self.prospect.changes

    @property
    def slots(self) -> tuple[SlotState, ...]:
        return self.prospect.slots

    @property
    def rules(self) -> MoveRules:
        return self.prospect.rules

    @property
    def newest_event(self) -> int:
        return self.prospect.newest_event

    @property
    def state(self) -> str:
        return self.prospect.state

    @property
    def files_changed(self) -> bool:
        """Since the ledger recorded them."""
        return any(gate.name == FILES_UNCHANGED for gate in self.blocked_by)

    def check(
        self,
        *,
        expect: str | None,
        evidence: str | None,
        accept_warnings: bool | Collection[str],
        skipped: Collection[str] = (),
    ) -> None:
        """Raises the refusal that a reviewer should read first.

        expect, evidence: the state and the digest that the actor looked at; None accepts whatever there is.
        accept_warnings: all of them, none, or those of the gates with these names. skipped: gates that may block.
        """
        if expect not in (None, self.state):
            now = self.state or "like that already"
            raise StateChanged(
                f"state: it has changed since you looked (expected {expect}, it is {now}); look at the review again"
            )
        if evidence not in (None, self.evidence.digest):
            raise StaleEvidence("evidence: the version has changed since you looked; look at the review again")
        for gate in self.blocked_by:
            if gate.name == SLOT_SETTLED:
                raise (DecisionPending if gate.observed == "pending" else OutOfBand)(gate.sentence)
            if gate.name == CHANGES_SOMETHING:
                raise NothingToDo(gate.sentence)
        if blocking := [gate for gate in self.blocked_by if gate.name not in skipped]:
            raise Blocked(_sentences(blocking))
        accepted = () if isinstance(accept_warnings, bool) else accept_warnings
        open_warnings = [gate for gate in self.warnings if gate.name not in accepted]
        if open_warnings and accept_warnings is not True:
            raise WarningsNotAccepted(f"{_sentences(open_warnings)} Accept the warnings to go on.")

    def as_json(self) -> dict[str, Any]:
        content = {
            "to": self.move.target,
            "open": self.open,
            "evidence": self.evidence.digest,
            "state": self.state,
            "gates": [gate.as_json() for gate in self.gates],
        }
        if self.rules.approvals:
            content |= {"approvals": self.rules.approvals, "attestations": dict(self.rules.attestations)}
        return content if self.recomputation is None else {**content, "recomputed": self.recomputation.as_json()}


@dataclass(frozen=True)
class Reviewer:
    """Gathers the facts of a move from the ports and applies the policy to them; writes nothing."""

    registry: Registry
    ledger: Ledger
    policy: Policy
    comparer: Comparer
    smoke: SmokePredictor
    recomputer: Recomputer | None = None

    def review(
        self, move: Move, *, fresh: bool = False, recompute: bool = False, recomputed: Recomputation | None = None
    ) -> Review:
        """`fresh`: take the digests of the files again. `recompute`: also where the policy does not ask for it.

        recomputed: what was recomputed of the same evidence just now, which spares doing it again.
        Raises NotFound for a model or version that is not there.
        """
        found = self.prospect(move, fresh=fresh)
        evidence, record, rules = found.evidence, found.record, found.rules
        wanted = recompute or RECOMPUTING in rules.gates
        recomputation = self._recompute(record, evidence) if wanted and recomputed is None else recomputed
        facts = Facts(
            move,
            evidence,
            found.registry,
            incumbent=found.incumbent,
            differences=self._compare(found),
            recorded_digest=self._recorded_digest(move),
            smoke=self._smoke(found),
            recomputation=recomputation,
            findings=urgent_findings(self.ledger, move.model),
            metrics=self.policy.metrics,
        )
        fixed = self._fixed_gates(move, evidence, settled=_slot_settled(found.changes, found.slots))
        return Review(
            found,
            gates=(_changes_something(found.changes, move), *fixed, *check_gates(facts, rules.gates)),
            differences=() if isinstance(facts.differences, Missing) else tuple(facts.differences),
            recomputation=None if isinstance(recomputation, Missing) else recomputation,
        )

    def prospect(self, move: Move, *, fresh: bool = False) -> Prospect:
        """Everything about a move that no gate has to be looked at for. Raises NotFound."""
        newest_event = self._newest_event(move.model)
        state = self.registry.state(move.model)
        record = self.registry.version(move.model, move.version or self._holder(move, state))
        evidence, changes = self.evidence(record, fresh=fresh), tuple(plan_changes(move, state))
        return Prospect(
            move,
            evidence,
            incumbent=self._incumbent(evidence, state),
            changes=changes,
            slots=self._slots(move.model, changes),
            rules=self.rules(move.kind, record),
            record=record,
            registry=state,
            newest_event=newest_event,
        )

    def rules(self, kind: MoveKind, record: VersionRecord) -> MoveRules:
        """What the policy asks of a move of this version, by the tier of its model."""
        if not self.policy.tiers:
            return self.policy.rules_of(kind)
        model = self.registry.model(record.row.model)
        return self.policy.rules_of(kind, self.policy.tier_of(model.name, model.tags, record.row.tags))

    def _fixed_gates(self, move: Move, evidence: Evidence, *, settled: GateResult) -> Iterator[GateResult]:
        """Those that no policy switches off."""
        yield settled
        if sentence := self.policy.closed(move.kind):
            yield GateResult(MOVE_LISTED, "not listed", "listed in the policy", False, Mode.PREVENT, sentence)
        if move.kind in GIVES_A_ROLE:
            yield _files_unchanged(evidence, self._recorded(evidence))

    def evidence(self, record: VersionRecord, *, fresh: bool = False) -> Evidence:
        """The evidence of a version; files that are gone are a gap, not an error."""
        try:
            return assemble(record, self.registry.files(record, fresh=fresh))
        except NotFound as error:
            return assemble(record, None, [Gap("files", str(error))])

    def recompute(self, record: VersionRecord, evidence: Evidence) -> Recomputation:
        """Raises Refused, NotFound, InvalidInput or IntegrityFailure where it cannot be done, with the reason."""
        if self.recomputer is None:
            raise Refused("claims: this desk loads no models")
        if evidence.file_digest is None:
            raise NotFound("claims: the model's files cannot be read")
        return check_claims(evidence, self.recomputer.recompute(record, file_digest=evidence.file_digest))

    def _newest_event(self, model: str) -> int:
        with suppress(Unavailable):  # a damaged event, which `verify` reports
            last = self.ledger.last(model)
            return last.sequence if last else 0
        return 0

    def _slots(self, model: str, changes: Iterable[Change]) -> tuple[SlotState, ...]:
        """What the ledger holds of each; a model without a baseline has not moved, whatever is there."""
        if self.ledger.baseline(model) is None:
            return tuple(SlotState(recorded=change.expected) for change in changes)
        recorded = self.ledger.slots(model)
        return tuple(recorded.get(change.slot, SlotState.initial(change.slot)) for change in changes)

    def _recompute(self, record: VersionRecord, evidence: Evidence) -> Recomputation | Missing:
        try:
            return self.recompute(record, evidence)
        except Unavailable:
            raise
        except SignoffError as error:
            return Missing(f"Not recomputed: {error}.")

    def _holder(self, move: Move, state: ModelState) -> int:
        version = state.aliases.get(move.alias or "")
        if version is None:
            raise NotFound(f"alias: {move.model!r} has no alias {move.alias!r}")
        return version

    def _incumbent(self, evidence: Evidence, state: ModelState) -> Evidence | None:
        if state.champion in (None, evidence.version):
            return None
        try:
            return self.evidence(self.registry.version(evidence.model, state.champion))
        except NotFound:
            return None

    def _compare(self, found: Prospect) -> Sequence[MetricDifference] | Missing:
        if found.incumbent is None or COMPARING.isdisjoint(found.rules.gates):
            return ()
        try:
            champion = self.registry.version(found.move.model, found.incumbent.version)
            rows = [self.registry.read_file(each, EVALUATION_ROWS) for each in (found.record, champion)]
            return self.comparer.compare(*rows)
        except (NotFound, InvalidInput) as error:
            return Missing(f"Not comparable on the same rows: {error}")

    def _recorded(self, evidence: Evidence) -> RecordedFiles | None:
        counting = self.ledger.current(evidence.model, Topic.FILES, evidence.version)
        return recorded_of(evidence, recorded_files(stored.event for stored in counting))

    def _recorded_digest(self, move: Move) -> str | None:
        """Of the files with which a version was last champion, for a rollback to it."""
        if move.kind is not MoveKind.ROLLBACK or move.version is None:
            return None
        slot = Slot.of_alias(move.model, CHAMPION)
        for newest in (2, None):  # the version before the present one, or another one, as far back as it is
            stack = former_champions(
                (stored.event for stored in self.ledger.former_champions(move.model, newest)), slot
            )
            found = next((event for version, event in reversed(stack) if version == move.version), None)
            if found is not None:
                return recorded_digest(found.content, move.version)
        return None

    def previous_champion(self, model: str) -> int | None:
        """The version to which a rollback returns; None where the ledger knows none."""
        return rollback_target(model, (stored.event for stored in self.ledger.former_champions(model, newest=2)))

    def _smoke(self, found: Prospect) -> str | Missing:
        """What the version predicts for its own input example. Raises Unavailable."""
        if "smoke_prediction" not in found.rules.gates:
            return Missing("The policy does not ask for it.", tried=False)
        if found.evidence.file_digest is None:
            return Missing("The model's files cannot be read.")
        try:
            return self.smoke.predict(found.record, file_digest=found.evidence.file_digest)
        except Unavailable:
            raise
        except SignoffError as error:
            return Missing(str(error), tried=not isinstance(error, NotTried))


def _sentences(gates: Iterable[GateResult]) -> str:
    return " ".join(gate.sentence for gate in gates)


def worst(reviews: Iterable[Review]) -> type[SignoffError] | None:
    """The refusal that a pipeline that only asks ends with: files that are not those recorded before a closed move;
    None where every move is open.
    """
    found = list(reviews)
    if any(review.files_changed for review in found):
        return IntegrityFailure
    return None if all(review.open for review in found) else Blocked


def check_registry(changes: Iterable[Change], state: ModelState) -> None:
    """Raises StateChanged where somebody moved a slot in the registry since the review read it."""
    for change in changes:
        if state.value(change.slot) != change.expected:
            raise StateChanged(f"state: {change.slot.label} changed since you looked; look at the review again")


def check_slot(current: SlotState | None, seen: SlotState, slot: Slot) -> None:
    """Compare and set: raises where the slot is not as it was reviewed."""
    now = current or SlotState.initial(slot)
    if now.pending:
        raise DecisionPending(f"a decision about {slot.label} has not ended; reconcile finishes it")
    if (now.recorded, now.generation, now.out_of_band) != (seen.recorded, seen.generation, seen.out_of_band):
        raise StateChanged(f"state: {slot.label} changed since you looked; look at the review again")


def recorded_digest(content: Mapping[str, Any], version: int) -> str | None:
    """The file digest that an event holds for a version; None where it holds none."""
    subject = content.get("subject") or {}
    digest: str | None = subject.get("file_digest") if subject.get("version") == version else None
    return digest


def _changes_something(changes: Iterable[Change], move: Move) -> GateResult:
    any_change = any(True for _ in changes)
    why = "" if any_change else f"The registry is already like that: nothing to do for {move.target}."
    return GateResult(
        CHANGES_SOMETHING, "changes" if any_change else "nothing", "a change", any_change, Mode.PREVENT, why
    )


def _slot_settled(changes: Iterable[Change], slots: Iterable[SlotState]) -> GateResult:
    """Fails where a decision has not ended or where the registry was moved by another way."""
    pairs = list(zip(changes, slots, strict=True))
    moved = [change for change, slot_state in pairs if slot_state.out_of_band or slot_state.recorded != change.expected]
    pending = [change for change, slot_state in pairs if slot_state.pending]
    why = ""
    if moved:
        named = ", ".join(each.slot.holding(each.expected) for each in moved)
        why = f"Changed outside of this desk: {named}; {ENDED_BY}."
    if pending:
        why = f"A decision about {pending[0].slot.in_words} has not ended; reconcile finishes it."
    observed = "pending" if pending else "moved by another way" if moved else "settled"
    return GateResult(SLOT_SETTLED, observed, "record and registry agree", not why, Mode.PREVENT, why)


def _files_unchanged(evidence: Evidence, recorded: RecordedFiles | None) -> GateResult:
    """What was recorded of a version's bytes holds for good; other bytes are another version."""
    now = "no files" if evidence.file_digest is None else evidence.file_digest[:12]
    required = "recorded with this decision" if recorded is None else recorded.digest[:12]
    difference = recorded.difference(evidence) if recorded else None
    why = f"Its files {difference}; register what is there as a new version." if difference else ""
    return GateResult(FILES_UNCHANGED, now, required, not why, Mode.PREVENT, why)
