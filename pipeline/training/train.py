"""The steps in their order, for one candidate or many; what is registered already is not fitted again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.governance.errors import InvalidInput
from pipeline.settings import Settings
from pipeline.training.candidates import parameters
from pipeline.training.lineage import training_key
from pipeline.training.register import Desk, Registered, find_registered
from pipeline.training.registry_store import locked
from pipeline.training.steps import evaluate, explain, fit, prepare, register

__all__ = ["Registered", "evaluate", "explain", "fit", "prepare", "register", "run_step", "train"]

Progress = Callable[[int, int, str], None]  # (steps done, steps in all, what comes next)
Step = Literal["data", "train", "evaluate", "register"]
STEPS = ("fit", "evaluate", "explain", "register")


def train(
    settings: Settings,
    *,
    folder: Path,
    names: Sequence[str] | None = None,
    data: str | Path | None = None,
    desk: Desk | None = None,
    progress: Progress | None = None,
) -> list[Registered]:
    """All five steps for the named candidates (default: all). What is registered already is not fitted again.

    One training at a time works in a folder; a second one waits and then finds what the first has registered.
    """
    chosen = _chosen(settings, names)
    total = 1 + len(STEPS) * len(chosen)
    tell = progress or _silent
    tell(0, total, "prepare")
    with locked(folder / ".lock"):
        facts = prepare(settings, folder=folder, data=data)
        registered = []
        for index, name in enumerate(chosen):
            steps = _Steps(tell, 1 + index * len(STEPS), total, name)
            known = find_registered(settings, name, training_key(settings, name, facts), desk=desk)
            registered.append(known or _train_one(settings, name, folder, desk=desk, steps=steps))
    tell(total, total, "done")
    return registered


def run_step(
    step: Step,
    settings: Settings,
    *,
    folder: Path,
    names: Sequence[str] | None = None,
    data: str | Path | None = None,
    desk: Desk | None = None,
    progress: Progress | None = None,
) -> list[Registered]:
    """One step of the flow, for a tool that keeps track of files; only `register` asks the registry or the desk."""
    if data is not None and step != "data":
        raise InvalidInput(f"data: is read by the step data, not by {step}")
    tell, registered = progress or _silent, list[Registered]()
    with locked(folder / ".lock"):
        if step == "data":
            tell(0, 1, step)
            prepare(settings, folder=folder, data=data)
            return registered
        chosen = _chosen(settings, names)
        for index, name in enumerate(chosen):
            tell(index, len(chosen), f"{name}: {step}")
            registered += _run_one(step, settings, name, folder=folder, desk=desk)
    return registered


def _run_one(step: Step, settings: Settings, name: str, *, folder: Path, desk: Desk | None) -> list[Registered]:
    if step == "train":
        fit(settings, name, folder=folder)
    elif step == "evaluate":
        evaluate(settings, name, folder=folder)
        explain(settings, name, folder=folder)
    else:
        return [register(settings, name, folder=folder, desk=desk)]
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


def _train_one(settings: Settings, name: str, folder: Path, *, desk: Desk | None, steps: _Steps) -> Registered:
    steps.begin("fit")
    model = fit(settings, name, folder=folder)
    steps.begin("evaluate")
    evaluate(settings, name, folder=folder, model=model)
    steps.begin("explain")
    explain(settings, name, folder=folder, model=model)
    steps.begin("register")
    return register(settings, name, folder=folder, desk=desk)
