"""REGISTER: training asks for a version through a port, and then the governance service for the way to Staging."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

import pandas as pd

from pipeline.governance.actor import Actor, Established
from pipeline.governance.errors import Conflict, Refused, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import Json
from pipeline.training.version_tags import VersionMetadata

PIPELINE = Actor("pipeline", Established.PROGRAM)
REASON = "Registered by the training pipeline; the gates of Staging decide."


@dataclass(frozen=True)
class NewVersion:
    """A trained model with everything that is stored beside it, complete before any registry is asked."""

    # The folder with `model.skops` and our documents and tables under `signoff/`.
    folder: Path
    # Some rows as the model takes them; they become its input example, and their types its signature.
    example: pd.DataFrame
    # Name of the predicted column.
    target: str
    # Exact versions of the packages that load the model.
    requirements: tuple[str, ...]
    # Parameters, metrics, tags and descriptions.
    metadata: VersionMetadata


@dataclass(frozen=True)
class Published:
    """Which version of the registered model holds a training's result."""

    version: int
    # False where an equal version with all its files was there before.
    new: bool


class Publisher(Protocol):
    """Where trained models become registered versions; `adapters/mlflow/publisher.py` implements it."""

    def find(self, model: str, training_key: str) -> int | None:
        """The newest version of the model with this training key whose files are all there. Writes nothing.

        Raises Unavailable.
        """

    def publish(self, model: str, new: NewVersion) -> Published:
        """Store the folder and register it, unless `find` knows an equal version; what fails leaves no version behind.

        Raises Unavailable, InvalidInput for a deleted experiment, IntegrityFailure when other files were stored than
        were sent, LedgerBusy when another training registers the same model for half an hour.
        """


class Desk(Protocol):
    """What training asks the governance service for."""

    def promote(self, model: str, version: int, stage: Stage, *, reason: str, actor: Actor) -> object:
        """Raises Refused where a rule says no."""

    def record_registration(self, model: str, version: int, actor: Actor) -> object:
        """Once per version: who registered it."""

    def unasked(self, model: str, version: int, actor: Actor) -> bool:
        """Whether the version is in no stage and the actor never asked for a move of it."""


@dataclass(frozen=True)
class Registered:
    """The version of one candidate, as `train` and `demo` report it."""

    # Name of the registered model.
    model: str
    version: int
    # Name of the recipe in `params.yaml`.
    candidate: str
    # False where an equal version was there before.
    new: bool
    # Why it was not moved to Staging when that was asked for.
    note: str = ""

    def as_json(self) -> Mapping[str, Json]:
        return asdict(self)


def ask_for_staging(desk: Desk, registered: Registered, registrar: Actor | None = None) -> Registered:
    """A refusal is an answer: the version is registered and a person may still decide.

    registrar: whose training it is; None: nobody says, and who approves has to count with everybody.
    """
    try:
        if registrar is not None:
            desk.record_registration(registered.model, registered.version, registrar)
        desk.promote(registered.model, registered.version, Stage.STAGING, reason=REASON, actor=PIPELINE)
    except (Refused, Conflict, Unavailable) as error:
        return replace(registered, note=str(error))
    return registered


def known_version(registered: Registered, desk: Desk | None, registrar: Actor | None = None) -> Registered:
    """A version that was there before; the desk is asked for Staging where a killed training did not come to that."""
    if desk is None or not desk.unasked(registered.model, registered.version, PIPELINE):
        return registered
    return ask_for_staging(desk, registered, registrar)
