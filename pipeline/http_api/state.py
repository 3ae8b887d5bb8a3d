"""What the routes share, built by the lifespan and never at import; a task keeps it with the current champion."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus

from starlette.types import Scope

from pipeline import bootstrap
from pipeline.governance.errors import SignoffError
from pipeline.governance.roles import Provider
from pipeline.governance.service import GovernanceService
from pipeline.http_api.batcher import MicroBatcher
from pipeline.http_api.desk.door import DeskDoor
from pipeline.http_api.limits import ConcurrencyLimit
from pipeline.http_api.metrics import HttpMetrics, WatchMetrics
from pipeline.http_api.problems import NothingServed, http_status
from pipeline.http_api.token import Token, read_token
from pipeline.http_api.watching import watched
from pipeline.monitoring.recording.batches import LogWriter
from pipeline.monitoring.recording.recorder import Recorder, Unrecorded
from pipeline.serving.champion import Follower, Served, ServingStatus
from pipeline.serving.compiled.form import CompiledForm
from pipeline.serving.scorer import Scorer
from pipeline.settings import HttpSettings, Settings, read_settings
from pipeline.validation.rows import InvalidRows

PREDICTING = frozenset({"/predict", "/predict_batch"})


@dataclass
class AppState:
    """One served model with its limits, its micro-batching queue and its metrics."""

    model: str  # name of the registered model whose champion is served
    limits: HttpSettings
    token: Token | None  # the secret that callers for predictions share; None: there is none
    follower: Follower
    batcher: MicroBatcher  # queues single rows
    metrics: HttpMetrics
    identities: DeskDoor | None = None  # looks up identity tokens; None: none counts here
    decides: bool = False  # whether the paths of the desk are there
    logins: bool = False  # whether people log in: then who has no role gets nothing, predictions neither
    recorder: Recorder = field(default_factory=Unrecorded)  # is told what was answered
    concurrency: ConcurrencyLimit = field(init=False)  # slots for requests

    def __post_init__(self) -> None:
        self.concurrency = ConcurrencyLimit(self.limits.at_once)

    @property
    def desk(self) -> DeskDoor | None:
        """None: nobody decides here."""
        return self.identities if self.decides else None

    @property
    def protected(self) -> bool:
        """Whether who asks for predictions has to show a token."""
        return self.token is not None or self.logins

    @property
    def status(self) -> ServingStatus:
        return self.follower.status

    @property
    def version(self) -> int | None:
        """The number of the version that serves; None where none does."""
        served = self.status.served
        return None if served is None else served.target.resolved.version

    def served(self) -> Served:
        """The champion that answers now. Raises NothingServed where there is none."""
        served = self.status.served
        if served is None:
            raise NothingServed(f"nothing is served: {self.status.reason}")
        return served

    def not_answered(self, path: str, error: SignoffError) -> None:
        """Tells the recorder of a request for predictions that got none: what was refused, or that it failed."""
        served = self.status.served
        if served is None or path not in PREDICTING:
            return
        if isinstance(error, InvalidRows):
            self.recorder.refused(served.target, error.problems)
        elif http_status(error) >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self.recorder.failed(served.target, error)


def state_of(scope: Scope) -> AppState:
    """The state that the lifespan of the application has built."""
    state: AppState = scope["app"].state.serving
    return state


@asynccontextmanager
async def running(model: str | None, *, desk: bool = False) -> AsyncIterator[AppState]:
    """Builds the state and follows the champion until the block ends.

    `model` None stands for SIGNOFF_MODEL, else for the model of params.yaml; desk: whether who shows an identity token
    may ask and decide here. Raises InvalidInput for settings that cannot be used.
    """
    settings = read_settings()
    name = model or settings.environment.model or settings.registry.model_name
    token = read_token(settings.environment)
    service, scorer, writer = await asyncio.to_thread(_started, settings)
    http = settings.serving.http
    follower = Follower(service, scorer, name)
    batcher = MicroBatcher(scorer, concurrency=scorer.concurrency, seconds=http.request_seconds)
    metrics = HttpMetrics(lambda: follower.status, lambda: scorer.worker_restarts, lambda: _compiled(scorer, follower))
    recorder = await asyncio.to_thread(bootstrap.recorder, settings, service, name, writer=writer)
    logins = settings.identity.provider is not Provider.LOCAL
    door = _door(settings, service) if desk or logins else None
    state = AppState(
        name, http, token, follower, batcher, metrics, identities=door, decides=desk, logins=logins, recorder=recorder
    )
    await _refresh(follower)
    recorder.start()
    gc.collect()
    gc.freeze()  # the heavy libraries stay: to go through them again costs a request a tenth of a second
    tasks = [asyncio.create_task(each(follower, http.poll_seconds)) for each in (_follow, _compile)]
    try:
        with _watching(state, settings, service):
            yield state
    finally:
        for task in tasks:
            task.cancel()
        if door is not None:
            await asyncio.to_thread(door.close)
        batcher.close()
        await asyncio.to_thread(recorder.close)
        follower.close()
        scorer.abandon()


def _door(settings: Settings, service: GovernanceService) -> DeskDoor:
    hosts = [each.casefold() for each in settings.serving.http.allowed_hosts]
    return DeskDoor(service, partial(bootstrap.log_desk, settings), hosts)


def _started(settings: Settings) -> tuple[GovernanceService, Scorer, LogWriter | None]:
    """Opens desk, scorer, and who writes the log: their processes import libraries while MLflow is imported here."""
    writer = bootstrap.log_writer(settings)
    bootstrap.prepare_threads()
    service = bootstrap.own_desk(settings)
    scorer = bootstrap.scorer(settings, service)
    scorer.start_all()
    return service, scorer, writer


def _compiled(scorer: Scorer, follower: Follower) -> CompiledForm | None:
    """None also where nothing is to be compiled."""
    return None if scorer.compiled.off else follower.compiled


@contextmanager
def _watching(state: AppState, settings: Settings, service: GovernanceService) -> Iterator[None]:
    """Watches the champion until the block ends, and has /metrics tell what was seen."""
    log = partial(bootstrap.log_desk, settings, service)
    with watched(service, state.model, settings.monitoring, log=log) as watch:
        state.metrics.add(WatchMetrics(state.model, lambda: state.version, watch, lambda: state.recorder.status))
        yield


async def _follow(follower: Follower, seconds: float) -> None:
    while True:
        await asyncio.sleep(seconds)
        await _refresh(follower)


async def _compile(follower: Follower, seconds: float) -> None:
    """Keeps compiled what serves; predictions are answered meanwhile, by the original."""
    while True:
        await _in_daemon(follower.compile, name="compiler")
        await asyncio.sleep(seconds)


async def _refresh(follower: Follower) -> None:
    """Refreshes; a registry that is gone may take long to say so."""
    if not await _in_daemon(follower.refresh, name="champion"):
        follower.refresh_failed()


async def _in_daemon(work: Callable[[], object], *, name: str) -> bool:
    """Works in a daemon thread, which does not delay the end of the process.

    False after an error of this program, whose traceback the thread has printed: what serves goes on.
    """
    loop = asyncio.get_running_loop()
    succeeded: asyncio.Future[bool] = loop.create_future()

    def run() -> None:
        done = False
        try:
            work()
            done = True
        finally:
            with suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(_settle, succeeded, done)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await succeeded


def _settle(succeeded: "asyncio.Future[bool]", done: bool) -> None:
    if not succeeded.done():
        succeeded.set_result(done)
