"""A Prometheus server of the tests' own, which scrapes real servers every second; it ends with the block."""

import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.ports import free_port

SECONDS = 120.0


@dataclass(frozen=True)
class Prometheus:
    """A running server."""

    url: str

    def ask(self, query: str) -> list[dict[str, Any]]:
        """The series of an instant query, each with `metric` and `value`."""
        found: list[dict[str, Any]] = self.get(f"/api/v1/query?{urllib.parse.urlencode({'query': query})}")["result"]
        return found

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}{path}", timeout=SECONDS) as answer:
            return json.loads(answer.read())["data"]

    def firing(self) -> dict[str, Mapping[str, str]]:
        """The annotations of each alert that fires, by its name."""
        alerts = self.get("/api/v1/alerts")["alerts"]
        return {each["labels"]["alertname"]: each["annotations"] for each in alerts if each["state"] == "firing"}

    def until(self, holds: Callable[[], bool], about: Callable[[], object]) -> None:
        """Waits. about: what is said where it does not come to be."""
        deadline = time.monotonic() + SECONDS
        while not holds():
            assert time.monotonic() < deadline, about()
            time.sleep(0.1)


@contextmanager
def prometheus(folder: Path, rules: Path, targets: Mapping[str, str]) -> Iterator[Prometheus]:
    """Scrapes targets (HOST:PORT by the name of their job) and evaluates the rules, both once a second."""
    port = free_port()
    configuration = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
    file, log = folder / "prometheus.yml", folder / "prometheus.log"
    file.write_text(yaml.safe_dump(configuration), encoding="utf-8")
    command = [
        str(program("prometheus")),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        found = Prometheus(f"http://127.0.0.1:{port}")
        _wait_for(found, process, log)
        yield found
    finally:
        process.kill()
        process.wait()


def _wait_for(server: Prometheus, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}/-/ready", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"Prometheus did not start:\n{log.read_text(errors='replace')}")


def program(name: str) -> Path:
    """As `installed`. Skips the test where it is missing, but not in CI."""
    found = installed(name)
    if found is None and "CI" not in os.environ:
        pytest.skip(f"{name} is not installed; .ci/install-services does that")
    assert found is not None, f"no {name}: run .ci/install-services"
    return found


def installed(name: str) -> Path | None:
    """Where `prometheus` or `promtool` is: on the path, or put there by .ci/install-services; None where it is not."""
    caches = [Path("/var/cache"), Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")]
    found = [
        *([Path(there)] if (there := shutil.which(name)) else []),
        *(cache / "signoff" / "prometheus" / "usr" / "bin" / name for cache in caches),
    ]
    return next((each for each in found if each.exists()), None)
