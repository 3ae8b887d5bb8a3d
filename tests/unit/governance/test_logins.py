"""Who somebody is by the claims of a login or the headers of a proxy, and what a start without secrets says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from pipeline import bootstrap
from pipeline.adapters.identity.claims import actor_of_claims
from pipeline.adapters.identity.headers import actor_of_headers
from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import InvalidInput, NotAllowed, StaleLogin
from pipeline.governance.lifecycle import MoveKind, Stage
from pipeline.governance.policy import MoveRules, Policy
from pipeline.governance.record.ledger import EventType
from pipeline.governance.roles import Provider, Roles
from pipeline.settings import ROOT, read_settings
from pipeline.settings.identity import ProxySettings
from pipeline.settings.login import OIDC_VARIABLES, OidcClient, proxy_secret
from support.desks import MODEL, REASON, TickingClock, build_desk, default_policy

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ISSUER = "https://login.example.org"
SECRET = "s" * 32
CLAIMS = {
    "is_logged_in": True,
    "iss": ISSUER,
    "sub": "248289761001",
    "exp": NOW.timestamp() + 60,
    "auth_time": NOW.timestamp() - 60,
    "name": "Grace Hopper",
    "email": "desk@example.org",
    "groups": ["ml-reviewers", "staff"],
}
CLIENT = {
    "SIGNOFF_OIDC_METADATA_URL": f"{ISSUER}/.well-known/openid-configuration",
    "SIGNOFF_OIDC_CLIENT_ID": "signoff",
    "SIGNOFF_OIDC_CLIENT_SECRET": "secret",
    "SIGNOFF_OIDC_REDIRECT_URI": "https://desk.example.org/oauth2callback",
    "SIGNOFF_COOKIE_SECRET": SECRET,
}


def by_claims(**changed: object) -> Actor | None:
    return actor_of_claims(CLAIMS | changed, groups_claim="groups", now=NOW)


def by_headers(*sent: tuple[str, str], names: ProxySettings | None = None) -> Actor | None:
    def values(name: str) -> list[str]:
        return [value for other, value in sent if other.lower() == name.lower()]

    return actor_of_headers(values, names=names or ProxySettings(), secret=SECRET)


# Claims


def test_a_login_is_issuer_and_subject():
    """With groups and the time of the login; the name is for the eye."""
    assert by_claims() == Actor(
        "248289761001",
        Established.OIDC,
        display_name="Grace Hopper",
        issuer=ISSUER,
        groups=("ml-reviewers", "staff"),
        authenticated_at=NOW - timedelta(seconds=60),
    )


def test_two_subjects_with_one_email_are_two_people():
    """Neither e-mail nor name tells people apart."""
    one, other = by_claims(), by_claims(sub="u-2")
    assert one is not None
    assert other is not None
    assert not one.is_same_person(other)
    assert Roles(subjects={one.person: (Role.APPROVER,)}).of(other) == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"is_logged_in": False},
        {"is_logged_in": "yes"},
        {"iss": ""},
        {"sub": None},
        {"exp": NOW.timestamp()},
        {"exp": None},
        {"exp": "later"},
        {"exp": float("nan")},
        {"exp": True},
    ],
)
def test_who_is_not_logged_in_or_has_expired_is_nobody(changed):
    """Streamlit's cookie lasts 30 days; the claims in it do not."""
    assert by_claims(**changed) is None


@pytest.mark.parametrize(
    ("told", "groups"), [("admins", ("admins",)), (None, ()), ([1, "a", ""], ("a",)), ({"a": 1}, ())]
)
def test_groups_are_a_list_of_texts_or_one_text(told, groups):
    """What is neither is no group."""
    assert by_claims(groups=told).groups == groups


def test_the_claim_of_the_groups_has_the_name_of_the_settings():
    """Another claim of the name groups is not read then."""
    found = actor_of_claims(CLAIMS | {"roles": ["a"]}, groups_claim="roles", now=NOW)
    assert found is not None
    assert found.groups == ("a",)


# Headers

GOOD = (("X-Signoff-Proxy-Secret", SECRET), ("X-Forwarded-User", "grace"), ("X-Forwarded-Groups", "a, b,,"))


def test_a_proxy_names_people_and_groups():
    """The issuer is the proxy header itself, so that a login's subject of the same name is somebody else."""
    found = by_headers(*GOOD)
    assert found == Actor("grace", Established.PROXY_HEADER, groups=("a", "b"))
    assert found.person.text == "proxy_header|grace"


def test_a_proxy_may_say_what_people_are_called():
    """By a header that is listed; two people of one name stay two, and a name that comes twice is nobody's."""
    names = ProxySettings(name="X-Forwarded-Preferred-Username")
    called = ("X-Forwarded-Preferred-Username", "Grace Hopper")
    found = by_headers(*GOOD, called, names=names)

    assert (found.subject, found.display_name, found.person.text) == ("grace", "Grace Hopper", "proxy_header|grace")
    assert by_headers(*GOOD, names=names).display_name == by_headers(*GOOD, called).display_name == ""
    assert found.person != by_headers(GOOD[0], ("X-Forwarded-User", "u-7"), called, names=names).person
    assert by_headers(*GOOD, called, ("x-forwarded-preferred-username", "Mallory"), names=names) is None


def test_names_are_read_as_utf_8():
    """As proxies send them; the server reads Latin-1."""
    sent = "Žofie".encode().decode("latin-1")
    assert by_headers(GOOD[0], ("X-Forwarded-User", sent)).subject == "Žofie"


@pytest.mark.parametrize(
    "sent",
    [
        GOOD[1:],
        (("X-Signoff-Proxy-Secret", "t" * 32), *GOOD[1:]),
        (("X-Signoff-Proxy-Secret", ""), *GOOD[1:]),
        (("X-Signoff-Proxy-Secret", f"{SECRET}, {SECRET}"), *GOOD[1:]),
        (*GOOD, GOOD[0]),
        (*GOOD, ("x-forwarded-user", "mallory")),
        (*GOOD, GOOD[1]),
        (*GOOD, ("X-Forwarded-Groups", "admins")),
        (GOOD[0], GOOD[2]),
        (GOOD[0], ("X-Forwarded-User", " ")),
    ],
    ids=["none", "wrong", "empty", "joined", "secret-twice", "user-twice", "same-twice", "groups-twice", "-", "blank"],
)
def test_forged_headers_are_nobody(sent):
    """Without the secret, with a wrong one, or with any of the headers twice."""
    assert by_headers(*sent) is None


# What bootstrap picks


def settings_of(tmp_path: Path, identity: dict[str, object] | None):
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content.pop("identity", None)
    if identity is not None:
        content["identity"] = identity
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return read_settings(file, environ={"SIGNOFF_ACTOR": "ada"})


def visitor(settings, *, loopback=True):
    sent = dict(GOOD)
    return bootstrap.visitor(
        settings,
        claims=lambda: {**CLAIMS, "exp": 4e9},
        headers=lambda name: [sent[name]] if name in sent else [],
        loopback=loopback,
    )


def test_each_provider_believes_its_own_source_only(tmp_path, monkeypatch):
    """Headers beside a login, and a login beside headers, say nothing; older files without the section are local."""
    monkeypatch.setenv("SIGNOFF_PROXY_SECRET", SECRET)
    assert visitor(settings_of(tmp_path, None), loopback=False) == Actor("ada", Established.SELF_DECLARED)
    assert visitor(settings_of(tmp_path, {"provider": "oidc"})).subject == "248289761001"
    assert visitor(settings_of(tmp_path, {"provider": "proxy"})).subject == "grace"


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ({"provider": "ldap"}, "identity.provider: "),
        ({"providr": "oidc"}, "identity.providr: is not a known key"),
        ({"fresh_minutes": 0}, "identity.fresh_minutes: "),
        ({"proxy": {"user": "X User"}}, "identity.proxy.user: "),
        ({"proxy": {"user": "X-A", "groups": "x-a"}}, "must be different headers"),
        ({"proxy": {"user": "X-A", "name": "x-a"}}, "must be different headers"),
        ({"proxy": {"logout": "//example.org"}}, "identity.proxy.logout: "),
        ({"proxy": {"logout": "https://example.org"}}, "identity.proxy.logout: "),
    ],
)
def test_what_the_section_cannot_say_is_refused_with_its_line(tmp_path, identity, said):
    """As everywhere in params.yaml."""
    with pytest.raises(InvalidInput, match=said) as refused:
        settings_of(tmp_path, identity)
    assert "(line " in str(refused.value)


# Secrets


def test_the_environment_goes_before_the_secrets_file():
    """Each on its own; what neither has is missing by name."""
    secrets: dict[str, object] = dict.fromkeys(OIDC_VARIABLES, "https://other.example.org/oauth2callback")
    secrets |= {"cookie_secret": "f" * 32, "client_kwargs": {"scope": "openid groups"}}
    found = OidcClient.read({"SIGNOFF_OIDC_CLIENT_ID": "mine"}, secrets)
    assert (found.client_id, found.scope) == ("mine", "openid groups")
    assert found.redirect_uri == "https://other.example.org/oauth2callback"
    assert OidcClient.read(CLIENT, {}).scope == "openid profile email"


@pytest.mark.parametrize("missing", CLIENT)
def test_a_login_without_one_of_its_parts_is_refused_at_the_start(missing):
    """There is no default for any of them."""
    with pytest.raises(InvalidInput, match=f"{missing}: is missing"):
        OidcClient.read({name: value for name, value in CLIENT.items() if name != missing}, {})


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SIGNOFF_COOKIE_SECRET", "s" * 31, "has 31 characters; at least 32"),
        ("SIGNOFF_OIDC_REDIRECT_URI", "https://desk.example.org/", "with /oauth2callback behind it"),
        ("SIGNOFF_OIDC_REDIRECT_URI", "desk.example.org/oauth2callback", "must be an address"),
        ("SIGNOFF_OIDC_METADATA_URL", "file:///etc/passwd", "must be an address"),
    ],
)
def test_a_login_that_cannot_work_is_refused_at_the_start(name, value, said):
    """By the variable's name and without its value."""
    with pytest.raises(InvalidInput, match=f"{name}: .*{said}") as refused:
        OidcClient.read(CLIENT | {name: value}, {})
    assert value not in str(refused.value)


@pytest.mark.parametrize(("secret", "said"), [("", "is missing"), ("s" * 31, "has 31 characters")])
def test_the_secret_of_the_proxy_cannot_be_short(secret, said):
    """There is none that everybody knows."""
    with pytest.raises(InvalidInput, match=f"SIGNOFF_PROXY_SECRET: {said}"):
        proxy_secret({"SIGNOFF_PROXY_SECRET": secret})
    assert proxy_secret({"SIGNOFF_PROXY_SECRET": SECRET}).get_secret_value() == SECRET


# A fresh login


def fresh_policy(minutes: int | None = 15) -> Policy:
    roles = Roles(groups={"ml": (Role.REVIEWER, Role.APPROVER)})
    fresh = None if minutes is None else timedelta(minutes=minutes)
    return replace(default_policy(), provider=Provider.OIDC, roles=roles, fresh=fresh)


def logged_in(clock: TickingClock, minutes: int | None) -> Actor:
    at = None if minutes is None else clock.time - timedelta(minutes=minutes)
    return Actor("g-1", Established.OIDC, issuer=ISSUER, groups=("ml",), authenticated_at=at)


@pytest.mark.parametrize("minutes", [16, None])
def test_a_login_that_is_old_or_of_no_known_age_signs_nothing(minutes):
    """It reads on; the refusal is said before anything is typed, and leaves `denied` where it was tried."""
    clock = TickingClock()
    desk = build_desk(policy=fresh_policy(), clock=clock)
    person = logged_in(clock, minutes)

    assert desk.as_(person).models()
    with pytest.raises(StaleLogin, match="log in again to sign; a login may be 15 minutes old"):
        desk.check_signer(person, MoveKind.STAGING)
    with pytest.raises(StaleLogin):
        desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=person)
    assert [each.type for each in desk.history() if each.type is EventType.DENIED] == [EventType.DENIED]


@pytest.mark.parametrize(("age", "asked"), [(14, 15), (16, None), (None, None)])
def test_a_fresh_login_signs_and_so_does_each_where_no_freshness_is_asked(age, asked):
    """The decision holds when the person logged in."""
    clock = TickingClock()
    desk = build_desk(policy=fresh_policy(asked), clock=clock)
    assert desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=logged_in(clock, age)).version == 1


def test_how_fresh_a_login_must_be_is_part_of_the_policy_of_those_who_log_in():
    """And changes no digest of a policy without logins."""
    assert fresh_policy(15).digest != fresh_policy(5).digest
    local = default_policy()
    assert replace(local, fresh=timedelta(minutes=5)).digest == local.digest


def test_who_decides_nothing_is_told_before_a_form():
    """By any role that decides, and by those of the move in particular."""
    roles = Roles(groups={"readers": (Role.VIEWER,), "reviewers": (Role.REVIEWER,)})
    desk = build_desk(policy=replace(fresh_policy(None), roles=roles))
    reader, reviewer = (Actor("x", Established.OIDC, issuer=ISSUER, groups=(name,)) for name in roles.groups)

    with pytest.raises(NotAllowed, match="viewer, and decide needs one of"):
        desk.check_signer(reader)
    desk.check_signer(reviewer)
    desk.check_signer(reviewer, MoveKind.STAGING)
    with pytest.raises(NotAllowed, match="production needs one of approver"):
        desk.check_signer(reviewer, MoveKind.PRODUCTION)
    assert desk.as_(reviewer).roles() == (Role.REVIEWER,)


def test_a_move_that_is_closed_to_everybody_is_no_matter_of_roles():
    """Its gate says so already."""
    policy = fresh_policy(None)
    open_moves: dict[MoveKind, MoveRules] = {
        kind: rules for kind, rules in policy.moves.items() if kind is not MoveKind.STAGING
    }
    desk = build_desk(policy=replace(policy, moves=open_moves))
    desk.check_signer(logged_in(TickingClock(), None), MoveKind.STAGING)
