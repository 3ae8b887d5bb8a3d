"""One question to a worker without a thread: whatever comes back, the event loop never waits and never hangs."""

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
import uvloop

from pipeline.serving.compiled.lane import exchange
from pipeline.serving.worker.client import Pipes
from pipeline.serving.worker.protocol import DOUBLES, BrokenFrame, Frame, frame_in, framed, room_of
from support.loops import run_async

ANSWER = b"".join(framed({"rows": 1, DOUBLES: b"12345678"}))


@dataclass
class OtherEnd:
    """What a worker would hold of two pipes."""

    pipes: Pipes
    asked: int
    answers: int
    killed: threading.Event = field(default_factory=threading.Event)

    def exchange(self, *parts: bytes, question: bytes = b"question", seconds: float = 60.0) -> Frame | None:
        """What the caller gets where the worker answers in these parts, the loop taking one after the other."""

        async def asking() -> Frame | None:
            task = asyncio.create_task(exchange(self.pipes, question, seconds=seconds))
            for part in parts:
                os.write(self.answers, part)
                for _ in range(3):
                    await asyncio.sleep(0)
            return await task

        found: Frame | None = run_async(asking())
        return found


@pytest.fixture
def other_end() -> Iterator[OtherEnd]:
    asked, question = os.pipe()
    answer, answers = os.pipe()
    killed = threading.Event()
    found = OtherEnd(Pipes(question, answer, room_of(question), 1024, killed.set), asked, answers, killed)
    yield found
    for each in (asked, question, answer):
        os.close(each)
    if found.answers >= 0:
        os.close(found.answers)


def test_a_question_is_answered(other_end: OtherEnd) -> None:
    """The worker reads what was written, and its bytes come back."""
    assert other_end.exchange(ANSWER) == {"rows": 1, DOUBLES: b"12345678"}
    assert os.read(other_end.asked, 100) == b"question"
    assert not other_end.killed.is_set()


@pytest.mark.parametrize("first", [1, 4, 10, len(ANSWER) - 8, len(ANSWER) - 1])
def test_an_answer_may_come_in_parts(other_end: OtherEnd, first: int) -> None:
    """Pipes promise nothing about where they cut."""
    assert other_end.exchange(ANSWER[:first], ANSWER[first:]) == {"rows": 1, DOUBLES: b"12345678"}


@pytest.mark.parametrize("wrong", [b"\xff\xff\xff\xff", b"\0\0\0\1x", ANSWER + b"more"])
def test_a_worker_that_answers_something_else_is_ended(other_end: OtherEnd, wrong: bytes) -> None:
    """A length beyond all bounds, no JSON, more than an answer: its next one could not be trusted."""
    assert other_end.exchange(wrong) is None
    assert other_end.killed.is_set()


def test_a_worker_that_does_not_answer_is_ended(other_end: OtherEnd) -> None:
    """After the time limit."""
    assert other_end.exchange(seconds=0.01) is None
    assert other_end.killed.is_set()


def test_a_worker_that_ends_has_no_answer(other_end: OtherEnd) -> None:
    """Whether before the question or in the middle of an answer."""

    async def asking() -> Frame | None:
        task = asyncio.create_task(exchange(other_end.pipes, b"question", seconds=60))
        os.write(other_end.answers, ANSWER[:10])
        await asyncio.sleep(0)
        os.close(other_end.answers)
        other_end.answers = -1
        return await task

    assert run_async(asking()) is None


def test_a_question_that_its_pipe_cannot_hold_is_not_asked(other_end: OtherEnd) -> None:
    """Writing it would hold up every other request; the worker stays."""
    assert other_end.exchange(question=b"x" * (other_end.pipes.room + 1)) is None
    assert not other_end.killed.is_set()


def test_a_caller_who_gives_up_ends_the_worker(other_end: OtherEnd) -> None:
    """Else the next caller would read this answer."""

    async def asking() -> None:
        task = asyncio.create_task(exchange(other_end.pipes, b"question", seconds=60))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_async(asking())
    assert other_end.killed.is_set()


def test_a_thread_may_read_the_same_pipe_afterwards(other_end: OtherEnd) -> None:
    """Uvloop polls a pipe without blocking; a thread that then reads it waits for its answer all the same."""

    async def asking() -> Frame | None:
        os.write(other_end.answers, ANSWER)
        return await exchange(other_end.pipes, b"question", seconds=60)

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(uvloop.run, asking()).result() is not None
    assert os.get_blocking(other_end.pipes.answer)


def test_a_frame_is_whole_or_still_to_come() -> None:
    """Every beginning of one is none yet; more than one is broken."""
    assert [frame_in(ANSWER[:end]) for end in range(len(ANSWER))] == [None] * len(ANSWER)
    with pytest.raises(BrokenFrame):
        frame_in(ANSWER + b"\0")
