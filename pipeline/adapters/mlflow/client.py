"""Reads the registry's records through MLflow's client, in batches: works on every store, over HTTP too."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.adapters.mlflow.errors import mlflow_errors
from pipeline.adapters.mlflow.logged_models import (
    NOTHING_OWN,
    Figures,
    Link,
    Logged,
    LoggedMetric,
    Own,
    dataset_label,
    figures,
    followed,
    linked,
)
from pipeline.adapters.mlflow.records import (
    PROMPT_TAG,
    REGISTRY_ID_TAG,
    USER_TAG,
    Origin,
    RunFacts,
    check_version,
    finite_metrics,
    follow,
    gaps_of,
    stage_of,
    time_of,
    user_of,
)
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import ModelState
from pipeline.governance.ports import ModelRecord, VersionRecord, VersionRow

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Metric, Run
    from mlflow.entities.model_registry import ModelVersion, RegisteredModel


class LoggedModels:
    """Finds in batches which logged models versions have, and what was logged for them.

    search: gives the logged models whose attribute has one of the values. runs: gives runs by their ids. sources: gives
    the source of each version of a model.
    """

    def __init__(
        self,
        search: Callable[[str, Iterable[str]], "list[LoggedModel]"],
        runs: Callable[[list[str]], "dict[str, Run]"],
        sources: Callable[[str], Mapping[int, str]],
    ) -> None:
        self._search, self._runs, self._sources = search, runs, sources

    def owns(self, versions: Sequence[tuple[str | None, str]]) -> list[Own]:
        """The logged model of each version, which is given by its run id and source, with what was logged for it."""
        found = {each.model_id: each for each in self._search("source_run_id", {run for run, _ in versions if run})}
        of_run: dict[str | None, list[Link]] = defaultdict(list)
        for each in sorted(found.values(), key=lambda each: (-each.creation_timestamp, each.model_id)):
            of_run[each.source_run_id].append(_link(each))
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
        """(run id, name) of metrics that were logged as NaN: a logged model stores 0 for them, its run stores NaN."""
        zeros = {(each.run_id, each.key) for model in models for each in model.metrics or () if each.value == 0}
        runs = self._runs(sorted({run for run, _ in zeros if run}))
        return {(run, name) for run, name in zeros if run in runs and math.isnan(runs[run].data.metrics.get(name, 0.0))}


def _link(model: "LoggedModel") -> Link:
    return Link(model.model_id, model.source_run_id or None, model.name)


def _own(model: "LoggedModel | None", of_run: Sequence[Link], no_numbers: set[tuple[str, str]]) -> Own:
    if model is None:
        return Own(None, Logged(), of_run)
    metrics = [_measured(each, no_numbers) for each in model.metrics or ()]
    return Own(_link(model), Logged(metrics, dict(sorted((model.params or {}).items()))), of_run)


def _measured(metric: "Metric", no_numbers: set[tuple[str, str]]) -> LoggedMetric:
    no_number = math.isnan(metric.value) or (metric.value == 0 and (metric.run_id, metric.key) in no_numbers)
    dataset = dataset_label(metric.dataset_name, metric.dataset_digest)
    return LoggedMetric(metric.key, metric.timestamp, metric.step, None if no_number else metric.value, dataset)


MODELS_PER_PAGE = 1_000
VERSIONS_PER_PAGE = 10_000
EXPERIMENTS_PER_PAGE = 1_000
# A filter that names the prompts' tag keeps the client from adding its own on that tag, which servers from before
# prompts answer with nothing.
EVERY_NAME = f"name != '{PROMPT_TAG}'"
# 5,000 ids are more than MLflow's filter parser takes.
RUNS_PER_PAGE = 500
# A server parses the whole filter again for each page: as many ids as a page has models.
MODELS_AT_ONCE = 100
PLAIN_ID = re.compile(r"[\w-]{1,64}", re.ASCII)
NO_ENDPOINT = "ENDPOINT_NOT_FOUND"
# What MLflow's filter language has no escape for, as a wildcard of LIKE.
UNQUOTABLE = str.maketrans(dict.fromkeys("'\"\\`;\n\r\t\x00", "_"))


class ClientReader:
    """Implements Reader on anything that MLflow's client reaches."""

    def __init__(self, client: "MlflowClient") -> None:
        self._client = client

    def models(self) -> list[ModelRecord]:
        search = self._client.search_registered_models
        with mlflow_errors("models"):
            found = list(_pages(lambda token: search(EVERY_NAME, MODELS_PER_PAGE, None, token)))
            numbers: dict[str, list[int]] = {}
            for each in self._versions(None):
                if PROMPT_TAG not in each.tags:
                    numbers.setdefault(each.name, []).append(int(each.version))
            # A version tells its model's name too: what a server leaves out of its list is asked for by name.
            unlisted = set(numbers) - {each.name for each in found}
            models = [each for each in found if PROMPT_TAG not in each.tags]
            for name in sorted(unlisted):
                with suppress(NotFound), mlflow_errors(f"model {name!r}", on_invalid=NotFound):  # prompt, or deleted
                    models.append(self._client.get_registered_model(name))
        records = [_model_record(each, numbers.get(each.name, [])) for each in models]
        return sorted(records, key=lambda record: record.name)

    def model(self, name: str) -> ModelRecord:
        with mlflow_errors(f"model {name!r}", on_invalid=NotFound):
            found = self._client.get_registered_model(name)
            return _model_record(found, [int(each.version) for each in self._versions(name)])

    def state(self, model: str) -> ModelState:
        with mlflow_errors(f"model {model!r}", on_invalid=NotFound):
            found = self._client.get_registered_model(model)
            stages = {int(each.version): stage_of(each.current_stage) for each in self._versions(model)}
        return ModelState({alias: int(version) for alias, version in sorted(found.aliases.items())}, stages)

    def table(self, model: str, metrics: Sequence[str] | None) -> list[VersionRow]:
        with mlflow_errors(f"model {model!r}", on_invalid=NotFound):
            aliases = _by_version(self._client.get_registered_model(model).aliases)
            versions = sorted(self._versions(model), key=lambda each: -int(each.version))
            owns = self._owns(versions)
            # What a model has of its own is not asked of its run: each run costs as much as each model.
            complete = [own.logged.metrics and own.logged.params for own in owns]
            asked = [each for each, whole in zip(versions, complete, strict=True) if not whole]
            runs = self._runs(sorted({each.run_id for each in asked if each.run_id}))
        wanted = None if metrics is None else set(metrics)
        return [
            _row(each, aliases.get(int(each.version), ()), _figures(each, runs, own), wanted=wanted)
            for each, own in zip(versions, owns, strict=True)
        ]

    def version(self, model: str, version: int) -> VersionRecord:
        check_version(model, version)
        with mlflow_errors(f"version {version} of model {model!r}", on_invalid=NotFound):
            self._client.get_registered_model(model)  # refuses prompts
            found = self._client.get_model_version(model, str(version))
            runs = self._runs([found.run_id] if found.run_id else [])
            (own,) = self._owns([found])
        run, counted = _facts(runs, found.run_id), _figures(found, runs, own)
        row = _row(found, tuple(sorted(found.aliases)), counted, wanted=None)
        return VersionRecord(
            row=row,
            source=found.source or "",
            model_id=follow(self, found.source or ""),
            status_message=found.status_message or "",
            registered_by=user_of(found.user_id, run.user),
            gaps=(*gaps_of(row, run, counted.metrics), *counted.gaps),
            datasets=counted.datasets,
        )

    def origin(self, model: str, version: int) -> Origin:
        check_version(model, version)
        with mlflow_errors(f"version {version} of model {model!r}", on_invalid=NotFound):
            source = self._client.get_model_version(model, str(version)).source or ""
            location = self._client.get_model_version_download_uri(model, str(version))
        return Origin(source, location or source)

    def model_location(self, model_id: str) -> str:
        with mlflow_errors(f"logged model {model_id!r}", on_invalid=NotFound):
            return str(self._client.get_logged_model(model_id).artifact_location)

    def run_location(self, run_id: str) -> str:
        with mlflow_errors(f"run {run_id!r}", on_invalid=NotFound):
            return str(self._client.get_run(run_id).info.artifact_uri)

    def registry_id(self, experiment: str) -> str | None:
        with mlflow_errors(f"experiment {experiment!r}"):
            found = self._client.get_experiment_by_name(experiment)
        return found.tags.get(REGISTRY_ID_TAG) if found else None

    def _versions(self, model: str | None) -> list["ModelVersion"]:
        """Every version of one model, or of all; MLflow's filter has no escapes, so names are compared again here."""
        where = None if model is None else name_filter(model)
        found = _pages(lambda token: self._client.search_model_versions(where, VERSIONS_PER_PAGE, None, token))
        return [each for each in found if model in (None, each.name)]

    def _runs(self, run_ids: list[str]) -> dict[str, "Run"]:
        """Runs by id, deleted ones too; an id that no run has is no key."""
        if not run_ids:
            return {}
        from mlflow.entities import ViewType

        runs, experiments = {}, self._experiments()
        for quoted in _quoted(run_ids, most=RUNS_PER_PAGE):
            where = f"attributes.run_id IN ({quoted})"
            page = self._client.search_runs(experiments, where, ViewType.ALL, RUNS_PER_PAGE)
            runs.update({run.info.run_id: run for run in page})
        return runs

    def _experiments(self) -> list[str]:
        from mlflow.entities import ViewType

        search = self._client.search_experiments
        found = _pages(lambda token: search(ViewType.ALL, EXPERIMENTS_PER_PAGE, None, None, token))
        return [each.experiment_id for each in found]

    def _owns(self, versions: Sequence["ModelVersion"]) -> list[Own]:
        """What each version has of its own; nothing on servers from before MLflow 3, which have no logged models."""
        from mlflow.exceptions import MlflowException

        try:
            return LoggedModels(self._search_models, self._runs, self._sources).owns(
                [(each.run_id or None, each.source or "") for each in versions]
            )
        except MlflowException as error:
            if error.error_code != NO_ENDPOINT:
                raise
            return [NOTHING_OWN] * len(versions)

    def _search_models(self, attribute: str, values: Iterable[str]) -> list["LoggedModel"]:
        found: list[LoggedModel] = []
        experiments = self._experiments() if values else []
        for quoted in _quoted(sorted(values), most=MODELS_AT_ONCE):
            search = partial(self._client.search_logged_models, experiments, f"{attribute} IN ({quoted})")
            found += _pages(partial(_page, search))
        return found

    def _sources(self, model: str) -> Mapping[int, str]:
        return {int(each.version): each.source or "" for each in self._versions(model)}


def _pages(search: Callable[[str | None], Any]) -> Iterator[Any]:
    """Every entry of a search that answers page by page."""
    token: str | None = None
    while True:
        page = search(token)
        yield from page
        token = page.token
        if not token:
            return


def _page(search: Callable[..., Any], token: str | None) -> Any:  # noqa: ANN401 (MLflow's paged list)
    return search(max_results=MODELS_AT_ONCE, page_token=token)


def name_filter(name: str) -> str:
    pattern = name.translate(UNQUOTABLE)
    return f"name = '{name}'" if pattern == name else f"name LIKE '{pattern}'"


def _model_record(model: "RegisteredModel", numbers: list[int]) -> ModelRecord:
    aliases = {alias: int(version) for alias, version in sorted(model.aliases.items())}
    return ModelRecord(
        model.name, model.description or "", len(numbers), max(numbers, default=None), aliases, model.tags
    )


def _by_version(aliases: dict[str, Any]) -> dict[int, tuple[str, ...]]:
    by_version: dict[int, tuple[str, ...]] = {}
    for alias in sorted(aliases):
        version = int(aliases[alias])
        by_version[version] = (*by_version.get(version, ()), alias)
    return by_version


def _facts(runs: dict[str, "Run"], run_id: str | None) -> RunFacts:
    if not run_id:
        return RunFacts("none")
    run = runs.get(run_id)
    if run is None:
        return RunFacts("missing")
    return RunFacts(
        state="deleted" if run.info.lifecycle_stage == "deleted" else "active",
        user=user_of(run.info.user_id, run.data.tags.get(USER_TAG)),
        metrics={key: None if math.isnan(value) else value for key, value in sorted(run.data.metrics.items())},
        params=dict(sorted(run.data.params.items())),
    )


def _figures(found: "ModelVersion", runs: dict[str, "Run"], own: Own) -> Figures:
    return figures(found.run_id or None, _facts(runs, found.run_id), own)


def _quoted(ids: Sequence[str], *, most: int) -> Iterator[str]:
    """The ids as operands of SQL's IN, at most `most` in each; whatever is no plain id is left out."""
    plain = [each for each in ids if PLAIN_ID.fullmatch(each)]
    for start in range(0, len(plain), most):
        yield ",".join(f"'{each}'" for each in plain[start : start + most])


def _row(found: "ModelVersion", aliases: tuple[str, ...], run: Figures, *, wanted: set[str] | None) -> VersionRow:
    metrics = finite_metrics(run.metrics.items())
    return VersionRow(
        model=found.name,
        version=int(found.version),
        stage=stage_of(found.current_stage),
        aliases=aliases,
        status=found.status,
        run_id=found.run_id or None,
        created_at=time_of(found.creation_timestamp),
        description=found.description or "",
        metrics=metrics if wanted is None else {key: value for key, value in metrics.items() if key in wanted},
        params=run.params,
        tags=dict(found.tags),
    )
