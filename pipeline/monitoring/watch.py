"""What a version met in production, from the counts and outcomes that the log of predictions holds."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.comparison.intervals import Draws
from pipeline.governance.errors import InvalidInput, NotFound
from pipeline.governance.ports import Clock, ModelReader, VersionRecord
from pipeline.governance.record.evidence import manifest_digest
from pipeline.governance.record.findings import Window
from pipeline.governance.rules.watching import (
    AccuracyFigure,
    AccuracyReport,
    Drift,
    HourlyTraffic,
    TrafficReport,
    WatchReport,
)
from pipeline.monitoring.estimate import estimated_accuracy, measured_accuracy
from pipeline.monitoring.prediction_log import Block, CountKind, HourlyCount, PredictionLog, Selection
from pipeline.monitoring.profile import OTHER, BinCounts, ConfidenceCounts, Profile
from pipeline.monitoring.reference import find_profile

PREDICTIONS, CONFIDENCE = "predictions", "confidence"
MOST_OUTCOMES = 100_000  # the newest so many of a window
HALF, NEARLY_ALL = 0.5, 0.95
Bins = Mapping[int, int]  # rows by bin


@dataclass(frozen=True)
class LogWatcher:
    """Implements Watcher over a log of predictions."""

    reader: ModelReader
    log: PredictionLog
    clock: Clock
    draws: Draws  # for the intervals

    def report(self, record: VersionRecord, window: Window, approved: AccuracyFigure | None) -> WatchReport:
        model, version = record.row.model, record.row.version
        counts = self.log.counts(model, since=window.since, until=window.until, version=version)
        try:
            # The number may have been another version's, or its files others, when some of the rows came.
            digest = manifest_digest(self.reader.files(record).files)
            profile, gap = find_profile(self.reader, record), ""
        except (NotFound, InvalidInput) as error:
            digest, profile, gap = None, None, f"Nothing to compare with: {str(error).rstrip('.')}."
        own = [each for each in counts if digest in (None, each.key.digest)]
        traffic = _traffic(own, blocks=self._blocks(model, window), now=self.clock.now())
        if profile is None:
            return WatchReport(model, version, window, 0, traffic, accuracy=AccuracyReport(approved), gap=gap)
        columns, predictions, confidence = _drifts(own, profile)
        measured = self._measured(record, window, profile=profile, digest=digest)
        estimated = None if profile.confidence is None else self._estimated(own, profile.confidence)
        return WatchReport(
            model,
            version,
            window,
            predictions.n,
            traffic,
            columns=columns,
            predictions=predictions,
            confidence=confidence,
            accuracy=AccuracyReport(approved, estimated, measured),
            gap="" if own else "No prediction of this version was logged in this time.",
        )

    def _estimated(self, counts: Iterable[HourlyCount], reference: ConfidenceCounts) -> AccuracyFigure | None:
        return estimated_accuracy(reference, _bins(counts, CountKind.CONFIDENCE).get("", {}), self.draws)

    def _measured(
        self, record: VersionRecord, window: Window, *, profile: Profile, digest: str | None
    ) -> AccuracyFigure | None:
        """Of the rows of the window of which the outcome is known."""
        wanted = Selection(
            record.row.model,
            since=window.since,
            until=window.until,
            version=record.row.version,
            with_outcome=True,
            most=MOST_OUTCOMES,
        )
        rows = [each for each in self.log.predictions(wanted) if each.prediction.digest == digest]
        pairs = [(each.prediction.prediction, each.outcome.actual) for each in rows if each.outcome is not None]
        return measured_accuracy(sum(_same(profile, *pair) for pair in pairs), len(pairs), self.draws)

    def _blocks(self, model: str, window: Window) -> list[Block]:
        """The processes that wrote in the window."""
        return [each for each in self.log.blocks(model) if each.written_at >= window.since]


def _same(profile: Profile, predicted: object, actual: object) -> bool:
    """Whether a prediction came true: a class may be called by its name or by the number that the name is."""
    bin_of = profile.predictions.bins.bin_of
    if isinstance(predicted, Mapping):
        return False
    known = bin_of(predicted) == bin_of(actual)
    return known and (bin_of(actual) > OTHER or str(predicted) == str(actual))


def _drifts(counts: Iterable[HourlyCount], profile: Profile) -> tuple[tuple[Drift, ...], Drift, Drift | None]:
    """The columns, the predictions and the confidence; p adjusted for all of them together."""
    from pipeline.monitoring.drift import compare, controlled  # SciPy's tests: half a second

    found = list(counts)
    by_column = _bins(found, CountKind.COLUMN)
    references: list[tuple[str, BinCounts | ConfidenceCounts, Bins]] = [
        (name, reference, by_column.get(name, {})) for name, reference in profile.columns.items()
    ]
    references.append((PREDICTIONS, profile.predictions, _bins(found, CountKind.CLASS).get("", {})))
    if profile.confidence is not None:
        references.append((CONFIDENCE, profile.confidence, _bins(found, CountKind.CONFIDENCE).get("", {})))
    drifts = controlled([compare(*each) for each in references])
    columns = len(profile.columns)
    return tuple(drifts[:columns]), drifts[columns], drifts[columns + 1] if profile.confidence is not None else None


def _bins(counts: Iterable[HourlyCount], kind: CountKind) -> dict[str, Counter[int]]:
    """Rows by bin, by what was counted; a bin that is no number is none of ours."""
    found: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for each in counts:
        if each.key.kind is kind and each.key.bin.isascii() and each.key.bin.isdecimal():
            found[each.key.name][int(each.key.bin)] += each.n
    return dict(found)


def _traffic(counts: Iterable[HourlyCount], *, blocks: Sequence[Block], now: datetime) -> TrafficReport:
    found = list(counts)
    hours: dict[datetime, Counter[CountKind]] = {}
    for each in found:
        hours.setdefault(each.key.hour, Counter())[each.key.kind] += each.n
    latency = Counter[float]()
    for each in found:
        if each.key.kind is CountKind.LATENCY:
            latency[float(each.key.bin)] += each.n
    return TrafficReport(
        tuple(
            HourlyTraffic(
                hour,
                rows=kinds[CountKind.ANSWERED],
                refused=kinds[CountKind.REFUSED],
                outside=kinds[CountKind.OUT_OF_RANGE],
                failed=kinds[CountKind.FAILED],
            )
            for hour, kinds in sorted(hours.items())
        ),
        p50_ms=_quantile(latency, HALF),
        p95_ms=_quantile(latency, NEARLY_ALL),
        refused=_totals((each.key.name, each.n) for each in found if each.key.kind is CountKind.REFUSED),
        outside=_totals((each.key.name, each.n) for each in found if each.key.kind is CountKind.OUT_OF_RANGE),
        failed=_totals((each.key.bin, each.n) for each in found if each.key.kind is CountKind.FAILED),
        lost=sum(each.lost for each in blocks),
        gaps=sum(each.is_gap(now) for each in blocks),
    )


def _quantile(latency: Mapping[float, int], share: float) -> float | None:
    """The upper bound, in milliseconds, of the step that holds this share of the requests; None beyond the last one."""
    wanted, seen = share * sum(latency.values()), 0
    for bound in sorted(latency):
        seen += latency[bound]
        if seen >= wanted:
            return bound * 1_000 if bound != float("inf") else None
    return None


def _totals(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    """The sum of each name, the largest first."""
    found = Counter[str]()
    for name, n in counts:
        found[name] += n
    return dict(found.most_common())
