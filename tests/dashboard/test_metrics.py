"""What the dashboard tells Prometheus, and whom it tells."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import yaml
from starlette.applications import Starlette
from starlette.routing import Route
from streamlit import config
from streamlit.testing.v1 import AppTest

from dashboard.metrics import endpoint
from dashboard.metrics.counters import DashboardMetrics, metrics
from dashboard.pages import NAMES
from dashboard.server import OwnLook
from pipeline import bootstrap
from pipeline.governance.actor import Role
from pipeline.settings import ROOT
from support.desk_api import bearer, token_of
from support.desks import MODEL, OpenDesk, build_desk, small_registry
from support.in_memory import InMemoryLedger
from support.loops import run_async
from support.seen import button

Open = Callable[..., AppTest]
Scrape = Callable[..., httpx.Response]


def lines() -> list[str]:
    return metrics().text().decode().splitlines()


def test_pages_are_counted_when_they_are_opened_not_when_they_are_drawn(open_page: Open, desk: OpenDesk) -> None:
    """Each page has a number from the beginning; a rerun is no visit."""
    assert [f'signoff_pages_total{{page="{name}"}} 0.0' in lines() for name in NAMES] == [True] * len(NAMES)
    app = open_page(desk)
    app.run()
    app.switch_page("history/page.py").run()
    app.run()

    assert [line for line in lines() if line.startswith("signoff_pages_total") and not line.endswith(" 0.0")] == [
        'signoff_pages_total{page="overview"} 1.0',
        'signoff_pages_total{page="history"} 1.0',
    ]


def test_refusals_are_counted_by_name(open_page: Open, desk: OpenDesk) -> None:
    """A page that cannot be shown, and a click that ends in a refusal."""
    open_page(desk, "review", model=MODEL, version="9")
    app = open_page(desk, "review", model=MODEL, version="2")
    button(app, "Move version 2 to Production").click().run()

    assert 'signoff_refusals_total{error="NotFound",place="page"} 1.0' in lines()
    assert 'signoff_refusals_total{error="InvalidInput",place="click"} 1.0' in lines()


def test_what_an_own_look_saw_and_recorded_is_told() -> None:
    """Nothing before the first one; a change past the desk is counted as an event, and stands until it is ended."""
    registry, ledger = small_registry(), InMemoryLedger()
    found = DashboardMetrics()
    look = OwnLook(build_desk(registry, ledger), lambda: None, metrics=found)
    before = found.text().decode()
    look()
    registry.set_alias(MODEL, "champion", 2)
    look()
    registry.down = True
    look()
    after = found.text().decode().splitlines()

    assert "signoff_out_of_band_changes" not in before
    assert 'signoff_recorded_events_total{type="baseline"} 1.0' in after
    assert 'signoff_recorded_events_total{type="out_of_band"} 1.0' in after
    assert 'signoff_looks_total{result="completed"} 2.0' in after
    assert 'signoff_looks_total{result="failed"} 1.0' in after
    assert "signoff_out_of_band_changes 1.0" in after
    assert "signoff_pending_decisions 0.0" in after
    assert any(line.startswith("signoff_look_timestamp_seconds 1") for line in after)


# Whom it is told to.


@pytest.fixture
def scrape(desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> Scrape:
    """Asks for /metrics from an address, with these headers."""
    monkeypatch.setattr(bootstrap, "own_desk", lambda _settings=None: desk)

    async def ask(peer: str, headers: dict[str, str]) -> httpx.Response:
        app = Starlette(routes=[Route(endpoint.PATH, endpoint.answer)])
        transport = httpx.ASGITransport(app, client=(peer, 40_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8501") as client:
            return await client.get(endpoint.PATH, headers=headers)

    def call(peer: str = "127.0.0.1", **headers: str) -> httpx.Response:
        found: httpx.Response = run_async(ask(peer, {name.replace("_", "-"): value for name, value in headers.items()}))
        return found

    return call


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_program_on_this_machine_reads_them(scrape: Scrape) -> None:
    """Where names are self-declared and only this machine reaches the server."""
    answer = scrape()

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["cache-control"] == "no-store"
    assert "signoff_pages_total" in answer.text
    assert scrape(host="localhost:8501").status_code == 200
    assert scrape("::1", host="[::1]").status_code == 200


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("10.0.0.7", {}),
        ("127.0.0.1", {"host": "desk.example.org"}),
        ("127.0.0.1", {"x_forwarded_for": "127.0.0.1"}),
        ("127.0.0.1", {"forwarded": "for=127.0.0.1"}),
        ("127.0.0.1", {"authorization": "Bearer signoff_guessed"}),
        ("127.0.0.1", {"authorization": "Bearer something else"}),
    ],
    ids=["another machine", "another name", "a proxy", "a standard proxy", "a guessed token", "no identity token"],
)
def test_whoever_else_comes_without_a_token_does_not(scrape: Scrape, peer: str, headers: dict[str, str]) -> None:
    """One sentence says what to show, and the refusal is counted."""
    answer = scrape(peer, **headers)

    assert refusal(answer) == (403, "NotAllowed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert 'signoff_refusals_total{error="NotAllowed",place="metrics"} 1.0' in lines()


def test_a_server_that_others_reach_asks_this_machine_too(scrape: Scrape) -> None:
    """A tunnel or a proxy would be this machine."""
    config.set_option("server.address", "0.0.0.0")

    assert refusal(scrape()) == (403, "NotAllowed")


def test_where_people_log_in_this_machine_shows_a_token_too(
    scrape: Scrape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy for TLS is on this machine: whatever comes through it looks as if it came from here."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({**content, "identity": {"provider": "oidc"}}))
    monkeypatch.setenv("SIGNOFF_PARAMS", str(tmp_path / "params.yaml"))

    assert refusal(scrape()) == (403, "NotAllowed")


@pytest.mark.parametrize(("role", "status"), [(Role.CALLER, 200), (Role.REVIEWER, 200), (Role.ADMIN, 403)])
def test_an_identity_token_opens_them_as_it_opens_those_of_the_api(
    scrape: Scrape, desk: OpenDesk, role: Role, status: int
) -> None:
    """From anywhere, to whoever may predict."""
    assert scrape("10.0.0.7", **bearer(token_of(desk, role=role))).status_code == status
