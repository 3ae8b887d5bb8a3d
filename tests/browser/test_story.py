"""The whole way in a real browser: an empty registry is filled, a version is reviewed, promoted and found again."""

from collections.abc import Mapping

import pytest
import yaml
from playwright.sync_api import Page, expect
from real_server import NARROW, ROOT, open_page, picture

MODEL = "obesity_classifier"
FILL_MILLISECONDS = 300_000
REASON = "Better than the champion in every class on the held-out rows."
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
    """A registry, a ledger and small candidates of its own."""
    folder = tmp_path_factory.mktemp("desk")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    for candidate in params["candidates"].values():
        small = {"n_estimators": 20, "max_iter": 20} if candidate["estimator"] != "logistic_regression" else {}
        candidate["parameters"] |= {name: value for name, value in small.items() if name in candidate["parameters"]}
    params["evaluation"] |= {"bootstrap_samples": 100, "cross_validation_folds": 2}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
        "SIGNOFF_PARAMS": str(folder / "params.yaml"),
        "SIGNOFF_ACTOR": "grace",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


@pytest.fixture(scope="module")
def filled(serve, environment, open_tab) -> str:
    """The address of a desk whose registry was filled by a click, watched by two tabs."""
    url = serve(environment)
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
    return url


@pytest.fixture
def tab(filled, open_tab):
    page = open_tab(filled)
    yield page
    page.close()


def select_row(tab: Page, row: int) -> None:
    """Rows are drawn on a canvas: 33 pixels each at this font size, the box to tick in the first column."""
    tab.get_by_test_id("stDataFrame").first.click(position={"x": 15, "y": 33 * (row + 1.5)})


def test_the_demo_leaves_a_champion(tab):
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_pages_in_both_themes(filled, open_tab, name, scheme):
    """Every page is drawn without an error in light and dark."""
    tab = open_tab(filled, scheme=scheme)
    open_page(tab, PAGES[name])

    expect(tab.get_by_test_id("stException")).to_have_count(0)
    picture(tab, f"{name}-{scheme}")
    tab.close()


@pytest.mark.parametrize("name", PAGES)
def test_pages_on_a_phone(filled, open_tab, name):
    """Nothing is wider than a phone of 390 pixels."""
    tab = open_tab(filled, size=NARROW)
    open_page(tab, PAGES[name])

    main = tab.get_by_test_id("stMain")
    assert main.evaluate("main => main.scrollWidth <= main.clientWidth")
    picture(tab, f"{name}-narrow")
    tab.close()


def test_a_refusal_is_said_at_the_form(tab):
    """A reason that is too short changes nothing and is explained."""
    open_page(tab, PAGES["review"])
    tab.get_by_role("textbox", name="Reason").fill("too short")
    accept_warnings(tab)
    tab.get_by_role("button", name="Move version 2 to Production").click()

    expect(tab.get_by_text("10 to 2,000 characters are allowed")).to_be_visible()


def test_a_promotion_from_the_form_to_the_history(tab):
    """A promotion with a reason is told, moves the champion, and is found in the history with its evidence."""
    open_page(tab, PAGES["review"])
    tab.get_by_role("textbox", name="Reason").fill(REASON)
    accept_warnings(tab)
    tab.get_by_role("button", name="Move version 2 to Production").dblclick()

    expect(tab.get_by_test_id("stToast")).to_contain_text("is applied")
    expect(tab.get_by_role("radio", name="Roll back")).to_be_visible()  # offered for the champion only
    picture(tab, "promoted")

    tab.get_by_role("link", name="History").first.click()
    expect(tab.get_by_role("heading", name="History")).to_be_visible()
    expect(tab.get_by_test_id("glide-cell-8-0")).to_have_text(REASON)
    select_row(tab, 0)
    expect(tab.get_by_text("The files are those of the decision")).to_be_visible()
    assert "event=" in tab.url
    picture(tab, "event")


def test_the_ledger_verifies(tab):
    """After the story the ledger is clean, and the page says over how many events."""
    open_page(tab, PAGES["history"])

    tab.get_by_role("button", name="Verify").click()

    expect(tab.get_by_text("the registry agrees with them")).to_be_visible()


def test_it_starts_from_any_folder(serve, environment, open_tab, tmp_path_factory):
    """The theme, the loopback address and the imports do not depend on where it was started."""
    tab = open_tab(serve(environment, tmp_path_factory.mktemp("elsewhere")))
    open_page(tab, "/history")

    expect(tab.get_by_role("heading", name="History")).to_be_visible()
    tab.close()


def accept_warnings(tab: Page) -> None:
    """The box is there only where a gate warns."""
    box = tab.get_by_text("I accept the")
    if box.count():
        box.click()
