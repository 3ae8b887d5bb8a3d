"""What verify says of a registry that it does not know, of a ledger that is not there, and of what has not ended."""

from datetime import timedelta

import pytest

from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import KnownRegistry
from pipeline.governance.record.ledger import EventType, iso
from pipeline.governance.rules.reconcile import lasting, pending_json, unknown_registry
from pipeline.governance.service import GovernanceService
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    DatabaseClock,
    TickingClock,
    build_desk,
    failing,
    small_registry,
)
from support.in_memory import EPOCH, InMemoryLedger, InMemoryRegistry

HERE, THERE = "sqlite:////srv/mlflow.db", "http://mlflow:5000"


class SharedLedger(InMemoryLedger):
    """A ledger that holds chains of other registries too."""

    def __init__(self, known: list[KnownRegistry], *, registry: str = "registry-1", address: str = HERE) -> None:
        super().__init__(registry=registry, address=address)
        self.known = known

    def exists(self) -> bool:
        return True

    def registries(self) -> list[KnownRegistry]:
        return self.known


def known(*pairs: tuple[str, str]) -> list[KnownRegistry]:
    return [KnownRegistry(address, registry, EPOCH) for address, registry in pairs]


def with_events(ledger: InMemoryLedger) -> InMemoryLedger:
    build_desk(small_registry(), ledger).take_over()
    return ledger


class TestWhichRegistry:
    """The ledger keeps which address had which id."""

    def test_a_registry_that_it_knows_is_none_to_speak_of(self) -> None:
        """By address and id; where nobody said an address, by the id alone."""
        assert unknown_registry(with_events(SharedLedger(known((HERE, "registry-1")))), "registry-1") is None
        assert unknown_registry(with_events(SharedLedger([], address="")), "registry-1") is None

    def test_a_ledger_of_before_the_addresses_were_kept_says_nothing_about_them(self) -> None:
        """Its chain is known by the id."""
        assert unknown_registry(with_events(SharedLedger([])), "registry-1") is None

    def test_an_address_without_a_known_id_is_a_problem(self) -> None:
        """Mistyped, or its database is gone: both are named."""
        found = unknown_registry(SharedLedger(known((THERE, "registry-1")), registry=""), None)

        assert found == (
            f"the ledger holds nothing about the registry at {HERE} (it has no id), it knows registry-1 at {THERE}; "
            "name the right address, or `verify --new` if the registry is new"
        )

    def test_an_id_that_is_not_known_is_a_problem(self) -> None:
        """Another registry has the address now."""
        found = unknown_registry(SharedLedger(known((HERE, "registry-1")), registry="registry-2"), "registry-2")

        assert f"at {HERE} (its id is registry-2), it knows registry-1 at {HERE};" in found  # type: ignore[operator]

    def test_a_known_id_at_another_address_is_a_problem(self) -> None:
        """A copy, or the same one moved."""
        found = unknown_registry(with_events(SharedLedger(known((THERE, "registry-1")))), "registry-1")

        assert found == (
            f"the ledger knows the registry at {HERE} by its id registry-1, but at {THERE}; name that address, or "
            "reconcile if it has moved"
        )

    @pytest.mark.parametrize(
        ("count", "named"),
        [(0, "it knows another one;"), (2, "it knows r0 at a0, r1 at a1;"), (7, "r6 at a6 and 2 more;")],
    )
    def test_the_newest_of_many_are_named(self, count: int, named: str) -> None:
        """Also none, in a ledger of before they were kept."""
        ledger = SharedLedger(known(*((f"a{number}", f"r{number}") for number in range(count))), address="")

        assert named in str(unknown_registry(ledger, "registry-9"))
        assert "nothing about this registry" in str(unknown_registry(ledger, "registry-9"))

    def test_verify_names_it_unless_the_registry_is_new(self) -> None:
        """First of all, because the rest is about nothing then."""
        desk = build_desk(ledger=SharedLedger(known((THERE, "registry-1"))))

        assert [each.kind for each in desk.verify()] == ["registry"]
        assert desk.verify(new=True) == []
        assert str(desk.unknown_registry()).startswith("the ledger holds nothing about")

    def test_a_ledger_that_is_not_there_is_a_problem(self) -> None:
        """For verify; the dashboard begins one."""
        desk = build_desk()

        assert [each.text.partition(":")[0] for each in desk.verify()] == ["there is no ledger"]
        assert desk.verify(new=True) == []
        assert desk.unknown_registry() is None

    def test_reconcile_makes_the_address_of_a_known_chain_known(self) -> None:
        """Also where it has nothing to record."""
        ledger = InMemoryLedger(address=HERE)
        desk = build_desk(ledger=ledger)
        desk.take_over()
        ledger.address = THERE
        before = [each.kind for each in desk.verify()]

        assert (before, desk.reconcile(), desk.verify()) == (["registry"], [], [])

    def test_a_registry_that_is_silent_says_why(self) -> None:
        """And one that answers says nothing."""
        registry = small_registry()
        desk = build_desk(registry)
        before, registry.down = desk.silence(), True

        assert (before, desk.silence()) == (None, "the registry does not answer")


class TestWhatHasNotEnded:
    """Somebody waits for it, and nobody may decide about its slots."""

    def desk(self) -> tuple[GovernanceService, TickingClock]:
        clock, registry = TickingClock(), small_registry()
        desk = build_desk(registry, InMemoryLedger(database_clock=DatabaseClock(clock)), clock=clock)
        registry.set_stage = failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
        del registry.set_stage
        return desk, clock

    def test_is_a_finding_after_three_deadlines(self) -> None:
        """With since when; before that somebody may be at work."""
        desk, clock = self.desk()
        young = desk.verify()
        clock.time += timedelta(minutes=3)
        (problem,) = desk.verify()

        assert young == []
        assert (problem.kind, problem.model) == ("pending", MODEL)
        assert problem.text.startswith("decision 2 is pending since 2026-01-01 00:00:0")
        assert problem.text.endswith(" UTC, for 3 min; reconcile finishes it")

    def test_is_named_on_the_first_page(self) -> None:
        """Young or old."""
        desk, _ = self.desk()

        assert [each.sequence for each in desk.overview()[0].pending] == [2]

    def test_is_plain_json(self) -> None:
        """With the names that other tools read, and its age in seconds."""
        desk, _ = self.desk()
        (pending,) = desk.pending()

        assert pending_json(pending) == {
            "sequence": 2,
            "model": MODEL,
            "decision": "decision-1",
            "at": iso(pending.at),
            "age_seconds": pending.age.total_seconds(),
        }

    def test_is_gone_once_reconcile_has_finished_it(self) -> None:
        """Nothing is pending, nothing is found."""
        desk, clock = self.desk()
        clock.time += timedelta(minutes=3)

        assert [stored.event.type for stored in desk.reconcile()] == [EventType.ABORTED]
        assert (desk.pending(), desk.verify(), desk.overview()[0].pending) == ([], [], ())


@pytest.mark.parametrize(
    ("age", "said"),
    [
        (timedelta(seconds=59.9), "59 s"),
        (timedelta(seconds=119), "119 s"),
        (timedelta(minutes=2), "2 min"),
        (timedelta(minutes=119), "119 min"),
        (timedelta(hours=3), "3 h"),
        (timedelta(days=9), "9 days"),
    ],
)
def test_a_duration_is_said_in_its_largest_unit(age: timedelta, said: str) -> None:
    """As soon as there are two of it."""
    assert lasting(age) == said


def test_nothing_of_it_writes() -> None:
    """Neither to the registry nor to a ledger that is there or not."""
    registry, ledger = InMemoryRegistry(), InMemoryLedger(address=HERE)
    desk = build_desk(registry, ledger)
    desk.verify()
    desk.unknown_registry()
    desk.silence()
    desk.pending()

    assert not ledger.exists()
    assert ledger.registries() == []
