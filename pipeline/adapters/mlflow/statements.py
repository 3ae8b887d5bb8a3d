"""The SQL of mlflow_sql.py, for SQLite and PostgreSQL alike, on the schema that mlflow_database.py checks.

Only constants are put into the text; everything else is a bound value.
"""

from collections.abc import Sequence

from pipeline.adapters.mlflow.records import PROMPT_TAG

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
STAGES = """
select version, current_stage from model_versions
where workspace = 'default' and name = :name and current_stage <> 'Deleted_Internal' order by version"""
ROWS = """
select mv.version, mv.current_stage, mv.status, mv.run_id, mv.creation_time, mv.description, mv.source{columns}
from model_versions mv{joins}
where mv.workspace = 'default' and mv.name = :name and mv.current_stage <> 'Deleted_Internal'
order by mv.version desc"""
# MLflow's parameters and metrics belong to the run; what a deleted run logged is still there.
RUNS_OF_MODEL = """(select run_id from model_versions
where workspace = 'default' and name = :name and current_stage <> 'Deleted_Internal')"""
METRICS = f"""
select run_uuid, key, case when is_nan then null else value end from latest_metrics
where run_uuid in {RUNS_OF_MODEL} order by key"""  # noqa: S608
PARAMS = f"select run_uuid, key, value from params where run_uuid in {RUNS_OF_MODEL} order by key"  # noqa: S608
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
MODEL_PLACE = "select artifact_location from logged_models where model_id = :id and lifecycle_stage <> 'deleted'"
RUN_PLACE = "select artifact_uri from runs where run_uuid = :id"
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
    """One row per version with that many metrics beside it, named by :m0, :m1, ...; NaN and infinity become null."""
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
