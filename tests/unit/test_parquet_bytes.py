"""Parquet is read in one place, as pandas reads it, and without a thread that could abort the process at its end."""

import io
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from pipeline.settings import ROOT
from pipeline.validation.stored_rows import read_frame

FRAME = pd.DataFrame(
    {
        "number": [1.5, np.nan, 3.0],
        "text": ["x", None, "z"],
        "whole": [1, 2, 2**53 + 1],
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "kind": pd.Categorical(["u", "v", "u"]),
        "time": pd.to_datetime(["2020-01-01"] * 3),
        "yes": [True, False, True],
        "bytes": [b"x", b"y", b"z"],
    }
)
OPENS = re.compile(r"\b(?:pd\.read_parquet|pq\.\w*(?:read|File)\w*|parquet\.read_table)\(")
# The second reads a stream of any size as far as it is asked, and fetches nothing ahead.
READERS = {"pipeline/validation/stored_rows.py", "pipeline/serving/batch/read.py"}
WHAT_VERBS_READ = """
import os, sys
from pathlib import Path
from pipeline.comparison.rows import read_rows
from pipeline.settings import read_settings
from pipeline.training.data import read_data
from pipeline.reproduce.differences import check_predictions
from pipeline.training.files import read_parquet, write_parquet
path = Path(sys.argv[1])
def threads():
    return len(os.listdir("/proc/self/task"))
write_parquet(path.with_name("copy.parquet"), read_parquet(path))
before = threads()
read_rows(path.read_bytes(), "rows"), read_parquet(path), read_data(read_settings(environ={}), path)
check_predictions(path.read_bytes(), path.read_bytes())
print(before, threads())
"""


@pytest.mark.parametrize("index", [False, True])
def test_a_frame_is_what_pandas_reads(index: bool) -> None:
    """Types, missing values and an index included."""
    buffer = io.BytesIO()
    (FRAME.set_index("whole") if index else FRAME).to_parquet(buffer, index=index)

    assert_frame_equal(read_frame(buffer.getvalue()), pd.read_parquet(io.BytesIO(buffer.getvalue())))


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
def test_reading_starts_no_thread(tmp_path) -> None:
    """Neither evaluation rows, nor training's files, nor a rebuild's comparison."""
    rows = pd.DataFrame(
        {"Age": [20.0, 30.0], "actual": ["a", "b"], "predicted": ["a", "b"], "probability_a": [1.0, 0.0]}
    )
    rows.to_parquet(tmp_path / "rows.parquet", index=False)
    command = [sys.executable, "-c", WHAT_VERBS_READ, str(tmp_path / "rows.parquet")]
    before, after = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.split()

    assert before == after


def test_nothing_else_opens_parquet() -> None:
    """Every other way of pandas and PyArrow starts threads."""
    sources = [path for folder in ("pipeline", "dashboard") for path in (ROOT / folder).rglob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in sources if OPENS.search(path.read_text())}

    assert found <= READERS
