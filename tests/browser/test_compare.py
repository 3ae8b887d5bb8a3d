"""Two versions of a filled registry side by side, in a real browser."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from support.real_server import NARROW, WIDE, open_page, open_section, picture
from support.soak import amount

MODEL = "obesity_classifier"
SECTIONS = ("Metrics", "Classes and slices", "Calibration", "Flipped rows", "Importance", "What differs")
LOOKS: dict[str, dict[str, Any]] = {"dark": {"scheme": "dark"}, "narrow": {"size": NARROW}}


def test_from_two_rows_to_the_flipped_ones(demo_dashboard, open_tab):
    """Two ticked versions are compared with verdicts in words; a filter of flipped rows reopens from the address."""
    tab = open_tab(demo_dashboard)
    open_page(tab, f"/versions?model={MODEL}")
    for row in (2, 3):  # on a canvas, 33 pixels each
        tab.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 33 * (row + 1.5)})
    picture(tab, "compare-select")
    tab.get_by_role("link", name="Compare them").click()

    expect(tab.get_by_role("heading", name="Compare versions 1 and 2 of")).to_be_visible()
    expect(tab.get_by_text("Version 2 against version 1, on the same 240 rows:")).to_be_visible()
    expect(tab.get_by_text("McNemar's exact test of the accuracy: p ")).to_be_visible()
    assert "versions=1%2C2" in tab.url

    walk_through(tab, "light")

    open_section(tab, "Flipped rows")
    told = tab.get_by_text("rows that the two predict differently")
    everything = told.inner_text()
    tab.get_by_text("Only version 2", exact=True).first.click()
    expect(told).not_to_have_text(everything)
    narrowed = told.inner_text()

    again = open_tab(demo_dashboard)
    open_page(again, tab.url.removeprefix(demo_dashboard))
    expect(again.get_by_text(narrowed)).to_be_visible()
    expect(again.get_by_test_id("stException")).to_have_count(0)
    for each in (tab, again):
        each.close()


def test_why_a_row_flips(demo_dashboard, open_tab):
    """A click on a row gives the reasons of both versions on one scale; the address reopens it, a link explains it."""
    tab = open_tab(demo_dashboard)
    open_page(tab, f"/compare?model={MODEL}&versions=1,2&show=Flipped+rows")
    tab.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 33 * 1.5})
    heading = tab.get_by_role("heading", name="why the two differ")
    expect(heading).to_be_visible()
    expect(tab.get_by_text(re.compile(r"by [0-9.]+.* in version 2, .* in version 1")).first).to_be_visible()
    for version in (1, 2):
        expect(
            tab.get_by_text(f"Version {version}. Sampled effects, which account for the whole answer")
        ).to_be_visible()
    picture(tab, "compare-flipped-row")
    row = heading.inner_text().split(":")[0]

    again = open_tab(demo_dashboard, size=NARROW)
    open_page(again, tab.url.removeprefix(demo_dashboard))
    expect(again.get_by_role("heading", name=row)).to_be_visible()
    assert again.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
    picture(again, "compare-flipped-row-narrow")

    tab.get_by_role("link", name="Explain in version 2").click()
    expect(tab.get_by_role("heading", name=row, exact=True)).to_be_visible()
    for each in (tab, again):
        each.close()


@pytest.mark.parametrize("look", amount(["narrow"], soak=list(LOOKS)))
def test_sections_in_other_looks(demo_dashboard, open_tab, look):
    """Every section is drawn without an error in the dark and on a phone too."""
    tab = open_tab(demo_dashboard, **LOOKS[look])
    open_page(tab, f"/compare?model={MODEL}&versions=1,2")
    walk_through(tab, look)
    tab.close()


def test_several_against_one_reference(demo_dashboard, open_tab):
    """Three versions stand in one table, and a click changes which one is shown in detail."""
    tab = open_tab(demo_dashboard, size=WIDE)
    open_page(tab, f"/compare?model={MODEL}&versions=1,2,3")
    tab.get_by_role("radio", name="Version 3").click()

    expect(tab.get_by_text("Version 3 against version 1, on the same 240 rows:")).to_be_visible()
    picture(tab, "compare-several")
    tab.close()


def walk_through(tab: Page, look: str) -> None:
    """Open each section: no error, and never wider than the screen."""
    for section in SECTIONS:
        open_section(tab, section)

        expect(tab.get_by_test_id("stException")).to_have_count(0)
        assert tab.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
        picture(tab, f"compare-{section}-{look}".lower())
