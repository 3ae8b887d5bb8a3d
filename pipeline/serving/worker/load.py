"""Load a model from a private folder without running anything that came with it.

`mlflow.sklearn.load_model` and `mlflow.pyfunc.load_model` do what the folder's own MLmodel asks for: unpickle, import a
loader, put a code folder on the path, trust the types that the file itself lists. Here MLmodel is read as data, the
caller says which types may be made, and what compiled code would index without looking is checked first.

None of this is a proof that a file is harmless: scikit-learn's and numpy's own compiled code reads it. That is why only
the worker process calls `load_model`. The heavy libraries are imported when they are needed.
"""

import contextlib
import importlib
import lzma
import os
import re
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipeline.governance.errors import IntegrityFailure, Refused
from pipeline.governance.ports import File
from pipeline.governance.text import first_line
from pipeline.serving.worker.allow_list import (
    MODEL_DESCRIPTION,
    NotHere,
    check_scikit_learn,
    model_file,
    not_allowed,
)
from pipeline.validation.documents import members_of, read_json, read_yaml
from pipeline.validation.folder import NotAFile, hash_below, walk

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

Model = Any  # whatever skops makes of the file
Rows = Any  # a pandas DataFrame, or an array where the model takes one
Json = Any
MOST_BYTES = 500 * 2**20
MOST_FILES = 1_000
MOST_TEXT_BYTES = 2**20  # of MLmodel: PyYAML reads about 1 MB per second
MOST_EXAMPLE_BYTES = 10 * 2**20
MOST_EXAMPLE_ENTRIES = 1_000_000
MOST_EXAMPLE_ROWS = 100
SKOPS_DESCRIPTION = "schema.json"
MOST_SCHEMA_BYTES = 32 * 2**20
REQUIREMENTS = "requirements.txt"
PINNED = re.compile(r"^\s*scikit[-_.]learn\s*={2,3}\s*(\d+\.\d+[\w.]*)", re.MULTILINE | re.IGNORECASE)
MOST_MEMBERS = 100_000  # histogram boosting has three per class and iteration
OF_TESTS = ("dask", "pytest")  # what scikit-learn's own tests and their helpers import, where it is installed

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
    """The model cannot do what was asked; the message ends a sentence that begins with its name."""


class NoInputExample(Refused):
    """The model came without rows to try it on."""


@dataclass(frozen=True)
class LoadedModel:
    """A model in memory, and the folder from which it was loaded."""

    model: Model  # scikit-learn's object, or a PlainModel
    model_type: str  # the class of its last step
    description: Mapping[str, Any]  # MLmodel as data
    folder: Path  # of its private copy
    names: frozenset[str]  # every file of the folder, as POSIX paths inside it


def files_of(folder: Path) -> tuple[File, ...]:
    """Every file below the folder, with the digest of its bytes as they are now.

    Raises Refused for a link, for anything that is neither file nor folder, and for too many files or bytes.
    """
    if not folder.is_dir():  # taken away: nothing is below it, and the digest of nothing is no model's
        return ()
    entries = []
    try:
        for entry in walk(folder):
            entries.append(entry)
            if len(entries) > MOST_FILES:
                raise Refused(f"the model has more than {MOST_FILES:,} files")
    except NotAFile as error:
        if error.link:
            raise Refused("the model has a link, which may point outside of it") from error
        raise Refused("the model has something that is neither a file nor a folder") from error
    if sum(entry.size for entry in entries) > MOST_BYTES:
        raise Refused(f"the model is larger than {MOST_BYTES // 2**20} MB")
    return tuple(hash_below(folder, entry.path) for entry in sorted(entries))


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
    """MLmodel as data. Raises Refused."""
    try:
        description = read_yaml(content)
    except ValueError as error:
        raise Refused(f"{MODEL_DESCRIPTION} cannot be read: {error}") from error
    if not isinstance(description, dict) or not isinstance(description.get("flavors"), dict):
        raise Refused(f"{MODEL_DESCRIPTION} lists no flavors")
    return description


def _check_archive(data: bytes) -> None:
    """Refuses an archive that would unpack to far more than its size, or whose description is none."""
    try:
        members = members_of(data, most_members=MOST_MEMBERS, most_bytes=MOST_BYTES)
    except ValueError as error:
        raise Refused(f"the model file cannot be used: {error}") from error
    except UNUSABLE as error:
        raise Refused(f"the model file is damaged ({short(error)})") from error
    schema = next((member for member in members if member.filename == SKOPS_DESCRIPTION), None)
    if schema is not None and schema.file_size > MOST_SCHEMA_BYTES:
        raise Refused(f"the model file describes itself in more than {MOST_SCHEMA_BYTES // 2**20} MB")


def import_skops() -> ModuleType:
    """`skops.io`, imported with no package of OF_TESTS that this process does not have yet.

    To know all estimators it imports every package below scikit-learn: with theirs, half a second and 190 modules more.
    """
    hidden = [name for name in OF_TESTS if name not in sys.modules]
    try:
        for name in hidden:
            sys.modules[name] = None  # type: ignore[assignment]  # as if it were not installed
        return importlib.import_module("skops.io")
    finally:
        for name in hidden:
            del sys.modules[name]


def _load_skops(data: bytes, allowed_types: Collection[str]) -> Model:
    skops_io = import_skops()

    from pipeline.serving.worker.structure import check_structure

    try:
        untrusted = set(skops_io.get_untrusted_types(data=data)) - set(allowed_types)
        if untrusted:
            raise not_allowed(untrusted)
        model = skops_io.loads(data, trusted=sorted(allowed_types))
        check_structure(model, allowed_types)
    except UNUSABLE as error:
        raise Refused(f"the model file cannot be read ({short(error)})") from error
    return model


def _type_of(model: Model) -> str:
    steps = getattr(model, "steps", None)
    return type(steps[-1][-1] if isinstance(steps, list) and steps else model).__name__


# What only MLflow itself can load, where `serving.trust` is "producers". `mlflow.pyfunc.load_model` unpickles, imports
# a loader and puts a code folder on the path, as the model's own MLmodel asks: never outside the worker process.


class PlainModel:
    """A model of any flavor: MLflow promises `predict`, one answer per row. `raw` is the object inside."""

    def __init__(self, loaded: "PyFuncModel", raw: Any) -> None:  # noqa: ANN401 (of any flavor)
        self._loaded, self.raw = loaded, raw

    def predict(self, rows: Any) -> Any:  # noqa: ANN401 (a frame or an array, as the model likes it)
        from mlflow.exceptions import MlflowException

        # MLflow refuses categories of numbers, which are all that such a booster takes.
        model = self.raw if getattr(self.raw, "pandas_categorical", None) else self._loaded
        try:
            return model.predict(rows)
        except MlflowException as error:
            # It writes out the rows and the whole schema before it says what is wrong.
            raise ValueError(str(error).rpartition("Error: ")[2]) from error


def load_with_mlflow(folder: Path) -> LoadedModel:
    """The model as MLflow loads it, or the object inside where that has the methods of scikit-learn.

    Raises Refused with the reason, NotHere for a model of another scikit-learn.
    """
    from sklearn.exceptions import InconsistentVersionWarning

    names = frozenset(file.path for file in files_of(folder))
    description = read_description(folder)
    if needed := _scikit_learn(description, folder):
        check_scikit_learn(needed)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path.home() / 'nothing.db'}"  # never a ./mlruns beside anything
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", InconsistentVersionWarning)
        loaded, model = _loaded(folder)
    for warning in seen:
        if isinstance(warning.message, InconsistentVersionWarning):
            check_scikit_learn(str(warning.message.original_sklearn_version))
    steps = getattr(model, "steps", None)
    named = steps[-1][-1] if isinstance(steps, list) and steps else model
    kind = loaded.metadata.flavors.get("python_function", {}).get("loader_module", "python_function")
    name = str(kind) if isinstance(model, PlainModel) else type(named).__name__
    return LoadedModel(model, name, description, folder, names)


def _loaded(folder: Path) -> "tuple[PyFuncModel, Any]":
    import mlflow.pyfunc

    try:
        loaded = mlflow.pyfunc.load_model(str(folder))
        return loaded, _inner(loaded)
    except MemoryError:
        raise
    except ImportError as error:
        raise NotHere(f"MLflow cannot load it ({short(error)})") from error
    except BaseException as error:  # there is nothing that code which came with a model might not raise
        raise Refused(f"MLflow cannot load it ({short(error)})") from error


def _scikit_learn(description: Mapping[str, Any], folder: Path) -> str:
    """The scikit-learn version of a model that holds its objects, or Python code that may; empty if it says none.

    Boosters and networks have formats of their own: for them the environment that they were made in says nothing.
    """
    flavors = description["flavors"]
    if set(flavors) - {"sklearn", "python_function"}:
        return ""
    sklearn = flavors.get("sklearn")
    if isinstance(sklearn, dict) and sklearn.get("sklearn_version"):
        return str(sklearn["sklearn_version"])
    path = folder / REQUIREMENTS
    if not path.is_file() or path.stat().st_size > MOST_TEXT_BYTES:
        return ""
    found = PINNED.search(path.read_text(encoding="utf-8", errors="replace"))
    return found[1] if found else ""


def _inner(loaded: "PyFuncModel") -> Any:  # noqa: ANN401 (whatever the flavor holds)
    """scikit-learn's own object, or one with its methods: only that has probabilities and class names."""
    from mlflow.exceptions import MlflowException
    from sklearn.base import BaseEstimator

    try:
        model = loaded.get_raw_model()
    except (NotImplementedError, AttributeError, MlflowException):
        model = None
    is_like_ours = isinstance(model, BaseEstimator) or hasattr(model, "predict_proba")
    return model if is_like_ours else PlainModel(loaded, model)


# What every model comes with.


def input_example(loaded: LoadedModel) -> Rows:
    """The rows that came with the model, at most 100.

    Raises NoInputExample, or Refused where they cannot be read.
    """
    information = loaded.description.get("saved_input_example_info")
    if not isinstance(information, dict) or not isinstance(name := information.get("artifact_path"), str):
        raise NoInputExample("has no input example to try")
    if name not in loaded.names:
        raise NoInputExample("has no input example to try: its file is missing")
    from pipeline.validation.stored_rows import rows_of_example

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
    """The path of a file that was there when the model was loaded. Raises IntegrityFailure where it is gone."""
    path = loaded.folder / name
    if not path.is_file():
        raise IntegrityFailure("the private copy is not what was looked at")
    return path


def short(error: BaseException) -> str:
    """The first line of a library's message, cut to fit a screen; a stranger's may not even be text."""
    with contextlib.suppress(Exception):
        text = str(error).encode("utf-8", "backslashreplace").decode()
        return f"{type(error).__name__}: {first_line(text)}" if text.strip() else type(error).__name__
    return type(error).__name__
