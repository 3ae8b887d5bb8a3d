"""Prometheus metrics of drift, accuracy, findings and the log of predictions, as the watch saw them last.

Labels are bounded: the model, the version that serves, and of its columns the first MOST_COLUMNS; what has no label of
its own is told as one, by the largest value among it.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from pipeline.governance.record.findings import FindingKind
from pipeline.governance.rules.watching import AccuracyReport, Drift, WatchReport, WatchRules, sightings
from pipeline.governance.text import visible
from pipeline.http_api.watching import ChampionWatch, WatchState
from pipeline.monitoring.recording.recorder import RecorderStatus

MOST_COLUMNS = 100
MOST_LABEL = 80  # characters
OTHER_COLUMNS = "other_columns"  # the kind of columns that have no label of their own
ACCURACY = {  # by name of the metric, the field of AccuracyFigure and its description
    "signoff_accuracy": ("value", "Share of right predictions: as approved, estimated for the window, measured in it."),
    "signoff_accuracy_low": ("low", "Lower end of the confidence interval of signoff_accuracy."),
    "signoff_accuracy_high": ("high", "Upper end of the confidence interval of signoff_accuracy."),
    "signoff_accuracy_rows": ("n", "Rows that signoff_accuracy rests on."),
}
Label = tuple[str, str]  # kind, and column where it is about one
Samples = Iterable[tuple[Mapping[str, str], float]]


@dataclass(frozen=True)
class WatchMetrics:
    """A collector of Prometheus' client."""

    model: str
    version: Callable[[], int | None]  # that serves: a report about another one is not told
    watch: ChampionWatch | None  # None where nobody watches
    recorder: Callable[[], RecorderStatus | None] = field(default=lambda: None)

    def collect(self) -> Iterator[Metric]:
        if (status := self.recorder()) is not None:
            yield from _log_metrics(status)
        if self.watch is None:
            return
        state = self.watch.state
        about = {"model": self.model}
        text = "Seconds between two looks at the champion."
        yield _gauge("signoff_watch_every_seconds", text, [(about, self.watch.seconds)])
        yield from _state_metrics(about, state)
        if state.report is not None and state.report.version == self.version():
            yield from _report_metrics(state.report, self.watch.rules)


def _log_metrics(status: RecorderStatus) -> Iterator[Metric]:
    yield CounterMetricFamily("signoff_log_rows", "Answers that this process wrote to the log.", value=status.written)
    text = "Answers that are not in the log: too many waited, or its database did not take them."
    yield CounterMetricFamily("signoff_log_lost", text, value=status.lost)
    yield GaugeMetricFamily("signoff_log_waiting", "What was told and is not in the log yet.", value=status.waiting)
    text = "1 while the log of predictions can be written."
    yield GaugeMetricFamily("signoff_log_writing", text, value=float(status.writing))
    text = "Processes that write the log which took the place of one that had ended."
    yield CounterMetricFamily("signoff_log_writer_restarts", text, value=status.restarts)
    if (shadow := status.shadow) is not None:
        text = "Rows that the shadow has answered."
        yield CounterMetricFamily("signoff_shadow_asked", text, value=shadow.asked)
        text = "Stored rows that the shadow was not asked about, or could not take."
        yield CounterMetricFamily("signoff_shadow_skipped", text, value=shadow.skipped)
        text = "The version that is asked as a shadow; 0 where none can be."
        yield GaugeMetricFamily("signoff_shadow_version", text, value=float(shadow.version or 0))


def _state_metrics(about: Mapping[str, str], state: WatchState) -> Iterator[Metric]:
    yield _gauge("signoff_watch_failed", "1 while the last look at the champion failed.", [(about, state.failed)])
    if state.looked_at is not None:
        text = "When the champion was looked at last, in seconds since 1970."
        yield _gauge("signoff_watch_timestamp_seconds", text, [(about, state.looked_at)])
    if state.findings is not None:
        found = [({**about, "severity": each.value}, n) for each, n in state.findings.items()]
        yield _gauge("signoff_findings_open", "Findings about the model that nobody has closed.", found)
    if state.gaps is not None:
        text = "Processes of the last window that ended without writing the last of their answers to the log."
        yield _gauge("signoff_log_gaps", text, [(about, state.gaps)])


def _report_metrics(report: WatchReport, rules: WatchRules) -> Iterator[Metric]:
    about = {"model": report.model, "version": str(report.version)}
    labels = _labels(report)
    yield _gauge("signoff_watched_rows", "Rows of the window that were compared.", [(about, report.n)])
    effects = [
        *((labels[FindingKind.COLUMN, each.name], each.effect) for each in report.columns),
        *((labels[kind, None], each.effect) for kind, each in _others(report).items() if each is not None),
    ]
    text = "Jensen-Shannon distance between the rows of the window and the held-out ones, 0 (the same) to 1."
    yield _gauge("signoff_drift_effect", text, _samples(about, effects))
    judged = [(labels[each.kind, each.column], each.severity.rank + 1.0) for each in sightings(report, rules)]
    text = "What differs from what was approved, judged as a finding is: 0 nothing, 1 medium, 2 high."
    yield _gauge("signoff_watch_severity", text, _samples(about, [*((each, 0.0) for each in labels.values()), *judged]))
    yield from _accuracy_metrics(about, report.accuracy)


def _others(report: WatchReport) -> dict[FindingKind, Drift | None]:
    return {FindingKind.PREDICTIONS: report.predictions, FindingKind.CONFIDENCE: report.confidence}


def _labels(report: WatchReport) -> dict[tuple[FindingKind, str | None], Label]:
    """The labels of everything that is judged. Names of columns are the registry's text: cut, and only so many."""
    names = [each.name for each in report.columns]
    shown = [(FindingKind.COLUMN.value, visible(name, most=MOST_LABEL)) for name in names[:MOST_COLUMNS]]
    shown += [(OTHER_COLUMNS, "")] * (len(names) - len(shown))
    whole = (FindingKind.PREDICTIONS, FindingKind.CONFIDENCE, FindingKind.ACCURACY)
    found: dict[tuple[FindingKind, str | None], Label] = {(kind, None): (kind.value, "") for kind in whole}
    return found | {(FindingKind.COLUMN, name): label for name, label in zip(names, shown, strict=True)}


def _samples(about: Mapping[str, str], values: Iterable[tuple[Label, float]]) -> Samples:
    """One sample per label: the largest value."""
    found: dict[Label, float] = {}
    for label, value in values:
        found[label] = max(found.get(label, 0.0), value)
    return [({**about, "kind": kind, "column": column}, value) for (kind, column), value in found.items()]


def _accuracy_metrics(about: Mapping[str, str], accuracy: AccuracyReport) -> Iterator[Metric]:
    """Of each source as much as is known of it."""
    known = {"approved": accuracy.approved, "estimated": accuracy.estimated, "measured": accuracy.measured}
    for name, (part, text) in ACCURACY.items():
        values = {source: None if figure is None else getattr(figure, part) for source, figure in known.items()}
        samples = [({**about, "source": source}, value) for source, value in values.items() if value is not None]
        yield _gauge(name, text, samples)


def _gauge(name: str, text: str, samples: Samples) -> Metric:
    """A gauge whose samples have the same labels; one without a sample is not shown."""
    found = GaugeMetricFamily(name, text, labels=[])
    for labels, value in samples:
        found.add_sample(name, dict(labels), float(value))
    return found
