"""Who acts and who has which roles: sections never match each other, and a token is the person who made it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.governance.actor import Actor, Established, Person, Role, UsedToken, actor_json, person_in
from pipeline.governance.errors import InvalidInput
from pipeline.governance.policy import Policy
from pipeline.governance.record.ledger import canonical, digest_of
from pipeline.governance.roles import Roles
from pipeline.settings import ROOT, read_settings
from support.desks import GRACE, PIPELINE

ISSUER = "https://login.example.org"
GRACE_BY_LOGIN = Actor("g-1", Established.OIDC, "Grace", ISSUER, groups=("reviewers", "demo"))
SECTIONS: dict[str, Any] = {
    "programs": {"demo": ["automation", "approver"], "pipeline": ["automation"]},
    "self_declared": ["reviewer"],
    "groups": {"reviewers": ["reviewer"], "deciders": ["approver", "reviewer"]},
    "subjects": {f"{ISSUER}|g-1": ["admin"]},
    "tokens": {"robot": ["viewer"]},
}


def read(tmp_path: Path, roles: object) -> Policy:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["policy"]["roles"] = roles
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))
    return read_settings(file, environ={}).policy.policy()


def roles(tmp_path: Path) -> Roles:
    return read(tmp_path, SECTIONS).roles


def token(role: Role, owner: Actor, *, name: str = "ci", owner_role: Role | None = None) -> Actor:
    return Actor.by_token(UsedToken(name, role, owner, owner_role))


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        (GRACE_BY_LOGIN, (Role.ADMIN, Role.REVIEWER)),
        (Actor("g-2", Established.OIDC, "Grace", ISSUER, groups=("deciders", "reviewers")), ("approver", "reviewer")),
        (Actor("g-1", Established.OIDC, "Grace", "https://other.example.org"), ()),
        (Actor("g-1", Established.PROXY_HEADER, "Grace"), ()),
        (GRACE, (Role.REVIEWER,)),
        (PIPELINE, (Role.AUTOMATION,)),
        (Actor("reviewers", Established.PROGRAM), ()),
        (Actor("ci", Established.TOKEN), ()),
    ],
)
def test_roles_are_looked_up_in_the_sections_of_the_actor(tmp_path: Path, actor: Actor, expected: tuple[str]) -> None:
    """Of a login by subject, then by group; of programs by name; of the self-declared all alike."""
    assert roles(tmp_path).of(actor) == expected


@pytest.mark.parametrize(
    "actor",
    [
        Actor("eve", Established.OIDC, "demo", ISSUER, groups=("demo", "self_declared", "programs", "robot")),
        Actor("demo", Established.OIDC, "demo", ISSUER),
        Actor("demo", Established.PROXY_HEADER, "demo", "demo"),
        Actor("deciders", Established.PROGRAM),
        Actor(f"{ISSUER}|g-1", Established.PROGRAM),
    ],
)
def test_a_name_never_matches_across_sections(tmp_path: Path, actor: Actor) -> None:
    """A group called `demo` is no program, a program called like a group or a subject is neither."""
    assert roles(tmp_path).of(actor) == ()


@pytest.mark.parametrize(
    ("actor", "expected"),
    [
        (token(Role.REVIEWER, GRACE), (Role.REVIEWER,)),
        (token(Role.APPROVER, GRACE), ()),
        (token(Role.APPROVER, GRACE, owner_role=Role.APPROVER), (Role.APPROVER,)),
        (token(Role.ADMIN, GRACE_BY_LOGIN), (Role.ADMIN,)),
        (token(Role.ADMIN, GRACE_BY_LOGIN, name="robot"), ()),
        (token(Role.REVIEWER, GRACE, name="demo"), (Role.REVIEWER,)),
    ],
)
def test_a_token_has_its_role_as_far_as_its_owner_and_its_section_do(
    tmp_path: Path, actor: Actor, expected: tuple[str]
) -> None:
    """At most what its owner has now, and what section `tokens` lists for its name where it names it."""
    assert roles(tmp_path).of(actor) == expected


def test_a_token_and_its_owner_are_the_same_person() -> None:
    """The key is issuer and subject: neither the display name nor the way of proving it makes two of one."""
    by_token = token(Role.REVIEWER, GRACE_BY_LOGIN)
    namesake = Actor("g-2", Established.OIDC, "Grace", ISSUER)

    assert by_token.is_same_person(GRACE_BY_LOGIN)
    assert by_token.person == Person(ISSUER, "g-1")
    assert token(Role.REVIEWER, GRACE).is_same_person(GRACE)
    assert not namesake.is_same_person(GRACE_BY_LOGIN)
    assert not Actor("grace", Established.PROGRAM).is_same_person(GRACE)
    assert (PIPELINE.is_program, GRACE.is_program) == (True, False)


@pytest.mark.parametrize(
    "actor", [GRACE, PIPELINE, GRACE_BY_LOGIN, token(Role.ADMIN, GRACE), token(Role.ADMIN, PIPELINE)]
)
def test_an_event_names_the_same_person(actor: Actor) -> None:
    """Whoever reads an event can tell whether somebody is its actor."""
    assert person_in(actor_json(actor, ())) == actor.person


def test_an_event_tells_of_the_login_and_the_token() -> None:
    """When the person logged in, and which token acted; an event without a name is nobody's."""
    at = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
    login = actor_json(Actor("g-1", Established.OIDC, "Grace", ISSUER, authenticated_at=at), ("reviewer",))

    assert (login["authenticated_at"], login["roles"]) == ("2026-11-28T09:00:00+00:00", ["reviewer"])
    assert actor_json(token(Role.ADMIN, GRACE), ())["token"] == {"name": "ci", "owner_established": "self_declared"}
    assert "token" not in actor_json(GRACE, ())
    assert ("display_name" in login, login["person"]) == (False, GRACE_BY_LOGIN.person.reference)
    assert actor_json(GRACE, ())["display_name"] == "grace"
    assert person_in({}) is None


def test_the_flat_form_is_read_as_programs_and_self_declared(tmp_path: Path) -> None:
    """As all files were written once; the digest of the policy is the same, in either form and as it was."""
    flat = {"self_declared": ["reviewer", "approver"], "pipeline": ["automation"], "demo": ["automation", "approver"]}
    programs = {"pipeline": flat["pipeline"], "demo": flat["demo"]}
    sections = {"programs": programs, "self_declared": flat["self_declared"], "groups": {}}
    policy = read(tmp_path, flat)
    moves = {
        kind: {"gates": {n: gate_content(r) for n, r in rules.gates.items()}, "roles": rules.roles}
        for kind, rules in policy.moves.items()
    }

    assert policy.roles == read(tmp_path, sections).roles == read_settings(environ={}).policy.policy().roles
    assert policy.digest == digest_of(canonical({"moves": moves, "roles": flat}))
    assert read(tmp_path, {"pipeline": ["automation"]}).digest == digest_of(
        canonical({"moves": moves, "roles": {"pipeline": ["automation"]}})
    )


def gate_content(rule: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(rule).items() if name != "maximum" or value is not None}


def test_the_digest_tells_the_sections_apart(tmp_path: Path) -> None:
    """A role that moves to another section, or is taken away, is another policy."""
    found = {read(tmp_path, SECTIONS | {name: {}}).digest for name in ("programs", "groups", "subjects", "tokens")}

    assert len({*found, read(tmp_path, SECTIONS).digest}) == 5
    assert json.loads(canonical(roles(tmp_path).content()))["subjects"] == SECTIONS["subjects"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"self_declared": ["boss"]}, r"policy\.roles\.self_declared\.0: Input should be 'viewer', .* \(line \d+\)"),
        ({"pipeline": ["robot"]}, r"policy\.roles\.pipeline\.0: Input should be 'viewer'"),
        ({"teams": {"a": ["viewer"]}}, r"policy\.roles\.teams: is not a known key \(line \d+\)"),
        ({"groups": {}, "pipeline": ["automation"]}, r"policy\.roles\.pipeline: is not a known key \(line \d+\)"),
        ({"groups": ["viewer"]}, r"policy\.roles\.groups: Input should be a valid dictionary \(line \d+\)"),
        (
            {"subjects": {"grace": ["viewer"]}},
            r"policy\.roles\.subjects\.grace.*: 'grace' must be written issuer\|subj",
        ),
        (["viewer"], r"policy\.roles: Input should be a valid dictionary"),
    ],
)
def test_unknown_roles_and_sections_are_refused(tmp_path: Path, wrong: object, sentence: str) -> None:
    """With the line, as every other mistake in the file."""
    with pytest.raises(InvalidInput, match=sentence):
        read(tmp_path, wrong)


def test_a_move_asks_for_a_role_that_decides(tmp_path: Path) -> None:
    """Who reads or looks after tokens decides no move by that role."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["policy"]["moves"]["alias"]["roles"] = ["admin"]
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))

    with pytest.raises(InvalidInput, match=r"policy\.moves\.alias\.roles: the role admin decides no move; allowed are"):
        read_settings(file, environ={})
