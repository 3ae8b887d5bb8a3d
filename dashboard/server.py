"""The server around the pages: warm before it reports health, a periodic look at the registry, security headers,
Streamlit's files from memory, and what a run draws in one burst.
"""

import asyncio
import base64
import gc
import hashlib
import importlib
import logging
import mimetypes
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import streamlit as st
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette.starlette_server_config import STATIC_ASSET_CACHE_MAX_AGE_SECONDS

from dashboard import caching, session
from dashboard.login.visitor import by_itself
from dashboard.metrics import counters
from dashboard.metrics.counters import DashboardMetrics
from pipeline import bootstrap
from pipeline.governance.errors import NotAllowed, SignoffError
from pipeline.governance.service import GovernanceService
from pipeline.governance.service.notices import not_sent

LOOK_SECONDS = 60
MODULES = (
    "pandas",
    "plotly.graph_objects",
    "pyarrow",
    "dashboard.review.sections",
    "dashboard.history.events",
    "pipeline.comparison.intervals",
)
LOG = logging.getLogger(__name__)
STREAMLIT = Path(st.__file__).parent / "static"  # what Streamlit sends to a browser


@asynccontextmanager
async def lifespan(_: st.App) -> AsyncIterator[None]:
    await anyio.to_thread.run_sync(warm_up)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep_looking, own_look)
        yield
        tasks.cancel_scope.cancel()
    await anyio.to_thread.run_sync(stop_worker)


async def keep_looking(look: Callable[[], None], wait: Callable[[float], Awaitable[None]] = anyio.sleep) -> None:
    """Looks every minute, in a thread: a registry that does not answer delays neither visitors nor the shutdown."""
    while True:
        await wait(LOOK_SECONDS)
        await anyio.to_thread.run_sync(look, abandon_on_cancel=True)


@dataclass
class OwnLook:
    """A look at the registry: records new models and out-of-band changes where it may, and logs what it sees."""

    service: GovernanceService
    may_record: Callable[[], object]  # raises NotAllowed where this dashboard may not write
    logged: str = ""  # the last message: a look that sees the same logs nothing
    metrics: DashboardMetrics = field(default_factory=DashboardMetrics)

    def __call__(self) -> None:
        """Raises no SignoffError: the next look tries again."""
        try:
            if self._record():
                caching.forget_reads()
            seen = self._seen()
        except SignoffError as error:
            seen = str(error)
            self.metrics.look_failed()
        seen = "; ".join(filter(None, [seen, self._tell()]))
        if seen != self.logged:
            LOG.warning("The desk's own look: %s", seen or "nothing to see any more")
        self.logged = seen

    def _tell(self) -> str:
        """Sends what people are to be told; gives what could not be sent. Whether or not the registry answers."""
        try:
            if self.service.send_notices():
                caching.forget_reads()
            return not_sent(self.service.unsent_notices())
        except SignoffError as error:
            return str(error)

    def _record(self) -> bool:
        """Whether anything was recorded. In a registry that the ledger does not know only a person records the first
        event: the address may lead to another registry than yesterday.
        """
        if self.service.unknown_registry():
            return False
        try:
            self.may_record()
        except NotAllowed:
            return False
        recorded = self.service.look()
        self.metrics.recorded(recorded)
        return bool(recorded)

    def _seen(self) -> str:
        found = [each for model in self.service.known_models() for each in self.service.differences(model)]
        moved = [f"{each.slot.model!r}: {each.sentence}" for each in found]
        pending = [f"{each.model!r}: decision {each.sequence} is pending" for each in self.service.pending()]
        self.metrics.looked(out_of_band=len(found), pending=len(pending))
        return "; ".join(filter(None, [self.service.unknown_registry(), *moved, *pending]))


@caching.made_once
def _own_look() -> OwnLook:
    """It has a service of its own, so that no visitor waits for it, and remembers what it saw."""
    return OwnLook(bootstrap.own_desk(session.settings()), session.may_record, metrics=counters.metrics())


def own_look() -> None:
    try:
        look = _own_look()
    except SignoffError as error:  # the settings: every page says so itself
        LOG.debug("The desk's own look: %s", error)
        return
    look()


def warm_up() -> None:
    """Imports modules, starts the worker, reads the registry once, and freezes the heap.

    A frozen heap keeps the garbage collector from walking over all of MLflow's objects.
    """
    for module in MODULES:
        importlib.import_module(module)
    bootstrap.prepare_threads()
    try:
        session.own_scorer().start()
        own_look()
        with by_itself():
            session.overview()
    except SignoffError as error:
        # Every page says so itself and offers to try again.
        LOG.warning("The desk starts although the registry was not read: %s", error)
    gc.collect()
    gc.freeze()


def stop_worker() -> None:
    with suppress(SignoffError):  # without settings none was started
        session.own_scorer().abandon()  # whoever is still waiting goes away with the server


# Security headers on every answer; Streamlit sends none. And Streamlit's own figures, which ask nobody who they are.

CLOSED = "/_stcore/metrics"  # GET /metrics tells what a team needs, to who may read it

INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


def content_security_policy() -> str:
    """Allows content from this server only: no remote image in a model's description can report who read it."""
    sources = {
        "default-src": ["'self'"],
        "script-src": ["'self'", "'wasm-unsafe-eval'", *_inline_script_hashes()],
        "style-src": ["'self'", "'unsafe-inline'"],  # Streamlit's styles are written by script
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'", "data:", "blob:"],
        "worker-src": ["'self'", "blob:"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(values)}" for name, values in sources.items())


class SecurityHeaders:
    """Middleware that adds the headers and closes one path.

    Plain ASGI, because Starlette's BaseHTTPMiddleware would buffer the answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.headers = [
            (b"content-security-policy", content_security_policy().encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        if scope["type"] == "http" and scope["path"].rstrip("/").endswith(CLOSED):
            await Response(status_code=404)(scope, receive, send_with_headers)
        else:
            await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def _inline_script_hashes() -> list[str]:
    """The hashes of Streamlit's own inline scripts, which let the policy do without 'unsafe-inline'."""
    page = (STREAMLIT / "index.html").read_text(encoding="utf-8")
    digests = [hashlib.sha256(script.encode()).digest() for script in INLINE_SCRIPT.findall(page)]
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


# Streamlit's files. It reads each from the disk in pieces, every piece in another thread, and a first visit asks for
# sixty of them before anything is drawn.

PARTIAL = ("range", "if-range", "if-none-match", "if-modified-since")


class StaticFromMemory:
    """Middleware that answers for the files that have a digest in their names, and keeps each once it was asked for.

    Whatever else is asked for, and how else, Streamlit answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        base = str(st.get_option("server.baseUrlPath") or "").strip("/")
        hashed = [path for path in (STREAMLIT / "static").rglob("*") if path.is_file()]
        prefix = f"/{base}/" if base else "/"
        self.files = {prefix + path.relative_to(STREAMLIT).as_posix(): path for path in hashed}
        self.answers: dict[str, Response] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._is_kept(scope):
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if path not in self.answers:
            self.answers[path] = await anyio.to_thread.run_sync(_whole_file, self.files[path])
        await self.answers[path](scope, receive, send)

    def _is_kept(self, scope: Scope) -> bool:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] not in self.files:
            return False
        asked = Headers(scope=scope)
        return not any(name in asked for name in PARTIAL)


def _whole_file(path: Path) -> Response:
    kind = mimetypes.guess_type(path.name)[0] or "text/plain"  # as Streamlit says it, and how long it may be kept
    kept = {"cache-control": f"public, immutable, max-age={STATIC_ASSET_CACHE_MAX_AGE_SECONDS}"}
    return Response(path.read_bytes(), media_type=kind, headers=kept)


# What a run of a page's script draws. Streamlit sends every 10 ms what there is by then, and the browser renders the
# whole page anew for each part that comes alone (record 42).

HELD_SECONDS = 0.1  # longer, and the eye notices that nothing comes
MOST_HELD = 500  # messages; a browser that reads slowly is waited for then, as without us
LONGEST_STATUS = 100  # bytes of a message that says that a run has ended: during a run, others are not looked into


class InOneBurst:
    """Middleware that holds what a run sends to the browser until the run has ended, or HELD_SECONDS are over.

    What is sent while nothing runs is not held, and the order stays.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        burst = Burst(send)
        try:
            await self.app(scope, receive, burst.add)
        finally:
            burst.stop()


@dataclass
class Burst:
    """The messages to one browser, of which those of a run are held."""

    send: Send
    seconds: float = HELD_SECONDS
    running: bool = False  # whether a script runs
    held: list[Message] = field(default_factory=list)
    timer: "asyncio.Task[None] | None" = None
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    gone: OSError | None = None  # why the timer could not send

    async def add(self, message: Message) -> None:
        """Sends the message, now or with the others of its run. Raises OSError where the browser is gone."""
        if self.gone:
            raise self.gone
        self.running = _runs(message, before=self.running)
        self.held.append(message)
        if not self.running or len(self.held) >= MOST_HELD:
            await self._send_held()
            self.stop()
        elif self.timer is None or self.timer.done():
            self.timer = asyncio.create_task(self._send_later())

    def stop(self) -> None:
        if self.timer:
            self.timer.cancel()
        self.timer = None

    async def _send_held(self) -> None:
        async with self.sending:  # the timer and a run's end: one after the other
            while self.held:
                await self.send(self.held.pop(0))

    async def _send_later(self) -> None:
        await asyncio.sleep(self.seconds)
        try:
            await self._send_held()
        except OSError as error:  # nobody waits for the timer: the next message says it
            self.gone = error


def _runs(message: Message, *, before: bool) -> bool:
    """Whether a script runs once the browser has this message. before: whether one ran before it."""
    if message["type"] != "websocket.send":
        return False
    data: bytes = message.get("bytes") or b""
    if before and len(data) > LONGEST_STATUS:
        return True
    said = ForwardMsg.FromString(data)
    kind = said.WhichOneof("type")
    if kind == "session_status_changed":
        return bool(said.session_status_changed.script_is_running)
    return before or kind == "new_session"
