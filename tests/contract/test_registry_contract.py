"""What every registry promises, whichever way it is read: in memory, by SQL, by MLflow's client, over HTTP."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.adapters.mlflow.logged_models import Link, Logged, LoggedMetric, Own
from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import ModelState, Stage
from pipeline.governance.ports import ModelRecord, Registry, VersionRow
from support.in_memory import InMemoryRegistry
from support.registries import (
    ODD_NAMES,
    SIGNATURE,
    Filler,
    copy_store,
    mlflow_server,
    mlmodel,
    model_files,
)

METRICS = {"accuracy": 0.9, "f1_macro": 0.8}
TRAIN, TEST = "train (d0)", "test (d1)"
DIGEST_OF_WEIGHTS = hashlib.sha256(b"weights").hexdigest()


class InMemory:
    """The registry in memory, filled through its own methods."""

    def __init__(self) -> None:
        self.registry = InMemoryRegistry()
        self.delete_version = self.registry.delete_version
        self.add_model = self.registry.add_model

    def add_version(self, model: str, *, documents: Mapping[str, Any] | None = None, **options: Any) -> int:
        files = options.pop("files", model_files(documents))
        options.setdefault("run_id", "1")
        return self.registry.add_version(model, files=files, documents=documents, signature=SIGNATURE, **options)

    def write_file(self, model: str, version: int, path: str, *, content: bytes) -> None:
        self.registry.write_file(model, version, path, content=content)

    def add_versions_of_a_run(self, model: str, owns: Sequence[Logged], **run: Any) -> None:
        links = [Link(f"m-{number:032x}", "1", f"model-{number}") for number in range(len(owns))]
        for link, logged in zip(links, owns, strict=True):
            self.add_version(model, own=Own(link, logged, links), **run)


class Mlflow:
    """A registry behind MLflow, filled through MLflow's client."""

    def __init__(self, uri: str, registry: Registry) -> None:
        self.registry = registry
        self.filler = Filler(uri)
        self.add_model = self.filler.add_model
        self.delete_version = self.filler.delete_version

    def add_version(self, model: str, *, documents: Mapping[str, Any] | None = None, **options: Any) -> int:
        return self.filler.add_version(model, files=options.pop("files", model_files(documents)), **options)

    def add_versions_of_a_run(self, model: str, owns: Sequence[Logged], **run: Any) -> None:
        """One run with a logged model for each version; a source names the model, or the run and the model's name."""
        self.filler.add_versions_of_a_run(model, owns, **run)

    def write_file(self, model: str, version: int, path: str, *, content: bytes) -> None:
        model_id = self.registry.version(model, version).model_id
        assert model_id
        self.filler.replace_file(model_id, path, content)


@pytest.fixture(scope="session")
def server(template, tmp_path_factory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with mlflow_server(copy_store(template, folder), folder) as uri:
        yield uri


@pytest.fixture(scope="session")
def database(template, tmp_path_factory) -> str:
    """A store without a server: MLflow takes half a second of the processor to open each."""
    return copy_store(template, tmp_path_factory.mktemp("database"))


@pytest.fixture(params=["memory", "sql", "client", "http"])
def desk(request):
    if request.param == "memory":
        return InMemory()
    uri = request.getfixturevalue("server" if request.param == "http" else "database")
    # Both are shared by all tests: each has an experiment and models of its own.
    registry = MlflowRegistry(uri, experiment=request.node.name, read_with_sql=request.param == "sql")
    return Mlflow(uri, registry)


def test_preparing_changes_nothing(desk, registry: Registry, name: str) -> None:
    """It may be done again and again; what is written afterwards is written as ever."""
    desk.add_model(name)
    desk.add_version(name)
    before = registry.state(name)
    registry.prepare()
    registry.prepare()

    assert registry.state(name) == before
    registry.set_alias(name, "champion", 1)
    assert registry.state(name).champion == 1


@pytest.fixture
def registry(desk) -> Registry:
    return desk.registry


@pytest.fixture
def name(request) -> str:
    """A model name that no other test uses."""
    return f"model {hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


@pytest.fixture
def model(desk, name) -> str:
    """A model with one version that has two metrics."""
    desk.add_model(name, description="Says yes.", tags={"team": "blue"})
    desk.add_version(name, metrics=METRICS, params={"depth": "3"}, tags={"model_type": "forest"})
    return name


# Reading


def test_a_model_tells_its_description_tags_versions_and_aliases(desk, registry, model):
    """One record per model: how many versions there are, the highest number, and where the aliases point."""
    desk.add_version(model)
    registry.set_alias(model, "champion", 1)

    record = registry.model(model)

    assert record == ModelRecord(model, "Says yes.", 2, 2, {"champion": 1}, {"team": "blue"})
    assert record in registry.models()


def test_models_come_by_name(desk, registry, name):
    """The list of models is sorted, and one without versions is in it."""
    for ending in ("b", "a", "c"):
        desk.add_model(f"{name} {ending}")

    found = [record for record in registry.models() if record.name.startswith(name)]

    assert [(record.name, record.versions, record.latest) for record in found] == [
        (f"{name} a", 0, None),
        (f"{name} b", 0, None),
        (f"{name} c", 0, None),
    ]


@pytest.mark.parametrize("missing", ["nobody", "a/b", "", *ODD_NAMES.values()], ids=repr)
def test_a_model_that_is_not_there_is_not_found(registry, missing):
    """Whatever its name, also one that no registry would accept, and by each method that takes one."""
    for read in (registry.model, registry.state, registry.table):
        with pytest.raises(NotFound):
            read(missing)
    with pytest.raises(NotFound):
        registry.version(missing, 1)


@pytest.mark.parametrize("role", ODD_NAMES)
def test_any_name_that_mlflow_accepts_can_be_read(desk, registry, request, role):
    """Quotes, spaces, percent signs, line ends, marks that reverse the text: all are just names."""
    odd = f"{ODD_NAMES[role]}{request.node.callspec.params['desk']}"
    desk.add_model(odd)
    desk.add_version(odd, metrics=METRICS)
    registry.set_alias(odd, "champion", 1)

    assert registry.model(odd).versions == 1
    assert registry.state(odd) == ModelState({"champion": 1}, {1: Stage.NONE})
    assert [row.metrics for row in registry.table(odd)] == [METRICS]
    assert registry.version(odd, 1).row.model == odd


def test_names_that_look_alike_stay_apart(desk, registry, name):
    """Case, surrounding space and the wildcards of databases make another name."""
    alike = [f"{name} it's", f"{name} it_s", f"{name} IT's", f"{name} it's "]
    for each in alike:
        desk.add_model(each)
        desk.add_version(each)

    assert [len(registry.table(each)) for each in alike] == [1, 1, 1, 1]


def test_the_table_has_every_version_newest_first(desk, registry, model):
    """One row per version with stage, aliases, metrics, parameters, tags and the time it was made."""
    desk.add_version(model, metrics={"accuracy": 0.95}, description="Second.")
    registry.set_alias(model, "challenger", 2)
    registry.set_alias(model, "champion", 2)
    registry.set_stage(model, 1, Stage.STAGING)

    second, first = registry.table(model)

    assert (second.version, second.stage, second.aliases) == (2, Stage.NONE, ("challenger", "champion"))
    assert (second.metrics, second.description, second.status) == ({"accuracy": 0.95}, "Second.", "READY")
    assert (first.version, first.stage, first.aliases, first.metrics) == (1, Stage.STAGING, (), METRICS)
    assert (first.params, first.tags) == ({"depth": "3"}, {"model_type": "forest"})
    assert first.run_id
    assert datetime(2020, 1, 1, tzinfo=UTC) < first.created_at <= second.created_at


def test_the_table_has_the_metrics_that_were_asked_for(desk, registry, model):
    """Those named and no others; a version without one of them has no entry; parameters and tags stay."""
    desk.add_version(model)

    with_one, with_none = registry.table(model, ["f1_macro", "log_loss"]), registry.table(model, [])

    assert [row.metrics for row in with_one] == [{}, {"f1_macro": 0.8}]
    assert [row.metrics for row in with_none] == [{}, {}]
    assert [row.params for row in with_one] == [{}, {"depth": "3"}]
    assert [row.tags for row in with_none] == [{}, {"model_type": "forest"}]


def test_a_version_is_its_row_of_the_table(registry, model):
    """The record of one version and the table agree."""
    registry.set_alias(model, "champion", 1)

    assert [registry.version(model, 1).row] == registry.table(model)
    assert isinstance(registry.version(model, 1).row, VersionRow)
    assert registry.version(model, 1).gaps == ()


@pytest.mark.parametrize("number", [0, -1, 2, 2**31, 2**70])
def test_a_version_that_is_not_there_is_not_found(registry, model, number):
    """Also for numbers that no database holds."""
    with pytest.raises(NotFound):
        registry.version(model, number)


def test_a_deleted_version_takes_its_aliases_along(desk, registry, model):
    """It is in no list any more, and its number is not given out again."""
    desk.add_version(model)
    registry.set_alias(model, "champion", 2)
    desk.delete_version(model, 2)

    assert registry.state(model) == ModelState({}, {1: Stage.NONE})
    assert [row.version for row in registry.table(model)] == [1]
    assert (registry.model(model).versions, registry.model(model).latest) == (1, 1)
    with pytest.raises(NotFound):
        registry.version(model, 2)
    assert desk.add_version(model) == 3


# What counts as a version's own


def on(dataset: str, value: float | None, *, time: int = 1, step: int = 0) -> LoggedMetric:
    return LoggedMetric("accuracy", time, step, value, dataset)


def test_each_model_of_a_run_has_its_own_metrics(desk, registry, name):
    """The run keeps what was logged last, for whichever model: it says nothing about either version."""
    desk.add_model(name)
    owns = [Logged([on("", 0.51)], {"C": "1"}), Logged([on("", 0.99)], {"C": "2"}), Logged()]
    desk.add_versions_of_a_run(name, owns, metrics={"accuracy": 0.99, "f1_macro": 0.4}, params={"C": "2"})

    expected = [{}, {"accuracy": 0.99}, {"accuracy": 0.51}]
    for metrics in (None, ["accuracy"], ["accuracy", "f1_macro"], [f"m{i}" for i in range(20)] + ["accuracy"]):
        assert [row.metrics for row in registry.table(name, metrics)] == expected
        assert [row.params for row in registry.table(name, metrics)] == [{}, {"C": "2"}, {"C": "1"}]
    assert [row.metrics for row in registry.table(name, ["f1_macro"])] == [{}, {}, {}]
    found = [registry.version(name, number) for number in (3, 2, 1)]
    assert [each.row for each in found] == registry.table(name)
    assert [[gap.name for gap in each.gaps] for each in found] == [["metrics_of_run", "parameters_of_run"], [], []]


def test_the_newest_value_of_each_dataset_counts(desk, registry, name):
    """By time, then by step; one that is for training does not stand for the version where there is another."""
    desk.add_model(name)
    old, new = on(TEST, 0.60, time=5, step=9), on(TEST, 0.70, time=6)
    desk.add_versions_of_a_run(name, [Logged([on(TRAIN, 0.99, time=9), new, old])])
    desk.add_versions_of_a_run(name, [Logged([on(TEST, 0.8, time=9), on("", 0.75), on("", 0.76, step=1)])])
    desk.add_versions_of_a_run(name, [Logged([on(TRAIN, 0.97)])])

    found = [registry.version(name, number) for number in (1, 2, 3)]

    assert [each.row.metrics for each in found] == [{"accuracy": 0.70}, {"accuracy": 0.76}, {"accuracy": 0.97}]
    assert [each.datasets for each in found] == [{"accuracy": TEST}, {}, {"accuracy": TRAIN}]
    assert [row.metrics for row in reversed(registry.table(name, ["accuracy"]))] == [each.row.metrics for each in found]
    assert [[(gap.name, gap.text) for gap in each.gaps] for each in found] == [
        [
            (
                "metric_of_datasets:accuracy",
                "The metric accuracy counts as measured on test (d1); it is 0.99 on train (d0).",
            )
        ],
        [
            (
                "metric_of_datasets:accuracy",
                "The metric accuracy counts as logged without a dataset; it is 0.8 on test (d1).",
            )
        ],
        [],
    ]


def test_a_run_with_one_model_speaks_for_it(desk, registry, name):
    """Where the model itself has no metrics and no parameters; what it has is not mixed with its run's."""
    desk.add_model(name)
    desk.add_versions_of_a_run(name, [Logged()], metrics=METRICS, params={"depth": "3"})
    desk.add_versions_of_a_run(name, [Logged([on("", 0.5)])], metrics=METRICS, params={"depth": "3"})

    assert [row.metrics for row in registry.table(name)] == [{"accuracy": 0.5}, METRICS]
    assert [row.params for row in registry.table(name)] == [{"depth": "3"}, {"depth": "3"}]
    assert [registry.version(name, number).gaps for number in (1, 2)] == [(), ()]


def test_an_own_metric_that_is_no_number_is_absent(desk, registry, name):
    """MLflow keeps it as 0 on a logged model, which would be a figure; the version names it."""
    desk.add_model(name)
    desk.add_versions_of_a_run(name, [Logged([on("", None), LoggedMetric("loss", 1, 0, float("inf"))])])
    desk.add_versions_of_a_run(name, [Logged([on("", 0.0)])])

    assert [row.metrics for row in registry.table(name, ["accuracy", "loss"])] == [{"accuracy": 0.0}, {}]
    names = [gap.name for gap in registry.version(name, 1).gaps]
    assert names == ["metric_not_finite:accuracy", "metric_not_finite:loss"]


# Files


def test_every_file_has_its_digest(desk, registry, name):
    """The manifest has path, size and sha256 of each file, also those in folders, by path."""
    desk.add_model(name)
    desk.add_version(name, files={"MLmodel": mlmodel(), "b/model.bin": b"weights", "a.txt": b""})

    files = registry.files(registry.version(name, 1)).files

    assert [file.path for file in files] == ["MLmodel", "a.txt", "b/model.bin"]
    assert (files[2].size, files[2].sha256) == (7, DIGEST_OF_WEIGHTS)
    assert files[1].size == 0


def test_documents_and_signature_are_read_as_data(desk, registry, name):
    """The JSON files under signoff/ by name, and the columns that the model takes and gives."""
    desk.add_model(name)
    desk.add_version(name, documents={"schema": {"columns": [1, 2.5, None]}, "explanation": []})

    found = registry.files(registry.version(name, 1))

    assert found.documents == {"schema": {"columns": [1, 2.5, None]}, "explanation": []}
    assert found.signature == SIGNATURE


def test_an_overwritten_file_is_seen(desk, registry, model):
    """A fresh look finds other bytes under the same name, which MLflow allows."""
    record = registry.version(model, 1)
    before = registry.files(record)
    desk.write_file(model, 1, "model.bin", content=b"WEIGHTS")

    after = registry.files(record, fresh=True)

    changed = set(after.files) - set(before.files)
    assert [(file.path, file.sha256) for file in changed] == [("model.bin", hashlib.sha256(b"WEIGHTS").hexdigest())]


def test_lost_files_are_not_found(desk, registry, name):
    """A version whose files are gone is still READY; asking for them says so in a sentence."""
    desk.add_model(name)
    desk.add_version(name, files={})

    with pytest.raises(NotFound, match="gone"):
        registry.files(registry.version(name, 1))


def test_one_file_can_be_read(desk, registry, name):
    """Its bytes as they are."""
    desk.add_model(name)
    desk.add_version(name, documents={"schema": [1]})
    record = registry.version(name, 1)

    assert registry.read_file(record, "model.bin") == b"weights"
    assert json.loads(registry.read_file(record, "signoff/schema.json")) == [1]


@pytest.mark.parametrize(
    "path", ["nothing", "", ".", "signoff", "../model.bin", "/etc/passwd", "a/../../b", "signoff/../MLmodel", "a\0b"]
)
def test_a_path_that_leaves_the_folder_is_not_found(registry, model, path):
    """As is one that names no file."""
    with pytest.raises(NotFound):
        registry.read_file(registry.version(model, 1), path)


def test_files_behind_a_server_are_copied_only_to_be_hashed(server, name, tmp_path, monkeypatch):
    """The private copy is removed, and what did not change is not fetched again unless a fresh look is asked for."""
    filler = Filler(server)
    filler.add_model(name)
    filler.add_version(name)
    registry = MlflowRegistry(server, experiment="none")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    first = registry.files(registry.version(name, 1))
    registry.read_file(registry.version(name, 1), "MLmodel")

    assert list(tmp_path.iterdir()) == []
    assert registry.files(registry.version(name, 1)) is first
    assert registry.files(registry.version(name, 1), fresh=True) is not first


def test_a_folder_behind_a_server_without_mlmodel_is_not_listed(server, name):
    """The same rule as for a folder on this machine: what is no model is not read."""
    filler = Filler(server)
    filler.add_model(name)
    filler.add_version(name, files={"model.bin": b"weights"})
    registry = MlflowRegistry(server, experiment="none")

    found = registry.files(registry.version(name, 1))

    assert (found.files, [gap.name for gap in found.gaps]) == ((), ["no_mlmodel"])
    with pytest.raises(NotFound, match="no MLmodel"):
        registry.read_file(registry.version(name, 1), "model.bin")


def test_metrics_that_are_no_numbers_are_absent_over_http_too(server, name):
    """NaN and infinity leave no number behind; the version names them as gaps."""
    filler = Filler(server)
    filler.add_model(name)
    filler.add_version(name, metrics={"accuracy": 0.9, "nan": float("nan"), "up": float("inf")})

    found = MlflowRegistry(server, experiment="none").version(name, 1)

    assert found.row.metrics == {"accuracy": 0.9}
    assert [gap.name for gap in found.gaps] == ["metric_not_finite:nan", "metric_not_finite:up"]


# Writing


def test_an_alias_points_to_one_version(desk, registry, model):
    """Setting it again moves it, setting it twice changes nothing, and removing it twice is no error."""
    desk.add_version(model)
    for version in (1, 2, 2):
        registry.set_alias(model, "champion", version)
    assert registry.state(model).aliases == {"champion": 2}

    for _ in range(2):
        registry.set_alias(model, "champion", None)
    assert registry.state(model).aliases == {}


def test_aliases_differ_by_case(registry, model):
    """`champion` and `Champion` are two aliases, as in MLflow."""
    registry.set_alias(model, "champion", 1)
    registry.set_alias(model, "Champion", 1)
    registry.set_alias(model, "Champion", None)

    assert registry.state(model).aliases == {"champion": 1}


def test_a_stage_belongs_to_one_version(desk, registry, model):
    """Setting it leaves every other version where it is, also one that is in Production already."""
    desk.add_version(model)
    for _ in range(2):
        registry.set_stage(model, 1, Stage.PRODUCTION)
    registry.set_stage(model, 2, Stage.PRODUCTION)
    assert registry.state(model).stages == {1: Stage.PRODUCTION, 2: Stage.PRODUCTION}

    registry.set_stage(model, 1, Stage.ARCHIVED)
    registry.set_stage(model, 2, Stage.NONE)
    assert registry.state(model).stages == {1: Stage.ARCHIVED, 2: Stage.NONE}


def test_tags_are_added_to_those_that_are_there(registry, model):
    """The same tag again takes the new value; the others stay."""
    for _ in range(2):
        registry.set_tags(model, 1, {"signoff.stage": "Staging", "note": "a 'quoted' <b>"})
    registry.set_tags(model, 1, {"note": "new"})

    expected = {"model_type": "forest", "signoff.stage": "Staging", "note": "new"}
    assert registry.version(model, 1).row.tags == expected


@pytest.mark.parametrize("number", [0, 2, 2**70])
def test_writing_to_a_version_that_is_not_there_is_refused(registry, model, number):
    """Each write says that there is no such version, and leaves nothing behind."""
    with pytest.raises(NotFound):
        registry.set_alias(model, "champion", number)
    with pytest.raises(NotFound):
        registry.set_stage(model, number, Stage.STAGING)
    with pytest.raises(NotFound):
        registry.set_tags(model, number, {"key": "value"})
    assert registry.state(model) == ModelState({}, {1: Stage.NONE})


def test_the_first_registry_id_stays(registry):
    """There is none until one is kept; who comes later gets the one that is there."""
    assert registry.registry_id() is None

    assert registry.keep_registry_id("first") == "first"
    assert registry.keep_registry_id("second") == "first"
    assert registry.registry_id() == "first"
