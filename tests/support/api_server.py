"""The real HTTP server in a process of its own, and callers that ask it all the time."""

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from pipeline.serving.worker.launch.forking import FORK
from support.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120.0
JSON = {"Content-Type": "application/json"}


@dataclass
class Api:
    """A running server."""

    process: "subprocess.Popen[bytes]"
    port: int

    def ask(self, method: str, path: str, body: object = None, headers: Mapping[str, str] = JSON) -> tuple[int, Any]:
        content = None if body is None else json.dumps(body)
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)) as connection:
            connection.request(method, path, content, dict(headers))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())

    def text(self, path: str) -> str:
        """What is answered in plain text, such as metrics."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)) as connection:
            connection.request("GET", path)
            return connection.getresponse().read().decode()

    def until(self, what: str, wanted: Any) -> dict[str, Any]:
        """What /readyz says once it says so."""
        return self._until(lambda content: bool(content[what] == wanted))

    def until_other(self, what: str, before: Any) -> dict[str, Any]:
        """What /readyz says once it says another thing."""
        return self._until(lambda content: bool(content[what] != before))

    def _until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + SECONDS
        while True:
            content: dict[str, Any] = self.ask("GET", "/readyz")[1]
            if holds(content):
                return content
            assert time.monotonic() < deadline, content
            time.sleep(0.05)

    @property
    def workers(self) -> list[int]:
        """The workers that its fork servers have split off, in that order."""
        found = [worker for server in self.fork_servers for worker in server.children()]
        return [child.pid for child in sorted(found, key=lambda child: (child.create_time(), child.pid))]

    @property
    def fork_servers(self) -> list[psutil.Process]:
        """One, or none while no worker was wanted since it was killed; more where a worker has crashed."""
        found = psutil.Process(self.process.pid).children()
        started = [each for each in found if each.status() != psutil.STATUS_ZOMBIE]
        return [each for each in started if each.cmdline()[-1:] == [FORK]]

    @contextmanager
    def asleep(self, database: Path) -> Iterator[None]:
        """It does nothing meanwhile, and holds no lock on this SQLite file."""
        deadline = time.monotonic() + SECONDS
        try:
            self._stop()
            while _locked(database):
                assert time.monotonic() < deadline, f"{database} stays locked"
                self.process.send_signal(signal.SIGCONT)
                time.sleep(0.01)
                self._stop()
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def _stop(self) -> None:
        """A signal is on its way for a while."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)


def _locked(database: Path) -> bool:
    with closing(sqlite3.connect(database, timeout=0, isolation_level=None)) as other:
        try:
            other.execute("begin exclusive")
        except sqlite3.OperationalError:
            return True
        other.execute("rollback")
        return False


@contextmanager
def serving(environment: Mapping[str, str], log: Path, *, command: list[str] | None = None) -> Iterator[Api]:
    """`signoff serve` on a free port, ready to answer or to say why not."""
    port = free_port()
    arguments = command or ["pipeline", "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments, "--port", str(port)],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(process, port, log)
        yield Api(process, port)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _wait_for(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", "/livez")
                connection.getresponse()
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the API did not start:\n{log.read_text(errors='replace')}")


@dataclass
class Callers:
    """Threads that ask for predictions, each on a connection that it keeps, until the end or until nobody listens.

    pause: seconds between an answer and the next question, which leaves the processor to others.
    answers: per caller what was answered, in order; times: when each was asked and answered; lost: what was sent and
    not answered.
    """

    port: int
    row: Mapping[str, object]
    pause: float = 0
    answers: list[list[tuple[int, dict[str, Any]]]] = field(default_factory=list)
    times: list[list[tuple[datetime, datetime]]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def asking(self, count: int = 4) -> Iterator["Callers"]:
        self.answers, self.times = [[] for _ in range(count)], [[] for _ in range(count)]
        pairs = zip(self.answers, self.times, strict=True)
        threads = [threading.Thread(target=self._ask, args=each) for each in pairs]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self.ended.set()
            for thread in threads:
                thread.join(SECONDS)

    @property
    def count(self) -> int:
        return sum(len(each) for each in self.answers)

    def wait_for(self, more: int) -> None:
        """Until so many more answers have come."""
        wanted, deadline = self.count + more, time.monotonic() + SECONDS
        while self.count < wanted:
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def _ask(self, answers: list[tuple[int, dict[str, Any]]], times: list[tuple[datetime, datetime]]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        body = json.dumps(self.row)
        while not self.ended.wait(self.pause):
            try:
                if connection.sock is None:
                    connection.connect()
            except ConnectionRefusedError:
                return  # nothing was sent
            asked = datetime.now(UTC)
            try:
                connection.request("POST", "/predict", body, JSON)
                answer = connection.getresponse()
                content = json.loads(answer.read())
                times.append((asked, datetime.now(UTC)))
                answers.append((answer.status, content))
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
        connection.close()
