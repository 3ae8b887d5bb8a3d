"""What the ledger holds, for people: events page by page, who was champion when, evidence, and the whole chain as one
document that anybody can check with sha256 alone, without this program.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile, tee
from pathlib import Path

from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.lifecycle import Slot
from pipeline.governance.ports import Ledger, PendingDecision, Registry
from pipeline.governance.record.decision_record import DecisionRecord, part_of_chain, quoted_digests, read_decision
from pipeline.governance.record.history import (
    OUTSIDE,
    Entry,
    GateCount,
    Moment,
    OutsidePeriod,
    Period,
    champion_periods,
    entry,
    gate_counts,
    given_out_again,
    moment,
    one_line_each,
    outside_periods,
)
from pipeline.governance.record.ledger import (
    SEEN,
    Event,
    EventType,
    StoredEvent,
    Topic,
    UnreadableEvent,
    touched_versions,
)
from pipeline.governance.record.standing import MOST, LedgerView
from pipeline.governance.record.telling import change_of, sentence
from pipeline.governance.rules.reconcile import set_back

PAGE_LINES = 50
MOST_SEARCHED = 2_000  # events that are read for one page of a search: a long history is searched page by page
CLOCKS = timedelta(hours=1)  # how far the stamps of events may be out of order
AnyEvent = StoredEvent | UnreadableEvent


@dataclass(frozen=True)
class HistoryFilter:
    """Which events of a history are asked for; what is left out narrows nothing."""

    person: str = ""  # a part of the name or the subject of whoever acted, in any case
    version: int | None = None  # that the event is about, or that it touched
    text: str = ""  # words of its time, sentence, changes, reason, model and digests, in any case and order
    since: datetime | None = None
    until: datetime | None = None  # events of this very time are left out

    def matches(self, found: Entry) -> bool:
        """An event that cannot be read matches no time, person or version."""
        at, asked = found.at, self.text.casefold().split()
        return (
            any(self.person.casefold() in each.casefold() for each in (found.signature or "", found.actor or ""))
            and (self.version is None or self.version in {found.version, *touched_versions(found.type, found.changes)})
            and (self.since is None or (at is not None and at >= self.since))
            and (self.until is None or (at is not None and at < self.until))
            and (not asked or all(word in _searched(found) for word in asked))
        )

    def up_to_begin(self, events: Iterator[AnyEvent]) -> Iterator[AnyEvent]:
        """The events, newest first, as far as they may be within the time asked for."""
        begin = None if self.since is None else self.since - CLOCKS
        for each in events:
            if begin is not None and isinstance(each, StoredEvent) and each.event.at < begin:
                return
            yield each


EVERYTHING = HistoryFilter()


def _searched(found: Entry) -> str:
    at = "" if found.at is None else f"{found.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    texts = (
        at,
        found.model,
        sentence(found),
        change_of(found),
        found.signature,
        found.actor,
        found.reason,
        found.why,
        found.evidence,
    )
    return " ".join(filter(None, texts)).casefold()


@dataclass(frozen=True)
class HistoryPage:
    """Some lines of the history, newest first."""

    lines: tuple[tuple[Entry, Entry | None], ...]  # each an event, with the intent that it ends where there is one
    older: int | None  # the lines before this sequence are the next page; None where there are none
    searched: int | None = None  # after how many events a search stopped before the page was full; None: it did not


def history_page(
    events: Iterator[tuple[AnyEvent, Entry]],
    lines: int,
    *,
    pending: Iterable[PendingDecision],
    find: Callable[[int], Entry | None],
    asked: HistoryFilter = EVERYTHING,
) -> HistoryPage:
    """The first lines of the events, newest first; no more are read than it takes, and of a search MOST_SEARCHED.

    An intent that has ended is part of the line of its end, which may be on an earlier page. find: an event by number.
    """
    open_decisions = {each.decision for each in pending}
    shown: list[Entry] = []
    intents: dict[int, Entry] = {}
    last = None
    for read, (stored, each) in enumerate(events):
        if len(shown) == lines or (asked != EVERYTHING and read == MOST_SEARCHED):
            return HistoryPage(_with_intents(shown, intents, find), last, read if len(shown) < lines else None)
        last = stored.sequence
        if isinstance(stored, StoredEvent) and _has_ended(stored.event, open_decisions):
            intents[each.sequence] = each
        elif asked.matches(each):
            shown.append(each)
    return HistoryPage(_with_intents(shown, intents, find), None)


def _has_ended(event: Event, open_decisions: Set[str]) -> bool:
    return event.type is EventType.DECIDED and event.decision not in open_decisions


def _is_wanted(
    stored: StoredEvent, before: int | None, *, only: Collection[str] | None, without: Collection[str]
) -> bool:
    kind = stored.event.type
    return (before is None or stored.sequence < before) and (only is None or kind in only) and kind not in without


def _with_intents(
    shown: Iterable[Entry], intents: Mapping[int, Entry], find: Callable[[int], Entry | None]
) -> tuple[tuple[Entry, Entry | None], ...]:
    numbers = ((each, each.content.get("intent")) for each in shown)
    return tuple((each, None if number is None else intents.get(number) or find(number)) for each, number in numbers)


MOST_NEWS = 50  # events that changed_since looks at
SETTLING = (EventType.BASELINE, EventType.APPLIED, EventType.ADOPTED, EventType.REVERTED)  # each is a generation more


def _looked_at(state: str) -> Iterator[tuple[str, str, int]]:
    """Label, content and generation of each slot in a state, see slot_text; what is none is left out."""
    for part in state.split(","):
        label, _, rest = part.partition("=")
        content, _, number = rest.rpartition("#")
        if number.isascii() and number.isdecimal():
            yield label, content, int(number)


def _later(entries: Iterable[Entry], settled: dict[str, int], contents: Mapping[str, str]) -> Iterator[Entry]:
    """Those of the entries, newest first, that came after a state.

    settled: how often each slot was settled since. contents: what was in it.
    """
    for each in entries:
        touched = [change for change in each.changes if change.slot.label in settled]
        for change in touched:
            label = change.slot.label
            settled[label] -= each.type in SETTLING
            seen_then = each.type in SEEN and settled[label] == 0 and (change.observed or "") == contents[label]
            if settled[label] < 0 or seen_then:
                del settled[label]
        if any(change.slot.label in settled for change in touched):
            yield each


class RecordReader:
    """The reading half of the service that needs the ledger; the registry only says whether a model exists at all."""

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self._registry, self._ledger = registry, ledger

    def whose_record(self) -> str:
        """Of which registry the record is that is read while the registry does not answer; no whole sentence."""
        known = self._ledger.registries()
        if not known or self._ledger.address in {each.address for each in known}:
            return "this is the record of the registry that had its address"
        only = f"the only registry that the ledger knows, at {known[-1].address}"
        return f"nothing was ever written about its address, this is the record of {only}"

    def recorded_models(self) -> list[str]:
        """Those that the ledger knows, whether or not the registry answers."""
        return self._ledger.models()

    def history(self, model: str | None = None, *, before: int | None = None, newest: int | None = None) -> list[Entry]:
        """The events of one model, or of all, oldest first; before: an event's number, newest: so many at most.

        Raises NotFound for a model that nobody knows.
        """
        entries = list(self._told(islice(self._ledger.page(model, before=before), newest)))
        if model is not None and not entries:
            self._registry.model(model)
        return entries[::-1]

    def history_page(
        self,
        model: str | None = None,
        *,
        before: int | None = None,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
        asked: HistoryFilter = EVERYTHING,
        lines: int = PAGE_LINES,
    ) -> HistoryPage:
        """A page of the history, newest first, one line per decision; before: the sequence above which it begins.

        only, without: of which event types. Raises NotFound for a model that nobody knows.
        """
        if model is not None and next(self._ledger.page(model), None) is None:
            self._registry.model(model)
        if asked.until is not None:
            before = min(self._begin_of(model, asked.until + CLOCKS), MOST if before is None else before)
        if model is None or asked.version is None:
            events = self._ledger.page(model, before=before, only=only, without=without)
        else:
            about = self._ledger.about(model, asked.version)
            events = (each for each in about if _is_wanted(each, before, only=only, without=without))
        found = asked.up_to_begin(events)
        told = self._told_beside(found)
        return history_page(told, lines, pending=self._ledger.pending(model), find=self.event, asked=asked)

    def _told_beside(self, events: Iterable[AnyEvent]) -> Iterator[tuple[AnyEvent, Entry]]:
        first, second = tee(events)
        return zip(first, self._told(second), strict=True)

    def _begin_of(self, model: str | None, time: datetime) -> int:
        """Before which sequence the events older than a time end, by a binary search: some twenty events are read."""
        low, high = 0, next((each.sequence for each in self._ledger.page(model)), 0) + 1
        while low < high:
            middle = (low + high + 1) // 2
            readable = (each for each in self._ledger.page(model, before=middle) if isinstance(each, StoredEvent))
            newest = next(readable, None)
            if newest is None or newest.event.at < time:
                low = middle
            else:
                high = min(middle - 1, newest.sequence)
        return low

    def event(self, sequence: int) -> Entry | None:
        """One event by its number; None where there is none."""
        found = next(self._ledger.page(before=sequence + 1), None)
        return next(self._told([found])) if found is not None and found.sequence == sequence else None

    def _told(self, events: Iterable[AnyEvent]) -> Iterator[Entry]:
        """Events with the names of people, which are asked for only where an event refers to one."""
        names: Mapping[str, str] | None = None
        for each in map(entry, events):
            who, asker = each.reference, each.asker_reference
            if who is None and asker is None:
                yield each
                continue
            names = self._ledger.names.all() if names is None else names
            yield replace(each, name=names.get(who or ""), asker_name=names.get(asker or ""))

    def decision(self, number: int) -> tuple[Entry, Entry | None] | None:
        """The line of the history of a decision, by its number; None where no decision has it.

        The first is its end, with its intent; of a decision that has not ended the intent alone.
        """
        found = self.event(number)
        if found is None or found.type is not EventType.DECIDED:
            return None
        pending = {each.sequence for each in self._ledger.pending(found.model)}
        if number in pending:
            return found, None
        later = self._told(self._ledger.events(model=found.model, after=number))
        end = next((each for each in later if each.number == number), None)
        return (found, None) if end is None else (end, found)

    def line(self, number: int) -> tuple[Entry, Entry | None] | None:
        """The line of the history that any of its events has the number of; None where no event has it."""
        found = self.event(number)
        if found is None:
            return None
        return self.decision(found.number) or (found, None)

    def changed_since(self, model: str, sequence: int, *, slots: Collection[Slot], version: int | None) -> list[Entry]:
        """What was recorded after an event about a version, or about one of some slots; the newest first.

        One line per decision, without refusals, of the newest MOST_NEWS events.
        """
        events = self._ledger.page(model, without=(EventType.DENIED,))
        later = takewhile(lambda each: each.sequence > sequence, islice(events, MOST_NEWS))
        return [
            each
            for each in one_line_each(list(self._told(later)))
            if (version is not None and each.version == version)
            or not {change.slot for change in each.changes}.isdisjoint(slots)
        ]

    def changed_from(self, model: str, state: str) -> list[Entry]:
        """What was recorded about the slots of a state (see slot_text) since they were like that; the newest first.

        As changed_since for somebody who has nothing but the state that a review handed out; empty for any other text.
        """
        known = {slot.label: now.generation for slot, now in self._ledger.slots(model).items()}
        looked_at = [each for each in _looked_at(state) if each[0] in known]
        settled = {label: known[label] - number for label, _, number in looked_at}
        events = islice(self._ledger.page(model, without=(EventType.DENIED,)), MOST_NEWS)
        lines = one_line_each(list(self._told(events)))
        return list(_later(lines, settled, {label: content for label, content, _ in looked_at}))

    def event_count(self) -> int:
        """How many events the ledger holds about this registry."""
        return self._ledger.count()

    def newest_event(self, model: str) -> int:
        """The sequence of the newest event of a model; 0 where there is none."""
        last = self._ledger.last(model)
        return last.sequence if last else 0

    def recorded(self, model: str) -> LedgerView:
        """What the ledger says now of a model: its champion, and the files of its versions."""
        return LedgerView.read(self._ledger, model)

    def given_out_again(self, model: str | None = None) -> list[str]:
        """One sentence per version number that was given out again, of one model or of all."""
        models = self._ledger.models() if model is None else [model]
        first = (entry(stored) for each in models for stored in self._ledger.current(each, Topic.NUMBER))
        return given_out_again(first)

    def at(self, model: str, time: datetime) -> Moment:
        """Champion and stages at a time as the ledger knows them. Raises NotFound for a model it does not know."""
        events = list(self._ledger.events(model=model))
        if not events:
            raise NotFound(f"history: the ledger knows no model {model!r}")
        return moment(model, events, time)

    def champions(self, model: str, newest: int | None = None) -> list[Period]:
        """Who was champion when, oldest first; newest: only after so many of the newest changes."""
        return champion_periods(model, self._ledger.champions(model, newest))

    def outside_periods(self, model: str, newest: int) -> list[OutsidePeriod]:
        """When the registry had another champion than the ledger, oldest first, from so many of the newest events."""
        found = islice(self._ledger.page(model, only=OUTSIDE), newest)
        return outside_periods(model, [each for each in found if isinstance(each, StoredEvent)][::-1])

    def gate_counts(self, model: str) -> dict[tuple[int, str | None], GateCount]:
        """How the gates stood at the last decision about each version, by number and creation time."""
        return gate_counts(stored.event for stored in self._ledger.current(model, Topic.GATES))

    def evidence(self, digest: str) -> str:
        """The canonical JSON that a decision quotes. Raises NotFound."""
        return self._ledger.evidence(digest)

    def export(self, model: str | None = None) -> Iterator[str]:
        """The whole chain, and the evidence about one model or all, as pieces of JSON. Raises NotFound as `history`."""
        if model is not None and self._ledger.last(model) is None:
            self._registry.model(model)
        return export(self._ledger, model)

    def decision_record(self, number: int, checkpoints: Sequence[Path] = ()) -> DecisionRecord:
        """Everything that the ledger holds about a decision, by the number of any of its events, see read_decision."""
        return read_decision(self._ledger, number, checkpoints)

    def part_of_chain(self, record: DecisionRecord) -> Iterator[StoredEvent]:
        """The events of the chain that place a decision, in order; a long part is never in memory as a whole."""
        return part_of_chain(self._ledger, record)

    def unprotected(self) -> str | None:
        """What verify cannot see for want of checkpoints, as a sentence; None where there are some, or where it found a
        ledger that cannot be read.
        """
        with suppress(Unavailable):
            return self._ledger.unprotected()
        return None

    def set_back(self) -> list[str]:
        """Where time went back from one event to the next: one sentence each, of the newest.

        Empty where the ledger cannot be read: that is a problem, which verify found.
        """
        with suppress(Unavailable):
            return set_back(self._ledger)
        return []


def export(ledger: Ledger, model: str | None = None) -> Iterator[str]:
    """The document in pieces: a long ledger is never in memory as a whole.

    `events`: every stored row, for the chain runs through all models. `evidence`: by digest, what the events of the
    model (None: of all) quote, each as the very text that was hashed; null for what the ledger does not hold any more.
    """
    quoted: dict[str, None] = {}
    yield '{"events": ['
    for index, stored in enumerate(ledger.events()):
        row = {
            "sequence": stored.sequence,
            "previous_hash": stored.previous_hash,
            "hash": stored.hash,
            "body": stored.body,
        }
        yield f"{',' if index else ''}\n{json.dumps(row, ensure_ascii=False)}"
        if model in (None, stored.event.model):
            quoted |= dict.fromkeys(quoted_digests(stored.event))
    yield '\n],\n"evidence": {'
    for index, digest in enumerate(quoted):
        text = None
        with suppress(NotFound):
            text = ledger.evidence(digest)
        yield f"{',' if index else ''}\n{json.dumps(digest)}: {json.dumps(text, ensure_ascii=False)}"
    yield "\n}}\n"
