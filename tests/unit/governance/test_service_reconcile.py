"""What a crash left, what was tampered with, and what `verify` finds."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.governance.errors import (
    Blocked,
    NotFound,
    Refused,
    Unavailable,
)
from pipeline.governance.lifecycle import ModelState, Stage, alias_move, stage_move
from pipeline.governance.policy import Mode
from pipeline.governance.record.ledger import EventType
from pipeline.governance.rules.decide import Request
from support.decisions import champion, promote, types
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    OpenDesk,
    build_desk,
    failing,
    small_registry,
)
from support.in_memory import InMemoryLedger, InMemoryRegistry


class TestVerifyOfADamagedLedger:
    """What was found is not lost where the rest cannot be looked at."""

    def test_keeps_what_was_found_where_the_registry_is_silent_too(self) -> None:
        """With a whole ledger a silent registry is no finding: nothing is known then."""
        ledger = InMemoryLedger()
        desk = build_desk(ledger=ledger)
        promote(desk, 1, Stage.STAGING)
        desk.registry.down = True
        with pytest.raises(Unavailable):
            desk.verify()
        ledger._events.pop(1)

        found = [each.text for each in desk.verify()]
        assert "event 3: should be number 2" in found
        assert any(each.startswith("not all could be checked: the registry") for each in found)


class TestReconcile:
    """What a crash left is finished."""

    def crashed(self, *, applied: bool, elsewhere: bool = False) -> tuple[OpenDesk, InMemoryRegistry]:
        registry = small_registry()
        desk = build_desk(registry)
        promote(desk, 1, Stage.STAGING)
        held = registry.set_alias
        registry.set_alias = failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.PRODUCTION)
        registry.set_alias = held
        if applied:
            registry.set_alias(MODEL, "champion", 1)
        if elsewhere:
            registry.set_alias(MODEL, "champion", 3)
        return desk, registry

    def test_rolls_forward_what_reached_its_commit_point(self) -> None:
        """The stages that follow from the alias are set too."""
        desk, registry = self.crashed(applied=True)
        events = desk.reconcile(MODEL, min_age=timedelta(0))

        assert [stored.event.type for stored in events] == [EventType.APPLIED]
        assert events[0].event.content["recovered"]
        assert registry.state(MODEL).stages[1] is Stage.PRODUCTION
        assert desk.differences(MODEL) == []

    def test_aborts_what_did_not(self) -> None:
        """The registry is as before, and the slot is free again."""
        desk, _ = self.crashed(applied=False)

        assert [each.event.type for each in desk.reconcile(MODEL, min_age=timedelta(0))] == [EventType.ABORTED]
        promote(desk, 1, Stage.PRODUCTION)

    def test_leaves_what_somebody_else_moved_as_a_conflict(self) -> None:
        """A person ends it."""
        desk, _ = self.crashed(applied=False, elsewhere=True)

        assert [each.event.type for each in desk.reconcile(MODEL, min_age=timedelta(0))] == [EventType.CONFLICT]
        assert [each.sentence for each in desk.differences(MODEL)] == ["@champion is 3, the ledger says not there"]

    def test_leaves_young_intents_alone(self) -> None:
        """Somebody may be at work."""
        desk, _ = self.crashed(applied=True)

        assert desk.reconcile(MODEL, min_age=timedelta(hours=1)) == []

    def test_finishes_a_revert_as_a_revert(self) -> None:
        """Each intent has its own kind of end."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_alias(MODEL, "champion", 3)
        held, registry.set_alias = registry.set_alias, failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            desk.revert(MODEL, reason=REASON, actor=GRACE)
        registry.set_alias = held
        registry.set_alias(MODEL, "champion", 1)
        events = desk.reconcile(MODEL, min_age=timedelta(0))

        assert [stored.event.type for stored in events] == [EventType.REVERTED]

    def test_writes_one_end_where_two_reconcile(self) -> None:
        """The second finds it recorded."""
        desk, _ = self.crashed(applied=True)
        decided = next(stored for stored in desk.ledger.events() if stored.sequence == 4)
        first = desk.decider.carry_out(decided, EventType.APPLIED)

        assert desk.decider.carry_out(decided, EventType.APPLIED) == first

    def test_takes_over_every_model_at_once(self) -> None:
        """Without a name it goes through all of them."""
        registry = small_registry()
        registry.add_model("another")
        desk = build_desk(registry)

        assert [stored.event.model for stored in desk.reconcile()] == ["another", MODEL]


def test_a_baseline_that_somebody_else_wrote_meanwhile_is_enough() -> None:
    """One per model."""
    registry = small_registry()
    ledger = InMemoryLedger()
    desk = build_desk(registry, ledger)
    state = registry.state

    def race(model: str) -> ModelState:
        registry.state = state
        build_desk(registry, ledger).reconciler.take_over(model)
        return state(model)

    registry.state = race

    assert desk.reconciler.take_over(MODEL) is None
    assert len(list(ledger.events())) == 1


class TestTampering:
    """Registered bytes can be overwritten in MLflow; here it is seen."""

    def desk(self) -> tuple[OpenDesk, InMemoryRegistry]:
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        return desk, registry

    @pytest.mark.parametrize("lost", [False, True])
    def test_of_the_champion_is_found_by_verify(self, lost: bool) -> None:
        """Changed or gone."""
        desk, registry = self.desk()
        registry._models[MODEL].files[1] = {} if lost else {"MLmodel": b"evil"}
        (problem,) = desk.verify()

        assert (problem.kind, problem.model) == ("tampering", MODEL)
        assert problem.as_json()["text"].startswith(
            "the files of champion 1 " + ("are gone" if lost else "have the fingerprint ")
        )

    def test_is_recorded_once_by_reconcile(self) -> None:
        """An alarm, not a flood."""
        desk, registry = self.desk()
        registry.write_file(MODEL, 1, "model.skops", content=b"evil")

        assert [stored.event.type for stored in desk.reconcile(MODEL)] == [EventType.TAMPERING]
        assert desk.reconcile(MODEL) == []
        registry.write_file(MODEL, 1, "model.skops", content=b"worse")
        assert [stored.event.type for stored in desk.reconcile(MODEL)] == [EventType.TAMPERING]

    @pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION])
    def test_of_a_reviewed_version_stops_its_way(self, stage: Stage) -> None:
        """Overwritten after its review: no role on these bytes, the refusal and the alarm are kept, `verify` tells."""
        desk, registry = self.desk()
        promote(desk, 2, Stage.STAGING)
        registry.write_file(MODEL, 2, "model.skops", content=b"evil")
        before = types(desk)

        move = stage_move(MODEL, 2, stage) if stage is Stage.PRODUCTION else alias_move(MODEL, "shadow", 2)
        gate = next(each for each in desk.review(move).gates if each.name == "files_unchanged")
        assert (gate.passed, gate.mode) == (False, Mode.PREVENT)
        assert gate.why.endswith("; register what is there as a new version.")
        with pytest.raises(Blocked, match="Files unchanged since recorded: Its files have the fingerprint"):
            desk.decider.decide(Request(move, REASON, GRACE, accept_warnings=True))
        assert types(desk) == [*before, EventType.TAMPERING, EventType.DENIED]
        assert [problem.text[:23] for problem in desk.verify()] == ["the files of version 2 "]

    def test_of_a_reviewed_version_may_be_put_away(self) -> None:
        """Archiving gives no role."""
        desk, registry = self.desk()
        promote(desk, 2, Stage.STAGING)
        registry.write_file(MODEL, 2, "model.skops", content=b"evil")
        promote(desk, 2, Stage.ARCHIVED)

        assert desk.verify() == []

    def test_of_a_champion_is_not_adopted(self) -> None:
        """Neither is a move by another way onto changed bytes."""
        desk, registry = self.desk()
        promote(desk, 2, Stage.STAGING)
        registry.write_file(MODEL, 2, "model.skops", content=b"evil")
        registry.set_alias(MODEL, "champion", 2)

        with pytest.raises(Refused, match="reconcile: the files of version 2 have the fingerprint"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)
        desk.revert(MODEL, reason=REASON, actor=GRACE)
        assert desk.registry.state(MODEL).champion == 1

    def test_is_not_claimed_of_another_version_under_the_number(self) -> None:
        """After a deletion numbers begin again: what is recorded was another version's."""
        desk, registry = self.desk()
        champion(desk, 2)
        held = registry._models[MODEL].versions
        held[1] = replace(held[1], row=replace(held[1].row, created_at=held[1].row.created_at + timedelta(days=1)))
        registry.write_file(MODEL, 1, "model.skops", content=b"of another version")

        move = stage_move(MODEL, 1, Stage.STAGING)
        gate = next(each for each in desk.review(move).gates if each.name == "files_unchanged")
        assert (gate.passed, gate.required) == (True, "recorded with this decision")

    def test_that_somebody_met_is_recorded_once(self) -> None:
        """Whoever reads a version may say so; honest files record nothing."""
        desk, registry = self.desk()
        assert desk.report_tampering(desk.show(MODEL, 1)) is None
        registry.write_file(MODEL, 1, "model.skops", content=b"evil")

        assert desk.report_tampering(desk.show(MODEL, 1)) is not None
        assert desk.report_tampering(desk.show(MODEL, 1)) is None
        assert desk.reconcile(MODEL) == []

    def test_of_a_champion_that_was_deleted_is_out_of_band(self) -> None:
        """No alias, no bytes to look at."""
        desk, registry = self.desk()
        registry.delete_version(MODEL, 1)

        assert {problem.kind for problem in desk.verify()} == {"out_of_band"}

    def test_is_not_claimed_of_a_champion_whose_bytes_were_never_recorded(self) -> None:
        """An alias that points to a version that vanished has no digest in the baseline."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        version = registry.version
        registry.version = failing(registry, NotFound("gone"))
        desk = build_desk(registry)
        desk.take_over()
        registry.version = version

        assert desk.verify() == []

    def test_of_a_version_that_vanishes_while_looking_is_gone(self) -> None:
        """No traceback between two reads."""
        desk, registry = self.desk()
        registry.version = failing(registry, NotFound("gone"))

        assert [problem.kind for problem in desk.verify()] == ["tampering"]

    def test_clean_is_clean(self) -> None:
        """Nothing found where nothing is wrong."""
        desk, _ = self.desk()

        assert desk.verify() == []

    def test_of_the_ledger_is_found_too(self) -> None:
        """The chain's own problems come first."""
        ledger = InMemoryLedger()
        desk = build_desk(ledger=ledger)
        promote(desk, 1, Stage.STAGING)
        ledger._events.pop(0)

        assert desk.verify()[0].kind == "ledger"
