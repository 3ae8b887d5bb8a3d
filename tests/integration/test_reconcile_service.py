"""`signoff reconcile --watch` as two processes that share a registry and a ledger in PostgreSQL."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
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


def test_two_reconcilers_record_once_and_stop_when_they_are_told(
    demo_desk: Path,
    tmp_path: Path,
    postgres: "PostgresServer",
    call: Callable[..., tuple[int, Any, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each out-of-band change is one event: while one of them looks alone, while both do, and while only the other is
    left, so that each has recorded something itself. They stop by SIGTERM and by Ctrl-C, with exit code 0.
    """
    environment = {
        **copy_desk(demo_desk, tmp_path / "desk"),
        "SIGNOFF_LEDGER_URL": postgres.url(schema=postgres.new_schema()),
        "SIGNOFF_CHECKPOINT_FILE": str(tmp_path / "checkpoints.jsonl"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert call("reconcile")[0] == 0  # the takeover: what was there before is nobody's change
    registry = MlflowRegistry(environment["MLFLOW_TRACKING_URI"], experiment="signoff")
    reading, writing = os.pipe()
    watching: list[subprocess.Popen[str]] = []

    def watch() -> subprocess.Popen[str]:
        made = subprocess.Popen(
            WATCH, cwd=ROOT, env={**os.environ, **environment}, stdout=writing, stderr=subprocess.PIPE, text=True
        )
        watching.append(made)
        assert made.stderr is not None
        assert made.stderr.readline() == "reconcile: every 0.2 s\n"
        return made

    def stop(process: subprocess.Popen[str], by: signal.Signals) -> tuple[int, str]:
        process.send_signal(by)
        said = process.communicate(timeout=120)[1]
        return process.returncode, said

    with os.fdopen(reading) as recorded:

        def moved(*versions: int) -> list[list[str]]:
            """What is recorded of each change of the champion by MLflow, of which the next one follows that."""
            found = []
            for version in versions:
                registry.set_alias(MODEL, "champion", version)
                found.append([each["type"] for each in json.loads(recorded.readline())["events"]])
            return found

        try:
            first = watch()
            alone = moved(3)
            second = watch()
            both = moved(*(2 + number % 2 for number in range(TOGETHER)))
            ended = [stop(first, signal.SIGTERM)]
            left = moved(4)
            ended.append(stop(second, signal.SIGINT))
            os.close(writing)
            rest = recorded.read()
        finally:
            for process in watching:
                process.kill()
                process.wait()

    once = [["out_of_band"]]
    assert (alone, both, left, rest) == (once, once * TOGETHER, once, "")
    assert ended == [(0, ""), (0, "")]
    _, history, _ = call("history", MODEL)
    assert [each["type"] for each in history] == ["baseline", *["out_of_band"] * (TOGETHER + 2)]
