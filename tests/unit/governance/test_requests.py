"""The second signature: who may ask, who may sign, to what a signature is bound, and what the last one does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.governance.actor import Actor, Role, UsedToken
from pipeline.governance.errors import (
    ApprovalsNeeded,
    Blocked,
    DecisionPending,
    InvalidInput,
    KeyReused,
    NotAllowed,
    NotAttested,
    NotFound,
    Refused,
    RequestClosed,
    RequestStale,
    SignoffError,
    StaleEvidence,
    StateChanged,
    Unavailable,
    WarningsNotAccepted,
)
from pipeline.governance.lifecycle import CHAMPION, Move, MoveKind, Stage, alias_move, stage_move
from pipeline.governance.record.ledger import EventType, UnreadableEvent
from pipeline.governance.record.requests import RequestState
from pipeline.governance.record.telling import sentence
from pipeline.governance.rules.signing.approval import OpenedPanel, SignedAct
from support.decisions import types
from support.desks import GRACE, MODEL, PIPELINE, REASON, KnownDifferences, OpenDesk, build_desk, failing, worse
from support.in_memory import EPOCH, InMemoryLedger
from support.signers import (
    ALAN,
    AMIR,
    ANNA,
    BEN,
    ISSUER,
    RITA,
    ROLES,
    TO_PRODUCTION,
    TRAINER,
    approve,
    ask,
    person,
    registered_in_mlflow_by,
    roles,
    signing,
    signing_desk,
    signing_policy,
    with_policy,
)

TOKEN = Actor.by_token(UsedToken("ci", Role.APPROVER, TRAINER))


def state(desk: OpenDesk, number: int) -> RequestState:
    return desk.find_request(number).state


# Asking


@pytest.mark.parametrize(
    "decide",
    [
        lambda desk: desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=ANNA),
        lambda desk: desk.set_alias(MODEL, CHAMPION, 1, reason=REASON, actor=ANNA),
    ],
)
def test_what_needs_approval_is_not_had_alone(decide: Callable[[OpenDesk], object]) -> None:
    """Neither by its stage nor by its alias; the refusal names what to do instead, and is one event."""
    desk = signing_desk()
    with pytest.raises(ApprovalsNeeded, match="needs the approval of somebody else; ask for it with `request`"):
        decide(desk)

    assert desk.registry.state(MODEL).champion is None
    assert types(desk)[-1] is EventType.DENIED


def test_a_rollback_can_need_approval_too() -> None:
    """It is a move like any other."""
    desk = signing_desk(policy=signing_policy(2, kinds=(MoveKind.ROLLBACK,)))
    for version in (1, 2):
        if version == 2:
            desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=ANNA)
        desk.promote(MODEL, version, Stage.PRODUCTION, reason=REASON, actor=ANNA)
    with pytest.raises(ApprovalsNeeded, match="needs the approval of 2 others"):
        desk.rollback(MODEL, reason=REASON, actor=ANNA)

    request = desk.request_rollback(MODEL, reason=REASON, actor=RITA)
    approve(desk, request, ALAN)
    done = approve(desk, request, ANNA)

    assert (done.view.state, desk.state(MODEL).champion) == (RequestState.APPLIED, 1)


def test_a_request_moves_nothing_and_says_what_it_is_bound_to() -> None:
    """Files, evidence, incumbent, rules and state."""
    desk = signing_desk()
    before = desk.registry.state(MODEL)
    request = ask(desk)
    review = desk.review(TO_PRODUCTION)

    assert desk.registry.state(MODEL) == before
    assert request.binding == review.prospect.binding(desk.policy)
    assert (request.binding.files, request.binding.evidence) == (review.evidence.file_digest, review.evidence.digest)
    assert (request.signature, request.move, request.reason) == ("rita (oidc)", TO_PRODUCTION, REASON)
    assert desk.evidence(request.binding.evidence) == review.evidence.text
    assert review.as_json()["approvals"] == 1


REFUSED_REQUESTS: list[tuple[str, Callable[[OpenDesk], object], type[SignoffError]]] = [
    ("nobody's role", lambda desk: ask(desk, actor=person("stranger")), NotAllowed),
    ("a self-declared name from the network", lambda desk: ask(desk, actor=replace(GRACE, loopback=False)), NotAllowed),
    ("a gate that prevents", lambda desk: ask(desk, stage_move(MODEL, 2, Stage.PRODUCTION)), Blocked),
    ("an old state", lambda desk: ask(desk, expect="@champion=9#9"), StateChanged),
    ("old evidence", lambda desk: ask(desk, evidence="0" * 64), StaleEvidence),
    ("no approval needed", lambda desk: ask(desk, stage_move(MODEL, 2, Stage.STAGING)), Refused),
    ("the same twice", lambda desk: (ask(desk), ask(desk, actor=ANNA)), DecisionPending),
    ("nothing that differs", lambda desk: desk.request_adoption(MODEL, reason=REASON, actor=RITA), Refused),
]


@pytest.mark.parametrize(
    ("call", "error"), [each[1:] for each in REFUSED_REQUESTS], ids=[r[0] for r in REFUSED_REQUESTS]
)
def test_a_refused_request_leaves_one_denied(call: Callable[[OpenDesk], object], error: type[SignoffError]) -> None:
    """I5."""
    desk = signing_desk()
    with pytest.raises(error):
        call(desk)
    last = desk.history(MODEL)[-1]

    assert types(desk).count(EventType.DENIED) == 1
    assert (last.type, last.content["refusal"], last.meaning) == (EventType.DENIED, error.__name__, "request")
    assert sentence(last).endswith("was refused")


def test_a_move_that_is_not_listed_cannot_be_asked_for() -> None:
    """Closed is closed."""
    policy = signing_policy()
    closed = replace(policy, moves={kind: each for kind, each in policy.moves.items() if kind is not MoveKind.ALIAS})
    with pytest.raises(NotAllowed, match="does not list alias"):
        ask(signing_desk(policy=closed), alias_move(MODEL, "shadow", 1))


def test_a_reason_is_no_matter_of_rules() -> None:
    """Malformed input is not a request: nothing is recorded."""
    desk = signing_desk()
    with pytest.raises(InvalidInput, match="reason"):
        desk.request(TO_PRODUCTION, reason="short", actor=RITA)
    with pytest.raises(InvalidInput, match="state: an approval says which state was looked at"):
        desk.approve(SignedAct(1, REASON, ANNA, evidence="0" * 64))

    assert EventType.DENIED not in types(desk)


@pytest.mark.parametrize("number", [0, 1, 99])
def test_a_number_that_no_request_has(number: int) -> None:
    """Also one of another event."""
    with pytest.raises(NotFound, match=f"the ledger holds none with the number {number}"):
        signing_desk().find_request(number)


def test_an_alias_can_need_approval() -> None:
    """To set it and to take it away."""
    desk = signing_desk(policy=signing_policy(kinds=(MoveKind.ALIAS, MoveKind.UNALIAS)))
    for move in (alias_move(MODEL, "shadow", 1), Move(MODEL, MoveKind.UNALIAS, None, "shadow")):
        request = ask(desk, move)
        assert request.move == move
        assert approve(desk, request, ANNA).view.state is RequestState.APPLIED

    assert desk.state(MODEL).aliases == {}


# SignedAct


def test_the_last_approval_makes_the_move() -> None:
    """In the same step, with the signatures that it rests on, for the reason that was given when it was asked for."""
    desk = signing_desk(2)
    request = ask(desk)
    first = approve(desk, request, ANNA)
    assert (first.outcome, first.view.state, first.view.counted, first.view.needed) == (None, RequestState.OPEN, 1, 2)

    last = approve(desk, request, ALAN)
    decided, applied = desk.history(MODEL)[-2:]
    approvals = [each.sequence for each in desk.history(MODEL) if each.type is EventType.APPROVED]

    assert desk.state(MODEL).champion == 1
    assert last.view.state is RequestState.APPLIED
    assert last.outcome is not None
    assert last.outcome.sequence == decided.sequence
    for each in (decided, applied):
        assert each.content["approvals"] == approvals
        assert (each.content["requested"], each.content["requested_by"]["subject"]) == (request.sequence, "rita")
    assert (decided.actor, decided.reason, decided.content["actor"]["roles"]) == ("alan", REASON, ["approver"])
    assert sentence(applied) == "alan promoted version 1 to Production, as rita had asked for"
    assert last.as_json()["decision"]["sequence"] == decided.sequence
    assert [each.signature for each in desk.history(MODEL) if each.type is EventType.APPROVED] == [
        "anna (oidc)",
        "alan (oidc)",
    ]


SEPARATION: list[tuple[str, Actor, str]] = [
    ("who asked", ANNA, "is your own request"),
    ("who registered", TRAINER, "you registered this version"),
    ("their token", TOKEN, "you registered this version"),
    ("who signed already", ALAN, "you have approved"),
    ("a reviewer", RITA, "approve needs one of approver"),
    ("a program", PIPELINE, "approve needs one of approver"),
]


@pytest.mark.parametrize(("actor", "why"), [each[1:] for each in SEPARATION], ids=[each[0] for each in SEPARATION])
def test_different_persons_ask_register_and_approve(actor: Actor, why: str) -> None:
    """A token and its owner are one person."""
    desk = signing_desk(2)
    request = ask(desk, actor=ANNA)
    approve(desk, request, ALAN)
    with pytest.raises(NotAllowed, match=why):
        approve(desk, request, actor)
    last = desk.history(MODEL)[-1]

    assert (last.content["requested"], last.meaning) == (request.sequence, "approve")
    assert sentence(last) == f"{actor.subject} asked to approve request {request.sequence} and was refused"
    assert state(desk, request.sequence) is RequestState.OPEN


@pytest.mark.parametrize(
    ("login", "logins"), [("anna", {}), ("a.berg", {"a.berg": "anna"}), ("a.berg", {"a.berg": f"{ISSUER}|anna"})]
)
def test_a_login_in_mlflow_keeps_out_and_lets_nobody_in(login: str, logins: dict[str, str]) -> None:
    """It is a claim: whom it names may not approve, and without a recorded registrar there is one approval more."""
    policy = replace(signing_policy(), logins=logins)
    desk = signing_desk(policy=policy, registry=registered_in_mlflow_by(login), registered_by=None)
    request = ask(desk)
    with pytest.raises(NotAllowed, match="you registered this version, or MLflow says so"):
        approve(desk, request, ANNA)

    assert approve(desk, request, ALAN).view.state is RequestState.OPEN
    assert approve(desk, request, AMIR).view.state is RequestState.APPLIED


def test_a_recorded_registrar_is_known_whatever_mlflow_claims() -> None:
    """Then the claim keeps out, and no approval more is needed."""
    desk = signing_desk(registry=registered_in_mlflow_by("anna"))

    assert approve(desk, ask(desk), ALAN).view.state is RequestState.APPLIED


def test_a_self_declared_registrar_clears_nobody_who_is_logged_in() -> None:
    """Anybody may have called themselves anything; the name still keeps out."""
    desk = signing_desk(registered_by=replace(GRACE, subject="anna"))
    request = ask(desk)
    with pytest.raises(NotAllowed, match="you registered this version"):
        approve(desk, request, ANNA)

    assert approve(desk, request, ALAN).view.state is RequestState.OPEN
    assert approve(desk, request, AMIR).view.state is RequestState.APPLIED


def test_on_one_machine_names_are_taken_as_they_are() -> None:
    """Self-declared persons ask, register and approve for each other."""
    policy = replace(signing_policy(), roles=replace(roles(), self_declared=(Role.REVIEWER, Role.APPROVER)))
    desk = signing_desk(policy=policy, registered_by=replace(GRACE, subject="trainer"))
    request = ask(desk, actor=GRACE)

    assert approve(desk, request, replace(GRACE, subject="mary")).view.state is RequestState.APPLIED


def test_who_registered_other_bytes_is_not_who_registered_these() -> None:
    """The event names the digest of the files; once per version."""
    desk = build_desk(policy=signing_policy())
    assert desk.record_registration(MODEL, 1, TRAINER) is not None
    assert desk.record_registration(MODEL, 1, ANNA) is None
    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=ANNA)
    request = ask(desk)

    assert desk.find_request(request.sequence).needed == 2
    assert desk.record_registration(MODEL, 1, ANNA) is not None


def test_a_signature_of_somebody_who_lost_the_role_counts_no_more() -> None:
    """Roles are looked up again at the last approval; whoever got the role back counts again."""
    desk = signing_desk(2)
    request = ask(desk)
    approve(desk, request, ANNA)
    without = {actor: held for actor, held in ROLES.items() if actor != ANNA}
    later = with_policy(desk, replace(desk.policy, roles=roles(without)))
    assert (later.find_request(request.sequence).counted, desk.find_request(request.sequence).counted) == (0, 1)

    assert approve(later, request, ALAN).view.state is RequestState.OPEN
    done = approve(later, request, AMIR)
    decided = next(each for each in reversed(desk.history(MODEL)) if each.type is EventType.DECIDED)

    assert done.view.state is RequestState.APPLIED
    assert len(decided.content["approvals"]) == 2


def test_a_role_may_rest_on_a_group() -> None:
    """The groups of the signer are kept with the signature, to look the role up again."""
    grouped = replace(person("gina"), groups=("ml-approvers", "staff"))
    held = replace(roles(), groups={"ml-approvers": (Role.APPROVER,)})
    desk = signing_desk(policy=replace(signing_policy(2), roles=held))
    request = ask(desk)
    approve(desk, request, grouped)

    assert desk.find_request(request.sequence).counted == 1
    assert approve(desk, request, ALAN).view.state is RequestState.APPLIED


def test_a_registrar_who_becomes_known_later_takes_the_signature_back() -> None:
    """Separation is looked at again for each signature."""
    desk = signing_desk(2, registered_by=None)
    request = ask(desk)
    approve(desk, request, TRAINER)
    desk.record_registration(MODEL, 1, TRAINER)

    assert approve(desk, request, ALAN).view.counted == 1
    assert approve(desk, request, ANNA).view.state is RequestState.APPLIED


def test_of_two_last_signers_one_makes_the_move() -> None:
    """The count is taken under the ledger's lock."""
    desk = signing_desk(2)
    request = ask(desk)
    approve(desk, request, ANNA)
    review = desk.reviewer.review
    raced: list[bool] = []

    def race(move: Move, **options: Any) -> object:
        found = review(move, **options)
        if not raced:
            raced.append(True)
            approve(with_policy(desk, desk.policy), request, AMIR)
        return found

    object.__setattr__(desk.reviewer, "review", race)
    with pytest.raises((StateChanged, RequestClosed)):
        approve(desk, request, ALAN)

    assert types(desk).count(EventType.DECIDED) == 2  # to Staging, to Production


# What it is bound to


def _files(desk: OpenDesk) -> None:
    desk.registry.write_file(MODEL, 1, "model.skops", content=b"other")


def _evidence(desk: OpenDesk) -> None:
    desk.registry.set_tags(MODEL, 1, {"note": "edited"})


def _champion(desk: OpenDesk) -> None:
    alone = with_policy(desk, replace(signing_policy(0)))
    alone.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=ANNA)
    alone.promote(MODEL, 2, Stage.PRODUCTION, reason=REASON, actor=ANNA)


@pytest.mark.parametrize(
    ("change", "names", "words"),
    [
        (_files, ("files", "evidence"), "the files of the version and the evidence changed"),
        (_evidence, ("evidence",), "the evidence changed"),
        (_champion, ("incumbent", "state"), "the champion that it is compared with and the state"),
    ],
)
def test_a_request_goes_stale_by_name(change: Callable[[OpenDesk], None], names: tuple[str, ...], words: str) -> None:
    """In the queue and in the refusal; the same may then be asked for again."""
    desk = signing_desk()
    request = ask(desk)
    change(desk)
    view = desk.find_request(request.sequence)

    assert (view.stale, view.is_due, view.as_json()["stale"]) == (names, True, list(names))
    assert words.removesuffix(" changed") in view.stale_sentence
    assert [each.request.sequence for each in desk.requests(due=True)] == [request.sequence]
    with pytest.raises(RequestStale, match=words):
        approve(desk, request, ANNA)


def test_only_the_rules_of_its_own_move_make_it_stale() -> None:
    """Another gate for Archived is nobody's matter."""
    desk = signing_desk()
    request = ask(desk)
    other = replace(signing_policy(), override_skips=("accuracy",))
    stricter = signing_policy(attestations={"data": "The data were looked at."})

    assert with_policy(desk, other).find_request(request.sequence).stale == ()
    assert with_policy(desk, stricter).find_request(request.sequence).stale == ("rules",)


def test_what_is_stale_can_be_asked_for_again() -> None:
    """The old request is in nobody's way."""
    desk = signing_desk()
    first = ask(desk)
    _evidence(desk)
    second = ask(desk)

    assert [each.request.sequence for each in desk.requests(MODEL)] == [second.sequence, first.sequence]
    assert approve(desk, second, ANNA).view.state is RequestState.APPLIED


def test_a_version_that_is_gone_is_stale() -> None:
    """The queue goes on, and the request can be closed."""
    desk = signing_desk()
    request = ask(desk)
    desk.registry.delete_version(MODEL, 1)
    view = desk.find_request(request.sequence)

    assert (view.stale, view.stale_sentence) == (("version",), "whether the version is there")
    assert desk.reject(signing(request, ANNA)).state is RequestState.REJECTED


def test_an_approver_says_what_was_looked_at() -> None:
    """Other evidence, or another state, than is there now is refused."""
    desk = signing_desk()
    request = ask(desk)
    with pytest.raises(StaleEvidence):
        approve(desk, request, ANNA, evidence="0" * 64)
    with pytest.raises(StateChanged):
        approve(desk, request, ANNA, expect="@champion=7#1")


def test_a_request_expires() -> None:
    """Seven days, unless the policy says otherwise; it can then be closed, or asked for again."""
    desk = signing_desk()
    request = ask(desk)
    assert request.expires_at - request.at == timedelta(days=7)
    desk.clock.time += timedelta(days=8)
    with pytest.raises(RequestClosed, match="is expired"):
        approve(desk, request, ANNA)

    assert [each.state for each in desk.requests(due=True)] == [RequestState.EXPIRED]
    assert desk.requests() == []
    assert ask(desk).sequence > request.sequence
    assert desk.withdraw(signing(request, RITA)).state is RequestState.WITHDRAWN
    assert [each.request.sequence for each in desk.closed_requests(MODEL)] == [request.sequence]


def test_gates_are_computed_anew_at_the_last_approval() -> None:
    """A warning that the requester did not accept stops it; one that they accepted is named to who approves."""
    warned, desk = KnownDifferences([worse("f1_macro")]), signing_desk()
    _champion(desk)
    request = ask(desk)
    again = build_desk(desk.registry, desk.ledger, policy=desk.policy, clock=desk.clock, comparer=warned)
    with pytest.raises(WarningsNotAccepted, match="Not worse than the champion"):
        approve(again, request, ANNA)
    again.withdraw(signing(request, RITA))
    with pytest.raises(WarningsNotAccepted):
        ask(again)
    accepted = ask(again, accept_warnings=True)

    assert again.find_request(accepted.sequence).as_json()["accepted_warnings"] == ["not_worse_than_incumbent"]
    assert approve(again, accepted, ANNA).view.state is RequestState.APPLIED


def test_each_approver_confirms_every_sentence() -> None:
    """One by one; what was confirmed and opened is recorded with the signature."""
    sentences = {"data": "I know where the data come from.", "harm": "I know whom it can harm."}
    desk = signing_desk(policy=signing_policy(attestations=sentences))
    request = ask(desk)
    with pytest.raises(NotAttested, match=r"to be confirmed too: harm \(I know whom it can harm.\)"):
        approve(desk, request, ANNA, attested=("data",))
    with pytest.raises(InvalidInput, match="there is no sentence date; there are data, harm"):
        approve(desk, request, ANNA, attested=("date", "harm"))

    opened = (OpenedPanel("metrics", EPOCH),)
    approve(desk, request, ANNA, attested=("harm", "data"), opened=opened)
    approved = next(each for each in desk.history(MODEL) if each.type is EventType.APPROVED)

    assert approved.content["attested"] == sentences
    assert approved.content["opened"] == [{"panel": "metrics", "at": "2026-01-01T00:00:00.000000Z"}]


def test_a_key_that_is_not_asked_for_is_named() -> None:
    """Where the policy has no sentences, it says so."""
    desk = signing_desk()
    with pytest.raises(InvalidInput, match="there are none"):
        approve(desk, ask(desk), ANNA, attested=("data",))


# Ends


def test_a_request_is_rejected_by_an_approver_and_withdrawn_by_who_asked() -> None:
    """Nobody rejects their own, nobody withdraws somebody else's, and what has ended stays so."""
    desk = signing_desk()
    request = ask(desk, actor=ANNA)
    for end, actor in ((desk.reject, ANNA), (desk.reject, RITA), (desk.withdraw, ALAN)):
        with pytest.raises(NotAllowed):
            end(signing(request, actor))
    assert desk.reject(signing(request, ALAN)).state is RequestState.REJECTED
    for end, actor in ((desk.withdraw, ANNA), (desk.reject, ALAN)):
        with pytest.raises(RequestClosed, match="is rejected"):
            end(signing(request, actor))
    with pytest.raises(RequestClosed):
        approve(desk, request, ALAN)

    assert desk.state(MODEL).champion is None
    assert sentence(next(each for each in desk.history(MODEL) if each.type is EventType.REJECTED)) == (
        "alan rejected the request to promote version 1 to Production"
    )


def test_the_same_key_is_the_same_act() -> None:
    """I6, of each act; another act under it is refused."""
    desk = signing_desk(2)
    request = ask(desk, key="ask")
    assert ask(desk, key="ask").sequence == request.sequence
    approve(desk, request, ANNA, key="approve")
    again = approve(desk, request, ANNA, key="approve")
    assert (again.outcome, again.view.counted) == (None, 1)
    with pytest.raises(KeyReused):
        approve(desk, request, ALAN, key="approve")
    with pytest.raises(KeyReused):
        desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=ANNA, key="ask")
    for _ in range(2):
        assert desk.withdraw(signing(request, RITA, key="end")).state is RequestState.WITHDRAWN

    assert types(desk).count(EventType.WITHDRAWN) == types(desk).count(EventType.APPROVED) == 1


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_an_outage_after_the_last_signature_keeps_it(lost: str) -> None:
    """The request is approved, the intent stays, and reconcile finishes it, whether or not the registry had heard."""
    desk = signing_desk()
    request = ask(desk)
    set_alias = desk.registry.set_alias

    def unheard(*arguments: Any) -> None:
        if lost == "answer":
            set_alias(*arguments)
        raise Unavailable("lost")

    desk.registry.set_alias = unheard
    with pytest.raises(Unavailable, match="is recorded and reconcile finishes it"):
        approve(desk, request, ANNA)
    assert (state(desk, request.sequence), desk.requests()[0].state) == (RequestState.APPROVED, RequestState.APPROVED)
    desk.registry.set_alias = set_alias
    desk.reconcile(MODEL, min_age=timedelta())

    assert state(desk, request.sequence) is RequestState.APPLIED
    assert desk.state(MODEL).champion == 1
    assert desk.reconcile(MODEL) == []


@pytest.mark.parametrize("spoil", [_files, lambda desk: desk.registry.delete_version(MODEL, 1)])
def test_an_outage_does_not_let_other_files_through(spoil: Callable[[OpenDesk], None]) -> None:
    """What was signed was these bytes."""
    desk = signing_desk()
    request = ask(desk)
    set_alias, desk.registry.set_alias = desk.registry.set_alias, failing(desk.registry, Unavailable("down"))
    with pytest.raises(Unavailable):
        approve(desk, request, ANNA)
    desk.registry.set_alias = set_alias
    spoil(desk)
    desk.reconcile(MODEL, min_age=timedelta())

    assert state(desk, request.sequence) is RequestState.NOT_APPLIED
    assert desk.registry.state(MODEL).champion is None


@pytest.mark.parametrize("act", ["approve", "reject", "withdraw", "acknowledge"])
def test_who_reads_nothing_learns_no_number(act: str) -> None:
    """One sentence and one event, the same for a request or an override that is there and for a number that is not."""
    desk = signing_desk()
    there = ask(desk).sequence
    if act == "acknowledge":
        there = desk.override(TO_PRODUCTION, reason=REASON, actor=BEN).sequence
    before, said = desk.event_count(), set()
    stranger = desk.as_(person("stranger"))
    for number in (there, 10**30):
        with pytest.raises(NotAllowed) as refusal:
            if act == "acknowledge":
                stranger.acknowledge(number, reason=REASON, actor=stranger.actor)
            else:
                getattr(stranger, act)(SignedAct(number, REASON, stranger.actor, "0" * 64, "@champion=#0"))
        said.add(str(refusal.value))
    first, second = desk.history()[before:]

    assert len(said) == 1
    for each, number in ((first, there), (second, 10**30)):
        assert (each.type, each.model, each.why, each.content["looked_up"]) == (EventType.DENIED, "", *said, number)
        named = "an override" if act == "acknowledge" else f"request {number}"
        assert sentence(each) == f"stranger asked to {act} {named} and was refused"


def test_an_event_that_cannot_be_read_hides_no_request() -> None:
    """The queue shows the others; verify names it."""

    class Damaged(InMemoryLedger):
        def page(self, *arguments: Any, **options: Any):
            if options.get("only") is not None:
                yield UnreadableEvent(99, "approved", MODEL)
            yield from super().page(*arguments, **options)

    desk = signing_desk(ledger=Damaged())
    request = ask(desk)

    assert [each.request.sequence for each in desk.requests()] == [request.sequence]
    assert desk.closed_requests() == []
