"""The history, page by page, and what was so at a time."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.governance.errors import (
    NotAllowed,
    NotFound,
    StateChanged,
    Unavailable,
)
from pipeline.governance.lifecycle import Move, MoveKind, Stage, stage_move
from pipeline.governance.record.history import Moment, Period, entry, given_out_again, one_line_each, successor
from pipeline.governance.record.ledger import EventType, UnreadableEvent, iso
from support.decisions import champion, promote
from support.desks import (
    GRACE,
    MODEL,
    PIPELINE,
    REASON,
    build_desk,
    failing,
    registered_again,
    small_registry,
)


class TestPagesOfTheHistory:
    """The newest lines first, one per decision."""

    def test_hold_each_decision_with_its_intent(self) -> None:
        """Also where the intent is on an older page, on which it is no line of its own."""
        desk = build_desk()
        for version in (1, 2):
            promote(desk, version, Stage.STAGING)
        first = desk.history_page(MODEL, lines=1)
        second = desk.history_page(MODEL, before=first.older, lines=1)
        rest = desk.history_page(MODEL, before=second.older)

        assert [(entry.sequence, intent and intent.sequence) for entry, intent in first.lines] == [(5, 4)]
        assert [(entry.sequence, intent and intent.sequence) for entry, intent in second.lines] == [(3, 2)]
        assert ([entry.sequence for entry, _ in rest.lines], rest.older) == ([1], None)
        assert desk.event(99) is None

    def test_of_a_model_that_nobody_knows_are_not_found(self) -> None:
        """An address may name anything; a model without events has an empty page."""
        desk = build_desk()
        with pytest.raises(NotFound):
            desk.history_page("nobody")
        assert desk.history_page(MODEL).lines == ()

    def test_of_some_types_name_their_intent_too(self) -> None:
        """It is looked up by its number."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING)
        ((end, intent),) = desk.history_page(MODEL, only={"applied"}).lines

        assert (end.sequence, intent and intent.sequence) == (3, 2)

    def test_name_a_decision_by_one_number(self) -> None:
        """That of its intent, which its end, the outcome and the tag on the version quote; others have their own."""
        desk = build_desk()
        outcome = promote(desk, 1, Stage.STAGING)
        line = desk.decision(outcome.sequence)
        assert line is not None
        end, intent = line

        assert (end.sequence, end.number, intent and intent.number) == (3, 2, 2)
        assert desk.registry.version(MODEL, 1).row.tags["signoff.sequence"] == "2"
        assert [desk.decision(number) for number in (1, 3, 99)] == [None, None, None]
        assert desk.history(MODEL)[0].number == 1

    def test_hold_a_decision_that_has_not_ended(self) -> None:
        """As its intent alone."""
        desk = build_desk()
        desk.registry.set_stage = failing(desk.registry, Unavailable("registry: away"))  # type: ignore[method-assign]
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.STAGING)

        line = desk.decision(2)
        assert line is not None
        assert (line[0].type, line[0].number, line[1]) == (EventType.DECIDED, 2, None)

    def test_say_what_changed_since_somebody_looked(self) -> None:
        """Of the version or a slot: who was faster, when and why; neither refusals nor what is about others."""
        desk = build_desk()
        champion(desk, 1)
        review = desk.review(stage_move(MODEL, 2, Stage.STAGING))
        assert review.newest_event == 5
        desk.set_alias(MODEL, "canary", 2, reason=REASON, actor=GRACE)
        promote(desk, 3, Stage.STAGING)
        promote(desk, 2, Stage.STAGING)
        with pytest.raises(StateChanged):
            promote(desk, 2, Stage.PRODUCTION, expect="as it was")

        slots = [change.slot for change in review.changes]
        news = desk.changed_since(MODEL, review.newest_event, slots=slots, version=2)
        of_slot = desk.changed_since(MODEL, review.newest_event, slots=slots, version=None)

        assert [(each.number, each.type, each.version) for each in news] == [(10, "applied", 2), (6, "applied", 2)]
        assert [each.number for each in of_slot] == [10]
        assert desk.changed_since(MODEL, 11, slots=slots, version=2) == []

    def test_say_what_changed_from_a_state(self) -> None:
        """To somebody who has nothing but the state of a review: each change of its slots since, the newest first."""
        desk = build_desk()
        champion(desk, 1)
        looked_at = desk.review(stage_move(MODEL, 2, Stage.STAGING)).state
        desk.set_alias(MODEL, "canary", 2, reason=REASON, actor=GRACE)
        promote(desk, 2, Stage.STAGING)
        settled = desk.review(stage_move(MODEL, 2, Stage.PRODUCTION)).state
        champion_then = promote(desk, 2, Stage.PRODUCTION).sequence

        assert [each.number for each in desk.changed_from(MODEL, looked_at)] == [champion_then, 8]
        assert [each.number for each in desk.changed_from(MODEL, settled)] == [champion_then]
        assert desk.changed_from(MODEL, desk.review(stage_move(MODEL, 2, Stage.ARCHIVED)).state) == []
        assert desk.changed_from(MODEL, "no state") == []

    def test_say_what_was_seen_to_change_from_a_state(self) -> None:
        """Also what was made outside of the desk, and not what had been seen before."""
        desk = build_desk()
        champion(desk, 1)
        before = desk.review(stage_move(MODEL, 2, Stage.STAGING)).state
        desk.registry.set_stage(MODEL, 2, Stage.ARCHIVED)
        desk.look()
        after = desk.review(stage_move(MODEL, 2, Stage.STAGING)).state

        assert [each.type for each in desk.changed_from(MODEL, before)] == ["out_of_band"]
        assert desk.changed_from(MODEL, after) == []

    def test_are_no_obstacle_to_a_review_where_the_newest_event_is_damaged(self) -> None:
        """Which `verify` reports."""
        desk = build_desk()
        desk.ledger.last = failing(desk.registry, Unavailable("the ledger's event 1 cannot be read"))  # type: ignore[method-assign]

        assert desk.review(stage_move(MODEL, 2, Stage.STAGING)).newest_event == 0

    def test_list_an_event_that_cannot_be_read(self) -> None:
        """As what its columns say; it is about no version."""
        read = entry(UnreadableEvent(3, "decided", MODEL))

        assert (read.type.value, read.at, read.as_json()["at"]) == ("unreadable", None, None)
        assert str(read.why).endswith("it is called decided.")
        assert not read.is_about(1, "2026")
        assert not replace(read, version=1).is_about(1, "2026")

    def test_a_rollback_to_a_champion_further_back_finds_its_files(self) -> None:
        """Not only to the one before; a version that never was champion has none."""
        desk = build_desk()
        for version in (1, 2, 3):
            champion(desk, version)
        first = desk.show(MODEL, 1).file_digest

        assert desk.reviewer._recorded_digest(Move(MODEL, MoveKind.ROLLBACK, 1)) == first
        assert desk.reviewer._recorded_digest(Move(MODEL, MoveKind.ROLLBACK, 9)) is None


class TestLookingBack:
    """Who was champion when."""

    def test_a_time_in_the_past_shows_champion_and_stages(self) -> None:
        """As the ledger knew them then."""
        desk = build_desk()
        champion(desk, 1)
        then = desk.clock.now()
        champion(desk, 2)

        begin, registered = desk.history(MODEL)[0].at, iso(desk.version(MODEL, 1).row.created_at)
        assert desk.at(MODEL, then) == Moment(MODEL, then, 1, {1: "Production"}, begin, registered)
        assert desk.at(MODEL, desk.clock.now()).as_json()["stages"] == {"1": "Archived", "2": "Production"}
        assert desk.at(MODEL, begin).champion is None  # type: ignore[arg-type]

    def test_before_the_ledger_begins_nothing_is_claimed(self) -> None:
        """Not that nobody was champion: somebody may have been."""
        desk = build_desk()
        champion(desk, 1)
        begin = desk.history(MODEL)[0].at
        assert begin
        before, first = desk.at(MODEL, begin - timedelta(hours=1)), desk.at(MODEL, begin)

        assert before.unknown == (
            "The ledger begins at 2026-01-01 00:00:01 UTC for this model: nothing is known about before."
        )
        assert (before.as_json()["known"], before.as_json()["since"]) == (False, iso(begin))
        assert (before.as_json()["champion"], before.as_json()["stages"]) == (None, {})
        assert (first.known, first.unknown, first.as_json()["known"]) == (True, None, True)

    def test_a_refusal_alone_is_no_beginning(self) -> None:
        """It says nothing about what the registry held."""
        desk = build_desk()
        with pytest.raises(NotAllowed):
            desk.adopt(MODEL, reason=REASON, actor=PIPELINE)
        found = desk.at(MODEL, desk.clock.now())

        assert (found.known, found.as_json()["since"]) == (False, None)
        assert found.unknown == "The ledger has not taken this model over: nothing is known about it."

    def test_a_number_that_was_given_out_again_is_two_champions(self) -> None:
        """Each by its time of registration, and a sentence says so."""
        desk = build_desk()
        champion(desk, 1)
        then, old = desk.clock.now(), desk.version(MODEL, 1).row.created_at
        assert given_out_again(desk.history(MODEL)) == []
        registered_again(desk)
        champion(desk, 1)
        new = desk.version(MODEL, 1).row.created_at

        assert [each.created_at for each in desk.champions(MODEL)] == [iso(old), iso(new)]
        assert desk.at(MODEL, then).created_at == iso(old)
        assert desk.at(MODEL, desk.clock.now()).as_json()["created_at"] == iso(new)
        assert given_out_again(desk.history(MODEL)) == [
            f"Number 1 of {MODEL} was given out again: its versions were registered {iso(old)} and {iso(new)}."
        ]

    def test_an_event_is_about_one_version_not_about_a_number(self) -> None:
        """Also one that holds the number alone: an alarm, a change that was adopted beside the champion."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.write_file(MODEL, 1, "model.skops", content=b"other bytes")
        desk.reconcile(MODEL)
        old = iso(desk.version(MODEL, 1).row.created_at)
        before = desk.history(MODEL)
        registered_again(desk)
        desk.clock.time += timedelta(hours=1)
        promote(desk, 1, Stage.STAGING)
        registry.set_stage(MODEL, 1, Stage.ARCHIVED)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        entries, new = desk.history(MODEL), iso(desk.version(MODEL, 1).row.created_at)

        assert {each.type for each in before if each.version == 1 and each.created_at is None} == {EventType.TAMPERING}
        assert [each.type for each in entries if each.is_about(1, new)] == [
            EventType.DECIDED,
            EventType.APPLIED,
            EventType.ADOPTED,
        ]
        assert not any(each.is_about(1, new) for each in before)
        assert not any(each.is_about(2, old) for each in before)
        assert {each.type for each in before if each.is_about(1, old)} >= {EventType.DECIDED, EventType.APPLIED}

    def test_the_time_line_has_no_overlap(self) -> None:
        """One period ends where the next starts."""
        desk = build_desk()
        champion(desk, 1, 2)
        first, second = desk.champions(MODEL)

        assert (first.version, second.version) == (1, 2)
        assert (first.end, second.end) == (second.start, None)

    def test_a_champion_that_vanished_ends_its_period(self) -> None:
        """Adopted: nobody is champion."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_alias(MODEL, "champion", None)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.champions(MODEL)[0].end is not None
        assert desk.at(MODEL, desk.clock.now()).champion is None

    def test_a_stage_move_does_not_cut_the_champion_s_period(self) -> None:
        """Only the champion's own slot does."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        desk.set_alias(MODEL, "champion", 2, reason=REASON, actor=GRACE)
        registry.set_alias(MODEL, "champion", 3)
        desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert [period.version for period in desk.champions(MODEL)] == [1, 2]

    def test_for_people_an_intent_and_its_end_are_one_line(self) -> None:
        """An intent that has not ended keeps its own."""
        registry = small_registry()
        desk = build_desk(registry)
        promote(desk, 1, Stage.STAGING)
        registry.set_stage = failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            promote(desk, 2, Stage.STAGING)

        assert [each.type for each in one_line_each(desk.history(MODEL))] == [
            EventType.BASELINE,
            EventType.APPLIED,
            EventType.DECIDED,
        ]

    def test_the_history_is_plain_json(self) -> None:
        """With the names that other tools read."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING)
        keys = {"sequence", "type", "at", "actor", "reason", "model", "version", "from", "to", "evidence"}
        baseline, *_, applied = desk.history(MODEL)

        assert keys <= set(baseline.as_json())
        assert (applied.signature, applied.as_json()["established"]) == ("grace (self-declared)", "self_declared")
        assert applied.as_json()["created_at"] == iso(desk.version(MODEL, 1).row.created_at)
        assert (baseline.signature, baseline.as_json()["established"]) == (None, None)

    def test_the_record_says_which_models_it_knows_and_which_numbers_came_again(self) -> None:
        """Of one model, or of all; a ledger in memory has no tables to upgrade."""
        desk = build_desk()
        assert desk.recorded_models() == []
        promote(desk, 1, Stage.STAGING)
        registered_again(desk)
        promote(desk, 1, Stage.STAGING)

        assert desk.recorded_models() == [MODEL]
        assert len(desk.given_out_again()) == 1
        assert desk.given_out_again() == desk.given_out_again(MODEL)
        assert desk.upgrade_ledger().after == "memory"

    def test_checkpoints_that_are_not_there_are_said(self) -> None:
        """What verify cannot see without them is a sentence; nothing is said of a ledger that has some."""
        desk = build_desk()
        desk.take_over()
        assert desk.unprotected() == "there are no checkpoints"
        desk.ledger.keep_checkpoint()
        assert desk.unprotected() is None

    def test_a_ledger_that_cannot_be_read_is_said_once(self) -> None:
        """By verify, which goes on with the rest; that times and checkpoints cannot be looked at follows from it."""
        desk = build_desk()
        desk.take_over()
        broken = Unavailable("the ledger's file is damaged")
        for name in ("stamps", "unprotected", "pending", "registries"):
            setattr(desk.ledger, name, failing(desk.registry, broken))
        desk.ledger.problems = lambda _kept: [str(broken)]

        assert [each.text for each in desk.verify()] == [str(broken)]
        assert (desk.unprotected(), desk.set_back()) == (None, [])


def test_whoever_took_the_place_of_a_champion_is_told() -> None:
    """Of its newest time; nobody where it still serves, never did, or had another version of its number."""
    desk = build_desk()
    champion(desk, 1, 2)
    desk.rollback(MODEL, reason=REASON, actor=GRACE)
    periods = desk.champions(MODEL)

    def after(version: int) -> Period | None:
        return successor(version, iso(desk.registry.version(MODEL, version).row.created_at), periods)

    found = after(2)
    assert found is not None
    assert found == periods[-1]
    assert (found.version, desk.event(found.sequence).meaning) == (1, MoveKind.ROLLBACK)
    assert [after(1), after(3)] == [None, None]
    assert successor(2, "registered at another time", periods) is None
