"""What walks round those who sign does not: an override stays open, a tag only raises."""

from dataclasses import replace
from typing import Any

import pytest

from pipeline.governance.actor import Actor, Role
from pipeline.governance.errors import (
    ApprovalsNeeded,
    Blocked,
    InvalidInput,
    NotAllowed,
    NotFound,
    NothingToDo,
    OutOfBand,
    RequestClosed,
    WarningsNotAccepted,
)
from pipeline.governance.lifecycle import CHAMPION, MoveKind, Stage, stage_move
from pipeline.governance.policy import GateRule, Mode, MoveRules, Tier
from pipeline.governance.record.ledger import EventType, UnreadableEvent
from pipeline.governance.record.requests import RequestState
from pipeline.governance.record.telling import sentence
from support.decisions import types
from support.desks import GRACE, MODEL, REASON, KnownDifferences, build_desk, small_registry, worse
from support.in_memory import InMemoryLedger, InMemoryRegistry
from support.signers import (
    ADMIN,
    ANNA,
    BEN,
    RITA,
    TO_PRODUCTION,
    TRAINER,
    approve,
    ask,
    registered_in_mlflow_by,
    roles,
    signing_desk,
    signing_policy,
    with_policy,
)

WHY = "The service is down and nobody answers."


# Found at the first look


def test_a_champion_that_was_found_is_not_approved_here() -> None:
    """Until somebody signs one at this desk."""
    registry = small_registry()
    registry.set_alias(MODEL, CHAMPION, 2)
    registry.set_stage(MODEL, 2, Stage.PRODUCTION)
    desk = signing_desk(registry=registry)
    assert desk.not_approved_here(MODEL) == (
        "Version 2 was champion when this desk first looked, on 2026-01-01: not approved here."
    )
    approve(desk, ask(desk), ANNA)

    assert desk.not_approved_here(MODEL) is None
    assert signing_desk().not_approved_here(MODEL) is None


# Breaking the glass


def test_an_override_moves_at_once_and_stays_open() -> None:
    """It names what it skipped, and another person has to look at it: by its number or by that of its decision."""
    desk = signing_desk(2)
    outcome = desk.override(TO_PRODUCTION, reason=WHY, actor=BEN)
    (found,) = desk.open_overrides()

    assert desk.state(MODEL).champion == 1
    assert (found.version, found.to, found.reason, found.signature) == (1, "Production", WHY, "ben (oidc)")
    assert (found.as_json()["approvals"], found.as_json()["by"]) == (2, "ben")
    assert sentence(desk.history(MODEL)[-1]) == "ben promoted version 1 to Production, overriding the rules"
    for actor in (BEN, RITA):
        with pytest.raises(NotAllowed):
            desk.acknowledge(found.sequence, reason=WHY, actor=actor)
    stored = desk.acknowledge(outcome.sequence, reason=WHY, actor=ADMIN)

    assert (stored.event.type, desk.open_overrides(MODEL)) == (EventType.ACKNOWLEDGED, [])
    with pytest.raises(RequestClosed, match="was acknowledged already"):
        desk.acknowledge(found.sequence, reason=WHY, actor=ANNA)
    assert sentence(desk.history(MODEL)[-2]) == "admin acknowledged an override"


def test_whoever_broke_the_glass_does_not_acknowledge_it() -> None:
    """Also with a role that acknowledges."""
    held = roles({BEN: (Role.BREAKER, Role.ADMIN), ANNA: (Role.APPROVER,)})
    desk = signing_desk(policy=replace(signing_policy(), roles=held))
    outcome = desk.override(TO_PRODUCTION, reason=WHY, actor=BEN)
    with pytest.raises(NotAllowed, match="is your own override"):
        desk.acknowledge(outcome.sequence, reason=WHY, actor=BEN)


@pytest.mark.parametrize("number", [0, 1, 99])
def test_a_number_that_no_override_has(number: int) -> None:
    """Also one of another event."""
    with pytest.raises(NotFound, match="the ledger holds none with the number"):
        signing_desk().acknowledge(number, reason=WHY, actor=ADMIN)


def test_an_override_skips_listed_gates_and_no_others() -> None:
    """A gate that the policy does not list stops it."""
    desk = signing_desk()
    unstaged = stage_move(MODEL, 2, Stage.PRODUCTION)
    with pytest.raises(Blocked, match="Reviewed in Staging"):
        desk.override(unstaged, reason=WHY, actor=BEN)
    skipping = with_policy(desk, replace(desk.policy, override_skips=("stage_is_staging",)))
    skipping.override(unstaged, reason=WHY, actor=BEN)

    assert skipping.open_overrides()[0].skipped == ("stage_is_staging",)
    assert desk.history(MODEL)[-1].content["overridden"] == skipping.open_overrides()[0].sequence


def test_an_override_never_skips_what_always_holds() -> None:
    """Something changes, record and registry agree, files are those recorded, warnings are accepted."""
    desk = signing_desk(policy=replace(signing_policy(), override_skips=("version_ready", "files_present")))
    with pytest.raises(NothingToDo):
        desk.override(stage_move(MODEL, 1, Stage.STAGING), reason=WHY, actor=BEN)
    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")
    with pytest.raises(Blocked, match="Files unchanged since recorded"):
        desk.override(TO_PRODUCTION, reason=WHY, actor=BEN)
    desk.registry.set_stage(MODEL, 1, Stage.ARCHIVED)
    with pytest.raises(OutOfBand):
        desk.override(TO_PRODUCTION, reason=WHY, actor=BEN)

    assert desk.open_overrides() == []
    assert [each.meaning for each in desk.history(MODEL) if each.type is EventType.DENIED] == ["override"] * 3


def test_an_override_needs_its_role_and_is_never_of_the_registrar() -> None:
    """Nor of whom MLflow names."""
    desk = signing_desk(registry=registered_in_mlflow_by("ben"))
    for actor, why in ((ANNA, "override needs one of breaker"), (BEN, "you registered this version")):
        with pytest.raises(NotAllowed, match=why):
            desk.override(TO_PRODUCTION, reason=WHY, actor=actor)


@pytest.mark.parametrize(
    ("registered_by", "known"), [(TRAINER, True), (replace(GRACE, subject="t"), False), (None, False)]
)
def test_an_override_says_whether_it_is_known_who_registered(registered_by: Actor | None, known: bool) -> None:
    """It stays possible where it is not; one from before this was recorded says nothing."""
    desk = signing_desk(registered_by=registered_by)
    desk.override(TO_PRODUCTION, reason=WHY, actor=BEN)
    (found,) = desk.open_overrides()
    older = replace(found, content={name: each for name, each in found.content.items() if name != "registrar_known"})

    assert (found.content["registrar_known"], found.registrar_unknown) == (known, not known)
    assert (found.as_json()["registrar_known"], older.as_json()["registrar_known"]) == (known, None)
    assert not older.registrar_unknown


def test_an_override_accepts_warnings_as_a_decision_does() -> None:
    """They are shown and recorded."""
    desk = signing_desk(comparer=KnownDifferences([worse("f1_macro")]))
    free = with_policy(desk, signing_policy(0))
    free.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=ANNA)
    free.promote(MODEL, 2, Stage.PRODUCTION, reason=REASON, actor=ANNA)
    with pytest.raises(WarningsNotAccepted):
        desk.override(TO_PRODUCTION, reason=WHY, actor=BEN)
    first = desk.override(TO_PRODUCTION, reason=WHY, actor=BEN, accept_warnings=True, key="k")
    again = desk.override(TO_PRODUCTION, reason=WHY, actor=BEN, accept_warnings=True, key="k")

    assert (again.sequence, again.replayed) == (first.sequence, True)
    assert types(desk).count(EventType.OVERRIDDEN) == 1


def test_an_event_that_cannot_be_read_hides_no_override() -> None:
    """The list shows the others; verify names it."""

    class Damaged(InMemoryLedger):
        def page(self, *arguments: Any, **options: Any):
            if EventType.OVERRIDDEN in (options.get("only") or ()):
                yield UnreadableEvent(99, "overridden", MODEL)
            yield from super().page(*arguments, **options)

    desk = signing_desk(ledger=Damaged())
    desk.override(TO_PRODUCTION, reason=WHY, actor=BEN)

    assert len(desk.open_overrides()) == 1


# Comments


def test_a_comment_is_part_of_the_record_of_its_version() -> None:
    """As plain text, also about a request."""
    desk = signing_desk()
    request = ask(desk)
    desk.comment(MODEL, 1, "  **Looks** good to me. ", actor=RITA)
    desk.comment(MODEL, 1, "See the slice of the oldest.", actor=ADMIN, request=request.sequence)
    texts = [each.reason for each in desk.decisions(MODEL, 1) if each.type is EventType.COMMENTED]

    assert texts == ["**Looks** good to me.", "See the slice of the oldest."]
    assert sentence(desk.history(MODEL)[-1]) == "admin commented on version 1"
    assert desk.history(MODEL)[-1].content["requested"] == request.sequence
    assert approve(desk, request, ANNA).view.state is RequestState.APPLIED


def test_a_comment_has_a_length_a_role_and_the_right_version() -> None:
    """What is malformed is no event, what is refused is one."""
    desk = signing_desk()
    request = ask(desk)
    for text in (" ", "x" * 2_001):
        with pytest.raises(InvalidInput, match="characters given, 1 to 2,000 are allowed"):
            desk.comment(MODEL, 1, text, actor=RITA)
    with pytest.raises(InvalidInput, match="is not about version 2"):
        desk.comment(MODEL, 2, "No.", actor=RITA, request=request.sequence)
    with pytest.raises(NotAllowed, match="comment needs one of admin, approver, breaker, reviewer"):
        desk.comment(MODEL, 1, "Hello.", actor=replace(GRACE, subject="eve"))

    assert types(desk).count(EventType.DENIED) == 1


# Tiers

HIGH = Tier(
    "high",
    models=("credit",),
    moves={
        MoveKind.PRODUCTION: MoveRules(
            gates={
                "accuracy": GateRule(Mode.WARN, minimum=0.95),
                "smoke_prediction": GateRule(Mode.WARN),
            },
            approvals=1,
        )
    },
)
HIGHEST = Tier("highest", moves={MoveKind.PRODUCTION: MoveRules(approvals=3)})


@pytest.mark.parametrize(
    ("model", "tags", "approvals"),
    [
        ("other", {}, 0),
        ("credit", {}, 1),
        ("other", {"risk_tier": "High"}, 1),
        ("credit", {"risk_tier": "none"}, 1),
        ("credit", {"risk_tier": "highest"}, 3),
        ("other", {"risk_tier": "no such tier"}, 0),
    ],
)
def test_a_tag_raises_the_tier_and_never_lowers_it(model: str, tags: dict[str, str], approvals: int) -> None:
    """By model name, or by a tag of the model or the version."""
    policy = replace(signing_policy(0), tiers=(HIGH, HIGHEST))

    for found in (policy.tier_of(model, tags), policy.tier_of(model, {}, tags)):
        assert policy.rules_of(MoveKind.PRODUCTION, found).approvals == approvals


def test_a_tier_asks_of_the_versions_of_its_model() -> None:
    """The model's tag raises it, and a request goes stale when that changes."""
    registry = InMemoryRegistry()
    registry.__dict__.update(small_registry().__dict__)
    registry._models[MODEL].tags["risk_tier"] = "high"
    desk = signing_desk(policy=replace(signing_policy(0), tiers=(HIGH, HIGHEST)), registry=registry)
    with pytest.raises(ApprovalsNeeded):
        desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=ANNA, accept_warnings=True)
    review = desk.review(TO_PRODUCTION)
    with pytest.raises(Blocked, match=r"below 0\.95"):
        ask(desk, accept_warnings=True)

    assert [gate.name for gate in review.gates][-1] == "smoke_prediction"
    assert desk.waiting(MODEL, "f1_macro").contenders[0].untried == ("Trial prediction",)
    registry._models[MODEL].tags["risk_tier"] = ""
    desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=ANNA)


@pytest.mark.parametrize(
    ("own", "added", "both"),
    [
        (GateRule(Mode.WARN), GateRule(Mode.PREVENT), GateRule(Mode.PREVENT)),
        (GateRule(Mode.PREVENT), GateRule(Mode.ALLOW), GateRule(Mode.PREVENT)),
        (GateRule(Mode.WARN, minimum=0.8), GateRule(Mode.WARN, minimum=0.7), GateRule(Mode.WARN, minimum=0.8)),
        (GateRule(Mode.WARN, maximum=3.0), GateRule(Mode.WARN, maximum=2.0), GateRule(Mode.WARN, maximum=2.0)),
        (GateRule(Mode.WARN), GateRule(Mode.WARN, minimum_rows=30), GateRule(Mode.WARN, minimum_rows=30)),
        (GateRule(Mode.WARN, minimum=0.8), GateRule(Mode.WARN), GateRule(Mode.WARN, minimum=0.8)),
        (
            GateRule(Mode.PREVENT, missing=Mode.WARN, foreign=Mode.ALLOW),
            GateRule(Mode.WARN),
            GateRule(Mode.PREVENT, missing=Mode.WARN, foreign=Mode.WARN),
        ),
        (
            GateRule(Mode.WARN),
            GateRule(Mode.ALLOW, missing=Mode.PREVENT),
            GateRule(Mode.WARN, missing=Mode.PREVENT),
        ),
    ],
)
def test_of_two_rules_the_stricter_holds(own: GateRule, added: GateRule, both: GateRule) -> None:
    """Bound by bound, mode by mode."""
    assert own.stricter(added) == both


def test_what_is_not_used_leaves_the_digest_of_the_policy_alone() -> None:
    """And every part that is used changes it."""
    policy = signing_policy(0)
    others = [
        signing_policy(1),
        signing_policy(0, expires_days=3),
        signing_policy(0, approver_roles=(Role.REVIEWER,)),
        signing_policy(0, attestations={"a": "b"}),
        replace(policy, tiers=(HIGH,)),
        replace(policy, override_skips=("accuracy",)),
        replace(policy, logins={"a": "b"}),
    ]

    assert len({each.digest for each in (policy, *others)}) == len(others) + 1
    rules = policy.rules_of(MoveKind.PRODUCTION)
    judged = replace(policy, metrics=replace(policy.metrics, lower=frozenset({"cost"})))
    assert policy.rules_digest(rules) != judged.rules_digest(rules)


def test_a_training_that_only_registered_never_asked_for_a_move() -> None:
    """Whoever trains under the name of the pipeline is still asked for Staging."""
    desk = build_desk()
    desk.record_registration(MODEL, 1, replace(GRACE, subject="pipeline"))

    assert desk.unasked(MODEL, 1, replace(GRACE, subject="pipeline"))
