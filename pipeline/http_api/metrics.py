"""What the API counts, for Prometheus; labels are bounded, whatever callers and models send."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric

from pipeline.governance.text import visible
from pipeline.serving.champion import ServingStatus
from pipeline.serving.predictions import Target

__all__ = ["CONTENT_TYPE_LATEST", "HttpMetrics"]

MOST_CLASSES = 50
MOST_VERSIONS = 5  # counters of earlier ones are dropped
OTHER = "other"
SECONDS = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 5, 15)


class HttpMetrics:
    """A registry of its own, so that two applications in one process do not add up."""

    def __init__(self, standing: Callable[[], ServingStatus], restarts: Callable[[], int]) -> None:
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
        self._versions: deque[tuple[str, str]] = deque()
        self._registry.register(_Now(standing, restarts))

    def answered(self, route: str, status: int, started: float) -> None:
        """started: by time.perf_counter."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(time.perf_counter() - started)

    def predicted(self, target: Target, counts: Mapping[str, int]) -> None:
        """How many rows of each class one answer had."""
        about = (target.resolved.model, str(target.resolved.version))
        self._keep_few(about)
        known = target.classes[:MOST_CLASSES]
        for value, count in counts.items():
            label = visible(value, most=80) if value in known else OTHER
            self._predictions.labels(*about, label).inc(count)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _keep_few(self, about: tuple[str, str]) -> None:
        if about in self._versions:
            return
        self._versions.append(about)
        while len(self._versions) > MOST_VERSIONS:
            model, version = self._versions.popleft()
            self._predictions.remove_by_labels({"model": model, "version": version})


class _Now:
    """What is told as it is when somebody asks."""

    def __init__(self, standing: Callable[[], ServingStatus], restarts: Callable[[], int]) -> None:
        self._standing, self._restarts = standing, restarts

    def collect(self) -> Iterator[Metric]:
        standing = self._standing()
        gauges = {
            "signoff_ready": ("1 while predictions can be had.", standing.ready),
            "signoff_degraded": ("1 while what serves is not the champion as it should be.", standing.degraded),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(name, text, value=float(value))
        yield CounterMetricFamily(
            "signoff_worker_restarts", "Worker processes started in place of one that died.", value=self._restarts()
        )
        served = standing.served
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
