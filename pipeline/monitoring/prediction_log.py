"""The log of predictions: what is written, what is read back, and the port behind which it is kept.

Everything that one process answers belongs to one block of numbers. Each transaction writes what was answered, counts
it, and says in the block how many numbers are accounted for; so many numbers are reserved ahead as answers may wait in
memory. A block that its process has not closed is therefore a gap of known size, and says so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

from pipeline.validation.rows import Value

Answer = str | float | bool | Mapping[str, str | float | bool | None]
MOST_ROWS_COUNTED = 1_000_000  # an index is read for it; who wants to know more asks the database
MOST_WAITING = 32_768  # answers of one process that are not written yet; so many numbers a block reserves ahead
SILENT_AFTER = timedelta(minutes=2)  # an open block that was not written to for so long has lost its process


NOTHING: Mapping[str, Any] = {}


class Door(StrEnum):
    """By which way rows came."""

    HTTP = "http"
    FILE = "file"


class CountKind(StrEnum):
    """What the hourly counts count. `name` and `bin` of a count mean what stands here."""

    ANSWERED = "answered"  # rows that were predicted; bin: the door
    COLUMN = "column"  # values; name: the column, bin: of the version's reference profile
    CLASS = "class"  # rows; bin: the predicted class, by the profile
    CONFIDENCE = "confidence"  # rows; bin: of the largest probability, by the profile
    LATENCY = "latency"  # requests; bin: upper bound in seconds, "+Inf" beyond the last
    OUT_OF_RANGE = "out_of_range"  # values outside the training data; name: the column
    REFUSED = "refused"  # values that no model was asked about; name: the column, empty for the row as a whole
    FAILED = "failed"  # requests; bin: the name of the error


class CountKey(NamedTuple):
    """What one number of the hourly counts is about."""

    hour: datetime  # its beginning, UTC
    model: str
    version: int
    digest: str
    kind: CountKind
    name: str
    bin: str


@dataclass(frozen=True)
class HourlyCount:
    """One number of the hourly counts."""

    key: CountKey
    n: int


class LoggedPrediction(NamedTuple):
    """One row that was predicted, with as much of it as the settings let be stored."""

    prediction_id: str  # UUIDv7, which is in the answer too
    at: datetime  # when it was answered, UTC
    model: str
    version: int
    digest: str  # of the files that answered
    alias: str  # by which they were asked; empty for a version that was named by its number
    door: Door
    prediction: Answer
    confidence: float | None  # the largest probability; None where no single class is predicted with one
    probabilities: Mapping[str, float] = NOTHING  # by class, empty where there are none
    clear: Mapping[str, Value] = NOTHING  # columns that are stored as they came
    keyed: Mapping[str, str] = NOTHING  # columns of which an HMAC is stored
    warnings: int = 0  # values outside the training data
    milliseconds: float | None = None  # until the answer was known; None for rows of files


@dataclass(frozen=True)
class ShadowAnswer:
    """What a second version, which answers nobody, said to the same row."""

    prediction_id: str  # of the answer that the caller was given
    at: datetime
    alias: str
    version: int
    digest: str
    prediction: Answer
    confidence: float | None
    probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class KnownOutcome:
    """What turned out to be true for one prediction."""

    prediction_id: str
    actual: str | float | bool
    at: datetime  # when it was told
    by: str  # who told it


@dataclass(frozen=True)
class OutcomesTold:
    """What became of outcomes that were told: how many, and of which predictions nothing is known."""

    recorded: int = 0
    corrected: int = 0  # another one was known before
    unchanged: int = 0
    unknown: tuple[str, ...] = ()  # no prediction of this id is in the log

    def as_json(self) -> dict[str, Any]:
        return {
            "recorded": self.recorded,
            "corrected": self.corrected,
            "unchanged": self.unchanged,
            "unknown": list(self.unknown),
        }


@dataclass(frozen=True)
class LogBatch:
    """What is written in one transaction."""

    number: int  # of the block's batches, from 1: one that was written already is not written again
    at: datetime  # of the process that writes
    answered: int = 0  # numbers that this batch accounts for: every row, whether or not it is stored
    events: int = 0  # what else is counted, such as refused values
    lost: int = 0  # answers of the block so far that are neither counted nor stored
    predictions: Sequence[LoggedPrediction] = ()
    shadows: Sequence[ShadowAnswer] = ()
    counts: Mapping[CountKey, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """The numbers of one process."""

    id: str
    process: str  # HOST:PID, for people
    model: str
    opened_at: datetime
    written_at: datetime  # of the last transaction
    closed_at: datetime | None  # None while the process runs, or where it ended without closing
    written: int  # answers that are accounted for
    reserved: int  # the last number that the process may have given to an answer
    lost: int  # answers that are not accounted for, by the process's own count

    def is_gap(self, now: datetime) -> bool:
        """Whether its process ended without closing it: what was answered after `written_at` is not in the log."""
        return self.closed_at is None and now - self.written_at > SILENT_AFTER


@dataclass(frozen=True)
class StoredPrediction:
    """A row of the log with what came to it later."""

    prediction: LoggedPrediction
    shadow: ShadowAnswer | None
    outcome: KnownOutcome | None


@dataclass(frozen=True)
class Selection:
    """Which rows of the log are meant."""

    model: str
    since: datetime | None = None  # the first moment, UTC; None: from the beginning
    until: datetime | None = None  # the first moment that is not meant any more
    version: int | None = None  # that answered; None: every one
    with_outcome: bool = False  # only rows of which the outcome is known
    shadowed: bool = False  # only rows to which a second version answered too
    shadow_version: int | None = None  # which that is; None: every one
    most: int = 1_000  # the newest so many


@dataclass(frozen=True)
class Purged:
    """How much was deleted."""

    predictions: int = 0  # with their outcomes and shadow answers
    counts: int = 0
    blocks: int = 0

    def as_json(self) -> dict[str, int]:
        return {"predictions": self.predictions, "counts": self.counts, "blocks": self.blocks}


@dataclass(frozen=True)
class RowsKept:
    """How many rows the log holds, which is fewer than were answered where a sample is stored."""

    n: int = 0
    oldest: datetime | None = None  # when the oldest one was answered; None where there is none
    more: bool = False  # whether there are more than n, which is as many as were counted at most

    @property
    def words(self) -> str:
        return f"{'more than ' if self.more else ''}{self.n:,} {'row is' if self.n == 1 else 'rows are'}"


class PredictionLog(Protocol):
    """The store of predictions, counts and outcomes.

    Every method raises Unavailable where the database does not answer or is busy for too long. What reads makes
    nothing: where there is no log, it finds nothing.
    """

    @property
    def place(self) -> str:
        """Where it is, for messages: without user and password."""

    def open_block(self, *, process: str, model: str, at: datetime) -> str:
        """A new block with MOST_WAITING reserved numbers; gives its id."""

    def write(self, block: str, batch: LogBatch, *, close: bool = False) -> None:
        """Writes a batch and moves its block on, in one transaction; `close` ends the block.

        Can be repeated: whoever did not hear that a batch was written writes it again, and it counts once. Raises
        InvalidInput where the database will never take its values; nothing of it is written then.
        """

    def blocks(self, model: str | None = None) -> list[Block]:
        """Newest first."""

    def predictions(self, wanted: Selection) -> list[StoredPrediction]:
        """Newest first, at most `wanted.most`."""

    def rows_kept(self, model: str | None = None, *, most: int = MOST_ROWS_COUNTED) -> RowsKept:
        """Of a model, or of all, counted up to `most`."""

    def counts(
        self, model: str, *, since: datetime | None = None, until: datetime | None = None, version: int | None = None
    ) -> list[HourlyCount]:
        """The counts of the hours that begin in [since, until), in order."""

    def record_outcomes(self, outcomes: Sequence[KnownOutcome]) -> OutcomesTold:
        """Keeps outcomes; the last one told of a prediction counts. Those of unknown predictions are not kept."""

    def purge(self, before: datetime, *, counts: bool = False) -> Purged:
        """Deletes the rows that were answered before a moment, and closed blocks; `counts`: the hourly counts too."""

    def purge_some(self, before: datetime) -> int:
        """As much of `purge` as takes a moment; gives how much was deleted, 0 where nothing is left to delete."""
