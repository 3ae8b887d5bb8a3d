"""While the API answers, a thread looks at what the champion met and records what somebody must look at."""

import logging
import threading
from dataclasses import dataclass, field

import pytest

from pipeline.governance.ports import VersionRecord
from pipeline.governance.record.findings import Window
from pipeline.governance.rules.watching import AccuracyFigure, Watching, WatchReport
from pipeline.http_api.watching import ChampionWatch, watched
from pipeline.settings.monitoring import LogSettings, MonitoringSettings
from support.decisions import champion
from support.desks import MODEL, OpenDesk, build_desk, small_registry
from support.watched import DRIFT, KnownWatcher

SECONDS = 60
OFTEN = 0.0001  # minutes


@dataclass
class TwiceAsked(KnownWatcher):
    """Says when it is asked for the second time: what the first look has found is recorded by then."""

    twice: threading.Event = field(default_factory=threading.Event)

    def report(self, record: VersionRecord, window: Window, approved: AccuracyFigure | None) -> WatchReport:
        found = super().report(record, window, approved)
        if len(self.asked) > 1:
            self.twice.set()
        return found


class Broken(KnownWatcher):
    """Ends with a mistake of ours."""

    def report(self, record: VersionRecord, window: Window, approved: AccuracyFigure | None) -> WatchReport:
        raise ZeroDivisionError


def desk_with(watcher: KnownWatcher) -> OpenDesk:
    """Version 1 is champion."""
    desk = build_desk(small_registry(), watching=Watching(watcher))
    champion(desk, 1)
    return desk


def test_what_must_be_looked_at_is_recorded_once() -> None:
    """However often it is seen."""
    watcher = TwiceAsked([DRIFT])
    desk = desk_with(watcher)

    with watched(desk, MODEL, MonitoringSettings(log=LogSettings(enabled=True), every_minutes=OFTEN)):
        assert watcher.twice.wait(SECONDS)

    assert [each.column for each in desk.findings(MODEL)] == ["Age"]


def test_without_a_log_nobody_looks() -> None:
    """No thread is started."""
    with watched(build_desk(), "unlogged", MonitoringSettings(every_minutes=OFTEN)):
        assert "watch unlogged" not in {each.name for each in threading.enumerate()}


def test_a_look_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A registry that does not answer is a warning, a model without a champion is not; a finding is told too."""
    caplog.set_level(logging.INFO, "pipeline.http_api.watching")
    desk = desk_with(KnownWatcher([DRIFT]))
    watch = ChampionWatch(desk, MODEL, seconds=1)

    ChampionWatch(build_desk(), MODEL, seconds=1).look()
    watch.look()
    desk.registry.down = True
    watch.look()

    assert [each.levelname for each in caplog.records] == ["INFO", "WARNING", "WARNING"]
    assert "has no champion" in caplog.messages[0]
    assert "high: version 1: The column Age holds other values" in caplog.messages[1]
    assert "the registry does not answer" in caplog.messages[2]


def test_a_mistake_of_ours_is_a_look_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """The thread goes on: a watch that has ended would look like one that sees nothing."""
    watch = ChampionWatch(desk_with(Broken()), MODEL, seconds=1)

    watch.look()

    assert watch.state.failed
    assert "ZeroDivisionError" in caplog.text
