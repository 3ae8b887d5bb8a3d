"""A champion in production: its shadow, drift, a finding that is closed, outcomes, and all of it in the history."""

import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.bootstrap import own_desk
from pipeline.governance.actor import Role
from pipeline.governance.record.findings import Finding, FindingKind, Severity
from pipeline.governance.service import GovernanceService
from pipeline.monitoring.prediction_log import Selection
from pipeline.settings import read_settings
from support.alerts import MAKE
from support.api_server import JSON, SECONDS, Api, serving
from support.desks import GRACE
from support.prometheus import Prometheus, prometheus
from support.real_server import clean, dashboard, open_page, picture
from support.small_desk import copy_desk
from support.story import MODEL, TOUR_FOLDER, WATCH
from support.traffic import Traffic, TrueRow, held_out

CHAMPION, CHALLENGER = 1, 4
ENOUGH = 100  # rows that both answered
OLDER = 28  # years; above it lies about a quarter of the held-out rows
PAGE = f"/monitoring?model={MODEL}"
REASON = "Version 4 is to be tried beside the champion."
LOOKED = "The survey asks adults only since Monday; retraining is under way."


@dataclass
class Production:
    """What serves, and the desk that looks at it."""

    desk: GovernanceService
    api: Api
    log: SqlPredictionLog
    dashboard: str
    alarms: Prometheus  # which scrapes the API
    token: str  # of the role caller
    rows: list[TrueRow]  # that the champion was evaluated on

    def findings(self) -> list[Finding]:
        return list(self.desk.findings(MODEL))

    def tell(self, outcomes: dict[str, str]) -> None:
        told = [{"prediction_id": name, "actual": actual} for name, actual in outcomes.items()]
        headers = {**JSON, "Authorization": f"Bearer {self.token}"}
        status, content = self.api.ask("POST", "/api/v1/outcomes", {"outcomes": told}, headers)
        assert (status, content["recorded"], content["unknown"]) == (200, len(told), [])


@pytest.fixture(scope="module")
def production(demo_desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    """The demo's champion behind `signoff serve --desk`, with a log, a shadow, and a look at it all the time."""
    folder = tmp_path_factory.mktemp("production")
    environment = copy_desk(demo_desk, folder)
    _watched(folder / "params.yaml")
    desk = own_desk(read_settings(environ=environment))
    desk.set_alias(MODEL, "challenger", CHALLENGER, reason=REASON, actor=GRACE, accept_warnings=True)
    token = desk.as_(GRACE).issue_token("survey", Role.CALLER, 1).secret
    pages = folder / "streamlit.log"
    with ExitStack() as running:
        command = ["pipeline", "serve", "--desk"]
        with ThreadPoolExecutor(2) as starting:
            shown = starting.submit(running.enter_context, dashboard(pages, environment))
            api = running.enter_context(serving(environment, folder / "api.log", command=command))
            address = shown.result()
        log = SqlPredictionLog(environment["SIGNOFF_LOG_URL"])
        running.callback(log.close)
        alarms = running.enter_context(prometheus(folder, MAKE.ALERTS, {"api": f"127.0.0.1:{api.port}"}))
        yield Production(desk, api, log, address, alarms, token, held_out(desk, MODEL, CHAMPION))
    clean(pages)
    clean(folder / "api.log")


def _watched(params: Path) -> None:
    content = yaml.safe_load(params.read_text(encoding="utf-8"))
    log = {"enabled": True, "clear": list(content["schema"]["columns"])}
    content["monitoring"] = {"log": log, "shadow": "challenger", "every_minutes": 0.02}
    params.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def test_the_story_of_a_champion_in_production(open_tab: Callable[..., Page], production: Production) -> None:
    """Under load: agreement, a finding and its end, what is measured beside the estimate; all of it in the history."""
    tab = open_tab(production.dashboard)
    with Traffic(production.api.port, production.rows).flowing() as traffic:
        asked_aside(tab, production, traffic)
        drifted(tab, production, traffic)
        closed(tab, production)
        measured(tab, production, traffic)
    recorded(tab, production)
    assert traffic.refused == []


def asked_aside(tab: Page, production: Production, traffic: Traffic) -> None:
    """The agreement appears, and why the two differ on a row; nothing has drifted."""
    shadowed = Selection(MODEL, version=CHAMPION, shadowed=True)
    _until(lambda: len(production.log.predictions(shadowed)) >= ENOUGH)
    assert production.findings() == []

    open_page(tab, f"{PAGE}&show=Shadow")
    expect(tab.get_by_test_id("stMetric").filter(has_text="Same answer")).to_contain_text("%")
    expect(tab.get_by_role("heading", name="Rows that flip")).to_be_visible()
    flips = tab.get_by_test_id("stDataFrame").last
    flips.click(position={"x": 15, "y": 33 * 1.5})
    expect(tab.get_by_text(re.compile("^Explained: .*, as version 4 predicts"))).to_be_visible()
    _picture(tab, "shadow")


def drifted(tab: Page, production: Production, traffic: Traffic) -> None:
    """Only older people ask now: a high finding, on the Overview and at the version, and alerts that fire."""
    older = [each for each in production.rows if float(str(each.values["Age"])) > OLDER]
    traffic.rows = [_told_otherwise(row, odd=bool(number % 2)) for number, row in enumerate(older)]
    _until(lambda: any(each.column == "Age" and each.severity is Severity.HIGH for each in production.findings()))
    alerts = {"SignoffDrift", "SignoffHighFindingOpen"}
    production.alarms.until(lambda: alerts <= set(production.alarms.firing()), production.alarms.firing)

    open_page(tab, "/")
    expect(tab.get_by_text(f"Version {CHAMPION}: The column Age holds other values").first).to_be_visible()
    expect(
        tab.get_by_text("Best that waits: version 4")
    ).to_be_visible()  # the versions that wait are compared in another thread
    _picture(tab, "overview")
    open_page(tab, f"/review?model={MODEL}&version={CHAMPION}")
    expect(tab.get_by_text("Review again").first).to_be_visible()


def closed(tab: Page, production: Production) -> None:
    """By a person who has looked, with a sentence, on the page."""
    open_page(tab, f"{PAGE}&show=Columns")
    expect(tab.get_by_text("Differs much: distance")).to_be_visible()
    _picture(tab, "finding")
    tab.get_by_role("button", name=re.compile(r"\bClose\b")).first.click()
    tab.get_by_role("textbox", name="Reason").first.fill(LOOKED)
    tab.get_by_role("button", name=re.compile("^I have looked at")).first.click()
    expect(tab.get_by_test_id("stToast")).to_contain_text(re.compile("(is|are) closed"))

    ended = [each for each in production.desk.findings(MODEL, closed=True) if not each.is_open]
    assert {(each.column, each.closed_because) for each in ended} == {("Age", LOOKED)}


def measured(tab: Page, production: Production, traffic: Traffic) -> None:
    """Outcomes come over HTTP: what is measured stands beside the estimate, which cannot see that the truth changed."""
    seen = {each.prediction.prediction_id for each in production.log.predictions(Selection(MODEL, most=100_000))}
    production.tell({name: actual for name, actual in traffic.outcomes.copy().items() if name in seen})
    _until(lambda: any(each.kind == FindingKind.ACCURACY for each in production.findings()))

    open_page(tab, f"{PAGE}&window=Last+7+days")  # the last day was read some seconds ago
    expect(tab.get_by_test_id("stMetric").filter(has_text="Accuracy, measured")).to_be_visible()
    expect(tab.get_by_text("The measured accuracy is").first).to_be_visible()
    _picture(tab, "measured")
    open_page(tab, f"{PAGE}&window=Last+7+days&show=Shadow")
    expect(tab.get_by_text(re.compile("^Of .* rows with an outcome both are right on"))).to_be_visible()


def recorded(tab: Page, production: Production) -> None:
    """What was found, who looked at it and what was measured are events, each with an address."""
    found = production.desk.findings(MODEL, closed=True)
    ended = next(each.end for each in found if each.end is not None)
    less = next(each for each in found if each.kind == FindingKind.ACCURACY)
    for number, sentence, name in ((less.sequence, less.what, None), (ended.sequence, LOOKED, "history")):
        open_page(tab, f"/history?model={MODEL}&kind=Findings&event={number}")
        expect(
            tab.get_by_test_id("stText").filter(has_text=sentence).first
        ).to_be_visible()  # not the cell of the table
        if name is not None:
            _picture(tab, name)


def _told_otherwise(row: TrueRow, *, odd: bool) -> TrueRow:
    """Of every other one another class is true than it was: the truth has changed too, which no confidence tells."""
    return TrueRow(row.values, "Normal_Weight" if odd else row.actual)


def _picture(tab: Page, name: str) -> None:
    assert name in WATCH
    picture(tab, f"watch-{name}", TOUR_FOLDER)


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)
