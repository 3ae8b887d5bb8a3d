"""Training that registers, seen with a plain MLflow client on a SQLite store."""

import hashlib
import json
import math
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.adapters.mlflow.environment import process_address
from pipeline.adapters.mlflow.publisher import MlflowPublisher
from pipeline.bootstrap import publisher as publisher_of
from pipeline.cli import training as command_line
from pipeline.explanation.result import from_npz
from pipeline.governance.actor import Actor, Established
from pipeline.governance.errors import Blocked, InvalidInput, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.monitoring.profile import parse_profile
from pipeline.settings import ROOT, Settings, read_settings
from pipeline.training import train as training
from pipeline.training.data import rows_fingerprint
from pipeline.training.register import Publisher, Registered
from pipeline.training.train import Step, evaluate, fit, prepare
from support.small_desk import small_params
from support.soak import only_in_soak

MODEL = "obesity_classifier"
CANDIDATES = {
    "logistic_regression": {"estimator": "logistic_regression", "parameters": {"max_iter": 2000}},
    "forest": {"estimator": "random_forest", "parameters": {"n_estimators": 20, "max_depth": 8, "random_state": 1}},
    "boosting": {"estimator": "hist_gradient_boosting", "body_mass_index": True, "parameters": {"max_iter": 10}},
}
REAL_DATA = ROOT.parent / "shared" / "data" / "obesity.csv"


def small_settings(folder: Path, *, names: tuple[str, ...] = tuple(CANDIDATES)) -> Settings:
    """The project's settings with small candidates, from a file, so that other processes read the same."""
    content = small_params({name: CANDIDATES[name] for name in names}, rows=600)
    content["evaluation"] |= {"bootstrap_samples": 200, "cross_validation_folds": 3}
    params = folder / "params.yaml"
    params.write_text(yaml.safe_dump(content, sort_keys=False))
    return read_settings(params, environ={"MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"})


def train(settings: Settings, *, publisher: Publisher | None = None, **options) -> list[Registered]:
    """Into the registry of the settings, unless another publisher is given."""
    return training.train(settings, publisher=publisher or publisher_of(settings), **options)


@dataclass
class FakeDesk:
    """Blocks the first version and accepts every other."""

    asked: list[tuple] = field(default_factory=list)
    registered: list[tuple] = field(default_factory=list)

    def record_registration(self, model: str, version: int, actor: Actor) -> object:
        self.registered.append((model, version, actor.subject))
        return None

    def promote(self, model: str, version: int, stage: Stage, *, reason: str, actor: Actor) -> object:
        self.asked.append((model, version, stage, actor))
        assert len(reason) >= 10
        if version == 1:
            raise Blocked("accuracy 0.70 is below 0.85")
        return object()

    def unasked(self, model: str, version: int, actor: Actor) -> bool:
        return (model, version, Stage.STAGING, actor) not in self.asked


@dataclass
class Trained:
    folder: Path
    settings: Settings
    desk: FakeDesk
    registered: list
    steps: list
    client: MlflowClient
    started_in: Path  # the current folder while it trained, which was empty

    def version(self, number: int):
        return self.client.get_model_version(MODEL, str(number))

    def files(self, number: int) -> Path:
        model_id = self.version(number).source.removeprefix("models:/")
        return self.folder / "artifacts" / "models" / model_id / "artifacts"

    def document(self, number: int, name: str) -> dict:
        return json.loads((self.files(number) / "signoff" / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    settings, desk, steps = small_settings(folder), FakeDesk(), []
    with pytest.MonkeyPatch.context() as current:
        current.chdir(tmp_path_factory.mktemp("elsewhere"))
        started_in = Path.cwd()
        registered = train(
            settings,
            folder=folder / "work",
            desk=desk,
            progress=lambda done, total, text: steps.append((done, total, text)),
        )
    uri = settings.environment.tracking_uri
    return Trained(folder, settings, desk, registered, steps, MlflowClient(uri, uri), started_in)


class TestRegistered:
    def test_each_candidate_is_a_version(self, trained):
        """Training gives one new version per candidate, in the order of the settings."""
        found = [(each.model, each.version, each.candidate, each.new) for each in trained.registered]

        assert found == [
            (MODEL, 1, "logistic_regression", True),
            (MODEL, 2, "forest", True),
            (MODEL, 3, "boosting", True),
        ]

    def test_the_explanation_adds_up_and_names_its_rows(self, trained):
        """Summary and values lie inside the model, and the contributions sum to the model's own output."""
        summary = trained.document(3, "explanation")
        values = from_npz((trained.files(3) / "signoff" / "explanation.npz").read_bytes())

        assert summary["sum_error"] <= summary["tolerance"]
        assert summary["n"] == len(summary["rows"]) == len(values)
        assert {each["column"] for each in summary["importance"]} == set(trained.settings.schema_.columns)

    def test_progress_is_told(self, trained):
        """Progress counts up to its total and names candidate and step."""
        assert trained.steps[0] == (0, 13, "prepare")
        assert trained.steps[5] == (5, 13, "forest: fit")
        assert trained.steps[-1] == (13, 13, "done")

    def test_the_desk_is_asked_for_staging(self, trained):
        """Each new version asks for Staging as the program `pipeline`, and a refusal is a note."""
        actor = Actor("pipeline", Established.PROGRAM)

        assert trained.desk.asked == [(MODEL, number, Stage.STAGING, actor) for number in (1, 2, 3)]
        assert [each.note for each in trained.registered] == ["accuracy 0.70 is below 0.85", "", ""]

    def test_training_moves_nothing_itself(self, trained):
        """Without the desk's doing there is no alias and no stage."""
        assert trained.client.get_registered_model(MODEL).aliases == {}
        assert {trained.version(number).current_stage for number in (1, 2, 3)} == {"None"}

    def test_version_points_to_run_and_logged_model(self, trained):
        """A version has its run, its logged model as source, and both are finished."""
        version = trained.version(2)
        logged = trained.client.get_logged_model(version.source.removeprefix("models:/"))

        assert trained.client.get_run(version.run_id).info.status == "FINISHED"
        assert logged.status == "READY"
        assert logged.source_run_id == version.run_id

    def test_version_tags(self, trained):
        """The tags name producer, candidate, data, commit and key."""
        tags = trained.version(3).tags

        assert tags["produced_by"] == "signoff"
        assert tags["owner"] == trained.settings.environment.person
        assert tags["model_type"] == "boosting"
        assert tags["n_features"] == "16"
        assert tags["validation_status"] == "pending"
        assert tags["data_source"] == "generated sample data"
        assert tags["training_date"].endswith("+00:00")
        assert {"dataset_size", "git_commit", "training_key"} <= set(tags)

    def test_the_card_s_words_are_tags(self, trained):
        """Intended use and limits, as params.yaml says them."""
        registry, tags = trained.settings.registry, trained.version(3).tags

        assert (tags["intended_use"], tags["limitations"]) == (registry.intended_use, registry.limitations)

    def test_description_is_one_sentence(self, trained):
        """The description has recipe, data, accuracy with its interval, and n."""
        description = trained.version(2).description

        assert description.startswith("forest trained on 4")
        assert " rows of generated sample data: accuracy 0." in description
        assert "held-out rows (95% interval 0." in description

    @pytest.mark.parametrize("number", [1, 2, 3])
    def test_run_and_logged_model_have_the_metrics(self, trained, number):
        """Every metric of the evaluation is on the run and on the logged model, with its bounds."""
        version = trained.version(number)
        metrics = trained.client.get_run(version.run_id).data.metrics
        logged = trained.client.get_logged_model(version.source.removeprefix("models:/"))
        evaluation = trained.document(number, "evaluation")

        for name, entry in evaluation["metrics"].items():
            found = [metrics[name], metrics[f"{name}_low"], metrics[f"{name}_high"]]
            assert found == [entry["value"], entry["low"], entry["high"]]
        assert {"cv_accuracy_mean", "cv_accuracy_std", "baseline_accuracy", "latency_ms_median"} <= set(metrics)
        assert {metric.key: metric.value for metric in logged.metrics} == metrics

    def test_run_has_the_parameters(self, trained):
        """Recipe, split, seeds and data are parameters of the run and of the logged model."""
        version = trained.version(2)
        params = trained.client.get_run(version.run_id).data.params
        logged = trained.client.get_logged_model(version.source.removeprefix("models:/"))

        assert params["candidate"] == "forest"
        assert params["estimator"] == "random_forest"
        assert params["n_estimators"] == "20"
        assert params["split_seed"] == "52"
        assert params["data_sha256"] == trained.document(2, "lineage")["data"]["sha256"]
        assert logged.params == params

    def test_nothing_lands_in_the_current_folder(self, trained):
        """Artifacts lie beside the database, not in the folder of whoever started the training."""
        experiment = trained.client.get_experiment_by_name("signoff")

        assert experiment.artifact_location == (trained.folder / "artifacts").as_uri()
        assert list(trained.started_in.iterdir()) == []


class TestFiles:
    def test_model_folder_has_our_files(self, trained):
        """Beside MLflow's files the folder holds ours, under signoff/."""
        names = {
            path.relative_to(trained.files(2)).as_posix() for path in trained.files(2).rglob("*") if path.is_file()
        }

        assert {"MLmodel", "model.skops", "requirements.txt", "input_example.json"} <= names
        assert {f"signoff/{name}.json" for name in ("evaluation", "feature_schema", "data_report", "lineage")} <= names
        assert parse_profile(json.loads((trained.files(2) / "signoff" / "profile.json").read_text())).rows > 0
        assert {"signoff/evaluation_rows.parquet", "signoff/background.parquet"} <= names

    def test_mlmodel_names_run_model_and_only_needed_types(self, trained):
        """MLmodel knows its run and model, is skops in both flavors, and trusts what this model needs."""
        description = yaml.safe_load((trained.files(2) / "MLmodel").read_text())
        flavors = description["flavors"]

        assert description["run_id"] == trained.version(2).run_id
        assert f"models:/{description['model_id']}" == trained.version(2).source
        assert flavors["sklearn"]["serialization_format"] == "skops"
        assert flavors["sklearn"]["skops_trusted_types"] == ["sklearn.tree._tree.Tree"]
        assert flavors["sklearn"]["pickled_model"] == flavors["python_function"]["model_path"] == "model.skops"
        assert flavors["python_function"]["predict_fn"] == "predict"
        assert '"type": "double", "name": "Age"' in description["signature"]["inputs"].replace("\n", " ")

    def test_requirements_are_exact(self, trained):
        """The five packages are pinned to the versions that made the model."""
        lines = (trained.files(2) / "requirements.txt").read_text().split()

        assert sorted(line.split("==")[0] for line in lines) == ["mlflow", "numpy", "pandas", "scikit-learn", "skops"]

    def test_evaluation_rows_belong_to_the_evaluation(self, trained):
        """The stored rows give the stored accuracy and fingerprint."""
        rows = pd.read_parquet(trained.files(2) / "signoff" / "evaluation_rows.parquet")
        evaluation = trained.document(2, "evaluation")
        inputs = list(trained.settings.schema_.columns)

        assert (rows["actual"] == rows["predicted"]).mean() == evaluation["metrics"]["accuracy"]["value"]
        assert rows_fingerprint(rows[[*inputs, "actual"]]) == evaluation["rows_fingerprint"]
        assert len(rows) == evaluation["n"] == 180

    def test_all_versions_were_evaluated_on_the_same_rows(self, trained):
        """Versions of one training can be compared row by row."""
        assert len({trained.document(number, "evaluation")["rows_fingerprint"] for number in (1, 2, 3)}) == 1

    def test_background_has_fifty_training_inputs(self, trained):
        """The background is inputs only, fifty rows."""
        background = pd.read_parquet(trained.files(2) / "signoff" / "background.parquet")

        assert background.shape == (50, 16)

    def test_lineage(self, trained):
        """Lineage has data, split, candidate, code, environment and the fingerprint of what was learned."""
        document = trained.document(3, "lineage")

        assert document["data"]["rows"] == 600
        assert document["split"] == {"test_share": 0.3, "seed": 52, "train_rows": 420, "test_rows": 180}
        assert document["candidate"]["body_mass_index"] is True
        assert document["candidate"]["parameters"] == {"random_state": 52, "max_iter": 10}
        assert set(document["git"]) == {"commit", "dirty", "changed"}
        assert len(document["fingerprint"]) == 64

    def test_the_environment_is_captured(self, trained):
        """Every pinned package, the digest of the pins, processor, libraries and threads; no folder and no host."""
        environment = trained.document(3, "lineage")["environment"]
        lock = (ROOT / "requirements.txt").read_bytes()

        assert environment["python"] == platform.python_version()
        assert environment["lock_sha256"] == hashlib.sha256(lock).hexdigest()
        assert len(environment["packages"]) > 50
        assert environment["packages"]["shap"] == installed_version("shap")
        assert environment["processor"]["features"]
        assert environment["processor"]["blas"].startswith("scipy-openblas ")
        assert set(environment["libraries"]) >= {"libscipy_openblas", "libgomp"}
        assert set(environment["threads"]) >= {"OMP_NUM_THREADS", "libscipy_openblas", "libgomp"}
        assert str(ROOT) not in json.dumps(environment)
        assert not re.search(rf"\b{re.escape(platform.node())}\b", json.dumps(environment))

    def test_the_settings_are_kept_as_a_document(self, trained):
        """What params.yaml said for this candidate, and for no other."""
        document = trained.document(2, "training_settings")

        assert set(document) == {"data", "schema", "split", "candidates", "evaluation"}
        assert document["data"] == {"source": "sample", "sample_rows": 600, "sample_seed": 544}
        assert set(document["candidates"]) == {"forest"}
        assert document["evaluation"]["bootstrap_samples"] == 200

    def test_feature_schema_and_report(self, trained):
        """The feature schema has every input column; the report says what was dropped."""
        assert list(trained.document(2, "feature_schema")["columns"]) == list(trained.settings.schema_.columns)
        assert set(trained.document(2, "data_report")["dropped"]) == {"missing_target", "unknown_target", "duplicates"}

    def test_no_document_holds_nan(self, trained):
        """Every number of the evaluation is finite."""
        metrics = trained.document(1, "evaluation")["metrics"]

        assert all(math.isfinite(number) for entry in metrics.values() for number in (entry["low"], entry["high"]))


BARE = """
import sys
sys.modules["pipeline"] = None  # as if it were not installed
import mlflow, pandas
model = mlflow.pyfunc.load_model("models:/obesity_classifier@champion")
rows = pandas.read_parquet(sys.argv[1])
inputs = rows[model.metadata.get_input_schema().input_names()]
assert list(model.predict(inputs)) == list(rows["predicted"])
print(model.predict(inputs.head(1).assign(MTRANS="Rocket"))[0])
assert not [name for name in sys.modules if name.startswith("pipeline.")]
"""


def run_python(code: str, *arguments: str, cwd: Path, **variables: str) -> subprocess.Popen:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "MLFLOW_DISABLE_TELEMETRY": "true", **variables}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def output(process: subprocess.Popen) -> str:
    out, err = process.communicate(timeout=480)
    assert process.returncode == 0, err[-2000:]
    return out.strip()


def test_the_command_line_knows_every_step():
    """It names them itself, because the training's imports take seconds."""
    assert get_args(command_line.Step) == get_args(Step)


def test_champion_loads_without_this_project(trained, tmp_path):
    """Plain MLflow loads the champion, predicts the stored predictions, and survives an unknown category."""
    trained.client.set_registered_model_alias(MODEL, "champion", "3")
    rows = trained.files(3) / "signoff" / "evaluation_rows.parquet"
    uri = trained.settings.environment.tracking_uri

    said = output(run_python(BARE, str(rows), cwd=tmp_path, MLFLOW_TRACKING_URI=uri, PYTHONPATH=""))

    trained.client.delete_registered_model_alias(MODEL, "champion")
    assert said in trained.settings.schema_.target.classes


class TestAgain:
    def test_training_again_registers_nothing(self, trained):
        """The same data and settings find the versions that are there, without a fit and without asking the desk."""
        steps = []
        again = train(
            trained.settings, folder=trained.folder / "again", desk=trained.desk,
            progress=lambda done, total, text: steps.append(text),
        )  # fmt: skip

        assert [(each.version, each.new) for each in again] == [(1, False), (2, False), (3, False)]
        assert steps == ["prepare", "done"]
        assert len(trained.desk.asked) == 3

    def test_a_training_that_was_killed_before_it_asked_asks_the_next_time(self, trained):
        """The version is there, nobody has decided about it: it is not left in None for ever."""
        killed = FakeDesk(asked=trained.desk.asked[:2])
        again = train(trained.settings, folder=trained.folder / "again", desk=killed)

        assert [(each.version, each.new) for each in again] == [(1, False), (2, False), (3, False)]
        assert [version for _, version, _, _ in killed.asked] == [1, 2, 3]

    def test_register_again_gives_the_version_that_is_there(self, trained):
        """Also the last step alone is idempotent."""
        (again,) = train(trained.settings, folder=trained.folder / "work", step="register", names=["forest"])

        assert (again.version, again.new) == (2, False)

    def test_other_settings_need_another_fit(self, trained):
        """A fit of other settings is not evaluated or registered under the new ones."""
        changed = trained.settings.model_copy(update={"split": trained.settings.split.model_copy(update={"seed": 1})})

        with pytest.raises(InvalidInput, match="was fitted with other data or settings; fit again"):
            train(changed, folder=trained.folder / "work", step="register", names=["forest"])

    def test_steps_come_in_order(self, trained, tmp_path):
        """A step without the files of the step before says so."""
        with pytest.raises(InvalidInput, match=r"data\.json: is missing; run the training steps in order"):
            fit(trained.settings, "forest", folder=tmp_path)

    def test_evaluation_from_the_saved_model_is_the_same(self, trained):
        """Evaluating the saved model gives the metrics that the fitted one gave."""
        again = evaluate(trained.settings, "forest", folder=trained.folder / "work")

        assert again["metrics"] == trained.document(2, "evaluation")["metrics"]

    def test_a_version_without_files_is_made_again(self, trained):
        """A version whose files are gone does not count as registered."""
        settings = other_model(trained, "files_lost")
        first = train(settings, folder=trained.folder / "lost", names=["logistic_regression"])[0]
        source = trained.client.get_model_version("files_lost", str(first.version)).source
        shutil.rmtree(trained.folder / "artifacts" / "models" / source.removeprefix("models:/"))

        again = train(settings, folder=trained.folder / "lost", names=["logistic_regression"])[0]

        assert (again.version, again.new) == (2, True)


def other_model(trained: Trained, name: str) -> Settings:
    registry = trained.settings.registry.model_copy(update={"model_name": name})
    return trained.settings.model_copy(update={"registry": registry})


class Broken(MlflowClient):
    def create_model_version(self, *_args, **_options):
        raise MlflowException("the connection was lost\nTraceback")


class Full(MlflowClient):
    def log_model_artifacts(self, *_args, **_options):
        raise OSError(28, "No space left on device")


class PublisherOver(MlflowPublisher):
    """On a client that fails at one call."""

    def __init__(self, settings: Settings, client: type[MlflowClient]) -> None:
        super().__init__(settings.environment.tracking_uri, experiment=settings.registry.experiment)
        self._client = client

    def _open(self) -> MlflowClient:
        return self._client(self._uri, self._uri)


class TestFailures:
    def test_failure_between_logging_and_registration_leaves_no_version(self, trained):
        """When the last call fails there is no version, the error says why, and the next training makes one."""
        settings = other_model(trained, "broken")
        broken = PublisherOver(settings, Broken)
        with pytest.raises(Unavailable, match=r"^the registry does not do it: the connection was lost$"):
            train(settings, folder=trained.folder / "broken", names=["logistic_regression"], publisher=broken)

        assert trained.client.search_model_versions("name = 'broken'") == []
        assert train(settings, folder=trained.folder / "broken", names=["logistic_regression"])[0].version == 1

    def test_failure_while_logging_fails_the_run(self, trained):
        """When the files cannot be stored, run and logged model are marked as failed and there is no version."""
        settings = other_model(trained, "full")
        full = PublisherOver(settings, Full)
        with pytest.raises(Unavailable, match="No space left on device"):
            train(settings, folder=trained.folder / "full", names=["logistic_regression"], publisher=full)

        experiment = trained.client.get_experiment_by_name("signoff").experiment_id
        assert trained.client.search_runs([experiment])[0].info.status == "FAILED"
        assert trained.client.search_logged_models([experiment])[0].status == "FAILED"
        assert trained.client.search_model_versions("name = 'full'") == []

    def test_types_outside_the_list_are_refused_at_training(self, trained, tmp_path):
        """A model that nobody could load is refused with the type that it needs."""
        serving = trained.settings.serving.model_copy(update={"allowed_types": ["numpy.dtype"]})
        settings = trained.settings.model_copy(update={"serving": serving})
        prepare(settings, folder=tmp_path)

        with pytest.raises(InvalidInput, match=r"outside serving\.allowed_types: sklearn\.tree\._tree\.Tree"):
            fit(settings, "forest", folder=tmp_path)

    def test_a_deleted_experiment_is_refused(self, trained):
        """Registering into a deleted experiment is one sentence."""
        uri = trained.settings.environment.tracking_uri
        client = MlflowClient(uri, uri)
        client.delete_experiment(client.create_experiment("gone"))
        registry = trained.settings.registry.model_copy(update={"model_name": "gone", "experiment": "gone"})
        settings = trained.settings.model_copy(update={"registry": registry})

        with pytest.raises(InvalidInput, match="experiment: 'gone' was deleted; restore it or name another"):
            train(settings, folder=trained.folder / "gone", names=["logistic_regression"])

    def test_wrong_names_are_refused_before_anything_is_read(self, trained, tmp_path):
        """An unknown candidate is refused at once."""
        with pytest.raises(InvalidInput, match="candidate 'forrest'"):
            train(trained.settings, folder=tmp_path / "work", names=["forrest"])

        assert not (tmp_path / "work").exists()


def test_process_address_is_put_back(trained):
    """What MLflow keeps for the whole process is as before afterwards."""
    before = dict(os.environ)

    with process_address("sqlite:////nowhere.db"):
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"

    assert dict(os.environ) == before


def test_a_server_that_does_not_answer_is_asked_once():
    """MLflow itself would ask for four minutes; the address, which may hold a password, is not repeated."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = server.getsockname()[1]
        asked: list[Any] = []
        hang_up = threading.Thread(target=lambda: asked.append(server.accept()[0].close()), daemon=True)  # type: ignore[func-returns-value]
        hang_up.start()
        with pytest.raises(Unavailable) as caught:
            MlflowPublisher(f"http://someone:secret@127.0.0.1:{port}", experiment="e").find("m", "key")
        hang_up.join()
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()

    assert str(caught.value) == "The registry does not answer."


AT_ONCE = """
import sys
from pathlib import Path
from pipeline.settings import read_settings
from pipeline.bootstrap import publisher
from pipeline.training.train import train
settings = read_settings(Path(sys.argv[1]))
registered = train(settings, folder=Path(sys.argv[2]), publisher=publisher(settings), names=sys.argv[3:])
print([each.version for each in registered])
"""


def test_two_processes_at_once_on_an_empty_folder(tmp_path):
    """Two first starts at the same time share one store and register each candidate once."""
    small_settings(tmp_path)
    uri = f"sqlite:///{tmp_path / 'var' / 'mlflow.db'}"
    names = (["logistic_regression"], ["logistic_regression", "forest"])
    processes = [
        run_python(
            AT_ONCE, str(tmp_path / "params.yaml"), str(tmp_path / f"work{index}"), *chosen,
            cwd=tmp_path, MLFLOW_TRACKING_URI=uri, PYTHONPATH=str(ROOT),
        )
        for index, chosen in enumerate(names)
    ]  # fmt: skip

    first, second = (json.loads(output(process)) for process in processes)

    versions = MlflowClient(uri, uri).search_model_versions(f"name = '{MODEL}'")
    assert first[0] == second[0]
    assert sorted(second) == sorted(int(version.version) for version in versions) == [1, 2]


REPEAT = """
import hashlib, json, sys
from pathlib import Path
from pipeline.settings import read_settings
from pipeline.training.train import evaluate, fit, prepare
settings, folder = read_settings(Path(sys.argv[1])), Path(sys.argv[2])
prepare(settings, folder=folder)
for name in settings.candidates:
    document = evaluate(settings, name, folder=folder, model=fit(settings, name, folder=folder))
    rows = (folder / name / "evaluation_rows.parquet").read_bytes()
    print(name, hashlib.sha256(rows).hexdigest(), json.dumps(document))
"""


@only_in_soak  # `test_reproduce` rebuilds a version, to the same bytes
def test_training_is_repeatable_over_processes(tmp_path):
    """Threads and hash seed change neither fingerprint nor metrics nor the last bit of a probability."""
    small_settings(tmp_path)
    processes = [
        run_python(
            REPEAT, str(tmp_path / "params.yaml"), str(tmp_path / f"work{number}"),
            cwd=tmp_path, OMP_NUM_THREADS=number, PYTHONHASHSEED=number, PYTHONPATH=str(ROOT),
        )
        for number in ("1", "2")
    ]  # fmt: skip

    first, second = (output(process).splitlines() for process in processes)

    assert len(first) == 3
    assert first == second


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.exists(), reason="The real data set is not beside the project.")
@pytest.mark.parametrize(
    ("name", "low", "high"), [("random_forest", 0.92, 0.945), ("hist_gradient_boosting", 0.98, 1.0)]
)
def test_real_data_accuracy(tmp_path, name, low, high):
    """On the real set the recipes of the settings reach the accuracy that is known for them."""
    settings = read_settings(environ={})
    folds = settings.evaluation.model_copy(update={"cross_validation_folds": 2})
    settings = settings.model_copy(update={"evaluation": folds})
    prepare(settings, folder=tmp_path, data=REAL_DATA)

    document = evaluate(settings, name, folder=tmp_path, model=fit(settings, name, folder=tmp_path))

    assert document["n"] == 627
    assert low <= document["metrics"]["accuracy"]["value"] <= high
