"""The same once more: keys, refusals that repeat themselves, and what somebody who was too late is told."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from pipeline.governance.actor import Actor, Role, UsedToken
from pipeline.governance.errors import (
    DecisionPending,
    InvalidInput,
    KeyReused,
    NotAllowed,
    StaleEvidence,
    StateChanged,
    Unavailable,
)
from pipeline.governance.lifecycle import Stage, parse_target
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import EventType, UnreadableEvent
from pipeline.governance.rules.repeats import check_unused, key_digest
from pipeline.governance.rules.signing.approval import SignedAct
from pipeline.governance.service.news import who_was_faster
from pipeline.governance.text import parse_time
from support.desks import GRACE, MODEL, REASON, OpenDesk, build_desk
from support.signers import ANNA, RITA, ask, signing, signing_desk


def types(desk: OpenDesk) -> list[EventType]:
    return [each.event.type for each in desk.ledger.events()]


def refused(desk: OpenDesk, *, actor: Actor, reason: str = REASON, version: int = 1) -> None:
    with pytest.raises(StaleEvidence):
        desk.promote(MODEL, version, Stage.STAGING, reason=reason, actor=actor, evidence="0" * 64)


class TestRefusalsThatRepeatThemselves:
    """A program tries again by itself."""

    def test_of_a_token_are_recorded_once_a_minute(self) -> None:
        """The same person, move, reason and refusal; the minute ends by the desk's clock."""
        desk = build_desk()
        actor = desk.authenticate(desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 30).secret)
        for _ in range(3):
            refused(desk, actor=actor)
        assert types(desk).count(EventType.DENIED) == 1
        refused(desk, actor=actor, version=2)
        refused(desk, actor=actor)
        refused(desk, actor=actor, reason=f"{REASON} Really.")
        assert types(desk).count(EventType.DENIED) == 3
        desk.clock.time += timedelta(minutes=1)
        refused(desk, actor=actor)
        assert types(desk).count(EventType.DENIED) == 4

    def test_what_is_refused_about_tokens_is_recorded_once_a_minute_too(self) -> None:
        """By the name of the token that was wanted."""
        desk = build_desk()
        program = desk.as_(desk.authenticate(desk.as_(GRACE).issue_token("ci", Role.VIEWER, 30).secret))
        for name in ("robot", "robot", "other", "robot"):
            with pytest.raises(NotAllowed):
                program.issue_token(name, Role.APPROVER, 1)

        assert types(desk).count(EventType.DENIED) == 2

    def test_of_several_at_once_one_is_recorded(self) -> None:
        """Whoever saw none before the lock looks again under it."""
        desk = build_desk()
        actor = desk.authenticate(desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 30).secret)
        refused(desk, actor=actor)
        page, looks = desk.ledger.page, []

        def late(*given: Any, **options: Any) -> Iterator[Any]:
            if options.get("only") != (EventType.DENIED,):
                return page(*given, **options)
            looks.append(given)
            return iter(()) if len(looks) == 1 else page(*given, **options)

        desk.ledger.page = late
        refused(desk, actor=actor)

        assert len(looks) == 2
        assert types(desk).count(EventType.DENIED) == 1

    def test_of_a_token_that_reads_nothing_are_recorded_once_too(self) -> None:
        """Whatever numbers it tries."""
        desk = signing_desk()
        caller = Actor.by_token(UsedToken("t", Role.CALLER, ANNA))
        for number in (1, 2, 3):
            with pytest.raises(NotAllowed):
                desk.as_(caller).reject(SignedAct(number, REASON, caller))

        assert types(desk).count(EventType.DENIED) == 1

    def test_of_a_person_are_recorded_each_time(self) -> None:
        """Who tries twice has tried twice."""
        desk = build_desk()
        for _ in range(2):
            refused(desk, actor=GRACE)

        assert types(desk).count(EventType.DENIED) == 2

    def test_a_damaged_refusal_is_in_nobodys_way(self) -> None:
        """It counts as none."""
        desk = build_desk()
        actor = desk.authenticate(desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 30).secret)
        page = desk.ledger.page
        desk.ledger.page = lambda *a, **k: iter([UnreadableEvent(9, "denied", MODEL), *page(*a, **k)])
        for _ in range(2):
            refused(desk, actor=actor)

        assert types(desk).count(EventType.DENIED) == 1


class TestKeys:
    """What a key stands for."""

    def test_a_body_is_part_of_it_where_there_is_one(self) -> None:
        """Without one it is what it was."""
        assert key_digest({"a": 1}) == key_digest({"a": 1}, "") != key_digest({"a": 1}, "b")

    def test_a_key_with_another_body_is_another_request(self) -> None:
        """For decisions, requests, signatures and comments."""
        desk = signing_desk(2)
        desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=ANNA, key="d", body="1")
        request = ask(desk, key="r", body="1")
        desk.approve(signing(request, ANNA, key="a", body="1"))
        first = desk.comment(MODEL, 1, "Good.", actor=RITA, key="c", body="1")
        assert desk.comment(MODEL, 1, "Good.", actor=RITA, key="c", body="1") == first
        for again in (
            lambda: desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=ANNA, key="d", body="2"),
            lambda: ask(desk, key="r", body="2"),
            lambda: desk.approve(signing(request, ANNA, key="a", body="2")),
            lambda: desk.comment(MODEL, 1, "Good.", actor=RITA, key="c", body="2"),
        ):
            with pytest.raises(KeyReused, match="key: it belongs to another request"):
                again()

    def test_a_comment_without_a_key_is_a_comment_each_time(self) -> None:
        """As before."""
        desk = build_desk()
        for _ in range(2):
            desk.comment(MODEL, 1, "Good.", actor=GRACE)

        assert types(desk) == [EventType.COMMENTED] * 2

    def test_two_at_the_same_moment_are_one(self) -> None:
        """Under the lock the second one finds the key of the first; without a key there is nothing to find."""
        desk = build_desk()
        desk.comment(MODEL, 1, "Good.", actor=GRACE, key="c")
        with desk.ledger.transaction() as transaction:
            check_unused(transaction, None)
            check_unused(transaction, "other")
            with pytest.raises(DecisionPending):
                check_unused(transaction, "c")


class Changed:
    """Knows what changed, or does not answer."""

    def __init__(self, entries: list[Entry], refusal: Exception | None = None) -> None:
        self.entries, self.refusal = entries, refusal

    def changed_from(self, model: str, state: str) -> list[Entry]:
        if self.refusal:
            raise self.refusal
        return self.entries


class TestNews:
    """Who was too late is told who was faster."""

    def test_the_newest_three_are_told(self) -> None:
        """As notes of the refusal."""
        desk = build_desk()
        state = desk.review(parse_target(MODEL, 1, "@a")).state
        for version in (1, 2, 3, 1):
            desk.set_alias(MODEL, "a", version, reason=REASON, actor=GRACE)
        with pytest.raises(StateChanged) as refusal, who_was_faster(desk, MODEL, state):
            desk.set_alias(MODEL, "a", 2, reason=REASON, actor=GRACE, expect=state)

        assert len(refusal.value.__notes__) == 3
        assert REASON in refusal.value.__notes__[0]

    def test_a_ledger_that_does_not_answer_adds_nothing(self) -> None:
        """The refusal is told all the same; other refusals are left as they are."""
        with pytest.raises(StateChanged), who_was_faster(Changed([], Unavailable("gone")), MODEL, None):
            raise StateChanged("changed")
        with pytest.raises(StaleEvidence), who_was_faster(Changed([]), MODEL, None):
            raise StaleEvidence("stale")


def test_a_history_is_read_in_parts() -> None:
    """The newest ones before an event, oldest first; of a model that is known a part may be empty."""
    desk = build_desk()
    for version in (1, 2):
        desk.promote(MODEL, version, Stage.STAGING, reason=REASON, actor=GRACE)

    assert [each.sequence for each in desk.history(MODEL, newest=2)] == [4, 5]
    assert [each.sequence for each in desk.history(MODEL, before=4, newest=2)] == [2, 3]
    assert desk.history(MODEL, before=1) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-24T09:00Z", "2026-11-24T09:00:00+00:00"),
        ("2026-11-24T09:00", "2026-11-24T09:00:00+00:00"),
        ("2026-11-24T09:00+02:00", "2026-11-24T07:00:00+00:00"),
        ("2026-11-24", "2026-11-24T00:00:00+00:00"),
    ],
)
def test_a_time_is_taken_in_utc(text: str, expected: str) -> None:
    """Without an offset it is UTC."""
    assert parse_time(text) == datetime.fromisoformat(expected)
    assert parse_time(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "soon", "0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """Also the first and the last day of the calendar, where UTC has no such day."""
    with pytest.raises(InvalidInput, match="is not a time such as"):
        parse_time(text)
