"""The steps of the story, for any registry: fill an empty one, promote a version, find the decision, verify."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_plus

from playwright.sync_api import Locator, Page, expect

from support.real_server import IDLE, NARROW, SCREENSHOTS, open_page, picture

MODEL = "obesity_classifier"
FILL_MILLISECONDS = 300_000
TOUR = ("overview", "review", "review-dark", "review-narrow", "receipt", "event", "predict", "explain", "compare")
TEAM = ("waiting", "request", "approve", "alarm", "outside", "decision")
WATCH = ("shadow", "overview", "finding", "measured", "history")
TOUR_FOLDER = Path(os.environ.get("TEST_PICTURES", SCREENSHOTS))  # docs/screenshots to retake those of the documents
REASON = "Better than the champion in every class on the held-out rows."


def fill(open_tab: Callable[..., Page], url: str) -> None:
    """One tab clicks, another joins, both see the end."""
    tab = open_tab(url)
    open_page(tab)
    expect(tab.get_by_role("heading", name="The registry is empty")).to_be_visible()
    picture(tab, "empty")
    tab.get_by_role("button", name="Fill with the demo").click()
    expect(tab.get_by_role("progressbar")).to_be_visible()
    picture(tab, "filling")
    other = open_tab(url)
    open_page(other)
    expect(other.get_by_role("button", name="Fill with the demo")).to_have_count(0)
    for each in (tab, other):
        expect(each.get_by_text("waiting for review").first).to_be_visible(timeout=FILL_MILLISECONDS)
        each.close()


def tour(open_tab: Callable[..., Page], url: str) -> None:
    """The minute that README and docs/tour.md describe, and the pictures that they show, on a filled desk."""
    tab = open_tab(url)
    open_page(tab)
    expect(tab.get_by_text("Version 4 is better than the champion")).to_be_visible()
    _toured(tab, "overview")
    tab.get_by_role("link", name="Review version 4").click()
    expect(tab.get_by_role("textbox", name="Reason")).to_be_visible()
    _toured(tab, "review")
    for name, look in (("review-dark", {"scheme": "dark"}), ("review-narrow", {"size": NARROW})):
        other = open_tab(url, **look)
        review(other, 4)
        expect(other.get_by_role("textbox", name="Reason")).to_be_visible()
        _toured(other, name)
        other.close()
    sign(tab, 4)
    expect(tab.get_by_role("radio", name="Roll back")).to_be_visible()
    expect(tab.get_by_role("link", name=re.compile("^Decision [0-9]+ in History"))).to_be_visible()
    expect(tab.get_by_test_id("stToast")).to_have_count(0)
    _toured(tab, "receipt")
    tab.get_by_role("link", name=re.compile("^Decision [0-9]+ in History")).click()
    expect(tab.get_by_text("The files are those of the decision")).to_be_visible()
    _toured(tab, "event")
    _walk_on(tab)


def _walk_on(tab: Page) -> None:
    """What the new champion says, why, and which rows the one before it saw otherwise."""
    seen = {
        "predict": (f"/predict?model={MODEL}", "Why version 4 says so"),
        "explain": (f"/explain?model={MODEL}&version=4", "How they matter"),
        "compare": (f"/compare?model={MODEL}&versions=1,4&show=Flipped+rows", None),
    }
    for name, (path, heading) in seen.items():
        open_page(tab, path)
        if heading:
            expect(tab.get_by_role("heading", name=heading)).to_be_visible()
        _toured(tab, name)
    tab.close()


def _toured(tab: Page, name: str) -> None:
    assert name in TOUR
    picture(tab, f"tour-{name}", TOUR_FOLDER)


def review(tab: Page, version: int) -> None:
    open_page(tab, f"/review?model={MODEL}&version={version}")


def promote(tab: Page, version: int) -> None:
    """With a reason and a double click, which is one decision."""
    review(tab, version)
    sign(tab, version)

    expect(tab.get_by_test_id("stToast")).to_contain_text("is applied")
    expect(tab.get_by_test_id("stAlert").get_by_text("is applied")).to_be_visible()  # the receipt
    expect(tab.get_by_role("radio", name="Roll back")).to_be_visible()  # offered for the champion only


def sign(tab: Page, version: int) -> None:
    tab.get_by_role("textbox", name="Reason").fill(REASON)
    accept_warnings(tab)
    tab.get_by_role("button", name=f"Move version {version} to Production").dblclick()


def find_in_history(tab: Page) -> None:
    """From the page of the version that was just promoted: the newest event, with its evidence."""
    link = tab.get_by_test_id("stMain").get_by_role("link", name="History", exact=True)
    expect(link).to_have_count(1)  # while the page is drawn anew, the link of before may still be there
    link.click()
    expect(tab.get_by_role("heading", name="History")).to_be_visible()
    expect(tab.get_by_test_id("glide-cell-6-0")).to_have_text(REASON)
    select_row(tab, 0)
    expect(tab.get_by_text("The files are those of the decision")).to_be_visible()
    assert "event=" in tab.url


def verify(tab: Page) -> None:
    open_page(tab, f"/history?model={MODEL}")

    tab.get_by_role("button", name="Verify").click()

    expect(tab.get_by_text("the registry agrees with them")).to_be_visible()


def select_row(tab: Page, row: int) -> None:
    """Rows are drawn on a canvas: 33 pixels each at this font size, the box to tick in the first column."""
    tab.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 33 * (row + 1.5)})


def reach(tab: Page, target: Locator, key: str = "Tab", most: int = 120) -> None:
    """Presses the key until the element, or one in it, has the focus. After a visible result: the page is drawn to its
    end first. It may begin from the top again, and the cells of a table are stops too: hence so many.
    """
    tab.locator(IDLE).wait_for(state="attached")
    for _ in range(most):
        tab.keyboard.press(key)
        if target.evaluate("e => e.contains(document.activeElement)"):
            return
    raise AssertionError(f"{key}, pressed {most} times, does not reach {target}")


def choose_by_keys(tab: Page, move: str) -> None:
    """The control is one stop of the Tab key, the arrows go through its moves, the space bar takes one."""
    control = tab.get_by_role("radiogroup", name="Move to")
    reach(tab, control)
    reach(tab, control.get_by_role("radio", name=move, exact=True), "ArrowRight")
    tab.keyboard.press("Space")
    expect(tab).to_have_url(re.compile(f"to={re.escape(quote_plus(move))}(&|$)"))


def sign_by_keys(tab: Page, button: str) -> None:
    """A reason, the box for the warnings where there are some, Ctrl+Enter; then the receipt is there, with its link."""
    expect(tab.get_by_role("button", name=button)).to_be_enabled()
    reach(tab, tab.get_by_role("textbox", name="Reason"))
    tab.keyboard.type(REASON)
    box = tab.get_by_role("checkbox", name=re.compile("^I accept the"))
    if box.count():
        reach(tab, box)
        tab.keyboard.press("Space")
        expect(box).to_be_checked()
    tab.keyboard.press("Control+Enter")
    expect(tab.get_by_test_id("stAlert").get_by_text("is applied")).to_be_visible()
    expect(tab.get_by_role("link", name=re.compile("^Decision [0-9]+ in History"))).to_be_visible()


def accept_warnings(tab: Page) -> None:
    """The box is there only where a gate warns."""
    tab.get_by_role("button", name=re.compile("^(Move|Set|Roll)")).first.wait_for()  # drawn after the box
    box = tab.get_by_text("I accept the")
    if box.count():
        box.click()
