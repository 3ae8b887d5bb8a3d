"""A publisher in memory: what the port promises and nothing more."""

from dataclasses import dataclass, field

from pipeline.governance.errors import Unavailable
from pipeline.training.model_folder import FILES
from pipeline.training.register import NewVersion, Published
from pipeline.training.version_tags import TRAINING_KEY, VersionMetadata
from pipeline.validation.folder import digests


@dataclass
class StoredVersion:
    """One version: the digests of its files, empty when they were lost, and what was written beside it."""

    files: dict[str, str]
    metadata: VersionMetadata


@dataclass
class InMemoryPublisher:
    """Implements Publisher."""

    models: dict[str, list[StoredVersion]] = field(default_factory=dict)

    def find(self, model: str, training_key: str) -> int | None:
        versions = enumerate(self.models.get(model, ()), start=1)
        return max((number for number, each in versions if _is(each, training_key)), default=None)

    def publish(self, model: str, new: NewVersion) -> Published:
        found = self.find(model, new.metadata.tags[TRAINING_KEY])
        if found is not None:
            return Published(found, new=False)
        files = digests(new.folder)
        if missing := sorted({*FILES} - {*files}):
            raise Unavailable(f"the registry's files cannot be used: {missing[0]} is missing")
        versions = self.models.setdefault(model, [])
        versions.append(StoredVersion(files, new.metadata))
        return Published(len(versions), new=True)


def _is(version: StoredVersion, training_key: str) -> bool:
    return version.metadata.tags[TRAINING_KEY] == training_key and {*FILES} <= {*version.files}
