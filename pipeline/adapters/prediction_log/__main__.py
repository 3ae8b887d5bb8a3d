"""The process that writes the log for a server, see process.py: `python -m pipeline.adapters.prediction_log`.

It ends when its stdin does, after what it was given whole. A block that nobody has closed by then stays open: whoever
answered was killed, and what it had not sent yet is missing.
"""

import contextlib
import gc
import pickle
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import cache
from io import BytesIO
from typing import BinaryIO

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.monitoring.prediction_log import CountKey, CountKind, Door, ShadowAnswer
from pipeline.monitoring.profile import BinCounts, CategoryBins, ConfidenceCounts, NumberBins, Profile
from pipeline.monitoring.recording.answered import Layout, PackedRows, Subject
from pipeline.monitoring.recording.batches import Counted, DirectWriter, RecordingOptions, ToldBatch
from pipeline.monitoring.recording.kept import StoredColumns
from pipeline.serving.predictions import Resolved
from pipeline.serving.worker.protocol import Frame, private_streams, write_frame

TOLD = (
    *(PackedRows, Layout, Subject, Resolved, Door, ShadowAnswer, ToldBatch, Counted, CountKey, CountKind),
    *(Profile, BinCounts, CategoryBins, NumberBins, ConfidenceCounts),
    *(RecordingOptions, StoredColumns, datetime, timedelta, timezone),
)
OBJECTS_OF_A_BATCH = 500_000  # which are freed without a collection: rows have no circles
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
    """Writes until whoever started the process ends, also after Ctrl-C and SIGTERM, which that one has blocked."""
    requests, replies = private_streams()
    with contextlib.suppress(EOFError, BrokenPipeError, pickle.UnpicklingError):  # whoever asks has ended
        url, options = ToldTypes(requests).load()
        writer = cache(lambda: DirectWriter(SqlPredictionLog(url), options))
        with contextlib.suppress(Exception):  # whoever asks first is told
            writer()
        gc.freeze()  # the libraries stay
        gc.set_threshold(OBJECTS_OF_A_BATCH)
        for does, told in _asked(requests):
            write_frame(replies, _reply(writer, does, told))


def _asked(requests: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """The methods that are asked for, and what they are given.

    Each is a pickle in a pickle: where one cannot be read, the stream goes on behind it.
    """
    while True:
        yield ToldTypes(requests).load()


def _reply(writer: Callable[[], DirectWriter], does: str, told: bytes) -> Frame:
    """What a method gives, or raises. What it cannot do for another reason it never can: nobody should ask again."""
    try:
        return {"found": getattr(writer(), does)(**ToldTypes(BytesIO(told)).load())}
    except (InvalidInput, Unavailable) as error:
        return {"error": str(error), "kind": type(error).__name__}
    except Exception as error:  # noqa: BLE001 (whatever it is, the process stays for the next batch)
        traceback.print_tb(error.__traceback__)  # without its sentence, which may hold values of a row
        why = f"the log of predictions: what was told cannot be written ({type(error).__name__})"
        return {"error": why, "kind": InvalidInput.__name__}


if __name__ == "__main__":
    main()
