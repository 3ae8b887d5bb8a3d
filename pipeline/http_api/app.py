"""The FastAPI application: middleware that every request passes, error handlers, routes, and the OpenAPI document.

The middleware is plain ASGI: Starlette's BaseHTTPMiddleware costs a task and a queue per request.
"""

import time
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.governance.errors import SignoffError
from pipeline.http_api.openapi import ENDPOINTS, document
from pipeline.http_api.problems import (
    InternalError,
    TokenNeeded,
    WrongHost,
    on_http_error,
    on_mistake,
    on_refusal,
    problem,
)
from pipeline.http_api.routes import router
from pipeline.http_api.state import AppState, running, state_of

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
OPEN = frozenset({"/", "/livez", "/readyz"})  # to everybody; every other path asks for the token
OTHER = "other"


class RequestMetrics:
    """Counts and times every answer, and adds the headers that all of them have."""

    def __init__(self, app: ASGIApp, routes: Collection[str]) -> None:
        self.app, self.routes = app, frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, route = time.perf_counter(), scope["path"] if scope["path"] in self.routes else OTHER

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
                state_of(scope).metrics.answered(route, message["status"], started)
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        except Exception:  # Starlette answers it further out
            state_of(scope).metrics.answered(route, 500, started)
            raise


class AccessCheck:
    """Checks the Host header and the token, before anything else of the request is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                _check(scope, state_of(scope))
            except SignoffError as refusal:
                await problem(refusal)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _check(scope: Scope, state: AppState) -> None:
    """Raises WrongHost for a host that is not allowed, TokenNeeded where a path needs the token and it is not shown."""
    hosts = state.limits.allowed_hosts
    if hosts and _host_name(_only(scope["headers"], b"host")) not in hosts:
        raise WrongHost("host: is not one of serving.http.allowed_hosts")
    authorization = _only(scope["headers"], b"authorization")
    if state.token and scope["path"] not in OPEN and not state.token.shown_in(authorization):
        raise TokenNeeded("authorization: show the token, as in `Authorization: Bearer TOKEN`")


def _only(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The value of a header that is sent exactly once, else None."""
    found = [value for each, value in headers if each == name]
    return found[0] if len(found) == 1 else None


def _host_name(host: bytes | None) -> str:
    """The Host header without its port, in lower case; an IPv6 address is in brackets."""
    text = (host or b"").decode("latin-1").casefold()
    return text if text.endswith("]") else text.rsplit(":", 1)[0]


class Api(FastAPI):
    """FastAPI, with an OpenAPI document made from the columns of the version that serves."""

    def openapi(self) -> dict[str, Any]:
        state: AppState = self.state.serving
        return document(state.status.served, batch_rows=state.limits.batch_rows, protected=state.token is not None)


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, SignoffError):
        state_of(request.scope).not_answered(request.url.path, error)
    return await on_refusal(request, error)


async def _mistaken(request: Request, error: Exception) -> Response:
    state_of(request.scope).not_answered(request.url.path, InternalError(""))
    return await on_mistake(request, error)


def create_app(model: str | None = None) -> FastAPI:
    """An application that opens nothing before its server starts. For `model`, see state.running."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(model) as state:
            app.state.serving = state
            yield

    app = Api(
        lifespan=lifespan,
        # No page of Swagger: it would draw the registry's texts as markdown, with scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(RequestMetrics, routes=ENDPOINTS), Middleware(AccessCheck)],
        exception_handlers={SignoffError: _refused, HTTPException: on_http_error, Exception: _mistaken},
    )
    app.include_router(router)
    return app
