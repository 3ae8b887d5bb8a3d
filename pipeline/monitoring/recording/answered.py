"""What the log keeps of an answer: hourly counts, and of a sampled one a row with the columns that may be stored.

Until it is written an answer waits packed: thousands of them that wait as they were given are as many dicts and texts
in the memory that whoever answers is using.
"""

import hmac
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, groupby
from typing import Any, NamedTuple

from msgpack import ExtType, Packer, Unpacker, packb

from pipeline.governance.text import visible
from pipeline.monitoring.prediction_log import NOTHING, Answer, CountKey, CountKind, Door, LoggedPrediction
from pipeline.monitoring.profile import Profile
from pipeline.serving.predictions import PredictedColumns, Resolved
from pipeline.validation.rows import Row, Value

LATENCY_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0)  # upper bounds of bins
LATENCY_LABELS = (*(f"{bound:g}" for bound in LATENCY_SECONDS), "+Inf")  # as Prometheus writes them
MOST_LABEL = 80
SINGLE = (str, int, float)  # what is predicted where it is no table; truth values are int
WHOLE_NUMBER = 1  # MessagePack's code of an extension, which is ours to give
PACKER = Packer()  # it calls nothing of Python, so several threads may ask it
AS_GIVEN = "surrogatepass"  # text that is no UTF-8 stays as it is
DOORS = {each.value: each for each in Door}
CHANCES = 2**32  # that the last eight hexadecimal digits of an id tell apart, which are random


class Subject(NamedTuple):  # as the next ones: of what is made for every answer, a tuple is made fastest
    """Which files answered, and what they were called by."""

    resolved: Resolved
    digest: str


class Layout(NamedTuple):
    """What many packed rows have in common."""

    subject: Subject
    columns: tuple[str, ...]  # the names of their values
    classes: tuple[str, ...]  # of their probabilities, empty where there are none


class PackedRows(NamedTuple):
    """Answered rows of one layout, one after the other in MessagePack."""

    layout: Layout
    n: int
    content: bytes


class AnsweredRow(NamedTuple):
    """One row that was predicted."""

    prediction_id: str
    at: float  # seconds since 1970
    subject: Subject
    values: Row
    warned: tuple[str, ...]  # the columns whose values lie outside the training data
    value: Answer  # what was predicted
    probabilities: Mapping[str, float]  # by class, empty where there are none
    door: Door
    seconds: float | None  # until the answer was known; None for rows of a file and all but the first of a request


def packed(rows: Iterable[AnsweredRow]) -> Iterator[PackedRows]:
    """Rows in their order; those of one layout that follow one another are packed as one."""
    for (subject, columns, classes), some in groupby(rows, key=_layout):
        contents = [_pack(row) for row in some]
        yield PackedRows(Layout(subject, columns, classes), len(contents), b"".join(contents))


def _layout(row: AnsweredRow) -> tuple[Subject, tuple[str, ...], tuple[str, ...]]:
    return row.subject, tuple(row.values), tuple(row.probabilities)


def _pack(row: AnsweredRow) -> bytes:
    """What its layout does not say."""
    prediction_id, at, _, values, warned, value, probabilities, door, seconds = row
    given, chances = tuple(values.values()), tuple(probabilities.values())
    plain = (prediction_id, at, given, warned, value, chances, door, seconds)
    try:
        return bytes(PACKER.pack(plain))
    except (OverflowError, TypeError, UnicodeEncodeError):
        return bytes(packb(plain, default=_beyond, unicode_errors=AS_GIVEN))


class AnsweredTable(NamedTuple):
    """Rows of one layout, each field with one entry per row; see AnsweredRow."""

    layout: Layout
    ids: Sequence[str]
    at: Sequence[float]
    values: Sequence[Sequence[Value]]
    warned: Sequence[Sequence[str]]
    answers: Sequence[Answer]
    chances: Sequence[Sequence[float]]
    doors: Sequence[str]
    seconds: Sequence[float | None]
    # The largest probability; None where several labels are predicted at once: each has one of its own.
    confidence: Sequence[float | None]

    @classmethod
    def of(cls, rows: PackedRows) -> "AnsweredTable":
        reading = Unpacker(max_buffer_size=0, use_list=False, ext_hook=_whole_number, unicode_errors=AS_GIVEN)
        reading.feed(rows.content)
        ids, at, values, warned, answers, chances, doors, seconds = zip(*reading, strict=True)
        confidence = [
            max(each, default=None) if isinstance(answer, SINGLE) else None
            for answer, each in zip(answers, chances, strict=True)
        ]
        return cls(rows.layout, ids, at, values, warned, answers, chances, doors, seconds, confidence)

    def by_hour(self) -> Iterator[tuple[int, "AnsweredTable"]]:
        """The rows of each hour since 1970, in order."""
        for hour, some in groupby(range(len(self.at)), key=lambda position: self.at[position] // 3600):
            positions = list(some)
            layout, *columns = self
            whole = len(positions) == len(self.at)
            picked = columns if whole else [[column[each] for each in positions] for column in columns]
            yield int(hour), AnsweredTable(layout, *picked)

    def picked(self, names: Container[str]) -> Iterator[dict[str, Value]]:
        """Of each row the values of these columns."""
        places = [(name, position) for position, name in enumerate(self.layout.columns) if name in names]
        return ({name: values[position] for name, position in places} for values in self.values)


def _beyond(value: object) -> object:
    """What MessagePack has no form for: a whole number beyond 64 bits keeps its digits, anything else is text."""
    return ExtType(WHOLE_NUMBER, str(value).encode()) if isinstance(value, int) else str(value)


def _whole_number(_code: int, content: bytes) -> int:
    return int(content)


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

    def keyed_of(self, values: Mapping[str, Value]) -> dict[str, str]:
        return {name: self._keyed(name, value) for name, value in values.items()}

    def _keyed(self, name: str, value: Value) -> str:
        """Of the name too, so that a value is not recognised in another column; 30 and 30.0 are one value."""
        plain = int(value) if isinstance(value, float) and value.is_integer() else value
        return hmac.digest(self.key, json.dumps([name, plain]).encode(), "sha256").hex()


def is_sampled(prediction_id: str, share: float) -> bool:
    """Whether a row is stored. The id decides by its random digits, so that every process decides alike."""
    return int(prediction_id[-8:], 16) < share * CHANCES


def stored_rows(rows: AnsweredTable, columns: StoredColumns, share: float) -> Iterator[LoggedPrediction]:
    """What is stored of a share of the rows."""
    (resolved, digest), _, classes = rows.layout
    stored = zip(rows.picked(columns.clear), map(columns.keyed_of, rows.picked(columns.keyed)), strict=True)
    given = (rows.ids, rows.at, rows.warned, rows.answers, rows.chances, rows.doors, rows.seconds, rows.confidence)
    for row, (clear, keyed) in zip(zip(*given, strict=True), stored, strict=True):
        prediction_id, at, warned, answer, chances, door, seconds, confidence = row
        if is_sampled(prediction_id, share):
            yield LoggedPrediction(
                prediction_id,
                datetime.fromtimestamp(at, UTC),
                resolved.model,
                resolved.version,
                digest,
                resolved.alias,
                DOORS[door],
                answer,
                confidence,
                dict(zip(classes, chances, strict=True)),
                clear,
                keyed,
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
    yield CountKind.ANSWERED, "", Counter(rows.doors)
    yield CountKind.LATENCY, "", Counter(latency_bin(each) for each in rows.seconds if each is not None)
    for name, n in Counter(chain.from_iterable(rows.warned)).items():
        yield CountKind.OUT_OF_RANGE, visible(name, most=MOST_LABEL), {"": n}
    if profile is not None:
        yield from _binned(rows, profile)


def _binned(rows: AnsweredTable, profile: Profile) -> Iterator[tuple[CountKind, str, Mapping[str, int]]]:
    """The bins of values, classes and confidence, by their numbers in the profile.

    Equal values are counted first, so that the bin of each is looked for once: the largest part of what a log costs.
    """
    given = dict(zip(rows.layout.columns, zip(*rows.values, strict=True), strict=True))
    absent = (None,) * len(rows.ids)
    for name, column in profile.columns.items():
        yield CountKind.COLUMN, name, _bins(given.get(name, absent), column.bins.bin_of)
    classes = [each for each in rows.answers if isinstance(each, SINGLE)]
    yield CountKind.CLASS, "", _bins(classes, profile.predictions.bins.bin_of)
    if profile.confidence is not None:
        known = [each for each in rows.confidence if each is not None]
        yield CountKind.CONFIDENCE, "", _bins(known, profile.confidence.bin_of)


def _bins(values: Iterable[Any], bin_of: Callable[[Any], int]) -> Counter[str]:
    found: Counter[str] = Counter()
    for value, n in Counter(values).items():
        found[str(bin_of(value))] += n
    return found


def latency_bin(seconds: float) -> str:
    """The upper bound, as Prometheus writes it."""
    return LATENCY_LABELS[bisect_left(LATENCY_SECONDS, seconds)]
