"""Ports for servers that a test starts in a process of their own."""

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

FIRST, EACH = 12_000, 5_000  # per process of pytest-xdist; the kernel's own begin at 32768
NUMBERS = itertools.cycle(range(EACH))


def free_port() -> int:
    """One that the kernel gives to nobody while the server starts, and no other process of this run to another."""
    first = FIRST + EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4)
    while True:
        port = first + next(NUMBERS)
        try:
            with closing(socket.create_server(("127.0.0.1", port))):
                return port
        except OSError:
            continue


@contextmanager
def nobody_listens() -> Iterator[int]:
    """A port that refuses every connection, for as long as it is held."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
