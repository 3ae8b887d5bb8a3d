"""What changes between the review of a decision and the ledger's lock: the decision is bound to what was looked at."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.governance.actor import Role
from pipeline.governance.errors import NotAllowed
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.requests import RequestState
from pipeline.governance.rules.decide import Outcome
from pipeline.governance.rules.signing.turn import Act
from support.decisions import types
from support.desks import GRACE, MODEL, REASON, OpenDesk, build_desk
from support.signers import ANNA, RITA, ROLES, TO_PRODUCTION, approve, ask, roles, signing, signing_desk, with_policy


def after_the_look(desk: OpenDesk, act: Callable[[], object]) -> None:
    """Somebody acts once, after a decision has read everything and before it takes the lock."""
    prepare, acted = desk.registry.prepare, list[object]()

    def race() -> None:
        prepare()
        if not acted:
            acted.append(act())

    desk.registry.prepare = race


def promoted() -> tuple[OpenDesk, Callable[[], Outcome | None]]:
    desk = build_desk()
    return desk, lambda: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)


def approved() -> tuple[OpenDesk, Callable[[], Outcome | None]]:
    desk = signing_desk()
    request = ask(desk)
    return desk, lambda: approve(desk, request, ANNA).outcome


@pytest.mark.parametrize("way", [promoted, approved])
def test_bytes_that_change_are_not_those_of_the_decision(
    way: Callable[[], tuple[OpenDesk, Callable[[], Outcome | None]]],
) -> None:
    """No lock of ours holds a registry's files. The record has the digest of what was looked at, by which the others
    are named at the next look and loaded by nobody (`tests/unit/test_champion.py`).
    """
    desk, decide = way()
    seen = desk.show(MODEL, 1)
    after_the_look(desk, lambda: desk.registry.write_file(MODEL, 1, "model.skops", content=b"other bytes"))
    outcome = decide()
    assert outcome is not None
    decided = next(each for each in desk.history(MODEL) if each.number == outcome.sequence)

    assert (decided.content["subject"]["file_digest"], decided.evidence) == (seen.file_digest, seen.digest)
    assert [each.version for each in desk.changed_files(MODEL)] == [1]
    assert [each.kind for each in desk.verify()] == ["tampering"]
    assert [each.event.type for each in desk.reconcile(MODEL)] == [EventType.TAMPERING]
    assert "files_unchanged" in [gate.name for gate in desk.review(TO_PRODUCTION).blocked_by]


@pytest.mark.parametrize("way", [promoted, approved])
def test_metrics_that_change_are_not_those_of_the_decision(
    way: Callable[[], tuple[OpenDesk, Callable[[], Outcome | None]]],
) -> None:
    """What was shown is kept by its digest, and an opened decision shows it beside what is there now."""
    desk, decide = way()
    seen = desk.show(MODEL, 1)
    after_the_look(desk, lambda: desk.registry.set_tags(MODEL, 1, {"note": "another one"}))
    outcome = decide()
    assert outcome is not None

    assert outcome.evidence == seen.digest != desk.show(MODEL, 1).digest
    assert desk.ledger.evidence(seen.digest) == seen.text


def test_who_becomes_known_as_the_registrar_does_not_approve() -> None:
    """Also where training tells of it while the approver's review is computed."""
    desk = signing_desk(registered_by=None)
    request = ask(desk)
    after_the_look(desk, lambda: desk.record_registration(MODEL, 1, ANNA))
    with pytest.raises(NotAllowed, match="you registered this version"):
        approve(desk, request, ANNA)

    assert types(desk)[-2:] == [EventType.REGISTERED, EventType.DENIED]
    assert desk.find_request(request.sequence).counted == 0


def test_who_may_ask_no_more_takes_nothing_back() -> None:
    """As the table of roles says; approvers can reject it, and who may ask again can withdraw it again."""
    desk = signing_desk()
    request = ask(desk)
    left = with_policy(desk, replace(desk.policy, roles=roles({**ROLES, RITA: (Role.VIEWER,)})))
    with pytest.raises(NotAllowed, match="'rita' has the role viewer; withdraw needs one of approver, automation"):
        left.withdraw(signing(request, RITA))

    review = left.review(TO_PRODUCTION)
    assert "withdraw needs one of" in left.turn(review, RITA).refusals[Act.WITHDRAW]
    assert desk.withdraw(signing(request, RITA)).state is RequestState.WITHDRAWN
    assert desk.history(MODEL)[-1].content["actor"]["roles"] == ["reviewer"]
