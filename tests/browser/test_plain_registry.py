"""Explain, Predict and Compare on a registry that plain MLflow filled, under both trust policies."""

import gzip
from collections.abc import Mapping
from itertools import product

import pytest
import yaml
from playwright.sync_api import Page, expect

from support.real_server import NARROW, WIDE, open_page, picture
from support.small_desk import copy_registry, small_params
from support.soak import amount

NOT_LOADED = "Its flavor is lightgbm, which is not loaded under this trust policy"
LOADED_BY_MLFLOW = "was loaded by MLflow"
ALLOW_LIST, PRODUCERS = "allow_list", "producers"
# trust policy, page, and what must be read there
PAGES = {
    "price-explain": (ALLOW_LIST, "/explain?model=price&version=2", "came without an explanation summary"),
    "price-row": (ALLOW_LIST, "/explain?model=price&version=2&show=One+row", "account for the whole answer"),
    "price-predict": (ALLOW_LIST, "/predict?model=price&version=1", "Version 1 predicts"),
    "price-compare": (ALLOW_LIST, "/compare?model=price&versions=1,2", "Neither version has metrics"),
    "churn-row": (ALLOW_LIST, "/explain?model=churn&version=2&show=One+row", "Explained: "),
    "churn-predict": (ALLOW_LIST, "/predict?model=churn&version=1&beside=2", "Version 2 predicts"),
    "churn-compare": (ALLOW_LIST, "/compare?model=churn&versions=1,2", "They do not say which of the two is better"),
    "dose-explain": (ALLOW_LIST, "/explain?model=dose&version=1", NOT_LOADED),
    "dose-predict": (ALLOW_LIST, "/predict?model=dose&version=1", NOT_LOADED),
    "dose-compare": (ALLOW_LIST, "/compare?model=dose", "A comparison needs two"),
    "bare-row": (ALLOW_LIST, "/explain?model=bare&version=1&show=One+row", "no feature schema"),
    "bare-predict": (ALLOW_LIST, "/predict?model=bare&version=1", "no feature schema"),
    "shop-predict": (ALLOW_LIST, "/predict?model=shop&version=1", "tags: takes an array, which cannot be given here"),
    "shop-row": (ALLOW_LIST, "/explain?model=shop&version=1&show=One+row", "account for the whole answer"),
    "dose-row-trusted": (PRODUCERS, "/explain?model=dose&version=1&show=One+row", "account for the whole answer"),
    "dose-predict-trusted": (PRODUCERS, "/predict?model=dose&version=1", LOADED_BY_MLFLOW),
}


@pytest.fixture(scope="module")
def addresses(serve, plain_registry, tmp_path_factory) -> Mapping[str, str]:
    """Of one desk per trust policy, over the same registry."""
    folder = tmp_path_factory.mktemp("plain")
    uri = copy_registry(plain_registry, folder)
    found = {}
    for trust in (ALLOW_LIST, PRODUCERS):
        params = small_params()
        params["serving"]["trust"] = trust
        (folder / f"{trust}.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        found[trust] = serve(
            {
                "MLFLOW_TRACKING_URI": uri,
                "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / f'{trust}.db'}",
                "SIGNOFF_PARAMS": str(folder / f"{trust}.yaml"),
                "SIGNOFF_ACTOR": "grace",
                "MLFLOW_DISABLE_TELEMETRY": "true",
            }
        )
    return found


LOOKS = ["light", "dark", "narrow"]
SEEN = [
    "price-explain",
    "churn-row",
    "churn-predict",
    "churn-compare",
    "dose-predict",
    "bare-row",
    "shop-row",
    "dose-row-trusted",
]
IN_TURN = [(name, LOOKS[number % 3]) for number, name in enumerate(SEEN)]


@pytest.mark.parametrize(("name", "look"), amount(IN_TURN, soak=list(product(PAGES, LOOKS))))
def test_every_kind_of_model_on_every_page(addresses, open_tab, name, look):
    """No traceback, nothing wider than the screen, and the sentence that fits the model."""
    trust, path, told = PAGES[name]
    size = NARROW if look == "narrow" else WIDE
    tab = open_tab(addresses[trust], scheme="dark" if look == "dark" else "light", size=size)
    open_page(tab, path)

    expect(tab.get_by_text(told).first).to_be_visible()
    expect(tab.get_by_test_id("stException")).to_have_count(0)
    assert tab.get_by_test_id("stMain").evaluate("main => main.scrollWidth <= main.clientWidth")
    picture(tab, f"plain-{name}-{look}")
    tab.close()


def test_a_form_from_a_signature(addresses, open_tab):
    """It starts with the input example; another number is predicted and explained."""
    tab: Page = open_tab(addresses[ALLOW_LIST])
    open_page(tab, "/predict?model=price&version=2")
    rooms, age = tab.get_by_role("spinbutton", name="rooms"), tab.get_by_role("spinbutton", name="age")
    expect(rooms).not_to_have_value("")
    rooms.fill("3")
    age.fill("10")
    tab.get_by_role("button", name="Predict", exact=True).click()

    expect(tab.get_by_role("heading", name="80", exact=True)).to_be_visible()
    expect(tab.get_by_text("rooms 3 lowers the output by")).to_be_visible()
    tab.close()


def test_a_form_with_a_time_and_a_large_number(addresses, open_tab):
    """Whole numbers are typed as text, to their last digit; a time that is none has its sentence at the field."""
    tab: Page = open_tab(addresses[ALLOW_LIST])
    open_page(tab, "/predict?model=shop&version=1")
    customer, when = tab.get_by_role("textbox", name="customer"), tab.get_by_role("textbox", name="when")
    expect(when).to_have_value("2024-03-05T00:00:00")
    customer.fill("9007199254740993")
    when.fill("6.3.2024")
    tab.get_by_role("button", name="Predict", exact=True).click()
    wrong = "when: '6.3.2024' is neither a date nor a time in ISO 8601"
    expect(tab.get_by_test_id("stGrid").get_by_text(wrong)).to_be_visible()
    expect(tab.get_by_text(f"•  {wrong}")).to_be_visible()  # below the button too, where a phone shows it
    picture(tab, "plain-shop-predict-wrong-time")

    when.fill("2024-03-06T01:00:00+01:00")
    tab.get_by_role("spinbutton", name="bonus").fill("")
    tab.get_by_role("button", name="Predict", exact=True).click()
    expect(tab.get_by_role("heading", name="159", exact=True)).to_be_visible()
    tab.close()


def test_a_compressed_file_with_tabs(addresses, open_tab, tmp_path):
    """An index without a name is not used, an optional column need not be there."""
    content = gzip.compress(f"\tcustomer\twhen\n0\t{2**53 + 1}\t2024-03-06\n1\t{2**53}\tnever\n".encode())
    tab: Page = open_tab(addresses[ALLOW_LIST])
    open_page(tab, "/predict?model=shop&version=1&show=File+of+rows")
    given = {"name": "rows.tsv.gz", "mimeType": "application/gzip", "buffer": content}
    tab.locator("input[type=file]").set_input_files(given)  # type: ignore[arg-type]
    expect(tab.get_by_text("row 3, when: 'never' is neither a date nor a time in ISO 8601")).to_be_visible()
    expect(tab.get_by_text("Kept, and no input of the version: column 1 (no name)")).to_be_visible()
    expect(tab.get_by_text("bonus: is not in the file, so missing in every row")).to_be_visible()
    expect(tab.get_by_text("tags")).to_have_count(0)
    picture(tab, "plain-shop-file")
    tab.close()
