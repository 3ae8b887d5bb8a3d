"""The files of a version for the registry: found, hashed once while nothing changes, and described."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from pipeline.adapters.mlflow.artifacts import RemoteFolder, below, local_folder
from pipeline.adapters.mlflow.documents import NO_MLMODEL, described
from pipeline.adapters.mlflow.folder import Entry, entries, has_mlmodel, hashed, read_inside, refused
from pipeline.adapters.mlflow.records import LOGGED_MODEL, MOST_HOPS, OTHER_VERSION, RUN_FOLDER, Reader
from pipeline.governance.ports import ModelFiles, VersionRecord

# Documents are part of what is kept, so not many.
MOST_KEPT = 64

Fingerprint = tuple[Entry, ...]


class FileReader:
    """Finds the files by what the reader says, so that a database is never opened by MLflow, which may write to it."""

    def __init__(self, tracking_uri: str) -> None:
        self._tracking_uri = tracking_uri
        self._kept: OrderedDict[str, tuple[Fingerprint, ModelFiles]] = OrderedDict()
        self._lock = threading.Lock()

    def files(self, reader: Reader, record: VersionRecord, *, fresh: bool) -> ModelFiles:
        """Raises NotFound, with a sentence for the screen."""
        location = self._location(reader, record)
        folder = local_folder(location)
        if folder is not None:
            return self._local(folder, fresh=fresh)
        remote = RemoteFolder(location, tracking_uri=self._tracking_uri)
        found = remote.entries()
        if found is None:
            return NO_MLMODEL
        if not fresh and (kept := self._find(location, found)):
            return kept
        with remote.copy() as copy:
            return self._keep(location, found, _read(copy, entries(copy)))

    def read(self, reader: Reader, record: VersionRecord, path: str) -> bytes:
        """Raises NotFound."""
        location = self._location(reader, record)
        folder = local_folder(location)
        if folder is None:
            return RemoteFolder(location, tracking_uri=self._tracking_uri).read(path)
        if not has_mlmodel(folder):
            raise refused("their folder has no MLmodel file at its top")
        return read_inside(folder, path)

    def _local(self, folder: Path, *, fresh: bool) -> ModelFiles:
        if not has_mlmodel(folder):
            return NO_MLMODEL
        found = entries(folder)
        if not fresh and (kept := self._find(str(folder), found)):
            return kept
        return self._keep(str(folder), found, _read(folder, found))

    def _location(self, reader: Reader, record: VersionRecord) -> str:
        """Where the registry says now, never what the record was given."""
        location = reader.origin(record.row.model, record.row.version).location
        for _ in range(MOST_HOPS):
            if found := LOGGED_MODEL.fullmatch(location):
                return reader.model_location(found[1])
            if found := RUN_FOLDER.fullmatch(location):
                return below(reader.run_location(found[1]), found[2])
            if not (other := OTHER_VERSION.fullmatch(location)):
                return location
            location = reader.origin(other[1], int(other[2])).location
        raise refused("the version is a copy of a copy of a copy")

    def _find(self, location: str, found: Sequence[Entry]) -> ModelFiles | None:
        with self._lock:
            kept = self._kept.get(location)
            if kept is None or kept[0] != tuple(found):
                return None
            self._kept.move_to_end(location)
            return kept[1]

    def _keep(self, location: str, found: Sequence[Entry], files: ModelFiles) -> ModelFiles:
        with self._lock:
            self._kept[location] = (tuple(found), files)
            self._kept.move_to_end(location)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return files


def _read(folder: Path, found: Sequence[Entry]) -> ModelFiles:
    files = [hashed(folder, entry) for entry in found]
    return described(files, lambda path, limit: read_inside(folder, path, limit))
