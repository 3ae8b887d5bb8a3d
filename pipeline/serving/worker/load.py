"""Load a model from a private folder without running anything that came with it.

`mlflow.sklearn.load_model` and `mlflow.pyfunc.load_model` do what the folder's own MLmodel asks for: unpickle, import a
loader, put a code folder on the path, trust the types that the file itself lists. Here MLmodel is read as data, the
caller says which types may be made, and what compiled code would index without looking is checked first.

None of this is a proof that a file is harmless: scikit-learn's and numpy's own compiled code reads it. That is why only
the worker process calls `load_model`. The heavy libraries are imported when they are needed.
"""

import contextlib
import hashlib
import importlib.metadata
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.governance.errors import IntegrityFailure, Refused
from pipeline.governance.ports import File
from pipeline.governance.text import first_line
from pipeline.validation.documents import members_of, read_json, read_yaml

Model = Any  # whatever skops makes of the file
Rows = Any  # a pandas DataFrame, or an array where the model takes one
Json = Any
MODEL_DESCRIPTION = "MLmodel"
MOST_BYTES = 500 * 2**20
MOST_FILES = 1_000
MOST_TEXT_BYTES = 2**20  # of MLmodel: PyYAML reads about 1 MB per second
MOST_EXAMPLE_BYTES = 10 * 2**20
MOST_EXAMPLE_ENTRIES = 1_000_000
MOST_EXAMPLE_ROWS = 100
NOT_SKOPS = "it is not saved with skops"
TRUST_MAKERS = 'who trusts its makers sets "trust: producers" under serving in params.yaml'
SKOPS_DESCRIPTION = "schema.json"
MOST_SCHEMA_BYTES = 32 * 2**20
MOST_MEMBERS = 100_000  # histogram boosting has three per class and iteration

# What zipfile, zlib, json, numpy, skops and scikit-learn raise for content that is not what it claims to be.
UNUSABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


class ModelFailure(Exception):
    """The model does not do what was asked; the message ends a sentence that begins with its name."""


class NoInputExample(Refused):
    """The model came without rows to try it on."""


class OutsidePolicy(Refused):
    """To load it would mean to run, or to trust, more than the allow-list does; nothing is known to be broken."""


class NotHere(Refused):
    """It needs a library, or another version of one, that is not installed here; nothing is known to be broken."""


@dataclass(frozen=True)
class LoadedModel:
    """`model` is scikit-learn's object, `model_type` the class of its last step.

    description: MLmodel as data. names: every file of the folder, as POSIX paths inside it.
    """

    model: Model
    model_type: str
    description: Mapping[str, Any]
    folder: Path
    names: frozenset[str]


def files_of(folder: Path) -> tuple[File, ...]:
    """Every file below the folder, with the digest of its bytes as they are now.

    Raises Refused for a link, for anything that is neither file nor folder, and for too many files or bytes.
    """
    paths = sorted(folder.rglob("*"))
    if len(paths) > MOST_FILES:
        raise Refused(f"the model has more than {MOST_FILES:,} files")
    kinds = {path: path.lstat() for path in paths}
    if any(stat.S_ISLNK(kind.st_mode) for kind in kinds.values()):
        raise Refused("the model has a link, which may point outside of it")
    if any(not stat.S_ISREG(kind.st_mode) and not stat.S_ISDIR(kind.st_mode) for kind in kinds.values()):
        raise Refused("the model has something that is neither a file nor a folder")
    regular = {path: kind.st_size for path, kind in kinds.items() if stat.S_ISREG(kind.st_mode)}
    if sum(regular.values()) > MOST_BYTES:
        raise Refused(f"the model is larger than {MOST_BYTES // 2**20} MB")
    return tuple(File(path.relative_to(folder).as_posix(), size, _sha256(path)) for path, size in regular.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_model(folder: Path, *, allowed_types: Collection[str]) -> LoadedModel:
    """The scikit-learn model in a folder that nobody else can write to.

    `allowed_types`: what a skops file may contain beside skops' own list; the list inside the model is not read.
    Raises Refused with the reason.
    """
    names = frozenset(file.path for file in files_of(folder))
    description = read_description(folder)
    data = (folder / model_file(description, names)).read_bytes()
    _check_archive(data)
    model = _load_skops(data, allowed_types)
    return LoadedModel(model, _type_of(model), description, folder, names)


def read_description(folder: Path) -> Mapping[str, Any]:
    """MLmodel of a folder as data. Raises Refused."""
    path = folder / MODEL_DESCRIPTION
    if not path.is_file() or path.stat().st_size > MOST_TEXT_BYTES:
        raise Refused(f"{MODEL_DESCRIPTION} is missing or too large")
    return parse_description(path.read_bytes())


def parse_description(content: bytes) -> Mapping[str, Any]:
    """Raises Refused."""
    try:
        description = read_yaml(content)
    except ValueError as error:
        raise Refused(f"{MODEL_DESCRIPTION} cannot be read: {error}") from error
    if not isinstance(description, dict) or not isinstance(description.get("flavors"), dict):
        raise Refused(f"{MODEL_DESCRIPTION} lists no flavors")
    return description


def model_file(description: Mapping[str, Any], names: Collection[str]) -> str:
    """The path of the skops file, if the description asks for nothing that would run.

    Raises OutsidePolicy where it does, NotHere where the installed scikit-learn is another one.
    """
    flavors = description["flavors"]
    if "sklearn" not in flavors:
        others = sorted(str(name) for name in flavors if name != "python_function")
        named = ", ".join(others) or "python_function"
        raise OutsidePolicy(f"its flavor is {named}, which is not loaded under this trust policy; {TRUST_MAKERS}")
    sklearn, pyfunc = flavors["sklearn"], flavors.get("python_function") or {}
    if not isinstance(sklearn, dict) or not isinstance(pyfunc, dict):
        raise Refused(f"{MODEL_DESCRIPTION} describes no scikit-learn model")
    name = sklearn.get("pickled_model")
    reasons = {
        NOT_SKOPS: sklearn.get("serialization_format") != "skops",
        "it comes with code": bool(sklearn.get("code") or pyfunc.get("code")),
        "it asks for a loader of its own": pyfunc.get("loader_module", "mlflow.sklearn") != "mlflow.sklearn",
        "its two flavors name different files": pyfunc.get("model_path", name) != name,
        "it names a file that is not in the model": not isinstance(name, str) or name not in names,
    }
    if held := [reason for reason, holds in reasons.items() if holds]:
        raise OutsidePolicy("; ".join([*held, TRUST_MAKERS] if held == [NOT_SKOPS] else held))
    check_scikit_learn(str(sklearn.get("sklearn_version")))
    return str(name)


def check_scikit_learn(needed: str) -> None:
    """Fitted attributes and the layout of trees may change with each minor release.

    Raises NotHere where the installed one is another.
    """
    installed = importlib.metadata.version("scikit-learn")
    minor, ours = (".".join(version.split(".")[:2]) for version in (needed, installed))
    if minor != ours:
        raise NotHere(f"it needs scikit-learn {minor}, have {ours}")


def _check_archive(data: bytes) -> None:
    """Refuse an archive that would unpack to far more than its size, or whose description is not one."""
    try:
        members = members_of(data, most_members=MOST_MEMBERS, most_bytes=MOST_BYTES)
    except ValueError as error:
        raise Refused(f"the model file cannot be used: {error}") from error
    except UNUSABLE as error:
        raise Refused(f"the model file is damaged ({short(error)})") from error
    schema = next((member for member in members if member.filename == SKOPS_DESCRIPTION), None)
    if schema is not None and schema.file_size > MOST_SCHEMA_BYTES:
        raise Refused(f"the model file describes itself in more than {MOST_SCHEMA_BYTES // 2**20} MB")


def _load_skops(data: bytes, allowed_types: Collection[str]) -> Model:
    import skops.io

    from pipeline.serving.worker.structure import check_structure

    try:
        untrusted = set(skops.io.get_untrusted_types(data=data)) - set(allowed_types)
        if untrusted:
            raise not_allowed(untrusted)
        model = skops.io.loads(data, trusted=sorted(allowed_types))
        check_structure(model, allowed_types)
    except UNUSABLE as error:
        raise Refused(f"the model file cannot be read ({short(error)})") from error
    return model


def not_allowed(types: Collection[str]) -> OutsidePolicy:
    """Of a model that holds other types than the policy lets it; with the way on."""
    named = sorted(types)
    lines = ", ".join(f'"- {name}"' for name in named)
    add = f"{'the line' if len(named) == 1 else 'the lines'} {lines} under serving.allowed_types in params.yaml"
    return OutsidePolicy(f"it needs types that are not allowed: {', '.join(named)}; who trusts its makers adds {add}")


def _type_of(model: Model) -> str:
    steps = getattr(model, "steps", None)
    return type(steps[-1][-1] if isinstance(steps, list) and steps else model).__name__


def input_example(loaded: LoadedModel) -> Rows:
    """The rows that came with the model, at most 100.

    Raises NoInputExample, or Refused where they cannot be read.
    """
    information = loaded.description.get("saved_input_example_info")
    if not isinstance(information, dict) or not isinstance(name := information.get("artifact_path"), str):
        raise NoInputExample("has no input example to try")
    if name not in loaded.names:
        raise NoInputExample("has no input example to try: its file is missing")
    from pipeline.validation.example_rows import rows_of_example

    path = whole(loaded, name)
    try:
        if path.stat().st_size > MOST_EXAMPLE_BYTES:
            raise Refused("its input example is too large")
        content = read_json(path.read_bytes(), most_entries=MOST_EXAMPLE_ENTRIES, not_finite=True)
        as_frame, signature = information.get("type") == "dataframe", loaded.description.get("signature")
        return rows_of_example(content, as_frame=as_frame, signature=signature)[:MOST_EXAMPLE_ROWS]
    except UNUSABLE as error:
        raise Refused(f"its input example cannot be read ({short(error)})") from error


def whole(loaded: LoadedModel, name: str) -> Path:
    """A file that was there when the model was loaded. Raises IntegrityFailure where it has gone since."""
    path = loaded.folder / name
    if not path.is_file():
        raise IntegrityFailure("the private copy is not what was looked at")
    return path


def short(error: BaseException) -> str:
    """The first line of a library's message, short enough for a screen; a stranger's may not even be text."""
    with contextlib.suppress(Exception):
        text = str(error).encode("utf-8", "backslashreplace").decode()
        return f"{type(error).__name__}: {first_line(text)}" if text.strip() else type(error).__name__
    return type(error).__name__
