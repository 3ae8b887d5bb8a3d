"""What a watcher of production saw, for tests."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from pipeline.governance.ports import VersionRecord
from pipeline.governance.record.findings import Window
from pipeline.governance.rules.watching import AccuracyFigure, AccuracyReport, Drift, TrafficReport, WatchReport

DRIFT = Drift("Age", "chi-squared", 1e-9, 1e-8, 0.3, 500, ("missing", "10 to 20"), (0.1, 0.9), (0.4, 0.6), 0.02)
APPROVED = AccuracyFigure(0.93, 0.91, 0.95, 627)


@dataclass
class KnownWatcher:
    """A watcher that saw what the test says."""

    columns: Sequence[Drift] = ()
    predictions: Drift | None = None
    confidence: Drift | None = None
    estimated: AccuracyFigure | None = None
    measured: AccuracyFigure | None = None
    n: int = 500
    gap: str = ""
    traffic: TrafficReport = field(default_factory=TrafficReport)
    asked: list[tuple[int, Window]] = field(default_factory=list)

    def report(self, record: VersionRecord, window: Window, approved: AccuracyFigure | None) -> WatchReport:
        self.asked.append((record.row.version, window))
        return WatchReport(
            record.row.model,
            record.row.version,
            window,
            self.n,
            self.traffic,
            columns=tuple(self.columns),
            predictions=self.predictions,
            confidence=self.confidence,
            accuracy=AccuracyReport(approved, self.estimated, self.measured),
            gap=self.gap,
        )
