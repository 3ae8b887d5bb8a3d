"""Ports for servers that a test starts in a process of their own."""

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

NUMBERS = itertools.cycle(range(12_000, 32_000))  # below those that the kernel gives away: they begin at 32768
LOCKS = Path(f"/tmp/signoff-test-ports-{os.getuid()}")  # the same for all runs, wherever they keep their own files
HELD: list[FileLock] = []  # until this process ends


def free_port() -> int:
    """One that nobody listens on, and that no other process of this or another test run on this machine is given.

    A server that is stopped and started again finds it free, for the port stays with the process that asked.
    """
    LOCKS.mkdir(exist_ok=True)
    while True:
        port = next(NUMBERS)
        lock = FileLock(LOCKS / str(port))
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        try:
            with closing(socket.create_server(("127.0.0.1", port))):
                HELD.append(lock)
                return port
        except OSError:
            lock.release()


@contextmanager
def nobody_listens() -> Iterator[int]:
    """A port that refuses every connection, for as long as it is held."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
