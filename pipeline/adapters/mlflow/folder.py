"""A model's folder on disk, listed and hashed as data: no link is followed, nothing outside of it is opened."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipeline.governance.errors import NotFound
from pipeline.governance.ports import File

MLMODEL = "MLmodel"
# MLflow writes it into a registered version's folder whenever it loads one from a local store. Nobody here reads it.
WRITTEN_BY_LOADING = "registered_model_meta"
MOST_FILES = 10_000
MOST_BYTES = 4 * 1024**3
MOST_FILE_BYTES = 200 * 1024**2
CHUNK_BYTES = 1024**2


@dataclass(frozen=True, order=True)
class Entry:
    """One file as the file system describes it; two equal entries are taken to hold equal bytes.

    `changed` is the inode's time: unlike `modified`, no program can set it back.
    """

    path: str
    size: int
    modified: int = 0
    changed: int = 0
    inode: int = 0


def entries(root: Path) -> list[Entry]:
    """Every file under a model's folder that came with it, by path. Raises NotFound: gone, or unreadable."""
    found = []
    total = 0
    try:
        for entry in _walk(root):
            if entry.path == WRITTEN_BY_LOADING:
                continue
            found.append(entry)
            total += entry.size
            check_limits(len(found), total)
    except OSError as error:
        raise gone() from error
    return sorted(found)


def check_limits(files: int, size: int) -> None:
    """Raises NotFound for more than anybody's model has."""
    if files > MOST_FILES:
        raise refused(f"there are more than {MOST_FILES:,} of them")
    if size > MOST_BYTES:
        raise refused(f"they are larger than {MOST_BYTES // 1024**3} GiB")


def has_mlmodel(root: Path) -> bool:
    """Whether this is a model's folder at all: another must not be listed. Raises NotFound: none, empty, or a link."""
    if root.is_symlink():
        raise refused("their folder is a link")
    try:
        with os.scandir(root) as found:
            if next(found, None) is None:
                raise gone()
        return stat.S_ISREG((root / MLMODEL).lstat().st_mode)
    except FileNotFoundError as error:
        if not root.is_dir():
            raise gone() from error
        return False
    except (OSError, ValueError) as error:
        raise gone() from error


def hashed(root: Path, entry: Entry) -> File:
    """The digest of what is in the file now. Raises NotFound."""
    digest = hashlib.sha256()
    size = 0
    with open_inside(root, entry.path) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return File(entry.path, size, digest.hexdigest())


def read_inside(root: Path, path: str, limit: int = MOST_FILE_BYTES) -> bytes:
    """One file's bytes. Raises NotFound: the path leaves the folder or passes a link, the file is above the limit."""
    with open_inside(root, path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise NotFound(f"The file {path!r} is larger than {limit // 1024**2} MB.")
    return content


def open_inside(root: Path, path: str) -> BinaryIO:
    """The file, opened. Raises NotFound."""
    target = root / plain_path(path)
    try:
        if target.resolve(strict=True) != root.resolve() / plain_path(path):
            raise refused(f"{path!r} is a link")
        # Between the check above and here the last part may have become a link, or a pipe that would block.
        descriptor = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        file = os.fdopen(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            file.close()
            raise _no_file(path)
    except (OSError, ValueError, RuntimeError) as error:
        raise _no_file(path) from error
    return file


def plain_path(path: str) -> PurePosixPath:
    """Raises NotFound for what is not a plain relative path."""
    parts = PurePosixPath(path)
    if not path or parts.is_absolute() or ".." in parts.parts or "\\" in path or "\0" in path or str(parts) == ".":
        raise _no_file(path)
    return parts


def gone() -> NotFound:
    return NotFound("The model's files are gone.")


def refused(why: str) -> NotFound:
    return NotFound(f"The model's files are not read: {why}.")


def _no_file(path: str) -> NotFound:
    return NotFound(f"The model has no file {path!r}.")


def _walk(root: Path) -> Iterator[Entry]:
    waiting = [root]
    while waiting:
        with os.scandir(waiting.pop()) as found:
            for each in found:
                path = Path(each.path)
                if each.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield _entry(path.relative_to(root).as_posix(), each.stat(follow_symlinks=False))


def _entry(path: str, found: os.stat_result) -> Entry:
    if not stat.S_ISREG(found.st_mode):
        # A digest of the link says nothing about where it leads, and a loader would follow it.
        raise refused(f"{path!r} is a link or a device")
    if not path.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in path):
        raise refused("the name of one is not text")
    return Entry(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
