"""An opened decision on a real registry: what was seen then stays, whatever became of the version since."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from streamlit.testing.v1 import AppTest

from pipeline import bootstrap
from pipeline.adapters.mlflow.environment import process_address
from pipeline.governance.service import GovernanceService
from pipeline.settings import read_settings
from support.desks import MODEL
from support.registries import relocate
from support.seen import badges, frame, texts
from support.small_desk import small_desk

Open = Callable[..., AppTest]


@pytest.fixture
def real(demo_desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GovernanceService:
    """The desk that the demo filled, with databases of its own; the models' files are shared and not written to."""
    for name in ("mlflow.db", "ledger.db", "ledger.checkpoints.jsonl"):
        shutil.copy(demo_desk / name, tmp_path)
    relocate(tmp_path / "mlflow.db", demo_desk / "mlflow.db", tmp_path / "mlflow.db")
    for name, value in small_desk(tmp_path, f"sqlite:///{tmp_path / 'mlflow.db'}").items():
        monkeypatch.setenv(name, value)
    return bootstrap.desk(read_settings())


@pytest.fixture
def client(real: GovernanceService, tmp_path: Path) -> MlflowClient:
    """Somebody who works past the desk."""
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    return MlflowClient(address, address)


def decision(desk: GovernanceService) -> tuple[int, int]:
    """Number and version of the last decision with evidence."""
    found = next(each for each in desk.history(MODEL)[::-1] if each.evidence and each.version)
    return found.number, int(str(found.version))


def changed(app: AppTest) -> dict[str, tuple[str, str]]:
    """What is different now, by fact: then and now."""
    table = frame(app, "Now")
    return {row["Fact"]: (row["Then"], row["Now"]) for row in table.to_dict("records")}


def test_after_the_run_was_deleted(real: GovernanceService, client: MlflowClient, open_page: Open) -> None:
    """It is said first that the run is gone; everything that was seen then is still there."""
    number, version = decision(real)
    client.delete_run(str(real.version(MODEL, version).row.run_id))
    app = open_page(real, "history", model=MODEL, event=str(number))

    assert not app.exception
    assert "deleted" in changed(app)["missing in the registry"][1]
    assert frame(app, "Now")["Fact"].tolist()[0] != "stage"
    assert any("The files are those of the decision" in each for each in badges(app))


def test_after_metrics_were_edited(real: GovernanceService, client: MlflowClient, open_page: Open) -> None:
    """The figure of then beside the one of now, before what the decision itself changed."""
    number, version = decision(real)
    record = real.version(MODEL, version)
    before = record.row.metrics["accuracy"]
    client.log_metric(str(record.row.run_id), "accuracy", 0.999, model_id=record.model_id)
    app = open_page(real, "history", model=MODEL, event=str(number))

    assert not app.exception
    assert changed(app)["Accuracy"] == (f"{before:.4f}", "0.9990")
    assert frame(app, "Now")["Fact"].tolist()[0] == "Accuracy"


def test_after_the_model_was_deleted(real: GovernanceService, client: MlflowClient, open_page: Open) -> None:
    """What the approver saw, with nothing beside it; the pack is the same as before."""
    number, _ = decision(real)
    client.delete_registered_model(MODEL)
    app = open_page(real, "history", model=MODEL, event=str(number))

    assert not app.exception
    assert "This is what the approver saw, with nothing beside it." in texts(app)
    assert "Now" not in frame(app, "Then")
    assert len(frame(app, "Then")) > 20


def test_after_the_model_was_registered_anew(real: GovernanceService, client: MlflowClient, open_page: Open) -> None:
    """The same number, files and run are not the same version, and the page says so."""
    number, version = decision(real)
    source = client.get_model_version(MODEL, str(version)).source
    client.delete_registered_model(MODEL)
    client.create_registered_model(MODEL)
    with process_address(client.tracking_uri):  # a source is looked up there, whatever the client says
        for _ in range(version):
            client.create_model_version(MODEL, str(source))
    app = open_page(real, "history", model=MODEL, event=str(number))

    assert not app.exception
    assert "It is another version: this decision says nothing about it." in texts(app)
    assert any("The files are those of the decision" in each for each in badges(app))
    assert frame(app, "Then")["Fact"].tolist()[0] == "registered"
    assert "Another version now" in frame(app, "Then")
    assert not any("Now" in each.value for each in app.dataframe)
