"""Desks on which several persons sign, and the persons."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline.governance.actor import Actor, Established, Person, Role
from pipeline.governance.lifecycle import Move, MoveKind, Stage, stage_move
from pipeline.governance.policy import Policy
from pipeline.governance.record.requests import MoveRequest
from pipeline.governance.roles import Roles
from pipeline.governance.rules.signing.approval import Approved, SignedAct
from support.desks import MODEL, REASON, OpenDesk, build_desk, default_policy
from support.in_memory import InMemoryRegistry

ISSUER = "https://login.example.org"


def person(subject: str, name: str = "") -> Actor:
    """Somebody who is logged in."""
    return Actor(subject, Established.OIDC, name, ISSUER)


RITA, ANNA, ALAN, AMIR = (person(name) for name in ("rita", "anna", "alan", "amir"))  # one reviewer, three approvers
BEN, ADMIN, TRAINER = (person(name) for name in ("ben", "admin", "trainer"))
ROLES: Mapping[Actor, tuple[Role, ...]] = {
    RITA: (Role.REVIEWER,),
    **dict.fromkeys((ANNA, ALAN, AMIR, TRAINER), (Role.APPROVER,)),
    BEN: (Role.BREAKER,),
    ADMIN: (Role.ADMIN,),
}
TO_PRODUCTION = stage_move(MODEL, 1, Stage.PRODUCTION)


def roles(known: Mapping[Actor, tuple[Role, ...]] = ROLES) -> Roles:
    subjects: dict[Person, tuple[Role, ...]] = {actor.person: held for actor, held in known.items()}
    return Roles(programs={"pipeline": (Role.AUTOMATION,)}, subjects=subjects)


def signing_policy(approvals: int = 1, *, kinds: tuple[MoveKind, ...] = (MoveKind.PRODUCTION,), **rules: Any) -> Policy:
    """The default policy with logged-in persons, of whom so many approve these moves."""
    policy = default_policy()
    asked = {kind: replace(policy.moves[kind], approvals=approvals, **rules) for kind in kinds}
    return replace(policy, roles=roles(), moves={**policy.moves, **asked})


def signing_desk(
    approvals: int = 1, *, policy: Policy | None = None, registered_by: Actor | None = TRAINER, **parts: Any
) -> OpenDesk:
    """With version 1 in Staging; registered_by: of every version, None for nobody knows."""
    desk = build_desk(policy=policy or signing_policy(approvals), **parts)
    if registered_by is not None:
        for row in desk.registry.table(MODEL):
            desk.record_registration(MODEL, row.version, registered_by)
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=ANNA)
    return desk


def with_policy(desk: OpenDesk, policy: Policy) -> OpenDesk:
    """The same registry and ledger under another policy, at the same time."""
    return build_desk(desk.registry, desk.ledger, policy=policy, clock=desk.clock)


def ask(desk: OpenDesk, move: Move = TO_PRODUCTION, **options: Any) -> MoveRequest:
    return desk.request(move, reason=REASON, actor=options.pop("actor", RITA), **options)


def signing(request: MoveRequest, actor: Actor, **options: Any) -> SignedAct:
    """As somebody would who looked at what the request is bound to."""
    seen = {"evidence": request.binding.evidence, "expect": request.binding.state}
    return SignedAct(request.sequence, REASON, actor, **{**seen, **options})


def approve(desk: OpenDesk, request: MoveRequest, actor: Actor, **options: Any) -> Approved:
    return desk.approve(signing(request, actor, **options))


def registered_in_mlflow_by(login: str) -> InMemoryRegistry:
    """A registry whose one version carries a login."""
    from support.desks import small_registry

    registry = small_registry(versions=1)
    stored = registry._models[MODEL].versions
    stored[1] = replace(stored[1], registered_by=login)
    return registry
