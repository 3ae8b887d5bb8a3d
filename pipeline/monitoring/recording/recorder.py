"""Records what is answered, off the way of whoever waits: a queue in memory, and a thread that has batches written.

A request pays for an id and an append. Too many that wait are lost, and counted as lost: an answer never waits for the
log. What was answered before `close` is in the log after it. A batch that the database does not take is lost too, and
counted: it would hold up all that come after it.
"""

import logging
import os
import platform
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Protocol

import uuid_utils

from pipeline.governance.errors import InvalidInput, SignoffError, Unavailable
from pipeline.monitoring.prediction_log import MOST_WAITING, CountKind, Door, ShadowAnswer
from pipeline.monitoring.profile import Profile
from pipeline.monitoring.recording.answered import AnsweredColumns, PackedRows, Subject, Told, tables_of
from pipeline.monitoring.recording.batches import Counted, LogWriter, RecordingOptions, ToldBatch
from pipeline.monitoring.recording.kept import is_sampled, single_count
from pipeline.serving.predictions import PredictedColumns, Prediction, Target
from pipeline.validation.rows import CheckedRow, Problem

LOG = logging.getLogger(__name__)
PACKED_AT_ONCE = 32
WRITE_SECONDS = 0.5  # between two batches
ALIVE_SECONDS = 30  # an open block is written to at least so often
PURGE_SECONDS = 3_600  # between two looks for rows that are too old
PROFILE_SECONDS = 60  # until a profile that could not be read is asked for again
CLOSE_TRIES = 3
CLOSE_SECONDS = 60  # after which the last batch is not tried again
ROOM_SECONDS = 0.05  # between two looks whether there is room
PATIENCE_SECONDS = 120  # that whoever logs rows of files waits for a log that is away


def new_id() -> str:
    """A UUID of version 7 (RFC 9562): by its beginning it is ordered in time, the rest is random."""
    return str(uuid_utils.uuid7())


@dataclass(frozen=True)
class ShadowStatus:
    """How the second version is that is asked too."""

    alias: str
    version: int | None = None  # that is asked; None where none is
    reason: str = ""  # why none is, or why the last rows were not answered
    asked: int = 0  # rows that it has answered
    skipped: int = 0  # rows that it was not asked about, or could not take


@dataclass(frozen=True)
class RecorderStatus:
    """How far a recorder has come, since it was made."""

    written: int  # answers that are accounted for in the log
    lost: int  # answers that are neither counted nor stored: too many waited, or the database did not take them
    waiting: int  # what was told and is not written yet
    writing: bool  # whether the last batch could be written, and others will be
    restarts: int = 0  # processes that write which took the place of another
    shadow: ShadowStatus | None = None  # None where no second version is asked


class Recorder(Protocol):
    """The port of those who answer: what they tell, and the id that they hand out."""

    @property
    def status(self) -> RecorderStatus | None:
        """None where there is no log."""

    def answered(self, target: Target, row: CheckedRow, found: Prediction, *, seconds: float | None) -> str:
        """One row was predicted; gives the id of the prediction. seconds: of the request, once per request."""

    def answered_columns(self, found: PredictedColumns, *, seconds: float | None) -> Sequence[str]:
        """Many rows were predicted; gives the ids in their order."""

    def refused(self, target: Target, problems: Iterable[Problem]) -> None:
        """Values were refused before anybody was asked."""

    def failed(self, target: Target, error: SignoffError) -> None:
        """A request got no answer."""

    def start(self) -> None:
        """Begins to write."""

    def close(self) -> None:
        """Writes what waits. Nothing is told after it."""


class Unrecorded:
    """Implements Recorder where there is no log: answers still have an id."""

    status = None

    def answered(self, _target: Target, _row: CheckedRow, _found: Prediction, *, seconds: float | None) -> str:  # noqa: ARG002 (the port's)
        return new_id()

    def answered_columns(self, found: PredictedColumns, *, seconds: float | None) -> Sequence[str]:  # noqa: ARG002 (the port's)
        return [new_id() for _ in range(found.answers.num_rows)]

    def refused(self, target: Target, problems: Iterable[Problem]) -> None:
        """Nothing is kept."""

    def failed(self, target: Target, error: SignoffError) -> None:
        """Nothing is kept."""

    def start(self) -> None:
        """Nothing is written."""

    close = start


Waiting = PackedRows | AnsweredColumns | Counted


class PredictionRecorder:
    """Implements Recorder. One thread tells, such as an event loop's; another one asks the writer."""

    def __init__(
        self,
        writer: LogWriter,
        options: RecordingOptions,
        *,
        model: str,
        profile_of: Callable[[Subject], Profile | None],
        door: Door = Door.HTTP,
        clock: Callable[[], float] = time.time,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """profile_of: the reference profile of a version, None where it has none; raises Unavailable.

        clock: seconds since 1970. most_waiting: at most as many as a block reserves. Raises Unavailable where the log
        cannot be written: what must be logged is not answered by a process that cannot.
        """
        self._writer, self._options, self._door, self._clock = writer, options, door, clock
        self._most_waiting = most_waiting
        self._answers: deque[Told] = deque()  # that are not packed yet, all of `_target`
        self._target: Target | None = None
        self._packing = threading.Lock()  # held by whoever takes some of them
        self._queue: deque[Waiting] = deque()
        self._shadows: deque[ShadowAnswer] = deque()
        self._taken = self._done = self._written = self._lost = self._not_taken = self._batches = 0
        self._unwritten: ToldBatch | None = None
        self._away = ""  # why it could not be written
        self._room = threading.Lock()
        self._profiles = _Profiles(profile_of, clock)
        self._ending, self._written_at, self._purged_at = threading.Event(), clock(), 0.0
        self._block = writer.open_block(process=f"{platform.node()}:{os.getpid()}", model=model, at=self._now())
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def door(self) -> Door:
        """By which way the rows come that it is told of."""
        return self._door

    @property
    def lost(self) -> int:
        """Answers that are neither counted nor stored: too many waited, or the database did not take them."""
        return self._lost + self._not_taken  # each is counted by one thread

    @property
    def waiting(self) -> int:
        """What was told and is not written yet."""
        return self._taken - self._done

    @property
    def writing(self) -> bool:
        """Whether the last batch could be written, and others will be."""
        return self._unwritten is None and self._thread.is_alive() and self._writer.alive

    @property
    def status(self) -> RecorderStatus:
        return RecorderStatus(self._written, self.lost, self.waiting, self.writing, self._writer.restarts)

    def answered(self, target: Target, row: CheckedRow, found: Prediction, *, seconds: float | None) -> str:
        return self.record(target, row, found, seconds=seconds)[0]

    def record(self, target: Target, row: CheckedRow, found: Prediction, *, seconds: float | None) -> tuple[str, bool]:
        """As answered; gives with the id whether there was room for it. For every answer this is done: in few steps."""
        prediction_id = new_id()
        taken = self._taken - self._done < self._most_waiting
        if taken:
            self._taken += 1
            if target is not self._target:
                self._pack()
                self._target = target
            self._answers.append(Told(prediction_id, self._clock(), row, found, seconds))
            if len(self._answers) >= PACKED_AT_ONCE:
                self._pack()
        else:
            self._lost += 1
        return prediction_id, taken

    def answered_columns(self, found: PredictedColumns, *, seconds: float | None) -> Sequence[str]:
        ids = [new_id() for _ in range(found.answers.num_rows)]
        subject = Subject(found.target.resolved, found.digest)
        told = AnsweredColumns(ids, self._clock(), subject, found, self._door, seconds)
        self._take(told, answers=len(ids))
        return ids

    def told_by_file(self, found: PredictedColumns) -> Sequence[str]:
        """As answered_columns, for rows of a file: several threads may tell, and wait where too much waits already.

        Raises Unavailable where nothing is written any more, or nothing could be for PATIENCE_SECONDS.
        """
        with self._room:
            while self.waiting and self.waiting + found.answers.num_rows > self._most_waiting:
                self._check_writing()
                time.sleep(ROOM_SECONDS)
            return self.answered_columns(found, seconds=None)

    def _check_writing(self) -> None:
        silent = self._clock() - self._written_at
        if not self._thread.is_alive():
            raise Unavailable(f"the log of predictions: nobody writes it any more; {self.waiting:,} answers wait")
        if self._unwritten is not None and silent > PATIENCE_SECONDS:
            raise Unavailable(f"{self._away}; it could not be written for {silent:,.0f} s")

    def refused(self, target: Target, problems: Iterable[Problem]) -> None:
        subject, at = Subject(target.resolved, target.digest), self._clock()
        names = () if target.schema is None else target.schema.names
        # What else a caller names is no label of ours.
        refused = Counter(problem.column if problem.column in names else "" for problem in problems)
        for name, n in refused.items():
            self._take(Counted(single_count(subject, at, CountKind.REFUSED, name=name), n))

    def failed(self, target: Target, error: SignoffError) -> None:
        subject = Subject(target.resolved, target.digest)
        self._take(Counted(single_count(subject, self._clock(), CountKind.FAILED, label=type(error).__name__), 1))

    def shadowed(self, found: ShadowAnswer) -> bool:
        """A second version answered too; gives whether there was room for it. One thread tells, which may be any."""
        if len(self._shadows) >= self._most_waiting:
            return False
        self._shadows.append(found)
        return True

    def close(self) -> None:
        """Writes what waits and closes the block; where that cannot be done, the block stays open and is a gap.

        Old rows that are being deleted are left to the next process.
        """
        self._ending.set()
        end = self._clock() + CLOSE_SECONDS
        if self._thread.is_alive():
            self._thread.join()
        tries = (each for each in range(CLOSE_TRIES) if each == 0 or self._clock() < end)
        if not any(self._write_waiting(close=True) for _ in tries):
            LOG.error("the log of predictions: %d answers could not be written", self.waiting)
        self._writer.close()

    def is_stored(self, prediction_id: str) -> bool:
        """Whether a row of an answer is stored, if there was room for it."""
        return is_sampled(prediction_id, self._options.sample)

    def _pack(self) -> None:
        """Packs the answers that wait for it.

        Many at once, since code that has just run is several times as fast; and soon, since what they are made of is
        then used again while the processor still has it at hand.
        """
        with self._packing:
            told = [self._answers.popleft() for _ in range(len(self._answers))]
            if told and (target := self._target):
                subject = Subject(target.resolved, target.digest)
                self._queue.extend(table.packed() for table in tables_of(subject, self._door, told))

    def _take(self, told: Waiting, *, answers: int = 0) -> bool:
        """Puts it in the queue, and gives whether. Too many that wait are lost; what is no answer takes room as one."""
        if self.waiting + (room := max(1, answers)) > self._most_waiting:
            self._lost += answers
            return False
        self._taken += room
        self._queue.append(told)
        return True

    @property
    def _waits(self) -> bool:
        """Whether there is something that no batch holds yet."""
        return bool(self._answers or self._queue or self._shadows)

    def _run(self) -> None:
        while not self._ending.wait(WRITE_SECONDS):
            silent = self._clock() - self._written_at > ALIVE_SECONDS
            if self._waits or self._unwritten or silent or not self._writer.alive:
                self._write_waiting()
            if self._clock() - self._purged_at > PURGE_SECONDS:
                self._purge_some()

    def _write_waiting(self, *, close: bool = False) -> bool:
        """Writes a batch of all that waits; one that could not be written comes first.

        Gives whether the log could be reached; with `close`, whether the block is closed.
        """
        batch = self._unwritten or self._next_batch()
        try:
            self._writer.write(self._block, batch, close=close and not self._waits, urgent=close)
        except Unavailable as error:
            if self._unwritten is None:
                LOG.warning("%s; what is answered waits in memory", error)
            self._unwritten, self._away = batch, str(error)
            return False
        except InvalidInput as error:  # it never will be: what comes after it is written
            LOG.error("%s; %d answers are lost", error, batch.answered)  # noqa: TRY400 (a sentence says it all)
            self._not_taken += batch.answered
            self._done += batch.answered + len(batch.events)
            self._unwritten = None
            # The next batch says how many are lost, and closes.
            held = batch.rows or batch.events or batch.shadows
            return not close or (bool(held) and self._write_waiting(close=True))
        self._written += batch.answered
        self._unwritten, self._written_at = None, self._clock()
        self._done += batch.answered + len(batch.events)
        return not close or not self._waits or self._write_waiting(close=True)

    def _next_batch(self) -> ToldBatch:
        shadows = [self._shadows.popleft() for _ in range(len(self._shadows))]
        self._pack()
        told = [self._queue.popleft() for _ in range(len(self._queue))]
        rows = list(_joined(told))
        self._batches += 1
        return ToldBatch(
            number=self._batches,
            at=self._now(),
            lost=self.lost,
            rows=rows,
            events=[each for each in told if isinstance(each, Counted)],
            shadows=shadows,
            profiles={of.digest: self._profiles.of(of) for of in {each.layout.subject for each in rows}},
        )

    def _purge_some(self) -> None:
        """Deletes some of what is too old. Between two times answers are written, and whoever closes does not wait."""
        try:
            more = self._writer.purge_some(self._now() - self._options.keep)
        except (InvalidInput, Unavailable) as error:
            LOG.warning("%s; old rows stay for now", error)
            more = 0
        if not more:
            self._purged_at = self._clock()

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)


def _joined(told: Iterable[Waiting]) -> Iterator[PackedRows]:
    """The rows among what was told, in their order; those of one layout that follow one another are one."""
    tables = (each.table().packed() if isinstance(each, AnsweredColumns) else each for each in told)
    packed = (each for each in tables if isinstance(each, PackedRows) and each.n)
    for layout, some in groupby(packed, key=attrgetter("layout")):
        parts = list(some)
        yield PackedRows(layout, sum(each.n for each in parts), b"".join(each.content for each in parts))


class _Profiles:
    """The profiles of the versions that answer; one that could not be read is asked for again after a while."""

    def __init__(self, profile_of: Callable[[Subject], Profile | None], clock: Callable[[], float]) -> None:
        self._profile_of, self._clock = profile_of, clock
        self._known: dict[str, tuple[Profile | None, float | None]] = {}  # by digest, with when to ask again

    def of(self, subject: Subject) -> Profile | None:
        profile, again_at = self._known.get(subject.digest, (None, 0.0))
        if again_at is None or self._clock() < again_at:
            return profile
        try:
            self._known[subject.digest] = self._profile_of(subject), None
        except Unavailable:
            self._known[subject.digest] = None, self._clock() + PROFILE_SECONDS
        return self._known[subject.digest][0]
