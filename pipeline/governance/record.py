"""What the ledger holds, for people: events page by page, who was champion when, evidence and the whole chain."""

from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice, takewhile

from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.export import export
from pipeline.governance.history import (
    PAGE_LINES,
    Entry,
    GateCount,
    HistoryPage,
    Moment,
    Period,
    champion_periods,
    entry,
    gate_counts,
    given_out_again,
    history_page,
    moment,
    one_line_each,
)
from pipeline.governance.ledger import EventType, Topic, UnreadableEvent
from pipeline.governance.lifecycle import Slot
from pipeline.governance.ports import Ledger, Registry
from pipeline.governance.reconcile import set_back
from pipeline.governance.standing import LedgerView

MOST_NEWS = 50  # events that changed_since looks at


class RecordReader:
    """The reading half of the service that needs the ledger; the registry only says whether a model exists at all."""

    def __init__(self, registry: Registry, ledger: Ledger) -> None:
        self._registry, self._ledger = registry, ledger

    def recorded_models(self) -> list[str]:
        """Those that the ledger knows, whether or not the registry answers."""
        return self._ledger.models()

    def history(self, model: str | None = None) -> list[Entry]:
        """The events of one model, or of all, oldest first. Raises NotFound for a model that nobody knows."""
        entries = [entry(stored) for stored in self._ledger.page(model)]
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
        lines: int = PAGE_LINES,
    ) -> HistoryPage:
        """A page of the history, newest first, one line per decision; before: the sequence above which it begins.

        only, without: of which event types. Raises NotFound for a model that nobody knows.
        """
        events = self._ledger.page(model, before=before, only=only, without=without)
        if model is not None and next(self._ledger.page(model), None) is None:
            self._registry.model(model)
        return history_page(events, lines, pending=self._ledger.pending(model), find=self.event)

    def event(self, sequence: int) -> Entry | None:
        """One event by its number; None where there is none."""
        found = next(self._ledger.page(before=sequence + 1), None)
        return entry(found) if found is not None and found.sequence == sequence else None

    def decision(self, number: int) -> tuple[Entry, Entry | None] | None:
        """The line of the history of a decision, by its number; None where no decision has it.

        The first is its end, with its intent; of a decision that has not ended the intent alone.
        """
        found = next(self._ledger.page(before=number + 1), None)
        if found is None or found.sequence != number or isinstance(found, UnreadableEvent):
            return None
        if found.event.type is not EventType.DECIDED:
            return None
        later = self._ledger.events(model=found.event.model, after=number)
        end = next((each for each in later if each.event.decision == found.event.decision), None)
        return (entry(found), None) if end is None else (entry(end), entry(found))

    def changed_since(self, model: str, sequence: int, *, slots: Collection[Slot], version: int | None) -> list[Entry]:
        """What was recorded after an event about a version, or about one of some slots; the newest first.

        One line per decision, without refusals, of the newest MOST_NEWS events.
        """
        events = self._ledger.page(model, without=(EventType.DENIED,))
        later = takewhile(lambda each: each.sequence > sequence, islice(events, MOST_NEWS))
        return [
            each
            for each in one_line_each([entry(stored) for stored in later])
            if (version is not None and each.version == version)
            or not {change.slot for change in each.changes}.isdisjoint(slots)
        ]

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
