"""Predictions, explanations and files of rows: real models, a real worker, the command line on a real MLflow."""

import io
import json
import shutil
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.cli import run
from pipeline.governance.errors import IntegrityFailure, InvalidInput, NotFound, OutOfBand, Refused, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.service import GovernanceService
from pipeline.serving.batch.batch import Batch, Scored
from pipeline.serving.batch.run import Report, ScoringOptions, silent
from pipeline.serving.batch.upload import score_upload
from pipeline.serving.predictions import Resolved
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.serving.trust import LoadingPolicy, Trust
from pipeline.serving.worker.client import Worker
from pipeline.settings import ROOT
from pipeline.validation.columns import Input, check_many
from pipeline.validation.rows import InvalidRows
from support import registries
from support.desks import GRACE, MODEL, build_desk
from support.hostile_models import ALLOWED, HOSTILE, fitted, hostile, rows, save
from support.in_memory import InMemoryRegistry

ROW: dict[str, object] = {"Age": 30, "Weight": 82.5, "Gender": "Male", "CAEC": "no"}
SCHEMA = {
    "columns": {
        "Age": {"type": "number", "unit": "years", "minimum": 10, "maximum": 100, "default": 24},
        "Weight": {
            "type": "number",
            "unit": "kg",
            "minimum": 25,
            "maximum": 260,
            "default": 80,
            "training": {"minimum": 40, "maximum": 150},
        },
        "Gender": {"type": "category", "categories": ["Female", "Male"], "default": "Female"},
        "CAEC": {"type": "category", "categories": ["no", "Sometimes", "Always"], "default": "no"},
    }
}
DOCUMENTS = {"feature_schema": SCHEMA}
POLICY = LoadingPolicy("allow_list", ALLOWED, kept_models=3, predict_seconds=60, explain_seconds=60)


def score_file(
    scorer: Scorer, reference: str, source: Path, target: Path, *, chunk_rows: int, report: Report = silent
) -> Scored:
    return Batch(scorer, reference, ScoringOptions(chunk_rows), report, print).score(str(source), str(target))[0]


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("clean")
    found = {name: save(fitted(name), place / name) for name in ("random_forest", "logistic_regression")}
    signoff = found["random_forest"] / "signoff"
    signoff.mkdir()
    rows()[0].head(40).to_parquet(signoff / "background.parquet")
    return found


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    found = Worker(memory_megabytes=4096)
    yield found
    found.stop()


@pytest.fixture
def registry(clean: dict[str, Path]) -> InMemoryRegistry:
    """Version 1 a forest, 2 a logistic regression without background rows, both with a feature schema."""
    found = InMemoryRegistry()
    found.add_model(MODEL)
    for name in ("random_forest", "logistic_regression"):
        found.add_version(MODEL, files=content(clean[name]), documents=DOCUMENTS)
    return found


@pytest.fixture
def service(registry: InMemoryRegistry) -> GovernanceService:
    """Version 1 is champion and recorded as such."""
    registry.set_alias(MODEL, "champion", 1)
    registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    found = build_desk(registry)
    found.take_over()
    return found


@pytest.fixture
def scorer(service: GovernanceService, worker: Worker) -> Scorer:
    return Scorer(service, worker, POLICY)


# What a reference means


def test_references(scorer: Scorer, registry: InMemoryRegistry) -> None:
    """A model's champion, an alias, a number."""
    registry.set_alias(MODEL, "shadow", 2)
    assert scorer.targets.resolve(MODEL) == Resolved(MODEL, 1, "champion")
    assert scorer.targets.resolve(f"{MODEL}@champion") == Resolved(MODEL, 1, "champion")
    assert scorer.targets.resolve(f"{MODEL}@shadow") == Resolved(MODEL, 2, "shadow")
    assert scorer.targets.resolve(f"{MODEL}/2") == Resolved(MODEL, 2)


def test_a_name_with_an_at_sign(scorer: Scorer, registry: InMemoryRegistry) -> None:
    """Is a name first."""
    registry.add_model("a@b")
    with pytest.raises(NotFound, match="'a@b' has no alias 'champion'"):
        scorer.targets.resolve("a@b")


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("nobody", NotFound),
        (f"{MODEL}@nobody", NotFound),
        (f"{MODEL}/99", NotFound),
        (f"{MODEL}/two", InvalidInput),
        ("/1", InvalidInput),
        (f"{MODEL}/-1", InvalidInput),
    ],
)
def test_references_to_nothing(scorer: Scorer, reference: str, error: type[Exception]) -> None:
    """Each with the error of its kind."""
    with pytest.raises(error):
        scorer.targets.target(reference)


def test_a_champion_that_was_moved_by_another_way_does_not_serve(scorer: Scorer, registry: InMemoryRegistry) -> None:
    """What serves must have been recorded as champion; by its number the version can still be looked at."""
    registry.set_alias(MODEL, "champion", 2)
    with pytest.raises(OutOfBand, match="is version 2 in the registry, the record says version 1"):
        scorer.predict(MODEL, [ROW])
    assert scorer.predict(f"{MODEL}/2", [ROW]).state.state is Trust.OUTSIDE


def test_a_model_that_the_ledger_does_not_know(registry: InMemoryRegistry, worker: Worker) -> None:
    """Nothing was claimed about it: its champion is in review, and a warning says so."""
    registry.set_alias(MODEL, "champion", 2)
    found = Scorer(build_desk(registry), worker, POLICY).predict(MODEL, [ROW])
    assert found.state.state is Trust.IN_REVIEW
    assert found.as_json()["warnings"] == [f"version 2 of {MODEL}: nobody has approved it yet"]


# Predicting


def test_predicts_what_the_model_predicts_here(scorer: Scorer, service: GovernanceService) -> None:
    """With model, version and the digest of the bytes that were loaded; whole numbers are taken for numbers."""
    found = scorer.predict(MODEL, [ROW, {**ROW, "Weight": 200}])
    model, frame = fitted("random_forest"), pd.DataFrame([ROW, {**ROW, "Weight": 200}])

    assert [row.value for row in found.rows] == model.predict(frame).tolist()
    chances = [list(row.probabilities.values()) for row in found.rows]
    assert np.array_equal(chances, model.predict_proba(frame))
    assert found.as_json(1) == {
        "model": MODEL,
        "version": 1,
        "digest": service.show(MODEL, 1).file_digest,
        "prediction": found.rows[1].value,
        "probabilities": dict(zip(model.classes_, chances[1], strict=True)),
        "warnings": ["row 2, Weight: 200 kg lies outside the training data (40 to 150)"],
    }
    assert found.state.state is Trust.TRUSTED


def test_many_rows_are_predicted_by_column(scorer: Scorer) -> None:
    """The usable ones, as one after the other, without a Python object per cell."""
    target = scorer.targets.target(MODEL)
    given = [ROW, {**ROW, "Weight": 500}, {**ROW, "Weight": 200}]
    checked = check_many(Input.of_rows(given, input_schema(target)), input_schema(target), numbers=range(1, 4))
    found = scorer.predict_columns(target, checked)
    single = scorer.predict(target, [given[0], given[2]])
    assert found.answers.column("prediction").to_pylist() == [row.value for row in single.rows]
    assert found.classes == single.classes
    assert found.answers.column("0").to_pylist() == [row.probabilities[found.classes[0]] for row in single.rows]
    assert [each.sentence for each in checked.problems[1]] == ["row 2, Weight: 500 is above 260 kg (allowed 25 to 260)"]


def test_rows_that_do_not_fit_never_reach_the_worker(scorer: Scorer) -> None:
    """The sentences are those of the one validation."""
    with pytest.raises(InvalidRows, match=r"Weight: 500 is above 260 kg \(allowed 25 to 260\)"):
        scorer.predict(MODEL, [{**ROW, "Weight": 500}])


def test_a_target_is_asked_again_without_the_registry(scorer: Scorer, registry: InMemoryRegistry) -> None:
    """A page or a server keeps it for some seconds."""
    target = scorer.targets.target(MODEL)
    registry.down = True
    assert scorer.predict(target, [ROW]).digest == target.digest


def emptied(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            path.unlink()


CLEANED = {
    "its files": emptied,
    "one file": lambda folder: (folder / "MLmodel").unlink(),
    "the folder": shutil.rmtree,
    "the folder of all copies": lambda folder: shutil.rmtree(folder.parent),
}


@pytest.mark.parametrize("clean_up", CLEANED.values(), ids=CLEANED)
def test_a_copy_that_was_cleaned_away_is_made_again(
    scorer: Scorer, registry: InMemoryRegistry, worker: Worker, clean_up: Callable[[Path], object]
) -> None:
    """After a restart of the worker every door is open as before; without the registry it fails, and is open after."""
    target = scorer.targets.target(MODEL)
    before = scorer.predict(target, [ROW]).rows
    copies = scorer._copies
    with scorer.keeping(target):  # as a server keeps its champion
        with copies.using(target.record, target.digest) as folder:
            clean_up(folder)
        worker.stop()
        registry.down = True
        with pytest.raises(Unavailable):
            scorer.predict(target, [ROW])
        registry.down = False

        assert scorer.predict(target, [ROW]).rows == before
        assert scorer.explain(target, [ROW]).adds_up
        with copies.using(target.record, target.digest) as folder:
            assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
            clean_up(folder)
        assert set(scorer.files(target)) >= {"MLmodel", "model.skops"}


def test_what_lies_beside_a_model_in_memory_is_made_again(scorer: Scorer) -> None:
    """Background rows are read when somebody asks for an explanation, long after the model was loaded."""
    target = scorer.targets.target(MODEL)
    scorer.predict(target, [ROW])
    with scorer._copies.using(target.record, target.digest) as folder:
        emptied(folder)

    assert scorer.predict(target, [ROW]).rows
    assert not scorer.explain(target, [ROW]).background


def test_no_copy_is_made_after_the_end(service: GovernanceService, worker: Worker, tmp_path: Path, monkeypatch) -> None:
    """A page that is still drawn when a signal has ended the server asks in vain, and leaves nothing behind."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ending = Scorer(service, worker, POLICY)
    target = ending.targets.target(MODEL)
    assert ending.predict(target, [ROW]).rows
    ending.close()

    with pytest.raises(Unavailable, match="this process is ending"):
        ending.predict(target, [ROW])
    assert list(tmp_path.glob("signoff-*")) == []


def test_a_folder_that_is_no_longer_ours_is_left_alone(scorer: Scorer) -> None:
    """Somebody else may have taken the name of a folder that was cleaned away."""
    target = scorer.targets.target(MODEL)
    with scorer._copies.using(target.record, target.digest) as folder:
        shutil.rmtree(folder.parent)
        folder.parent.mkdir()
        folder.parent.chmod(0o777)
        renewed = scorer._copies.renewed(target.record, target.digest)
        assert renewed.parent != folder.parent
        assert stat.S_IMODE(renewed.parent.stat().st_mode) == 0o700
    assert not list(folder.parent.iterdir())
    folder.parent.rmdir()


# The four states


def test_changed_bytes_are_refused(scorer: Scorer, registry: InMemoryRegistry) -> None:
    """Tampered, for predictions and explanations alike, although the old model is still in the worker's memory."""
    scorer.predict(MODEL, [ROW])
    registry.write_file(MODEL, 1, "conda.yaml", content=b"other")
    assert scorer.targets.target(Resolved(MODEL, 1)).state.state is Trust.TAMPERED
    for asked in (scorer.predict, scorer.explain):
        with pytest.raises(IntegrityFailure, match="its files have the fingerprint"):
            asked(MODEL, [ROW])


@pytest.mark.parametrize("build", HOSTILE)
def test_hostile_versions_are_untrusted(
    scorer: Scorer, registry: InMemoryRegistry, clean: dict[str, Path], tmp_path: Path, build: Callable[..., None]
) -> None:
    """With the reason; nothing of them runs, and the others are served on."""
    folder, marker = hostile(build, clean["random_forest"], tmp_path / "hostile")
    version = registry.add_version(MODEL, files=content(folder), documents=DOCUMENTS)
    state = scorer.targets.target(Resolved(MODEL, version)).state
    assert (state.state, bool(state.reason)) == (Trust.UNTRUSTED, True)
    with pytest.raises(Refused, match=f"version {version} of {MODEL} is not loaded: "):
        scorer.predict(f"{MODEL}/{version}", [ROW])
    assert not marker.exists()
    assert scorer.predict(MODEL, [ROW]).rows


def test_versions_that_cannot_be_copied_or_have_no_files(scorer: Scorer, registry: InMemoryRegistry) -> None:
    """Are untrusted too."""
    crowd = registry.add_version(MODEL, files={f"{number}": b"" for number in range(1_001)})
    gone = registry.add_version(MODEL, files={})
    assert "too many files" in scorer.targets.target(Resolved(MODEL, crowd)).state.reason
    assert scorer.targets.target(Resolved(MODEL, gone)).state.reason == "its files cannot be read"


def test_producers_are_loaded_by_mlflow_and_the_answer_says_so(
    service: GovernanceService, registry: InMemoryRegistry, worker: Worker, tmp_path: Path
) -> None:
    """A pickled model keeps its probabilities and its exact explanations; under the allow-list it is not loaded."""
    version = registry.add_version(MODEL, files=content(pickled(fitted("random_forest"), tmp_path / "pickled")))
    strict = Scorer(service, worker, POLICY)
    assert "it is not saved with skops" in strict.targets.target(Resolved(MODEL, version)).state.reason

    trusting = Scorer(service, worker, LoadingPolicy("producers", ALLOWED, 3, 60, 60))
    found = trusting.predict(f"{MODEL}/{version}", [ROW])
    assert found.rows[0].probabilities == strict.predict(MODEL, [ROW]).rows[0].probabilities
    assert found.state.mlflow_flavor
    assert "was loaded by MLflow, because serving.trust is producers" in found.as_json()["warnings"][-1]
    assert not trusting.explain(f"{MODEL}/{version}", [ROW]).sampled


def pickled(model: Any, folder: Path) -> Path:
    import mlflow.sklearn

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model, folder, serialization_format="cloudpickle", pip_requirements=[], input_example=rows()[0].head(3)
        )
    return folder


def test_any_python_function_of_producers(
    service: GovernanceService, registry: InMemoryRegistry, worker: Worker, tmp_path: Path
) -> None:
    """A flavor without probabilities: one number per row, explained by sampling, on columns from its signature."""
    import mlflow.pyfunc

    example = pd.DataFrame({"x": [1.0, 2.0, 5.0], "n": [1, 2, 9]})
    with warnings.catch_warnings(record=True):  # MLflow sets its own filter for its advice

        class Doubled(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return model_input["x"] * 2.0 + model_input["n"]

        Doubled.__module__ = "__main__"  # pickled by value
        mlflow.pyfunc.save_model(
            tmp_path / "doubled", python_model=Doubled(), pip_requirements=[], input_example=example
        )
    signature = {"inputs": [{"type": "double", "name": "x"}, {"type": "long", "name": "n"}]}
    version = registry.add_version(MODEL, files=content(tmp_path / "doubled"), signature=signature)

    trusting = Scorer(service, worker, LoadingPolicy("producers", ALLOWED, 3, 60, 60))
    found = trusting.predict(f"{MODEL}/{version}", [{"x": 4, "n": 3}])
    explained = trusting.explain(f"{MODEL}/{version}", [{"x": 4, "n": 3}])

    assert (found.rows[0].value, found.rows[0].probabilities) == (11.0, {})
    assert (explained.sampled, explained.adds_up, explained.documents[0]["scale"]) == (True, True, "value")
    assert explained.sentences()[0].startswith("x 4 raises the output by ")


# Models that plain MLflow registered


def test_regression(scorer: Scorer, registry: InMemoryRegistry, tmp_path: Path) -> None:
    """A number, no probabilities, columns from the signature."""
    inputs = rows()[0][["Age", "Weight"]]
    model = make_pipeline(StandardScaler(), LinearRegression()).fit(inputs, inputs["Weight"] * 2 + inputs["Age"])
    signature = {"inputs": [{"type": "double", "name": "Age"}, {"type": "double", "name": "Weight"}]}
    version = registry.add_version(MODEL, files=content(saved(model, tmp_path, inputs)), signature=signature)

    found = scorer.predict(f"{MODEL}/{version}", [{"Age": 30, "Weight": 80}])
    explained = scorer.explain(f"{MODEL}/{version}", [{"Age": 30, "Weight": 80}])

    assert found.rows[0].value == pytest.approx(190)
    assert found.as_json()["probabilities"] == {}
    assert explained.documents[0]["classes"] == ["output"]
    assert explained.adds_up


def test_two_classes_that_are_numbers(scorer: Scorer, registry: InMemoryRegistry, tmp_path: Path) -> None:
    """The prediction stays a number, probabilities are by its text."""
    inputs = rows()[0][["Age", "Weight"]]
    model = LogisticRegression(max_iter=1000).fit(inputs, (inputs["Weight"] > 90).astype(int))
    signature = {"inputs": [{"type": "double", "name": "Weight"}, {"type": "double", "name": "Age"}]}
    version = registry.add_version(MODEL, files=content(saved(model, tmp_path, inputs)), signature=signature)

    found = scorer.predict(f"{MODEL}/{version}", [{"Weight": 140, "Age": 30}])

    assert found.rows[0].value == 1
    assert list(found.rows[0].probabilities) == ["0", "1"]
    explained = scorer.explain(f"{MODEL}/{version}", [{"Weight": 140, "Age": 30}])
    assert (explained.top_class(), explained.adds_up) == ("1", True)


def saved(model: Any, folder: Path, example: Any) -> Path:
    import mlflow.sklearn

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.sklearn.save_model(
            model,
            folder / "saved",
            serialization_format="skops",
            skops_trusted_types=list(ALLOWED),
            pip_requirements=[],
            input_example=None if example is None else example.head(20),
        )
    return folder / "saved"


def test_without_signature_the_example_decides(
    scorer: Scorer, registry: InMemoryRegistry, clean: dict[str, Path]
) -> None:
    """Which columns there are, and whether each is text or a number."""
    version = registry.add_version(MODEL, files=content(clean["logistic_regression"]))
    target = scorer.targets.target(f"{MODEL}/{version}")
    assert target.schema
    assert target.schema.source == "input example"
    assert scorer.predict(target, [ROW]).rows[0].value == fitted("logistic_regression").predict(pd.DataFrame([ROW]))[0]
    with pytest.raises(InvalidRows, match="Age: 'x' is text, not a number"):
        scorer.predict(target, [{**ROW, "Age": "x"}])


def test_without_anything_but_names(scorer: Scorer, registry: InMemoryRegistry, tmp_path: Path) -> None:
    """Predicts; an explanation has nothing to compare with and says so."""
    inputs = rows()[0][["Age", "Weight"]]
    model = RandomForestRegressor(3, random_state=1).fit(inputs, inputs["Weight"])
    version = registry.add_version(MODEL, files=content(saved(model, tmp_path, None)))
    row = {"Age": 30, "Weight": 80}

    assert isinstance(scorer.predict(f"{MODEL}/{version}", [row]).rows[0].value, float)
    with pytest.raises(Refused, match="neither background rows nor an input example to explain against"):
        scorer.explain(f"{MODEL}/{version}", [row])


def test_a_model_that_names_no_columns(scorer: Scorer, registry: InMemoryRegistry, tmp_path: Path) -> None:
    """Cannot be asked."""
    model = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    version = registry.add_version(MODEL, files=content(saved(model, tmp_path, None)))
    with pytest.raises(Refused, match="does not say which columns it takes"):
        scorer.predict(f"{MODEL}/{version}", [{"x": 1}])


def test_several_targets_at_once(scorer: Scorer, registry: InMemoryRegistry, tmp_path: Path) -> None:
    """Are refused with a sentence."""
    inputs = rows()[0][["Age", "Weight"]]
    version = registry.add_version(
        MODEL, files=content(saved(LinearRegression().fit(inputs, inputs), tmp_path, inputs))
    )
    with pytest.raises(Refused, match="predicts several targets at once"):
        scorer.predict(f"{MODEL}/{version}", [{"Age": 30, "Weight": 80}])


# Explaining


def test_an_explanation_in_words(scorer: Scorer) -> None:
    """Of the class that is predicted, in the original columns with their units; a second opinion beside it."""
    found = scorer.explain(MODEL, [ROW])
    top, document = found.top_class(), found.documents[0]
    opinion = scorer.second_opinion(MODEL, found)

    assert top == scorer.predict(MODEL, [ROW]).rows[0].value
    assert set(document) == {"classes", "scale", "method", "sum_error", "base_values", "contributions", "output"}
    assert any(sentence.startswith("Weight 82.5 kg ") for sentence in found.sentences())
    assert (found.sampled, found.adds_up, found.fallback) == (False, True, "")
    assert set(opinion.weights) == set(ROW)
    assert 0 <= opinion.agreement <= 1


# Files of rows


def csv_rows(count: int = 5) -> str:
    frame = rows()[0].head(count)
    frame.insert(0, "id", [f"=row{number}" for number in range(count)])
    return frame.to_csv(index=False)


def test_a_file_is_scored_in_pieces(scorer: Scorer, tmp_path: Path) -> None:
    """The rows as they came, prediction, probabilities, version and digest; formulas in text are neutralised."""
    (tmp_path / "in.csv").write_text(csv_rows())
    seen: list[tuple[int, int, str]] = []
    done = score_file(
        scorer, MODEL, tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=2, report=lambda *each: seen.append(each)
    )
    out = pd.read_csv(tmp_path / "out.csv")
    model, frame = fitted("random_forest"), rows()[0].head(5)

    assert (done.rows, done.scored, done.bad, done.ignored, done.bad_file) == (5, 5, 0, ("id",), None)
    assert list(out.columns) == [
        "id", *frame.columns, "prediction", *(f"probability_{name}" for name in model.classes_),
        "model_version", "model_digest",
    ]  # fmt: skip
    assert out["prediction"].tolist() == model.predict(frame).tolist()
    assert np.array_equal(out[[f"probability_{name}" for name in model.classes_]], model.predict_proba(frame))
    assert out["id"].tolist() == [f"'=row{number}" for number in range(5)]
    assert (set(out["model_version"]), set(out["model_digest"])) == ({1}, {done.digest})
    assert [each[2].rpartition(",")[0] for each in seen] == ["2 rows, 0 bad", "4 rows, 0 bad", "5 rows, 0 bad"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


def test_bad_rows_go_to_a_side_file(scorer: Scorer, tmp_path: Path) -> None:
    """With line and reason, formulas neutralised there too; the others are scored. The next file takes its place."""
    lines = csv_rows().splitlines()
    lines[2] = "=cmd,30,500,Male,no"
    lines[3] += ",one more"
    (tmp_path / "in.csv").write_text("\n".join(lines))
    done = score_file(scorer, MODEL, tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=100)

    assert (done.rows, done.scored, done.bad) == (5, 3, 2)
    bad = (tmp_path / "out.csv.bad.csv").read_text().splitlines()
    assert bad[0] == "line,reason,id,Age,Weight,Gender,CAEC"
    assert bad[1] == '3,"row 3, Weight: 500 is above 260 kg (allowed 25 to 260)",\'=cmd,30,500,Male,no'
    assert bad[2].startswith('4,"row 4: has 6 fields, the header has 5",')
    (tmp_path / "in.csv").write_text(csv_rows())
    score_file(scorer, MODEL, tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=100)
    assert not (tmp_path / "out.csv.bad.csv").exists()


def test_parquet_keeps_its_types(scorer: Scorer, tmp_path: Path) -> None:
    """From CSV it gets them; back to CSV and within Parquet the same predictions come out."""
    (tmp_path / "in.csv").write_text(csv_rows())
    rows()[0].head(5).astype({"Age": "float32"}).to_parquet(tmp_path / "in.parquet")
    for source, target in (("in.csv", "a.parquet"), ("in.parquet", "b.parquet"), ("in.parquet", "b.csv")):
        score_file(scorer, f"{MODEL}/2", tmp_path / source, tmp_path / target, chunk_rows=2)
    typed, kept = (pq.read_table(tmp_path / name) for name in ("a.parquet", "b.parquet"))

    assert [str(typed.schema.field(name).type) for name in ("id", "Age", "Gender")] == ["string", "double", "string"]
    assert str(kept.schema.field("Age").type) == "float"
    assert typed.column("id").to_pylist()[0] == "=row0"
    predicted = [kept.column("prediction").to_pylist(), pd.read_csv(tmp_path / "b.csv")["prediction"].tolist()]
    assert predicted == [typed.column("prediction").to_pylist()] * 2


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Age,Wieght,Gender,CAEC\n1,2,3,4\n", "Weight: is missing; is it the column 'Wieght'?"),
        ("Age,Weight,Gender,CAEC,prediction\n", "prediction: the file has a column of this name already"),
        ("Age,Weight,Gender,CAEC\n", r"no row could be scored \(it has none\)"),
        ("Age,Weight,Gender,CAEC\n30,500,Male,no\n", "the first: row 2, Weight: 500 is above 260 kg"),
        ("Age;Weight;Gender;CAEC\n", "looks like ';' separates the columns"),
    ],
)
def test_files_that_cannot_be_scored(scorer: Scorer, tmp_path: Path, text: str, sentence: str) -> None:
    """One sentence, and no output."""
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(InvalidInput, match=sentence):
        score_file(scorer, MODEL, tmp_path / "in.csv", tmp_path / "out.csv", chunk_rows=10)
    assert not (tmp_path / "out.csv").exists()


def test_places_that_cannot_be_read_or_written(scorer: Scorer, tmp_path: Path) -> None:
    """Are told before anything is scored."""
    (tmp_path / "in.csv").write_text(csv_rows())
    for source, target, sentence in (
        ("gone.csv", "out.csv", "No such file"),
        ("in.csv", "out.xlsx", "must end in .csv, .csv.gz, .tsv, .tsv.gz or .parquet"),
        ("in.csv", "no/folder/out.csv", "needs a folder that exists"),
        ("in.csv", "in.csv", "a name other than the input's"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            score_file(scorer, MODEL, tmp_path / source, tmp_path / target, chunk_rows=10)


def test_an_upload(scorer: Scorer) -> None:
    """Two files back in memory; limits before anything is parsed."""
    limits: dict[str, Any] = {"most_bytes": 10_000, "most_rows": 5, "chunk_rows": 2}
    done = score_upload(scorer, MODEL, csv_rows().encode(), name="rows.csv", **limits)
    assert (done.result.scored, done.bad) == (5, b"")
    assert len(pd.read_csv(io.BytesIO(done.output))) == 5

    lines = csv_rows(2).splitlines()
    bad = score_upload(scorer, MODEL, f"{lines[0]}\n1,2,3,4,5\n".encode(), name="rows.csv", **limits)
    assert (bad.result.scored, bad.output) == (0, bad.output)
    assert b"Age: 2 is below 10 years" in bad.bad

    with pytest.raises(InvalidInput, match="has more than 5 rows"):
        score_upload(scorer, MODEL, csv_rows(6).encode(), name="rows.csv", **limits)
    with pytest.raises(InvalidInput, match=r"is larger than 0.0095\d* MB"):
        score_upload(scorer, MODEL, b"x" * 10_001, name="rows.csv", **limits)


# The command line on a real MLflow


@pytest.fixture(scope="module")
def filled(template: Path, tmp_path_factory: pytest.TempPathFactory, clean: dict[str, Path]) -> Path:
    """Two versions registered by plain MLflow, the first recorded as champion."""
    folder = tmp_path_factory.mktemp("served")
    uri = registries.copy_store(template, folder)
    filler = registries.Filler(uri)
    filler.add_model(MODEL)
    for name in ("random_forest", "logistic_regression"):
        schema = {"signoff/feature_schema.json": json.dumps(SCHEMA).encode()}
        filler.add_version(MODEL, files={**content(clean[name]), **schema})
    filler.client.set_registered_model_alias(MODEL, "champion", "1")
    return folder


@pytest.fixture
def verb(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a verb; gives exit code, standard output and standard error."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{filled / 'mlflow.db'}")
    monkeypatch.setenv("SIGNOFF_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("SIGNOFF_ACTOR", GRACE.subject)
    assert run(["reconcile", "--json"]) == 0
    capsys.readouterr()

    def call(*arguments: Any) -> tuple[int, str, str]:
        code = run([str(each) for each in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_predict_on_the_command_line(verb: Callable[..., tuple[int, str, str]]) -> None:
    """With the keys of the design; the champion by default."""
    code, output, error = verb("predict", MODEL, "--row", json.dumps(ROW), "--json")
    found = json.loads(output)
    assert (code, error) == (0, "")
    assert list(found) == ["model", "version", "digest", "prediction", "probabilities", "warnings"]
    assert (found["version"], found["warnings"]) == (1, [])
    assert found["prediction"] == fitted("random_forest").predict(pd.DataFrame([ROW]))[0]
    other = json.loads(verb("predict", f"{MODEL}/2", "--row", json.dumps(ROW), "--json")[1])
    assert (other["version"], len(other["warnings"])) == (2, 1)


def test_explain_on_the_command_line(verb: Callable[..., tuple[int, str, str]]) -> None:
    """With the keys of the design, in their order."""
    code, output, _ = verb("explain", MODEL, 1, "--row", json.dumps(ROW), "--json")
    found = json.loads(output)
    assert code == 0
    assert list(found) == ["classes", "scale", "method", "sum_error", "base_values", "contributions", "output"]
    assert all(set(columns) == set(ROW) for columns in found["contributions"].values())


def test_score_on_the_command_line(verb: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """A table for people, JSON for programs, exit code 2 where no row could be used."""
    (tmp_path / "in.csv").write_text(csv_rows())
    code, output, _ = verb("score", f"{MODEL}@champion", tmp_path / "in.csv", tmp_path / "out.csv")
    assert (code, "5 of 5 rows scored by version 1" in output) == (0, True)
    found = json.loads(verb("score", MODEL, tmp_path / "in.csv", tmp_path / "out.csv", "--json")[1])
    assert (found["scored"], found["bad"], found["ignored"], found["bad_rows"]) == (5, 0, ["id"], None)
    (tmp_path / "in.csv").write_text("Age,Weight,Gender,CAEC\n1,2,3,4\n")
    assert verb("score", MODEL, tmp_path / "in.csv", tmp_path / "out.csv")[0] == 2


def test_people_get_tables(verb: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """The most probable class first; sentences before numbers; warnings named as such."""
    predicted = verb("predict", f"{MODEL}/2", "--row", json.dumps({**ROW, "Weight": 200}))[1]
    explained = verb("explain", MODEL, 2, "--row", json.dumps(ROW))[1]
    (tmp_path / "in.csv").write_text(csv_rows().replace("Male", "Man", 1) + "x,30,200,Male,no\n")
    scored = verb("score", f"{MODEL}/2", tmp_path / "in.csv", tmp_path / "out.csv")[1]

    assert "Warning: Weight: 200 kg lies outside the training data" in predicted
    assert " kg raises " in explained or " kg lowers " in explained
    assert "Refused rows: 1, in " in scored
    assert "Rows with values outside the training data: 1" in scored


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["predict", MODEL, "--row", "{"], 2, "is not valid JSON"),
        (["predict", MODEL, "--row", json.dumps({**ROW, "Age": float("nan")})], 2, "Age: NaN is not a number"),
        (["predict", "nobody", "--row", "{}"], 5, "nobody"),
        (["explain", MODEL, "9", "--row", "{}"], 5, "version 9"),
        (["score", MODEL, "gone.csv", "out.csv"], 2, "gone.csv"),
    ],
)
def test_a_mistake_is_one_sentence(
    verb: Callable[..., tuple[int, str, str]], arguments: list[str], code: int, sentence: str
) -> None:
    """On standard error, with its exit code."""
    found, output, error = verb(*arguments)
    assert (found, output, error.count("\n")) == (code, "", 1)
    assert sentence in error


def test_every_problem_of_a_row_is_told(verb: Callable[..., tuple[int, str, str]]) -> None:
    """One sentence each, so that the row is corrected once."""
    code, _, error = verb("predict", MODEL, "--row", json.dumps({**ROW, "Age": None, "Gender": "Femal", "Shoe": 41}))

    assert code == 2
    assert error.splitlines() == [
        "InvalidRows: Shoe: is not a column of this model",
        "InvalidRows: Age: is missing (allowed 10 to 100)",
        "InvalidRows: Gender: 'Femal' is not allowed; did you mean 'Female'? (allowed Female, Male)",
    ]


def test_a_tampered_champion_is_an_integrity_failure(verb: Callable[..., tuple[int, str, str]], filled: Path) -> None:
    """Exit code 7, and nothing is predicted."""
    path = registries.Filler(f"sqlite:///{filled / 'mlflow.db'}").files_of(MODEL, 1) / "conda.yaml"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        code, output, error = verb("predict", MODEL, "--row", json.dumps(ROW))
    finally:
        path.write_bytes(before)
    assert (code, output) == (7, "")
    assert "the record says" in error


def test_trust_is_a_setting(
    verb: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With two values and no third."""
    settings = yaml.safe_load((ROOT / "params.yaml").read_text())
    settings["serving"]["trust"] = "everybody"
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("SIGNOFF_PARAMS", str(tmp_path / "params.yaml"))
    code, _, error = verb("predict", MODEL, "--row", json.dumps(ROW))
    assert (code, "serving.trust" in error) == (2, True)
