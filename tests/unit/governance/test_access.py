"""Who may call what: one table of roles and actions, walked over every method of the service; default deny."""

import inspect
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import NotAllowed
from pipeline.governance.lifecycle import MoveKind, Stage, alias_move
from pipeline.governance.policy import Policy
from pipeline.governance.record.history import entry
from pipeline.governance.record.ledger import EventType
from pipeline.governance.record.telling import sentence
from pipeline.governance.roles import ACTIONS, OF_PROGRAMS, Action, FixedRoles, Provider, Roles
from pipeline.governance.service import DESK, GovernanceService
from pipeline.governance.service.access import ACTION_OF, OPEN, RULED_INSIDE
from pipeline.settings import ROOT, read_settings
from pipeline.settings.identity import FileRoles, read_roles
from support.desks import GRACE, MODEL, PIPELINE, REASON, OpenDesk, build_desk, default_policy

METHODS = sorted(
    name
    for name, _ in inspect.getmembers(GovernanceService, inspect.isfunction)
    if not name.startswith("_") and name not in OPEN
)
ISSUER = "https://login.example.org"


def member(*groups: str) -> Actor:
    return Actor("g-1", Established.OIDC, issuer=ISSUER, groups=groups)


def with_login() -> Policy:
    """A policy where people log in; each role is that of the group of the same name."""
    groups = {role.value: (role,) for role in Role}
    roles = Roles(groups=groups, programs={"pipeline": (Role.AUTOMATION,)}, self_declared=tuple(Role))
    return replace(default_policy(), provider=Provider.OIDC, roles=roles)


def may_call(desk: OpenDesk, name: str) -> bool:
    """Whether the check lets the call through, which then lacks its arguments, or does its work."""
    try:
        getattr(desk, name)()
    except NotAllowed:
        return False
    except TypeError:  # arguments are missing
        return True
    return True


@pytest.mark.parametrize("role", [*Role, None])
def test_every_method_asks_for_a_role_of_the_table(role: Role | None) -> None:
    """Whatever the door: command line, screens and HTTP call these methods and no others."""
    desk = build_desk(policy=with_login()).as_(member(*([role.value] if role else [])))
    expected = {name for name in METHODS if role in ACTIONS[ACTION_OF.get(name, Action.READ)]}
    inside = {name for name in METHODS if ACTION_OF.get(name, Action.READ) in RULED_INSIDE}

    assert {name for name in METHODS if may_call(desk, name)} - inside == expected - inside
    assert {action for action in Action if desk.may(action)} == {each for each in Action if role in ACTIONS[each]}


@pytest.mark.parametrize("role", [*Role, None])
def test_a_decision_asks_for_a_role_of_the_table(role: Role | None) -> None:
    """Even where a policy lists every role under the move; a refusal leaves one `denied`."""
    policy = with_login()
    listed = {kind: replace(rules, roles=tuple(Role)) for kind, rules in policy.moves.items()}
    desk = build_desk(policy=replace(policy, moves=listed))
    actor = member(*([role.value] if role else []))
    if role in ACTIONS[Action.DECIDE]:
        assert desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=actor).version == 1
        return

    with pytest.raises(NotAllowed):
        desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=actor)
    assert [each.type for each in desk.history() if each.type is EventType.DENIED] == [EventType.DENIED]


ACTS = {
    "promote": lambda desk, model: desk.promote(model, 1, Stage.STAGING, reason=REASON, actor=desk.actor),
    "alias": lambda desk, model: desk.set_alias(model, "mine", 1, reason=REASON, actor=desk.actor),
    "unalias": lambda desk, model: desk.remove_alias(model, "mine", reason=REASON, actor=desk.actor),
    "rollback": lambda desk, model: desk.rollback(model, reason=REASON, actor=desk.actor),
    "request": lambda desk, model: desk.request(alias_move(model, "mine", 1), reason=REASON, actor=desk.actor),
    "adoption": lambda desk, model: desk.request_adoption(model, reason=REASON, actor=desk.actor),
    "comment": lambda desk, model: desk.comment(model, 1, "Why so?", actor=desk.actor),
    "override": lambda desk, model: desk.override(alias_move(model, "mine", 1), reason=REASON, actor=desk.actor),
    "adopt": lambda desk, model: desk.adopt(model, reason=REASON, actor=desk.actor),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=list(ACTS))
def test_who_reads_nothing_learns_of_no_model(act: Callable[[GovernanceService, str], object]) -> None:
    """One sentence and one event, the same for a model that is there and for one that is not."""
    desk = build_desk(policy=with_login())
    caller, said = desk.as_(member("caller")), set()
    for model in (MODEL, "nobody"):
        with pytest.raises(NotAllowed) as refusal:
            act(caller, model)
        said.add(str(refusal.value))
    denied = [entry(each) for each in desk.ledger.events()]

    assert len(said) == 1
    assert [(each.type, each.model, each.version) for each in denied] == [(EventType.DENIED, "", None)] * 2
    assert {sentence(each) for each in denied} == {"g-1 asked to decide something here and was refused"}


def test_admin_looks_after_tokens_and_cannot_approve() -> None:
    """Whoever hands out access does not sign."""
    admin = {action for action, roles in ACTIONS.items() if Role.ADMIN in roles}

    others = {Action.COMMENT, Action.ACKNOWLEDGE, Action.PURGE_LOG, Action.OWN_TOKENS, Action.ALL_TOKENS}
    assert admin == {Action.READ, *others}


class TestWherePeopleLogIn:
    """Default deny."""

    @pytest.mark.parametrize("actor", [GRACE, member(), member("demo"), Actor("", Established.SELF_DECLARED)])
    def test_who_has_no_role_reads_nothing(self, actor: Actor) -> None:
        """Also a name that nobody has checked, whatever the file gives to such names; the sentence says what to do."""
        desk = build_desk(policy=with_login()).as_(actor)

        with pytest.raises(NotAllowed, match=r"has no role here, and read needs one of .*; policy\.roles says who"):
            desk.models()
        assert desk.ledger.count() == 0

    def test_the_desks_own_programs_read_and_record(self) -> None:
        """Training, the reconciler and the API are no visitors; they still decide only what the policy grants them."""
        desk = build_desk(policy=with_login())

        assert desk.actor == DESK
        assert [each.name for each in desk.as_(PIPELINE).models()] == [MODEL]
        assert [each.event.type for each in desk.look()] == [EventType.BASELINE]
        assert {action for action in Action if desk.may(action)} == OF_PROGRAMS

    def test_the_provider_is_part_of_the_policy(self) -> None:
        """A decision is bound to who established identities."""
        policy = with_login()

        assert policy.digest != replace(policy, provider=Provider.PROXY).digest


class TestWithoutLogin:
    """Everybody who reaches the desk reads; a self-declared name decides at this machine."""

    @pytest.mark.parametrize(
        ("actor", "expected"),
        [
            (GRACE, {Action.READ, Action.PREDICT, Action.RECORD, Action.COMMENT, Action.REQUEST, Action.DECIDE}),
            (replace(GRACE, loopback=False), {Action.READ, Action.PREDICT}),
        ],
    )
    def test_a_self_declared_name(self, actor: Actor, expected: set[Action]) -> None:
        """As the shipped policy says."""
        desk = build_desk().as_(actor)
        of_log = {Action.READ_LOG, Action.OUTCOMES, Action.PURGE_LOG, Action.CLOSE}
        more = {Action.APPROVE, Action.ACKNOWLEDGE, Action.OWN_TOKENS, *of_log} if actor.loopback else set()

        assert {action for action in Action if desk.may(action)} == expected | more


class TestRolesThatChange:
    """`policy.roles` is read again when the file changes."""

    def file(self, tmp_path: Path) -> Path:
        file = tmp_path / "params.yaml"
        file.write_text((ROOT / "params.yaml").read_text())
        return file

    def desk(self, file: Path) -> OpenDesk:
        settings = read_settings(file, environ={})
        assert settings.environment.params == file
        return build_desk(policy=settings.rules(), roles=FileRoles(file, settings.rules().roles))

    def give(self, file: Path, *roles: str) -> None:
        content = yaml.safe_load(file.read_text())
        content["policy"]["roles"]["self_declared"] = list(roles)
        file.write_text(yaml.safe_dump(content))

    def test_a_role_taken_away_is_gone_at_the_next_action(self, tmp_path: Path) -> None:
        """Without a restart, for a desk that is bound already; the digest of the next decision is that of the roles."""
        file = self.file(tmp_path)
        desk = self.desk(file).as_(GRACE)
        desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
        before = desk.policy.digest
        self.give(file, "viewer")

        with pytest.raises(NotAllowed, match="'grace' has the role viewer; staging needs one of automation"):
            desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=GRACE)
        assert not desk.may(Action.RECORD)
        self.give(file, "approver")
        desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=GRACE)
        assert desk.history()[-1].content["actor"]["roles"] == ["approver"]
        assert desk.history()[-2].content["policy"] == desk.policy.digest != before

    @pytest.mark.parametrize(
        ("broken", "why"),
        [
            ("policy: [", "params.yaml: is not valid YAML"),
            (
                "policy: {roles: {self_declared: [boss]}}",
                r"policy\.roles\.self_declared\.0: Input .* \(line 1\)",
            ),
            ("policy: {}", r"policy\.roles: is missing \(line 1\)"),
        ],
    )
    def test_while_the_file_is_wrong_nobody_decides_and_reading_goes_on(
        self, tmp_path: Path, broken: str, why: str
    ) -> None:
        """The refusal names the line and leaves its event; where the file is mended, decisions go on."""
        file = self.file(tmp_path)
        desk, text = self.desk(file).as_(GRACE), file.read_text()
        desk.take_over()
        file.write_text(broken)

        for decide in (
            lambda: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE),
            lambda: desk.revert(MODEL, reason=REASON, actor=GRACE),
        ):
            with pytest.raises(NotAllowed, match=f"nobody may decide while the roles cannot be read: .*{why}"):
                decide()
        assert [each.type for each in desk.history()] == [EventType.BASELINE, EventType.DENIED, EventType.DENIED]
        desk.check_signer(GRACE)
        file.write_text(text)
        assert desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE).version == 1

    def test_a_file_that_is_gone_is_as_one_that_is_wrong(self, tmp_path: Path) -> None:
        """Until it is back."""
        file = self.file(tmp_path)
        book, text = FileRoles(file, read_roles(file)), file.read_text()
        file.unlink()

        with pytest.raises(NotAllowed, match="cannot be read"):
            book.now()
        assert book.known().self_declared == (Role.REVIEWER, Role.APPROVER)
        file.write_text(text)
        assert book.now() == book.known()

    def test_an_unchanged_file_is_not_read_again(self, tmp_path: Path) -> None:
        """Its size and time are asked for, nothing more."""
        file = self.file(tmp_path)
        book = FileRoles(file, read_roles(file))

        assert book.now() is book.now() is book.known()

    def test_a_role_taken_away_during_the_review_is_gone_under_the_lock(self) -> None:
        """Reviewing takes seconds; who may decide is asked once more where the decision is recorded."""
        desk = build_desk()
        seen: list[None] = []

        class Taken(FixedRoles):
            """Gives the roles once."""

            def now(self) -> Roles:
                seen.append(None)
                return self.roles if len(seen) == 1 else Roles()

        object.__setattr__(desk.decider.policies, "book", Taken(default_policy().roles))
        with pytest.raises(NotAllowed, match="'grace' has no role here; staging needs one of"):
            desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
        assert [each.type for each in desk.history()] == [EventType.BASELINE, EventType.DENIED]
        assert desk.policy.rules_of(MoveKind.STAGING)
