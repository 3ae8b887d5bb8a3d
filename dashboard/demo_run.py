"""Filling an empty registry with `python -m pipeline demo`, in a process of its own that outlives a page and a reload.

The dashboard starts this module as a program. The program holds a file lock as long as the demo runs, so that a second
click joins the running demo, and leaves its output and its exit code in files under `var/`.
"""

import hashlib
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.settings import ROOT, VAR

STEP = re.compile(r"\[(\d+)/(\d+)\] (.*)")
LOCK_SECONDS = 2  # a dashboard that looks holds the lock for a moment


@dataclass(frozen=True)
class DemoState:
    """How far the demo of a registry is."""

    running: bool  # by the file lock: also where another dashboard started it
    last: str  # the last line of its output without its count, empty where it wrote none
    done: int = 0  # steps, by the last line that names one
    total: int = 0
    exit_code: int | None = None  # None while it runs, and where it never ran
    begun: float | None = None  # seconds since the epoch; None where it never ran

    @property
    def share(self) -> float:
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def seconds_left(self, now: float) -> float | None:
        """As if each step took as long as those so far; None before one has ended. now: seconds since the epoch."""
        if self.begun is None or not 0 < self.done <= self.total:
            return None
        return max(now - self.begun, 0) / self.done * (self.total - self.done)


@dataclass(frozen=True)
class DemoRun:
    """The files of one registry's demo: two dashboards on the same registry see the same run."""

    log: Path  # output of the demo
    lock: Path  # held while the demo runs
    exit_file: Path  # exit code of the last run, made empty when a run begins

    @classmethod
    def of(cls, registry: str, folder: Path = VAR) -> "DemoRun":
        name = f"demo-{hashlib.sha256(registry.encode()).hexdigest()[:12]}"
        return cls(folder / f"{name}.log", folder / f"{name}.lock", folder / f"{name}.exit")

    def start(self) -> "subprocess.Popen[bytes]":
        """Starts the program in a session of its own, so that it goes on when the dashboard stops."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "dashboard.demo_run",
            *map(str, (self.log, self.lock, self.exit_file)),
        ]
        return subprocess.Popen(  # noqa: S603 (our own module)
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )

    def state(self) -> DemoState:
        running = self.running
        lines = _read(self.log).splitlines()
        steps = [found for line in lines if (found := STEP.fullmatch(line.strip()))]
        done, total = (int(steps[-1][1]), int(steps[-1][2])) if steps else (0, 0)
        code = _read(self.exit_file).strip()
        ended = None if running or not code else int(code)
        begun = self.exit_file.stat().st_mtime if running and self.exit_file.exists() else None
        last = STEP.sub(r"\3", lines[-1].strip()) if lines else ""
        return DemoState(running, last, done, total, ended, begun)

    @property
    def running(self) -> bool:
        if not self.lock.exists():
            return False
        try:
            with FileLock(self.lock, timeout=0):
                return False
        except Timeout:
            return True

    def run(self) -> None:
        """What the program does: it runs the demo if it gets the lock, and ends if another one has it."""
        try:
            with FileLock(self.lock, timeout=LOCK_SECONDS), self.log.open("wb") as output:
                self.exit_file.write_bytes(b"")
                command = [sys.executable, "-u", "-m", "pipeline", "demo"]
                ended = subprocess.run(  # noqa: S603 (our own command)
                    command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, check=False
                )
                self.exit_file.write_text(str(ended.returncode), encoding="utf-8")
        except Timeout:
            return


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


if __name__ == "__main__":
    DemoRun(*map(Path, sys.argv[1:4])).run()
