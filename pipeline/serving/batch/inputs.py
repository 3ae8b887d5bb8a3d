"""Where files of rows lie: this machine, or whatever address fsspec has a driver for."""

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import first_line
from pipeline.serving.batch.read import KINDS, PARQUET, kind_of
from pipeline.serving.batch.resume import FULL

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")
BAD = ".bad.csv"
# What tells one state of a file from another, in the words of the drivers.
STATES = (
    "size", "mtime", "created", "ino", "ETag", "etag", "Last-Modified", "LastModified", "last_modified", "updated",
    "md5Hash", "Content-MD5", "Digest", "VersionId", "generation",
)  # fmt: skip
COPY_BYTES = 2**20


@dataclass(frozen=True)
class Location:
    """A file or folder, on this machine or at an address."""

    system: Any  # the file system of fsspec, which has no types
    path: str  # as that file system writes it

    @classmethod
    def at(cls, text: str) -> "Location":
        """The location of a path or address. Raises InvalidInput for an address of which there is no driver."""
        if not ADDRESS.match(text):
            return cls(LocalFileSystem(), str(Path(text).absolute()))
        try:
            system, path = fsspec.core.url_to_fs(text)
        except ImportError as error:
            raise InvalidInput(f"{shown(text)}: needs a package that is not installed ({shown(str(error))})") from error
        except ValueError as error:
            raise InvalidInput(f"{shown(text)}: cannot be used ({shown(str(error))})") from error
        return cls(system, path)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path.rstrip("/")).name

    @property
    def local(self) -> Path | None:
        """The path on this machine; None for an address elsewhere."""
        return Path(self.path) if isinstance(self.system, LocalFileSystem) else None

    @property
    def folder(self) -> "Location":
        return Location(self.system, self.path.rstrip("/").rpartition("/")[0])

    def __str__(self) -> str:
        return self.path if self.local else str(self.system.unstrip_protocol(self.path))

    def __truediv__(self, name: str) -> "Location":
        return Location(self.system, f"{self.path.rstrip('/')}/{name}")

    def is_folder(self) -> bool:
        with problems(self):
            return bool(self.system.isdir(self.path))

    def exists(self) -> bool:
        with problems(self):
            return bool(self.system.exists(self.path))

    def state(self) -> dict[str, str]:
        """What changes with the file, as far as its file system tells, by name. Raises InvalidInput."""
        with problems(self):
            about = self.system.info(self.path)
        return {name: str(about[name]) for name in STATES if about.get(name) is not None}

    def files(self) -> "list[Location]":
        """Files of rows in the folder, by name; not what an earlier run has written beside them."""
        with problems(self):
            names = sorted(str(path) for path in self.system.ls(self.path, detail=False))
        wanted = [name for name in names if name.casefold().endswith(KINDS) and not name.endswith(BAD)]
        return [Location(self.system, name) for name in wanted]

    def matches(self) -> "list[Location]":
        """The files that the path stands for as a pattern, by name."""
        with problems(self):
            return [Location(self.system, str(path)) for path in sorted(self.system.glob(self.path))]

    @contextlib.contextmanager
    def reading(self, scratch: Path) -> Iterator[tuple[IO[bytes], int | None]]:
        """Opens the file: its bytes, and how many there are, None where that is unknown.

        Parquet from a network is copied to `scratch` first: not every server reads from the middle.
        """
        with problems(self):
            size = self.system.info(self.path).get("size")
            if self.local is None and kind_of(self.name) == PARQUET:
                with self._stream() as stream, scratch.open("wb") as copy:
                    shutil.copyfileobj(stream, copy, COPY_BYTES)
                stream, size = scratch.open("rb"), scratch.stat().st_size
            else:
                stream = self._stream()
        with stream:
            yield stream, size

    def _stream(self) -> IO[bytes]:
        # In blocks it would ask for parts of the file, which simple web servers answer with the whole.
        options = {"block_size": 0} if "http" in self.system.protocol else {}
        stream: IO[bytes] = self.system.open(self.path, "rb", **options)
        return stream

    def receive(self, file: Path) -> None:
        """Puts a finished file in place: seen whole or not at all, as far as the file system can."""
        with problems(self):
            if self.local is not None:
                file.replace(self.local)
                return
            with file.open("rb") as source, self.system.transaction, self.system.open(self.path, "wb") as target:
                shutil.copyfileobj(source, target, COPY_BYTES)

    def remove(self) -> None:
        """Removes the file; one that is gone already is no error."""
        with problems(self), contextlib.suppress(FileNotFoundError):
            self.system.rm_file(self.path)

    def make_folder(self) -> None:
        with problems(self):
            self.system.makedirs(self.path, exist_ok=True)


def shown(text: str) -> str:
    """An address on one line, without a password in it."""
    return first_line(re.sub(r"(?<=://)[^/@\s]+@", "", text))


@contextlib.contextmanager
def problems(location: Location | str) -> Iterator[None]:
    """Raises what a driver raises as InvalidInput with one sentence; a full disk stays for the caller to handle."""
    try:
        yield
    except _driver_errors() as error:
        if getattr(error, "errno", None) in FULL:
            raise
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise InvalidInput(f"{shown(str(location))}: {shown(str(reason))}") from error


def _driver_errors() -> tuple[type[Exception], ...]:
    client = sys.modules.get("aiohttp")  # whose errors are no OSErrors
    return (OSError, ValueError, NotImplementedError, *((client.ClientError,) if client else ()))


# Which file is scored into which: what IN and OUT of the command line mean.

PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Job:
    """One file to be scored."""

    source: Location  # the file of rows
    target: Location  # the file of predictions

    @property
    def bad(self) -> Location:
        return self.target.folder / f"{self.target.name}{BAD}"


def jobs(given: str, wanted: str) -> list[Job]:
    """IN is a file, a folder or a pattern, OUT a file for one input, else a folder, which need not exist.

    Raises InvalidInput where they do not fit each other.
    """
    source, target = Location.at(given), Location.at(wanted)
    sources, several = _sources(source, given)
    if not sources:
        raise InvalidInput(
            f"{shown(given)}: there is no file whose name ends in {', '.join(KINDS[:-1])} or {KINDS[-1]}"
        )
    if _is_folder(target, wanted, several=several):
        found = [Job(each, target / each.name) for each in sources]
    elif len(sources) == 1:
        found = [Job(sources[0], target)]
    else:
        raise InvalidInput(f"{shown(wanted)}: must be a folder, for {len(sources)} files")
    for position, job in enumerate(found):
        _check(job, found[:position])
    return found


def _sources(source: Location, given: str) -> tuple[list[Location], bool]:
    """The files, and whether IN stands for several, of which there may be one."""
    if PATTERN.search(given) and not source.exists():
        return source.matches(), True
    if source.is_folder():
        return source.files(), True
    return [source], False


def _is_folder(target: Location, wanted: str, *, several: bool) -> bool:
    if wanted.endswith("/") or target.is_folder():
        return True
    return several and not target.name.casefold().endswith(KINDS)


def _check(job: Job, before: Sequence[Job]) -> None:
    """Raises InvalidInput for endings and files that cannot be scored into each other, before anything is scored."""
    kind_of(job.source.name)
    kind_of(job.target.name)
    if same := [each for each in before if each.target == job.target]:
        raise InvalidInput(f"{job.source} and {same[0].source}: would both be written to {job.target}")
    here, there = job.source.local, job.target.local
    same_file = here and there and here.exists() and there.exists() and here.samefile(there)
    if same_file or job.source in {job.target, job.bad}:
        raise InvalidInput(f"{job.target}: needs a name other than the input's")
    if there and not there.parent.parent.is_dir():
        raise InvalidInput(f"{job.target}: needs a folder that exists")
