"""The application: routes, guards, refusals, and a description that follows the champion."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from pipeline.governance.errors import SignoffError
from pipeline.http_api.guards import Counted, Guarded
from pipeline.http_api.openapi import ENDPOINTS, document
from pipeline.http_api.problems import on_http_error, on_mistake, on_refusal
from pipeline.http_api.routes import router
from pipeline.http_api.state import AppState, running


class Api(FastAPI):
    """FastAPI, with a description made from the columns of the version that serves."""

    def openapi(self) -> dict[str, Any]:
        parts: AppState = self.state.parts
        served = parts.standing.served
        return document(served, batch_rows=parts.limits.batch_rows, protected=parts.token is not None)


def create_app(model: str | None = None) -> FastAPI:
    """Nothing is opened before the server starts; `model` None: SIGNOFF_MODEL, else the one of params.yaml."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(model) as parts:
            app.state.parts = parts
            yield

    app = Api(
        lifespan=lifespan,
        # No page of Swagger: it would draw the registry's texts as markdown, with scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Counted, routes=ENDPOINTS), Middleware(Guarded)],
        exception_handlers={SignoffError: on_refusal, HTTPException: on_http_error, Exception: on_mistake},
    )
    app.include_router(router)
    return app
