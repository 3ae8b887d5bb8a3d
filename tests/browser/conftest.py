"""One browser per run, one server per registry, one page (a new Streamlit session) per test."""

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, ViewportSize, expect
from playwright.sync_api import Error as PlaywrightError

from support.real_server import ROOT, WIDE, chromium, clean, dashboard
from support.small_desk import copy_desk

MILLISECONDS = 180_000  # nothing here is about time: a busy machine may take as long as it needs
expect.set_options(timeout=MILLISECONDS)
Serve = Callable[[Mapping[str, str]], str]
OpenTab = Callable[..., Page]


SHOWN = pytest.StashKey[dict[str, BrowserContext]]()  # the contexts of this run, by the address of their server


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """To what failed: what each open tab shows, which nobody can see afterwards."""
    report = yield
    if report.failed:
        for context in item.config.stash.get(SHOWN, {}).values():
            for tab in context.pages:
                with suppress(PlaywrightError):
                    report.sections.append((tab.url, tab.locator("body").inner_text(timeout=5_000)))
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium("--process-per-site") as instance:
        yield instance


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Starts a dashboard with this environment; its log must be clean in the end."""
    with ExitStack() as running:
        logs = []

        def start(environment: Mapping[str, str], folder: Path = ROOT) -> str:
            logs.append(tmp_path_factory.mktemp("server") / "streamlit.log")
            return running.enter_context(dashboard(logs[-1], environment, folder=folder))

        yield start
    for log in logs:
        clean(log)


@pytest.fixture(scope="session")
def demo_dashboard(demo_desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a dashboard over what the demo has filled, for tests that decide nothing."""
    log = tmp_path_factory.mktemp("demo_dashboard") / "streamlit.log"
    with dashboard(log, copy_desk(demo_desk, log.parent)) as url:
        yield url
    clean(log)


@pytest.fixture(scope="session")
def contexts(browser: Browser, request: pytest.FixtureRequest) -> Iterator[dict[str, BrowserContext]]:
    """One per server, kept: Streamlit's 7 MB of JavaScript, read and compiled, stay in the cache of a context.

    One tab of each stays open, so that the process which renders its pages, one per site, need not start for each test.
    """
    made: dict[str, BrowserContext] = request.config.stash.setdefault(SHOWN, {})
    yield made
    del request.config.stash[SHOWN]
    for each in made.values():
        each.close()


@pytest.fixture(scope="module")
def open_tab(browser: Browser, contexts: dict[str, BrowserContext]) -> Iterator[OpenTab]:
    """A new tab. Fails on a script error, a violated security policy and a request to another host."""
    problems: list[str] = []

    def watch(tab: Page, url: str) -> None:
        def note_violation(message: ConsoleMessage) -> None:
            if "Content Security Policy" in message.text:
                problems.append(message.text)

        def note_outsider(asked: str) -> None:
            if asked.startswith(("http:", "https:")) and not asked.startswith(url):
                problems.append(f"asked another host: {asked}")

        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", note_violation)
        tab.on("request", lambda sent: note_outsider(sent.url))

    def open_at(url: str, *, scheme: Literal["light", "dark"] = "light", size: ViewportSize = WIDE) -> Page:
        if url not in contexts:
            contexts[url] = browser.new_context(
                base_url=url, reduced_motion="reduce", locale="en-GB", timezone_id="UTC"
            )
            contexts[url].set_default_timeout(MILLISECONDS)
            contexts[url].new_page().goto("/_stcore/health")
        tab = contexts[url].new_page()
        tab.set_viewport_size(size)
        tab.emulate_media(color_scheme=scheme)
        watch(tab, url)
        return tab

    yield open_at
    assert not problems, problems
