"""Files that came with a version: how much they hold is known before any of it is unpacked, and no thread stays."""

import io
import json
import struct
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.comparison.rows import read_rows
from pipeline.explanation.result import Explanation, from_npz, to_npz
from pipeline.governance.errors import InvalidInput
from pipeline.training.files import read_parquet, write_parquet
from pipeline.validation.documents import members_of
from pipeline.validation.stored_rows import BROKEN, Limits, first_rows, names_of, open_parquet

LIMITS = Limits(unpacked_bytes=2**20, rows=100, cells=300)
FRAME = pd.DataFrame(
    {
        "number": [1.5, None, 3.0],
        "text": ["a", None, "c"],
        "truth": [True, False, True],
        "whole": [1, 2, 3],
        "category": pd.Categorical(["x", "y", "x"]),
    }
)


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return sink.getvalue().to_pybytes()


def test_rows_of_our_own_are_those_that_were_written(tmp_path):
    """Types and missing values included."""
    path = tmp_path / "rows.parquet"
    write_parquet(path, FRAME)

    pd.testing.assert_frame_equal(read_parquet(path), FRAME)
    with pytest.raises(InvalidInput, match="is missing; run the training steps in order"):
        read_parquet(tmp_path / "gone.parquet")


THREADS = """
import sys
from pathlib import Path
import psutil
import pandas as pd
from pipeline.comparison.rows import read_rows
from pipeline.validation.stored_rows import Limits, first_rows
import pipeline.serving.worker.operations
path = Path(sys.argv[1])
content = path.read_bytes()
before = psutil.Process().num_threads()
read_rows(content, "it")
first_rows(content, 2, limits=Limits(2**20))
print(psutil.Process().num_threads() - before)
"""


def test_no_thread_stays(tmp_path):
    """A process that ends beside a thread of Arrow's may be aborted by it: reading rows of strangers starts none."""
    path = tmp_path / "rows.parquet"
    pd.DataFrame({"a": [1.0, 2.0], "actual": ["x", "y"], "predicted": ["x", "x"]}).to_parquet(path, index=False)
    done = subprocess.run([sys.executable, "-c", THREADS, path], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "0"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (pa.table({"a": range(101)}), r"101 rows of 1 columns; at most 100 rows are read"),
        (pa.table({str(name): range(50) for name in range(7)}), r"50 rows of 7 columns"),
        (pa.table({"a": ["x" * 2**21]}), "it unpacks to more than 1 MB"),
    ],
    ids=["rows", "columns", "bytes"],
)
def test_a_footer_that_promises_too_much(table, sentence):
    """Is refused before a row is unpacked."""
    with pytest.raises(ValueError, match=sentence):
        first_rows(parquet(table), 5, limits=LIMITS)


def test_a_footer_that_lists_very_much():
    """Very many row groups, and nesting to any depth, are not walked."""
    groups = parquet(pa.table({"a": range(6_000)}), row_group_size=1)
    with pytest.raises(BROKEN):
        open_parquet(groups, limits=Limits(unpacked_bytes=2**30))
    nested = pa.int32()
    for _ in range(6_000):
        nested = pa.struct([("a", nested)])
    sink = pa.BufferOutputStream()
    pq.ParquetWriter(sink, pa.schema([("x", nested)]), store_schema=False).close()
    with pytest.raises(BROKEN):
        open_parquet(sink.getvalue().to_pybytes(), limits=LIMITS)


def test_a_footer_that_is_very_long():
    """Its length stands at the end of the file."""
    content = b"PAR1" + bytes(9 * 2**20) + struct.pack("<I", 9 * 2**20) + b"PAR1"
    with pytest.raises(ValueError, match="its footer is larger than 8 MB"):
        open_parquet(content, limits=LIMITS)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"x" * 100])
def test_what_is_no_parquet(content):
    """Is an error that every reader knows."""
    with pytest.raises(BROKEN):
        open_parquet(content, limits=LIMITS)
    with pytest.raises(InvalidInput, match="the evaluation rows cannot be read"):
        read_rows(content, "it")


def test_words_about_pandas_are_not_looked_at():
    """An index, or types of another library, that a stranger's file claims."""
    table = pa.Table.from_pandas(FRAME.set_index("text"))

    assert list(first_rows(parquet(table), 2, limits=LIMITS).columns) == list(table.schema.names)
    assert len(first_rows(parquet(table), 2, limits=LIMITS)) == 2


def explanation() -> Explanation:
    return Explanation(
        columns=("a",),
        classes=("x", "y"),
        values=np.zeros((3, 1, 2)),
        base_values=np.zeros(2),
        output=np.zeros((3, 2)),
        scale="probability",
        method="exact",
        sampled=False,
        sum_error=0.0,
        tolerance=1e-9,
        fallback="",
    )


def rewritten(**changes: bytes | None) -> bytes:
    """The stored explanation with other members; None leaves one out."""
    with zipfile.ZipFile(io.BytesIO(to_npz(explanation()))) as archive:
        members: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    members |= {f"{name}.npy": content for name, content in changes.items()}
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            if content is not None:
                archive.writestr(name, content)
    return stream.getvalue()


def npy(value: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.asarray(value, **options))
    return stream.getvalue()


def promising(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return stream.getvalue()


NO_EXPLANATION = {
    "an array larger than its file": lambda: rewritten(values=promising((10**9,))),
    "an array larger than any memory": lambda: rewritten(output=promising((10**15, 10**15))),
    "objects": lambda: rewritten(values=npy([{}], dtype=object)),
    "another member": lambda: rewritten(more=npy(1)),
    "a member too few": lambda: rewritten(values=None),
    "words that are nested to any depth": lambda: rewritten(about=npy("[" * 100_000)),
    "words about something else": lambda: rewritten(about=npy(json.dumps({"columns": []}))),
    "very many members": lambda: to_npz(explanation()) + b"PK\x01\x02" * 100,
    "no archive": lambda: b"PK",
}


@pytest.mark.parametrize("build", NO_EXPLANATION.values(), ids=NO_EXPLANATION)
def test_an_explanation_file_of_a_stranger(build):
    """Whatever does not fit is one sentence, and nothing of it is made."""
    assert len(from_npz(to_npz(explanation()))) == 3
    with pytest.raises(InvalidInput, match="the explanation file cannot be read"):
        from_npz(build())


def test_members_are_counted_before_they_are_listed():
    """By the mark that each has in the directory; two of one name are told, too."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in "abc":
            archive.writestr(name, b"x")

    assert len(members_of(stream.getvalue(), most_members=3, most_bytes=10)) == 3
    with pytest.raises(ValueError, match="it has more than 2 members"):
        members_of(stream.getvalue(), most_members=2, most_bytes=10)
    with pytest.raises(ValueError, match="it has two members of the same name"):
        members_of(stream.getvalue().replace(b"b", b"a"), most_members=9, most_bytes=10)


def test_an_explanation_file_with_very_many_words():
    """They are counted before a list is made of them."""
    with pytest.raises(InvalidInput, match="it has more than 200,000 entries"):
        from_npz(rewritten(about=npy("[" + "1," * 300_000 + "1]")))


def test_a_signature_with_very_many_columns():
    """It names none, as one that is no JSON: a hundred thousand columns are nobody's."""
    column = {"type": "double", "name": 0}

    assert names_of(["0"], {"inputs": json.dumps([column])}) == [0]
    for inputs in (json.dumps([column] * 150_000), "[" * 100_000, [column], None):
        assert names_of(["0"], {"inputs": inputs}) == ["0"]
