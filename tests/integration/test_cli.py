"""The command line on a real registry that the demo filled: verbs, JSON, exit codes, and the README's own commands."""

import hashlib
import json
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.bootstrap import desk, person
from pipeline.cli import run
from pipeline.governance.errors import Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.settings import ROOT, read_settings
from support import registries
from support.ports import nobody_listens
from support.small_desk import copy_desk, small_desk

MODEL = "obesity_classifier"
REASON = "Better than the champion in every class."
Verb = Callable[..., Any]


def use(folder: Path, environment: pytest.MonkeyPatch) -> None:
    for name, value in small_desk(folder, f"sqlite:///{folder / 'mlflow.db'}").items():
        environment.setenv(name, value)


@pytest.fixture(scope="module")
def filled(demo_desk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `signoff demo` leaves behind."""
    folder = tmp_path_factory.mktemp("filled")
    copy_desk(demo_desk, folder)
    return folder


@pytest.fixture
def folder(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the databases per test; the models' files are shared."""
    for name in ("mlflow.db", "ledger.db", "ledger.checkpoints.jsonl"):
        shutil.copy(filled / name, tmp_path)
    use(tmp_path, monkeypatch)
    return tmp_path


@pytest.fixture
def verb(folder: Path, call: Verb) -> Verb:
    return call


def test_the_demo_leaves_four_versions_and_a_champion(verb: Verb) -> None:
    """Each in Staging or Production, with metrics, tags and a description."""
    _, versions, _ = verb("versions", MODEL)

    assert [version["version"] for version in versions] == [4, 3, 2, 1]
    assert [version["stage"] for version in versions] == ["Staging", "Staging", "Staging", "Production"]
    assert versions[-1]["aliases"] == ["champion"]
    assert {version["tags"]["model_type"] for version in versions} == {
        "logistic_regression",
        "random_forest",
        "extra_trees",
        "hist_gradient_boosting",
    }
    assert all(0.8 < version["metrics"]["accuracy_low"] < version["metrics"]["accuracy"] for version in versions)
    assert versions[0]["created_at"].endswith("Z")


def test_a_second_demo_changes_nothing(verb: Verb) -> None:
    """Idempotent."""
    before = verb("versions", MODEL)[1], verb("history", MODEL)[1]
    code, filled, _ = verb("demo")

    assert (code, filled["champion"]) == (0, 1)
    assert [each["new"] for each in filled["registered"]] == [False] * 4
    assert before == (verb("versions", MODEL)[1], verb("history", MODEL)[1])


def test_lists_and_details_are_json_for_other_tools(verb: Verb) -> None:
    """With the keys of the design."""
    _, models, _ = verb("models")
    _, shown, _ = verb("show", MODEL, 1)
    _, best, _ = verb("best", MODEL)
    _, best_by_loss, _ = verb("best", MODEL, "--metric", "log_loss")

    assert models == [
        {
            "name": MODEL,
            "description": models[0]["description"],
            "versions": 4,
            "champion": 1,
            "latest": 4,
            "not_approved_here": None,
        }
    ]
    assert {"files", "file_digest", "evaluation", "feature_schema", "lineage", "evidence"} <= set(shown)
    assert all(len(file["sha256"]) == 64 for file in shown["files"])
    assert best["metrics"]["f1_macro"] == max(each["metrics"]["f1_macro"] for each in verb("versions", MODEL)[1])
    assert best_by_loss["metrics"]["log_loss"] == min(
        each["metrics"]["log_loss"] for each in verb("versions", MODEL)[1]
    )


def test_the_best_says_which_end_of_the_metric_is_the_better_one(
    verb: Verb, capsys: pytest.CaptureFixture[str]
) -> None:
    """In JSON and in words; two ends at once are malformed, and so is a name that says neither."""
    _, lowest, _ = verb("best", MODEL, "--metric", "log_loss")
    _, highest, _ = verb("best", MODEL, "--metric", "log_loss", "--highest")
    run(["best", MODEL, "--metric", "log_loss"])

    assert "Best of all versions: the lowest log_loss." in capsys.readouterr().out
    assert (lowest["metric"], lowest["direction"], lowest["left_out"]) == ("log_loss", "lowest", [])
    assert (highest["direction"], highest["version"] == lowest["version"]) == ("highest", False)
    assert verb("best", MODEL, "--lowest", "--highest")[0] == 2
    assert verb("best", MODEL, "--lowest", "--waiting")[0] == 2
    assert verb("best", MODEL, "--metric", "no_such_metric")[0] == 5


def test_the_order_of_merit(verb: Verb, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that wait beside the champion, the best first, and why; a champion that nobody decided on is called so."""
    _, found, _ = verb("best", MODEL, "--waiting")
    run(["best", MODEL, "--waiting"])
    said = capsys.readouterr().out

    assert (found["champion"], found["metric"], len(found["waiting"])) == (1, "f1_macro", 3)
    assert found["best"] == found["waiting"][0]["version"]
    assert found["sentence"] in " ".join(said.split())
    assert found["trust"] == "in review"
    registries.Filler(f"sqlite:///{folder / 'mlflow.db'}").client.set_registered_model_alias(MODEL, "champion", "4")
    _, moved, _ = verb("best", MODEL, "--waiting")
    run(["best", MODEL, "--waiting"])
    assert (moved["champion"], moved["best"], moved["trust"]) == (4, None, "not approved here")
    assert "But version 4 is not approved here: it was made champion outside of this desk" in capsys.readouterr().out


def test_versions_show_the_metrics_that_were_asked_for(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    """As columns and in JSON; a name that no version has is told with those that are there."""
    _, rows, _ = verb("versions", MODEL, "--metric", "recall_macro", "--metric", "log_loss")
    code, _, said = verb("versions", MODEL, "--metric", "rmse")
    run(["versions", MODEL, "--metric", "recall_macro"])
    table = capsys.readouterr().out

    assert [sorted(row["metrics"]) for row in rows] == [["log_loss", "recall_macro"]] * 4
    assert "recall_macro" in table
    assert "f1_macro" not in table
    assert (code, "ask for one of 'accuracy'" in said) == (5, True)


def test_a_review_is_open_or_blocked(verb: Verb) -> None:
    """Exit code 0 or 3, and the gates say why."""
    code, opened, _ = verb("review", MODEL, 2, "--to", "Production")
    blocked_code, blocked, _ = verb("review", MODEL, 1, "--to", "Archived")

    assert (code, opened["open"], opened["to"]) == (0, True, "Production")
    assert set(opened["gates"][0]) == {"name", "observed", "required", "passed", "mode", "why"}
    assert (blocked_code, blocked["open"]) == (3, False)
    assert [gate["name"] for gate in blocked["gates"] if not gate["passed"]] == ["not_champion"]


def test_a_promotion_is_found_in_the_history(verb: Verb) -> None:
    """With the evidence and state that the review handed out."""
    review = verb("review", MODEL, 4, "--to", "Production")[1]
    looked_at = ["--evidence", review["evidence"], "--expect", review["state"], "--accept-warnings", "--key", "k"]
    code, outcome, _ = verb("promote", MODEL, 4, "Production", "--reason", REASON, *looked_at)
    again = verb("promote", MODEL, 4, "Production", "--reason", REASON, *looked_at)[1]
    last = verb("history", MODEL)[1][-1]

    assert (code, outcome["version"], again["replayed"]) == (0, 4, True)
    assert (last["type"], last["actor"], last["reason"], last["version"]) == ("applied", "grace", REASON, 4)
    assert (last["from"], last["to"], last["evidence"]) == ("Staging", "Production", review["evidence"])
    code, _, error = verb("promote", MODEL, 4, "Production", "--reason", "I was slower.", *looked_at[:5])
    assert code == 4
    assert "grace promoted version 4 to Production.\nchampion 1 → 4; version 4 Staging → Production; " in error
    assert f"Reason: {REASON}" in error
    assert [each["stage"] for each in verb("versions", MODEL)[1]] == ["Production", "Staging", "Staging", "Archived"]


def test_a_rollback_predicts_first_and_returns(verb: Verb) -> None:
    """In a process of its own, on the version's own input example."""
    verb("promote", MODEL, 4, "Production", "--reason", REASON, "--accept-warnings")
    code, outcome, _ = verb("rollback", MODEL, "--reason", REASON)
    smoke = next(each for each in decided_last(verb)["gates"] if each["name"] == "smoke_prediction")

    assert (code, outcome["version"]) == (0, 1)
    assert smoke["observed"].startswith("predicts ")


def decided_last(verb: Verb) -> dict[str, Any]:
    from pipeline.bootstrap import desk

    decided = [entry for entry in desk().history(MODEL) if entry.type == "decided"]
    return dict(decided[-1].content)


def test_aliases_are_set_and_taken_away(verb: Verb) -> None:
    """Without a stage."""
    assert verb("alias", MODEL, "shadow", 3, "--reason", REASON)[0] == 0
    assert verb("versions", MODEL)[1][1]["aliases"] == ["shadow"]
    assert verb("unalias", MODEL, "shadow", "--reason", REASON)[0] == 0
    assert verb("versions", MODEL)[1][1]["aliases"] == []


def test_who_was_champion_at_a_time(verb: Verb) -> None:
    """Before the first decision nobody was; before the ledger begins nothing is known, in the words of the page."""
    first, registered = verb("history", MODEL)[1][0]["at"], verb("versions", MODEL)[1][-1]["created_at"]
    nobody = {"champion": None, "stages": {}, "since": first, "created_at": None}

    assert verb("history", MODEL, "--at", first)[1] == {"model": MODEL, "at": first, "known": True, **nobody}
    assert verb("history", MODEL, "--at", "2020-01-01T08:30Z")[1] == {
        "model": MODEL,
        "at": "2020-01-01T08:30:00.000000Z",
        "known": False,
        **nobody,
    }
    now = verb("history", MODEL, "--at", "2100-01-01")[1]
    assert (now["champion"], now["known"], now["created_at"]) == (1, True, registered)


@pytest.mark.parametrize(
    ("arguments", "said", "unsaid"),
    [
        (["history", MODEL], "grace (self-declared)", "given out again"),
        (["history", MODEL], "Promoted demo (program) 1 champion none → 1; version 1 Staging → Production", "grace  "),
        (["history", MODEL, "--at", "2100-01-01"], "champion 1, registered 2", "nothing is known"),
        (["history", MODEL, "--at", "2020-01-01"], " UTC for this model: nothing is known about before.", "champion"),
        (["card", MODEL, "2"], "grace (self-declared)", "is written down"),
    ],
)
def test_what_people_read_says_how_it_is_known(
    verb: Verb, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str, unsaid: str
) -> None:
    """A name with how it was established, a time before the ledger as unknown, a card with its use and limits."""
    verb("promote", MODEL, 2, "Archived", "--reason", REASON)

    assert run(arguments) == 0
    printed = " ".join(capsys.readouterr().out.replace("\\", "").split())
    assert said in printed
    assert unsaid not in printed


def test_the_ledger_can_be_checked_by_others(verb: Verb, tmp_path: Path) -> None:
    """The exported file verifies with sha256 alone, down to the files as they lie in the registry."""
    verb("promote", MODEL, 4, "Production", "--reason", REASON, "--accept-warnings")
    file = tmp_path / "ledger.json"
    code, said, _ = verb("history", MODEL, "--export", file)
    document = json.loads(file.read_text(encoding="utf-8"))
    previous = "0" * 64
    for number, row in enumerate(document["events"], start=1):
        text = f"signoff-event-v1\0{previous}\0{number}\0{row['body']}"
        assert (row["sequence"], row["previous_hash"]) == (number, previous)
        assert row["hash"] == hashlib.sha256(text.encode()).hexdigest()
        previous = row["hash"]
    kept = json.loads((tmp_path / "ledger.checkpoints.jsonl").read_text().splitlines()[-1])
    last = json.loads(document["events"][-1]["body"])
    evidence = document["evidence"][last["evidence"]]

    assert (code, said) == (0, {"export": str(file)})
    assert (kept["sequence"], kept["hash"]) == (len(document["events"]), previous)
    assert all(hashlib.sha256(text.encode()).hexdigest() == digest for digest, text in document["evidence"].items())
    assert json.loads(evidence)["files"] == verb("show", MODEL, 4)[1]["files"]


def test_a_decision_can_be_taken_home(verb: Verb, tmp_path: Path) -> None:
    """As a zip that says ok by itself, held against the checkpoints of the desk."""
    _, made, _ = verb("promote", MODEL, 4, "Production", "--reason", REASON, "--accept-warnings")
    file, kept = tmp_path / "decision.zip", tmp_path / "ledger.checkpoints.jsonl"
    code, said, _ = verb("export", made["sequence"], "--zip", file)
    data = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "pack")
    command = [sys.executable, "-I", "-S", "pack/verify.py", "--checkpoint", str(kept)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env={})

    assert (code, said["decision"], said["size"]) == (0, made["sequence"], len(data))
    assert said["sha256"] == hashlib.sha256(data).hexdigest()
    assert done.returncode == 0, done.stdout
    assert "note: " not in done.stdout


def test_a_registry_that_is_gone_is_not_clean(verb: Verb, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped address, a database that was deleted: exit code 7, both are named, and nothing is made there."""
    ledger_before = (folder / "ledger.db").read_bytes()
    known = verb("verify", "--new")[1]
    mistyped = folder / "mlflow_.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{mistyped}")
    code, found, _ = verb("verify")
    reconciled, beside, _ = verb("reconcile")

    assert (reconciled, beside["problems"]) == (7, found["problems"])
    assert known == {"ok": True, "problems": []}
    assert (code, [each["kind"] for each in found["problems"]]) == (7, ["registry"])
    assert (
        f"the ledger holds nothing about the registry at sqlite:///{mistyped} (it has no id), it knows"
        in (found["problems"][0]["text"])
    )
    assert verb("verify", "--new")[:2] == (0, {"ok": True, "problems": []})
    assert not mistyped.exists()
    assert ledger_before == (folder / "ledger.db").read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
    (folder / "mlflow.db").unlink()
    assert verb("verify")[0] == 7
    assert not (folder / "mlflow.db").exists()


def test_a_registry_at_another_address_is_known_once_somebody_reconciles_there(verb: Verb, filled: Path) -> None:
    """It has its id, but whether it moved or is a copy, only a person knows."""
    code, found, _ = verb("verify")
    verb("reconcile")

    assert code == 7
    assert (
        f"but at sqlite:///{filled / 'mlflow.db'}; name that address, or reconcile if it has moved"
        in (found["problems"][0]["text"])
    )
    assert verb("verify")[:2] == (0, {"ok": True, "problems": []})


def test_a_ledger_that_is_not_there_is_not_clean(verb: Verb, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And no reading verb makes one, nor a registry."""
    monkeypatch.setenv("SIGNOFF_LEDGER_URL", f"sqlite:///{folder / 'elsewhere' / 'ledger.db'}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'elsewhere' / 'mlflow.db'}")
    code, found, _ = verb("verify")
    for reading in (["models"], ["verify", "--new"], ["history", MODEL], ["versions", MODEL]):
        verb(*reading)

    assert (code, found["problems"][0]["kind"]) == (7, "registry")
    assert "there is no ledger" in found["problems"][0]["text"]
    assert not (folder / "elsewhere").exists()


def test_the_record_of_a_registry_that_is_silent_can_be_read(
    verb: Verb, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the id that the ledger keeps for its address; the sentence stands beside the output."""
    with closing(sqlite3.connect(folder / "ledger.db")) as ledger:
        (registry,) = ledger.execute("SELECT DISTINCT registry FROM ledger_event").fetchone()
        with nobody_listens() as port, ledger:
            silent = f"http://127.0.0.1:{port}"
            kept = (registry, silent, "2026-01-01T00:00:00.000000Z")
            ledger.execute("INSERT INTO ledger_registry (registry, address, first_seen) VALUES (?, ?, ?)", kept)
            ledger.commit()
            known = verb("history", MODEL)[1]
            monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
            code, entries, error = verb("history", MODEL)
            then = verb("history", MODEL, "--at", "2100-01-01")[1]

            assert (code, entries) == (0, known)
            assert "this is the record of the registry that had its address" in error
            assert (then["champion"], then["known"]) == (1, True)
            assert verb("promote", MODEL, 2, "None", "--reason", REASON)[0] == 6
            assert verb("verify")[0] == 6


def test_a_decision_that_is_pending_is_named_and_ended_at_once(verb: Verb, folder: Path) -> None:
    """Reconcile names it, leaves a young one alone, and with --min-age 0 does not."""
    service = desk()
    object.__setattr__(service._decider, "close", refuse_to_end)
    with pytest.raises(Unavailable):
        service.promote(MODEL, 2, Stage.ARCHIVED, reason=REASON, actor=person(read_settings()))
    young = verb("reconcile")[1]
    at_once = verb("reconcile", "--min-age", 0)[1]

    assert (young["events"], [each["model"] for each in young["pending"]]) == ([], [MODEL])
    assert young["pending"][0]["age_seconds"] >= 0
    assert [each["type"] for each in at_once["events"]] == ["applied"]
    assert at_once["pending"] == []


def refuse_to_end(*_: Any) -> None:
    raise Unavailable("the ledger's disk is full")


def test_a_change_by_another_way_is_found_and_ended(verb: Verb, folder: Path) -> None:
    """Verify says 7 until somebody adopts or reverts."""
    verb("reconcile")  # the copy is at an address of its own
    assert verb("verify")[:2] == (0, {"ok": True, "problems": []})
    filler = registries.Filler(f"sqlite:///{folder / 'mlflow.db'}")
    filler.client.set_registered_model_alias(MODEL, "champion", "3")
    code, found, _ = verb("verify")
    recorded = verb("reconcile")[1]

    assert (code, found["ok"], found["problems"][0]["kind"]) == (7, False, "out_of_band")
    assert [event["type"] for event in recorded["events"]] == ["out_of_band"]
    assert recorded["differences"][0]["slot"] == "@champion"
    assert recorded["states"] == {MODEL: "@champion=3#1"}
    assert verb("promote", MODEL, 4, "Production", "--reason", REASON, "--accept-warnings")[0] == 4
    assert verb("reconcile", MODEL, "--revert", "--reason", REASON)[1]["differences"] == []
    assert verb("verify")[0] == 0


def test_a_change_is_ended_in_the_state_that_was_shown(
    verb: Verb, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What moved since is a conflict, exit code 4, and changes nothing; the table shows the state too."""
    filler = registries.Filler(f"sqlite:///{folder / 'mlflow.db'}")
    filler.client.set_registered_model_alias(MODEL, "shadow", "3")
    state = verb("reconcile", MODEL)[1]["states"][MODEL]
    filler.client.set_registered_model_alias(MODEL, "shadow", "2")
    adopt = ["reconcile", MODEL, "--adopt", "--reason", REASON, "--expect"]
    code, output, error = verb(*adopt, state)

    assert (code, output) == (4, None)
    assert "StateChanged: state: it has changed since you looked (expected @shadow=3#0, it is @shadow=2#0)" in error
    assert verb("history", MODEL)[1][-1]["type"] == "denied"
    assert run(["reconcile"]) == 0
    assert f"State of {MODEL}: @shadow=2#0" in capsys.readouterr().out
    assert verb(*adopt, "@shadow=2#0")[1]["states"] == {}
    assert verb("verify")[0] == 0


def test_a_model_that_was_renamed_or_deleted_is_listed(
    verb: Verb, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By reconcile, in its JSON and its table: the ledger knows it, the registry does not."""
    client = registries.Filler(f"sqlite:///{folder / 'mlflow.db'}").client
    for alias in client.get_registered_model(MODEL).aliases:
        client.delete_registered_model_alias(MODEL, alias)
    client.rename_registered_model(MODEL, "renamed")
    code, found, _ = verb("reconcile")

    assert (code, found["gone"]) == (0, [MODEL])
    assert {(each["type"], each["model"]) for each in found["events"]} == {
        ("out_of_band", MODEL),
        ("baseline", "renamed"),
    }
    assert found["states"].keys() == {MODEL}
    assert "@champion" in {each["slot"] for each in found["differences"] if each["model"] == MODEL}
    assert run(["reconcile"]) == 0
    assert f"{MODEL}: the registry does not have this model any more" in capsys.readouterr().out
    assert verb("verify")[0] == 7


def test_a_champion_outside_production_is_not_adopted(verb: Verb, folder: Path) -> None:
    """Exit code 3, and the sentence names the way out."""
    registries.Filler(f"sqlite:///{folder / 'mlflow.db'}").client.set_registered_model_alias(MODEL, "champion", "3")
    code, _, error = verb("reconcile", MODEL, "--adopt", "--reason", REASON)

    assert code == 3
    assert "champion 3 outside Production; revert and promote" in error


def test_a_champion_whose_bytes_change_is_found(verb: Verb, filled: Path) -> None:
    """Integrity failure, exit code 7; put back, it is clean again."""
    verb("reconcile")
    path = registries.Filler(f"sqlite:///{filled / 'mlflow.db'}").files_of(MODEL, 1) / "conda.yaml"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        code, found, _ = verb("verify")
    finally:
        path.write_bytes(before)

    assert (code, found["problems"][0]["kind"]) == (7, "tampering")
    assert verb("verify")[0] == 0


def test_a_version_whose_bytes_change_after_its_review(verb: Verb, filled: Path) -> None:
    """Every verb that would use them refuses, `verify` and `reconcile` tell, and one alarm is kept."""
    path = registries.Filler(f"sqlite:///{filled / 'mlflow.db'}").files_of(MODEL, 4) / "conda.yaml"
    before = path.read_bytes()
    path.write_bytes(before + b"\n")
    try:
        refused = verb("promote", MODEL, 4, "Production", "--reason", REASON, "--accept-warnings")
        reviewed = verb("review", MODEL, 4, "--to", "Production")
        checked, reconciled = verb("verify"), verb("reconcile")
    finally:
        path.write_bytes(before)

    assert (refused[0], refused[2].startswith("Blocked: Files unchanged since recorded: ")) == (3, True)
    assert (reviewed[0], reviewed[1]["open"]) == (3, False)
    assert [problem["kind"] for problem in checked[1]["problems"]] == ["tampering"]
    assert (reconciled[0], reconciled[1]["problems"]) == (7, checked[1]["problems"])
    assert [event["type"] for event in verb("history", MODEL)[1]].count("tampering") == 1
    assert verb("verify")[0] == 0


def test_a_registry_id_of_the_settings_leaves_mlflow_alone(
    tmp_path: Path, template: Path, call: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline goes into the ledger; without the setting, an experiment with a tag names the registry."""
    uri = registries.copy_store(template, tmp_path)
    filler = registries.Filler(uri)
    filler.add_model(MODEL)
    filler.add_version(MODEL)
    use(tmp_path, monkeypatch)
    settings = yaml.safe_load((tmp_path / "params.yaml").read_text())
    settings["registry"]["id"] = "ours"
    (tmp_path / "fixed.yaml").write_text(yaml.safe_dump(settings))

    monkeypatch.setenv("SIGNOFF_PARAMS", str(tmp_path / "fixed.yaml"))
    assert [event["type"] for event in call("reconcile")[1]["events"]] == ["baseline"]
    assert filler.client.get_experiment_by_name("signoff") is None
    monkeypatch.setenv("SIGNOFF_PARAMS", str(tmp_path / "params.yaml"))
    assert [event["type"] for event in call("reconcile")[1]["events"]] == ["baseline"]
    assert filler.client.get_experiment_by_name("signoff").tags.keys() >= {"signoff.registry_id"}


def test_an_older_ledger_is_upgraded_by_a_verb(verb: Verb, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says from which revision to which, as JSON and in words; a second time there is nothing to do."""
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        newest = connection.execute("SELECT version_num FROM ledger_version").fetchone()[0]

    assert verb("ledger", "upgrade")[:2] == (0, {"from": newest, "to": newest})
    assert run(["ledger", "upgrade"]) == 0
    assert f"those of this version: revision {newest}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["versions", "nobody"], 5, "NotFound"),
        (["show", MODEL, 99], 5, "NotFound"),
        (["review", MODEL, 1, "--to", "Live"], 2, "'Live' is not one of None, Staging, Production, Archived"),
        (["promote", MODEL, 1, "Staging", "--reason", "short"], 2, "10 to 2,000 characters"),
        (["promote", MODEL, 1, "Archived", "--reason", REASON], 3, "Does not serve as champion"),
        (["promote", MODEL, 2, "Staging", "--reason", REASON], 3, "nothing to do"),
        (["promote", MODEL, 2, "None", "--reason", REASON, "--expect", "other"], 4, "look at the review again"),
        (["promote", MODEL, 2, "None", "--reason", REASON, "--evidence", "0" * 64], 4, "has changed since you looked"),
        (["alias", MODEL, "latest", 2, "--reason", REASON], 2, "reserved by MLflow"),
        (["unalias", MODEL, "gone", "--reason", REASON], 5, "has no alias 'gone'"),
        (["history", MODEL, "--at", "yesterday"], 2, "is not a time"),
        (["history", MODEL, "--at", "2100-01-01", "--export", "ledger.json"], 2, "two questions; ask one"),
        (["history", MODEL, "--export", "/no/such/folder/ledger.json"], 2, "cannot be written"),
        (["export", 2, "--zip", "/no/such/folder/pack.zip"], 2, "cannot be written"),
        (["export", 9_999, "--zip", "pack.zip"], 5, "the ledger holds no event 9999"),
        (["history", "nobody"], 5, "NotFound"),
        (["history", "nobody", "--export", "/no/such/folder/ledger.json"], 5, "NotFound"),
        (["reconcile", MODEL, "--adopt", "--revert"], 2, "only one of the two"),
        (["reconcile", "--adopt", "--reason", REASON], 2, "need a MODEL"),
        (["reconcile", MODEL, "--expect", "@champion=3#1"], 2, "--expect belongs to --adopt or --revert"),
        (["reconcile", MODEL, "--adopt", "--reason", REASON], 3, "nothing differs"),
        (
            ["reconcile", MODEL, "--revert", "--reason", REASON, "--expect", "@champion=3#1"],
            4,
            "nothing differs any more",
        ),
        (["train", "--candidate", "no_such_recipe"], 2, "no_such_recipe"),
        (["train", "--data", "nowhere.csv"], 2, "nowhere.csv"),
    ],
)
def test_a_mistake_is_one_sentence_and_its_exit_code(
    verb: Verb, arguments: list[object], code: int, sentence: str
) -> None:
    """On standard error, nothing on standard output, no traceback."""
    found, output, error = verb(*arguments)

    assert (found, output) == (code, None)
    assert sentence in error
    assert error.count("\n") == 1


def test_a_registry_that_is_down_is_unavailable(verb: Verb, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 6 and a sentence."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    code, _, error = verb("models")

    assert code == 6
    assert "Unavailable" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["models"],
        ["versions", MODEL],
        ["show", MODEL, "1"],
        ["best", MODEL],
        ["best", MODEL, "--waiting"],
        ["review", MODEL, "2", "--to", "@shadow"],
        ["history", MODEL],
        ["history", MODEL, "--at", "2100-01-01"],
        ["history", MODEL, "--export", "/dev/null"],
        ["export", "2", "--zip", "/dev/null"],
        ["verify", "--new"],
        ["reconcile"],
        ["demo"],
    ],
)
def test_every_reading_verb_prints_a_table_for_people(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Without --json."""
    assert run(arguments) == 0
    assert capsys.readouterr().out


def test_the_readme_s_commands_work(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In their order, as a newcomer types them."""
    block = re.search(r"```sh\n(signoff best.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    for line in block[1].splitlines():
        assert run(shlex.split(line)[1:]) == 0, line
    assert "Better than the champion in every metric." in capsys.readouterr().out


def test_the_readme_s_python_works(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The public door."""
    block = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block
    exec(compile(block[1], "README.md", "exec"), {})

    assert capsys.readouterr().out.startswith("True")


@pytest.mark.parametrize("verb_name", ["", "promote", "reconcile"])
def test_help_is_quick(verb_name: str) -> None:
    """Without importing MLflow, scikit-learn or pandas."""
    code = (
        "import sys; sys.argv = sys.argv[:1] + [a for a in sys.argv[1:] if a]; from pipeline.cli import run; c = run();"
        "sys.exit(c or bool({'mlflow', 'sklearn', 'pandas', 'sqlalchemy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, verb_name, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage" in done.stdout


def ask_for_approvals(folder: Path, *, approvals: int = 1) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text(encoding="utf-8"))
    params["policy"]["moves"]["production"] |= {"approvals": approvals, "attestations": {"data": "I know the data."}}
    params["policy"]["roles"]["self_declared"] = ["reviewer", "approver", "breaker"]
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def test_two_persons_promote_by_request_and_approval(verb: Verb, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in a process of its own would be the same: everything is in the ledger."""
    ask_for_approvals(folder)
    why = ("--reason", REASON)
    code, _, error = verb("promote", MODEL, "4", "Production", "--accept-warnings", *why)
    assert (code, "ask for it with `request`" in error) == (3, True)
    code, asked, _ = verb("request", MODEL, "4", "--to", "Production", "--accept-warnings", *why)
    assert (code, asked["state"], asked["needed"]) == (0, "open", 1)
    number, seen = str(asked["id"]), ("--evidence", asked["evidence"], "--expect", asked["expect"])
    assert verb("approve", number, *seen, *why, "--attest", "data")[0] == 3  # one's own
    monkeypatch.setenv("SIGNOFF_ACTOR", "mary")
    assert [each["id"] for each in verb("requests")[1]] == [asked["id"]]
    assert verb("approve", number, *why)[0] == 2  # says nothing of what was looked at
    assert verb("approve", number, *seen, *why)[0] == 3  # attests nothing
    assert (
        verb("approve", number, "--evidence", "0" * 64, "--expect", asked["expect"], *why, "--attest", "data")[0] == 4
    )
    assert verb("comment", MODEL, "4", "Looks good.", "--request", number)[0] == 0
    code, done, _ = verb("approve", number, *seen, *why, "--attest", "data")

    assert (code, done["state"], [each["by"] for each in done["approvals"]]) == (0, "applied", ["mary"])
    assert verb("versions", MODEL)[1][0]["aliases"] == ["champion"]
    assert verb("requests", "--due")[1] == []
    assert verb("verify")[0] == 0
    assert verb("withdraw", number, *why)[0] == 3
    assert verb("reject", number, *why)[0] == 4
    assert verb("approve", "1", *seen, *why)[0] == 5


def test_the_glass_is_broken_in_the_open(verb: Verb, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And somebody else looks at it."""
    ask_for_approvals(folder, approvals=2)
    monkeypatch.setenv("SIGNOFF_ACTOR", "ben")
    code, done, _ = verb("override", MODEL, "4", "--to", "Production", "--accept-warnings", "--reason", REASON)
    number = str(done["sequence"])

    assert (code, verb("acknowledge", number, "--reason", REASON)[0]) == (0, 3)
    monkeypatch.setenv("SIGNOFF_ACTOR", "mary")
    assert verb("acknowledge", number, "--reason", REASON)[0] == 0
    assert verb("acknowledge", number, "--reason", REASON)[0] == 4
    assert verb("override", MODEL, "--reason", REASON)[0] == 2


def test_what_people_read_of_requests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line per request, with who asked, how many signed and until when."""
    ask_for_approvals(folder, approvals=2)
    assert run(["request", MODEL, "4", "--to", "Production", "--accept-warnings", "--reason", REASON]) == 0
    assert run(["requests"]) == 0
    printed = capsys.readouterr().out

    assert "open; 0 of 2 approvals" in printed
    assert "grace (self-declared)" in printed
    assert (
        run(["override", MODEL, "3", "--to", "Production", "--accept-warnings", "--reason", REASON]) == 3
    )  # registrar
