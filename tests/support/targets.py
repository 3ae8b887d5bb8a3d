"""Targets of notices: one that tests look at, and servers on loopback that take mail and webhooks."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.governance.errors import Unavailable


@dataclass
class KnownTargets:
    """A notifier that keeps what it sent; whoever is in `silent` takes nothing."""

    names: dict[str, str] = field(default_factory=lambda: {"t1": "target 1 (mail)"})
    silent: set[str] = field(default_factory=set)
    sent: list[tuple[str, str, str]] = field(default_factory=list)  # target, title, text
    asked: int = 0

    def targets(self) -> dict[str, str]:
        return self.names

    def send(self, target: str, title: str, text: str) -> None:
        self.asked += 1
        if target in self.silent or target not in self.names:
            raise Unavailable(f"{self.names.get(target, target)} did not take it")
        self.sent.append((target, title, text))


@contextmanager
def webhook(arrived: Callable[[dict[str, Any]], int]) -> Iterator[str]:
    """The address, in Apprise's form, of a server that passes on the JSON of each request; it gives the status."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(arrived(body))
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not on the console of the tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"json://127.0.0.1:{server.server_port}/secret-path"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def mail_server(arrived: list[tuple[str, str]]) -> Iterator[str]:
    """The address, in Apprise's form, of a mail server that keeps subject and text of each mail."""
    from aiosmtpd.smtp import SMTP

    class Keep:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 (aiosmtpd's name)
            mail = message_from_bytes(envelope.content)
            parts = [part for part in mail.walk() if part.get_content_type() == "text/plain"]
            arrived.append((str(mail["Subject"]), parts[0].get_payload(decode=True).decode()))  # type: ignore[union-attr]
            return "250 OK"

    loop, ready, ports = asyncio.new_event_loop(), threading.Event(), list[int]()

    async def serve(stop: asyncio.Event) -> None:
        async with await loop.create_server(lambda: SMTP(Keep(), loop=loop), "127.0.0.1", 0) as server:
            ports.append(server.sockets[0].getsockname()[1])
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(stop),))
    thread.start()
    ready.wait()
    try:
        yield f"mailto://127.0.0.1:{ports[0]}?from=desk@example.org&to=team@example.org"
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
