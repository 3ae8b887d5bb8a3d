"""Models by plain MLflow, a real LightGBM one among them, on the command line under both trust policies."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping

import pytest
import yaml

from pipeline.settings import ROOT

ROW = json.dumps({"rooms": 3, "age": 10})
Signoff = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environments(tmp_path_factory) -> Mapping[str, Mapping[str, str]]:
    """By trust policy: the same registry."""
    folder = tmp_path_factory.mktemp("plain")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "plain_models.py", uri],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    made = {}
    for trust in ("allow_list", "producers"):
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        params["serving"]["trust"] = trust
        (folder / f"{trust}.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        made[trust] = {
            **os.environ,
            "MLFLOW_TRACKING_URI": uri,
            "SIGNOFF_LEDGER_URL": f"sqlite:///{folder / 'ledger.db'}",
            "SIGNOFF_PARAMS": str(folder / f"{trust}.yaml"),
        }
    return made


@pytest.fixture
def signoff(environments) -> Signoff:
    def run(*arguments: str, trust: str = "allow_list") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=environments[trust], capture_output=True, text=True, check=False, timeout=120
        )

    return run


def answer(done: subprocess.CompletedProcess[str]):
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_regression_answers_with_a_number(signoff):
    """No classes and no probabilities; the explanation is of the value and adds up."""
    said = answer(signoff("predict", "price/2", "--row", ROW, "--json"))
    why = answer(signoff("explain", "price", "2", "--row", ROW, "--json"))

    assert said["prediction"] == pytest.approx(80)  # 30 a room, less the age
    assert said["probabilities"] == {}
    assert (why["scale"], why["classes"]) == ("value", ["output"])
    assert sum(why["contributions"]["output"].values()) + why["base_values"]["output"] == pytest.approx(80)


def test_two_classes(signoff):
    """Both have a probability, and contributions of opposite sign."""
    said = answer(signoff("predict", "churn/2", "--row", ROW, "--json"))
    why = answer(signoff("explain", "churn", "2", "--row", ROW, "--json"))

    assert sum(said["probabilities"].values()) == pytest.approx(1)
    assert why["contributions"]["yes"]["rooms"] == pytest.approx(-why["contributions"]["no"]["rooms"])
    assert why["sum_error"] <= 1e-9


def test_lightgbm_is_refused_unless_its_producers_are_trusted(signoff):
    """The default policy names the flavor; with `producers` it predicts, says how it was loaded, and adds up."""
    refused = signoff("predict", "dose/1", "--row", ROW)
    said = answer(signoff("predict", "dose/1", "--row", ROW, "--json", trust="producers"))
    why = answer(signoff("explain", "dose", "1", "--row", ROW, "--json", trust="producers"))

    assert refused.returncode == 3
    assert "its flavor is lightgbm, which is not loaded under this trust policy" in refused.stderr
    assert set(said["probabilities"]) == {"low", "middle", "high"}
    assert "version 1 of dose: was loaded by MLflow, because serving.trust is producers" in said["warnings"]
    assert why["method"] == "exact (tree, path-dependent)"
    assert why["sum_error"] <= 1e-9


def test_without_signature_and_example(signoff):
    """The names that the model was fitted with are its columns; nothing stands for "nothing known"."""
    said = answer(signoff("predict", "bare/1", "--row", ROW, "--json"))
    why = signoff("explain", "bare", "1", "--row", ROW)

    assert said["prediction"] in {"yes", "no"}
    assert why.returncode == 3
    assert "neither background rows nor an input example" in why.stderr


def test_versions_without_evaluation_rows_are_compared_by_what_they_say(signoff):
    """Their own metrics side by side, without a verdict, and the signatures that differ."""
    churn = answer(signoff("compare", "churn", "1", "2", "--json"))
    price = answer(signoff("compare", "price", "1", "2", "--json"))

    assert [(each["name"], each["verdict"]) for each in churn["metrics"]] == [("accuracy", None)]
    assert any("age" in json.dumps(each) for each in [price["schema"]])


def test_columns_that_may_be_left_out_and_that_cannot_be_given(signoff, tmp_path):
    """The same answer as with null; a list is named where the version is shown, and refused where it is given."""
    row = {"customer": 2**53 + 1, "when": "2024-03-06T01:00:00+01:00"}
    said = [
        answer(signoff("predict", "shop/1", "--row", json.dumps(each), "--json"))["prediction"]
        for each in (row, {**row, "bonus": None, "tags": None}, {**row, "customer": 2**53})
    ]
    refused = signoff("predict", "shop/1", "--row", json.dumps({**row, "tags": ["a"], "when": "6.3.2024"}))
    (tmp_path / "rows.tsv").write_text(f"\tcustomer\twhen\n0\t{2**53 + 1}\t2024-03-06\n")
    scored = signoff("score", "shop/1", str(tmp_path / "rows.tsv"), str(tmp_path / "out.csv.gz"))

    assert said == pytest.approx([159, 159, 59])
    assert refused.returncode == 2
    assert "when: '6.3.2024' is neither a date nor a time in ISO 8601, such as 2024-03-05" in refused.stderr
    assert "(and 1 more)" in refused.stderr or "tags: takes an array, which cannot be given here" in refused.stderr
    assert "tags: takes an array, which cannot be given here" in signoff("show", "shop", "1").stdout
    assert answer(signoff("show", "shop", "1", "--json"))["cannot_be_given"] == [
        "tags: takes an array, which cannot be given here"
    ]
    assert scored.returncode == 0, scored.stderr
    assert "Columns that the model does not take: column 1 (no name)" in scored.stdout
    assert "bonus: is not in the file, so missing in every row" in scored.stdout


@pytest.mark.parametrize("name", ["price", "churn", "dose", "bare", "shop"])
def test_a_review_and_a_card_of_each(signoff, name):
    """Missing parts are named; a foreign version may go to Staging with warnings."""
    review = answer(signoff("review", name, "1", "--to", "Staging", "--json"))
    card = signoff("card", name, "1")

    assert review["open"]
    assert card.returncode == 0
    assert "Missing: " in card.stdout
