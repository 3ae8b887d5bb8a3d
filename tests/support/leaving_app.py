"""A small application on the server of `signoff serve`: it answers with the path and the body that it has read."""

import asyncio
import os
import sys
from typing import Any

from pipeline.http_api.server import run


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/wait` answers once the file `go` is there."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    while scope["path"] == "/wait" and not os.path.exists("go"):  # noqa: ASYNC110, ASYNC240, PTH110 (a file is all it knows)
        await asyncio.sleep(0.01)
    text = scope["path"].encode() + b" " + body
    headers = [(b"content-length", str(len(text)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": text})


if __name__ == "__main__":
    run(app, host="127.0.0.1", port=int(sys.argv[1]), end_seconds=float(sys.argv[2]))
