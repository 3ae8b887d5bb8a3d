"""Explain and Predict in a real browser, on a registry that the demo has filled with small candidates."""

from itertools import product

import pytest
import yaml
from playwright.sync_api import Page, expect

from support.real_server import NARROW, ROOT, WIDE, open_page, picture
from support.soak import amount

MODEL = "obesity_classifier"
PAGES = {
    "explain": f"/explain?model={MODEL}&version=1",
    "explain-number": f"/explain?model={MODEL}&version=1&of=Obesity_Type_III&column=Weight",
    "explain-row": f"/explain?model={MODEL}&version=1&row=17&opinion=true",
    "explain-typed": f"/explain?model={MODEL}&version=2&show=One+row&source=Typed+in",
    "predict": f"/predict?model={MODEL}&beside=2",
    "predict-file": f"/predict?model={MODEL}&show=File+of+rows",
}


@pytest.fixture
def tab(demo_dashboard, open_tab):
    page = open_tab(demo_dashboard)
    yield page
    page.close()


def charts(tab: Page, count: int) -> None:
    """Plotly draws after the script has ended."""
    expect(tab.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(tab.get_by_test_id("stPlotlyChart")).to_have_count(count)


LOOKS = ["dark", "narrow", "light"]
# The others are opened below, and by `test_craft` in every look.
IN_TURN = [("explain-number", "narrow"), ("explain-row", "light"), ("explain-typed", "dark")]


@pytest.mark.parametrize(("name", "look"), amount(IN_TURN, soak=list(product(PAGES, LOOKS))))
def test_pages_in_every_look(demo_dashboard, open_tab, name, look):
    """Every page is drawn without an error in light and dark, and nothing is wider than a phone."""
    tab = open_tab(
        demo_dashboard, scheme="dark" if look == "dark" else "light", size=NARROW if look == "narrow" else WIDE
    )
    open_page(tab, PAGES[name])
    if name != "predict-file":
        expect(tab.locator(".js-plotly-plot .main-svg").first).to_be_visible()

    expect(tab.get_by_test_id("stException")).to_have_count(0)
    main = tab.get_by_test_id("stMain")
    assert main.evaluate("main => main.scrollWidth <= main.clientWidth")
    picture(tab, f"{name}-{look}")
    tab.close()


def test_a_selected_row_is_explained_and_shared(tab, demo_dashboard, open_tab):
    """Ticking a line explains it, the address names it, and the address opens it again."""
    open_page(tab, f"/explain?model={MODEL}&version=1&show=One+row")
    charts(tab, 1)
    tab.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 33 * 3.5})

    expect(tab.get_by_role("heading", name="Row 2", exact=True)).to_be_visible()
    assert "row=2" in tab.url
    expect(tab.get_by_text("account for the whole answer")).to_be_visible()

    other = open_tab(demo_dashboard)
    open_page(other, tab.url.replace(demo_dashboard, ""))
    expect(other.get_by_role("heading", name="Row 2", exact=True)).to_be_visible()
    other.close()


def test_the_filter_leads_to_its_first_row(tab):
    """Whoever asks for wrong ones sees one of them, also after a link to another row."""
    open_page(tab, f"/explain?model={MODEL}&version=1&row=0")
    expect(tab.get_by_role("heading", name="Row 0", exact=True)).to_be_visible()
    tab.get_by_text("Wrong", exact=True).click()

    expect(tab.get_by_role("heading", name="Row 0", exact=True)).to_have_count(0)
    expect(tab.get_by_text("account for the whole answer")).to_be_visible()
    assert "row=" not in tab.url.replace("rows=", "")


def test_from_a_wrong_value_to_a_reason(tab):
    """A value out of range is refused at its field, the right one is predicted, and its explanation is a click away."""
    open_page(tab, f"/predict?model={MODEL}")
    weight = tab.get_by_role("spinbutton", name="Weight (kg)")
    weight.fill("900")
    tab.get_by_role("button", name="Predict", exact=True).click()
    expect(tab.get_by_text("Weight: 900 is above 260 kg (allowed 25 to 260)")).to_have_count(2)  # also at the button
    picture(tab, "predict-error")

    weight.fill("170")
    tab.get_by_role("button", name="Predict", exact=True).click()
    expect(tab.get_by_text("lies outside the training data")).to_be_visible()
    expect(tab.get_by_text("Version 1 predicts")).to_be_visible()
    picture(tab, "predict-warning")

    tab.get_by_role("link", name="Explain this row").click()
    expect(tab.get_by_role("heading", name="Explain version 1")).to_be_visible()
    expect(tab.get_by_role("spinbutton", name="Weight (kg)")).to_have_value("170")
    expect(tab.get_by_text("account for the whole answer")).to_be_visible()


def test_one_column_moves(tab):
    """Another column draws another curve without leaving the page."""
    open_page(tab, f"/predict?model={MODEL}")
    charts(tab, 2)
    column = tab.get_by_role("combobox", name="Column to move")
    column.click()
    column.fill("CAEC")
    column.press("Enter")

    expect(tab.get_by_text("Eats between meals (CAEC) is Sometimes in the row.")).to_be_visible()
    picture(tab, "predict-category")


def test_a_file_is_scored_and_downloaded(tab):
    """The predictions come back as a file, with version and digest in each row; a bad row is told."""
    open_page(tab, PAGES["predict-file"])
    listed = tab.get_by_text("file with these columns, in any order").inner_text().split(": ")[1].split("; ")
    assert "FCVC (Eats vegetables with meals)" in listed
    names = [each.partition(" (")[0] for each in listed]
    defaults = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["schema"]["columns"]
    good = ",".join(str(defaults[name]["default"]) for name in names)
    text = f"{','.join(names)}\n{good}\n{good.replace('1.7', '17')}\n"
    tab.locator("input[type=file]").set_input_files(
        {"name": "people.csv", "mimeType": "text/csv", "buffer": text.encode()}
    )
    expect(tab.get_by_text("1 row refused")).to_be_visible()
    picture(tab, "predict-scored")

    with tab.expect_download() as download:
        tab.get_by_role("button", name="Download predictions").click()
    lines = download.value.path().read_text(encoding="utf-8").splitlines()
    assert lines[0].endswith("model_version,model_digest")
    assert len(lines) == 2
