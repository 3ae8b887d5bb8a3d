"""`signoff reconcile --watch` as two processes that share a registry and a ledger in PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.settings import ROOT
from support.small_desk import copy_desk

if TYPE_CHECKING:
    from support.postgres import PostgresServer

MODEL = "obesity_classifier"
WATCH = [sys.executable, "-m", "pipeline", "reconcile", "--watch", "0.2", "--json"]
TOGETHER = 4  # changes that both see


class Reconcilers:
    """Processes that watch, and write what they record into one pipe."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._registry = MlflowRegistry(environment["MLFLOW_TRACKING_URI"], experiment="signoff")
        reading, self._writing = os.pipe()
        self._recorded = os.fdopen(reading)
        self._running: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        made = subprocess.Popen(
            WATCH, cwd=ROOT, env=self._environment, stdout=self._writing, stderr=subprocess.PIPE, text=True
        )
        self._running.append(made)
        assert made.stderr is not None
        assert made.stderr.readline() == "reconcile: every 0.2 s\n"
        return made

    def record(self, *versions: int) -> list[list[str]]:
        """What is recorded of each change of the champion past the desk, of which the next one follows that."""
        found = []
        for version in versions:
            self._registry.set_alias(MODEL, "champion", version)
            found.append([each["type"] for each in json.loads(self._recorded.readline())["events"]])
        return found

    def rest(self) -> str:
        """What was recorded beside that, after all have ended."""
        os.close(self._writing)
        return self._recorded.read()

    def close(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        self._recorded.close()


def stop(process: subprocess.Popen[str], by: signal.Signals) -> tuple[int, str]:
    process.send_signal(by)
    said = process.communicate(timeout=120)[1]
    return process.returncode, said


@pytest.fixture
def reconcilers(
    demo_desk: Path, tmp_path: Path, postgres: "PostgresServer", monkeypatch: pytest.MonkeyPatch
) -> Iterator[Reconcilers]:
    """Over a desk of their own, which this process has too."""
    environment = {
        **copy_desk(demo_desk, tmp_path / "desk"),
        "SIGNOFF_LEDGER_URL": postgres.url(schema=postgres.new_schema()),
        "SIGNOFF_CHECKPOINT_FILE": str(tmp_path / "checkpoints.jsonl"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    made = Reconcilers(environment)
    yield made
    made.close()


def test_two_reconcilers_record_once_and_stop_when_they_are_told(
    reconcilers: Reconcilers, call: Callable[..., tuple[int, Any, str]]
) -> None:
    """Each out-of-band change is one event: while one of them looks alone, while both do, and while only the other is
    left, so that each has recorded something itself. They stop by SIGTERM and by Ctrl-C, with exit code 0.
    """
    assert call("reconcile")[0] == 0  # the takeover: what was there before is nobody's change
    first = reconcilers.start()
    alone = reconcilers.record(3)
    second = reconcilers.start()
    both = reconcilers.record(*(2 + number % 2 for number in range(TOGETHER)))
    ended = [stop(first, signal.SIGTERM)]
    left = reconcilers.record(4)
    ended.append(stop(second, signal.SIGINT))

    once = [["out_of_band"]]
    assert (alone, both, left, reconcilers.rest()) == (once, once * TOGETHER, once, "")
    assert ended == [(0, ""), (0, "")]
    _, history, _ = call("history", MODEL)
    assert [each["type"] for each in history] == ["baseline", *["out_of_band"] * (TOGETHER + 2)]
