"""What the dashboard's process counts for Prometheus: pages, refusals, and what its own look at the registry saw.

Labels are pages, errors and events of Signoff itself: nothing that a visitor or a registry sends becomes one.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import streamlit as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from streamlit.navigation.page import Page

from dashboard.caching import made_once
from dashboard.pages import NAMES
from pipeline.governance.errors import SignoffError
from pipeline.governance.record.ledger import EventType, StoredEvent

HOME = NAMES[0]  # whose address is the server's own
OPENED = "opened"  # of a session: the page that was counted last
RECORDED = (EventType.BASELINE, EventType.OUT_OF_BAND)  # what a look may write: shown from the beginning


@dataclass(frozen=True)
class LastLook:
    """What the last look that was completed saw."""

    out_of_band: int  # changes past the desk that nobody has ended
    pending: int  # decisions that are not applied yet
    at: float  # seconds since 1970


class DashboardMetrics:
    """Counters in a registry of their own, without those of Streamlit."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._last_look: LastLook | None = None
        self._pages = Counter("signoff_pages", "Pages that a visitor opened.", ["page"], registry=registry)
        self._refusals = Counter(
            "signoff_refusals",
            "Pages drawn as a refusal or failure, clicks that ended in one, and scrapes, by the name of the error.",
            ["place", "error"],
            registry=registry,
        )
        self._looks = Counter("signoff_looks", "Own looks at the registry.", ["result"], registry=registry)
        self._recorded = Counter("signoff_recorded_events", "Events that a look wrote.", ["type"], registry=registry)
        for counter, labels in (
            (self._pages, NAMES),
            (self._looks, ("completed", "failed")),
            (self._recorded, [each.value for each in RECORDED]),
        ):
            for label in labels:
                counter.labels(label)
        registry.register(self)

    def opened(self, page: str) -> None:
        """A visitor has come to a page, by its name in pages.NAMES."""
        self._pages.labels(page).inc()

    def refused(self, place: str, error: SignoffError) -> None:
        """place: "page", "click" or "metrics"."""
        self._refusals.labels(place, type(error).__name__).inc()

    def looked(self, *, out_of_band: int, pending: int) -> None:
        """A look was completed."""
        self._looks.labels("completed").inc()
        self._last_look = LastLook(out_of_band, pending, time.time())

    def look_failed(self) -> None:
        """Registry or ledger did not answer; what was seen before stands."""
        self._looks.labels("failed").inc()

    def recorded(self, events: Iterable[StoredEvent]) -> None:
        """A look has written these events."""
        for each in events:
            self._recorded.labels(str(each.event.type)).inc()

    def collect(self) -> Iterator[Metric]:
        """Gauges of the last look, which are there once one was completed."""
        if (look := self._last_look) is None:
            return
        text = "Changes past the desk that nobody has adopted or reverted."
        yield GaugeMetricFamily("signoff_out_of_band_changes", text, value=look.out_of_band)
        yield GaugeMetricFamily("signoff_pending_decisions", "Decisions that are not applied yet.", value=look.pending)
        text = "When the last look was completed, in seconds since 1970."
        yield GaugeMetricFamily("signoff_look_timestamp_seconds", text, value=look.at)

    def text(self) -> bytes:
        """Every metric in Prometheus' text format."""
        return generate_latest(self._registry)


@made_once
def metrics() -> DashboardMetrics:
    """Of this process."""
    return DashboardMetrics()


def count_opened(page: Page) -> None:
    """Counts a page when a visitor comes to it, not when it is drawn anew."""
    name = page.url_path or HOME
    if st.session_state.get(OPENED) != name:
        st.session_state[OPENED] = name
        metrics().opened(name)
