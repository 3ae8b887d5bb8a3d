"""What the log keeps of an answer: hourly counts, and of a sampled one a row with the columns that may be stored."""

import hmac
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, NamedTuple

from pipeline.governance.text import visible
from pipeline.monitoring.prediction_log import NOTHING, Answer, CountKey, CountKind, Door, LoggedPrediction
from pipeline.monitoring.profile import Profile
from pipeline.serving.predictions import PredictedColumns, Resolved
from pipeline.validation.rows import Row, Value

LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)  # upper bounds of bins
LATENCY_LABELS = (*(f"{bound:g}" for bound in LATENCY_SECONDS), "+Inf")  # as Prometheus writes them
MOST_LABEL = 80
SINGLE = (str, int, float)  # what is predicted where it is no table; truth values are int
CHANCES = 2**32  # that the last eight hexadecimal digits of an id tell apart, which are random


class Subject(NamedTuple):  # as the next one: of what is made for every answer, a tuple is made fastest
    """Which files answered, and what they were called by."""

    resolved: Resolved
    digest: str


class AnsweredRow(NamedTuple):
    """One row that was predicted, as plain values: so many of them go to another process at once."""

    prediction_id: str
    at: float  # seconds since 1970
    subject: Subject
    values: Row
    warned: tuple[str, ...]  # the columns whose values lie outside the training data
    value: Answer  # what was predicted
    probabilities: Mapping[str, float]  # by class, empty where there are none
    door: Door
    seconds: float | None  # until the answer was known; None for rows of a file and all but the first of a request

    @property
    def confidence(self) -> float | None:
        """The largest probability; None where several labels are predicted at once: each has one of its own."""
        return max(self.probabilities.values(), default=None) if isinstance(self.value, SINGLE) else None


@dataclass(frozen=True, slots=True)
class AnsweredColumns:
    """Many rows that were predicted together; they are taken apart by whoever writes, not while a caller waits."""

    ids: Sequence[str]  # one per row that was answered
    at: float  # as in AnsweredRow, and the next four
    subject: Subject
    found: PredictedColumns
    door: Door
    seconds: float | None

    def rows(self) -> Iterator[AnsweredRow]:
        checked, classes = self.found.checked, self.found.classes
        values, *probabilities = (column.to_pylist() for column in self.found.answers.columns)
        chances = zip(*probabilities, strict=True) if probabilities else ((),) * len(values)
        positions = [position for position, usable in enumerate(checked.usable.tolist()) if usable]
        of_request = self.seconds
        for name, position, given, value, chance in zip(
            self.ids, positions, checked.values.to_pylist(), values, chances, strict=True
        ):
            plain = {key: _plain(each) for key, each in given.items()}
            warned = tuple(each.column for each in checked.warnings(position))
            shares = dict(zip(classes, chance, strict=True)) if chance else NOTHING
            yield AnsweredRow(name, self.at, self.subject, plain, warned, value, shares, self.door, of_request)
            of_request = None


def _plain(value: object) -> Value:
    """As a row of JSON would have it: a moment is text."""
    return value if isinstance(value, str | float | bool | int | None) else str(value)


@dataclass(frozen=True)
class StoredColumns:
    """Which columns of a row are stored, and how; the others are not."""

    clear: frozenset[str] = frozenset()  # as they came
    keyed: frozenset[str] = frozenset()  # as an HMAC-SHA256: equal values are seen to be equal, and no more
    key: bytes = field(default=b"", repr=False)

    def clear_of(self, values: Mapping[str, Value]) -> dict[str, Value]:
        return {name: values[name] for name in self.clear if name in values}

    def keyed_of(self, values: Mapping[str, Value]) -> dict[str, str]:
        return {name: self._keyed(name, values[name]) for name in self.keyed if name in values}

    def _keyed(self, name: str, value: Value) -> str:
        """Of the name too, so that a value is not recognised in another column; 30 and 30.0 are one value."""
        plain = int(value) if isinstance(value, float) and value.is_integer() else value
        return hmac.digest(self.key, json.dumps([name, plain]).encode(), "sha256").hex()


def is_sampled(prediction_id: str, share: float) -> bool:
    """Whether a row is stored. The id decides by its random digits, so that every process decides alike."""
    return int(prediction_id[-8:], 16) < share * CHANCES


def stored_row(answered: AnsweredRow, columns: StoredColumns) -> LoggedPrediction:
    """What is stored of a row."""
    prediction_id, at, (resolved, digest), values, warned, value, probabilities, door, seconds = answered
    return LoggedPrediction(
        prediction_id,
        datetime.fromtimestamp(at, UTC),
        resolved.model,
        resolved.version,
        digest,
        resolved.alias,
        door,
        value,
        answered.confidence,
        probabilities,
        columns.clear_of(values),
        columns.keyed_of(values),
        len(warned),
        None if seconds is None else seconds * 1_000,
    )


def counts_of(rows: Sequence[AnsweredRow], profile: Profile | None) -> Counter[CountKey]:
    """The hourly counts of rows that one version answered. profile: None counts the traffic only."""
    found: Counter[CountKey] = Counter()
    for hour, some in groupby(rows, key=lambda row: row.at // 3600):
        of_hour = list(some)
        resolved, digest = of_hour[0].subject
        about = (datetime.fromtimestamp(hour * 3600, UTC), resolved.model, resolved.version, digest)
        for kind, name, counts in _counted(of_hour, profile):
            for label, n in counts.items():
                found[CountKey(*about, kind, name, label)] += n
    return found


def single_count(subject: Subject, at: float, kind: CountKind, *, name: str = "", label: str = "") -> CountKey:
    """The key of one thing that happened; texts of strangers are cut."""
    resolved = subject.resolved
    texts = (visible(name, most=MOST_LABEL), visible(label, most=MOST_LABEL))
    return CountKey(_hour(at), resolved.model, resolved.version, subject.digest, kind, *texts)


def _hour(at: float) -> datetime:
    return datetime.fromtimestamp(at // 3600 * 3600, UTC)


def _counted(
    rows: Sequence[AnsweredRow], profile: Profile | None
) -> Iterator[tuple[CountKind, str, Mapping[str, int]]]:
    """How often each bin was met, by kind and name."""
    yield CountKind.ANSWERED, "", Counter(row.door.value for row in rows)
    yield CountKind.LATENCY, "", Counter(latency_bin(row.seconds) for row in rows if row.seconds is not None)
    for name, n in Counter(name for row in rows for name in row.warned).items():
        yield CountKind.OUT_OF_RANGE, visible(name, most=MOST_LABEL), {"": n}
    if profile is not None:
        yield from _binned(rows, profile)


def _binned(rows: Sequence[AnsweredRow], profile: Profile) -> Iterator[tuple[CountKind, str, Mapping[str, int]]]:
    """The bins of values, classes and confidence, by their numbers in the profile.

    Equal values are counted first, so that the bin of each is looked for once: the largest part of what a log costs.
    """
    values = [row.values for row in rows]
    for name, column in profile.columns.items():
        yield CountKind.COLUMN, name, _bins([given.get(name) for given in values], column.bins.bin_of)
    classes = [row.value for row in rows if isinstance(row.value, SINGLE)]
    yield CountKind.CLASS, "", _bins(classes, profile.predictions.bins.bin_of)
    if profile.confidence is not None:
        known = [highest for row in rows if (highest := row.confidence) is not None]
        yield CountKind.CONFIDENCE, "", _bins(known, profile.confidence.bin_of)


def _bins(values: Iterable[Any], bin_of: Callable[[Any], int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for value, n in Counter(values).items():
        found[str(bin_of(value))] += n
    return found


def latency_bin(seconds: float) -> str:
    """The upper bound, as Prometheus writes it."""
    return LATENCY_LABELS[bisect_left(LATENCY_SECONDS, seconds)]
