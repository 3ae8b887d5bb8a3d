"""Which version is served: the alias and the ledger must agree, and the last good one goes on."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Slot, Stage
from pipeline.governance.record.ledger import Event, EventType, SlotChange, StoredEvent
from pipeline.governance.service import GovernanceService
from pipeline.serving.champion import Follower
from pipeline.serving.scorer import Scorer
from pipeline.serving.worker.client import WorkerRefusal
from support.desks import GRACE, MODEL, REASON, TickingClock, build_desk, small_registry
from support.in_memory import InMemoryLedger, InMemoryRegistry
from support.served import POLICY, KnownWorker


class FallibleLedger(InMemoryLedger):
    """`down`: it does not say what is newest."""

    down = False

    def last(self, model: str) -> StoredEvent | None:
        if self.down:
            raise Unavailable("the ledger does not answer")
        return super().last(model)


@pytest.fixture
def registry() -> InMemoryRegistry:
    found = small_registry()
    found.set_alias(MODEL, "champion", 1)
    found.set_stage(MODEL, 1, Stage.PRODUCTION)
    return found


@pytest.fixture
def ledger() -> FallibleLedger:
    return FallibleLedger()


@pytest.fixture
def service(registry: InMemoryRegistry, ledger: InMemoryLedger) -> GovernanceService:
    """Version 1 is champion, and recorded as such."""
    found = build_desk(registry, ledger)
    found.take_over()
    return found


@pytest.fixture
def worker() -> KnownWorker:
    return KnownWorker()


@pytest.fixture
def follower(service: GovernanceService, worker: KnownWorker) -> Iterator[Follower]:
    found = Follower(service, Scorer(service, worker, POLICY), MODEL)
    yield found
    found.close()


def promote(service: GovernanceService, version: int) -> None:
    for stage in (Stage.STAGING, Stage.PRODUCTION):
        service.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)


def served(follower: Follower) -> int | None:
    found = follower.status.served
    return found.target.resolved.version if found else None


def test_nothing_is_served_before_the_first_look(follower: Follower) -> None:
    """And that is said, not guessed."""
    assert not follower.status.ready
    assert "not looked at yet" in follower.status.reason


def test_the_recorded_champion_is_served(follower: Follower, service: GovernanceService) -> None:
    """With its digest, and since when it is champion."""
    status = follower.refresh()

    assert status.ready
    assert not status.degraded
    assert status.served is not None
    assert status.served.target.digest == service.show(MODEL, 1).file_digest
    assert status.served.since == service.champions(MODEL)[-1].start


def test_a_new_champion_takes_over_after_it_has_answered(
    follower: Follower, service: GovernanceService, worker: KnownWorker
) -> None:
    """It is loaded and tried with a row first; what holds the old one goes on with it."""
    before = follower.refresh().served
    promote(service, 2)
    worker.asked.clear()
    follower.refresh()

    new = str(service.show(MODEL, 2).file_digest)
    assert served(follower) == 2
    assert worker.asked[:2] == [("describe", new), ("predict", new)]
    assert before is not None
    assert before.target.resolved.version == 1


def test_nothing_is_loaded_again_while_nothing_changes(follower: Follower, worker: KnownWorker) -> None:
    """A look asks for one prediction, which tells whether the worker still answers."""
    follower.refresh()
    worker.asked.clear()
    follower.refresh()
    assert [name for name, _ in worker.asked] == ["predict"]


def test_a_version_with_another_digest_is_never_loaded(
    follower: Follower, service: GovernanceService, registry: InMemoryRegistry, worker: KnownWorker
) -> None:
    """The last good one goes on, degraded, and the reason names both digests."""
    follower.refresh()
    promote(service, 2)
    registry.write_file(MODEL, 2, "model.skops", content=b"something else")
    worker.asked.clear()
    status = follower.refresh()

    assert served(follower) == 1
    assert status.ready
    assert "its files have the fingerprint" in status.reason
    assert {name for name, _ in worker.asked} == {"predict"}


def test_files_that_change_under_the_champion_are_told(follower: Follower, registry: InMemoryRegistry) -> None:
    """What was loaded goes on: its private copy has the recorded digest."""
    follower.refresh()
    registry.write_file(MODEL, 1, "model.skops", content=b"something else")
    assert follower.refresh().degraded
    assert served(follower) == 1


def test_an_alias_that_somebody_else_moved_is_not_followed(follower: Follower, registry: InMemoryRegistry) -> None:
    """The ledger has not confirmed it; once it is moved back all is well."""
    follower.refresh()
    registry.set_alias(MODEL, "champion", 2)
    status = follower.refresh()
    assert served(follower) == 1
    assert (
        "was changed outside of this desk: it is version 2 in the registry, the record says version 1" in status.reason
    )
    registry.set_alias(MODEL, "champion", 1)
    assert not follower.refresh().degraded


def test_an_adopted_change_is_followed(
    follower: Follower, registry: InMemoryRegistry, service: GovernanceService
) -> None:
    """Then it is recorded."""
    follower.refresh()
    registry.set_alias(MODEL, "champion", 2)
    registry.set_stage(MODEL, 2, Stage.PRODUCTION)
    registry.set_stage(MODEL, 1, Stage.ARCHIVED)
    service.reconcile(MODEL)
    service.adopt(MODEL, reason=REASON, actor=GRACE)
    assert not follower.refresh().degraded
    assert served(follower) == 2


def test_a_model_that_has_no_champion_any_more_is_not_served(
    follower: Follower, registry: InMemoryRegistry, service: GovernanceService
) -> None:
    """Registry and ledger agree, so nobody wants it served."""
    follower.refresh()
    registry.set_alias(MODEL, "champion", None)
    assert follower.refresh().ready
    service.reconcile(MODEL)
    service.adopt(MODEL, reason=REASON, actor=GRACE)

    status = follower.refresh()
    assert not status.ready
    assert status.reason == f"champion: {MODEL!r} has none"


def test_a_model_that_the_ledger_does_not_know_is_not_served(registry: InMemoryRegistry, worker: KnownWorker) -> None:
    """The sentence says how to take it over."""
    service = build_desk(registry)
    status = Follower(service, Scorer(service, worker, POLICY), MODEL).refresh()
    assert not status.ready
    assert "run `signoff reconcile" in status.reason
    assert worker.asked == []


@pytest.mark.parametrize("part", ["registry", "ledger"])
def test_the_last_good_one_goes_on_while_a_part_is_down(
    follower: Follower, registry: InMemoryRegistry, ledger: FallibleLedger, part: str
) -> None:
    """Degraded until it answers again."""
    follower.refresh()
    down = registry if part == "registry" else ledger
    down.down = True
    status = follower.refresh()
    assert status.ready
    assert status.degraded
    assert served(follower) == 1
    down.down = False
    assert not follower.refresh().degraded


def test_the_copy_stays_while_the_registry_is_gone(
    follower: Follower, registry: InMemoryRegistry, worker: KnownWorker
) -> None:
    """A worker that starts anew finds the files."""
    follower.refresh()
    registry.down = True
    worker.asked.clear()
    assert follower.refresh().answers
    assert worker.asked


def test_a_new_champion_that_does_not_answer_is_not_served(
    follower: Follower, service: GovernanceService, worker: KnownWorker
) -> None:
    """It cannot be used, so the last good one goes on."""
    follower.refresh()
    promote(service, 2)
    worker.refusal = WorkerRefusal("version 2", "crashed", kind="crash")
    status = follower.refresh()
    assert served(follower) == 1
    assert status.degraded


def test_a_worker_that_does_not_answer_is_not_ready(follower: Follower, worker: KnownWorker) -> None:
    """And ready again when it does."""
    follower.refresh()
    worker.refusal = Unavailable("the worker: does not start")
    status = follower.refresh()
    assert (status.ready, status.reason) == (False, "the worker: does not start")
    worker.refusal = None
    assert follower.refresh().ready


def test_a_look_that_fails_by_a_mistake_is_told(follower: Follower) -> None:
    """What serves goes on."""
    follower.refresh()
    follower.refresh_failed()
    assert follower.status.ready
    assert follower.status.degraded


def test_a_decision_under_way_is_named(follower: Follower, registry: InMemoryRegistry, ledger: InMemoryLedger) -> None:
    """Between the intent and its end the alias may already have moved."""
    follower.refresh()
    change = SlotChange(Slot.of_alias(MODEL, "champion"), "1", "2", "1")
    with ledger.transaction() as transaction:
        transaction.append(Event(EventType.DECIDED, MODEL, TickingClock().now(), (change,), decision="d"))
    registry.set_alias(MODEL, "champion", 2)
    assert "a decision about it has not ended" in follower.refresh().reason
    assert served(follower) == 1


def test_status_is_one_value(follower: Follower) -> None:
    """Whoever reads it sees what belongs together."""
    status = follower.refresh()
    assert follower.status is status
    assert replace(status, answers=False).ready is False


def test_a_look_that_ends_after_the_server_changes_nothing(follower: Follower, service: GovernanceService) -> None:
    """The workers are gone by then: what it found is no news about the champion."""
    before = follower.refresh()
    promote(service, 2)
    follower.close()

    assert follower.refresh() == before
    assert follower.status == before
