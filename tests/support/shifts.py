"""Windows of rows in which a shift was planted, and others in which none was, with fixed seeds."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO

import numpy as np
import pandas as pd
from numpy.random import Generator

from pipeline.comparison.intervals import Draws
from pipeline.governance.record.findings import FindingKind, Window
from pipeline.governance.rules.watching import AccuracyReport, WatchReport, WatchRules, sightings
from pipeline.monitoring.drift import compare, controlled
from pipeline.monitoring.estimate import estimated_accuracy, measured_accuracy
from pipeline.monitoring.profile import Profile
from pipeline.monitoring.reference import profile_of

DRAWS = Draws(samples=500, seed=1, confidence=0.95)
RULES = WatchRules()
WINDOW = Window(datetime(2026, 11, 28, tzinfo=UTC), datetime(2026, 11, 29, tzinfo=UTC))
HELD_OUT, ROWS, WINDOWS = 720, 500, 20
CLASSES = ("a", "b", "c")
Shift = Callable[[pd.DataFrame, Generator], pd.DataFrame]


def rows(random: Generator, n: int) -> pd.DataFrame:
    """Ten columns of the kinds that occur, and three classes that depend on two of them."""
    age = random.gamma(4, 8, n) + 14
    weight = random.normal(80, 18, n)
    frame = pd.DataFrame(
        {
            "age": age,
            "weight": weight,
            "height": random.normal(1.7, 0.09, n),
            "meals": random.choice([1.0, 2.0, 3.0, 4.0], n, p=[0.15, 0.1, 0.65, 0.1]),
            "water": random.uniform(1, 3, n),
            "activity": np.clip(random.exponential(0.8, n), 0, 3),
            "gender": random.choice(["Female", "Male"], n),
            "smokes": random.choice(["no", "yes"], n, p=[0.97, 0.03]),
            "travel": random.choice(["bus", "car", "bike", "walk"], n, p=[0.7, 0.2, 0.02, 0.08]),
            "score": random.beta(2, 5, n),
        }
    )
    return judged(frame, random)


def judged(frame: pd.DataFrame, random: Generator) -> pd.DataFrame:
    """With the truth, and a model that knows the chances of each class: it is perfectly calibrated."""
    score = (frame["weight"].fillna(80) - 80) / 18 + (frame["age"] - 46) / 32
    logits = np.stack([-1.5 * score, 0.5 - score**2, 1.5 * score], axis=1)
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) > random.random((len(frame), 1))).argmax(axis=1)
    columns = {f"probability_{name}": chances[:, index] for index, name in enumerate(CLASSES)}
    return frame.assign(actual=np.array(CLASSES)[truth], predicted=np.array(CLASSES)[chances.argmax(axis=1)], **columns)


def replaced(name: str, change: Callable[[pd.Series, Generator], object]) -> tuple[str, Shift]:
    return name, lambda frame, random: frame.assign(**{name: change(frame[name], random)})


def mixed(name: str, value: object, share: float) -> tuple[str, Shift]:
    """A share of the values is another one."""
    return replaced(name, lambda column, random: column.where(random.random(len(column)) >= share, value))


# Each moves one column: by about a third of its deviation, or by one value in eight.
SHIFTS: list[tuple[str, Shift]] = [
    replaced("age", lambda column, _: column + 6),
    replaced("age", lambda column, _: column - 5),
    replaced("age", lambda column, _: column * 1.15),
    replaced("weight", lambda column, _: column + 7),
    replaced("weight", lambda column, _: column * 0.9),
    replaced("weight", lambda column, random: column + random.normal(0, 18, len(column))),
    mixed("weight", None, 0.08),
    replaced("height", lambda column, _: column + 0.04),
    replaced("height", lambda column, _: column.round(1)),
    mixed("meals", 2.0, 0.15),
    mixed("meals", 4.0, 0.12),
    replaced("water", lambda column, _: column**1.3),
    replaced("water", lambda column, _: column * 1.2),
    mixed("activity", 0.0, 0.15),
    replaced("activity", lambda column, _: column * 1.5),
    mixed("gender", "Female", 0.25),
    mixed("smokes", "yes", 0.08),
    mixed("travel", "scooter", 0.08),
    mixed("travel", "car", 0.2),
    replaced("score", lambda column, _: column**0.75),
]


@dataclass(frozen=True)
class Production:
    """Some rows as the log counts them, with what is true of them."""

    report: WatchReport
    accuracy: float


def profile_of_held_out_rows() -> Profile:
    target = BytesIO()
    rows(np.random.default_rng(52), HELD_OUT).to_parquet(target, index=False)
    return profile_of(target.getvalue(), None, "version 1")


def watched(profile: Profile, frame: pd.DataFrame) -> Production:
    """The rows counted one by one, as they are answered."""
    inputs = frame[list(profile.columns)].astype(object).where(frame[list(profile.columns)].notna(), None)
    highest = frame[[f"probability_{name}" for name in CLASSES]].max(axis=1)
    assert profile.confidence is not None
    counts = [Counter(map(found.bins.bin_of, inputs[name])) for name, found in profile.columns.items()]
    confidence = Counter(profile.confidence.bin_of(each) for each in highest)
    *columns, predictions, sure = controlled(
        [
            *(compare(name, found, n) for (name, found), n in zip(profile.columns.items(), counts, strict=True)),
            compare("predictions", profile.predictions, Counter(map(profile.predictions.bins.bin_of, frame.predicted))),
            compare("confidence", profile.confidence, confidence),
        ]
    )
    approved = measured_accuracy(sum(profile.confidence.hits), profile.rows, DRAWS)
    estimated = estimated_accuracy(profile.confidence, confidence, DRAWS)
    report = WatchReport(
        "m",
        1,
        WINDOW,
        len(frame),
        columns=tuple(columns),
        predictions=predictions,
        confidence=sure,
        accuracy=AccuracyReport(approved, estimated),
    )
    return Production(report, float((frame["actual"] == frame["predicted"]).mean()))


@dataclass(frozen=True)
class Planted:
    """What was found in windows in which one column has moved, and in as many in which none has."""

    windows: int  # of each kind
    found: int  # shifted windows in which the column that moved is a finding
    beside: int  # shifted windows in which another column is one
    alarms: int  # unshifted windows with any finding
    tests: int  # in all unshifted windows
    significant: int  # of these tests

    @property
    def sentence(self) -> str:
        return (
            f"{self.windows} shifted windows of {ROWS} rows: found {self.found}, with another column besides "
            f"{self.beside}; {self.windows} unshifted: false alarms {self.alarms} ({self.significant} of {self.tests} "
            "tests significant)"
        )


def planted(profile: Profile) -> Planted:
    """Judges twenty windows of each kind."""
    quiet = [watched(profile, rows(np.random.default_rng(1_000 + seed), ROWS)).report for seed in range(WINDOWS)]
    found, beside = 0, 0
    for seed, (name, shift) in enumerate(SHIFTS):
        random = np.random.default_rng(2_000 + seed)
        told = sightings(watched(profile, judged(shift(rows(random, ROWS), random), random)).report, RULES)
        columns = {each.column for each in told if each.kind is FindingKind.COLUMN}
        found += name in columns
        beside += bool(columns - {name})
    drifts = [drift for each in quiet for drift in each.drifts]
    return Planted(
        windows=WINDOWS,
        found=found,
        beside=beside,
        alarms=sum(bool(sightings(each, RULES)) for each in quiet),
        tests=len(drifts),
        significant=sum(drift.adjusted <= RULES.false_discovery_rate for drift in drifts),
    )
