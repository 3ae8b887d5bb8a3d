"""Everything of a desk that runs for months: killed at once, started again, and asked over HTTP all the while."""

import http.client
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from pipeline.governance.errors import LedgerBusy
from pipeline.http_api.desk.door import DESK
from pipeline.http_api.desk.routes import KEY
from support.api_server import JSON, Api, serving
from support.desk_api import bearer
from support.real_server import ROOT, dashboard_server
from support.soak import amount

SERVE = ["pipeline", "serve", "--desk"]
WATCH = [sys.executable, "-m", "pipeline", "reconcile", "--watch", "1"]
DASHBOARDS = amount(("first",), soak=("first", "second"))
ENDED_SECONDS = 60
NOT_KNOWN = (0, HTTPStatus.SERVICE_UNAVAILABLE)  # whether it was done: the same key asks again
PAUSE_SECONDS = 0.05  # between two questions, which leaves the processor to who answers


class DeskProcesses:
    """Dashboards, the API and a reconciler, each as a host of its own over one registry and one ledger."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        """folder: of their logs and checkpoints."""
        self._environment, self._folder = environment, folder
        self._running = ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.api: Api | None = None  # None: nobody listens
        self.kills = 0

    @property
    def checkpoints(self) -> list[Path]:
        return sorted(self._folder.glob("*.jsonl"))

    @property
    def logs(self) -> list[Path]:
        return sorted(self._folder.glob("*.log"))

    def start(self) -> None:
        """Returns when all of them answer."""
        api, watch, *others = (self._host(name) for name in ("api", "watch", *DASHBOARDS))
        opened = (*(dashboard_server(*each) for each in others), serving(api[1], api[0], command=SERVE))
        with watch[0].open("wb") as log:
            watching = subprocess.Popen(WATCH, cwd=ROOT, env={**os.environ, **watch[1]}, stderr=log)
        self._processes = [watching]
        self._running.callback(self.kill)
        with ThreadPoolExecutor(len(opened)) as starting:
            *dashboards, served = starting.map(self._running.enter_context, opened)
        self._processes += [process for _, process in dashboards] + [served.process]
        self.api = served

    def kill(self) -> None:
        """All at once; their workers end by themselves."""
        self.api = None
        workers = [child for each in self._processes if each.poll() is None for child in _children(each.pid)]
        for each in self._processes:
            each.kill()
        for each in self._processes:
            each.wait()
        self._processes = []
        _, left = psutil.wait_procs(workers, timeout=ENDED_SECONDS)
        assert left == []

    def stop(self) -> None:
        """Kills what runs, and lets go of it."""
        self.kill()
        self._running.close()
        self.kills += 1

    def _host(self, name: str) -> tuple[Path, Mapping[str, str]]:
        """Its log, another one after each kill, and its environment."""
        checkpoints = {"SIGNOFF_CHECKPOINT_FILE": str(self._folder / f"{name}.jsonl")}
        return self._folder / f"{name}-{self.kills}.log", {**self._environment, **checkpoints}


def _children(number: int) -> list[psutil.Process]:
    try:
        return psutil.Process(number).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


class Asked(NamedTuple):
    """A decision as it was asked for."""

    path: str
    body: Mapping[str, Any]
    key: str


@dataclass
class Client:
    """Somebody with a token who decides over HTTP, and asks again under the same key until there is an answer."""

    desk: DeskProcesses
    token: str
    ended: threading.Event
    done: list[tuple[Asked, dict[str, Any]]] = field(default_factory=list)  # what was acknowledged
    left: list[Asked] = field(default_factory=list)  # what was recorded and had not ended when somebody asked again
    refused: list[str] = field(default_factory=list)  # the codes of refusals
    lost: int = 0  # questions without an answer

    def decide(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The answer; None where it is refused or is not known yet."""
        asked = Asked(path, {"reason": "Better in every class on the held-out rows.", **body}, uuid.uuid4().hex)
        while not self.ended.wait(PAUSE_SECONDS):
            status, content = self.again(asked)
            if status == HTTPStatus.OK:
                self.done.append((asked, content))
                return dict(content)
            if status not in NOT_KNOWN and content["code"] != LedgerBusy.__name__:
                self.refused.append(content["code"])
                break
        self.left.append(asked)
        return None

    def again(self, asked: Asked) -> tuple[int, Any]:
        """Under the key of then."""
        return self.ask("POST", asked.path, asked.body, **{KEY: asked.key})

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        """Status and content; 0 and nothing where nobody answers."""
        try:
            if (api := self.desk.api) is not None:
                return api.ask(method, f"{DESK}{path}", body, {**JSON, **bearer(self.token), **headers})
        except (OSError, http.client.HTTPException):
            self.lost += 1
        return 0, None

    def find(self, path: str) -> Any:
        """What stands there, as soon as somebody answers; None at the end."""
        while not self.ended.wait(PAUSE_SECONDS):
            status, content = self.ask("GET", path)
            if status == HTTPStatus.OK:
                return content
        return None
