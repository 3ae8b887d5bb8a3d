"""The fork server's side: a process that splits off workers, and never loads a model.

A message on its standard input, a socket, is JSON with the worker's `home` and `niceness`. It brings three files: the
worker's stdin and stdout, and a socket for two answers: `{"pid": ...}` with the worker's pidfd, and `{"ended": exit
code}`. In place of both there may be `{"threads": true}`, where this process cannot be split, or `{"number": errno}`.
"""

import contextlib
import gc
import json
import os
import select
import socket
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.serving.worker.launch.niceness import give_way

FORK = "--fork"  # the argument of the process
MOST_BYTES = 2**16  # of a message
THREADS = Path("/proc/self/task")


class _Forked(NamedTuple):
    """A worker that runs."""

    pid: int
    told: socket.socket  # where its end is told


def fork_workers() -> None:
    """Splits off workers until the socket ends, and with the last of them this process. Returns in each worker.

    Whoever calls it has imported what all workers need.
    """
    gc.collect()
    gc.freeze()  # else a collection in a worker would write to all that it shares with the others, which copies it
    requests = socket.socket(fileno=0)
    workers: dict[int, _Forked] = {}  # by pidfd
    poller = select.poll()
    poller.register(requests, select.POLLIN)
    wanted = True
    while wanted or workers:
        for ready, _ in poller.poll():
            if ready in workers:
                poller.unregister(ready)
                _tell_end(ready, workers.pop(ready))
                continue
            message, files, _, _ = socket.recv_fds(requests, MOST_BYTES, 3, socket.MSG_CMSG_CLOEXEC)
            if not message:
                poller.unregister(requests)
                wanted = False
                continue
            *pipes, number = files
            told = socket.socket(fileno=number)
            pid = _fork(told)
            if pid == 0:
                requests.detach()  # its number becomes that of stdin
                _close(told, workers)
                _set_up(pipes, **json.loads(message))
                return
            for pipe in pipes:
                os.close(pipe)
            if pid is not None and (pidfd := _tell_start(pid, told)) is not None:
                workers[pidfd] = _Forked(pid, told)
                poller.register(pidfd, select.POLLIN)
    os._exit(0)  # at once: the end of an interpreter with all these modules takes a tenth of a second


def _fork(told: socket.socket) -> int | None:
    """As os.fork; None where that cannot be done, which is told."""
    try:
        if len(list(THREADS.iterdir())) == 1:
            return os.fork()
        _tell(told, {"threads": True})
    except OSError as error:
        _tell(told, {"number": error.errno})
    told.close()
    return None


def _tell_start(pid: int, told: socket.socket) -> int | None:
    """The worker's pidfd; None where there is none: the worker ends when its caller does not get one either.

    Its number is nobody else's until its end is taken note of.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        _tell(told, {"number": error.errno})
        told.close()
        return None
    _tell(told, {"pid": pid}, pidfd)
    return pidfd


def _tell_end(pidfd: int, worker: _Forked) -> None:
    _, status = os.waitpid(worker.pid, 0)
    _tell(worker.told, {"ended": os.waitstatus_to_exitcode(status)})
    worker.told.close()
    os.close(pidfd)


def _tell(told: socket.socket, answer: dict[str, Any], *files: int) -> None:
    with contextlib.suppress(OSError):  # whoever asked has gone, and the worker's stdin with it
        socket.send_fds(told, [json.dumps(answer).encode()], files)


# In the worker.


def _close(told: socket.socket, workers: dict[int, _Forked]) -> None:
    """Nothing of the server or of another worker stays open."""
    told.close()
    for pidfd, worker in workers.items():
        worker.told.close()
        os.close(pidfd)


def _set_up(pipes: list[int], *, home: str, niceness: int) -> None:
    import numpy as np  # noqa: PLC0415 (is there: the server has imported it)

    os.setsid()
    for stream, pipe in enumerate(pipes):
        os.dup2(pipe, stream)
        os.close(pipe)
    os.chdir(home)
    os.environ["HOME"] = home
    if niceness:
        give_way(niceness)
    np.random.seed()  # what scikit-learn draws from without a seed; Python's own generator does so by itself
