"""What people see who log in, and the way back to the page that they came for."""

import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from itsdangerous import URLSafeTimedSerializer
from streamlit.testing.v1 import AppTest

from dashboard import session
from dashboard.login.starting import AGAIN, LOGIN, login_parts, prepared
from dashboard.login.visitor import by_itself
from dashboard.login.wanted import COOKIE, WantedPage
from pipeline.governance.actor import Established, Role
from pipeline.governance.errors import InvalidInput, NotAllowed
from pipeline.governance.roles import ACTIONS, Action, FixedRoles, Provider, Roles
from pipeline.settings import ROOT
from pipeline.settings.login import OidcClient
from support.desks import MODEL, build_desk, default_policy
from support.loops import run_async
from support.seen import facts_of_the_sidebar

ISSUER = "https://login.example.org"
PERSON = {"is_logged_in": True, "iss": ISSUER, "sub": "g-1", "exp": 4e9, "name": "Grace :red[Hopper]", "groups": ["ml"]}
DECIDING = (Role.REVIEWER, Role.APPROVER)
CLIENT = {
    "SIGNOFF_OIDC_METADATA_URL": f"{ISSUER}/.well-known/openid-configuration",
    "SIGNOFF_OIDC_CLIENT_ID": "signoff",
    "SIGNOFF_OIDC_CLIENT_SECRET": "secret",
    "SIGNOFF_OIDC_REDIRECT_URI": "https://desk.example.org/oauth2callback",
    "SIGNOFF_COOKIE_SECRET": "s" * 32,
}


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that have people log in."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    content["identity"] = {"provider": "oidc"}
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("SIGNOFF_PARAMS", str(file))
    return file


def desk_of(groups: dict[str, tuple[Role, ...]], *, fresh: timedelta | None = None) -> tuple:
    """A desk where people log in, and the roles that a test may take away."""
    policy = replace(default_policy(), provider=Provider.OIDC, roles=Roles(groups=groups), fresh=fresh)
    book = FixedRoles(policy.roles)
    return build_desk(policy=policy, roles=book), book


def page_of(open_page, desk, user, page="review", **query) -> AppTest:
    """A page at an address, for a visitor with these claims."""
    app = open_page(desk, page, **query)
    app.user = user
    return app.run()


def texts(app) -> str:
    drawn = (*app.main.text, *app.main.title, *app.main.code, *app.main.caption)
    return "\n".join(str(each.value) for each in drawn)


def test_nobody_reads_nothing_and_the_address_stays(open_page, params):
    """The page offers the login and shows neither registry nor model."""
    desk, _ = desk_of({"ml": DECIDING})
    app = page_of(open_page, desk, {"is_logged_in": False}, model=MODEL, version="3")
    assert [each.value for each in app.title] == ["Log in"]
    assert app.button(key="log_in")
    assert facts_of_the_sidebar(app) == {}
    assert MODEL not in texts(app)
    assert app.query_params["version"] == "3"


def test_who_has_no_role_reads_nothing_and_how_to_get_one(open_page, params):
    """As whom they are known, and how params.yaml names them; nothing of it is markdown."""
    desk, _ = desk_of({"others": DECIDING})
    app = page_of(open_page, desk, PERSON, model=MODEL, version="3")
    assert [each.value for each in app.title] == ["No role yet"]
    assert [each.value for each in app.code] == [f"{ISSUER}|g-1", "ml"]
    known = ["`Grace :red[Hopper] (g-1)`", "known by a login at login.example.org", "without a role"]
    assert facts_of_the_sidebar(app) == {"You are": known}
    assert "Grace :red[Hopper] (g-1)" in app.main.text[0].value


def test_who_has_a_role_reads_and_is_named_in_the_sidebar(open_page, params):
    """With the roles and the way out."""
    desk, _ = desk_of({"ml": (Role.VIEWER,)})
    app = page_of(open_page, desk, PERSON, model=MODEL, version="3")
    assert not app.exception
    assert app.title[0].value.startswith("Version 3 of")
    known = facts_of_the_sidebar(app)["You are"]
    assert known == ["`Grace :red[Hopper] (g-1)`", "known by a login at login.example.org", "as viewer"]
    assert app.button(key="log_out")


SAID_BY_PAGES = {
    "review": {"staging needs one of": Action.DECIDE},
    "tokens": {"own_tokens needs one of": Action.OWN_TOKENS},
    "explain": {},
    "predict": {},
    "overview": {},
    "history": {},
}


@pytest.mark.parametrize("role", Role)
def test_each_page_asks_for_a_role_of_the_table(open_page, params, role):
    """Who may not read sees none of them; what else a role may not do is said where it would be done, by name."""
    desk, _ = desk_of({"ml": (role,)})
    reads = role in ACTIONS[Action.READ]
    for page, said in SAID_BY_PAGES.items():
        asked = {"model": MODEL, "version": "3", **({"to": "Staging", "show": "Comments"} if page == "review" else {})}
        app = page_of(open_page, desk, PERSON, page, **asked)
        assert not app.exception
        assert ("No role yet" in [each.value for each in app.title]) is not reads, page
        for sentence, action in said.items():
            assert (sentence in texts(app)) is (reads and role not in ACTIONS[action]), (page, sentence)
        if page == "review":
            commenting = "Add comment" in [each.label for each in app.button]
            assert commenting is (reads and role in ACTIONS[Action.COMMENT])


def test_a_role_that_is_taken_away_is_gone_at_the_next_click(open_page, params):
    """In a session that is open, though the pages were read for others."""
    desk, book = desk_of({"ml": DECIDING})
    app = page_of(open_page, desk, PERSON, model=MODEL, version="3")
    assert app.title[0].value.startswith("Version 3 of")
    object.__setattr__(book, "roles", Roles())
    app.run()
    assert [each.value for each in app.title] == ["No role yet"]


def test_a_login_that_expires_ends_the_session(open_page, params):
    """Whatever the cookie says."""
    desk, _ = desk_of({"ml": DECIDING})
    app = page_of(open_page, desk, PERSON | {"exp": 1.0}, model=MODEL, version="3")
    assert [each.value for each in app.title] == ["Log in"]


def test_what_a_role_may_not_do_is_said_at_the_form(open_page, params):
    """Before anything is typed."""
    desk, _ = desk_of({"ml": (Role.VIEWER,)})
    app = page_of(open_page, desk, PERSON, model=MODEL, version="3", to="Staging")
    assert "has the role viewer; staging needs one of automation, reviewer, approver" in texts(app)


@pytest.mark.parametrize(
    ("answer", "options"),
    [("explained", {}), ("opinion", {"class_name": "yes"}), ("smallest_change", {"wanted": None})],
)
@pytest.mark.parametrize("role", sorted(ACTIONS[Action.READ] - ACTIONS[Action.PREDICT]))
def test_who_may_only_read_has_no_model_answer(open_page, params, role, answer, options):
    """Nor sees an answer that is kept for others."""
    desk, _ = desk_of({"ml": (role,)})
    page_of(open_page, desk, PERSON, model=MODEL, version="3")
    with pytest.raises(NotAllowed, match="predict needs one of"):
        getattr(session, answer)(MODEL, 3, "digest", row=(), **options)


def test_an_old_login_reads_and_is_asked_anew_at_the_form(open_page, params):
    """Nobody says how old it is, which is as old; a reason that is typed already waits for the new login."""
    desk, _ = desk_of({"ml": DECIDING}, fresh=timedelta(minutes=15))
    app = page_of(open_page, desk, PERSON, model=MODEL, version="3", to="Staging")
    assert "log in again to sign; a login may be 15 minutes old" in texts(app)
    assert app.button(key="log_in_again")

    app.text_area[0].set_value("It is better in each class.").run()
    fresh = PERSON | {"auth_time": desk.clock.now().timestamp()}
    app = page_of(open_page, desk, fresh, model=MODEL, version="3", to="Staging")
    assert app.text_area[0].value == "It is better in each class."
    assert "log in again to sign" not in texts(app)


def test_with_a_proxy_that_says_nothing_nobody_is_logged_in(open_page, params, monkeypatch):
    """A visitor without the headers came past the proxy: claims are not asked."""
    params.write_text(params.read_text(encoding="utf-8").replace("provider: oidc", "provider: proxy"), encoding="utf-8")
    monkeypatch.setenv("SIGNOFF_PROXY_SECRET", "s" * 32)
    desk, _ = desk_of({"ml": DECIDING})
    app = page_of(open_page, desk, PERSON, model=MODEL, version="3")
    assert [each.value for each in app.title] == ["Nobody is logged in"]
    assert MODEL not in texts(app)


def test_the_dashboard_reads_ahead_by_itself(params, monkeypatch):
    """It warms up for no visitor, who would have no role."""
    from pipeline import bootstrap

    desk, _ = desk_of({})
    monkeypatch.setattr(bootstrap, "own_desk", lambda _settings=None: desk)
    with by_itself():
        assert session.overview()
    assert session.visitor().established is Established.SELF_DECLARED


# The start


def test_a_start_has_two_ways_to_log_in(params):
    """The first asks when somebody logged in, the second for a login that is made now."""
    found = login_parts({**os.environ, **CLIENT})
    assert found.secrets is not None
    auth = found.secrets["auth"]
    assert auth[LOGIN]["client_kwargs"] == {"scope": "openid profile email", "prompt": "select_account"}
    assert auth[AGAIN]["client_kwargs"]["prompt"] == "login"
    assert auth[AGAIN]["authorize_params"] == {"max_age": "900"}
    assert [each.kwargs for each in found.middleware] == [{"client": OidcClient.read(CLIENT, {})}]


def test_a_start_without_secrets_is_refused(params, capsys):
    """With code 2 and the name of what is missing."""
    with pytest.raises(SystemExit) as ended:
        prepared(dict(os.environ))
    assert ended.value.code == 2
    assert "SIGNOFF_OIDC_METADATA_URL: is missing" in capsys.readouterr().err


def test_a_start_behind_a_proxy_without_a_secret_is_refused(params):
    """There would be nothing by which the proxy is known."""
    params.write_text(params.read_text(encoding="utf-8").replace("provider: oidc", "provider: proxy"), encoding="utf-8")
    with pytest.raises(InvalidInput, match="SIGNOFF_PROXY_SECRET: is missing"):
        login_parts(dict(os.environ))
    assert login_parts({**os.environ, "SIGNOFF_PROXY_SECRET": "s" * 32}).secrets is None


def test_headers_that_streamlit_would_believe_are_refused_beside_a_login(params):
    """They would go before the claims of the login."""
    from streamlit import config

    config.set_option("server.trustedUserHeaders", {"X-User": "sub"})
    try:
        with pytest.raises(InvalidInput, match=r"server\.trustedUserHeaders"):
            login_parts({**os.environ, **CLIENT})
    finally:
        config.set_option("server.trustedUserHeaders", {})


@pytest.mark.parametrize("text", ["provider: local", "provider: ldap"])
def test_a_start_without_logins_or_without_settings_has_no_parts(params, text):
    """Settings that cannot be read are told on each page."""
    params.write_text(params.read_text(encoding="utf-8").replace("provider: oidc", text), encoding="utf-8")
    assert login_parts(dict(os.environ)).secrets is None


# The way back


def answered(path: str, *, answer: list[tuple[bytes, bytes]], client: dict[str, str] = CLIENT, **headers: str) -> dict:
    """The headers of an answer that went through the middleware."""
    found: list[dict] = []

    async def app(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 302, "headers": answer})

    async def keep(message):
        found.append(message)

    async def nothing():
        return {}

    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "headers": sent}
    run_async(WantedPage(app, OidcClient.read(client, {}))(scope, nothing, keep))
    return {name.decode(): value.decode() for name, value in found[0]["headers"]}


TO_PROVIDER = [(b"location", b"https://login.example.org/authorize")]
TO_START = [(b"location", b"/")]
REVIEW = "https://desk.example.org/review?model=m&version=3"


def kept_cookie(referer: str) -> str | None:
    return answered("/auth/login", answer=TO_PROVIDER, referer=referer).get("set-cookie")


def led_to(cookie: str, *, answer: list[tuple[bytes, bytes]] = TO_START) -> str:
    return answered("/oauth2callback", answer=answer, cookie=cookie)["location"]


def test_a_login_leads_back_to_the_page_that_somebody_came_for():
    """By a cookie that only this place reads, for some minutes."""
    cookie = kept_cookie(REVIEW)
    assert cookie is not None
    assert {"HttpOnly", "Secure", "SameSite=Lax", "Path=/oauth2callback", "Max-Age=900"} <= {
        part.strip() for part in cookie.split(";")
    }
    assert led_to(cookie.split(";")[0]) == REVIEW
    assert led_to(cookie.split(";")[0], answer=[(b"location", b"/elsewhere")]) == "/elsewhere"
    done = answered("/oauth2callback", answer=TO_START, cookie=cookie.split(";")[0])
    assert "Max-Age=0" in done["set-cookie"]


@pytest.mark.parametrize(
    "referer",
    [
        "https://evil.example.org/review",
        "https://desk.example.org.evil.org/",
        "https://desk.example.org@evil.org/",
        "http://desk.example.org/review",
        "//desk.example.org/",
        "",
        f"https://desk.example.org/{'x' * 2000}",
    ],
)
def test_only_a_page_of_the_desk_is_kept(referer):
    """A page of somebody else leads nowhere."""
    assert kept_cookie(referer) is None


def test_a_path_that_looks_like_a_host_stays_on_the_desk():
    """The whole address is sent, with the desk's own host before it."""
    cookie = kept_cookie("https://desk.example.org//evil.example.org/")
    assert cookie is not None
    assert urlsplit(led_to(cookie.split(";")[0])).netloc == "desk.example.org"


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        f"{COOKIE}=",
        f"{COOKIE}={REVIEW}",
        f"{COOKIE}={URLSafeTimedSerializer('other' * 8, salt=COOKIE).dumps(REVIEW)}",
        f"{COOKIE}={URLSafeTimedSerializer('s' * 32, salt=COOKIE).dumps('https://evil.example.org/')}",
    ],
    ids=["none", "empty", "unsigned", "another secret", "another host"],  # signatures differ from second to second
)
def test_a_cookie_that_somebody_else_wrote_is_not_followed(cookie):
    """Nor one that leads elsewhere."""
    assert led_to(cookie) == "/"


def test_other_requests_pass_as_they_are():
    """Pages, files and websockets."""
    assert answered("/review", answer=TO_START, referer=REVIEW) == {"location": "/"}


def test_the_look_records_where_people_log_in(params):
    """A desk with logins is one that nobody else writes through: it may write down what it finds."""
    session.may_record()
