"""What `verify` checks in a stored ledger: links, copied columns, slots, evidence and checkpoints.

Whatever is damaged is a sentence, and what was found before it stays.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import orjson

from pipeline.adapters.ledger.database import RowsUnreadable, StoredRows
from pipeline.adapters.ledger.tables import UNREADABLE
from pipeline.governance.lifecycle import Slot
from pipeline.governance.record.ledger import (
    FIRST_HASH,
    Event,
    EventType,
    SlotState,
    Topic,
    UnknownType,
    digest_of,
    fold,
    link_problems,
)
from pipeline.governance.record.standing import ChampionRow, LedgerStanding, TopicMark

WITHOUT_CHECKPOINT = 1  # applied decisions: a crash may come between the end of one and its checkpoint
FARTHEST = 2_000  # events behind a damaged page that are looked for one by one
EVENT_ROWS = (
    'SELECT sequence, previous_hash, hash, body, type, model, decision, "key" FROM ledger_event '
    "WHERE registry = ? AND sequence > ? ORDER BY sequence"
)

Found = TypeVar("Found")


class ChainCheck:
    """Sees every event once, in order, and keeps what is wrong.

    Its memory grows with slots, versions and champions, not with events.
    """

    def __init__(self, checkpoints: Mapping[int, set[str]], *, own_file: bool) -> None:
        """own_file: whether this host's checkpoint file must have a line for nearly every decision."""
        self._checkpoints, self._own_file = checkpoints, own_file
        self._after = (0, FIRST_HASH)
        self._slots: dict[Slot, SlotState] = {}
        self._not_followed: set[Slot] = set()
        self._standing = LedgerStanding()
        self._quoted: dict[str, int] = {}
        self._applied = 0
        self._problems: list[str] = []

    def add_event(self, row: Sequence[Any]) -> None:
        """Checks the next event, a row of EVENT_ROWS."""
        sequence, previous_hash, stored_hash, body, *copies = row
        try:
            self._problems += link_problems(sequence, previous_hash, stored_hash, body=body, after=self._after)
        except UnicodeEncodeError:
            self._problems.append(f"event {sequence}: is not in UTF-8")
        self._after = (self._after[0] + 1, stored_hash)
        if sequence in self._checkpoints and self._checkpoints[sequence] != {stored_hash}:
            self._problems.append(f"event {sequence}: differs from its checkpoint")
        try:
            content = _loads(body)
            written_type = content["type"]
            event = Event.from_content(content)
            self._follow(event, sequence)
        except UNREADABLE:
            self._problems.append(f"event {sequence}: cannot be read")
            return
        if copies != [written_type, event.model, event.decision, event.key]:
            self._problems.append(f"event {sequence}: its columns differ from its body")

    def add(self, problem: str) -> None:
        """Adds a problem that was met on the way to the events."""
        self._problems.append(problem)

    def _follow(self, event: Event, sequence: int) -> None:
        if type(event.model) is not str:
            raise TypeError(event.model)
        for change in event.changes:
            _, kind, name = slot = change.slot
            if type(kind) is not str or type(name) is not str:
                raise TypeError(slot)
        if type(event.type) is UnknownType:
            self._problems.append(f"event {sequence}: its type {event.type!r} is not known to this version of Signoff")
            self._not_followed.update(change.slot for change in event.changes)
        for change in event.changes:
            before = self._slots.get(change.slot) or SlotState.initial(change.slot)
            self._slots[change.slot] = fold(before, event, change)
        self._standing.follow(event, sequence)
        self._applied += event.type is EventType.APPLIED
        if quoted := event.content.get("evidence"):
            self._quoted.setdefault(quoted, sequence)

    def problems(self, slots: Mapping[Slot, SlotState]) -> Iterator[str]:
        """The problems of the events; `slots` are the slots as the ledger's tables have them."""
        yield from self._problems
        if self._own_file and not self._checkpoints and self._applied > WITHOUT_CHECKPOINT:
            yield f"checkpoint file: is gone, or holds nothing of this registry, after {self._applied} decisions"
        for sequence in sorted(set(self._checkpoints)):
            if sequence > self._after[0]:
                yield f"event {sequence}: is in a checkpoint and was cut off"
        for slot in sorted({*self._slots, *slots}):
            if slot not in self._not_followed and self._slots.get(slot) != slots.get(slot):
                yield f"slot {slot.label} of {slot.model!r}: is not what replaying the events gives"

    def standing_problems(
        self, marks: Mapping[TopicMark, int], champions: Mapping[str, Mapping[int, ChampionRow]]
    ) -> Iterator[str]:
        """The problems of the tables from which a long history is read without replaying it."""
        for mark in sorted({*self._standing.marks, *marks}):
            if self._standing.marks.get(mark) != marks.get(mark):
                yield (
                    f"{mark.topic} of version {mark.version} of {mark.model!r}: the event that is kept as the one that "
                    "counts is not what replaying the events gives"
                )
        for model in sorted({*self._standing.champions, *champions}):
            if self._standing.champions.get(model, {}) != champions.get(model, {}):
                yield f"champions of {model!r}: what is kept of them is not what replaying the events gives"

    def evidence_problems(self, digests: Mapping[str, str]) -> Iterator[str]:
        """The problems of the evidence: `digests` are the sha256 of each text, by the sha256 in its key."""
        for name, digest in digests.items():
            if name != digest:
                yield f"evidence {name[:12]}: was changed after it was written"
        for quoted, sequence in self._quoted.items():
            if quoted not in digests:
                yield f"event {sequence}: the evidence {quoted[:12]} that it quotes is gone"


class LedgerCheck:
    """Everything that is wrong in the database, row by row as they are stored."""

    def __init__(self, rows: StoredRows, registry: str, check: ChainCheck) -> None:
        self._rows, self._registry, self._check = rows, registry, check
        self._met: list[str] = []

    def problems(self, *, standing: bool) -> list[str]:
        """Every problem. standing: whether the tables are of this version, which has those of what still counts."""
        self._careful("its pages", self._pages)
        self._careful("its events", self._events)
        slots = self._careful("its slots", self._slots) or {}
        found = list(self._check.problems(slots))
        if standing and (standing_rows := self._careful("what still counts of its events", self._standing)):
            found += self._check.standing_problems(*standing_rows)
        if standing:
            self._careful("the registries that it knows", self._registries)
        digests = self._careful("its evidence", self._digests)
        if digests is not None:
            found += self._check.evidence_problems(digests)
        return list(dict.fromkeys([*self._met, *found]))

    def _careful(self, what: str, read: Callable[[], Found]) -> Found | None:
        try:
            return read()
        except (RowsUnreadable, *UNREADABLE) as error:
            self._met.append(f"the ledger's file: {what} cannot be read ({error})")
            return None

    def _pages(self) -> None:
        self._met += [f"the ledger's file: {each}" for each in self._rows.damaged_pages()]

    def _events(self) -> None:
        after: int | None = 0
        while after is not None:
            after = self._events_from(after)

    def _events_from(self, after: int) -> int | None:
        """Checks events to their end (None); behind a damaged place, gives the number after which there may be more."""
        try:
            for row in self._rows.read(EVENT_ROWS, self._registry, after):
                after = row[0]
                self._check.add_event(row)
        except RowsUnreadable as error:
            if error.no_table:
                raise
            self._check.add(f"event {after + 1}: cannot be read ({error})")
            return self._behind(after + 1)
        return None

    def _behind(self, damaged: int) -> int | None:
        for number in range(damaged, damaged + FARTHEST):
            try:
                if next(self._rows.read(f"{EVENT_ROWS} LIMIT 1", self._registry, number), None) is None:
                    return None
            except RowsUnreadable:
                continue
            return number
        return None

    def _slots(self) -> dict[Slot, SlotState]:
        columns = "model, kind, name, recorded, generation, pending, drift, observed, since"
        rows = self._rows.read(f"SELECT {columns} FROM ledger_slot WHERE registry = ?", self._registry)  # noqa: S608
        found = {}
        for *key, recorded, generation, pending, out_of_band, observed, since in rows:
            slot = Slot(*map(_text, key))
            try:
                at = None if since is None else datetime.fromisoformat(since)
            except (ValueError, TypeError):
                self._check.add(f"slot {slot.label} of {slot.model!r}: cannot be read")
                continue
            found[slot] = SlotState(recorded, generation, pending, out_of_band, observed, at)
        return found

    def _standing(self) -> tuple[dict[TopicMark, int], dict[str, dict[int, ChampionRow]]]:
        rows = self._rows.read(
            "SELECT model, topic, version, created_at, sequence FROM ledger_mark WHERE registry = ?", self._registry
        )
        marks = {
            TopicMark(_text(model), cast("Topic", _text(topic)), _number(version), _text(created_at)): sequence
            for model, topic, version, created_at, sequence in rows
        }
        champions: dict[str, dict[int, ChampionRow]] = {}
        rows = self._rows.read(
            "SELECT model, sequence, version, period, depth FROM ledger_champion WHERE registry = ?", self._registry
        )
        for model, sequence, version, period, depth in rows:
            champions.setdefault(_text(model), {})[sequence] = ChampionRow(sequence, version, period == 1, depth)
        return marks, champions

    def _registries(self) -> None:
        rows = self._rows.read("SELECT registry, address, first_seen FROM ledger_registry")
        for number, (registry, address, first_seen) in enumerate(rows, start=1):
            if not (isinstance(registry, str) and isinstance(address, str) and _is_time(first_seen)):
                self._met.append(f"registry {number} of those that the ledger knows: cannot be read")

    def _digests(self) -> dict[str, str]:
        rows = self._rows.read("SELECT sha256, body FROM ledger_evidence")
        return {_text(name): _digest(body) for name, body in rows}


def _loads(body: str) -> Any:  # noqa: ANN401 (JSON)
    """As json.loads, a third of the time. What orjson does not take, such as half of a surrogate pair, that may."""
    try:
        return orjson.loads(body)
    except ValueError:
        return json.loads(body)


def _text(value: object) -> str:
    return value if isinstance(value, str) else repr(value)


def _is_time(value: object) -> bool:
    try:
        return datetime.fromisoformat(cast("str", value)).tzinfo is not None
    except (ValueError, TypeError):
        return False


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1


def _digest(body: object) -> str:
    try:
        return digest_of(body) if isinstance(body, str) else ""
    except UnicodeEncodeError:
        return ""
