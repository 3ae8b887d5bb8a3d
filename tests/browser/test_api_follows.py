"""The dashboard beside the API on one desk: a promotion is followed, and neither leaves a model's files behind."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import expect

from support.api_server import Api, Callers, serving
from support.real_server import ROOT, dashboard, open_page
from support.small_desk import copy_desk
from support.story import MODEL, promote

COLUMNS = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))["schema"]["columns"]
ROW = {name: column["default"] for name, column in COLUMNS.items()}


@pytest.fixture(scope="module")
def environment(demo_desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return copy_desk(demo_desk, tmp_path_factory.mktemp("followed"))


@pytest.fixture
def api(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    log = tmp_path_factory.mktemp("api") / "api.log"
    with serving(environment, log) as found:
        yield found
    assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")


def test_the_api_follows_a_promotion_in_the_browser(serve, environment, open_tab, api):
    """No call fails; each answer names a version that was champion, the old one first, with one digest each."""
    before = api.until("status", "ready")["version"]
    after = before + 1  # where this is tried again, the first try may have moved it
    tab = open_tab(serve(environment))
    with Callers(api.port, ROW, pause=0.1).asking(2) as callers:
        callers.wait_for(10)
        promote(tab, after)
        api.until("version", after)
        callers.wait_for(10)
    tab.close()

    assert callers.lost == []
    for answers in callers.answers:
        assert {status for status, _ in answers} == {200}
        assert [content["model"] for _, content in answers] == [MODEL] * len(answers)
        versions = [content["version"] for _, content in answers]
        assert versions == sorted(versions)
        assert set(versions) == {before, after}
        assert len({(content["version"], content["digest"]) for _, content in answers}) == 2


def test_no_copy_of_a_model_stays_when_the_servers_end(environment, open_tab, tmp_path):
    """A signal ends them; what they loaded, and the folders of their workers, are gone."""
    copies = tmp_path / "tmp"
    copies.mkdir()
    there = {**environment, "TMPDIR": str(copies)}
    with dashboard(tmp_path / "dashboard.log", there) as url:
        tab = open_tab(url)
        open_page(tab, f"/predict?model={MODEL}")
        tab.get_by_role("button", name="Predict", exact=True).click()
        expect(tab.get_by_text("From the files")).to_be_visible()
        tab.close()
        assert list(copies.glob("signoff-*"))
    with serving(there, tmp_path / "api.log") as api:
        assert api.ask("POST", "/predict", ROW)[0] == 200
        api.process.terminate()
        api.process.wait(120)

    assert not list(copies.glob("signoff-*"))
