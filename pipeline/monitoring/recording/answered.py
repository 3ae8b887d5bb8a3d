"""Answers on their way into the log: many rows as one table, which waits packed.

Thousands of answers that wait as they were given are as many dicts and texts in the memory that whoever answers is
using, and a table is packed and taken apart in a few steps, whatever its rows.
"""

from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby
from typing import Any, NamedTuple

from msgpack import ExtType, Packer, Unpacker, packb

from pipeline.monitoring.prediction_log import Answer, Door
from pipeline.serving.predictions import PredictedColumns, Prediction, Resolved
from pipeline.validation.rows import CheckedRow, Value

SINGLE = (str, int, float)  # what is predicted where it is no table; truth values are int
WHOLE_NUMBER = 1  # MessagePack's code of an extension, which is ours to give
PACKER = Packer()  # it calls nothing of Python, so several threads may ask it
AS_GIVEN = "surrogatepass"  # text that is no UTF-8 stays as it is


class Subject(NamedTuple):
    """Which files answered, and what they were called by."""

    resolved: Resolved
    digest: str


class Layout(NamedTuple):
    """What the rows of a table have in common."""

    subject: Subject
    door: Door
    columns: tuple[str, ...]  # the names of their values
    classes: tuple[str, ...]  # of their probabilities, empty where there are none


class PackedRows(NamedTuple):
    """Answered rows of one layout: one table in MessagePack, or several, one after the other."""

    layout: Layout
    n: int
    content: bytes


class Told(NamedTuple):
    """The answer to one row, as it was told."""

    prediction_id: str
    at: float  # seconds since 1970
    row: CheckedRow
    found: Prediction
    seconds: float | None  # until the answer was known; None for rows of a file and all but the first of a request


@dataclass(frozen=True)
class AnsweredTable:
    """Answered rows of one layout, column by column."""

    layout: Layout
    ids: Sequence[str]  # one per row, as each of the other fields has but `values`
    at: Sequence[float]
    values: Sequence[Sequence[Value]]  # one column per name of the layout
    warned: Sequence[Sequence[str]]  # the columns whose values lie outside the training data
    answers: Sequence[Answer]  # what was predicted
    chances: Sequence[Sequence[float]]  # the probabilities in the order of the layout's classes
    seconds: Sequence[float | None]  # see Told

    @classmethod
    def of(cls, rows: PackedRows) -> "AnsweredTable":
        """Raises whatever it meets where the content is not what `packed` gives."""
        reading = Unpacker(max_buffer_size=0, use_list=False, ext_hook=_whole_number, unicode_errors=AS_GIVEN)
        reading.feed(rows.content)
        ids, at, values, warned, answers, chances, seconds = zip(*reading, strict=True)
        columns = tuple(_chained(each) for each in zip(*values, strict=True))
        others = map(_chained, (warned, answers, chances, seconds))
        return cls(rows.layout, _chained(ids), _chained(at), columns, *others)

    def packed(self) -> PackedRows:
        plain = (self.ids, self.at, self.values, self.warned, self.answers, self.chances, self.seconds)
        try:
            content = PACKER.pack(plain)
        except (OverflowError, TypeError, UnicodeEncodeError):
            content = packb(plain, default=_beyond, unicode_errors=AS_GIVEN)
        return PackedRows(self.layout, len(self.ids), content)

    @cached_property
    def confidence(self) -> Sequence[float | None]:
        """The largest probabilities; None where several labels are predicted at once: each has one of its own."""
        both = zip(self.answers, self.chances, strict=True)
        return [max(each, default=None) if isinstance(answer, SINGLE) else None for answer, each in both]

    def by_hour(self) -> Iterator[tuple[int, "AnsweredTable"]]:
        """The rows of each hour since 1970, in order."""
        if self.at and min(self.at) // 3600 == (hour := max(self.at) // 3600):  # as nearly always, and quickly seen
            yield int(hour), self
            return
        for hour, some in groupby(range(len(self.at)), key=lambda position: self.at[position] // 3600):
            yield int(hour), self._picked(list(some))

    def _picked(self, positions: Sequence[int]) -> "AnsweredTable":
        def some(column: Sequence[Any]) -> Sequence[Any]:
            return [column[each] for each in positions]

        others = map(some, (self.warned, self.answers, self.chances, self.seconds))
        return AnsweredTable(self.layout, some(self.ids), some(self.at), list(map(some, self.values)), *others)

    def rows_of(self, names: Container[str]) -> Iterator[dict[str, Value]]:
        """Of each row the values of these columns."""
        columns = dict(zip(self.layout.columns, self.values, strict=True))
        picked = {name: column for name, column in columns.items() if name in names}
        if not picked:
            return ({} for _ in self.ids)
        return (dict(zip(picked, each, strict=True)) for each in zip(*picked.values(), strict=True))


def tables_of(subject: Subject, door: Door, told: Iterable[Told]) -> Iterator[AnsweredTable]:
    """The answers of one version in their order."""
    for (names, classes), some in groupby(told, key=_names):
        ids, at, rows, predictions, seconds = zip(*some, strict=True)
        yield AnsweredTable(
            Layout(subject, door, names, classes),
            ids,
            at,
            tuple(zip(*(row.values.values() for row in rows), strict=True)),
            [tuple(each.column for each in row.warnings) if row.warnings else () for row in rows],
            [each.value for each in predictions],
            [tuple(each.probabilities.values()) for each in predictions],
            seconds,
        )


def _names(told: Told) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(told.row.values), tuple(told.found.probabilities)


@dataclass(frozen=True, slots=True)
class AnsweredColumns:
    """Many rows that were predicted together; they are taken apart by whoever writes, not while a caller waits."""

    ids: Sequence[str]  # one per row that was answered
    at: float  # see Told
    subject: Subject
    found: PredictedColumns
    door: Door
    seconds: float | None  # of the request

    def table(self) -> AnsweredTable:
        checked, classes, n = self.found.checked, self.found.classes, len(self.ids)
        answers, *probabilities = (column.to_pylist() for column in self.found.answers.columns)
        positions = [position for position, usable in enumerate(checked.usable.tolist()) if usable]
        names = tuple(checked.values.schema.names)
        return AnsweredTable(
            Layout(self.subject, self.door, names, classes if probabilities else ()),
            self.ids,
            (self.at,) * n,
            [list(map(_plain, column.to_pylist())) for column in checked.values.columns],
            [tuple(each.column for each in checked.warnings(position)) for position in positions],
            answers,
            list(zip(*probabilities, strict=True)) if probabilities else ((),) * n,
            (self.seconds, *(None,) * (n - 1)) if n else (),
        )


def _plain(value: object) -> Value:
    """As a row of JSON would have it: a moment is text."""
    return value if isinstance(value, str | float | bool | int | None) else str(value)


def _chained(columns: Iterable[Sequence[Any]]) -> tuple[Any, ...]:
    return tuple(chain.from_iterable(columns))


def _beyond(value: object) -> object:
    """What MessagePack has no form for: a whole number beyond 64 bits keeps its digits, anything else is text."""
    return ExtType(WHOLE_NUMBER, str(value).encode()) if isinstance(value, int) else str(value)


def _whole_number(_code: int, content: bytes) -> int:
    return int(content)
