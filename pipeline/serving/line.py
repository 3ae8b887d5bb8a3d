"""Predictions for many callers at once: whoever comes while the workers are busy waits in line, and those who wait for
the same version are asked about together. One forest takes about as long for ten rows as for one.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from pipeline.governance.errors import SignoffError, Unavailable
from pipeline.serving.client import WorkerRefusal
from pipeline.serving.predictions import Explanations, Prediction, Target
from pipeline.serving.rows import CheckedRow
from pipeline.serving.scorer import Scorer

Result = TypeVar("Result")
Answer = tuple[Prediction, ...]
MOST_TOGETHER = 64  # rows that are asked about at once, where they come from several callers
FEWEST_APART = 100  # rows: fewer are not worth a second worker


class TookTooLong(Unavailable):
    """No answer within the time limit of a request."""

    http_status = 504


@dataclass(eq=False)
class _Waiting:
    """One caller's rows and what it waits for."""

    target: Target
    rows: Sequence[CheckedRow]
    answer: "asyncio.Future[Answer]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Line:
    """Belongs to one event loop. lanes: requests that the worker takes at once. seconds: limit of one answer."""

    def __init__(self, scorer: Scorer, *, lanes: int, seconds: float) -> None:
        self._scorer, self._lanes, self._seconds = scorer, lanes, seconds
        self._line: deque[_Waiting] = deque()
        self._serving: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(lanes, thread_name_prefix="predict")
        self._explaining = ThreadPoolExecutor(1, thread_name_prefix="explain")

    def close(self) -> None:
        """Whoever still waits is told nothing: the server has ended their connections."""
        for threads in (self._threads, self._explaining):
            threads.shutdown(wait=False, cancel_futures=True)

    async def predict(self, target: Target, rows: Sequence[CheckedRow]) -> Answer:
        """One prediction per row. Raises TookTooLong, Unavailable, WorkerRefusal."""
        step = max(FEWEST_APART, -(-len(rows) // self._lanes))
        asked = [_Waiting(target, rows[start : start + step]) for start in range(0, len(rows), step)]
        self._line.extend(asked)
        for _ in range(min(self._lanes - len(self._serving), len(asked))):
            self._serving.add(asyncio.create_task(self._serve()))
        answers = await self._within_limit(asyncio.gather(*(each.answer for each in asked)))
        return tuple(each for answer in answers for each in answer)

    async def explain(self, target: Target, row: CheckedRow) -> Explanations:
        """One row; one explanation at a time, so that predictions do not wait for many. Raises as predict does."""
        loop = asyncio.get_running_loop()
        return await self._within_limit(
            loop.run_in_executor(self._explaining, self._scorer.explain, target, [row.values])
        )

    async def _within_limit(self, answer: "asyncio.Future[Result]") -> Result:
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            raise TookTooLong(f"the prediction: took more than {self._seconds:g} s; try again") from None

    async def _serve(self) -> None:
        """One lane, until nobody waits."""
        while together := self._next():
            await self._answer(together)
        self._serving.remove(asyncio.current_task())  # type: ignore[arg-type]

    def _next(self) -> list[_Waiting]:
        """The first, and those after it who can be asked about together with it."""
        together: list[_Waiting] = []
        rows = 0
        while self._line:
            following = self._line[0]
            rows += len(following.rows)
            if together and (rows > MOST_TOGETHER or following.target is not together[0].target):
                break
            self._line.popleft()
            if not following.answer.done():  # whoever gave up
                together.append(following)
        return together

    async def _answer(self, together: list[_Waiting], *, again: bool = True) -> None:
        """A crash is tried once more, and of several each alone: nobody pays for somebody else's row."""
        rows = [row for each in together for row in each.rows]
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(self._threads, self._scorer.predict_checked, together[0].target, rows)
        await asyncio.wait([asked])
        error = asked.exception()
        if error is None:
            _hand_out(asked.result().rows, together)
        elif len(together) > 1 and isinstance(error, SignoffError):
            for each in together:
                await self._answer([each])
        elif again and isinstance(error, WorkerRefusal) and error.kind == "crash":
            await self._answer(together, again=False)
        else:
            for each in together:
                if not each.answer.done():
                    each.answer.set_exception(error)


def _hand_out(found: Sequence[Prediction], together: Sequence[_Waiting]) -> None:
    start = 0
    for each in together:
        end = start + len(each.rows)
        if not each.answer.done():
            each.answer.set_result(tuple(found[start:end]))
        start = end
