"""Many rows in one request, beside predict_proba in this process and `mlflow models serve` with the same model."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from bench_serving import FOREST, MODEL

from pipeline.bootstrap import desk, person
from pipeline.governance.lifecycle import Stage
from pipeline.serving.copies import PrivateCopies
from pipeline.serving.worker.load import load_model
from pipeline.settings import read_settings
from support.ports import free_port

ROWS, BATCHES, WARM = 1_000, 30, 3
Work = Callable[[], object]
START_SECONDS = 120
HEADERS = {"Content-Type": "application/json"}


def connect(port: int) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def ask(connection: http.client.HTTPConnection, question: tuple[str, bytes]) -> None:
    connection.request("POST", question[0], question[1], HEADERS)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{question[0]}: {answer.status} {content[:300]!r}")


def with_forest_as_champion(environment: Mapping[str, str]):
    """The desk, its settings, and a row of defaults; the demo's random forest is champion."""
    os.environ.update(environment)
    settings = read_settings()
    service = desk(settings)
    if service.state(MODEL).champion != FOREST:
        reason = "The forest is what the bench measures."
        service.promote(
            MODEL, FOREST, Stage.PRODUCTION, reason=reason, actor=person(settings, "bench"), accept_warnings=True
        )
    return service, settings, {name: column.default for name, column in settings.schema_.columns.items()}


def http_figures(environment: Mapping[str, str], folder: Path) -> tuple[float, float, float]:
    """Rows per second of one request with a thousand: (ours, mlflow's, in process), medians from the same run."""
    service, settings, row = with_forest_as_champion(environment)
    in_process = _floor(service, settings, row)
    ours, theirs = [sys.executable, "-m", "pipeline", "serve"], [sys.executable, "-m", "mlflow", "models", "serve"]
    theirs += ["--env-manager", "local", "-m", f"models:/{MODEL}/{FOREST}"]
    split = {"columns": list(row), "data": [list(row.values())] * ROWS}
    with (
        running(ours, environment, folder / "ours.log", "/readyz") as our_port,
        running(theirs, environment, folder / "mlflow.log", "/ping") as their_port,
        closing(connect(our_port)) as us,
        closing(connect(their_port)) as them,
    ):
        ours_many = "/predict_batch", json.dumps({"rows": [row] * ROWS}).encode()
        theirs_many = "/invocations", json.dumps({"dataframe_split": split}).encode()
        taken = _in_turn((lambda: ask(us, ours_many), lambda: ask(them, theirs_many), in_process), rounds=BATCHES)
    one, two, three = (ROWS * 1000 / statistics.median(each) for each in taken)
    return one, two, three


def _in_turn(works: tuple[Work, Work, Work], *, rounds: int) -> list[list[float]]:
    """Milliseconds of each, one after the other, so that what else the machine does meets all of them alike."""
    taken: list[list[float]] = [[] for _ in works]
    for number in range(rounds + WARM):
        for work, times in zip(works, taken, strict=True):
            start = time.perf_counter()
            work()
            if number >= WARM:
                times.append((time.perf_counter() - start) * 1000)
    return taken


def _floor(service, settings, row: Mapping[str, object]) -> Work:
    """predict_proba of many rows, in this process."""
    import pandas as pd

    record = service.version(MODEL, FOREST)
    digest = str(service.show(MODEL, FOREST).file_digest)
    with PrivateCopies(service, most=1).using(record, digest) as copy:
        pipeline = load_model(copy, allowed_types=tuple(settings.serving.allowed_types)).model
    many = pd.DataFrame([row] * ROWS)
    return lambda: pipeline.predict_proba(many)


@contextmanager
def running(command: list[str], environment: Mapping[str, str], log: Path, path: str) -> Iterator[int]:
    """A server on a free port, ready."""
    port = free_port()
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **environment, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(server, port, path, log)
        yield port
    finally:
        os.killpg(server.pid, 15)
        server.wait(30)


def _wait_for(server: subprocess.Popen[bytes], port: int, path: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", path)
                if connection.getresponse().status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')}")
