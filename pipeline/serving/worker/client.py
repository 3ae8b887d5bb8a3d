"""The caller's side of the worker: starts it, asks one thing at a time, and starts another where one has died."""

import contextlib
import os
import queue
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

from pipeline.governance.errors import IntegrityFailure, InvalidInput, Refused, SignoffError, Unavailable
from pipeline.serving.worker.launch.fork_server import launcher
from pipeline.serving.worker.launch.processes import (
    START_SECONDS,
    Child,
    Launcher,
    does_not_start,
    end_process,
    ending,
    time_limit,
)
from pipeline.serving.worker.protocol import BrokenFrame, Frame, framed, read_frame, room_of

COLONS = {"refused", "untrusted", "not_here"}  # kinds whose sentence is about "it"


class Answering(Protocol):
    """The port of whoever answers requests about models, on this machine or elsewhere."""

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        """See Worker.ask."""


class Asked(Answering, Protocol):
    """The port of worker processes that we started: a Worker, or a Pool of them."""

    def start(self) -> None:
        """Begins with the imports that the first request would wait for. Returns at once."""

    def stop(self) -> None:
        """Ends what was started, after the requests in progress."""

    def kill(self) -> None:
        """Ends the processes at once; whoever waits for an answer gets a crash."""

    def pipes(self) -> "contextlib.AbstractContextManager[Pipes | None]":
        """The pipes of an idle worker for one exchange, during which nobody else asks it; None where none is idle."""

    def apart(self, worker: "Asked") -> "contextlib.AbstractContextManager[None]":
        """Sends no request to an idle worker until the block ends; it can be asked directly."""

    @property
    def workers(self) -> Sequence["Asked"]:
        """The workers that can be asked one by one."""

    @property
    def restarts(self) -> int:
        """How many processes took the place of another."""


class WorkerRefusal(Refused):
    """The worker did not do what it was asked.

    kind: "untrusted" by the policy, "not_here" for a library that is not installed or is another version, "refused" for
    files that cannot be used, "failed" by the model, "no_input_example", "memory", "time", "crash".
    reason: the sentence without the name of the version.
    """

    def __init__(self, about: str, reason: str, *, kind: str) -> None:
        super().__init__(f"{about}{':' if kind in COLONS else ''} {reason}")
        self.about, self.reason, self.kind = about, reason, kind

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles all fields, so that the error comes back whole from another machine."""
        return partial(WorkerRefusal, kind=self.kind), (self.about, self.reason)


@dataclass(frozen=True)
class Pipes:
    """Both ends of a worker that waits for a question, for whoever exchanges frames without a thread."""

    question: int  # file descriptor: frames are written to it
    answer: int  # file descriptor: one frame comes for each
    room: int  # bytes that can be written without waiting
    memory_megabytes: int  # for the frame
    kill: Callable[[], None]  # where the exchange does not end: the worker's next answer would be to this question


@dataclass
class _Process:
    """A running worker process."""

    child: Child
    stdin: IO[bytes]  # requests go there
    stdout: IO[bytes]  # answers come from there
    end: "weakref.finalize[Any, Any]"  # ends the process and gives its exit code
    room: int  # bytes that its stdin takes without waiting
    ready: bool = False  # whether its imports are done


class Worker:
    """One worker process, started when first needed or by `start`; any number of threads may ask."""

    def __init__(self, *, memory_megabytes: int, niceness: int = 0, by: Launcher | None = None) -> None:
        """niceness: of the process, see nice(1). by: starts it, None for how it is done on this machine."""
        self.memory_megabytes, self._niceness = memory_megabytes, niceness
        self._launcher = by or launcher()
        self._process: _Process | None = None
        self._lock = threading.Lock()
        self._started = 0
        self._killed = False

    @property
    def pid(self) -> int | None:
        """The number of the process; None while none runs."""
        process = self._process
        return process.child.pid if process and process.child.poll() is None else None

    @property
    def workers(self) -> Sequence["Worker"]:
        """This one worker; see Pool."""
        return (self,)

    @property
    def restarts(self) -> int:
        """How many processes took the place of another."""
        return max(0, self._started - 1)

    def start(self) -> None:
        """Begins with the imports that the first request would wait for. Returns at once."""
        with self._lock:
            if not self._launcher.prepare():
                self._running()

    def stop(self) -> None:
        """Ends the process after the request in progress. Another one starts with the next request."""
        with self._lock:
            self._end()

    def kill(self) -> None:
        """Ends the process at once and for good; whoever waits for an answer gets a crash."""
        self._killed = True  # else a request that is under way would start another one
        process = self._process
        if process:
            process.child.kill()

    @contextlib.contextmanager
    def pipes(self) -> Iterator[Pipes | None]:
        """See Asked.pipes."""
        if not self._lock.acquire(blocking=False):
            yield None
            return
        try:
            process = self._process
            if process is None or not process.ready or process.child.poll() is not None:
                yield None
                return
            ends = process.stdin.fileno(), process.stdout.fileno(), process.room
            yield Pipes(*ends, self.memory_megabytes, process.child.kill)
        finally:
            self._lock.release()

    @contextlib.contextmanager
    def apart(self, worker: Asked) -> Iterator[None]:  # noqa: ARG002 (itself)
        """See Asked.apart: it is the only one, so requests wait."""
        yield

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        """The worker's answer. `about` begins the sentence of a refusal, such as "version 3 of obesity".

        Raises WorkerRefusal, which is Refused; InvalidInput for rows that the model cannot take; IntegrityFailure where
        the private copy has changed; Unavailable where the worker is busy for `seconds`, or does not start.
        """
        if not self._lock.acquire(timeout=seconds):
            raise Unavailable(f"the worker: is busy with other requests for more than {seconds:g} s; try again")
        try:
            answer = self._exchange(request, seconds, about)
        except BaseException:
            self._end()  # its next answer would be to a question that nobody waits for any more
            raise
        finally:
            self._lock.release()
        if "error" in answer:
            raise self._refusal(answer, about)
        return answer

    def _exchange(self, request: Mapping[str, Any], seconds: float, about: str) -> Frame:
        process = self._running()
        self._wait_until_ready(process)
        limits = {"memory_megabytes": self.memory_megabytes, "cpu_seconds": seconds}
        try:
            question = framed({**request, **limits})
        except BrokenFrame as error:
            raise InvalidInput("the rows: are too many, or too long, for one request") from error
        answer = None
        # A process that ended closes its pipes, or has sent half of an answer.
        with time_limit(process.child, seconds) as over, contextlib.suppress(OSError, BrokenFrame):
            process.stdin.writelines(question)
            process.stdin.flush()
            answer = read_frame(process.stdout)
        if over.is_set():
            raise WorkerRefusal(about, f"did not answer within {seconds:g} s", kind="time")
        if answer is None:
            reason = f"crashed the process that tried it ({ending(self._end())})"
            raise WorkerRefusal(about, reason, kind="crash")
        return answer

    def _wait_until_ready(self, process: _Process) -> None:
        if process.ready:
            return
        with time_limit(process.child, START_SECONDS), contextlib.suppress(OSError, BrokenFrame):
            process.ready = read_frame(process.stdout) is not None
        if not process.ready:
            raise does_not_start(ending(self._end()))

    def _running(self) -> _Process:
        if not self._killed and (self._process is None or self._process.child.poll() is not None):
            self._end()
            self._process = self._start()
        if self._killed or self._process is None:  # maybe meanwhile
            raise Unavailable("the worker: has ended")
        return self._process

    def _start(self) -> _Process:
        home = Path(tempfile.mkdtemp(prefix="signoff-worker-"))  # its current folder: nothing to import lies there
        try:
            child = self._launcher.start(home, niceness=self._niceness)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
        self._started += 1
        assert child.stdin is not None and child.stdout is not None  # noqa: S101, PT018 (a launcher's are pipes)
        end = weakref.finalize(self, _end_worker, child, home)
        return _Process(child, child.stdin, child.stdout, end, room_of(child.stdin.fileno()))

    def _end(self) -> int:
        """Ends the process and gives its exit code; 0 where there was no process."""
        process, self._process = self._process, None
        return int(process.end() or 0) if process else 0

    def _refusal(self, answer: Frame, about: str) -> SignoffError:
        kind, reason = str(answer.get("kind")), str(answer["error"])
        if kind == "invalid":
            return InvalidInput(reason)
        if kind == "integrity":
            return IntegrityFailure(f"{about}: {reason}")
        if kind == "memory":
            reason = f"needs more than {self.memory_megabytes} MB of memory"
        return WorkerRefusal(about, reason, kind=kind)


def _end_worker(child: Child, home: Path) -> int:
    returncode = end_process(child)
    shutil.rmtree(home, ignore_errors=True)
    return returncode


# Several worker processes, so that one request does not wait for another.


def cores() -> int:
    """The number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """`size` workers that start when they are first needed; each dies and starts again by itself.

    The one that was used last is asked first: its model is warm, and few processes run where few are needed.
    """

    def __init__(self, size: int, *, memory_megabytes: int, niceness: int = 0, by: Launcher | None = None) -> None:
        """niceness, by: see Worker."""
        workers = (Worker(memory_megabytes=memory_megabytes, niceness=niceness, by=by) for _ in range(size))
        self.workers = tuple(workers)
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in reversed(self.workers):
            self._idle.put(worker)

    @property
    def size(self) -> int:
        return len(self.workers)

    @property
    def pids(self) -> tuple[int, ...]:
        """The numbers of the processes that run."""
        return tuple(pid for worker in self.workers if (pid := worker.pid) is not None)

    @property
    def restarts(self) -> int:
        return sum(worker.restarts for worker in self.workers)

    @property
    def waiting(self) -> bool:
        """Whether all workers are busy, so that a request would wait now."""
        return self._idle.empty()

    def start(self, count: int = 1) -> None:
        """Begins with the imports of the first `count` workers. Returns at once."""
        for worker in self.workers[:count]:
            worker.start()

    def stop(self) -> None:
        """Ends every process after the request in progress. Others start with the next request."""
        for worker in self.workers:
            worker.stop()

    def kill(self) -> None:
        """Ends every process at once and for good."""
        for worker in self.workers:
            worker.kill()

    @contextlib.contextmanager
    def pipes(self) -> Iterator[Pipes | None]:
        """See Asked.pipes."""
        try:
            worker = self._idle.get_nowait()
        except queue.Empty:
            yield None
            return
        try:
            with worker.pipes() as found:
                yield found
        finally:
            self._idle.put(worker)

    @contextlib.contextmanager
    def apart(self, worker: Asked) -> Iterator[None]:
        """See Asked.apart; to a worker that is busy, requests go on and wait with whoever asks it directly."""
        with self._idle.mutex:
            idle = [each for each in self._idle.queue if each is worker]
            self._idle.queue = [each for each in self._idle.queue if each is not worker]
        try:
            yield
        finally:
            for each in idle:
                self._idle.put(each)

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        """The answer of an idle worker. Raises as Worker.ask; Unavailable where all are busy for `seconds`."""
        try:
            worker = self._idle.get(timeout=seconds)
        except queue.Empty:
            raise Unavailable(
                f"the workers: are busy with other requests for more than {seconds:g} s; try again"
            ) from None
        try:
            return worker.ask(request, seconds=seconds, about=about)
        finally:
            self._idle.put(worker)
