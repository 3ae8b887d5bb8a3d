"""The FastAPI application: middleware that every request passes, error handlers, routes, and the OpenAPI document.

The middleware is plain ASGI: Starlette's BaseHTTPMiddleware costs a task and a queue per request.
"""

import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Lifespan, Message, Receive, Scope, Send

from pipeline.governance.errors import SignoffError
from pipeline.governance.roles import Action
from pipeline.governance.tokens import identity_token
from pipeline.http_api.desk.description import with_desk
from pipeline.http_api.desk.door import host_name, is_desk, only
from pipeline.http_api.desk.routes import ACTOR, DESK_ENDPOINTS, desk_router
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
from pipeline.http_api.routes import ONE_ROW, OneRow, router
from pipeline.http_api.state import AppState, running, state_of

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
]
OPEN = frozenset({"/", "/livez", "/readyz"})  # to everybody; every other path asks for the token
OTHER = "other"
# What the owner of an identity token may do, one of these, to whom a path is opened; every other path: predict.
OPENED_BY: Mapping[str, tuple[Action, ...]] = {"/openapi.json": (Action.READ, Action.PREDICT)}


class RequestMetrics:
    """Counts and times every answer, and adds the headers that all of them have."""

    def __init__(self, app: ASGIApp, routes: Collection[str]) -> None:
        self.app, self.routes = app, frozenset(routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *HEADERS]
                state_of(scope).metrics.answered(self._route(scope), message["status"], started)
            await send(message)

        try:
            await self.app(scope, receive, send_counted)
        except Exception:  # Starlette answers it further out
            state_of(scope).metrics.answered(self._route(scope), 500, started)
            raise

    def _route(self, scope: Scope) -> str:
        """The path, or its template, once the router has found it; of what is not ours always the same word."""
        path = scope["path"]
        if path not in self.routes:
            path = getattr(scope.get("route"), "path", None)
        return path if path in self.routes else OTHER


class AccessCheck:
    """Checks the Host header and the token, before anything else of the request is read."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            state, desk = state_of(scope), is_desk(scope["path"])
            try:
                if desk and state.desk is not None:
                    scope[ACTOR] = await state.desk.admit(scope["headers"])
                else:
                    await _check(scope, state)
            except SignoffError as refusal:
                if isinstance(refusal, TokenNeeded):
                    state.metrics.unauthorized(desk=desk)
                await problem(refusal)(scope, receive, send)
                return
        await self.app(scope, receive, send)


async def _check(scope: Scope, state: AppState) -> None:
    """Raises WrongHost for a host that is not allowed, TokenNeeded where a path needs the token and it is not shown.

    Where people log in, and with the desk on, an identity token whose owner may predict is as good as the secret.
    """
    path, hosts = scope["path"], state.limits.allowed_hosts
    if hosts and host_name(only(scope["headers"], b"host")) not in hosts:
        raise WrongHost("host: is not one of serving.http.allowed_hosts")
    if not state.protected or path in OPEN or is_desk(path):  # without the desk there is nothing under its paths
        return
    authorization = only(scope["headers"], b"authorization")
    if state.token is not None and state.token.shown_in(authorization):
        return
    if state.identities is None or (state.token is not None and identity_token(authorization) is None):
        raise TokenNeeded("authorization: show the token, as in `Authorization: Bearer TOKEN`")
    await state.identities.check(authorization, OPENED_BY.get(path, (Action.PREDICT,)))


class Api(FastAPI):
    """FastAPI, with an OpenAPI document made from the columns of the version that serves.

    Who asks about one row is answered without the framework's own middleware and routing, see routes.OneRow.
    """

    def __init__(self, *, routes: Collection[str], lifespan: Lifespan["Api"]) -> None:
        """routes: every path that is counted by its own name."""
        own: list[Middleware] = [Middleware(RequestMetrics, routes=routes), Middleware(AccessCheck)]
        super().__init__(
            lifespan=lifespan,
            # No page of Swagger: it would draw the registry's texts as markdown, with scripts from elsewhere.
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            middleware=own,
            exception_handlers={SignoffError: _refused, HTTPException: on_http_error, Exception: _mistaken},
        )
        self._one_row = ServerErrorMiddleware(RequestMetrics(AccessCheck(OneRow()), routes), handler=_mistaken)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == ONE_ROW and scope["method"] == "POST":
            scope["app"] = self
            await self._one_row(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        state: AppState = self.state.serving
        content = document(state.status.served, batch_rows=state.limits.batch_rows, protected=state.protected)
        return content if state.desk is None else with_desk(content, state.status.served)


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, SignoffError):
        state_of(request.scope).not_answered(request.url.path, error)
    return await on_refusal(request, error)


async def _mistaken(request: Request, error: Exception) -> Response:
    state_of(request.scope).not_answered(request.url.path, InternalError(""))
    return await on_mistake(request, error)


def create_app(model: str | None = None, *, desk: bool = False) -> FastAPI:
    """An application that opens nothing before its server starts. For `model` and `desk`, see state.running."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(model, desk=desk) as state:
            app.state.serving = state
            yield

    app = Api(routes={*ENDPOINTS, *DESK_ENDPOINTS}, lifespan=lifespan)
    app.include_router(router)
    if desk:
        app.include_router(desk_router())
    return app
