"""GET /metrics of the dashboard: for a program on this machine, or one that shows an identity token."""

import json
from http import HTTPStatus

import anyio.to_thread
import streamlit as st
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import Response

from dashboard import session
from dashboard.login.visitor import LOOPBACK
from dashboard.metrics.counters import metrics
from pipeline.governance.errors import NotAllowed, SignoffError
from pipeline.governance.roles import Action, Provider
from pipeline.governance.tokens import identity_token

PATH = "/metrics"
HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})  # as a Host header has them
THROUGH_A_PROXY = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
NEEDED = "metrics: show an identity token of the role caller, as in `Authorization: Bearer signoff_…`"


async def answer(request: Request) -> Response:
    """Every metric of this process, or problem details that say why not."""
    counted = metrics()
    try:
        await anyio.to_thread.run_sync(check, request)
    except SignoffError as error:
        counted.refused("metrics", error)
        return _problem(error)
    return Response(counted.text(), media_type=CONTENT_TYPE_LATEST, headers={"cache-control": "no-store"})


def check(request: Request) -> None:
    """Raises NotAllowed for who may not read the metrics; Unavailable, InvalidInput where that cannot be told."""
    if authorization := request.headers.getlist("authorization"):
        secret = identity_token(authorization[0].encode("latin-1")) if len(authorization) == 1 else None
        if secret is None:
            raise NotAllowed(NEEDED)
        service = session.own_desk()
        service.as_(service.authenticate(secret)).authorise(Action.PREDICT)
    elif not _is_of_this_machine(request):
        raise NotAllowed(NEEDED)


def _is_of_this_machine(request: Request) -> bool:
    """Whether only somebody at this machine, who may decide here anyway, can have sent it.

    Where people log in there is a proxy for TLS, whose requests come from this machine too: there it never is.
    """
    host = request.headers.get("host", "").casefold()
    return (
        session.settings().identity.provider is Provider.LOCAL
        and st.get_option("server.address") in LOOPBACK
        and request.client is not None
        and request.client.host in LOOPBACK
        and (host if host.endswith("]") else host.rsplit(":", 1)[0]) in HOSTS
        and not any(name in request.headers for name in THROUGH_A_PROXY)
    )


def _problem(error: SignoffError) -> Response:
    """As the API answers a refusal (RFC 9457)."""
    status = HTTPStatus(error.http_status)
    content = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "detail": str(error),
        "code": type(error).__name__,
    }
    return Response(json.dumps(content), status, media_type="application/problem+json")
