"""What was answered on its way into the log: the batch that waits, and the port of whoever makes rows and counts of it.

That work takes the interpreter's lock for as long as it lasts, so a server has it done by another process.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from pipeline.monitoring.prediction_log import CountKey, LogBatch, PredictionLog, ShadowAnswer
from pipeline.monitoring.profile import Profile
from pipeline.monitoring.recording.answered import AnsweredTable, PackedRows
from pipeline.monitoring.recording.kept import StoredColumns, counts_of, stored_rows


@dataclass(frozen=True)
class RecordingOptions:
    """What is recorded, and how much of it."""

    columns: StoredColumns
    sample: float  # the share of the answers of which a row is stored
    keep: timedelta  # how long rows are kept


@dataclass(frozen=True, slots=True)
class Counted:
    """Something that happened so many times."""

    key: CountKey
    n: int


@dataclass(frozen=True)
class ToldBatch:
    """What was told since the last batch, before anything is made of it."""

    number: int  # of the block's batches, from 1, see LogBatch
    at: datetime  # of the process that was told
    lost: int = 0  # answers of the block so far that are neither counted nor stored
    rows: Sequence[PackedRows] = ()  # in the order in which they were answered
    events: Sequence[Counted] = ()  # what else is counted, such as refused values
    shadows: Sequence[ShadowAnswer] = ()
    profiles: Mapping[str, Profile | None] = field(default_factory=dict)  # of the versions that answered, by digest

    @property
    def answered(self) -> int:
        """How many rows."""
        return sum(each.n for each in self.rows)


class LogWriter(Protocol):
    """The port of whoever writes what was told to a log. One thread at a time asks."""

    @property
    def alive(self) -> bool:
        """Whether it can be asked without being started first."""

    @property
    def restarts(self) -> int:
        """How many processes took the place of another."""

    def open_block(self, *, process: str, model: str, at: datetime) -> str:
        """See PredictionLog.open_block."""

    def write(self, block: str, batch: ToldBatch, *, close: bool = False, urgent: bool = False) -> None:
        """Writes the rows, counts and shadow's answers of a batch, and raises, as PredictionLog.write does.

        Can be repeated as that can: also where whoever writes ended before it said that it had. urgent: whoever writes
        is started at once where it has ended, since nobody will ask later.
        """

    def purge_some(self, before: datetime) -> int:
        """See PredictionLog.purge_some."""

    def close(self) -> None:
        """Ends what was started. Nothing is written after it."""


class DirectWriter:
    """Implements LogWriter in this process."""

    alive, restarts = True, 0

    def __init__(self, log: PredictionLog, options: RecordingOptions) -> None:
        self._log, self._options = log, options
        self.open_block, self.purge_some = log.open_block, log.purge_some

    def write(self, block: str, batch: ToldBatch, *, close: bool = False, urgent: bool = False) -> None:  # noqa: ARG002 (the port's)
        self._log.write(block, self._made_of(batch), close=close)

    def close(self) -> None:
        """Nothing was started."""

    def _made_of(self, told: ToldBatch) -> LogBatch:
        counts: Counter[CountKey] = Counter()
        for event in told.events:
            counts[event.key] += event.n
        tables = [AnsweredTable.of(rows) for rows in told.rows]
        for table in tables:
            counts.update(counts_of(table, told.profiles.get(table.layout.subject.digest)))
        columns, sample = self._options.columns, self._options.sample
        return LogBatch(
            number=told.number,
            at=told.at,
            answered=told.answered,
            events=len(told.events),
            lost=told.lost,
            predictions=[row for table in tables for row in stored_rows(table, columns, sample)],
            shadows=told.shadows,
            counts=counts,
        )
