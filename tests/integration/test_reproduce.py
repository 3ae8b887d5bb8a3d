"""`signoff reproduce` in a clean clone: rebuilt versions, what differs, and what is refused."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline.training.data import generate_sample
from pipeline.validation.folder import digests
from support import registries
from support.clones import attempt, clone_project, command, commit, small_content, write_params
from support.soak import only_in_soak

MODEL, OTHER = "obesity_classifier", "other_settings"
IN_TURN = """
import contextlib, io, json, os, sys
from pipeline.cli import run
for environment, arguments in json.load(sys.stdin):
    os.environ.update(environment)
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        code = run(arguments)
    print(json.dumps([code, said.getvalue()]))
"""


@dataclass(frozen=True)
class Desk:
    """A clone with a registry and a ledger beside it. Versions of MODEL: 1 sample, 2 Parquet; of OTHER: 1, from CSV."""

    clone: Path
    store: Path
    commit: str

    def run(self, *arguments: Any) -> tuple[int, Any, str]:
        """Exit code, parsed output or None, standard error."""
        said = [str(each) for each in arguments]
        done = attempt(self.clone, "python", "-m", "pipeline", *said, "--json", **self.environment)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    @property
    def environment(self) -> dict[str, str]:
        return {
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.store / 'mlflow.db'}",
            "SIGNOFF_LEDGER_URL": f"sqlite:///{self.store / 'ledger.db'}",
        }

    def files(self, model: str, version: int) -> Path:
        client = MlflowClient(f"sqlite:///{self.store / 'mlflow.db'}", f"sqlite:///{self.store / 'mlflow.db'}")
        source = client.get_model_version(model, str(version)).source.removeprefix("models:/")
        return self.store / "artifacts" / "models" / source / "artifacts"

    def edit(self, model: str, version: int, name: str, change: Callable[[Any], None]) -> None:
        """As somebody with access to the artifact store could."""
        file = self.files(model, version) / "signoff" / f"{name}.json"
        document = json.loads(file.read_text())
        change(document)
        file.write_text(json.dumps(document))


def refusals(*asked: tuple[Desk, tuple[Any, ...]]) -> list[tuple[int, str]]:
    """Exit code and standard error of each, asked in one process of their clone: its imports take longer than it."""
    work = [[desk.environment, ["reproduce", *map(str, arguments), "--json"]] for desk, arguments in asked]
    said = command(asked[0][0].clone, "python", "-c", IN_TURN, given=json.dumps(work))
    return [(code, text) for code, text in map(json.loads, said.splitlines())]


@pytest.fixture(scope="module")
def trained(template, tmp_path_factory) -> Desk:
    folder = tmp_path_factory.mktemp("reproduce")
    clone = clone_project(folder / "clone")
    registries.copy_store(template, folder / "store")
    desk = Desk(clone, folder / "store", command(clone, "git", "rev-parse", "HEAD").strip())
    rows = generate_sample(450, seed=7)
    rows.to_csv(folder / "survey.csv", index=False)
    rows.to_parquet(folder / "survey.parquet")
    content = small_content({"boosting": {"estimator": "hist_gradient_boosting", "parameters": {"max_iter": 10}}})
    content["registry"]["model_name"], content["split"]["seed"] = OTHER, 3
    content["schema"]["columns"]["Age"]["maximum"] = 40
    content["evaluation"]["age_bands"] = [0, 30, 100]
    other = write_params(folder / "other.yaml", content)
    for arguments in (
        ("--candidate", "trees"),
        ("--candidate", "lines", "--data", folder / "survey.parquet"),
        ("--params", other, "--data", folder / "survey.csv"),
    ):
        if "--params" in arguments:
            (clone / "README.md").write_text("Not committed.\n")
        assert desk.run("train", *arguments)[0] == 0
    command(clone, "git", "checkout", "--", "README.md")
    return desk


def copied(trained: Desk, store: Path) -> Desk:
    """The same versions, with files of one's own to change."""
    shutil.copytree(trained.store, store)
    for column in ("logged_models set artifact_location", "model_versions set storage_location"):
        name = column.rsplit(maxsplit=1)[-1]
        moved = f"update {column} = replace({name}, '{trained.store}', '{store}')"
        registries.execute(store / "mlflow.db", moved)
    return Desk(trained.clone, store, trained.commit)


@pytest.fixture
def desk(trained, tmp_path) -> Desk:
    return copied(trained, tmp_path / "store")


def test_a_version_is_rebuilt_and_identical(trained):
    """Metrics, fingerprint and each probability; registry and ledger are untouched, and no worktree is left."""
    before = digests(trained.store)

    code, found, said = trained.run("reproduce", MODEL, 1)

    assert found, said
    assert (code, found["identical"], found["differences"], found["conditions"]) == (0, True, [], [])
    assert (found["commit"], found["rows"], found["largest_difference"]) == (trained.commit, 150, 0.0)
    assert found["notes"] == []
    assert digests(trained.store) == before
    assert len(command(trained.clone, "git", "worktree", "list").splitlines()) == 1


@only_in_soak
def test_other_settings_and_a_file_are_rebuilt_too(trained):
    """Settings come from the version, not from params.yaml, and the file that was not committed is named."""
    code, found, said = trained.run("reproduce", OTHER, 1, "--data", trained.store.parent / "survey.csv")

    assert found, said
    assert (code, found["identical"], found["largest_difference"]) == (0, True, 0.0)
    assert found["notes"] == ["Files differed from the commit when it was trained: README.md."]


@only_in_soak
def test_a_version_from_before_settings_were_recorded(desk):
    """It is rebuilt under params.yaml of its commit, and the gap is named."""
    (desk.files(MODEL, 2) / "signoff" / "training_settings.json").unlink()
    desk.edit(MODEL, 2, "lineage", lambda document: document["git"].pop("changed"))

    code, found, said = desk.run("reproduce", MODEL, 2, "--data", desk.clone.parent / "survey.parquet")

    assert found, said
    assert (code, found["identical"]) == (0, True)
    assert found["notes"][0].startswith("The training settings were not recorded")


def test_what_differs_is_named_with_both_values(desk):
    """Exit code 7; packages that are others now are listed apart, for they explain and do not decide."""

    def claim(document):
        document["metrics"]["accuracy"]["value"] = 0.99

    def record(document):
        document["fingerprint"] = "0" * 64
        document["environment"]["packages"]["scikit-learn"] = "0.1"

    desk.edit(MODEL, 1, "evaluation", claim)
    desk.edit(MODEL, 1, "lineage", record)
    lent = desk.files(MODEL, 2) / "signoff" / "evaluation_rows.parquet"
    shutil.copy(lent, desk.files(MODEL, 1) / "signoff" / "evaluation_rows.parquet")

    code, found, said = desk.run("reproduce", MODEL, 1)

    differences = {each["name"]: each for each in found["differences"]}
    assert found, said
    assert (code, found["verdict"], found["identical"], len(differences)) == (7, "differs", False, 3)
    assert differences["metrics.accuracy.value"]["recorded"] == 0.99
    assert 0 < differences["metrics.accuracy.value"]["rebuilt"] < 0.99
    assert differences["fingerprint"]["recorded"] == "0" * 64
    assert "not evaluated on the same rows" in differences["rows"]["rebuilt"]
    assert [(each["name"], each["recorded"]) for each in found["conditions"]] == [("packages.scikit-learn", "0.1")]


@only_in_soak
def test_rounding_on_another_processor_is_no_difference(desk):
    """A metric off by 1e-12 and another fingerprint: exit code 0, with the conditions that explain them."""

    def claim(document):
        document["metrics"]["log_loss"]["value"] += 1e-12

    def record(document):
        document["fingerprint"] = "0" * 64
        document["environment"]["processor"]["features"] = ["NEON"]

    desk.edit(MODEL, 1, "evaluation", claim)
    desk.edit(MODEL, 1, "lineage", record)

    code, found, said = desk.run("reproduce", MODEL, 1)

    assert found, said
    assert (code, found["verdict"], found["identical"]) == (0, "within_1e-9", False)
    assert {each["name"] for each in found["differences"]} == {"metrics.log_loss.value", "fingerprint"}
    assert {each["name"].split(".")[1] for each in found["conditions"]} == {"features"}


def test_data_that_is_not_here_or_other_data(trained):
    """Each is one sentence that says how to give the right file; nothing is rebuilt."""
    files = trained.store.parent
    missing, wrong, needless = refusals(
        (trained, (OTHER, 1)),
        (trained, (OTHER, 1, "--data", files / "survey.parquet")),
        (trained, (MODEL, 1, "--data", files / "survey.csv")),
    )

    assert (missing[0], wrong[0], needless[0]) == (5, 2, 2)
    assert "survey.csv: is not where data.source points; give the data of other_settings version 1" in missing[1]
    assert "but other_settings version 1 was trained on survey.csv with" in wrong[1]
    assert "leave --data away" in needless[1]


def record_commit(text: str | None, document: dict[str, Any]) -> None:
    document["git"]["commit"] = text


def test_only_our_own_versions_and_commits_are_run(trained, tmp_path):
    """Another producer's version is refused; a commit that is none, not here, or on no branch is never checked out."""
    tree = command(trained.clone, "git", "rev-parse", "HEAD^{tree}").strip()
    who = ("-c", "user.name=Stranger", "-c", "user.email=stranger@example.org")
    dangling = command(trained.clone, "git", *who, "commit-tree", tree, "-m", "fetched from anywhere").strip()
    commit(trained.clone, "One more")
    elsewhere = "no branch or tag of this checkout contains it"
    expected = {
        "--upload-pack=touch /tmp/owned": "has no usable record of git.commit",
        "0" * 40: elsewhere,
        dangling: elsewhere,
        None: "was trained outside a git checkout",
    }
    asked = []
    for number, recorded in enumerate(expected):
        desk = copied(trained, tmp_path / str(number))
        desk.edit(MODEL, 1, "lineage", partial(record_commit, recorded))
        asked.append((desk, (MODEL, 1)))
    theirs = copied(trained, tmp_path / "theirs")
    registries.execute(
        theirs.store / "mlflow.db", "update model_version_tags set value = 'me' where key = 'produced_by'"
    )

    *commits, producer = refusals(*asked, (theirs, (MODEL, 1)))

    for sentence, (code, said) in zip(expected.values(), commits, strict=True):
        assert (code, sentence in said) == (5, True), said
    assert (producer[0], producer[1].count("\n")) == (3, 1)
    assert "was not made by this pipeline" in producer[1]
