"""The API beside predict_proba in this process, and beside `mlflow models serve` with the same model."""

import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

from bench_serving import FOREST, MODEL

from pipeline.bootstrap import desk, person
from pipeline.governance.lifecycle import Stage
from pipeline.serving.copies import PrivateCopies
from pipeline.serving.worker.load import load_model
from pipeline.settings import read_settings
from support.ports import free_port

ROUNDS, CLIENTS, SECONDS, WINDOWS, ROWS, BATCHES, WARM = 200, 8, 2.0, 3, 1_000, 30, 3
Work = Callable[[], object]
START_SECONDS = 120
HEADERS = {"Content-Type": "application/json"}


class Server:
    """One address with the bodies that it takes for one row and for many."""

    def __init__(self, port: int, one: tuple[str, object], many: tuple[str, object]) -> None:
        self.port = port
        self.one, self.many = ((path, json.dumps(body).encode()) for path, body in (one, many))

    def connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def ask(connection: http.client.HTTPConnection, question: tuple[str, bytes]) -> None:
    connection.request("POST", question[0], question[1], HEADERS)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{question[0]}: {answer.status} {content[:300]!r}")


def http_figures(environment: Mapping[str, str], folder: Path) -> dict[str, tuple[float, float, float]]:
    """By figure: (ours, mlflow's, in process); milliseconds and rates, medians from the same run."""
    os.environ.update(environment)
    settings = read_settings()
    service = desk(settings)
    if service.state(MODEL).champion != FOREST:
        reason = "The forest is what the bench measures."
        service.promote(
            MODEL, FOREST, Stage.PRODUCTION, reason=reason, actor=person(settings, "bench"), accept_warnings=True
        )
    row = {name: column.default for name, column in settings.schema_.columns.items()}
    floor = _floor(service, settings, row)
    ours, theirs = [sys.executable, "-m", "pipeline", "serve"], [sys.executable, "-m", "mlflow", "models", "serve"]
    theirs += ["--env-manager", "local", "-m", f"models:/{MODEL}/{FOREST}"]
    with (
        running(ours, environment, folder / "ours.log", "/readyz") as our_port,
        running(theirs, environment, folder / "mlflow.log", "/ping") as their_port,
    ):
        split = {"columns": list(row), "data": [list(row.values())]}
        servers = (
            Server(our_port, ("/predict", row), ("/predict_batch", {"rows": [row] * ROWS})),
            Server(
                their_port,
                ("/invocations", {"dataframe_split": split}),
                ("/invocations", {"dataframe_split": {**split, "data": split["data"] * ROWS}}),  # type: ignore[operator]
            ),
        )
        return _compared(servers, floor)


def _compared(servers: tuple[Server, Server], floor: tuple[Work, Work]) -> dict[str, tuple[float, float, float]]:
    with closing(servers[0].connect()) as ours, closing(servers[1].connect()) as theirs:
        one = _in_turn(
            (lambda: ask(ours, servers[0].one), lambda: ask(theirs, servers[1].one), floor[0]), rounds=ROUNDS
        )
        many = _in_turn(
            (lambda: ask(ours, servers[0].many), lambda: ask(theirs, servers[1].many), floor[1]), rounds=BATCHES
        )
    rates = [[_rate(server) for server in servers] for _ in range(WINDOWS)]
    medians = [statistics.median(each) for each in one]
    return {
        "one row over HTTP, p50, ms": _three(medians),
        "one row over HTTP, p95, ms": _three([sorted(each)[int(0.95 * ROUNDS)] for each in one]),
        f"one row over HTTP, {CLIENTS} clients, requests/s": _three(
            [*(statistics.median(each) for each in zip(*rates, strict=True)), 1000 / medians[2]]
        ),
        f"{ROWS:,} rows over HTTP, rows/s": _three([ROWS * 1000 / statistics.median(each) for each in many]),
    }


def _three(figures: Sequence[float]) -> tuple[float, float, float]:
    ours, theirs, floor = figures
    return ours, theirs, floor


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


def _floor(service, settings, row: Mapping[str, object]) -> tuple[Work, Work]:
    """predict_proba of one row and of many, in this process."""
    import pandas as pd

    record = service.version(MODEL, FOREST)
    digest = str(service.show(MODEL, FOREST).file_digest)
    with PrivateCopies(service, most=1).using(record, digest) as copy:
        pipeline = load_model(copy, allowed_types=tuple(settings.serving.allowed_types)).model
    one, many = pd.DataFrame([row]), pd.DataFrame([row] * ROWS)
    return lambda: pipeline.predict_proba(one), lambda: pipeline.predict_proba(many)


def _rate(server: Server) -> float:
    def asking(_number: int) -> int:
        count = 0
        with closing(server.connect()) as connection:
            while time.perf_counter() < until:
                ask(connection, server.one)
                count += 1
        return count

    until = time.perf_counter() + SECONDS
    with ThreadPoolExecutor(CLIENTS) as clients:
        return sum(clients.map(asking, range(CLIENTS))) / SECONDS


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
