"""Two versions on the same logged rows: how often they agree, which rows flip, and, with outcomes, which is better."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from pipeline.comparison.intervals import wilson
from pipeline.comparison.rows import Array, Rows, class_names
from pipeline.governance.record.ledger import iso
from pipeline.governance.rules.paired import Paired
from pipeline.monitoring.prediction_log import Answer, LoggedPrediction, ShadowAnswer, StoredPrediction

MOST_FLIPS, MOST_COUNTED = 50, 10


class FlipCount(NamedTuple):
    """A pair of different answers, and to how many rows they were given."""

    prediction: str  # of the version that answered, as text
    shadow: str
    n: int


@dataclass(frozen=True)
class SideBySide:
    """What a version that answered and its shadow said to the same rows."""

    model: str
    version: int  # that answered
    shadow: int  # that was asked aside
    alias: str  # by which the shadow was asked
    since: datetime  # of the oldest of these rows
    until: datetime  # of the newest
    n: int  # rows that both answered
    agree: int  # of these, rows to which both said the same
    interval: tuple[float, float]  # Wilson's, of the share that agrees
    flips: tuple[StoredPrediction, ...]  # the newest rows to which they said different things
    flip_counts: tuple[FlipCount, ...]  # what they said then, the most frequent pairs first
    outcomes: int  # rows of which the outcome is known
    paired: Paired | None  # the shadow minus the version on those; None where there are none that can be compared

    @property
    def share(self) -> float:
        return self.agree / self.n

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "shadow": self.shadow,
            "alias": self.alias,
            "since": iso(self.since),
            "until": iso(self.until),
            "n": self.n,
            "agree": self.agree,
            "share": self.share,
            "interval": list(self.interval),
            "flips": [flip_json(each) for each in self.flips],
            "flip_counts": [
                {"prediction": each.prediction, "shadow": each.shadow, "n": each.n} for each in self.flip_counts
            ],
            "outcomes": self.outcomes,
            "metrics": [] if self.paired is None else [metric_json(each) for each in self.paired.metrics],
        }


def metric_json(found: Any) -> dict[str, Any]:  # noqa: ANN401 (MetricDifference)
    """One metric of the version (a) and of the shadow (b), as `compare` prints it."""
    return {
        "name": found.metric,
        "a": found.incumbent,
        "b": found.candidate,
        "difference": found.difference,
        "interval": [found.low, found.high],
        "verdict": found.verdict,
    }


def flip_json(found: StoredPrediction) -> dict[str, Any]:
    """A row that the two answered differently."""
    return {
        "prediction_id": found.prediction.prediction_id,
        "at": iso(found.prediction.at),
        "prediction": found.prediction.prediction,
        "shadow": None if found.shadow is None else found.shadow.prediction,
        "actual": None if found.outcome is None else found.outcome.actual,
    }


def agreement_of(rows: Sequence[StoredPrediction], *, confidence: float) -> tuple[int, tuple[float, float]]:
    """How many of the rows both answered alike, and Wilson's interval of the share."""
    agree = sum(each.shadow is not None and each.prediction.prediction == each.shadow.prediction for each in rows)
    return agree, wilson(agree, len(rows), confidence)


def flipped(rows: Sequence[StoredPrediction]) -> tuple[StoredPrediction, ...]:
    return tuple(_different(rows)[:MOST_FLIPS])


def flip_counts_of(rows: Sequence[StoredPrediction]) -> tuple[FlipCount, ...]:
    pairs = [(each.prediction.prediction, each.shadow.prediction) for each in _different(rows) if each.shadow]
    found = Counter((str(said), str(shadow)) for said, shadow in pairs)
    return tuple(FlipCount(*pair, n) for pair, n in found.most_common(MOST_COUNTED))


def _different(rows: Sequence[StoredPrediction]) -> list[StoredPrediction]:
    return [each for each in rows if each.shadow and each.prediction.prediction != each.shadow.prediction]


def paired_rows(stored: Sequence[StoredPrediction]) -> tuple[Rows, Rows] | None:
    """The rows with outcomes as `comparison` takes them: of the version that answered, and of its shadow.

    Inputs are the columns that are stored in clear. None where no row has an outcome, where an answer is a table, and
    where numbers were predicted and no outcome is one.
    """
    known = [each for each in stored if each.outcome is not None and each.shadow is not None]
    first: list[LoggedPrediction | ShadowAnswer] = [each.prediction for each in known]
    second: list[LoggedPrediction | ShadowAnswer] = [each.shadow for each in known if each.shadow is not None]
    if not known or any(isinstance(each.prediction, Mapping) for each in (*first, *second)):
        return None
    labels = [str(each.outcome.actual) if isinstance(each.outcome.actual, str) else each.outcome.actual
              for each in known if each.outcome is not None]  # fmt: skip
    inputs = _inputs([each.prediction.clear for each in known])
    ours, theirs = _answers(first), _answers(second)
    numeric = not any(isinstance(value, str) for value in (*ours[0], *theirs[0])) and not (ours[1] or theirs[1])
    actual = _numbers(labels) if numeric else _labels(labels, ours[1] or theirs[1])
    if actual is None:
        return None
    return tuple(_rows(inputs, actual, each, numeric=numeric) for each in (ours, theirs))  # type: ignore[return-value]


Answers = tuple[list[Answer], tuple[str, ...], list[Mapping[str, float]]]


def _answers(given: Sequence[LoggedPrediction | ShadowAnswer]) -> Answers:
    """The predictions, the classes that every row has a probability of, and the probabilities."""
    classes = tuple(given[0].probabilities)
    if any(set(each.probabilities) != set(classes) for each in given):
        classes = ()
    return [each.prediction for each in given], classes, [each.probabilities for each in given]


def _rows(inputs: dict[str, Array], actual: Array, answers: Answers, *, numeric: bool) -> Rows:
    values, classes, probabilities = answers
    predicted = _numbers(values) if numeric else _labels(values, classes)
    assert predicted is not None  # noqa: S101 (numeric says that they are numbers)
    chances = np.array([[each[name] for name in classes] for each in probabilities], dtype=np.float64)
    return Rows(inputs, actual, predicted, classes, chances.reshape(len(values), len(classes)))


def _inputs(rows: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """The columns that every row has: numbers as float64, anything else as text."""
    names = [name for name in rows[0] if all(name in row for row in rows)]
    found: dict[str, Array] = {}
    for name in names:
        values = [row[name] for row in rows]
        numbers = None if any(isinstance(value, str) for value in values) else _numbers(values)
        found[name] = np.array([None if value is None else str(value) for value in values], dtype=object)
        if numbers is not None:
            found[name] = numbers
    return found


def _numbers(values: Sequence[Any]) -> Array | None:
    """None where one of them is no number; a missing one is NaN."""
    try:
        return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _labels(values: Sequence[Any], classes: tuple[str, ...]) -> Array:
    """The names of classes: a model may answer 1, 1.0 or true for the class 1, and somebody tell "1"."""
    numbers = sorted({float(value) for value in values if not isinstance(value, str)})
    names = dict(zip(numbers, class_names(np.array(numbers), classes).tolist(), strict=True))
    found = [value if isinstance(value, str) else str(names[float(value)]) for value in values]
    return np.array(found, dtype=object)
