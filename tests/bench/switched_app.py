"""The server of `signoff serve` with a switch: GET /told/NAME chooses who is told what is answered from now on.

Two servers of one kind differ by as much as a log may cost: they are asked of one. `python switched_app.py --port N`.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Annotated

import typer
from starlette.types import Receive, Scope, Send

from pipeline.http_api.app import create_app
from pipeline.http_api.server import run
from pipeline.monitoring.recording.recorder import Recorder, Unrecorded
from pipeline.monitoring.recording.shadow import ShadowedRecorder

SWITCH = "/told/"
POLL_SECONDS, END_SECONDS = 0.05, 10.0


class Switched:
    """Passes requests on to the application. It answers a switch itself, once all that was told before is written."""

    def __init__(self) -> None:
        self.app = create_app(None)
        self._recorder: ShadowedRecorder | None = None
        self._offered = self._written = 0  # answers that the shadow was to be asked about; all, before this window

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(SWITCH):
            await self.app(scope, receive, send)
            return
        await self._tell(scope["path"].removeprefix(SWITCH))
        content = json.dumps({"seconds": time.process_time()}).encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(content))]}
        )
        await send({"type": "http.response.body", "body": content})

    async def _tell(self, name: str) -> None:
        """Has the recorder be told that is called so, after what waits is written and the shadow has nothing to do."""
        state = self.app.state.serving
        whole = self._recorder = self._recorder or state.recorder
        await _until(lambda: not whole.status.waiting)
        if state.recorder is whole:
            self._offered += whole.status.written - self._written
        await _until(lambda: whole.status.shadow.asked + whole.status.shadow.skipped >= self._offered)
        recorders: dict[str, Recorder] = {"off": Unrecorded(), "log": whole._recorder, "shadow": whole}
        state.recorder, self._written = recorders[name], whole.status.written


async def _until(done: Callable[[], bool]) -> None:
    while not done():  # noqa: ASYNC110 (nobody tells)
        await asyncio.sleep(POLL_SECONDS)


def main(port: Annotated[int, typer.Option()], host: str = "127.0.0.1") -> None:
    run(Switched(), host=host, port=port, end_seconds=END_SECONDS)


if __name__ == "__main__":
    typer.run(main)
