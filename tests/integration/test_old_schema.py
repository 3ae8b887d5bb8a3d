"""A database of another MLflow: named, and left as it is to the byte. MLflow itself would upgrade it without asking."""

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pipeline import bootstrap
from pipeline.adapters.mlflow.database import KNOWN_REVISION, installed_revisions, lock_path
from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.governance.errors import Unavailable
from pipeline.serving.champion import Follower
from pipeline.settings import ROOT, read_settings
from support.forgotten import forget_everything
from support.registries import OLD_MODEL, OLD_REVISION, Filler, copy_store, execute, old_store
from support.small_desk import small_desk

Call = Callable[..., tuple[int, Any, str]]
ROW = json.dumps({"Age": 24})
REASON = ("--reason", "Better than the champion in every class.")
OLDER = f"revision {OLD_REVISION}) is of an older MLflow; run `mlflow db upgrade` on it after a backup"
VERBS = [
    ("demo",),
    ("train",),
    ("models",),
    ("versions", OLD_MODEL),
    ("show", OLD_MODEL, 2),
    ("best", OLD_MODEL),
    ("compare", OLD_MODEL, 1, 2),
    ("review", OLD_MODEL, 3, "--to", "Production"),
    ("predict", OLD_MODEL, "--row", ROW),
    ("explain", OLD_MODEL, 2, "--row", ROW),
    ("promote", OLD_MODEL, 3, "Production", *REASON),
    ("alias", OLD_MODEL, "challenger", 3, *REASON),
    ("unalias", OLD_MODEL, "champion", *REASON),
    ("rollback", OLD_MODEL, *REASON),
    ("reconcile",),
    ("reconcile", OLD_MODEL, "--adopt", *REASON),
]


def contents(folder: Path) -> Mapping[str, bytes]:
    """Every file below the folder, so that one more beside the database is seen too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(params=["delete", "wal"])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An old database, with either way of SQLite to write, as its owner closed it."""
    database = old_store(tmp_path / "theirs")
    with closing(sqlite3.connect(database)) as owner:
        owner.execute(f"pragma journal_mode = {request.param}")
    assert [path.name for path in database.parent.iterdir()] == ["mlflow.db"]
    return database


@pytest.fixture
def verb(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    (tmp_path / "ours").mkdir()
    monkeypatch.chdir(tmp_path / "ours")

    def call_on(database: Path, *arguments: Any) -> tuple[int, Any, str]:
        for name, value in small_desk(tmp_path / "ours", f"sqlite:///{database}").items():
            monkeypatch.setenv(name, value)
        return call(*arguments)

    return call_on


@pytest.mark.parametrize("arguments", VERBS, ids=lambda each: " ".join(map(str, each[:1])))
def test_no_verb_changes_an_older_database(verb: Call, old: Path, arguments: tuple[object, ...]) -> None:
    """Reading, deciding, the demo, training: each ends with 6 and one sentence; no byte differs, no file is new."""
    before = contents(old.parent)

    code, _, said = verb(old, *arguments)

    assert (code, said.count("\n")) == (6, 1)
    assert OLDER in said
    assert contents(old.parent) == before


@pytest.mark.parametrize("arguments", [("history", OLD_MODEL), ("verify",)], ids=" ".join)
def test_the_record_leaves_it_alone_too(verb: Call, old: Path, arguments: tuple[object, ...]) -> None:
    """Whatever the verbs of the ledger answer, the registry's database stays as it is."""
    before = contents(old.parent)

    verb(old, *arguments)

    assert contents(old.parent) == before


def test_the_api_and_the_dashboard_say_it(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both start and serve nothing: the sentence is what the API gives as its reason, and what each page shows."""
    before = contents(old.parent)
    for name, value in small_desk(tmp_path, f"sqlite:///{old}").items():
        monkeypatch.setenv(name, value)
    settings = read_settings()
    service = bootstrap.desk(settings)

    status = Follower(service, bootstrap.scorer(settings, service), OLD_MODEL).refresh()
    forget_everything()
    page = AppTest.from_file(ROOT / "dashboard" / "router.py", default_timeout=60).run()
    forget_everything()

    assert (status.served, OLDER in status.reason) == (None, True)
    assert not page.exception
    assert any(OLDER in each.value for each in page.text)
    assert contents(old.parent) == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("update alembic_version set version_num = 'fedcba987654'", "revision fedcba987654) is of a newer MLflow"),
        ("insert into alembic_version values ('fedcba987654')", "is of a newer MLflow"),
        ("drop table alembic_version", "revision none) is of an older MLflow"),
        ("delete from alembic_version", "revision none) is of an older MLflow"),
        ("update alembic_version set version_num = '451aebb31d03'", "revision 451aebb31d03) is of an older MLflow"),
    ],
)
def test_each_other_schema_has_its_sentence(tmp_path: Path, change: str, said: str) -> None:
    """Newer, unknown, several at once, or from before schemas had numbers."""
    database = old_store(tmp_path)
    execute(database, change)
    before = contents(tmp_path)

    for registry in (
        MlflowRegistry(f"sqlite:///{database}", experiment="e", read_with_sql=way) for way in (True, False)
    ):
        for act in (registry.models, lambda found=registry: found.set_alias(OLD_MODEL, "champion", 1)):
            with pytest.raises(Unavailable, match="left as it is") as refused:
                act()
            assert said in str(refused.value)
    assert contents(tmp_path) == before


def test_an_upgrade_under_a_running_desk_is_seen(template: Path, tmp_path: Path) -> None:
    """The schema is looked at before each write, not only when the registry is opened."""
    uri = copy_store(template, tmp_path)
    filler = Filler(uri)
    filler.add_model("m")
    filler.register("m", "/nowhere")
    registry = MlflowRegistry(uri, experiment="e")
    registry.set_alias("m", "champion", 1)
    filler.execute("update alembic_version set version_num = 'fedcba987654'")

    with pytest.raises(Unavailable, match="newer MLflow"):
        registry.set_alias("m", "champion", None)


def test_the_schema_of_the_installed_mlflow_is_the_one_that_is_known() -> None:
    """What its files say is what MLflow itself says, and what our SQL is written for."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    head, older = installed_revisions()

    assert head == _get_latest_schema_revision() == KNOWN_REVISION
    assert OLD_REVISION in older
    assert head not in older


@pytest.mark.parametrize("with_sql", [True, False], ids=["sql", "client"])
def test_a_database_with_nothing_in_it_is_an_empty_registry(tmp_path: Path, with_sql: bool) -> None:
    """Nobody has made its tables yet: reading does not make them either."""
    path = tmp_path / "mlflow.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma user_version = 1")
    before = contents(tmp_path)
    assert before["mlflow.db"]

    assert MlflowRegistry(f"sqlite:///{path}", experiment="e", read_with_sql=with_sql).models() == []
    assert contents(tmp_path) == before


def test_a_database_that_was_not_closed_is_not_repaired(tmp_path: Path) -> None:
    """Its last writes lie in a second file, and SQLite would make a third one to read them."""
    path = tmp_path / "made" / "mlflow.db"
    old_store(path.parent)
    left = tmp_path / "left"
    left.mkdir()
    with closing(sqlite3.connect(path)) as owner:
        owner.execute("pragma journal_mode = wal")
        with owner:
            owner.execute("update registered_models set description = 'new'")
        for name in ("mlflow.db", "mlflow.db-wal"):
            (left / name).write_bytes((path.parent / name).read_bytes())
    before = contents(left)

    with pytest.raises(Unavailable, match="not closed by the program that wrote it"):
        MlflowRegistry(f"sqlite:///{left / 'mlflow.db'}", experiment="e").models()
    assert contents(left) == before


@pytest.fixture
def half_written(template: Path, tmp_path: Path) -> Path:
    """A store as a process leaves it that is killed while it writes: pages of a change, and how to undo them."""
    made, left = tmp_path / "made", tmp_path / "left"
    copy_store(template, made)
    left.mkdir()
    with closing(sqlite3.connect(made / "mlflow.db")) as owner:
        owner.execute("insert into registered_models(name, workspace) values ('m', 'default')")
        owner.commit()
        owner.execute("pragma cache_size = 1")  # pages go to the file before the end
        owner.execute("update registered_models set name = 'half'")
        add = "insert into registered_models(name, workspace, description) values (?, 'default', ?)"
        owner.executemany(add, ((name, "x" * 4_000) for name in "abcdef"))
        for name in ("mlflow.db", "mlflow.db-journal"):
            (left / name).write_bytes((made / name).read_bytes())
    return left / "mlflow.db"


def test_what_was_left_half_written_is_left_to_its_owner(half_written: Path) -> None:
    """Where Signoff has never written, reading undoes nothing, and says why nothing can be read."""
    before = contents(half_written.parent)

    with pytest.raises(Unavailable, match="not closed by the program that wrote it"):
        MlflowRegistry(f"sqlite:///{half_written}", experiment="e").models()
    assert contents(half_written.parent) == before


def test_the_journal_of_a_writer_who_ends_is_no_reason_not_to_read(template: Path, tmp_path: Path) -> None:
    """Who comes in that moment sees a journal that nobody holds; it is gone at the next look."""
    copy_store(template, tmp_path)
    database = tmp_path / "mlflow.db"
    execute(database, "insert into registered_models(name, workspace) values ('m', 'default')")
    journal, looks = database.with_name("mlflow.db-journal"), []

    def come_and_go(statement: str) -> None:
        if statement == "begin":
            looks.append(statement)
            journal.write_bytes(b"a journal") if len(looks) == 1 else journal.unlink(missing_ok=True)

    registry = MlflowRegistry(f"sqlite:///{database}", experiment="e", trace=come_and_go)
    assert [each.name for each in registry.models()] == ["m"]
    assert len(looks) > 1


@pytest.mark.parametrize("with_sql", [True, False])
def test_what_was_left_half_written_is_undone_where_signoff_writes(half_written: Path, with_sql: bool) -> None:
    """Or a desk whose process was killed would wait for ever for somebody to open its registry."""
    lock_path(half_written).touch()

    registry = MlflowRegistry(f"sqlite:///{half_written}", experiment="e", read_with_sql=with_sql)
    assert [each.name for each in registry.models()] == ["m"]


def test_a_store_that_signoff_has_written_is_known_by_its_lock(template: Path, tmp_path: Path) -> None:
    """Which no reading leaves behind."""
    uri = copy_store(template, tmp_path)
    execute(tmp_path / "mlflow.db", "insert into registered_models(name, workspace) values ('m', 'default')")
    registry, lock = MlflowRegistry(uri, experiment="e"), lock_path(tmp_path / "mlflow.db")
    registry.models()
    assert not lock.exists()

    registry.prepare()
    assert lock.exists()


def test_a_database_that_is_open_is_read_with_its_last_writes(template: Path, tmp_path: Path) -> None:
    """An owner who writes ahead is at work: what it has committed is seen."""
    uri = copy_store(template, tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as owner:
        owner.execute("pragma journal_mode = wal")
        with owner:
            owner.execute("insert into registered_models(name, workspace) values ('m', 'default')")

        assert [each.name for each in MlflowRegistry(uri, experiment="e").models()] == ["m"]
