"""Requests in the queue: asked about together, failing alone, and never waiting for ever."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipeline.governance.errors import Unavailable
from pipeline.governance.service import GovernanceService
from pipeline.http_api.batcher import MicroBatcher, TookTooLong
from pipeline.serving.champion import Follower, Served
from pipeline.serving.predictions import Prediction
from pipeline.serving.scorer import Scorer
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.serving.worker.protocol import Frame
from pipeline.validation.columns import Input, check_many
from pipeline.validation.rows import CheckedRow, check_row
from support.desks import MODEL, build_desk
from support.loops import run_async
from support.served import POLICY, ROW, KnownWorker, registry_with_columns

POISON = 13.0


@dataclass
class SlowWorker(KnownWorker):
    """Waits at the gate, counts the rows of each request, and crashes for a row of the poisonous age."""

    gate: threading.Event = field(default_factory=threading.Event)
    rows: list[int] = field(default_factory=list)

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        assert self.gate.wait(60)
        if request["op"] == "predict" and "values" in request["rows"]:
            ages = request["rows"]["values"][0]
            self.rows.append(len(ages))
            if POISON in ages:
                raise WorkerRefusal(about, "crashed", kind="crash")
        return super().ask(request, seconds=seconds, about=about)


@pytest.fixture
def worker() -> SlowWorker:
    return SlowWorker()


@pytest.fixture
def service() -> GovernanceService:
    found = build_desk(registry_with_columns())
    found.take_over()
    return found


@pytest.fixture
def scorer(service: GovernanceService, worker: SlowWorker) -> Scorer:
    return Scorer(service, worker, POLICY)


@pytest.fixture
def served(service: GovernanceService, scorer: Scorer, worker: SlowWorker) -> Iterator[Served]:
    worker.gate.set()
    follower = Follower(service, scorer, MODEL)
    found = follower.refresh().served
    assert found is not None
    worker.gate.clear()
    worker.rows.clear()
    yield found
    worker.gate.set()
    follower.close()


def row(served: Served, age: float = 30.0) -> CheckedRow:
    return check_row({**ROW, "Age": age}, served.schema)


def run(scorer: Scorer, work: Any, *, concurrency: int = 1, seconds: float = 60.0) -> Any:
    async def in_loop() -> Any:
        batcher = MicroBatcher(scorer, concurrency=concurrency, seconds=seconds)
        try:
            return await work(batcher)
        finally:
            batcher.close()

    return run_async(in_loop())


async def together(
    batcher: MicroBatcher, worker: SlowWorker, first: Coroutine[Any, Any, Any], *others: Any
) -> list[Any]:
    """The others come while the first is being answered."""
    tasks = [asyncio.create_task(first)]
    await asyncio.sleep(0)  # the first is in the queue
    await asyncio.sleep(0)  # and is asked about
    tasks += [asyncio.create_task(each) for each in others]
    await asyncio.sleep(0)
    assert len(batcher._queue) == len(others)
    worker.gate.set()
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_who_waits_is_asked_about_together(scorer: Scorer, served: Served, worker: SlowWorker) -> None:
    """One request for the first, one for all who came meanwhile; each gets an answer of its own."""

    async def work(batcher: MicroBatcher) -> list[Any]:
        asked = [batcher.predict(served.target, row(served)) for _ in range(6)]
        return await together(batcher, worker, *asked)

    answers = run(scorer, work)
    assert worker.rows == [1, 5]
    assert [each.value for each in answers] == ["yes"] * 6


def test_nobody_pays_for_somebody_elses_row(scorer: Scorer, served: Served, worker: SlowWorker) -> None:
    """A request that crashes the worker is taken apart; the one row that does it is tried twice, then refused."""

    async def work(batcher: MicroBatcher) -> list[Any]:
        ages = (30.0, 31.0, POISON, 32.0)
        return await together(batcher, worker, *(batcher.predict(served.target, row(served, age)) for age in ages))

    answers = run(scorer, work)
    assert [isinstance(each, Prediction) for each in answers] == [True, True, False, True]
    assert isinstance(answers[2], WorkerRefusal)
    assert worker.rows == [1, 3, 1, 1, 1, 1]


def test_columns_are_asked_about_alone(scorer: Scorer, served: Served, worker: SlowWorker) -> None:
    """They are many rows already."""
    checked = check_many(Input.of_rows([ROW] * 5, served.schema), served.schema)

    async def work(batcher: MicroBatcher) -> list[Any]:
        rows = [batcher.predict(served.target, row(served)) for _ in range(3)]
        columns = batcher.predict_columns(served.target, checked)
        return await together(batcher, worker, rows[0], rows[1], columns, rows[2])

    answers = run(scorer, work)
    assert worker.rows == [1, 1, 1]
    assert answers[2].answers.num_rows == 5


def test_an_answer_that_takes_too_long(scorer: Scorer, served: Served, worker: SlowWorker) -> None:
    """Is given up, and who gave up is not asked about any more."""

    async def work(batcher: MicroBatcher) -> list[Any]:
        tasks = []
        for _ in range(3):
            tasks.append(asyncio.create_task(batcher.predict(served.target, row(served))))
            await asyncio.sleep(0.01)
        found = await asyncio.gather(*tasks, return_exceptions=True)
        batcher._seconds = 60  # the last one is not about time
        worker.gate.set()
        return [*found, await batcher.predict(served.target, row(served))]

    *late, last = run(scorer, work, seconds=0.1)
    assert all(isinstance(each, TookTooLong) for each in late)
    assert last.value == "yes"
    assert worker.rows == [1, 1]


def test_batches_work_side_by_side(scorer: Scorer, served: Served, worker: SlowWorker) -> None:
    """As many requests at once as there are workers."""

    async def work(batcher: MicroBatcher) -> list[Any]:
        tasks = []
        for _ in range(2):
            tasks.append(asyncio.create_task(batcher.predict(served.target, row(served))))
            await asyncio.sleep(0.01)
        assert len(batcher._tasks) == 2
        worker.gate.set()
        return await asyncio.gather(*tasks)

    run(scorer, work, concurrency=2)
    assert worker.rows == [1, 1]


def test_a_refusal_reaches_the_one_who_asked(scorer: Scorer, served: Served, worker: SlowWorker) -> None:
    """And the queue goes on."""

    async def work(batcher: MicroBatcher) -> Any:
        worker.gate.set()
        worker.refusal = Unavailable("the worker: is busy")
        with pytest.raises(Unavailable):
            await batcher.predict(served.target, row(served))
        worker.refusal = None
        return await batcher.predict(served.target, row(served))

    assert run(scorer, work).value == "yes"
