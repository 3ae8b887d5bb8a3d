"""A thread that looks, every so many minutes, at what the champion met, and records what somebody must look at."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.governance.errors import NotFound, SignoffError
from pipeline.governance.service import GovernanceService
from pipeline.settings.monitoring import MonitoringSettings

LOG = logging.getLogger(__name__)
FIRST_SECONDS = 60.0  # at most until the first look: a process that is often started anew shall look, too


class ChampionWatch:
    """Records the findings about the champion of a model, off the way of whoever waits for an answer.

    Of several processes that look at the same time one records a finding, see GovernanceService.record_findings.
    """

    def __init__(self, service: GovernanceService, model: str, *, seconds: float) -> None:
        """seconds: between two looks."""
        self._service, self._model, self._seconds = service, model, seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {model}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """No look begins after it. One that is under way is not waited for: a registry may take long to answer."""
        self._ending.set()

    def look(self) -> None:
        """Looks once. What is in the way is logged, and the next look may succeed."""
        try:
            _, new = self._service.record_findings(self._model)
        except NotFound as error:  # no champion yet
            LOG.info("not watched: %s", error)
        except SignoffError as error:
            LOG.warning("not watched: %s", error)
        else:
            for each in new:
                LOG.warning("finding %d, %s: version %d: %s", each.sequence, each.severity, each.version, each.what)

    def _run(self) -> None:
        wait = min(FIRST_SECONDS, self._seconds)
        while not self._ending.wait(wait):
            self.look()
            wait = self._seconds


@contextmanager
def watched(service: GovernanceService, model: str, settings: MonitoringSettings) -> Iterator[None]:
    """Watches the champion until the block ends, where there is a log of predictions to look at."""
    watch = ChampionWatch(service, model, seconds=settings.every_minutes * 60)
    if settings.log.enabled:
        watch.start()
    try:
        yield
    finally:
        watch.close()
