"""Tracking servers of an older MLflow: everything is listed, and what they cannot do is said by their version."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from streamlit.testing.v1 import AppTest

from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.governance.errors import Unavailable
from pipeline.settings import ROOT
from support.forgotten import forget_everything
from support.registries import mlflow_server, model_files, write_files
from support.small_desk import small_desk

Call = Callable[..., tuple[int, Any, str]]
OLD = "2.14.3"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
HOME = Path(os.environ.get("TEST_OLD_MLFLOW") or CACHE / "signoff" / f"mlflow-{OLD}")  # as its script says
REASON = ("--reason", "Better than the champion in every class.")
FILL = "Fill with the demo"
VERSION = {
    "name": "m",
    "version": "1",
    "creation_timestamp": 1795872773089,
    "last_updated_timestamp": 1795872773089,
    "current_stage": "None",
    "description": "",
    "source": "mlflow-artifacts:/1/f55721766b3a4b77a0d3ec30a7b7a1ab/artifacts/model",
    "run_id": "f55721766b3a4b77a0d3ec30a7b7a1ab",
    "status": "READY",
    "run_link": "",
}
MODEL = {
    "name": "m",
    "creation_timestamp": 1795872772501,
    "last_updated_timestamp": 1795872785129,
    "description": "d",
    "latest_versions": [VERSION],
    "tags": [{"key": "team", "value": "blue"}],
    "aliases": [{"alias": "champion", "version": "1"}],
}
EMPTY = {"name": "no versions", "creation_timestamp": 1795872772578, "last_updated_timestamp": 1795872772578}
# What `mlflow server` 2.14.3 answered, by path; a search that filters by a tag which no model has finds nothing.
RECORDED = {
    "registered-models/search": {"registered_models": [MODEL, EMPTY]},
    "registered-models/get": {"registered_model": MODEL},
    "model-versions/search": {"model_versions": [VERSION]},
    "model-versions/get": {"model_version": VERSION},
}
UNLISTED = {**RECORDED, "registered-models/search": {}}


@contextmanager
def answering(version: str, answers: dict[str, Any]) -> Iterator[str]:
    """A server on loopback that gives recorded answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            filtered = "tag." in "".join(parse_qs(parts.query).get("filter", []))
            found = {} if filtered else answers.get(parts.path.removeprefix("/api/2.0/mlflow/"), {})
            body = version.encode() if parts.path == "/version" else json.dumps(found).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            """Nothing on the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_server_from_before_prompts_lists_its_models() -> None:
    """MLflow's own client finds none there: it asks for those without a tag that no model has."""
    with answering(OLD, RECORDED) as uri:
        found = MlflowRegistry(uri, experiment="e").models()

    assert [(each.name, each.versions, each.aliases) for each in found] == [
        ("m", 1, {"champion": 1}),
        ("no versions", 0, {}),
    ]


def test_a_model_that_only_its_versions_name_is_listed() -> None:
    """Whatever a server leaves out of its list of models."""
    with answering(OLD, UNLISTED) as uri:
        found = MlflowRegistry(uri, experiment="e").models()

    assert [(each.name, each.versions, each.tags) for each in found] == [("m", 1, {"team": "blue"})]


@pytest.mark.parametrize("listed", [True, False], ids=["listed", "unlisted"])
def test_the_demo_is_not_offered_there(listed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that has a version is not one to be filled with samples."""
    forget_everything()
    with answering(OLD, RECORDED if listed else UNLISTED) as uri:
        for name, value in small_desk(tmp_path, uri).items():
            monkeypatch.setenv(name, value)
        page = AppTest.from_file(ROOT / "dashboard" / "router.py", default_timeout=60).run()
    forget_everything()

    assert not page.exception
    assert FILL not in [each.label for each in page.button]
    assert any(each.value == "m" for each in [*page.subheader, *page.text, *page.header])


@pytest.mark.parametrize("version", ["2.8.1", "1.30.0", "4.0.0", "2.1.0.dev0"])
def test_a_server_that_is_not_supported_is_named(version: str) -> None:
    """By its number, with those that are."""
    with answering(version, RECORDED) as uri, pytest.raises(Unavailable) as refused:
        MlflowRegistry(uri, experiment="e").models()

    assert str(refused.value) == f"The registry's server runs MLflow {version}: Signoff reads those from 2.9 up to 3.x."


@pytest.mark.parametrize("version", ["2.9.0", "3.99.1", "<html>sign in</html>", "9" * 5000, ""])
def test_a_server_that_does_not_tell_is_asked_all_the_same(version: str) -> None:
    """A proxy in front of it may answer anything."""
    with answering(version, RECORDED) as uri:
        assert MlflowRegistry(uri, experiment="e").models()


def fill(uri: str, folder: Path) -> None:
    """Two versions as programs of that time made them: their files are the run's."""
    from mlflow import MlflowClient

    client = MlflowClient(uri, uri)
    experiment = client.create_experiment("old")
    client.create_registered_model("m", {"team": "blue"}, "Says yes.")
    for number, accuracy in enumerate((0.8, 0.9)):
        run = client.create_run(experiment)
        client.log_metric(run.info.run_id, "accuracy", accuracy)
        client.log_param(run.info.run_id, "depth", str(number))
        write_files(folder / str(number), model_files())
        client.log_artifacts(run.info.run_id, str(folder / str(number)), "model")
        source = (f"{run.info.artifact_uri}/model", f"runs:/{run.info.run_id}/model")[number]
        client.create_model_version("m", source, run_id=run.info.run_id, await_creation_for=0)
    client.set_registered_model_alias("m", "champion", "1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The real one, where `.ci/install-old-mlflow` could install it."""
    python = HOME / "bin" / "python"
    if not python.exists():
        pytest.skip(f"MLflow {OLD} is not installed; .ci/install-old-mlflow does that")
    folder = tmp_path_factory.mktemp("old")
    with mlflow_server(f"sqlite:///{folder / 'mlflow.db'}", folder, python=str(python)) as uri:
        fill(uri, folder)
        yield uri


@pytest.fixture
def verb(call: Call, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # put back afterwards
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")
    for name, value in small_desk(tmp_path, server).items():
        monkeypatch.setenv(name, value)
    return call


def test_the_real_one_is_read_and_decided_on(verb: Call, server: str) -> None:
    """Lists, figures, files, gates, a promotion, its record and a rollback."""
    assert [(each["name"], each["versions"]) for each in verb("models")[1]] == [("m", 2)]
    listed = [(each["version"], each["metrics"], each["params"]) for each in verb("versions", "m")[1]]
    assert listed == [(2, {"accuracy": 0.9}, {"depth": "1"}), (1, {"accuracy": 0.8}, {"depth": "0"})]
    shown = [verb("show", "m", version)[1] for version in (1, 2)]
    assert [[file["path"] for file in each["files"]] for each in shown] == [sorted(model_files())] * 2
    assert verb("best", "m", "--metric", "accuracy")[1]["version"] == 2
    assert verb("compare", "m", 1, 2)[0] == 0
    assert [gate["name"] for gate in verb("review", "m", 2, "--to", "Staging")[1]["gates"]]

    code, decision, said = verb("promote", "m", 2, "Staging", "--accept-warnings", *REASON)

    assert (code, said) == (0, "")
    assert (decision["version"], decision["to"]) == (2, "Staging")
    assert MlflowRegistry(server, experiment="e").state("m").stages[2].value == "Staging"
    assert verb("history", "m")[1][-1]["version"] == 2
    assert verb("verify")[1]["ok"] is True
    assert verb("reconcile")[1]["differences"] == []


@pytest.mark.parametrize("arguments", [("demo",), ("train", "--candidate", "logistic_regression")], ids=" ".join)
def test_training_names_what_the_real_one_lacks(verb: Call, arguments: tuple[str, ...]) -> None:
    """Logged models came with 3.0: nothing is trained for a server that cannot keep the result."""
    code, _, said = verb(*arguments)

    assert (code, f"server runs MLflow {OLD}: training registers logged models" in said) == (6, True)


@pytest.mark.parametrize("version", ["", "one", None])
def test_an_answer_that_is_not_mlflows_is_no_traceback(version: str | None) -> None:
    """Another program that answers with JSON, and a version without a number, are a registry that does not answer."""
    answers = {**RECORDED, "model-versions/get": {"model_version": {**VERSION, "version": version}}}
    with answering(OLD, answers) as uri, pytest.raises(Unavailable, match="does not answer as MLflow does"):
        MlflowRegistry(uri, experiment="e").version("m", 1)
