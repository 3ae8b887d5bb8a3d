"""Compare, card and recomputed claims on a real registry, with real models in a real worker."""

import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from pipeline.cli import run
from pipeline.governance.errors import IntegrityFailure, InvalidInput, NotFound, Refused
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import File, ModelFiles, VersionRecord, VersionRow
from pipeline.governance.record.evidence import manifest_digest
from pipeline.serving.gate_checks import WorkerRecomputer
from pipeline.settings import read_settings
from support import registries
from support.hostile_models import a5_pickle_inside, a7_hostile_tree, fitted, hostile, rows, save
from support.small_desk import small_params
from support.soak import amount

MODEL = "obesity_classifier"
ROWS = "signoff/evaluation_rows.parquet"
RECORD = VersionRecord(
    VersionRow("obesity", 3, Stage.STAGING, (), "READY", None, datetime(2026, 1, 1, tzinfo=UTC), ""), "", None, "", ""
)
SERVING = read_settings(environ={}).serving
Verb = Callable[..., Any]


def params(folder: Path, name: str, **split: Any) -> Path:
    """The shipped settings with few rows and two quick candidates."""
    content = small_params()
    content["candidates"] = {each: content["candidates"][each] for each in ("logistic_regression", "extra_trees")}
    content["evaluation"]["bootstrap_samples"] = 200
    content["split"] |= split
    file = folder / name
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


@pytest.fixture(scope="module")
def filled(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Versions 1 and 2 on the same split, 3 on another one."""
    folder = tmp_path_factory.mktemp("compared")
    registries.copy_store(template, folder)
    with pytest.MonkeyPatch.context() as environment:
        use(folder, environment)
        assert run(["train", "--json"]) == 0
        other = params(folder, "other.yaml", seed=7)
        assert run(["train", "--params", str(other), "--candidate", "logistic_regression", "--json"]) == 0
    return folder


def use(folder: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    environment.setenv("SIGNOFF_LEDGER_URL", f"sqlite:///{folder / 'ledger.db'}")
    environment.setenv("SIGNOFF_PARAMS", str(params(folder, "params.yaml")))


@pytest.fixture
def verb(filled: Path, monkeypatch: pytest.MonkeyPatch, call: Verb) -> Verb:
    use(filled, monkeypatch)
    return call


def test_two_versions_on_the_same_rows(verb: Verb) -> None:
    """The keys of the design; both values, difference, interval and verdict per metric."""
    code, found, _ = verb("compare", MODEL, 1, 2)
    shown = {version: verb("show", MODEL, version)[1]["evaluation"]["metrics"] for version in (1, 2)}
    metrics = {each["name"]: each for each in found["metrics"]}

    assert (code, list(found)) == (0, ["metrics", "params", "tags", "schema", "data"])
    for name, claimed in shown[1].items():
        assert metrics[name]["a"] == pytest.approx(claimed["value"], abs=1e-12)
        assert metrics[name]["b"] == pytest.approx(shown[2][name]["value"], abs=1e-12)
        assert metrics[name]["difference"] == pytest.approx(metrics[name]["b"] - metrics[name]["a"])
        assert metrics[name]["verdict"] in {"better", "worse", "not distinguishable"}
        assert metrics[name]["interval"][0] <= metrics[name]["difference"] <= metrics[name]["interval"][1]
    assert metrics["cv_accuracy_mean"]["verdict"] is None
    assert {"name": "candidate", "a": "logistic_regression", "b": "extra_trees"} in found["params"]["different"]
    assert found["data"]["rows"]["same"]
    assert sum(each["n"] for each in found["data"]["rows"]["classes"]) == found["data"]["rows"]["agreement"]["n"]


def test_two_versions_on_different_rows(verb: Verb) -> None:
    """A named warning, and metrics without a verdict."""
    found = verb("compare", MODEL, 1, 3)[1]

    assert found["data"]["rows"]["warning"]["name"] == "different_rows"
    assert {each["verdict"] for each in found["metrics"]} == {None}
    assert "split.seed" in [each["name"] for each in found["data"]["different"]]


def test_flips_are_the_rows_that_differ(filled: Path, verb: Verb) -> None:
    """As counted from the two files themselves."""
    from pipeline.bootstrap import desk

    flips = desk().flips(MODEL, 1, 2)
    filler = registries.Filler(f"sqlite:///{filled / 'mlflow.db'}")
    frames = [pd.read_parquet(filler.files_of(MODEL, version) / ROWS) for version in (1, 2)]
    different = frames[0]["predicted"] != frames[1]["predicted"]

    assert [each.row for each in flips.rows] == different[different].index.tolist()
    assert flips.rows[0].inputs["Weight"] == frames[0]["Weight"][flips.rows[0].row]


@pytest.mark.parametrize("arguments", [["compare", MODEL, "1", "2"], ["compare", MODEL, "1", "3"]])
def test_a_table_for_people(verb: Verb, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    """Without --json."""
    assert run(arguments) == 0
    assert "Version 1" in capsys.readouterr().out


@pytest.mark.parametrize("version", amount([1], soak=[1, 2]))
def test_honest_claims_hold(verb: Verb, version: int) -> None:
    """Every metric of our pipeline is recomputed to the last digits by the version's own bytes."""
    code, found, _ = verb("review", MODEL, version, "--to", "Staging", "--recompute")
    gate = next(each for each in found["gates"] if each["name"] == "claims_recomputed")

    assert (gate["passed"], gate["mode"]) == (True, "warn")
    assert found["recomputed"]["holds"]
    assert len(found["recomputed"]["claims"]) == 14
    assert code in {0, 3}


def test_a_metric_written_again_is_found(filled: Path, verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    """A logged accuracy of 0.99: claimed 0.99, recomputed otherwise, the gate fails."""
    filler = registries.Filler(f"sqlite:///{filled / 'mlflow.db'}")
    run_id = filler.client.get_model_version(MODEL, "3").run_id
    before = filler.client.get_run(run_id).data.metrics["accuracy"]
    model_id = filler.client.get_model_version(MODEL, "3").source.removeprefix("models:/")
    filler.client.log_metric(run_id, "accuracy", 0.99, model_id=model_id)
    try:
        found = verb("review", MODEL, 3, "--to", "Production", "--recompute")[1]
        run(["review", MODEL, "3", "--to", "Production", "--recompute"])
        text = capsys.readouterr().out
    finally:
        filler.client.log_metric(run_id, "accuracy", before, model_id=model_id)
    wrong = [each for each in found["recomputed"]["claims"] if not each["holds"]]
    gate = next(each for each in found["gates"] if each["name"] == "claims_recomputed")

    assert [(each["name"], each["source"], each["claimed"]) for each in wrong] == [("accuracy", "run", 0.99)]
    assert wrong[0]["recomputed"] == pytest.approx(before, abs=1e-9)
    assert not gate["passed"]
    assert "accuracy is claimed as 0.99 by MLflow" in gate["why"]
    assert "DIFFERS" in text


def test_predictions_written_again_are_found(filled: Path, verb: Verb) -> None:
    """Stored predictions that the version does not make."""
    filler = registries.Filler(f"sqlite:///{filled / 'mlflow.db'}")
    path = filler.files_of(MODEL, 3) / ROWS
    with kept(path):
        frame = pd.read_parquet(path)
        frame.loc[frame["predicted"] != frame["actual"], "predicted"] = frame["actual"]
        frame.to_parquet(path, index=False)
        found = verb("review", MODEL, 3, "--to", "Production", "--recompute")[1]

    assert found["recomputed"]["changed_rows"] > 0
    assert not found["recomputed"]["holds"]


@contextmanager
def kept(path: Path) -> Iterator[None]:
    content = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(content)


def test_a_card_in_two_files(verb: Verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Or printed as Markdown, or as JSON."""
    files = tmp_path / "card.html", tmp_path / "card.md"
    assert run(["card", MODEL, "1", "--html", str(files[0]), "--markdown", str(files[1])]) == 0
    assert capsys.readouterr().out == ""
    assert run(["card", MODEL, "1"]) == 0

    assert capsys.readouterr().out == files[1].read_text(encoding="utf-8")
    assert "<h2>Metrics</h2>" in files[0].read_text(encoding="utf-8")
    assert verb("card", MODEL, 1)[1]["title"] == "Model card: obesity_classifier, version 1"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["compare", MODEL, 1, 1], 2, "name two versions"),
        (["compare", MODEL, 1, 99], 5, "NotFound"),
        (["card", MODEL, 99], 5, "NotFound"),
        (["card", MODEL, 1, "--html", "/nowhere/card.html"], 2, "cannot be written"),
    ],
)
def test_a_mistake_is_one_sentence(verb: Verb, arguments: list[object], code: int, sentence: str) -> None:
    """And its exit code."""
    found, output, error = verb(*arguments)

    assert (found, output) == (code, None)
    assert sentence in error


class FolderRegistry:
    """A registry of one version, whose files lie in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self, record: VersionRecord, *, fresh: bool = False) -> ModelFiles:
        paths = [path for path in sorted(self.folder.rglob("*")) if path.is_file()]
        return ModelFiles(
            tuple(
                File(path.relative_to(self.folder).as_posix(), path.stat().st_size, digest(path.read_bytes()))
                for path in paths
            )
        )

    def read_file(self, record: VersionRecord, path: str) -> bytes:
        return (self.folder / path).read_bytes()


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A forest with evaluation rows as somebody else's pipeline might store them: no probabilities, missing values."""
    folder = save(fitted("hist_gradient_boosting"), tmp_path_factory.mktemp("clean") / "model")
    return with_rows(folder, evaluated())


def evaluated() -> pd.DataFrame:
    inputs, truth = rows()
    inputs.loc[0, "Age"] = None
    return inputs.assign(actual=truth, predicted=fitted("hist_gradient_boosting").predict(inputs))


def with_rows(folder: Path, frame: pd.DataFrame) -> Path:
    target = io.BytesIO()
    frame.to_parquet(target, index=False)
    (folder / "signoff").mkdir(exist_ok=True)
    (folder / ROWS).write_bytes(target.getvalue())
    return folder


def recompute(folder: Path, **changes: Any) -> Any:
    registry: Any = FolderRegistry(folder)
    serving = SERVING.model_copy(update={"chunk_rows": 50, **changes})
    return WorkerRecomputer(registry, serving).recompute(
        RECORD, file_digest=manifest_digest(registry.files(RECORD).files)
    )


def test_rows_without_probabilities_give_the_model_s_own(
    clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In several requests; missing values stay missing; nothing is left behind."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # a folder where nobody else works
    found = recompute(clean)

    assert (found.n, found.changed_rows) == (120, 0)
    assert found.metrics["accuracy"] == (evaluated()["actual"] == evaluated()["predicted"]).mean()
    assert "log_loss" in found.metrics
    assert list(tmp_path.glob("signoff-*")) == []


def test_probabilities_of_other_classes_give_no_losses(clean: Path, tmp_path: Path) -> None:
    """The columns name classes that the model does not have."""
    folder = hostile(lambda *_: None, clean, tmp_path)[0]
    with_rows(folder, evaluated().assign(probability_other=0.5))

    assert "log_loss" not in recompute(folder).metrics


@pytest.mark.parametrize("build", amount([a7_hostile_tree], soak=[a5_pickle_inside, a7_hostile_tree]))
def test_a_hostile_model_is_a_sentence(clean: Path, tmp_path: Path, build: Callable[[Path, Path], None]) -> None:
    """Its code does not run."""
    folder, marker = hostile(build, clean, tmp_path)

    with pytest.raises(Refused, match="version 3 of obesity"):
        recompute(folder)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("frame", "error", "sentence"),
    [
        (None, NotFound, "came without evaluation rows"),
        (evaluated().drop(columns="actual"), InvalidInput, "no column 'actual'"),
        (evaluated().drop(columns="Weight"), Refused, "version 3 of obesity"),
        (evaluated().assign(actual=1, predicted=1), InvalidInput, "predicts something else"),
    ],
    ids=["none", "no truth", "a column less", "numbers"],
)
def test_rows_that_cannot_be_scored(
    clean: Path, tmp_path: Path, frame: pd.DataFrame | None, error: type[Exception], sentence: str
) -> None:
    """Each is a sentence."""
    folder = hostile(lambda *_: None, clean, tmp_path)[0]
    (folder / ROWS).unlink()
    if frame is not None:
        with_rows(folder, frame)

    with pytest.raises(error, match=sentence):
        recompute(folder)


def test_other_bytes_than_those_looked_at(clean: Path) -> None:
    """Nothing is loaded."""
    with pytest.raises(IntegrityFailure):
        WorkerRecomputer(FolderRegistry(clean), SERVING).recompute(RECORD, file_digest="0" * 64)  # type: ignore[arg-type]
