"""Files of any size: killed and gone on with, here and at addresses, the same bytes however they were scored."""

import csv
import errno
import functools
import gzip
import http.server
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from pipeline.cli import run
from pipeline.governance.errors import Conflict, InvalidInput, Unavailable
from pipeline.serving.batch import resume
from pipeline.serving.batch.batch import Batch, Scored
from pipeline.serving.batch.inputs import Location, jobs
from pipeline.serving.batch.resume import JOURNAL
from pipeline.serving.batch.run import ScoringOptions
from pipeline.serving.scorer import Scorer
from pipeline.serving.trust import LoadingPolicy
from pipeline.serving.worker.client import Pool
from pipeline.settings import ROOT
from support import registries
from support.desks import MODEL
from support.hostile_models import ALLOWED, fitted, rows, save
from support.in_memory import InMemoryRegistry
from support.soak import amount

POLICY = LoadingPolicy("allow_list", ALLOWED, kept_models=3, predict_seconds=60, explain_seconds=60)
SCHEMA = {
    "columns": {
        "Age": {"type": "number", "minimum": 10, "maximum": 100, "default": 24},
        "Weight": {"type": "number", "minimum": 25, "maximum": 260, "default": 80},
        "Gender": {"type": "category", "categories": ["Female", "Male"], "default": "Female"},
        "CAEC": {"type": "category", "categories": ["no", "Sometimes", "Always"], "default": "no"},
    }
}
FOREST, REGRESSION = f"{MODEL}/1", f"{MODEL}/2"


def files_of(folder: Path) -> dict[str, bytes]:
    schema = {"signoff/feature_schema.json": json.dumps(SCHEMA).encode()}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    } | schema


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, bytes]]:
    place = tmp_path_factory.mktemp("saved")
    folders = [save(fitted(name), place / name) for name in ("random_forest", "logistic_regression")]
    rows()[0].head(40).to_parquet(place / "background.parquet")
    background = {"signoff/background.parquet": (place / "background.parquet").read_bytes()}
    return [files_of(folder) | background for folder in folders]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    found = Pool(2, memory_megabytes=4096)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def scorer(saved: list[dict[str, bytes]], pool: Pool) -> Scorer:
    """Version 1 a forest, version 2 a logistic regression."""
    from support.desks import build_desk

    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    for files in saved:
        registry.add_version(MODEL, files=files, documents={"feature_schema": SCHEMA})
    return Scorer(build_desk(registry), pool, POLICY)


def table(count: int) -> pd.DataFrame:
    frame = pd.concat([rows()[0]] * (count // 120 + 1), ignore_index=True).head(count)
    frame["Weight"] = (frame["Weight"] + np.arange(count) % 97 / 10).round(1)
    frame.insert(0, "id", [f"=row {number}" if number % 50 == 0 else f"row, {number}" for number in range(count)])
    return frame


def text_of(count: int) -> str:
    """With bad rows of every kind in between."""
    lines = table(count).to_csv(index=False).splitlines()
    for place, line in (
        (9, "short,1"),
        (20, '"a\nb",30,80,Male,no'),
        (33, "x,30,80,Man,no"),
        (47, "y,,80,Male,no,more"),
    ):
        if place < len(lines):
            lines[place] = line
    return "\n".join(lines) + "\n"


class Told(list[str]):
    """What was said."""


def scored(
    scorer: Scorer, source: object, target: object, way: ScoringOptions | None = None, **options
) -> tuple[list[Scored], Told]:
    told = Told()
    reference, restart = options.get("reference", FOREST), options.get("restart", False)
    batch = Batch(scorer, reference, way or ScoringOptions(20, parallel=2), say=told.append)
    return batch.score(str(source), str(target), restart=restart), told


class Stopped(BaseException):
    """As if the process had been killed."""


def stop_after(chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter(range(chunks))
    mark = resume.Staging.checkpoint

    def counted(self, *about):
        mark(self, *about)
        if next(seen, None) is None:
            raise Stopped

    monkeypatch.setattr(resume.Staging, "checkpoint", counted)


# The same bytes however they were scored


@pytest.mark.parametrize("reference", [FOREST, REGRESSION])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_chunks_and_workers_do_not_show(scorer: Scorer, tmp_path: Path, reference: str, kind: str) -> None:
    """One row at a time or all at once, one worker or two: the same file, bad rows included."""
    count = amount(100, soak=300)
    (tmp_path / "in.csv").write_text(text_of(count))
    seen = set()
    for number, way in enumerate(
        (ScoringOptions(1), ScoringOptions(7, parallel=2), ScoringOptions(40, parallel=2), ScoringOptions(1000))
    ):
        out = tmp_path / f"{number}.{kind}"
        found, _ = scored(scorer, tmp_path / "in.csv", out, way, reference=reference)
        assert (found[0].rows, found[0].bad) == (count, 3)
        seen.add((out.read_bytes(), Path(f"{out}.bad.csv").read_bytes()))
    assert len(seen) == 1


def test_what_comes_out_is_what_the_model_says(scorer: Scorer, tmp_path: Path) -> None:
    """From CSV and Parquet, to CSV and Parquet, in the order of the rows."""
    frame = table(100)
    frame.to_csv(tmp_path / "in.csv", index=False)
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=30)
    model = fitted("random_forest")
    chances = model.predict_proba(frame[list(SCHEMA["columns"])])
    for source in ("in.csv", "in.parquet"):
        for out in ("out.csv", "out.parquet"):
            scored(scorer, tmp_path / source, tmp_path / out)
            read = pd.read_csv(tmp_path / out) if out.endswith("csv") else pd.read_parquet(tmp_path / out)
            assert np.array_equal(read[[f"probability_{name}" for name in model.classes_]], chances)
            assert read["Weight"].tolist() == frame["Weight"].tolist()
            assert read["id"].str.removeprefix("'").tolist() == frame["id"].tolist()


def test_text_of_every_kind_gives_the_same_rows(scorer: Scorer, tmp_path: Path) -> None:
    """Compressed or not, with commas or tabs, in and out; a compressed output does not show when it was made."""
    (tmp_path / "in.csv").write_text(table(60).to_csv(index=False))
    scored(scorer, tmp_path / "in.csv", tmp_path / "expected.csv")
    expected = pd.read_csv(tmp_path / "expected.csv")
    for kind, separator in (("csv.gz", ","), ("tsv", "\t"), ("tsv.gz", "\t")):
        table(60).to_csv(tmp_path / f"in.{kind}", sep=separator, index=False)
        scored(scorer, tmp_path / f"in.{kind}", tmp_path / "out.csv")
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
        scored(scorer, tmp_path / "in.csv", tmp_path / f"out.{kind}")
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / f"out.{kind}", sep=separator), expected)
    packed = (tmp_path / "out.tsv.gz").read_bytes()
    assert packed[4:8] == bytes(4)
    assert gzip.decompress(packed) == (tmp_path / "out.tsv").read_bytes()


def test_columns_without_a_name_are_extra_columns(scorer: Scorer, tmp_path: Path) -> None:
    """An index that pandas wrote, a comma at the end of each line: kept, named as not used; bad rows stay bad rows."""
    lines = rows()[0].head(4).to_csv().splitlines()
    text = "sep=,\n" + "".join(f"{line},\n" for line in [*lines, "4,30,9999,Male,no"])
    (tmp_path / "in.csv").write_text(text)
    for out in ("out.csv", "out.parquet"):
        found, _ = scored(scorer, tmp_path / "in.csv", tmp_path / out)
        assert (found[0].scored, found[0].bad) == (4, 1)
        assert found[0].ignored == ("column 1 (no name)", "column 6 (no name)")
        assert found[0].first_problem.startswith("row 7, Weight: 9999 is above 260")
    read = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert read[0][:7] == ["", "Age", "Weight", "Gender", "CAEC", "", "prediction"]
    assert [row[0] for row in read[1:]] == ["0", "1", "2", "3"]
    names = pq.read_schema(tmp_path / "out.parquet").names
    assert names[:7] == ["column_1", "Age", "Weight", "Gender", "CAEC", "column_6", "prediction"]


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        *((kind, after) for kind in ("csv", "parquet") for after in (0, 1, 5, 14)),
        ("csv.gz", 5),
        ("tsv.gz", 14),
        ("tsv", 1),
    ],
)
def test_it_goes_on_where_it_stopped(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, after: int
) -> None:
    """Nothing is at its place before the end, and then the same bytes are there as without a stop."""
    (tmp_path / "in.csv").write_text(text_of(300))
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(text_of(300).encode()))
    for name in ("in.tsv", "in.tsv.gz"):
        table(300).to_csv(tmp_path / name, sep="\t", index=False)
    table(300).to_parquet(tmp_path / "in.parquet", row_group_size=70)
    source, out = tmp_path / f"in.{kind}", tmp_path / f"out.{kind}"
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(after, patched)
        scored(scorer, source, out)
    assert not out.exists()
    (journal,) = tmp_path.glob(f".signoff-*/*/{JOURNAL}")
    with journal.open("ab") as stream:
        stream.write(b"0000 half a li")
    with (journal.parent / "rows").open("ab") as stream:
        stream.write(b"half a row")
    expected, _ = scored(scorer, source, tmp_path / f"whole.{kind}")
    found, told = scored(scorer, source, out)
    assert "goes on after" in told[0]
    assert out.read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
    assert (found[0].rows, found[0].scored, found[0].bad, found[0].first_problem) == (
        expected[0].rows, expected[0].scored, expected[0].bad, expected[0].first_problem,
    )  # fmt: skip
    assert list(tmp_path.glob(".signoff-*")) == []


def touch(path: Path) -> None:
    path.write_text(path.read_text().replace("Male", "Female"))


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        (touch, {}, "another input than before"),
        (None, {"way": ScoringOptions(10)}, "another chunk_rows than before"),
        (None, {"way": ScoringOptions(20, explain=1)}, "another explain than before"),
        (None, {"reference": REGRESSION}, "another version, digest than before"),
        (None, {"restart": True}, None),
    ],
)
def test_what_changed_starts_over_and_says_so(
    scorer: Scorer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable | None,
    options: dict,
    sentence: str | None,
) -> None:
    """The rows of two inputs, versions or ways are never mixed."""
    (tmp_path / "in.csv").write_text(table(100).to_csv(index=False))
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(2, patched)
        scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
    if change:
        change(tmp_path / "in.csv")
    _, told = scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv", **options)
    assert [text.partition("with ")[2] for text in told] == ([sentence] if sentence else [])
    scored(scorer, tmp_path / "in.csv", tmp_path / "whole.csv", **options)
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_staged_rows_that_were_lost_start_over(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a power cut: the journal is there, the rows are other ones."""
    (tmp_path / "in.csv").write_text(table(100).to_csv(index=False))
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(3, patched)
        scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
    (staged,) = tmp_path.glob(".signoff-*/*/rows")
    staged.write_bytes(bytes(staged.stat().st_size))
    _, told = scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
    assert told == []
    assert len(pd.read_csv(tmp_path / "out.csv")) == 100


@pytest.mark.parametrize("step", ["rows", "bad", "done"])
def test_a_stop_while_it_is_put_in_its_place(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Is finished by the next call."""
    (tmp_path / "in.csv").write_text(text_of(100))
    scored(scorer, tmp_path / "in.csv", tmp_path / "whole.csv")

    def stopped(self, file):
        if file.name == step:
            raise Stopped
        receive(self, file)

    receive = Location.receive
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        if step == "done":
            patched.setattr("pipeline.serving.batch.batch.shutil.rmtree", lambda *_, **__: stopped(None, Path("done")))
        else:
            patched.setattr(Location, "receive", stopped)
        scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
    found, _ = scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
    assert (found[0].rows, found[0].bad, found[0].ignored) == (100, 3, ("id",))
    for end in ("", ".bad.csv"):
        assert (tmp_path / f"out.csv{end}").read_bytes() == (tmp_path / f"whole.csv{end}").read_bytes()
    assert list(tmp_path.glob(".signoff-*")) == []


def test_one_run_at_a_time(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one of the same output is told so."""
    (tmp_path / "in.csv").write_text(table(100).to_csv(index=False))
    seen: list[Conflict] = []

    def second(*_):
        with pytest.raises(Conflict, match=r"out\.csv: is being written by another run") as caught:
            scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
        seen.append(caught.value)

    Batch(scorer, FOREST, ScoringOptions(1000), report=second).score(
        str(tmp_path / "in.csv"), str(tmp_path / "out.csv")
    )
    assert len(seen) == 1


def test_a_full_disk_is_one_sentence(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And leaves what is needed to go on."""
    (tmp_path / "in.csv").write_text(table(200).to_csv(index=False))
    write = resume.AppendWriter.write

    def full(self, data):
        if self.size > 10_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    with monkeypatch.context() as patched, pytest.raises(Unavailable, match=r"out\.csv: the disk is full; make room"):
        patched.setattr(resume.AppendWriter, "write", full)
        scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
    assert scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")[1][0].startswith("out.csv: goes on after")


# Folders, patterns and addresses


def test_folders_and_patterns(scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every CSV and Parquet file into a folder by its name; a broken one does not stop the others."""
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    for name in ("b.csv", "a.CSV", "caf\u00e9 [1].csv"):
        (given / name).write_text(table(30).to_csv(index=False))
    table(30).to_parquet(given / "c.parquet")
    table(30).to_csv(given / "d.tsv.gz", sep="\t", index=False)
    for name in ("notes.txt", "old.csv.bad.csv"):
        (given / name).write_text("x")
    found, _ = scored(scorer, given, out)
    names = ["a.CSV", "b.csv", "caf\u00e9 [1].csv", "c.parquet", "d.tsv.gz"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert [Path(each.output or "").name for each in found] == sorted(names, key=str)
    assert [job.source.name for job in jobs(str(given / "*.csv"), str(out))] == [
        "b.csv",
        "caf\u00e9 [1].csv",
        "old.csv.bad.csv",
    ]
    assert len(jobs(str(given / "caf\u00e9 [1].csv"), str(tmp_path / "x.csv"))) == 1
    assert jobs(str(given / "b*.csv"), str(tmp_path / "x.csv"))[0].target.name == "x.csv"
    (given / "a.CSV").write_text("Age\n1\n")
    with pytest.raises(InvalidInput, match=r"1 of 5 files could not be scored; the first: Weight: is missing"):
        scored(scorer, given, tmp_path / "other")
    assert len(list((tmp_path / "other").iterdir())) == 4


def test_files_that_were_done_are_not_scored_again(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop in the second of two."""
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "in" / name).write_text(table(60).to_csv(index=False))
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(4, patched)
        scored(scorer, tmp_path / "in", tmp_path / "out")
    before = (tmp_path / "out" / "a.csv").stat().st_mtime_ns
    found, told = scored(scorer, tmp_path / "in", tmp_path / "out")
    assert told == ["b.csv: goes on after 40 rows"]
    assert (tmp_path / "out" / "a.csv").stat().st_mtime_ns == before
    assert [each.rows for each in found] == [60, 60]


@pytest.mark.parametrize(
    ("given", "wanted", "sentence"),
    [
        ("in/*.csv", "out.csv", "must be a folder, for 2 files"),
        ("in/*.xls", "out", "there is no file whose name ends in .csv, .csv.gz, .tsv, .tsv.gz or .parquet"),
        ("*/a.csv", "out", "would both be written to"),
        ("in", "in", "needs a name other than the input's"),
        ("gone.csv", "out.csv", r"gone\.csv: No such file"),
        ("s3x://bucket/a.csv", "out.csv", "cannot be used"),
        ("memory://gone.csv", "out.csv", r"memory://.*gone\.csv"),
        ("in/a.csv", "hdfs3x+y://user:secret@host/x.csv", r"hdfs3x\+y://host/x\.csv: cannot be used"),
    ],
)
def test_places_that_do_not_fit(
    scorer: Scorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, wanted: str, sentence: str
) -> None:
    """One sentence, before anything is scored."""
    for folder in ("in", "other"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text(table(3).to_csv(index=False))
    (tmp_path / "in" / "b.csv").write_text("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match=sentence):
        scored(scorer, given, wanted)
    assert not (tmp_path / "out.csv").exists()


def test_a_driver_that_is_not_installed(scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is named."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(InvalidInput, match=r"gs://bucket/in\.csv: needs a package that is not installed \(.*gcsfs"):
        scored(scorer, "gs://bucket/in.csv", "out.csv")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[fsspec.AbstractFileSystem]:
    """An object store, empty before and after."""
    monkeypatch.setattr("pipeline.serving.batch.batch.VAR", tmp_path / "var")
    found = fsspec.filesystem("memory")
    yield found
    found.store.clear()
    found.pseudo_dirs[:] = [""]


def test_an_object_store(scorer: Scorer, tmp_path: Path, memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read from and written to, whole at once and resumed; a folder of both kinds too."""
    (tmp_path / "in.csv").write_text(text_of(100))
    scored(scorer, tmp_path / "in.csv", tmp_path / "whole.csv")
    memory.pipe("/in/a.csv", text_of(100).encode())
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        stop_after(2, patched)
        scored(scorer, "memory://in/a.csv", "memory://out/a.csv")
    assert not memory.exists("/out/a.csv")
    _, told = scored(scorer, "memory://in/a.csv", "memory://out/a.csv")
    assert told == ["a.csv: goes on after 60 rows"]
    assert memory.cat("/out/a.csv") == (tmp_path / "whole.csv").read_bytes()
    assert memory.cat("/out/a.csv.bad.csv") == (tmp_path / "whole.csv.bad.csv").read_bytes()

    stream = io.BytesIO()
    table(50).to_parquet(stream)
    memory.pipe("/in/b.parquet", stream.getvalue())
    found, _ = scored(scorer, "memory://in", "memory://all/")
    assert [each.output for each in found] == ["memory:///all/a.csv", "memory:///all/b.parquet"]
    assert pq.read_table(io.BytesIO(memory.cat("/all/b.parquet"))).num_rows == 50
    assert list((tmp_path / "var").rglob("*.csv")) == []


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Knows no parts of files, as the simplest servers do."""

    def log_message(self, *_):
        """Nothing."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    handler = functools.partial(Quiet, directory=tmp_path / "www")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


def test_a_web_server(scorer: Scorer, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """CSV is streamed and resumed, Parquet copied first; what is not there is one sentence."""
    (tmp_path / "www" / "in.csv").write_text(text_of(100))
    table(100).to_parquet(tmp_path / "www" / "in.parquet")
    for kind in ("csv", "parquet"):
        scored(scorer, tmp_path / "www" / f"in.{kind}", tmp_path / f"whole.{kind}")
        with monkeypatch.context() as patched, pytest.raises(Stopped):
            stop_after(2, patched)
            scored(scorer, f"{server}/in.{kind}", tmp_path / f"out.{kind}")
        _, told = scored(scorer, f"{server}/in.{kind}", tmp_path / f"out.{kind}")
        assert told == [f"out.{kind}: goes on after 60 rows"]
        assert (tmp_path / f"out.{kind}").read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
    with pytest.raises(InvalidInput, match=r"gone\.csv"):
        scored(scorer, f"{server}/gone.csv", tmp_path / "x.csv")
    with pytest.raises(InvalidInput, match="out"):
        scored(scorer, tmp_path / "www" / "in.csv", f"{server}/out.csv")


# Explanations


def test_the_strongest_contributions(scorer: Scorer, tmp_path: Path) -> None:
    """Of the predicted class, as `explain` says them, strongest first."""
    table(60).to_csv(tmp_path / "in.csv", index=False)
    scored(scorer, tmp_path / "in.csv", tmp_path / "out.parquet", ScoringOptions(30, explain=2, parallel=2))
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    explained = scorer.explain(FOREST, [{name: row[name] for name in SCHEMA["columns"]} for row in found[:50]])
    for row, document in zip(found[:50], explained.documents, strict=True):
        contributions = document["contributions"][row["prediction"]]
        strongest = sorted(contributions, key=lambda name: -abs(contributions[name]))[:2]
        assert [row["reason_1"], row["reason_2"]] == strongest
        assert [row[f"reason_{place}_contribution"] for place in (1, 2)] == pytest.approx(
            [contributions[name] for name in strongest], abs=1e-12
        )


def test_explained_files_do_not_show_their_chunks(scorer: Scorer, tmp_path: Path) -> None:
    """More columns are asked for than there are."""
    table(120).to_csv(tmp_path / "in.csv", index=False)
    for number, way in enumerate((ScoringOptions(7, explain=9), ScoringOptions(120, explain=9, parallel=2))):
        scored(scorer, tmp_path / "in.csv", tmp_path / f"{number}.csv", way, reference=REGRESSION)
    assert (tmp_path / "0.csv").read_bytes() == (tmp_path / "1.csv").read_bytes()
    header = next(csv.reader([(tmp_path / "0.csv").read_text().splitlines()[0]]))
    assert [name for name in header if name.startswith("reason_")][-1] == "reason_4_contribution"


# Odd files


def test_bad_rows_of_every_kind(scorer: Scorer, tmp_path: Path) -> None:
    """In the order of the file, each with its line and its reason."""
    (tmp_path / "in.csv").write_text(text_of(60))
    found, _ = scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
    bad = list(csv.reader(io.StringIO((tmp_path / "out.csv.bad.csv").read_text())))
    assert (found[0].scored, found[0].bad) == (57, 3)
    assert [row[0] for row in bad] == ["line", "10", "35", "49"]
    assert bad[1][1:] == ["row 10: has 2 fields, the header has 5", "short", "1"]
    assert "row 35, Gender: 'Man' is not allowed (allowed Female, Male)" == bad[2][1]
    assert '"a\nb",30,80,Male,no,' in (tmp_path / "out.csv").read_text()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"Age,Weight,Gender,CAEC\n", r"no row could be scored \(it has none\)"),
        (b"Age,Weight,Gender\n1,2,Male\n", "CAEC: is missing"),
        (b"Age,Weight,Gender,CAEC\n30,80,Male,no\n30,80,M\xe9le,no\n", "is not UTF-8 after line 2"),
        (b'Age,Weight,Gender,CAEC\n30,80,Male,no\n30,80,"Male,no\n', "a quote in the row that begins in line 3"),
        ("Age,Weight,Gender,CAEC\n".encode("utf-16"), "is UTF-16"),
    ],
)
def test_files_that_cannot_be_scored(scorer: Scorer, tmp_path: Path, content: bytes, sentence: str) -> None:
    """One sentence, and nothing is left behind."""
    (tmp_path / "in.csv").write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        scored(scorer, tmp_path / "in.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_odd_names_and_byte_order_marks(scorer: Scorer, tmp_path: Path) -> None:
    """Spaces, quotes, colons, other scripts."""
    source = tmp_path / "\u0444\u0430\u0439\u043b a:b 'q' #1.csv"
    source.write_bytes(b"\xef\xbb\xbf" + table(5).to_csv(index=False).encode().replace(b"\n", b"\r\n"))
    found, _ = scored(scorer, source, tmp_path / "out put.csv")
    assert (found[0].rows, found[0].bad) == (5, 0)
    table(5).to_csv(tmp_path / "in.csv", index=False)
    scored(scorer, tmp_path / "in.csv", tmp_path / "same.csv")
    assert (tmp_path / "same.csv").read_bytes() == (tmp_path / "out put.csv").read_bytes()


# The command itself


@pytest.fixture(scope="module")
def environment(
    template: Path, tmp_path_factory: pytest.TempPathFactory, saved: list[dict[str, bytes]]
) -> dict[str, str]:
    """Of a real MLflow with both versions, the first recorded as champion, and small chunks."""
    folder = tmp_path_factory.mktemp("registered")
    uri = registries.copy_store(template, folder)
    filler = registries.Filler(uri)
    filler.add_model(MODEL)
    for files in saved:
        filler.add_version(MODEL, files=files)
    filler.client.set_registered_model_alias(MODEL, "champion", "1")
    settings = (ROOT / "params.yaml").read_text()
    workers = amount("1", soak="null")
    for before, after in (("chunk_rows: 20000", "chunk_rows: 500"), ("workers: null", f"workers: {workers}")):
        assert before in settings
        settings = settings.replace(before, after)
    (folder / "params.yaml").write_text(settings)
    found = {
        "MLFLOW_TRACKING_URI": uri,
        "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
        "SIGNOFF_PARAMS": str(folder / "params.yaml"),
        "SIGNOFF_ACTOR": "grace",
    }
    subprocess.run(
        [sys.executable, "-m", "pipeline", "reconcile"],
        env={**os.environ, **found},
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return found


def start(environment: dict[str, str], *arguments: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "score", MODEL, *map(str, arguments)],
        env={**os.environ, **environment}, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def marks(folder: Path) -> int:
    """How many chunks were written."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob(f".signoff-*/*/{JOURNAL}"))


def asleep_after(wanted: int, folder: Path, process: subprocess.Popen[str]) -> None:
    """Asleep once so many chunks were written, and whenever this looks: it does not end between a look and a signal."""
    while True:
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGSTOP)
        if marks(folder) >= wanted:
            return
        process.send_signal(signal.SIGCONT)
        time.sleep(0.005)


KILLS = amount(
    [(1, signal.SIGKILL), (10, signal.SIGINT)],
    soak=[(1, signal.SIGKILL), (5, signal.SIGKILL), (10, signal.SIGKILL), (15, signal.SIGINT)],
)


def test_killed_again_and_again(environment: dict[str, str], tmp_path: Path) -> None:
    """SIGKILL at some points, then Ctrl-C: the same command ends with the bytes of a run that nobody stopped."""
    (tmp_path / "in.csv").write_text(text_of(amount(10_000, soak=100_000)))
    whole = start(environment, tmp_path / "in.csv", tmp_path / "whole.csv", "--json")
    expected = json.loads(whole.communicate()[0])
    for wanted, how in KILLS:
        process = start(environment, tmp_path / "in.csv", tmp_path / "out.csv")
        asleep_after(wanted, tmp_path, process)
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate()
        assert process.returncode == (-signal.SIGKILL if how == signal.SIGKILL else 130)
        assert not (tmp_path / "out.csv").exists()
    assert said.endswith("out.csv: stopped; the same command goes on from here\n")
    last = start(environment, tmp_path / "in.csv", tmp_path / "out.csv", "--json")
    output, said = last.communicate()
    assert "out.csv: goes on after" in said
    found = json.loads(output)
    assert {**found, "output": "", "bad_rows": ""} == {**expected, "output": "", "bad_rows": ""}
    for end in ("", ".bad.csv"):
        assert (tmp_path / f"out.csv{end}").read_bytes() == (tmp_path / f"whole.csv{end}").read_bytes()


PEAKS = """
import resource, sys
from pipeline.cli import run
reference, out, *sources = sys.argv[1:]
for source in sources:
    code = run(["score", reference, source, out, "--json"])
    print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_memory_does_not_grow_with_the_file(environment: dict[str, str], tmp_path: Path, kind: str) -> None:
    """Many times the rows, about the same peak of the process that reads and writes (not of its workers)."""
    sources = []
    for count in (10_000, amount(50_000, soak=400_000)):
        sources.append(tmp_path / f"{count}.{kind}")
        frame = table(count)
        frame.to_csv(sources[-1], index=False) if kind == "csv" else frame.to_parquet(sources[-1])
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, f"{MODEL}/2", str(tmp_path / f"out.{kind}"), *map(str, sources)],
        env={**os.environ, **environment}, cwd=ROOT, text=True, stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    said = [line.split() for line in done.stdout.splitlines() if re.fullmatch("[0-9]+ [0-9]+", line)]
    assert [code for code, _ in said] == ["0", "0"]
    first, second = (int(peak) for _, peak in said)  # of all so far, so that only growth raises the second
    assert second < 1.3 * first


FIRST, SECOND, LAST = (["--explain"], 3), (["--explain", "2"], 2), (["--explain", "4", "--restart"], 4)


@pytest.mark.parametrize(("option", "count"), amount([FIRST, LAST], soak=[FIRST, SECOND, LAST]))
def test_explain_with_and_without_a_number(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str], count: int
) -> None:
    """Three by default, wherever the option stands."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    table(5).to_csv(tmp_path / "in.csv", index=False)
    assert run(["score", f"{MODEL}/2", *option, str(tmp_path / "in.csv"), str(tmp_path / "out.csv"), "--json"]) == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[0].count("_contribution") == count
