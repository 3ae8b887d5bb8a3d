"""The body of a request, within its limits, and the rows in it."""

import asyncio
from email.message import Message

from starlette.requests import ClientDisconnect, Request

from pipeline.governance.errors import InvalidInput
from pipeline.http_api.problems import TooLarge, TooSlow, WrongMediaType
from pipeline.settings import HttpSettings

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
