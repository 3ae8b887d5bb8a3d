"""The long-lived worker: one process that loads models, may crash, and never outlives who asked."""

import os
import shutil
import signal
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pyarrow as pa
import pytest
from sklearn.preprocessing import FunctionTransformer

from pipeline.governance.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from pipeline.governance.record.evidence import manifest_digest
from pipeline.serving.worker import client
from pipeline.serving.worker.arrow import decode_predictions, packed, rows_of
from pipeline.serving.worker.client import Pool, Worker, WorkerRefusal
from pipeline.serving.worker.load import files_of
from pipeline.validation.columns import Input, check_many
from pipeline.validation.schema import ColumnSchema, InputSchema
from support.hostile_models import ALLOWED, HOSTILE, crashing, fitted, hostile, replace_model, rows, save

DTYPES = ["float64", "float64", "str", "str"]
SECONDS = 300.0


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A folder per estimator, saved once."""
    place = tmp_path_factory.mktemp("clean")
    return {name: save(fitted(name), place / name) for name in ("random_forest", "logistic_regression")}


@pytest.fixture(scope="module")
def worker():
    """One for the tests that do not count processes."""
    found = Worker(memory_megabytes=4096)
    ping(found)
    yield found
    found.stop()


@pytest.fixture
def folder(clean, tmp_path):
    """A copy of the clean forest to spoil."""
    return shutil.copytree(clean["random_forest"], tmp_path / "model")


def about(folder: Path, *, trust: str = "allow_list", kept: int = 4) -> dict[str, object]:
    return {
        "folder": str(folder),
        "digest": manifest_digest(files_of(folder)),
        "allowed_types": list(ALLOWED),
        "trust": trust,
        "kept_models": kept,
    }


def sent(count: int = 1) -> dict[str, Any]:
    frame = rows()[0].head(count)
    return {"columns": list(frame.columns), "dtypes": DTYPES, "values": [frame[name].tolist() for name in frame]}


def ask(worker: Worker | Pool, operation: str, folder: Path, *, seconds: float = SECONDS, **more):
    options = {name: more.pop(name) for name in ("trust", "kept") if name in more}
    request = {"op": operation, **about(folder, **options), **more}
    return worker.ask(request, seconds=seconds, about="version 3 of obesity")


def ping(worker: Worker) -> int | None:
    """The number of its process, which runs now."""
    worker.ask({"op": "ping"}, seconds=SECONDS, about="it")
    return worker.pid


def crash(worker: Worker | Pool, folder: Path) -> str:
    with pytest.raises(WorkerRefusal) as caught:
        ask(worker, "predict", folder, rows=sent(), trust="producers")
    assert caught.value.kind == "crash"
    return str(caught.value)


def test_predicts_what_the_model_predicts_here(worker, clean):
    """To the last bit, probabilities in the order of the classes."""
    for name, folder in clean.items():
        answer = ask(worker, "predict", folder, rows=sent(5))
        model, frame = fitted(name), rows()[0].head(5)
        assert answer["classes"] == list(model.classes_)
        assert answer["predictions"] == model.predict(frame).tolist()
        assert np.array_equal(answer["probabilities"], model.predict_proba(frame))


def by_arrow(count: int) -> dict[str, Any]:
    frame = rows()[0].head(count)
    layout = InputSchema(
        tuple(ColumnSchema(str(name), "any", dtype) for name, dtype in zip(frame, DTYPES, strict=True)), "model"
    )
    return rows_of(check_many(Input.of_table(pa.Table.from_pandas(frame), layout), layout))


def test_many_rows_by_arrow(worker, clean):
    """The same answer to the last bit, without a list per column."""
    for folder in clean.values():
        lists = ask(worker, "predict", folder, rows=sent(120))
        table = decode_predictions(ask(worker, "predict", folder, **by_arrow(120)), rows=120, about="it")
        assert table.column("prediction").to_pylist() == lists["predictions"]
        assert np.array_equal(np.stack(table.columns[1:], axis=1), lists["probabilities"])


@pytest.mark.parametrize("spoil", [lambda sent: b"no Arrow", lambda sent: sent[:-100], lambda sent: b""])
def test_broken_arrow_is_a_sentence(worker, clean, spoil):
    """Whoever sends it; the process stays."""
    before = worker.pid
    asked = by_arrow(5)
    with pytest.raises(WorkerRefusal, match="version 3 of obesity cannot take these rows"):
        ask(worker, "predict", clean["random_forest"], **{**asked, "arrow": spoil(asked["arrow"])})
    assert worker.pid == before


@pytest.mark.parametrize("answer", [{"classes": []}, {"classes": [], "arrow": b"x"}, {"classes": ["a"]}])
def test_an_answer_that_is_not_what_was_asked_for(answer):
    """Is not believed: the worker has loaded a stranger's model."""
    other = {"arrow": packed(pa.record_batch({"prediction": ["a", "b"]})), **answer}
    with pytest.raises(Unavailable, match="it: the worker's answer"):
        decode_predictions(other, rows=3, about="it")


def test_explanations_add_up(worker, clean):
    """One document per row, exact, with the keys of the command line."""
    answer = ask(worker, "explain", clean["random_forest"], rows=sent(2))
    document = answer["explanations"][1]
    assert set(document) == {"classes", "scale", "method", "sum_error", "base_values", "contributions", "output"}
    assert (len(answer["explanations"]), answer["sampled"], answer["adds_up"]) == (2, False, True)
    for name in document["classes"]:
        said = document["base_values"][name] + sum(document["contributions"][name].values())
        assert said == pytest.approx(document["output"][name], abs=1e-9)


def test_a_second_opinion(worker, clean):
    """Weights per column, and how far they agree with the first."""
    document = ask(worker, "explain", clean["random_forest"], rows=sent())["explanations"][0]
    name = document["classes"][0]
    first = {"class_index": 0, "scale": document["scale"], "contributions": document["contributions"][name]}
    answer = ask(worker, "second_opinion", clean["random_forest"], rows=sent(), **first)
    assert set(answer["weights"]) == set(rows()[0].columns)
    assert 0 <= answer["agreement"] <= 1


def test_too_many_rows_to_explain(worker, clean):
    """Explaining takes long; fifty at once are enough for a page."""
    with pytest.raises(Refused, match="version 3 of obesity: at most 50 rows are explained at once"):
        ask(worker, "explain", clean["random_forest"], rows=sent(51))


def test_a_description_needs_no_rows(worker, clean):
    """Class labels, columns and the example, for a page that draws a form."""
    answer = ask(worker, "describe", clean["random_forest"])
    assert answer["classes"] == ["Normal_Weight", "Obesity_Type_I", "Overweight_Level_I"]
    assert (answer["columns"], answer["probabilities"], answer["mlflow_flavor"]) == (
        list(rows()[0].columns),
        True,
        False,
    )
    assert {name: len(values) for name, values in answer["example"].items()} == dict.fromkeys(rows()[0].columns, 1)


def test_rows_that_the_model_refuses(worker, clean):
    """Are its failure, in a sentence; the process stays."""
    before = worker.pid
    for wrong in ({"columns": ["Age"], "dtypes": ["float64"], "values": [[1.0]]}, {**sent(), "dtypes": ["int64"] * 4}):
        with pytest.raises(WorkerRefusal, match=r"version 3 of obesity cannot (predict|take) these rows") as caught:
            ask(worker, "predict", clean["random_forest"], rows=wrong)
        assert caught.value.kind == "failed"
    with pytest.raises(WorkerRefusal, match="version 3 of obesity has no operation 'run'"):
        ask(worker, "run", clean["random_forest"])
    assert worker.pid == before


def test_only_the_looked_at_bytes_are_loaded(worker, folder):
    """A private copy that changed after it was hashed is noticed by the worker."""
    (folder / "conda.yaml").write_bytes(b"looked at")
    request = {"op": "describe", **about(folder)}
    (folder / "conda.yaml").write_bytes(b"other")
    with pytest.raises(IntegrityFailure, match="version 3 of obesity: the private copy is not what was looked at"):
        worker.ask(request, seconds=SECONDS, about="version 3 of obesity")


@pytest.mark.parametrize("build", HOSTILE)
def test_hostile_models_run_nothing(worker, clean, tmp_path, build):
    """None of the seven leaves its marker, none ends the process."""
    before = worker.pid
    folder, marker = hostile(build, clean["random_forest"], tmp_path / "hostile")
    with pytest.raises(WorkerRefusal) as caught:
        ask(worker, "predict", folder, rows=sent())
    assert caught.value.kind in {"untrusted", "refused"}
    assert not marker.exists()
    assert worker.pid == before is not None


def test_a_crash_is_a_sentence_and_the_next_request_works(worker, clean, folder):
    """In another process, which starts by itself."""
    crashing(folder)
    assert crash(worker, folder) == "version 3 of obesity crashed the process that tried it (SIGSEGV)"
    assert worker.pid is None
    assert ask(worker, "predict", clean["random_forest"], rows=sent())["predictions"]


def test_a_process_that_was_killed_meanwhile_is_replaced(worker, clean):
    """By the kernel for its memory, say, between two requests."""
    ask(worker, "describe", clean["random_forest"])
    killed = worker.pid
    os.kill(killed, signal.SIGKILL)
    while worker.pid is not None:
        time.sleep(0.01)
    ask(worker, "describe", clean["random_forest"])
    assert worker.pid not in {None, killed}


def test_a_request_has_a_time_limit(worker, clean):
    """After it the process is killed, and the next request has a new one."""
    with pytest.raises(WorkerRefusal, match=r"version 3 of obesity did not answer within 0.001 s") as caught:
        ask(worker, "explain", clean["random_forest"], rows=sent(), seconds=0.001)
    assert caught.value.kind == "time"
    assert worker.pid is None
    assert ask(worker, "describe", clean["random_forest"])


def test_a_request_has_a_memory_limit(folder, clean):
    """The model is refused, another one still loads."""
    model = fitted("random_forest")
    model.steps.insert(0, ("ballast", FunctionTransformer(kw_args={"zeros": np.zeros(2**25)})))  # 256 MB
    replace_model(folder, model)
    worker = Worker(memory_megabytes=1024)
    try:
        with pytest.raises(WorkerRefusal, match="version 3 of obesity needs more than 1024 MB of memory"):
            ask(worker, "describe", folder)
        assert ask(worker, "predict", clean["random_forest"], rows=sent())["predictions"]
    finally:
        worker.stop()


def test_models_are_kept_by_digest(worker, clean, tmp_path):
    """To predict, the folder is not needed again while the model is kept; the oldest of more than `kept` goes."""
    folders = [shutil.copytree(clean[name], tmp_path / name) for name in clean]
    first, second = ({"op": "describe", **about(folder, kept=1)} for folder in folders)
    assert worker.ask(first, seconds=SECONDS, about="it")["example"]
    shutil.rmtree(folders[0])
    again = worker.ask({**first, "op": "predict", "rows": sent()}, seconds=SECONDS, about="it")
    assert len(again["predictions"]) == 1
    worker.ask(second, seconds=SECONDS, about="it")
    with pytest.raises(IntegrityFailure):
        worker.ask(first, seconds=SECONDS, about="it")


def test_a_kept_model_at_another_place(worker, clean, tmp_path):
    """The place is looked at again before anything is read from it."""
    request = {"op": "describe", **about(clean["random_forest"])}
    worker.ask(request, seconds=SECONDS, about="it")
    moved = shutil.copytree(clean["random_forest"], tmp_path / "moved")
    assert worker.ask({**request, "folder": str(moved)}, seconds=SECONDS, about="it")["example"]
    other = shutil.copytree(moved, tmp_path / "other")
    (other / "input_example.json").write_text("{}")
    with pytest.raises(IntegrityFailure):
        worker.ask({**request, "folder": str(other)}, seconds=SECONDS, about="it")


def test_one_request_at_a_time(worker, clean):
    """Threads wait for each other and get their own answers; who waits too long is told so."""
    answers: dict[int, object] = {}

    def predict(count: int) -> None:
        answers[count] = len(ask(worker, "predict", clean["random_forest"], rows=sent(count))["predictions"])

    threads = [threading.Thread(target=predict, args=(count,)) for count in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {count: count for count in range(1, 6)}
    with worker._lock, pytest.raises(Unavailable, match=r"is busy with other requests for more than 0.01 s"):
        ask(worker, "describe", clean["random_forest"], seconds=0.01)


def test_a_pool_answers_at_the_same_time(clean):
    """Each request by an idle process; processes start when they are needed, and who waits too long is told so."""
    pool = Pool(2, memory_megabytes=4096)
    try:
        for _ in range(3):
            ask(pool, "describe", clean["random_forest"])
        assert len(pool.pids) == 1
        with pool.workers[0]._lock:
            waiting = threading.Thread(target=lambda: ask(pool, "describe", clean["random_forest"]))
            waiting.start()
            while pool._idle.qsize() > 1:
                time.sleep(0.01)
            assert ask(pool, "predict", clean["random_forest"], rows=sent())["predictions"]
            with pool.workers[1]._lock, pytest.raises(Unavailable, match="is busy"):
                ask(pool, "describe", clean["random_forest"], seconds=0.01)
        waiting.join()
        assert (len(pool.pids), pool.size, pool.waiting) == (2, 2, False)
    finally:
        pool.stop()
    assert len(pool.pids) == 0


def test_one_process_of_a_pool_that_dies(clean, folder):
    """Costs its own request only, and is replaced."""
    pool = Pool(2, memory_megabytes=4096)
    try:
        for each in pool.workers:
            ping(each)
        crash(pool, crashing(folder))
        assert len(pool.pids) == 1
        assert ask(pool, "predict", clean["random_forest"], rows=sent())["predictions"]
    finally:
        pool.stop()
    empty = Pool(0, memory_megabytes=4096)
    with pytest.raises(Unavailable, match=r"the workers: are busy with other requests for more than 0.01 s"):
        ask(empty, "describe", clean["random_forest"], seconds=0.01)


def test_an_interrupted_request_leaves_no_stale_answer(worker, clean, monkeypatch):
    """Its process is ended with it: the answer would be taken for that of the next request."""
    before = ask(worker, "describe", clean["random_forest"]) and worker.pid

    def interrupted(stream):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(client, "read_frame", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ask(worker, "describe", clean["random_forest"])
    assert ask(worker, "predict", clean["random_forest"], rows=sent())["predictions"]
    assert worker.pid != before


def test_rows_that_are_too_long_for_a_frame(worker, clean):
    """Are refused before anything is sent."""
    many = {"columns": ["Age"], "dtypes": ["float64"], "values": [["x" * (65 * 2**20)]]}
    with pytest.raises(InvalidInput, match="too many, or too long, for one request"):
        ask(worker, "predict", clean["random_forest"], rows=many)


def test_producers_run_only_in_the_worker(worker, clean, tmp_path):
    """Where the operator trusts them, MLflow loads what the allow-list refuses: code runs, and the answer says so."""
    folder, marker = hostile(HOSTILE[2], clean["random_forest"], tmp_path / "function")
    with pytest.raises(WorkerRefusal, match="it needs types that are not allowed"):
        ask(worker, "describe", folder)
    assert ask(worker, "describe", folder, trust="producers", kept=3)["mlflow_flavor"]
    assert not marker.exists()  # this one runs when it predicts


def test_what_a_model_does_to_its_process_stays_with_it(worker, clean, tmp_path):
    """One that splits the process, reads its input or forbids recursion changes no answer to the next request."""
    code = """
        import os, sys
        class Model:
            def predict(self, rows):
                sys.stdin.read()
                child = os.fork()
                if child:
                    os.waitpid(child, 0)
                sys.setrecursionlimit(60)
                return [1.5 if child else 9.5] * len(rows)
        def _load_pyfunc(path): return Model()
    """
    source = tmp_path / "own_loader.py"
    source.write_text(textwrap.dedent(code))
    mlflow.pyfunc.save_model(
        tmp_path / "own", loader_module="own_loader", code_paths=[str(source)], pip_requirements=[]
    )

    for count in (1, 2):
        found = ask(worker, "predict", tmp_path / "own", rows=sent(count), trust="producers")
        assert found["predictions"] == [1.5] * count
        found = ask(worker, "predict", clean["random_forest"], rows=sent(), kept=1)
        assert found["classes"] == ["Normal_Weight", "Obesity_Type_I", "Overweight_Level_I"]


def test_producers_are_not_trusted_with_broken_trees(worker, clean, tmp_path):
    """That is no question of trust: MLflow would crash as well."""
    folder, _ = hostile(HOSTILE[6], clean["random_forest"], tmp_path / "tree")
    with pytest.raises(WorkerRefusal, match="it has a tree with nodes or columns that do not exist"):
        ask(worker, "describe", folder, trust="producers")
