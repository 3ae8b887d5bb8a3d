"""One function per endpoint: read, ask, answer. Bodies are checked by the same code as a form or a file of rows."""

import asyncio
import json
from email.message import Message
from typing import Any

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from pipeline.governance.errors import InvalidInput
from pipeline.http_api import answers
from pipeline.http_api.answers import batch_text, counts
from pipeline.http_api.guards import parts_of
from pipeline.http_api.metrics import CONTENT_TYPE_LATEST
from pipeline.http_api.openapi import ENDPOINTS
from pipeline.http_api.problems import TooLarge, TooSlow, WrongMediaType
from pipeline.settings import HttpSettings
from pipeline.validation.columns import Input, check_many
from pipeline.validation.rows import check_rows, parse_row, parse_rows

# The body of a request, within its limits, and the rows in it.

DRAINED = 8  # times the limit: so much is read and thrown away, because a caller who still sends reads no answer


async def read_text(request: Request, limits: HttpSettings) -> str:
    """Raises WrongMediaType, TooLarge, TooSlow; InvalidInput for what is no UTF-8."""
    _check_media_type(request)
    try:
        async with asyncio.timeout(limits.body_seconds):
            body = await _read(request, int(limits.body_megabytes * 2**20))
    except TimeoutError:
        raise TooSlow(f"body: did not arrive within {limits.body_seconds:g} s") from None
    except ClientDisconnect as error:
        raise InvalidInput("body: ended before it was complete") from error
    if body is None:
        raise TooLarge(f"body: has more than {limits.body_megabytes:g} MB")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"body: is not UTF-8 (byte {error.start + 1})") from error


def _check_media_type(request: Request) -> None:
    given = Message()
    given["content-type"] = request.headers.get("content-type", "")
    charset = str(given.get_param("charset", "utf-8")).casefold()
    if given.get_content_type() != "application/json" or charset not in {"utf-8", "utf8", "us-ascii"}:
        raise WrongMediaType("body: must be sent as application/json in UTF-8")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise WrongMediaType("body: must not be compressed")


async def _read(request: Request, most: int) -> bytes | None:
    """None where it is larger, by what it says of itself or by what came."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
        elif size > most * DRAINED:
            break
    return b"".join(chunks) if size <= most else None


router = APIRouter()
UNAVAILABLE = 503


@router.get("/")
async def health(request: Request) -> Response:
    parts = parts_of(request.scope)
    listed = [{"method": method.upper(), "path": path, "does": does} for path, (method, does) in ENDPOINTS.items()]
    return _json({**answers.health(parts.model, parts.standing), "endpoints": listed})


@router.get("/livez")
async def alive() -> Response:
    return _json({"status": "alive"})


@router.get("/readyz")
async def ready(request: Request) -> Response:
    """503 only where nothing can be predicted: a degraded server is better than none."""
    parts = parts_of(request.scope)
    content = answers.health(parts.model, parts.standing)
    return _json(content) if parts.standing.ready else _json(content, UNAVAILABLE)


@router.get("/metrics")
async def measures(request: Request) -> Response:
    return Response(parts_of(request.scope).measures.text(), media_type=CONTENT_TYPE_LATEST)


@router.get("/model_info")
async def model_info(request: Request) -> Response:
    parts = parts_of(request.scope)
    return _json(answers.model_info(parts.served(), parts.standing))


@router.post("/predict")
async def predict(request: Request) -> Response:
    parts = parts_of(request.scope)
    explain = _flag(request, "explain")
    with parts.place():
        served = parts.served()
        row = check_rows([parse_row(await read_text(request, parts.limits))], served.schema)[0]
        found = await parts.line.predict(served.target, row)
        explained = await parts.line.explain(served.target, row) if explain else None
    one_class = served.target.classes and not served.target.names
    parts.measures.predicted(served.target, {str(found.value): 1} if one_class else {})
    return _json(answers.single(served.target, found, explained))


@router.post("/predict_batch")
async def predict_batch(request: Request) -> Response:
    parts = parts_of(request.scope)
    with parts.place():
        served = parts.served()
        rows = parse_rows(await read_text(request, parts.limits), most=parts.limits.batch_rows)
        checked = check_many(Input.of_rows(rows, served.schema), served.schema, numbers=range(1, len(rows) + 1))
        found = await parts.line.predict_columns(served.target, checked) if checked.usable.any() else None
        parts.measures.predicted(served.target, counts(served.target, found))
        return _text(batch_text(served.target, found.checked if found else checked, found))


def _flag(request: Request, name: str) -> bool:
    given = request.query_params.getlist(name)
    if given not in ([], ["true"], ["false"]):
        raise InvalidInput(f"{name}: must be true or false")
    return given == ["true"]


def _json(content: Any, status: int = 200) -> Response:  # noqa: ANN401 (whatever is JSON)
    """In ASCII, so that no text of a stranger can make it unsendable."""
    return _text(json.dumps(content, allow_nan=False), status)


def _text(content: str, status: int = 200) -> Response:
    return Response(content.encode(), status, media_type="application/json")
