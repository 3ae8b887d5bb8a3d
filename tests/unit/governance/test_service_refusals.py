"""What is refused: nothing changes, and one event says so."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.governance.actor import Actor, Established
from pipeline.governance.errors import (
    Blocked,
    InvalidInput,
    NotAllowed,
    NotFound,
    NothingToDo,
    SignoffError,
    StaleEvidence,
    StateChanged,
)
from pipeline.governance.lifecycle import MoveKind, Stage, stage_move
from pipeline.governance.record.ledger import EventType
from support.decisions import STAGING, champion, promote, types
from support.desks import (
    GRACE,
    MODEL,
    PIPELINE,
    REASON,
    OpenDesk,
    build_desk,
    default_policy,
)

FROM_AFAR = Actor("grace", Established.SELF_DECLARED)  # who came over the network
NOBODY = Actor("nobody", Established.PROGRAM)  # the policy lists no such program


REFUSALS: list[tuple[str, Callable[[OpenDesk], object], type[SignoffError]]] = [
    ("a gate that prevents", lambda desk: promote(desk, 1, Stage.PRODUCTION), Blocked),
    ("nothing to do", lambda desk: promote(desk, 3, Stage.NONE), NothingToDo),
    ("an old state", lambda desk: promote(desk, 1, Stage.STAGING, expect="/1=Archived#4"), StateChanged),
    ("old evidence", lambda desk: promote(desk, 1, Stage.STAGING, evidence="0" * 64), StaleEvidence),
    (
        "no role",
        lambda desk: desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=PIPELINE),
        NotAllowed,
    ),
    (
        "an unknown program",
        lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=Actor("cron", Established.PROGRAM)),
        NotAllowed,
    ),
    (
        "a self-declared name over the network",
        lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=FROM_AFAR),
        NotAllowed,
    ),
    (
        "the same, ending a difference",
        lambda desk: desk.adopt(MODEL, reason=REASON, actor=FROM_AFAR),
        NotAllowed,
    ),
    (
        "an identity that the policy does not know",
        lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=Actor("eve", Established.TOKEN)),
        NotAllowed,
    ),
]


@pytest.mark.parametrize(("call", "error"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_refused_request_changes_nothing_and_leaves_one_denied(
    call: Callable[[OpenDesk], object], error: type[SignoffError]
) -> None:
    """Refusals are events too."""
    desk = build_desk()
    before = desk.registry.state(MODEL)
    with pytest.raises(error):
        call(desk)
    entry = desk.history(MODEL)[-1]

    assert desk.registry.state(MODEL) == before
    assert types(desk).count(EventType.DENIED) == 1
    assert (entry.type, entry.content["refusal"], bool(entry.why)) == (EventType.DENIED, error.__name__, True)


def test_who_decides_nothing_can_be_asked_before_anything_is_typed() -> None:
    """A screen says so before the form; nothing is recorded about the question."""
    desk = build_desk()
    with pytest.raises(NotAllowed, match="decides only on this machine; this one came over the network"):
        desk.check_signer(FROM_AFAR)
    desk.check_signer(GRACE)

    assert desk.history() == []


@pytest.mark.parametrize(
    ("move", "subject"),
    [
        (lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=NOBODY), {"version", "created_at"}),
        (lambda desk: desk.promote(MODEL, 9, Stage.STAGING, reason=REASON, actor=NOBODY), {"version"}),
        (lambda desk: desk.remove_alias(MODEL, "shadow", reason=REASON, actor=NOBODY), set()),
    ],
)
def test_a_refusal_says_which_version_was_meant(move: Callable[[OpenDesk], object], subject: set[str]) -> None:
    """By number and time of registration, as far as there is one; nothing is read where no version was named."""
    desk = build_desk()
    with pytest.raises(NotAllowed):
        move(desk)
    held = desk.history(MODEL)[-1].content["subject"]

    assert {name for name, value in held.items() if value is not None} == {"model", *subject}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason="short", actor=GRACE), InvalidInput),
        (lambda desk: desk.promote("nobody", 1, Stage.STAGING, reason=REASON, actor=GRACE), NotFound),
        (lambda desk: promote(desk, 99, Stage.STAGING), NotFound),
        (lambda desk: desk.set_alias(MODEL, "v1", 1, reason=REASON, actor=GRACE), InvalidInput),
        (lambda desk: desk.remove_alias(MODEL, "gone", reason=REASON, actor=GRACE), NotFound),
        (lambda desk: desk.rollback(MODEL, reason=REASON, actor=GRACE), NotFound),
        (lambda desk: desk.best(MODEL, "no_such_metric"), NotFound),
        (lambda desk: desk.at("nobody", desk.clock.now()), NotFound),
        (lambda desk: desk.history("nobody"), NotFound),
        (lambda desk: desk.reconcile("nobody"), NotFound),
        (lambda desk: desk.evidence("0" * 64), NotFound),
    ],
)
def test_malformed_input_is_no_request(call: Callable[[OpenDesk], object], error: type[SignoffError]) -> None:
    """Nothing is recorded about it."""
    desk = build_desk()
    with pytest.raises(error):
        call(desk)

    assert EventType.DENIED not in [entry.type for entry in desk.history()]


class TestMovesThatAreNotListed:
    """Closed to everybody."""

    def desk(self, *closed: MoveKind) -> OpenDesk:
        policy = default_policy()
        return build_desk(policy=replace(policy, moves={k: v for k, v in policy.moves.items() if k not in closed}))

    def test_block_their_review_and_are_refused(self) -> None:
        """Both say that the policy does not list the move."""
        desk, sentence = self.desk(MoveKind.STAGING), "policy.moves does not list staging: nobody may do it"
        review = desk.review(STAGING)

        assert [(gate.name, gate.why) for gate in review.blocked_by] == [("move_listed", f"{sentence}.")]
        with pytest.raises(NotAllowed, match=re.escape(sentence)):
            promote(desk, 1, Stage.STAGING)
        assert types(desk)[-1] is EventType.DENIED

    def test_end_no_difference(self) -> None:
        """Reconcile is a move like the others."""
        desk = self.desk(MoveKind.RECONCILE)
        desk.take_over()
        desk.registry.set_stage(MODEL, 2, Stage.PRODUCTION)

        with pytest.raises(NotAllowed, match=r"policy\.moves does not list reconcile"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)

    def test_leave_the_others_open(self) -> None:
        """Whatever is listed."""
        desk = self.desk(MoveKind.ROLLBACK, MoveKind.ARCHIVED)
        champion(desk, 1)

        assert desk.review(stage_move(MODEL, 2, Stage.STAGING)).open
