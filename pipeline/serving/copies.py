"""Private copies of models' files: what is hashed is what is loaded, and nobody else can write to it in between."""

import os
import shutil
import stat
import tempfile
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.governance.errors import IntegrityFailure, Refused, Unavailable
from pipeline.governance.ports import ModelReader, VersionRecord
from pipeline.governance.record.evidence import manifest_digest
from pipeline.serving.worker.load import MOST_BYTES, MOST_FILES, files_of


def label(record: VersionRecord) -> str:
    return f"version {record.row.version} of {record.row.model}"


def copy_files(reader: ModelReader, record: VersionRecord, folder: Path, *, digest: str) -> None:
    """Copies every file of a version into a new folder, which a folder of mode 0700 must keep from other users.

    Raises IntegrityFailure where the copy has another digest; Refused for too many files or bytes and for paths that
    leave the folder; NotFound and Unavailable as the registry does.
    """
    folder.mkdir()
    files = reader.files(record, fresh=True).files
    if len(files) > MOST_FILES or sum(file.size for file in files) > MOST_BYTES:
        raise Refused(f"{label(record)}: the model has too many files or bytes")
    for file in files:
        if "\0" in file.path or not (folder / file.path).resolve().is_relative_to(folder.resolve()):
            raise Refused(f"{label(record)}: a file's path leaves the model's folder")
        content = reader.read_file(record, file.path)
        try:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / file.path).write_bytes(content)
        except OSError as error:
            raise Unavailable(f"the model's files cannot be copied ({error.strerror})") from error
    if manifest_digest(files_of(folder)) != digest:
        raise IntegrityFailure(f"{label(record)}: the files are not those that were looked at")


def _is_whole(folder: Path, digest: str) -> bool:
    try:
        return manifest_digest(files_of(folder)) == digest
    except (OSError, Refused):  # taken away while it was read, or something else lies there
        return False


def _is_private(folder: Path) -> bool:
    """Whether a folder is ours and nobody else can write to it: one that was removed may be somebody else's by now."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not stat.S_IMODE(found.st_mode) & 0o077


@dataclass
class _Copy:
    folder: Path  # that holds the files
    users: int = 0  # blocks that use it now


class PrivateCopies:
    """One copy per digest, made when it is first used; the `most` last used ones are kept, all go with the process."""

    def __init__(self, reader: ModelReader, *, most: int) -> None:
        self._reader, self._most = reader, most
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._copies: OrderedDict[str, _Copy] = OrderedDict()
        self._root: Path | None = None
        self._removed: weakref.finalize[..., PrivateCopies] | None = None
        self._closed = False

    @contextmanager
    def using(self, record: VersionRecord, digest: str) -> Iterator[Path]:
        """The folder of a version's copy, which stays at least until the block ends.

        Raises as copy_files does, and Unavailable after `close`.
        """
        copy = self._take(digest) or self._made(record, digest)
        try:
            yield copy.folder
        finally:
            with self._lock:
                copy.users -= 1
                self._drop_oldest()

    def renewed(self, record: VersionRecord, digest: str) -> Path:
        """The folder of a copy in use, made once more where it is not whole: whoever cleans the
        temporary folder may have taken its files. Raises as copy_files does.
        """
        with self._making:
            with self._lock:
                copy = self._copies[digest]
            if not _is_whole(copy.folder, digest):
                shutil.rmtree(copy.folder, ignore_errors=True)
                copy.folder = self._make(record, digest)
            return copy.folder

    def close(self) -> None:
        """Removes every copy: a signal may end the process before it removes them by itself.

        None is made any more: a thread that outlives the server would leave one behind.
        """
        with self._making, self._lock:
            self._closed = True
            self._copies.clear()
            if self._removed:
                self._removed()
            self._root = None

    def _take(self, digest: str) -> _Copy | None:
        with self._lock:
            copy = self._copies.get(digest)
            if copy:
                self._copies.move_to_end(digest)
                copy.users += 1
            return copy

    def _made(self, record: VersionRecord, digest: str) -> _Copy:
        """Makes one copy at a time; whoever uses another one does not wait for a slow registry."""
        with self._making:
            copy = self._take(digest)
            if copy is None:
                copy = _Copy(self._make(record, digest), users=1)
                with self._lock:
                    self._copies[digest] = copy
            return copy

    def _make(self, record: VersionRecord, digest: str) -> Path:
        if self._closed:
            raise Unavailable("no model is loaded any more: this process is ending")
        if self._root is None or not _is_private(self._root):
            if self._removed:
                self._removed.detach()
            self._root = Path(tempfile.mkdtemp(prefix="signoff-"))
            self._removed = weakref.finalize(self, shutil.rmtree, self._root, ignore_errors=True)
        folder = self._root / digest
        try:
            copy_files(self._reader, record, folder, digest=digest)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def _drop_oldest(self) -> None:
        idle = [digest for digest, copy in self._copies.items() if not copy.users]
        for digest in idle[: max(0, len(self._copies) - self._most)]:
            shutil.rmtree(self._copies.pop(digest).folder, ignore_errors=True)
