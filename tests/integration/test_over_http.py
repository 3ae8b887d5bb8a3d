"""The command line on a real `mlflow server`, and on one that is not there."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.mlflow.environment import RETRIES, TIMEOUT, TRANSFER_SECONDS, transferring
from pipeline.settings import ROOT, read_settings
from support.ports import nobody_listens
from support.registries import Filler, copy_store, mlflow_server
from support.small_desk import small_desk, small_params

MODEL = "obesity_classifier"
REASON = "Better than the champion in every class."
Verb = Callable[..., tuple[int, Any, str]]
CONTENT = small_params({name: small_params()["candidates"][name] for name in ("logistic_regression", "extra_trees")})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    behind = tmp_path_factory.mktemp("mlflow")
    with mlflow_server(copy_store(template, behind), behind) as url:
        yield url


@pytest.fixture
def verb(call: Verb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: Path) -> Verb:
    """Gives (exit code, parsed output or None, standard error) of a verb on a registry."""
    monkeypatch.setenv(RETRIES, "0")  # put back afterwards: the first call to a server sets them for its process
    monkeypatch.setenv(TIMEOUT, "5")

    def call_on(registry: str, *arguments: Any) -> tuple[int, Any, str]:
        for name, value in small_desk(folder, registry, CONTENT).items():
            monkeypatch.setenv(name, value)
        capsys.readouterr()
        return call(*arguments)

    return call_on


@pytest.fixture
def row() -> str:
    columns = read_settings(environ={}).schema_.columns
    return json.dumps({name: column.default for name, column in columns.items()})


def test_every_step_of_the_flow(verb: Verb, server: str, folder: Path, row: str) -> None:
    """Fill, train again, promote, predict, score, explain, roll back, reconcile and verify work through the server."""
    assert verb(server, "demo")[1]["champion"] == 1
    _, trained, _ = verb(server, "train", "--candidate", "logistic_regression")
    assert [each["new"] for each in trained["registered"]] == [False]
    _, decision, _ = verb(server, "promote", MODEL, 2, "Production", "--accept-warnings", "--reason", REASON)
    assert decision["version"] == 2

    _, predicted, _ = verb(server, "predict", MODEL, "--row", row)
    _, explained, _ = verb(server, "explain", MODEL, 2, "--row", row)
    assert (predicted["version"], len(predicted["digest"])) == (2, 64)
    assert explained["sum_error"] < 1e-9
    table = folder / "in.csv"
    values = json.loads(row)
    table.write_text(f"{','.join(values)}\n{','.join(map(str, values.values()))}\n")
    assert verb(server, "score", MODEL, table, folder / "out.csv")[0] == 0
    assert predicted["prediction"] in (folder / "out.csv").read_text()

    assert verb(server, "rollback", MODEL, "--accept-warnings", "--reason", REASON)[0] == 0
    Filler(server).client.set_registered_model_alias(MODEL, "champion", "2")
    assert verb(server, "verify")[0] == 7
    assert verb(server, "reconcile", MODEL, "--revert", "--reason", REASON)[1]["differences"] == []
    assert verb(server, "verify")[1] == {"ok": True, "problems": []}


@pytest.mark.parametrize("arguments", [["demo"], ["train"], ["models"], ["verify"], ["reconcile"]], ids=" ".join)
def test_a_server_that_is_not_there(verb: Verb, arguments: list[str]) -> None:
    """Each verb says so and ends; with MLflow's own settings it would take four minutes. The password is not shown."""
    with nobody_listens() as port:
        code, _, said = verb(f"http://user:hunter2@127.0.0.1:{port}", *arguments)

    assert (code, said) == (6, "Unavailable: The registry does not answer.\n")


def test_mlflow_is_told_not_to_repeat_itself() -> None:
    """No repeated requests, a short time limit and no telemetry, unless the environment says otherwise."""
    script = "import os, sys, pipeline.adapters.mlflow.errors; print(os.environ, 'mlflow' in sys.modules)"
    environment = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), TIMEOUT: "30"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True, cwd=ROOT
    )

    assert f"'{RETRIES}': '0'" in done.stdout
    assert f"'{TIMEOUT}': '30'" in done.stdout
    assert "'MLFLOW_DISABLE_TELEMETRY': 'true'" in done.stdout
    assert done.stdout.endswith(" False\n")


@pytest.mark.parametrize(("before", "during"), [(None, TRANSFER_SECONDS), ("5", TRANSFER_SECONDS), ("600", 600)])
def test_model_files_get_more_time(monkeypatch: pytest.MonkeyPatch, before: str | None, during: int) -> None:
    """As long as a file is on its way the time limit of a request is at least two minutes; then it is what it was."""
    monkeypatch.setenv(TIMEOUT, "")
    monkeypatch.delenv(TIMEOUT)
    if before is not None:
        monkeypatch.setenv(TIMEOUT, before)

    with transferring():
        assert os.environ[TIMEOUT] == str(during)

    assert os.environ.get(TIMEOUT) == before
