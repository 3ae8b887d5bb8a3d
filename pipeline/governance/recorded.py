"""What the ledger last settled about the bytes of each version, and whether a version still has them."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.governance.evidence import Evidence
from pipeline.governance.ledger import Event, EventType
from pipeline.governance.lifecycle import CHAMPION, Slot, Stage

SETTLED = (EventType.BASELINE, EventType.APPLIED, EventType.ADOPTED)


class RecordedFiles(NamedTuple):
    """What the ledger last settled about a version's files; approved: as champion or for Production."""

    digest: str
    created_at: str | None
    approved: bool

    def counts_after(self, before: "RecordedFiles | None") -> bool:
        """Whether it takes the place of an earlier one. An approval holds until the next one: whoever moves another
        alias onto changed bytes has not approved them.
        """
        return self.approved or before is None or not before.approved or before.created_at != self.created_at

    def is_of(self, evidence: Evidence) -> bool:
        """Whether it is about this very version: a number is given out again after a deletion."""
        return bool(self.created_at == evidence.content["created_at"])

    def difference(self, evidence: Evidence) -> str:
        """What is wrong with the files, after "its files"; empty where they are those recorded."""
        now = evidence.file_digest
        if now == self.digest:
            return ""
        return f"{'are gone' if now is None else f'have the digest {now[:12]}'}, the ledger says {self.digest[:12]}"


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
