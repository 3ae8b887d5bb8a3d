"""Registry and ledger in memory, for tests and for trying the rules; the contract suites run on them too."""

import copy
import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import RLock

from pipeline.adapters.mlflow.logged_models import NOTHING_OWN, Own, figures
from pipeline.adapters.mlflow.records import RunFacts, finite_metrics, metric_gaps
from pipeline.governance.actor import Person
from pipeline.governance.errors import InvalidInput, NotFound, Unavailable
from pipeline.governance.lifecycle import ModelState, Slot, Stage
from pipeline.governance.ports import (
    Clock,
    File,
    Gap,
    Json,
    KeptCheckpoint,
    KnownRegistry,
    ModelFiles,
    ModelRecord,
    Notice,
    PendingDecision,
    Upgrade,
    VersionRecord,
    VersionRow,
)
from pipeline.governance.record.checkpoint import CheckpointKey
from pipeline.governance.record.ledger import (
    FIRST_HASH,
    Event,
    EventType,
    SlotState,
    StoredEvent,
    Topic,
    chain,
    chain_problems,
    fold,
)
from pipeline.governance.record.requests import CLOSED_BY, SIGNING
from pipeline.governance.record.standing import LedgerStanding, is_about, newest_of
from pipeline.governance.tokens import TokenRecord

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class StoppedClock:
    """Always the same time, until it is set."""

    time: datetime = EPOCH

    def now(self) -> datetime:
        return self.time


@dataclass
class _Model:
    description: str = ""
    aliases: dict[str, int] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    versions: dict[int, VersionRecord] = field(default_factory=dict)
    files: dict[int, dict[str, bytes]] = field(default_factory=dict)
    documents: dict[int, dict[str, Json]] = field(default_factory=dict)
    signatures: dict[int, dict[str, Json]] = field(default_factory=dict)
    newest: int = 0


class InMemoryRegistry:
    """Implements the port Registry. `down` makes every call raise Unavailable."""

    def __init__(self) -> None:
        self._models: dict[str, _Model] = {}
        self._registry_id: str | None = None
        self._minutes = itertools.count(1)
        self.down = False

    # Filling it

    def add_model(self, name: str, *, description: str = "", tags: Mapping[str, str] | None = None) -> None:
        """One that was there is deleted first: numbering restarts at 1."""
        self._models[name] = _Model(description=description, tags=dict(tags or {}))

    def add_version(
        self,
        model: str,
        *,
        metrics: Mapping[str, float] | None = None,
        params: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
        documents: Mapping[str, Json] | None = None,
        signature: dict[str, Json] | None = None,
        status: str = "READY",
        description: str = "",
        run_id: str | None = None,
        gaps: Iterable[Gap] = (),
        own: Own = NOTHING_OWN,
    ) -> int:
        """A new version with the next number; `files` empty: they are gone. own: what its logged model has.

        metrics, params: those of its run.
        """
        stored = self._models[model]
        stored.newest += 1
        number = stored.newest
        counted = figures(run_id, RunFacts("active", metrics=metrics or {}, params=params or {}), own)
        row = VersionRow(
            model=model,
            version=number,
            stage=Stage.NONE,
            aliases=(),
            status=status,
            run_id=run_id,
            created_at=EPOCH + timedelta(minutes=next(self._minutes)),
            description=description,
            metrics=finite_metrics(counted.metrics.items()),
            params=dict(counted.params),
            tags=dict(tags or {}),
        )
        stored.versions[number] = VersionRecord(
            row=row,
            source=f"memory:/{model}/{number}",
            model_id=None,
            status_message="",
            registered_by="",
            gaps=(*gaps, *metric_gaps(counted.metrics), *counted.gaps),
            datasets=counted.datasets,
        )
        stored.files[number] = dict(files or {})
        stored.documents[number] = dict(documents or {})
        if signature is not None:
            stored.signatures[number] = signature
        return number

    def write_file(self, model: str, version: int, path: str, *, content: bytes) -> None:
        """Overwrite a registered file, as MLflow allows."""
        self._models[model].files[version][path] = content

    def delete_version(self, model: str, version: int) -> None:
        """As in MLflow: its aliases go with it, its number is not given out again."""
        stored = self._models[model]
        del stored.versions[version]
        stored.aliases = {alias: number for alias, number in stored.aliases.items() if number != version}

    # The port

    def prepare(self) -> None:
        self._answer()

    def registry_id(self) -> str | None:
        self._answer()
        return self._registry_id

    def keep_registry_id(self, registry_id: str) -> str:
        self._answer()
        self._registry_id = self._registry_id or registry_id
        return self._registry_id

    def models(self) -> list[ModelRecord]:
        self._answer()
        return [self.model(name) for name in sorted(self._models)]

    def model(self, name: str) -> ModelRecord:
        stored = self._model(name)
        latest = max(stored.versions, default=None)
        return ModelRecord(
            name, stored.description, len(stored.versions), latest, dict(stored.aliases), dict(stored.tags)
        )

    def state(self, model: str) -> ModelState:
        stored = self._model(model)
        stages = {number: record.row.stage for number, record in stored.versions.items()}
        return ModelState(dict(stored.aliases), stages)

    def table(self, model: str, metrics: Sequence[str] | None = None) -> list[VersionRow]:
        stored = self._model(model)
        rows = [self.version(model, number).row for number in sorted(stored.versions, reverse=True)]
        if metrics is None:
            return rows
        return [replace(row, metrics={k: v for k, v in row.metrics.items() if k in metrics}) for row in rows]

    def version(self, model: str, version: int) -> VersionRecord:
        stored, record = self._model(model), self._version(model, version)
        aliases = tuple(sorted(alias for alias, number in stored.aliases.items() if number == version))
        return replace(record, row=replace(record.row, aliases=aliases))

    def files(self, record: VersionRecord, *, fresh: bool = False) -> ModelFiles:
        stored, number = self._model(record.row.model), record.row.version
        if not stored.files.get(number):
            raise NotFound(f"files: those of version {number} are gone")
        files = tuple(
            File(path, len(content), hashlib.sha256(content).hexdigest())
            for path, content in sorted(stored.files[number].items())
        )
        documents = copy.deepcopy(stored.documents[number])
        signature = stored.signatures.get(number)
        gaps = () if signature else (Gap("no_signature", "The version has no signature."),)
        return ModelFiles(files, ("memory",), signature, documents=documents, gaps=gaps)

    def read_file(self, record: VersionRecord, path: str) -> bytes:
        stored = self._model(record.row.model)
        try:
            return stored.files[record.row.version][path]
        except KeyError as error:
            raise NotFound(f"files: version {record.row.version} has no file {path!r}") from error

    def set_alias(self, model: str, alias: str, version: int | None) -> None:
        stored = self._model(model)
        if version is None:
            stored.aliases.pop(alias, None)
        else:
            self._version(model, version)
            stored.aliases[alias] = version

    def set_stage(self, model: str, version: int, stage: Stage) -> None:
        record = self._version(model, version)
        self._models[model].versions[version] = replace(record, row=replace(record.row, stage=stage))

    def set_tags(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        record = self._version(model, version)
        row = replace(record.row, tags={**record.row.tags, **tags})
        self._models[model].versions[version] = replace(record, row=row)

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("the registry does not answer")

    def _model(self, name: str) -> _Model:
        self._answer()
        if name not in self._models:
            raise NotFound(f"model: the registry has no model {name!r}")
        return self._models[name]

    def _version(self, model: str, version: int) -> VersionRecord:
        try:
            return self._model(model).versions[version]
        except KeyError as error:
            raise NotFound(f"version: {model!r} has no version {version}") from error


class InMemoryOutbox:
    """Implements the port Outbox."""

    def __init__(self) -> None:
        self.waiting: dict[int, Notice] = {}

    def notices(self) -> list[Notice]:
        return [self.waiting[number] for number in sorted(self.waiting)]

    def claim(self, now: datetime, until: datetime) -> Notice | None:
        found = next((each for each in self.notices() if each.due <= now), None)
        if found:
            self.waiting[found.sequence] = replace(found, due=until)
        return found

    def keep(self, notice: Notice) -> None:
        if notice.sequence in self.waiting:
            self.waiting[notice.sequence] = notice

    def remove(self, sequence: int) -> None:
        self.waiting.pop(sequence, None)


@dataclass(frozen=True)
class InMemoryNames:
    """Implements the port Names over a dictionary by reference."""

    held: dict[str, str]

    def all(self) -> dict[str, str]:
        return dict(self.held)

    def keep(self, person: Person, name: str) -> None:
        self.held[person.reference] = name


@dataclass(frozen=True)
class InMemoryTokens:
    """Implements the port Tokens over a dictionary by name."""

    held: dict[str, TokenRecord]

    def all(self) -> list[TokenRecord]:
        return sorted(self.held.values(), key=lambda each: each.name)

    def find(self, sha256: str) -> TokenRecord | None:
        return next((each for each in self.held.values() if each.sha256 == sha256), None)

    def used(self, name: str, at: datetime) -> None:
        self.held[name] = replace(self.held[name], last_used_at=at)


class InMemoryLedger:
    """Implements the port Ledger and its transactions; `checkpoints` is what a file would hold.

    database_clock: what the database's own clock says; it stands still unless it is set or one that ticks is given.
    """

    def __init__(
        self,
        *,
        registry: str = "registry-1",
        address: str = "",
        database_clock: Clock | None = None,
        told: Collection[str] = (),
    ) -> None:
        self._events: list[StoredEvent] = []
        self._slots: dict[Slot, SlotState] = {}
        self._evidence: dict[str, str] = {}
        self._registries: dict[tuple[str, str], datetime] = {}
        self._pending_since: dict[str, datetime] = {}
        self._lock = RLock()
        self._id, self.address = registry, address
        self.database_clock: Clock = database_clock or StoppedClock()
        self.checkpoints: list[tuple[int, str]] = []
        self._told, self.outbox = told, InMemoryOutbox()
        self._tokens: dict[str, TokenRecord] = {}
        self._names: dict[str, str] = {}

    @contextmanager
    def transaction(self) -> Iterator["InMemoryLedger"]:
        with self._lock:
            before = list(self._events), dict(self._slots), dict(self._tokens), dict(self.outbox.waiting)
            try:
                yield self
            except BaseException:
                self._events, self._slots, self._tokens, self.outbox.waiting = before
                raise
            if self.address:
                self._registries.setdefault((self.address, self._id), self.database_clock.now())

    def registry(self) -> str | None:
        return self._id

    @property
    def names(self) -> "InMemoryNames":
        return InMemoryNames(self._names)

    @property
    def tokens(self) -> "InMemoryTokens":
        return InMemoryTokens(self._tokens)

    def issued_tokens(self) -> list[TokenRecord]:
        return self.tokens.all()

    def keep_token(self, token: TokenRecord) -> None:
        self._tokens[token.name] = token

    def exists(self) -> bool:
        return bool(self._events or self._evidence)

    def registries(self) -> list[KnownRegistry]:
        return [KnownRegistry(address, known, seen) for (address, known), seen in self._registries.items()]

    def pending(self, model: str | None = None) -> list[PendingDecision]:
        pending = {state.pending for slot, state in self._slots.items() if model in (None, slot.model)} - {None}
        found = [
            each for each in self._events if each.event.type is EventType.DECIDED and each.event.decision in pending
        ]
        return [self._pending(stored.sequence, stored.event) for stored in found]

    def _pending(self, sequence: int, event: Event) -> PendingDecision:
        decision = str(event.decision)
        age = self.database_clock.now() - self._pending_since[decision]
        return PendingDecision(sequence, event.model, decision, event.at, age)

    def upgrade(self, *, new: bool = False) -> Upgrade:
        return Upgrade("memory", "memory")

    def slot(self, slot: Slot) -> SlotState | None:
        return self._slots.get(slot)

    def find_key(self, key: str) -> StoredEvent | None:
        return next((stored for stored in self._events if stored.event.key == key), None)

    def has_baseline(self, model: str) -> bool:
        return self.baseline(model) is not None

    def append(self, event: Event) -> StoredEvent:
        if event.key is not None and self.find_key(event.key):
            raise InvalidInput(f"key: {event.key!r} was used before")
        sequence, previous = (self._events[-1].sequence, self._events[-1].hash) if self._events else (0, FIRST_HASH)
        stored = chain(event, sequence + 1, previous)
        self._events.append(stored)
        for change in event.changes:
            before = self._slots.get(change.slot, SlotState.initial(change.slot))
            self._slots[change.slot] = fold(before, event, change)
        if event.type is EventType.DECIDED and event.decision:
            self._pending_since[event.decision] = self.database_clock.now()
        if event.type in self._told:
            self.outbox.waiting[sequence + 1] = Notice(sequence + 1, event.at)
        return stored

    def events(self, *, model: str | None = None, after: int = 0) -> Iterator[StoredEvent]:
        return iter([each for each in self._events if each.sequence > after and model in (None, each.event.model)])

    def page(
        self,
        model: str | None = None,
        *,
        before: int | None = None,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> Iterator[StoredEvent]:
        return iter(
            [
                each
                for each in reversed(self._events)
                if model in (None, each.event.model)
                and (before is None or each.sequence < before)
                and (only is None or each.event.type in only)
                and each.event.type not in without
            ]
        )

    def open_requests(self, model: str | None = None) -> list[StoredEvent]:
        pending = {each.decision for each in self.pending(model)} | {None}
        signed = [each for each in self.events(model=model) if each.event.type in SIGNING]
        ends = [
            each for each in signed if each.event.type in CLOSED_BY or each.event.content.get("decides") not in pending
        ]
        ended = {each.event.content["requested"] for each in ends}
        return [each for each in signed if each.event.content.get("requested", each.sequence) not in ended]

    def about(self, model: str, version: int) -> Iterator[StoredEvent]:
        return (each for each in self.page(model) if is_about(each.event, version))

    def current(self, model: str, topic: Topic, version: int | None = None) -> list[StoredEvent]:
        return self._numbered(self._standing().sequences(model, topic, version))

    def champions(self, model: str, newest: int | None = None) -> list[StoredEvent]:
        return newest_of(self._numbered(self._standing().periods(model)), newest)

    def former_champions(self, model: str, newest: int | None = None) -> list[StoredEvent]:
        return newest_of(self._numbered([row.sequence for row in self._standing().stack(model)]), newest)

    def count(self) -> int:
        return len(self._events)

    def _standing(self) -> LedgerStanding:
        """By a replay: what another ledger keeps must be the same."""
        standing = LedgerStanding()
        for each in self._events:
            standing.follow(each.event, each.sequence)
        return standing

    def _numbered(self, sequences: Iterable[int]) -> list[StoredEvent]:
        by_sequence = {each.sequence: each for each in self._events}
        return [by_sequence[sequence] for sequence in sequences]

    def last(self, model: str) -> StoredEvent | None:
        return next((stored for stored in reversed(self._events) if stored.event.model == model), None)

    def baseline(self, model: str) -> StoredEvent | None:
        found = (each for each in self._events if each.event.model == model)
        return next((each for each in found if each.event.type is EventType.BASELINE), None)

    def models(self) -> list[str]:
        return sorted({stored.event.model for stored in self._events} - {""})

    def slots(self, model: str) -> dict[Slot, SlotState]:
        return {slot: state for slot, state in self._slots.items() if slot.model == model}

    def put_evidence(self, sha256: str, body: str) -> None:
        self._evidence.setdefault(sha256, body)

    def evidence(self, sha256: str) -> str:
        try:
            return self._evidence[sha256]
        except KeyError as error:
            raise NotFound(f"evidence: the ledger holds none with the digest {sha256}") from error

    def problems(self, checkpoints: Sequence[Path] = ()) -> list[str]:
        hashes = {each.sequence: each.hash for each in self._events}
        cut = [
            f"event {number}: is in a checkpoint and differs"
            for number, kept in self.checkpoints
            if hashes.get(number) != kept
        ]
        return [*chain_problems(self._events), *cut]

    def stamps(self) -> Iterator[tuple[int, datetime]]:
        return ((each.sequence, each.event.at) for each in self._events)

    def unprotected(self) -> str | None:
        return None if self.checkpoints or not self._events else "there are no checkpoints"

    def keep_checkpoint(self) -> None:
        if self._events:
            self.checkpoints.append((self._events[-1].sequence, self._events[-1].hash))

    def checkpoint_keys(self) -> tuple[CheckpointKey, ...]:
        return ()

    def kept_checkpoints(self, elsewhere: Sequence[Path] = ()) -> list[KeptCheckpoint]:
        assert not elsewhere, "this ledger keeps no files"
        return [
            KeptCheckpoint(number, json.dumps({"registry": self._id, "sequence": number, "hash": kept}))
            for number, kept in self.checkpoints
        ]
