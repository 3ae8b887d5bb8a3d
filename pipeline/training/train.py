"""The steps in their order, for one candidate or many; what is registered already is not fitted again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.governance.errors import InvalidInput
from pipeline.governance.lifecycle import Stage
from pipeline.governance.policy import Actor, Established
from pipeline.governance.service import GovernanceService
from pipeline.settings import Settings
from pipeline.training.candidates import parameters
from pipeline.training.lineage import training_key
from pipeline.training.register import Desk, Registered, find_registered
from pipeline.training.registry_store import locked
from pipeline.training.steps import evaluate, explain, fit, prepare, register

__all__ = ["Registered", "evaluate", "explain", "fit", "prepare", "register", "train"]

Progress = Callable[[int, int, str], None]  # (steps done, steps in all, what comes next)
Step = Literal["data", "train", "evaluate", "register"]
STEPS = ("fit", "evaluate", "explain", "register")


def train(
    settings: Settings,
    *,
    folder: Path,
    step: Step | None = None,
    names: Sequence[str] | None = None,
    data: str | Path | None = None,
    desk: Desk | None = None,
    progress: Progress | None = None,
) -> list[Registered]:
    """All five steps for the named candidates (default: all). What is registered already is not fitted again.

    step: only this one, for a tool that keeps track of files; only `register` asks the registry or the desk.
    One training at a time works in a folder; a second one waits and then finds what the first has registered.
    """
    if data is not None and step not in {None, "data"}:
        raise InvalidInput(f"data: is read by the step data, not by {step}")
    work = _Work(settings, folder, desk, progress or _silent)
    if step == "data":
        with locked(work.lock):
            work.tell(0, 1, step)
            prepare(settings, folder=folder, data=data)
        return []
    chosen = _chosen(settings, names)
    return _every_step(work, chosen, data) if step is None else _one_step(step, work, chosen)


@dataclass(frozen=True)
class _Work:
    """Where it is done, who is asked and who is told."""

    settings: Settings
    folder: Path
    desk: Desk | None
    tell: Progress

    @property
    def lock(self) -> Path:
        return self.folder / ".lock"


def _every_step(work: _Work, chosen: Sequence[str], data: str | Path | None) -> list[Registered]:
    total = 1 + len(STEPS) * len(chosen)
    work.tell(0, total, "prepare")
    with locked(work.lock):
        facts = prepare(work.settings, folder=work.folder, data=data)
        registered = []
        for index, name in enumerate(chosen):
            steps = _Steps(work.tell, 1 + index * len(STEPS), total, name)
            key = training_key(work.settings, name, facts)
            known = find_registered(work.settings, name, key, desk=work.desk)
            registered.append(known or _train_one(work, name, steps))
    work.tell(total, total, "done")
    return registered


def _one_step(step: Step, work: _Work, chosen: Sequence[str]) -> list[Registered]:
    registered: list[Registered] = []
    with locked(work.lock):
        for index, name in enumerate(chosen):
            work.tell(index, len(chosen), f"{name}: {step}")
            registered += _run_one(step, work, name)
    return registered


def _run_one(step: Step, work: _Work, name: str) -> list[Registered]:
    settings, folder = work.settings, work.folder
    if step == "train":
        fit(settings, name, folder=folder)
    elif step == "evaluate":
        evaluate(settings, name, folder=folder)
        explain(settings, name, folder=folder)
    else:
        return [register(settings, name, folder=folder, desk=work.desk)]
    return []


def _chosen(settings: Settings, names: Sequence[str] | None) -> list[str]:
    """Raises InvalidInput for a name or a recipe that is wrong, before the first fit."""
    chosen = list(dict.fromkeys(names or settings.candidates))
    for name in chosen:
        parameters(settings, name)
    return chosen


def _silent(_done: int, _total: int, _text: str) -> None:
    """For callers that do not want to know."""


@dataclass(frozen=True)
class _Steps:
    """Tells the progress of one candidate; `before` steps of `total` were done for others."""

    tell: Progress
    before: int
    total: int
    candidate: str

    def begin(self, step: str) -> None:
        self.tell(self.before + STEPS.index(step), self.total, f"{self.candidate}: {step}")


def _train_one(work: _Work, name: str, steps: _Steps) -> Registered:
    settings, folder = work.settings, work.folder
    steps.begin("fit")
    model = fit(settings, name, folder=folder)
    steps.begin("evaluate")
    evaluate(settings, name, folder=folder, model=model)
    steps.begin("explain")
    explain(settings, name, folder=folder, model=model)
    steps.begin("register")
    return register(settings, name, folder=folder, desk=work.desk)


# The demo: an empty registry becomes one with a version per candidate and a first champion.

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
    state = service.state(name)
    staged = state.in_stage(Stage.STAGING)
    if state.champion is None and staged:
        service.promote(name, staged[0], Stage.PRODUCTION, reason=REASON, actor=ACTOR, accept_warnings=True)
        return staged[0], registered
    return state.champion, registered
