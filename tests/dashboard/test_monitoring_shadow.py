"""The page Monitoring: two versions on the same logged rows, and the facts of the log itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from streamlit.testing.v1 import AppTest

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.governance.actor import Role
from pipeline.governance.rules.watching import Watching
from pipeline.governance.service import GovernanceService
from pipeline.monitoring.prediction_log import Answer, KnownOutcome, LogBatch, LoggedPrediction, ShadowAnswer
from pipeline.settings import ROOT
from support.desks import GRACE, MODEL, REASON, OpenDesk, TickingClock
from support.explained_desk import desk_of
from support.in_memory import EPOCH
from support.logged import prediction, prediction_id, shadow
from support.seen import badges, frame, texts
from support.watched import DRIFT, KnownWatcher

from .test_monitoring import watched

Open = Callable[..., AppTest]
WATCHER = KnownWatcher([DRIFT])
CLEAR = {"Age": 30, "Weight": 95.5, "Gender": "Male", "CAEC": "no"}
KEY = "a-key-of-the-operator-0123456789abcdef"
ALL_IN_CLEAR = {"enabled": True, "clear": list(CLEAR)}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Writes the section `monitoring` of the settings that the page reads."""

    def write(log: Mapping[str, Any] = ALL_IN_CLEAR, alias: str | None = "challenger") -> None:
        content = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        content["evaluation"]["bootstrap_samples"] = 100
        content["monitoring"] = {"log": dict(log), "shadow": alias}
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        monkeypatch.setenv("SIGNOFF_PARAMS", str(tmp_path / "params.yaml"))
        monkeypatch.setenv("SIGNOFF_LOG_KEY", KEY)
        monkeypatch.setenv("SIGNOFF_LOG_URL", f"sqlite:///{tmp_path / 'predictions.db'}")

    write()
    return write


@pytest.fixture
def log(tmp_path: Path, settings: Callable[..., None]) -> Iterator[SqlPredictionLog]:
    """The log that the page reads."""
    found = SqlPredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")
    yield found
    found.close()


def both_answered(
    log: SqlPredictionLog,
    said: Sequence[Answer],
    shadow_said: Sequence[Answer],
    *,
    digests: tuple[str, str] = ("d" * 64, "d" * 64),
    **more: Any,
) -> None:
    """Rows that version 1 answered, and version 2 aside; a process that ended in good order wrote them."""
    rows: list[LoggedPrediction] = []
    aside: list[ShadowAnswer] = []
    for number, (first, second) in enumerate(zip(said, shadow_said, strict=True)):
        row = prediction(number, at=EPOCH + timedelta(minutes=number, hours=1))
        rows.append(row._replace(model=MODEL, digest=digests[0], prediction=first, **more))
        aside.append(replace(shadow(number), digest=digests[1], prediction=second))
    block = log.open_block(process="host:7", model=MODEL, at=EPOCH)
    log.write(block, LogBatch(1, EPOCH, answered=len(rows), predictions=rows, shadows=aside), close=True)


def tell(log: SqlPredictionLog, truth: Sequence[str]) -> None:
    log.record_outcomes(
        [KnownOutcome(prediction_id(number), each, EPOCH, "grace") for number, each in enumerate(truth)]
    )


def opened(open_page: Open, desk: GovernanceService, show: str, **query: str) -> AppTest:
    """A section of the page, over the last 30 days."""
    app = open_page(desk, "monitoring", model=MODEL, show=show, window="Last 30 days", **query)
    assert not app.exception
    return app


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in app.metric}


def facts(app: AppTest) -> dict[str, str]:
    """The texts that stand directly under a caption, by it."""
    drawn: list[Any] = [each for each in app.main if each.type in {"caption", "text"}]
    return {a.value: b.value for a, b in pairwise(drawn) if (a.type, b.type) == ("caption", "text")}


def captions(app: AppTest) -> str:
    return "\n".join(each.value for each in app.caption)


class TestAgreement:
    """How often both say the same, and which rows flip."""

    def test_it_has_an_interval_and_the_rows_that_flip(self, open_page: Open, log: SqlPredictionLog) -> None:
        """With the columns that are stored in clear; nobody is better before an outcome is told."""
        both_answered(log, ["yes"] * 10, ["yes"] * 8 + ["no"] * 2, clear={"Age": 41})
        app = opened(open_page, watched(WATCHER), "Shadow")
        pairs, rows = frame(app, "Rows"), frame(app, "Outcome")

        assert metrics(app)["Same answer"] == "80.0%"
        assert (metrics(app)["Rows that both answered"], metrics(app)["Answered differently"]) == ("10", "2")
        assert next(each.delta for each in app.metric if each.label == "Same answer") == "49.0%\N{EN DASH}94.3%"
        assert "Version 2 (challenger) was asked aside about 10 rows that version 1 answered" in texts(app)
        assert pairs.to_dict("list") == {"Version 1": ["yes"], "Version 2": ["no"], "Rows": [2]}
        assert (list(rows["Age"]), list(rows["Outcome"])) == ([41, 41], ["not known", "not known"])
        assert "The outcome of none of these rows is known" in texts(app)

    def test_with_outcomes_one_is_right_more_often(self, open_page: Open, log: SqlPredictionLog) -> None:
        """On the same rows, paired, with an interval."""
        both_answered(log, ["yes"] * 30, ["yes"] * 10 + ["no"] * 20, probabilities={})
        tell(log, ["no"] * 30)
        app = opened(open_page, watched(WATCHER), "Shadow")
        table = frame(app, "Interval of the difference").set_index("Metric")

        assert "Version 2 is right more often than version 1." in "\n".join(badges(app))
        assert "Accuracy 0.6667 beside 0.0000: +0.6667" in texts(app)
        assert "both are right on 0, only version 1 on 0, only version 2 on 20, neither on 10" in texts(app)
        assert table.loc["Accuracy", "Verdict"] == ["✓ Better"]
        assert set(frame(app, "Outcome")["Outcome"]) == {"no"}

    def test_a_difference_by_chance_decides_nothing(self, open_page: Open, log: SqlPredictionLog) -> None:
        """It says so."""
        both_answered(log, ["yes"] * 12, ["no", *["yes"] * 11], probabilities={})
        tell(log, ["yes"] * 12)
        app = opened(open_page, watched(WATCHER), "Shadow")

        assert "Neither is right more often by more than chance explains." in "\n".join(badges(app))

    def test_numbers_do_not_flip(self, open_page: Open, log: SqlPredictionLog) -> None:
        """They are compared by their errors alone."""
        both_answered(log, [1.5] * 4, [1.75] * 4, probabilities={})
        app = opened(open_page, watched(WATCHER), "Shadow")

        assert "Numbers are predicted, which do not flip as classes do." in captions(app)
        assert "Rows that flip" not in [each.value for each in app.header]


class TestReasons:
    """Why the two differ on a row."""

    @pytest.fixture
    def desk(self, models: dict[str, Any], worker: Any, score_with: Callable[..., None]) -> GovernanceService:
        """A forest serves, a linear version is asked aside."""
        score_with(worker)
        return desk_of(models, watching=Watching(WATCHER), clock=TickingClock(EPOCH + timedelta(days=1)))

    @pytest.fixture
    def digests(self, desk: GovernanceService) -> tuple[str, str]:
        first, second = (desk.show(MODEL, version).file_digest for version in (1, 2))
        assert first is not None
        assert second is not None
        return first, second

    def test_both_explain_a_row_whose_columns_are_in_clear(
        self, open_page: Open, log: SqlPredictionLog, desk: GovernanceService, digests: tuple[str, str]
    ) -> None:
        """On one scale, in the original columns."""
        both_answered(log, ["Obesity_Type_I"], ["Normal_Weight"], digests=digests, clear=CLEAR)
        app = opened(open_page, desk, "Shadow", row=prediction_id(0))

        assert "Version 1 said Obesity_Type_I (0.75). Version 2 said Normal_Weight (0.50)." in texts(app)
        assert "Explained: Normal_Weight, as version 2 predicts" in texts(app)
        assert texts(app).count("Sampled effects, which account for the whole answer.") == 2
        assert app.get("plotly_chart")

    def test_a_column_that_is_not_in_clear_is_named(
        self, open_page: Open, log: SqlPredictionLog, desk: GovernanceService, digests: tuple[str, str]
    ) -> None:
        """Nobody guesses what stood there."""
        kept = {name: value for name, value in CLEAR.items() if name != "Weight"}
        both_answered(log, ["Obesity_Type_I"], ["Normal_Weight"], digests=digests, clear=kept, keyed={"Weight": "e7"})
        app = opened(open_page, desk, "Shadow", row=prediction_id(0))

        assert "Reasons are not known" in "\n".join(badges(app))
        assert "the log does not hold Weight in clear" in texts(app)

    def test_files_that_changed_explain_nothing(
        self, open_page: Open, log: SqlPredictionLog, desk: GovernanceService
    ) -> None:
        """They are not those that answered."""
        both_answered(log, ["Obesity_Type_I"], ["Normal_Weight"], clear=CLEAR)
        app = opened(open_page, desk, "Shadow", row=prediction_id(0))

        assert "Version 1 has other files now than those that answered." in texts(app)

    def test_a_row_that_is_not_there(self, open_page: Open, log: SqlPredictionLog, desk: GovernanceService) -> None:
        """The address may be old."""
        both_answered(log, ["Obesity_Type_I"], ["Normal_Weight"], clear=CLEAR)

        assert "The row in the address is none of these." in captions(
            opened(open_page, desk, "Shadow", row=prediction_id(9))
        )


class TestNoShadow:
    """Where there is nothing to compare, the page says why."""

    def asked_aside(self, desk: OpenDesk, version: int) -> OpenDesk:
        desk.set_alias(MODEL, "challenger", version, reason=REASON, actor=GRACE, accept_warnings=True)
        return desk

    def test_none_is_named(self, open_page: Open, log: SqlPredictionLog, settings: Callable[..., None]) -> None:
        """It says how to name one."""
        settings(alias=None)
        app = opened(open_page, watched(WATCHER), "Shadow")

        assert "No shadow" in "\n".join(badges(app))
        assert "shadow: challenger" in app.code[0].value

    def test_no_version_has_the_alias(self, open_page: Open, log: SqlPredictionLog) -> None:
        """The settings name one that is nowhere."""
        app = opened(open_page, watched(WATCHER), "Shadow")

        assert "No version of the model has the alias challenger" in texts(app)

    def test_the_champion_has_the_alias(self, open_page: Open, log: SqlPredictionLog) -> None:
        """Nobody is asked beside themselves. A high finding lets it have no new role, so none is recorded here."""
        desk = watched(replace(WATCHER, columns=(), asked=[]))
        app = opened(open_page, self.asked_aside(desk, 1), "Shadow")

        assert "is on the champion itself" in texts(app)

    def test_no_row_has_come_yet(self, open_page: Open, log: SqlPredictionLog) -> None:
        """The shadow comes after the champion."""
        app = opened(open_page, self.asked_aside(watched(WATCHER), 2), "Shadow")

        assert "Version 2 (challenger) has answered no row of this time that version 1 answered." in texts(app)

    def test_who_may_not_read_rows_sees_none(self, open_page: Open, log: SqlPredictionLog) -> None:
        """They may hold personal data; the log's own facts are open to whoever reads the desk."""
        both_answered(log, ["yes"], ["no"], clear={"Age": 41})
        desk = watched(WATCHER, roles=(Role.ADMIN,))

        assert "Refused" in "\n".join(badges(opened(open_page, desk, "Shadow")))
        assert "Columns in clear" in captions(opened(open_page, desk, "Log"))


class TestLog:
    """What the log keeps, and whether anything is missing."""

    def test_it_says_what_is_kept_of_an_answer(
        self, open_page: Open, log: SqlPredictionLog, settings: Callable[..., None]
    ) -> None:
        """How many rows and for how long; which columns in clear, which as HMAC, which not at all."""
        settings({"enabled": True, "sample": 0.25, "clear": ["Gender"], "keyed": ["Weight"], "days": 30})
        both_answered(log, ["yes"] * 3, ["yes"] * 3)
        app = opened(open_page, watched(WATCHER), "Log")
        kept = facts(app)

        assert kept["Answers that get a row"] == "25 % of them, by chance"
        assert (kept["Rows kept"], kept["A row is deleted after"]) == ("3", "30 days")
        assert kept["Oldest row"] == "2026-01-01 01:00 UTC"
        named_columns = [kept[f"Columns {how}"] for how in ("in clear", "as HMAC", "not stored")]
        assert named_columns == ["Gender", "Weight", "Age"]
        assert "Nothing is missing" in "\n".join(badges(app))
        assert frame(app, "Process")["Answers"].tolist() == [3]

    def test_a_gap_is_told_in_words(self, open_page: Open, log: SqlPredictionLog) -> None:
        """Which process, since when, and how many answers at most; and what was lost."""
        block = log.open_block(process="host:8", model=MODEL, at=EPOCH)
        log.write(block, LogBatch(1, EPOCH, answered=5, lost=7))
        app = opened(open_page, watched(WATCHER), "Log")

        assert "Something is missing" in "\n".join(badges(app))
        assert "host:8 ended without closing its block of numbers. It wrote last at 2026-01-01 00:00:00 UTC" in texts(
            app
        )
        assert "at most 32,768 rows, is neither counted nor kept" in texts(app)
        assert "7 answers could not be written, and were not counted." in texts(app)
        assert frame(app, "Process")["State"].tolist() == [["! Gap"]]

    def test_an_empty_one_is_said_to_be(self, open_page: Open, log: SqlPredictionLog) -> None:
        """Reading makes none."""
        app = opened(open_page, watched(WATCHER), "Log")

        assert "Nothing that serves this model has written to the log yet." in texts(app)
        assert log.blocks() == []
