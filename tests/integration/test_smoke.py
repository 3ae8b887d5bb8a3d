"""Smoke predictions in a process of their own: whatever the files do, the caller gets a sentence."""

import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.preprocessing import FunctionTransformer

from pipeline.governance.errors import IntegrityFailure, NotFound, NotTried, Refused, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import File, ModelFiles, VersionRecord, VersionRow
from pipeline.governance.record.evidence import manifest_digest
from pipeline.serving.gate_checks import SubprocessSmoke, _in_words
from pipeline.serving.worker.__main__ import answer
from pipeline.serving.worker.allow_list import TRUST_MAKERS
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.serving.worker.launch.processes import START_SECONDS, ending, environment
from pipeline.serving.worker.load import files_of
from pipeline.serving.worker.protocol import BrokenFrame, read_frame, write_frame
from support.hostile_models import (
    ALLOWED,
    a7_hostile_tree,
    crashing,
    describe,
    fitted,
    hostile,
    replace_model,
    rows,
    save,
)

ROW = VersionRow("obesity", 3, Stage.STAGING, (), "READY", None, datetime(2026, 1, 1, tzinfo=UTC), "")
RECORD = VersionRecord(ROW, source="", model_id=None, status_message="", registered_by="")


@dataclass
class FolderRegistry:
    """A registry of one version, whose files lie in a folder; `swapped` is what read_file gives instead of a file."""

    folder: Path
    swapped: dict[str, bytes] = field(default_factory=dict)
    asked_fresh: list[bool] = field(default_factory=list)

    def files(self, record, *, fresh=False):
        self.asked_fresh.append(fresh)
        return ModelFiles(
            tuple(
                File(path.relative_to(self.folder).as_posix(), path.stat().st_size, digest(path.read_bytes()))
                for path in sorted(self.folder.rglob("*"))
                if path.is_file()
            )
        )

    def read_file(self, record, path):
        return self.swapped.get(path) or (self.folder / path).read_bytes()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """A folder per estimator, saved once."""
    place = tmp_path_factory.mktemp("clean")
    return {name: save(fitted(name), place / name) for name in ("random_forest", "hist_gradient_boosting")}


@pytest.fixture
def folder(clean, tmp_path):
    """A copy of the clean forest to spoil."""
    return shutil.copytree(clean["random_forest"], tmp_path / "model")


@pytest.fixture(autouse=True)
def private(tmp_path, monkeypatch):
    """The folder for temporary files, which every test must leave empty."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


def smoke(registry, *, seconds=60, memory_megabytes=4096) -> SubprocessSmoke:
    return SubprocessSmoke(registry, seconds=seconds, memory_megabytes=memory_megabytes, allowed_types=ALLOWED)


def predict(folder: Path, **limits) -> str:
    return smoke(FolderRegistry(folder), **limits).predict(RECORD, file_digest=manifest_digest(files_of(folder)))


def refusal(folder: Path, **limits) -> str:
    with pytest.raises(Refused) as caught:
        predict(folder, **limits)
    return str(caught.value)


@pytest.mark.parametrize("name", ["random_forest", "hist_gradient_boosting"])
def test_says_what_was_predicted(clean, name):
    """A version predicts in the worker what its model predicts here."""
    expected = fitted(name).predict(rows()[0].head(1))[0]
    assert predict(clean[name]) == f"predicts {expected} for its input example"


@pytest.mark.parametrize(
    ("prediction", "words"),
    [
        (["a", "b", "c"], "predicts a and 2 more for its input example"),
        ([3.14159265358], "predicts 3.14159 for its input example"),
        ([1], "predicts 1 for its input example"),
        ([["a", "b"]], "predicts ['a', 'b'] for its input example"),
        (["a\n\n\tb"], "predicts a b for its input example"),
        (["x" * 500], f"predicts {'x' * 80} for its input example"),
    ],
)
def test_words_for_predictions(prediction, words):
    """The first prediction is named, on one line and not a long one, and the others are counted."""
    assert _in_words(RECORD, {"prediction": prediction}) == words


@pytest.mark.parametrize("prediction", [[], "text", None])
def test_no_prediction(prediction):
    """An empty prediction is no smoke prediction."""
    with pytest.raises(Refused, match="version 3 of obesity predicts nothing for its input example"):
        _in_words(RECORD, {"prediction": prediction})


@pytest.mark.parametrize(
    ("returncode", "words"), [(-11, "SIGSEGV"), (-9, "SIGKILL"), (-99, "signal 99"), (1, "exit code 1")]
)
def test_ends_of_a_worker(returncode, words):
    """However the worker ends without an answer, there are words for it."""
    assert ending(returncode) == words


@dataclass
class SlowStart:
    """A worker whose imports take longer than any smoke prediction may; `answer` is what it says of the model."""

    answer: dict[str, object] | Exception
    asked: list[tuple[str, float]] = field(default_factory=list)
    stopped: bool = False

    def ask(self, request, *, seconds, about):
        self.asked.append((request["op"], seconds))
        if request["op"] == "ping":
            return {"ready": True}
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def stop(self):
        self.stopped = True


def tried(folder, answer) -> tuple[Any, SubprocessSmoke]:
    worker: Any = SlowStart(answer)
    return worker, replace(smoke(FolderRegistry(folder), seconds=20), started=lambda _: worker)


def test_seconds_count_from_when_the_worker_is_ready(folder):
    """Importing the libraries has a limit of its own: on a busy machine that alone may take longer."""
    worker, found = tried(folder, {"prediction": ["a"]})

    assert found.predict(RECORD, file_digest=manifest_digest(files_of(folder))) == "predicts a for its input example"
    assert worker.asked == [("ping", START_SECONDS), ("smoke", 20)]
    assert worker.stopped


@pytest.mark.parametrize(
    ("kind", "raised"),
    [
        ("untrusted", NotTried),
        ("not_here", NotTried),
        ("no_input_example", NotTried),
        ("failed", WorkerRefusal),
        ("refused", WorkerRefusal),
        ("crash", WorkerRefusal),
        ("time", WorkerRefusal),
        ("memory", WorkerRefusal),
    ],
)
def test_what_could_not_be_tried_is_told_from_what_failed(folder, kind, raised):
    """The first says nothing against a version, the second does."""
    worker, found = tried(folder, WorkerRefusal("it", "because", kind=kind))
    with pytest.raises(raised, match="because"):
        found.predict(RECORD, file_digest=manifest_digest(files_of(folder)))
    assert worker.stopped


def test_what_cannot_be_tried_here(clean, folder):
    """Another flavor, types that are not allowed, another scikit-learn and no example, with real files."""
    other = shutil.copytree(folder, folder.parent / "other")
    describe(other, lambda described: described["flavors"]["sklearn"].update(sklearn_version="1.2.2"))
    bare = shutil.copytree(folder, folder.parent / "bare")
    describe(bare, lambda described: described.pop("saved_input_example_info"))
    flavor = shutil.copytree(folder, folder.parent / "flavor")
    describe(flavor, lambda described: described.update(flavors={"python_function": {}, "lightgbm": {}}))
    for place in (other, bare, flavor):
        with pytest.raises(NotTried):
            predict(place)
    with pytest.raises(NotTried, match="types that are not allowed"):
        replace(smoke(FolderRegistry(folder)), allowed_types=()).predict(
            RECORD, file_digest=manifest_digest(files_of(folder))
        )


def test_hostile_models_are_refused(clean, tmp_path):
    """The worker's refusal comes back as a sentence about the version."""
    folder, _ = hostile(a7_hostile_tree, clean["random_forest"], tmp_path / "hostile")
    assert refusal(folder) == "version 3 of obesity: it has a tree with nodes or columns that do not exist"


def test_other_flavors(folder):
    """A flavor that is no scikit-learn is named."""
    describe(folder, lambda described: described.update(flavors={"python_function": {}, "lightgbm": {}}))
    sentence = (
        f"version 3 of obesity: its flavor is lightgbm, which is not loaded under this trust policy; {TRUST_MAKERS}"
    )
    assert refusal(folder) == sentence


def test_without_input_example(folder):
    """Nothing to try is a reason of its own."""
    describe(folder, lambda described: described.pop("saved_input_example_info"))
    assert refusal(folder) == "version 3 of obesity has no input example to try"


def asked(folder: Path) -> dict[str, object]:
    return answer({"op": "smoke", "folder": str(folder), "allowed_types": list(ALLOWED)})


def test_input_example_that_does_not_fit(folder):
    """A model that cannot predict its own example fails with the library's reason."""
    (folder / "input_example.json").write_text('{"columns": ["Age"], "data": [[24.0]]}')
    found = asked(folder)
    assert found["kind"] == "failed"
    assert str(found["error"]).startswith("cannot predict its input example (ValueError: columns are missing")


def test_crash_is_a_sentence(folder):
    """A model that ends its process costs one process."""
    found = replace(smoke(FolderRegistry(crashing(folder))), trust="producers")
    with pytest.raises(Refused) as caught:
        found.predict(RECORD, file_digest=manifest_digest(files_of(folder)))
    assert str(caught.value) == "version 3 of obesity crashed the process that tried it (SIGSEGV)"


def test_too_slow(folder):
    """Beyond its time the worker is ended."""
    assert refusal(folder, seconds=0.05) == "version 3 of obesity did not answer within 0.05 s"


def test_too_large_for_the_memory(folder):
    """A model that needs more memory than there is for it is refused, and nobody else loses memory."""
    model = fitted("random_forest")
    model.steps.insert(0, ("ballast", FunctionTransformer(kw_args={"zeros": np.zeros(2**24)})))  # 128 MB
    replace_model(folder, model)
    assert refusal(folder, memory_megabytes=700) == "version 3 of obesity needs more than 700 MB of memory"


def test_other_digest(folder):
    """Files that are not those that were looked at are an integrity failure, before anything is loaded."""
    with pytest.raises(IntegrityFailure, match="version 3 of obesity: the files are not those"):
        smoke(FolderRegistry(folder)).predict(RECORD, file_digest="0" * 64)


def test_the_copy_is_hashed(folder):
    """What was read is compared, not what the registry says about it: bytes that change in between are noticed."""
    content = bytearray((folder / "model.skops").read_bytes())
    content[-1] ^= 1
    registry = FolderRegistry(folder, {"model.skops": bytes(content)})
    with pytest.raises(IntegrityFailure):
        smoke(registry).predict(RECORD, file_digest=manifest_digest(files_of(folder)))
    assert registry.asked_fresh == [True]


@pytest.mark.parametrize("path", ["../outside", "/tmp/outside", "a/../../outside", "nul\0l"])
def test_paths_that_leave_the_folder(folder, path):
    """A file that would be written elsewhere is refused, and not written."""

    class Hostile(FolderRegistry):
        def files(self, record, *, fresh=False):
            return ModelFiles((File(path, 1, "0" * 64),))

    with pytest.raises(Refused, match="a file's path leaves the model's folder"):
        smoke(Hostile(folder, {path: b"x"})).predict(RECORD, file_digest="0" * 64)
    assert not Path("/tmp/outside").exists()


def test_a_file_where_a_folder_is_needed(folder):
    """Paths that cannot lie beside each other do not end in a traceback."""

    class Hostile(FolderRegistry):
        def files(self, record, *, fresh=False):
            return ModelFiles((File("a", 1, "0" * 64), File("a/b", 1, "0" * 64)))

    with pytest.raises(Unavailable, match="cannot be copied"):
        smoke(Hostile(folder, {"a": b"x", "a/b": b"x"})).predict(RECORD, file_digest="0" * 64)


def test_too_many_bytes(folder):
    """The sizes that the registry names are added up before anything is copied."""

    class Huge(FolderRegistry):
        def files(self, record, *, fresh=False):
            return ModelFiles((File("model.skops", 501 * 2**20, "0" * 64),))

    with pytest.raises(Refused, match="too many files or bytes"):
        smoke(Huge(folder)).predict(RECORD, file_digest="0" * 64)


def test_registry_errors_pass(folder):
    """Files that are gone stay NotFound."""

    class Gone(FolderRegistry):
        def read_file(self, record, path):
            raise NotFound(f"files: {path} is gone")

    with pytest.raises(NotFound):
        smoke(Gone(folder)).predict(RECORD, file_digest="0" * 64)


def test_the_copy_is_private(folder, private):
    """While it is there, nobody else can read the copy."""
    modes: list[Any] = []

    class Watching(FolderRegistry):
        def read_file(self, record, path):
            modes.extend(stat.S_IMODE(each.stat().st_mode) for each in private.iterdir())
            return super().read_file(record, path)

    with pytest.raises(IntegrityFailure):
        smoke(Watching(folder)).predict(RECORD, file_digest="0" * 64)
    assert set(modes) == {0o700}


def test_worker_gets_none_of_ourenvironment(folder, monkeypatch):
    """Addresses and credentials in this process's environment are not handed on."""
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert "secret" not in environment(folder).values()
    assert {"PATH", "HOME", "PYTHONPATH"} <= set(environment(folder))


def test_private_streams_catch_every_printer_and_reader():
    """Both print and a write to file descriptor 1 miss the frames, and who reads the standard input finds its end."""
    program = (
        "import os, sys; from pipeline.serving.worker.protocol import private_streams, read_frame, write_frame\n"
        "requests, answers = private_streams(); print('noise', end=sys.stdin.read())\n"
        "os.write(1, b'noise'); os.system('echo noise')\n"
        "write_frame(answers, read_frame(requests))"
    )
    asked = io.BytesIO()
    write_frame(asked, {"quiet": True})
    done = subprocess.run([sys.executable, "-c", program], input=asked.getvalue(), capture_output=True, check=True)
    assert read_frame(io.BytesIO(done.stdout)) == {"quiet": True}
    assert done.stderr.count(b"noise") == 3
    assert read_frame(io.BytesIO(done.stdout[11 + 8 :])) is None


def test_frames_come_back():
    """Frames that were written one after the other are read one after the other, then None."""
    stream = io.BytesIO()
    write_frame(stream, {"a": [1, None, "\N{SNOWMAN}"]})
    write_frame(stream, {})
    stream.seek(0)
    assert [read_frame(stream), read_frame(stream), read_frame(stream)] == [{"a": [1, None, "\N{SNOWMAN}"]}, {}, None]


def test_an_arrow_stream_travels_behind_its_frame():
    """As bytes, also where they would be no JSON."""
    stream = io.BytesIO()
    for content in ({"op": "x", "arrow": b"\xff\0{}"}, {"arrow": b""}):
        write_frame(stream, content)
    stream.seek(0)
    assert [read_frame(stream), read_frame(stream)] == [{"op": "x", "arrow": b"\xff\0{}"}, {"arrow": b""}]
    with pytest.raises(BrokenFrame, match="a frame of 67,108,865 bytes is too long"):
        write_frame(stream, {"arrow": bytes(64 * 2**20 + 1)})


def behind(text: bytes) -> bytes:
    return len(text).to_bytes(4) + text + b"abc"


@pytest.mark.parametrize(
    "content",
    [
        *(b"\0", b"\0\0\0\x05{}", b"\xff\xff\xff\xff{}", b"\0\0\0\x02[]", b"\0\0\0\x02{]", b"\0\0\0\x01\xff"),
        *(behind(b'{"arrow": 4}'), behind(b'{"arrow": 67108865}'), behind(b'{"arrow": -1}'), behind(b'{"arrow": "3"}')),
    ],
    ids=[
        *("cut length", "cut body", "too long", "no object", "no JSON", "no UTF-8"),
        *("cut Arrow", "too long Arrow", "negative Arrow", "no number"),
    ],
)
def test_broken_frames(content):
    """Anything else than a frame is named as such, and an absurd length is not waited for."""
    with pytest.raises(BrokenFrame):
        read_frame(io.BytesIO(content))


def test_frames_hold_no_nan():
    """JSON has no NaN: such an answer is an error here, not at the reader."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_frame(io.BytesIO(), {"a": float("nan")})


def test_unknown_operation():
    """A request for something else is answered, not obeyed."""
    assert answer({"op": "run"}) == {"error": "has no operation 'run'", "kind": "request"}


def test_nan_as_a_prediction(folder):
    """A prediction that JSON cannot hold is a failure with a reason."""
    model = DummyRegressor(strategy="constant", constant=0.0)
    inputs, _ = rows()
    model.fit(inputs[["Age"]], np.zeros(len(inputs)))
    model.constant_ = np.array([[np.nan]])
    replace_model(folder, model)
    assert asked(folder)["error"] == "gives no finite answer"


def test_importing_is_cheap():
    """The dashboard and the command line import the caller's side without numpy, scikit-learn or skops."""
    heavy = "{'numpy', 'pandas', 'pyarrow', 'sklearn', 'skops'}"
    program = f"import sys, pipeline.comparison, pipeline.serving.gate_checks; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": "."})
