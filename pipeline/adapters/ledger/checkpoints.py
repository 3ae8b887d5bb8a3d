"""The checkpoint file: one whole line per decision, on the disk before the decision is answered."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline.governance.errors import InvalidInput, NotFound
from pipeline.governance.record.checkpoint import ChainCheckpoint, Signing

TAIL = 65_536  # bytes; a line has about two hundred, or four hundred with a signature


@dataclass(frozen=True)
class CheckpointFile:
    """The checkpoints of this host."""

    file: Path
    signing: Signing

    def keep(self, checkpoint: ChainCheckpoint) -> None:
        """Appends a line unless the last one says the same; the caller keeps others from doing so at the same time.

        Raises Unavailable where it cannot be signed as it has to be, OSError where it cannot be written.
        """
        signed = self.signing.signed(checkpoint)
        last = ChainCheckpoint.from_line(_last_line(self.file))
        if last is None or _said(last) != _said(signed):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            append_line(self.file, signed.line)

    def lines(self, registry: str, elsewhere: Sequence[Path] = ()) -> dict[str, ChainCheckpoint]:
        """The whole lines about a registry of this file and of others, each once. Raises OSError; NotFound and
        InvalidInput for one of the others, also where it holds none.
        """
        found = _about(read_lines(self.file), registry)
        for file in elsewhere:
            if not (copied := _about(_lines_of(file), registry)):
                raise InvalidInput(f"checkpoint: {file} holds nothing of this registry")
            found |= copied
        return found

    def read(self, registry: str, elsewhere: Sequence[Path]) -> "ReadCheckpoints":
        """What this file and others hold of a registry. Raises NotFound and InvalidInput for one of the others."""
        problems: list[str] = []
        try:
            lines = read_lines(self.file)
        except OSError as error:
            lines = []
            problems.append(f"checkpoint file: cannot be read ({error.strerror})")
        for file in elsewhere:
            copied = _lines_of(file)
            if not _about(copied, registry):
                problems.append(f"checkpoint file {file}: holds nothing of this registry")
            lines += copied
        broken = [each for each in lines if ChainCheckpoint.from_line(each) is None]
        problems += [f"checkpoint file: a line cannot be read ({each[:80]})" for each in broken]
        found = _about(lines, registry).values()
        hashes: dict[int, set[str]] = {}
        for each in found:
            hashes.setdefault(each.sequence, set()).add(each.hash)
        return ReadCheckpoints(hashes, [*problems, *dict.fromkeys(self.signing.problems(found))])


@dataclass(frozen=True)
class ReadCheckpoints:
    """What checkpoint files hold of one registry."""

    hashes: dict[int, set[str]]  # by sequence; more than one where files disagree
    problems: list[str]  # of the files and of their signatures, one sentence each


def append_line(file: Path, line: str) -> None:
    """Appends a line and waits until it is on the disk; the caller keeps others from doing so at the same time.

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
        # A new file is found after a power cut only if its folder was written too.
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def read_lines(file: Path) -> list[str]:
    """The lines of a file, whatever is in them; none where there is no file. Raises OSError."""
    return file.read_text(encoding="utf-8", errors="replace").splitlines() if file.exists() else []


def _lines_of(file: Path) -> list[str]:
    """The lines of a checkpoint file from elsewhere. Raises NotFound and InvalidInput."""
    if not file.exists():
        raise NotFound(f"checkpoint: there is no file {file}")
    try:
        return read_lines(file)
    except OSError as error:
        raise InvalidInput(f"checkpoint: {file} cannot be read ({error.strerror})") from error


def _about(lines: Iterable[str], registry: str) -> dict[str, ChainCheckpoint]:
    """The lines about a registry with what they say, each once; damaged ones are left out."""
    read = ((line, ChainCheckpoint.from_line(line)) for line in lines)
    return {line: each for line, each in read if each is not None and each.registry == registry}


def _said(checkpoint: ChainCheckpoint) -> tuple[object, ...]:
    return checkpoint.registry, checkpoint.sequence, checkpoint.hash, checkpoint.key


def _last_line(file: Path) -> str:
    """Empty where there is none; part of one where a full disk left no more."""
    if not file.exists():
        return ""
    with file.open("rb") as opened:
        opened.seek(max(opened.seek(0, os.SEEK_END) - TAIL, 0))
        return opened.read().rstrip(b"\n").rpartition(b"\n")[2].decode(errors="replace")


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
    """Cuts the file at the end of its last whole line. A line that lacks only its line feed is whole."""
    size = os.fstat(descriptor).st_size
    tail = os.pread(descriptor, TAIL, max(size - TAIL, 0))
    rest = tail.rpartition(b"\n")[2]
    if not rest:
        return size
    if ChainCheckpoint.from_line(rest.decode(errors="replace")):
        _write_whole(descriptor, b"\n", at=size)
        return size + 1
    os.ftruncate(descriptor, size - len(rest))
    return size - len(rest)
