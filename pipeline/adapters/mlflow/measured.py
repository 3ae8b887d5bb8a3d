"""Which metrics and parameters are a version's own: its logged model's, else those of a run that has no other model."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.adapters.mlflow.records import LOGGED_MODEL, MOST_HOPS, OTHER_VERSION, RunFacts
from pipeline.governance.metrics import rank_of_dataset
from pipeline.governance.ports import Gap

# As MLflow 3 writes a model's place, and as a program that registers its folder does.
IN_FOLDER = re.compile(r".*/models/(m-[0-9a-f]{32})/artifacts/?", re.DOTALL)
OF_RUN = re.compile(r"runs:/([0-9a-f]{32})/(.+?)/?", re.DOTALL)


class Measured(NamedTuple):
    """One value that was logged for a model; `dataset` is empty where none was named. value: None stands for NaN."""

    name: str
    time: int
    step: int
    value: float | None
    dataset: str = ""


class Link(NamedTuple):
    """A logged model that is there, with the run that logged it."""

    model_id: str
    run_id: str | None
    name: str


@dataclass(frozen=True)
class Logged:
    """What a logged model itself has."""

    metrics: Sequence[Measured] = ()
    params: Mapping[str, str] = field(default_factory=dict)


class Own(NamedTuple):
    """The logged model of a version, None where there is none, with what it has, and every logged model of its run."""

    link: Link | None
    logged: Logged
    of_run: Sequence[Link]


NOTHING_OWN = Own(None, Logged(), ())


@dataclass(frozen=True)
class Figures:
    """What counts for a version. datasets: of the metrics that were measured on a named one. None stands for NaN."""

    metrics: Mapping[str, float | None]
    params: Mapping[str, str]
    datasets: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()


def dataset_label(name: str | None, digest: str | None) -> str:
    return f"{name} ({digest})" if name and digest else name or digest or ""


def followed(sources: Iterable[str], versions_of: Callable[[str], Mapping[int, str]]) -> list[str]:
    """Where the sources lead through versions that were copied from others; `versions_of` is asked once per model."""
    found = list(sources)
    known: dict[str, Mapping[int, str]] = {}
    for _ in range(MOST_HOPS):
        copies = {i: other for i, source in enumerate(found) if (other := OTHER_VERSION.fullmatch(source))}
        if not copies:
            break
        for i, other in copies.items():
            if other[1] not in known:
                known[other[1]] = versions_of(other[1])
            found[i] = known[other[1]].get(int(other[2])) or ""
    return found


def linked(source: str, of_run: Sequence[Link]) -> str | None:
    """The logged model of a version: the one that its source leads to, the newest of that name where it names a run."""
    if found := LOGGED_MODEL.fullmatch(source) or IN_FOLDER.fullmatch(source):
        return found[1]
    if found := OF_RUN.fullmatch(source):
        return next((each.model_id for each in of_run if (each.run_id, each.name) == found.groups()), None)
    return None


def figures(run_id: str | None, run: RunFacts, own: "Own") -> Figures:
    """Of the model where it has any, else of the run where they cannot be another model's."""
    shared = not runs_own(run_id, own.link, own.of_run)
    metrics, datasets, gaps = newest(own.logged.metrics)
    counted: Mapping[str, float | None] = metrics or ({} if shared else run.metrics)
    params = own.logged.params or ({} if shared else run.params)
    for what, missed in (("metrics", run.metrics if not metrics else {}), ("parameters", run.params)):
        if shared and missed and not (what == "parameters" and own.logged.params):
            text = f"The {what} of the run {run_id} are not counted: it belongs to other logged models too."
            gaps.append(Gap(f"{what}_of_run", text))
    return Figures(counted, params, datasets, tuple(gaps))


def runs_own(run_id: str | None, model: Link | None, of_run: Sequence[Link]) -> bool:
    """Whether what the run logged can only be about this version."""
    others = {each.model_id for each in of_run} - ({model.model_id} if model else set())
    return not others and (model is None or model.run_id in (None, run_id))


def newest(metrics: Iterable[Measured]) -> tuple[dict[str, float | None], dict[str, str], list[Gap]]:
    """The values that count, the datasets of those that have one, and a gap for each name with several.

    Of each dataset the newest counts. Among datasets the value without one comes first, then one that is not for
    training, then the newest.
    """
    held: dict[str, dict[str, Measured]] = defaultdict(dict)
    for each in metrics:
        before = held[each.name].get(each.dataset)
        if before is None or _age(before) < _age(each):
            held[each.name][each.dataset] = each
    values: dict[str, float | None] = {}
    datasets, gaps = {}, []
    for name, by_dataset in sorted(held.items()):
        chosen, *others = sorted(by_dataset.values(), key=_precedence)
        values[name] = chosen.value
        if chosen.dataset:
            datasets[name] = chosen.dataset
        if others:
            gaps.append(Gap(f"metric_of_datasets:{name}", _several(chosen, others)))
    return values, datasets, gaps


def _age(each: Measured) -> tuple[int, int, float]:
    return each.time, each.step, float("-inf") if each.value is None else each.value


def _precedence(each: Measured) -> tuple[bool, int, int, int, str]:
    return bool(each.dataset), rank_of_dataset(each.dataset), -each.time, -each.step, each.dataset


def _several(chosen: Measured, others: Sequence[Measured]) -> str:
    on = f"as measured on {chosen.dataset}" if chosen.dataset else "as logged without a dataset"
    told = ", ".join(f"{_shown(each.value)} on {each.dataset}" for each in others)
    return f"The metric {chosen.name} counts {on}; it is {told}."


def _shown(value: float | None) -> str:
    return "no number" if value is None else f"{value:.4g}"
