"""The whole way in a real browser: an empty registry is filled, a version is reviewed, promoted and found again."""

from collections.abc import Mapping
from itertools import product

import pytest
from playwright.sync_api import Page, expect

from support.real_server import NARROW, WIDE, open_page, open_section, picture, sections
from support.small_desk import small_desk
from support.soak import amount
from support.story import (
    MODEL,
    REASON,
    accept_warnings,
    choose_by_keys,
    fill,
    reach,
    review,
    select_row,
    sign_by_keys,
    tour,
    verify,
)

PAGES = {
    "overview": "/",
    "versions": "/versions",
    "review": f"/review?model={MODEL}&version=2",
    "classes": f"/review?model={MODEL}&version=2&show=Classes+and+slices",
    "lineage": f"/review?model={MODEL}&version=2&show=Lineage",
    "files": f"/review?model={MODEL}&version=2&show=Files",
    "history": f"/history?model={MODEL}",
}


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("desk")
    return small_desk(folder, f"sqlite:///{folder / 'mlflow.db'}")


@pytest.fixture(scope="module")
def filled(serve, environment, open_tab, tmp_path_factory) -> str:
    """The address of a desk whose registry was filled by a click, watched by two tabs. It was started in an empty
    folder: the theme, the loopback address and the imports do not depend on where.
    """
    url = serve(environment, tmp_path_factory.mktemp("elsewhere"))
    fill(open_tab, url)
    return url


@pytest.fixture
def tab(filled, open_tab):
    page = open_tab(filled)
    yield page
    page.close()


def test_started_in_an_empty_folder_the_demo_leaves_a_champion(tab):
    """After the click the overview shows who serves and what waits."""
    open_page(tab)

    expect(tab.get_by_role("heading", name=MODEL)).to_be_visible()
    expect(tab.get_by_text("by demo (program)").first).to_be_visible()
    expect(tab.get_by_role("link", name="Review version").first).to_be_visible()


def test_a_row_leads_to_its_review(tab):
    """Ticking a line of the versions table offers its review; the link opens it in the same tab."""
    open_page(tab, "/versions")
    select_row(tab, 0)

    tab.get_by_role("link", name="Review version 4").click()

    expect(tab.get_by_role("heading", name="Version 4")).to_be_visible()
    assert "version=4" in tab.url


LOOKS = ["light", "dark", "narrow"]


# Each opens a page anew. `test_craft` looks at every page in both themes and as narrow as a phone.
@pytest.mark.parametrize(("name", "look"), amount([("files", "dark")], soak=list(product(PAGES, LOOKS))))
def test_pages_in_every_look(filled, open_tab, name, look):
    """Every page is drawn without an error in light and dark, and nothing is wider than a phone of 390 pixels."""
    size = NARROW if look == "narrow" else WIDE
    tab = open_tab(filled, scheme="dark" if look == "dark" else "light", size=size)
    open_page(tab, PAGES[name])

    no_error_and_no_overflow(tab)
    picture(tab, f"{name}-{look}")
    tab.close()


def test_what_the_review_holds_on_a_phone(filled, open_tab):
    """Each section of a version's page is drawn without an error, and nothing is wider than the screen."""
    tab = open_tab(filled, size=NARROW)
    open_page(tab, PAGES["review"])
    expect(sections(tab).last).to_be_visible()
    names = [each.inner_text() for each in sections(tab).all()]
    assert {"Classes and slices", "Lineage"} < set(names)
    for name in names:
        open_section(tab, name)
        no_error_and_no_overflow(tab)
    tab.close()


def no_error_and_no_overflow(tab: Page) -> None:
    expect(tab.get_by_test_id("stException")).to_have_count(0)
    assert tab.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")


def test_a_refusal_is_said_at_the_form(tab):
    """A reason that is too short changes nothing and is explained; Ctrl+Enter signs, a reload keeps what was typed."""
    open_page(tab, PAGES["review"])
    accept_warnings(tab)
    reason = tab.get_by_role("textbox", name="Reason")
    reason.fill("too short")
    reason.press("Control+Enter")

    expect(tab.get_by_text("10 to 2,000 characters are allowed")).to_be_visible()
    tab.reload()
    expect(reason).to_have_value("too short")


def test_the_tour(filled, open_tab, tab):
    """What docs/tour.md shows: the best version is promoted, its event is found, the new champion answers."""
    tour(open_tab, filled)

    review(tab, 4)
    expect(tab.get_by_role("radio", name="Roll back")).to_be_visible()  # offered for the champion only


def test_the_keyboard_alone(tab):
    """From the overview to the receipt without a mouse: an alias is set with a reason, and removed again."""
    open_page(tab)
    expect(tab.get_by_text("in order of merit")).to_be_visible()  # until then the lines change their places
    reach(tab, tab.get_by_role("link", name="Review version 3"))
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("heading", name="Version 3")).to_be_visible()

    choose_by_keys(tab, "Alias")
    field = tab.get_by_role("textbox", name="Alias name")
    expect(field).to_have_value("challenger")
    reach(tab, field)
    tab.keyboard.type("shadow")  # over what was there: the Tab key selects it
    tab.keyboard.press("Enter")
    expect(tab.get_by_text("The alias shadow is set on version 3.")).to_be_visible()
    sign_by_keys(tab, "Set alias on version 3")
    expect(tab.get_by_text("grace set the alias shadow on version 3.")).to_be_visible()

    choose_by_keys(tab, "Remove alias")
    expect(tab.get_by_text("The alias shadow is removed from version 3.")).to_be_visible()
    sign_by_keys(tab, "Remove alias")
    expect(tab.get_by_text("grace removed the alias shadow.")).to_be_visible()


def test_another_move_shows_what_was_decided_meanwhile(filled, open_tab, tab):
    """A choice draws only the form anew, and the whole page where the version is not what it was drawn from."""
    review(tab, 2)
    expect(tab.get_by_role("textbox", name="Reason")).to_be_visible()
    other = open_tab(filled)
    open_page(other, f"/review?model={MODEL}&version=2&to=Alias")
    other.get_by_role("textbox", name="Reason").fill(REASON)
    accept_warnings(other)
    other.get_by_role("button", name="Set alias on version 2").click()
    expect(other.get_by_text("grace set the alias challenger on version 2.")).to_be_visible()
    other.close()

    offered = tab.get_by_role("radio", name="Remove alias")
    expect(offered).to_have_count(0)
    tab.get_by_role("radio", name="Archived").click()
    expect(offered).to_be_visible()
    expect(tab.get_by_test_id("stMarkdown").get_by_text("challenger")).to_be_visible()
    expect(tab.get_by_role("button", name="Move version 2 to Archived")).to_be_visible()


def test_the_ledger_verifies(tab):
    """After the story the ledger is clean, and the page says over how many events."""
    verify(tab)
