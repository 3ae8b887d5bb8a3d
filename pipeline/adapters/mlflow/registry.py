"""The port Registry on MLflow: SQL where the database is at hand and known, MLflow's client otherwise."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pipeline.adapters.mlflow.client import ClientReader
from pipeline.adapters.mlflow.database import SqliteDatabase, database_of, holds_registry, sqlite_path, store_lock
from pipeline.adapters.mlflow.errors import CircuitBreaker, mlflow_errors, retried, unreadable_answers
from pipeline.adapters.mlflow.files import FileReader
from pipeline.adapters.mlflow.records import REGISTRY_ID_TAG, NothingYet, Reader, check_version
from pipeline.adapters.mlflow.sql import SqlReader
from pipeline.adapters.mlflow.store import ensure_experiment, initialise_store
from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import ModelState, Stage
from pipeline.governance.ports import ModelFiles, ModelRecord, VersionRecord, VersionRow

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["MlflowRegistry", "initialise_store"]

REPLACED = "The registry's database was removed or replaced by another file; start this program again."


class MlflowRegistry:
    """Implements Registry. Opens nothing until the first call, and creates a SQLite store only when it writes.

    read_with_sql: False reads everything through MLflow's client. trace: called with every SQL statement of ours.
    """

    def __init__(
        self,
        tracking_uri: str,
        *,
        experiment: str,
        read_with_sql: bool = True,
        trace: Callable[[str], None] | None = None,
    ) -> None:
        path = sqlite_path(tracking_uri)
        self._uri = f"sqlite:///{path}" if path else tracking_uri
        self._experiment = experiment
        self._file = SqliteDatabase(path, trace=trace) if path else None
        self._database = self._file or database_of(tracking_uri)
        self._sql = SqlReader(self._database) if self._database and read_with_sql else None
        self._opening = threading.Lock()
        self._opened: MlflowClient | None = None
        self._identity: tuple[int, int] | None = None
        self._files = FileReader(self._uri)
        self._breaker = CircuitBreaker()

    def prepare(self) -> None:
        with mlflow_errors("registry"):
            self._writer()  # the first client imports MLflow, which takes seconds on a busy machine

    def registry_id(self) -> str | None:
        with self._reading() as reader:
            return reader.registry_id(self._experiment)

    def keep_registry_id(self, registry_id: str) -> str:
        client = self._writer()
        with self._alone(), mlflow_errors(f"experiment {self._experiment!r}"):
            if known := self.registry_id():
                return known
            found = ensure_experiment(client, self._uri, self._experiment, tags={REGISTRY_ID_TAG: registry_id})
            if REGISTRY_ID_TAG not in found.tags:
                client.set_experiment_tag(found.experiment_id, REGISTRY_ID_TAG, registry_id)
        return self.registry_id() or registry_id

    def models(self) -> list[ModelRecord]:
        with self._reading() as reader:
            return reader.models()

    def model(self, name: str) -> ModelRecord:
        with self._reading() as reader:
            return reader.model(name)

    def state(self, model: str) -> ModelState:
        with self._reading() as reader:
            return reader.state(model)

    def table(self, model: str, metrics: Sequence[str] | None = None) -> list[VersionRow]:
        with self._reading() as reader:
            return reader.table(model, metrics)

    def version(self, model: str, version: int) -> VersionRecord:
        with self._reading() as reader:
            return reader.version(model, version)

    def files(self, record: VersionRecord, *, fresh: bool = False) -> ModelFiles:
        with self._reading() as reader:
            return self._files.files(reader, record, fresh=fresh)

    def read_file(self, record: VersionRecord, path: str) -> bytes:
        with self._reading() as reader:
            return self._files.read(reader, record, path)

    def set_alias(self, model: str, alias: str, version: int | None) -> None:
        if version is None:
            with self._writing(f"alias {alias!r} of model {model!r}") as client:
                retried(partial(client.delete_registered_model_alias, model, alias))
            return
        check_version(model, version)
        with self._writing(f"version {version} of model {model!r} for the alias {alias!r}") as client:
            retried(partial(client.set_registered_model_alias, model, alias, str(version)))

    def set_stage(self, model: str, version: int, stage: Stage) -> None:
        check_version(model, version)
        with self._writing(f"version {version} of model {model!r}") as client:
            # Archiving others in the same call left several versions in Production in 13 of 15 races.
            move = partial(client.transition_model_version_stage, model, str(version), stage.value)
            retried(partial(move, archive_existing_versions=False))

    def set_tags(self, model: str, version: int, tags: Mapping[str, str]) -> None:
        self.version(model, version)
        with self._writing(f"version {version} of model {model!r}") as client:
            for key, value in tags.items():
                retried(partial(client.set_model_version_tag, model, str(version), key, value))

    @contextmanager
    def _reading(self) -> Iterator[Reader]:
        with self._breaker.guard(), unreadable_answers():
            yield self._reader()

    def _reader(self) -> Reader:
        if self._file is not None and not self._file.exists():
            return NothingYet()
        if self._sql is not None and self._sql.understands():
            return self._sql
        if self._database is not None and not holds_registry(self._database):
            return NothingYet()
        return ClientReader(self._client())

    def _client(self) -> "MlflowClient":
        with self._opening:
            if self._opened is None:
                with self._breaker.guard():  # once more: whoever waited here need not wait for a silent server again
                    self._opened = initialise_store(self._uri)
                self._identity = self._file.identity() if self._file else None
            elif self._file is not None and self._file.identity() != self._identity:
                # MLflow keeps its connections to the old file, in this process for good.
                raise Unavailable(REPLACED)
            return self._opened

    def _writer(self) -> "MlflowClient":
        """The schema is looked at each time: its owner may have upgraded it meanwhile.

        A dead server says so at once there, and after minutes in MLflow.
        """
        if self._database is not None and holds_registry(self._database) and self._file is not None:
            self._file.check_writable()
            self._file.mark_written()
        return self._client()

    @contextmanager
    def _writing(self, subject: str) -> Iterator["MlflowClient"]:
        client = self._writer()
        with mlflow_errors(subject):
            yield client

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes of this machine from choosing an id for the same SQLite store meanwhile."""
        if self._file is None:
            yield
            return
        with store_lock(self._file.path):
            yield
