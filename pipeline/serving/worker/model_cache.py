"""Models in the worker's memory, by the digest of the files that they were loaded from."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cachetools import LRUCache

from pipeline.governance.errors import IntegrityFailure
from pipeline.governance.record.evidence import manifest_digest
from pipeline.serving.worker.allow_list import OutsidePolicy
from pipeline.serving.worker.load import LoadedModel, files_of, load_model, load_with_mlflow
from pipeline.serving.worker.protocol import Frame


@dataclass
class CachedModel:
    """A model in memory, with what was found out about it at first use."""

    loaded: LoadedModel  # with its folder and description
    mlflow_flavor: bool  # whether MLflow has loaded it, with code that came with the model
    explainer: Any = None  # made for the first explanation
    asked: bool = False  # whether it has predicted several rows at once
    form: str = ""  # the form of its answers, see outputs.Form; empty before the first
    categories: Mapping[str, list[Any]] | None = None  # see model_inputs.categories_of; None until rows came
    compiled: Any = None  # the compiled.convert.Compiled that answers single rows; None before it was installed


def load(folder: Path, *, allowed_types: Collection[str], trust: str) -> CachedModel:
    """Loads a model under the trust policy "allow_list" or "producers". Raises Refused, OutsidePolicy."""
    from pipeline.serving.worker.model_inputs import reading  # noqa: PLC0415 (scikit-learn)

    try:
        found = CachedModel(load_model(folder, allowed_types=allowed_types), mlflow_flavor=False)
    except OutsidePolicy:
        if trust != "producers":
            raise
        found = CachedModel(load_with_mlflow(folder), mlflow_flavor=True)
    return replace(found, loaded=replace(found.loaded, model=reading(found.loaded.model)))


class ModelCache:
    """The last used models by digest (an LRU cache), as many as each request says (`kept_models`)."""

    def __init__(self) -> None:
        self._models: LRUCache[str, CachedModel] = LRUCache(math.inf)

    def get(self, request: Frame) -> CachedModel:
        """The loaded model. Raises IntegrityFailure where the folder has another digest, and as `load` does."""
        digest, folder = request["digest"], Path(request["folder"])
        cached = self._models.get(digest)
        if cached is None or cached.loaded.folder != folder:
            if _digest_of(folder) != digest:
                raise IntegrityFailure("the private copy is not what was looked at")
            # The same bytes in another folder: example and background are read from there when they are needed.
            moved = replace(cached, loaded=replace(cached.loaded, folder=folder)) if cached else None
            cached = self._models[digest] = moved or self._load(folder, request)
        while len(self._models) > request["kept_models"]:
            self._models.popitem()
        return cached

    def known(self, digest: str) -> CachedModel | None:
        """The model where it is loaded already."""
        return self._models.get(digest)

    def _load(self, folder: Path, request: Frame) -> CachedModel:
        try:
            return load(folder, allowed_types=request["allowed_types"], trust=request["trust"])
        except MemoryError:
            if not self._models:
                raise
            self._models.clear()  # the others go: they are loaded again when somebody asks
            return load(folder, allowed_types=request["allowed_types"], trust=request["trust"])


def _digest_of(folder: Path) -> str:
    """The digest of a folder; empty where files go away while they are read."""
    try:
        return manifest_digest(files_of(folder))
    except FileNotFoundError:
        return ""
