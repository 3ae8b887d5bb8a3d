"""REGISTER: one run, one logged model and, last of all, one version; a registration that fails leaves no version."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric, Param
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.governance.errors import Conflict, IntegrityFailure, Refused, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.policy import Actor, Established
from pipeline.settings import Settings
from pipeline.training.facts import VersionFacts
from pipeline.training.files import digests
from pipeline.training.model_folder import EXPECTED_FILES, set_identity
from pipeline.training.registry_store import (
    ensure_model,
    experiment_id,
    locked,
    model_lock,
    open_registry,
    process_address,
    registry_errors,
    transferring,
)

PIPELINE = Actor("pipeline", Established.PROGRAM)
REASON = "Registered by the training pipeline; the gates of Staging decide."
KEY_TAG = "training_key"


class Desk(Protocol):
    """What training asks the governance service for."""

    def promote(self, model: str, version: int, stage: Stage, *, reason: str, actor: Actor) -> object:
        """Raises Refused where a rule says no."""

    def unasked(self, model: str, version: int, actor: Actor) -> bool:
        """Whether the version is in no stage and the actor never asked for a move of it."""


@dataclass(frozen=True)
class Registered:
    """new: False where an equal version was there. note: why it was not moved to Staging when that was asked for."""

    model: str
    version: int
    candidate: str
    new: bool
    note: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def find_registered(settings: Settings, name: str, key: str, *, desk: Desk | None = None) -> Registered | None:
    """The version that this training would make, if it is there with its files. Raises Unavailable.

    The desk is asked for Staging where a training that was killed did not come to that.
    """
    uri = settings.environment.tracking_uri
    with registry_errors():
        found = _find(open_registry(uri), settings, name, key=key)
    if found is None or desk is None or not desk.unasked(found.model, found.version, PIPELINE):
        return found
    return _ask_for_staging(desk, found)


def _find(client: MlflowClient, settings: Settings, name: str, *, key: str) -> Registered | None:
    model = settings.registry.model_name
    found = client.search_model_versions(f"name = '{model}' and tags.{KEY_TAG} = '{key}'")
    for version in sorted(found, key=lambda each: int(each.version), reverse=True):
        if _has_files(client, version):
            return Registered(model, int(version.version), name, new=False)
    return None


def _has_files(client: MlflowClient, version: ModelVersion) -> bool:
    """READY says nothing about files: it stays when they are gone."""
    model_id = str(version.source).removeprefix("models:/")
    try:
        names = {file.path for folder in ("", "signoff") for file in _listed(client, model_id, folder)}
    except MlflowException:
        return False
    return set(EXPECTED_FILES) <= names


def _listed(client: MlflowClient, model_id: str, folder: str) -> list[Any]:
    return list(client.list_logged_model_artifacts(model_id, folder or None))


def register_folder(
    settings: Settings, name: str, *, folder: Path, facts: VersionFacts, desk: Desk | None = None
) -> Registered:
    """Register a complete model folder, unless an equal version is there; then ask for None to Staging.

    Raises Unavailable, IntegrityFailure when the stored files are not the ones that were sent.
    """
    uri, model = settings.environment.tracking_uri, settings.registry.model_name
    with registry_errors(), locked(model_lock(uri, model)):
        client = open_registry(uri)
        found = _find(client, settings, name, key=facts.tags[KEY_TAG])
        if found is not None:
            return found
        version = _register(client, settings, folder=folder, facts=facts)
    registered = Registered(model, version, name, new=True)
    return registered if desk is None else _ask_for_staging(desk, registered)


def _ask_for_staging(desk: Desk, registered: Registered) -> Registered:
    """A refusal is an answer: the version is registered and a person may still decide."""
    try:
        desk.promote(registered.model, registered.version, Stage.STAGING, reason=REASON, actor=PIPELINE)
    except (Refused, Conflict, Unavailable) as error:
        return replace(registered, note=str(error))
    return registered


def _register(client: MlflowClient, settings: Settings, *, folder: Path, facts: VersionFacts) -> int:
    uri, name = settings.environment.tracking_uri, settings.registry.model_name
    experiment = experiment_id(client, uri, settings.registry.experiment)
    with _run(client, experiment, facts) as run_id:
        logged = _log_model(client, experiment, run_id, folder=folder, facts=facts, uri=uri)
        _log_facts(client, facts, run_id=run_id, model_id=logged.model_id)
    ensure_model(client, name, facts.model_description)
    with process_address(uri):
        version = client.create_model_version(
            name,
            source=f"models:/{logged.model_id}",
            run_id=run_id,
            tags=dict(facts.tags),
            description=facts.description,
            model_id=logged.model_id,
        )
    return int(version.version)


@contextmanager
def _run(client: MlflowClient, experiment: str, facts: VersionFacts) -> Iterator[str]:
    """A run that ends as FINISHED, or as FAILED when the block does not end."""
    name = f"{facts.candidate} {facts.trained_at}"
    run_id = str(client.create_run(experiment, run_name=name, tags=dict(facts.run_tags)).info.run_id)
    status = "FAILED"
    try:
        yield run_id
        status = "FINISHED"
    finally:
        client.set_terminated(run_id, status)


def _log_model(
    client: MlflowClient, experiment: str, run_id: str, *, folder: Path, facts: VersionFacts, uri: str
) -> LoggedModel:
    logged = client.create_logged_model(
        experiment, name=facts.candidate, source_run_id=run_id, params=dict(facts.params), model_type="classifier"
    )
    status = "FAILED"
    try:
        set_identity(folder, run_id=run_id, model_id=logged.model_id, location=logged.artifact_location)
        with transferring():
            client.log_model_artifacts(logged.model_id, str(folder))
            _check_stored(digests(folder), logged.artifact_location, uri)
        status = "READY"
    finally:
        client.finalize_logged_model(logged.model_id, status)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def _check_stored(sent: Mapping[str, str], location: str, uri: str) -> None:
    """Read back what the store holds and compare it file by file."""
    with TemporaryDirectory() as scratch:
        # A local store is read in place; anything else is downloaded.
        target = None if location.startswith(("/", "file:")) else scratch
        stored = mlflow.artifacts.download_artifacts(artifact_uri=location, dst_path=target, tracking_uri=uri)
        found = digests(Path(stored))
    different = sorted(name for name in {*sent, *found} if sent.get(name) != found.get(name))
    if different:
        raise IntegrityFailure(f"the stored model differs from the one that was sent: {', '.join(different)}")


def _log_facts(client: MlflowClient, facts: VersionFacts, *, run_id: str, model_id: str) -> None:
    """On the run, and through `model_id` on the logged model too."""
    now = int(time.time() * 1000)
    metrics = [
        Metric(name, value, now, 0, model_id=model_id, run_id=run_id) for name, value in sorted(facts.metrics.items())
    ]
    client.log_batch(
        run_id, metrics=metrics, params=[Param(name, value) for name, value in sorted(facts.params.items())]
    )
