"""A registry that has just not answered is not asked again by everybody who waited."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.governance.errors import Unavailable

QUIET_SECONDS = 1.0


class Outage:
    """Pages wait for each other's reads: without this the tenth visitor of a silent server waits ten time limits."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._last: tuple[float, Unavailable] | None = None

    @contextmanager
    def noticed(self) -> Iterator[None]:
        """Raises Unavailable at once, in the words of the last time, for a second after a call ended with it."""
        with self._lock:
            last = self._last
        if last is not None and self._monotonic() - last[0] < QUIET_SECONDS:
            raise Unavailable(str(last[1])) from last[1]
        try:
            yield
        except Unavailable as error:
            with self._lock:
                self._last = self._monotonic(), error
            raise
