"""The checkpoint file: one whole line per decision, kept on the disk before the decision is answered."""

import os
from contextlib import suppress
from pathlib import Path

from pipeline.adapters.ledger.check import read_checkpoint

TAIL = 65_536  # bytes; a line has about two hundred


def append_line(file: Path, line: str) -> None:
    """Append a line and wait until it is on the disk; the caller sees to it that nobody else does at the same time.

    What a full disk left of a line before is cut off first. Raises OSError, and leaves no part of this line.
    """
    new = not file.exists()
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        end = _cut_back(descriptor)
        _write_whole(descriptor, f"{line}\n".encode(), at=end)
    finally:
        os.close(descriptor)
    if new:
        _keep_name(file.parent)


def read_lines(file: Path) -> list[str]:
    """Its lines, whatever is in them; none where there is no file. Raises OSError."""
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []


def _write_whole(descriptor: int, data: bytes, *, at: int) -> None:
    try:
        written = os.pwrite(descriptor, data, at)
        if written < len(data):
            os.pwrite(descriptor, data[written:], at + written)  # says why there is no more room
        os.fsync(descriptor)
    except OSError:
        with suppress(OSError):
            os.ftruncate(descriptor, at)
        raise


def _cut_back(descriptor: int) -> int:
    """The end of the last whole line. One that only lacks its line feed is whole."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, TAIL, max(size - TAIL, 0))
    rest = tail.rpartition(b"\n")[2]
    if not rest:
        return size
    if read_checkpoint(rest.decode(errors="replace")):
        _write_whole(descriptor, b"\n", at=size)
        return size + 1
    os.ftruncate(descriptor, size - len(rest))
    return size - len(rest)


def _keep_name(folder: Path) -> None:
    """A new file is found after a power cut only if its folder was written too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
