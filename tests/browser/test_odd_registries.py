"""Registries as they are found: full of oddities, or not answering."""

import re
from itertools import product
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from support.real_server import NARROW, WIDE, open_page, picture
from support.registries import HOSTILE_MLMODELS, Filler, copy_store, fill_oddities, model_files
from support.soak import amount

BOXES = "[0, 1].map(number => document.querySelector(`.st-key-card_${number}`).getBoundingClientRect().toJSON())"
# What is drawn in a way of its own: figures, names, documents that are none, no run, no files.
REVIEWED = ("not_finite", "broken_documents", "lost_files")
LOADING = ("/explain", "/predict", "/review")
PAGES = {"overview": "/", "versions": "/versions", "review": "/review", "history": "/history"}


@pytest.fixture(scope="module")
def odd(serve, template, tmp_path_factory) -> tuple[str, dict[str, tuple[str, int]]]:
    """The address of a desk over a registry of oddities and hostile descriptions, and the versions that are odd."""
    folder = tmp_path_factory.mktemp("odd")
    uri = copy_store(template, folder)
    versions = fill_oddities(uri).versions
    filler = Filler(uri)
    for name, content in HOSTILE_MLMODELS.items():
        filler.add_model(name)
        filler.add_version(name, files={**model_files(), "MLmodel": content})
    return serve({"MLFLOW_TRACKING_URI": uri, "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}"}), versions


@pytest.fixture(scope="module")
def down(serve, tmp_path_factory) -> str:
    """The address of a desk whose registry does not answer."""
    folder = tmp_path_factory.mktemp("down")
    return serve(
        {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}"}
    )


@pytest.mark.parametrize("page", PAGES)
def test_every_page_of_an_odd_registry(odd, open_tab, page):
    """Names, states and files as strangers leave them are drawn without an error, also on a phone."""
    tab = open_tab(odd[0])
    open_page(tab, PAGES[page])
    for size in (WIDE, NARROW):
        tab.set_viewport_size(size)

        expect(tab.get_by_test_id("stException")).to_have_count(0)
        expect(tab.get_by_role("heading", level=1)).to_be_visible()
        picture(tab, f"odd-{page}-{size['width']}")
    tab.close()


def test_cards_of_several_models_stand_abreast(odd, open_tab):
    """At 1280 pixels two, of one height."""
    tab = open_tab(odd[0], size={"width": 1280, "height": 900})
    open_page(tab)
    expect(tab.locator(".st-key-card_1")).to_be_visible()
    left, right = tab.evaluate(BOXES)  # both at one moment: what ends late is drawn meanwhile

    assert (left["y"], left["height"]) == (right["y"], right["height"])
    assert left["x"] + left["width"] < right["x"]
    tab.close()


def test_odd_versions_can_be_reviewed(odd, open_tab):
    """Versions that are broken in their own way have a page; `test_mlflow_reading` runs those of all of them."""
    tab = open_tab(odd[0])
    for role in amount(REVIEWED, soak=tuple(odd[1])):
        model, version = odd[1][role]
        open_page(tab, f"/review?{urlencode({'model': model, 'version': version})}")

        expect(tab.get_by_role("heading", name=re.compile(f"^Version {version} of "))).to_be_visible()
        expect(tab.get_by_test_id("stException")).to_have_count(0)
    tab.close()


def test_a_hostile_description_ends_nobody_s_session(odd, open_tab):
    """A version's page names the file that cannot be read, and the server goes on for everybody."""
    tab = open_tab(odd[0])
    in_turn = zip(LOADING, HOSTILE_MLMODELS, strict=True)
    for page, name in amount(in_turn, soak=product(LOADING, HOSTILE_MLMODELS)):
        open_page(tab, f"{page}?{urlencode({'model': name, 'version': 1})}")

        expect(tab.get_by_test_id("stException")).to_have_count(0)
        expect(tab.get_by_role("heading", level=1)).to_be_visible()
    open_page(tab, "/review?model=deep&version=1")
    expect(tab.get_by_text("The file MLmodel cannot be read").first).to_be_visible()
    tab.close()


def test_hostile_text_stays_text(odd, open_tab):
    """A description that would draw a badge, load a picture or run a script is shown letter by letter."""
    model, version = odd[1]["hostile"]
    tab = open_tab(odd[0])
    open_page(tab, f"/review?{urlencode({'model': model, 'version': version, 'show': 'Description and tags'})}")

    expect(tab.get_by_text(":green-badge[Approved]").first).to_be_visible()
    expect(tab.get_by_text("<script>alert(1)</script>").first).to_be_visible()
    assert tab.locator("img[src*='example.invalid']").count() == 0
    picture(tab, "odd-hostile")
    tab.close()


@pytest.mark.parametrize("page", amount(["overview", "review"], soak=list(PAGES)))
def test_a_registry_that_is_down(down, open_tab, page):
    """One calm sentence and a button, on every page."""
    tab = open_tab(down)
    open_page(tab, PAGES[page])

    expect(tab.get_by_text("The registry does not answer.")).to_have_count(1)
    expect(tab.get_by_role("button", name="Try again")).to_be_visible()
    picture(tab, f"down-{page}")
    tab.close()
