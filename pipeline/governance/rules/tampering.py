"""Files that are not those recorded: looked for among the versions in use, and recorded once as an alarm."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import CHAMPION, IN_USE, ModelState, Slot
from pipeline.governance.ports import Clock, Ledger, Registry
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.ledger import Event, EventType, StoredEvent, Topic
from pipeline.governance.record.standing import RecordedFiles, recorded_files, recorded_of
from pipeline.governance.rules.review import Reviewer


class Changed(NamedTuple):
    """A version whose files are not those recorded."""

    version: int
    recorded: str  # the digest in the ledger
    now: str | None  # the digest of the files; None where they are gone
    champion: bool  # whether the version serves

    @property
    def sentence(self) -> str:
        name = "champion" if self.champion else "version"
        seen = "are gone" if self.now is None else f"have the fingerprint {self.now[:12]}"
        return f"the files of {name} {self.version} {seen}, the record says {self.recorded[:12]}"


@dataclass(frozen=True)
class Watch:
    """Looks at bytes; what is archived is looked at when somebody wants it back."""

    registry: Registry
    ledger: Ledger
    clock: Clock
    reviewer: Reviewer

    def changed(self, model: str, state: ModelState) -> Iterator[Changed]:
        """Of the versions in Staging, in Production or under an alias; their digests are taken again."""
        used = {version for stage in IN_USE for version in state.in_stage(stage)} | set(state.aliases.values())
        files, champion = self._recorded(model, used)
        for version in sorted(used & files.keys()):
            try:
                evidence = self.reviewer.evidence(self.registry.version(model, version), fresh=True)
            except NotFound:
                yield Changed(version, files[version].digest, None, champion == version)
                continue
            if found := _changed(evidence, files, champion):
                yield found

    def replaced(self, model: str, versions: set[int]) -> Iterator[Changed]:
        """Of some versions that are there, those with other bytes, also where their number was given out again."""
        files, champion = self._recorded(model, versions)
        for version in sorted(versions & files.keys()):
            with suppress(NotFound):
                evidence = self.reviewer.evidence(self.registry.version(model, version), fresh=True)
                if files[version].difference(evidence):
                    yield Changed(version, files[version].digest, evidence.file_digest, champion == version)

    def look(self, evidence: Evidence) -> StoredEvent | None:
        """Record an alarm where this version's files, as they were read, are not those recorded."""
        files, champion = self._recorded(evidence.model, {evidence.version})
        found = _changed(evidence, files, champion)
        return self.record(evidence.model, found) if found else None

    def record(self, model: str, found: Changed) -> StoredEvent | None:
        """One `tampering` event; None where the last one of the version says the same."""
        subject = {"model": model, "version": found.version, "file_digest": found.now}
        known = self.ledger.current(model, Topic.ALARM, found.version)
        if known and known[-1].event.content["subject"] == subject:
            return None
        content = {"subject": subject, "recorded_digest": found.recorded}
        with self.ledger.transaction() as transaction:
            return transaction.append(Event(EventType.TAMPERING, model, self.clock.now(), content=content))

    def _recorded(self, model: str, versions: Iterable[int]) -> tuple[dict[int, RecordedFiles], int | None]:
        """The files of some versions, and the champion."""
        slot = self.ledger.slots(model).get(Slot.of_alias(model, CHAMPION))
        champion = None if slot is None or slot.recorded is None else int(slot.recorded)
        counting = (each for version in versions for each in self.ledger.current(model, Topic.FILES, version))
        return recorded_files(stored.event for stored in counting), champion


def _changed(evidence: Evidence, files: dict[int, RecordedFiles], champion: int | None) -> Changed | None:
    recorded = recorded_of(evidence, files, champion=champion)
    if recorded is None or not recorded.difference(evidence):
        return None
    version = evidence.version
    return Changed(version, recorded.digest, evidence.file_digest, champion == version)
