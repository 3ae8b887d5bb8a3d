"""Reading the registry's records with SQL: 30 to 60 times faster than through MLflow's objects."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.adapters.mlflow.database import Database, Query, has_known_columns, has_known_revision
from pipeline.adapters.mlflow.logged_models import RUNS_OF_MODEL, TableModels, figures, own_of
from pipeline.adapters.mlflow.records import (
    LARGEST,
    PROMPT_TAG,
    REGISTRY_ID_TAG,
    STAGES,
    USER_TAG,
    Origin,
    RunFacts,
    check_version,
    finite_metrics,
    follow,
    gaps_of,
    is_finite,
    no_model,
    no_owner,
    no_version,
    stage_of,
    time_of,
    user_of,
)
from pipeline.governance.lifecycle import ModelState, Stage
from pipeline.governance.ports import ModelRecord, VersionRecord, VersionRow

# For SQLite and PostgreSQL alike, on the schema that `database.py` checks.

IS_MODEL = f"""rm.workspace = 'default' and not exists (
    select 1 from registered_model_tags p where p.workspace = rm.workspace and p.name = rm.name
    and p.key = '{PROMPT_TAG}')"""  # noqa: S608
MODELS = f"""
select rm.name, rm.description, count(mv.version), max(mv.version)
from registered_models rm
left join model_versions mv on mv.workspace = rm.workspace and mv.name = rm.name
    and mv.current_stage <> 'Deleted_Internal'
where {IS_MODEL} and (:all = 1 or rm.name = :name)
group by rm.name, rm.description"""  # noqa: S608
IS_THERE = f"select 1 from registered_models rm where {IS_MODEL} and rm.name = :name"  # noqa: S608
ALIASES = """
select name, alias, version from registered_model_aliases
where workspace = 'default' and (:all = 1 or name = :name) order by alias"""
MODEL_TAGS = """
select name, key, value from registered_model_tags
where workspace = 'default' and (:all = 1 or name = :name) order by key"""
VERSION_STAGES = """
select version, current_stage from model_versions
where workspace = 'default' and name = :name and current_stage <> 'Deleted_Internal' order by version"""
ROWS = """
select mv.version, mv.current_stage, mv.status, mv.run_id, mv.creation_time, mv.description, mv.source{columns}
from model_versions mv{joins}
where mv.workspace = 'default' and mv.name = :name and mv.current_stage <> 'Deleted_Internal'
order by mv.version desc"""
# MLflow's parameters and metrics belong to the run; what a deleted run logged is still there.
METRICS = f"""
select run_uuid, key, case when is_nan then null else value end from latest_metrics
where run_uuid in {RUNS_OF_MODEL} order by key"""  # noqa: S608
PARAMS = f"select run_uuid, key, value from params where run_uuid in {RUNS_OF_MODEL} order by key"  # noqa: S608
VERSION_TAGS = """
select version, key, value from model_version_tags where workspace = 'default' and name = :name order by key"""
ONE_VERSION = """
select mv.version, mv.current_stage, mv.status, mv.run_id, mv.creation_time, mv.description,
    mv.source, mv.status_message, mv.user_id, mv.storage_location
from model_versions mv
where mv.workspace = 'default' and mv.name = :name and mv.version = :version
    and mv.current_stage <> 'Deleted_Internal'"""
ONE_RUN = """
select r.lifecycle_stage, r.user_id, t.value from runs r
left join tags t on t.run_uuid = r.run_uuid and t.key = :user_tag where r.run_uuid = :run"""
MODEL_LOCATION = "select artifact_location from logged_models where model_id = :id and lifecycle_stage <> 'deleted'"
RUN_LOCATION = "select artifact_uri from runs where run_uuid = :id"
RUN_METRICS = """
select key, case when is_nan then null else value end from latest_metrics where run_uuid = :run order by key"""
RUN_PARAMS = "select key, value from params where run_uuid = :run order by key"
ONE_VERSION_TAGS = """
select key, value from model_version_tags
where workspace = 'default' and name = :name and version = :version order by key"""
REGISTRY_ID = """
select t.value from experiment_tags t join experiments e on e.experiment_id = t.experiment_id
where e.workspace = 'default' and e.name = :name and t.key = :key"""


def rows_statement(metrics: int) -> str:
    """Selects one row per version with this many metrics, named by :m0, :m1, ...; NaN and infinity become null."""
    columns = "".join(
        f",\n    case when m{i}.is_nan or abs(m{i}.value) >= :largest then null else m{i}.value end"
        for i in range(metrics)
    )
    joins = "".join(
        f"\nleft join latest_metrics m{i} on m{i}.run_uuid = mv.run_id and m{i}.key = :m{i}" for i in range(metrics)
    )
    return ROWS.format(columns=columns, joins=joins)


def metric_values(names: Sequence[str]) -> dict[str, str]:
    return {f"m{i}": name for i, name in enumerate(names)}


# Parameters that are read when somebody looks at them: a table of 10,000 versions has hundreds of thousands.

Grouped = Mapping[Any, Mapping[str, str]]


class Lazy:
    """The parameters of all versions of one table, read when the first of them is looked at.

    Nobody sees the delay as a difference: MLflow's parameters are written once.
    """

    def __init__(self, read: Callable[[], Grouped]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._params: Grouped | None = None

    def of(self, run: str | None) -> Mapping[str, str]:
        with self._lock:
            if self._params is None:
                self._params = self._read()
        return self._params.get(run, {})


class LazyParams(Mapping[str, str]):
    """The parameters of one version; copies and pickles are plain dictionaries."""

    __slots__ = ("_lazy", "_run")

    def __init__(self, lazy: Lazy, run: str | None) -> None:
        self._lazy = lazy
        self._run = run

    def __getitem__(self, key: str) -> str:
        return self._lazy.of(self._run)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._lazy.of(self._run))

    def __len__(self) -> int:
        return len(self._lazy.of(self._run))

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type[dict[str, str]], tuple[dict[str, str]]]:
        return dict, (dict(self),)


# Above this, one join per metric costs more than reading all metrics row by row.
MOST_JOINS = 12


class SqlReader:
    """Implements Reader on a database whose schema was checked."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._columns_known = False

    def understands(self) -> bool:
        """Whether the database has the schema that the statements are written for."""
        with self._database.connect() as query:
            # The revision may change under a running process; the columns of one revision do not.
            known = has_known_revision(query)
            self._columns_known = self._columns_known or (known and has_known_columns(query))
        return known and self._columns_known

    def models(self) -> list[ModelRecord]:
        return self._models(None)

    def model(self, name: str) -> ModelRecord:
        found = self._models(name)
        if not found:
            raise no_model(name)
        return found[0]

    def _models(self, name: str | None) -> list[ModelRecord]:
        which = {"all": 1 if name is None else 0, "name": name or ""}
        with self._database.connect() as query:
            rows = query(MODELS, which)
            aliases, tags = _grouped(query(ALIASES, which)), _grouped(query(MODEL_TAGS, which))
        return [
            ModelRecord(model, description or "", count, latest, aliases.get(model, {}), tags.get(model, {}))
            for model, description, count, latest in rows
        ]

    def state(self, model: str) -> ModelState:
        with self._database.connect() as query:
            _check_model(query, model)
            aliases = {alias: version for _, alias, version in query(ALIASES, {"all": 0, "name": model})}
            stages = {version: stage_of(stage) for version, stage in query(VERSION_STAGES, {"name": model})}
        return ModelState(aliases, stages)

    def table(self, model: str, metrics: Sequence[str] | None) -> list[VersionRow]:
        wanted = None if metrics is None else sorted(set(metrics))
        with self._database.connect() as query:
            _check_model(query, model)
            rows, measured = _measured(query, model, wanted)
            aliases = _aliases(query, model)
            tags = _grouped(query(VERSION_TAGS, {"name": model}))
            params = _params(query, model) if wanted is None else None
        lazy = Lazy(lambda: self._params(model))
        return [
            VersionRow(
                model,
                version,
                STAGES.get(stage, Stage.NONE),
                aliases.get(version, ()),
                status,
                run or None,
                time_of(created),
                description or "",
                found,
                LazyParams(lazy, version) if params is None else params.get(version, {}),
                tags.get(version, {}),
            )
            for (version, stage, status, run, created, description, *_), found in zip(rows, measured, strict=True)
        ]

    def _params(self, model: str) -> dict[int, Mapping[str, str]]:
        with self._database.connect() as query:
            return _params(query, model)

    def version(self, model: str, version: int) -> VersionRecord:
        check_version(model, version)
        which = {"name": model, "version": version}
        with self._database.connect() as query:
            _check_model(query, model)
            found = query(ONE_VERSION, which)
            if not found:
                raise no_version(model, version)
            aliases, tags = _aliases(query, model), dict(query(ONE_VERSION_TAGS, which))
            _, stage, status, run_id, created, description, source, message, user, _ = found[0]
            run = _run(query, run_id)
            own = figures(run_id or None, run, own_of(query, source or "", run_id))
        row = VersionRow(
            model=model,
            version=version,
            stage=stage_of(stage),
            aliases=aliases.get(version, ()),
            status=status,
            run_id=run_id or None,
            created_at=time_of(created),
            description=description or "",
            metrics=finite_metrics(own.metrics.items()),
            params=own.params,
            tags=tags,
        )
        return VersionRecord(
            row=row,
            source=source or "",
            model_id=follow(self, source or ""),
            status_message=message or "",
            registered_by=user_of(user, run.user),
            gaps=(*gaps_of(row, run, own.metrics), *own.gaps),
            datasets=own.datasets,
        )

    def origin(self, model: str, version: int) -> Origin:
        check_version(model, version)
        with self._database.connect() as query:
            found = query(ONE_VERSION, {"name": model, "version": version})
        if not found:
            raise no_version(model, version)
        source, location = found[0][6] or "", found[0][9]
        return Origin(source, location or source)

    def model_location(self, model_id: str) -> str:
        return self._location(MODEL_LOCATION, model_id, f"logged model {model_id!r}")

    def run_location(self, run_id: str) -> str:
        return self._location(RUN_LOCATION, run_id, f"run {run_id!r}")

    def _location(self, statement: str, owner_id: str, owner: str) -> str:
        with self._database.connect() as query:
            found = query(statement, {"id": owner_id})
        if not found or not found[0][0]:
            raise no_owner(owner)
        return str(found[0][0])

    def registry_id(self, experiment: str) -> str | None:
        with self._database.connect() as query:
            found = query(REGISTRY_ID, {"name": experiment, "key": REGISTRY_ID_TAG})
        return found[0][0] if found else None


def _check_model(query: Query, model: str) -> None:
    if not query(IS_THERE, {"name": model}):
        raise no_model(model)


def _measured(query: Query, model: str, wanted: list[str] | None) -> tuple[list[Any], list[dict[str, float]]]:
    """The versions, newest first, each with the metrics of its logged model, else of its run."""
    if wanted is None or len(wanted) > MOST_JOINS:
        rows = query(rows_statement(0), {"name": model})
        logged = _logged(query, model, wanted)
        runs = [logged.get(row[3], {}) for row in rows]
    else:
        rows = query(rows_statement(len(wanted)), {"name": model, "largest": LARGEST, **metric_values(wanted)})
        runs = [{name: value for name, value in zip(wanted, row[7:], strict=True) if value is not None} for row in rows]
    models = TableModels(query, model, [(row[3], row[6]) for row in rows])
    return rows, [
        ({} if shared else run) if own is None else finite_metrics(own.items())
        for run, own, shared in zip(runs, models.metrics(wanted), models.shared, strict=True)
    ]


def _params(query: Query, model: str) -> dict[int, Mapping[str, str]]:
    """The parameters of each version: its logged model's, else its run's."""
    rows = query(rows_statement(0), {"name": model})
    runs = _grouped(query(PARAMS, {"name": model}))
    models = TableModels(query, model, [(row[3], row[6]) for row in rows])
    return {
        row[0]: own or ({} if shared else runs.get(row[3], {}))
        for row, own, shared in zip(rows, models.params(), models.shared, strict=True)
    }


def _logged(query: Query, model: str, wanted: list[str] | None) -> dict[str, dict[str, float]]:
    names = None if wanted is None else set(wanted)
    logged: dict[str, dict[str, float]] = defaultdict(dict)
    for run, key, value in query(METRICS, {"name": model}):
        if (names is None or key in names) and is_finite(value):
            logged[run][key] = value
    return logged


def _aliases(query: Query, model: str) -> dict[int, tuple[str, ...]]:
    aliases: dict[int, tuple[str, ...]] = {}
    for _, alias, version in sorted(query(ALIASES, {"all": 0, "name": model})):
        aliases[version] = (*aliases.get(version, ()), alias)
    return aliases


def _grouped(rows: Iterable[Any]) -> dict[Any, dict[str, Any]]:
    grouped: dict[Any, dict[str, Any]] = defaultdict(dict)
    for owner, key, value in rows:
        grouped[owner][key] = value
    return grouped


def _run(query: Query, run_id: str | None) -> RunFacts:
    if not run_id:
        return RunFacts("none")
    found = query(ONE_RUN, {"run": run_id, "user_tag": USER_TAG})
    if not found:
        return RunFacts("missing")
    lifecycle, user, user_tag = found[0]
    return RunFacts(
        state="deleted" if lifecycle == "deleted" else "active",
        user=user_of(user, user_tag),
        metrics=dict(query(RUN_METRICS, {"run": run_id})),
        params=dict(query(RUN_PARAMS, {"run": run_id})),
    )
