"""What serves, watched: the part of the service that looks at production, keeps findings, and closes them."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from pipeline.governance.actor import Actor, actor_json
from pipeline.governance.errors import Conflict, InvalidInput, NotFound, Refused, RequestClosed
from pipeline.governance.lifecycle import Move, MoveKind
from pipeline.governance.ports import VersionRecord
from pipeline.governance.reason import check_reason
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.findings import Finding, Severity, Window, find_finding, find_findings, finding_of
from pipeline.governance.record.ledger import Event, EventType, StoredEvent
from pipeline.governance.roles import Action
from pipeline.governance.rules.decide import Decider
from pipeline.governance.rules.watching import (
    AccuracyFigure,
    Sighting,
    Watching,
    WatchReport,
    not_told_yet,
    sightings,
    window_until,
)
from pipeline.governance.service.requests import RequestDesk

ACCURACY = "accuracy"


class FindingDesk(RequestDesk):
    """The part of the service that watches what serves."""

    _decider: Decider
    _watching: Watching

    def monitor(
        self,
        model: str,
        version: int | None = None,
        *,
        since: datetime | None = None,
        length: timedelta | None = None,
    ) -> WatchReport:
        """What a version met in production beside what it was evaluated on. Reads only.

        version: None for the champion. since: from the beginning of that hour. length: else of the time that ends with
        this hour; None for as many hours as `monitoring.window_hours` says. Raises NotFound, InvalidInput for a time to
        come, Unavailable.
        """
        record, window = self._served(model, version), self._window(since, length)
        evidence = self._reconciler.reviewer.evidence(record)
        return self._watching.watcher.report(record, window, self._approved(evidence))

    def record_findings(
        self, model: str, version: int | None = None, *, since: datetime | None = None
    ) -> tuple[WatchReport, list[Finding]]:
        """As `monitor`; what somebody must look at is recorded, and given back as far as it is new."""
        report = self.monitor(model, version, since=since)
        if not sightings(report, self._watching.rules):
            return report, []
        self._reconciler.take_over(model)
        evidence = self._reconciler.reviewer.evidence(self._registry.version(model, report.version))
        found = sightings(report, self._watching.rules, evidence.feature_schema.labels)
        created_at, owner = evidence.content["created_at"], self._owner(model, report.version)
        now = self._decider.clock.now()
        with self._ledger.transaction() as transaction:
            known = [each for each in find_findings(self._ledger, model) if each.is_about(report.version, created_at)]
            new = [each for each in found if not_told_yet(each, report.window, known)]
            contents = [{**_event_content(each, report, evidence), "owner": owner} for each in new]
            events = [Event(EventType.FINDING_OPENED, model, now, content=content) for content in contents]
            return report, [finding_of(transaction.append(event)) for event in events]

    def findings(self, model: str | None = None, *, closed: bool = False) -> list[Finding]:
        """Those that are open, of a model or of all, the newest first. closed: also those that are not.

        Raises NotFound for a model that nobody knows, Unavailable.
        """
        if model is not None and model not in self._ledger.models():
            self._registry.model(model)
        found = [each for each in find_findings(self._ledger, model) if closed or each.is_open]
        names = self._ledger.names.all() if found else {}
        return [replace(each, names=names) for each in found]

    def review_again(self, model: str) -> frozenset[tuple[int, str]]:
        """The versions with a high finding that is open, each with the time when it was registered."""
        found = (each for each in find_findings(self._ledger, model) if each.is_open)
        high = (each for each in found if each.severity is Severity.HIGH)
        return frozenset((each.version, str(each.subject.get("created_at"))) for each in high)

    def close_finding(self, number: int, *, reason: str, actor: Actor) -> StoredEvent:
        """Say that one has looked at a finding, and what came of it.

        Raises InvalidInput for no reason, NotFound; Refused and Conflict, which the ledger then holds as `denied`.
        """
        text = check_reason(reason)
        found = find_finding(self._ledger, number)
        about = {"subject": found.subject, "meaning": "close_finding", "closes": number}
        try:
            roles = self._policies.now().demand(actor, Action.CLOSE)
            signed = {**about, "actor": actor_json(actor, roles), "reason": text}
            event = Event(EventType.FINDING_CLOSED, found.model, self._decider.clock.now(), content=signed)
            with self._ledger.transaction() as transaction:
                if not find_finding(self._ledger, number).is_open:
                    raise RequestClosed(f"finding: {number} was closed already")
                return transaction.append(event)
        except (Refused, Conflict) as error:
            move = Move(found.model, MoveKind.NONE, found.version)
            self._decider.deny(move, actor, text, error=error, about=about)

    def _served(self, model: str, version: int | None) -> VersionRecord:
        served = version or self._registry.state(model).champion
        if served is None:
            raise NotFound(f"monitor: {model!r} has no champion; name a version")
        return self._registry.version(model, served)

    def _window(self, since: datetime | None, length: timedelta | None) -> Window:
        found = window_until(self._decider.clock.now(), length or self._watching.rules.window)
        if since is None:
            return found
        if since >= found.until:
            raise InvalidInput(f"since: {since:%Y-%m-%d %H:%M} UTC is in the future; it is the first moment to look at")
        return Window(since.replace(minute=0, second=0, microsecond=0), found.until)

    def _approved(self, evidence: Evidence) -> AccuracyFigure | None:
        names = (ACCURACY, *self._policies.started.metrics.accepted(ACCURACY))
        found = next((metric for name in names if (metric := evidence.metric(name)) is not None), None)
        return None if found is None else AccuracyFigure(found.value, found.low, found.high, found.n)

    def _owner(self, model: str, version: int) -> dict[str, Any] | None:
        """Who made the version champion, as that event holds it; None where nobody did at this desk."""
        newest = next(iter(self._ledger.champions(model, newest=1)), None)
        made = None if newest is None else newest.event.content
        subject = (made or {}).get("subject") or {}
        return made.get("actor") if made is not None and subject.get("version") == version else None


def _event_content(sighting: Sighting, report: WatchReport, evidence: Evidence) -> dict[str, Any]:
    return {"subject": evidence.subject(), "text": sighting.what, "finding": sighting.content(report)}
