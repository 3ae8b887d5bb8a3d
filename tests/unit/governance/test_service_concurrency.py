"""Two who decide at once: one wins, the other is told."""

from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.governance.errors import (
    DecisionPending,
    LedgerBusy,
    SignoffError,
    StateChanged,
    Unavailable,
)
from pipeline.governance.lifecycle import Slot, Stage, parse_target
from pipeline.governance.record.ledger import EventType, SlotState
from pipeline.governance.rules.decide import Request
from pipeline.governance.rules.review import check_slot
from support.decisions import champion, promote, types
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    OpenDesk,
    before_the_lock,
    build_desk,
    failing,
    small_registry,
)
from support.in_memory import EPOCH


class TestConcurrency:
    """Of two who looked at the same state, one wins."""

    def test_the_other_is_told_that_the_state_changed(self) -> None:
        """Checked under the ledger's lock, after the review."""
        desk = build_desk()
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        promote(desk, 3, Stage.STAGING)
        before_the_lock(desk, lambda other: promote(other, 3, Stage.PRODUCTION))
        with pytest.raises(StateChanged):
            promote(desk, 2, Stage.PRODUCTION)

        assert desk.registry.state(MODEL).champion == 3
        assert types(desk)[-1] is EventType.DENIED

    def test_a_state_that_came_back_is_not_the_one_that_was_looked_at(self) -> None:
        """A to B and back to A between review and lock: somebody decided twice, whatever the registry shows now."""
        desk = build_desk()

        def there_and_back(other: OpenDesk) -> None:
            promote(other, 1, Stage.ARCHIVED)
            promote(other, 1, Stage.NONE)

        before_the_lock(desk, there_and_back)
        with pytest.raises(StateChanged, match="/1 changed since you looked"):
            promote(desk, 1, Stage.STAGING)

        assert desk.registry.state(MODEL).stages[1] is Stage.NONE
        assert types(desk)[-1] is EventType.DENIED

    def test_a_move_by_another_way_that_was_recorded_meanwhile_is_seen_under_the_lock(self) -> None:
        """The ledger recorded it between review and lock: nothing is decided on top of it."""
        registry = small_registry()
        desk = build_desk(registry)

        def moved(other: OpenDesk) -> None:
            registry.set_stage(MODEL, 1, Stage.ARCHIVED)
            other.reconcile(MODEL)

        before_the_lock(desk, moved)
        with pytest.raises(StateChanged, match="/1 changed since you looked"):
            promote(desk, 1, Stage.STAGING)

        assert registry.state(MODEL).stages[1] is Stage.ARCHIVED

    def test_each_slot_of_a_move_is_compared(self) -> None:
        """Also one that only follows: the stage of the version that a promotion archives."""
        desk = build_desk()
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        review = desk.review(parse_target(MODEL, 2, "Production"))
        for change, seen in zip(review.changes, review.slots, strict=True):
            slots = tuple(held._replace(generation=9) if held is seen else held for held in review.slots)
            later = replace(review, prospect=replace(review.prospect, slots=slots))
            with (
                pytest.raises(StateChanged, match=f"{change.slot.label} changed since you looked"),
                desk.decider.locked(Request(review.move, REASON, GRACE), later),
            ):
                """Nothing can be recorded."""

        assert [each.slot.label for each in review.changes] == ["@champion", "/2", "/1"]

    @pytest.mark.parametrize(
        ("seen", "error"),
        [
            pytest.param({}, None, id="as it was seen"),
            pytest.param({"since": EPOCH}, None, id="confirmed later"),
            pytest.param({"recorded": "Staging"}, StateChanged, id="another content"),
            pytest.param({"generation": 2}, StateChanged, id="decided since"),
            pytest.param({"out_of_band": True}, StateChanged, id="no out-of-band change any more"),
            pytest.param({"recorded": "Staging", "generation": 2, "out_of_band": True}, StateChanged, id="everything"),
        ],
    )
    def test_the_compare_looks_at_content_generation_and_out_of_band(
        self, seen: dict[str, Any], error: type[SignoffError] | None
    ) -> None:
        """Each of them by itself."""
        slot = Slot.of_stage(MODEL, 1)
        held = SlotState("None", 1)
        with pytest.raises(error) if error else nullcontext():
            check_slot(held, held._replace(**seen), slot)

    def test_a_slot_that_no_event_names_is_compared_as_untouched(self) -> None:
        """A version starts in stage None; an event about it since is another state."""
        slot = Slot.of_stage(MODEL, 1)
        check_slot(None, SlotState.initial(slot), slot)
        with pytest.raises(StateChanged):
            check_slot(None, SlotState("None", 1), slot)
        with pytest.raises(DecisionPending):
            check_slot(SlotState("None", 0, "decision-1"), SlotState("None", 0, "decision-1"), slot)

    def test_a_pending_decision_stops_the_next_one(self) -> None:
        """Until reconcile has finished it."""
        registry = small_registry()
        desk = build_desk(registry)
        held, registry.set_stage = registry.set_stage, failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable, match="reconcile finishes it"):
            promote(desk, 1, Stage.STAGING)
        registry.set_stage = held
        with pytest.raises(DecisionPending):
            promote(desk, 1, Stage.ARCHIVED)

    def test_a_pending_decision_is_seen_under_the_lock_too(self) -> None:
        """It may have come after the review."""
        registry = small_registry()
        desk = build_desk(registry)

        def half_done(other: OpenDesk) -> None:
            held, registry.set_stage = registry.set_stage, failing(registry, Unavailable("gone"))
            with pytest.raises(Unavailable):
                promote(other, 1, Stage.STAGING)
            registry.set_stage = held

        before_the_lock(desk, half_done)
        with pytest.raises(DecisionPending):
            promote(desk, 1, Stage.STAGING)

    def test_a_late_writer_gives_up(self) -> None:
        """A promoter that slept past its deadline must not write."""
        desk = build_desk()
        desk.reconciler.take_over(MODEL)
        intend = desk.decider.intend

        def slow(*arguments: Any, **options: Any):
            stored = intend(*arguments, **options)
            desk.clock.time += timedelta(minutes=1)
            return stored

        object.__setattr__(desk.decider, "intend", slow)
        with pytest.raises(Unavailable, match="took longer than"):
            promote(desk, 1, Stage.STAGING)

        assert desk.registry.state(MODEL).stages[1] is Stage.NONE

    def test_a_ledger_that_is_busy_at_the_end_leaves_the_intent(self) -> None:
        """The registry was changed, and reconcile records it."""
        desk = build_desk()
        desk.reconciler.take_over(MODEL)
        object.__setattr__(desk.decider, "close", failing(small_registry(), LedgerBusy("locked")))
        with pytest.raises(Unavailable, match="reconcile finishes it"):
            promote(desk, 1, Stage.STAGING)
