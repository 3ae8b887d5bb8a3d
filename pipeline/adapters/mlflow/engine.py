"""Whether the private schema of MLflow's database is the one that our SQL is written for."""

import sqlite3
from typing import Any

import sqlalchemy

from pipeline.adapters.mlflow.database import REVISION, Query

# The Alembic revision of MLflow 3.17. Any other is read through MLflow's own client, if that may open it.
KNOWN_REVISION = "dc11669786a5"
# One statement per table that mlflow_sql.py reads: it fails where a column is missing.
COLUMNS = (
    "select workspace, name, description from registered_models where 1 = 0",
    "select workspace, name, key, value from registered_model_tags where 1 = 0",
    "select workspace, name, alias, version from registered_model_aliases where 1 = 0",
    """select workspace, name, version, creation_time, description, user_id, current_stage, source, run_id, status,
    status_message, storage_location from model_versions where 1 = 0""",
    "select workspace, name, version, key, value from model_version_tags where 1 = 0",
    "select run_uuid, user_id, lifecycle_stage, artifact_uri from runs where 1 = 0",
    "select run_uuid, key, value from tags where 1 = 0",
    "select run_uuid, key, value from params where 1 = 0",
    "select run_uuid, key, value, is_nan from latest_metrics where 1 = 0",
    """select model_id, source_run_id, name, creation_timestamp_ms, lifecycle_stage, artifact_location
    from logged_models where 1 = 0""",
    """select model_id, run_id, metric_name, metric_timestamp_ms, metric_step, metric_value, dataset_name,
    dataset_digest from logged_model_metrics where 1 = 0""",
    "select model_id, param_key, param_value from logged_model_params where 1 = 0",
    "select experiment_id, workspace, name from experiments where 1 = 0",
    "select experiment_id, key, value from experiment_tags where 1 = 0",
)


def has_known_revision(query: Query) -> bool:
    """False, too, where there is no such table: not MLflow's database, or one that is just being created."""
    return _answers(query, REVISION) == [(KNOWN_REVISION,)]


def has_known_columns(query: Query) -> bool:
    return all(_answers(query, statement) is not None for statement in COLUMNS)


def _answers(query: Query, statement: str) -> list[tuple[Any, ...]] | None:
    """None where the statement names a table or column that is not there."""
    try:
        return [tuple(row) for row in query(statement)]
    except sqlalchemy.exc.ProgrammingError:
        return None
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return None
        raise
