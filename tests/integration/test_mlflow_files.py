"""The files of a version: what is read, what is refused, and what is remembered."""

import json
import os
import shutil
from pathlib import Path

import pytest

from pipeline.adapters.mlflow.environment import process_address
from pipeline.adapters.mlflow.files import RemoteFolder, below, local_folder
from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.governance.errors import NotFound, Unavailable
from support.registries import Filler, copy_store, mlmodel, model_files, write_files


@pytest.fixture
def filler(template, tmp_path):
    made = Filler(copy_store(template, tmp_path))
    made.add_model("m")
    return made


@pytest.fixture
def registry(filler):
    return MlflowRegistry(filler.uri, experiment="none")


def files_of(registry, version=1, **options):
    return registry.files(registry.version("m", version), **options)


@pytest.mark.parametrize(
    ("role", "gaps"),
    [
        ("plain", []),
        ("no_signature", ["no_signature", "no_input_example"]),
        ("no_mlmodel", ["no_mlmodel"]),
        ("broken_mlmodel", ["mlmodel_unreadable"]),
        ("broken_documents", ["document_unreadable:bad", "document_unreadable:nan"]),
        ("code", ["no_signature", "no_input_example"]),
        ("etc", ["no_mlmodel"]),
    ],
)
def test_what_a_folder_lacks_is_named(odd, role, gaps):
    """Files that cannot be understood are gaps, and what can be read is still there."""
    registry = MlflowRegistry(odd[0], experiment="none")

    found = registry.files(registry.version(*odd[1].versions[role]))

    assert [gap.name for gap in found.gaps] == gaps


@pytest.mark.parametrize(
    ("role", "sentence"),
    [
        ("lost_files", "gone"),
        ("no_source", "gone"),
        ("link", "'passwd' is a link"),
        ("cloud", "no driver for s3: stores; install boto3"),
    ],
)
def test_files_that_are_not_read_say_why(odd, role, sentence):
    """Gone, a link that leads out of the folder, a store that cannot be reached: a sentence for the screen."""
    registry = MlflowRegistry(odd[0], experiment="none")

    with pytest.raises(NotFound, match=sentence):
        registry.files(registry.version(*odd[1].versions[role]))


def test_files_behind_a_server_name_the_way_to_them(filler, registry):
    """Read through the server's database they cannot be had: not a registry that does not answer."""
    filler.register("m", "mlflow-artifacts:/1/models/m-1/artifacts")

    with pytest.raises(NotFound, match="behind a tracking server; give its address as MLFLOW_TRACKING_URI"):
        files_of(registry)


@pytest.mark.parametrize("source", [f"models:/m-{'0' * 32}", "models:/nobody/3", f"runs:/{'0' * 32}/model"])
def test_a_model_that_is_not_there_is_not_found(filler, registry, source):
    """A version may name what somebody has deleted, or never made."""
    filler.register("m", "/nowhere")
    filler.execute("update model_versions set source = ?, storage_location = null", source)

    with pytest.raises(NotFound):
        files_of(registry)


@pytest.mark.parametrize("start", ["file://", ""])
def test_a_folder_as_registry_names_both_ways_on(tmp_path, monkeypatch, start):
    """Reading and training say the same, and nothing is made in it."""
    from pipeline.adapters.mlflow.publisher import MlflowPublisher

    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    calls = (
        lambda uri: MlflowRegistry(uri, experiment="e").models(),
        lambda uri: MlflowPublisher(uri, experiment="e").find("m", "0"),
    )
    for call in calls:
        with pytest.raises(Unavailable, match=r"`mlflow migrate-filestore` .*MLFLOW_ALLOW_FILE_STORE=true"):
            call(f"{start}{tmp_path}/mlruns")
    assert list(tmp_path.iterdir()) == []


def test_flavors_are_names_from_the_file(odd):
    """A foreign flavor is read without the library that made it, and nothing of the model runs."""
    registry = MlflowRegistry(odd[0], experiment="none")

    assert registry.files(registry.version(*odd[1].versions["lightgbm"])).flavors == ("lightgbm", "python_function")


@pytest.mark.parametrize("source", ["file:///etc", "/etc", "/", "file:///usr"])
def test_a_source_that_is_no_model_is_not_listed(filler, registry, source):
    """Whoever may register a version may name any folder: without MLmodel at its top nothing of it is shown."""
    filler.register("m", source)

    assert files_of(registry).files == ()
    with pytest.raises(NotFound):
        registry.read_file(registry.version("m", 1), "passwd")


@pytest.mark.parametrize(
    "source",
    [
        "http://127.0.0.1:9/latest/meta-data",
        "https://example.invalid/model",
        "ftp://example.invalid/model",
        "file://example.invalid/etc",
        "relative/folder",
        "mlflow-artifacts://example.invalid/model",
        "runs:/ffffffffffffffffffffffffffffffff/model",
        "models:/m-ffffffffffffffffffffffffffffffff",
        "models:/m/1",
    ],
)
def test_no_request_goes_where_a_source_points(filler, registry, source):
    """Only stores that MLflow keeps models in are asked; a server, a lost run or a circle is refused."""
    filler.register("m", "/nowhere")
    filler.execute("update model_versions set source = ?, storage_location = null", source)

    with pytest.raises(NotFound, match=r"\.$"):
        files_of(registry)


@pytest.mark.parametrize("location", ["mlflow-artifacts://elsewhere/1/model", "mlflow-artifacts://elsewhere:5000/1"])
def test_artifacts_of_another_server_are_refused(location):
    """The credentials of this registry's server go to no other."""
    with pytest.raises(NotFound, match="another server"):
        RemoteFolder(location, tracking_uri="http://127.0.0.1:5000")


def test_local_addresses_are_paths(tmp_path):
    """A plain path and a file: address name the same folder, escapes included."""
    folder = tmp_path / "with space and %41"

    assert local_folder(str(folder)) == folder
    assert local_folder(folder.as_uri()) == folder
    assert local_folder("s3://bucket/model") is None


def test_files_of_a_run_are_found(filler, registry):
    """A source that names a run and a path in it leads to the run's folder."""
    run_id = filler.add_run()
    folder = filler.folder(filler.client.get_run(run_id).info.artifact_uri) / "model"
    folder.mkdir(parents=True)
    (folder / "MLmodel").write_bytes(mlmodel())
    filler.register("m", f"runs:/{run_id}/model", run_id=run_id)

    assert [file.path for file in files_of(registry).files] == ["MLmodel"]


@pytest.mark.parametrize("with_sql", [True, False])
@pytest.mark.parametrize("path", ["model", "model/", "a model/100%", ""])
def test_a_run_s_folder_is_where_mlflow_says(filler, path, with_sql):
    """Whichever way the run is read, also after it was deleted."""
    run_id = filler.add_run()
    folder = filler.folder(filler.client.get_run(run_id).info.artifact_uri) / path
    write_files(folder, {"MLmodel": mlmodel()})
    filler.register("m", "/nowhere", run_id=run_id)
    filler.execute("update model_versions set source = ?, storage_location = null", f"runs:/{run_id}/{path}")
    filler.client.delete_run(run_id)
    registry = MlflowRegistry(filler.uri, experiment="none", read_with_sql=with_sql)

    assert [file.path for file in files_of(registry).files] == ["MLmodel"]


@pytest.mark.parametrize("path", ["../../other/model", "model/../../x", "/etc", "a\\b"])
def test_a_path_does_not_leave_the_run(filler, registry, path):
    """A folder of another run is not this one's, whoever made the source."""
    filler.register("m", "/nowhere")
    source = f"runs:/{filler.add_run()}/{path}"
    filler.execute("update model_versions set source = ?, storage_location = null", source)

    with pytest.raises(NotFound, match=r"no file|gone"):
        files_of(registry)


@pytest.mark.parametrize(
    ("root", "found"),
    [
        ("/mlruns/1?/r#/artifacts", "/mlruns/1?/r#/artifacts/a/b"),
        ("file:///mlruns/r/artifacts/", "file:///mlruns/r/artifacts/a/b"),
        ("s3://bucket/1/r/artifacts", "s3://bucket/1/r/artifacts/a/b"),
        ("mlflow-artifacts:/1/r/artifacts", "mlflow-artifacts:/1/r/artifacts/a/b"),
        ("abfss://container@host/r?secret=x", "abfss://container@host/r/a/b?secret=x"),
    ],
)
def test_a_folder_below_another(root, found):
    """The query of an address stays at its end."""
    assert below(root, "a/b") == found
    assert below(root, "") == root


def test_reading_files_writes_nothing_into_the_database(filler, tmp_path):
    """MLflow's client would add the experiment Default where somebody has removed it."""
    run_id = filler.add_run()
    write_files(filler.folder(filler.client.get_run(run_id).info.artifact_uri) / "model", model_files())
    sources = (f"runs:/{run_id}/model", f"models:/{filler.add_files(run_id, model_files())}", "models:/m/1")
    for source in sources:
        filler.register("m", "/nowhere")
        filler.execute(
            "update model_versions set source = ?, storage_location = null where source = '/nowhere'", source
        )
    filler.execute("delete from experiments where experiment_id = 0")
    # In this process MLflow knows the other one already.
    database = Path(shutil.copyfile(filler.uri.removeprefix("sqlite:///"), tmp_path / "copy.db"))
    before = database.read_bytes()
    registry = MlflowRegistry(f"sqlite:///{database}", experiment="none")

    for number in range(1, len(sources) + 1):
        assert [file.path for file in files_of(registry, number).files] == sorted(model_files())
        assert registry.read_file(registry.version("m", number), "model.bin") == b"weights"
    assert database.read_bytes() == before


def test_a_pipe_in_the_folder_is_refused(filler, registry):
    """Opening it would wait for ever."""
    filler.add_version("m")
    os.mkfifo(filler.files_of("m", 1) / "pipe")

    with pytest.raises(NotFound, match="'pipe' is a link or a device"):
        files_of(registry)
    with pytest.raises(NotFound):
        registry.read_file(registry.version("m", 1), "pipe")


def test_a_linked_folder_is_refused(filler, registry, tmp_path):
    """Neither listing nor reading passes a link in the middle of a path."""
    filler.add_version("m")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    (filler.files_of("m", 1) / "inside").symlink_to(tmp_path / "outside")

    with pytest.raises(NotFound, match="'inside' is a link"):
        files_of(registry)
    with pytest.raises(NotFound):
        registry.read_file(registry.version("m", 1), "inside/secret")


def test_digests_are_kept_while_nothing_changes(filler, registry):
    """The second look is answered from memory; a change of the file, also one of equal length, is seen."""
    filler.add_version("m")
    first = files_of(registry)
    assert files_of(registry) is first
    assert files_of(registry, fresh=True) == first
    path = filler.files_of("m", 1) / "model.bin"
    before = path.stat()
    path.write_bytes(b"WEIGHTS")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert files_of(registry) != first


def test_what_mlflow_leaves_behind_when_it_loads_a_version_is_no_file_of_it(filler, registry, monkeypatch):
    """Loading models:/m/1 from a local store writes a note into its folder: nobody has tampered with the model."""
    import mlflow

    monkeypatch.setenv("MLFLOW_REGISTRY_URI", filler.uri)
    filler.add_version("m")
    before = files_of(registry)
    with process_address(filler.uri):  # it asks there too, and would make a database in the current folder
        mlflow.artifacts.download_artifacts("models:/m/1", tracking_uri=filler.uri)

    assert (filler.files_of("m", 1) / "registered_model_meta").exists()
    assert files_of(registry, fresh=True) == before


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "not valid JSON at line 1, column 2"),
        (b"[NaN]", "NaN is not a number that JSON has"),
        (b"[-Infinity]", "-Infinity is not a number that JSON has"),
        (b"[1e999]", "a number is too large"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 200_000, "nested too deep"),
        (b'"' + b"x" * (5 * 1024**2) + b'"', "missing or too large"),
    ],
    ids=["cut off", "NaN", "infinity", "too large a number", "bytes", "deep", "too large a file"],
)
def test_a_document_that_cannot_be_read_is_a_gap(filler, registry, content, sentence):
    """The gap names the file and says why, without quoting it; the other documents are read."""
    filler.add_version("m", files={**model_files({"good": {}}), "signoff/bad.json": content})

    found = files_of(registry)

    assert [(gap.name, sentence in gap.text) for gap in found.gaps] == [("document_unreadable:bad", True)]
    assert found.documents == {"good": {}}


@pytest.mark.parametrize(
    ("content", "gap"),
    [
        (b"[1, 2]", "mlmodel_unreadable"),
        (b"flavors: {}\nx: !!python/object/apply:os.system ['true']", "mlmodel_unreadable"),
        (b"flavors: {a: {}}\n" + b"# " + b"x" * 1024**2, "mlmodel_unreadable"),
        (json.dumps({"flavors": {"a": {}}, "signature": {"inputs": "[NaN]"}}).encode(), "signature_unreadable"),
        (json.dumps({"flavors": {"a": {}}, "signature": {"inputs": '{"a": 1}'}}).encode(), "signature_unreadable"),
    ],
    ids=["no mapping", "a program", "too large", "signature with NaN", "signature without columns"],
)
def test_an_mlmodel_that_cannot_be_read_is_a_gap(filler, registry, content, gap):
    """It is data from strangers: parsed without running anything, within bounds."""
    filler.add_version("m", files={**model_files(), "MLmodel": content})

    assert gap in [found.name for found in files_of(registry).gaps]


def test_more_files_than_any_model_has_are_refused(filler, registry):
    """A folder of 10,001 files is somebody's mistake, or an attack on whoever hashes it."""
    filler.add_version("m")
    folder = filler.files_of("m", 1)
    for number in range(10_001):
        (folder / str(number)).touch()

    with pytest.raises(NotFound, match="more than 10,000"):
        files_of(registry)


def test_a_file_too_large_to_read_is_refused(filler, registry):
    """A sparse file of 201 MB is listed by nobody in one piece."""
    filler.add_version("m")
    os.truncate(filler.files_of("m", 1) / "model.bin", 201 * 1024**2)

    with pytest.raises(NotFound, match="larger than 200 MB"):
        registry.read_file(registry.version("m", 1), "model.bin")
