"""The same story against a real `mlflow server`, which then stops, falls silent, and comes back."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from support.real_server import IDLE, open_page, picture
from support.registries import MlflowServer
from support.small_desk import copy_behind_a_server, small_desk
from support.soak import amount, only_in_soak
from support.story import MODEL, find_in_history, promote, review, sign, verify

# Each is the first to ask for its version: what was read a moment ago is shown without asking.
PAGES = {
    "review": f"/review?model={MODEL}&version=3",
    "compare": f"/compare?model={MODEL}&versions=1,3",
    "explain": f"/explain?model={MODEL}&version=1",
    "predict": f"/predict?model={MODEL}&version=4",
}
CALM = "The registry does not answer."


@pytest.fixture(scope="module")
def folder(demo_desk, tmp_path_factory) -> Path:
    """What the demo has filled, with the registry for a server."""
    made = tmp_path_factory.mktemp("server_story")
    copy_behind_a_server(demo_desk, made / "mlflow", made / "desk")
    return made


@pytest.fixture(scope="module")
def server(folder) -> Iterator[MlflowServer]:
    running = MlflowServer(f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}", folder / "mlflow")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def url(server, serve, folder) -> str:
    """A desk on the server."""
    return serve(small_desk(folder / "desk", server.url))


@pytest.fixture
def tab(url, open_tab):
    page = open_tab(url)
    yield page
    page.close()


@only_in_soak
def test_the_story_over_http(tab):
    """Review, promote, history and verify work on a server as they do on a database."""
    open_page(tab, "/versions")
    expect(tab.get_by_test_id("glide-cell-1-0")).to_have_text("4")

    promote(tab, 2)
    find_in_history(tab)
    verify(tab)


def test_a_server_that_stops_in_the_middle_of_a_decision(server, tab):
    """The click is answered by one calm sentence; when the server is back, the same form decides."""
    review(tab, 3)
    # Who waits is compared: nothing that ends late draws the page anew when the server is away.
    expect(tab.get_by_text("Version 4 is better than this one")).to_be_visible()
    review(tab, 4)
    expect(tab.get_by_role("textbox", name="Reason")).to_be_visible()
    server.stop()
    sign(tab, 4)

    expect(tab.get_by_text(CALM).first).to_be_visible()
    picture(tab, "server-stopped")

    server.start()
    try_again(tab)
    sign(tab, 4)
    expect(tab.get_by_test_id("stToast")).to_contain_text("is applied")
    verify(tab)


@pytest.mark.parametrize("page", amount(["review"], soak=list(PAGES)))
def test_a_server_that_falls_silent(server, tab, page):
    """It takes the call and says nothing: the page gives up with one calm sentence, and "Try again" brings it back."""
    server.hold()
    try:
        open_page(tab, PAGES[page])
        expect(tab.get_by_text(CALM).first).to_be_visible()
        expect(tab.get_by_role("button", name="Try again").first).to_be_visible()
        expect(tab.get_by_test_id("stException")).to_have_count(0)
        picture(tab, f"server-silent-{page}")
    finally:
        server.release()

    try_again(tab)
    expect(tab.get_by_role("heading", level=1)).to_be_visible()


def try_again(tab: Page) -> None:
    """As a person would: more than once, because a server that has just not answered is left alone for a second.

    What the page still read when the server came back may have brought it back before the click. The button is looked
    for, not the sentence: the form tells that too, as why the decision was refused.
    """
    button = tab.get_by_role("button", name="Try again")
    for _ in range(20):
        with suppress(PlaywrightTimeout):
            button.first.click(timeout=10_000)
        with suppress(AssertionError):
            expect(button).to_have_count(0, timeout=10_000)  # a click ends what is still read
            tab.locator(IDLE).wait_for(state="attached")  # what it still reads, the next page would wait for
            return
    raise AssertionError("the page did not come back")
