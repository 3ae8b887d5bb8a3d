"""What a visitor waits for, in a real browser: from the click inside the page to the second frame after the painting.

"Idle" alone is no proof that a page is drawn: right after a click it is still true. So the heading, the elements and
the absence of placeholders are looked at too.
"""

import statistics
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from playwright.sync_api import Browser, Page

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from support.real_server import chromium, dashboard

HERE = Path(__file__).parent
ROUNDS = 15
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
        first = by_turns(
            lambda _: first_paint(browser, ours, "Overview"), lambda _: first_paint(browser, floor, "Empty")
        )
        desk, constant = opened(browser, ours, "Overview"), opened(browser, floor, "Empty")
        switch = by_turns(
            lambda _: switched(desk, "Overview", "Versions"), lambda _: switched(constant, "Empty", "Table")
        )
        desk.goto(f"{ours}/versions?model=obesity_classifier")
        desk.get_by_role("heading", name="Versions").wait_for()
        desk.wait_for_timeout(1000)
        click = by_turns(lambda number: chosen(desk, number), lambda number: clicked(constant, number))
        desk.goto(f"{ours}/review?model=obesity_classifier&version=3")
        desk.get_by_text("Move version 3 to Production").wait_for()
        desk.wait_for_timeout(1000)
        form = by_turns(lambda number: moved(desk, number), lambda number: clicked(constant, ROUNDS + 1 + number))
    return {
        "first paint, against an empty page": first,
        "switch to Versions, against a constant table": switch,
        "click to painted in the filter of Versions, against an empty rerun": click,
        "click to painted in the form of a decision, against an empty rerun": form,
    }


def by_turns(ours: Callable[[int], float], floor: Callable[[int], float]) -> tuple[float, float]:
    """Medians of both. Each is given the number of the round, from 1; the first is not counted: it pays for caches.

    By turns, so that neither the browser's warming up nor a slow minute of the machine counts for one of them alone.
    """
    pairs = [(ours(number), floor(number)) for number in range(1, ROUNDS + 2)]
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
    """There and back; milliseconds of the way there."""
    _follow(page, other)
    taken = since_click(page, heading=other, selector=TABLE)
    _follow(page, home)
    since_click(page, heading=home)
    return taken


def _follow(page: Page, title: str) -> None:
    page.get_by_test_id("stSidebar").get_by_role("link", name=title, exact=True).click(no_wait_after=True)


def clicked(page: Page, number: int) -> float:
    page.get_by_role("button", name="Rerun").click(no_wait_after=True)
    return since_click(page, text=f"Clicks: {number}")


def chosen(page: Page, number: int) -> float:
    """A stage filter of the versions page: the table is drawn again."""
    page.get_by_text("Production", exact=True).first.click(no_wait_after=True)
    return since_click(page, text="1 of 4 versions" if number % 2 else "4 of 4 versions")


def moved(page: Page, number: int) -> float:
    """Another move of the review of version 3: its gates and its form are drawn again."""
    move = "Archived" if number % 2 else "Production"
    page.get_by_test_id("stMain").get_by_text(move, exact=True).first.click(no_wait_after=True)
    return since_click(page, text=f"Move version 3 to {move}")


def since_click(page: Page, *, heading: str = "", selector: str = "", text: str = "") -> float:
    wanted = {"since": "click", "heading": heading, "selector": selector, "text": text}
    taken = float(page.evaluate(PAINTED, wanted))
    page.wait_for_timeout(200)  # the next click must not meet leftovers of this one
    return taken
