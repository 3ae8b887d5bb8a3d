"""The registry of MLflow 2.8 in `old_registry` as that version kept one in a folder: files of YAML, one per thing."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from support.registries import old_store, write_files

META = "meta.yaml"


def old_folder(folder: Path) -> Path:
    """`mlruns`, with the artifacts of its runs to come under each of them."""
    database = old_store(folder)
    mlruns = folder / "mlruns"
    with closing(sqlite3.connect(database)) as connection:
        connection.row_factory = sqlite3.Row

        def rows(table: str) -> Iterable[dict[str, Any]]:
            for row in connection.execute(f"select * from {table}"):
                yield {
                    name: value.replace(f"{folder}/artifacts", str(mlruns / "1")) if isinstance(value, str) else value
                    for name, value in dict(row).items()
                }

        files = {**_tracking(rows), **_registry(rows)}
    write_files(mlruns, {path: content.encode() for path, content in files.items()})
    database.unlink()
    return mlruns


def _tracking(rows: Any) -> Mapping[str, str]:
    files, places = {}, {}
    for each in rows("experiments"):
        files[f"{each['experiment_id']}/{META}"] = yaml.safe_dump(each | {"experiment_id": str(each["experiment_id"])})
    for run in rows("runs"):
        places[run["run_uuid"]] = place = f"{run['experiment_id']}/{run['run_uuid']}"
        meta = run | {"run_id": run["run_uuid"], "run_name": run["name"], "source_type": 4, "status": 3, "tags": []}
        files[f"{place}/{META}"] = yaml.safe_dump(meta)
    for table in ("tags", "params"):
        files |= {f"{places[each['run_uuid']]}/{table}/{each['key']}": each["value"] for each in rows(table)}
    for each in rows("metrics"):
        path = f"{places[each['run_uuid']]}/metrics/{each['key']}"
        files[path] = f"{each['timestamp']} {each['value']} {each['step']}\n"
    return files


def _registry(rows: Any) -> Mapping[str, str]:
    files = {}
    for each in rows("registered_models"):
        files[f"models/{each['name']}/{META}"] = yaml.safe_dump(_stamped(each))
    for each in rows("registered_model_tags"):
        files[f"models/{each['name']}/tags/{each['key']}"] = each["value"]
    for each in rows("registered_model_aliases"):
        files[f"models/{each['name']}/aliases/{each['alias']}"] = str(each["version"])
    for each in rows("model_versions"):
        files[f"models/{each['name']}/version-{each['version']}/{META}"] = yaml.safe_dump(_stamped(each))
    for each in rows("model_version_tags"):
        files[f"models/{each['name']}/version-{each['version']}/tags/{each['key']}"] = each["value"]
    return files


def _stamped(row: Mapping[str, Any]) -> Mapping[str, Any]:
    times = {"creation_timestamp": row["creation_time"], "last_updated_timestamp": row["last_updated_time"]}
    return {name: value for name, value in row.items() if name not in ("creation_time", "last_updated_time")} | times
