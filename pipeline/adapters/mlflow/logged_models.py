"""Reading with SQL which logged models the versions of a model have, and what was logged for them."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.adapters.mlflow.database import Query
from pipeline.adapters.mlflow.records import LOGGED_MODEL, MOST_HOPS, OTHER_VERSION, RunFacts
from pipeline.governance.metrics import rank_of_dataset
from pipeline.governance.ports import Gap

# The SQL of logged models.
RUNS_OF_MODEL = """(select run_id from model_versions
where workspace = 'default' and name = :name and current_stage <> 'Deleted_Internal')"""
# Logged models came with MLflow 3. What was not a number is stored as 0 there; the run that logged it remembers.
OWN_MODELS = """(select substr(source, 9, 34) from model_versions
where workspace = 'default' and name = :name and current_stage <> 'Deleted_Internal' and source like 'models:/m-%')"""
LINK = """
select model_id, source_run_id, name, creation_timestamp_ms from logged_models
where lifecycle_stage <> 'deleted' and"""
LINKS = f"{LINK} (model_id in {OWN_MODELS} or source_run_id in {RUNS_OF_MODEL}) order by 4 desc, 1"
LINKS_OF_RUN = f"{LINK} source_run_id = :run order by 4 desc, 1"
SOME_LINKS = f"{LINK} model_id in {{models}}"
MODEL_METRICS = """
select o.model_id, o.metric_name, o.metric_timestamp_ms, o.metric_step,
    case when o.metric_value = 0 and exists (
        select 1 from latest_metrics l where l.run_uuid = o.run_id and l.key = o.metric_name and l.is_nan
    ) then null else o.metric_value end, o.dataset_name, o.dataset_digest
from logged_model_metrics o where o.model_id in {models} {where}"""
MEASURED_MODELS = "select distinct model_id from logged_model_metrics where model_id in {models} {where}"
MODEL_PARAMS = """
select model_id, param_key, param_value from logged_model_params where model_id in {models} {where}
order by param_key"""
SOURCES = """
select version, source from model_versions
where workspace = 'default' and name = :name and current_stage <> 'Deleted_Internal'"""

# Which metrics and parameters are a version's own: its logged model's, else those of a run that has no other model.

# As MLflow 3 writes a model's location, and as a program that registers its folder does.
IN_FOLDER = re.compile(r".*/models/(m-[0-9a-f]{32})/artifacts/?", re.DOTALL)
OF_RUN = re.compile(r"runs:/([0-9a-f]{32})/(.+?)/?", re.DOTALL)


class LoggedMetric(NamedTuple):
    """One value of a metric that was logged for a model."""

    name: str
    time: int  # milliseconds since 1970
    step: int
    value: float | None  # None stands for NaN
    dataset: str = ""  # the label of the dataset it was measured on; empty where none was named


class Link(NamedTuple):
    """A logged model that the registry still has."""

    model_id: str  # MLflow's id of the logged model
    run_id: str | None  # the run that logged it
    name: str  # its name in that run


@dataclass(frozen=True)
class Logged:
    """The metrics and parameters that were logged for the model itself, not for its run."""

    metrics: Sequence[LoggedMetric] = ()  # every logged value
    params: Mapping[str, str] = field(default_factory=dict)  # by name


class Own(NamedTuple):
    """The logged model of a version, and the others of its run."""

    link: Link | None  # None where the version has none
    logged: Logged  # what was logged for it
    of_run: Sequence[Link]  # every logged model of its run


NOTHING_OWN = Own(None, Logged(), ())


@dataclass(frozen=True)
class Figures:
    """The metrics and parameters that count for a version."""

    metrics: Mapping[str, float | None]  # None stands for NaN
    params: Mapping[str, str]  # by name
    datasets: Mapping[str, str] = field(default_factory=dict)  # by metric, where it was measured on a named one
    gaps: tuple[Gap, ...] = ()  # what is ambiguous or missing


def dataset_label(name: str | None, digest: str | None) -> str:
    return f"{name} ({digest})" if name and digest else name or digest or ""


def followed(sources: Iterable[str], versions_of: Callable[[str], Mapping[int, str]]) -> list[str]:
    """The sources at the end of chains of copied versions; `versions_of` is asked once per model."""
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
    """What counts for a version: its logged model's, else the run's where it cannot be another model's."""
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


def newest(metrics: Iterable[LoggedMetric]) -> tuple[dict[str, float | None], dict[str, str], list[Gap]]:
    """The values that count, the datasets of those that have one, and a gap for each name with several values.

    Of each dataset the newest counts. Among datasets the value without one comes first, then one that is not for
    training, then the newest.
    """
    by_name: dict[str, dict[str, LoggedMetric]] = defaultdict(dict)
    for each in metrics:
        before = by_name[each.name].get(each.dataset)
        if before is None or _age(before) < _age(each):
            by_name[each.name][each.dataset] = each
    values: dict[str, float | None] = {}
    datasets, gaps = {}, []
    for name, by_dataset in sorted(by_name.items()):
        chosen, *others = sorted(by_dataset.values(), key=_precedence)
        values[name] = chosen.value
        if chosen.dataset:
            datasets[name] = chosen.dataset
        if others:
            gaps.append(Gap(f"metric_of_datasets:{name}", _several(chosen, others)))
    return values, datasets, gaps


def _age(each: LoggedMetric) -> tuple[int, int, float]:
    return each.time, each.step, float("-inf") if each.value is None else each.value


def _precedence(each: LoggedMetric) -> tuple[bool, int, int, int, str]:
    return bool(each.dataset), rank_of_dataset(each.dataset), -each.time, -each.step, each.dataset


def _several(chosen: LoggedMetric, others: Sequence[LoggedMetric]) -> str:
    on = f"as measured on {chosen.dataset}" if chosen.dataset else "as logged without a dataset"
    other_values = ", ".join(
        f"{'no number' if each.value is None else f'{each.value:.4g}'} on {each.dataset}" for each in others
    )
    return f"The metric {chosen.name} counts {on}; it is {other_values}."


MOST_IDS = 500
# A source that names a logged model, and the part of it that is the id.
DIRECT, DIRECT_ID = "models:/m-", slice(8, 42)
# Sources that may lead to one: a copy, a run, a folder of MLflow 3.
LED = re.compile(r"^models:/|^runs:/|/models/m-")
Numbers = Mapping[str, float | None]


@dataclass
class Links:
    """The logged models that are there, by id and by the run that logged them, newest first."""

    by_id: dict[str, Link] = field(default_factory=dict)  # every link, by its model id
    by_run: dict[str | None, list[Link]] = field(default_factory=lambda: defaultdict(list))

    def add(self, rows: Iterable[Any]) -> None:
        for model_id, run_id, name, _ in rows:
            if model_id not in self.by_id:
                self.by_id[model_id] = link = Link(model_id, run_id, name)
                self.by_run[run_id].append(link)

    def of_run(self, run_id: str | None) -> Sequence[Link]:
        return self.by_run.get(run_id, ()) if run_id else ()


class TableModels:
    """The logged model of each version of a table, in a number of queries that does not grow with it."""

    def __init__(self, query: Query, model: str, rows: Sequence[tuple[str | None, str]]) -> None:
        """rows: run id and source of each version."""
        self._query, self._model = query, model
        self.links = Links()
        self.links.add(query(LINKS, {"name": model}))
        ids = self._linked(rows)
        # Models that another version, or a folder, leads to.
        for keys in _chunks({each for each in ids if each and each not in self.links.by_id}):
            placeholders = ", ".join(f":{each}" for each in keys)
            self.links.add(query(SOME_LINKS.format(models=f"({placeholders})"), keys))
        self.ids = [each if each in self.links.by_id else None for each in ids]
        direct = {source[DIRECT_ID] for _, source in rows if source and source.startswith(DIRECT)}
        self._elsewhere = {each for each in self.ids if each} - direct
        pairs = zip(rows, self.ids, strict=True)
        self.shared = [bool(self.links.by_id) and self._is_shared(run, found) for (run, _), found in pairs]

    def _linked(self, rows: Sequence[tuple[str | None, str]]) -> list[str | None]:
        """The id of each version's logged model; queries look up only those that the source does not name."""
        ids = [source[DIRECT_ID] if source and source.startswith(DIRECT) else None for _, source in rows]
        others = [i for i, (_, source) in enumerate(rows) if ids[i] is None and source and LED.search(source)]
        sources = followed((rows[i][1] for i in others), lambda model: dict(self._query(SOURCES, {"name": model})))
        for i, source in zip(others, sources, strict=True):
            ids[i] = linked(source, self.links.of_run(rows[i][0]))
        return ids

    def _is_shared(self, run_id: str | None, model_id: str | None) -> bool:
        of_run = self.links.of_run(run_id)
        if len(of_run) == 1 and of_run[0].model_id == model_id:
            return False
        return not runs_own(run_id, self.links.by_id.get(model_id or ""), of_run)

    def metrics(self, wanted: Sequence[str] | None) -> list[Numbers | None]:
        """The wanted metrics of each version's logged model; None where that has no metric at all."""
        if not self.links.by_id:
            return [None] * len(self.ids)
        own: dict[str, dict[str, float | None]] = {}
        several: set[str] = set()
        rows = self._rows(MODEL_METRICS, wanted)
        for model_id, name, _, _, value, dataset, digest in rows:
            by_name = own.setdefault(model_id, {})
            if name in by_name or dataset or digest:
                several.add(model_id)
            by_name[name] = value
        for model_id, measured in _measured(row for row in rows if row[0] in several).items():
            own[model_id] = newest(measured)[0]
        if wanted is not None and any(each and each not in own for each in self.ids):
            for (model_id,) in self._rows(MEASURED_MODELS, None):
                own.setdefault(model_id, {})
        return [own.get(each) if each else None for each in self.ids]

    def params(self) -> list[Mapping[str, str] | None]:
        own: dict[str, dict[str, str]] = defaultdict(dict)
        for model_id, key, value in self._rows(MODEL_PARAMS, None):
            own[model_id][key] = value
        return [own.get(each) if each else None for each in self.ids]

    def _rows(self, statement: str, wanted: Sequence[str] | None) -> list[Any]:
        names = {f"m{i}": name for i, name in enumerate(wanted or ())}
        where = "" if wanted is None else f"and metric_name in ({', '.join(f':{each}' for each in names) or 'null'})"
        found = self._query(statement.format(models=OWN_MODELS, where=where), {"name": self._model, **names})
        for keys in _chunks(self._elsewhere):
            placeholders = ", ".join(f":{each}" for each in keys)
            found += self._query(statement.format(models=f"({placeholders})", where=where), {**keys, **names})
        return found


def own_of(query: Query, source: str, run_id: str | None) -> Own:
    """The logged model of one version, with what was logged for it."""
    links = Links()
    if run_id:
        links.add(query(LINKS_OF_RUN, {"run": run_id}))
    of_run = tuple(links.of_run(run_id))
    (source,) = followed([source], lambda model: dict(query(SOURCES, {"name": model})))
    found = linked(source, of_run)
    if found and found not in links.by_id:
        links.add(query(SOME_LINKS.format(models="(:id)"), {"id": found}))
    if found not in links.by_id:
        return Own(None, Logged(), of_run)
    return Own(links.by_id[found], _logged(query, found), of_run)


def _logged(query: Query, model_id: str) -> Logged:
    rows = query(MODEL_METRICS.format(models="(:id)", where=""), {"id": model_id})
    params = query(MODEL_PARAMS.format(models="(:id)", where=""), {"id": model_id})
    return Logged(_measured(rows).get(model_id, []), {key: value for _, key, value in params})


def _measured(rows: Iterable[Any]) -> dict[str, list[LoggedMetric]]:
    found: dict[str, list[LoggedMetric]] = defaultdict(list)
    for model_id, name, time, step, value, dataset, digest in rows:
        found[model_id].append(LoggedMetric(name, time, step, value, dataset_label(dataset, digest)))
    return found


def _chunks(ids: Iterable[str]) -> Iterable[dict[str, str]]:
    ordered = sorted(ids)
    for start in range(0, len(ordered), MOST_IDS):
        yield {f"i{i}": each for i, each in enumerate(ordered[start : start + MOST_IDS])}
