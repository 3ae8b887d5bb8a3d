"""What a visitor waits for, in a real browser: from the click inside the page to the second frame after the painting.

"Idle" alone is no proof that a page is drawn: right after a click it is still true. So the heading, the elements and
the absence of placeholders are looked at too.
"""

import statistics
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.real_server import chromium, dashboard

HERE = Path(__file__).parent
ROUNDS = 9
NOTE_CLICKS = "document.addEventListener('click', () => { window.clickedAt = performance.now() }, true)"
PAINTED = """
({since, heading, selector, text}) => new Promise((resolve, reject) => {
  const find = (css) => document.querySelector(css);
  const start = since === null ? 0 : window.clickedAt;
  const painted = () =>
    find('[data-testid=stApp]')?.getAttribute('data-test-script-state') === 'notRunning'
    && !find('[data-testid=stSkeleton]')
    && (!heading || find('[data-testid=stMain] h1')?.innerText.trim().startsWith(heading))
    && (!selector || find(selector))
    && (!text || find('[data-testid=stMain]').innerText.includes(text));
  const tick = () => {
    if (painted()) requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - start)));
    else if (performance.now() - start > 30000) reject('not painted within 30 s');
    else requestAnimationFrame(tick);
  };
  tick();
})
"""
TABLE = "[data-testid=stDataFrame]"


def page_figures(environment: Mapping[str, str], folder: Path) -> dict[str, tuple[float, float]]:
    """(ours, floor) in milliseconds per figure, medians of both from the same run."""
    with (
        chromium() as browser,
        dashboard(folder / "dashboard.log", environment) as ours,
        dashboard(folder / "floor.log", {}, app=HERE / "floor_app.py") as floor,
    ):
        first = first_paints(browser, ours, floor)
        desk, constant = opened(browser, ours, "Overview"), opened(browser, floor, "Empty")
        switch = switched(desk, "Overview", "Versions"), switched(constant, "Empty", "Table")
        rerun = clicked(constant)
        choice = chosen(browser, ours)
    return {
        "first paint, against an empty page": first,
        "switch to Versions, against a constant table": switch,
        "click to painted, against an empty rerun": (choice, rerun),
    }


def first_paints(browser: Browser, ours: str, floor: str) -> tuple[float, float]:
    """By turns, so that the browser's own warming up counts for neither."""
    pairs = [(first_paint(browser, ours, "Overview"), first_paint(browser, floor, "Empty")) for _ in range(ROUNDS + 1)]
    own, empty = zip(*pairs[1:], strict=True)
    return statistics.median(own), statistics.median(empty)


def first_paint(browser: Browser, url: str, heading: str, selector: str = "", text: str = "") -> float:
    """In a new context: nothing in the HTTP cache."""
    with closing(browser.new_context(reduced_motion="reduce")) as context:
        page = context.new_page()
        page.goto(url)
        wanted = {"since": None, "heading": heading, "selector": selector, "text": text}
        return float(page.evaluate(PAINTED, wanted))


def long_table_paint(environment: Mapping[str, str], folder: Path, model: str, versions: int) -> float:
    """Milliseconds of the versions page from an empty browser, the median of visits of which the first reads all."""
    with chromium() as browser, dashboard(folder / "long.log", environment) as url:
        text = f"{versions:,} of {versions:,} versions"
        visits = [first_paint(browser, f"{url}/versions?model={model}", "Versions", TABLE, text) for _ in range(ROUNDS)]
    return statistics.median(visits)


def opened(browser: Browser, url: str, heading: str) -> Page:
    page = browser.new_context(reduced_motion="reduce", viewport={"width": 1400, "height": 1000}).new_page()
    page.add_init_script(NOTE_CLICKS)
    page.goto(url)
    page.get_by_role("heading", name=heading).wait_for()
    page.wait_for_timeout(1000)
    return page


def switched(page: Page, home: str, other: str) -> float:
    times = []
    for _ in range(ROUNDS + 1):
        for title, selector in ((other, TABLE), (home, "")):
            page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click(no_wait_after=True)
            taken = since_click(page, heading=title, selector=selector)
            if title == other:
                times.append(taken)
    return statistics.median(times[1:])


def clicked(page: Page) -> float:
    page.get_by_test_id("stSidebar").get_by_role("link", name="Empty", exact=True).click()
    page.get_by_role("heading", name="Empty").wait_for()
    times = []
    for number in range(1, ROUNDS + 2):
        page.get_by_role("button", name="Rerun").click(no_wait_after=True)
        times.append(since_click(page, text=f"Clicks: {number}"))
    return statistics.median(times[1:])


def chosen(browser: Browser, url: str) -> float:
    """A stage filter of the versions page: the table is drawn again."""
    page = opened(browser, f"{url}/versions?model=obesity_classifier", "Versions")
    times = []
    for number in range(ROUNDS + 1):
        page.get_by_text("Production", exact=True).first.click(no_wait_after=True)
        times.append(since_click(page, text="1 of 4 versions" if number % 2 == 0 else "4 of 4 versions"))
    return statistics.median(times[1:])


def since_click(page: Page, *, heading: str = "", selector: str = "", text: str = "") -> float:
    wanted = {"since": "click", "heading": heading, "selector": selector, "text": text}
    taken = float(page.evaluate(PAINTED, wanted))
    page.wait_for_timeout(200)  # the next click must not meet leftovers of this one
    return taken
