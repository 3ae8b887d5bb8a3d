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
from datetime import datetime, timedelta, timezone
from typing import Any, BinaryIO

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.monitoring.prediction_log import CountKey, CountKind, Door, ShadowAnswer
from pipeline.monitoring.profile import BinCounts, CategoryBins, ConfidenceCounts, NumberBins, Profile
from pipeline.monitoring.recording.answered import AnsweredRow, StoredColumns, Subject
from pipeline.monitoring.recording.batches import Counted, DirectWriter, RecordingOptions, ToldBatch
from pipeline.serving.predictions import Resolved
from pipeline.serving.worker.protocol import Frame, private_streams, write_frame

TOLD = (
    *(AnsweredRow, Subject, Resolved, Door, ShadowAnswer, ToldBatch, Counted, CountKey, CountKind),
    *(Profile, BinCounts, CategoryBins, NumberBins, ConfidenceCounts),
    *(RecordingOptions, StoredColumns, datetime, timedelta, timezone),
)
TYPES = {(each.__module__, each.__qualname__): each for each in TOLD}


class ToldTypes(pickle.Unpickler):
    """Reads what whoever started this process sends, of the listed types alone: a pickle could name any function.

    Source: "Restricting Globals" in Python's documentation of pickle.
    """

    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in TYPES:
            raise TypeError(f"{module}.{name} is nothing that is told to the log")
        return TYPES[module, name]


def main() -> None:
    """Writes until whoever started the process ends, also after Ctrl-C and SIGTERM, which are for that one."""
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.SIG_IGN)
    requests, replies = private_streams()
    with contextlib.suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):  # whoever asks has ended
        url, options = ToldTypes(requests).load()
        writer = DirectWriter(SqlPredictionLog(url), options)
        gc.freeze()  # the libraries stay
        for does, given in _asked(requests):
            write_frame(replies, _reply(writer, does, given))


def _asked(requests: BinaryIO) -> Iterator[tuple[str, dict[str, Any]]]:
    """The methods that are asked for and what they are given. The rows of a batch come before it."""
    rows: list[AnsweredRow] = []
    while True:
        does, given = ToldTypes(requests).load()
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
