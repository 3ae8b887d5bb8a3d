"""The caller's side of the fork server: a process that has done the workers' imports, and splits off workers.

The server's side is `forking`. It is there from when the first worker is wanted until the caller ends.
"""

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import threading
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO

from pipeline.serving.worker.launch.forking import FORK, MOST_BYTES
from pipeline.serving.worker.launch.processes import (
    COMMAND,
    END_SECONDS,
    START_SECONDS,
    UNSEEN,
    Child,
    Launcher,
    OwnProcess,
    does_not_start,
    ending,
    environment,
)

NOWHERE = Path("/nonexistent")  # its home: it reads and writes nothing there, so that it leaves nothing behind
# Else a thread of Arrow's second allocator starts with the import; a process with threads cannot be split safely.
NO_THREADS = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
# How a process ends that reads or jumps where it must not.
CRASHES = {-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGABRT, -signal.SIGILL, -signal.SIGFPE, -signal.SIGTRAP}


class ForkedProcess:
    """A worker that the server has split off: no child of this process. Implements Child.

    Signals go to its pidfd: never to another process that got its number. How it ended is told by the server.
    """

    def __init__(
        self, server: "_Server", told: socket.socket, *, ids: tuple[int, int], pipes: tuple[IO[bytes], IO[bytes]]
    ) -> None:
        """told: where the server says how it ended. ids: its number and its pidfd. pipes: its stdin and stdout."""
        self._server, self._told = server, told
        self.pid, self._pidfd = ids
        self.stdin, self.stdout = pipes
        self._returncode: int | None = None
        self._lock = threading.Lock()
        weakref.finalize(self, _close, self._pidfd, told)  # not before: a thread may be waiting for one of them

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self._returncode is None:
            poller = select.poll()
            poller.register(self._pidfd, select.POLLIN)
            if not poller.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired(FORK, timeout or 0)
            with self._lock:
                if self._returncode is None:
                    self._returncode = self._ended()
                    self._server.crashed |= self._returncode in CRASHES
        return self._returncode

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _ended(self) -> int:
        """UNSEEN where the server has ended as well, or is stopped."""
        self._told.settimeout(END_SECONDS)
        with contextlib.suppress(OSError):
            if message := self._told.recv(MOST_BYTES):
                return int(json.loads(message)["ended"])
        return UNSEEN


def _close(pidfd: int, told: socket.socket) -> None:
    os.close(pidfd)
    told.close()


@dataclass
class _Server:
    """A running fork server."""

    popen: "subprocess.Popen[bytes]"
    requests: socket.socket  # the server ends when this does
    end: "weakref.finalize[..., ForkServer]"  # ends it at once
    answered: bool = False  # whether it has split off a worker
    crashed: bool = False  # whether one of its workers has

    def fork(self, home: Path, niceness: int) -> ForkedProcess:
        """A worker. Raises _Gone where the server ends instead, or does not answer; _Refused, OSError."""
        with contextlib.ExitStack() as opened:
            with contextlib.ExitStack() as given:  # closed before the answer: else its end would not be seen
                told, tells = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                given.enter_context(tells)
                opened.enter_context(told)
                theirs, ours = os.pipe()
                given.callback(os.close, theirs)
                stdin = opened.enter_context(os.fdopen(ours, "wb"))
                ours, answers = os.pipe()
                given.callback(os.close, answers)
                stdout = opened.enter_context(os.fdopen(ours, "rb"))
                self._send({"home": str(home), "niceness": niceness}, (theirs, answers, tells.fileno()))
            ids = _answer(told)
            self.answered = True
            opened.pop_all()
        return ForkedProcess(self, told, ids=ids, pipes=(stdin, stdout))

    def ended(self) -> str:
        """Ends it, and says how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.popen.wait(END_SECONDS)  # it is on its way
        self.end()
        return ending(self.popen.returncode)

    def _send(self, request: dict[str, object], files: tuple[int, ...]) -> None:
        try:
            socket.send_fds(self.requests, [json.dumps(request).encode()], files)
        except (ConnectionError, TimeoutError) as error:
            raise _Gone from error


class _Gone(Exception):
    """The server does not answer."""


class _Refused(Exception):
    """The server cannot be split: it has threads."""


def _answer(told: socket.socket) -> tuple[int, int]:
    """The worker's number and pidfd. Raises _Gone, _Refused, OSError."""
    told.settimeout(START_SECONDS)
    try:
        message, files, _, _ = socket.recv_fds(told, MOST_BYTES, 1, socket.MSG_CMSG_CLOEXEC)
    except (ConnectionError, TimeoutError) as error:
        raise _Gone from error
    if not message:
        raise _Gone
    answer = json.loads(message)
    if answer.get("threads"):
        raise _Refused
    if "pid" not in answer:
        raise OSError(answer["number"], os.strerror(answer["number"]))
    return answer["pid"], files[0]


class ForkServer:
    """Splits workers off one process, which is started when it is needed, and again where it has died.

    After a crash as well: all workers of a server have the same addresses, which whoever makes one crash could learn.
    Where that process cannot be split, each worker is started as OwnProcess does. Implements Launcher, for any threads.
    """

    def __init__(self, command: tuple[str, ...] = COMMAND) -> None:
        self._command, self._own = command, OwnProcess(command)
        self._server: _Server | None = None
        self._retired: list[_Server] = []  # those that still have workers
        self._lock = threading.Lock()
        self._refused = False

    @property
    def pid(self) -> int | None:
        """The number of the server; None while none runs."""
        server = self._server
        return server.popen.pid if server and server.popen.poll() is None else None

    def prepare(self) -> bool:
        if not self._refused:
            self._running()
        return not self._refused

    def start(self, home: Path, *, niceness: int) -> Child:
        while not self._refused:
            server = self._running()
            had_answered = server.answered
            try:
                return server.fork(home, niceness)
            except _Refused:
                self._refused = True
            except _Gone as error:
                how = server.ended()
                if not had_answered:  # else it was killed since, say, which says nothing about the next one
                    raise does_not_start(how) from error
            except OSError as error:
                raise does_not_start(str(error.strerror)) from error
        return self._own.start(home, niceness=niceness)

    def forget(self) -> None:
        """In a process that was split off this one: the servers are the other one's."""
        servers = [*self._retired, *([self._server] if self._server else [])]
        self._server, self._retired, self._lock = None, [], threading.Lock()
        for server in servers:
            server.end.detach()
            server.requests.close()
            server.popen.returncode = 0  # no child of this process

    def _running(self) -> _Server:
        with self._lock:
            if self._server and (self._server.crashed or self._server.popen.poll() is not None):
                self._server.requests.close()
                self._retired.append(self._server)
                self._server = None
            for ended in [each for each in self._retired if each.popen.poll() is not None]:
                self._retired.remove(ended)
                ended.end()
            if self._server is None:
                self._server = self._started()
            return self._server

    def _started(self) -> _Server:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            popen = subprocess.Popen(  # noqa: S603 (our own program, no argument from outside)
                (*self._command, FORK),
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={**environment(NOWHERE), **NO_THREADS},
                start_new_session=True,  # Ctrl-C is for whoever asks
            )
        except OSError as error:
            ours.close()
            raise does_not_start(str(error.strerror)) from error
        finally:
            theirs.close()
        ours.settimeout(START_SECONDS)
        return _Server(popen, ours, weakref.finalize(self, _end, popen, ours))


def _end(popen: "subprocess.Popen[bytes]", requests: socket.socket) -> None:
    """Ends a server at once: it holds nothing, and its workers end with their stdin."""
    requests.close()
    popen.kill()
    popen.wait()


SHARED = ForkServer()
os.register_at_fork(after_in_child=SHARED.forget)


@cache
def launcher() -> Launcher:
    """How workers are started on this machine: all by one fork server, where there are pidfds (Linux)."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return OwnProcess()
    return SHARED
