"""Whose tables a database holds, told before MLflow opens it: MLflow upgrades an older schema without asking, for good.

The MLflow that owns an upgraded database cannot open it any more.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.adapters.mlflow.database import Database, Schema, SqliteDatabase, database_of
from pipeline.governance.errors import Unavailable
from pipeline.governance.text import visible

# Creating a store takes 5 seconds on a quiet machine; others who start at the same time wait for it.
CREATION_SECONDS = 60.0
# Tables that MLflow had before it numbered its schemas, and those of its registry.
TABLES = ({"experiments", "runs"}, {"registered_models", "model_versions"})
LONGEST_REVISION = 40
NUMBERED = re.compile(r"^(down_revision|revision)\b.*?=\s*[\"'](\w+)[\"']", re.MULTILINE)


def check_schema(uri: str) -> bool:
    """Whether MLflow may open this address as it is; False where its database holds no tables yet.

    Raises Unavailable for a database of another MLflow, older or newer, and for one of another program.
    """
    database = database_of(uri)
    return database is None or holds_registry(database)


def holds_registry(database: Database) -> bool:
    """As check_schema. Where a process of ours is just making the tables, its end is waited for."""
    schema = database.schema()
    if _refusal(schema) and isinstance(database, SqliteDatabase) and _was_made(database.path):
        schema = database.schema()
    if said := _refusal(schema):
        raise Unavailable(said)
    return bool(schema.revisions)


def store_lock(path: Path) -> FileLock:
    """The lock beside a SQLite store, for what only one process may do."""
    return FileLock(f"{path}.lock", timeout=CREATION_SECONDS)


def _was_made(path: Path) -> bool:
    """Whether the tables may be others by now. No lock is made beside a database that has none."""
    if not Path(f"{path}.lock").exists():
        return False
    try:
        with store_lock(path):
            return True
    except (OSError, Timeout):
        return False


def _refusal(schema: Schema) -> str:
    """Why the installed MLflow must not open such a database; empty where it may."""
    tables = {name for name in schema.tables if not name.startswith("alembic_")}
    head, older = installed_revisions()
    if schema.revisions == (head,) or not (tables or schema.revisions):
        return ""
    if not any(each <= tables for each in TABLES):
        return "The registry does not answer: its database belongs to another program."
    revision = visible(" ".join(schema.revisions), most=LONGEST_REVISION) or "none"
    left = f"The registry's database is left as it is: its schema (revision {revision}) is of"
    if set(schema.revisions) <= older:
        return (
            f"{left} an older MLflow; run `mlflow db upgrade` on it after a backup, and know that the MLflow which "
            "uses it now cannot go on then."
        )
    return f"{left} a newer MLflow than this installation knows; upgrade Signoff."


@cache
def installed_revisions() -> tuple[str, frozenset[str]]:
    """The newest schema of the installed MLflow, and every older one: told by its files, without importing it."""
    found = importlib.util.find_spec("mlflow")
    assert found is not None and found.origin is not None  # noqa: S101, PT018 (a requirement of this package)
    steps = Path(found.origin).parent.glob("store/db_migrations/versions/*.py")
    numbers = [NUMBERED.findall(step.read_text(encoding="utf-8")) for step in steps]
    made = {number for pairs in numbers for name, number in pairs if name == "revision"}
    replaced = {number for pairs in numbers for name, number in pairs if name == "down_revision"}
    return next(iter(made - replaced)), frozenset(replaced)
