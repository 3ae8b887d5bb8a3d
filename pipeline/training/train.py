"""The steps in their order, for one candidate or many; what is registered already is not fitted again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sklearn.pipeline import Pipeline

from pipeline.governance.actor import Actor, Established
from pipeline.governance.errors import ApprovalsNeeded, InvalidInput
from pipeline.governance.lifecycle import Stage
from pipeline.governance.service import GovernanceService
from pipeline.settings import Settings
from pipeline.training import steps
from pipeline.training.candidates import Candidate, read_recipe
from pipeline.training.files import locked, read_json
from pipeline.training.lineage import read_candidate
from pipeline.training.register import Desk, Publisher, Registered, ask_for_staging, known_version
from pipeline.training.steps import prepare

__all__ = ["Registered", "evaluate", "fit", "prepare", "train"]

Progress = Callable[[int, int, str], None]  # (steps done, steps in all, what comes next)
Step = Literal["data", "train", "evaluate", "register"]
STEPS = ("fit", "evaluate", "explain", "register")


def fit(settings: Settings, name: str, *, folder: Path) -> Pipeline:
    """The step `fit` for the candidate of this name; later commits rebuild a version with it. Raises InvalidInput."""
    return steps.fit(settings, _candidate(settings, name, folder), folder=folder)


def evaluate(settings: Settings, name: str, *, folder: Path, model: Pipeline | None = None) -> steps.Document:
    """The step `evaluate` for the candidate of this name, as `fit`. Raises InvalidInput."""
    return steps.evaluate(settings, _candidate(settings, name, folder), folder=folder, model=model)


def _candidate(settings: Settings, name: str, folder: Path) -> Candidate:
    return read_candidate(settings, name, read_json(folder / "data.json"))


def train(
    settings: Settings,
    *,
    folder: Path,
    publisher: Publisher,
    step: Step | None = None,
    names: Sequence[str] | None = None,
    data: str | Path | None = None,
    desk: Desk | None = None,
    registrar: Actor | None = None,
    progress: Progress | None = None,
) -> list[Registered]:
    """All five steps for the named candidates (default: all). What is registered already is not fitted again.

    step: only this one, for a tool that keeps track of files; only `register` asks the publisher or the desk.
    registrar: who trains, as the desk records it with each new version; None: nobody says.
    One training at a time works in a folder; a second one waits and then finds what the first has registered.
    """
    if data is not None and step not in {None, "data"}:
        raise InvalidInput(f"data: is read by the step data, not by {step}")
    report = progress or (lambda _done, _total, _text: None)
    training = _Training(settings, folder, publisher, desk, registrar=registrar, progress=report)
    if step == "data":
        with locked(training.lock):
            training.progress(0, 1, step)
            prepare(settings, folder=folder, data=data)
        return []
    chosen = _chosen(settings, names)
    return training.every_step(chosen, data) if step is None else training.one_step(step, chosen)


@dataclass(frozen=True)
class _Training:
    """One call of `train`: its steps, in their order or one alone."""

    settings: Settings
    # Where the steps keep their files.
    folder: Path
    publisher: Publisher
    # Who is asked for Staging; None: nobody.
    desk: Desk | None
    registrar: Actor | None
    progress: Progress

    @property
    def lock(self) -> Path:
        return self.folder / ".lock"

    def every_step(self, chosen: Sequence[str], data: str | Path | None) -> list[Registered]:
        total = 1 + len(STEPS) * len(chosen)
        self.progress(0, total, "prepare")
        registered = []
        with locked(self.lock):
            facts = prepare(self.settings, folder=self.folder, data=data)
            for index, name in enumerate(chosen):
                candidate = read_candidate(self.settings, name, facts)
                before = 1 + index * len(STEPS)
                registered.append(self._registered(candidate) or self._train_one(candidate, before, total))
        self.progress(total, total, "done")
        return registered

    def one_step(self, step: Step, chosen: Sequence[str]) -> list[Registered]:
        registered = []
        with locked(self.lock):
            for index, name in enumerate(chosen):
                self.progress(index, len(chosen), f"{name}: {step}")
                candidate = _candidate(self.settings, name, self.folder)
                if step == "train":
                    steps.fit(self.settings, candidate, folder=self.folder)
                elif step == "evaluate":
                    steps.evaluate(self.settings, candidate, folder=self.folder)
                    steps.explain(self.settings, candidate, folder=self.folder)
                else:
                    registered.append(self._register(candidate))
        return registered

    def _registered(self, candidate: Candidate) -> Registered | None:
        """The version that this training would make, if it is there with its files. Raises Unavailable."""
        model = self.settings.registry.model_name
        found = self.publisher.find(model, candidate.training_key)
        if found is None:
            return None
        return known_version(Registered(model, found, candidate.name, new=False), self.desk, self.registrar)

    def _train_one(self, candidate: Candidate, before: int, total: int) -> Registered:
        """Runs the steps of one candidate; the first is number `before` of `total` in the progress."""
        settings, folder = self.settings, self.folder

        def begin(step: str) -> None:
            self.progress(before + STEPS.index(step), total, f"{candidate.name}: {step}")

        begin("fit")
        model = steps.fit(settings, candidate, folder=folder)
        begin("evaluate")
        steps.evaluate(settings, candidate, folder=folder, model=model)
        begin("explain")
        steps.explain(settings, candidate, folder=folder, model=model)
        begin("register")
        return self._register(candidate)

    def _register(self, candidate: Candidate) -> Registered:
        """The version of an evaluated candidate, with its receipt. Raises InvalidInput and what Publisher raises."""
        model = self.settings.registry.model_name
        new = steps.complete(self.settings, candidate, folder=self.folder)
        published = self.publisher.publish(model, new)
        registered = Registered(model, published.version, candidate.name, new=published.new)
        if published.new and self.desk is not None:
            registered = ask_for_staging(self.desk, registered, self.registrar)
        steps.write_receipt(candidate, registered, folder=self.folder)
        return registered


def _chosen(settings: Settings, names: Sequence[str] | None) -> list[str]:
    """Raises InvalidInput for a name or a recipe that is wrong, before the first fit."""
    chosen = list(dict.fromkeys(names or settings.candidates))
    for name in chosen:
        read_recipe(settings, name)
    return chosen


# The demo: an empty registry becomes one with a version per candidate and a first champion.

ACTOR = Actor("demo", Established.PROGRAM)
REASON = "First version of the demo that passed the gates; the later ones wait for a review."


def fill(
    settings: Settings,
    service: GovernanceService,
    publisher: Publisher,
    *,
    folder: Path,
    progress: Progress,
    registrar: Actor | None = None,
) -> tuple[int | None, list[Registered]]:
    """Train every candidate on the sample data and record a first champion; a second call changes nothing.

    Gives the champion's version, None where no version reached Staging, and what was registered.
    """
    on_sample = settings.model_copy(update={"data": settings.data.model_copy(update={"source": "sample"})})
    registered = train(
        on_sample, folder=folder, publisher=publisher, desk=service, registrar=registrar, progress=progress
    )
    name = settings.registry.model_name
    state = service.state(name)
    staged = state.in_stage(Stage.STAGING)
    if state.champion is None and staged:
        try:
            service.promote(name, staged[0], Stage.PRODUCTION, reason=REASON, actor=ACTOR, accept_warnings=True)
        except ApprovalsNeeded:
            return None, registered  # persons have to sign, and the demo is none
        return staged[0], registered
    return state.champion, registered
