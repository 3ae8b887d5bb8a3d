"""Compiled forms as whoever serves has them: what they answer is what the original answers, the rest goes to that."""

import asyncio
import contextlib
import io
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.http_api.batcher import MicroBatcher
from pipeline.serving.compiled.form import MOST_ROWS, CompiledForm
from pipeline.serving.gate_checks import WorkerRecomputer
from pipeline.serving.predictions import Prediction, Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.serving.worker.__main__ import answer
from pipeline.serving.worker.client import Pipes, WorkerRefusal
from pipeline.serving.worker.load import LoadedModel
from pipeline.serving.worker.model_cache import CachedModel, ModelCache
from pipeline.serving.worker.protocol import DOUBLES, Frame, frame_in, framed, read_frame, room_of
from pipeline.settings import read_settings
from pipeline.validation.columns import Input, check_many
from pipeline.validation.rows import check_rows
from support.desks import MODEL, build_desk
from support.in_memory import InMemoryRegistry
from support.loops import run_async
from support.served import POLICY, KnownWorker

COLUMNS = {
    "Age": {"type": "number", "minimum": 10, "maximum": 100},
    "Gender": {"type": "category", "categories": ["Female", "Male", "Other"]},  # no stored row holds the last
}
SIGNATURE = {
    "inputs": [
        {"name": "Age", "type": "double", "required": False},
        {"name": "Gender", "type": "string"},
        {"name": "Town", "type": "string"},
    ]
}
ROW = {"Age": 30.5, "Gender": "Male", "Town": "Lima"}
STORED = 60
SOMETHING_ELSE = "answered by the original: its compilation answers something else than was asked"


@pytest.fixture(scope="module")
def model() -> Pipeline:
    rows = stored_rows()
    categories = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = ColumnTransformer([("n", StandardScaler(), ["Age"]), ("c", categories, ["Gender", "Town"])])
    return make_pipeline(columns, LogisticRegression()).fit(rows, np.where(rows["Age"] > 40, "yes", "no"))


def stored_rows() -> pd.DataFrame:
    random = np.random.default_rng(11)
    return pd.DataFrame(
        {
            "Age": random.uniform(14, 80, STORED),
            "Gender": random.choice(["Female", "Male"], STORED),
            "Town": random.choice(["Lima", "Quito"], STORED),
        }
    )


class OneModel(ModelCache):
    """Holds a model that was never a file."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self._model = CachedModel(LoadedModel(model, "", {}, Path(), frozenset({EVALUATION_ROWS})), mlflow_flavor=False)

    def get(self, request: Frame) -> CachedModel:
        self._model.loaded = replace(self._model.loaded, folder=Path(request["folder"]))
        return self._model

    def known(self, digest: str) -> CachedModel | None:
        return self._model


@dataclass
class InThisProcess(KnownWorker):
    """A worker whose operations run in this process, by frames as they go through pipes.

    instead: what it says instead, by operation. gate: rows that come through pipes wait for it.
    """

    models: ModelCache = field(default_factory=ModelCache)
    requests: list[Frame] = field(default_factory=list)
    instead: dict[str, Frame] = field(default_factory=dict)
    gate: threading.Event = field(default_factory=threading.Event)
    batches: list[int] = field(default_factory=list)  # rows of each question that came through pipes

    def __post_init__(self) -> None:
        self.gate.set()

    def ask(self, request: Mapping[str, Any], *, seconds: float, about: str) -> Frame:
        found = frame_in(b"".join(framed(dict(request))))
        assert found is not None
        self.requests.append(found)
        said = answer(found, self.models)
        said = {**said, **self.instead.get(found["op"], {})}
        if "error" in said:
            raise WorkerRefusal(about, said["error"], kind=said["kind"])
        return said

    @contextlib.contextmanager
    def pipes(self) -> Iterator[Pipes]:  # type: ignore[override]
        """One exchange, with a thread at the other end."""
        asked, question = os.pipe()
        answers, ours = os.pipe()

        def other_end() -> None:
            with os.fdopen(asked, "rb") as stream:
                while (request := read_frame(stream)) is not None:
                    self.batches.append(len(request["values"][0]))
                    assert self.gate.wait(60)
                    said = self.instead.get("answer") or answer(request, self.models)
                    for part in framed(said):
                        os.write(ours, part)

        thread = threading.Thread(target=other_end)
        thread.start()
        try:
            yield Pipes(question, answers, room_of(question), 1024, lambda: None)
        finally:
            os.close(question)
            thread.join()
            os.close(answers)
            os.close(ours)


@dataclass
class Served:
    """A champion with its workers: one that serves, and one that compiles."""

    scorer: Scorer
    target: Target
    serving: InThisProcess
    compiling: InThisProcess
    registry: InMemoryRegistry
    model: Any

    def keep(self) -> CompiledForm:
        self.scorer.compiled.keep(self.target)
        found = self.scorer.compiled.of(self.target)
        assert found is not None
        return found

    def by_rows(self, rows: Sequence[Mapping[str, object]]) -> list[Prediction] | None:
        checked = check_rows(rows, input_schema(self.target))
        found: list[Prediction] | None = run_async(self.scorer.compiled.predict(self.target, checked))
        return found

    def by_columns(self, rows: Sequence[Mapping[str, object]]) -> Any:
        schema = input_schema(self.target)
        checked = check_many(Input.of_rows(rows, schema), schema)
        return run_async(self.scorer.compiled.predict_columns(self.target, checked))

    def recomputed(self) -> str:
        """What a review says of the compiled form."""
        worker = InThisProcess(models=OneModel(self.model), instead=self.compiling.instead)
        recomputer = WorkerRecomputer(self.registry, read_settings(environ={}).serving, lambda _: worker)
        return recomputer.recompute(self.target.record, file_digest=self.target.digest).compiled


@pytest.fixture
def served(model: Pipeline) -> Iterator[Served]:
    rows = stored_rows()
    content = io.BytesIO()
    rows.assign(actual=model.predict(rows), predicted=model.predict(rows)).to_parquet(content, index=False)
    registry = InMemoryRegistry()
    registry.add_model(MODEL)
    registry.add_version(
        MODEL,
        metrics={"accuracy": 0.9},
        files={"MLmodel": b"flavors", EVALUATION_ROWS: content.getvalue()},
        documents={"feature_schema": {"columns": COLUMNS}},
        signature=SIGNATURE,
    )
    registry.set_alias(MODEL, "champion", 1)
    registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    service = build_desk(registry)
    service.take_over()
    workers = [InThisProcess(models=OneModel(model)) for _ in range(2)]
    scorer = Scorer(service, workers[0], POLICY, compiler=lambda: workers[1])
    yield Served(scorer, scorer.targets.usable(MODEL), workers[0], workers[1], registry, model)
    scorer.close()


def rows_of(count: int) -> list[dict[str, object]]:
    return [{**ROW, "Age": 14 + each / 10} for each in range(count)]


# What it answers


def test_a_few_rows_are_answered_as_by_the_original(served: Served) -> None:
    """One by one and by column, up to the most that it is asked about; the probabilities are those of the original."""
    assert served.keep().equal
    for count in (1, 3, MOST_ROWS):
        rows = rows_of(count)
        expected = served.model.predict_proba(pd.DataFrame(rows))
        found, columns = served.by_rows(rows), served.by_columns(rows)

        assert found is not None
        assert [each.value for each in found] == served.model.predict(pd.DataFrame(rows)).tolist()
        assert np.allclose([list(each.probabilities.values()) for each in found], expected, rtol=0, atol=1e-6)
        assert columns.answers.column("prediction").to_pylist() == [each.value for each in found]
        by_class = [columns.answers.column(each).to_pylist() for each in ("0", "1")]
        assert np.allclose(np.transpose(by_class), expected, rtol=0, atol=1e-6)
        assert (columns.classes, columns.digest) == (("no", "yes"), served.target.digest)
    assert {each["op"] for each in served.serving.requests} == {"describe", "install"}


def even_age(model: Pipeline) -> float:
    """Where both classes are as probable for a row like ROW, found by bisection."""
    low, high = 14.0, 80.0
    for _ in range(60):
        middle = (low + high) / 2
        below = model.predict_proba(pd.DataFrame([{**ROW, "Age": middle}]))[0, 1] < 0.5
        low, high = (middle, high) if below else (low, middle)
    return low


def test_what_was_not_compared_is_left_to_the_original(served: Served) -> None:
    """A gap, a text that is new, classes that are as probable, too many rows; also where only one of the rows is so."""
    served.keep()
    left = {
        "a gap": [ROW, {**ROW, "Age": None}],
        "a new text": [ROW, {**ROW, "Town": "Cusco"}],
        "even classes": [ROW, {**ROW, "Age": even_age(served.model)}],
        "too many rows": rows_of(MOST_ROWS + 1),
    }
    assert served.keep().most_rows == MOST_ROWS  # it is no boosting

    assert served.by_rows([ROW]) is not None
    for case, rows in left.items():
        assert (served.by_rows(rows), served.by_columns(rows)) == (None, None), case


def test_a_worker_that_answers_something_else_is_not_believed(served: Served) -> None:
    """Too few numbers, none that is finite, none at all: the original answers."""
    served.keep()
    said: list[Frame] = [{DOUBLES: b""}, {DOUBLES: b"12345678"}, {DOUBLES: b"\xff" * 16}, {"rows": 1}]
    for each in [*said, {"arrow": b"", DOUBLES: 16}]:
        served.serving.instead["answer"] = each
        assert served.by_rows([ROW]) is None, each


def test_rows_that_come_meanwhile_are_the_next_batch(served: Served) -> None:
    """Though another worker could be asked: two batches at once would be smaller ones. Many rows go by beside them."""
    assert served.keep().equal
    schema = input_schema(served.target)
    first, *others = check_rows(rows_of(6), schema)
    many = check_many(Input.of_rows(rows_of(7), schema), schema)

    async def asking() -> None:
        batcher = MicroBatcher(served.scorer, concurrency=2, seconds=60)
        served.serving.gate.clear()
        asked: list[asyncio.Task[Any]] = [asyncio.create_task(batcher.predict_columns(served.target, many))]
        await _some_turns()
        for row in (first, *others):
            asked.append(asyncio.create_task(batcher.predict(served.target, row)))
            await _some_turns()
        served.serving.gate.set()
        await asyncio.gather(*asked)
        batcher.close()

    run_async(asking())
    assert sorted(served.serving.batches) == [1, 5, 7]


async def _some_turns() -> None:
    """So many of the loop that whatever can begin has begun."""
    for _ in range(10):
        await asyncio.sleep(0)


# What is said of it


def test_a_review_compares_the_rows_that_a_server_compares(served: Served) -> None:
    """With a row for a category that no stored row holds, in the same columns: the two say the same."""
    sentence = served.keep().comparison.sentence

    assert sentence.startswith(f"compiled, equal on {STORED + 1} rows, largest difference ")
    assert served.recomputed() == sentence
    served.compiling.instead["compile"] = {"error": "ran out of time", "kind": "time"}
    assert served.recomputed() == "answered by the original: its compilation ran out of time"


@pytest.mark.parametrize("wrong", [{"stored": "x"}, {"equal": "yes"}, {"difference": 0.5}])
def test_a_compiler_that_says_something_else_changes_nothing(served: Served, wrong: Frame) -> None:
    """The original answers, and server and review say so in a sentence."""
    served.compiling.instead["compile"] = {"comparison": {"equal": True, **wrong}}

    assert served.keep().comparison.sentence == SOMETHING_ELSE
    assert served.recomputed() == SOMETHING_ELSE
    assert served.by_rows([ROW]) is None


def test_a_compiler_that_leaves_out_a_column_is_not_believed(served: Served) -> None:
    """Rows would not fit it."""
    fields = {"names": ["Age"], "texts": [False], "known_texts": [None], "sample": [[1.0]]}
    served.compiling.instead["compile"] = fields

    assert served.keep().comparison.sentence == SOMETHING_ELSE


def test_a_compiler_does_not_write_requests_to_the_workers_that_serve(served: Served) -> None:
    """Of its answer only the code goes on: trust, folder and operation stay those of the server."""
    served.compiling.instead["compile"] = {"trust": "producers", "folder": "/elsewhere", "op": "predict", "digest": "0"}
    assert served.keep().equal

    looked, installed = [each for each in served.serving.requests if each["op"] != "describe"]
    assert [each["op"] for each in (looked, installed)] == ["install", "install"]
    own = ("trust", "folder", "digest", "allowed_types")
    assert [installed[each] for each in own] == [looked[each] for each in own]
    assert looked["trust"] == "allow_list"
