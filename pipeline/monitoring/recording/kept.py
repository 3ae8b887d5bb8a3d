"""What the log keeps of answers: hourly counts, and of the sampled ones a row with the columns that may be stored."""

import hmac
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, repeat

from pipeline.governance.text import visible
from pipeline.monitoring.prediction_log import CountKey, CountKind, LoggedPrediction
from pipeline.monitoring.profile import Profile
from pipeline.monitoring.recording.answered import SINGLE, AnsweredTable, Subject
from pipeline.validation.rows import Value

LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)  # upper bounds of bins
LATENCY_LABELS = (*(f"{bound:g}" for bound in LATENCY_SECONDS), "+Inf")  # as Prometheus writes them
MOST_LABEL = 80
CHANCES = 2**32  # that the last eight hexadecimal digits of an id tell apart, which are random


@dataclass(frozen=True)
class StoredColumns:
    """Which columns of a row are stored, and how; the others are not."""

    clear: frozenset[str] = frozenset()  # as they came
    keyed: frozenset[str] = frozenset()  # as an HMAC-SHA256: equal values are seen to be equal, and no more
    key: bytes = field(default=b"", repr=False)

    def keyed_of(self, values: Mapping[str, Value]) -> dict[str, str]:
        return {name: self._keyed(name, value) for name, value in values.items()}

    def _keyed(self, name: str, value: Value) -> str:
        """Of the name too, so that a value is not recognised in another column; 30 and 30.0 are one value."""
        plain = int(value) if isinstance(value, float) and value.is_integer() else value
        return hmac.digest(self.key, json.dumps([name, plain]).encode(), "sha256").hex()


def is_sampled(prediction_id: str, share: float) -> bool:
    """Whether a row is stored. The id decides by its random digits, so that every process decides alike."""
    return share >= 1 or int(prediction_id[-8:], 16) < share * CHANCES


def stored_rows(rows: AnsweredTable, columns: StoredColumns, share: float) -> Iterator[LoggedPrediction]:
    """What is stored of a share of the rows."""
    (resolved, digest), door, _, classes = rows.layout
    given = (rows.ids, rows.at, rows.answers, rows.confidence, rows.chances, rows.warned, rows.seconds)
    stored = rows.rows_of(columns.clear), rows.rows_of(columns.keyed)
    for prediction_id, at, answer, confidence, chances, warned, seconds, clear, hidden in zip(
        *given, *stored, strict=True
    ):
        if is_sampled(prediction_id, share):
            yield LoggedPrediction(
                prediction_id,
                datetime.fromtimestamp(at, UTC),
                resolved.model,
                resolved.version,
                digest,
                resolved.alias,
                door,
                answer,
                confidence,
                dict(zip(classes, chances, strict=True)),
                clear,
                columns.keyed_of(hidden) if hidden else {},
                len(warned),
                None if seconds is None else seconds * 1_000,
            )


def counts_of(rows: AnsweredTable, profile: Profile | None) -> Counter[CountKey]:
    """The hourly counts of rows. profile: of the version that answered them; None counts the traffic only."""
    found: Counter[CountKey] = Counter()
    resolved, digest = rows.layout.subject
    for hour, of_hour in rows.by_hour():
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


def _counted(rows: AnsweredTable, profile: Profile | None) -> Iterator[tuple[CountKind, str, Mapping[str, int]]]:
    """How often each bin was met, by kind and name."""
    yield CountKind.ANSWERED, "", {rows.layout.door.value: len(rows.ids)}
    yield CountKind.LATENCY, "", latency_bins(each for each in rows.seconds if each is not None)
    for name, n in Counter(chain.from_iterable(rows.warned)).items():
        yield CountKind.OUT_OF_RANGE, visible(name, most=MOST_LABEL), {"": n}
    if profile is not None:
        yield from _binned(rows, profile)


def _binned(rows: AnsweredTable, profile: Profile) -> Iterator[tuple[CountKind, str, Mapping[str, int]]]:
    """The bins of values, classes and confidence, by their numbers in the profile."""
    given, absent = dict(zip(rows.layout.columns, rows.values, strict=True)), (None,) * len(rows.ids)
    for name, column in profile.columns.items():
        yield CountKind.COLUMN, name, _as_text(column.bins.counted(given.get(name, absent)))
    classes = [each for each in rows.answers if isinstance(each, SINGLE)]
    yield CountKind.CLASS, "", _as_text(profile.predictions.bins.counted(classes))
    if profile.confidence is not None:
        known = [each for each in rows.confidence if each is not None]
        yield CountKind.CONFIDENCE, "", _as_text(profile.confidence.counted(known))


def _as_text(bins: Mapping[int, int]) -> dict[str, int]:
    return {str(number): n for number, n in bins.items()}


def latency_bins(seconds: Iterable[float]) -> dict[str, int]:
    """How many requests took up to each upper bound, as Prometheus writes them, and longer than the one before."""
    found = Counter(map(bisect_left, repeat(LATENCY_SECONDS), seconds))
    return {LATENCY_LABELS[position]: n for position, n in found.items()}
