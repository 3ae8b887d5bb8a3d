"""The command line on a real `mlflow server`, and on one that is not there."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.governance.errors import Unavailable
from pipeline.settings import read_settings
from pipeline.training.registry_store import RETRIES, TIMEOUT, TRANSFER_SECONDS, registry_errors, transferring
from support.ports import nobody_listens
from support.registries import Filler, copy_store, mlflow_server
from support.small_desk import small_desk

MODEL = "obesity_classifier"
REASON = "Better than the champion in every class."
Verb = Callable[..., tuple[int, Any, str]]


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
        for name, value in small_desk(folder, registry).items():
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


def test_training_opens_a_server_with_calm_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No repeated requests and a short time limit, unless the environment says otherwise."""
    from mlflow.exceptions import MlflowException

    from pipeline.training.registry_store import open_registry

    monkeypatch.setenv(TIMEOUT, "30")
    monkeypatch.setenv(RETRIES, "")
    monkeypatch.delenv(RETRIES)

    with nobody_listens() as port, pytest.raises(MlflowException):
        open_registry(f"http://127.0.0.1:{port}")

    assert (os.environ[RETRIES], os.environ[TIMEOUT]) == ("0", "30")


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


def test_other_errors_keep_their_first_line() -> None:
    """What the registry says about a request is passed on."""
    from mlflow.exceptions import MlflowException

    with pytest.raises(Unavailable, match="does not do it: no space left"), registry_errors():
        raise MlflowException("no space left\ntraceback")
