"""The HTTP API tells the log what it answered, refused and failed at, and a shadow is asked aside."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.prediction_log.sql import SqlPredictionLog
from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.monitoring.prediction_log import CountKind, Selection, ShadowAnswer, StoredPrediction
from pipeline.monitoring.recording.batches import DirectWriter, RecordingOptions
from pipeline.monitoring.recording.kept import StoredColumns
from pipeline.monitoring.recording.recorder import PredictionRecorder
from pipeline.monitoring.recording.shadow import MOST_WAITING_ROWS, Shadow, ShadowedRecorder
from pipeline.serving.predictions import Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.worker.protocol import Frame
from pipeline.validation.rows import CheckedRow, Value
from support.desks import MODEL, build_desk
from support.in_memory import InMemoryRegistry
from support.served import POLICY, ROW, SCHEMA, SIGNATURE, KnownWorker, LocalApi, registry_with_columns, state_in_memory

VALUES: dict[str, Value] = {"Age": 30, "Gender": "Male", "Visits": 3}
CHECKED = CheckedRow(VALUES, (), ())
STORED = RecordingOptions(StoredColumns(frozenset({"Age", "Gender"})), 1.0, timedelta(days=1))


@dataclass
class Logged:
    """An API whose answers are logged."""

    api: LocalApi
    log: SqlPredictionLog
    recorder: PredictionRecorder

    def rows(self) -> dict[str, StoredPrediction]:
        """By prediction_id, once everything is written."""
        self.recorder.close()
        return {each.prediction.prediction_id: each for each in self.log.predictions(Selection(MODEL))}

    def counted(self, kind: CountKind) -> dict[tuple[str, str], int]:
        return {(each.key.name, each.key.bin): each.n for each in self.log.counts(MODEL) if each.key.kind is kind}


@pytest.fixture
def worker() -> KnownWorker:
    return KnownWorker()


@pytest.fixture
def logged(worker: KnownWorker, tmp_path: Path) -> Iterator[Logged]:
    log = SqlPredictionLog(f"sqlite:///{tmp_path / 'predictions.db'}")
    recorder = PredictionRecorder(DirectWriter(log, STORED), STORED, model=MODEL, profile_of=lambda _: None)
    state = state_in_memory(worker)
    state.recorder = recorder
    yield Logged(LocalApi(state), log, recorder)
    state.batcher.close()
    state.follower.close()
    log.close()


def test_an_answer_is_in_the_log_under_its_id(logged: Logged) -> None:
    """With what was answered, and the columns that are stored."""
    answer = logged.api.predict(ROW).json()
    row = logged.rows()[answer["prediction_id"]].prediction

    assert (row.model, row.version, row.digest) == (answer["model"], answer["version"], answer["digest"])
    assert (row.prediction, dict(row.probabilities)) == (answer["prediction"], answer["probabilities"])
    assert row.clear == {"Age": 30, "Gender": "Male"}
    assert (row.confidence, (row.milliseconds or 0) > 0) == (0.8, True)


def test_each_row_of_many_has_an_id_of_its_own(logged: Logged, worker: KnownWorker) -> None:
    """Those that could not be predicted have none, and count as refused."""
    worker.silent = (31.0,)
    rows = [ROW, {**ROW, "Age": 31}, {**ROW, "Age": 5}, {**ROW, "Age": 80}]
    answer = logged.api.predict({"rows": rows}, "/predict_batch").json()
    ids = [row.get("prediction_id") for row in answer["rows"]]
    stored = {name: each.prediction for name, each in logged.rows().items()}

    assert [each is None for each in ids] == [False, True, True, False]
    assert set(stored) == {ids[0], ids[3]}
    assert [stored[ids[at]].clear["Age"] for at in (0, 3)] == [30, 80]
    assert [stored[ids[at]].warnings for at in (0, 3)] == [0, 1]
    assert [stored[ids[at]].milliseconds is None for at in (0, 3)] == [False, True]
    assert logged.counted(CountKind.ANSWERED) == {("", "http"): 2}
    assert sum(logged.counted(CountKind.LATENCY).values()) == 1
    assert logged.counted(CountKind.REFUSED) == {("Age", ""): 1, ("", ""): 1}


def test_refused_and_failed_requests_are_counted(logged: Logged, worker: KnownWorker) -> None:
    """A wrong row by its columns; a request that got no answer by the error; what is no row of the model not at all."""
    logged.api.predict({**ROW, "Age": 5, "Hight": 1})
    logged.api.ask("POST", "/predict", content="{", headers={"content-type": "application/json"})
    logged.api.ask("GET", "/nothing")
    worker.refusal = Unavailable("the worker: is busy")
    logged.api.predict(ROW)
    worker.refusal = ValueError("a mistake of ours")
    logged.api.predict(ROW)
    logged.rows()

    assert logged.counted(CountKind.REFUSED) == {("Age", ""): 1, ("", ""): 1}
    assert logged.counted(CountKind.FAILED) == {("", "Unavailable"): 1, ("", "InternalError"): 1}


def with_challenger() -> InMemoryRegistry:
    """Version 2 takes the same columns, under the alias challenger."""
    found = registry_with_columns()
    documents = {"feature_schema": SCHEMA}
    found.add_version(MODEL, files={"MLmodel": b"flavors: 2"}, documents=documents, signature=SIGNATURE)
    found.set_alias(MODEL, "challenger", 2)
    found.set_stage(MODEL, 2, Stage.STAGING)
    return found


@dataclass
class BusyWorker(KnownWorker):
    """Somebody else asks the champion while it loads a version."""

    while_loading: Callable[[], None] = field(default=lambda: None)

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        if request["op"] == "describe":
            self.while_loading()
        return super().ask(request, seconds=seconds, about=about)


class TestShadow:
    """A second version that answers nobody."""

    @pytest.fixture
    def registry(self) -> InMemoryRegistry:
        return with_challenger()

    @pytest.fixture
    def champion(self, logged: Logged) -> Target:
        return logged.api.state.served().target

    @pytest.fixture
    def shadow(self, registry: InMemoryRegistry, logged: Logged) -> Iterator[Shadow]:
        service = build_desk(registry)
        service.take_over()
        scorer = Scorer(service, KnownWorker(), POLICY)
        found = Shadow(scorer, model=MODEL, alias="challenger", tell=logged.recorder.shadowed)
        logged.api.state.recorder = ShadowedRecorder(logged.recorder, found)
        yield found
        found.close()

    def test_its_answers_stand_beside_those_that_were_given(self, logged: Logged, shadow: Shadow) -> None:
        """The caller sees the champion's, and nothing else than without a shadow."""
        answer = logged.api.predict(ROW).json()
        shadow.ask_waiting()
        row = logged.rows()[answer["prediction_id"]]

        assert answer["version"] == row.prediction.version == 1
        assert (row.shadow.version, row.shadow.alias, row.shadow.prediction) == (2, "challenger", "yes")
        assert row.shadow.digest != row.prediction.digest
        assert (shadow.status.version, shadow.status.asked, shadow.status.reason) == (2, 1, "")

    def test_a_shadow_changes_no_answer(self, logged: Logged, shadow: Shadow) -> None:
        """The same champion says the same without one, to the last digit, but for the id."""
        with_one = logged.api.state.recorder
        answers = []
        for recorder in (logged.recorder, with_one, with_one):
            logged.api.state.recorder = recorder
            answers.append(logged.api.predict(ROW).json())
            shadow.ask_waiting()
        without, *others = [
            {name: value for name, value in each.items() if name != "prediction_id"} for each in answers
        ]

        assert others == [without, without]
        assert len({each["prediction_id"] for each in answers}) == 3
        assert shadow.status.asked == 2

    def test_rows_that_are_lost_are_not_asked(self, logged: Logged, shadow: Shadow) -> None:
        """Its answers would stand beside nothing."""
        small = PredictionRecorder(
            DirectWriter(logged.log, STORED), STORED, model=MODEL, profile_of=lambda _: None, most_waiting=1
        )
        logged.api.state.recorder = ShadowedRecorder(small, shadow)
        for _ in range(2):
            assert logged.api.predict(ROW).status_code == 200
        shadow.ask_waiting()

        assert (small.status.lost, shadow.status.asked, shadow.status.skipped) == (1, 1, 0)

    def test_where_there_is_no_room_for_its_answer_it_counts_as_skipped(
        self, registry: InMemoryRegistry, champion: Target
    ) -> None:
        """The log has been away for long."""
        service = build_desk(registry)
        service.take_over()
        scorer = Scorer(service, KnownWorker(), POLICY)
        shadow = Shadow(scorer, model=MODEL, alias="challenger", tell=lambda _: False)
        shadow.offer("id", champion, CHECKED)
        shadow.ask_waiting()

        assert (shadow.status.asked, shadow.status.skipped) == (0, 1)

    def test_what_comes_while_it_is_loaded_is_asked_with_the_first(
        self, registry: InMemoryRegistry, champion: Target
    ) -> None:
        """On a busy machine that takes seconds, and the next turn comes later."""
        told: list[ShadowAnswer] = []

        def tell(found: ShadowAnswer) -> bool:
            told.append(found)
            return True

        service = build_desk(registry)
        service.take_over()
        worker = BusyWorker()
        shadow = Shadow(Scorer(service, worker, POLICY), model=MODEL, alias="challenger", tell=tell)
        worker.while_loading = lambda: shadow.offer("id-2", champion, CHECKED)
        shadow.offer("id-1", champion, CHECKED)
        shadow.ask_waiting()

        assert [each.prediction_id for each in told] == ["id-1", "id-2"]

    def test_a_row_that_it_cannot_take_is_skipped(self, champion: Target, logged: Logged, shadow: Shadow) -> None:
        """It may have other columns; and it is not asked what it answered itself."""
        assert champion.schema is not None
        first, *others = champion.schema.columns
        fewer, more = (first,), (first, *others, replace(first, name="More"))
        of_columns = [replace(champion, schema=replace(champion.schema, columns=each)) for each in (fewer, more)]
        itself = replace(champion, resolved=replace(champion.resolved, version=2))
        shadow.offer("id-1", of_columns[0], CheckedRow({first.name: 30}, (), ()))
        shadow.offer("id-2", itself, CHECKED)
        shadow.offer("id-3", of_columns[1], CheckedRow({**VALUES, "More": 1}, (), ()))
        shadow.ask_waiting()

        assert (shadow.status.asked, shadow.status.skipped) == (1, 2)

    def test_where_there_is_none_it_says_so(self, registry: InMemoryRegistry, logged: Logged, shadow: Shadow) -> None:
        """And the champion answers as ever."""
        registry.set_alias(MODEL, "challenger", None)
        assert logged.api.predict(ROW).status_code == 200
        shadow.ask_waiting()

        assert "challenger" in shadow.status.reason
        assert (shadow.status.version, shadow.status.skipped) == (None, 1)

    def test_what_comes_too_fast_is_not_asked(self, champion: Target, logged: Logged, shadow: Shadow) -> None:
        """It never makes anybody wait."""
        for _ in range(MOST_WAITING_ROWS + 3):
            shadow.offer("id", champion, CHECKED)

        assert shadow.status.skipped == 3
