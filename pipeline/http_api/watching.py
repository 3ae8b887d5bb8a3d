"""A thread that looks, every so many minutes, at what the champion met, and records what somebody must look at.

What it saw last is what /metrics says about drift, accuracy, findings and gaps: nothing is read while Prometheus waits.
"""

import itertools
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from pipeline.governance.errors import NotFound, SignoffError
from pipeline.governance.record.findings import Severity
from pipeline.governance.rules.watching import WatchReport, WatchRules
from pipeline.governance.service import GovernanceService
from pipeline.monitoring.log_desk import LogDesk
from pipeline.settings.monitoring import MonitoringSettings

LOG = logging.getLogger(__name__)
STEP_SECONDS = 60.0  # at most until the first look, and between two counts of findings and gaps, which cost little


@dataclass(frozen=True)
class WatchState:
    """What the thread saw last; every field is None until it was looked at."""

    report: WatchReport | None = None  # of the last look that succeeded; None also where there is no champion
    looked_at: float | None = None  # when that was, in seconds since 1970
    failed: bool = False  # whether the last look failed
    findings: Mapping[Severity, int] | None = None  # that are open, by severity
    gaps: int | None = None  # blocks of the log, written to in the window, whose process did not close them


class ChampionWatch:
    """Records the findings about the champion of a model, off the way of whoever waits for an answer.

    Of several processes that look at the same time one records a finding, see GovernanceService.record_findings.
    """

    def __init__(
        self,
        service: GovernanceService,
        model: str,
        *,
        seconds: float,
        log: LogDesk | None = None,
        rules: WatchRules | None = None,
    ) -> None:
        """seconds: between two looks. log: None counts no gaps."""
        self._service, self._model, self.seconds = service, model, seconds
        self._log, self.rules = log, rules or WatchRules()
        self.state = WatchState()
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
            report, new = self._service.record_findings(self._model)
        except NotFound as error:  # no champion yet
            LOG.info("not watched: %s", error)
            self.state = replace(self.state, report=None, looked_at=time.time(), failed=False)
        except SignoffError as error:
            LOG.warning("not watched: %s", error)
            self.state = replace(self.state, failed=True)
        except Exception:  # a mistake of ours, or a registry that holds what nobody foresaw: the next look is due
            LOG.exception("not watched")
            self.state = replace(self.state, failed=True)
        else:
            self.state = replace(self.state, report=report, looked_at=time.time(), failed=False)
            for each in new:
                LOG.warning("finding %d, %s: version %d: %s", each.sequence, each.severity, each.version, each.what)

    def count(self) -> None:
        """Counts the findings that are open and the gaps of the log. What is in the way leaves the last numbers."""
        try:
            found = Counter(each.severity for each in self._service.findings(self._model))
            self.state = replace(self.state, findings={each: found[each] for each in Severity})
            if self._log is not None:
                status = self._log.status(self._model)
                since = status.now - self.rules.window
                self.state = replace(self.state, gaps=sum(each.written_at >= since for each in status.gaps))
        except SignoffError as error:
            LOG.info("not counted: %s", error)
        except Exception:
            LOG.exception("not counted")

    def _run(self) -> None:
        step = min(STEP_SECONDS, self.seconds)
        steps = max(1, round(self.seconds / step))  # between two looks
        for turn in itertools.count():
            if self._ending.wait(step):
                return
            if turn % steps == 0:
                self.look()
            self.count()


@contextmanager
def watched(
    service: GovernanceService, model: str, settings: MonitoringSettings, *, log: Callable[[], LogDesk] | None = None
) -> Iterator[ChampionWatch | None]:
    """Watches the champion until the block ends, where there is a log of predictions to look at; else gives None.

    log: makes the log for the desk itself; it is asked for where there is one.
    """
    if not settings.log.enabled:
        yield None
        return
    watch = ChampionWatch(
        service, model, seconds=settings.every_minutes * 60, log=None if log is None else log(), rules=settings.rules()
    )
    watch.start()
    try:
        yield watch
    finally:
        watch.close()
