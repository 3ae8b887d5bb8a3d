"""Makes mlflow_2_8.sql: a registry as MLflow 2.8 leaves it, with its 16 tables, as SQL text. Run it in an empty folder.

The tables are made by MLflow's own migrations up to the revision of 2.8; the rows are what its client wrote into them.
FOLDER stands for where the artifacts lie.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy
from alembic import command
from mlflow.store.db.utils import _get_alembic_config
from mlflow.store.tracking.dbmodels.initial_models import Base

REVISION = "acf3f17fdcc7"
MODEL = "churn_classifier"
START = 1_699_000_000_000
RUNS = [f"{number:032x}" for number in (0xA1, 0xA2, 0xA3, 0xA4)]
ACCURACIES = (0.71, 0.84, 0.88, 0.86)
STAGES = ("Archived", "Production", "Staging", "None")


def source(number: int) -> str:
    """The three ways in which programs of that time named a source."""
    plain = f"FOLDER/artifacts/{RUNS[number]}/artifacts/model"
    return (plain, f"file://{plain}", plain, f"runs:/{RUNS[number]}/model")[number]


def fill(database: sqlite3.Connection) -> None:
    def insert(table: str, *values: Any) -> None:
        marks = ", ".join("?" * len(values))
        database.execute(f"insert into {table} values ({marks})", values)

    experiments = (
        "experiments(experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time)"
    )
    insert(experiments, 0, "Default", "FOLDER/artifacts/0", "active", START, START)
    insert(experiments, 1, "churn", "FOLDER/artifacts", "active", START, START)
    insert("registered_models", MODEL, START, START + 9_000, "Who leaves next month.")
    insert("registered_model_tags", "team", "retention", MODEL)
    for number, run in enumerate(RUNS):
        add_run(insert, number, run)
        version, made = number + 1, START + 2_000 * (number + 1)
        insert(
            "model_versions(name, version, creation_time, last_updated_time, description, user_id, current_stage, "
            "source, run_id, status, status_message, run_link, storage_location)",
            *(MODEL, version, made, made, f"Trained with depth {number + 2}.", None, STAGES[number], source(number)),
            *(run, "READY", None, "", source(number)),
        )
        insert("model_version_tags(name, version, key, value)", MODEL, version, "validation", "done")
    insert("registered_model_aliases(name, alias, version)", MODEL, "champion", 2)


def add_run(insert, number: int, run: str) -> None:
    started = START + 2_000 * number
    insert(
        "runs(run_uuid, name, source_type, source_name, user_id, status, start_time, end_time, source_version, "
        "lifecycle_stage, artifact_uri, experiment_id)",
        *(run, f"forest-{number}", "UNKNOWN", "", "ada", "FINISHED", started, started + 900, "", "active"),
        *(f"FOLDER/artifacts/{run}/artifacts", 1),
    )
    insert("tags(key, value, run_uuid)", "mlflow.user", "ada", run)
    insert("params(key, value, run_uuid)", "max_depth", str(number + 2), run)
    for name, value in (("accuracy", ACCURACIES[number]), ("f1_score", ACCURACIES[number] - 0.05)):
        insert("metrics(key, value, timestamp, run_uuid, step, is_nan)", name, value, started, run, 0, False)
        insert("latest_metrics(key, value, timestamp, step, is_nan, run_uuid)", name, value, started, 0, False, run)


def main() -> None:
    made = Path("made.db").absolute()
    engine = sqlalchemy.create_engine(f"sqlite:///{made}")
    Base.metadata.create_all(engine)
    config = _get_alembic_config(f"sqlite:///{made}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)
    engine.dispose()
    with closing(sqlite3.connect(made)) as database:
        with database:
            fill(database)
        Path(sys.argv[1]).write_text("\n".join(database.iterdump()) + "\n", encoding="utf-8")
    made.unlink()


if __name__ == "__main__":
    main()
