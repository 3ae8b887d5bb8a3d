"""The files of a version for the registry: found, hashed once while nothing changes, and described."""

import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from cachetools import LRUCache

from pipeline.adapters.mlflow.errors import mlflow_errors
from pipeline.adapters.mlflow.folder import (
    MLMODEL,
    MOST_FILE_BYTES,
    NO_MLMODEL,
    check_limits,
    described,
    entries,
    gone,
    has_mlmodel,
    hash_file,
    plain_path,
    read_inside,
    refused,
)
from pipeline.adapters.mlflow.records import LOGGED_MODEL, MOST_HOPS, OTHER_VERSION, RUN_FOLDER, Reader
from pipeline.governance.errors import NotFound
from pipeline.governance.ports import ModelFiles, VersionRecord
from pipeline.validation.folder import FileStat

if TYPE_CHECKING:
    from mlflow.entities import FileInfo
    from mlflow.store.artifact.artifact_repo import ArtifactRepository


# Where a version's files are, and access to them: in place on this machine, else as a private copy for a moment.

# Anybody who may register names a source: no address that would let them send requests from here.
REMOTE = ("mlflow-artifacts", "s3", "gs", "r2", "abfs", "abfss", "wasb", "wasbs", "dbfs", "hdfs", "viewfs")
AZURE = dict.fromkeys(("abfs", "abfss", "wasb", "wasbs"), "azure-storage-blob and azure-identity")
PACKAGES = {"s3": "boto3", "r2": "boto3", "gs": "google-cloud-storage", **AZURE}
# The drivers' own errors, where a driver is installed and was imported.
DRIVERS = (
    ("botocore.exceptions", ("BotoCoreError", "ClientError")),
    ("google.api_core.exceptions", ("GoogleAPIError",)),
    ("google.auth.exceptions", ("GoogleAuthError",)),
    ("azure.core.exceptions", ("AzureError",)),
)


def local_folder(location: str) -> Path | None:
    """The folder of a path or file: address, None for a remote store. Raises NotFound for any other place."""
    if location.startswith("/"):
        return Path(location)
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return Path(unquote(parts.path))
    if parts.scheme in REMOTE:
        return None
    raise refused(f"the version names a place that is not a model store ({parts.scheme or 'no scheme'})")


def below(root: str, path: str | None) -> str:
    """The address of a folder in another. Raises NotFound for a path that leaves it."""
    if not path:
        return root
    inner = str(plain_path(path))
    if root.startswith("/"):
        return f"{root.rstrip('/')}/{inner}"
    parts = urlsplit(root)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{inner}").geturl()


class RemoteFolder:
    """A version's folder in a store that only MLflow's client reaches."""

    def __init__(self, location: str, *, tracking_uri: str) -> None:
        parts = urlsplit(location)
        server = urlsplit(tracking_uri).netloc
        if parts.scheme == "mlflow-artifacts" and not tracking_uri.startswith(("http://", "https://")):
            raise refused(
                "they lie behind a tracking server; give its address as MLFLOW_TRACKING_URI, not its database's"
            )
        if parts.scheme == "mlflow-artifacts" and parts.netloc not in ("", server):
            raise refused("the version names another server")
        self._location = location
        self._tracking_uri = tracking_uri

    def entries(self) -> list[FileStat] | None:
        """Every file, by path; None where there is no MLmodel at the top: then nothing else is listed."""
        with self._repository() as repository:
            return _listed(repository)

    def read(self, path: str) -> bytes:
        """The bytes of one file below the folder. Raises NotFound."""
        wanted = plain_path(path)
        with self._repository() as repository, _private_folder() as folder:
            if not _has_mlmodel(repository.list_artifacts(None)):
                raise refused("their folder has no MLmodel file at its top")
            listed = repository.list_artifacts(None if len(wanted.parts) == 1 else str(wanted.parent))
            found = [each for each in listed if each.path == str(wanted) and not each.is_dir]
            if not found or (found[0].file_size or 0) > MOST_FILE_BYTES:
                raise NotFound(f"The model has no file {path!r} that can be read.")
            repository.download_artifacts(str(wanted), str(folder))
            return read_inside(folder, path)

    @contextmanager
    def copy(self) -> Iterator[Path]:
        """All files in a folder that nobody else can open, removed afterwards. Raises NotFound."""
        with _private_folder() as folder:
            with self._repository() as repository:
                repository.download_artifacts("", str(folder))
            yield folder

    @contextmanager
    def _repository(self) -> Iterator["ArtifactRepository"]:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        uri = self._tracking_uri
        try:
            with mlflow_errors("such files", on_invalid=NotFound):
                yield get_artifact_repository(self._location, tracking_uri=uri, registry_uri=uri)
        except ImportError as error:
            scheme = urlsplit(self._location).scheme
            install = f"; install {PACKAGES[scheme]}" if scheme in PACKAGES else ""
            raise refused(f"this installation has no driver for {scheme}: stores{install}") from error
        except _driver_errors() as error:
            raise refused("their store does not answer") from error


def _listed(repository: "ArtifactRepository") -> list[FileStat] | None:
    top = repository.list_artifacts(None)
    if not top:
        raise gone()
    if not _has_mlmodel(top):
        return None
    found, waiting, total = [], list(top), 0
    while waiting:
        each = waiting.pop()
        if each.is_dir:
            waiting.extend(repository.list_artifacts(each.path))
        else:
            found.append(FileStat(each.path, each.file_size or 0))
            total += each.file_size or 0
        check_limits(len(found) + len(waiting), total)
    return sorted(found)


def _has_mlmodel(top: Iterable["FileInfo"]) -> bool:
    return any(each.path == MLMODEL and not each.is_dir for each in top)


@contextmanager
def _private_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="signoff-", ignore_cleanup_errors=True) as name:
        yield Path(name).resolve()


def _driver_errors() -> tuple[type[BaseException], ...]:
    modules = [(sys.modules[module], names) for module, names in DRIVERS if module in sys.modules]
    return tuple(getattr(module, name) for module, names in modules for name in names)


# Versions in the cache; few, because it holds their documents too.
MOST_CACHED = 64

Fingerprint = tuple[FileStat, ...]


class FileReader:
    """Finds the files by what the reader says, so that a database is never opened by MLflow, which may write to it."""

    def __init__(self, tracking_uri: str) -> None:
        self._tracking_uri = tracking_uri
        self._cache: LRUCache[str, tuple[Fingerprint, ModelFiles]] = LRUCache(MOST_CACHED)
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
        if not fresh and (known := self._find(location, found)):
            return known
        with remote.copy() as copy:
            return self._keep(location, found, _read(copy, entries(copy)))

    def read(self, reader: Reader, record: VersionRecord, path: str) -> bytes:
        """The bytes of one file of a version. Raises NotFound."""
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
        if not fresh and (known := self._find(str(folder), found)):
            return known
        return self._keep(str(folder), found, _read(folder, found))

    def _location(self, reader: Reader, record: VersionRecord) -> str:
        """Where the registry says now that the files lie: an older record may name another place."""
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

    def _find(self, location: str, found: Sequence[FileStat]) -> ModelFiles | None:
        with self._lock:
            known = self._cache.get(location)
            return known[1] if known is not None and known[0] == tuple(found) else None

    def _keep(self, location: str, found: Sequence[FileStat], files: ModelFiles) -> ModelFiles:
        with self._lock:
            self._cache[location] = (tuple(found), files)
        return files


def _read(folder: Path, found: Sequence[FileStat]) -> ModelFiles:
    files = [hash_file(folder, entry) for entry in found]
    return described(files, lambda path, limit: read_inside(folder, path, limit))
