"""The files below a folder, listed and hashed; no link is followed. Every model's folder is read by this module."""

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from pipeline.governance.ports import File


@dataclass(frozen=True, order=True)
class FileStat:
    """One file as the file system describes it; two equal entries are taken to hold equal bytes."""

    # POSIX path inside the folder.
    path: str
    # In bytes.
    size: int
    # When the content was last changed, in nanoseconds.
    modified: int = 0
    # When the inode was last changed, in nanoseconds: unlike `modified`, no program can set it back.
    changed: int = 0
    inode: int = 0


class NotAFile(Exception):
    """Something in a folder is neither a file nor a folder: its digest would say nothing about what a loader reads."""

    def __init__(self, path: str, *, link: bool) -> None:
        super().__init__(path)
        # POSIX path inside the folder.
        self.path = path
        # Whether it is a link, which may lead outside of the folder.
        self.link = link


def walk(root: Path) -> Iterator[FileStat]:
    """Every file below the folder, in no order. Raises NotAFile, and OSError where something cannot be read."""
    folders = [root]
    while folders:
        with os.scandir(folders.pop()) as found:
            for each in found:
                path = Path(each.path)
                if each.is_dir(follow_symlinks=False):
                    folders.append(path)
                else:
                    yield _file_stat(path.relative_to(root).as_posix(), each.stat(follow_symlinks=False))


def _file_stat(path: str, found: os.stat_result) -> FileStat:
    if not stat.S_ISREG(found.st_mode):
        raise NotAFile(path, link=stat.S_ISLNK(found.st_mode))
    return FileStat(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


def hashed(path: str, stream: BufferedReader) -> File:
    """The file at `path` with size and sha256, of what the stream holds from its beginning to its end."""
    digest = hashlib.file_digest(stream, "sha256")
    return File(path, stream.tell(), digest.hexdigest())


def hash_below(root: Path, path: str) -> File:
    """A file that `walk` found, with size and sha256. Raises OSError."""
    with (root / path).open("rb") as stream:
        return hashed(path, stream)


def digests(root: Path) -> dict[str, str]:
    """sha256 of every file below the folder by its path inside. Raises NotAFile and OSError."""
    return {entry.path: hash_below(root, entry.path).sha256 for entry in sorted(walk(root))}
