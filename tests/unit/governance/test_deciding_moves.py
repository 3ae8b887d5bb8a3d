"""Deciding a move as it was drawn: the one method that every deciding verb and form ends in."""

import pytest

from pipeline.governance.errors import InvalidInput, StateChanged
from pipeline.governance.lifecycle import Move, MoveKind, Stage, alias_move, stage_move
from pipeline.governance.record.ledger import EventType
from support.desks import GRACE, MODEL, REASON, OpenDesk, build_desk


def with_champions(*versions: int) -> OpenDesk:
    """Each of them was champion, in this order."""
    desk = build_desk()
    for version in versions:
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)
    return desk


def test_a_drawn_move_is_decided_as_the_verb_would() -> None:
    """Stage, alias and their removal, each as the review of it was drawn."""
    desk = build_desk()
    moves = [
        stage_move(MODEL, 1, Stage.STAGING),
        alias_move(MODEL, "mine", 1),
        Move(MODEL, MoveKind.UNALIAS, None, "mine"),
    ]
    for move in moves:
        review = desk.review(move)
        outcome = desk.decide(move, reason=REASON, actor=GRACE, evidence=review.evidence.digest, expect=review.state)
        assert outcome.target == move.target
    state = desk.state(MODEL)
    assert (state.stages[1], dict(state.aliases)) == (Stage.STAGING, {})


def test_what_is_no_move_is_refused_before_anything_is_written() -> None:
    """The alias champion comes with Production: nobody has it by building the move by hand."""
    desk = build_desk()
    with pytest.raises(InvalidInput, match="alias champion is no move"):
        desk.decide(Move(MODEL, MoveKind.ALIAS, 1, "champion"), reason=REASON, actor=GRACE)
    assert desk.event_count() == 0


def test_a_second_click_on_a_rollback_is_the_same_decision() -> None:
    """The same key with the same move gives the first outcome, though another version would be next."""
    desk = with_champions(1, 2, 3)
    move = desk.rollback_move(MODEL)
    first, second = (desk.decide(move, reason=REASON, actor=GRACE, key="click") for _ in range(2))
    assert (first.version, second.sequence, second.replayed) == (2, first.sequence, True)
    assert desk.state(MODEL).champion == 2


def test_a_rollback_goes_to_the_previous_champion_alone() -> None:
    """One drawn before somebody else rolled back, or built by hand, is refused and leaves one event."""
    desk = with_champions(1, 2, 3)
    before = desk.event_count()
    with pytest.raises(StateChanged, match="version 1 is not the previous champion"):
        desk.decide(Move(MODEL, MoveKind.ROLLBACK, 1), reason=REASON, actor=GRACE)
    assert [each.type for each in desk.history(MODEL)[before:]] == [EventType.DENIED]
    assert desk.state(MODEL).champion == 3


def test_what_a_reconcile_leaves_is_one_answer() -> None:
    """Differences with their state, what is gone or pending and which files were changed; it writes nothing."""
    desk = with_champions(1)
    desk.registry.set_alias(MODEL, "mine", 2)
    before = desk.event_count()
    found = desk.unresolved(MODEL)
    assert [each.slot.label for each in found.differences[MODEL]] == ["@mine"]
    assert (found.pending, found.gone, found.problems) == ([], [], [])
    assert list(found.as_json()) == ["differences", "states", "pending", "gone", "problems"]
    assert desk.event_count() == before
