"""The real pages over a desk in memory. AppTest runs them in this process, without a server and a browser."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from streamlit import config
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from pipeline import bootstrap
from pipeline.governance.lifecycle import Stage
from pipeline.governance.service import GovernanceService
from pipeline.serving.scorer import Scorer
from pipeline.serving.trust import LoadingPolicy
from pipeline.serving.worker.client import Worker
from support.desks import GRACE, MODEL, REASON, build_desk
from support.forgotten import forget_everything

ROUTER = Path(__file__).resolve().parents[2] / "dashboard" / "router.py"
Open = Callable[..., AppTest]
ScoreWith = Callable[..., None]
# Each AppTest would look through the metadata of all installed packages for components, for a quarter of a second.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


@pytest.fixture(autouse=True)
def fresh_caches(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What one test has read, another does not see; the server listens on this machine only."""
    monkeypatch.setenv("SIGNOFF_ACTOR", "grace")
    before = config.get_option("server.address")
    config.set_option("server.address", "127.0.0.1")
    forget_everything()
    yield
    forget_everything()
    config.set_option("server.address", before)


@pytest.fixture
def desk() -> GovernanceService:
    """Three good versions: 1 is champion, 2 waits in Staging, 3 is new."""
    service = build_desk()
    for version, stage in ((1, Stage.STAGING), (1, Stage.PRODUCTION), (2, Stage.STAGING)):
        service.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)
    return service


@pytest.fixture
def open_page(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens a page of a desk at an address, as a new visitor."""

    def open_at(service: GovernanceService, page: str = "", **query: str) -> AppTest:
        monkeypatch.setattr(bootstrap, "own_desk", lambda _settings=None: service)
        app = AppTest.from_file(ROUTER, default_timeout=30)
        if page:
            app.run()
            app.switch_page(f"{page}/page.py")
        for name, value in query.items():
            app.query_params[name] = value
        return app.run()

    return open_at


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """See explained_desk.all_models."""
    from support.explained_desk import all_models

    return all_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    found = Worker(memory_megabytes=4096)
    yield found
    found.stop()


@pytest.fixture
def score_with(monkeypatch: pytest.MonkeyPatch) -> ScoreWith:
    """Which worker the pages ask, and under which policy."""
    from support.explained_desk import POLICY

    def use(worker: Worker, policy: LoadingPolicy = POLICY) -> None:
        monkeypatch.setattr(bootstrap, "scorer", lambda _settings, given: Scorer(given, worker, policy))

    return use
