"""Who signs what: whoever asked, whoever registered the version and each approver are different persons."""

from collections.abc import Iterable, Sequence

from pipeline.governance.actor import Actor
from pipeline.governance.errors import NotAllowed
from pipeline.governance.policy import MoveRules
from pipeline.governance.record.registrars import Registrar
from pipeline.governance.record.requests import MoveRequest


def approvals_needed(rules: MoveRules, registrars: Iterable[Registrar], signers: Sequence[Actor]) -> int:
    """One more where nobody knows who registered a version: one of those who sign may be it.

    registrars: of each version that it is about.
    """
    known = all(each.is_known_to(signers) for each in registrars)
    return rules.approvals + (0 if known else 1)


def check_approver(request: MoveRequest, registrars: Iterable[Registrar], actor: Actor) -> None:
    """Raises NotAllowed for who asked, who registered or may have, and who has approved already."""
    if request.requester == actor.person:
        raise NotAllowed(f"approve: {request.sequence} is your own request; somebody else has to approve it")
    if any(each.may_be(actor) for each in registrars):
        raise NotAllowed("approve: you registered this version, or MLflow says so; somebody else has to approve it")
    if actor.person in {each.person for each in request.approvals}:
        raise NotAllowed(f"approve: you have approved {request.sequence} already; somebody else has to sign next")


def check_rejecter(request: MoveRequest, actor: Actor) -> None:
    """Raises NotAllowed for who asked."""
    if request.requester == actor.person:
        raise NotAllowed(f"reject: {request.sequence} is your own request; withdraw it")


def check_withdrawer(request: MoveRequest, actor: Actor) -> None:
    """Raises NotAllowed for everybody but who asked."""
    if request.requester != actor.person:
        raise NotAllowed(f"withdraw: {request.sequence} was requested by somebody else; reject it")


def check_breaker(registrar: Registrar, actor: Actor) -> None:
    """Raises NotAllowed for who registered the version, or may have."""
    if registrar.may_be(actor):
        raise NotAllowed("override: you registered this version, or MLflow says so; somebody else has to do it")
