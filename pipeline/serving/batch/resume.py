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
from enum import Enum
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from pipeline.governance.errors import Conflict, InvalidInput, Unavailable
from pipeline.serving.batch.chunks import Position

ABOUT, JOURNAL, DONE, LOCK = "about.json", "journal", "done.json", "lock"
READ_BYTES = 2**20
BUFFER_BYTES = 2**20
FULL = {errno.ENOSPC, errno.EDQUOT}


class LeftOver(Enum):
    """What an earlier run of the same file has left in the folder."""

    NOTHING = "nothing"
    RESUMABLE = "resumable"  # the command goes on where that run stopped
    STALE = "stale"  # something that the result depends on is another by now: it starts over


@dataclass(frozen=True)
class Counts:
    """Counts over the rows that were read so far."""

    rows: int = 0
    scored: int = 0  # rows predicted
    bad: int = 0  # rows that could not be used, or that the model gives no finite answer for
    out_of_range: int = 0  # rows that were scored although a value is outside the training data
    first_problem: str = ""  # the sentence about the first bad row
    sum_error: float = 0.0  # the most by which an explanation misses the model's output
    unequal: bool = False  # whether that is more than rounding


@dataclass
class AppendWriter:
    """A file that is written at its end."""

    stream: IO[bytes]
    size: int = 0  # bytes that it holds
    checksum: int = 0  # Adler-32 of these bytes

    def write(self, data: bytes | memoryview) -> int:
        self.stream.write(data)
        self.size += len(data)
        self.checksum = zlib.adler32(data, self.checksum)
        return len(data)


@dataclass(frozen=True)
class Checkpoint:
    """Where a run was after a chunk: one line of the journal."""

    position: Position  # in the input, behind the chunk
    counts: Counts  # over the rows up to here
    sizes: tuple[int, int]  # of the file of rows and of that of refused rows, in bytes
    checksums: tuple[int, int]  # of the same files

    def line(self) -> bytes:
        text = json.dumps({**asdict(self), "position": [self.position.at, self.position.row]})
        return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()

    @classmethod
    def read(cls, line: bytes) -> "Checkpoint | None":
        """The checkpoint of a journal line; None for a line that was not written to its end."""
        checksum, _, text = line.partition(b" ")
        if not line.endswith(b"\n") or checksum != f"{zlib.crc32(text[:-1]):08x}".encode():
            return None
        found = json.loads(text)
        sizes, checksums = tuple(found["sizes"]), tuple(found["checksums"])
        return cls(Position(*found["position"]), Counts(**found["counts"]), sizes, checksums)


@dataclass
class Staging:
    """The folder in which the result of one file is written until it is whole."""

    folder: Path
    about: Mapping[str, Any]  # everything that the result depends on
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
        """The result of a run that came to its end; None of any other."""
        found = _read_json(self.folder / DONE)
        return found if found and self.left_over() is LeftOver.RESUMABLE else None

    def left_over(self) -> LeftOver:
        """Whether an earlier run has left something here, and whether it can be resumed."""
        before = _read_json(self.folder / ABOUT)
        if before is None:
            return LeftOver.NOTHING
        return LeftOver.RESUMABLE if before == self._about_as_json() else LeftOver.STALE

    def changed(self) -> list[str]:
        """What differs from the run that left something here, by its names in `about`."""
        before = _read_json(self.folder / ABOUT) or {}
        return [name for name, value in self._about_as_json().items() if before.get(name) != value]

    def _about_as_json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(json.dumps(self.about))
        return found

    def drop(self) -> None:
        """Removes the folder; the folders of other files stay."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @contextmanager
    def writing(self) -> Iterator[Checkpoint | None]:
        """Opens both files at the last checkpoint, None where there is none yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = self._last_checkpoint()
        if checkpoint is None:
            self.drop()
            self.folder.mkdir(parents=True)
            _write_json(self.folder / ABOUT, self.about)
        sizes, checksums = (checkpoint.sizes, checkpoint.checksums) if checkpoint else ((0, 0), (0, 0))
        with (
            _cut(self.rows_path, sizes[0]) as rows,
            _cut(self.bad_path, sizes[1]) as bad,
            (self.folder / JOURNAL).open("ab", buffering=0) as journal,
        ):
            self._journal = journal
            self.rows, self.bad = AppendWriter(rows, sizes[0], checksums[0]), AppendWriter(bad, sizes[1], checksums[1])
            yield checkpoint

    def checkpoint(self, position: Position, counts: Counts) -> None:
        """Records that both files are written up to this chunk: a resumed run goes on from here."""
        for writer in (self.rows, self.bad):
            writer.stream.flush()
        sizes, checksums = (self.rows.size, self.bad.size), (self.rows.checksum, self.bad.checksum)
        self._journal.write(Checkpoint(position, counts, sizes, checksums).line())

    def finish(self, result: Mapping[str, Any]) -> None:
        """Records that everything was written; what follows can be repeated."""
        for path in (self.rows_path, self.bad_path):
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
        _write_json(self.folder / DONE, result)

    def _last_checkpoint(self) -> Checkpoint | None:
        """The last checkpoint that the files still fulfil; a power cut may have kept the journal and lost rows."""
        if self.left_over() is not LeftOver.RESUMABLE:
            return None
        last, size = _last_of(self.folder / JOURNAL)
        if last and all(map(_holds, (self.rows_path, self.bad_path), last.sizes, last.checksums)):
            os.truncate(self.folder / JOURNAL, size)
            return last
        return None


def _last_of(journal: Path) -> tuple[Checkpoint | None, int]:
    """The last checkpoint in the journal, and how many bytes end with it; a line without its end is left out."""
    last, size = None, 0
    if journal.exists():
        with journal.open("rb") as lines:
            for line in lines:
                if (checkpoint := Checkpoint.read(line)) is None:
                    break
                last, size = checkpoint, size + len(line)
    return last, size


@contextmanager
def alone(root: Path, about: str) -> Iterator[None]:
    """Keeps a second run from the same files, whose rows the two would mix. Raises Conflict."""
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
    """Raises Unavailable with what an operator can do."""
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
    """Writes the document, whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(content))
    new.replace(path)
