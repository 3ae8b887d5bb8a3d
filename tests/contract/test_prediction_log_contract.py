"""Every log of predictions behaves alike: blocks, batches, counts, rows, outcomes and what is deleted."""

import random
import string
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.monitoring.prediction_log import (
    MOST_WAITING,
    SILENT_AFTER,
    CountKey,
    CountKind,
    HourlyCount,
    KnownOutcome,
    LogBatch,
    OutcomesTold,
    Purged,
    RowsKept,
    Selection,
)
from support.in_memory import EPOCH
from support.logged import key, prediction, shadow
from support.postgres import PostgresServer

HOUR = timedelta(hours=1)
FIRST, SECOND, THIRD = (prediction(number, at=EPOCH + number * HOUR) for number in (1, 2, 3))


def url_of(request: pytest.FixtureRequest, folder: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{folder / 'predictions.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(schema=server.new_schema())


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return url_of(request, tmp_path)


@pytest.fixture
def log(url: str) -> Iterator[SqlPredictionLog]:
    opened = SqlPredictionLog(url)
    yield opened
    opened.close()


@pytest.fixture
def block(log: SqlPredictionLog) -> str:
    return log.open_block(process="host:7", model="m", at=EPOCH)


def batch(number: int = 1, **more) -> LogBatch:
    return LogBatch(number, EPOCH + number * HOUR, **more)


def test_where_there_is_no_log_reading_finds_nothing(log: SqlPredictionLog) -> None:
    """And makes none."""
    assert (log.blocks(), log.predictions(Selection("m")), log.counts("m")) == ([], [], [])
    assert log.rows_kept() == RowsKept()
    assert log.blocks() == []


class TestBlocks:
    def test_a_block_says_what_may_be_missing(self, log: SqlPredictionLog, block: str) -> None:
        """As many numbers are reserved beyond those written as answers may wait in its process."""
        log.write(block, batch(answered=5, lost=2))
        (found,) = log.blocks()

        assert (found.process, found.model, found.written, found.lost) == ("host:7", "m", 5, 2)
        assert found.reserved == 5 + MOST_WAITING
        assert (found.opened_at, found.written_at, found.closed_at) == (EPOCH, EPOCH + HOUR, None)

    def test_a_closed_block_is_no_gap(self, log: SqlPredictionLog, block: str) -> None:
        """An open one is, once its process has been silent for a while."""
        log.write(block, batch(answered=5))
        open_block = log.blocks()[0]
        log.write(block, batch(2), close=True)
        closed = log.blocks()[0]

        late = open_block.written_at + SILENT_AFTER + timedelta(seconds=1)
        assert [open_block.is_gap(open_block.written_at), open_block.is_gap(late), closed.is_gap(late)] == [
            False,
            True,
            False,
        ]
        assert closed.reserved == closed.written == 5

    def test_a_batch_that_is_written_again_counts_once(self, log: SqlPredictionLog, block: str) -> None:
        """Its process may not have heard that it was written."""
        one = batch(answered=1, predictions=[FIRST], counts={key(): 1})
        log.write(block, one)
        log.write(block, one)

        assert log.blocks()[0].written == 1
        assert log.counts("m") == [HourlyCount(key(), 1)]

    def test_a_block_is_closed_by_who_did_not_hear_that_its_last_batch_was_written(
        self, log: SqlPredictionLog, block: str
    ) -> None:
        """Else a process that ended well would look like a gap."""
        log.write(block, batch(answered=1))
        log.write(block, batch(answered=1), close=True)
        (found,) = log.blocks()

        assert (found.written, found.reserved, found.closed_at) == (1, 1, EPOCH + HOUR)

    @pytest.mark.parametrize(
        "name", ["\ud800", "a\x00b", "".join(random.Random(1).choices(string.ascii_letters, k=9_000))]
    )
    def test_a_batch_that_is_never_taken_is_told_from_a_database_that_is_away(
        self, log: SqlPredictionLog, block: str, url: str, name: str
    ) -> None:
        """PostgreSQL takes no NUL and no key that long, nobody half a character; nothing of the batch is written."""
        odd = batch(answered=1, predictions=[FIRST], counts={key(name=name): 1})
        if url.startswith("postgresql") or name == "\ud800":
            with pytest.raises(InvalidInput, match=r"^the log of predictions does not take a value: "):
                log.write(block, odd)
            assert (log.blocks()[0].written, log.rows_kept()) == (0, RowsKept())
        log.write(block, batch(answered=1))
        assert log.blocks()[0].written == 1

    def test_an_answer_of_a_shadow_that_is_no_json_is_never_taken(self, log: SqlPredictionLog, block: str) -> None:
        """Whatever it said, the thread that writes goes on."""
        with pytest.raises(InvalidInput, match=r"^the log of predictions does not take a value: "):
            log.write(block, batch(shadows=[replace(shadow(1), prediction=float("nan"))]))

    def test_each_process_has_its_own(self, log: SqlPredictionLog, block: str) -> None:
        """Newest first, of one model or of all."""
        log.open_block(process="host:8", model="other", at=EPOCH + HOUR)

        assert [each.process for each in log.blocks()] == ["host:8", "host:7"]
        assert [each.process for each in log.blocks("m")] == ["host:7"]

    def test_a_block_that_is_gone_is_an_error(self, log: SqlPredictionLog, block: str) -> None:
        """Nothing is written that no block accounts for."""
        with pytest.raises(Unavailable, match="no block gone"):
            log.write("gone", batch(answered=1, counts={key(): 1}))
        assert log.counts("m") == []


class TestCounts:
    def test_counts_add_up_over_batches_and_processes(self, log: SqlPredictionLog, block: str) -> None:
        """A number per hour, model, version, digest, kind, name and bin."""
        other = log.open_block(process="host:8", model="m", at=EPOCH)
        log.write(block, batch(counts={key(): 2, key(bin="3"): 1}))
        log.write(other, batch(counts={key(): 5}))

        assert log.counts("m") == [HourlyCount(key(), 7), HourlyCount(key(bin="3"), 1)]

    def test_a_period_and_a_version_can_be_asked_for(self, log: SqlPredictionLog, block: str) -> None:
        """The hours that begin in it; a text of a stranger is one of its bins."""
        later, other, odd = key(hour=EPOCH + HOUR), key(version=2), key(name='a"b\\u0000', kind=CountKind.REFUSED)
        log.write(block, batch(counts={key(): 1, later: 2, other: 3, odd: 4}))

        def asked(**more) -> list[CountKey]:
            return [each.key for each in log.counts("m", **more)]

        assert asked(since=EPOCH + HOUR) == [later]
        assert asked(until=EPOCH + HOUR, version=2) == [other]
        assert set(asked(until=EPOCH + HOUR, version=1)) == {key(), odd}
        assert log.counts("other") == []


class TestRows:
    def test_a_row_comes_back_as_it_was(self, log: SqlPredictionLog, block: str) -> None:
        """Whatever its texts hold, with its shadow and its outcome."""
        odd = FIRST._replace(prediction="a\x00\ud800", clear={"text": "\x00é", "none": None, "yes": True, "n": 1})
        table = SECOND._replace(prediction={"score": 0.5, "label": "x"}, confidence=None, milliseconds=None)
        log.write(block, batch(answered=2, predictions=[odd, table], shadows=[shadow(1)]))
        told = KnownOutcome(odd.prediction_id, "b", EPOCH, "grace")
        log.record_outcomes([told])
        newest, oldest = log.predictions(Selection("m"))

        assert (newest.prediction, newest.shadow, newest.outcome) == (table, None, None)
        assert (oldest.prediction, oldest.shadow, oldest.outcome) == (odd, shadow(1), told)

    def test_rows_are_selected(self, log: SqlPredictionLog, block: str) -> None:
        """By time, version, outcome and shadow; the newest first, at most so many."""
        rows = [FIRST, SECOND._replace(version=2), THIRD]
        log.write(block, batch(answered=3, predictions=rows, shadows=[shadow(2), shadow(3, version=5)]))
        log.record_outcomes([KnownOutcome(FIRST.prediction_id, 1.5, EPOCH, "grace")])

        def numbers(**more) -> list[int]:
            return [int(each.prediction.prediction_id[-1]) for each in log.predictions(Selection("m", **more))]

        assert numbers() == [3, 2, 1]
        assert numbers(most=2) == [3, 2]
        assert numbers(since=SECOND.at) == [3, 2]
        assert numbers(until=SECOND.at) == [1]
        assert numbers(version=2) == [2]
        assert numbers(with_outcome=True) == [1]
        assert numbers(shadowed=True) == [3, 2]
        assert numbers(shadow_version=5) == [3]
        assert log.predictions(Selection("other")) == []

    def test_rows_are_counted(self, log: SqlPredictionLog, block: str) -> None:
        """Of a model or of all, with the oldest; no more than an index is quickly read for."""
        other = FIRST._replace(prediction_id=THIRD.prediction_id, model="other")
        log.write(block, batch(answered=3, predictions=[SECOND, FIRST, other]))

        assert log.rows_kept("m") == RowsKept(2, FIRST.at)
        assert log.rows_kept().n == 3
        assert log.rows_kept("none") == RowsKept()
        assert log.rows_kept("m", most=1) == RowsKept(1, FIRST.at, more=True)

    def test_the_first_answer_of_a_shadow_counts(self, log: SqlPredictionLog, block: str) -> None:
        """It is asked once; another process may ask again."""
        log.write(block, batch(answered=1, predictions=[FIRST], shadows=[shadow(1)]))
        log.write(block, batch(2, shadows=[replace(shadow(1), prediction="else")]))

        assert log.predictions(Selection("m"))[0].shadow == shadow(1)


class TestOutcomes:
    def test_the_last_one_told_counts(self, log: SqlPredictionLog, block: str) -> None:
        """What was told before is unchanged or corrected; of unknown predictions nothing is kept."""
        log.write(block, batch(answered=2, predictions=[FIRST, SECOND]))
        ids = [each.prediction_id for each in (FIRST, SECOND, THIRD)]

        def tell(*values: tuple[str, str | float | bool]) -> OutcomesTold:
            return log.record_outcomes([KnownOutcome(name, value, EPOCH, "grace") for name, value in values])

        assert tell((ids[0], "a"), (ids[1], 1.0), (ids[2], "c")) == OutcomesTold(recorded=2, unknown=(ids[2],))
        assert tell((ids[0], "a"), (ids[1], True)) == OutcomesTold(corrected=1, unchanged=1)
        assert tell((ids[0], "b"), (ids[0], "c")) == OutcomesTold(corrected=1)
        found = {each.prediction.prediction_id: each.outcome for each in log.predictions(Selection("m"))}
        assert [found[name].actual for name in ids[:2]] == ["c", True]


class TestPurge:
    def test_old_rows_go_with_what_came_to_them(self, log: SqlPredictionLog, block: str) -> None:
        """Counts stay unless they are meant too."""
        log.write(block, batch(answered=2, predictions=[FIRST, SECOND], shadows=[shadow(1)], counts={key(): 2}))
        log.record_outcomes([KnownOutcome(FIRST.prediction_id, "a", EPOCH, "grace")])

        assert log.purge(SECOND.at) == Purged(predictions=1)
        assert [each.prediction for each in log.predictions(Selection("m"))] == [SECOND]
        assert [each.n for each in log.counts("m")] == [2]
        assert log.purge(SECOND.at, counts=True) == Purged(counts=1)
        assert log.record_outcomes([KnownOutcome(FIRST.prediction_id, "a", EPOCH, "grace")]).recorded == 0

    def test_answers_of_a_shadow_to_rows_that_never_came_go_too(self, log: SqlPredictionLog, block: str) -> None:
        """Nothing else leads to them."""
        log.write(block, batch(shadows=[shadow(9)]))
        log.purge(EPOCH + HOUR)
        log.write(block, batch(2, answered=1, predictions=[prediction(9)]))

        assert log.predictions(Selection("m"))[0].shadow is None

    def test_it_can_be_done_in_slices(self, log: SqlPredictionLog, block: str) -> None:
        """Others write between two; in the end there is nothing to do."""
        log.write(block, batch(answered=2, predictions=[FIRST, SECOND], shadows=[shadow(1), shadow(9)]), close=True)

        assert [log.purge_some(EPOCH + 9 * HOUR) for _ in range(4)] == [2, 1, 1, 0]
        assert (log.rows_kept(), log.blocks()) == (RowsKept(), [])

    def test_old_answers_of_a_shadow_are_among_the_first(self, log: SqlPredictionLog, block: str) -> None:
        """Ids are in the order of time, so a slice takes as long however large the table is."""
        many = [replace(shadow(number), at=EPOCH + (number > 6_000) * HOUR) for number in range(12_000)]
        log.write(block, batch(shadows=many))

        assert [log.purge_some(EPOCH + HOUR) for _ in range(3)] == [5_000, 1_001, 0]

    def test_closed_blocks_go_and_gaps_stay(self, log: SqlPredictionLog, block: str) -> None:
        """A gap is no answer that was given too long ago."""
        log.open_block(process="host:8", model="m", at=EPOCH)
        log.write(block, batch(), close=True)

        assert log.purge(EPOCH + 9 * HOUR) == Purged(blocks=1)
        assert [each.process for each in log.blocks()] == ["host:8"]


def test_tables_of_a_later_version_are_left_alone(log: SqlPredictionLog, block: str, url: str) -> None:
    """Whoever knows more about them wrote them."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE prediction_log_version SET version_num = '9999'"))
    engine.dispose()

    for call in (lambda: log.write(block, batch()), log.blocks):
        with pytest.raises(Unavailable, match=r"revision '9999'.*upgrade Signoff"):
            call()


def test_who_waits_too_long_for_the_lock_is_told(url: str) -> None:
    """Another process that writes may take long; nothing was written then."""
    waiting, writing = SqlPredictionLog(url, busy_seconds=0.05), SqlPredictionLog(url)
    block = writing.open_block(process="host:7", model="m", at=EPOCH)
    with writing._write(), pytest.raises(Unavailable, match=r"stayed locked for 0\.05 s; try again"):
        waiting.write(block, batch(answered=1))

    assert writing.blocks()[0].written == 0
    waiting.close()
    writing.close()


def test_a_database_that_is_away_is_one_sentence(tmp_path: Path) -> None:
    """Without its SQL."""
    (tmp_path / "file").touch()
    for url in (f"sqlite:///{tmp_path / 'file' / 'below.db'}", f"postgresql+psycopg://nobody@/x?host={tmp_path}"):
        log = SqlPredictionLog(url)
        with pytest.raises(Unavailable, match=r"^the log of predictions cannot be used: [^\n]+$"):
            log.open_block(process="host:7", model="m", at=datetime.now().astimezone())
        log.close()
