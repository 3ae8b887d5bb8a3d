"""Prometheus metrics of requests and of what serves; labels are few, whatever callers and models send."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from pipeline.governance.text import visible
from pipeline.serving.champion import ServingStatus
from pipeline.serving.compiled.form import CompiledForm
from pipeline.serving.predictions import Target

__all__ = ["CONTENT_TYPE_LATEST", "HttpMetrics"]

MOST_CLASSES = 50
MOST_VERSIONS = 5  # counters of earlier ones are dropped
OTHER = "other"
SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 15)


class HttpMetrics:
    """Counters in a registry of their own, so that two applications in one process do not add up."""

    def __init__(
        self,
        status: Callable[[], ServingStatus],
        restarts: Callable[[], int],
        compiled: Callable[[], CompiledForm | None] = lambda: None,
    ) -> None:
        """compiled: the compiled form of what serves, see Follower.compiled; None where nothing is to be compiled."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "signoff_http_requests", "Requests by path and status.", ["route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "signoff_http_request_seconds", "Time to answer.", ["route"], buckets=SECONDS, registry=self._registry
        )
        self._predictions = Counter(
            "signoff_predictions",
            "Rows predicted, by version and class.",
            ["model", "version", "class"],
            registry=self._registry,
        )
        self._unauthorized = Counter(
            "signoff_unauthorized", "Requests without a token that is good.", ["door"], registry=self._registry
        )
        for door in ("desk", "predictions"):
            self._unauthorized.labels(door)
        self._versions: deque[tuple[str, str]] = deque()
        # What `labels` gives, which takes longer to find than to count.
        self._of_answers: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._of_classes: dict[tuple[str, str, str], Counter] = {}
        self._registry.register(_CurrentStatus(status, restarts, compiled))

    def add(self, collector: Collector) -> None:
        """Tells what else there is to tell, such as WatchMetrics."""
        self._registry.register(collector)

    def answered(self, route: str, status: int, started: float) -> None:
        """Counts one answer; `started` is the time.perf_counter of its request."""
        known = self._of_answers.get((route, status))
        if known is None:
            known = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._of_answers[route, status] = known
        known[0].inc()
        known[1].observe(time.perf_counter() - started)

    def unauthorized(self, *, desk: bool) -> None:
        """Counts a request that was answered 401; nothing else keeps it."""
        self._unauthorized.labels("desk" if desk else "predictions").inc()

    def predicted(self, target: Target, counts: Mapping[str, int]) -> None:
        """Counts the rows of one answer, by class."""
        version = (target.resolved.model, str(target.resolved.version))
        self._drop_old_versions(version)
        known = target.classes[:MOST_CLASSES]
        for value, count in counts.items():
            self._counter(*version, value if value in known else "").inc(count)

    def text(self) -> bytes:
        """Every metric in Prometheus' text format."""
        return generate_latest(self._registry)

    def _counter(self, model: str, number: str, value: str) -> Counter:
        """Of one class of a version; an empty one stands for all others."""
        found = self._of_classes.get((model, number, value))
        if found is None:
            found = self._predictions.labels(model, number, visible(value, most=80) if value else OTHER)
            self._of_classes[model, number, value] = found
        return found

    def _drop_old_versions(self, version: tuple[str, str]) -> None:
        """Keeps the counters of the last few versions that have answered."""
        if version in self._versions:
            return
        self._versions.append(version)
        while len(self._versions) > MOST_VERSIONS:
            model, number = self._versions.popleft()
            self._predictions.remove_by_labels({"model": model, "version": number})
            self._of_classes = {key: each for key, each in self._of_classes.items() if key[:2] != (model, number)}


class _CurrentStatus:
    """Gauges that are read when Prometheus asks, not counted."""

    def __init__(
        self,
        status: Callable[[], ServingStatus],
        restarts: Callable[[], int],
        compiled: Callable[[], CompiledForm | None],
    ) -> None:
        self._status, self._restarts, self._compiled = status, restarts, compiled

    def collect(self) -> Iterator[Metric]:
        status, form = self._status(), self._compiled()
        gauges = {
            "signoff_ready": ("1 while predictions can be had.", status.ready),
            "signoff_degraded": ("1 while what serves is not the champion as it should be.", status.degraded),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=float(value))
        if form is not None:
            text = "1 while the compiled form answers single rows; not there where serving.http.compile is off."
            yield GaugeMetricFamily("signoff_compiled", text, value=float(form.equal))
        yield CounterMetricFamily(
            "signoff_worker_restarts", "Worker processes started in place of one that died.", value=self._restarts()
        )
        served = status.served
        if served is None:
            return
        resolved, labels = served.target.resolved, ["model", "version", "digest"]
        info = GaugeMetricFamily("signoff_champion", "The version that serves.", labels=labels)
        info.add_metric([resolved.model, str(resolved.version), served.target.digest], 1.0)
        yield info
        if served.since:
            age = (datetime.now(UTC) - served.since).total_seconds()
            text = "Since when the version that serves is champion."
            yield GaugeMetricFamily("signoff_champion_age_seconds", text, value=age)
