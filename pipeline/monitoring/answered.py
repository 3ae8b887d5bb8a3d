"""What the log keeps of an answer: hourly counts, and of a sampled one a row with the columns that may be stored."""

import hmac
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pipeline.governance.text import visible
from pipeline.monitoring.prediction_log import CountKey, CountKind, Door, LoggedPrediction
from pipeline.monitoring.profile import Profile
from pipeline.serving.predictions import PredictedColumns, Prediction, Resolved
from pipeline.validation.rows import CheckedRow, Value

LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)  # upper bounds of bins
BEYOND = "+Inf"
MOST_LABEL = 80
CHANCES = 2**32  # that the last eight hexadecimal digits of an id tell apart, which are random


@dataclass(frozen=True, slots=True)
class Subject:
    """Which files answered, and what they were called by."""

    resolved: Resolved
    digest: str


@dataclass(frozen=True, slots=True)
class AnsweredRow:
    """One row that was predicted."""

    prediction_id: str
    at: float  # seconds since 1970
    subject: Subject
    row: CheckedRow
    found: Prediction
    door: Door
    seconds: float | None  # until the answer was known; None for rows of a file and all but the first of a request

    @property
    def confidence(self) -> float | None:
        """The largest probability; None where several labels are predicted at once: each has one of its own."""
        return None if isinstance(self.found.value, Mapping) else max(self.found.probabilities.values(), default=None)


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
            prediction = Prediction(value, dict(zip(classes, chance, strict=True)) if chance else {})
            row = CheckedRow({key: _plain(each) for key, each in given.items()}, (), checked.warnings(position))
            yield AnsweredRow(name, self.at, self.subject, row, prediction, self.door, of_request)
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
    subject, values = answered.subject, answered.row.values
    return LoggedPrediction(
        prediction_id=answered.prediction_id,
        at=datetime.fromtimestamp(answered.at, UTC),
        model=subject.resolved.model,
        version=subject.resolved.version,
        digest=subject.digest,
        alias=subject.resolved.alias,
        door=answered.door,
        prediction=answered.found.value,
        confidence=answered.confidence,
        probabilities=answered.found.probabilities,
        clear=columns.clear_of(values),
        keyed=columns.keyed_of(values),
        warnings=len(answered.row.warnings),
        milliseconds=None if answered.seconds is None else answered.seconds * 1_000,
    )


def counts_of(rows: Sequence[AnsweredRow], profile: Profile | None) -> Counter[CountKey]:
    """The hourly counts of rows that one version answered. profile: None counts the traffic only."""
    found: Counter[CountKey] = Counter()
    for hour, some in _by_hour(rows).items():
        about = (hour, some[0].subject.resolved.model, some[0].subject.resolved.version, some[0].subject.digest)
        for each, n in Counter(_counted(some, profile)).items():
            found[CountKey(*about, *each)] += n
    return found


def single_count(subject: Subject, at: float, kind: CountKind, *, name: str = "", label: str = "") -> CountKey:
    """The key of one thing that happened; texts of strangers are cut."""
    resolved = subject.resolved
    texts = (visible(name, most=MOST_LABEL), visible(label, most=MOST_LABEL))
    return CountKey(_hour(at), resolved.model, resolved.version, subject.digest, kind, *texts)


def _by_hour(rows: Sequence[AnsweredRow]) -> dict[datetime, list[AnsweredRow]]:
    found: dict[int, list[AnsweredRow]] = {}
    for row in rows:
        found.setdefault(int(row.at // 3600), []).append(row)
    return {datetime.fromtimestamp(hour * 3600, UTC): some for hour, some in found.items()}


def _hour(at: float) -> datetime:
    return datetime.fromtimestamp(at // 3600 * 3600, UTC)


def _counted(rows: Sequence[AnsweredRow], profile: Profile | None) -> Iterator[tuple[CountKind, str, str]]:
    for each in rows:
        yield CountKind.ANSWERED, "", each.door.value
        if each.seconds is not None:
            yield CountKind.LATENCY, "", latency_bin(each.seconds)
        for warning in each.row.warnings:
            yield CountKind.OUT_OF_RANGE, warning.column, ""
    if profile is not None:
        yield from _binned(rows, profile)


def _binned(rows: Iterable[AnsweredRow], profile: Profile) -> Iterator[tuple[CountKind, str, str]]:
    """The bins of values, classes and confidence, by their numbers in the profile."""
    names, confidence = tuple(profile.columns), profile.confidence
    for each in rows:
        for name, number in zip(names, profile.bins_of(each.row.values), strict=True):
            yield CountKind.COLUMN, name, str(number)
        if not isinstance(each.found.value, Mapping):
            yield CountKind.CLASS, "", str(profile.predictions.bins.bin_of(each.found.value))
        if confidence is not None and (highest := each.confidence) is not None:
            yield CountKind.CONFIDENCE, "", str(confidence.bin_of(highest))


def latency_bin(seconds: float) -> str:
    """The upper bound, as Prometheus writes it."""
    return next((f"{bound:g}" for bound in LATENCY_SECONDS if seconds <= bound), BEYOND)
