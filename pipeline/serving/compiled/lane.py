"""One question to a worker on an event loop: written to its pipe and read from it, without a thread in between.

A thread costs two changes of context and a wait for the interpreter's lock, which is more than a compiled form needs.
"""

import asyncio
import os

from pipeline.serving.worker.client import Pipes
from pipeline.serving.worker.protocol import BrokenFrame, Frame, frame_in

MOST_READ = 2**16


async def exchange(pipes: Pipes, question: bytes, *, seconds: float) -> Frame | None:
    """The worker's answer; None where the question is too long for its pipe, or where the worker ends or is ended.

    It is ended where it does not answer within `seconds`, answers no frame, or whoever asks is cancelled.
    """
    if len(question) > pipes.room:
        return None
    found = None
    try:
        os.write(pipes.question, question)
        found = await _Reading(pipes.answer).frame(seconds)
    except OSError:  # it has ended
        return None
    finally:
        if found is None:
            pipes.kill()
    return found


class _Reading:
    """One frame that comes through a pipe."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._received = pipe, bytearray()
        self._loop = asyncio.get_running_loop()
        self._answered: asyncio.Future[Frame | None] = self._loop.create_future()

    async def frame(self, seconds: float) -> Frame | None:
        """None where the pipe ends, brings something else than a frame, or nothing in time."""
        late = self._loop.call_later(seconds, self._settle, None)
        self._loop.add_reader(self._pipe, self._read)
        try:
            return await self._answered
        finally:
            late.cancel()
            self._loop.remove_reader(self._pipe)
            os.set_blocking(self._pipe, True)  # uvloop leaves it as it polls it; a thread would take that for an end

    def _read(self) -> None:
        """Takes what is there, which does not wait: it is called when there is something, or the end."""
        try:
            part = os.read(self._pipe, MOST_READ)
            self._received += part
            found = frame_in(self._received)
        except (OSError, BrokenFrame):
            self._settle(None)
            return
        if found is not None or not part:
            self._settle(found)

    def _settle(self, found: Frame | None) -> None:
        if not self._answered.done():
            self._answered.set_result(found)
