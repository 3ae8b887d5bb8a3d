"""Whose turn it is: what each person may do about a move that others sign, before anything is typed."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.governance.actor import Actor, Established
from pipeline.governance.errors import NotAllowed, StaleLogin, Unavailable
from pipeline.governance.lifecycle import CHAMPION, MoveKind, Stage, stage_move
from pipeline.governance.record.requests import RequestState
from pipeline.governance.roles import Provider
from pipeline.governance.rules.signing.turn import Act, AdoptionTurn, Turn
from support.desks import MODEL, REASON, OpenDesk, failing
from support.signers import (
    ADMIN,
    ALAN,
    ANNA,
    BEN,
    RITA,
    TO_PRODUCTION,
    TRAINER,
    approve,
    ask,
    registered_in_mlflow_by,
    signing,
    signing_desk,
    signing_policy,
    with_policy,
)


def turn(desk: OpenDesk, actor: Actor) -> Turn:
    return desk.turn(desk.review(TO_PRODUCTION), actor)


def theirs(found: Turn) -> set[str]:
    """What they may do."""
    return {act.value for act in Act if found.may(act)}


def test_before_a_request_whoever_may_asks() -> None:
    """It says how many approvals that takes, one more where nobody knows the registrar, and of which roles."""
    found = turn(signing_desk(2), RITA)

    assert (found.view, found.waits, found.needed, found.approver_roles) == (None, False, 2, ("approver",))
    assert found.may(Act.REQUEST)
    assert "override needs one of breaker" in found.refusals[Act.OVERRIDE]
    assert turn(signing_desk(2, registered_by=None), RITA).needed == 3
    assert "request needs one of" in turn(signing_desk(), ADMIN).refusals[Act.REQUEST]


@pytest.mark.parametrize(
    ("actor", "acts", "why"),
    [
        (RITA, {"request", "withdraw"}, "has the role reviewer"),
        (ANNA, {"request", "approve", "reject"}, ""),
        (TRAINER, {"request", "reject"}, "you registered this version"),
        (BEN, {"override"}, "has the role breaker"),
    ],
    ids=["requester", "approver", "registrar", "breaker"],
)
def test_of_a_request_everybody_has_their_part(actor: Actor, acts: set[str], why: str) -> None:
    """What is not theirs is said with the sentence with which the service would refuse it, and nothing is recorded."""
    desk = signing_desk()
    request, before = ask(desk), len(desk.history(MODEL))
    found = turn(desk, actor)

    assert found.view is not None
    assert (found.view.request.sequence, found.waits) == (request.sequence, True)
    assert theirs(found) == acts
    assert why in found.refusals.get(Act.APPROVE, "")
    assert len(desk.history(MODEL)) == before


def test_nobody_signs_twice_or_for_themselves() -> None:
    """An approver who asked, and one who has approved."""
    desk = signing_desk(2)
    approve(desk, ask(desk, actor=ANNA), ALAN)

    assert "is your own request; somebody else" in turn(desk, ANNA).refusals[Act.APPROVE]
    assert "withdraw it" in turn(desk, ANNA).refusals[Act.REJECT]
    assert "you have approved" in turn(desk, ALAN).refusals[Act.APPROVE]


def test_a_request_that_is_stale_or_expired_says_so() -> None:
    """It can be asked for anew, and the new request takes its place; a closed one is nobody's turn."""
    desk = signing_desk()
    first = ask(desk)
    desk.registry.set_tags(MODEL, 1, {"note": "new"})
    found = turn(desk, ANNA)
    assert not found.waits
    assert found.refusals[Act.APPROVE] == f"request: the evidence changed since {first.sequence} was made; ask again"

    second = ask(desk)
    found = turn(desk, ANNA)
    assert found.view is not None
    assert (found.view.request.sequence, found.waits) == (second.sequence, True)

    desk.clock.time += timedelta(days=8)
    assert "is expired" in turn(desk, ANNA).refusals[Act.APPROVE]
    for each in (first, second):
        desk.withdraw(signing(each, RITA))
    assert turn(desk, ANNA).view is None


def test_an_approved_request_waits_for_the_registry() -> None:
    """Where it did not answer at the last signature; a request for another move is none for this one."""
    desk = signing_desk()
    request = ask(desk)
    answering = desk.registry.set_alias
    desk.registry.set_alias = failing(desk.registry, Unavailable("registry: no answer"))
    with pytest.raises(Unavailable):
        approve(desk, request, ANNA)
    desk.registry.set_alias = answering
    found = turn(desk, ALAN)

    assert found.view is not None
    assert (found.view.state, found.waits) == (RequestState.APPROVED, True)
    assert found.refusals[Act.APPROVE] == f"request: {request.sequence} is approved"
    assert desk.turn(desk.review(stage_move(MODEL, 2, Stage.PRODUCTION)), ALAN).view is None


def test_an_override_says_beforehand_what_it_skips() -> None:
    """Or which gate it does not, or that it is not for the version's registrar."""
    desk = signing_desk()
    unstaged = stage_move(MODEL, 2, Stage.PRODUCTION)
    found = desk.turn(desk.review(unstaged), BEN)
    assert found.breaks_glass
    assert "it does not skip Reviewed in Staging" in found.refusals[Act.OVERRIDE]

    skipping = with_policy(desk, replace(desk.policy, override_skips=("stage_is_staging",)))
    found = skipping.turn(skipping.review(unstaged), BEN)
    assert found.may(Act.OVERRIDE)
    assert [gate.name for gate in found.skips] == ["stage_is_staging"]
    own = turn(signing_desk(registry=registered_in_mlflow_by("ben")), BEN)
    assert "you registered this version" in own.refusals[Act.OVERRIDE]


def test_who_signs_nothing_has_no_turn() -> None:
    """A name that anybody may type, and a login that is too old."""
    with pytest.raises(NotAllowed, match="only on this machine"):
        turn(signing_desk(), Actor("mallory", Established.SELF_DECLARED))
    fresh = replace(signing_policy(), provider=Provider.OIDC, fresh=timedelta(minutes=15))
    with pytest.raises(StaleLogin):
        turn(with_policy(signing_desk(), fresh), RITA)


class TestAdopting:
    """What was moved past a desk that asks for approvals."""

    @staticmethod
    def turn(desk: OpenDesk, actor: Actor) -> AdoptionTurn:
        found = desk.adoption_turn(MODEL, actor)
        assert found is not None
        return found

    @staticmethod
    def moved(desk: OpenDesk) -> OpenDesk:
        desk.registry.set_alias(MODEL, CHAMPION, 1)
        desk.registry.set_stage(MODEL, 1, Stage.PRODUCTION)
        return desk

    @pytest.mark.parametrize(
        ("actor", "acts"),
        [
            (RITA, {"request", "withdraw"}),
            (ANNA, {"request", "approve", "reject"}),
            (TRAINER, {"request", "reject"}),
            (BEN, set()),
        ],
        ids=["requester", "approver", "registrar", "breaker"],
    )
    def test_everybody_has_their_part(self, actor: Actor, acts: set[str]) -> None:
        """As in the move that would have led there; what an approval gives back comes with it, nothing is recorded."""
        desk = self.moved(signing_desk(policy=signing_policy(attestations={"data": "I know the data."})))
        first = self.turn(desk, actor)
        assert (first.turn.view, first.asks, first.turn.needed) == (None, True, 1)
        assert first.turn.may(Act.REQUEST) == ("request" in acts)
        request, before = desk.request_adoption(MODEL, reason=REASON, actor=RITA), desk.ledger.count()
        found = self.turn(desk, actor)

        assert {act.value for act in Act if act is not Act.OVERRIDE and found.turn.may(act)} == acts
        assert (found.evidence, found.state) == (request.binding.evidence, request.binding.state)
        assert found.attestations == {"data": "I know the data."}
        assert desk.ledger.count() == before

    def test_what_the_desk_would_not_adopt_is_not_asked_for(self) -> None:
        """Two versions in Production; and where the policy does not list the move, nobody asks for it."""
        desk = self.moved(signing_desk())
        moves = dict(desk.policy.moves)
        del moves[MoveKind.RECONCILE]
        closed = self.turn(with_policy(desk, replace(desk.policy, moves=moves)), RITA)
        desk.registry.set_stage(MODEL, 2, Stage.PRODUCTION)

        assert "policy.moves does not list reconcile" in closed.turn.refusals[Act.REQUEST]
        assert "versions 1, 2 in Production" in self.turn(desk, RITA).turn.refusals[Act.REQUEST]

    def test_where_one_person_decides_it_is_nobodys_turn(self) -> None:
        """Neither where nothing differs, nor where the move asks for no approval."""
        assert signing_desk().adoption_turn(MODEL, RITA) is None
        assert self.moved(signing_desk(0)).adoption_turn(MODEL, RITA) is None

    def test_a_request_is_left_where_nothing_differs(self) -> None:
        """It can be withdrawn, and rejected; without a champion nobody's registration is asked about."""
        desk = self.moved(signing_desk())
        desk.request_adoption(MODEL, reason=REASON, actor=RITA)
        desk.revert(MODEL, reason=REASON, actor=ANNA)
        found = self.turn(desk, RITA)

        assert (found.asks, found.turn.waits, found.turn.may(Act.WITHDRAW)) == (False, False, True)
        assert self.turn(desk, ANNA).turn.may(Act.REJECT)

    def test_who_signs_nothing_has_no_turn(self) -> None:
        """As for a move."""
        with pytest.raises(NotAllowed, match="only on this machine"):
            self.turn(self.moved(signing_desk()), Actor("mallory", Established.SELF_DECLARED))
