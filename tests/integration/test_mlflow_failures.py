"""When the registry does not answer: one sentence, soon, and nothing of the server's own text."""

import multiprocessing
import os
import shutil
import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from socket import create_server

import pytest

from pipeline.adapters.mlflow.errors import is_transient, mlflow_errors, retried
from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.governance.errors import InvalidInput, NotFound, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import VersionRecord, VersionRow
from support.ports import nobody_listens
from support.registries import Filler, copy_store
from support.soak import amount

SLOWEST_SECONDS = 18.0  # 5 are allowed for, the rest is a busy machine's; MLflow would take 20 or more
RECORD = VersionRecord(
    row=VersionRow("m", 1, Stage.NONE, (), "READY", None, datetime(2026, 1, 1, tzinfo=UTC), ""),
    source="",
    model_id=None,
    status_message="",
    registered_by="",
)
EVERY_METHOD = {
    "registry_id": lambda registry: registry.registry_id(),
    "keep_registry_id": lambda registry: registry.keep_registry_id("id"),
    "models": lambda registry: registry.models(),
    "model": lambda registry: registry.model("m"),
    "state": lambda registry: registry.state("m"),
    "table": lambda registry: registry.table("m"),
    "version": lambda registry: registry.version("m", 1),
    "files": lambda registry: registry.files(RECORD),
    "read_file": lambda registry: registry.read_file(RECORD, "MLmodel"),
    "set_alias": lambda registry: registry.set_alias("m", "champion", 1),
    "remove_alias": lambda registry: registry.set_alias("m", "champion", None),
    "set_stage": lambda registry: registry.set_stage("m", 1, Stage.STAGING),
    "set_tags": lambda registry: registry.set_tags("m", 1, {"key": "value"}),
}


def answers(registry: MlflowRegistry) -> dict[str, str]:
    """What each method raised, all asked at once; in full where that took too long or shows SQL."""

    def ask(call):
        start = time.monotonic()
        try:
            call(registry)
        except Unavailable as error:
            seconds = time.monotonic() - start
            if seconds > SLOWEST_SECONDS or "sql" in str(error).lower():
                return f"{error} after {seconds:.0f} s"
            return "Unavailable"
        return "an answer"

    with ThreadPoolExecutor(len(EVERY_METHOD)) as pool:
        return dict(zip(EVERY_METHOD, pool.map(ask, EVERY_METHOD.values()), strict=True))


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """The first call imports MLflow, which takes seconds: they are not what is measured here."""
    with nobody_listens() as port:
        answers(MlflowRegistry(f"http://127.0.0.1:{port}", experiment="e"))


ALL_UNAVAILABLE = dict.fromkeys(EVERY_METHOD, "Unavailable")


@pytest.fixture
def filler(template, tmp_path):
    made = Filler(copy_store(template, tmp_path))
    made.add_model("m")
    made.add_version("m")
    return made


def test_a_server_that_is_not_there_is_unavailable():
    """Every method says so within seconds; MLflow's default would take four minutes."""
    with nobody_listens() as port:
        assert answers(MlflowRegistry(f"http://127.0.0.1:{port}", experiment="e")) == ALL_UNAVAILABLE


def test_a_server_that_never_answers_is_unavailable():
    """It takes the connection and then says nothing: every method gives up within seconds."""
    with closing(create_server(("127.0.0.1", 0), backlog=64)) as silent:
        port = silent.getsockname()[1]

        assert answers(MlflowRegistry(f"http://127.0.0.1:{port}", experiment="e")) == ALL_UNAVAILABLE


@pytest.mark.parametrize("with_sql", [True, False], ids=["sql", "client"])
def test_a_locked_database_is_unavailable(filler, with_sql):
    """Another process holds the lock: every method gives up before the 20 seconds that MLflow waits."""
    registry = MlflowRegistry(filler.uri, experiment="e", read_with_sql=with_sql)
    registry.models()
    with closing(sqlite3.connect(filler.uri.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("begin exclusive")

        assert answers(registry) == ALL_UNAVAILABLE


@pytest.mark.parametrize("with_sql", [True, False], ids=["sql", "client"])
@pytest.mark.parametrize("kind", ["garbage", "folder", "below a file", "somebody else's"])
def test_what_is_no_mlflow_database_is_unavailable(tmp_path, kind, with_sql):
    """Rubbish, a folder, a path below a file, another program's database: none is opened, none is changed."""
    path = tmp_path / "mlflow.db"
    if kind == "garbage":
        path.write_bytes(b"not a database at all" * 100)
    elif kind == "folder":
        path.mkdir()
    elif kind == "below a file":
        (tmp_path / "file").write_bytes(b"x")
        path = tmp_path / "file" / "mlflow.db"
    else:
        with closing(sqlite3.connect(path)) as other:
            other.execute("create table orders (id integer)")
    before = path.read_bytes() if path.is_file() else None

    assert answers(MlflowRegistry(f"sqlite:///{path}", experiment="e", read_with_sql=with_sql)) == ALL_UNAVAILABLE
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.parametrize("uri", ["sqlite:nothing", "sqlite:///:memory:x?y=%zz&", "nonsense://host/path"])
def test_an_address_that_leads_nowhere_is_refused_in_a_sentence(uri, tmp_path, monkeypatch):
    """A typing error in the address is no traceback."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InvalidInput, Unavailable, NotFound)):
        MlflowRegistry(uri, experiment="e").model("m")


@pytest.mark.parametrize(
    ("scheme", "package"),
    [
        ("postgresql", r"psycopg\[binary\]"),
        ("postgresql+psycopg2", "psycopg2-binary"),
        ("mysql", "mysqlclient"),
        ("mysql+pymysql", "pymysql"),
        ("mssql", "pyodbc"),
    ],
)
def test_a_missing_driver_is_named_as_the_address_asks_for_it(scheme, package, monkeypatch):
    """Another driver for the same database would be installed for nothing."""
    for module in ("psycopg", "psycopg2", "MySQLdb", "pymysql", "pyodbc"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Unavailable, match=f"; install {package}.$"):
        MlflowRegistry(f"{scheme}://127.0.0.1:9/db", experiment="e").models()


@pytest.mark.parametrize("uri", ["sqlite3:///mlflow.db", "sqlite://folder/mlflow.db", "sqlite+odd://folder/mlflow.db"])
def test_a_mistyped_sqlite_address_is_not_an_empty_registry(uri):
    """With two slashes the first folder would be a host, and the rest the path of another database."""
    with pytest.raises(InvalidInput, match="not sqlite:/// and a path"):
        MlflowRegistry(uri, experiment="e")


def test_a_damaged_store_shows_no_statement(filler, capfd):
    """MLflow would write the statement, its values and a traceback beside the sentence."""
    with closing(sqlite3.connect(filler.uri.removeprefix("sqlite:///"))) as database:
        database.execute("drop table registered_model_aliases")
        database.commit()
    with pytest.raises(Unavailable, match="The registry does not answer"):
        MlflowRegistry(filler.uri, experiment="e").models()

    assert capfd.readouterr().err == ""


def test_a_store_that_was_replaced_under_a_running_process_is_said(filler, tmp_path):
    """As a restored backup does it: MLflow would go on with the old file, and say that it does not answer."""
    registry, path = MlflowRegistry(filler.uri, experiment="e"), Path(filler.uri.removeprefix("sqlite:///"))
    registry.set_alias("m", "kept", 1)
    Path(shutil.copy(path, tmp_path / "backup.db")).replace(path)

    assert registry.state("m").aliases == {"kept": 1}
    with pytest.raises(Unavailable, match="was removed or replaced by another file; start this program again"):
        registry.set_alias("m", "other", 1)


def test_a_store_that_does_not_exist_is_an_empty_registry(tmp_path):
    """Reading creates nothing, not even the folder."""
    for with_sql in (True, False):
        uri = f"sqlite:///{tmp_path / 'var' / 'mlflow.db'}"
        registry = MlflowRegistry(uri, experiment="e", read_with_sql=with_sql)

        assert registry.models() == []
        assert registry.registry_id() is None
        for read in (registry.model, registry.state, registry.table):
            with pytest.raises(NotFound):
                read("m")
        with pytest.raises(NotFound):
            registry.version("m", 1)
    assert list(tmp_path.iterdir()) == []


def start(uri: str, mine: str) -> str:
    """One of several processes that start at the same time on nothing."""
    registry = MlflowRegistry(uri, experiment="e")
    registry.models()
    return registry.keep_registry_id(mine)


def test_first_starts_at_once_all_succeed(tmp_path):
    """They create one store between them and agree on one id; without the lock most would die in migrations."""
    uri = f"sqlite:///{tmp_path / 'var' / 'mlflow.db'}"
    ids = amount(["a", "b"], soak=["a", "b", "c", "d"])

    with multiprocessing.get_context("spawn").Pool(len(ids)) as pool:
        kept = pool.starmap(start, [(uri, mine) for mine in ids])

    assert set(kept) == {MlflowRegistry(uri, experiment="e").registry_id()}


def test_the_experiment_keeps_its_files_beside_the_database(tmp_path, template):
    """Its artifact folder is absolute, so that nothing lands in the folder that a program happens to start in."""
    uri = copy_store(template, tmp_path)
    MlflowRegistry(uri, experiment="e").keep_registry_id("id")

    location = Filler(uri).client.get_experiment_by_name("e").artifact_location

    assert location == (tmp_path / "artifacts").as_uri()


def test_a_deleted_experiment_is_not_brought_back(tmp_path, template):
    """Keeping an id says what to do about it."""
    uri = copy_store(template, tmp_path)
    filler = Filler(uri, experiment="e")
    filler.client.delete_experiment(filler.experiment_id)

    with pytest.raises(InvalidInput, match="restore it"):
        MlflowRegistry(uri, experiment="e").keep_registry_id("id")


def test_an_alias_that_mlflow_refuses_is_invalid(filler):
    """The sentence names the alias, and holds nothing of the server's own text."""
    registry = MlflowRegistry(filler.uri, experiment="e")

    with pytest.raises(InvalidInput, match="alias 'no spaces'"):
        registry.set_alias("m", "no spaces", 1)


def test_nothing_global_is_changed(filler):
    """Reading and writing leave the process-wide tracking address alone."""
    import mlflow

    before = mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")
    registry = MlflowRegistry(filler.uri, experiment="e", read_with_sql=False)
    registry.set_stage("m", 1, Stage.STAGING)
    registry.files(registry.version("m", 1))

    assert (mlflow.get_tracking_uri(), os.environ.get("MLFLOW_TRACKING_URI")) == before


class Flaky:
    """Raises the given errors one after the other, then gives 1."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> int:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 1


def mlflow_error(text: str, code: str) -> Exception:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import ErrorCode

    return MlflowException(text, error_code=ErrorCode.Value(code))


def test_a_lost_race_is_tried_again():
    """Errors that another writer caused pass; the write is repeated until it is through."""
    write = Flaky(
        mlflow_error("UNIQUE constraint failed", "BAD_REQUEST"),
        mlflow_error("deadlock detected", "TEMPORARILY_UNAVAILABLE"),
        mlflow_error("1 expected; 0 were matched", "BAD_REQUEST"),
    )

    assert retried(write) == 1
    assert write.calls == 4


def test_a_real_error_is_not_tried_again():
    """Trying again would only hide it."""
    error = mlflow_error("no such version", "RESOURCE_DOES_NOT_EXIST")
    write = Flaky(error)

    with pytest.raises(type(error)):
        retried(write)
    assert write.calls == 1
    assert not is_transient(error)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RESOURCE_DOES_NOT_EXIST", NotFound),
        ("INVALID_PARAMETER_VALUE", InvalidInput),
        ("BAD_REQUEST", InvalidInput),
        ("PERMISSION_DENIED", Unavailable),
        ("UNAUTHENTICATED", Unavailable),
        ("TEMPORARILY_UNAVAILABLE", Unavailable),
        ("INTERNAL_ERROR", Unavailable),
    ],
)
def test_mlflows_errors_become_ours(code, kind):
    """Each code has one meaning; the cause is kept, its text is not shown."""
    secret = "insert into model_versions values ('secret')"
    error = mlflow_error(secret, code)

    with pytest.raises(kind) as raised, mlflow_errors("model 'm'"):
        raise error
    assert raised.value.__cause__ is error
    assert "secret" not in str(raised.value)
