"""What the service needs from the outside, and the plain records that cross the border.

Adapters translate every foreign error into the tree of `errors.py`; a port's docstring names those it may raise.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from pipeline.governance.actor import Person
from pipeline.governance.lifecycle import ModelState, Slot, Stage
from pipeline.governance.metrics import Direction, direction_of
from pipeline.governance.record.checkpoint import CheckpointKey
from pipeline.governance.record.ledger import Event, SlotState, StoredEvent, Topic, UnreadableEvent
from pipeline.governance.tokens import TokenRecord, Tokens

Json = Any  # what json.loads gives: None, bool, int, float, str, list, dict


@dataclass(frozen=True)
class Gap:
    """A thing that is missing or cannot be read: a short name, and one sentence for the screen."""

    name: str
    text: str


@dataclass(frozen=True)
class ModelRecord:
    """One registered model."""

    name: str
    description: str
    versions: int  # how many exist
    latest: int | None  # the highest number; None: no version
    aliases: Mapping[str, int] = field(default_factory=dict)  # to the number of the version
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionRow:
    """One line of the versions table. A metric that is NaN or infinite, or that was not asked for, is absent."""

    model: str
    version: int
    stage: Stage
    aliases: tuple[str, ...]
    status: str
    run_id: str | None
    created_at: datetime
    description: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class VersionRecord:
    """One version with its run."""

    row: VersionRow
    source: str
    model_id: str | None
    status_message: str
    registered_by: str
    gaps: tuple[Gap, ...] = ()  # what the registry no longer has: a deleted run, a metric that is NaN
    datasets: Mapping[str, str] = field(default_factory=dict)  # of each metric that was measured on a named one


@dataclass(frozen=True)
class File:
    """One file of a model."""

    path: str  # POSIX, inside the model folder
    size: int  # bytes
    sha256: str  # 64 hexadecimal digits


@dataclass(frozen=True)
class ModelFiles:
    """What lies in a version's model folder, read as data: nothing of it was loaded or run."""

    files: tuple[File, ...]
    flavors: tuple[str, ...] = ()  # names from MLmodel
    # {"inputs": [...], "outputs": [...]} from MLmodel; None if there is none
    signature: Mapping[str, Json] | None = None
    has_input_example: bool = False
    # the parsed JSON files under `signoff/`, by name without the ending
    documents: Mapping[str, Json] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()


class ModelReader(Protocol):
    """Versions and their files, read as data. A registry is one, and so is the service."""

    def version(self, model: str, version: int) -> VersionRecord:
        """Raises NotFound."""

    def files(self, record: VersionRecord, *, fresh: bool = False) -> ModelFiles:
        """Manifest and documents; digests may come from a cache by size and time unless `fresh`.

        Raises NotFound, with a sentence for the screen, where the files are gone.
        """

    def read_file(self, record: VersionRecord, path: str) -> bytes:
        """One file of the model folder. Raises NotFound; refuses a path that leaves the folder the same way."""


class Registry(ModelReader, Protocol):
    """A model registry. Every method may raise Unavailable; none takes longer than 10 s to say so."""

    def prepare(self) -> None:
        """Load and open whatever the first write needs: it may take seconds, and a decision counts its own."""

    def registry_id(self) -> str | None:
        """The id kept in the registry itself, None where there is none yet."""

    def keep_registry_id(self, registry_id: str) -> str:
        """Keep an id in the registry and give back the one that is kept: an earlier writer wins."""

    def models(self) -> list[ModelRecord]:
        """Every model by name, prompts left out."""

    def model(self, name: str) -> ModelRecord:
        """Raises NotFound."""

    def state(self, model: str) -> ModelState:
        """Aliases and stages as they are now, never from a cache. Raises NotFound."""

    def table(self, model: str, metrics: Sequence[str] | None = None) -> list[VersionRow]:
        """All versions, newest first, in a constant number of queries; `metrics` None reads all. Raises NotFound."""

    def set_alias(self, model: str, alias: str, version: int | None) -> None:
        """Idempotent; None removes. Raises NotFound for a version that does not exist."""

    def set_stage(self, model: str, version: int, stage: Stage) -> None:
        """Idempotent; touches this version only. Raises NotFound."""

    def set_tags(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        """Idempotent. Raises NotFound."""


@dataclass(frozen=True)
class KnownRegistry:
    """An address, without credentials, at which a registry with this id was written about."""

    address: str
    registry: str
    first_seen: datetime


@dataclass(frozen=True)
class PendingDecision:
    """A decision that has not ended."""

    sequence: int
    model: str
    decision: str
    at: datetime  # its own stamp, by the clock of whoever decided
    # By the database's clock since it was recorded, never negative; by its own stamp where the tables were older then.
    age: timedelta


@dataclass(frozen=True)
class Notice:
    """An event of which people are to be told."""

    sequence: int
    due: datetime  # when it is to be sent, or tried again
    attempts: int = 0  # that failed
    delivered: tuple[str, ...] = ()  # the targets that have it, by their fingerprints
    failure: str = ""  # why the last attempt failed; empty before the first


@dataclass(frozen=True)
class KeptCheckpoint:
    """A line that was kept outside the database: which hash the chain had at a sequence."""

    sequence: int
    line: str  # as it stands in the file, without its end


@dataclass(frozen=True)
class Upgrade:
    """The revisions of the ledger's tables."""

    before: str | None  # None: there was no ledger
    after: str


class Outbox(Protocol):
    """What is to be told, written in the transaction of its event. Every method may raise Unavailable."""

    def notices(self) -> list[Notice]:
        """Everything that was not sent to everybody, by sequence."""

    def claim(self, now: datetime, until: datetime) -> Notice | None:
        """Take the first that is due; nobody else gets it before `until`. None, and nothing written, without one."""

    def keep(self, notice: Notice) -> None:
        """How it stands after an attempt; one that was removed meanwhile stays so."""

    def remove(self, sequence: int) -> None:
        """Everybody has it."""


class Names(Protocol):
    """What people are called, beside the chain: an event holds a reference, so that a name may be erased."""

    def all(self) -> Mapping[str, str]:
        """By the reference of each person. None where there is no ledger."""

    def keep(self, person: Person, name: str) -> None:
        """In place of what was kept before. May raise LedgerBusy."""


class LedgerTransaction(Protocol):
    """The ledger under its lock: what is read here cannot change before it ends."""

    def slot(self, slot: Slot) -> SlotState | None:
        """The recorded state, None for a slot that no event names."""

    def find_key(self, key: str) -> StoredEvent | None:
        """The event with this idempotency key: of what one act writes, the first."""

    def has_baseline(self, model: str) -> bool:
        """Whether the model was taken over."""

    def issued_tokens(self) -> list[TokenRecord]:
        """Every identity token, see Tokens.all."""

    def keep_token(self, token: TokenRecord) -> None:
        """In place of one of the same name."""

    def append(self, event: Event) -> StoredEvent:
        """Add to the chain and fold into the slots."""


class Ledger(Protocol):
    """One registry's append-only chain of events. Every method may raise Unavailable, those that write LedgerBusy.

    Reading writes nothing: where there is no ledger, it finds an empty one. Writing raises Unavailable where a later
    version of Signoff has written.
    """

    @property
    def names(self) -> Names:
        """What people are called."""

    @property
    def tokens(self) -> Tokens:
        """The identity tokens beside the chain."""

    @property
    def address(self) -> str:
        """Where the registry is, in one spelling and without credentials; empty where nobody said."""

    @property
    def outbox(self) -> Outbox:
        """What people are to be told of this chain."""

    def registry(self) -> str | None:
        """The id of the registry that this chain is about; None where it has none yet.

        Of one that does not answer, the id that was last written about at its address.
        """

    def exists(self) -> bool:
        """Whether there is a ledger at all, of whichever registry."""

    def registries(self) -> list[KnownRegistry]:
        """Every address with every registry id that was written about there, oldest first."""

    def pending(self, model: str | None = None) -> list[PendingDecision]:
        """The decisions that have not ended, oldest first."""

    def transaction(self) -> AbstractContextManager[LedgerTransaction]:
        """Take the lock; commit at the end of the block, roll back when it raises."""

    def events(self, *, model: str | None = None, after: int = 0) -> Iterator[StoredEvent]:
        """In order of sequence, those after the given one."""

    def page(
        self,
        model: str | None = None,
        *,
        before: int | None = None,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> Iterator[StoredEvent | UnreadableEvent]:
        """For people: the newest first, those before a sequence, of some types; what cannot be read stands there too.

        Nothing more is read than what is taken.
        """

    def open_requests(self, model: str | None = None) -> list[StoredEvent]:
        """What was signed on the way of each request that has not ended, see `find_open_requests`, in order."""

    def about(self, model: str, version: int) -> Iterator[StoredEvent]:
        """The events of a model whose subject is a version, and those that moved its stage or aliases; newest first."""

    def current(self, model: str, topic: Topic, version: int | None = None) -> list[StoredEvent]:
        """The events of a model, or of one version, that still count for a topic, in order."""

    def champions(self, model: str, newest: int | None = None) -> list[StoredEvent]:
        """The events that gave a model another champion or took it away, or the newest of them; in order."""

    def former_champions(self, model: str, newest: int | None = None) -> list[StoredEvent]:
        """The events that made the champions to which a rollback can return, the present one last."""

    def count(self) -> int:
        """How many events there are."""

    def last(self, model: str) -> StoredEvent | None:
        """The newest event of a model."""

    def baseline(self, model: str) -> StoredEvent | None:
        """The event that took a model over; None for one that was never seen, about which nothing is claimed."""

    def models(self) -> list[str]:
        """Every model that an event names; events about tokens name none."""

    def slots(self, model: str) -> dict[Slot, SlotState]:
        """The recorded state of every slot of a model that an event names."""

    def put_evidence(self, sha256: str, body: str) -> None:
        """Keep canonical JSON under its digest; a digest that is there already is left alone."""

    def evidence(self, sha256: str) -> str:
        """Raises NotFound."""

    def problems(self, checkpoints: Sequence[Path] = ()) -> list[str]:
        """What `verify` finds: broken links, changed rows, copies that differ, a tail cut off; one sentence each.

        checkpoints: files of them from elsewhere. Raises NotFound and InvalidInput for one that cannot be read.
        """

    def unprotected(self) -> str | None:
        """What nothing would show because there are no checkpoints; None where there are some, or no ledger."""

    def stamps(self) -> Iterator[tuple[int, datetime]]:
        """Number and time of each event that has one, in order of sequence."""

    def keep_checkpoint(self) -> None:
        """Write the newest sequence and hash outside the database."""

    def kept_checkpoints(self, elsewhere: Sequence[Path] = ()) -> list[KeptCheckpoint]:
        """Those that were kept of this chain, as they were written and without damaged lines; elsewhere: also in files
        of other hosts. Raises NotFound and InvalidInput for one that cannot be read or says nothing of this chain.
        """

    def checkpoint_keys(self) -> tuple[CheckpointKey, ...]:
        """The public keys whose signatures on checkpoints count; none where none has to sign."""

    def upgrade(self, *, new: bool = False) -> Upgrade:
        """Bring the tables of an older ledger up to this version; new: make them where there are none.

        Raises NotFound where there is no ledger and none is to be made.
        """


@dataclass(frozen=True)
class MetricDifference:
    """Candidate minus incumbent on the same rows."""

    metric: str
    difference: float
    low: float  # of the 95 % interval
    high: float  # of the 95 % interval
    n: int  # rows
    slice: str = ""  # empty for all rows
    candidate: float | None = None  # the value of each, where the comparer says so
    incumbent: float | None = None

    @property
    def verdict(self) -> str | None:
        """Whether the candidate is "better", "worse" or "not distinguishable"; None where nobody can say which end of
        the metric is the better one.
        """
        if self.low <= 0 <= self.high:
            return "not distinguishable"
        direction = direction_of(self.metric)
        if direction is None:
            return None
        return "better" if (self.low > 0) == (direction is Direction.HIGHEST) else "worse"


class Comparer(Protocol):
    """Compares two versions on their stored evaluation rows."""

    def compare(self, candidate: bytes, incumbent: bytes) -> list[MetricDifference]:
        """From two evaluation-row files (Parquet). Raises InvalidInput, with the reason, when the rows differ."""


class SmokePredictor(Protocol):
    """Loads a version under the trust policy, away from this process, and predicts its own input example."""

    def predict(self, record: VersionRecord, *, file_digest: str) -> str:
        """What was predicted, in words.

        Raises NotTried where nothing is known against the version; Refused, NotFound or IntegrityFailure, each with the
        reason.
        """


class Clock(Protocol):
    """The time, as an argument of the rules."""

    def now(self) -> datetime:
        """Aware, UTC. It may be set, ahead or back: order is told by sequence, a duration by `elapsed`."""


class SteadyClock(Clock, Protocol):
    """With a hand that nobody sets."""

    def elapsed(self) -> float:
        """Seconds since a moment of this process, never fewer than before."""
