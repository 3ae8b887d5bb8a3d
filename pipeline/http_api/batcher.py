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
from pipeline.serving.predictions import Explanations, PredictedColumns, Prediction, Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.validation.columns import CheckedColumns
from pipeline.validation.rows import CheckedRow

Result = TypeVar("Result")
MOST_TOGETHER = 64  # callers that are asked about at once


class TookTooLong(Unavailable):
    """No answer within the time limit of a request."""

    http_status = 504


@dataclass(eq=False)
class _Waiting:
    """One caller's row, or its columns, and the answer that it waits for."""

    target: Target
    asked: CheckedRow | CheckedColumns
    answer: "asyncio.Future[Prediction | PredictedColumns]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def joins(self, first: "_Waiting") -> bool:
        """Only single rows are asked about together; columns are many already."""
        rows = isinstance(self.asked, CheckedRow) and isinstance(first.asked, CheckedRow)
        return rows and self.target is first.target


class MicroBatcher:
    """Belongs to one event loop. lanes: requests that the workers take at once. seconds: limit of one answer."""

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

    async def predict(self, target: Target, row: CheckedRow) -> Prediction:
        """Raises TookTooLong, Unavailable, WorkerRefusal."""
        found = await self._answered(_Waiting(target, row))
        assert isinstance(found, Prediction)  # noqa: S101 (what a row is answered with)
        return found

    async def predict_columns(self, target: Target, checked: CheckedColumns) -> PredictedColumns:
        """The usable rows, at least one, by one worker: to share a few thousand gains less than it costs the others.

        Raises as predict does.
        """
        found = await self._answered(_Waiting(target, checked))
        assert isinstance(found, PredictedColumns)  # noqa: S101 (what columns are answered with)
        return found

    async def explain(self, target: Target, row: CheckedRow) -> Explanations:
        """One row; one explanation at a time, so that predictions do not wait for many. Raises as predict does."""
        loop = asyncio.get_running_loop()
        return await self._within_limit(
            loop.run_in_executor(self._explaining, self._scorer.explain, target, [row.values])
        )

    async def _answered(self, waiting: _Waiting) -> Prediction | PredictedColumns:
        self._line.append(waiting)
        if len(self._serving) < self._lanes:
            self._serving.add(asyncio.create_task(self._serve()))
        return await self._within_limit(waiting.answer)

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
        """The first who has not given up, and those after it who can be asked about together with it."""
        together: list[_Waiting] = []
        while self._line and len(together) < MOST_TOGETHER:
            if together and not self._line[0].joins(together[0]):
                break
            following = self._line.popleft()
            if not following.answer.done():
                together.append(following)
        return together

    async def _answer(self, together: list[_Waiting], *, again: bool = True) -> None:
        asked = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, together)
        await asyncio.wait([asked])
        if error := asked.exception():
            await self._after(error, together, again=again)
            return
        for each, found in zip(together, asked.result(), strict=True):
            if not each.answer.done():
                each.answer.set_result(found)

    async def _after(self, error: BaseException, together: list[_Waiting], *, again: bool) -> None:
        """A crash is tried once more, and of several each alone: nobody pays for somebody else's row."""
        if len(together) > 1 and isinstance(error, SignoffError):
            for each in together:
                await self._answer([each])
        elif again and isinstance(error, WorkerRefusal) and error.kind == "crash":
            await self._answer(together, again=False)
        else:
            for each in together:
                if not each.answer.done():
                    each.answer.set_exception(error)

    def _ask(self, together: Sequence[_Waiting]) -> Sequence[Prediction | PredictedColumns]:
        target, first = together[0].target, together[0].asked
        if isinstance(first, CheckedColumns):
            return [self._scorer.predict_columns(target, first)]
        rows = [each.asked for each in together if isinstance(each.asked, CheckedRow)]
        return self._scorer.predict_checked(target, rows).rows
