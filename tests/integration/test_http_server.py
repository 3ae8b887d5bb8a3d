"""The API as it runs: a real server, real workers, a real MLflow registry."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipeline.bootstrap import desk
from pipeline.cli import run
from pipeline.governance.actor import Role
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import EventType
from pipeline.governance.service import GovernanceService
from pipeline.settings import ROOT, read_settings
from support import registries
from support.api_server import Api, Callers, serving
from support.desks import GRACE, MODEL, REASON
from support.hostile_models import fitted, rows, save
from support.soak import amount

ROW: dict[str, object] = {"Age": 30, "Weight": 82.5, "Gender": "Male", "CAEC": "no"}
SCHEMA = {
    "columns": {
        "Age": {"type": "number", "unit": "years", "minimum": 10, "maximum": 100, "default": 24},
        "Weight": {"type": "number", "unit": "kg", "minimum": 25, "maximum": 260, "default": 80},
        "Gender": {"type": "category", "categories": ["Female", "Male"], "default": "Female"},
        "CAEC": {"type": "category", "categories": ["no", "Sometimes", "Always"], "default": "no"},
    }
}
OF_THE_DESK = ["--config-file", str(ROOT / "tests" / "support" / "desk_schemathesis.toml")]  # of schemathesis
BEING_COMPILED = "answered by the original: it is being compiled"
PAUSE = amount(0.02, soak=0)  # seconds, of callers between two questions: without one they take all the processor
KINDS = ("random_forest", "logistic_regression", "random_forest")


@dataclass
class Place:
    """A registry with three versions, of which the first is the recorded champion, and its ledger."""

    environment: dict[str, str]
    filler: registries.Filler
    service: GovernanceService

    def promote(self, version: int) -> None:
        for stage in (Stage.STAGING, Stage.PRODUCTION):
            self.service.promote(MODEL, version, stage, reason=REASON, actor=GRACE, accept_warnings=True)

    def digest(self, version: int) -> str:
        return str(self.service.show(MODEL, version).file_digest)

    def in_turn(self) -> tuple[int, int, int]:
        """The champion and the versions that come after it, as in a ring."""
        champion = self.service.state(MODEL).aliases["champion"]
        return champion, champion % 3 + 1, (champion + 1) % 3 + 1

    def alarms(self) -> list[Entry]:
        return [each for each in self.service.history(MODEL) if each.type is EventType.TAMPERING]

    @property
    def database(self) -> Path:
        return Path(self.environment["MLFLOW_TRACKING_URI"].removeprefix("sqlite:///"))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    place = tmp_path_factory.mktemp("models")
    found = {}
    for name in set(KINDS):
        folder = save(fitted(name), place / name)
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        found[name] = {**files, "signoff/feature_schema.json": json.dumps(SCHEMA).encode()}
    return found


def params(folder: Path, workers: int) -> Path:
    """As they are, but looking often, and with so many worker processes."""
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    content["serving"]["workers"] = workers
    content["serving"]["http"]["poll_seconds"] = 0.2
    content["serving"]["http"]["request_seconds"] = 100  # a worker may have to start anew on a busy machine
    (folder / "params.yaml").write_text(yaml.safe_dump(content))
    return folder / "params.yaml"


def filled(uri: str, folder: Path, models: dict[str, dict[str, bytes]], *, workers: int = 1) -> Place:
    filler = registries.Filler(uri)
    filler.add_model(MODEL)
    for number, name in enumerate(KINDS, start=1):
        filler.add_version(MODEL, files={**models[name], "signoff/number.json": str(number).encode()})
    filler.client.set_registered_model_alias(MODEL, "champion", "1")
    environment = {
        "MLFLOW_TRACKING_URI": uri,
        "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
        "SIGNOFF_PARAMS": str(params(folder, workers)),
    }
    service = desk(read_settings(environ=environment))
    service.take_over()
    return Place(environment, filler, service)


@pytest.fixture
def place(tmp_path: Path, template: Path, models: dict[str, dict[str, bytes]]) -> Place:
    return filled(registries.copy_store(template, tmp_path), tmp_path, models)


@pytest.fixture(scope="module")
def moving(template: Path, models: dict[str, dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """For the tests that change the champion: each begins with one that is recorded and served, and ends with one."""
    folder = tmp_path_factory.mktemp("moving")
    return filled(registries.copy_store(template, folder), folder, models)


@pytest.fixture(scope="module")
def moving_api(moving: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    log = tmp_path_factory.mktemp("moving_api") / "api.log"
    with serving(moving.environment, log) as found:
        yield found
    assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")


@pytest.fixture(scope="module")
def steady(template: Path, models: dict[str, dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory) -> Place:
    """For the tests that change nothing in it; it has one server with two workers."""
    folder = tmp_path_factory.mktemp("steady")
    return filled(registries.copy_store(template, folder), folder, models, workers=2)


@pytest.fixture(scope="module")
def steady_api(steady: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    log = tmp_path_factory.mktemp("steady_api") / "api.log"
    with serving(steady.environment, log) as found:
        yield found
    assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")


def test_champions_change_under_load(moving: Place, moving_api: Api) -> None:
    """No request fails; each caller sees the versions in the order in which they became champion, with the digests of
    the ledger: not before a version was champion, not after its successor was followed.
    """
    before, second, third = moving.in_turn()
    followed = []
    with Callers(moving_api.port, ROW, PAUSE).asking() as callers:
        callers.wait_for(20)
        for version in (second, third):
            moving.promote(version)
            followed.append(until_it_serves(moving_api, version))
            callers.wait_for(20)
        moving.service.rollback(MODEL, reason=REASON, actor=GRACE)
        followed.append(until_it_serves(moving_api, second))
        callers.wait_for(20)
    in_order = [before, second, third, second]
    digests = {version: moving.digest(version) for version in in_order}
    assert callers.lost == []
    for answers in callers.answers:
        assert {status for status, _ in answers} == {200}
        assert [version for version, _ in groupby(answer["version"] for _, answer in answers)] == in_order
        assert all(answer["digest"] == digests[answer["version"]] for _, answer in answers)

    periods, events = moving.service.champions(MODEL), {each.sequence: each for each in moving.service.history(MODEL)}
    recorded = [events[period.sequence].content["subject"]["file_digest"] for period in periods]
    spells = list(zip(recorded, periods, [*followed, datetime.max.replace(tzinfo=UTC)], strict=True))
    assert [period.version for period in periods] == in_order
    for answers, times in zip(callers.answers, callers.times, strict=True):
        for (_, answer), (asked, answered) in zip(answers, times, strict=True):
            digest = answer["digest"]
            held = [each == digest and period.start <= answered and asked <= until for each, period, until in spells]
            assert any(held), (digest, asked, answered)


def until_it_serves(api: Api, version: int) -> datetime:
    """The time at which the server has said that it does."""
    api.until("version", version)
    return datetime.now(UTC)


def test_a_tampered_champion_is_not_loaded(moving: Place, moving_api: Api) -> None:
    """The last good one goes on, degraded with the reason, until an honest one follows."""
    before, tampered, honest = moving.in_turn()
    with moving_api.asleep(moving.database):
        moving.promote(tampered)
        path = moving.filler.files_of(MODEL, tampered) / "signoff" / "number.json"
        path.write_bytes(b"22")
    content = moving_api.until("degraded", True)
    assert (content["status"], content["version"]) == ("degraded", before)
    assert "its files have the fingerprint" in content["reason"]
    status, answer = moving_api.ask("POST", "/predict", ROW)
    assert (status, answer["version"]) == (200, before)
    moving.promote(honest)
    assert moving_api.until("degraded", False)["version"] == honest


def test_an_alias_that_was_moved_past_the_ledger(moving: Place, moving_api: Api) -> None:
    """Is not followed, and the reason says what to do."""
    before, other, _ = moving.in_turn()
    moving.filler.client.set_registered_model_alias(MODEL, "champion", str(other))
    content = moving_api.until("degraded", True)
    assert content["version"] == before
    assert "accept or undo it on History" in content["reason"]
    assert moving_api.ask("POST", "/predict", ROW)[1]["version"] == before
    moving.filler.client.set_registered_model_alias(MODEL, "champion", str(before))
    assert moving_api.until("degraded", False)["version"] == before


def test_a_hostile_description_does_not_end_it(moving: Place, moving_api: Api) -> None:
    """Written over the champion's: the last good one goes on, degraded, and each look at other bytes is an alarm."""
    before, *_ = moving.in_turn()
    path = moving.filler.files_of(MODEL, before) / "MLmodel"
    honest, seen, reason = path.read_bytes(), len(moving.alarms()), ""
    for content in registries.HOSTILE_MLMODELS.values():
        with moving_api.asleep(moving.database):
            path.write_bytes(content)
        found = moving_api.until_other("reason", reason)
        reason = found["reason"]
        assert (found["status"], found["version"]) == ("degraded", before)
        assert "its files have the fingerprint" in reason
        status, answer = moving_api.ask("POST", "/predict", ROW)
        assert (status, answer["version"]) == (200, before)
    assert moving_api.process.poll() is None
    assert len(moving.alarms()) - seen == len(registries.HOSTILE_MLMODELS)
    path.write_bytes(honest)
    assert moving_api.until("degraded", False)["version"] == before


def test_a_worker_that_is_killed_costs_no_request(steady_api: Api) -> None:
    """Another takes its place, and the counter says so."""
    with Callers(steady_api.port, ROW, PAUSE).asking() as callers:
        callers.wait_for(10)
        for pid in steady_api.workers:
            os.kill(pid, signal.SIGKILL)
        callers.wait_for(30)
    assert callers.lost == []
    assert {status for answers in callers.answers for status, _ in answers} == {200}


def test_a_compiled_champion(tmp_path: Path, template: Path, models: dict[str, dict[str, bytes]]) -> None:
    """Where the fork server is killed, its workers go on and others start; then the API says on how many rows both are
    equal, and answers the same, also when its workers are killed.
    """
    champion = {**models[KINDS[0]], "signoff/evaluation_rows.parquet": evaluated(KINDS[0])}
    place = filled(registries.copy_store(template, tmp_path), tmp_path, {**models, KINDS[0]: champion})
    truth = fitted(KINDS[0]).predict_proba(pd.DataFrame([ROW]))[0].tolist()
    log = tmp_path / "api.log"
    with serving(place.environment, log) as api:
        workers = api.workers  # the one that answers, and maybe the one that compiles
        for each in api.fork_servers:
            each.kill()
        answers = [api.ask("POST", "/predict", ROW)[1]]
        compiled = api.until_other("compiled", BEING_COMPILED)["compiled"]
        assert re.fullmatch(r"compiled, equal on 121 rows and \d+ at split thresholds, largest .* \de-\d+", compiled)
        assert api.ask("GET", "/model_info")[1]["compiled"] == compiled
        answers.append(api.ask("POST", "/predict", ROW)[1])
        for pid in {*workers, *api.workers}:
            with suppress(ProcessLookupError):  # the one that has compiled
                os.kill(pid, signal.SIGKILL)
        answers += [api.ask("POST", "/predict", ROW)[1] for _ in range(2)]
    assert [each.get("version", each) for each in answers] == [1] * 4
    assert [list(each["probabilities"].values()) for each in answers] == [pytest.approx(truth, abs=1e-6)] * 4
    assert "Traceback" not in log.read_text(errors="replace")


def evaluated(name: str) -> bytes:
    """Rows that were predicted, as training stores them with a version."""
    inputs, truth = rows()
    model = fitted(name)
    probabilities = model.predict_proba(inputs).T
    chances = {f"probability_{each}": column for each, column in zip(model.classes_, probabilities, strict=True)}
    frame = inputs.assign(actual=truth, predicted=model.predict(inputs), **chances)
    return bytes(frame.to_parquet(index=False))


def test_it_goes_on_without_mlflow(tmp_path: Path, template: Path, models: dict[str, dict[str, bytes]]) -> None:
    """Also when its worker has to start anew: the private copy of the champion is on disk."""
    database = registries.copy_store(template, tmp_path)
    with registries.mlflow_server(database, tmp_path) as url:
        place = filled(url, tmp_path, models)
        server = serving(place.environment, tmp_path / "api.log")
        api = server.__enter__()
    try:
        assert api.until("degraded", True)["status"] == "degraded"
        for pid in api.workers:
            os.kill(pid, signal.SIGKILL)
        status, answer = api.ask("POST", "/predict", ROW)
        assert (status, answer["version"]) == (200, 1)
    finally:
        server.__exit__(None, None, None)


def test_sigterm_under_load_loses_nothing(moving: Place, tmp_path: Path) -> None:
    """What was accepted is answered, the process ends, and leaves no copy of a model behind."""
    (tmp_path / "tmp").mkdir()
    environment = {**moving.environment, "TMPDIR": str(tmp_path / "tmp")}
    with serving(environment, tmp_path / "api.log") as api, Callers(api.port, ROW).asking(8) as callers:
        callers.wait_for(40)
        api.process.send_signal(signal.SIGTERM)
        assert api.process.wait(120) == 0
        assert callers.lost == []
        assert {status for answers in callers.answers for status, _ in answers} == {200}
        assert list((tmp_path / "tmp").iterdir()) == []


def test_a_port_that_is_taken(steady: Place, steady_api: Api) -> None:
    """Exit code 6 and a sentence, no traceback."""
    started = subprocess.run(
        [sys.executable, "-m", "pipeline", "serve", "--port", str(steady_api.port)],
        env={**os.environ, **steady.environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=ROOT,
    )
    assert started.returncode == 6
    assert "address already in use" in started.stderr
    assert "Traceback" not in started.stderr


def test_the_sentence_of_the_command_line(
    steady: Place, steady_api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Is the sentence over HTTP, to the letter; and so are the prediction and its digest."""
    for name, value in steady.environment.items():
        monkeypatch.setenv(name, value)
    wrong = {**ROW, "Gender": "Mal"}
    assert run(["predict", MODEL, "--row", json.dumps(wrong)]) == 2
    status, content = steady_api.ask("POST", "/predict", wrong)
    assert status == 422
    assert capsys.readouterr().err == f"{content['code']}: {content['detail']}\n"
    assert run(["predict", MODEL, "--row", json.dumps(ROW), "--json"]) == 0
    said, answer = json.loads(capsys.readouterr().out), steady_api.ask("POST", "/predict", ROW)[1]
    answer.pop("prediction_id")
    assert {**said, "confidence": max(said["probabilities"].values())} == answer


def test_uvicorn_serves_it_too(moving: Place, tmp_path: Path) -> None:
    """With the model of the environment."""
    environment = {**moving.environment, "SIGNOFF_MODEL": MODEL}
    with serving(environment, tmp_path / "api.log", command=["uvicorn", "pipeline.http_api:app"]) as api:
        assert api.ask("GET", "/model_info")[1]["digest"] == moving.digest(moving.in_turn()[0])
        answer = api.ask("POST", "/predict?explain=true", ROW)[1]
        explained = answer["explanation"]
        top = answer["prediction"]
        total = explained["base_values"][top] + sum(explained["contributions"][top].values())
        assert total == pytest.approx(explained["output"][top])
        batch = api.ask("POST", "/predict_batch", {"rows": [ROW, {**ROW, "Age": 5}]})[1]
        assert batch["rows"][0]["probabilities"] == answer["probabilities"]
        assert batch["summary"]["n_bad"] == 1


# The description of the desk has the operations of the other too.
@pytest.mark.parametrize("desk_too", amount([True], soak=[False, True]), ids=lambda desk: "desk" if desk else "alone")
def test_schemathesis_finds_nothing(place: Place, tmp_path: Path, *, desk_too: bool) -> None:
    """All of its checks, on requests that it makes from the description: open, and with the desk by an identity token
    beside a shared secret. What it decided is a record that holds.
    """
    environment = place.environment
    config: list[str] = []
    headers: list[str] = []
    if desk_too:
        made = place.service.as_(GRACE).issue_token("schemathesis", Role.APPROVER, 1)
        environment = {**environment, "SIGNOFF_TOKEN": "a-shared-secret-for-this-test-01"}
        config, headers = OF_THE_DESK, ["--header", f"Authorization: Bearer {made.secret}"]
    command = ["pipeline", "serve", *(["--desk"] if desk_too else [])]
    with serving(environment, tmp_path / "api.log", command=command) as api:
        address = f"http://127.0.0.1:{api.port}/openapi.json"
        examples = ["--max-examples", amount("2", soak="100"), "--seed", "544"]
        phases = ["--phases", amount("examples,fuzzing", soak="examples,coverage,fuzzing,stateful")]
        # The first decision imports MLflow, on a busy machine.
        patience = ["--request-timeout", "100", "--max-response-time", "100"]
        options = ["--checks", "all", *examples, *phases, *patience, "--continue-on-failure", "--no-color"]
        program = str(Path(sys.executable).with_name("schemathesis"))
        found = subprocess.run(
            [program, *config, "run", address, *options, *headers],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert found.returncode == 0, found.stdout
    assert "No issues found" in found.stdout, found.stdout
    assert place.service.verify() == []


def test_an_identity_token_as_the_shared_secret_ends_the_start(
    steady: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one sentence, with the exit code of wrong input: whoever calls would hold it. One that is short ends it too,
    see test_http_api.
    """
    for name, value in {**steady.environment, "SIGNOFF_TOKEN": "signoff_a-token-of-somebody"}.items():
        monkeypatch.setenv(name, value)
    code = run(["serve", "--port", "0"])
    assert (code, capsys.readouterr().err) == (
        2,
        "InvalidInput: SIGNOFF_TOKEN: is an identity token; callers for predictions share another secret\n",
    )


def test_importing_it_opens_nothing() -> None:
    """Neither MLflow nor a model, and no folder is made: the lifespan does that."""
    code = (
        "import sys, pipeline.http_api; print([name for name in ('mlflow', 'sklearn', 'shap') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"
