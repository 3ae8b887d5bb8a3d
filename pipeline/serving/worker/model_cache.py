"""Models in the worker's memory, by the digest of the files that they were loaded from."""

from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.governance.errors import IntegrityFailure
from pipeline.governance.evidence import manifest_digest
from pipeline.serving.worker.load import LoadedModel, OutsidePolicy, files_of, load_model
from pipeline.serving.worker.protocol import Frame


@dataclass
class CachedModel:
    """A model in memory, and the explainer once somebody asked for one. foreign: loaded by MLflow.

    asked: it has been asked about several rows. form: of its answers, see outputs.ModelOutput; empty until then.
    categories:
    see model_inputs.categories_of; None until rows came.
    """

    loaded: LoadedModel
    foreign: bool
    explainer: Any = None
    asked: bool = False
    form: str = ""
    categories: Mapping[str, list[Any]] | None = None


def load(folder: Path, *, allowed_types: Collection[str], trust: str) -> CachedModel:
    """Under the trust policy "allow_list" or "producers". Raises Refused, OutsidePolicy."""
    from pipeline.serving.worker.model_inputs import reading  # noqa: PLC0415 (scikit-learn)

    try:
        held = CachedModel(load_model(folder, allowed_types=allowed_types), foreign=False)
    except OutsidePolicy:
        if trust != "producers":
            raise
        from pipeline.serving.worker.foreign import load_with_mlflow  # noqa: PLC0415 (MLflow only where it is trusted)

        held = CachedModel(load_with_mlflow(folder), foreign=True)
    return replace(held, loaded=replace(held.loaded, model=reading(held.loaded.model)))


class ModelCache:
    """The `most` last used models by digest."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, CachedModel] = OrderedDict()

    def get(self, request: Frame) -> CachedModel:
        """Raises IntegrityFailure where the folder is not what the digest says, and as `load` does."""
        digest, folder = request["digest"], Path(request["folder"])
        held = self._held.get(digest)
        if held is None or held.loaded.folder != folder:
            if _digest_of(folder) != digest:
                raise IntegrityFailure("the private copy is not what was looked at")
            # The same bytes at another place: example and background are read from there when they are needed.
            held = replace(held, loaded=replace(held.loaded, folder=folder)) if held else self._load(folder, request)
            self._held[digest] = held
        self._held.move_to_end(digest)
        while len(self._held) > request["kept_models"]:
            self._held.popitem(last=False)
        return held

    def _load(self, folder: Path, request: Frame) -> CachedModel:
        try:
            return load(folder, allowed_types=request["allowed_types"], trust=request["trust"])
        except MemoryError:
            if not self._held:
                raise
            self._held.clear()  # the others go: they are loaded again when somebody asks
            return load(folder, allowed_types=request["allowed_types"], trust=request["trust"])


def _digest_of(folder: Path) -> str:
    """Empty where files go away while they are read."""
    try:
        return manifest_digest(files_of(folder))
    except FileNotFoundError:
        return ""
