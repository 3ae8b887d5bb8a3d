"""Compares a rebuilt version with the recorded one: data, fingerprint, metrics, predictions and environment."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from pipeline.comparison.rows import read_rows, require_same_rows
from pipeline.governance.errors import InvalidInput
from pipeline.governance.ports import Json
from pipeline.governance.record.documents import entry_of, number
from pipeline.reproduce.recorded import RecordedVersion

TOLERANCE = 1e-9  # sums in another order, on another processor, differ by less
# Of the environment, what can change how numbers are summed; a kernel's name, say, cannot.
NUMERICAL = ("python", "packages.", "processor.", "libraries.", "threads.", "cpu_count")
# Values of the moment, or compared by themselves.
NOT_METRICS = ("latency_ms", "fingerprint", "training_key")


class Verdict(StrEnum):
    """What a rebuild says about a version."""

    IDENTICAL = "identical"
    WITHIN = "within_1e-9"
    DIFFERS = "differs"


@dataclass(frozen=True)
class Rebuilt:
    """The files that a rebuild has written."""

    # `data.json`, `fit.json` and `evaluation.json`.
    data: Mapping[str, Json]
    fit: Mapping[str, Json]
    evaluation: Mapping[str, Json]
    # `evaluation_rows.parquet`.
    rows: bytes
    # In the shape of the recorded one.
    environment: Mapping[str, Json]


@dataclass(frozen=True)
class RebuiltDifference:
    """One value that the rebuild gave otherwise, or under which it ran otherwise."""

    # data, fingerprint, metrics or predictions; for a condition: environment.
    part: str
    # Dotted path of the value.
    name: str
    # None where there is no such value.
    recorded: Json
    rebuilt: Json

    def as_json(self) -> dict[str, Json]:
        return {"part": self.part, "name": self.name, "recorded": self.recorded, "rebuilt": self.rebuilt}


def verdict(differences: Sequence[RebuiltDifference], conditions: Sequence[RebuiltDifference]) -> Verdict:
    """IDENTICAL without differences, WITHIN where every number is within the tolerance, else DIFFERS.

    A fingerprint is of exact numbers: where the environment rounds otherwise, another one counts as rounding.
    """
    if not differences:
        return Verdict.IDENTICAL
    rounds_otherwise = any(each.name.startswith(NUMERICAL) for each in conditions)
    within = (_is_near(each) or (each.part == "fingerprint" and rounds_otherwise) for each in differences)
    return Verdict.WITHIN if all(within) else Verdict.DIFFERS


def _is_near(found: RebuiltDifference) -> bool:
    recorded, rebuilt = number(found.recorded), number(found.rebuilt)
    if recorded is None or rebuilt is None:
        return False
    return math.isclose(recorded, rebuilt, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


@dataclass(frozen=True)
class PredictionCheck:
    """The predictions of a rebuild beside the recorded ones, row by row."""

    # Rows compared.
    n: int
    # How many of them got another class.
    other_class: int
    # The largest difference of a class probability.
    largest_difference: float
    # Why they could not be compared; None where they were.
    problem: str | None = None


def result_differences(
    recorded: RecordedVersion, rebuilt: Rebuilt, predictions: PredictionCheck
) -> Iterator[RebuiltDifference]:
    """Yields each result that the rebuild must give again and did not."""
    lineage = recorded.lineage
    pairs = {
        ("data", "sha256"): (lineage.data.sha256, rebuilt.data.get("sha256")),
        ("fingerprint", "fingerprint"): (lineage.fingerprint, rebuilt.fit.get("fingerprint")),
    }
    for (part, name), (first, second) in pairs.items():
        if first != second:
            yield RebuiltDifference(part, name, first, second)
    yield from _unequal("metrics", _measured(recorded.evaluation), _measured(rebuilt.evaluation))
    if predictions.problem is not None:
        yield RebuiltDifference("predictions", "rows", None, predictions.problem)
    if predictions.other_class:
        yield RebuiltDifference("predictions", "rows of another class", 0, predictions.other_class)
    if predictions.largest_difference:
        yield RebuiltDifference(
            "predictions", "largest difference of a probability", 0.0, predictions.largest_difference
        )


def check_predictions(recorded: bytes, rebuilt: bytes) -> PredictionCheck:
    """Compares the predictions row by row; a file that cannot be read, or other rows, are the `problem`."""
    try:
        first, second = read_rows(recorded, "recorded"), read_rows(rebuilt, "rebuilt")
        require_same_rows(first, second)
    except InvalidInput as error:
        return PredictionCheck(0, 0, 0.0, str(error))
    if first.classes != second.classes:
        problem = f"the two have other classes ({len(first.classes)} and {len(second.classes)})"
        return PredictionCheck(0, 0, 0.0, problem)
    # NaN is no number that training writes: as a difference of 1 it cannot hide.
    gaps = np.nan_to_num(np.abs(first.probabilities - second.probabilities), nan=1.0)
    return PredictionCheck(
        n=len(first),
        other_class=int((first.predicted != second.predicted).sum()),
        largest_difference=float(gaps.max(initial=0.0)),
    )


def other_conditions(recorded: RecordedVersion, rebuilt: Rebuilt) -> list[RebuiltDifference]:
    """What differs in the rebuild's environment, of what both recorded; a package that is gone differs too."""
    then, now = dict(recorded.environment_facts), dict(rebuilt.environment)
    named = recorded.environment.packages
    now["packages"] = {name: version for name, version in entry_of(now, "packages").items() if name in named}
    both = then.keys() & now.keys()
    return list(_unequal("environment", *(_flat({name: each[name] for name in both}) for each in (then, now))))


def _measured(evaluation: Mapping[str, Json]) -> dict[str, Json]:
    return _flat({name: value for name, value in evaluation.items() if name not in NOT_METRICS})


def _unequal(part: str, first: Mapping[str, Json], second: Mapping[str, Json]) -> Iterator[RebuiltDifference]:
    for name in sorted({*first, *second}):
        if first.get(name) != second.get(name):
            yield RebuiltDifference(part, name, first.get(name), second.get(name))


def _flat(document: Any, prefix: str = "") -> dict[str, Json]:  # noqa: ANN401 (any JSON)
    """Every number and text of a document, by its dotted path."""
    if isinstance(document, Mapping):
        items = document.items()
    elif isinstance(document, list):
        items = {str(index): value for index, value in enumerate(document)}.items()
    else:
        return {prefix.removesuffix("."): document}
    return {path: value for name, inner in items for path, value in _flat(inner, f"{prefix}{name}.").items()}
