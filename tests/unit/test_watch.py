"""What the log of predictions says of a version: counts become traffic, drift and accuracy."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO

import numpy as np
import pandas as pd
import pytest

from pipeline.comparison.intervals import Draws
from pipeline.governance.ports import VersionRecord
from pipeline.governance.record.evidence import manifest_digest
from pipeline.governance.record.findings import Window
from pipeline.governance.rules.watching import AccuracyFigure
from pipeline.monitoring.prediction_log import (
    Answer,
    Block,
    CountKey,
    CountKind,
    Door,
    HourlyCount,
    KnownOutcome,
    LoggedPrediction,
    Selection,
    StoredPrediction,
)
from pipeline.monitoring.profile import Profile
from pipeline.monitoring.reference import find_profile
from pipeline.monitoring.watch import LogWatcher
from support.in_memory import InMemoryRegistry

MODEL = "m"
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
WINDOW = Window(NOON, NOON + timedelta(hours=2))
APPROVED = AccuracyFigure(0.8, 0.75, 0.85, 400)
DRAWS = Draws(200, 1, 0.95)


def held_out() -> pd.DataFrame:
    random = np.random.default_rng(3)
    confidence = random.uniform(0.5, 1, 400)
    right = random.random(400) < confidence
    return pd.DataFrame(
        {
            "Age": random.uniform(20, 60, 400),
            "Gender": random.choice(["Female", "Male"], 400),
            "actual": np.where(right, "1", "0"),
            "predicted": "1",
            "probability_0": 1 - confidence,
            "probability_1": confidence,
        }
    )


@dataclass
class KnownLog:
    """A log that holds what the test says."""

    found: list[HourlyCount] = field(default_factory=list)
    rows: list[StoredPrediction] = field(default_factory=list)
    processes: list[Block] = field(default_factory=list)

    def counts(
        self, model: str, *, since: datetime | None = None, until: datetime | None = None, version: int | None = None
    ) -> list[HourlyCount]:
        assert (model, since, until, version) == (MODEL, WINDOW.since, WINDOW.until, 1)
        return self.found

    def predictions(self, wanted: Selection) -> list[StoredPrediction]:
        assert (wanted.model, wanted.version, wanted.with_outcome) == (MODEL, 1, True)
        return self.rows

    def blocks(self, model: str | None = None) -> list[Block]:
        return self.processes


@dataclass(frozen=True)
class StoppedAt:
    time: datetime = NOON + timedelta(hours=1)

    def now(self) -> datetime:
        return self.time


@dataclass
class Served:
    """A version in a registry, and a log about it."""

    registry: InMemoryRegistry
    log: KnownLog
    record: VersionRecord
    profile: Profile
    digest: str

    def count(self, kind: CountKind, name: str, bins: Iterable[object], *, hour: int = 0) -> None:
        for label, n in Counter(map(str, bins)).items():
            key = CountKey(NOON + timedelta(hours=hour), MODEL, 1, self.digest, kind, name, label)
            self.log.found.append(HourlyCount(key, n))

    def answer(self, frame: pd.DataFrame) -> None:
        """Counts rows as the recorder does."""
        rows = [{"Age": age, "Gender": gender} for age, gender in zip(frame["Age"], frame["Gender"], strict=True)]
        for name, column in self.profile.columns.items():
            self.count(CountKind.COLUMN, name, [column.bins.bin_of(row[name]) for row in rows])
        self.count(CountKind.CLASS, "", map(self.profile.predictions.bins.bin_of, frame["predicted"]))
        self.count(CountKind.CONFIDENCE, "", map(self.profile.confidence.bin_of, frame["probability_1"]))
        self.count(CountKind.ANSWERED, "", ["http"] * len(frame))

    def report(self):
        watcher = LogWatcher(self.registry, self.log, StoppedAt(), DRAWS)  # type: ignore[arg-type]
        return watcher.report(self.record, WINDOW, APPROVED)


def served(**files: bytes) -> Served:
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    registry.add_version(MODEL, files={"MLmodel": b"x", **files})
    record = registry.version(MODEL, 1)
    digest = manifest_digest(registry.files(record).files)
    profile = find_profile(registry, record) if files else None
    return Served(registry, KnownLog(), record, profile, digest)  # type: ignore[arg-type]


@pytest.fixture
def version() -> Served:
    target = BytesIO()
    held_out().to_parquet(target, index=False)
    return served(**{"signoff/evaluation_rows.parquet": target.getvalue()})


def logged(version: Served, predicted: Answer, actual: object, number: int = 0) -> StoredPrediction:
    row = LoggedPrediction(
        str(number),
        NOON,
        MODEL,
        1,
        version.digest,
        "champion",
        Door.HTTP,
        predicted,
        0.9,
    )
    return StoredPrediction(row, None, KnownOutcome(str(number), actual, NOON, "grace"))  # type: ignore[arg-type]


def test_the_same_rows_again_do_not_differ(version):
    """No drift, and the accuracy is estimated as it was measured on the held-out rows."""
    version.answer(held_out())

    report = version.report()

    assert report.n == 400
    assert [each.name for each in report.drifts] == ["Age", "Gender", "predictions", "confidence"]
    assert max(each.effect for each in report.drifts) == pytest.approx(0, abs=1e-6)
    assert report.accuracy.approved == APPROVED
    assert report.accuracy.estimated.value == pytest.approx((held_out()["actual"] == "1").mean())
    assert (report.gap, report.accuracy.measured) == ("", None)


def test_other_rows_differ(version):
    """The column that moved, and no other one."""
    version.answer(held_out().assign(Age=held_out()["Age"] + 8))

    report = version.report()

    assert [each.name for each in report.drifts if each.adjusted < 0.01] == ["Age"]
    assert report.columns[0].outside > 0.1


def test_traffic_is_by_the_hour(version):
    """With what was refused and out of range by column, failures by name, and the step that holds the slow requests."""
    version.answer(held_out())
    version.count(CountKind.REFUSED, "Age", [""] * 3, hour=1)
    version.count(CountKind.OUT_OF_RANGE, "Gender", [""])
    version.count(CountKind.FAILED, "", ["Unavailable"] * 2)
    version.count(CountKind.LATENCY, "", ["0.005"] * 90 + ["0.02"] * 9 + ["+Inf"])

    traffic = version.report().traffic

    assert [(each.hour.hour, each.rows, each.refused, each.outside, each.failed) for each in traffic.hours] == [
        (12, 400, 0, 1, 2),
        (13, 0, 3, 0, 0),
    ]
    assert (traffic.p50_ms, traffic.p95_ms) == (5.0, 20.0)
    assert (traffic.refused, traffic.outside, traffic.failed) == ({"Age": 3}, {"Gender": 1}, {"Unavailable": 2})


def test_requests_beyond_the_last_step_have_no_figure(version):
    """It would be one that nobody measured."""
    version.count(CountKind.LATENCY, "", ["+Inf"])

    assert version.report().traffic.p95_ms is None


@pytest.mark.parametrize(("predicted", "actual", "right"), [("1", "1", 1), ("1", 1, 1), (1, True, 1), ("0", "1", 0)])
def test_outcomes_are_held_against_what_was_predicted(version, predicted, actual, right):
    """A class may be told by its name or by the number that the name is."""
    version.answer(held_out())
    version.log.rows = [logged(version, predicted, actual)]

    measured = version.report().accuracy.measured

    assert (measured.value, measured.n) == (right, 1)


def test_a_class_that_nobody_knows_is_right_only_as_itself(version):
    """Two unknown ones share a bin, and are not the same; several labels at once have no accuracy."""
    version.log.rows = [
        logged(version, "x", "y"),
        logged(version, "x", "x"),
        logged(version, {"a": 1}, "x"),
        replace(logged(version, "1", "1"), outcome=None),
    ]

    measured = version.report().accuracy.measured

    assert (measured.value, measured.n) == (pytest.approx(1 / 3), 3)


def test_other_files_of_the_same_number_do_not_count(version):
    """A number is given out again, and files may change."""
    version.answer(held_out())
    version.log.rows = [logged(version, "1", "1")]
    version.digest = "another"
    version.log.found = [replace(each, key=each.key._replace(digest="other")) for each in version.log.found]
    version.log.rows = [replace(each, prediction=each.prediction._replace(digest="other")) for each in version.log.rows]

    report = version.report()

    assert (report.n, report.accuracy.measured) == (0, None)
    assert report.gap == "No prediction of this version was logged in this time."


def test_gaps_of_the_log_are_told(version):
    """Processes that ended without a word, and answers that nobody could write; what ended before is no news."""
    block = Block("1", "host:1", MODEL, NOON, NOON, None, 5, 100, lost=3)
    version.log.processes = [block, replace(block, written_at=NOON - timedelta(days=1)), replace(block, closed_at=NOON)]

    traffic = version.report().traffic

    assert (traffic.gaps, traffic.lost) == (1, 6)


def test_a_version_without_rows_has_traffic_only():
    """And says why there is nothing to compare."""
    version = served()
    version.count(CountKind.ANSWERED, "", ["http"] * 5)

    report = version.report()

    assert report.gap.startswith("Nothing to compare with: ")
    assert (report.n, report.columns, report.traffic.total("rows")) == (0, (), 5)


def test_a_bin_that_is_no_number_is_none_of_ours(version):
    """Whoever wrote it counted something else."""
    version.count(CountKind.COLUMN, "Age", ["many", "\N{SUPERSCRIPT TWO}"])

    assert version.report().columns[0].n == 0
