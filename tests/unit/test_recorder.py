"""What is answered is recorded off the way of whoever waits: all of it by the end, nothing twice, nothing too much."""

import hmac
import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.monitoring.prediction_log import NOTHING, CountKind, Door, LogBatch, PredictionLog, Selection
from pipeline.monitoring.profile import BinCounts, CategoryBins, ConfidenceCounts, NumberBins, Profile
from pipeline.monitoring.recording.answered import AnsweredTable, Subject, Told, tables_of
from pipeline.monitoring.recording.batches import DirectWriter, RecordingOptions
from pipeline.monitoring.recording.kept import StoredColumns, counts_of, is_sampled, latency_bins
from pipeline.monitoring.recording.recorder import PredictionRecorder, Unrecorded, new_id
from pipeline.serving.predictions import PredictedColumns, Prediction, Resolved, Target
from pipeline.serving.targets import input_schema
from pipeline.validation.columns import Input, check_many
from pipeline.validation.rows import CheckedRow, InvalidRows, Problem, Value, check_row, check_rows
from support.desks import MODEL
from support.in_memory import EPOCH
from support.logged import shadow
from support.served import ROW, KnownWorker, state_in_memory

KEY = b"0123456789abcdef0123456789abcdef"
EVERYTHING = RecordingOptions(StoredColumns(frozenset({"Age", "Visits"})), 1.0, timedelta(days=1))
ODD = {**ROW, "Age": 80}  # outside the training data
PROFILE = Profile(
    rows=4,
    columns={
        "Age": BinCounts(NumberBins(14, 61, (20, 40)), (0, 0, 1, 1, 1, 1)),
        "Gender": BinCounts(CategoryBins(("Female", "Male")), (0, 0, 2, 2)),
    },
    predictions=BinCounts(CategoryBins(("no", "yes")), (0, 0, 2, 2)),
    confidence=ConfidenceCounts((0.5, 0.9), (1, 2, 1), (0, 1, 1)),
)


@dataclass
class FailingLog:
    """A log whose database is away for the next `failures` writes; the rest is a real one's."""

    log: SqlPredictionLog
    failures: int = 0
    refused: int = 0  # of the next writes, which it will never take
    written: list[LogBatch] = field(default_factory=list)

    def write(self, block: str, batch: LogBatch, *, close: bool = False) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the log of predictions cannot be used: it is away")
        if self.refused:
            self.refused -= 1
            raise InvalidInput("the log of predictions does not take a value: it has a NUL")
        self.log.write(block, batch, close=close)
        self.written.append(batch)

    def __getattr__(self, name: str):
        return getattr(self.log, name)


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    state = state_in_memory(KnownWorker())
    yield state.served().target
    state.batcher.close()


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FailingLog]:
    found = SqlPredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")
    yield FailingLog(found)
    found.close()


def recorder(log: PredictionLog, options: RecordingOptions = EVERYTHING, **more) -> PredictionRecorder:
    defaults = {"profile_of": lambda _: PROFILE, "clock": EPOCH.timestamp}
    return PredictionRecorder(DirectWriter(log, options), options, model=MODEL, **{**defaults, **more})


def told(found: PredictionRecorder, target: Target, *rows: dict[str, object]) -> list[str]:
    schema = input_schema(target)
    prediction = Prediction("yes", {"no": 0.2, "yes": 0.8})
    return [found.answered(target, check_row(row, schema), prediction, seconds=0.004) for row in rows]


def counts(log: PredictionLog, kind: CountKind) -> dict[tuple[str, str], int]:
    found: Counter[tuple[str, str]] = Counter()
    for each in log.counts(MODEL):
        if each.key.kind is kind:
            found[each.key.name, each.key.bin] += each.n
    return dict(found)


def test_what_was_told_before_the_end_is_there_after_it(log: FailingLog, target: Target) -> None:
    """Every answer has a row under its id, its block is closed and accounts for it."""
    found = recorder(log)
    found.start()
    ids = told(found, target, ROW, ODD, ROW)
    found.close()
    rows = {each.prediction.prediction_id: each.prediction for each in log.predictions(Selection(MODEL))}

    assert set(rows) == set(ids)
    first = rows[ids[0]]
    assert (first.model, first.version, first.digest, first.alias) == (MODEL, 1, target.digest, "champion")
    assert (first.prediction, first.confidence, first.door, first.milliseconds) == ("yes", 0.8, Door.HTTP, 4.0)
    assert (first.at, rows[ids[1]].warnings) == (EPOCH, 1)
    (block,) = log.blocks()
    assert (block.written, block.lost, block.closed_at) == (3, 0, EPOCH)


def test_every_answer_is_counted(log: FailingLog, target: Target) -> None:
    """Traffic, latency, bins of values, class and confidence, values outside the training data."""
    found = recorder(log, replace(EVERYTHING, sample=0.0))
    told(found, target, ROW, ODD, ROW)
    found.close()

    assert log.predictions(Selection(MODEL)) == []
    assert counts(log, CountKind.ANSWERED) == {("", "http"): 3}
    assert counts(log, CountKind.LATENCY) == {("", "0.005"): 3}
    assert counts(log, CountKind.COLUMN) == {("Age", "3"): 2, ("Age", "5"): 1, ("Gender", "3"): 3}
    assert counts(log, CountKind.CLASS) == {("", "3"): 3}
    assert counts(log, CountKind.CONFIDENCE) == {("", "1"): 3}
    assert counts(log, CountKind.OUT_OF_RANGE) == {("Age", ""): 1}


def test_versions_and_hours_that_alternate_are_counted_apart(log: FailingLog, target: Target) -> None:
    """A champion may change while answers wait; what counts is by which version, and when, each was given."""
    now = [EPOCH.timestamp()]
    found = recorder(log, clock=lambda: now[0])
    other = replace(target, resolved=replace(target.resolved, version=2))
    for number in range(4):
        told(found, (target, other)[number % 2], ROW)
        now[0] += 1_800
    found.close()
    answered = [each for each in log.counts(MODEL) if each.key.kind is CountKind.ANSWERED]

    assert [((each.key.hour - EPOCH) // timedelta(hours=1), each.key.version, each.n) for each in answered] == [
        (0, 1, 1),
        (0, 2, 1),
        (1, 1, 1),
        (1, 2, 1),
    ]


def test_a_version_without_profile_counts_traffic_only(log: FailingLog, target: Target) -> None:
    """Also where the registry could not be asked for it, which is asked again after a while."""
    asked: list[int] = []
    now = [EPOCH.timestamp()]

    def profile_of(_subject) -> Profile | None:
        asked.append(1)
        if len(asked) == 1:
            raise Unavailable("the registry does not answer")
        return PROFILE

    found = recorder(log, profile_of=profile_of, clock=lambda: now[0])
    for seconds in (0, 30, 90):
        now[0] = EPOCH.timestamp() + seconds
        told(found, target, ROW)
        found._write_waiting()
    found.close()

    assert len(asked) == 2
    assert counts(log, CountKind.ANSWERED) == {("", "http"): 3}
    assert counts(log, CountKind.CLASS) == {("", "3"): 1}


def test_refused_and_failed_requests_are_counted(log: FailingLog, target: Target) -> None:
    """By column; what else a caller names is no label of ours."""
    found = recorder(log)
    with pytest.raises(InvalidRows) as refusal:
        check_rows([{**ROW, "Age": 5, "x" * 500: 1}], input_schema(target))
    found.refused(target, refusal.value.problems)
    found.failed(target, Unavailable("the worker: is busy"))
    found.close()

    assert counts(log, CountKind.REFUSED) == {("Age", ""): 1, ("", ""): 1}
    assert counts(log, CountKind.FAILED) == {("", "Unavailable"): 1}
    assert log.blocks()[0].written == 0


def test_only_listed_columns_are_stored(log: FailingLog, target: Target) -> None:
    """In clear, or as an HMAC of name and value under the operator's key."""
    columns = StoredColumns(frozenset({"Visits"}), frozenset({"Gender", "Age", "gone"}), KEY)
    found = recorder(log, replace(EVERYTHING, columns=columns))
    told(found, target, {**ROW, "Age": 30.0}, ROW)
    found.close()
    one, two = (each.prediction for each in log.predictions(Selection(MODEL)))

    assert one.clear == {"Visits": 3}
    assert one.keyed == two.keyed
    assert one.keyed["Gender"] == hmac.digest(KEY, b'["Gender", "Male"]', "sha256").hex()
    assert set(one.keyed) == {"Gender", "Age"}


def test_a_sample_is_chosen_by_the_id(log: FailingLog, target: Target) -> None:
    """So every process chooses alike, about as many as the share says; all are counted."""
    found = recorder(log, replace(EVERYTHING, sample=0.25))
    ids = told(found, target, *[ROW] * 400)
    found.close()
    stored = {each.prediction.prediction_id for each in log.predictions(Selection(MODEL))}

    assert stored == {each for each in ids if is_sampled(each, 0.25)}
    assert counts(log, CountKind.ANSWERED) == {("", "http"): 400}
    assert [is_sampled(ids[0], share) for share in (0.0, 1.0)] == [False, True]


def test_a_database_that_is_away_holds_nobody_up(log: FailingLog, target: Target) -> None:
    """What was answered meanwhile waits, and is written once it is back, each once."""
    log.failures = 2
    found = recorder(log)
    told(found, target, ROW)
    assert not found._write_waiting()
    told(found, target, ROW)
    assert not found._write_waiting()
    assert found.waiting == 2
    found.close()

    assert counts(log, CountKind.ANSWERED) == {("", "http"): 2}
    assert [each.answered for each in log.written] == [1, 1]
    assert log.blocks()[0].closed_at is not None


def test_what_cannot_be_written_at_the_end_is_a_gap(log: FailingLog, target: Target) -> None:
    """The block stays open: nobody says that everything is there."""
    log.failures = 99
    found = recorder(log)
    told(found, target, ROW)
    found.close()

    (block,) = log.blocks()
    assert (block.written, block.closed_at) == (0, None)


def test_too_many_that_wait_are_lost_and_said_to_be(log: FailingLog, target: Target) -> None:
    """The block knows how many; a flood of refused requests takes no more room than answers."""
    found = recorder(log, most_waiting=3)
    told(found, target, *[ROW] * 5)
    found.failed(target, InvalidInput("x"))
    assert (found.waiting, found.lost) == (3, 2)
    found.close()

    (block,) = log.blocks()
    assert (block.written, block.lost) == (3, 2)
    assert counts(log, CountKind.FAILED) == {}


def test_old_rows_are_deleted_by_the_process_that_serves(log: FailingLog, target: Target) -> None:
    """After monitoring.log.days; counts stay."""
    now = [EPOCH.timestamp()]
    found = recorder(log, clock=lambda: now[0])
    told(found, target, ROW)
    found._write_waiting()
    now[0] += 2 * 86_400
    (young,) = told(found, target, ROW)
    found._write_waiting()
    found._purge_some()
    found.close()

    assert [each.prediction.prediction_id for each in log.predictions(Selection(MODEL))] == [young]
    assert sum(counts(log, CountKind.ANSWERED).values()) == 2


def test_a_log_that_hangs_is_not_tried_again_at_the_end(log: FailingLog, target: Target) -> None:
    """A stop waits for one more try at most, not for all of them."""
    now = [EPOCH.timestamp()]
    hanging = HangingLog(log.log, failures=99, now=now)
    found = recorder(hanging, clock=lambda: now[0])
    told(found, target, ROW)
    found.close()

    assert (99 - hanging.failures, log.blocks()[0].closed_at) == (1, None)


@dataclass
class HangingLog(FailingLog):
    """It takes minutes to say that it is away."""

    now: list[float] = field(default_factory=list)

    def write(self, block: str, batch: LogBatch, *, close: bool = False) -> None:
        self.now[0] += 120
        super().write(block, batch, close=close)


@dataclass
class BrokenPurge(FailingLog):
    """Old rows cannot be deleted, for good."""

    def purge_some(self, _before: datetime) -> int:
        raise InvalidInput("the log of predictions: what was told cannot be written (TypeError)")


def test_old_rows_that_cannot_be_deleted_hold_nothing_up(log: FailingLog, target: Target) -> None:
    """They stay for now; what is answered is written."""
    found = recorder(BrokenPurge(log.log))
    told(found, target, ROW)
    found._purge_some()
    found.close()

    assert log.blocks()[0].written == 1


@dataclass
class EndlessLog(FailingLog):
    """There is always more to delete."""

    purged: threading.Event = field(default_factory=threading.Event)

    def purge_some(self, _before: datetime) -> int:
        self.purged.set()
        return 1


def test_old_rows_hold_up_neither_answers_nor_the_end(log: FailingLog, target: Target) -> None:
    """They are deleted some at a time, between two writes."""
    endless = EndlessLog(log.log)
    found = recorder(endless)
    found.start()
    assert endless.purged.wait(60)
    told(found, target, ROW)
    found.close()

    (block,) = log.blocks()
    assert (block.written, block.closed_at) == (1, EPOCH)


def columns(target: Target, *rows: dict[str, object]) -> PredictedColumns:
    """Rows that were predicted together."""
    schema = input_schema(target)
    table = pa.table({"prediction": ["yes"] * len(rows)})
    return PredictedColumns(target, (), table, check_many(Input.of_rows(list(rows), schema), schema))


def test_rows_of_files_do_not_wait_for_ever(log: FailingLog, target: Target) -> None:
    """Where nobody writes any more, or the log is away for long, whoever tells them is told."""
    now = [EPOCH.timestamp()]
    found = recorder(log, most_waiting=1, clock=lambda: now[0])
    told(found, target, ROW)
    with pytest.raises(Unavailable, match="nobody writes it any more; 1 answers wait"):
        found.told_by_file(columns(target, ROW))

    log.failures, now[0] = 99, now[0] + 200
    found.start()
    with pytest.raises(Unavailable, match="it is away; it could not be written for 200 s"):
        found.told_by_file(columns(target, ROW))
    log.failures = 0
    found.close()
    assert log.blocks()[0].written == 1


@pytest.mark.parametrize("at_the_end", [False, True])
def test_a_batch_that_is_never_taken_holds_nothing_up(log: FailingLog, target: Target, at_the_end: bool) -> None:
    """It is lost, and the block says how many answers it held."""
    log.refused = 1
    found = recorder(log)
    told(found, target, ROW, ROW)
    if not at_the_end:
        found._write_waiting()
        told(found, target, ROW)
    found.close()

    (block,) = log.blocks()
    assert (block.written, block.lost, block.closed_at) == (int(not at_the_end), 2, EPOCH)
    assert (found.status.lost, found.waiting) == (2, 0)


def test_what_a_shadow_answered_waits_in_bounded_memory(log: FailingLog) -> None:
    """While the log is away it says that there is no room."""
    found = recorder(log, most_waiting=2)

    assert [found.shadowed(shadow(number)) for number in range(3)] == [True, True, False]


SUBJECT = Subject(Resolved(MODEL, 1, "champion"), "d" * 64)


def answer(at: float = 0.0, *, warned: str = "", values: Mapping[str, Value] = NOTHING, value: Any = "yes") -> Told:
    warnings = (Problem(warned, None, "is odd"),) if warned else ()
    return Told("id", at, CheckedRow(values, (), warnings), Prediction(value, {"no": 0.25}), None)


def table(*told: Told) -> AnsweredTable:
    (found,) = tables_of(SUBJECT, Door.FILE, told)
    return found


@pytest.mark.parametrize("value", ["\ud800", "Zoë\x00", 2**63, -(2**70), 2**53 + 1, 0.1, math.inf, True, None, ""])
def test_what_waits_packed_comes_back_as_it_was(value: Value) -> None:
    """Text without an encoding, whole numbers of any size, what is missing; also among labels of several columns."""
    told = table(*[answer(1.5, warned="b", values={"a": value, "b": 1}, value={"c": value})] * 2)
    packed = told.packed()
    found = AnsweredTable.of(packed._replace(content=packed.content * 2))

    assert packed.layout == (SUBJECT, Door.FILE, ("a", "b"), ("no",))
    assert found.values == ((value,) * 4, (1,) * 4)
    assert type(found.values[0][0]) is type(value)
    assert found.answers == ({"c": value},) * 4
    assert (found.ids, found.at, found.warned) == (("id",) * 4, (1.5,) * 4, (("b",),) * 4)
    assert (found.chances, found.seconds, found.confidence) == (((0.25,),) * 4, (None,) * 4, [None] * 4)


def test_answers_of_other_columns_are_a_table_of_their_own() -> None:
    """In their order, and each with the names of its values."""
    ages, none = answer(values={"Age": 30}), answer()

    assert [each.layout.columns for each in tables_of(SUBJECT, Door.HTTP, [ages, ages, none, ages])] == [
        ("Age",),
        (),
        ("Age",),
    ]


def test_each_hour_is_counted_apart() -> None:
    """Also where an answer of the hour before comes late."""
    found = counts_of(table(*map(answer, (3_599.0, 3_600.5, 3_599.5, 3_599.0))), None)

    assert {each.hour.hour: n for each, n in found.items()} == {0: 3, 1: 1}


def test_names_of_strangers_are_cut() -> None:
    """They are part of a count's key, which a database takes to a certain length."""
    found = counts_of(table(answer(warned="x" * 9_000)), None)

    assert max(len(each.name) for each in found) == 80


def test_an_answer_has_an_id_without_a_log(target: Target) -> None:
    """Of version 7: later ones sort after earlier ones."""
    found = Unrecorded()
    ids = [found.answered(target, check_row(ROW, input_schema(target)), Prediction("yes", {}), seconds=None), new_id()]

    assert ids == sorted(ids)
    assert [each[14] for each in ids] == ["7", "7"]


@pytest.mark.parametrize(("seconds", "bound"), [(0.0, "0.001"), (0.001, "0.001"), (0.3, "0.5"), (16.0, "+Inf")])
def test_a_latency_is_counted_under_its_upper_bound(seconds: float, bound: str) -> None:
    """As Prometheus counts."""
    assert latency_bins([seconds]) == {bound: 1}


def test_ids_are_spread_evenly() -> None:
    """The digits that choose the sample are random."""
    found = Counter(is_sampled(new_id(), 0.5) for _ in range(2_000))

    assert 850 < found[True] < 1_150
