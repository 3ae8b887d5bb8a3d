"""What leaves a connection of the HTTP API together: a caller is woken once per answer."""

from dataclasses import dataclass, field

import pytest

from pipeline.http_api.server import HoldingTransport


@dataclass
class Connection:
    """A transport that remembers what reached the socket, and in which order."""

    sent: list[bytes] = field(default_factory=list)
    peer: str = "somebody"

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def write_eof(self) -> None:
        self.sent.append(b"<end>")

    close = write_eof


@pytest.fixture
def connection() -> Connection:
    return Connection()


@pytest.fixture
def transport(connection: Connection) -> HoldingTransport:
    return HoldingTransport(connection)  # type: ignore[arg-type]


def test_head_and_body_are_one_write(connection: Connection, transport: HoldingTransport) -> None:
    """What is held leaves when it is released; what comes later leaves at once."""
    transport.hold()
    transport.write(b"head ")
    transport.write(b"body")
    assert connection.sent == []
    transport.release()
    transport.write(b"next")
    assert connection.sent == [b"head body", b"next"]


@pytest.mark.parametrize("end", ["write_eof", "close"])
def test_nothing_stays_held_at_the_end(connection: Connection, transport: HoldingTransport, end: str) -> None:
    """Also of an answer that broke off after its head."""
    transport.hold()
    transport.write(b"head")
    getattr(transport, end)()
    assert connection.sent == [b"head", b"<end>"]


def test_a_second_hold_loses_nothing(connection: Connection, transport: HoldingTransport) -> None:
    """An answer may begin while another one has not left yet; what else a transport knows is asked of it."""
    transport.hold()
    transport.write(b"one ")
    transport.hold()
    transport.write(b"two")
    transport.release()
    transport.release()
    assert (connection.sent, transport.peer) == ([b"one two"], "somebody")
