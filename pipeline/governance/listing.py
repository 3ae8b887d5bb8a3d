"""Models and versions as JSON, as every door lists them."""

from typing import Any

from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.ports import ModelRecord, VersionRow
from pipeline.governance.record.ledger import iso


def model_json(record: ModelRecord, not_approved_here: str | None) -> dict[str, Any]:
    """not_approved_here: why nobody has approved the champion at this desk, see the service's method of that name."""
    return {
        "name": record.name,
        "description": record.description,
        "versions": record.versions,
        "champion": record.aliases.get(CHAMPION),
        "latest": record.latest,
        "not_approved_here": not_approved_here,
    }


def version_json(row: VersionRow) -> dict[str, Any]:
    return {
        "model": row.model,
        "version": row.version,
        "stage": row.stage.value,
        "aliases": list(row.aliases),
        "status": row.status,
        "metrics": dict(row.metrics),
        "params": dict(row.params),
        "tags": dict(row.tags),
        "run_id": row.run_id,
        "created_at": iso(row.created_at),
        "description": row.description,
    }
