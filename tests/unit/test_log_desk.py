"""The log of predictions for whoever asks: roles, outcomes, and two versions on the same logged rows."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.comparison import PairedBootstrap
from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import InvalidInput, NotAllowed, NotFound
from pipeline.governance.policy import Policy
from pipeline.governance.record.ledger import iso
from pipeline.governance.roles import ACTIONS, Action, Provider, Roles
from pipeline.monitoring.log_desk import LogDesk, block_json, row_json
from pipeline.monitoring.outcomes_file import read_outcomes
from pipeline.monitoring.prediction_log import MOST_WAITING, SILENT_AFTER, KnownOutcome, LogBatch, Selection
from pipeline.validation.rows import InvalidRows
from support.desks import GRACE, TickingClock, build_desk, default_policy
from support.in_memory import EPOCH
from support.logged import prediction, prediction_id, shadow

COMPARER = PairedBootstrap(samples=100, seed=1, confidence=0.95)
UNKNOWN = prediction_id(99)


def with_login() -> Policy:
    groups = {role.value: (role,) for role in Role}
    return replace(default_policy(), provider=Provider.OIDC, roles=Roles(groups=groups))


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqlPredictionLog]:
    """Ten rows that version 1 answered with yes and the shadow with yes or no in turn."""
    found = SqlPredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")
    numbers = range(10)
    rows = [prediction(each, at=EPOCH + timedelta(minutes=each), clear={"Age": 20.0 + each}) for each in numbers]
    shadows = [shadow(each, said="no" if each % 2 else "yes") for each in numbers]
    block = found.open_block(process="host:7", model="m", at=EPOCH)
    found.write(block, LogBatch(1, EPOCH, answered=10, predictions=rows, shadows=shadows))
    yield found
    found.close()


@pytest.fixture
def desk(log: SqlPredictionLog) -> LogDesk:
    return LogDesk(build_desk().as_(GRACE), log, COMPARER, clock=TickingClock())


@pytest.mark.parametrize("role", [*Role, None])
def test_each_role_does_what_the_table_says(log: SqlPredictionLog, role: Role | None) -> None:
    """A caller tells outcomes and reads nothing; whoever reads the desk sees counts, not rows."""
    member = Actor("g-1", Established.OIDC, issuer="https://login.example.org", groups=(role.value,) if role else ())
    desk = LogDesk(build_desk(policy=with_login()).as_(member), log, COMPARER, clock=TickingClock())
    calls: dict[Action, list[Callable[[], object]]] = {
        Action.READ: [desk.status, lambda: desk.counts("m")],
        Action.READ_LOG: [lambda: desk.rows(Selection("m")), lambda: desk.side_by_side(Selection("m"))],
        Action.OUTCOMES: [lambda: desk.tell_outcomes([(prediction_id(1), "yes")])],
        Action.PURGE_LOG: [lambda: desk.purge(EPOCH)],
    }

    for action, asked in calls.items():
        for call in asked:
            if role in ACTIONS[action]:
                call()
            else:
                with pytest.raises(NotAllowed):
                    call()


class TestStatus:
    def test_a_process_that_ended_without_closing_is_a_gap(self, desk: LogDesk, log: SqlPredictionLog) -> None:
        """With how many answers may be missing."""
        log.open_block(process="host:8", model="other", at=EPOCH)
        late = LogDesk(build_desk(), log, COMPARER, clock=TickingClock(EPOCH + SILENT_AFTER))

        assert [each["gap"] for each in desk.status().as_json()["blocks"]] == [False, False]
        found = late.status("m").as_json()
        assert [(each["process"], each["at_most"]) for each in found["gaps"]] == [("host:7", MOST_WAITING)]
        assert (found["written"], found["lost"]) == (10, 0)
        assert found["rows"] == {"n": 10, "oldest": iso(EPOCH), "more": False}

    def test_what_is_printed_of_a_block_is_json(self, log: SqlPredictionLog) -> None:
        """Times are those of its process."""
        (block,) = log.blocks()

        assert block_json(block, EPOCH)["closed_at"] is None


class TestOutcomes:
    def test_they_are_told_by_id(self, desk: LogDesk) -> None:
        """Whoever tells is kept with them; unknown ones are named."""
        told = desk.tell_outcomes([(prediction_id(1), "yes"), (UNKNOWN, "no")])
        (row,) = desk.rows(Selection("m", with_outcome=True))

        assert told.as_json() == {"recorded": 1, "corrected": 0, "unchanged": 0, "unknown": [UNKNOWN]}
        assert row_json(row)["actual"] == "yes"
        assert row.outcome.by == "self_declared|grace"

    @pytest.mark.parametrize(
        ("name", "actual", "sentence"),
        [
            ("7", "yes", "row 2, prediction_id: is not the prediction_id of an answer"),
            (None, "yes", "row 2, prediction_id: is not the prediction_id of an answer"),
            (prediction_id(2), "", "row 2, actual: must have 1 to 200 characters"),
            (prediction_id(2), float("nan"), "row 2, actual: must be text, a finite number or a truth value"),
            (prediction_id(2), None, "row 2, actual: must be text, a finite number or a truth value"),
        ],
    )
    def test_one_that_is_wrong_keeps_all_from_being_kept(
        self, desk: LogDesk, name: object, actual: object, sentence: str
    ) -> None:
        """So that whoever corrects it tells all of them again."""
        with pytest.raises(InvalidRows) as refusal:
            desk.tell_outcomes([(prediction_id(1), "yes"), (name, actual)])
        assert refusal.value.sentences == [sentence]
        assert desk.rows(Selection("m", with_outcome=True)) == []

    def test_there_has_to_be_one(self, desk: LogDesk) -> None:
        """None is a mistake of whoever tells."""
        with pytest.raises(InvalidInput, match=r"^outcomes: there are 0; 1 to 100,000 are taken at once$"):
            desk.tell_outcomes([])

    def test_they_come_in_files(self, tmp_path: Path) -> None:
        """Of the kinds that `score` reads; other columns do not matter."""
        file = tmp_path / "outcomes.csv"
        file.write_text(f"note,actual,prediction_id\nx,yes,{prediction_id(1)}\ny,,{prediction_id(2)}\n")

        assert list(read_outcomes(file)) == [(prediction_id(1), "yes"), (prediction_id(2), "")]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            ("prediction_id\nx\n", "the file: needs one column 'actual'; it has prediction_id"),
            ("prediction_id,actual\nx\n", "the file: row 2: "),
            ("", "outcomes.csv: is empty"),
        ],
    )
    def test_a_file_of_another_shape_is_refused(self, tmp_path: Path, text: str, sentence: str) -> None:
        """In one sentence."""
        file = tmp_path / "outcomes.csv"
        file.write_text(text)
        with pytest.raises(InvalidInput) as refusal:
            list(read_outcomes(file))
        assert str(refusal.value).startswith(sentence)
        with pytest.raises(InvalidInput, match="cannot be read"):
            list(read_outcomes(tmp_path / "gone.csv"))


def test_what_has_not_come_yet_is_not_purged(desk: LogDesk) -> None:
    """It would be a slip of the pen."""
    with pytest.raises(InvalidInput, match="has not come yet"):
        desk.purge(EPOCH + timedelta(days=1))
    assert desk.purge(EPOCH + timedelta(seconds=1)).predictions == 1


class TestSideBySide:
    def test_agreement_has_an_interval(self, desk: LogDesk) -> None:
        """And the rows that flip are named, the newest first; without outcomes nobody is better."""
        found = desk.side_by_side(Selection("m")).as_json()

        assert (found["version"], found["shadow"], found["alias"]) == (1, 2, "challenger")
        assert (found["n"], found["agree"], found["share"]) == (10, 5, 0.5)
        assert 0.2 < found["interval"][0] < 0.5 < found["interval"][1] < 0.8
        assert [each["prediction_id"] for each in found["flips"]] == [prediction_id(each) for each in (9, 7, 5, 3, 1)]
        assert found["flip_counts"] == [{"prediction": "yes", "shadow": "no", "n": 5}]
        assert (found["outcomes"], found["metrics"]) == (0, [])

    def test_with_outcomes_one_may_be_better(self, desk: LogDesk) -> None:
        """On the same rows, paired: the truth is what the version said, and the shadow is wrong every other time."""
        desk.tell_outcomes([(prediction_id(each), "yes") for each in range(10)])
        found = desk.side_by_side(Selection("m"))
        accuracy = next(each for each in found.as_json()["metrics"] if each["name"] == "accuracy")

        assert found.outcomes == found.paired.n == 10
        assert (accuracy["a"], accuracy["b"], accuracy["difference"]) == (1.0, 0.5, -0.5)
        assert accuracy["verdict"] == "worse"
        assert found.paired.agreement.only_a_right == 5

    def test_rows_of_other_versions_and_files_are_left_out(self, desk: LogDesk, log: SqlPredictionLog) -> None:
        """Those of the newest row that both answered count."""
        block = log.open_block(process="host:8", model="m", at=EPOCH)
        later = prediction(20, at=EPOCH + timedelta(days=1))._replace(digest="e" * 64)
        log.write(block, LogBatch(1, EPOCH, answered=1, predictions=[later], shadows=[shadow(20)]))

        assert desk.side_by_side(Selection("m")).n == 1
        assert desk.side_by_side(Selection("m", until=later.at)).n == 10

    def test_numbers_are_compared_by_their_errors(self, log: SqlPredictionLog, desk: LogDesk) -> None:
        """A file of outcomes may hold them as text."""
        block = log.open_block(process="host:8", model="n", at=EPOCH)
        rows = [
            prediction(each)._replace(model="n", prediction=each + 0.25, probabilities={}, confidence=None)
            for each in range(30, 50)
        ]
        shadows = [
            replace(shadow(each), prediction=each + 1.25, probabilities={}, confidence=None) for each in range(30, 50)
        ]
        log.write(block, LogBatch(1, EPOCH, answered=20, predictions=rows, shadows=shadows))
        desk.tell_outcomes([(prediction_id(each), f"{each}.25") for each in range(30, 50)])
        found = desk.side_by_side(Selection("n"))
        error = next(each for each in found.paired.metrics if each.metric == "mae")

        assert (error.incumbent, error.candidate, error.verdict) == (0.0, 1.0, "worse")

    def test_classes_that_are_numbers_are_known_by_their_names(self, log: SqlPredictionLog, desk: LogDesk) -> None:
        """A model answers 1, and somebody tells 1, "1" or true."""
        block = log.open_block(process="host:8", model="n", at=EPOCH)
        rows = [
            prediction(each)._replace(model="n", prediction=1, probabilities={"0": 0.3, "1": 0.7})
            for each in (30, 31, 32)
        ]
        shadows = [replace(shadow(each), prediction=0, probabilities={"0": 0.6, "1": 0.4}) for each in (30, 31, 32)]
        log.write(block, LogBatch(1, EPOCH, answered=3, predictions=rows, shadows=shadows))
        told: dict[int, str | float | bool] = {30: 1, 31: "1", 32: True}
        log.record_outcomes([KnownOutcome(prediction_id(each), value, EPOCH, "grace") for each, value in told.items()])
        found = desk.side_by_side(Selection("n"))

        assert next(each.incumbent for each in found.paired.metrics if each.metric == "accuracy") == 1.0

    def test_where_no_row_has_a_shadow_it_says_so(self, desk: LogDesk) -> None:
        """As an error of what was asked for."""
        with pytest.raises(NotFound, match="no row of other in the log was answered by a second version"):
            desk.side_by_side(Selection("other"))
