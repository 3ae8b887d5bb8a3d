"""What a request may cost: how many are answered at the same time, and the size, type and time of a body."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message

from starlette.requests import Request
from starlette.types import Receive

from pipeline.governance.errors import InvalidInput
from pipeline.http_api.problems import TooLarge, TooManyRequests, TooSlow, WrongMediaType
from pipeline.settings import HttpSettings

CHECKED = (b"content-type", b"content-encoding")
PLAIN = [
    (b"content-type", b"application/json")
]  # what nearly all send: the parser of headers takes longer than all other checks
DRAINED = 8  # times the limit: so much is read and thrown away, because a caller who still sends reads no answer


class ConcurrencyLimit:
    """Caps how many requests are answered at the same time; what comes beyond is refused, not queued."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.in_progress = 0

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Takes one of `most` slots until the block ends. Raises TooManyRequests where none is free."""
        if self.in_progress >= self.most:
            raise TooManyRequests(f"the server: answers {self.most} requests at once; try again")
        self.in_progress += 1
        try:
            yield
        finally:
            self.in_progress -= 1


async def read_text(request: Request, limits: HttpSettings) -> str:
    """The body as text. Raises WrongMediaType, TooLarge, TooSlow; InvalidInput for what is not UTF-8 or ends early."""
    _check_media_type(request)
    try:
        async with asyncio.timeout(limits.body_seconds):
            body = await _read(request.receive, int(limits.body_megabytes * 2**20))
    except TimeoutError:
        raise TooSlow(f"body: did not arrive within {limits.body_seconds:g} s") from None
    if body is None:
        raise TooLarge(f"body: has more than {limits.body_megabytes:g} MB")
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"body: is not UTF-8 (byte {error.start + 1})") from error


def _check_media_type(request: Request) -> None:
    if [header for header in request.scope["headers"] if header[0] in CHECKED] == PLAIN:
        return
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    charset = str(header.get_param("charset", "utf-8")).casefold()
    if header.get_content_type() != "application/json" or charset not in {"utf-8", "utf8", "us-ascii"}:
        raise WrongMediaType("body: must be sent as application/json in UTF-8")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise WrongMediaType("body: must not be compressed")


async def _read(receive: Receive, most_bytes: int) -> bytes | None:
    """The body; None where it is larger than `most_bytes`, whether or not its header says so. Raises InvalidInput."""
    chunks, size, more = [], 0, True
    while more and size <= most_bytes * DRAINED:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidInput("body: ended before it was complete")
        size += len(chunk := message.get("body", b""))
        if size <= most_bytes:
            chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks) if size <= most_bytes else None
