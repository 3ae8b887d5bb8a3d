"""What the routes share: built by the lifespan, never at import."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field

from pipeline import bootstrap
from pipeline.governance.service import GovernanceService
from pipeline.http_api.batcher import MicroBatcher
from pipeline.http_api.metrics import HttpMetrics
from pipeline.http_api.problems import NothingServed, TooManyRequests
from pipeline.http_api.token import Token, read_token
from pipeline.serving.champion import Follower, Served, ServingStatus
from pipeline.serving.scorer import Scorer
from pipeline.settings import HttpSettings, Settings, read_settings


@dataclass
class AppState:
    """One served model with its limits, its line of callers and its counters."""

    model: str
    limits: HttpSettings
    token: Token | None
    follower: Follower
    line: MicroBatcher
    measures: HttpMetrics
    in_progress: int = field(default=0, init=False)

    @property
    def standing(self) -> ServingStatus:
        return self.follower.standing

    def served(self) -> Served:
        """Raises NothingServed."""
        served = self.standing.served
        if served is None:
            raise NothingServed(f"nothing is served: {self.standing.reason}")
        return served

    @contextmanager
    def place(self) -> Iterator[None]:
        """One of the requests that are answered at once. Raises TooManyRequests."""
        if self.in_progress >= self.limits.at_once:
            raise TooManyRequests(f"the server: answers {self.limits.at_once} requests at once; try again")
        self.in_progress += 1
        try:
            yield
        finally:
            self.in_progress -= 1


@asynccontextmanager
async def running(model: str | None) -> AsyncIterator[AppState]:
    """The parts, following the champion until the end; `model` None: SIGNOFF_MODEL, else the one of params.yaml.

    Raises InvalidInput for settings that cannot be used.
    """
    settings = read_settings()
    name = model or settings.environment.model or settings.registry.model_name
    token = read_token(settings.environment)
    service, scorer = await asyncio.to_thread(_desk_and_scorer, settings)
    serving = settings.serving
    follower = Follower(service, scorer, name)
    line = MicroBatcher(scorer, lanes=scorer.concurrency, seconds=serving.http.request_seconds)
    measures = HttpMetrics(lambda: follower.standing, lambda: scorer.worker_restarts)
    parts = AppState(name, serving.http, token, follower, line, measures)
    await _look(follower)
    gc.collect()
    gc.freeze()  # the heavy libraries stay: to go through them again costs a request a tenth of a second
    following = asyncio.create_task(_follow(follower, serving.http.poll_seconds))
    try:
        yield parts
    finally:
        following.cancel()
        line.close()
        follower.close()
        scorer.abandon()


def _desk_and_scorer(settings: Settings) -> tuple[GovernanceService, Scorer]:
    """The workers import their libraries while MLflow is imported here."""
    service = bootstrap.desk(settings)
    scorer = bootstrap.scorer(settings, service)
    scorer.start_all()
    return service, scorer


async def _follow(follower: Follower, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await _look(follower)


async def _look(follower: Follower) -> None:
    """In a thread that nobody waits for at the end: a registry may take its time to say that it is gone."""
    loop = asyncio.get_running_loop()
    looked: asyncio.Future[bool] = loop.create_future()

    def look() -> None:
        worked = False
        try:
            follower.look()
            worked = True
        finally:
            with suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(_settle, looked, worked)

    threading.Thread(target=look, name="champion", daemon=True).start()
    if not await looked:  # a mistake of ours, which the thread has told: it ends one look, not the following
        follower.failed()


def _settle(looked: "asyncio.Future[bool]", worked: bool) -> None:
    if not looked.done():
        looked.set_result(worked)
