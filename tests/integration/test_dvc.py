"""The DVC pipeline in clean clones: real dvc, real git, a real remote, small candidates."""

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from pipeline.adapters.mlflow.store import initialise_store
from pipeline.cli import run
from pipeline.settings import ROOT
from support import registries
from support.clones import LINES, TREES, clone_project, command, commit, small_content, write_params
from support.soak import amount, only_in_soak

MODEL = "obesity_classifier"
OF_THE_MOMENT = {"model", "origin.json", "latency.json"}
ORDER = {Path("pipeline/training/train.py"), Path("pipeline/comparison/comparer.py")}  # the second: the desk is built
CANDIDATES = amount({"lines": LINES}, soak={"trees": TREES, "lines": LINES})  # three processes of the pipeline for each
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory, template) -> Path:
    """A clone after its first `dvc repro`, with dvc.lock committed; tests that change something take a copy."""
    folder = clone_project(tmp_path_factory.mktemp("clone"), small_content(CANDIDATES))
    dvc(folder, template, "repro")
    commit(folder, "What the pipeline gives")
    return folder


@pytest.fixture
def clone(reproduced, tmp_path) -> Path:
    return Path(shutil.copytree(reproduced, tmp_path / "clone", symlinks=True))


def dvc(folder: Path, template: Path, *arguments: str, **variables: str) -> str:
    """A dvc command in a clone, against a registry of the clone's own."""
    store = folder / "var" / "registry"
    uri = (
        f"sqlite:///{store / 'mlflow.db'}" if (store / "mlflow.db").exists() else registries.copy_store(template, store)
    )
    ledger = f"sqlite:///{store / 'ledger.db'}"
    return command(folder, "dvc", *arguments, MLFLOW_TRACKING_URI=uri, SIGNOFF_LEDGER_URL=ledger, **variables)


def ran(said: str) -> list[str]:
    """The stages that a `dvc repro` has run."""
    return [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]


def receipt(folder: Path, name: str) -> dict:
    return json.loads((folder / "var" / "repro" / name / "receipt.json").read_text())


def lock(folder: Path) -> dict[str, dict[str, str]]:
    """Per stage the digest of each file that it writes, by name."""
    stages = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
    return {name: {Path(out["path"]).name: out["md5"] for out in stage["outs"]} for name, stage in stages.items()}


def test_every_candidate_is_registered_from_the_clone(reproduced):
    """The clone's own code made one version per candidate in the clone's registry, and the tree counts as clean."""
    client = initialise_store(f"sqlite:///{reproduced / 'var' / 'registry' / 'mlflow.db'}")
    head = command(reproduced, "git", "rev-parse", "HEAD~1").strip()

    for name in CANDIDATES:
        version = client.get_model_version(MODEL, str(receipt(reproduced, name)["version"]))
        assert (version.tags["model_type"], version.tags["git_commit"]) == (name, head)
        assert json.loads((reproduced / "var" / "repro" / name / "origin.json").read_text())["git"]["dirty"] is False


def test_a_second_run_does_nothing(reproduced, template):
    """No stage runs, and nothing is left to do."""
    assert ran(dvc(reproduced, template, "repro")) == []
    assert json.loads(dvc(reproduced, template, "status", "--json")) == {}
    assert command(reproduced, "git", "status", "--porcelain") == ""


@only_in_soak
def test_a_changed_candidate_reruns_only_itself(clone, template):
    """Its three stages run, DVC shows both values of a metric, and a version more is registered."""
    content = small_content(CANDIDATES)
    content["candidates"]["trees"]["parameters"]["max_depth"] = 3
    write_params(clone / "params.yaml", content)
    before = receipt(clone, "trees")

    assert ran(dvc(clone, template, "repro")) == ["train@trees", "evaluate@trees", "register@trees"]
    differences = json.loads(dvc(clone, template, "metrics", "diff", "--json"))
    accuracy = differences["var/repro/trees/metrics.json"]["accuracy.value"]
    assert (list(differences), accuracy["diff"] < 0) == (["var/repro/trees/metrics.json"], True)
    assert accuracy["old"] > accuracy["new"]
    assert {before["version"], receipt(clone, "lines")["version"], receipt(clone, "trees")["version"]} == {1, 2, 3}


@only_in_soak
def test_what_gives_the_same_runs_nothing_that_follows(clone, template):
    """A model fitted again has other bytes and the same fingerprint; other settings of the evaluation fit nothing."""
    before = lock(clone)["train@lines"]
    dvc(clone, template, "repro", "--force", "--single-item", "train@lines")
    after = lock(clone)["train@lines"]

    assert before["model"] != after["model"]
    assert before["fit.json"] == after["fit.json"]
    assert ran(dvc(clone, template, "repro")) == []

    content = small_content(CANDIDATES)
    content["evaluation"]["bootstrap_samples"] = 150
    write_params(clone / "params.yaml", content)
    assert ran(dvc(clone, template, "repro", "evaluate@lines")) == ["evaluate@lines"]


@only_in_soak
def test_two_clones_give_the_same_bytes(reproduced, template, tmp_path):
    """Other threads, another hash seed: metrics, predictions, explanations and fingerprints are equal to the bit."""
    other = clone_project(tmp_path / "other", small_content(CANDIDATES))

    dvc(other, template, "repro", "evaluate", OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", PYTHONHASHSEED="7")

    first, second = lock(reproduced), lock(other)
    assert set(second) == {"data", "train@trees", "train@lines", "evaluate@trees", "evaluate@lines"}
    for stage, files in second.items():
        assert {name for name in files if files[name] != first[stage][name]} <= OF_THE_MOMENT


@only_in_soak
def test_a_remote_gives_everything_back(clone, template, tmp_path):
    """After a push nothing is left to do where cache and files were lost; another clone has only to register."""
    dvc(clone, template, "remote", "add", "--default", "shelf", str(tmp_path / "shelf"))
    dvc(clone, template, "push")
    commit(clone, "A remote")
    shutil.rmtree(clone / "var" / "dvc" / "cache")
    work = clone / "var" / "repro"
    for path in [*work.glob("*.parquet"), *work.glob("*.json"), *work.glob("*/*")]:
        if path.name != "receipt.json":  # it is about the registry, which is still there
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    dvc(clone, template, "pull")

    assert json.loads(dvc(clone, template, "status", "--json")) == {}
    assert ran(dvc(clone, template, "repro")) == []

    fresh = tmp_path / "fresh"
    command(tmp_path, "git", "clone", "--quiet", str(clone), str(fresh))
    dvc(fresh, template, "pull", "--allow-missing")

    assert ran(dvc(fresh, template, "repro", "register@trees")) == ["register@trees"]
    assert receipt(fresh, "trees")["fingerprint"] == receipt(clone, "trees")["fingerprint"]


def test_plots_are_drawn(reproduced, template):
    """Confusion and calibration of each candidate, in one page under var/."""
    dvc(reproduced, template, "plots", "show")
    page = (reproduced / "var" / "dvc" / "plots" / "index.html").read_text()

    for name in CANDIDATES:
        assert f"{name}, true by predicted class" in page
        assert f"{name}, calibration" in page


@contextmanager
def functions_called() -> Iterator[set[str]]:
    """The files of the project whose functions are called in the block."""
    found: set[str] = set()

    def note(frame, _event, _argument):
        found.add(frame.f_code.co_filename)

    before = sys.gettrace()
    sys.settrace(note)
    try:
        yield found
    finally:
        sys.settrace(before)


def test_each_stage_declares_the_code_that_it_runs(tmp_path, template, monkeypatch):
    """No more and no less of what trains, explains and measures, but for what orders the steps and locks folders."""
    importlib.import_module("pipeline.training.train")  # so that no class body counts as code that ran
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registries.copy_store(template, tmp_path))
    monkeypatch.setenv("SIGNOFF_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    params = write_params(tmp_path / "params.yaml", small_content())
    found: dict[str, set[Path]] = {}
    for step in STAGES:
        with functions_called() as files:
            where = ["--folder", str(tmp_path / "work"), "--params", str(params)]
            assert run(["train", "--step", step, *where, "--json"]) == 0
        found[step] = {Path(file).relative_to(ROOT) for file in files if file.startswith(str(ROOT / "pipeline"))}

    for step, used_files in found.items():
        stage = STAGES[step].get("do", STAGES[step])
        declared = {Path(dep) for dep in stage["deps"] if dep.startswith("pipeline/")}
        used = {Path("pipeline/explanation") if "explanation" in file.parts else file for file in used_files}
        assert {
            file for file in used if file.parts[1] in {"training", "explanation", "comparison", "monitoring"}
        } - ORDER == declared, step
