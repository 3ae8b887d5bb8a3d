"""A registry of MLflow 2.8 after its owner's upgrade, or migration of a folder: read, decided on; pickles refused."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.old_folder import old_folder
from support.registries import OLD_MODEL, Filler, old_store, write_files
from support.small_desk import small_desk

Call = Callable[..., tuple[int, Any, str]]
REASON = ("--accept-warnings", "--reason", "Better than the champion in every class.")
MLMODEL = """artifact_path: model
flavors:
  python_function:
    env: {conda: conda.yaml, virtualenv: python_env.yaml}
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: predict
    python_version: 3.10.13
  sklearn:
    code: null
    pickled_model: model.pkl
    serialization_format: cloudpickle
    sklearn_version: 1.3.2
mlflow_version: 2.8.1
model_uuid: 0a1b2c3d4e5f
signature:
  inputs: '[{"type": "double", "name": "months"}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "int64", "shape": [-1]}}]'
utc_time_created: '2023-11-03 08:26:42.000000'
"""


FILES = {"MLmodel": MLMODEL.encode(), "model.pkl": pickle.dumps({"not": "a model"}), "conda.yaml": b"name: e\n"}
RUNS = [f"{run:0>32}" for run in ("a1", "a2", "a3", "a4")]


@pytest.fixture(scope="module", params=["database", "folder"])
def upgraded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Brought to this MLflow by its own commands, as its owner would."""
    folder = tmp_path_factory.mktemp("theirs")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    if request.param == "database":
        old_store(folder)
        artifacts, command = folder / "artifacts", ["db", "upgrade", uri]
    else:
        source = old_folder(folder)
        artifacts, command = source / "1", ["migrate-filestore", "--source", str(source), "--target", uri]
    for run in RUNS:
        write_files(artifacts / run / "artifacts" / "model", FILES)
    subprocess.run([sys.executable, "-m", "mlflow", *command], check=True, capture_output=True, timeout=300)
    return uri


def test_it_is_read_and_decided_on(upgraded: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listed with figures and files by each kind of source, promoted, rolled back; a prediction names why not."""
    for name, value in small_desk(tmp_path, upgraded).items():
        monkeypatch.setenv(name, value)
    assert [(each["name"], each["versions"], each["champion"]) for each in call("models")[1]] == [(OLD_MODEL, 4, 2)]
    rows = {each["version"]: each for each in call("versions", OLD_MODEL)[1]}
    assert [rows[number]["metrics"]["accuracy"] for number in (1, 2, 3, 4)] == [0.71, 0.84, 0.88, 0.86]
    assert [rows[number]["stage"] for number in (1, 2, 3, 4)] == ["Archived", "Production", "Staging", "None"]
    for number in (1, 2, 3, 4):
        shown = call("show", OLD_MODEL, number)[1]
        assert [file["path"] for file in shown["files"]] == ["MLmodel", "conda.yaml", "model.pkl"]
        assert shown["params"] == {"max_depth": str(number + 1)}
    assert [gate["name"] for gate in call("review", OLD_MODEL, 4, "--to", "Staging")[1]["gates"]]

    code, _, said = call("predict", OLD_MODEL, "--row", json.dumps({"months": 3.0}))
    assert (code, "not saved with skops" in said) == (3, True)
    code, decision, said = call("promote", OLD_MODEL, 4, "Staging", *REASON)
    assert (code, said, decision["version"]) == (0, "", 4)
    assert call("alias", OLD_MODEL, "challenger", 4, *REASON)[0] == 0
    assert Filler(upgraded).client.get_model_version(OLD_MODEL, "4").current_stage == "Staging"
    assert call("promote", OLD_MODEL, 4, "Production", *REASON)[0] == 0
    assert call("models")[1][0]["champion"] == 4
    assert call("rollback", OLD_MODEL, *REASON)[0] == 0
    assert call("models")[1][0]["champion"] == 2
    assert call("verify")[1]["ok"] is True
