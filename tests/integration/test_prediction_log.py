"""The log of predictions of real server processes: what was answered is there, and what may be missing is said."""

import json
import math
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.bootstrap import desk
from pipeline.cli import run
from pipeline.governance.errors import InvalidInput
from pipeline.http_api.server import serve
from pipeline.monitoring.prediction_log import SILENT_AFTER, CountKind, Selection
from pipeline.settings import ROOT, read_settings
from support.alerts import MAKE, dashboard_queries
from support.api_server import SECONDS, Api, Callers, serving
from support.desks import GRACE, REASON
from support.loops import until
from support.postgres import PostgresServer
from support.prometheus import Prometheus, installed, program, prometheus
from support.real_server import clean, dashboard
from support.small_desk import copy_desk, small_desk

MODEL = "obesity_classifier"
KEY = "a-key-of-the-operator-0123456789abcdef"
MONITORING = {
    "log": {"enabled": True, "sample": 1.0, "clear": ["Age", "Gender"], "keyed": ["Weight"], "days": 90},
    "shadow": "challenger",
    "every_minutes": 0.02,
    "fewest_rows": 40,
}


@pytest.fixture(scope="module")
def environment(demo_desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """The demo's desk with a log and a challenger."""
    folder = tmp_path_factory.mktemp("logged")
    found = {**copy_desk(demo_desk, folder), "SIGNOFF_LOG_KEY": KEY}
    monitored(folder, MONITORING)
    service = desk(read_settings(environ=found))
    champion = service.state(MODEL).champion
    other = next(row.version for row in service.versions(MODEL) if row.version != champion)
    service.set_alias(MODEL, "challenger", other, reason=REASON, actor=GRACE, accept_warnings=True)
    return found


def monitored(folder: Path, section: Mapping[str, Any]) -> None:
    file = folder / "params.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.safe_dump({**content, "monitoring": section}), encoding="utf-8")


def row_of(environment: Mapping[str, str]) -> dict[str, object]:
    columns = read_settings(environ=environment).schema_.columns
    return {name: column.default for name, column in columns.items()}


@contextmanager
def opened(environment: Mapping[str, str]) -> Iterator[SqlPredictionLog]:
    log = SqlPredictionLog(environment["SIGNOFF_LOG_URL"])
    yield log
    log.close()


@pytest.fixture
def verb(
    environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    """Runs a verb and gives its JSON."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> Any:
        assert run([*arguments, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return call


BOTH_UP = {"api": 1, "dashboard": 1}  # one of them may be scraped for the first time after an alarm rings


@dataclass(frozen=True)
class Scraped:
    """What Prometheus knew of a server that was asked, and of a dashboard beside it."""

    up: Mapping[str, float] = field(default_factory=dict)  # by job
    firing: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # the annotations of alerts, by name
    severities: Mapping[str, float] = field(default_factory=dict)  # by column; empty for whatever is not about one
    values: dict[str, list[float]] = field(default_factory=dict)  # by query of the dashboard


@dataclass(frozen=True)
class Served:
    """What became of a server that was asked all the time."""

    answers: list[dict[str, Any]]
    scraped: Scraped | None  # None where no Prometheus is installed


@pytest.fixture(scope="module")
def served(environment: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Served:
    """A server that was asked until SIGTERM came, with a shadow beside it, and watched by Prometheus."""
    folder = tmp_path_factory.mktemp("terminated")
    log = folder / "api.log"
    with serving(environment, log) as api, opened(environment) as written, watching(api, environment, folder) as look:
        with Callers(api.port, row_of(environment), pause=0.02).asking() as callers:
            callers.wait_for(40)
            until(lambda: written.predictions(Selection(MODEL, shadowed=True)) != [])
            callers.wait_for(20)
            until(lambda: desk(read_settings(environ=environment)).findings(MODEL) != [])
            scraped = look()
            terminate(api)
        assert callers.lost == []
    assert "Traceback" not in log.read_text(errors="replace"), log.read_text(errors="replace")
    return Served([content for caller in callers.answers for _, content in caller], scraped)


@pytest.fixture(scope="module")
def answers(served: Served) -> list[dict[str, Any]]:
    """What the server has answered."""
    return served.answers


@contextmanager
def watching(api: Api, environment: Mapping[str, str], folder: Path) -> Iterator[Callable[[], Scraped | None]]:
    """A dashboard of the same desk, and a Prometheus that scrapes both; gives what waits for the alarm and for data."""
    if installed("prometheus") is None:
        yield lambda: None
        return
    log = folder / "dashboard.log"
    with dashboard(log, environment) as url:
        jobs = {"api": f"127.0.0.1:{api.port}", "dashboard": url.removeprefix("http://")}
        with prometheus(folder, MAKE.ALERTS, jobs) as server:
            yield lambda: scrape(server, url)
    clean(log)


def scrape(server: Prometheus, dashboard_url: str) -> Scraped:
    """Each query is answered with numbers at some time, and at some time all of what the tests ask for is so at once: a
    busy machine may miss a scrape.
    """
    refused = urllib.request.Request(f"{dashboard_url}/metrics", headers={"Host": "desk.example.org"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(refused, timeout=SECONDS)
    found, looks, queries = Scraped(), [], {query for _, query in dashboard_queries()}

    def rings() -> bool:
        severities = {each["metric"].get("column", ""): number(each) for each in server.ask("signoff_watch_severity")}
        up = {each["metric"]["job"]: number(each) for each in server.ask("up")}
        looks.append(Scraped(up, server.firing(), severities))
        return up == BOTH_UP and {"SignoffDrift", "SignoffHighFindingOpen"} <= set(looks[-1].firing)

    def answered() -> bool:
        for query in queries - set(found.values):
            values = [number(each) for each in server.ask(query)]
            if values and not any(map(math.isnan, values)):
                found.values[query] = values
        return set(found.values) == queries

    server.until(rings, lambda: looks[-1])
    server.until(answered, lambda: queries - set(found.values))
    return replace(looks[-1], values=found.values)


def number(series: Mapping[str, Any]) -> float:
    return float(series["value"][1])


@pytest.fixture
def scraped(served: Served) -> Scraped:
    program("prometheus")
    assert served.scraped is not None
    return served.scraped


def rounded(answer: dict[str, Any]) -> dict[str, Any]:
    """Rows that a worker predicted together may differ in the last digits from one that it predicted alone."""
    shares = {name: round(share, 9) for name, share in answer["probabilities"].items()}
    return {**answer, "probabilities": shares, "confidence": max(shares.values())}


def terminate(api: Api) -> None:
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(SECONDS) == 0


def test_what_was_answered_before_sigterm_is_there_after_it(
    environment: Mapping[str, str], answers: list[dict[str, Any]]
) -> None:
    """Each answer under its id with what the caller got; the block is closed and accounts for all of them."""
    with opened(environment) as log:
        rows = {each.prediction.prediction_id: each for each in log.predictions(Selection(MODEL, most=100_000))}
        (block,) = log.blocks()
        counted = sum(each.n for each in log.counts(MODEL) if each.key.kind is CountKind.ANSWERED)
        kinds = {each.key.kind for each in log.counts(MODEL)}

    assert set(rows) == {answer["prediction_id"] for answer in answers}
    for answer in answers:
        found = rows[answer["prediction_id"]].prediction
        said = (found.version, found.digest, found.prediction, dict(found.probabilities), found.alias)
        assert said == (answer["version"], answer["digest"], answer["prediction"], answer["probabilities"], "champion")
        assert (set(found.clear), set(found.keyed)) == ({"Age", "Gender"}, {"Weight"})
    assert (block.closed_at is None, block.written, block.lost) == (False, len(answers), 0)
    assert counted == len(answers)
    assert {CountKind.COLUMN, CountKind.CLASS, CountKind.CONFIDENCE, CountKind.LATENCY} < kinds


def test_planted_drift_raises_the_alarm_in_prometheus(scraped: Scraped, answers: list[dict[str, Any]]) -> None:
    """One row again and again; the alarm names the version and the way on, and nothing else of the rules rings."""
    version = answers[0]["version"]

    assert scraped.up == BOTH_UP
    assert set(scraped.firing) <= {"SignoffDrift", "SignoffHighFindingOpen", "SignoffAccuracyBelowApproved"}
    drift = scraped.firing["SignoffDrift"]
    assert f"distributions differ from those that version {version} of {MODEL} was evaluated on" in drift["summary"]
    assert drift["description"].startswith(f"signoff monitor {MODEL},")
    assert scraped.severities["Age"] == 2


def test_every_panel_of_the_grafana_dashboard_has_data(scraped: Scraped) -> None:
    """Each query that docs/monitoring/dashboard.json sends is answered with numbers."""
    values = scraped.values

    assert set(values) == {query for _, query in dashboard_queries()}
    assert len(values) > 20
    assert sum(values["sum(signoff_degraded)"]) == 0
    assert values["max(signoff_out_of_band_changes)"] == [0]
    assert max(values['max by (source) (signoff_accuracy{model=~".*"})']) > 0.85


def test_a_shadow_changes_no_answer(environment: Mapping[str, str], answers: list[dict[str, Any]]) -> None:
    """All are the champion's, and equal but for their ids; what the shadow said stands beside them."""
    different = {json.dumps({**answer, "prediction_id": ""}) for answer in map(rounded, answers)}
    with opened(environment) as log:
        rows = log.predictions(Selection(MODEL, shadowed=True))

    assert len(different) == 1
    assert {each.prediction.version for each in rows} == {answers[0]["version"]}
    assert answers[0]["version"] not in {each.shadow.version for each in rows}


def test_the_command_line_reads_the_log(
    verb: Callable[..., Any], answers: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """How complete it is, its rows, outcomes by id, the shadow beside the champion; and it is purged."""
    truth = answers[0]["prediction"]
    file = tmp_path / "outcomes.csv"
    file.write_text("prediction_id,actual\n" + "".join(f"{each['prediction_id']},{truth}\n" for each in answers))

    assert verb("log", "status")["written"] == len(answers)
    assert [each["values"]["Gender"] for each in verb("log", "show", MODEL, "--most", "2")] == ["Female", "Female"]
    assert verb("outcomes", str(file)) == {"recorded": len(answers), "corrected": 0, "unchanged": 0, "unknown": []}
    assert {each["actual"] for each in verb("log", "show", MODEL)} == {truth}
    found = verb("shadow", MODEL)
    assert (found["version"], found["alias"], found["n"]) == (answers[0]["version"], "challenger", found["outcomes"])
    assert next(each["a"] for each in found["metrics"] if each["name"] == "accuracy") == 1.0
    for arguments in (["log", "status"], ["log", "show", MODEL], ["shadow", MODEL]):
        assert run(arguments) == 0
    printed = capsys.readouterr().out
    assert "closed" in printed
    assert answers[-1]["prediction_id"] in printed
    assert f"Version {found['version']} and its shadow, version {found['shadow']} (challenger)" in printed
    assert verb("log", "purge", "--before", "2026-01-01") == {"predictions": 0, "counts": 0, "blocks": 0}


def test_planted_drift_is_found_while_the_server_answers_and_closed(
    verb: Callable[..., Any], answers: list[dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row again and again is not what the champion was evaluated on; outcomes take the place of the estimate."""
    recorded, version = verb("findings", MODEL), answers[0]["version"]
    wrong = "Insufficient_Weight" if answers[0]["prediction"] != "Insufficient_Weight" else "Obesity_Type_I"
    file = tmp_path / "outcomes.csv"
    file.write_text("prediction_id,actual\n" + "".join(f"{each['prediction_id']},{wrong}\n" for each in answers))
    before = verb("monitor", MODEL)["accuracy"]
    verb("outcomes", str(file))
    report = verb("monitor", MODEL, "--record")

    assert {(each["version"], each["closed"]) for each in recorded} == {(version, None)}
    assert "high" in {each["severity"] for each in recorded if each["column"] == "Age"}
    assert (report["version"], report["n"], report["traffic"]["rows"]) == (version, len(answers), len(answers))
    assert {each["column"] for each in report["drift"]} == set(row_of(dict(os.environ)))
    assert before["approved"]["value"] > 0.85
    assert before["estimated"]["low"] <= before["estimated"]["value"] <= before["estimated"]["high"]
    assert (report["accuracy"]["measured"]["value"], report["accuracy"]["measured"]["n"]) == (0.0, len(answers))
    assert "accuracy" in {each["kind"] for each in verb("findings", MODEL)}

    number = next(each["id"] for each in recorded if each["column"] == "Age")
    assert verb("close", str(number), "--reason", REASON)["type"] == "finding_closed"
    assert run(["close", str(number), "--reason", REASON]) == 4
    assert number not in {each["id"] for each in verb("findings", MODEL)}
    closed = next(each["closed"] for each in verb("findings", MODEL, "--all") if each["id"] == number)
    assert closed["reason"] == REASON
    assert "finding_closed" in {each["type"] for each in verb("history", MODEL)}
    for arguments in (["monitor", MODEL], ["monitor", MODEL, "--record"], ["findings", MODEL, "--all"]):
        assert run(arguments) == 0
    printed = capsys.readouterr().out
    assert f"Version {version} of {MODEL}" in printed
    assert "The column Age holds other values" in printed
    assert run(["close", "999999", "--reason", REASON]) == 5


def test_the_commands_of_the_documentation_run(
    verb: Callable[..., Any],
    answers: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """docs/operations.md, "The log of predictions": as they stand there."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = page.partition("## The log of predictions")[2].partition("\n## ")[0]
    commands = [line.split()[1:] for line in section.splitlines() if line.startswith("signoff ")]
    (tmp_path / "outcomes.csv").write_text(f"prediction_id,actual\n{answers[0]['prediction_id']},Normal_Weight\n")
    monkeypatch.chdir(tmp_path)

    assert [command[0] for command in commands] == ["outcomes", "log", "shadow"]
    assert [run(command) for command in commands] == [0, 0, 0]


def test_rows_of_files_are_logged_the_same_way(
    environment: Mapping[str, str], verb: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each under the id that stands in the output; counted as rows of files, and only where a log is on."""
    monkeypatch.setenv("SIGNOFF_LOG_URL", f"sqlite:///{tmp_path / 'predictions.db'}")
    row, source, output = row_of(environment), tmp_path / "rows.csv", tmp_path / "out.csv"
    pd.DataFrame([row] * 20 + [{**row, "Age": 5}]).to_csv(source, index=False)
    assert verb("score", MODEL, str(source), str(output), "--log")["scored"] == 20
    scored = pd.read_csv(output)
    with opened(dict(os.environ)) as log:
        rows = {each.prediction.prediction_id: each.prediction for each in log.predictions(Selection(MODEL))}
        counted = {each.key.bin: each.n for each in log.counts(MODEL) if each.key.kind is CountKind.ANSWERED}

    assert set(rows) == set(scored["prediction_id"])
    assert {found.prediction for found in rows.values()} == set(scored["prediction"])
    assert counted == {"file": 20}
    monkeypatch.setenv("SIGNOFF_PARAMS", str(ROOT / "params.yaml"))
    assert run(["score", MODEL, str(source), str(output), "--log"]) == 2


@pytest.fixture(scope="module")
def on_postgres(
    environment: Mapping[str, str], postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """The same desk with its log in PostgreSQL, without a shadow."""
    folder = tmp_path_factory.mktemp("on_postgres")
    small_desk(folder, environment["MLFLOW_TRACKING_URI"])
    monitored(folder, {"log": MONITORING["log"]})
    url = postgres.url(schema=postgres.new_schema())
    return {**environment, "SIGNOFF_PARAMS": str(folder / "params.yaml"), "SIGNOFF_LOG_URL": url}


def test_after_sigkill_an_open_block_says_what_may_be_missing(on_postgres: Mapping[str, str], tmp_path: Path) -> None:
    """What is counted is what the block accounts for, and no more is missing than it says."""
    with serving(on_postgres, tmp_path / "api.log") as api, opened(on_postgres) as log:
        with Callers(api.port, row_of(on_postgres)).asking() as callers:
            callers.wait_for(20)
            until(lambda: bool(log.blocks()) and log.blocks()[0].written > 0)
            callers.wait_for(20)
            api.process.kill()
            api.process.wait()
        answered = {content["prediction_id"] for caller in callers.answers for _, content in caller}
        (block,) = log.blocks()
        stored = {each.prediction.prediction_id for each in log.predictions(Selection(MODEL, most=100_000))}
        counted = sum(each.n for each in log.counts(MODEL) if each.key.kind is CountKind.ANSWERED)

    assert block.closed_at is None
    assert block.is_gap(block.written_at + SILENT_AFTER + timedelta(seconds=1))
    assert len(stored) == counted == block.written
    assert len(answered - stored) <= block.reserved - block.written


def test_a_server_that_must_log_and_cannot_does_not_start(environment: Mapping[str, str], tmp_path: Path) -> None:
    """Its last line says why; a wrong address or a missing key is found before anything is loaded."""
    log_url = f"sqlite:///{tmp_path / 'params.yaml' / 'below.db'}"
    (tmp_path / "params.yaml").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "serve", "--port", "0"],
        cwd=ROOT, env={**os.environ, **environment, "SIGNOFF_LOG_URL": log_url},
        capture_output=True, text=True, check=False, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 6
    assert "the log of predictions cannot be used" in done.stderr

    wrong = {
        "SIGNOFF_LOG_URL: is the ledger's database": {"SIGNOFF_LOG_URL": environment["SIGNOFF_LEDGER_URL"]},
        "SIGNOFF_LOG_URL: is not a database URL": {"SIGNOFF_LOG_URL": "nowhere"},
        "SIGNOFF_LOG_KEY: must have at least 32 characters": {"SIGNOFF_LOG_KEY": "short"},
    }
    for sentence, changed in wrong.items():
        with pytest.raises(InvalidInput, match=sentence):
            serve(read_settings(environ={**environment, **changed}), host="127.0.0.1", port=0, model=None)
