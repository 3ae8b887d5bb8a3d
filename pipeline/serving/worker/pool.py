"""Several worker processes behind one door, so that one request does not wait for another."""

import os
import queue
from collections.abc import Mapping
from typing import Any

from pipeline.governance.errors import Unavailable
from pipeline.serving.worker.client import Worker
from pipeline.serving.worker.protocol import Frame


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Pool:
    """`size` workers that start when they are first needed; each dies and starts again by itself.

    The one that was used last is asked first: its model is warm, and few processes run where few are needed.
    """

    def __init__(self, size: int, *, memory_megabytes: int) -> None:
        self.workers = tuple(Worker(memory_megabytes=memory_megabytes) for _ in range(size))
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in reversed(self.workers):
            self._idle.put(worker)

    @property
    def size(self) -> int:
        return len(self.workers)

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the processes that run."""
        return tuple(pid for worker in self.workers if (pid := worker.pid) is not None)

    @property
    def restarts(self) -> int:
        return sum(worker.restarts for worker in self.workers)

    @property
    def waiting(self) -> bool:
        """Whether a request would wait for another one now."""
        return self._idle.empty()

    def start(self, count: int = 1) -> None:
        """Begin with the imports of the first `count`. Returns at once."""
        for worker in self.workers[:count]:
            worker.start()

    def stop(self) -> None:
        """End every process, after the request that it is at. Others start when somebody asks."""
        for worker in self.workers:
            worker.stop()

    def kill(self) -> None:
        """End every process at once and for good."""
        for worker in self.workers:
            worker.kill()

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
