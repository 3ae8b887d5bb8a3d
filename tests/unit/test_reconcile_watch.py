"""`reconcile --watch`: what it says, what it survives, and that several at once do no harm."""

import json
from datetime import timedelta

import pytest

from pipeline.cli.record import ReconcileWatch
from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import EventType
from pipeline.governance.service import DESK
from support.decisions import champion, promote, types
from support.desks import MODEL, OpenDesk, build_desk

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def desk() -> OpenDesk:
    """Version 1 is champion."""
    desk = build_desk()
    champion(desk, 1)
    return desk


def watching(desk: OpenDesk, *, as_json: bool = False) -> ReconcileWatch:
    return ReconcileWatch(desk.as_(DESK), None, timedelta(0), as_json=as_json)


def test_a_pass_that_records_something_is_one_line(desk: OpenDesk, capsys: Capture) -> None:
    """And one that finds nothing is silent."""
    watch = watching(desk)
    watch.look()
    assert capsys.readouterr() == ("", "")

    desk.registry.set_alias(MODEL, "champion", 2)
    watch.look()
    watch.look()
    said = capsys.readouterr()
    assert said.out.endswith(f" out_of_band of {MODEL} (event {desk.newest_event(MODEL)})\n")
    assert (said.out.count("\n"), said.err) == (1, "")


def test_in_json_a_line_is_an_object(desk: OpenDesk, capsys: Capture) -> None:
    """For what reads logs."""
    desk.registry.set_alias(MODEL, "champion", 2)
    watching(desk, as_json=True).look()
    found = json.loads(capsys.readouterr().out)

    assert found["events"] == [{"sequence": desk.newest_event(MODEL), "type": "out_of_band", "model": MODEL}]
    assert found["at"].endswith("Z")


def test_an_outage_is_said_once_and_survived(desk: OpenDesk, capsys: Capture) -> None:
    """When it begins and when it ends, beside the output."""
    watch, answers = watching(desk), desk.registry.models

    def silent() -> list[object]:
        raise Unavailable("The registry does not answer.")

    desk.registry.models = silent  # type: ignore[assignment]
    for _ in range(3):
        watch.look()
    desk.registry.models = answers
    desk.registry.set_alias(MODEL, "champion", 2)
    for _ in range(2):
        watch.look()

    said = capsys.readouterr()
    assert said.err == "reconcile: Unavailable: The registry does not answer.\nreconcile: goes on\n"
    assert said.out.count("\n") == 1


def test_a_decision_that_nobody_finished_is_finished_once(desk: OpenDesk, capsys: Capture) -> None:
    """By whichever of two looks first."""
    promote(desk, 2, Stage.STAGING)
    sets, desk.registry.set_alias = desk.registry.set_alias, broken
    with pytest.raises(Unavailable):
        promote(desk, 2, Stage.PRODUCTION)
    desk.registry.set_alias = sets
    for watch in (watching(desk), watching(desk)):
        watch.look()

    assert types(desk)[-2:] == [EventType.DECIDED, EventType.ABORTED]
    assert capsys.readouterr().out.count("\n") == 1


def broken(model: str, alias: str, version: int | None) -> None:
    raise Unavailable("The registry does not answer.")


def test_a_registry_that_is_not_known_is_left_to_a_person(capsys: Capture) -> None:
    """The address may lead to another one than yesterday: nothing is written about it."""
    known = build_desk()
    champion(known, 1)
    known.ledger._id = "another"
    known.unknown_registry = lambda: "the ledger holds nothing about this registry"  # type: ignore[method-assign]
    before = known.event_count()
    watch = ReconcileWatch(known, None, timedelta(0))
    watch.look()
    watch.look()

    assert known.event_count() == before
    assert capsys.readouterr() == ("", "reconcile: the ledger holds nothing about this registry\n")
