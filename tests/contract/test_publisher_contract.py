"""What every publisher promises: in memory, on a SQLite store, and on a tracking server."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pandas as pd
import pytest
import skops.io
from sklearn.dummy import DummyClassifier

from pipeline.adapters.mlflow.publisher import MlflowPublisher
from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.governance.errors import NotFound, Unavailable
from pipeline.settings import ROOT
from pipeline.training.model_folder import FILES, MODEL_FILE
from pipeline.training.register import NewVersion, Published, Publisher
from pipeline.training.version_tags import TRAINING_KEY, VersionMetadata
from pipeline.validation.folder import digests
from support.ports import nobody_listens
from support.publishing import InMemoryPublisher
from support.registries import copy_store, mlflow_server, template_store

EXAMPLE = pd.DataFrame({"Age": [20.0, 30.0], "Gender": ["Male", "Female"]})
METRICS = {"accuracy": 0.9}


class Stores(Protocol):
    """A publisher, and a look at what it has stored that does not go through it."""

    publisher: Publisher

    def files(self, model: str, version: int) -> Mapping[str, str]:
        """sha256 by path; empty where they are gone."""

    def tags(self, model: str, version: int) -> Mapping[str, str]: ...

    def metrics(self, model: str, version: int) -> Mapping[str, float]: ...

    def lose_files(self, model: str, version: int) -> None: ...


class InMemory:
    """The fake, and its own lists."""

    def __init__(self) -> None:
        self.publisher = InMemoryPublisher()

    def files(self, model: str, version: int) -> Mapping[str, str]:
        return self.publisher.models[model][version - 1].files

    def tags(self, model: str, version: int) -> Mapping[str, str]:
        return self.publisher.models[model][version - 1].metadata.tags

    def metrics(self, model: str, version: int) -> Mapping[str, float]:
        return self.publisher.models[model][version - 1].metadata.metrics

    def lose_files(self, model: str, version: int) -> None:
        self.publisher.models[model][version - 1].files.clear()


class Mlflow:
    """MLflow, looked at through our registry; artifacts lie below the folder."""

    def __init__(self, uri: str, folder: Path, *, experiment: str) -> None:
        self.publisher = MlflowPublisher(uri, experiment=experiment)
        self.registry = MlflowRegistry(uri, experiment=experiment)
        self._folder = folder

    def files(self, model: str, version: int) -> Mapping[str, str]:
        try:
            files = self.registry.files(self.registry.version(model, version), fresh=True).files
        except NotFound:
            return {}
        return {file.path: file.sha256 for file in files}

    def tags(self, model: str, version: int) -> Mapping[str, str]:
        return self.registry.version(model, version).row.tags

    def metrics(self, model: str, version: int) -> Mapping[str, float]:
        return self.registry.version(model, version).row.metrics

    def lose_files(self, model: str, version: int) -> None:
        model_id = self.registry.version(model, version).model_id
        (folder,) = self._folder.rglob(f"models/{model_id}")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return template_store(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("publisher-server")
    with mlflow_server(copy_store(template, folder), folder) as uri:
        yield uri, folder


@pytest.fixture(params=["memory", "sqlite", "http"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    if request.param == "memory":
        return InMemory()  # type: ignore[return-value]
    if request.param == "http":
        uri, folder = request.getfixturevalue("server")
    else:
        uri, folder = copy_store(request.getfixturevalue("template"), tmp_path / "store"), tmp_path / "store"
    return Mlflow(uri, folder, experiment=request.node.name)  # type: ignore[return-value]


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A name of the test's own: the server is shared. Also one that has to be quoted."""
    return f"it's {request.node.name}"


def trained(folder: Path, *, key: str = "k1") -> NewVersion:
    """A model that can be loaded, and documents that say nothing."""
    for path in FILES:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}", encoding="utf-8")
    skops.io.dump(DummyClassifier().fit(EXAMPLE, ["a", "b"]), folder / MODEL_FILE)
    metadata = VersionMetadata(
        candidate="dummy",
        trained_at="2026-01-01T00:00:00+00:00",
        params={"strategy": "prior"},
        metrics=METRICS,
        tags={TRAINING_KEY: key, "owner": "grace"},
        run_tags={TRAINING_KEY: key},
        description="A dummy.",
        model_description="Dummies.",
    )
    return NewVersion(folder, EXAMPLE, "class", ("scikit-learn==1.9.0",), metadata)


def test_a_version_is_published_with_the_files_that_were_sent(stores: Stores, model: str, tmp_path: Path) -> None:
    """Byte for byte, with its tags and metrics; it is found by its key afterwards, and only by that."""
    new = trained(tmp_path / "new")
    sent = digests(new.folder)

    assert stores.publisher.find(model, "k1") is None
    assert stores.publisher.publish(model, new) == Published(1, new=True)

    assert sent.items() <= stores.files(model, 1).items()
    assert stores.tags(model, 1) == new.metadata.tags
    assert stores.metrics(model, 1) == METRICS
    assert [stores.publisher.find(model, key) for key in ("k1", "k2", "")] == [1, None, None]
    assert stores.publisher.find(f"{model}s", "k1") is None


def test_an_equal_version_is_not_published_twice(stores: Stores, model: str, tmp_path: Path) -> None:
    """The one that is there is the answer; another key makes another version."""
    versions = [stores.publisher.publish(model, trained(tmp_path / key, key=key)) for key in ("k1", "k2", "k1")]

    assert versions == [Published(1, new=True), Published(2, new=True), Published(1, new=False)]


def test_a_version_whose_files_are_gone_is_published_again(stores: Stores, model: str, tmp_path: Path) -> None:
    """It does not count as registered; the newest one that is complete does."""
    stores.publisher.publish(model, trained(tmp_path / "first"))
    stores.lose_files(model, 1)

    assert stores.files(model, 1) == {}
    assert stores.publisher.find(model, "k1") is None
    assert stores.publisher.publish(model, trained(tmp_path / "second")) == Published(2, new=True)
    assert stores.publisher.find(model, "k1") == 2


def test_what_fails_leaves_no_version(stores: Stores, model: str, tmp_path: Path) -> None:
    """A folder without a model cannot be published; with one it becomes the first version."""
    new = trained(tmp_path / "new")
    (new.folder / MODEL_FILE).rename(tmp_path / "aside")

    with pytest.raises(Unavailable, match="files cannot be used"):
        stores.publisher.publish(model, new)

    assert stores.publisher.find(model, "k1") is None
    (tmp_path / "aside").rename(new.folder / MODEL_FILE)
    assert stores.publisher.publish(model, new) == Published(1, new=True)


def test_mlflow_describes_the_model_that_was_sent(template: Path, tmp_path: Path) -> None:
    """Any program that knows MLflow can load it; the file is the one that was fitted."""
    uri = copy_store(template, tmp_path)
    stores = Mlflow(uri, tmp_path, experiment="signoff")
    stores.publisher.publish("m", trained(tmp_path / "new"))
    files = stores.registry.files(stores.registry.version("m", 1))

    assert files.flavors == ("python_function", "sklearn")
    assert files.has_input_example
    assert files.signature is not None
    assert [column["name"] for half in ("inputs", "outputs") for column in files.signature[half]] == [
        "Age",
        "Gender",
        "class",
    ]


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    """Without the address, which may hold a password."""
    with nobody_listens() as port, pytest.raises(Unavailable) as caught:
        MlflowPublisher(f"http://someone:secret@127.0.0.1:{port}", experiment="e").find("m", "k1")

    assert str(caught.value) == "The registry does not answer."


def test_training_runs_without_mlflow() -> None:
    """The steps before a registration, a rebuild, and the publisher itself until it is asked."""
    modules = ("training.train", "reproduce.reproduce", "bootstrap", "adapters.mlflow.publisher")
    script = "".join(f"import pipeline.{each}; " for each in modules) + "import sys; print('mlflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "False\n"
