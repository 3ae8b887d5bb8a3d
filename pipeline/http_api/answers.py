"""What the routes say, as plain data: every prediction with model, version and digest."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.serving.champion import Served, Standing
from pipeline.serving.predictions import Explanations, Prediction, Target
from pipeline.validation.schema import ColumnRule

Json = dict[str, Any]


def about(target: Target) -> Json:
    return {"model": target.resolved.model, "version": target.resolved.version, "digest": target.digest}


def prediction(found: Prediction, notes: Sequence[str]) -> Json:
    """Several labels at once have a probability each, and no class of which one is sure."""
    of_one_class = () if isinstance(found.value, Mapping) else found.probabilities.values()
    return {
        "prediction": found.value,
        "probabilities": dict(found.probabilities),
        "confidence": max(of_one_class, default=None),
        "warnings": [*notes, *found.warnings],
    }


def single(target: Target, found: Prediction, explained: Explanations | None) -> Json:
    answer = {**about(target), **prediction(found, target.notes)}
    return answer if explained is None else {**answer, "explanation": explained.documents[0]}


def health(model: str, standing: Standing) -> Json:
    """For people and for probes: what serves, and whether that is as it should be."""
    served = standing.served
    return {
        "status": "unavailable" if not standing.ready else "degraded" if standing.degraded else "ready",
        "degraded": standing.degraded,
        "reason": standing.reason,
        "model": model,
        "version": served.target.resolved.version if served else None,
        "digest": served.target.digest if served else None,
    }


def model_info(served: Served, standing: Standing) -> Json:
    target, content = served.target, served.target.evidence.content
    return {
        **about(target),
        "alias": target.resolved.alias,
        "champion_since": served.since.isoformat().replace("+00:00", "Z") if served.since else None,
        "degraded": standing.degraded,
        "reason": standing.reason,
        "model_type": target.model_type,
        "classes": list(target.classes),
        "probabilities": target.probabilities,
        "columns": [_column(rule) for rule in served.layout.columns],
        "metrics": {
            each.name: {"value": each.value, "low": each.low, "high": each.high, "n": each.n}
            for each in target.evidence.metrics()
        },
        "run_id": content["run_id"],
        "created_at": content["created_at"],
        "description": content["description"],
        "notes": list(target.notes),
    }


def _column(rule: ColumnRule) -> Json:
    return {
        "name": rule.name,
        "type": rule.kind,
        "unit": rule.unit,
        "minimum": rule.minimum,
        "maximum": rule.maximum,
        "categories": list(rule.categories),
        "required": rule.required,
        "refusal": rule.refusal,
        "default": rule.default,
        "description": rule.description,
        "training_minimum": rule.lowest,
        "training_maximum": rule.highest,
    }
