"""What the routes say, as plain data: every prediction with model, version and digest."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.http_api.problems import problem_entry
from pipeline.serving.champion import Served, ServingStatus
from pipeline.serving.predictions import Explanations, PredictedColumns, Prediction, Target
from pipeline.validation.columns import CheckedColumns
from pipeline.validation.rows import Problem
from pipeline.validation.schema import ColumnSchema

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


def health(model: str, standing: ServingStatus) -> Json:
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


def model_info(served: Served, standing: ServingStatus) -> Json:
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
        "columns": [_column(rule) for rule in served.schema.columns],
        "metrics": {
            each.name: {"value": each.value, "low": each.low, "high": each.high, "n": each.n}
            for each in target.evidence.metrics()
        },
        "run_id": content["run_id"],
        "created_at": content["created_at"],
        "description": content["description"],
        "notes": list(target.notes),
    }


def _column(rule: ColumnSchema) -> Json:
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


# The answer to many rows, written as text row by row: as objects, a thousand rows would take twice as long.

MOST_PROBLEMS = 10  # of one row


def batch_text(target: Target, checked: CheckedColumns, found: PredictedColumns | None) -> str:
    """JSON; `found`: of the usable rows in their order, None where there are none; checked: as `found` has them."""
    rows = [""] * len(checked.usable)
    for position, problems in checked.problems.items():
        rows[position] = _refused(position + 1, problems)
    for position, text in _predicted(checked, found) if found else ():
        rows[position] = text
    summary = {"n": len(rows), "n_bad": len(checked.problems), "predictions": counts(target, found)}
    head = json.dumps({**about(target), "summary": summary, "notes": list(target.notes)}, allow_nan=False)
    return f'{head[:-1]}, "rows": [{", ".join(rows)}]}}'


def counts(target: Target, found: PredictedColumns | None) -> dict[str, int]:
    """Rows per class; empty where the version predicts a number, or several labels in a table."""
    if found is None or not target.classes or _is_table(found):
        return {}
    return {str(value): count for value, count in Counter(found.answers.column("prediction").to_pylist()).items()}


def _refused(number: int, problems: Sequence[Problem]) -> str:
    return json.dumps({"row": number, "errors": [problem_entry(each) for each in problems[:MOST_PROBLEMS]]})


def _predicted(checked: CheckedColumns, found: PredictedColumns) -> Iterator[tuple[int, str]]:
    """What json.dumps would write: the worker's numbers are finite, and repr is how it writes them."""
    values, *chances = (column.to_pylist() for column in found.answers.columns)
    shape = _shape(found.classes)
    tables = _is_table(found)
    written = {} if tables else {value: json.dumps(value, allow_nan=False) for value in set(values)}
    rows = zip(*chances, strict=True) if chances else ((),) * len(values)
    odd = checked.odd.tolist()
    for position, value, row in zip(np.flatnonzero(checked.usable).tolist(), values, rows, strict=True):
        warnings = json.dumps([each.sentence for each in checked.warnings(position)]) if odd[position] else "[]"
        said = json.dumps(value, allow_nan=False) if tables else written[value]
        yield position, shape % (position + 1, said, *row, repr(max(row)) if row and not tables else "null", warnings)


def _is_table(found: PredictedColumns) -> bool:
    return bool(pa.types.is_struct(found.answers.schema.field("prediction").type))


def _shape(classes: Sequence[str]) -> str:
    chances = ", ".join(f"{json.dumps(name).replace('%', '%%')}: %r" for name in classes)
    return f'{{"row": %d, "prediction": %s, "probabilities": {{{chances}}}, "confidence": %s, "warnings": %s}}'
