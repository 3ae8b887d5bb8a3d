"""What people are called: kept with what they sign, beside the chain, and read wherever an event refers to them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from pipeline.governance.actor import Actor, Established, Person, Role, kept_name
from pipeline.governance.errors import InvalidInput, LedgerBusy, NotAllowed, NotFound, SignoffError, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.policy import Policy
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import sentence
from pipeline.governance.roles import Provider, Roles
from pipeline.governance.rules.signing.approval import SignedAct
from pipeline.governance.service.reading import HistoryFilter
from support.desks import GRACE, MODEL, REASON, OpenDesk, build_desk, default_policy
from support.in_memory import InMemoryLedger, InMemoryNames
from support.signers import ALAN, ANNA, RITA, approve, ask, signing_desk

ISSUER = "https://login.example.org"
ADA = Actor("a-1", Established.OIDC, "Ada", ISSUER, groups=("approvers",))
CALLED_ANNA, CALLED_RITA = replace(ANNA, display_name="Anna Berg"), replace(RITA, display_name="Rita Levi")


def with_login() -> Policy:
    roles = Roles(groups={"approvers": (Role.APPROVER, Role.REVIEWER)})
    return replace(default_policy(), provider=Provider.OIDC, roles=roles)


def names(desk: OpenDesk) -> list[str]:
    return sorted(desk.ledger.names.all().values())


def test_an_event_refers_to_the_name() -> None:
    """The chain has issuer, subject and a reference; people read the name, until it is erased."""
    desk = build_desk(policy=with_login())
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=ADA)
    made = desk.as_(ADA).issue_token("ci", Role.REVIEWER, 1)
    desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=desk.authenticate(made.secret))

    assert not any("Ada" in each.body for each in desk.ledger.events())
    assert desk.history()[-1].content["actor"]["person"] == ADA.person.reference
    assert [each.signature for each in desk.decisions(MODEL, 2)] == ["Ada (token)"]
    assert [sentence(line) for line, _ in desk.history_page(MODEL).lines][:2] == [
        "Ada moved version 2 to Staging",
        "Ada moved version 1 to Staging",
    ]
    desk.ledger._names.clear()
    assert [each.signature for each in desk.decisions(MODEL, 1)] == ["a-1 (oidc)"]
    assert desk.ledger.problems() == []


def test_a_request_is_told_with_the_names_of_all() -> None:
    """Of who asked and of who signed: in the queue of others, in its comments and in the decision that it led to."""
    desk = signing_desk(2)
    request = ask(desk, actor=CALLED_RITA)
    desk.comment(MODEL, 1, "See the oldest.", actor=CALLED_ANNA, request=request.sequence)
    approve(desk, request, CALLED_ANNA)
    found = desk.queues(ALAN)
    approve(desk, request, ALAN)

    assert [found.who(each.request.actor) for each in found.waiting] == ["Rita Levi (oidc)"]
    assert [found.who(each.actor) for each in found.waiting[0].request.approvals] == ["Anna Berg (oidc)"]
    assert [each.signature for each in desk.request_comments(request.sequence)] == ["Anna Berg (oidc)"]
    assert sentence(desk.story(request.sequence)[-1]) == (
        "alan promoted version 1 to Production, as Rita Levi had asked for"
    )


@pytest.mark.parametrize("asked", ["Levi", "RITA", "rit"])
def test_somebody_is_found_by_name_and_by_subject(asked: str) -> None:
    """Also who had no name when the link with the subject was kept."""
    desk = signing_desk(1)
    ask(desk, actor=replace(RITA, display_name="R. Levi"))

    found = desk.history_page(MODEL, asked=HistoryFilter(person=asked))
    assert [line.type for line, _ in found.lines] == [EventType.REQUESTED]
    assert desk.history_page(MODEL, asked=HistoryFilter(text="rita levi approval")).lines


@pytest.mark.parametrize(
    "sign",
    [
        lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=ADA),
        lambda desk: desk.comment(MODEL, 1, "Why?", actor=ADA),
        lambda desk: desk.as_(ADA).issue_token("ci", Role.REVIEWER, 1),
        lambda desk: desk.as_(ADA).issue_token("ci", Role.ADMIN, 1),  # refused, which is an event too
        lambda desk: desk.remove_alias(MODEL, "champion", reason=REASON, actor=replace(ADA, groups=())),
        lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=replace(ADA, groups=())),
    ],
)
def test_a_name_is_kept_with_each_event_that_one_signs(sign: Callable[[OpenDesk], object]) -> None:
    """Also of a refusal: the history shows who was refused."""
    desk = build_desk(policy=with_login())
    with suppress(NotAllowed):
        sign(desk)

    assert (desk.history_page(None).lines[0][0].signature, names(desk)) == ("Ada (oidc)", ["Ada"])


@pytest.mark.parametrize(
    ("sign", "error"),
    [
        (lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason="", actor=ADA), InvalidInput),
        (lambda desk: desk.promote("other", 1, Stage.STAGING, reason=REASON, actor=ADA), NotFound),
        (lambda desk: desk.as_(ADA).reject(SignedAct(99, REASON, ADA)), NotFound),
        (lambda desk: desk.as_(ADA).models(), None),
        (lambda desk: desk.queues(ADA), None),
        (lambda desk: desk.as_(ADA).token_roles(), None),
    ],
)
def test_no_name_without_an_event(sign: Callable[[OpenDesk], object], error: type[SignoffError] | None) -> None:
    """Who only looks, or asks for what there is not, leaves none."""
    desk = build_desk(policy=with_login())
    if error is None:
        sign(desk)
    else:
        with pytest.raises(error):
            sign(desk)

    assert names(desk) == []


def test_a_new_name_replaces_the_old_one() -> None:
    """A self-declared name is its own subject, and nobody is called nothing."""
    desk = build_desk(policy=with_login())
    for number, name in enumerate(("Ada", "", "Ada King"), 1):
        desk.comment(MODEL, 1, f"Comment {number}", actor=replace(ADA, display_name=name))
    build_desk(ledger=desk.ledger).comment(MODEL, 1, "Mine", actor=replace(GRACE, display_name="Grace Hopper"))

    assert names(desk) == ["Ada King"]


class OtherNames(InMemoryLedger):
    """A ledger whose names are those of a test."""

    def __init__(self, found: InMemoryNames) -> None:
        super().__init__()
        self.found = found

    @property
    def names(self) -> InMemoryNames:
        return self.found


class CountingNames(InMemoryNames):
    """Counts what is written."""

    kept = 0

    def keep(self, person: Person, name: str) -> None:
        self.kept += 1
        super().keep(person, name)


def test_a_name_that_is_known_is_not_written_again() -> None:
    """Nor is one that differs only in what is not kept."""
    counting = CountingNames({})
    desk = build_desk(ledger=OtherNames(counting), policy=with_login())
    for number, name in enumerate(("Ada", "Ada", " Ada\n"), 1):
        desk.comment(MODEL, 1, f"Comment {number}", actor=replace(ADA, display_name=name))

    assert (counting.kept, names(desk)) == (1, ["Ada"])


class FailingNames(InMemoryNames):
    """Takes no name."""

    error: SignoffError = LedgerBusy("the ledger stayed locked")

    def keep(self, person: Person, name: str) -> None:
        raise self.error


class SilentNames(FailingNames):
    """Does not even answer."""

    def all(self) -> dict[str, str]:
        raise Unavailable("the ledger does not answer")


@pytest.mark.parametrize("failing", [FailingNames, SilentNames])
def test_no_act_fails_for_want_of_a_name(failing: type[InMemoryNames]) -> None:
    """It is done, and the subject stands for the name until the next one."""
    desk = build_desk(ledger=OtherNames(failing({})), policy=with_login())

    assert desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=ADA).version == 1
    with pytest.raises(NotAllowed, match="has no role here"):
        desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=replace(ADA, groups=()))


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ada  King\r\nwas here", "Ada King was here"),
        ("Ada \u202egnik\u2028\x1b[31m", "Ada gnik [31m"),
        ("\ud800Ada\x00", "Ada"),
        ("\u200b \t", ""),
        ("<b>A</b> :red[x]", "<b>A</b> :red[x]"),
        ("a" * 5_000, "a" * 100),
        ("a" * 99 + " b", "a" * 99),
    ],
)
def test_a_name_is_one_short_line_of_plain_text(given: str, kept: str) -> None:
    """Whatever a login provider says: it is a stranger's text."""
    assert kept_name(given) == kept
    desk = build_desk(policy=with_login())
    desk.comment(MODEL, 1, "Why?", actor=replace(ADA, display_name=given))

    assert names(desk) == ([kept] if kept else [])
