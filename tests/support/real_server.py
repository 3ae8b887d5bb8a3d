"""The real dashboard and a real browser, as context managers."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

from support.ports import free_port
from support.soak import SOAK

ROOT = Path(__file__).resolve().parents[2]
APP = ROOT / "dashboard" / "app.py"
SCREENSHOTS = ROOT / "var" / "screenshots"
WIDE: ViewportSize = {"width": 1400, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
HIGHEST = 4000
START_SECONDS = 120
CHROMIUM_FLAGS = [
    "--no-sandbox",  # needed as root, so in most containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    # Every name fails to resolve: the application has to work without the outside world. Playwright's
    # context.route() could block too, but it switches the HTTP cache off.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
IDLE = "[data-testid=stApp][data-test-connection-state=CONNECTED][data-test-script-state=notRunning]"
# Asked every 100 ms: whether the page has been idle the last ten times.
AT_REST = "idle => (window.rest = document.querySelector(idle) ? window.rest + 1 : 0) > 10"


@contextmanager
def dashboard(log: Path, environment: Mapping[str, str], *, folder: Path = ROOT, app: Path = APP) -> Iterator[str]:
    """The address of `streamlit run dashboard/app.py` on a free port, as a user would type it in `folder`.

    `{url}` in a value of the environment becomes the server's own address.
    """
    with dashboard_server(log, environment, folder=folder, app=app) as (url, _):
        yield url


@contextmanager
def dashboard_server(
    log: Path, environment: Mapping[str, str], *, folder: Path = ROOT, app: Path = APP
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """As `dashboard`, with the process, for whoever kills it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    named = {name: value.replace("{url}", url) for name, value in environment.items()}
    script = app.relative_to(folder) if app.is_relative_to(folder) else app
    command = [sys.executable, "-m", "streamlit", "run", str(script), f"--server.port={port}"]
    with log.open("wb") as output:
        server = subprocess.Popen(
            command, cwd=folder, env={**os.environ, **named}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(server, url, log)
        yield url, server
    finally:
        _stop(server)


def clean(log: Path) -> None:
    """Streamlit shows an error to the user and goes on: only the log tells."""
    text = log.read_text(encoding="utf-8", errors="replace")
    assert "Traceback" not in text, text
    assert "will be removed after" not in text, text  # Streamlit's wording for deprecated calls


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        executable = _executable(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=executable, args=[*CHROMIUM_FLAGS, *flags])
        yield browser
        browser.close()


def open_page(page: Page, path: str = "/") -> None:
    """Go to a page and wait until its script has finished. After a click, expect the visible result instead."""
    page.goto(path)
    page.locator(IDLE).wait_for(state="attached")


def at_rest(tab: Page) -> None:
    """Wait until the page has done nothing for a while, as a person does who looks before going on.

    Where Back is pressed while the page before is still drawn, Streamlit can go back to that page: what its elements
    send when they appear still names it.
    """
    tab.evaluate("window.rest = 0")
    tab.wait_for_function(AT_REST, arg=IDLE, polling=100)


def sections(tab: Page) -> Locator:
    """The names of the sections of a page, to be clicked."""
    return tab.get_by_role("radiogroup", name=re.compile("^Section$|in detail$")).get_by_role("radio")


def open_section(tab: Page, name: str) -> None:
    """Click its name and wait until it is drawn, which is below the names."""
    section = sections(tab).filter(has_text=re.compile(f"^{re.escape(name)}$"))
    section.click()
    expect(section).to_be_checked()
    at_rest(tab)
    drawn = tab.get_by_test_id("stElementContainer").filter(has=sections(tab)).locator("xpath=following-sibling::*")
    expect(drawn.first).to_be_visible()


def picture(tab: Page, name: str, folder: Path = SCREENSHOTS) -> None:
    """The whole page, as a file of that name in the folder: in a soak run, and where TEST_PICTURES asks for it."""
    if not (SOAK or "TEST_PICTURES" in os.environ):
        return
    folder.mkdir(parents=True, exist_ok=True)
    size = tab.viewport_size or WIDE
    for room in (20, 0):  # twice: a table that has just come is as high as its rows only in the next frames
        tab.wait_for_function("() => !document.querySelector('[data-testid=stSkeleton]')")
        height = tab.get_by_test_id("stMain").evaluate("main => main.scrollHeight")
        tab.set_viewport_size({"width": size["width"], "height": min(max(size["height"], height + room), HIGHEST)})
    tab.screenshot(path=folder / f"{re.sub(r'[^A-Za-z0-9]+', '-', name)}.png", animations="disabled")
    tab.set_viewport_size(size)


def _executable(bundled: str) -> str:
    """$CHROMIUM, the system's, or Playwright's own: the order in which .ci/install-chromium looks."""
    names = (os.environ.get("CHROMIUM", ""), "chromium", "chromium-browser", "google-chrome", bundled)
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None:
        raise RuntimeError("no Chromium: run .ci/install-chromium, or set CHROMIUM to its path")
    return found


def _wait_for(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Fail at once, with the log, when the server has ended."""
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/_stcore/health", timeout=5) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the dashboard did not start:\n{log.read_text(encoding='utf-8')}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    try:
        server.wait(60)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait(10)
