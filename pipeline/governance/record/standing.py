"""Which events still count: what replaying all events of a model would leave, kept up event by event.

A long history is then read as far as it is needed: each rule gets the events that still count and gives the same answer
as from all of them. `verify` holds what a ledger keeps against the replay.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeGuard

from pipeline.governance.lifecycle import CHAMPION, Slot, Stage
from pipeline.governance.ports import Ledger
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.history import SETTLING, about
from pipeline.governance.record.ledger import Event, EventType, StoredEvent, Topic, touched_versions

SETTLED = (EventType.BASELINE, EventType.APPLIED, EventType.ADOPTED)
MOST = 2**63  # a number that no version has, and no database column holds


class TopicMark(NamedTuple):
    """A topic about one version of a model."""

    model: str
    topic: Topic
    version: int
    # When it was registered, for the topics that tell versions apart by it; of TOUCHED, which keeps every event, the
    # number of the event.
    created_at: str = ""


class ChampionRow(NamedTuple):
    """An event that changed the champion, and what it made of it."""

    sequence: int
    version: int | None  # None where the alias was removed
    period: bool  # whether another period begins or ends with it
    # Its place on the stack of champions that a rollback can return to, from 1; None where it is not on it.
    depth: int | None


class ChampionHeld(NamedTuple):
    """The champion of a model before an event."""

    champion: int | None = None  # by the periods
    depth: int = 0  # the size of the stack of champions
    top: int | None = None  # the version on top of the stack


class Step(NamedTuple):
    """What an event does to the champions."""

    row: ChampionRow | None  # None: it has no row of its own
    cut: int | None = None  # from where the stack is cut off


def marks(event: Event, earlier: Callable[[TopicMark], Event | None]) -> list[TopicMark]:
    """The marks that an event takes over; of `Topic.NUMBER` the first event keeps it. earlier: the event of a mark."""
    subject: Mapping[str, Any] = event.content.get("subject") or {}
    number = subject.get("version")
    if number is None and event.type is not EventType.ADOPTED:
        return []
    found = []
    version, created_at = about(event)
    if is_version(version) and created_at is not None:
        found.append(TopicMark(event.model, Topic.NUMBER, version, created_at))
    if not is_version(number):
        return found
    if event.type in SETTLED and (recorded := recorded_by(event)):
        mark = TopicMark(event.model, Topic.FILES, number)
        before = earlier(mark)
        if recorded.counts_after(None if before is None else recorded_by(before)):
            found.append(mark)
    elif event.type is EventType.DECIDED and event.content.get("gates"):
        found.append(TopicMark(event.model, Topic.GATES, number, subject.get("created_at") or ""))
    elif event.type is EventType.TAMPERING:
        found.append(TopicMark(event.model, Topic.ALARM, number))
    return found


def touched_marks(event: Event, sequence: int) -> list[TopicMark]:
    """One per version that the event moved beside its subject, under which it is found anyway."""
    if not (touched := touched_versions(event.type, event.changes)):
        return []
    subject: Mapping[str, Any] = event.content.get("subject") or {}
    others = sorted(touched - {subject.get("version")})
    return [TopicMark(event.model, Topic.TOUCHED, each, str(sequence)) for each in others if is_version(each)]


def is_about(event: Event, version: int) -> bool:
    """Whether a version is the event's subject, or one that it touched beside it."""
    subject: Mapping[str, Any] = event.content.get("subject") or {}
    return subject.get("version") == version or version in touched_versions(event.type, event.changes)


def is_version(number: object) -> TypeGuard[int]:
    return type(number) is int and 0 < number < MOST


def champion_step(event: Event, sequence: int, *, before: ChampionHeld, depth_of: Callable[[int], int | None]) -> Step:
    """depth_of: the lowest place of a version on the stack. Raises ValueError for a champion that is no number."""
    slot = Slot.of_alias(event.model, CHAMPION)
    change = next((each for each in event.changes if each.slot == slot), None)
    if change is None or event.type not in SETTLING:
        return Step(None)
    version = None if change.to is None else int(change.to)
    cut = depth = None
    if version is not None and event.type in SETTLED:
        cut = depth_of(version) if event.content.get("meaning") == "rollback" else None
        depth = before.depth + 1 if cut is None and before.top != version else None
    period = version != before.champion
    row = ChampionRow(sequence, version, period, depth) if period or depth else None
    return Step(row, cut)


class LedgerStanding:
    """The marks and champions that a replay gives, of every model."""

    def __init__(self) -> None:
        self.marks: dict[TopicMark, int] = {}
        self.champions: dict[str, dict[int, ChampionRow]] = {}
        self._events: dict[TopicMark, Event] = {}
        self._stacks: dict[str, list[ChampionRow]] = {}

    def follow(self, event: Event, sequence: int) -> None:
        """One event, in order. Raises ValueError, TypeError or AttributeError for content of another shape."""
        for mark in marks(event, self._events.get):
            if mark.topic is Topic.NUMBER:
                self.marks.setdefault(mark, sequence)
                continue
            self.marks[mark] = sequence
            if mark.topic is Topic.FILES:
                self._events[mark] = event
        for mark in touched_marks(event, sequence):
            self.marks[mark] = sequence
        if event.type in SETTLING:
            self._follow_champion(event, sequence)

    def sequences(self, model: str, topic: Topic, version: int | None = None) -> list[int]:
        """Of the events that still count, in order."""
        wanted = (mark for mark in self.marks if mark[:2] == (model, topic) and version in (None, mark.version))
        return sorted(self.marks[mark] for mark in wanted)

    def periods(self, model: str) -> list[int]:
        """The sequences of the events with which a period begins or ends."""
        return [row.sequence for row in self.champions.get(model, {}).values() if row.period]

    def stack(self, model: str) -> list[ChampionRow]:
        """The champions that a rollback can return to, the newest last."""
        return list(self._stacks.get(model, []))

    def _follow_champion(self, event: Event, sequence: int) -> None:
        rows, stack = self.champions.setdefault(event.model, {}), self._stacks.setdefault(event.model, [])
        newest = next((row for row in reversed(rows.values()) if row.period), None)
        top = stack[-1] if stack else None
        before = ChampionHeld(newest and newest.version, len(stack), top and top.version)
        step = champion_step(event, sequence, before=before, depth_of=lambda version: _depth(stack, version))
        if step.cut is not None:
            for row in stack[step.cut :]:
                rows[row.sequence] = row._replace(depth=None)
                if not row.period:
                    del rows[row.sequence]
            del stack[step.cut :]
        if step.row is not None:
            rows[sequence] = step.row
            if step.row.depth:
                stack.append(step.row)


def _depth(stack: Iterable[ChampionRow], version: int) -> int | None:
    return next((depth for depth, row in enumerate(stack, 1) if row.version == version), None)


def newest_of(events: list[StoredEvent], newest: int | None) -> list[StoredEvent]:
    """The last ones of a list; None: all."""
    return events if newest is None else events[max(len(events) - newest, 0) :]


# What the ledger last settled about the bytes of each version, and whether a version still has them.


class RecordedFiles(NamedTuple):
    """What the ledger last settled about a version's files."""

    digest: str
    created_at: str | None
    approved: bool  # as champion or for Production

    def counts_after(self, before: "RecordedFiles | None") -> bool:
        """Whether it takes the place of an earlier one. An approval holds until the next one: whoever moves another
        alias onto changed bytes has not approved them.
        """
        return self.approved or before is None or not before.approved or before.created_at != self.created_at

    def is_of(self, evidence: Evidence) -> bool:
        """Whether it is about this very version: a number is given out again after a deletion."""
        return bool(self.created_at == evidence.content["created_at"])

    def difference(self, evidence: Evidence) -> str | None:
        """What is wrong with the files, after "its files"; None where they are those recorded."""
        now = evidence.file_digest
        if now == self.digest:
            return None
        return (
            f"{'are gone' if now is None else f'have the fingerprint {now[:12]}'}, the record says {self.digest[:12]}"
        )


def recorded_by(event: Event) -> RecordedFiles | None:
    """What an event settles about the files of its own version; None where it settles nothing."""
    subject: Mapping[str, Any] = event.content.get("subject") or {}
    version, digest = subject.get("version"), subject.get("file_digest")
    if event.type not in SETTLED or not isinstance(version, int) or not isinstance(digest, str):
        return None
    return RecordedFiles(digest, subject.get("created_at"), _approves(event, version))


def recorded_files(events: Iterable[Event]) -> dict[int, RecordedFiles]:
    """By version, from the events of one model in order, or from those of them that still count."""
    found: dict[int, RecordedFiles] = {}
    for event in events:
        recorded = recorded_by(event)
        if recorded is not None:
            version = event.content["subject"]["version"]
            if recorded.counts_after(found.get(version)):
                found[version] = recorded
    return found


def recorded_of(
    evidence: Evidence, files: Mapping[int, RecordedFiles], *, champion: int | None = None
) -> RecordedFiles | None:
    """What is recorded of this very version; under the recorded champion's number, only the recorded bytes will do."""
    found = files.get(evidence.version)
    if found is None or champion == evidence.version or found.is_of(evidence):
        return found
    return None


def _approves(event: Event, version: int) -> bool:
    champion, stage = Slot.of_alias(event.model, CHAMPION), Slot.of_stage(event.model, version)
    return any(
        (change.slot == champion and change.to == str(version))
        or (change.slot == stage and change.to == Stage.PRODUCTION.value)
        for change in event.changes
    )


class LedgerView(NamedTuple):
    """What the ledger says of one model now."""

    known: bool  # whether it has taken the model over
    champion: int | None
    files: Mapping[int, RecordedFiles]  # by version
    since: datetime | None = None  # when the champion became champion
    pending: bool = False  # whether a decision about the champion has not ended

    @classmethod
    def read(cls, ledger: Ledger, model: str) -> "LedgerView":
        """From what still counts of the model's events."""
        slot = ledger.slots(model).get(Slot.of_alias(model, CHAMPION))
        champion = None if slot is None or slot.recorded is None else int(slot.recorded)
        newest = ledger.champions(model, newest=1)
        files = recorded_files(stored.event for stored in ledger.current(model, Topic.FILES))
        since = newest[-1].event.at if newest else None
        return cls(ledger.baseline(model) is not None, champion, files, since, bool(slot and slot.pending))
