"""Micro-batching queue: single-row requests that wait for the same version go to a worker as one batch.

A forest takes about as long for ten rows as for one. A request that finds a worker idle is not held back. Where the
version has a compiled form, that is asked on the event loop; the original, by a thread, where it has none. The compiled
form is asked about one batch of single rows at once: a worker answers them faster than the loop brings more, and two
workers with half as many rows each would do the same work twice.
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
MOST_ROWS = 64  # of one batch


class TookTooLong(Unavailable):
    """No answer within the time limit of a request."""

    http_status = 504


@dataclass(eq=False)
class _Pending:
    """A request in the queue."""

    target: Target  # the version that was asked
    content: CheckedRow | CheckedColumns  # one row, or many as columns
    answer: "asyncio.Future[Prediction | PredictedColumns]" = field(  # set by the batch
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    def joins(self, first: "_Pending") -> bool:
        """Whether it may be in one batch with `first`: only single rows are; columns hold many rows already."""
        rows = isinstance(self.content, CheckedRow) and isinstance(first.content, CheckedRow)
        return rows and self.target is first.target


class MicroBatcher:
    """A queue of one event loop. `concurrency` batches are predicted at once; an answer may take `seconds`."""

    def __init__(self, scorer: Scorer, *, concurrency: int, seconds: float) -> None:
        self._scorer, self._concurrency, self._seconds = scorer, concurrency, seconds
        self._queue: deque[_Pending] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rows_asked = False  # whether the compiled form is asked about single rows
        self._predict_threads = ThreadPoolExecutor(concurrency, thread_name_prefix="predict")
        self._explain_thread = ThreadPoolExecutor(1, thread_name_prefix="explain")

    def close(self) -> None:
        """Drops the queued requests: the server has ended the connections of their callers."""
        for threads in (self._predict_threads, self._explain_thread):
            threads.shutdown(wait=False, cancel_futures=True)

    async def predict(self, target: Target, row: CheckedRow) -> Prediction:
        """Predicts one row. Raises TookTooLong, Unavailable, WorkerRefusal."""
        found = await self._answered(_Pending(target, row))
        assert isinstance(found, Prediction)  # noqa: S101 (what a row is answered with)
        return found

    async def predict_columns(self, target: Target, checked: CheckedColumns) -> PredictedColumns:
        """Predicts at least one usable row on one worker: splitting a few thousand costs others more than it gains.

        Raises as predict does.
        """
        found = await self._answered(_Pending(target, checked))
        assert isinstance(found, PredictedColumns)  # noqa: S101 (what columns are answered with)
        return found

    async def explain(self, target: Target, row: CheckedRow) -> Explanations:
        """Explains one row; explanations run one at a time, so that predictions do not wait. Raises as predict does."""
        loop = asyncio.get_running_loop()
        return await self._within_limit(
            loop.run_in_executor(self._explain_thread, self._scorer.explain, target, [row.values])
        )

    async def _answered(self, request: _Pending) -> Prediction | PredictedColumns:
        self._queue.append(request)
        self._begin()
        # Cheaper than asyncio.timeout, which every single row would pay for.
        late = asyncio.get_running_loop().call_later(self._seconds, self._give_up, request)
        try:
            return await request.answer
        finally:
            late.cancel()

    def _give_up(self, request: _Pending) -> None:
        if not request.answer.done():
            request.answer.set_exception(self._too_long())

    def _too_long(self) -> TookTooLong:
        return TookTooLong(f"the prediction: took more than {self._seconds:g} s; try again")

    async def _within_limit(self, answer: "asyncio.Future[Result]") -> Result:
        try:
            async with asyncio.timeout(self._seconds):
                return await answer
        except TimeoutError:
            raise self._too_long() from None

    def _begin(self) -> None:
        """Begins with the next batch, unless it has to wait for another one."""
        if len(self._tasks) < self._concurrency and not self._waits_for_rows:
            self._tasks.add(asyncio.create_task(self._serve()))

    @property
    def _waits_for_rows(self) -> bool:
        """Whether the first request of the queue is answered after the single rows that are asked about now."""
        return self._rows_asked and bool(self._queue) and isinstance(self._queue[0].content, CheckedRow)

    async def _serve(self) -> None:
        """Answers one batch after the other until the queue is empty, or somebody else goes on with it."""
        while batch := self._next_batch():
            await self._answer(batch)
        self._tasks.remove(asyncio.current_task())  # type: ignore[arg-type]

    def _next_batch(self) -> list[_Pending]:
        """The first request whose caller has not given up, and those right behind it that join it."""
        batch: list[_Pending] = []
        while self._queue and len(batch) < MOST_ROWS and not self._waits_for_rows:
            if batch and not self._queue[0].joins(batch[0]):
                break
            request = self._queue.popleft()
            if not request.answer.done():
                batch.append(request)
        return batch

    async def _answer(self, batch: list[_Pending], *, again: bool = True) -> None:
        if (found := await self._compiled(batch)) is not None:
            _settle(batch, found)
            return
        work = asyncio.get_running_loop().run_in_executor(self._predict_threads, self._ask, batch)
        await asyncio.wait([work])
        if error := work.exception():
            await self._retry_or_fail(error, batch, again=again)
            return
        _settle(batch, work.result())

    async def _compiled(self, batch: Sequence[_Pending]) -> Sequence[Prediction | PredictedColumns] | None:
        """The answers of the compiled form; None where the original has to answer."""
        target, first = batch[0].target, batch[0].content
        if isinstance(first, CheckedColumns):
            found = await self._scorer.compiled.predict_columns(target, first)
            return None if found is None else [found]
        rows = [each.content for each in batch if isinstance(each.content, CheckedRow)]
        self._rows_asked = True
        try:
            answers = await self._scorer.compiled.predict(target, rows)
        finally:
            self._rows_asked = False
        if answers is None and self._queue:
            self._begin()  # who came meanwhile does not wait for the original
        return answers

    async def _retry_or_fail(self, error: BaseException, batch: list[_Pending], *, again: bool) -> None:
        """A batch is asked again row by row, so that a bad row fails alone; a crash is tried once more."""
        if len(batch) > 1 and isinstance(error, SignoffError):
            for each in batch:
                await self._answer([each])
        elif again and isinstance(error, WorkerRefusal) and error.kind == "crash":
            await self._answer(batch, again=False)
        else:
            for each in batch:
                if not each.answer.done():
                    each.answer.set_exception(error)

    def _ask(self, batch: Sequence[_Pending]) -> Sequence[Prediction | PredictedColumns]:
        """The answers of the original."""
        target, first = batch[0].target, batch[0].content
        if isinstance(first, CheckedColumns):
            return [self._scorer.predict_columns(target, first)]
        rows = [each.content for each in batch if isinstance(each.content, CheckedRow)]
        return self._scorer.predict_checked(target, rows).rows


def _settle(batch: Sequence[_Pending], answers: Sequence[Prediction | PredictedColumns]) -> None:
    for each, found in zip(batch, answers, strict=True):
        if not each.answer.done():
            each.answer.set_result(found)
