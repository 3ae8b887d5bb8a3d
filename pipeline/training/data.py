"""Where the rows come from, what identifies them, and how they are split."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import first_line
from pipeline.settings import Settings
from pipeline.training.files import digest
from pipeline.validation.stored_rows import read_frame

# Generated sample data: survey answers with the columns, units, ranges and classes of the default feature schema.

Numbers = NDArray[np.float64]
TARGET = "NObeyesdad"
CLASSES = (
    "Insufficient_Weight",
    "Normal_Weight",
    "Overweight_Level_I",
    "Overweight_Level_II",
    "Obesity_Type_I",
    "Obesity_Type_II",
    "Obesity_Type_III",
)
# Body-mass index in kg/m²: the class is the number of cuts that are reached.
CUTS = np.array([18.5, 25.0, 27.5, 30.0, 35.0, 40.0])
MIDDLES = np.array([17.2, 22.0, 26.25, 28.7, 32.2, 37.0, 43.0])
SPREADS = np.array([0.9, 1.7, 0.75, 0.8, 1.2, 1.4, 2.4])
SHARES = (0.13, 0.14, 0.14, 0.14, 0.16, 0.14, 0.15)
# How far a report is from the truth (standard deviation): metres and kilograms.
HEIGHT_ERROR, WEIGHT_ERROR = 0.004, 0.4
# People come in circles (a family, a flat, a class) that live alike; the spreads are those inside a circle.
CIRCLE_SIZE = 7
INDEX_SPREAD, HEIGHT_SPREAD, ANSWER_SPREAD = 0.35, 0.03, 0.15
WHOLE_ANSWERS = 0.25  # share of answers to scaled questions that are whole numbers


@dataclass(frozen=True)
class Question:
    """How answers to a question with a scale are drawn."""

    # Per class, in the order of CLASSES.
    means: tuple[float, ...]
    # Standard deviation.
    spread: float
    # Of the scale.
    ends: tuple[float, float]


SCALED = {
    "FCVC": Question((2.5, 2.3, 2.25, 2.25, 2.2, 2.4, 3.0), 0.5, (1, 3)),
    "NCP": Question((2.9, 2.75, 2.5, 2.5, 2.45, 2.75, 3.0), 0.75, (1, 4)),
    "CH2O": Question((1.85, 1.85, 2.05, 2.05, 2.1, 1.9, 2.2), 0.6, (1, 3)),
    "FAF": Question((1.25, 1.25, 1.05, 0.95, 1.0, 0.95, 0.65), 0.85, (0, 3)),
    "TUE": Question((0.85, 0.7, 0.6, 0.7, 0.7, 0.5, 0.6), 0.6, (0, 2)),
}
AGE_MEDIANS = (19.5, 21.0, 22.5, 25.5, 25.0, 27.5, 23.5)
MALE = (0.36, 0.51, 0.50, 0.62, 0.55, 0.92, 0.06)

# Per class, the probability of each answer.
ANSWERS: dict[str, tuple[tuple[str, ...], tuple[tuple[float, ...], ...]]] = {
    "family_history_with_overweight": (
        ("no", "yes"),
        ((0.54, 0.46), (0.46, 0.54), (0.28, 0.72), (0.08, 0.92), (0.03, 0.97), (0.01, 0.99), (0.01, 0.99)),
    ),
    "FAVC": (
        ("no", "yes"),
        ((0.19, 0.81), (0.27, 0.73), (0.09, 0.91), (0.24, 0.76), (0.04, 0.96), (0.03, 0.97), (0.01, 0.99)),
    ),
    "CAEC": (
        ("no", "Sometimes", "Frequently", "Always"),
        (
            (0.02, 0.54, 0.42, 0.02),
            (0.03, 0.56, 0.30, 0.11),
            (0.11, 0.81, 0.06, 0.02),
            (0.01, 0.92, 0.06, 0.01),
            (0.01, 0.95, 0.02, 0.02),
            (0.01, 0.97, 0.01, 0.01),
            (0.01, 0.97, 0.01, 0.01),
        ),
    ),
    "SMOKE": (
        ("no", "yes"),
        ((0.99, 0.01), (0.95, 0.05), (0.99, 0.01), (0.98, 0.02), (0.98, 0.02), (0.95, 0.05), (0.99, 0.01)),
    ),
    "SCC": (
        ("no", "yes"),
        ((0.92, 0.08), (0.90, 0.10), (0.88, 0.12), (0.98, 0.02), (0.99, 0.01), (0.99, 0.01), (0.99, 0.01)),
    ),
    "CALC": (
        ("no", "Sometimes", "Frequently", "Always"),
        (
            (0.42, 0.56, 0.01, 0.01),
            (0.37, 0.56, 0.06, 0.01),
            (0.17, 0.76, 0.06, 0.01),
            (0.43, 0.49, 0.07, 0.01),
            (0.46, 0.49, 0.04, 0.01),
            (0.24, 0.73, 0.02, 0.01),
            (0.02, 0.96, 0.01, 0.01),
        ),
    ),
    "MTRANS": (
        ("Automobile", "Bike", "Motorbike", "Public_Transportation", "Walking"),
        (
            (0.16, 0.01, 0.01, 0.79, 0.03),
            (0.16, 0.02, 0.02, 0.69, 0.11),
            (0.22, 0.01, 0.01, 0.72, 0.04),
            (0.31, 0.01, 0.01, 0.65, 0.02),
            (0.30, 0.01, 0.01, 0.66, 0.02),
            (0.30, 0.01, 0.01, 0.66, 0.02),
            (0.02, 0.01, 0.01, 0.95, 0.01),
        ),
    ),
}
ORDER = (
    "Gender", "Age", "Height", "Weight", "family_history_with_overweight", "FAVC", "FCVC", "NCP", "CAEC", "SMOKE",
    "CH2O", "SCC", "FAF", "TUE", "CALC", "MTRANS",
)  # fmt: skip


def generate_sample(rows: int, *, seed: int) -> pd.DataFrame:
    """Generated survey answers and their labels; the same rows for the same arguments."""
    random = np.random.default_rng(seed)
    circles = _circles(random, max(rows // CIRCLE_SIZE, len(CLASSES)))
    people = circles.iloc[random.integers(len(circles), size=rows)].reset_index(drop=True)
    index = people["index"].to_numpy() + random.normal(0, INDEX_SPREAD, rows)
    people["Age"] = np.clip(people["Age"] + random.normal(0, 0.5, rows), 14, 61).round(2)
    height = np.clip(people["Height"] + random.normal(0, HEIGHT_SPREAD, rows), 1.46, 1.97).to_numpy()
    # Metres and kilograms as people tell them.
    people["Height"] = np.clip((height + random.normal(0, HEIGHT_ERROR, rows)).round(3), 1.45, 1.98)
    people["Weight"] = np.clip((index * height**2 + random.normal(0, WEIGHT_ERROR, rows)).round(1), 39, 173)
    for name, question in SCALED.items():
        answers = np.clip(people[name].to_numpy() + random.normal(0, ANSWER_SPREAD, rows), *question.ends)
        whole = random.random(rows) < WHOLE_ANSWERS
        people[name] = np.where(whole, answers.round(), answers.round(2))
    return people[list(ORDER)].assign(**{TARGET: np.take(CLASSES, np.searchsorted(CUTS, index, side="right"))})


def _circles(random: Generator, count: int) -> pd.DataFrame:
    """The centre of each circle: habits, size, and the offset of the body-mass index that its people share."""
    leaning = random.choice(len(CLASSES), size=count, p=SHARES)
    index = np.clip(random.normal(MIDDLES[leaning], SPREADS[leaning]), 13.5, 50.0)
    male = random.random(count) < np.take(MALE, leaning)
    columns: dict[str, NDArray[Any]] = {"index": index, "Gender": np.where(male, "Male", "Female")}
    columns["Age"] = random.lognormal(np.log(np.take(AGE_MEDIANS, leaning)), 0.2)
    columns["Height"] = random.normal(np.where(male, 1.76, 1.645), 0.07)
    for name, question in SCALED.items():
        columns[name] = random.normal(np.take(question.means, leaning), question.spread)
    for name, (answers, shares) in ANSWERS.items():
        # One answer per row, drawn from that row's probabilities.
        reached = random.random(count)[:, None] >= np.take(np.array(shares), leaning, axis=0).cumsum(axis=1)[:, :-1]
        columns[name] = np.array(answers)[reached.sum(axis=1)]
    return pd.DataFrame(columns)


SAMPLE = "sample"
SAMPLE_NAME = "generated sample data"
READERS = {".csv": "CSV", ".parquet": "Parquet", ".pq": "Parquet"}


@dataclass(frozen=True)
class RawData:
    """Rows as they were read."""

    frame: pd.DataFrame
    # The file's name or SAMPLE_NAME, for people.
    source: str
    # Of the file's bytes; for the sample, of its CSV text.
    sha256: str


def read_data(settings: Settings, data: str | Path | None = None) -> RawData:
    """The rows of `data`, by default those that the settings name. Raises InvalidInput for an unusable file."""
    source = data if data is not None else settings.data.source
    if str(source) == SAMPLE:
        frame = generate_sample(settings.data.sample_rows, seed=settings.data.sample_seed)
        return RawData(frame, SAMPLE_NAME, hashlib.sha256(csv_bytes(frame)).hexdigest())
    path = Path(source)
    if path.suffix.lower() not in READERS:
        raise InvalidInput(f"{path}: the name must end in .csv, .parquet or .pq, or be {SAMPLE!r}")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from error
    frame = _parse(path, content)
    if frame.empty:
        raise InvalidInput(f"{path}: holds no rows")
    return RawData(frame, path.name, hashlib.sha256(content).hexdigest())


def _parse(path: Path, content: bytes) -> pd.DataFrame:
    """The table in a file; pandas and pyarrow report an unusable one by subclasses of ValueError and OSError."""
    kind = READERS[path.suffix.lower()]
    try:
        return pd.read_csv(path, low_memory=False) if kind == "CSV" else read_frame(content)
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path}: is not a readable {kind} file ({first_line(error)})") from error


def csv_bytes(frame: pd.DataFrame) -> bytes:
    """Canonical CSV: no index, newline endings, the shortest text that gives each number back."""
    return frame.to_csv(index=False, lineterminator="\n").encode()


def rows_fingerprint(frame: pd.DataFrame) -> str:
    """sha256 over the rows in their order, column names included."""
    return hashlib.sha256(csv_bytes(frame)).hexdigest()


def schema_digest(settings: Settings) -> str:
    return digest(settings.schema_.model_dump(mode="json"))


def split_rows(frame: pd.DataFrame, settings: Settings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows to train on and rows to evaluate on, stratified by class; the same split for the same rows and settings.

    Raises InvalidInput where a class has too few rows for the folds of the cross-validation.
    """
    target, share = settings.schema_.target.name, settings.split.test_share
    counts = frame[target].value_counts()
    folds = settings.evaluation.cross_validation_folds
    if len(counts) < 2:  # noqa: PLR2004 (one class leaves nothing to learn)
        raise InvalidInput(f"column {target}: {len(counts)} class found, at least 2 are needed")
    few = counts[(counts * (1 - share) < folds + 1) | (counts * share < 1)]
    if not few.empty:
        name, count = few.index[0], int(few.iloc[0])
        raise InvalidInput(
            f"column {target}: {count} rows of class {name} are too few for {folds} folds and a test set"
        )
    train, test = train_test_split(frame, test_size=share, random_state=settings.split.seed, stratify=frame[target])
    return train.reset_index(drop=True), test.reset_index(drop=True)
