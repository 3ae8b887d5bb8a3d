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


def test_two_reconcilers_record_once_and_stop_when_they_are_told(
    demo_desk: Path,
    tmp_path: Path,
    postgres: "PostgresServer",
    call: Callable[..., tuple[int, Any, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By SIGTERM and by Ctrl-C, with exit code 0; each out-of-band change is one event, whoever was faster."""
    environment = {
        **copy_desk(demo_desk, tmp_path / "desk"),
        "SIGNOFF_LEDGER_URL": postgres.url(schema=postgres.new_schema()),
        "SIGNOFF_CHECKPOINT_FILE": str(tmp_path / "checkpoints.jsonl"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert call("reconcile")[0] == 0  # the takeover: what was there before is nobody's change
    reading, writing = os.pipe()
    started = [
        subprocess.Popen(
            WATCH, cwd=ROOT, env={**os.environ, **environment}, stdout=writing, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    os.close(writing)
    with os.fdopen(reading) as recorded:
        try:
            assert [process.stderr.readline() for process in started] == ["reconcile: every 0.2 s\n"] * 2
            registry = MlflowRegistry(environment["MLFLOW_TRACKING_URI"], experiment="signoff")
            registry.set_alias(MODEL, "champion", 3)
            first = recorded.readline()
            for process, each in zip(started, (signal.SIGTERM, signal.SIGINT), strict=True):
                process.send_signal(each)
            said = [process.communicate(timeout=120)[1] for process in started]
            rest = recorded.read()
        finally:
            for process in started:
                process.kill()
                process.wait()

    assert [(each["type"], each["model"]) for each in json.loads(first)["events"]] == [("out_of_band", MODEL)]
    assert (rest, said, [process.returncode for process in started]) == ("", ["", ""], [0, 0])
    _, history, _ = call("history", MODEL)
    assert [each["type"] for each in history] == ["baseline", "out_of_band"]
