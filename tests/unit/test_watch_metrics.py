"""What the API tells Prometheus of the champion in production, with labels that stay few."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.comparison import PairedBootstrap
from pipeline.governance.rules.watching import AccuracyFigure, Watching
from pipeline.http_api.metrics import HttpMetrics, WatchMetrics
from pipeline.http_api.metrics.watch import MOST_COLUMNS
from pipeline.http_api.watching import ChampionWatch
from pipeline.monitoring.log_desk import LogDesk
from pipeline.monitoring.prediction_log import SILENT_AFTER
from pipeline.monitoring.recording.recorder import RecorderStatus, ShadowStatus
from pipeline.serving.champion import ServingStatus
from support.decisions import champion
from support.desks import GRACE, MODEL, REASON, OpenDesk, TickingClock, build_desk, small_registry
from support.watched import DRIFT, KnownWatcher

LOW = AccuracyFigure(0.5, 0.45, 0.55, 500)
Told = dict[str, dict[tuple[str, ...], float]]  # by name, then by the labels' values, in the order of their names


def desk_with(watcher: KnownWatcher) -> OpenDesk:
    """Version 1 is champion."""
    desk = build_desk(small_registry(), watching=Watching(watcher))
    champion(desk, 1)
    return desk


def told(watch: ChampionWatch | None, *, version: int | None = 1, recorder: RecorderStatus | None = None) -> Told:
    """What /metrics says beside requests."""
    metrics = HttpMetrics(lambda: ServingStatus(None), lambda: 0)
    metrics.add(WatchMetrics(MODEL, lambda: version, watch, lambda: recorder))
    found: Told = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            labels = tuple(value for name, value in sorted(sample.labels.items()) if name != "model")
            values = found.setdefault(sample.name, {})
            assert labels not in values, "a series is told once"
            values[labels] = sample.value
    return found


def test_drift_and_accuracy_are_told_as_they_were_seen_last() -> None:
    """Distances, what is judged of them, accuracies with the ends of their intervals, and the open findings."""
    watcher = KnownWatcher([DRIFT, replace(DRIFT, name="Weight", effect=0.01)], estimated=LOW)
    watch = ChampionWatch(desk_with(watcher), MODEL, seconds=1)
    watch.look()
    watch.count()

    found = told(watch)
    assert found["signoff_drift_effect"] == {("Age", "column", "1"): 0.3, ("Weight", "column", "1"): 0.01}
    severities = {key[:2]: value for key, value in found["signoff_watch_severity"].items()}
    assert severities == {
        ("Age", "column"): 2,
        ("Weight", "column"): 0,
        ("", "predictions"): 0,
        ("", "confidence"): 0,
        ("", "accuracy"): 2,
    }
    assert found["signoff_accuracy"][("estimated", "1")] == 0.5
    assert found["signoff_accuracy_low"][("estimated", "1")] == 0.45
    assert found["signoff_accuracy_high"][("estimated", "1")] == 0.55
    assert found["signoff_accuracy_rows"][("estimated", "1")] == 500
    assert ("approved", "1") in found["signoff_accuracy"]
    assert ("measured", "1") not in found["signoff_accuracy"]
    assert found["signoff_watched_rows"] == {("1",): 500}
    assert found["signoff_findings_open"] == {("medium",): 0, ("high",): 2}
    assert found["signoff_watch_failed"] == {(): 0}
    assert found["signoff_watch_every_seconds"] == {(): 1}
    assert found["signoff_watch_timestamp_seconds"][()] > 1.7e9


def test_a_finding_that_is_closed_is_no_longer_counted() -> None:
    """Without another look at production."""
    desk = desk_with(KnownWatcher([DRIFT]))
    watch = ChampionWatch(desk, MODEL, seconds=1)
    watch.look()
    desk.close_finding(desk.findings(MODEL)[0].sequence, reason=REASON, actor=GRACE)
    watch.count()

    assert told(watch)["signoff_findings_open"] == {("medium",): 0, ("high",): 0}


def test_columns_have_few_labels() -> None:
    """Names are cut; those beyond the most, and those that look alike then, are told by the largest value."""
    long = [replace(DRIFT, name="x" * 90 + end, effect=effect) for end, effect in (("a", 0.2), ("b", 0.3))]
    many = [replace(DRIFT, name=f"column {number}", effect=number / 1000) for number in range(MOST_COLUMNS + 50)]
    watch = ChampionWatch(desk_with(KnownWatcher([*long, *many])), MODEL, seconds=1)
    watch.look()

    found = told(watch)
    effects = {key[:2]: value for key, value in found["signoff_drift_effect"].items()}
    assert len(effects) == MOST_COLUMNS  # two of them are one
    assert effects["", "other_columns"] == 0.149
    assert max(len(column) for column, _ in effects) <= 81
    assert 0.3 in effects.values()
    assert found["signoff_watch_severity"]["", "other_columns", "1"] == 1


def test_a_report_about_another_version_is_not_told() -> None:
    """After a promotion the next look says what the new champion meets; until then nothing is said about it."""
    watch = ChampionWatch(desk_with(KnownWatcher([DRIFT])), MODEL, seconds=1)
    assert "signoff_drift_effect" not in told(watch)
    watch.look()

    assert "signoff_drift_effect" in told(watch)
    for version in (2, None):
        assert not {"signoff_drift_effect", "signoff_accuracy", "signoff_watched_rows"} & set(
            told(watch, version=version)
        )


def test_a_look_that_fails_says_so() -> None:
    """What was seen before stands; a model without a champion has nothing to see, which is no failure."""
    desk = desk_with(KnownWatcher([DRIFT]))
    watch = ChampionWatch(desk, MODEL, seconds=1)
    watch.look()
    desk.registry.down = True
    watch.look()
    empty = ChampionWatch(build_desk(), MODEL, seconds=1)
    empty.look()

    assert told(watch)["signoff_watch_failed"] == {(): 1}
    assert "signoff_drift_effect" in told(watch)
    assert told(empty)["signoff_watch_failed"] == {(): 0}


def test_without_a_log_nothing_is_told_about_it() -> None:
    """With one, what was written, lost, and waits, and whether it can be written."""
    assert not [name for name in told(None) if "watch" in name or "log" in name]
    found = told(None, recorder=RecorderStatus(written=40, lost=2, waiting=3, writing=True, restarts=1))

    assert found["signoff_log_rows_total"] == {(): 40}
    assert found["signoff_log_lost_total"] == {(): 2}
    assert found["signoff_log_waiting"] == {(): 3}
    assert found["signoff_log_writing"] == {(): 1}
    assert found["signoff_log_writer_restarts_total"] == {(): 1}
    assert "signoff_shadow_version" not in found


def test_how_the_shadow_is_is_told() -> None:
    """Which version is asked, how many rows it has answered, and how many it has not."""
    shadow = ShadowStatus("challenger", 4, asked=7, skipped=2)
    found = told(None, recorder=RecorderStatus(written=40, lost=0, waiting=0, writing=True, shadow=shadow))

    assert found["signoff_shadow_version"] == {(): 4}
    assert found["signoff_shadow_asked_total"] == {(): 7}
    assert found["signoff_shadow_skipped_total"] == {(): 2}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlPredictionLog]:
    found = SqlPredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")
    yield found
    found.close()


def test_gaps_of_the_log_are_told_as_long_as_they_are_in_the_window(log: SqlPredictionLog) -> None:
    """A process that did not close its block is one, two minutes after its last write and until a day later."""
    desk, clock = desk_with(KnownWatcher()), TickingClock()
    log.open_block(process="host:1", model=MODEL, at=clock.now())
    watch = ChampionWatch(
        desk,
        MODEL,
        seconds=1,
        log=LogDesk(desk, log, PairedBootstrap(samples=10, seed=1, confidence=0.95), clock=clock),
    )
    seen = []
    for passing in (timedelta(0), SILENT_AFTER * 2, timedelta(hours=25)):
        clock.time += passing
        watch.count()
        seen.append(told(watch)["signoff_log_gaps"][()])

    assert seen == [0, 1, 0]
