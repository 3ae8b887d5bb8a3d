"""The dashboard looks by itself, once a minute, and writes only where it may."""

import logging
from datetime import timedelta

import anyio
import pytest

from dashboard import session
from dashboard.server import LOOK_SECONDS, OwnLook, keep_looking
from pipeline.governance.errors import NotAllowed
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import EventType
from pipeline.governance.service.notices import Messenger
from support.desks import GRACE, MODEL, REASON, TickingClock, build_desk, small_registry
from support.in_memory import InMemoryLedger
from support.loops import run_async
from support.targets import KnownTargets


def anybody() -> None:
    """May decide here."""


def nobody() -> None:
    raise NotAllowed("actor: a self-declared identity decides only on this machine")


class Stop(Exception):
    """Ends the loop of a test."""


def test_it_looks_again_after_each_minute() -> None:
    """Not before the first one: the server has just looked when it started."""
    done: list[object] = []

    async def wait(seconds: float) -> None:
        if len(done) > 4:
            raise Stop
        done.append(seconds)

    with pytest.raises(Stop):
        run_async(keep_looking(lambda: done.append("look"), wait))

    assert done == [LOOK_SECONDS, "look"] * 3


def test_the_server_ends_while_it_waits() -> None:
    """Cancelled, nothing is left behind."""

    async def serve() -> str:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_looking, anybody)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        return "closed"

    assert run_async(serve()) == "closed"


def test_it_takes_over_and_records_where_somebody_may_decide(caplog: pytest.LogCaptureFixture) -> None:
    """A model that was not seen, then a move by another way; each is said in the log once."""
    registry, ledger = small_registry(), InMemoryLedger()
    look = OwnLook(build_desk(registry, ledger), anybody)
    with caplog.at_level(logging.WARNING):
        look()
        registry.set_alias(MODEL, "champion", 2)
        look()
        look()
        registry.set_alias(MODEL, "champion", None)
        look()

    assert [stored.event.type for stored in ledger.events()] == [
        EventType.BASELINE,
        EventType.OUT_OF_BAND,
        EventType.OUT_OF_BAND,
    ]
    assert [record.getMessage() for record in caplog.records] == [
        f"The desk's own look: {MODEL!r}: @champion is 2, the ledger says not there",
        "The desk's own look: nothing to see any more",
    ]


def test_it_records_nothing_where_nobody_may_decide(caplog: pytest.LogCaptureFixture) -> None:
    """Reading never writes; what moved is said all the same."""
    registry, ledger = small_registry(), InMemoryLedger()
    build_desk(registry, ledger).take_over()
    registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    with caplog.at_level(logging.WARNING):
        OwnLook(build_desk(registry, ledger), nobody)()

    assert len(list(ledger.events())) == 1
    assert "/1 is Production, the ledger says None" in caplog.text


def test_a_registry_that_is_down_is_looked_at_again(caplog: pytest.LogCaptureFixture) -> None:
    """The look ends with a line in the log, not with the server."""
    registry, ledger = small_registry(), InMemoryLedger()
    look = OwnLook(build_desk(registry, ledger), anybody)
    registry.down = True
    look()
    registry.down = False
    look()

    assert "the registry does not answer" in caplog.text
    assert [stored.event.type for stored in ledger.events()] == [EventType.BASELINE]


def test_on_an_address_that_others_reach_a_self_declared_name_records_nothing() -> None:
    """The rule of the pages holds for the look too."""
    from streamlit import config

    config.set_option("server.address", "0.0.0.0")
    ledger = InMemoryLedger()
    OwnLook(build_desk(small_registry(), ledger), session.may_record)()

    assert list(ledger.events()) == []


def test_it_begins_no_chain_beside_those_of_other_registries(caplog: pytest.LogCaptureFixture) -> None:
    """Yesterday's registry may be gone, and this one stand at its address: only a person says that it is new."""
    ledger = InMemoryLedger(registry="yesterday", address="sqlite:////srv/mlflow.db")
    build_desk(small_registry(), ledger).take_over()
    ledger._id = "today"
    ledger.models = list  # the chain of today's registry is empty
    OwnLook(build_desk(small_registry(), ledger), anybody)()

    assert [stored.event.type for stored in ledger.events()] == [EventType.BASELINE]
    assert "it knows yesterday at sqlite:////srv/mlflow.db" in caplog.text


def test_it_tells_people_also_while_the_registry_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    """What could not be sent is in the log, and nothing of it ends the look."""
    targets, ledger, clock = KnownTargets(silent={"t1"}), InMemoryLedger(told=("applied",)), TickingClock()
    desk = build_desk(small_registry(), ledger, clock=clock, messenger=Messenger(ledger, targets, clock))
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    desk.registry.down = True
    look = OwnLook(desk, anybody)
    with caplog.at_level(logging.WARNING):
        look()
    targets.silent.clear()
    clock.time += timedelta(minutes=5)
    look()

    assert "1 notice waits to be sent, the first about event 3: target 1 (mail) did not take it." in caplog.text
    assert len(targets.sent) == 1
