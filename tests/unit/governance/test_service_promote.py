"""Into a stage: what a promotion writes, warnings, keys that come twice, and what is read on the way."""

from datetime import timedelta

import pytest

from pipeline.governance.errors import (
    Blocked,
    Conflict,
    DecisionPending,
    KeyReused,
    LedgerBusy,
    NotFound,
    Unavailable,
    WarningsNotAccepted,
)
from pipeline.governance.lifecycle import ModelState, Stage, parse_target
from pipeline.governance.record.history import GateCount
from pipeline.governance.record.ledger import Event, EventType, StoredEvent, iso
from support.decisions import champion, promote, types
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    KnownDifferences,
    OpenDesk,
    add_good_version,
    before_the_lock,
    build_desk,
    failing,
    small_registry,
    worse,
)
from support.in_memory import InMemoryLedger, InMemoryRegistry

OUR_EVENTS = [EventType.BASELINE, EventType.DECIDED, EventType.APPLIED]


class TestPromotion:
    """Into a stage."""

    def test_changes_the_registry_and_is_found_in_the_history(self) -> None:
        """Baseline, intent, end; the last line says who, when, why, from what to what."""
        desk = build_desk()
        outcome = promote(desk, 1, Stage.STAGING)
        entry = desk.history(MODEL)[-1]

        assert desk.registry.state(MODEL).stages[1] is Stage.STAGING
        assert OUR_EVENTS == types(desk)
        assert ("grace", REASON, 1, "None", "Staging") == (
            entry.actor,
            entry.reason,
            entry.version,
            entry.before,
            entry.after,
        )
        assert (outcome.sequence, outcome.target, outcome.replayed) == (2, "Staging", False)

    def test_binds_evidence_bytes_gates_policy_and_identity(self) -> None:
        """Everything that an auditor asks for is in the intent."""
        desk = build_desk()
        review = desk.review(parse_target(MODEL, 1, "Staging"))
        promote(desk, 1, Stage.STAGING)
        content = desk.history(MODEL)[1].content

        assert content["evidence"] == review.evidence.digest
        assert desk.evidence(content["evidence"]) == review.evidence.text
        assert content["subject"]["file_digest"] == review.evidence.file_digest
        assert content["policy"] == desk.policy.digest
        assert content["actor"]["established"] == "self_declared"
        assert content["actor"]["roles"] == ["reviewer", "approver"]
        assert [gate["name"] for gate in content["gates"]][:2] == ["changes_something", "slot_settled"]

    def test_to_production_sets_the_champion_and_archives_the_one_before(self) -> None:
        """One champion, one Production version."""
        desk = build_desk()
        champion(desk, 1, 2)

        assert desk.registry.state(MODEL) == ModelState(
            {"champion": 2}, {1: Stage.ARCHIVED, 2: Stage.PRODUCTION, 3: Stage.NONE}
        )

    def test_names_the_incumbent_it_was_compared_with(self) -> None:
        """And keeps the incumbent's evidence, so that the screen can be replayed whole."""
        desk = build_desk()
        champion(desk, 1, 2)
        incumbent = desk.history(MODEL)[-2].content["incumbent"]

        assert incumbent["version"] == 1
        assert desk.evidence(incumbent["evidence"])

    def test_mirrors_its_number_into_the_registry(self) -> None:
        """For readers of MLflow's own screens."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING)

        assert desk.registry.version(MODEL, 1).row.tags["signoff.sequence"] == "2"

    def test_says_in_the_registry_what_became_of_the_validation(self) -> None:
        """The tag that our pipeline registers as pending follows the decision, and is no part of the evidence."""
        registry = small_registry(versions=0)
        add_good_version(registry, tags={"validation_status": "pending"})
        desk = build_desk(registry)
        before = desk.show(MODEL, 1).content["tags"]
        seen = [promote(desk, 1, stage) and self.validation(desk) for stage in (Stage.STAGING, Stage.PRODUCTION)]

        assert seen == ["passed", "approved"]
        assert desk.show(MODEL, 1).content["tags"] == before

    def test_leaves_somebody_elses_validation_tag_alone(self) -> None:
        """A version that our pipeline did not make keeps its own, which is evidence."""
        registry = small_registry(versions=0)
        add_good_version(registry, tags={"validation_status": "mine", "produced_by": "somebody"})
        desk = build_desk(registry)
        promote(desk, 1, Stage.STAGING)

        assert self.validation(desk) == "mine"
        assert desk.show(MODEL, 1).content["tags"]["validation_status"] == "mine"

    @staticmethod
    def validation(desk: OpenDesk) -> str:
        return desk.registry.version(MODEL, 1).row.tags["validation_status"]

    def test_counts_its_gates(self) -> None:
        """By version and creation time: how many passed at the last decision."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING)
        ((version, created),) = desk.gate_counts(MODEL)

        assert (version, created) == (1, iso(desk.version(MODEL, 1).row.created_at))
        assert desk.gate_counts(MODEL)[version, created] == GateCount(11, 0)

    def test_keeps_a_checkpoint(self) -> None:
        """So that cutting the ledger's tail is seen."""
        ledger = InMemoryLedger()
        promote(build_desk(ledger=ledger), 1, Stage.STAGING)

        assert [number for number, _ in ledger.checkpoints] == [3]


class FullDisk(InMemoryLedger):
    """A ledger beside which no checkpoint can be kept."""

    def keep_checkpoint(self) -> None:
        raise Unavailable("the ledger cannot be used: No space left on device")


class TestACheckpointThatCannotBeKept:
    """The decision is applied, and whoever made it is told."""

    def test_is_said_beside_the_decision(self) -> None:
        """In the outcome and its JSON; another decision has no word of it."""
        told = promote(build_desk(ledger=FullDisk()), 1, Stage.STAGING)
        quiet = promote(build_desk(), 1, Stage.STAGING)

        assert told.notice == (
            "applied; the checkpoint could not be kept: the ledger cannot be used: No space left on device"
        )
        assert told.as_json() == {**quiet.as_json(), "notice": told.notice}

    def test_is_no_reason_to_end_a_reconciliation(self) -> None:
        """The intent of a crash is finished all the same."""
        registry = small_registry()
        desk = build_desk(registry, FullDisk())
        desk.take_over()
        state, read = registry.state, []

        def silent_after_the_change(model: str) -> ModelState:
            read.append(model)
            if registry._models[model].versions[1].row.stage is Stage.STAGING:
                raise Unavailable("the registry does not answer")
            return state(model)

        registry.state = silent_after_the_change
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.STAGING)
        registry.state = state

        assert [each.event.type for each in desk.reconcile(MODEL, min_age=timedelta())] == [EventType.APPLIED]


class TestWarnings:
    """A warning is shown, asks for an acceptance, and is recorded."""

    def desk(self) -> OpenDesk:
        desk = build_desk(comparer=KnownDifferences([worse("f1_macro")]))
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        return desk

    def test_stop_the_move_until_they_are_accepted(self) -> None:
        """The sentence names the gate."""
        with pytest.raises(WarningsNotAccepted, match=r"Not worse than the champion: Macro F1 is worse by 0\.0500"):
            promote(self.desk(), 2, Stage.PRODUCTION)

    def test_are_recorded_when_accepted(self) -> None:
        """By name."""
        desk = self.desk()
        promote(desk, 2, Stage.PRODUCTION, accept_warnings=True)

        assert desk.history(MODEL)[-2].content["accepted_warnings"] == ["not_worse_than_incumbent"]

    def test_leave_the_review_open(self) -> None:
        """Only a gate that prevents closes it."""
        review = self.desk().review(parse_target(MODEL, 2, "Production"))

        assert review.open
        assert [gate.name for gate in review.warnings] == ["not_worse_than_incumbent"]
        assert review.as_json()["to"] == "Production"


class TestIdempotency:
    """A double click, a reload or a retry is one decision."""

    def test_the_same_key_again_changes_nothing(self) -> None:
        """And gives the first outcome."""
        desk = build_desk()
        first = promote(desk, 1, Stage.STAGING, key="k")
        again = promote(desk, 1, Stage.STAGING, key="k")

        assert (first.decision, first.sequence) == (again.decision, again.sequence)
        assert again.replayed
        assert OUR_EVENTS == types(desk)

    def test_the_same_key_for_another_request_is_refused(self) -> None:
        """A key stands for one request."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING, key="k")
        with pytest.raises(KeyReused):
            promote(desk, 2, Stage.STAGING, key="k")

    def test_a_key_that_has_not_ended_is_pending(self) -> None:
        """The caller waits for reconcile."""
        registry = small_registry()
        desk = build_desk(registry)
        registry.set_stage = failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.STAGING, key="k")
        with pytest.raises(DecisionPending):
            promote(desk, 1, Stage.STAGING, key="k")

    def test_a_key_that_was_aborted_is_used_up(self) -> None:
        """The caller asks again with another."""
        registry = small_registry()
        desk = build_desk(registry)
        registry.set_stage = failing(registry, NotFound("no"))
        with pytest.raises(Conflict):
            promote(desk, 1, Stage.STAGING, key="k")
        with pytest.raises(Conflict, match="ask again with another key"):
            promote(desk, 1, Stage.STAGING, key="k")

    def test_two_at_the_same_moment_are_one(self) -> None:
        """The second finds the first's key under the lock."""
        desk = build_desk()
        before_the_lock(desk, lambda other: promote(other, 1, Stage.STAGING, key="k"))
        with pytest.raises(DecisionPending):
            promote(desk, 1, Stage.STAGING, key="k")

        assert types(desk).count(EventType.APPLIED) == 1


class Logged(InMemoryRegistry):
    """Says in which order it is opened and written to."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.__dict__.update(small_registry().__dict__)
        self.log = log

    def prepare(self) -> None:
        super().prepare()
        self.log.append("open")

    def set_alias(self, model: str, alias: str, version: int | None) -> None:
        super().set_alias(model, alias, version)
        self.log.append("write")

    def set_stage(self, model: str, version: int, stage: Stage) -> None:
        super().set_stage(model, version, stage)
        self.log.append("write")


class LoggedLedger(InMemoryLedger):
    """Says when an intent and its end are recorded."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def append(self, event: Event) -> StoredEvent:
        if event.decision is not None:
            self.log.append(event.type.value)
        return super().append(event)


class TestOpening:
    """What the first write needs is loaded before the intent: seconds that no decision may be charged with."""

    def desk(self) -> tuple[OpenDesk, list[str]]:
        log: list[str] = []
        return build_desk(Logged(log), LoggedLedger(log)), log

    def test_comes_before_the_intent(self) -> None:
        """Between intent and effect there is nothing to wait for."""
        desk, log = self.desk()
        promote(desk, 1, Stage.STAGING)

        assert log == ["open", "decided", "write", "applied"]

    def test_that_fails_leaves_no_intent(self) -> None:
        """A registry that takes no writes is met before the ledger is."""
        desk, log = self.desk()
        desk.registry.prepare = failing(small_registry(), Unavailable("the registry is for reading"))
        with pytest.raises(Unavailable, match="for reading"):
            promote(desk, 1, Stage.STAGING)

        assert log == []
        assert types(desk) == [EventType.BASELINE]

    def test_is_not_waited_for_by_a_refusal(self) -> None:
        """A gate says no at once."""
        desk, log = self.desk()
        with pytest.raises(Blocked):
            promote(desk, 1, Stage.PRODUCTION)

        assert log == []

    def test_comes_before_a_revert_and_before_what_reconcile_finishes(self) -> None:
        """Every intent that is carried out."""
        desk, log = self.desk()
        promote(desk, 1, Stage.STAGING)
        InMemoryRegistry.set_stage(desk.registry, MODEL, 1, Stage.ARCHIVED)
        log.clear()
        desk.revert(MODEL, reason=REASON, actor=GRACE)
        reverted, close = list(log), desk.decider.close
        object.__setattr__(desk.decider, "close", failing(small_registry(), LedgerBusy("locked")))
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.ARCHIVED)
        object.__setattr__(desk.decider, "close", close)
        log.clear()
        desk.reconcile(MODEL, min_age=timedelta(0))

        assert reverted == ["open", "decided", "write", "reverted"]
        assert log == ["open", "write", "applied"]
