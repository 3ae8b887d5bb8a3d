"""Reading through MLflow's client which logged models versions have, in batches, and what was logged for them."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.adapters.mlflow.measured import Link, Logged, Measured, Own, dataset_label, followed, linked

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Metric, Run


class LoggedModels:
    """search: the logged models whose attribute has one of the values. runs: by id. sources: of a model's versions."""

    def __init__(
        self,
        search: Callable[[str, Iterable[str]], "list[LoggedModel]"],
        runs: Callable[[list[str]], "dict[str, Run]"],
        sources: Callable[[str], Mapping[int, str]],
    ) -> None:
        self._search, self._runs, self._sources = search, runs, sources

    def owns(self, versions: Sequence[tuple[str | None, str]]) -> list[Own]:
        """Of each version, given by its run id and source."""
        found = {each.model_id: each for each in self._search("source_run_id", {run for run, _ in versions if run})}
        of_run = _by_run(found.values())
        sources = followed((source for _, source in versions), self._sources)
        ids = [linked(source, of_run.get(run, ())) for (run, _), source in zip(versions, sources, strict=True)]
        missing = {each for each in ids if each and each not in found}
        found |= {each.model_id: each for each in self._search("model_id", missing)}
        no_numbers = self._no_numbers([found[each] for each in ids if each in found])
        return [
            _own(found.get(model_id or ""), of_run.get(run, ()) if run else (), no_numbers)
            for (run, _), model_id in zip(versions, ids, strict=True)
        ]

    def _no_numbers(self, models: Iterable["LoggedModel"]) -> set[tuple[str, str]]:
        """Run and name of metrics that were no numbers: a logged model has 0 there, the run that logged it knows."""
        zeros = {(each.run_id, each.key) for model in models for each in model.metrics or () if each.value == 0}
        runs = self._runs(sorted({run for run, _ in zeros if run}))
        return {(run, name) for run, name in zeros if run in runs and math.isnan(runs[run].data.metrics.get(name, 0.0))}


def _by_run(models: Iterable["LoggedModel"]) -> Mapping[str | None, Sequence[Link]]:
    by_run: dict[str | None, list[Link]] = defaultdict(list)
    for each in sorted(models, key=lambda each: (-each.creation_timestamp, each.model_id)):
        by_run[each.source_run_id].append(_link(each))
    return by_run


def _link(model: "LoggedModel") -> Link:
    return Link(model.model_id, model.source_run_id or None, model.name)


def _own(model: "LoggedModel | None", of_run: Sequence[Link], no_numbers: set[tuple[str, str]]) -> Own:
    if model is None:
        return Own(None, Logged(), of_run)
    metrics = [_measured(each, no_numbers) for each in model.metrics or ()]
    return Own(_link(model), Logged(metrics, dict(sorted((model.params or {}).items()))), of_run)


def _measured(metric: "Metric", no_numbers: set[tuple[str, str]]) -> Measured:
    no_number = math.isnan(metric.value) or (metric.value == 0 and (metric.run_id, metric.key) in no_numbers)
    dataset = dataset_label(metric.dataset_name, metric.dataset_digest)
    return Measured(metric.key, metric.timestamp, metric.step, None if no_number else metric.value, dataset)
