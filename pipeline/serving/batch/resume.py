"""What is left of an interrupted run, so that the same command goes on where it stopped.

A folder holds the rows and the refused rows as far as they were written, and a journal: one line per chunk, written
after its rows, with how long both files were then and their checksums. What lies behind the last whole line is cut.
"""

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from pipeline.governance.errors import Conflict, InvalidInput, Unavailable
from pipeline.serving.batch.chunks import Position

ABOUT, JOURNAL, DONE, LOCK = "about.json", "journal", "done.json", "lock"
READ_BYTES = 2**20
BUFFER_BYTES = 2**20
FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Counts:
    """What was seen so far. odd: scored although a value is outside the training data. first_problem: of a bad row.

    sum_error, unequal: of the explanations, the largest, and whether it was more than rounding.
    """

    rows: int = 0
    scored: int = 0
    bad: int = 0
    odd: int = 0
    first_problem: str = ""
    sum_error: float = 0.0
    unequal: bool = False


@dataclass
class AppendWriter:
    """A file that is written at its end, and the checksum of what it holds."""

    stream: IO[bytes]
    size: int = 0
    checksum: int = 0

    def write(self, data: bytes | memoryview) -> int:
        self.stream.write(data)
        self.size += len(data)
        self.checksum = zlib.adler32(data, self.checksum)
        return len(data)


@dataclass(frozen=True)
class Checkpoint:
    """Where a run was after a chunk."""

    position: Position
    tally: Counts
    sizes: tuple[int, int]
    checksums: tuple[int, int]

    def line(self) -> bytes:
        text = json.dumps({**asdict(self), "position": [self.position.at, self.position.row]})
        return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()

    @classmethod
    def read(cls, line: bytes) -> "Checkpoint | None":
        """None for a line that was not written to its end."""
        checksum, _, text = line.partition(b" ")
        if not line.endswith(b"\n") or checksum != f"{zlib.crc32(text[:-1]):08x}".encode():
            return None
        found = json.loads(text)
        sizes, checksums = tuple(found["sizes"]), tuple(found["checksums"])
        return cls(Position(*found["position"]), Counts(**found["tally"]), sizes, checksums)


@dataclass
class Staging:
    """The folder of one file on its way. about: everything that the result depends on."""

    folder: Path
    about: Mapping[str, Any]
    rows: AppendWriter = field(init=False)
    bad: AppendWriter = field(init=False)
    _journal: IO[bytes] = field(init=False)

    @property
    def rows_path(self) -> Path:
        return self.folder / "rows"

    @property
    def bad_path(self) -> Path:
        return self.folder / "bad"

    def finished(self) -> dict[str, Any] | None:
        """The result of a run that came to its end, None of others."""
        found = _read_json(self.folder / DONE)
        return found if found and self.left_over() == "" else None

    def left_over(self) -> str | None:
        """None where nothing is; else why it cannot be gone on with, empty where it can."""
        before = _read_json(self.folder / ABOUT)
        if before is None:
            return None
        now = json.loads(json.dumps(self.about))
        changed = [name for name in now if before.get(name) != now[name]]
        return f"another {', '.join(changed)} than before" if changed or before.keys() != now.keys() else ""

    def drop(self) -> None:
        """Without the folder of those of other files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[Checkpoint | None]:
        """From the last mark on, None from the beginning."""
        self.folder.mkdir(parents=True, exist_ok=True)
        mark = self._last_mark()
        if mark is None:
            self.drop()
            self.folder.mkdir(parents=True)
            _write_json(self.folder / ABOUT, self.about)
        sizes, checksums = (mark.sizes, mark.checksums) if mark else ((0, 0), (0, 0))
        with (
            _cut(self.rows_path, sizes[0]) as rows,
            _cut(self.bad_path, sizes[1]) as bad,
            (self.folder / JOURNAL).open("ab", buffering=0) as journal,
        ):
            self._journal = journal
            self.rows, self.bad = AppendWriter(rows, sizes[0], checksums[0]), AppendWriter(bad, sizes[1], checksums[1])
            yield mark

    def mark(self, position: Position, tally: Counts) -> None:
        """So far it goes on from here."""
        for growing in (self.rows, self.bad):
            growing.stream.flush()
        sizes, checksums = (self.rows.size, self.bad.size), (self.rows.checksum, self.bad.checksum)
        self._journal.write(Checkpoint(position, tally, sizes, checksums).line())

    def finish(self, result: Mapping[str, Any]) -> None:
        """Everything was written; what follows can be repeated."""
        for path in (self.rows_path, self.bad_path):
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        _write_json(self.folder / DONE, result)

    def _last_mark(self) -> Checkpoint | None:
        """The last one that the files still fulfil; a power cut may have kept the journal and lost the rows."""
        if self.left_over() != "":
            return None
        last, kept = _last_of(self.folder / JOURNAL)
        if last and all(map(_holds, (self.rows_path, self.bad_path), last.sizes, last.checksums)):
            os.truncate(self.folder / JOURNAL, kept)
            return last
        return None


def _last_of(journal: Path) -> tuple[Checkpoint | None, int]:
    """The last line before one that was not written to its end, and how many bytes there are up to there."""
    last, kept = None, 0
    if journal.exists():
        with journal.open("rb") as lines:
            for line in lines:
                if (mark := Checkpoint.read(line)) is None:
                    break
                last, kept = mark, kept + len(line)
    return last, kept


@contextmanager
def alone(root: Path, about: str) -> Iterator[None]:
    """Two runs that write the same files would mix their rows. Raises Conflict."""
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Conflict(f"{about}: is being written by another run of this command") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def disk_full(about: str) -> Iterator[None]:
    """Raises Unavailable."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise InvalidInput(f"{about}: {error.strerror or error}") from error
        raise Unavailable(f"{about}: the disk is full; make room, and the same command goes on") from error


def _holds(path: Path, size: int, checksum: int) -> bool:
    if not path.exists() or path.stat().st_size < size:
        return False
    found, left = 0, size
    with path.open("rb") as stream:
        while left and (data := stream.read(min(READ_BYTES, left))):
            found, left = zlib.adler32(data, found), left - len(data)
    return found == checksum


@contextmanager
def _cut(path: Path, size: int) -> Iterator[IO[bytes]]:
    with path.open("r+b" if path.exists() else "w+b", buffering=BUFFER_BYTES) as stream:
        stream.truncate(size)
        stream.seek(size)
        yield stream


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(content))
    new.replace(path)
