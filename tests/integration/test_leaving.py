"""`signoff serve` at SIGTERM, over real sockets: whoever is let in is answered, however late and however they ask."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

from pipeline.http_api.server import drop_new_connections
from support import leaving_app
from support.ports import free_port

PATIENCE = 120.0  # of a busy machine; nothing here is judged by how long it took
HALT = 600.0  # end_seconds that no test waits for
ESTABLISHED, SYN_SENT = 1, 2


@dataclass
class Server:
    process: "subprocess.Popen[bytes]"
    port: int
    folder: Path

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def leave(self) -> None:
        """SIGTERM, and until nobody new is let in: from then on only what the server waits for is answered."""
        self.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                self.connect().close()
            except ConnectionError:
                return
        raise AssertionError("it still listens")

    def ended(self) -> int:
        return self.process.wait(PATIENCE)


@contextmanager
def leaving(folder: Path, end_seconds: float = HALT) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, str(Path(leaving_app.__file__)), str(port), str(end_seconds)]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE)
    try:
        assert process.stderr is not None
        while b"running on" not in process.stderr.readline():
            assert process.poll() is None
        yield Server(process, port, folder)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with leaving(tmp_path) as found:
        yield found


def request(path: str, body: bytes = b"") -> bytes:
    return f"POST {path} HTTP/1.1\r\nHost: desk\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def answers(connection: socket.socket, count: int) -> list[tuple[bytes, bool]]:
    """What each of so many answers says, and whether it closes the connection; then the end, not a reset."""
    with connection.makefile("rb") as stream:
        found = [answer(stream) for _ in range(count)]
        assert stream.read() == b""
    return found


def answer(stream: IO[bytes]) -> tuple[bytes, bool]:
    lines: list[bytes] = []
    while (line := stream.readline()) not in (b"\r\n", b""):
        lines.append(line.strip().lower())
    assert lines[:1] == [b"http/1.1 200 ok"], lines
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length"))
    return stream.read(length), b"connection: close" in lines


def test_a_connection_that_has_not_asked_yet(server: Server) -> None:
    """Its first request is answered, and is its last."""
    with closing(server.connect()) as caller:
        server.leave()
        caller.sendall(request("/late", b"row"))

        assert answers(caller, 1) == [(b"/late row", True)]
    assert server.ended() == 0


def test_a_kept_connection_that_asks_again(server: Server) -> None:
    """As the first time, and then it is closed."""
    with closing(server.connect()) as caller, caller.makefile("rb") as stream:
        caller.sendall(request("/first"))
        assert answer(stream) == (b"/first ", False)
        server.leave()
        caller.sendall(request("/again"))

        assert answer(stream) == (b"/again ", True)
        assert stream.read() == b""
    assert server.ended() == 0


def test_a_body_that_arrives_late(server: Server) -> None:
    """Head and half a body before, the rest after; or half a head."""
    whole = request("/slow", b"a row of words")
    with ExitStack() as stack:
        callers = [stack.enter_context(closing(server.connect())) for _ in range(2)]
        for caller, cut in zip(callers, (len(whole) - 5, 20), strict=True):
            caller.sendall(whole[:cut])
        server.leave()
        for caller, cut in zip(callers, (len(whole) - 5, 20), strict=True):
            caller.sendall(whole[cut:])

            assert answers(caller, 1) == [(b"/slow a row of words", True)]
    assert server.ended() == 0


@pytest.mark.parametrize("before", [0, 1, 3], ids=["all after", "one before", "all before"])
def test_requests_sent_in_one_go(server: Server, before: int) -> None:
    """Every one is answered in order; only the last closes the connection."""
    parts = [request("/wait"), request("/two"), request("/three")]
    with closing(server.connect()) as caller:
        caller.sendall(b"".join(parts[:before]))
        server.leave()
        caller.sendall(b"".join(parts[before:]))
        (server.folder / "go").touch()

        assert answers(caller, 3) == [(b"/wait ", False), (b"/two ", False), (b"/three ", True)]
    assert server.ended() == 0


def test_a_running_request_keeps_its_answer(server: Server) -> None:
    """It began before SIGTERM and ends after."""
    with closing(server.connect()) as caller:
        caller.sendall(request("/wait"))
        server.leave()
        (server.folder / "go").touch()

        assert answers(caller, 1) == [(b"/wait ", True)]
    assert server.ended() == 0


def test_callers_that_only_the_kernel_has_greeted(server: Server) -> None:
    """They were connected while the server did nothing; SIGTERM comes before it sees them."""
    server.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WNOWAIT)
    with ExitStack() as stack:
        callers = [stack.enter_context(closing(server.connect())) for _ in range(50)]
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGCONT)
        for caller in callers:
            caller.sendall(request("/queued"))
        streams = [stack.enter_context(caller.makefile("rb")) for caller in callers]

        assert [answer(stream)[0] for stream in streams] == [b"/queued "] * 50
    assert server.ended() == 0


def test_whoever_stays_silent_is_let_go(tmp_path: Path) -> None:
    """New, kept and half-asked connections read an end, not a reset, and do not hold the process."""
    with leaving(tmp_path, end_seconds=1.0) as server, ExitStack() as stack:
        new, kept, half = (stack.enter_context(closing(server.connect())) for _ in range(3))
        kept.sendall(request("/first"))
        stream = stack.enter_context(kept.makefile("rb"))
        assert answer(stream) == (b"/first ", False)
        half.sendall(b"POST /half HTTP/1.1\r\n")
        server.leave()

        assert server.ended() == 0
        assert [new.recv(1), stream.read(), half.recv(1)] == [b"", b"", b""]


@pytest.mark.skipif(sys.platform != "linux", reason="socket filters are Linux's")
def test_nobody_begins_a_connection_with_a_listener_about_to_close() -> None:
    """Whoever came before it is let in; on this machine a handshake ends within the call that begins it."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener, ExitStack() as stack:
        before, after = (stack.enter_context(closing(socket.socket())) for _ in range(2))
        for caller in (before, after):
            caller.setblocking(False)
        before.connect_ex(listener.getsockname())
        drop_new_connections(listener)
        after.connect_ex(listener.getsockname())
        accepted = stack.enter_context(closing(listener.accept()[0]))
        before.send(b"x")

        assert [state(before), state(after)] == [ESTABLISHED, SYN_SENT]
        assert accepted.recv(1) == b"x"


def state(connection: socket.socket) -> int:
    found: int = struct.unpack("B", connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1))[0]
    return found
