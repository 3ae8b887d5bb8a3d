"""The FastAPI application: routes, middleware, error handlers, and an OpenAPI document that follows the champion."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from pipeline.governance.errors import SignoffError
from pipeline.http_api.middleware import AccessCheck, RequestMetrics
from pipeline.http_api.openapi import ENDPOINTS, document
from pipeline.http_api.problems import on_http_error, on_mistake, on_refusal
from pipeline.http_api.routes import router
from pipeline.http_api.state import AppState, running


class Api(FastAPI):
    """FastAPI, with an OpenAPI document made from the columns of the version that serves."""

    def openapi(self) -> dict[str, Any]:
        state: AppState = self.state.serving
        return document(state.status.served, batch_rows=state.limits.batch_rows, protected=state.token is not None)


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
        exception_handlers={SignoffError: on_refusal, HTTPException: on_http_error, Exception: on_mistake},
    )
    app.include_router(router)
    return app
