"""Models by plain MLflow, a real LightGBM one among them, under both trust policies."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.bootstrap import desk, scorer
from pipeline.cli import run
from pipeline.governance.errors import InvalidInput, Refused
from pipeline.serving.scorer import Scorer
from pipeline.settings import read_settings
from support.small_desk import copy_registry, small_params

ROW = {"rooms": 3, "age": 10}
Call = Callable[..., tuple[int, Any, str]]


@pytest.fixture(scope="module")
def environments(plain_registry, tmp_path_factory) -> Mapping[str, Mapping[str, str]]:
    """By trust policy: the same registry."""
    folder = tmp_path_factory.mktemp("plain")
    uri = copy_registry(plain_registry, folder)
    made = {}
    for trust in ("allow_list", "producers"):
        params = small_params()
        params["serving"]["trust"] = trust
        (folder / f"{trust}.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        made[trust] = {
            "MLFLOW_TRACKING_URI": uri,
            "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
            "SIGNOFF_PARAMS": str(folder / f"{trust}.yaml"),
        }
    return made


@pytest.fixture(scope="module")
def scorers(environments) -> Iterator[Mapping[str, Scorer]]:
    """By trust policy. One worker process answers all that is asked under a policy: its start takes seconds."""
    with ExitStack() as running:
        found = {}
        for trust, environment in environments.items():
            settings = read_settings(environ=environment)
            found[trust] = scorer(settings, desk(settings))
            running.callback(found[trust].close)
        yield found


@pytest.fixture
def strict(scorers) -> Scorer:
    """Under the default policy."""
    return scorers["allow_list"]


@pytest.fixture
def verb(environments, call: Call, monkeypatch) -> Call:
    """A verb of the command line under the default policy."""
    for name, value in environments["allow_list"].items():
        monkeypatch.setenv(name, value)
    return call


def predicted(scorer: Scorer, reference: str, row: Mapping[str, object] = ROW) -> dict[str, Any]:
    """As `signoff predict` and HTTP answer."""
    return scorer.predict(reference, [row]).as_json()


def explained(scorer: Scorer, reference: str) -> Mapping[str, Any]:
    """As `signoff explain` answers."""
    return scorer.explain(reference, [ROW]).documents[0]


def test_a_regression_answers_with_a_number(strict):
    """No classes and no probabilities; the explanation is of the value and adds up."""
    said, why = predicted(strict, "price/2"), explained(strict, "price/2")

    assert said["prediction"] == pytest.approx(80)  # 30 a room, less the age
    assert said["probabilities"] == {}
    assert (why["scale"], why["classes"]) == ("value", ["output"])
    assert sum(why["contributions"]["output"].values()) + why["base_values"]["output"] == pytest.approx(80)


def test_two_classes(strict):
    """Both have a probability, and contributions of opposite sign."""
    said, why = predicted(strict, "churn/2"), explained(strict, "churn/2")

    assert sum(said["probabilities"].values()) == pytest.approx(1)
    assert why["contributions"]["yes"]["rooms"] == pytest.approx(-why["contributions"]["no"]["rooms"])
    assert why["sum_error"] <= 1e-9


def test_lightgbm_is_refused_unless_its_producers_are_trusted(scorers):
    """The default policy names the flavor; with `producers` it predicts, says how it was loaded, and adds up."""
    with pytest.raises(Refused, match="its flavor is lightgbm, which is not loaded under this trust policy"):
        predicted(scorers["allow_list"], "dose/1")

    said, why = predicted(scorers["producers"], "dose/1"), explained(scorers["producers"], "dose/1")

    assert set(said["probabilities"]) == {"low", "middle", "high"}
    assert "version 1 of dose: was loaded by MLflow, because serving.trust is producers" in said["warnings"]
    assert why["method"] == "exact (tree, path-dependent)"
    assert why["sum_error"] <= 1e-9


def test_without_signature_and_example(strict):
    """The names that the model was fitted with are its columns; nothing stands for "nothing known"."""
    assert predicted(strict, "bare/1")["prediction"] in {"yes", "no"}
    with pytest.raises(Refused, match="neither background rows nor an input example"):
        explained(strict, "bare/1")


def test_versions_without_evaluation_rows_are_compared_by_what_they_say(verb):
    """Their own metrics side by side, without a verdict, and the signatures that differ."""
    _, churn, _ = verb("compare", "churn", 1, 2)
    _, price, _ = verb("compare", "price", 1, 2)

    assert [(each["name"], each["verdict"]) for each in churn["metrics"]] == [("accuracy", None)]
    assert any("age" in json.dumps(each) for each in [price["schema"]])


def test_columns_that_may_be_left_out_and_that_cannot_be_given(strict, verb):
    """The same answer as with null; a list is named where the version is shown, and refused where it is given."""
    row = {"customer": 2**53 + 1, "when": "2024-03-06T01:00:00+01:00"}
    cannot = "tags: takes an array, which cannot be given here"
    said = [
        predicted(strict, "shop/1", each)["prediction"]
        for each in (row, {**row, "bonus": None, "tags": None}, {**row, "customer": 2**53})
    ]

    assert said == pytest.approx([159, 159, 59])
    with pytest.raises(InvalidInput) as refused:
        predicted(strict, "shop/1", {**row, "tags": ["a"], "when": "6.3.2024"})
    assert "when: '6.3.2024' is neither a date nor a time in ISO 8601, such as 2024-03-05" in str(refused.value)
    assert "(and 1 more)" in str(refused.value) or cannot in str(refused.value)
    assert verb("show", "shop", 1)[1]["cannot_be_given"] == [cannot]


def test_a_table_in_a_compressed_file(verb, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """On the command line: an index without a name is not taken, an optional column need not be there."""
    (tmp_path / "rows.tsv").write_text(f"\tcustomer\twhen\n0\t{2**53 + 1}\t2024-03-06\n")

    assert run(["score", "shop/1", str(tmp_path / "rows.tsv"), str(tmp_path / "out.csv.gz")]) == 0
    said = capsys.readouterr().out
    assert run(["show", "shop", "1"]) == 0

    assert "Columns that the model does not take: column 1 (no name)" in said
    assert "bonus: is not in the file, so missing in every row" in said
    assert "tags: takes an array, which cannot be given here" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["price", "churn", "dose", "bare", "shop"])
def test_a_review_and_a_card_of_each(verb, capsys: pytest.CaptureFixture[str], name: str):
    """Missing parts are named; a foreign version may go to Staging with warnings."""
    _, review, _ = verb("review", name, 1, "--to", "Staging")
    code = run(["card", name, "1"])

    assert review["open"]
    assert code == 0
    assert "Missing: " in capsys.readouterr().out
