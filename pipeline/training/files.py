"""Files that are there completely or not at all: written under another name in the same folder, then renamed."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from pipeline.governance.errors import InvalidInput, LedgerBusy
from pipeline.validation.stored_rows import read_frame

LOCK_SECONDS = 1800


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, a file or a folder; it takes the place of `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        unfinished = Path(folder) / path.name
        yield unfinished
        if path.is_dir():
            # A folder cannot be replaced in one step; the old one goes with the temporary folder.
            path.rename(Path(folder) / "old")
        unfinished.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lets one process of this machine at a time run the block. Raises LedgerBusy after half an hour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(path, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise LedgerBusy(f"another training holds {path}") from error


def write_json(path: Path, document: object) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(canonical_json(document, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """The content of a JSON file. Raises InvalidInput where the step before has not written it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: is missing; run the training steps in order") from error
    if not isinstance(document, dict):
        raise InvalidInput(f"{path}: must hold a JSON object")
    return document


def write_bytes(path: Path, content: bytes) -> None:
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


def write_parquet(path: Path, frame: pd.DataFrame) -> None:
    with replacing(path) as unfinished:
        frame.to_parquet(unfinished, index=False)


def read_parquet(path: Path) -> pd.DataFrame:
    """The table in a Parquet file. Raises InvalidInput where the step before has not written it."""
    try:
        return read_frame(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidInput(f"{path}: is missing; run the training steps in order") from error


def canonical_json(document: object, *, indent: int | None = None) -> str:
    """JSON text with sorted keys and without NaN, equal for equal content."""
    return json.dumps(document, sort_keys=indent is None, indent=indent, allow_nan=False, ensure_ascii=False)


def digest(document: object) -> str:
    """sha256 of the canonical JSON."""
    return hashlib.sha256(canonical_json(document).encode()).hexdigest()
