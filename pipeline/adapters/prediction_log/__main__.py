"""The process that writes the log for a server, see process.py: `python -m pipeline.adapters.prediction_log`.

It ends when its stdin does, after what it was given whole. A block that nobody has closed by then stays open: whoever
answered was killed, and what it had not sent yet is missing.
"""

import contextlib
import gc
import pickle
import signal
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.monitoring.recording.answered import AnsweredRow
from pipeline.monitoring.recording.batches import DirectWriter
from pipeline.serving.worker.protocol import Frame, private_streams, write_frame


def main() -> None:
    """Writes until whoever started the process ends, also after Ctrl-C and SIGTERM, which are for that one."""
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)
    requests, replies = private_streams()
    with contextlib.suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):  # whoever asks has ended
        url, options = pickle.load(requests)  # noqa: S301 (from whoever started this process)
        writer = DirectWriter(SqlPredictionLog(url), options)
        gc.freeze()  # the libraries stay
        for does, given in _asked(requests):
            write_frame(replies, _reply(writer, does, given))


def _asked(requests: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
    """The methods that are asked for and what they are given. The rows of a batch come before it."""
    rows: list[AnsweredRow] = []
    while True:
        does, given = pickle.load(requests)  # noqa: S301 (likewise)
        if does == "rows":
            rows += [AnsweredRow(*each) for each in given]
            continue
        if does == "write":
            given["batch"], rows = replace(given["batch"], rows=rows), []
        yield does, given


def _reply(writer: DirectWriter, does: str, given: dict[str, Any]) -> Frame:
    try:
        return {"found": getattr(writer, does)(**given)}
    except (InvalidInput, Unavailable) as error:
        return {"error": str(error), "kind": type(error).__name__}


if __name__ == "__main__":
    main()
