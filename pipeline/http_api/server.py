"""The server of `signoff serve`: uvicorn, which at the end answers whoever was let in before it lets go.

A connection that a caller believes to be open may carry a request at any time: nobody can be told "no more" first. So
after SIGTERM nobody new is let in, whoever is there is answered with `Connection: close` and leaves with that answer,
and only who stays silent for long is let go without one.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pipeline.governance.errors import Unavailable
from pipeline.http_api.app import create_app
from pipeline.http_api.token import read_token
from pipeline.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
HANDSHAKE_SECONDS = 0.5  # for handshakes that are under way when newcomers are refused: a round trip
SILENT_SHARE = 0.75  # of end_seconds: how long a silent connection is waited for; the rest is for the last answers
LOOK_SECONDS = 0.02
LAST_WORDS_SECONDS = 0.1  # between the end of our side of a connection and the end of the other
KEEP_ALIVE_SECONDS = 75  # longer than proxies and clients keep theirs
BACKLOG = 512
SO_ATTACH_FILTER = 26  # of Linux; Python has no name for it
# Classic BPF over the TCP header: load the flags; a SYN without ACK is dropped, everything else passes.
NO_NEWCOMERS = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


class GracefulState(ServerState):
    """leaving: SIGTERM has come."""

    def __init__(self) -> None:
        super().__init__()
        self.leaving = False


class GracefulProtocol(HttpToolsProtocol):
    """A connection that is closed with the last answer that its caller waits for."""

    server_state: GracefulState

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 (uvicorn's)
        super().__init__(*arguments, **options)
        self.app, self._asked = self._answer, self.app
        self._let_go = False

    @property
    def silent(self) -> bool:
        """Whether nobody waits for an answer: nothing was asked yet, or everything is answered."""
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def let_go(self) -> None:
        """End our side: whoever writes now reads the end instead of an answer, and is not cut off while reading."""
        self._let_go = True
        if not self.transport.is_closing():
            self.transport.write_eof()

    def shutdown(self) -> None:
        """Uvicorn's would end a connection with the answer of now, though others are waited for behind it."""
        if self.silent:
            self.transport.close()
        elif not self.pipeline and self.cycle.response_started:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        if not self._let_go:
            super().data_received(data)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 (ASGI's)
        async def send_last(message: Any) -> None:  # noqa: ANN401 (ASGI's)
            if message["type"] == "http.response.start" and await self._is_last():
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            await send(message)

        await self._asked(scope, receive, send_last)

    async def _is_last(self) -> bool:
        """While leaving, and where no other request waits behind this one, what the kernel still holds included."""
        if not self.server_state.leaving:
            return False
        for _ in range(2):  # after two rounds of the loop, every socket that had something to read was read
            await asyncio.sleep(0)
        return not self.pipeline


class GracefulServer(uvicorn.Server):
    """Ends in this order: no newcomers, answers for whoever is there, an end for whoever is silent."""

    def __init__(self, config: uvicorn.Config, *, end_seconds: float) -> None:
        super().__init__(config)
        self.server_state: GracefulState = GracefulState()
        self._end_seconds = end_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + self._end_seconds
        self.server_state.leaving = True
        await self._let_in_who_waits(min(HANDSHAKE_SECONDS, self._end_seconds / 4))
        silent_until = end - (1 - SILENT_SHARE) * self._end_seconds
        # A second Ctrl-C sets force_exit, from a signal handler.
        while self.server_state.connections and clock() < silent_until and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)
        if left := self._silent():
            for connection in left:
                connection.let_go()
            await asyncio.sleep(LAST_WORDS_SECONDS)
        # A whole number in uvicorn's own settings, any number of seconds where it is used.
        self.config.timeout_graceful_shutdown = max(end - clock(), LAST_WORDS_SECONDS)  # type: ignore[assignment]
        await super().shutdown(sockets)

    def _silent(self) -> list[GracefulProtocol]:
        connections = [each for each in self.server_state.connections if isinstance(each, GracefulProtocol)]
        return [each for each in connections if each.silent]

    async def _let_in_who_waits(self, handshake_seconds: float) -> None:
        """The kernel has greeted callers that the event loop has not seen yet: to close the door would reset them."""
        loop = asyncio.get_running_loop()
        doors = [socket.socket(fileno=os.dup(each.fileno())) for server in self.servers for each in server.sockets]
        for door in doors:
            refuse_newcomers(door)
        await asyncio.sleep(handshake_seconds)
        for server in self.servers:
            server.close()
        for door in doors:
            with door:
                for caller in _callers(door):
                    await loop.connect_accepted_socket(self._protocol, caller)

    def _protocol(self) -> asyncio.Protocol:
        return GracefulProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def refuse_newcomers(door: socket.socket) -> None:
    """Drop what would begin a connection, so that none begins between the last look at the door and its closing.

    What is dropped is sent again within a second, and refused then. Systems without such filters go on as before.
    """
    code = b"".join(
        operation.to_bytes(2, sys.byteorder) + bytes((yes, no)) + value.to_bytes(4, sys.byteorder)
        for operation, yes, no, value in NO_NEWCOMERS
    )
    held = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    program = Program(len(NO_NEWCOMERS), ctypes.addressof(held))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            door.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(program))


def _callers(door: socket.socket) -> Iterator[socket.socket]:
    """Until the next one would have to be waited for."""
    door.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            yield door.accept()[0]


def serve(settings: Settings, *, host: str, port: int, model: str | None) -> None:
    """Until SIGTERM or Ctrl-C. Raises InvalidInput for a token that protects nothing, Unavailable."""
    if read_token(settings.environment) is None and host not in LOOPBACK:
        sys.stderr.write(
            f"Anybody who reaches {host} can ask for predictions: neither SIGNOFF_TOKEN nor a file is set.\n"
        )
    run(create_app(model), host=host, port=port, end_seconds=settings.serving.http.end_seconds)


def run(app: Any, *, host: str, port: int, end_seconds: float) -> None:  # noqa: ANN401 (any ASGI application)
    """Serve an application. Raises Unavailable where it does not start."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=GracefulProtocol,
        backlog=BACKLOG,
        access_log=False,  # /metrics counts; a line per request costs as much as reading it
        log_level="info",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    signal.signal(signal.SIGTERM, _leave)
    try:
        GracefulServer(config, end_seconds=end_seconds).run()
    except SystemExit as end:
        if end.code:
            raise Unavailable(f"{host}:{port}: the server does not start; the lines above say why") from end


def _leave(_number: int, _frame: FrameType | None) -> None:
    """Uvicorn sends itself the signal again when it has ended; by default that would end the process on the spot."""
    sys.exit(0)
