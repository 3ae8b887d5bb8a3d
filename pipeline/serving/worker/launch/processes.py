"""How a worker process is started, what it inherits, and how its end reads.

By subprocess, never multiprocessing: from a Streamlit script thread that would run the script again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Protocol

from pipeline.governance.errors import Unavailable
from pipeline.serving.worker.launch.niceness import give_way
from pipeline.settings import ROOT

# -P: the current folder is no place to import from.
COMMAND = (sys.executable, "-P", "-m", "pipeline.serving.worker")
START_SECONDS = 120.0  # importing scikit-learn, on a machine that is busy with other things
END_SECONDS = 2.0
UNSEEN = 256  # the exit code of a process whose end nobody has seen; real ones are smaller


class Child(Protocol):
    """A running process with pipes, as subprocess.Popen has it."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def stdin(self) -> IO[bytes] | None:
        """Requests go there."""

    @property
    def stdout(self) -> IO[bytes] | None:
        """Answers come from there."""

    def poll(self) -> int | None:
        """Its exit code, the negative number of the signal that ended it, or UNSEEN; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises subprocess.TimeoutExpired after `timeout` seconds."""

    def kill(self) -> None:
        """Ends it at once; does nothing where it has ended."""


class Launcher(Protocol):
    """The port of whoever starts worker processes."""

    def prepare(self) -> bool:
        """Begins with the imports of all workers, and returns at once; False where each has to do that for itself."""

    def start(self, home: Path, *, niceness: int) -> Child:
        """A process that says `{"ready": true}` once its imports are done. Raises Unavailable.

        home: its current folder, where nothing to import lies. niceness: see nice(1).
        """


class OwnProcess:
    """Starts each worker from nothing, with imports of its own: seconds, and nothing shared. Implements Launcher."""

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command = command

    def prepare(self) -> bool:
        return False

    def start(self, home: Path, *, niceness: int) -> Child:
        try:
            popen = subprocess.Popen(  # noqa: S603 (our own program, no argument from outside)
                (*self._command, "--warm"),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd=home,
                env=environment(home),
                start_new_session=True,  # Ctrl-C is for whoever asks
            )
        except OSError as error:
            raise does_not_start(str(error.strerror)) from error
        if niceness:
            give_way(niceness, pid=popen.pid)
        return popen


def environment(home: Path) -> dict[str, str]:
    """The worker's variables: no address, no credentials; one thread, so that memory does not grow with the cores."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    return {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **threads, **quiet}


def does_not_start(reason: str) -> Unavailable:
    return Unavailable(f"the worker: does not start ({reason})")


def ending(returncode: int) -> str:
    """How a process ended, in a word or two, such as SIGSEGV or "exit code 1"."""
    if returncode == UNSEEN:
        return "nobody saw how"
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


@contextlib.contextmanager
def time_limit(child: Child, seconds: float) -> Iterator[threading.Event]:
    """Kills the process when the time is over, which frees whoever reads its pipes; the event tells."""
    over = threading.Event()

    def end() -> None:
        over.set()
        child.kill()

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield over
    finally:
        timer.cancel()


def end_process(child: Child) -> int:
    """Ends a process by closing its stdin, kills one that is busy, and gives its exit code."""
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):  # what was not sent any more
            if pipe:
                pipe.close()
    try:
        return child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()
