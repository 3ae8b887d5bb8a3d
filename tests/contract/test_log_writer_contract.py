"""Whoever writes the log writes the same: rows, counts and blocks of what was told, in this process and in another."""

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.prediction_log.__main__ import ToldTypes
from pipeline.adapters.prediction_log.process import NICENESS, RETRY_SECONDS, WriterProcess
from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.monitoring.prediction_log import CountKind, Door, Selection, StoredPrediction
from pipeline.monitoring.profile import BinCounts, CategoryBins, Profile
from pipeline.monitoring.recording.answered import PackedRows, Subject, Told, tables_of
from pipeline.monitoring.recording.batches import Counted, DirectWriter, LogWriter, RecordingOptions, ToldBatch
from pipeline.monitoring.recording.kept import StoredColumns, single_count
from pipeline.monitoring.recording.recorder import PredictionRecorder
from pipeline.serving.predictions import Prediction, Resolved
from pipeline.settings import ROOT
from pipeline.validation.rows import CheckedRow, Problem, Value
from support.in_memory import EPOCH
from support.logged import DIGEST, prediction_id, shadow
from support.loops import until

KEY = b"0123456789abcdef0123456789abcdef"
OPTIONS = RecordingOptions(StoredColumns(frozenset({"Age"}), frozenset({"Name"}), KEY), 1.0, timedelta(days=1))
SUBJECT = Subject(Resolved("m", 1, "champion"), DIGEST)
SEX = CategoryBins(("Female", "Male"))
PROFILE = Profile(4, {"Sex": BinCounts(SEX, (0, 0, 2, 2))}, BinCounts(CategoryBins(("no", "yes")), (0, 0, 2, 2)), None)
VALUES: dict[str, Value] = {"Age": 30.5, "Name": "Ada", "Sex": "Female", "Weight": 60}
SHARES = {"no": 0.25, "yes": 0.75}

# The process that writes, of which the second one and the third end before they answer.
ENDS_TWICE = """
import pathlib, runpy, sys
starts = pathlib.Path(sys.argv[1])
started = len(starts.read_text())
starts.write_text("x" * (started + 1))
if started in (1, 2):
    raise SystemExit(3)
runpy.run_module("pipeline.adapters.prediction_log", run_name="__main__")
"""


@dataclass
class Writing:
    """A writer beside the log that it writes."""

    url: str
    writer: LogWriter
    log: SqlPredictionLog

    def answered(self) -> int:
        return sum(each.n for each in self.log.counts("m") if each.key.kind is CountKind.ANSWERED)

    def rows(self) -> dict[str, StoredPrediction]:
        return {each.prediction.prediction_id: each for each in self.log.predictions(Selection("m", most=10_000))}


def direct(url: str) -> LogWriter:
    return DirectWriter(SqlPredictionLog(url), OPTIONS)


def process(url: str) -> LogWriter:
    return WriterProcess(url, OPTIONS)


def writing(folder: Path, make: Callable[[str], LogWriter]) -> Iterator[Writing]:
    url = f"sqlite:///{folder / 'predictions.db'}"
    log, writer = SqlPredictionLog(url), make(url)
    yield Writing(url, writer, log)
    writer.close()
    log.close()


@pytest.fixture(params=[direct, process])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Writing]:
    yield from writing(tmp_path, request.param)


@pytest.fixture
def aside(tmp_path: Path) -> Iterator[Writing]:
    """Written by another process."""
    yield from writing(tmp_path, process)


def rows(*numbers: int, of: Subject = SUBJECT) -> PackedRows:
    """Answered rows of these numbers."""
    checked = CheckedRow(VALUES, (), (Problem("Age", None, "is odd"),))
    found, at = Prediction("yes", SHARES), EPOCH.timestamp()
    (table,) = tables_of(of, Door.HTTP, [Told(prediction_id(each), at, checked, found, 0.004) for each in numbers])
    return table.packed()


def batch(*told: PackedRows, number: int = 1, **more) -> ToldBatch:
    return ToldBatch(number, EPOCH, rows=told, profiles={DIGEST: PROFILE}, **more)


def opened(found: Writing) -> str:
    return found.writer.open_block(process="host:7", model="m", at=EPOCH)


def test_what_was_told_is_written(found: Writing) -> None:
    """Each row with the columns that are stored, everything counted, a shadow's answers, and how many are lost."""
    block = opened(found)
    refused = Counted(single_count(SUBJECT, EPOCH.timestamp(), CountKind.REFUSED, name="Age"), 2)
    many = rows(*range(400)), rows(*range(400, 450))
    found.writer.write(block, batch(*many, events=(refused,), shadows=[shadow(3)], lost=5), close=True)
    logged = found.rows()
    stored = logged[prediction_id(3)].prediction
    counted = {(each.key.kind, each.key.name, each.key.bin): each.n for each in found.log.counts("m")}

    assert (len(logged), logged[prediction_id(3)].shadow) == (450, shadow(3))
    assert (stored.at, stored.prediction, stored.probabilities, stored.confidence) == (EPOCH, "yes", SHARES, 0.75)
    assert (stored.clear, set(stored.keyed), stored.warnings, stored.milliseconds) == ({"Age": 30.5}, {"Name"}, 1, 4.0)
    assert stored.keyed == OPTIONS.columns.keyed_of({"Name": "Ada"})
    assert counted == {
        (CountKind.ANSWERED, "", "http"): 450,
        (CountKind.LATENCY, "", "0.005"): 450,
        (CountKind.OUT_OF_RANGE, "Age", ""): 450,
        (CountKind.COLUMN, "Sex", "2"): 450,
        (CountKind.CLASS, "", "3"): 450,
        (CountKind.REFUSED, "Age", ""): 2,
    }
    (block_found,) = found.log.blocks()
    assert (block_found.written, block_found.lost, block_found.closed_at) == (450, 5, EPOCH)


def test_a_batch_that_is_repeated_counts_once(found: Writing) -> None:
    """Nobody may have heard that it was written."""
    block = opened(found)
    for _ in range(2):
        found.writer.write(block, batch(rows(1)))

    assert (found.answered(), found.log.blocks()[0].written) == (1, 1)


def test_a_value_that_is_never_taken_is_said_to_be(found: Writing) -> None:
    """Nothing of its batch is written, and the next one is."""
    block = opened(found)
    beyond = Subject(Resolved("m", 2**64, "champion"), DIGEST)
    with pytest.raises(InvalidInput, match="does not take a value"):
        found.writer.write(block, batch(rows(1), rows(2, of=beyond)))
    found.writer.write(block, batch(rows(3), number=2))

    assert set(found.rows()) == {prediction_id(3)}


@pytest.mark.parametrize("make", [direct, process])
def test_a_database_that_is_away_is_said_to_be(tmp_path: Path, make: Callable[[str], LogWriter]) -> None:
    """Once it is back, the same writer writes."""
    (tmp_path / "folder").touch()
    for found in writing(tmp_path / "folder", make):
        with pytest.raises(Unavailable, match="the log of predictions cannot be used"):
            opened(found)
        (tmp_path / "folder").unlink()
        (tmp_path / "folder").mkdir()
        found.writer.write(opened(found), batch(rows(1)), close=True)

        assert (found.answered(), found.writer.restarts) == (1, 0)


def test_old_rows_are_deleted(found: Writing) -> None:
    """Some at a time, until none is left."""
    found.writer.write(opened(found), batch(rows(1)), close=True)

    assert found.writer.purge_some(EPOCH + timedelta(days=1)) == 1
    assert found.rows() == {}


class TestProcess:
    """Another process that writes, and what may become of it."""

    def test_what_a_killed_process_was_not_given_the_next_one_writes(self, aside: Writing) -> None:
        """Under the same block: nothing is missing, nothing is there twice."""
        block = opened(aside)
        aside.writer.write(block, batch(rows(1)))
        killed(aside)
        assert not aside.writer.alive
        for number in (1, 2):
            aside.writer.write(block, batch(rows(number), number=number), close=number == 2)

        assert (aside.answered(), aside.writer.restarts, len(aside.log.blocks())) == (2, 1, 1)
        assert (aside.log.blocks()[0].written, aside.log.blocks()[0].closed_at) == (2, EPOCH)

    def test_a_recorder_has_a_killed_process_replaced(self, aside: Writing) -> None:
        """Also while nobody is answered, and says meanwhile that it does not write."""
        found = PredictionRecorder(aside.writer, OPTIONS, model="m", profile_of=lambda _: PROFILE)
        killed(aside)
        dead = found.status
        found.start()
        until(lambda: found.status.writing)
        found.close()

        assert (dead.writing, dead.restarts, found.status.restarts) == (False, 0, 1)
        assert aside.log.blocks()[0].closed_at is not None

    def test_ctrl_c_and_sigterm_are_for_whoever_started_it(self, aside: Writing) -> None:
        """Also while it still imports. What was answered before them is still to come."""
        for each in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid(aside), each)
        block = opened(aside)
        for each in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid(aside), each)
        aside.writer.write(block, batch(rows(1)), close=True)

        assert (aside.answered(), aside.writer.restarts) == (1, 0)

    def test_nothing_secret_is_among_its_arguments(self, aside: Writing) -> None:
        """Every user of a machine sees those."""
        opened(aside)
        arguments = Path(f"/proc/{pid(aside)}/cmdline").read_bytes()

        assert KEY not in arguments
        assert aside.url.encode() not in arguments

    def test_nothing_secret_is_among_its_variables(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is told what it needs; its own program is found first, then what the operator has added."""
        for name in ("SIGNOFF_LOG_KEY", "MLFLOW_TRACKING_PASSWORD", "PGPASSFILE", "PYTHONPATH"):
            monkeypatch.setenv(name, "/elsewhere")
        for found in writing(tmp_path, process):
            opened(found)  # it has answered: Linux gives a process its variables a moment after its number
            inherited = Path(f"/proc/{pid(found)}/environ").read_text(encoding="utf-8").split("\0")

        assert not [each for each in inherited if each.startswith(("SIGNOFF_", "MLFLOW_"))]
        assert {"PGPASSFILE=/elsewhere", f"PYTHONPATH={ROOT}{os.pathsep}/elsewhere"} <= set(inherited)

    def test_it_gives_way_to_whoever_answers(self, aside: Writing) -> None:
        """Also where the processors are shared by session."""
        opened(aside)
        shared = Path(f"/proc/{pid(aside)}/autogroup")

        assert os.getpriority(os.PRIO_PROCESS, pid(aside)) == NICENESS
        assert not os.access(shared, os.W_OK) or shared.read_text().endswith(f" nice {NICENESS}\n")

    @pytest.mark.parametrize("content", [b"\xc1", b"\x01", rows(2).content[:-1], Fraction(1, 2)])
    def test_a_batch_that_breaks_it_is_never_taken(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str], content: Any
    ) -> None:
        """Whoever asks is told so, instead of asking another process again; the next batch is written.

        The server's output has where it broke.
        """
        whole = rows(2)
        broken = replace(batch(), rows=[whole, whole._replace(content=content)])
        for found in writing(tmp_path, process):
            block, first = opened(found), pid(found)
            with pytest.raises(InvalidInput, match=r"what was told cannot be written \([A-Z][A-Za-z]+\)"):
                found.writer.write(block, broken)
            found.writer.write(block, batch(rows(3), number=2), close=True)

            assert (set(found.rows()), pid(found)) == ({prediction_id(3)}, first)
            assert "in _reply" in capfd.readouterr().err

    def test_an_address_that_cannot_be_used_is_said_to_be(self) -> None:
        """In the words that whoever writes in its own process gets, each time."""
        writer = WriterProcess("mysql://host/log", OPTIONS)
        for _ in range(2):
            with pytest.raises(InvalidInput, match=r"SIGNOFF_LOG_URL: mysql is not supported"):
                writer.open_block(process="host:7", model="m", at=EPOCH)
        writer.close()

        assert writer.restarts == 0

    def test_where_whoever_answers_is_gone_the_block_stays_open(self, aside: Writing) -> None:
        """It has told nobody that everything is there."""
        aside.writer.write(opened(aside), batch(rows(1)))
        aside.writer.close()

        assert (aside.answered(), aside.log.blocks()[0].closed_at) == (1, None)

    def test_a_process_that_does_not_start_is_unavailable(self, aside: Writing) -> None:
        """Before anything is answered."""
        with pytest.raises(Unavailable, match=r"the process that writes it does not start \(No such file"):
            WriterProcess(aside.url, OPTIONS, command=("/nowhere/python",)).open_block(
                process="host:7", model="m", at=EPOCH
            )

    def test_a_process_that_ends_at_once_is_not_started_all_the_time(self, aside: Writing) -> None:
        """Only after a while, and for whom it is urgent."""
        now = [0.0]
        ends = (sys.executable, "-c", "raise SystemExit(3)")
        found = replace(aside, writer=WriterProcess(aside.url, OPTIONS, command=ends, clock=lambda: now[0]))
        told = batch(rows(1))
        with pytest.raises(Unavailable, match=r"has ended \(exit code 3\)"):
            found.writer.write("block", told)
        with pytest.raises(Unavailable, match="another one starts soon"):
            found.writer.write("block", told)
        assert found.writer.restarts == 0
        with pytest.raises(Unavailable, match=r"has ended \(exit code 3\)"):
            found.writer.write("block", told, urgent=True)
        now[0] += RETRY_SECONDS
        with pytest.raises(Unavailable, match=r"has ended \(exit code 3\)"):
            found.writer.write("block", told)

        assert (found.writer.restarts, found.writer.alive) == (2, False)

    def test_at_the_end_another_one_is_started_at_once(self, aside: Writing, tmp_path: Path) -> None:
        """Also where the last one has ended before it answered, and for more than the batch that it was to write."""
        (tmp_path / "starts").touch()
        command = (sys.executable, "-c", ENDS_TWICE, str(tmp_path / "starts"))
        found = replace(aside, writer=WriterProcess(aside.url, OPTIONS, command=command, clock=lambda: 0.0))
        recorder = PredictionRecorder(found.writer, OPTIONS, model="m", profile_of=lambda _: PROFILE)
        killed(found)
        recorder._take(rows(1), answers=1)
        assert not recorder._write_waiting()
        recorder._take(rows(2), answers=1)
        recorder.close()

        assert (found.answered(), found.writer.restarts) == (2, 3)
        assert found.log.blocks()[0].closed_at is not None


def pid(found: Writing) -> int:
    assert isinstance(found.writer, WriterProcess)
    assert found.writer.pid is not None
    return found.writer.pid


def killed(found: Writing) -> None:
    """The process was there, and is not any more."""
    os.kill(pid(found), signal.SIGKILL)
    assert isinstance(found.writer, WriterProcess)
    assert found.writer._process is not None
    found.writer._process.popen.wait()


@pytest.mark.parametrize("told", [os.getcwd, Path("elsewhere"), Fraction(1, 2)])
def test_what_is_told_is_of_listed_types(told: object) -> None:
    """A pickle can name any function of any module: the process that writes refuses whatever is not told to a log."""
    read = ToldTypes(BytesIO(pickle.dumps(("write", {"batch": told}))))

    with pytest.raises(TypeError, match="is nothing that is told to the log"):
        read.load()
