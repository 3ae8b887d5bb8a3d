"""Where the rows come from, what identifies them, and how they are split."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.model_selection import train_test_split

from pipeline.governance.errors import InvalidInput
from pipeline.settings import Settings
from pipeline.training.files import digest
from pipeline.training.sample import generate_sample
from pipeline.validation.parquet import read_frame

SAMPLE = "sample"
SAMPLE_NAME = "generated sample data"
READERS = {".csv": "CSV", ".parquet": "Parquet", ".pq": "Parquet"}


@dataclass(frozen=True)
class RawData:
    """Rows as they were found. source: for people; sha256: of the file's bytes, for the sample of its CSV text."""

    frame: pd.DataFrame
    source: str
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
    """Pandas and pyarrow report an unusable file by subclasses of ValueError and OSError."""
    kind = READERS[path.suffix.lower()]
    try:
        return pd.read_csv(path, low_memory=False) if kind == "CSV" else read_frame(content)
    except (ValueError, OSError) as error:
        raise InvalidInput(f"{path}: is not a readable {kind} file ({_first_line(error)})") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", maxsplit=1)[0][:200] or type(error).__name__


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
