"""Many people at one desk: a real login provider, a real browser, and a proxy that says who somebody is."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
import yaml
from playwright.sync_api import Browser, expect
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.sync.client import connect

from support.login_provider import Provider, choose, log_in, login_provider
from support.real_server import IDLE, open_page, picture
from support.small_desk import copy_desk

MODEL = "obesity_classifier"
REVIEW = f"/review?model={MODEL}&version=2&to=Archived"
SECRET = "p" * 40
GRACE = {"name": "Grace Hopper", "email": "desk@example.org"}
OTHER = {"name": "Ada", "email": "desk@example.org"}  # with the same e-mail
PEOPLE = {"u-1": GRACE, "u-2": OTHER, "u-3": {"name": "Mary"}}
OIDC = {"provider": "oidc"}
LONG_AGO = 1_000_000_000


def set_roles(params: Path, identity: Mapping[str, object], **sections: Mapping[str, list[str]]) -> None:
    """Writes who may do what, as an operator does while the desk runs."""
    content = yaml.safe_load(params.read_text(encoding="utf-8"))
    content["identity"] = dict(identity)
    content["policy"]["roles"] |= {"groups": {}, "subjects": {}} | {name: dict(who) for name, who in sections.items()}
    params.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="module")
def provider():
    with login_provider(PEOPLE) as found:
        yield found


@pytest.fixture(scope="module")
def desk(tmp_path_factory, demo_desk) -> tuple[Path, Mapping[str, str]]:
    """The folder of a filled desk, and its environment."""
    folder = tmp_path_factory.mktemp("logins")
    return folder, copy_desk(demo_desk, folder)


@pytest.fixture(scope="module")
def params(desk) -> Path:
    return desk[0] / "params.yaml"


@pytest.fixture
def tab(browser: Browser):
    """Of a browser that has not logged in."""
    context = browser.new_context(locale="en-GB", timezone_id="UTC", reduced_motion="reduce")
    yield context.new_page()
    context.close()


def last_event(folder: Path) -> str:
    """The newest, as it is stored."""
    with sqlite3.connect(folder / "ledger.db") as ledger:
        return str(ledger.execute("select body from ledger_event order by sequence desc limit 1").fetchone()[0])


@pytest.fixture(scope="module")
def address(serve, desk, params, provider: Provider) -> str:
    """Of a dashboard that has people log in."""
    set_roles(params, OIDC)
    return serve({**desk[1], **provider.environment})


def test_people_log_in_decide_and_log_out(address, tab, desk, params, provider: Provider):
    """By a deep link, which opens after the login; the decision says who it was, how that is known and since when."""
    set_roles(params, OIDC, subjects={f"{provider.issuer}|u-1": ["reviewer"]})
    open_page(tab, address + REVIEW)
    expect(tab.get_by_role("heading", name="Log in")).to_be_visible()
    expect(tab.get_by_text(MODEL)).to_have_count(0)
    picture(tab, "logins nobody")
    assert log_in(tab, "u-1")["max_age"] == ["86400"]

    expect(tab.get_by_role("heading", name=f"Version 2 of {MODEL}")).to_be_visible()
    assert tab.url == address + REVIEW
    expect(tab.get_by_text("Grace Hopper (u-1)")).to_be_visible()
    reason = tab.get_by_role("textbox", name="Reason")
    reason.fill("Superseded by a version that is better in each metric.")
    reason.press("Control+Enter")  # signs, as the button does
    expect(tab.get_by_test_id("stToast")).to_contain_text("is applied")
    picture(tab, "logins decided")
    said = last_event(desk[0])
    for told in ('"established":"oidc"', f'"issuer":"{provider.issuer}"', '"subject":"u-1"', '"authenticated_at":"'):
        assert told in said

    tab.get_by_role("button", name="Log out").click()
    tab.get_by_role("button", name="End session").click()
    expect(tab.get_by_role("heading", name="Log in")).to_be_visible()


def test_a_role_goes_while_the_session_is_open(address, tab, params, provider: Provider):
    """At the next click; and another subject with the same e-mail never had it."""
    grace = {f"{provider.issuer}|u-1": ["reviewer"]}
    set_roles(params, OIDC, subjects=grace)
    open_page(tab, f"{address}/versions")
    log_in(tab, "u-1")
    expect(tab.get_by_role("heading", name="Versions")).to_be_visible()
    set_roles(params, OIDC)
    tab.get_by_role("link", name="History").first.click()
    expect(tab.get_by_role("heading", name="No role yet")).to_be_visible()
    picture(tab, "logins no role")

    set_roles(params, OIDC, subjects=grace)
    tab.context.clear_cookies()
    open_page(tab, f"{address}/versions")
    log_in(tab, "u-2")
    expect(tab.get_by_text(f"{provider.issuer}|u-2")).to_be_visible()
    expect(tab.get_by_role("heading", name="No role yet")).to_be_visible()


def test_an_old_login_is_asked_anew(address, tab, params, provider: Provider):
    """It reads; at the form the provider is asked for a login of now, and the page is kept."""
    set_roles(params, OIDC, subjects={f"{provider.issuer}|u-3": ["approver"]})
    provider.set_claims("u-3", {"name": "Mary", "auth_time": LONG_AGO})
    page = address + REVIEW.replace("version=2", "version=3")
    open_page(tab, page)
    log_in(tab, "u-3")
    expect(tab.get_by_text("actor: log in again to sign")).to_be_visible()
    picture(tab, "logins old")

    provider.set_claims("u-3", {"name": "Mary"})
    tab.get_by_role("button", name="Log in again").click()
    asked = choose(tab, "u-3")
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["900"])
    expect(tab.get_by_role("button", name="Move version 3 to Archived")).to_be_visible()
    tab.locator(IDLE).wait_for(state="attached")
    expect(tab.get_by_text("actor: log in again to sign")).to_have_count(0)
    assert tab.url == page


def titles(url: str, *headers: tuple[str, str]) -> list[str]:
    """The headings of the first page for a visitor whose websocket is opened with these headers."""
    found = []
    address = f"{url.replace('http', 'ws', 1)}/_stcore/stream"
    with connect(address, additional_headers=headers, max_size=None) as line:
        question = BackMsg()
        question.rerun_script.query_string = ""
        line.send(question.SerializeToString())
        for content in line:
            answer = ForwardMsg.FromString(content)
            if answer.WhichOneof("type") == "script_finished":
                break
            element = answer.delta.new_element
            if answer.WhichOneof("type") == "delta" and element.WhichOneof("type") == "heading":
                found.append(element.heading.body)
    return found


def test_a_proxy_says_who_somebody_is(serve, desk, params):
    """With the secret, and every header once: forged and doubled headers are nobody, at the real server.

    And nobody is given more than the page's own program, which asks by the socket, and the server's health.
    """
    set_roles(params, {"provider": "proxy"}, groups={"ml": ["viewer"]})
    url = serve({**desk[1], "SIGNOFF_PROXY_SECRET": SECRET})
    secret, user, groups = (
        ("X-Signoff-Proxy-Secret", SECRET),
        ("X-Forwarded-User", "grace"),
        ("X-Forwarded-Groups", "staff,ml"),
    )

    def seen(*headers: tuple[str, str]) -> str:
        return titles(url, *headers)[0]

    assert seen(secret, user, groups) == "Overview"
    assert seen(secret, user) == "No role yet"
    for forged in (
        (user, groups),
        (("X-Signoff-Proxy-Secret", "q" * 40), user, groups),
        (secret, user, ("x-forwarded-user", "mallory"), groups),
        (secret, user, groups, ("X-Forwarded-Groups", "ml")),
        (secret, secret, user, groups),
    ):
        assert seen(*forged) == "Nobody is logged in"
    with httpx.Client(base_url=url) as nobody:
        assert nobody.get("/_stcore/health").text == "ok"
        closed = {path: nobody.get(path).status_code for path in ("/metrics", "/_stcore/metrics", "/media/file.csv")}
        assert closed == {"/metrics": 403, "/_stcore/metrics": 404, "/media/file.csv": 404}
        assert nobody.put("/_stcore/upload_file/a/b", files={"file": b"x"}).status_code == 403
        assert nobody.post("/_stcore/agent/interact", json={}).status_code in {403, 404}
