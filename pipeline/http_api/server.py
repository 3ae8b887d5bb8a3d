"""The server of `signoff serve`: uvicorn with a graceful shutdown that loses no request.

A caller may send the next request on a connection that it kept at any time, and cannot be told "no more" first. So
after SIGTERM the server drops new connections, accepts those that the kernel has queued, and answers whatever is asked
with `Connection: close`. Connections on which nothing is asked are ended last, shortly before the time is over.
"""

import asyncio
import contextlib
import ctypes
import errno
import os
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from pipeline.bootstrap import check_recording
from pipeline.governance.errors import Unavailable
from pipeline.governance.roles import Provider
from pipeline.http_api.app import create_app
from pipeline.http_api.token import read_token
from pipeline.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
HANDSHAKE_SECONDS = 0.5  # for handshakes that are under way when new connections are dropped: a round trip
IDLE_SHARE = 0.75  # of end_seconds: how long idle connections are waited for; the rest is for the last answers
POLL_SECONDS = 0.02
HALF_CLOSED_SECONDS = 0.1  # between the end of our side of a connection and the end of the other
KEEP_ALIVE_SECONDS = 75  # longer than proxies and clients keep theirs
BACKLOG = 512
# Of the interpreter's lock: so long answers wait where another thread computes, such as the one that writes the log.
SWITCH_SECONDS = 0.0005
SO_ATTACH_FILTER = 26  # of Linux; Python has no name for it
# Classic BPF over the TCP header: load the flags; a SYN without ACK is dropped, everything else passes.
DROP_SYN = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))


class GracefulState(ServerState):
    """What uvicorn's connections share, with one flag more."""

    def __init__(self) -> None:
        super().__init__()
        self.shutting_down = False  # whether SIGTERM has come


class HoldingTransport:
    """A transport that can hold what is written: head and body of an answer leave in one system call and one packet."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] | None = None  # None: nothing is held

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (the transport's)
        return getattr(self._transport, name)

    def hold(self) -> None:
        """Holds what is written until `release`, or until our side ends."""
        self._held = self._held or []

    def release(self) -> None:
        """Writes what was held."""
        held, self._held = self._held, None
        if held:
            self._transport.write(b"".join(held))

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._transport.write(data)
        else:
            self._held.append(data)

    def write_eof(self) -> None:
        self.release()
        self._transport.write_eof()

    def close(self) -> None:
        self.release()
        self._transport.close()


class GracefulProtocol(HttpToolsProtocol):
    """A connection that ends, during a shutdown, with the last answer that its caller waits for."""

    server_state: GracefulState
    transport: Any  # a HoldingTransport

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 (uvicorn's)
        super().__init__(*arguments, **options)
        self.app, self._inner_app = self._answer, self.app
        self._half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's
        super().connection_made(HoldingTransport(transport))  # type: ignore[arg-type] # all that is used of one

    @property
    def idle(self) -> bool:
        """Whether no answer is waited for: nothing was asked yet, or everything is answered."""
        return not self.pipeline and (self.cycle is None or self.cycle.response_complete)

    def half_close(self) -> None:
        """Ends our side only: a caller who sends now reads an end instead of an answer, and no reset."""
        self._half_closed = True
        if not self.transport.is_closing():
            self.transport.write_eof()

    def shutdown(self) -> None:
        """Uvicorn's would end a connection with its current answer, though pipelined requests wait behind it."""
        if self.idle:
            self.transport.close()
        elif not self.pipeline and self.cycle.response_started:
            self.cycle.keep_alive = False

    def data_received(self, data: bytes) -> None:
        if not self._half_closed:
            super().data_received(data)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 (ASGI's)
        async def send_last(message: Any) -> None:  # noqa: ANN401 (ASGI's)
            if message["type"] != "http.response.start":
                await send(message)
                self.transport.release()
                return
            if self.server_state.shutting_down and await self._is_last():
                message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
            self.transport.hold()
            await send(message)

        await self._inner_app(scope, receive, send_last)

    async def _is_last(self) -> bool:
        """Whether no other request waits behind this one, also none in the kernel."""
        for _ in range(2):  # after two rounds of the loop, every socket that had something to read was read
            await asyncio.sleep(0)
        return not self.pipeline


class GracefulServer(uvicorn.Server):
    """Shuts down in this order: drops new connections, answers what is asked, then ends idle connections."""

    def __init__(self, config: uvicorn.Config, *, end_seconds: float) -> None:
        super().__init__(config)
        self.server_state: GracefulState = GracefulState()
        self._end_seconds = end_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + self._end_seconds
        self.server_state.shutting_down = True
        await self._accept_queued(min(HANDSHAKE_SECONDS, self._end_seconds / 4))
        idle_until = end - (1 - IDLE_SHARE) * self._end_seconds
        # A second Ctrl-C sets force_exit, from a signal handler.
        while self.server_state.connections and clock() < idle_until and not self.force_exit:  # noqa: ASYNC110
            await asyncio.sleep(POLL_SECONDS)
        connections = [each for each in self.server_state.connections if isinstance(each, GracefulProtocol)]
        if idle := [each for each in connections if each.idle]:
            for connection in idle:
                connection.half_close()
            await asyncio.sleep(HALF_CLOSED_SECONDS)
        # A whole number in uvicorn's own settings, any number of seconds where it is used.
        self.config.timeout_graceful_shutdown = max(end - clock(), HALF_CLOSED_SECONDS)  # type: ignore[assignment]
        await super().shutdown(sockets)

    async def _accept_queued(self, handshake_seconds: float) -> None:
        """Stops listening after accepting what the kernel has queued, which closing a listener would reset."""
        loop = asyncio.get_running_loop()
        listeners = [socket.socket(fileno=os.dup(each.fileno())) for server in self.servers for each in server.sockets]
        for listener in listeners:
            drop_new_connections(listener)
        await asyncio.sleep(handshake_seconds)
        for server in self.servers:
            server.close()
        for listener in listeners:
            with listener:
                for connection in _queued(listener):
                    await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self) -> asyncio.Protocol:
        return GracefulProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def drop_new_connections(listener: socket.socket) -> None:
    """Has the kernel drop every SYN, so that no connection begins between the last accept and the close.

    A caller sends a dropped SYN again within a second, and is refused then. Systems without such filters stay as they
    are: there, a connection that begins in that moment is reset.
    """
    code = b"".join(
        operation.to_bytes(2, sys.byteorder) + bytes((yes, no)) + value.to_bytes(4, sys.byteorder)
        for operation, yes, no, value in DROP_SYN
    )
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    program = Program(len(DROP_SYN), ctypes.addressof(buffer))
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(program))


def _queued(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that can be accepted without waiting."""
    listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            yield listener.accept()[0]


def serve(settings: Settings, *, host: str, port: int, model: str | None, desk: bool = False) -> None:
    """Serves until SIGTERM or Ctrl-C; desk: decisions too. Raises InvalidInput for a token that protects nothing, for
    a log of predictions that cannot be, and as run does.
    """
    check_recording(settings)
    open_to_all = read_token(settings.environment) is None and settings.identity.provider is Provider.LOCAL
    if open_to_all and host not in LOOPBACK:
        sys.stderr.write(
            f"Anybody who reaches {host} can ask for predictions: neither SIGNOFF_TOKEN nor a file is set.\n"
        )
    if desk and host not in LOOPBACK and not settings.serving.http.allowed_hosts:
        sys.stderr.write(
            "Under /api/v1 only requests to this machine's own names are answered: name the host that clients ask for "
            "in serving.http.allowed_hosts.\n"
        )
    run(create_app(model, desk=desk), host=host, port=port, end_seconds=settings.serving.http.end_seconds)


def check_port(host: str, port: int) -> None:
    """Raises Unavailable where something else listens there. Uvicorn says so too, but only once a model is loaded."""
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror:  # uvicorn says that nobody has this name
        return
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as uvicorn's: no look at ended connections
            try:
                probe.bind(address)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise Unavailable(f"{host}:{port}: the server does not start: address already in use") from error


def run(app: Any, *, host: str, port: int, end_seconds: float) -> None:  # noqa: ANN401 (any ASGI application)
    """Serves an application until SIGTERM or Ctrl-C. Raises Unavailable where it does not start."""
    check_port(host, port)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        http=GracefulProtocol,
        backlog=BACKLOG,
        access_log=False,  # /metrics counts; a line per request costs as much as reading it
        log_level="info",
        server_header=False,
        proxy_headers=False,  # nothing here asks where a request comes from
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    # Uvicorn sends itself the signal again when it has ended; by default that would end the process on the spot.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        GracefulServer(config, end_seconds=end_seconds).run()
    except SystemExit as end:
        if end.code:
            raise Unavailable(f"{host}:{port}: the server does not start; the lines above say why") from end
