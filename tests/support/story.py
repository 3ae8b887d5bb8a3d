"""The steps of the story, for any registry: fill an empty one, promote a version, find the decision, verify."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from support.real_server import open_page, picture

MODEL = "obesity_classifier"
FILL_MILLISECONDS = 300_000
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
        expect(each.get_by_text("Waiting for review")).to_be_visible(timeout=FILL_MILLISECONDS)
        each.close()


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
    tab.get_by_role("link", name="History").first.click()
    expect(tab.get_by_role("heading", name="History")).to_be_visible()
    expect(tab.get_by_test_id("glide-cell-7-0")).to_have_text(REASON)
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


def accept_warnings(tab: Page) -> None:
    """The box is there only where a gate warns."""
    tab.get_by_role("button", name=re.compile("^(Move|Set|Roll)")).first.wait_for()  # drawn after the box
    box = tab.get_by_text("I accept the")
    if box.count():
        box.click()
