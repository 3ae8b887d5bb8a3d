"""A registry and a ledger that version 0.1 left open, verify, serve and take decisions."""

import json
import sqlite3
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient

from pipeline.settings import ROOT

KEPT = ROOT / "tests" / "release_0_1"
MODEL = "obesity_classifier"
REASON = "Better than the champion in every class."
DECIDED = ["decided", "applied"]
TYPES = [
    *("baseline", *DECIDED, *DECIDED, "denied", *DECIDED, *DECIDED, *DECIDED, "denied", *DECIDED),
    *("out_of_band", "adopted", "out_of_band", "denied", "decided", "reverted"),
]
ROW = {"Age": 30, "Height": 1.8, "Weight": 60, "FAVC": "no"}


def restored(folder: Path) -> Mapping[str, str]:
    """The environment of a desk on what was kept, in a folder of its own."""
    for name in ("mlflow", "ledger"):
        text = (KEPT / f"{name}.sql").read_text(encoding="utf-8")
        with closing(sqlite3.connect(folder / f"{name}.db")) as database:
            database.executescript(text.replace("FOLDER", str(folder)))
    (folder / "ledger.checkpoints.jsonl").write_bytes((KEPT / "ledger.checkpoints.jsonl").read_bytes())
    params = yaml.safe_load((KEPT / "params.yaml").read_text(encoding="utf-8"))
    params["serving"] |= {"smoke_seconds": 200, "predict_seconds": 200}  # however busy the machine is
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    with zipfile.ZipFile(KEPT / "models.zip") as archive:
        archive.extractall(folder)
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "SIGNOFF_LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "SIGNOFF_PARAMS": str(folder / "params.yaml"),
        "SIGNOFF_ACTOR": "ada",
    }


class Desk:
    """Runs a verb; gives what it printed as JSON."""

    def __init__(self, folder: Path, address: str, call: Callable[..., tuple[int, Any, str]]) -> None:
        self.folder, self.address, self._call = folder, address, call

    def __call__(self, *arguments: Any) -> Any:
        code, found, said = self._call(*arguments)
        assert code == 0, said
        return found

    def events(self) -> list[tuple[str, str, str]]:
        """Hash, body and type of each event as stored."""
        with closing(sqlite3.connect(self.folder / "ledger.db")) as database:
            return database.execute("SELECT hash, body, type FROM ledger_event ORDER BY sequence").fetchall()


@pytest.fixture
def desk(tmp_path: Path, call: Callable[..., tuple[int, Any, str]], monkeypatch: pytest.MonkeyPatch) -> Desk:
    environment = restored(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Desk(tmp_path, environment["MLFLOW_TRACKING_URI"], call)


def test_what_was_kept_is_small() -> None:
    """A repository is no place for models."""
    assert sum(file.stat().st_size for file in KEPT.iterdir() if file.is_file()) < 200_000


def test_it_opens_and_verifies(desk: Desk) -> None:
    """The chain is whole, registry and files are as recorded, and each event has its name of today."""
    verified = desk("verify")
    history = desk("history", MODEL)
    first, second = desk("show", MODEL, 1), desk("show", MODEL, 2)

    assert verified["problems"] == []
    assert [event["type"] for event in history] == TYPES
    assert (first["stage"], first["aliases"], second["stage"]) == ("Production", ["champion"], "Archived")


def test_it_goes_on(desk: Desk) -> None:
    """Prediction, review, decisions, a change by another way; the events of before stay as they were."""
    before = desk.events()
    assert desk("predict", MODEL, "--row", json.dumps(ROW))["prediction"] == "Normal_Weight"
    review = desk("review", MODEL, 2, "--to", "Staging")
    desk("promote", MODEL, 2, "Staging", "--reason", REASON, "--expect", review["state"], "--accept-warnings")
    desk("alias", MODEL, "champion", 2, "--reason", REASON, "--accept-warnings")
    desk("rollback", MODEL, "--reason", REASON, "--accept-warnings")
    MlflowClient(desk.address, desk.address).delete_registered_model_alias(MODEL, "nightly")
    desk("reconcile", MODEL, "--adopt", "--reason", REASON)
    after = desk.events()

    assert desk("verify")["problems"] == []
    assert after[: len(before)] == before
    assert [kind for _, _, kind in after[len(before) :]] == [*(DECIDED * 3), "out_of_band", "adopted"]
