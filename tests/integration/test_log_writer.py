"""The process that writes the log of a real server is killed while that is asked; nobody notices but /metrics."""

from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from pipeline.monitoring.prediction_log import CountKind, Selection
from support.api_server import Api, Callers, serving
from support.loops import until
from support.small_desk import copy_desk

from .test_prediction_log import MODEL, monitored, opened, row_of, terminate


@pytest.fixture
def logged(demo_desk: Path, tmp_path: Path) -> Mapping[str, str]:
    """The demo's desk with a log."""
    found = copy_desk(demo_desk, tmp_path)
    monitored(tmp_path, {"log": {"enabled": True, "clear": ["Age"]}})
    return found


def writers(api: Api) -> list[psutil.Process]:
    """The processes that write for a server."""
    children = psutil.Process(api.process.pid).children()
    return [each for each in children if "pipeline.adapters.prediction_log" in each.cmdline()]


def test_a_writer_that_is_killed_costs_no_answer_and_no_row(logged: Mapping[str, str], tmp_path: Path) -> None:
    """Another one goes on with the same block; after SIGTERM each answer has its row, once, and no process is left."""
    with serving(logged, tmp_path / "api.log") as api, opened(logged) as log:
        with Callers(api.port, row_of(logged)).asking() as callers:
            callers.wait_for(20)
            (first,) = writers(api)
            first.kill()
            until(lambda: "signoff_log_writer_restarts_total 1.0" in api.text("/metrics"))
            callers.wait_for(20)
            until(lambda: "signoff_log_writing 1.0" in api.text("/metrics"))
            (second,) = writers(api)
            terminate(api)
        answered = [content["prediction_id"] for caller in callers.answers for _, content in caller]
        rows = [each.prediction.prediction_id for each in log.predictions(Selection(MODEL, most=100_000))]
        counted = sum(each.n for each in log.counts(MODEL) if each.key.kind is CountKind.ANSWERED)
        (block,) = log.blocks()

    assert callers.lost == []
    assert sorted(rows) == sorted(answered)
    assert (counted, block.written, block.lost, block.closed_at is None) == (len(answered), len(answered), 0, False)
    assert (second.pid != first.pid, second.is_running()) == (True, False)
    assert "the process that writes it has ended (SIGKILL)" in (tmp_path / "api.log").read_text(errors="replace")
