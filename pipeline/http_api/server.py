"""The server of `signoff serve`: uvicorn, which at the end lets callers go before it closes the door."""

import asyncio
import socket
import sys
from collections.abc import Sequence

import uvicorn

from pipeline.http_api.application import create_app
from pipeline.http_api.token import read_token
from pipeline.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LEAVING_SECONDS = 0.5  # every answer closes its connection, so that nobody sends into one that is about to be closed
KEEP_ALIVE_SECONDS = 75  # longer than proxies and clients keep theirs
BACKLOG = 512


class LeavingServer(uvicorn.Server):
    """Between SIGTERM and the closed door it still answers, and tells each caller not to come back."""

    async def shutdown(self, sockets: Sequence[socket.socket] | None = None) -> None:
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        await asyncio.sleep(LEAVING_SECONDS)
        await super().shutdown(list(sockets) if sockets else None)


def serve(settings: Settings, *, host: str, port: int, model: str | None) -> None:
    """Until SIGTERM or Ctrl-C. Raises InvalidInput for a token that protects nothing."""
    if read_token(settings.environment) is None and host not in LOOPBACK:
        sys.stderr.write(
            f"Anybody who reaches {host} can ask for predictions: neither SIGNOFF_TOKEN nor a file is set.\n"
        )
    config = uvicorn.Config(
        create_app(model),
        host=host,
        port=port,
        backlog=BACKLOG,
        access_log=False,  # /metrics counts; a line per request costs as much as reading it
        log_level="info",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, int(settings.serving.http.end_seconds)),
    )
    LeavingServer(config).run()
