"""What the ledger holds, for people: events page by page, who was champion when, evidence, and the whole chain as one
document that anybody can check with sha256 alone, without this program.
"""

import json
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import datetime

from pipeline.governance.errors import NotFound, Unavailable
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
)
from pipeline.governance.ledger import Event, Topic
from pipeline.governance.ports import Ledger, Registry
from pipeline.governance.reconcile import set_back
from pipeline.governance.standing import LedgerView


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
            quoted |= dict.fromkeys(_digests(stored.event))
    yield '\n],\n"evidence": {'
    for index, digest in enumerate(quoted):
        text = None
        with suppress(NotFound):
            text = ledger.evidence(digest)
        yield f"{',' if index else ''}\n{json.dumps(digest)}: {json.dumps(text, ensure_ascii=False)}"
    yield "\n}}\n"


def _digests(event: Event) -> list[str]:
    """Of the version's evidence, and of the incumbent's that it was compared with."""
    incumbent = event.content.get("incumbent") or {}
    found = (event.content.get("evidence"), incumbent.get("evidence"))
    return [digest for digest in found if digest is not None]
