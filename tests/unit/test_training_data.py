"""Reading, fingerprints and the split."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from pipeline.governance.errors import InvalidInput
from pipeline.settings import ROOT, read_settings
from pipeline.training.clean import clean_rows
from pipeline.training.data import csv_bytes, generate_sample, read_data, rows_fingerprint, schema_digest, split_rows

SETTINGS = read_settings(environ={})
REAL_DATA = ROOT.parent / "shared" / "data" / "obesity.csv"


@pytest.fixture(scope="module")
def sample() -> pd.DataFrame:
    return generate_sample(600, seed=3)


def test_sample_is_called_generated():
    """The default data says that it is generated, and its digest is that of its CSV text."""
    raw = read_data(SETTINGS)

    assert raw.source == "generated sample data"
    assert raw.sha256 == hashlib.sha256(csv_bytes(raw.frame)).hexdigest()


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_files_are_read(tmp_path, sample, name):
    """CSV and Parquet give the same rows, and the digest is that of the file's bytes."""
    path = tmp_path / name
    path.write_bytes(csv_bytes(sample)) if name.endswith("csv") else sample.to_parquet(path)

    raw = read_data(SETTINGS, path)

    pd.testing.assert_frame_equal(raw.frame, sample, check_dtype=False)
    assert raw.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert raw.source == name


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.xlsx", b"x", r"must end in \.csv, \.parquet or \.pq"),
        ("empty.csv", b"", r"is not a readable CSV file"),
        ("head.csv", b"Age,Height\n", r"holds no rows"),
        ("binary.csv", b"\xff\xfe\x00\x81", r"is not a readable CSV file"),
        ("ragged.csv", b'a,b\n1,2\n1,2,3\n"', r"is not a readable CSV file"),
        ("broken.parquet", b"not parquet", r"is not a readable Parquet file"),
    ],
)
def test_unusable_files_are_refused(tmp_path, name, content, sentence):
    """An unreadable or empty file is refused with one sentence that names it."""
    path: Path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(InvalidInput, match=sentence):
        read_data(SETTINGS, path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """A wrong path says that it cannot be read."""
    with pytest.raises(InvalidInput, match=r"missing\.csv: cannot be read"):
        read_data(SETTINGS, tmp_path / "missing.csv")


def test_split_is_stratified_and_repeatable(sample):
    """The split keeps each class's share within one row and is the same every time."""
    train, test = split_rows(sample, SETTINGS)
    again, _ = split_rows(sample, SETTINGS)

    pd.testing.assert_frame_equal(train, again)
    assert len(test) == 180
    shares = test["NObeyesdad"].value_counts() - sample["NObeyesdad"].value_counts() * 0.3
    assert shares.abs().max() <= 1


def test_split_shares_no_row(sample):
    """No row is on both sides."""
    train, test = split_rows(sample.assign(number=range(600)), SETTINGS)

    assert set(train["number"]).isdisjoint(test["number"])
    assert len(train) + len(test) == 600


def test_split_refuses_a_class_with_too_few_rows(sample):
    """A class that cannot be in each fold is refused with its name and number of rows."""
    giant = sample["NObeyesdad"] == "Obesity_Type_III"
    few = pd.concat([sample[~giant], sample[giant].head(2)])

    with pytest.raises(InvalidInput, match="2 rows of class Obesity_Type_III are too few"):
        split_rows(few, SETTINGS)


def test_split_refuses_a_single_class(sample):
    """One class leaves nothing to learn."""
    with pytest.raises(InvalidInput, match="1 class found, at least 2 are needed"):
        split_rows(sample[sample["NObeyesdad"] == "Normal_Weight"], SETTINGS)


def test_rows_fingerprint_sees_every_cell(sample):
    """One changed cell changes the fingerprint."""
    changed = sample.copy()
    changed.loc[10, "Age"] += 1e-9

    assert rows_fingerprint(changed) != rows_fingerprint(sample)


def test_schema_digest_is_a_sha256():
    """The schema is identified by 64 hex digits, equal for equal settings."""
    assert schema_digest(SETTINGS) == schema_digest(read_settings(environ={}))
    assert len(schema_digest(SETTINGS)) == 64


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.exists(), reason="The real data set is not beside the project.")
def test_real_data_meets_the_schema():
    """The real set passes without a repair: 2,111 rows, 24 exact duplicates, 627 held out."""
    rows, report = clean_rows(read_data(SETTINGS, REAL_DATA).frame, SETTINGS.schema_)

    assert report["columns"] == {}
    assert report["dropped"]["duplicates"] == 24
    assert len(split_rows(rows, SETTINGS)[1]) == 627
