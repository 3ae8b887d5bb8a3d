"""A model's folder on disk, listed and hashed as data: no link is followed, nothing outside of it is opened."""

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path, PurePosixPath

from pipeline.governance.errors import NotFound
from pipeline.governance.ports import File, Gap, Json, ModelFiles
from pipeline.governance.record.documents import document_path
from pipeline.validation.documents import read_json, read_yaml
from pipeline.validation.folder import FileStat, NotAFile, hashed, walk

MLMODEL = "MLmodel"
# MLflow writes it into a registered version's folder whenever it loads one from a local store. Nobody here reads it.
WRITTEN_BY_LOADING = "registered_model_meta"
MOST_FILES = 10_000
MOST_BYTES = 4 * 1024**3
MOST_FILE_BYTES = 200 * 1024**2


def entries(root: Path) -> list[FileStat]:
    """Every file under a model's folder that came with it, by path. Raises NotFound: gone, or unreadable."""
    found = []
    total = 0
    try:
        for entry in walk(root):
            if not entry.path.isprintable() and any("\udc80" <= letter <= "\udcff" for letter in entry.path):
                raise refused("the name of one is not text")
            if entry.path == WRITTEN_BY_LOADING:
                continue
            found.append(entry)
            total += entry.size
            check_limits(len(found), total)
    except NotAFile as error:
        raise refused(f"{error.path!r} is a link or a device") from error
    except OSError as error:
        raise gone() from error
    return sorted(found)


def check_limits(files: int, size: int) -> None:
    """Raises NotFound for a folder with more files or bytes than anybody's model has."""
    if files > MOST_FILES:
        raise refused(f"there are more than {MOST_FILES:,} of them")
    if size > MOST_BYTES:
        raise refused(f"they are larger than {MOST_BYTES // 1024**3} GiB")


def has_mlmodel(root: Path) -> bool:
    """Whether this is a model's folder; any other must not be listed. Raises NotFound: none, empty, or a link."""
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


def hash_file(root: Path, entry: FileStat) -> File:
    """The sha256 of the file's present content. Raises NotFound."""
    with open_inside(root, entry.path) as file:
        return hashed(entry.path, file)


def read_inside(root: Path, path: str, limit: int = MOST_FILE_BYTES) -> bytes:
    """One file's bytes. Raises NotFound: the path leaves the folder or passes a link, the file is above the limit."""
    with open_inside(root, path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise NotFound(f"The file {path!r} is larger than {limit // 1024**2} MB.")
    return content


def open_inside(root: Path, path: str) -> BufferedReader:
    """Opens one file below the folder for reading. Raises NotFound."""
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
    """The path, if it is a plain relative one. Raises NotFound for any other."""
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


# What a model's folder says about the model: MLmodel and the JSON files under `signoff/`, parsed as data.

MOST_MLMODEL_BYTES = 1024**2
MOST_DOCUMENT_BYTES = 5 * 1024**2

NO_MLMODEL = ModelFiles(
    files=(), gaps=(Gap("no_mlmodel", "The folder has no MLmodel file at its top, so nothing in it was read."),)
)

Read = Callable[[str, int], bytes]  # (path inside the folder, most bytes) → content; raises NotFound


@dataclass
class _Description:
    flavors: tuple[str, ...] = ()  # of MLmodel, by name
    signature: dict[str, Json] | None = None  # of MLmodel, parsed; None where it has none
    has_input_example: bool = False  # whether MLmodel names one
    gaps: list[Gap] = field(default_factory=list)  # what of it cannot be read


def described(files: Iterable[File], read: Read) -> ModelFiles:
    """The manifest together with what its files say; whatever cannot be read is a gap."""
    manifest = tuple(sorted(files, key=lambda file: file.path))
    model = _description(read)
    documents: dict[str, Json] = {}
    for file in manifest:
        name = PurePosixPath(file.path).stem
        if file.path == document_path(name):
            try:
                documents[name] = read_json(read(file.path, MOST_DOCUMENT_BYTES))
            except (NotFound, ValueError) as error:
                text = f"The file {file.path} cannot be read: {_reason(error)}."
                model.gaps.append(Gap(f"document_unreadable:{name}", text))
    return ModelFiles(
        files=manifest,
        flavors=model.flavors,
        signature=model.signature,
        has_input_example=model.has_input_example,
        documents=documents,
        gaps=tuple(model.gaps),
    )


def _description(read: Read) -> _Description:
    try:
        content = read_yaml(read(MLMODEL, MOST_MLMODEL_BYTES))
        found = _Description(flavors=_flavors(content))
    except (NotFound, ValueError) as error:
        return _Description(gaps=[Gap("mlmodel_unreadable", f"The file MLmodel cannot be read: {_reason(error)}.")])
    found.has_input_example = bool(content.get("saved_input_example_info"))
    found.signature = _signature(content.get("signature"), found.gaps)
    if not found.has_input_example:
        found.gaps.append(Gap("no_input_example", "The version came without an input example."))
    return found


def _flavors(content: object) -> tuple[str, ...]:
    flavors = content.get("flavors") if isinstance(content, Mapping) else None
    if not isinstance(flavors, Mapping):
        raise ValueError("it names no flavors")  # noqa: TRY004 (a fault of the file, not of the program)
    return tuple(sorted(map(str, flavors)))


def _signature(content: object, gaps: list[Gap]) -> dict[str, Json] | None:
    """The signature of MLmodel, which holds its two halves as JSON in strings."""
    halves = content if isinstance(content, Mapping) else {}
    try:
        signature = {half: _columns(halves.get(half)) for half in ("inputs", "outputs")}
    except ValueError as error:
        gaps.append(Gap("signature_unreadable", f"The signature in MLmodel cannot be read: {_reason(error)}."))
        return None
    if not any(signature.values()):
        gaps.append(Gap("no_signature", "The version has no signature: which columns it takes is not recorded."))
        return None
    return signature


def _columns(text: object) -> list[Json]:
    if text is None:
        return []
    if not isinstance(text, str):
        raise ValueError("it is not JSON in a string")  # noqa: TRY004 (a fault of the file, not of the program)
    columns = read_json(text)
    if not isinstance(columns, list):
        raise ValueError("it is not a list of columns")  # noqa: TRY004 (a fault of the file, not of the program)
    return columns


def _reason(error: Exception) -> str:
    """Why a file could not be parsed, without the content that parsers quote."""
    if isinstance(error, NotFound):
        return "it is missing or too large"
    return str(error)
