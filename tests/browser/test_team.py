"""A team at work: people who log in, two dashboards over one ledger in PostgreSQL, and whoever is told of it."""

import os
import re
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Browser, Page, expect

from support.login_provider import log_in, login_provider
from support.real_server import ROOT, WIDE, clean, dashboard, open_page, picture
from support.registries import Filler
from support.small_desk import copy_desk
from support.story import MODEL, TEAM, TOUR_FOLDER, select_row
from support.targets import webhook

RITA, ANNA, ALAN = "u-3", "u-7", "u-9"  # as the provider tells them apart; people read their names
PEOPLE = {RITA: {"name": "Rita"}, ANNA: {"name": "Anna"}, ALAN: {"name": "Alan"}}
ROLES = {RITA: ["reviewer"], ANNA: ["approver"], ALAN: ["approver"]}
TOLD = ["requested", "approved", "rejected", "applied", "out_of_band", "tampering"]
WATCH_SECONDS, STALE_SECONDS = 1, 60
WORSE = "Version 4 is better on the same rows; please ask for that one."
BETTER = "Better than the champion in every class on the held-out rows."


@dataclass
class Team:
    """The desk as its people reach it."""

    first: str  # the address of a dashboard
    second: str  # of another one, over the same registry and ledger
    folder: Path  # of the registry
    notices: list[dict[str, Any]]  # those that the target got

    def was_told(self, title: str) -> bool:
        return any(title in str(each["title"]) for each in self.notices)


@pytest.fixture(scope="module")
def team(demo_desk, tmp_path_factory, postgres) -> Iterator[Team]:
    """Two dashboards and a reconciler that watches, over the registry of the demo; nothing is recorded yet."""
    folder, notices = tmp_path_factory.mktemp("team"), list[dict[str, Any]]()

    def take(body: dict[str, Any]) -> int:
        notices.append(body)
        return 200

    with ExitStack() as running:
        provider = running.enter_context(login_provider(PEOPLE))
        hook = running.enter_context(webhook(take))
        environment = {
            **copy_desk(demo_desk, folder),
            **provider.environment,
            "SIGNOFF_LEDGER_URL": postgres.url(schema=postgres.new_schema()),
        }
        _let_the_team_decide(folder / "params.yaml", provider.issuer)
        logs = [folder / f"{name}.log" for name in ("first", "second")]
        with ThreadPoolExecutor(2) as starting:
            opened = [dashboard(log, {**environment, "SIGNOFF_CHECKPOINT_FILE": f"{log}.jsonl"}) for log in logs]
            first, second = starting.map(running.enter_context, opened)
        _watch(running, {**environment, "SIGNOFF_NOTIFY_URLS": hook})
        yield Team(first, second, folder, notices)
    for log in logs:
        clean(log)


def _let_the_team_decide(params: Path, issuer: str) -> None:
    """Who logs in and may do what; a promotion takes the approval of others, and they are told."""
    content = yaml.safe_load(params.read_text(encoding="utf-8"))
    content["identity"] = {"provider": "oidc"}
    content["notify"] = {"events": TOLD, "address": "https://desk.example.org"}
    content["policy"]["roles"]["subjects"] = {f"{issuer}|{each}": roles for each, roles in ROLES.items()}
    content["policy"]["moves"]["production"]["approvals"] = 1
    params.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _watch(running: ExitStack, environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pipeline", "reconcile", "--watch", str(WATCH_SECONDS)]
    watching = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)

    def end() -> None:
        watching.terminate()
        assert watching.wait(60) == 0

    running.callback(end)


class Colleague:
    """A person with a browser of their own, who works at one of the dashboards."""

    def __init__(self, browser: Browser, subject: str, url: str) -> None:
        self.subject, self.url = subject, url
        self.context = browser.new_context(
            viewport=WIDE, locale="en-GB", timezone_id="UTC", reduced_motion="reduce", accept_downloads=True
        )
        self.context.set_default_timeout(180_000)
        self.tab: Page = self.context.new_page()
        self.logged_in = False

    def opens(self, path: str) -> Page:
        """A page by its address, as from a colleague's message; the first time they log in on the way."""
        open_page(self.tab, f"{self.url}{path}")
        if not self.logged_in:
            log_in(self.tab, self.subject)
            expect(self.tab.get_by_text(f"{PEOPLE[self.subject]['name']} ({self.subject})").first).to_be_visible()
            self.logged_in = True
        return self.tab

    def signs(self, button: str, reason: str) -> None:
        """On the page that is open: the reason, the warnings where there are any, and the button."""
        tab = self.tab
        sign = tab.get_by_role("button", name=re.compile(f"^{button}"))  # behind it stands the shortcut
        sign.wait_for()
        tab.get_by_role("textbox", name="Reason").first.fill(reason)
        if (box := tab.get_by_text("I accept the")).count():
            box.click()
        sign.click()

    def finds(self, path: str, text: str, *, there: bool = True) -> Page:
        """Opens a page until something is on it, or is not: what a page reads is shown for some seconds."""
        for _ in range(STALE_SECONDS):
            tab = self.opens(path)
            expect(tab.get_by_role("heading", level=1)).to_be_visible()
            if bool(tab.get_by_text(text).count()) is there:
                return tab
            tab.wait_for_timeout(1_000)
        raise AssertionError(f"{text!r} {'never came' if there else 'never went'}")


@pytest.fixture(scope="module")
def people(browser: Browser, team: Team) -> Iterator[tuple[Colleague, Colleague, Colleague]]:
    """Rita asks at the first dashboard, Anna signs at the second, Alan at the first."""
    found = (
        Colleague(browser, RITA, team.first),
        Colleague(browser, ANNA, team.second),
        Colleague(browser, ALAN, team.first),
    )
    yield found
    for each in found:
        each.context.close()


def to_production(version: int) -> str:
    return f"/review?model={MODEL}&version={version}&to=Production"


def team_picture(tab: Page, name: str) -> None:
    assert name in TEAM
    picture(tab, f"team-{name}", TOUR_FOLDER)


def test_the_story_of_a_team(people, team: Team, tmp_path: Path):
    """Asked, rejected, asked anew, approved by two, applied; files and alias changed and put back; taken home."""
    rita, anna, alan = people
    asked_and_rejected(rita, anna)
    approved_by_two(rita, anna, alan)
    files_changed_and_restored(team, rita, anna)
    moved_past_the_desk_and_reverted(team, anna)
    taken_home(alan, tmp_path)
    for title in (
        f"{RITA} asked for approval to promote version 2",
        f"{ANNA} rejected the request to promote version 2",
        f"{ALAN} promoted version 4",
        "files of version 4 were found changed",
        "registry was changed outside of this desk",
    ):
        assert team.was_told(title), [each["title"] for each in team.notices]


def asked_and_rejected(rita: Colleague, anna: Colleague) -> None:
    """Anna finds the request on her Overview, comments on it there and rejects it on Review."""
    tab = rita.opens(to_production(2))
    expect(tab.get_by_text("It then needs 2 approvals")).to_be_visible()
    rita.signs("Request", "It has the best recall for the classes that matter to us.")
    expect(tab.get_by_role("button", name="Withdraw the request")).to_be_visible()

    tab = anna.opens("/")
    expect(tab.get_by_role("heading", name="Waiting for you")).to_be_visible()
    tab.get_by_role("button", name="Comment").click()
    tab.get_by_role("textbox", name="Comment").fill("What about version 4?")
    tab.get_by_role("button", name="Add comment").click()
    expect(tab.get_by_text("Anna (oidc): What about version 4?")).to_be_visible()
    tab.keyboard.press("Escape")
    expect(tab.get_by_text("in order of merit")).to_be_visible()  # until then the lines change their places
    team_picture(tab, "waiting")
    tab.get_by_role("link", name="Move version 2 to Production").click()
    anna.signs("Reject", WORSE)
    expect(tab.get_by_test_id("stToast")).to_contain_text("is rejected")


def approved_by_two(rita: Colleague, anna: Colleague, alan: Colleague) -> None:
    """Whoever asked may not approve; the second approval makes the move."""
    tab = rita.opens(to_production(4))
    rita.signs("Request", BETTER)
    expect(tab.get_by_text("Others sign")).to_be_visible()
    team_picture(tab, "request")

    tab = anna.opens(to_production(4))
    anna.signs("Approve", "I have compared both on the same rows.")
    expect(tab.get_by_test_id("stToast")).to_contain_text("1 more approval to come")

    tab = alan.opens("/")
    tab.get_by_role("link", name="Move version 4 to Production").click()
    expect(tab.get_by_text("1 of 2")).to_be_visible()
    expect(tab.get_by_role("button", name=re.compile("^Approve"))).to_be_visible()
    team_picture(tab, "approve")
    alan.signs("Approve", "The intervals do not overlap.")
    expect(tab.get_by_text(re.compile("Decision [0-9]+ is applied")).first).to_be_visible()


def files_changed_and_restored(team: Team, rita: Colleague, anna: Colleague) -> None:
    """Every dashboard shows the alarm until the bytes are those that were approved."""
    changed = _file_of(team.folder, version=4)
    approved = changed.read_bytes()
    changed.write_bytes(approved[:-1] + bytes([approved[-1] ^ 1]))
    tab = anna.finds("/", "Files changed")
    team_picture(tab, "alarm")
    _until(lambda: team.was_told("found changed"), tab)

    changed.write_bytes(approved)
    rita.finds("/", "Files changed", there=False)


def moved_past_the_desk_and_reverted(team: Team, anna: Colleague) -> None:
    """By MLflow itself; Anna puts it back to what was decided."""
    outsider = Filler(f"sqlite:///{team.folder / 'mlflow.db'}").client
    outsider.set_registered_model_alias(MODEL, "champion", "1")
    tab = anna.finds(f"/history?model={MODEL}", "Changed outside of this desk")
    tab.get_by_role("textbox", name="Reason").fill("Nobody decided this; version 4 was approved.")
    team_picture(tab, "outside")
    tab.get_by_role("button", name="Undo it, back to the record").click()
    expect(tab.get_by_test_id("stToast")).to_contain_text("is undone")

    assert outsider.get_model_version_by_alias(MODEL, "champion").version in (4, "4")
    _until(lambda: team.was_told("outside"), tab)


def taken_home(alan: Colleague, folder: Path) -> None:
    """The decision with its signatures, as a zip that is checked by a bare Python where there is no Signoff."""
    tab = alan.opens(f"/history?model={MODEL}&kind=Decisions")
    select_row(tab, 0)
    expect(tab.get_by_text(re.compile("as Rita had asked for")).first).to_be_visible()
    expect(tab.get_by_text("from the beginning")).to_be_visible()
    team_picture(tab, "decision")
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Evidence pack").click()
    with zipfile.ZipFile(download.value.path()) as pack:
        pack.extractall(folder)
    (verify,) = folder.rglob("verify.py")

    done = subprocess.run(
        [sys.executable, "-I", "-S", verify.name],
        cwd=verify.parent,
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("ok: decision")


def _file_of(folder: Path, version: int) -> Path:
    """The largest file of a version's model."""
    with closing(sqlite3.connect(folder / "mlflow.db")) as registry:
        wanted = "select storage_location from model_versions where version = ?"
        (location,) = registry.execute(wanted, (version,)).fetchone()
    found = [each for each in Path(str(location).removeprefix("file://")).rglob("*") if each.is_file()]
    return max(found, key=lambda each: each.stat().st_size)


def _until(happened: Callable[[], bool], tab: Page) -> None:
    for _ in range(STALE_SECONDS * 5):
        if happened():
            return
        tab.wait_for_timeout(200)
    raise AssertionError("it never happened")
