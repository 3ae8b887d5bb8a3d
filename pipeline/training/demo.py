"""The demo: an empty registry becomes one with a version per candidate and a first champion."""

from collections.abc import Callable
from pathlib import Path

from pipeline.governance.actors import Actor, Established
from pipeline.governance.lifecycle import Stage
from pipeline.governance.service import GovernanceService
from pipeline.settings import Settings
from pipeline.training.train import Registered, train

ACTOR = Actor("demo", Established.PROGRAM)
REASON = "First version of the demo that passed the gates; the later ones wait for a review."


def fill(
    settings: Settings, service: GovernanceService, progress: Callable[[int, int, str], None], *, folder: Path
) -> tuple[int | None, list[Registered]]:
    """Train every candidate on the sample data and record a first champion; a second call changes nothing.

    Gives the champion's version, None where no version reached Staging, and what was registered.
    """
    on_sample = settings.model_copy(update={"data": settings.data.model_copy(update={"source": "sample"})})
    registered = train(on_sample, folder=folder, desk=service, progress=progress)
    name = settings.registry.model_name
    state = service.registry.state(name)
    staged = state.in_stage(Stage.STAGING)
    if state.champion is None and staged:
        service.promote(name, staged[0], Stage.PRODUCTION, reason=REASON, actor=ACTOR, accept_warnings=True)
        return staged[0], registered
    return state.champion, registered
