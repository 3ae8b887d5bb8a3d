"""The server of `signoff serve` with a switch: GET /told/NAME chooses who is told what is answered from now on.

Two servers of one kind differ by as much as a log may cost: they are asked of one. GET /used says how many seconds of
processor time it has used. `python switched_app.py --port N`.
"""

import asyncio
import time
from typing import Annotated

import typer
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from pipeline.http_api.app import create_app
from pipeline.http_api.server import run
from pipeline.monitoring.recording.recorder import Recorder, Unrecorded
from pipeline.monitoring.recording.shadow import ShadowedRecorder

TOLD, USED = "/told/", "/used"
POLL_SECONDS, END_SECONDS = 0.05, 10.0
UNRECORDED = Unrecorded()


class Switched:
    """Passes requests on to the application, but for those two."""

    def __init__(self) -> None:
        self.app = create_app(None)
        self._whole: ShadowedRecorder | None = None  # as the settings say

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["type"] == "http" else ""
        if path.startswith(TOLD):
            await self._tell(path.removeprefix(TOLD))
        elif path != USED:
            await self.app(scope, receive, send)
            return
        await PlainTextResponse(str(time.process_time()))(scope, receive, send)

    async def _tell(self, name: str) -> None:
        """Has the recorder be told that is called so, after what waits is written.

        A shadow forgets what waits for it: it would take many seconds, in which nobody asks, to answer all of it.
        """
        state = self.app.state.serving
        whole = self._whole = self._whole or state.recorder
        recorders: dict[str, Recorder] = {"off": UNRECORDED, "log": whole._recorder, "shadow": whole}
        state.recorder = UNRECORDED
        whole._shadow._waiting.clear()
        while whole.status.waiting:  # noqa: ASYNC110 (nobody tells)
            await asyncio.sleep(POLL_SECONDS)
        state.recorder = recorders[name]


def main(port: Annotated[int, typer.Option()], host: str = "127.0.0.1") -> None:
    run(Switched(), host=host, port=port, end_seconds=END_SECONDS)


if __name__ == "__main__":
    typer.run(main)
