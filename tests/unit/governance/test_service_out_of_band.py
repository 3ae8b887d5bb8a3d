"""What somebody moved by another way: shown, adopted or reverted."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from pipeline.governance.errors import (
    Conflict,
    NotAllowed,
    OutOfBand,
    Refused,
    StateChanged,
)
from pipeline.governance.lifecycle import Slot, Stage
from pipeline.governance.record.history import outside_periods
from pipeline.governance.record.ledger import EventType, SlotState
from pipeline.governance.record.out_of_band import champion_differs, check_unmoved, state_text
from support.decisions import champion, promote, types
from support.desks import (
    GRACE,
    MODEL,
    PIPELINE,
    REASON,
    OpenDesk,
    build_desk,
    small_registry,
)
from support.in_memory import InMemoryRegistry


def move_stages(registry: InMemoryRegistry, stages: dict[int, Stage]) -> None:
    for version, stage in stages.items():
        registry.set_stage(MODEL, version, stage)


@dataclass
class KnownSlot:
    """The ledger under its lock, where every slot is as the test says."""

    held: SlotState | None

    def slot(self, _: Slot) -> SlotState | None:
        return self.held


class TestOutOfBand:
    """Somebody moved it by another way."""

    def moved(self) -> tuple[OpenDesk, InMemoryRegistry]:
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_alias(MODEL, "champion", 3)
        return desk, registry

    def test_is_shown_with_the_time_in_which_it_happened(self) -> None:
        """After the ledger last knew, before it was seen."""
        desk, _ = self.moved()
        (difference,) = desk.differences(MODEL)

        assert difference.sentence == "@champion is 3, the ledger says 1"
        assert difference.since == desk.history(MODEL)[-1].at
        assert difference.seen > difference.since
        assert difference.as_json()["slot"] == "@champion"
        assert not difference.reported

    def test_is_said_in_plain_words(self) -> None:
        """What was changed, and what registry and record say, without the names of our parts."""
        desk, registry = self.moved()
        promote(desk, 2, Stage.STAGING)
        desk.set_alias(MODEL, "mine", 2, reason=REASON, actor=GRACE)
        registry.set_alias(MODEL, "mine", None)
        move_stages(registry, {1: Stage.ARCHIVED})
        registry.delete_version(MODEL, 2)

        assert [each.plain for each in desk.differences(MODEL)] == [
            "The champion was changed outside of this desk: the registry says version 3, the record says version 1.",
            "The alias mine was changed outside of this desk: the registry says no version, the record says version 2.",
            (
                "The stage of version 1 was changed outside of this desk: "
                "the registry says Archived, the record says Production."
            ),
            "Version 2 was deleted outside of this desk: the record says that it is in Staging.",
        ]
        assert [each.of_champion for each in desk.differences(MODEL)] == [True, False, False, False]

    def test_is_a_period_of_its_own(self) -> None:
        """From when it was seen until somebody ended it, or it moved again; other aliases are no part of it."""
        desk, registry = self.moved()
        registry.set_alias(MODEL, "mine", 2)
        desk.reconcile(MODEL)
        registry.set_alias(MODEL, "champion", None)
        desk.reconcile(MODEL)
        registry.set_alias(MODEL, "mine", 3)
        desk.reconcile(MODEL)
        desk.revert(MODEL, reason=REASON, actor=GRACE)
        registry.set_alias(MODEL, "champion", 2)
        desk.reconcile(MODEL)
        periods = desk.outside_periods(MODEL, 10)

        assert [each.version for each in periods] == [3, None, 2]
        assert periods[0].end == periods[1].start
        assert [each.end is None for each in periods] == [False, False, True]
        assert [each.version for each in desk.outside_periods(MODEL, 1)] == [2]
        events = list(desk.ledger.events(model=MODEL))
        assert outside_periods(MODEL, events) == periods

    def test_stops_decisions_about_that_slot_only(self) -> None:
        """Until it is adopted or reverted."""
        desk, _ = self.moved()
        promote(desk, 2, Stage.STAGING)
        with pytest.raises(OutOfBand):
            promote(desk, 2, Stage.PRODUCTION)

    def test_is_recorded_once(self) -> None:
        """A second pass finds nothing new."""
        desk, _ = self.moved()

        assert [stored.event.type for stored in desk.reconcile(MODEL)] == [EventType.OUT_OF_BAND]
        assert desk.reconcile(MODEL) == []
        assert desk.differences(MODEL)[0].reported

    def test_that_goes_away_by_itself_is_recorded_too(self) -> None:
        """And no longer stops anything."""
        desk, registry = self.moved()
        desk.reconcile(MODEL)
        registry.set_alias(MODEL, "champion", 1)

        assert [stored.event.type for stored in desk.reconcile(MODEL)] == [EventType.OUT_OF_BAND]
        assert desk.differences(MODEL) == []
        promote(desk, 2, Stage.STAGING)
        promote(desk, 2, Stage.PRODUCTION)

    def test_can_be_adopted(self) -> None:
        """The ledger takes what is there; decisions go on."""
        desk, registry = self.moved()
        move_stages(registry, {1: Stage.ARCHIVED, 3: Stage.PRODUCTION})
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.differences(MODEL) == []
        assert desk.at(MODEL, desk.clock.now()).champion == 3
        assert [period.version for period in desk.champions(MODEL)] == [1, 3]
        assert desk.history(MODEL)[-1].version == 3

    def test_that_was_adopted_names_the_version_that_moved(self) -> None:
        """Not the champion of the time, nor any where an alias was taken away."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        desk.set_alias(MODEL, "canary", 2, reason=REASON, actor=GRACE)
        named = []
        for move in (
            lambda: registry.set_alias(MODEL, "canary", 3),
            lambda: registry.set_alias(MODEL, "canary", None),
            lambda: registry.set_stage(MODEL, 2, Stage.ARCHIVED),
        ):
            move()
            desk.adopt(MODEL, reason=REASON, actor=GRACE)
            named.append(desk.history(MODEL)[-1].version)

        assert named == [3, None, 2]

    def test_can_be_reverted(self) -> None:
        """The registry gets what the ledger says, log first."""
        desk, registry = self.moved()
        desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert registry.state(MODEL).champion == 1
        assert types(desk)[-3:] == [EventType.OUT_OF_BAND, EventType.DECIDED, EventType.REVERTED]

    @pytest.mark.parametrize("end", ["adopt", "revert"])
    def test_needs_a_difference_and_a_role_to_be_ended(self, end: str) -> None:
        """Nothing to adopt is a refusal; a program may not."""
        desk, _ = self.moved()
        with pytest.raises(NotAllowed):
            getattr(desk, end)(MODEL, reason=REASON, actor=PIPELINE)
        with pytest.raises(Refused, match="nothing differs"):
            getattr(build_desk(), end)(MODEL, reason=REASON, actor=GRACE)

    @pytest.mark.parametrize("end", ["adopt", "revert"])
    def test_that_moves_again_meanwhile_is_a_conflict(self, end: str) -> None:
        """What is ended must be what was seen."""
        desk, registry = self.canary()

        def move(other: OpenDesk) -> None:
            registry.set_alias(MODEL, "canary", 1)
            other.reconcile(MODEL)

        self.meanwhile(desk, move)
        with pytest.raises(StateChanged, match="changed since you looked"):
            getattr(desk, end)(MODEL, reason=REASON, actor=GRACE)

    @pytest.mark.parametrize(
        "now",
        [
            pytest.param({"generation": 2}, id="decided since"),
            pytest.param({"observed": "1"}, id="moved since"),
            pytest.param({"pending": "decision-9"}, id="being decided"),
            pytest.param(None, id="no event names it any more"),
        ],
    )
    def test_is_compared_under_the_lock(self, now: dict[str, Any] | None) -> None:
        """Each of generation, content and what is pending by itself."""
        desk, _ = self.canary()
        desk.reconcile(MODEL)
        differences, slot = desk.differences(MODEL), Slot.of_alias(MODEL, "canary")
        held = desk.ledger.slots(MODEL)[slot]
        check_unmoved(KnownSlot(held), differences)  # type: ignore[arg-type]
        with pytest.raises(StateChanged, match="@canary changed since you looked"):
            check_unmoved(KnownSlot(None if now is None else held._replace(**now)), differences)  # type: ignore[arg-type]

    def test_that_somebody_else_adopts_meanwhile_is_adopted_once(self) -> None:
        """The registry looks the same; the ledger's generation tells."""
        desk, _ = self.canary()
        self.meanwhile(desk, lambda other: other.adopt(MODEL, reason=REASON, actor=GRACE))
        with pytest.raises(StateChanged, match="@canary changed since you looked"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert types(desk)[-2:] == [EventType.ADOPTED, EventType.DENIED]

    def canary(self) -> tuple[OpenDesk, InMemoryRegistry]:
        registry = small_registry()
        desk = build_desk(registry)
        desk.set_alias(MODEL, "canary", 2, reason=REASON, actor=GRACE)
        registry.set_alias(MODEL, "canary", 3)
        return desk, registry

    def meanwhile(self, desk: OpenDesk, act: Callable[[OpenDesk], object]) -> None:
        """Another process acts between what was read and what is written."""
        reported = desk.reconciler.reported

        def race(*arguments: Any):
            found = reported(*arguments)
            act(build_desk(desk.registry, desk.ledger))
            return found

        object.__setattr__(desk.reconciler, "reported", race)

    @pytest.mark.parametrize("end", ["adopt", "revert"])
    def test_is_ended_in_the_state_that_was_looked_at(self, end: str) -> None:
        """What was handed out is taken back, also after it was recorded as out-of-band."""
        desk, _ = self.canary()
        state = state_text(desk.differences(MODEL))
        desk.reconcile(MODEL)
        getattr(desk, end)(MODEL, reason=REASON, actor=GRACE, expect=state)

        assert state == "@canary=3#1"
        assert desk.differences(MODEL) == []

    @pytest.mark.parametrize("end", ["adopt", "revert"])
    @pytest.mark.parametrize(
        ("slot", "now"),
        [
            pytest.param("canary", "it is @canary=1#1", id="the same slot again"),
            pytest.param("shadow", "it is @canary=3#1,@shadow=1#0", id="another slot too"),
        ],
    )
    def test_that_moves_after_somebody_looked_is_not_signed(self, end: str, slot: str, now: str) -> None:
        """Nothing is written but the refusal."""
        desk, registry = self.canary()
        state, before = state_text(desk.differences(MODEL)), types(desk)
        registry.set_alias(MODEL, slot, 1)
        there = registry.state(MODEL)
        with pytest.raises(StateChanged, match=rf"expected @canary=3#1, {now}\); look at the differences again"):
            getattr(desk, end)(MODEL, reason=REASON, actor=GRACE, expect=state)

        assert types(desk) == [*before, EventType.DENIED]
        assert registry.state(MODEL) == there

    def test_that_somebody_else_has_ended_is_told(self) -> None:
        """To whoever looked before."""
        desk, _ = self.canary()
        state = state_text(desk.differences(MODEL))
        desk.adopt(MODEL, reason=REASON, actor=GRACE, expect=state)
        with pytest.raises(StateChanged, match="nothing differs any more"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE, expect=state)

    @pytest.mark.parametrize(
        ("holder", "stages"),
        [
            pytest.param(2, {}, id="the alias alone"),
            pytest.param(2, {2: Stage.ARCHIVED}, id="the alias, to an archived version"),
            pytest.param(1, {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}, id="the stages alone"),
            pytest.param(1, {1: Stage.ARCHIVED}, id="the champion is archived"),
            pytest.param(2, {1: Stage.NONE, 2: Stage.STAGING}, id="nobody is left in Production"),
        ],
    )
    def test_is_not_adopted_where_the_champion_would_leave_production(
        self, holder: int, stages: dict[int, Stage]
    ) -> None:
        """One is not had without the other; reverted, the version that should serve is promoted."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_alias(MODEL, "champion", holder)
        move_stages(registry, stages)
        with pytest.raises(Refused, match=f"champion {holder} outside Production; revert and promote"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)
        desk.revert(MODEL, reason=REASON, actor=GRACE)
        champion(desk, 2)

        assert desk.differences(MODEL) == []
        assert registry.state(MODEL).in_stage(Stage.PRODUCTION) == [2]

    def test_of_a_champion_is_adopted_where_no_stages_are_used(self) -> None:
        """Such a registry has no Production that could say otherwise."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        desk = build_desk(registry)
        desk.take_over()
        registry.set_alias(MODEL, "champion", 2)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.at(MODEL, desk.clock.now()).champion == 2

    def test_of_something_else_is_adopted_where_the_champion_was_outside_production(self) -> None:
        """As it was found; the first page says so, and the stray Production version may go."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        registry.set_stage(MODEL, 2, Stage.PRODUCTION)
        desk = build_desk(registry)
        desk.take_over()
        registry.set_alias(MODEL, "canary", 3)
        assert desk.overview()[0].outside
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        registry.set_stage(MODEL, 2, Stage.ARCHIVED)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.differences(MODEL) == []
        assert not desk.overview()[0].outside

    def test_of_a_deleted_champion_is_adopted_with_its_successor(self) -> None:
        """There is nothing to revert to."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.delete_version(MODEL, 1)
        registry.set_alias(MODEL, "champion", 2)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.differences(MODEL) == []

    def test_is_not_adopted_where_two_would_be_in_production(self) -> None:
        """At most one Production version per model."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_stage(MODEL, 2, Stage.PRODUCTION)
        with pytest.raises(Refused, match="the versions 1, 2 in Production"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)

    def test_of_a_deleted_version_can_be_adopted_and_not_reverted(self) -> None:
        """Nothing brings a deleted version back."""
        registry = small_registry()
        desk = build_desk(registry)
        promote(desk, 2, Stage.STAGING)
        registry.delete_version(MODEL, 2)
        with pytest.raises(Conflict, match="has no version 2"):
            desk.revert(MODEL, reason=REASON, actor=GRACE)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.differences(MODEL) == []

    def test_of_a_version_that_came_back_cannot_be_reverted_to_deleted(self) -> None:
        """Signoff deletes nothing."""
        registry = small_registry()
        desk = build_desk(registry)
        promote(desk, 2, Stage.STAGING)
        kept = registry._models[MODEL].versions[2]
        registry.delete_version(MODEL, 2)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        registry._models[MODEL].versions[2] = kept
        with pytest.raises(Conflict, match="cannot be brought back or deleted"):
            desk.revert(MODEL, reason=REASON, actor=GRACE)

    def test_of_a_deleted_model_is_seen(self) -> None:
        """Every slot that the ledger names is gone."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        del registry._models[MODEL]

        assert [each.sentence for each in desk.differences(MODEL)] == [
            "@champion is not there, the ledger says 1",
            "/1 is not there, the ledger says Production",
        ]

    def test_is_not_reverted_onto_bytes_that_were_not_recorded(self) -> None:
        """A number that was given out again names another version, which nobody approved."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.add_model(MODEL)
        registry.add_version(MODEL, files={"model/other": b"of somebody else"})
        with pytest.raises(
            Refused, match=r"^revert: the files of champion 1 have the fingerprint .*; adopt what is there"
        ):
            desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert registry.state(MODEL).champion is None
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        assert desk.verify() == []

    def test_is_reverted_where_the_same_bytes_were_registered_again(self) -> None:
        """What was approved is the bytes."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        files = registry._models[MODEL].files[1]
        registry.add_model(MODEL)
        registry.add_version(MODEL, files=files)
        desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert registry.state(MODEL).champion == 1

    def test_of_a_deleted_model_is_no_decision_that_stays_open(self) -> None:
        """A revert that finds no model ends as aborted; adopting ends the differences."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        del registry._models[MODEL]
        with pytest.raises(Conflict, match="aborted"):
            desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert desk.pending(MODEL) == []
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        assert desk.verify() == []

    def test_before_the_first_sight_is_not_claimed(self) -> None:
        """Only changes after the baseline can be out-of-band."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 2)
        desk = build_desk(registry)

        assert desk.differences(MODEL) == []
        assert [stored.event.type for stored in desk.take_over()] == [EventType.BASELINE]
        assert desk.take_over() == []
        assert desk.differences(MODEL) == []

    def test_is_left_for_the_next_pass_where_somebody_decided_meanwhile(self) -> None:
        """The out-of-band change is reported of what was compared, or not at all."""
        desk, _ = self.moved()
        slots = desk.ledger.slots(MODEL)
        desk.reconcile(MODEL)
        object.__setattr__(desk.ledger, "slots", lambda _: slots)

        assert desk.reconciler._report(MODEL) is None


@pytest.mark.parametrize(
    ("observed", "recorded", "differs"),
    [
        (2, 1, "it is version 2 in the registry, the record says version 1"),
        (None, 1, "it is no version in the registry, the record says version 1"),
        (2, None, "it is version 2 in the registry, the record says no version"),
    ],
)
def test_why_nothing_follows_a_champion_that_was_changed(
    observed: int | None, recorded: int | None, differs: str
) -> None:
    """Both sides, and the page on which a person ends it."""
    text = champion_differs("m", observed, recorded)

    assert text.startswith(f"the champion of 'm' was changed outside of this desk: {differs}; ")
    assert "History" in text
