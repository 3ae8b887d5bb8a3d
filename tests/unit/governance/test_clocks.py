"""Clocks that are ahead, behind or set: order is told by sequence, a duration by a hand that nobody sets."""

from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from pipeline.governance.errors import Blocked, Conflict, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import ENDS, EventType, UnknownType
from pipeline.governance.rules.decide import DEADLINE, RECONCILE_AFTER
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    DatabaseClock,
    OpenDesk,
    TickingClock,
    build_desk,
    failing,
    small_registry,
)
from support.in_memory import InMemoryLedger, InMemoryRegistry

HOUR, YEAR, AT_ONCE = timedelta(hours=1), timedelta(days=365), timedelta(0)


def promote(desk: OpenDesk, version: int, stage: Stage):
    return desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE)


def champion(desk: OpenDesk, version: int) -> None:
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        promote(desk, version, stage)


def types(desk: OpenDesk) -> list[EventType | UnknownType]:
    return [stored.event.type for stored in desk.ledger.events(model=MODEL)]


class TestTimeThatGoesBack:
    """Between two decisions somebody sets the clock, or another machine decides."""

    @pytest.mark.parametrize(
        "set_by",
        [
            pytest.param((HOUR, AT_ONCE, AT_ONCE), id="the first was ahead"),
            pytest.param((AT_ONCE, YEAR, AT_ONCE), id="the second was ahead"),
            pytest.param((AT_ONCE, AT_ONCE, -HOUR), id="set back before the last"),
            pytest.param((AT_ONCE, -HOUR, AT_ONCE), id="the second was behind"),
            pytest.param((2 * HOUR, HOUR, AT_ONCE), id="set back twice"),
        ],
    )
    def test_leaves_no_period_of_negative_length(self, set_by: tuple[timedelta, ...]) -> None:
        """Periods follow each other as the decisions did, and now is the time of the last one."""
        clock = TickingClock()
        desk = build_desk(clock=clock)
        for version, ahead in enumerate(set_by, 1):
            clock.set_by = ahead
            champion(desk, version)
        periods = desk.champions(MODEL)

        assert [period.version for period in periods] == [1, 2, 3]
        assert all(period.end >= period.start for period in periods if period.end)
        assert all(before.end <= after.start for before, after in pairwise(periods) if before.end)
        assert periods[-1].end is None
        assert desk.at(MODEL, clock.now()).champion == 3
        assert desk.at(MODEL, clock.now()).stages[3] == "Production"

    def test_leaves_no_difference_that_was_seen_before_it_began(self) -> None:
        """The bracket in which something moved has no negative length either."""
        clock, registry = TickingClock(set_by=HOUR), small_registry()
        desk = build_desk(registry, clock=clock)
        champion(desk, 1)
        clock.set_by = AT_ONCE
        registry.set_alias(MODEL, "champion", 3)
        (difference,) = desk.differences(MODEL)

        assert difference.since <= difference.seen

    def test_says_of_a_period_in_the_past_what_was_decided_by_then(self) -> None:
        """A stamp of a year ahead does not hide what followed it."""
        clock = TickingClock()
        desk = build_desk(clock=clock)
        champion(desk, 1)
        before = clock.now()
        clock.set_by = YEAR
        champion(desk, 2)
        clock.set_by = AT_ONCE
        champion(desk, 3)

        assert desk.at(MODEL, before).champion == 1
        assert desk.at(MODEL, clock.now() + HOUR).champion == 3
        assert desk.at(MODEL, clock.now() + 2 * YEAR).champion == 3


class TestVerifyNamesIt:
    """Where time went back, by more than clocks differ: no problem, for order is told by sequence."""

    def stamped(self, *ahead: timedelta) -> list[str]:
        clock = TickingClock()
        desk = build_desk(clock=clock)
        desk.take_over()
        for each in ahead:
            clock.set_by = each
            with pytest.raises(Blocked):
                promote(desk, 1, Stage.PRODUCTION)
        assert desk.verify() == []
        return desk.set_back()

    def test_with_number_and_length(self) -> None:
        """Of the event that is stamped before the one it follows."""
        assert self.stamped(3 * HOUR, AT_ONCE) == [
            "event 3 is stamped 2 h before event 2; a clock was set, or ran ahead"
        ]

    def test_and_not_where_clocks_differ_as_they_do(self) -> None:
        """Hosts are seconds apart, and a lock is waited for."""
        assert self.stamped(timedelta(seconds=50), AT_ONCE) == []

    def test_and_counts_those_before_the_newest(self) -> None:
        """Five are named."""
        found = self.stamped(*([HOUR, AT_ONCE] * 7))

        assert (len(found), found[0]) == (6, "time went back 2 more times before")
        assert found[-1].startswith("event 15 is stamped")


class TestTheDeadline:
    """Of a promoter, by its own steady hand."""

    @staticmethod
    def held_up(desk: OpenDesk, meanwhile: Callable[[TickingClock], None]) -> None:
        """Something happens to the clock after the intent is recorded."""
        intend = desk.decider.intend

        def slow(*arguments: Any, **options: Any):
            stored = intend(*arguments, **options)
            meanwhile(desk.clock)
            return stored

        object.__setattr__(desk.decider, "intend", slow)

    def test_is_missed_although_the_clock_was_set_back(self) -> None:
        """A process that slept must not write."""
        desk = build_desk(clock=TickingClock())

        def sleep(clock: TickingClock) -> None:
            clock.time += 2 * DEADLINE
            clock.set_by = -HOUR

        desk.take_over()
        self.held_up(desk, sleep)
        with pytest.raises(Unavailable, match="took longer than 15 s"):
            promote(desk, 1, Stage.STAGING)
        assert desk.registry.state(MODEL).stages[1] is Stage.NONE

    def test_is_not_missed_because_the_clock_was_set_ahead(self) -> None:
        """No time has passed."""
        desk = build_desk(clock=TickingClock())

        def set_ahead(clock: TickingClock) -> None:
            clock.set_by = HOUR

        desk.take_over()
        self.held_up(desk, set_ahead)
        promote(desk, 1, Stage.STAGING)

        assert desk.registry.state(MODEL).stages[1] is Stage.STAGING


class TestTheAgeOfAnIntent:
    """By the database's clock, or since the reconciler first saw it: nobody's stamp counts."""

    def half_done(self, *, stamped: timedelta) -> tuple[OpenDesk, InMemoryLedger, TickingClock]:
        """An intent that did not reach the registry, by a machine whose clock was set; and the database's clock."""
        registry, truth = small_registry(), TickingClock()
        ledger = InMemoryLedger(database_clock=DatabaseClock(truth))
        desk = build_desk(registry, ledger, clock=TickingClock(set_by=stamped))
        registry.set_stage = failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.STAGING)
        del registry.set_stage
        return desk, ledger, truth

    def test_is_not_told_by_a_stamp_that_is_ahead(self) -> None:
        """It blocks its slot no longer than any other."""
        desk, ledger, truth = self.half_done(stamped=YEAR)
        other = build_desk(desk.registry, ledger)
        young = other.reconcile(MODEL)
        truth.time += RECONCILE_AFTER

        assert young == []
        assert [stored.event.type for stored in other.reconcile(MODEL)] == [EventType.ABORTED]

    def test_is_not_told_by_a_reconciler_that_is_ahead(self) -> None:
        """A live promotion is left alone."""
        desk, ledger, _ = self.half_done(stamped=AT_ONCE)

        assert build_desk(desk.registry, ledger, clock=TickingClock(set_by=2 * HOUR)).reconcile(MODEL) == []

    def test_is_told_by_the_reconciler_s_own_hand_where_the_database_s_clock_stands(self) -> None:
        """Since it first saw the intent, in whichever of its looks."""
        desk, ledger, _ = self.half_done(stamped=YEAR)
        clock = TickingClock()
        watching = build_desk(desk.registry, ledger, clock=clock)
        assert watching.look() == []
        clock.time += RECONCILE_AFTER
        clock.set_by = -YEAR

        assert [each.age >= RECONCILE_AFTER for each in watching.pending()] == [True]
        assert [stored.event.type for stored in watching.reconcile(MODEL)] == [EventType.ABORTED]

    @pytest.mark.parametrize("stamped", [YEAR, -YEAR])
    def test_does_not_matter_where_somebody_says_so(self, stamped: timedelta) -> None:
        """`--min-age 0` ends it at once."""
        desk, ledger, _ = self.half_done(stamped=stamped)

        assert len(build_desk(desk.registry, ledger).reconcile(MODEL, min_age=AT_ONCE)) == 1


class TestAPromoterWhoseIntentSomebodyEnded:
    """It notices before its next write; what it wrote too late is found."""

    @staticmethod
    def end_it(desk: OpenDesk) -> None:
        build_desk(desk.registry, desk.ledger).reconcile(MODEL, min_age=AT_ONCE)

    def test_writes_nothing_more(self) -> None:
        """Aborted before the first write."""
        desk = build_desk()
        desk.take_over()
        is_open = desk.decider._is_open

        def ended(*arguments: Any) -> bool:
            self.end_it(desk)
            return is_open(*arguments)

        object.__setattr__(desk.decider, "_is_open", ended)
        with pytest.raises(Conflict, match=r"was not applied \(aborted\): reconcile ended it meanwhile"):
            promote(desk, 1, Stage.STAGING)

        assert desk.registry.state(MODEL).stages[1] is Stage.NONE
        assert types(desk) == [EventType.BASELINE, EventType.DECIDED, EventType.ABORTED]
        assert desk.verify() == []

    def test_is_told_of_the_success_that_somebody_else_recorded(self) -> None:
        """The alias was moved, reconcile did the rest: one end, and that is the answer."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        set_alias = registry.set_alias

        def set_and_end(*arguments: Any) -> None:
            registry.set_alias = set_alias
            set_alias(*arguments)
            self.end_it(desk)

        registry.set_alias = set_and_end  # type: ignore[assignment]
        outcome = promote(desk, 2, Stage.PRODUCTION)

        assert [outcome.version, registry.state(MODEL).in_stage(Stage.PRODUCTION)] == [2, [2]]
        assert [kind in ENDS for kind in types(desk)[-2:]] == [False, True]
        assert desk.verify() == []

    @pytest.mark.parametrize("find", [OpenDesk.look, OpenDesk.reconcile])
    def test_and_that_writes_too_late_is_found(self, find: Callable[[OpenDesk], object]) -> None:
        """Aborted between its last look and its write: a conflict, and then out-of-band for everybody."""
        registry = small_registry()
        desk = build_desk(registry)
        desk.take_over()
        set_stage = InMemoryRegistry.set_stage

        def end_and_set(*arguments: Any) -> None:
            self.end_it(desk)
            set_stage(registry, *arguments)

        registry.set_stage = end_and_set  # type: ignore[assignment]
        with pytest.raises(Conflict, match="if something was written after that, reconcile shows it"):
            promote(desk, 1, Stage.STAGING)
        del registry.set_stage

        assert [each.sentence for each in desk.differences(MODEL)] == ["/1 is Staging, the ledger says None"]
        assert [stored.event.type for stored in find(desk)] == [EventType.OUT_OF_BAND]  # type: ignore[attr-defined]
        desk.revert(MODEL, reason=REASON, actor=GRACE)
        assert desk.verify() == []
