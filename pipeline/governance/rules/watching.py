"""WATCH: what a version meets in production beside what was approved, and which of it somebody must look at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from pipeline.governance.ports import VersionRecord
from pipeline.governance.record.findings import Finding, FindingKind, Severity, Window
from pipeline.governance.record.ledger import iso
from pipeline.governance.text import NO_LABELS, called, figure, visible

MOST_NAME = 80
LOG_IS_OFF = "Predictions are not logged: turn monitoring.log on in params.yaml, and restart what serves."


@dataclass(frozen=True)
class WatchRules:
    """From when on a difference is a finding: `monitoring` in the settings."""

    window: timedelta = timedelta(hours=24)  # of a look that nobody gives another one
    fewest_rows: int = 100  # below, nothing is a finding; nor is what fewer outcomes say about the accuracy
    false_discovery_rate: float = 0.05  # of the columns that differ, the share that may do so by chance
    effect: float = 0.1  # Jensen-Shannon distance, 0 to 1, from which a difference is a finding
    high_effect: float = 0.25  # from which it is a high one


@dataclass(frozen=True)
class Drift:
    """One distribution of the window beside that of the held-out rows."""

    name: str  # the column; of predictions and confidence, that word
    test: str  # "chi-squared"; empty where nothing could be tested
    p: float  # of the test alone, 0 to 1
    adjusted: float  # p for all that was tested together: the false-discovery rate at which it counts as different
    effect: float  # Jensen-Shannon distance, 0 (the same) to 1 (nothing in common)
    n: int  # rows of the window
    labels: tuple[str, ...] = ()  # what each bin is called
    before: tuple[float, ...] = ()  # share of the held-out rows in each bin
    now: tuple[float, ...] = ()  # share of the window's rows
    outside: float = 0.0  # share of the window's rows that the training data did not hold

    def as_json(self) -> dict[str, Any]:
        names = ("test", "p", "adjusted", "effect", "n", "outside")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class AccuracyFigure:
    """A share of right predictions with the ends of its interval."""

    value: float
    low: float | None
    high: float | None
    n: int | None  # rows that it rests on

    def as_json(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "n": self.n}

    @property
    def words(self) -> str:
        """With its interval, where it has one."""
        if self.low is None or self.high is None:
            return figure(self.value)
        return f"{figure(self.value)} ({figure(self.low)} to {figure(self.high)})"


@dataclass(frozen=True)
class AccuracyReport:
    """How often a version is right: as approved, as estimated for the window, as measured by outcomes."""

    approved: AccuracyFigure | None = None
    estimated: AccuracyFigure | None = None  # None where the version gives no probabilities, or no rows came
    measured: AccuracyFigure | None = None  # of the rows of the window of which the outcome is known; None: of none

    def is_measured(self, rules: WatchRules) -> bool:
        """Whether enough outcomes are known that what they say goes before the estimate."""
        return self.measured is not None and (self.measured.n or 0) >= rules.fewest_rows

    def now(self, rules: WatchRules) -> AccuracyFigure | None:
        """What was measured where enough outcomes are known, else what is estimated."""
        return self.measured if self.is_measured(rules) else self.estimated

    def as_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in ("approved", "estimated", "measured")}
        return {name: each and each.as_json() for name, each in found.items()}


@dataclass(frozen=True)
class HourlyTraffic:
    """One hour of a version's answers."""

    hour: datetime  # its beginning, UTC
    rows: int  # that were answered
    refused: int  # values that did not fit
    outside: int  # values that the training data did not hold
    failed: int  # requests that ended with an error


@dataclass(frozen=True)
class TrafficReport:
    """What a version answered in the window."""

    hours: tuple[HourlyTraffic, ...] = ()  # oldest first; hours without anything are left out
    # Of requests, the upper end of the step that holds it; None where nothing was timed, or where it took longer than
    # the last step.
    p50_ms: float | None = None
    p95_ms: float | None = None
    refused: Mapping[str, int] = field(default_factory=dict)  # values that did not fit, by column
    outside: Mapping[str, int] = field(default_factory=dict)  # values that the training data did not hold, by column
    failed: Mapping[str, int] = field(default_factory=dict)  # requests, by the name of the error
    lost: int = 0  # answers that were not counted: too many waited to be written, or the log did not take them
    gaps: int = 0  # processes that ended without writing the last of their answers

    def total(self, name: str) -> int:
        """Of one field of HourlyTraffic over all hours."""
        return sum(getattr(each, name) for each in self.hours)

    def as_json(self) -> dict[str, Any]:
        return {
            "rows": self.total("rows"),
            "refused": self.total("refused"),
            "out_of_range": self.total("outside"),
            "failed": self.total("failed"),
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
            "lost": self.lost,
            "gaps": self.gaps,
        }


@dataclass(frozen=True)
class WatchReport:
    """One version in one window of time."""

    model: str
    version: int
    window: Window
    n: int  # rows of which the columns were counted
    traffic: TrafficReport = TrafficReport()
    columns: tuple[Drift, ...] = ()
    predictions: Drift | None = None
    confidence: Drift | None = None
    accuracy: AccuracyReport = AccuracyReport()
    gap: str = ""  # why there is nothing to compare, as one sentence; empty where there is

    @property
    def drifts(self) -> tuple[Drift, ...]:
        """Columns, predictions and confidence."""
        return (*self.columns, *(each for each in (self.predictions, self.confidence) if each is not None))

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "since": iso(self.window.since),
            "until": iso(self.window.until),
            "n": self.n,
            "traffic": self.traffic.as_json(),
            "drift": [{"column": each.name, **each.as_json()} for each in self.columns],
            "predictions": self.predictions and self.predictions.as_json(),
            "confidence": self.confidence and self.confidence.as_json(),
            "accuracy": self.accuracy.as_json(),
            "gap": self.gap or None,
        }


class Watcher(Protocol):
    """Looks at what a version met, by the log of predictions."""

    def report(self, record: VersionRecord, window: Window, approved: AccuracyFigure | None) -> WatchReport:
        """What the version met in the window. A version or a log that says too little is a `gap`, not an error.

        approved: its accuracy as it was approved. Raises Unavailable.
        """


@dataclass(frozen=True)
class NoLog:
    """A desk whose predictions are not logged."""

    def report(self, record: VersionRecord, window: Window, approved: AccuracyFigure | None) -> WatchReport:
        accuracy = AccuracyReport(approved)
        return WatchReport(record.row.model, record.row.version, window, 0, accuracy=accuracy, gap=LOG_IS_OFF)


@dataclass(frozen=True)
class Watching:
    """How a desk watches what serves."""

    watcher: Watcher = NoLog()
    rules: WatchRules = WatchRules()


@dataclass(frozen=True)
class Sighting:
    """What should become a finding."""

    kind: FindingKind
    severity: Severity
    what: str  # one sentence
    column: str | None = None
    figures: Mapping[str, Any] = field(default_factory=dict)

    def is_about_the_same(self, finding: Finding) -> bool:
        return (self.kind.value, self.column) == (finding.kind, finding.column)

    def content(self, report: WatchReport) -> dict[str, Any]:
        """As the event holds it."""
        return {
            "kind": self.kind.value,
            "severity": self.severity.value,
            "column": self.column,
            **report.window.as_json(),
            "n": report.n,
            "what": self.what,
            **self.figures,
        }


def sightings(report: WatchReport, rules: WatchRules, labels: Mapping[str, str] = NO_LABELS) -> list[Sighting]:
    """What somebody must look at: what differs by more than chance explains and by enough to matter, and an accuracy
    below the approved one.
    """
    if report.n < rules.fewest_rows:
        return []
    looked_at = [
        *((FindingKind.COLUMN, each) for each in report.columns),
        (FindingKind.PREDICTIONS, report.predictions),
        (FindingKind.CONFIDENCE, report.confidence),
    ]
    found = [_drifted(kind, drift, rules, labels=labels) for kind, drift in looked_at]
    return [each for each in (_less_accurate(report.accuracy, rules), *found) if each is not None]


def _drifted(
    kind: FindingKind, drift: Drift | None, rules: WatchRules, *, labels: Mapping[str, str]
) -> Sighting | None:
    if drift is None or drift.adjusted > rules.false_discovery_rate or drift.effect < rules.effect:
        return None
    high = drift.effect >= rules.high_effect
    about = (
        f"The column {visible(called(drift.name, labels), most=MOST_NAME)}"
        if kind is FindingKind.COLUMN
        else WORDS[kind]
    )
    change = _largest_change(drift)
    held_out = "the rows that the version was evaluated on"
    return Sighting(
        kind,
        Severity.HIGH if high else Severity.MEDIUM,
        f"{about} {HOLDS[kind]} {held_out} (distance {drift.effect:.2f}{change}).",
        drift.name if kind is FindingKind.COLUMN else None,
        drift.as_json(),
    )


WORDS: Mapping[FindingKind, str] = {
    FindingKind.PREDICTIONS: "The predictions",
    FindingKind.CONFIDENCE: "The confidence of the predictions",
}
HOLDS: Mapping[FindingKind, str] = {
    FindingKind.COLUMN: "holds other values than",
    FindingKind.PREDICTIONS: "are distributed otherwise than on",
    FindingKind.CONFIDENCE: "is distributed otherwise than on",
}


def _largest_change(drift: Drift) -> str:
    """The bin whose share changed most, for the middle of a sentence."""
    steps = [after - before for before, after in zip(drift.before, drift.now, strict=True)]
    if not steps:
        return ""
    most = max(range(len(steps)), key=lambda position: abs(steps[position]))
    before, now = drift.before[most], drift.now[most]
    return f"; {visible(drift.labels[most], most=MOST_NAME)}: {before:.0%} then, {now:.0%} now"


def _less_accurate(accuracy: AccuracyReport, rules: WatchRules) -> Sighting | None:
    """High where even the upper end of the interval lies below the lower end of the approved one."""
    approved, now = accuracy.approved, accuracy.now(rules)
    if approved is None or now is None or now.high is None or now.high >= approved.value:
        return None
    high = approved.low is not None and now.high < approved.low
    how = "measured" if accuracy.is_measured(rules) else "estimated"
    what = f"The {how} accuracy is {now.words}; approved was {approved.words}."
    return Sighting(
        FindingKind.ACCURACY, Severity.HIGH if high else Severity.MEDIUM, what, figures={"accuracy": accuracy.as_json()}
    )


def not_told_yet(sighting: Sighting, window: Window, known: Sequence[Finding]) -> bool:
    """Whether a sighting is to become a finding, beside those of the same version.

    One per column and window: not while one is open, nor for a time that a closed one was about; a high one is told in
    spite of medium ones.
    """
    same = [each for each in known if sighting.is_about_the_same(each)]
    as_urgent = [each for each in same if each.severity.rank >= sighting.severity.rank]
    return not any(each.is_open or each.window.overlaps(window) for each in as_urgent)


def window_until(now: datetime, length: timedelta) -> Window:
    """The window that ends with the present hour: what is counted by the hour cannot be cut finer."""
    until = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    return Window(until - length, until)
