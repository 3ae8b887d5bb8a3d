"""How a metric went from version to version: what served meanwhile, what was decided, and which alarms there were.

Versions lie one step apart in the order of their registration, not by the clock: a training registers several within a
minute and the next ones weeks later, so over time they would lie on one another. What happened between two
registrations lies between their places, in its order.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, islice
from statistics import median

from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.metrics import Direction, MetricRules, bounds, not_a_share
from pipeline.governance.ports import Ledger, Registry, VersionRow
from pipeline.governance.record.history import Entry, Period, champion_periods, entry
from pipeline.governance.record.ledger import EventType, iso

ALARMS = (EventType.TAMPERING, EventType.OUT_OF_BAND)
DECISIONS = (EventType.APPLIED, EventType.ADOPTED, EventType.REVERTED)
MARKED = tuple(each.value for each in (*ALARMS, *DECISIONS))
NEWEST_VERSIONS = 200  # are looked at where nobody says which
MOST_POINTS = 300  # more are drawn in groups
MOST_MARKS, MOST_PERIODS = 300, 200
ROOM_BEHIND = 0.06  # of the width: for what happened after the newest version
LEFT = 0.5  # the place where the first version's room begins


@dataclass(frozen=True)
class TrendPoint:
    """A version and its value of the metric."""

    row: VersionRow
    place: int  # 1 for the first of those shown
    value: float | None
    low: float | None  # of its 95 % interval, as the run logged it; None where there is none around the value
    high: float | None
    gap: str | None  # why there is no value, as a sentence
    served: bool  # whether it is or was champion


@dataclass(frozen=True)
class TrendBand:
    """A time in which one version was champion."""

    period: Period
    start: float  # place
    end: float
    value: float | None  # of that version; None where it has none, or where its number belongs to another one now


@dataclass(frozen=True)
class TrendMark:
    """What was decided, or which alarms there were, between two registrations."""

    place: float
    entries: tuple[Entry, ...]  # oldest first
    alarm: bool


@dataclass(frozen=True)
class TrendGroup:
    """Neighbouring versions as one mark, where there are too many to draw each."""

    first: int  # version
    last: int
    place: float
    n: int  # versions with a value
    lowest: float
    middle: float  # median
    highest: float


@dataclass(frozen=True)
class Trend:
    """One metric over the versions of a model."""

    metric: str
    direction: Direction | None  # None: nobody says which end is better
    points: tuple[TrendPoint, ...]
    bands: tuple[TrendBand, ...]
    marks: tuple[TrendMark, ...]
    end: float  # the last place, behind what happened after the last version
    versions: int  # how many the model has
    marked_since: datetime | None  # what was decided before is too much to be marked; None where all is

    @property
    def known(self) -> tuple[TrendPoint, ...]:
        return tuple(point for point in self.points if point.value is not None)

    @property
    def grouped(self) -> bool:
        return len(self.points) > MOST_POINTS

    @property
    def group_size(self) -> int:
        """How many neighbouring versions one mark stands for."""
        return -(-len(self.points) // (MOST_POINTS // 2)) if self.grouped else 1

    def groups(self) -> list[TrendGroup]:
        """Neighbours together; those of which none has a value are left out."""
        return [_group(part) for part in self._parts() if any(point.value is not None for point in part)]

    def gaps(self) -> list[tuple[float, str]]:
        """Where values are missing: the place, and a sentence about the version or the group."""
        if not self.grouped:
            return [(point.place, point.gap) for point in self.points if point.gap]
        counted = [(part, sum(point.gap is not None for point in part)) for part in self._parts()]
        return [
            (_middle(part), f"{n} of versions {part[0].row.version} to {part[-1].row.version} without a value")
            for part, n in counted
            if n
        ]

    def _parts(self) -> list[tuple[TrendPoint, ...]]:
        size = self.group_size
        return [self.points[start : start + size] for start in range(0, len(self.points), size)]


@dataclass(frozen=True)
class TrendRecord:
    """All that is known about a metric of a model, from which a part is shown."""

    metric: str
    direction: Direction | None
    rows: tuple[VersionRow, ...]  # by number
    periods: tuple[Period, ...]  # of champions, the newest MOST_PERIODS
    entries: tuple[Entry, ...]  # decisions and alarms, newest first, at most one more than are marked

    def shown(self, versions: tuple[int, int] | None = None) -> Trend:
        """The versions from one number to another, both included; None: the newest NEWEST_VERSIONS."""
        rows = self.rows[-NEWEST_VERSIONS:]
        if versions is not None:
            rows = tuple(row for row in self.rows if versions[0] <= row.version <= versions[1])
        until = next((row.created_at for row in self.rows if rows and row.version > rows[-1].version), None)
        layout = _Layout(rows, until)
        points = tuple(
            _point(row, place, metric=self.metric, periods=self.periods) for place, row in enumerate(rows, 1)
        )
        return Trend(
            self.metric,
            self.direction,
            points=points,
            bands=tuple(layout.bands(points, self.periods)),
            marks=tuple(layout.marks(self.entries[:MOST_MARKS][::-1])),
            end=layout.end,
            versions=len(self.rows),
            marked_since=layout.cut(self.entries),
        )


@dataclass(frozen=True)
class Trends:
    """Reads what a trend is made of; writes nothing."""

    registry: Registry
    ledger: Ledger
    rules: MetricRules

    def read(self, model: str, metric: str) -> TrendRecord:
        """Raises NotFound for the model; a metric that no version has is a trend without values."""
        rows = self.registry.table(model, [metric, *bounds(metric)])
        return TrendRecord(
            metric,
            self.rules.known_direction(metric),
            rows=tuple(sorted(rows, key=lambda row: row.version)),
            periods=tuple(champion_periods(model, self.ledger.champions(model, MOST_PERIODS))),
            entries=tuple(map(entry, islice(self.ledger.page(model, only=MARKED), MOST_MARKS + 1))),
        )


class _Layout:
    """Where a time lies among versions that are one step apart."""

    def __init__(self, rows: Sequence[VersionRow], until: datetime | None) -> None:
        """rows: by number. until: when the version after them was registered; None where they end with the newest."""
        self.until = until
        # A number is registered after those before it, whatever a clock that was ahead stamped on them.
        self.times = list(accumulate((row.created_at for row in rows), max))
        self.behind = 1.0 if until else max(1.0, ROOM_BEHIND * len(rows))
        self.end = len(rows) + self.behind

    def bands(self, points: Sequence[TrendPoint], periods: Iterable[Period]) -> Iterator[TrendBand]:
        """The periods that meet the versions, cut at their ends."""
        met = [each for each in periods if self.shows(each.start, each.end)]
        places = self._places({time for each in met for time in (each.start, each.end) if time is not None})
        for each in met:
            value = next((point.value for point in points if _is_of(each, point.row)), None)
            yield TrendBand(each, places[each.start], self.end if each.end is None else places[each.end], value)

    def shows(self, start: datetime, end: datetime | None) -> bool:
        if not self.times or (self.until is not None and start >= self.until):
            return False
        return end is None or end > self.times[0]

    def marks(self, entries: Iterable[Entry]) -> Iterator[TrendMark]:
        """One per place and kind."""
        found: dict[tuple[int, bool], list[Entry]] = {}
        for each in entries:
            if each.at is not None and self.shows(each.at, None) and each.at >= self.times[0]:
                found.setdefault((bisect_right(self.times, each.at), each.type in ALARMS), []).append(each)
        for (before, alarm), together in found.items():
            yield TrendMark(self._within(before, 0.5), tuple(together), alarm)

    def cut(self, newest: Sequence[Entry]) -> datetime | None:
        """The time before which versions are shown and nothing is marked, since so much more has happened after it."""
        if len(newest) <= MOST_MARKS:
            return None
        oldest = min((each.at for each in newest if each.at is not None), default=None)
        return oldest if oldest and self.times and self.times[0] < oldest else None

    def _places(self, times: Iterable[datetime]) -> dict[datetime, float]:
        """The places of times: those between the same two registrations at even distances."""
        gaps: dict[int, list[datetime]] = {}
        for time in sorted(times):
            behind = self.until is not None and time >= self.until
            gaps.setdefault(len(self.times) + 1 if behind else bisect_right(self.times, time), []).append(time)
        return {
            time: self._within(before, number / (len(together) + 1))
            for before, together in gaps.items()
            for number, time in enumerate(together, 1)
        }

    def _within(self, before: int, share: float) -> float:
        """The place at a share of the way from one version to the next. before: how many were registered by then."""
        if before == 0:
            return LEFT
        room = self.behind if before == len(self.times) else 1.0
        return min(before + share * room, self.end)


def _point(row: VersionRow, place: int, *, metric: str, periods: Iterable[Period]) -> TrendPoint:
    value, gap = row.metrics.get(metric), None
    if value is None:
        gap = f"version {row.version} has no {metric}"
    elif gap := not_a_share(metric, value):
        value = None
    low, high = (row.metrics.get(name) for name in bounds(metric))
    around = value is not None and low is not None and high is not None and low <= value <= high
    served = CHAMPION in row.aliases or any(_is_of(each, row) for each in periods)
    return TrendPoint(row, place, value, low if around else None, high if around else None, gap, served)


def _is_of(period: Period, row: VersionRow) -> bool:
    """Whether the period is of this very version: a number is given out again after a deletion."""
    return period.version == row.version and period.created_at in (None, iso(row.created_at))


def _middle(part: Sequence[TrendPoint]) -> float:
    return (part[0].place + part[-1].place) / 2


def _group(part: Sequence[TrendPoint]) -> TrendGroup:
    values = [point.value for point in part if point.value is not None]
    return TrendGroup(
        part[0].row.version,
        part[-1].row.version,
        place=_middle(part),
        n=len(values),
        lowest=min(values),
        middle=median(values),
        highest=max(values),
    )
