"""Reading real oddities: both ways agree, and the quick one stays quick."""

import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from pipeline.adapters.mlflow.database import SqliteDatabase, sqlite_path
from pipeline.adapters.mlflow.logged_models import Logged, LoggedMetric
from pipeline.adapters.mlflow.registry import MlflowRegistry
from pipeline.adapters.mlflow.sql import SqlReader
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import Stage
from pipeline.settings import ROOT
from support.forgotten import forget_everything
from support.registries import Filler, copy_store
from support.small_desk import small_desk

ASKED_FOR = [None, [], ["accuracy"], ["accuracy", "nan", "up", "absent"], [f"metric_{number}" for number in range(40)]]


@pytest.fixture
def made(odd):
    return odd[1]


@pytest.fixture
def registry(odd):
    return MlflowRegistry(odd[0], experiment="none")


@pytest.fixture
def by_client(odd):
    return MlflowRegistry(odd[0], experiment="none", read_with_sql=False)


def test_both_ways_list_the_same_models(registry, by_client, made):
    """SQL and MLflow's client give equal records of every model, and neither lists the prompt."""
    assert registry.models() == by_client.models()
    assert {record.name for record in registry.models()} == set(made.models.values()) - {made.models["prompt"]}


@pytest.mark.parametrize("metrics", ASKED_FOR, ids=["all", "none", "one", "odd ones", "many"])
def test_both_ways_give_the_same_rows(registry, by_client, metrics):
    """Every model's table is equal, however many metrics are asked for."""
    for record in registry.models():
        assert registry.table(record.name, metrics) == by_client.table(record.name, metrics)


def test_both_ways_give_the_same_state_and_versions(registry, by_client):
    """Aliases, stages, and each version with its gaps are equal."""
    for record in registry.models():
        assert registry.state(record.name) == by_client.state(record.name)
        for version in registry.state(record.name).stages:
            assert registry.version(record.name, version) == by_client.version(record.name, version)


@pytest.mark.parametrize("way", ["registry", "by_client"])
def test_a_prompt_is_no_model(request, made, way):
    """Prompts share MLflow's table of models; asked for by name, there is no such model."""
    used = request.getfixturevalue(way)
    for read in (used.model, used.state, used.table):
        with pytest.raises(NotFound):
            read(made.models["prompt"])
    with pytest.raises(NotFound):
        used.version(made.models["prompt"], 1)


@pytest.mark.parametrize(
    ("role", "gaps"),
    [
        ("plain", []),
        ("no_run", ["no_run"]),
        ("no_metrics", []),
        ("deleted_run", ["run_deleted"]),
        ("missing_run", ["run_missing"]),
        ("not_finite", ["metric_not_finite:down", "metric_not_finite:nan", "metric_not_finite:up"]),
        ("pending", ["status_pending"]),
        ("failed", ["status_failed"]),
    ],
)
def test_what_is_missing_is_named(registry, made, role, gaps):
    """One named gap, with a sentence, for each thing that the registry no longer has."""
    found = registry.version(*made.versions[role]).gaps

    assert [gap.name for gap in found] == gaps
    assert all(gap.text.endswith(".") for gap in found)


def test_metrics_that_are_no_numbers_are_absent(registry, made):
    """NaN and the infinities, which MLflow stores as the largest number, are left out; the others stay."""
    model, version = made.versions["not_finite"]

    assert registry.version(model, version).row.metrics == {"accuracy": 0.9}


def test_a_deleted_run_still_gives_its_metrics(registry, made):
    """What it logged is still in the registry; a run that never was gives none."""
    assert registry.version(*made.versions["deleted_run"]).row.metrics == {"accuracy": 0.7}
    assert registry.version(*made.versions["deleted_run"]).row.params == {"depth": "2"}
    assert registry.version(*made.versions["missing_run"]).row.metrics == {}


def test_a_copied_version_leads_to_its_logged_model(registry, made):
    """A source that names another version is followed to the id that both share."""
    assert registry.version(*made.versions["copied"]).source == "models:/plain/3"
    original = registry.version(*made.versions["plain"]).model_id
    assert original is not None
    assert registry.version(*made.versions["copied"]).model_id == original


def test_two_versions_in_production_are_both_shown(registry, made):
    """MLflow allows it; hiding one would hide the trouble."""
    stages = registry.state(made.models["two_production"]).stages

    assert stages == {1: Stage.PRODUCTION, 2: Stage.PRODUCTION}


def test_many_aliases_may_point_to_one_version(registry, made):
    """All of them are there, by name."""
    row = registry.table(made.models["many_aliases"])[0]

    assert row.aliases == ("1", "Champion", "challenger", "champion", "prod-eu", "prod_us")


def test_a_model_made_again_starts_anew(registry, made):
    """Numbering restarts at 1 with the new files: name and number are no identity."""
    assert registry.version(made.models["recreated"], 1).source == "/second/life"


@pytest.mark.parametrize("metrics", [None, ["accuracy", "f1_macro", "auc"]], ids=["all", "three"])
def test_the_table_takes_as_many_queries_for_3_versions_as_for_30(template, tmp_path, metrics):
    """The number of statements does not grow with the number of versions."""
    uri = copy_store(template, tmp_path)
    filler = Filler(uri)
    filler.add_model("m")
    counts = []
    for versions in (3, 27):
        for number in range(versions):
            run_id = filler.add_run({"accuracy": number / 100}, {"depth": "3"})
            filler.register("m", "/nowhere", run_id=run_id, tags={"model_type": "forest"})
        statements: list[str] = []
        rows = MlflowRegistry(uri, experiment="none", trace=statements.append).table("m", metrics)
        assert [row.params for row in rows] == [{"depth": "3"}] * len(rows)
        counts.append(len(statements))

    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("change", "understood"),
    [
        ("select 1", True),
        ("update alembic_version set version_num = '000000000000'", False),
        ("alter table experiment_tags rename column value to content", False),
        ("alter table params rename to parameters", False),
        ("drop table alembic_version", False),
    ],
)
def test_only_a_schema_that_we_know_is_read_by_sql(template, tmp_path, change, understood):
    """MLflow's tables are private: another revision, a missing table or column, and MLflow's client reads instead."""
    uri = copy_store(template, tmp_path)
    Filler(uri).execute(change)

    assert SqlReader(SqliteDatabase(sqlite_path(uri))).understands() is understood  # type: ignore[arg-type]


@pytest.mark.parametrize("with_sql", [True, False], ids=["sql", "client"])
def test_every_way_to_name_a_logged_model_leads_to_it(template, tmp_path, with_sql):
    """Its id with a run or without, the run and its name, its folder, another version: each shows its own figures."""
    filler = Filler(copy_store(template, tmp_path))
    filler.add_model("m")
    owns = [Logged([LoggedMetric("accuracy", 1, 0, value)], {"C": str(value)}) for value in (0.51, 0.99)]
    filler.add_versions_of_a_run("m", owns, metrics={"accuracy": 0.99}, params={"late": "yes"})
    weak = filler.client.get_model_version("m", "1")
    folder = filler.client.get_logged_model(weak.source.removeprefix("models:/")).artifact_location
    filler.register("m", weak.source)
    filler.execute("update model_versions set run_id = null where version = 3")
    for source in (f"runs:/{weak.run_id}/model-0", folder, "models:/m/1"):
        filler.register("m", source, run_id=weak.run_id)
    filler.register("m", f"runs:/{weak.run_id}/elsewhere", run_id=weak.run_id)
    registry = MlflowRegistry(filler.uri, experiment="e", read_with_sql=with_sql)

    for rows in (registry.table("m"), registry.table("m", ["accuracy"])):
        found = {row.version: (row.metrics, row.params) for row in rows}
        assert found[2] == ({"accuracy": 0.99}, {"C": "0.99"})
        assert [found[number] for number in (1, 3, 4, 5, 6)] == [({"accuracy": 0.51}, {"C": "0.51"})] * 5
        assert found[7] == ({}, {})
    assert [registry.version("m", number).row for number in range(7, 0, -1)] == registry.table("m")
    assert [gap.text for gap in registry.version("m", 3).gaps] == ["This version names no run."]
    assert [gap.name for gap in registry.version("m", 7).gaps] == ["metrics_of_run", "parameters_of_run"]


def test_a_logged_model_that_was_deleted_says_nothing(template, tmp_path):
    """Its version is as one without: the run speaks for it where it has no other model."""
    filler = Filler(copy_store(template, tmp_path))
    filler.add_model("m")
    filler.add_versions_of_a_run("m", [Logged([LoggedMetric("accuracy", 1, 0, 0.5)])], metrics={"accuracy": 0.7})
    filler.client.delete_logged_model(filler.client.get_model_version("m", "1").source.removeprefix("models:/"))

    for way in (True, False):
        registry = MlflowRegistry(filler.uri, experiment="e", read_with_sql=way)
        assert [row.metrics for row in registry.table("m")] == [{"accuracy": 0.7}]
        assert registry.version("m", 1).row.metrics == {"accuracy": 0.7}


def test_reading_by_sql_does_not_import_mlflow(odd):
    """The first page is painted without the seconds that MLflow takes to import."""
    program = (
        "import sys; from pipeline.adapters.mlflow.registry import MlflowRegistry; "
        "registry = MlflowRegistry(sys.argv[1], experiment='none'); record = registry.models()[0]; "
        "registry.table('plain'); registry.files(registry.version('plain', 3)); sys.exit('mlflow' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program, odd[0]], check=False).returncode == 0


def test_every_odd_version_can_be_reviewed(odd, monkeypatch, tmp_path):
    """Each version that is broken in its own way has a page without an error; `browser` looks at some of them."""
    for name, value in small_desk(tmp_path, odd[0]).items():
        monkeypatch.setenv(name, value)
    forget_everything()
    app = AppTest.from_file(ROOT / "dashboard" / "router.py", default_timeout=60).run()
    app.switch_page("review/page.py")
    for model, version in odd[1].versions.values():
        app.query_params["model"], app.query_params["version"] = model, str(version)
        app.run()

        assert not app.exception, (model, version)
        assert app.title[0].value.startswith(f"Version {version} of "), (model, version)
        assert app.query_params["model"] in (model, [model])
    forget_everything()
