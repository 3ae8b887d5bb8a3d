"""A shadow: a second version that is asked about the rows that the champion has answered, and answers nobody.

It is asked aside, by a thread and a worker process of its own, which is nice to the others: many rows at once, and idle
for most of the time. What comes faster than that is not asked about. So it slows nobody down, and the rows that it has
seen are those of busy times less often.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter

from pipeline.governance.errors import SignoffError
from pipeline.monitoring.prediction_log import ShadowAnswer
from pipeline.monitoring.recording.recorder import PredictionRecorder, RecorderStatus, ShadowStatus
from pipeline.serving.predictions import PredictedColumns, Prediction, Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.validation.rows import CheckedRow, check_row
from pipeline.validation.schema import InputSchema

LOG = logging.getLogger(__name__)
MOST_WAITING_ROWS = 1_024
ROWS_AT_ONCE = 256
PAUSE_SECONDS = 0.5
# Of its time that a shadow may be busy, of one processor. Who is answered meanwhile waits longer: were it a twentieth,
# those would be the slowest twentieth of all answers, and so the 95th percentile.
BUSY_SHARE = 0.02
LONGEST_PAUSE_SECONDS = 20.0  # on a busy machine a turn takes long because others go first, and hurts nobody
LOOK_SECONDS = 15.0  # between two looks where the alias points to


WaitingRow = tuple[str, Target, CheckedRow]  # prediction_id, the version that answered, the row as it was checked


class Shadow:
    """Asks the version of MODEL@ALIAS. `close` ends the thread; the scorer is its own."""

    def __init__(self, scorer: Scorer, *, model: str, alias: str, tell: Callable[[ShadowAnswer], bool]) -> None:
        """tell: is given each answer, and gives whether there was room for it."""
        self._scorer, self._model, self._alias, self._tell = scorer, model, alias, tell
        self._waiting: deque[WaitingRow] = deque()
        self._loading = 0.0  # seconds of this turn in which a version was loaded
        self._target: Target | None = None
        self._looked_at = -LOOK_SECONDS
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)
        self._state = ShadowStatus(alias, reason="was not looked at yet")  # the thread's
        self._no_room = 0  # rows that it was not asked about, by the count of whoever offers them

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Ends the worker at once: what it was asked is lost, and nobody waits for it."""
        self._ending.set()
        self._scorer.abandon()
        if self._thread.is_alive():
            self._thread.join()

    def offer(self, prediction_id: str, target: Target, row: CheckedRow) -> None:
        """A row that a version has answered."""
        if len(self._waiting) < MOST_WAITING_ROWS:
            self._waiting.append((prediction_id, target, row))
        else:
            self._no_room += 1

    @property
    def status(self) -> ShadowStatus:
        return replace(self._state, skipped=self._state.skipped + self._no_room)

    def ask_waiting(self) -> None:
        """Asks about the rows that wait, at most ROWS_AT_ONCE of them."""
        rows: list[WaitingRow] = []
        try:
            target = self._current()  # first: it may take seconds, in which more rows come
            rows = self._taken()
            fitting = list(_fitting(rows, target))
            answers = self._scorer.predict_checked(target, [row for _, row in fitting]).rows if fitting else ()
        except SignoffError as error:
            self._count(skipped=len(rows or self._taken()), reason=str(error))
            return
        answered = [_answer(name, target, found) for (name, _), found in zip(fitting, answers, strict=True)]
        asked = sum(map(self._tell, answered))
        self._count(asked=asked, skipped=len(rows) - asked, version=target.resolved.version)

    def _run(self) -> None:
        pause = PAUSE_SECONDS
        while not self._ending.wait(pause):
            begun, self._loading = time.monotonic(), 0.0
            if self._waiting:
                self.ask_waiting()
            # To load a version happens once: on a busy machine the shadow would be silent for minutes after it.
            busy = time.monotonic() - begun - self._loading
            pause = min(max(PAUSE_SECONDS, busy * (1 / BUSY_SHARE - 1)), LONGEST_PAUSE_SECONDS)

    def _taken(self) -> list[WaitingRow]:
        """At most ROWS_AT_ONCE of the rows that wait, which wait no longer."""
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), ROWS_AT_ONCE))]

    def _current(self) -> Target:
        """The version that the alias points to, looked up now and then. Raises SignoffError where it cannot be used."""
        now = time.monotonic()
        if self._target is None or now - self._looked_at > LOOK_SECONDS:
            targets, before = self._scorer.targets, self._target
            self._target = targets.usable(targets.target(f"{self._model}@{self._alias}"))
            self._looked_at = now
            if before is None or before.digest != self._target.digest:
                self._loading += time.monotonic() - now
        return self._target

    def _count(self, *, asked: int = 0, skipped: int = 0, version: int | None = None, reason: str = "") -> None:
        before = self._state
        said = reason or ("" if asked or version else before.reason)
        shown = version or (None if reason else before.version)
        self._state = ShadowStatus(self._alias, shown, said, before.asked + asked, before.skipped + skipped)
        if reason and reason != before.reason:
            LOG.warning("shadow %s: %s", self._alias, reason)


class ShadowedRecorder:
    """Implements Recorder: tells a recorder, and offers the shadow each row that is stored."""

    def __init__(self, recorder: PredictionRecorder, shadow: Shadow) -> None:
        self._recorder, self._shadow = recorder, shadow
        self.refused, self.failed = recorder.refused, recorder.failed

    @property
    def status(self) -> RecorderStatus:
        return replace(self._recorder.status, shadow=self._shadow.status)

    def start(self) -> None:
        self._recorder.start()
        self._shadow.start()

    def close(self) -> None:
        self._shadow.close()
        self._recorder.close()

    def answered(self, target: Target, row: CheckedRow, found: Prediction, *, seconds: float | None) -> str:
        prediction_id, taken = self._recorder.record(target, row, found, seconds=seconds)
        if taken and self._recorder.is_stored(prediction_id):
            self._shadow.offer(prediction_id, target, row)
        return prediction_id

    def answered_columns(self, found: PredictedColumns, *, seconds: float | None) -> Sequence[str]:
        """The shadow is asked about single rows only."""
        return self._recorder.answered_columns(found, seconds=seconds)


def _fitting(rows: Iterable[WaitingRow], target: Target) -> Iterator[tuple[str, CheckedRow]]:
    """The rows that the version takes too and has not answered itself, with those of its columns that they have."""
    schema = input_schema(target)
    for champion, some in groupby(rows, key=itemgetter(1)):
        if champion.resolved.version == target.resolved.version:
            continue
        alike = champion.schema == schema  # then they were checked already
        for prediction_id, _, given in some:
            row = given if alike else _checked(given, schema)
            if not row.problems:
                yield prediction_id, row


def _checked(given: CheckedRow, schema: InputSchema) -> CheckedRow:
    return check_row({name: given.values[name] for name in schema.names if name in given.values}, schema)


def _answer(prediction_id: str, target: Target, found: Prediction) -> ShadowAnswer:
    one_class = {} if isinstance(found.value, Mapping) else found.probabilities
    return ShadowAnswer(
        prediction_id=prediction_id,
        at=datetime.now(UTC),
        alias=target.resolved.alias,
        version=target.resolved.version,
        digest=target.digest,
        prediction=found.value,
        confidence=max(one_class.values(), default=None),
        probabilities=found.probabilities,
    )
