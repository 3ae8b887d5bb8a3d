"""The port Publisher on MLflow: one run, one logged model and, last of all, one version."""

import hashlib
import logging
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pipeline.adapters.mlflow.client import name_filter
from pipeline.adapters.mlflow.database import sqlite_path
from pipeline.adapters.mlflow.environment import process_address, transferring
from pipeline.adapters.mlflow.errors import ALREADY_EXISTS, mlflow_errors
from pipeline.adapters.mlflow.store import LOGGED_MODELS, ensure_experiment, initialise_store
from pipeline.governance.errors import IntegrityFailure, Unavailable
from pipeline.serving.worker.load import import_skops
from pipeline.settings import VAR
from pipeline.training.files import locked
from pipeline.training.model_folder import FILES, MODEL_FILE
from pipeline.training.register import NewVersion, Published
from pipeline.training.version_tags import TRAINING_KEY, VersionMetadata
from pipeline.validation.folder import digests

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

MLMODEL = "MLmodel"


class MlflowPublisher:
    """Implements Publisher. Opens nothing until the first call, which creates a SQLite store that is not there."""

    def __init__(self, tracking_uri: str, *, experiment: str) -> None:
        self._uri = tracking_uri
        self._experiment = experiment

    def find(self, model: str, training_key: str) -> int | None:
        with _publishing(f"model {model!r}"):
            return _find(self._open(), model, training_key)

    def publish(self, model: str, new: NewVersion) -> Published:
        with _publishing(f"version of model {model!r}"), locked(self._lock(model)):
            client = self._open()
            found = _find(client, model, new.metadata.tags[TRAINING_KEY])
            if found is not None:
                return Published(found, new=False)
            return Published(self._register(client, model, new), new=True)

    def _open(self) -> "MlflowClient":
        why = "training registers logged models, which are kept by"
        return initialise_store(self._uri, least=LOGGED_MODELS, why=why)

    def _lock(self, model: str) -> Path:
        """The lock of one model name, beside a SQLite database, otherwise in the project's own folder."""
        path = sqlite_path(self._uri)
        name = hashlib.sha256(f"{self._uri} {model}".encode()).hexdigest()[:16]
        return (VAR if path is None else path.parent) / "locks" / f"register-{name}.lock"

    def _register(self, client: "MlflowClient", model: str, new: NewVersion) -> int:
        experiment = ensure_experiment(client, self._uri, self._experiment).experiment_id
        metadata = new.metadata
        with _run(client, experiment, metadata) as run_id:
            logged = self._log_model(client, experiment, run_id, new=new)
            _log_metadata(client, metadata, run_id=run_id, model_id=logged.model_id)
        _ensure_model(client, model, metadata.model_description)
        with process_address(self._uri):
            version = client.create_model_version(
                model,
                source=f"models:/{logged.model_id}",
                run_id=run_id,
                tags=dict(metadata.tags),
                description=metadata.description,
                model_id=logged.model_id,
            )
        return int(version.version)

    def _log_model(self, client: "MlflowClient", experiment: str, run_id: str, *, new: NewVersion) -> "LoggedModel":
        from mlflow.entities import LoggedModelOutput

        metadata = new.metadata
        logged = client.create_logged_model(
            experiment,
            name=metadata.candidate,
            source_run_id=run_id,
            params=dict(metadata.params),
            model_type="classifier",
        )
        status = "FAILED"
        try:
            _describe(new, logged, run_id)
            with transferring():
                client.log_model_artifacts(logged.model_id, str(new.folder))
                self._check_stored(digests(new.folder), logged.artifact_location)
            status = "READY"
        finally:
            client.finalize_logged_model(logged.model_id, status)
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        return logged

    def _check_stored(self, sent: Mapping[str, str], location: str) -> None:
        """Reads back what the store holds and compares it file by file. Raises IntegrityFailure."""
        from mlflow.artifacts import download_artifacts

        with TemporaryDirectory() as scratch:
            # A local store is read in place; anything else is downloaded.
            target = None if location.startswith(("/", "file:")) else scratch
            stored = download_artifacts(artifact_uri=location, dst_path=target, tracking_uri=self._uri)
            found = digests(Path(stored))
        different = sorted(name for name in {*sent, *found} if sent.get(name) != found.get(name))
        if different:
            raise IntegrityFailure(f"the stored model differs from the one that was sent: {', '.join(different)}")


@contextmanager
def _publishing(subject: str) -> Iterator[None]:
    """Translates MLflow's errors, quoted because what training sends is its own, and those of unusable files."""
    try:
        with mlflow_errors(subject, quoted=True):
            yield
    except OSError as error:
        raise Unavailable(f"the registry's files cannot be used: {error.strerror or error}") from error


def _find(client: "MlflowClient", model: str, training_key: str) -> int | None:
    where = f"{name_filter(model)} and tags.{TRAINING_KEY} = '{training_key}'"
    found = [each for each in client.search_model_versions(where) if each.name == model]
    for version in sorted(found, key=lambda each: int(each.version), reverse=True):
        if _has_files(client, version):
            return int(version.version)
    return None


def _has_files(client: "MlflowClient", version: "ModelVersion") -> bool:
    """Whether the version's files are there: its status stays READY when they are gone."""
    from mlflow.exceptions import MlflowException

    model_id = str(version.source).removeprefix("models:/")
    try:
        listed = [each for folder in (None, "signoff") for each in client.list_logged_model_artifacts(model_id, folder)]
    except MlflowException:
        return False
    return {MLMODEL, *FILES} <= {file.path for file in listed}


@contextmanager
def _run(client: "MlflowClient", experiment: str, metadata: VersionMetadata) -> Iterator[str]:
    """A run of the experiment; it ends as FINISHED, or as FAILED where the block raises."""
    name = f"{metadata.candidate} {metadata.trained_at}"
    run_id = str(client.create_run(experiment, run_name=name, tags=dict(metadata.run_tags)).info.run_id)
    status = "FAILED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def _log_metadata(client: "MlflowClient", metadata: VersionMetadata, *, run_id: str, model_id: str) -> None:
    """Logs parameters and metrics on the run, and through `model_id` on the logged model too."""
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    values = sorted(metadata.metrics.items())
    metrics = [Metric(name, value, now, 0, model_id=model_id, run_id=run_id) for name, value in values]
    client.log_batch(
        run_id, metrics=metrics, params=[Param(name, text) for name, text in sorted(metadata.params.items())]
    )


def _ensure_model(client: "MlflowClient", name: str, description: str) -> None:
    """Makes the registered model unless it is there already."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=description)
    except MlflowException as error:
        if error.error_code != ALREADY_EXISTS:
            raise


def _describe(new: NewVersion, logged: "LoggedModel", run_id: str) -> None:
    """Writes MLflow's own files into the folder: MLmodel, the input example, and what has to be installed.

    MLflow writes them only together with a model that it saves itself. It gets one that has learned nothing; the file
    that was fitted and evaluated stays as it is.
    """
    import mlflow.sklearn
    import pandas as pd
    from mlflow.models import Model, infer_signature
    from sklearn.dummy import DummyClassifier

    fitted = new.folder / MODEL_FILE
    predicted = pd.Series("", index=new.example.index, name=new.target, dtype="str")
    description = Model(
        artifact_path=logged.artifact_location, run_id=run_id, model_uuid=logged.model_id, model_id=logged.model_id
    )
    with TemporaryDirectory() as scratch, _quiet():
        written = Path(scratch) / "model"
        mlflow.sklearn.save_model(
            DummyClassifier(),
            str(written),
            mlflow_model=description,
            serialization_format="skops",
            # Only what this model needs, not all that the settings allow.
            skops_trusted_types=sorted(import_skops().get_untrusted_types(file=fitted)),
            signature=infer_signature(new.example, predicted),
            input_example=new.example,
            pip_requirements=list(new.requirements),
        )
        description.model_size_bytes += fitted.stat().st_size - (written / MODEL_FILE).stat().st_size
        (written / MODEL_FILE).unlink()
        shutil.copytree(written, new.folder, dirs_exist_ok=True)
    description.save(str(new.folder / MLMODEL))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences MLflow's hint about every model that is saved with an input example."""
    logger = logging.getLogger("mlflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # MLflow 3.17 compares column names with a range, which pandas 3 will read otherwise one day.
            warnings.filterwarnings("ignore", message="Operation with range is deprecated", category=DeprecationWarning)
            # Its first use imports classes of its own that it then warns about.
            warnings.filterwarnings("ignore", message=".*Any type hint is inferred as AnyType", category=UserWarning)
            yield
    finally:
        logger.setLevel(level)
