"""Findings: something about a version that somebody must look at, from its event to the sentence that closes it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pipeline.governance.actor import signature
from pipeline.governance.errors import NotFound
from pipeline.governance.ports import Ledger
from pipeline.governance.record.ledger import EventType, StoredEvent, iso

BOTH = (EventType.FINDING_OPENED, EventType.FINDING_CLOSED)


class Severity(StrEnum):
    """How urgently somebody must look."""

    MEDIUM = "medium"
    HIGH = "high"  # the version gets no further role until it is closed

    @property
    def rank(self) -> int:
        """The higher, the more urgent."""
        return list(Severity).index(self)


class FindingKind(StrEnum):
    """What differs from what was approved."""

    COLUMN = "column"  # what a column holds
    PREDICTIONS = "predictions"  # which classes are predicted
    CONFIDENCE = "confidence"  # how sure the version is
    ACCURACY = "accuracy"  # how often it is right, measured or estimated


@dataclass(frozen=True)
class Window:
    """The time of the rows that are looked at."""

    since: datetime
    until: datetime  # the first moment that is not in it any more

    def overlaps(self, other: "Window") -> bool:
        return self.since < other.until and other.since < self.until

    def as_json(self) -> dict[str, str]:
        return {"since": iso(self.since), "until": iso(self.until)}


@dataclass(frozen=True)
class Finding:
    """One finding as the ledger has it."""

    sequence: int  # of its event, by which it is called
    model: str
    opened_at: datetime
    subject: Mapping[str, Any]  # the version, as every event names it
    content: Mapping[str, Any]  # what was found
    end: StoredEvent | None = None  # that closed it
    names: Mapping[str, str] = field(default_factory=dict)  # what people are called, by the reference that events hold

    @property
    def version(self) -> int:
        version: int = self.subject["version"]
        return version

    @property
    def severity(self) -> Severity:
        """One that only a later version of Signoff knows is a high one."""
        found = self.content["severity"]
        return Severity(found) if found in tuple(Severity) else Severity.HIGH

    @property
    def kind(self) -> str:
        return str(self.content["kind"])

    @property
    def column(self) -> str | None:
        """None where it is not about a column."""
        column: str | None = self.content.get("column")
        return column

    @property
    def window(self) -> Window:
        return Window(*(datetime.fromisoformat(self.content[end]) for end in ("since", "until")))

    @property
    def what(self) -> str:
        """What was found, as one sentence."""
        return str(self.content["what"])

    @property
    def owner(self) -> str | None:
        """Who made the version champion, with how that was known; None where nobody did at this desk."""
        actor = self.content.get("owner")
        return self._who(actor) if isinstance(actor, dict) else None

    @property
    def is_open(self) -> bool:
        return self.end is None

    @property
    def closed_by(self) -> str | None:
        actor = {} if self.end is None else self.end.event.content.get("actor") or {}
        return self._who(actor) if "subject" in actor else None

    def _who(self, actor: Mapping[str, Any]) -> str:
        name = self.names.get(str(actor.get("person")), str(actor.get("subject")))
        return signature(name, actor.get("established"))

    @property
    def closed_because(self) -> str | None:
        return None if self.end is None else str(self.end.event.content.get("reason"))

    def is_about(self, version: int, created_at: str) -> bool:
        """About this very version: a number is given out again after a deletion."""
        return self.version == version and self.subject.get("created_at") == created_at

    def as_json(self) -> dict[str, Any]:
        closed = self.end and {
            "at": iso(self.end.event.at),
            "by": (self.end.event.content.get("actor") or {}).get("subject"),
            "reason": self.closed_because,
        }
        return {
            "id": self.sequence,
            "model": self.model,
            "version": self.version,
            "severity": self.severity.value,
            "kind": self.kind,
            "column": self.column,
            "opened_at": iso(self.opened_at),
            "window": self.window.as_json(),
            "n": self.content.get("n"),
            "effect": self.content.get("effect"),
            "what": self.what,
            "owner": (self.content.get("owner") or {}).get("subject"),
            "closed": closed,
        }


def find_findings(ledger: Ledger, model: str | None = None) -> list[Finding]:
    """Those about the versions of a model, or of all models, the newest first. Raises Unavailable."""
    if model is None:  # by model, since the ledger finds the events of a type by it
        found = (each for name in ledger.models() for each in find_findings(ledger, name))
        return sorted(found, key=lambda each: each.sequence, reverse=True)
    events = [each for each in ledger.page(model, only=BOTH) if isinstance(each, StoredEvent)]
    ends = {each.event.content.get("closes"): each for each in events if each.event.type is EventType.FINDING_CLOSED}
    opened = (each for each in events if each.event.type is EventType.FINDING_OPENED)
    return [finding_of(each, ends.get(each.sequence)) for each in opened]


def by_matter(found: Iterable[Finding]) -> list[list[Finding]]:
    """Findings about the same thing of the same version together, in the order of their first ones.

    What has been told as medium is told once more when it has become high.
    """
    groups: dict[tuple[object, ...], list[Finding]] = {}
    for each in found:
        about = (each.model, each.version, each.subject.get("created_at"), each.kind, each.column)
        groups.setdefault(about, []).append(each)
    return list(groups.values())


def find_finding(ledger: Ledger, number: int) -> Finding:
    """One finding by its number. Raises NotFound, Unavailable."""
    stored = next(ledger.page(before=number + 1), None)
    opened = isinstance(stored, StoredEvent) and stored.event.type is EventType.FINDING_OPENED
    if not isinstance(stored, StoredEvent) or not opened or stored.sequence != number:
        raise NotFound(f"finding: the ledger holds none with the number {number}")
    return next(each for each in find_findings(ledger, stored.event.model) if each.sequence == number)


def urgent_findings(ledger: Ledger, model: str) -> list[Finding]:
    """The high ones about versions of a model that nobody has closed, the newest first. Raises Unavailable."""
    return [each for each in find_findings(ledger, model) if each.is_open and each.severity is Severity.HIGH]


def finding_of(stored: StoredEvent, end: StoredEvent | None = None) -> Finding:
    """From the event that opened it. end: the one that closed it."""
    content = stored.event.content
    found = {**content["finding"], "owner": content.get("owner")}
    return Finding(stored.sequence, stored.event.model, stored.event.at, content["subject"], found, end)
