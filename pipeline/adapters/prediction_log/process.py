"""Has another process write the log: `python -m pipeline.adapters.prediction_log`.

Rows and counts are made there, so whoever answers pays for packing rows, and nobody waits for the interpreter's lock
meanwhile. A batch counts once by its number: one that was on its way when the process ended is sent again to the next
one, which goes on with the same block.
"""

import contextlib
import logging
import os
import pickle
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.monitoring.recording.batches import RecordingOptions, ToldBatch
from pipeline.serving.worker.launch.niceness import give_way
from pipeline.serving.worker.launch.processes import START_SECONDS, end_process, ending, time_limit
from pipeline.serving.worker.protocol import BrokenFrame, Frame, read_frame
from pipeline.settings import ROOT

LOG = logging.getLogger(__name__)
# -P: the current folder is no place to import from. It stays the same, since the address of a database may begin there.
COMMAND = (sys.executable, "-P", "-m", "pipeline.adapters.prediction_log")
NICENESS = 10  # of the process, see nice(1): whoever is being answered goes first, and still it keeps up
REPLY_SECONDS = 60.0  # until a process that does not answer is ended: all that it is asked for is bounded
RETRY_SECONDS = 5.0  # until the next start, where one has ended before it answered: to start keeps a core busy
NOT_INHERITED = ("SIGNOFF_", "MLFLOW_")  # addresses and credentials: those that it needs come through its pipe
FOR_WHOEVER_ANSWERS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class _RunningWriter:
    """A running process. It is sent pickles, of which it reads listed types alone, and answers with frames of JSON."""

    popen: "subprocess.Popen[bytes]"
    requests: IO[bytes]
    replies: IO[bytes]
    end: "weakref.finalize[Any, Any]"  # ends the process and gives its exit code
    answered: bool = False  # whether it has, so that its imports are done


class WriterProcess:
    """Implements LogWriter. The process outlives this one by what it was given."""

    def __init__(
        self,
        url: str,
        options: RecordingOptions,
        *,
        command: tuple[str, ...] = COMMAND,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Starts the process and does not wait for its imports. clock: in seconds."""
        self._setup = url, options  # through its pipe: nothing secret is among the arguments of a process
        self._command, self._clock = command, clock
        self._started, self._next_start = 0, clock()
        self._process: _RunningWriter | None = None
        with contextlib.suppress(Unavailable):  # whoever asks first is told
            self._running()

    @property
    def alive(self) -> bool:
        return self.pid is not None

    @property
    def pid(self) -> int | None:
        """The number of the process; None while none runs."""
        process = self._process
        return process.popen.pid if process and process.popen.poll() is None else None

    @property
    def restarts(self) -> int:
        return max(0, self._started - 1)

    def open_block(self, *, process: str, model: str, at: datetime) -> str:
        return str(self._ask("open_block", process=process, model=model, at=at)["found"])

    def write(self, block: str, batch: ToldBatch, *, close: bool = False, urgent: bool = False) -> None:
        self._ask("write", urgent=urgent, block=block, batch=batch, close=close)

    def purge_some(self, before: datetime) -> int:
        return int(self._ask("purge_some", before=before)["found"])

    def close(self) -> None:
        self._end()

    def _ask(self, does: str, *, urgent: bool = False, **given: object) -> Frame:
        """The reply to a method of LogWriter. urgent: a process is started for it, if need be at once.

        Raises Unavailable where there is no reply, and what the method has raised.
        """
        process = self._running(urgent=urgent)
        seconds, reply = REPLY_SECONDS if process.answered else START_SECONDS, None
        # A process that ended closes its pipes, or has sent half of a reply.
        with time_limit(process.popen, seconds) as over, contextlib.suppress(OSError, BrokenFrame):
            process.requests.write(pickle.dumps((does, pickle.dumps(given))))
            process.requests.flush()
            reply = read_frame(process.replies)
        if reply is None:
            how = self._end()
            why = f"did not answer within {seconds:g} s" if over.is_set() else f"has ended ({how})"
            raise Unavailable(f"the log of predictions: the process that writes it {why}")
        process.answered = True
        if "error" in reply:
            raise (InvalidInput if reply["kind"] == InvalidInput.__name__ else Unavailable)(reply["error"])
        return reply

    def _running(self, *, urgent: bool = False) -> _RunningWriter:
        """The process; another one where it has ended, unless that is to be waited for."""
        if self._process is not None and self.alive:
            return self._process
        if self._process is not None:
            LOG.warning("the log of predictions: the process that writes it has ended (%s)", self._end())
        if self._clock() < self._next_start and not urgent:
            raise Unavailable("the log of predictions: the process that writes it has ended; another one starts soon")
        self._process = self._start()
        return self._process

    def _start(self) -> _RunningWriter:
        try:
            with _blocked(*FOR_WHOEVER_ANSWERS):
                popen = subprocess.Popen(  # noqa: S603 (our own program, no argument from outside)
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env=_environment(),
                    start_new_session=True,  # for its niceness, see give_way
                )
        except OSError as error:
            why = f"the process that writes it does not start ({error.strerror})"
            raise Unavailable(f"the log of predictions: {why}") from error
        self._started += 1
        give_way(NICENESS, pid=popen.pid)
        assert popen.stdin is not None and popen.stdout is not None  # noqa: S101, PT018 (asked for above)
        with contextlib.suppress(OSError):  # it has ended, which whoever asks it notices
            pickle.dump(self._setup, popen.stdin)
            popen.stdin.flush()
        return _RunningWriter(popen, popen.stdin, popen.stdout, weakref.finalize(self, end_process, popen))

    def _end(self) -> str:
        """Ends the process, and gives how it ended in a word or two."""
        process, self._process = self._process, None
        if process is None:
            return ""
        if not process.answered:
            self._next_start = self._clock() + RETRY_SECONDS
        return ending(int(process.end() or 0))


def _environment() -> dict[str, str]:
    """The variables of the process: those of this one, such as a database's own (PGPASSFILE), but none of Signoff's."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(NOT_INHERITED)}
    path = os.pathsep.join(each for each in (str(ROOT), inherited.get("PYTHONPATH")) if each)
    return {**inherited, "PYTHONPATH": path, "PYTHONUTF8": "1"}


@contextlib.contextmanager
def _blocked(*signals: signal.Signals) -> Iterator[None]:
    """Signals wait for this thread until the block ends. A process that it starts meanwhile never gets them.

    See signal(7): the mask is inherited. The process could ignore them itself only once it has started.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
