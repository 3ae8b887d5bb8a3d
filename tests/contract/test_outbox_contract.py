"""The port Outbox: one suite for every implementation."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.governance.ports import Ledger, Notice
from pipeline.governance.record.ledger import Event, EventType
from support.desks import TickingClock
from support.in_memory import EPOCH, InMemoryLedger
from support.postgres import PostgresServer

TOLD = frozenset({"applied"})
LATER = EPOCH + timedelta(minutes=5)


class FixedId:
    """A registry id that was chosen."""

    def known(self) -> str:
        return "registry-1"

    keep = known


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield InMemoryLedger(told=TOLD)
        return
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(schema=server.new_schema())
    checkpoints = tmp_path / "checkpoints.jsonl"
    opened = SqlLedger(url, registry=FixedId(), clock=TickingClock(), told=TOLD, checkpoint_file=checkpoints)
    yield opened
    opened.close()


def write(ledger: Ledger, *types: EventType) -> None:
    with ledger.transaction() as transaction:
        for each in types:
            transaction.append(Event(each, "m", EPOCH))


def test_what_is_to_be_told_waits_from_its_event_on(ledger: Ledger) -> None:
    """Of the types that people are told of; due at once."""
    assert ledger.outbox.notices() == []
    write(ledger, EventType.BASELINE, EventType.APPLIED, EventType.DENIED, EventType.APPLIED)

    assert ledger.outbox.notices() == [Notice(2, EPOCH), Notice(4, EPOCH)]


def test_an_event_that_is_not_recorded_is_not_told(ledger: Ledger) -> None:
    """Both are written in one transaction."""
    with suppress(KeyError), ledger.transaction() as transaction:
        transaction.append(Event(EventType.APPLIED, "m", EPOCH))
        raise KeyError

    assert ledger.outbox.notices() == []


def test_who_took_a_notice_has_it_for_a_while(ledger: Ledger) -> None:
    """The first that is due; after that while somebody else gets it, as it was."""
    assert ledger.outbox.claim(LATER, LATER) is None
    write(ledger, EventType.APPLIED, EventType.APPLIED)
    until = EPOCH + timedelta(minutes=2)
    taken = [ledger.outbox.claim(EPOCH, until) for _ in range(3)]

    assert [each and each.sequence for each in taken] == [1, 2, None]
    assert ledger.outbox.claim(until, LATER) == Notice(1, until)
    assert ledger.outbox.claim(EPOCH - timedelta(seconds=1), LATER) is None


def test_how_it_stands_is_kept_until_everybody_has_it(ledger: Ledger) -> None:
    """What was removed does not come back."""
    write(ledger, EventType.APPLIED, EventType.APPLIED)
    after = Notice(1, LATER, 3, ("t1", "t2"), "target 3 (mail) did not take it")
    ledger.outbox.keep(after)
    kept = ledger.outbox.notices()[0]
    ledger.outbox.remove(1)
    ledger.outbox.keep(replace(after, attempts=4))
    ledger.outbox.remove(1)

    assert kept == after
    assert [each.sequence for each in ledger.outbox.notices()] == [2]


def test_nothing_of_it_is_a_problem_of_the_chain(ledger: Ledger) -> None:
    """What waits stands beside the chain."""
    write(ledger, EventType.APPLIED)

    assert ledger.problems() == []
