"""Identity tokens: made, shown, listed and revoked by the service; what they may do hangs on their owner."""

from dataclasses import replace
from datetime import timedelta

import pytest

from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import InvalidInput, LedgerBusy, NotAllowed, NotFound, Refused
from pipeline.governance.lifecycle import Stage
from pipeline.governance.policy import Policy
from pipeline.governance.record.history import entry
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import sentence
from pipeline.governance.roles import Action, FixedRoles, Provider, Roles, at_most
from pipeline.governance.tokens import NOT_ACCEPTED, PREFIX, TokenState, identity_token, parse_role, secret_digest
from support.desks import GRACE, MODEL, PIPELINE, REASON, OpenDesk, TickingClock, build_desk, default_policy

ISSUER = "https://login.example.org"
ADA = Actor("a-1", Established.OIDC, "Ada", ISSUER, groups=("approvers",))
ADMIN = Actor("b-2", Established.OIDC, "Ben", ISSUER, groups=("admins",))
NOBODY = Actor("c-3", Established.OIDC, "Eve", ISSUER)


def with_login(**tokens: tuple[Role, ...]) -> Policy:
    groups = {"approvers": (Role.APPROVER, Role.REVIEWER), "admins": (Role.ADMIN,)}
    return replace(default_policy(), provider=Provider.OIDC, roles=Roles(groups=groups, tokens=tokens))


def types(desk: OpenDesk) -> list[EventType]:
    return [each.event.type for each in desk.ledger.events()]


def test_a_token_acts_for_its_owner() -> None:
    """By its secret, which begins with a word by which people and scanners know it; the desk keeps a hash."""
    desk = build_desk()
    made = desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 30)
    actor = desk.authenticate(made.secret)
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=actor)
    signed = desk.history(MODEL)[-1].content["actor"]

    assert made.secret.startswith(PREFIX)
    assert made.secret not in str([vars(each) for each in desk.ledger.tokens.all()])
    assert actor.is_same_person(GRACE)
    assert (signed["subject"], signed["established"], signed["roles"]) == ("grace", "token", ["reviewer"])
    assert signed["token"] == {"name": "ci", "owner_established": "self_declared"}


def test_making_and_revoking_are_events() -> None:
    """With who did it; none holds the secret or its hash."""
    desk = build_desk()
    made = desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 30)
    desk.as_(GRACE).revoke_token("ci")
    bodies = [each.body for each in desk.ledger.events()]

    assert types(desk) == [EventType.TOKEN_ISSUED, EventType.TOKEN_REVOKED]
    assert [sentence(each) for each in desk.history()] == ["grace made the token ci", "grace revoked the token ci"]
    assert not any(secret in body for body in bodies for secret in (made.secret, made.record.sha256))
    assert desk.history()[0].content["token"]["owner"] == {"issuer": "self_declared", "subject": "grace"}
    assert desk.known_models() == [MODEL]
    assert desk.verify() == []


@pytest.mark.parametrize("wrong", ["", "signoff_", "signoff_guessed", "something else"])
def test_a_wrong_token_is_nobody(wrong: str) -> None:
    """One sentence, whatever is wrong, and no event: anybody can guess as often as they like."""
    desk = build_desk()
    desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 30)

    with pytest.raises(NotAllowed) as refusal:
        desk.authenticate(wrong)
    assert str(refusal.value) == NOT_ACCEPTED
    assert types(desk) == [EventType.TOKEN_ISSUED]


def test_an_expired_or_revoked_token_is_nobody() -> None:
    """The same sentence; the list says which it is."""
    clock = TickingClock()
    desk = build_desk(clock=clock).as_(GRACE)
    short, long = desk.issue_token("short", Role.REVIEWER, 1), desk.issue_token("long", Role.REVIEWER, 30)
    clock.time += timedelta(days=1)
    desk.revoke_token("long")

    for made in (short, long):
        with pytest.raises(NotAllowed, match=f"^{NOT_ACCEPTED}$"):
            desk.authenticate(made.secret)
    states = {each.name: each.state(desk.time()) for each in desk.tokens()}
    assert states == {"short": TokenState.EXPIRED, "long": TokenState.REVOKED}
    assert desk.tokens()[0].as_json(desk.time())["owner"] == "self_declared|grace"


def test_the_last_use_is_written_at_most_once_a_minute() -> None:
    """And is no reason to refuse a token where the ledger is busy."""
    clock = TickingClock()
    desk = build_desk(clock=clock).as_(GRACE)
    made = desk.issue_token("ci", Role.REVIEWER, 1)

    def last_used() -> object:
        return desk.tokens()[0].as_json(desk.time())["last_used_at"]

    assert last_used() is None
    desk.authenticate(made.secret)
    first = last_used()
    desk.authenticate(made.secret)
    assert last_used() == first
    clock.time += timedelta(minutes=1)
    desk.authenticate(made.secret)
    assert last_used() != first


def test_a_ledger_that_cannot_be_written_refuses_no_token() -> None:
    """Only when it was last used is not known then."""
    desk = build_desk()
    made = desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 1)
    held = desk.ledger.tokens

    class Busy:
        """Finds tokens, and keeps nothing."""

        def all(self) -> object:
            return held.all()

        def find(self, sha256: str) -> object:
            return held.find(sha256)

        def used(self, *_: object) -> None:
            raise LedgerBusy("the ledger stayed locked")

    class BusyLedger:
        """A ledger with such tokens."""

        tokens = Busy()

    object.__setattr__(desk, "_token_ledger", BusyLedger())
    assert desk.authenticate(made.secret).subject == "grace"


class TestWhatATokenMay:
    """The role of the token, at most what its owner has now, at most what section `tokens` lists for its name."""

    def desk(self, policy: Policy | None = None) -> OpenDesk:
        return build_desk(policy=policy or with_login())

    def test_at_most_what_its_maker_has(self) -> None:
        """Also less: who reviews may make one that only reads, or that only asks for predictions."""
        desk = self.desk().as_(ADA)
        for role in (Role.APPROVER, Role.REVIEWER, Role.VIEWER, Role.CALLER):
            desk.issue_token(role.value, role, 1)
        for role in (Role.ADMIN, Role.BREAKER, Role.AUTOMATION):
            with pytest.raises(NotAllowed, match=r"its role is at most one's own \(approver, reviewer\); got"):
                desk.issue_token(role.value, role, 1)

        assert types(desk) == [EventType.TOKEN_ISSUED] * 4 + [EventType.DENIED] * 3
        assert sentence(entry([*desk.ledger.events()][-1])) == "a-1 asked to make the token automation and was refused"

    def test_what_the_owner_loses_the_token_loses(self) -> None:
        """At the next action."""
        desk = self.desk()
        made = desk.as_(ADA).issue_token("ci", Role.REVIEWER, 1)
        bound = desk.as_(desk.authenticate(made.secret))
        assert bound.may(Action.READ)
        object.__setattr__(desk.decider.policies, "book", FixedRoles(Roles()))

        with pytest.raises(NotAllowed, match="'a-1' has no role here"):
            bound.models()

    def test_the_section_of_its_name_limits_it(self) -> None:
        """A token called otherwise is limited by its owner alone."""
        desk = self.desk(with_login(ci=(Role.REVIEWER,)))
        limited = desk.authenticate(desk.as_(ADA).issue_token("ci", Role.APPROVER, 1).secret)
        reading = desk.authenticate(desk.as_(ADA).issue_token("other", Role.APPROVER, 1).secret)

        assert [desk.as_(each).may(Action.APPROVE) for each in (limited, reading)] == [False, True]

    def test_a_token_makes_a_token_of_the_same_owner(self) -> None:
        """With at most its own role."""
        desk = self.desk()
        first = desk.authenticate(desk.as_(ADA).issue_token("ci", Role.REVIEWER, 1).secret)
        second = desk.authenticate(desk.as_(first).issue_token("cd", Role.REVIEWER, 1).secret)

        assert second.is_same_person(ADA)
        with pytest.raises(NotAllowed, match=r"at most one's own \(reviewer\)"):
            desk.as_(first).issue_token("more", Role.APPROVER, 1)

    def test_a_token_that_a_token_makes_ends_with_it(self) -> None:
        """At the latest: who has a token for a day has none for a year; a day that has begun may be asked for."""
        clock = TickingClock()
        desk = build_desk(policy=with_login(), clock=clock)
        made = desk.as_(ADA).issue_token("ci", Role.REVIEWER, 3)
        first = desk.as_(desk.authenticate(made.secret))
        clock.time += timedelta(hours=36)

        short, last = (first.issue_token(name, Role.REVIEWER, days) for name, days in (("a", 1), ("b", 2)))
        assert short.record.expires_at < made.record.expires_at == last.record.expires_at
        with pytest.raises(NotAllowed) as refusal:
            first.issue_token("year", Role.REVIEWER, 366)
        assert str(refusal.value) == (
            "days: a token made with the token 'ci' ends with it at the latest, and is good for at most 2 days; got 366"
        )
        with pytest.raises(NotAllowed, match="at most 1 day; got 2"):
            desk.as_(desk.authenticate(short.secret)).issue_token("c", Role.REVIEWER, 2)
        assert types(desk)[-2:] == [EventType.DENIED] * 2
        assert {each.name for each in desk.ledger.tokens.all()} == {"ci", "a", "b"}

    def test_a_token_that_has_ended_meanwhile_makes_none(self) -> None:
        """It was good when it was shown, and is not when the new one would be kept."""
        desk = self.desk()
        first = desk.authenticate(desk.as_(ADA).issue_token("ci", Role.REVIEWER, 3).secret)
        desk.as_(ADA).revoke_token("ci")

        with pytest.raises(NotAllowed, match=f"^{NOT_ACCEPTED}$"):
            desk.as_(first).issue_token("cd", Role.REVIEWER, 1)
        assert types(desk)[-1] is EventType.DENIED

    @pytest.mark.parametrize("actor", [NOBODY, GRACE, replace(GRACE, loopback=False), PIPELINE])
    def test_who_has_no_role_makes_none(self, actor: Actor) -> None:
        """Nor does a program, nor a name that nobody has checked where people log in."""
        desk = self.desk().as_(actor)

        with pytest.raises(NotAllowed):
            desk.issue_token("ci", Role.VIEWER, 1)
        assert types(desk) == [EventType.DENIED]

    def test_a_role_is_at_most_others_only_where_they_do_what_it_does(self) -> None:
        """A move may ask for any role that decides, so none of those is less than another."""
        assert at_most(Role.VIEWER, [Role.BREAKER])
        assert not at_most(Role.CALLER, [Role.VIEWER, Role.ADMIN])
        assert not at_most(Role.REVIEWER, [Role.APPROVER])
        assert not at_most(Role.VIEWER, [])


class TestListingAndRevoking:
    """One's own; everybody's for an admin."""

    def desk(self) -> OpenDesk:
        desk = build_desk(policy=with_login())
        desk.as_(ADA).issue_token("of-ada", Role.REVIEWER, 1)
        desk.as_(ADMIN).issue_token("of-ben", Role.ADMIN, 1)
        return desk

    def test_everybody_sees_their_own(self) -> None:
        """An admin sees all; who has no role sees none."""
        desk = self.desk()

        assert [each.name for each in desk.as_(ADA).tokens()] == ["of-ada"]
        assert [each.name for each in desk.as_(ADMIN).tokens()] == ["of-ada", "of-ben"]
        with pytest.raises(NotAllowed):
            desk.as_(NOBODY).tokens()

    def test_an_admin_revokes_everybodys(self) -> None:
        """One that is not one's own is as one that is not there; what is revoked cannot be revoked again."""
        desk = self.desk()
        with pytest.raises(NotFound, match="token: there is none called 'of-ben' that could be revoked"):
            desk.as_(ADA).revoke_token("of-ben")
        assert desk.as_(ADMIN).revoke_token("of-ada").revoked_at is not None
        with pytest.raises(NotFound):
            desk.as_(ADMIN).revoke_token("of-ada")
        with pytest.raises(NotAllowed):
            desk.as_(NOBODY).revoke_token("of-ben")

        assert types(desk)[2:] == [EventType.TOKEN_REVOKED, EventType.DENIED]

    def test_a_name_is_free_again_after_its_token_has_ended(self) -> None:
        """Not before."""
        desk = self.desk()
        with pytest.raises(Refused, match="there is one called 'of-ada'; revoke it first"):
            desk.as_(ADMIN).issue_token("of-ada", Role.ADMIN, 1)
        desk.as_(ADA).revoke_token("of-ada")
        made = desk.as_(ADA).issue_token("of-ada", Role.VIEWER, 1)

        assert desk.ledger.tokens.find(secret_digest(made.secret)) == made.record


class TestTheFirstToken:
    """Before anybody can log in, whoever sits at the machine makes one."""

    def test_it_has_its_role_though_its_maker_has_none(self) -> None:
        """And so have those that are made with it; revoking it ends them all."""
        desk = build_desk(policy=with_login())
        made = desk.as_(GRACE).issue_token("first", Role.ADMIN, 30, first=True)
        first = desk.authenticate(made.secret)
        second = desk.as_(first).issue_token("second", Role.ADMIN, 1)

        assert (first.person.text, first.is_same_person(GRACE)) == ("bootstrap|grace", False)
        assert desk.as_(desk.authenticate(second.secret)).may(Action.ALL_TOKENS)
        desk.as_(first).revoke_token("first")
        assert not desk.as_(desk.authenticate(second.secret)).may(Action.READ)

    def test_there_is_one_only(self) -> None:
        """While none was ever made, also none that is revoked by now."""
        desk = build_desk(policy=with_login())
        desk.as_(ADA).issue_token("ci", Role.REVIEWER, 1)
        desk.as_(ADA).revoke_token("ci")

        with pytest.raises(NotAllowed, match="the first one was made already"):
            desk.as_(GRACE).issue_token("first", Role.ADMIN, 30, first=True)

    @pytest.mark.parametrize("actor", [ADA, PIPELINE, replace(GRACE, loopback=False)])
    def test_only_at_this_machine(self, actor: Actor) -> None:
        """Nobody who came over the network or by a login."""
        desk = build_desk(policy=with_login())

        with pytest.raises(NotAllowed, match=r"made by a person at this machine|decides only on this machine"):
            desk.as_(actor).issue_token("first", Role.ADMIN, 30, first=True)

    def test_it_is_something_to_look_at_for_a_week(self) -> None:
        """Somebody else should know that it was made."""
        clock = TickingClock()
        desk = build_desk(clock=clock)
        assert desk.first_token() is None
        desk.as_(GRACE).issue_token("usual", Role.VIEWER, 1)
        assert desk.first_token() is None
        desk.ledger._tokens.clear()
        desk.as_(GRACE).issue_token("first", Role.ADMIN, 30, first=True)

        found = desk.first_token()
        assert found is not None
        assert found.told == (
            "grace made the token first (admin) at the desk's machine on 2026-01-01 00:00 UTC, before anybody could "
            "log in. It is good until 2026-01-31 00:00 UTC, unless somebody revokes it."
        )
        clock.time += timedelta(days=7)
        assert desk.first_token() is None


@pytest.mark.parametrize(
    ("name", "days", "sentence"),
    [
        ("", 1, "token: a name has 1 to 100 printable characters; got ''"),
        (" ci", 1, "token: a name has"),
        ("c\ni", 1, "token: a name has"),
        ("c" * 101, 1, "token: a name has"),
        ("ci", 0, "days: a token is good for 1 to 366 days; got 0"),
        ("ci", 367, "days: a token is good for 1 to 366 days; got 367"),
    ],
)
def test_what_cannot_be_a_token_is_no_request(name: str, days: int, sentence: str) -> None:
    """Nothing is recorded about it."""
    desk = build_desk().as_(GRACE)

    with pytest.raises(InvalidInput, match=sentence):
        desk.issue_token(name, Role.VIEWER, days)
    assert types(desk) == []


def test_a_role_by_its_name() -> None:
    """One that does not exist is refused with those that do."""
    assert parse_role("viewer") is Role.VIEWER
    with pytest.raises(InvalidInput, match="role: there is none called 'boss'; there are viewer, reviewer"):
        parse_role("boss")


@pytest.mark.parametrize(
    ("header", "token"),
    [
        (None, None),
        (b"", None),
        (b"Bearer a-shared-secret", None),
        (b"Basic signoff_abc", None),
        (b"Bearer signoff_\xe4", None),
        (b"Bearer signoff_" + b"a" * 5_000, None),
        (b"bearer  signoff_abc", "signoff_abc"),
    ],
)
def test_only_a_bearer_with_our_prefix_is_an_identity_token(header: bytes | None, token: str | None) -> None:
    """Whatever else stands in the header, the shared secret among it, is nobody's identity."""
    assert identity_token(header) == token
