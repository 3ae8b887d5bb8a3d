"""Adopting what was moved past the desk asks for what the moves would have asked for, of the same persons."""

from dataclasses import replace

import pytest

from pipeline.governance.actor import Role
from pipeline.governance.errors import (
    ApprovalsNeeded,
    NotAllowed,
    NotAttested,
    Refused,
    RequestStale,
    StaleEvidence,
    StateChanged,
)
from pipeline.governance.lifecycle import CHAMPION, MoveKind, Stage, stage_move
from pipeline.governance.policy import MoveRules
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.requests import RequestState
from pipeline.governance.record.telling import sentence
from pipeline.governance.rules.signing.turn import Act
from support.desks import MODEL, REASON, OpenDesk
from support.signers import (
    ALAN,
    AMIR,
    ANNA,
    RITA,
    TRAINER,
    approve,
    signing,
    signing_desk,
    signing_policy,
    with_policy,
)


def moved_past(desk: OpenDesk, version: int | None, *, alias: str = CHAMPION, stage: Stage | None = None) -> None:
    desk.registry.set_alias(MODEL, alias, version)
    if stage is not None and version is not None:
        desk.registry.set_stage(MODEL, version, stage)


def test_adopting_a_champion_asks_for_what_promoting_it_asks_for() -> None:
    """Past the desk is no shorter way; the last approval adopts."""
    desk = signing_desk()
    moved_past(desk, 1, stage=Stage.PRODUCTION)
    with pytest.raises(ApprovalsNeeded, match="adopt: needs the approval of somebody else"):
        desk.adopt(MODEL, reason=REASON, actor=ANNA)
    request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    with pytest.raises(NotAllowed, match="you registered this version"):
        approve(desk, request, TRAINER)
    done = approve(desk, request, ANNA)
    adopted = desk.history(MODEL)[-1]

    assert (done.view.state, request.is_adoption, request.to) == (RequestState.APPLIED, True, "adopt")
    assert done.outcome is not None
    assert (done.outcome.sequence, done.outcome.target) == (adopted.sequence, "adopt")
    assert (adopted.type, adopted.actor, adopted.content["requested"]) == (EventType.ADOPTED, "anna", request.sequence)
    assert sentence(adopted) == "anna accepted what was changed outside of this desk, as rita had asked for"
    assert desk.differences(MODEL) == []


def test_reverting_asks_nobody() -> None:
    """Back to what was signed is always open to who may reconcile."""
    desk = signing_desk()
    moved_past(desk, 1)
    desk.revert(MODEL, reason=REASON, actor=ANNA)

    assert desk.registry.state(MODEL).champion is None


@pytest.mark.parametrize(
    ("kind", "alias", "version", "asks"),
    [
        (MoveKind.PRODUCTION, "shadow", 2, False),
        (MoveKind.ALIAS, "shadow", 2, True),
        (MoveKind.UNALIAS, "shadow", None, True),
        (MoveKind.ALIAS, "shadow", None, False),
        (MoveKind.UNALIAS, CHAMPION, None, True),
    ],
)
def test_it_is_the_move_that_would_have_led_there(kind: MoveKind, alias: str, version: int | None, asks: bool) -> None:
    """An alias set past the desk asks for what setting it asks for, one removed for what removing it does."""
    desk = signing_desk(policy=signing_policy(kinds=(kind,)))
    free = with_policy(desk, signing_policy(0))
    if version is None:
        to_champion = stage_move(MODEL, 1, Stage.PRODUCTION)
        free.decide(to_champion, reason=REASON, actor=ANNA) if alias == CHAMPION else free.set_alias(
            MODEL, alias, 1, reason=REASON, actor=ANNA
        )
        if alias == CHAMPION:
            desk.registry.set_stage(MODEL, 1, Stage.ARCHIVED)
    moved_past(desk, version, alias=alias)
    if asks:
        with pytest.raises(ApprovalsNeeded):
            desk.adopt(MODEL, reason=REASON, actor=ANNA)
        request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
        assert approve(desk, request, ALAN).view.needed >= 1
    else:
        assert desk.adopt(MODEL, reason=REASON, actor=ANNA).event.type is EventType.ADOPTED


def test_a_version_that_was_deleted_asks_for_nothing() -> None:
    """No move of the desk would have led there."""
    desk = signing_desk(
        policy=signing_policy(kinds=(MoveKind.PRODUCTION, MoveKind.STAGING, MoveKind.NONE), approvals=0)
    )
    asking = with_policy(desk, signing_policy(kinds=(MoveKind.STAGING, MoveKind.NONE)))
    desk.registry.delete_version(MODEL, 1)

    assert asking.adopt(MODEL, reason=REASON, actor=ANNA).event.type is EventType.ADOPTED


def test_an_adoption_is_bound_to_what_differs() -> None:
    """Who moves it again makes the request stale; what the desk would not adopt cannot be asked for."""
    desk = signing_desk()
    moved_past(desk, 1, stage=Stage.PRODUCTION)
    request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    for seen, error in (({"evidence": "0" * 64}, StaleEvidence), ({"expect": "@champion=9#0"}, StateChanged)):
        with pytest.raises(error):
            approve(desk, request, ANNA, **seen)
    moved_past(desk, 2, alias="shadow")
    assert desk.find_request(request.sequence).stale == ("state",)
    with pytest.raises(RequestStale):
        approve(desk, request, ANNA)
    moved_past(desk, 2, stage=Stage.PRODUCTION)
    with pytest.raises(Refused, match="versions 1, 2 in Production"):
        desk.request_adoption(MODEL, reason=REASON, actor=RITA)

    assert desk.reject(signing(request, ANNA)).state is RequestState.REJECTED


def test_an_adoption_without_a_champion_is_bound_to_the_state() -> None:
    """There is no evidence to sign for; the files are those of the version that got the alias."""
    desk = signing_desk(policy=signing_policy(kinds=(MoveKind.ALIAS,)))
    moved_past(desk, 2, alias="shadow")
    request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    files = desk.evidence_of(desk.registry.version(MODEL, 2)).file_digest

    assert (request.binding.files, request.version, request.created_at) == (files, None, "")
    assert approve(desk, request, ANNA).view.state is RequestState.APPLIED


@pytest.mark.parametrize(
    ("kind", "alias", "stage"), [(MoveKind.ALIAS, "shadow", None), (MoveKind.STAGING, "unused", Stage.STAGING)]
)
def test_nobody_approves_the_adoption_of_what_they_registered(kind: MoveKind, alias: str, stage: Stage | None) -> None:
    """Whichever slot it was moved to; where nobody knows who that was, there is one approval more."""
    policy = signing_policy(kinds=(kind,))
    for known in (TRAINER, None):
        desk = signing_desk(policy=signing_policy(0), registered_by=known)
        desk = with_policy(desk, policy)
        if stage is None:
            moved_past(desk, 2, alias=alias)
        else:
            desk.registry.set_stage(MODEL, 2, stage)
        request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
        turn = desk.adoption_turn(MODEL, TRAINER)
        assert turn is not None
        if known is None:
            assert (desk.find_request(request.sequence).needed, turn.turn.needed) == (2, 2)
            assert approve(desk, request, ALAN).view.state is RequestState.OPEN
        else:
            with pytest.raises(NotAllowed, match="you registered this version"):
                approve(desk, request, TRAINER)
            assert "you registered this version" in turn.turn.refusals[Act.APPROVE]
            assert desk.queues(TRAINER).waiting == ()
        assert approve(desk, request, ANNA).view.state is RequestState.APPLIED


def two_slots(production: MoveRules, alias: MoveRules) -> OpenDesk:
    """A desk on which the champion and another alias were moved, each of which asks for something else."""
    policy = signing_policy()
    asked = {MoveKind.PRODUCTION: production, MoveKind.ALIAS: alias}
    desk = signing_desk(policy=replace(policy, moves={**policy.moves, **asked}))
    desk.record_registration(MODEL, 2, AMIR)
    moved_past(desk, 1, stage=Stage.PRODUCTION)
    moved_past(desk, 2, alias="shadow")
    return desk


def test_one_adoption_of_several_asks_for_all_that_each_asks_for() -> None:
    """The most approvals, every sentence, the roles that each allows, and the shortest time."""
    desk = two_slots(
        MoveRules(
            approvals=1,
            approver_roles=(Role.APPROVER,),
            expires_days=3,
            attestations={"seen": "I looked at the slices.", "data": "I know where the data come from."},
        ),
        MoveRules(
            approvals=2,
            approver_roles=(Role.REVIEWER, Role.APPROVER),
            expires_days=5,
            attestations={"seen": "I know what the shadow is for.", "data": "I know where the data come from."},
        ),
    )
    request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    turn = desk.adoption_turn(MODEL, ALAN)
    assert turn is not None
    sentences = {
        "seen": "I looked at the slices.",
        "data": "I know where the data come from.",
        "seen_2": "I know what the shadow is for.",
    }
    assert (turn.attestations, turn.turn.approver_roles, turn.turn.needed) == (sentences, (Role.APPROVER,), 2)
    assert (request.expires_at - request.at).days == 3
    with pytest.raises(NotAllowed, match="approve needs one of approver"):
        approve(desk, request, RITA, attested=tuple(sentences))
    with pytest.raises(NotAttested, match="seen_2"):
        approve(desk, request, ALAN, attested=("seen", "data"))
    with pytest.raises(NotAllowed, match="you registered this version"):
        approve(desk, request, TRAINER, attested=tuple(sentences))

    assert approve(desk, request, ALAN, attested=tuple(sentences)).view.state is RequestState.OPEN
    assert approve(desk, request, ANNA, attested=tuple(sentences)).view.state is RequestState.APPLIED


def test_an_adoption_that_no_role_may_approve_is_not_asked_for() -> None:
    """Where one move asks for a reviewer and another for an approver, no signature stands for both."""
    desk = two_slots(
        MoveRules(approvals=1, approver_roles=(Role.APPROVER,)), MoveRules(approvals=1, approver_roles=(Role.REVIEWER,))
    )
    with pytest.raises(Refused, match="no role may approve all that was changed"):
        desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    desk.registry.set_alias(MODEL, "shadow", None)

    assert approve(desk, desk.request_adoption(MODEL, reason=REASON, actor=RITA), ANNA).view.state is (
        RequestState.APPLIED
    )


def test_an_adoption_is_bound_to_the_files_of_every_version() -> None:
    """Not of the champion's alone."""
    rules = MoveRules(approvals=1)
    desk = two_slots(rules, rules)
    request = desk.request_adoption(MODEL, reason=REASON, actor=RITA)
    desk.registry.write_file(MODEL, 2, "model.skops", content=b"other")

    assert desk.find_request(request.sequence).stale == ("files",)
    with pytest.raises(RequestStale, match="the files"):
        approve(desk, request, ANNA)
