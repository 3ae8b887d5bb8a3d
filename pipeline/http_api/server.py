"""The server of `signoff serve`: uvicorn, which at the end lets callers go before it closes the door."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from types import FrameType

import uvicorn

from pipeline.governance.errors import Unavailable
from pipeline.http_api.application import create_app
from pipeline.http_api.token import read_token
from pipeline.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LEAVING_SECONDS = 0.5  # every answer closes its connection, so that nobody sends into one that is about to be closed
FIRST_WORDS_SECONDS = 0.2  # until whoever came last has sent a request
KEEP_ALIVE_SECONDS = 75  # longer than proxies and clients keep theirs
BACKLOG = 512


class LeavingServer(uvicorn.Server):
    """After SIGTERM it first tells each caller not to come back and lets in who waits, then it closes the door."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        await asyncio.sleep(LEAVING_SECONDS)
        await self._let_in_who_waits()
        await asyncio.sleep(FIRST_WORDS_SECONDS)
        await super().shutdown(sockets)

    async def _let_in_who_waits(self) -> None:
        """The kernel has greeted callers that the event loop has not seen yet: to close the door would reset them."""
        loop = asyncio.get_running_loop()
        doors = [socket.socket(fileno=os.dup(each.fileno())) for server in self.servers for each in server.sockets]
        for server in self.servers:
            server.close()
        for door in doors:
            with door, contextlib.suppress(BlockingIOError):
                door.setblocking(False)
                while True:
                    caller, _ = door.accept()
                    await loop.connect_accepted_socket(self._protocol, caller)

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made


def serve(settings: Settings, *, host: str, port: int, model: str | None) -> None:
    """Until SIGTERM or Ctrl-C. Raises InvalidInput for a token that protects nothing, Unavailable."""
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
    signal.signal(signal.SIGTERM, _leave)
    try:
        LeavingServer(config).run()
    except SystemExit as end:
        if end.code:
            raise Unavailable(f"{host}:{port}: the server does not start; the lines above say why") from end


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Uvicorn sends itself the signal again when it has ended; by default that would end the process on the spot."""
    sys.exit(0)
