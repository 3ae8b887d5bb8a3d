"""params.yaml: read once, typed, unknown keys refused with their path."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_logged_model_name, _validate_model_name
from pydantic import TypeAdapter, ValidationError

from pipeline.cli import run
from pipeline.governance.errors import InvalidInput
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.metrics import DEFAULT_RULES
from pipeline.governance.policy import Mode
from pipeline.settings import ROOT, VAR, read_settings
from pipeline.settings.file import CandidateName, ModelName

OTHER_METRIC = {"not_worse_than_incumbent": {"mode": "prevent", "metric": "recall"}}


def changed(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = yaml.safe_load((ROOT / "params.yaml").read_text())
    change(content)
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def test_the_shipped_file_is_valid() -> None:
    """And holds the default policy of the design."""
    settings = read_settings(environ={})
    production = settings.policy.policy().moves[MoveKind.PRODUCTION]

    assert settings.registry.model_name == "obesity_classifier"
    assert settings.candidates["random_forest"].parameters["n_estimators"] == 300
    assert (production.gates["stage_is_staging"].mode, production.gates["no_slice_worse"].mode) == (
        Mode.PREVENT,
        Mode.WARN,
    )
    assert len(settings.schema_.columns) == len(settings.schema_.numbers) + len(settings.schema_.categories) == 16


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c.update(surprise=1), "surprise: is not a known key (line "),
        (lambda c: c["split"].update(test_size=0.3), "split.test_size: is not a known key (line "),
        (lambda c: c["split"].update(test_share=1.5), "split.test_share: Input should be less than 1"),
        (lambda c: c["split"].update(seed="52"), "split.seed: Input should be a valid integer"),
        (lambda c: c.pop("policy"), "policy: is missing"),
        (lambda c: c["notify"].update(events=["denied"]), "notify.events.0: Input should be 'requested', 'approved'"),
        (lambda c: c["notify"].update(address="https://a:b@desk"), "notify.address: String should match pattern"),
        (
            lambda c: c["policy"]["moves"].update(retire={"roles": [], "gates": {}}),
            "policy: moves: no move is called retire; there are staging, production",
        ),
        (
            lambda c: c["policy"]["moves"]["alias"]["gates"].update(no_such_gate={"mode": "warn"}),
            "policy.moves.alias: gates: no gate is called no_such_gate",
        ),
        (
            lambda c: c["policy"]["moves"]["alias"]["gates"]["version_ready"].update(mode="maybe"),
            "policy.moves.alias.gates.version_ready.mode: Input should be 'prevent', 'warn' or 'allow'",
        ),
        (
            lambda c: c["schema"]["columns"]["Age"].update(default=5),
            "schema.columns.Age: default 5.0 is not between 10.0 and 100.0",
        ),
        (
            lambda c: c["schema"]["columns"]["Gender"].update(default="X"),
            "schema.columns.Gender: default 'X' is not one of Female, Male",
        ),
        (
            lambda c: c["schema"]["columns"]["SMOKE"].update(categories=[True, False]),
            "schema.columns.SMOKE.categories.0: Input should be a valid string",
        ),
        (
            lambda c: c["schema"]["columns"]["Gender"].update(categories=["Female", "Male", "Male"]),
            "schema.columns.Gender.categories: Male is there twice",
        ),
        (
            lambda c: c["registry"].update(model_name="team/obesity"),
            "registry.model_name: MLflow takes no model name that is empty, has / or : in it, or begins with ..; got",
        ),
        (
            lambda c: c["candidates"].update({"v1.2": {"estimator": "random_forest"}}),
            "candidates.v1.2: MLflow takes no candidate that is empty or has one of / : . % \" ' in it; got 'v1.2'",
        ),
        (
            lambda c: c["registry"].update(intended_use=7),
            "registry.intended_use: Input should be a valid string (line ",
        ),
        (
            lambda c: c["registry"].update(limitations=" "),
            "registry.limitations: String should have at least 1 character",
        ),
        (
            lambda c: c["registry"].update(limitations="x" * 2001),
            "registry.limitations: String should have at most 2000 characters",
        ),
        (lambda c: c["evaluation"].update(age_bands=[30, 20]), "evaluation.age_bands: must ascend"),
        (
            lambda c: c["policy"]["moves"]["staging"]["gates"]["accuracy"].pop("minimum"),
            "policy.moves.staging: gates: accuracy takes minimum",
        ),
        (
            lambda c: c["policy"]["moves"]["staging"]["gates"].update(error={"mode": "prevent", "metric": "rmse"}),
            "policy.moves.staging: gates: error takes maximum, metric",
        ),
        (
            lambda c: c["policy"]["moves"]["staging"]["gates"].update(
                error={"mode": "prevent", "metric": "r2", "maximum": 0.5}
            ),
            "policy.moves.staging: gates: error takes a metric of which less is better, such as rmse, not r2",
        ),
        (
            lambda c: c["evaluation"].update(lower_is_better=["cost"], higher_is_better=["cost"]),
            "evaluation: lower_is_better: cost is under higher_is_better too",
        ),
        (
            lambda c: c["evaluation"].update(metric_names={"accuracy": []}),
            "evaluation.metric_names.accuracy: Value should have at least 1 item",
        ),
        (
            lambda c: c["policy"]["moves"]["staging"]["gates"]["signature"].update(minimum=0.9),
            "policy.moves.staging: gates: signature takes no parameter",
        ),
        (
            lambda c: c["policy"]["moves"]["production"].update(approvals=-1),
            "policy.moves.production.approvals: Input should be greater than or equal to 0",
        ),
        (
            lambda c: c["policy"]["moves"]["production"].update(approver_roles=["automation"]),
            "policy.moves.production.approver_roles: the role automation is of programs",
        ),
        (
            lambda c: c["policy"]["moves"]["production"].update(attestations={"data": "I know the data."}),
            "policy: moves: production has attestations, and nobody approves it; set its approvals",
        ),
        (
            lambda c: c["policy"]["moves"]["reconcile"].update(approvals=1),
            "policy: moves: reconcile takes no approvals",
        ),
        (
            lambda c: c["policy"].update(override_skips=["slot_settled"]),
            "policy: override_skips: no gate is called slot_settled",
        ),
        (
            lambda c: c["policy"].update(tiers={"high": {"moves": {"retire": {"approvals": 1}}}}),
            "policy: tiers: high adds to moves that are not listed: retire",
        ),
        (
            lambda c: c["policy"].update(tiers={"high": {"moves": {"production": {"gates": OTHER_METRIC}}}}),
            "policy: tiers: high judges not_worse_than_incumbent of production by another metric",
        ),
    ],
)
def test_a_mistake_is_named_with_its_path(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], sentence: str
) -> None:
    """One sentence: where, and what is allowed."""
    with pytest.raises(InvalidInput) as caught:
        read_settings(changed(tmp_path, change), environ={})

    assert f"params.yaml: {sentence}" in str(caught.value)


def test_tiers_and_signatures_are_read(tmp_path: Path) -> None:
    """What the file says is what the policy asks."""
    more = {"production": {"approvals": 2, "gates": {"accuracy": {"mode": "prevent", "minimum": 0.9}}}}

    def change(content: dict[str, Any]) -> None:
        content["policy"]["moves"]["production"] |= {"attestations": {"data": "I know the data."}, "expires_days": 3}
        content["policy"]["tiers"] = {"high": {"models": ["credit"], "moves": more}}
        content["identity"] = {"logins": {"a.berg": "anna"}}

    policy = read_settings(changed(tmp_path, change), environ={}).rules()
    rules = policy.rules_of(MoveKind.PRODUCTION, policy.tier_of("credit"))

    assert (rules.approvals, rules.expires_days, rules.gates["accuracy"].minimum) == (2, 3, 0.9)
    assert (policy.rules_of(MoveKind.PRODUCTION).approvals, policy.logins) == (0, {"a.berg": "anna"})


def taken(check: Callable[[str], object], name: str) -> bool:
    try:
        check(name)
    except (ValidationError, MlflowException):
        return False
    return True


@pytest.mark.parametrize("name", ["", " ", ".", "..", "..a", "a/b", "a:b", "/", "a b", "a.b", "it's", "...", 'a"%'])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(ModelName, _validate_model_name), (CandidateName, _validate_logged_model_name)]
)
def test_names_are_those_that_mlflow_takes(name: str, ours: Any, theirs: Callable[[str], None]) -> None:
    """The rules are MLflow's own, written out because settings are read where MLflow is not imported."""
    assert taken(TypeAdapter(ours).validate_python, name) == taken(theirs, name)


@pytest.mark.parametrize(
    "arguments",
    [["train"], ["demo"], ["train", "--step", "data"], ["train", "--step", "register"], ["models"], ["history", "m"]],
)
def test_a_model_name_that_mlflow_refuses_ends_every_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """Before anything is read or fitted, with the line of params.yaml; nothing is written."""
    file = changed(tmp_path, lambda c: c["registry"].update(model_name="team/obesity"))
    monkeypatch.setenv("SIGNOFF_PARAMS", str(file))
    for name in ("MLFLOW_TRACKING_URI", "SIGNOFF_LEDGER_URL"):
        monkeypatch.setenv(name, f"sqlite:///{tmp_path / name}")
    folder = ["--folder", str(tmp_path / "work")] if arguments[0] == "train" else []

    assert run([*arguments, *folder]) == 2
    assert re.search(r"params\.yaml: registry\.model_name: MLflow .* \(line \d+\)\n", capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == [file]


def test_what_an_older_file_does_not_list_is_closed_or_absent(tmp_path: Path) -> None:
    """A move, a gate, the names of metrics: never an error."""

    def older(content: dict[str, Any]) -> None:
        del content["policy"]["moves"]["rollback"], content["policy"]["moves"]["alias"]["gates"]
        del (
            content["notify"],
            content["policy"]["moves"]["unalias"]["roles"],
            content["policy"]["moves"]["staging"]["gates"]["accuracy"],
        )

    settings = read_settings(changed(tmp_path, older), environ={})
    policy = settings.policy.policy(settings.evaluation.metrics())

    assert policy.closed(MoveKind.ROLLBACK) == "policy.moves does not list rollback: nobody may do it."
    assert policy.rules_of(MoveKind.ROLLBACK).roles == policy.rules_of(MoveKind.UNALIAS).roles == ()
    assert policy.rules_of(MoveKind.ALIAS).gates == {}
    assert "accuracy" not in policy.rules_of(MoveKind.STAGING).gates
    assert policy.metrics == DEFAULT_RULES
    assert (settings.notify.events, settings.notify.address) == ([], None)


def test_the_digest_of_a_policy_stays_until_something_is_used(tmp_path: Path) -> None:
    """Decisions are bound to it; how metrics are named and judged belongs to it."""
    shipped = read_settings(environ={})
    named = read_settings(changed(tmp_path, lambda c: c["evaluation"].update(lower_is_better=["cost"])), environ={})

    def without_findings(content: dict[str, Any]) -> None:
        for rules in content["policy"]["moves"].values():
            for name in ("no_open_finding", "no_finding_elsewhere"):
                rules["gates"].pop(name, None)

    before_findings = read_settings(changed(tmp_path, without_findings), environ={})

    assert before_findings.policy.policy().digest == "1ed71149fdaaac46e06a7b3423bb4a629e5cfd65b65e10ef74081bcd92dc3377"
    assert named.policy.policy(named.evaluation.metrics()).digest != shipped.policy.policy().digest
    assert named.evaluation.measuring() == shipped.evaluation.measuring()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", "is not valid YAML"),
        ("- 1", "must be a mapping"),
        ("environment: {}", "environment: is not a known key"),
        ("", "must be a mapping"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """Before any key is looked at."""
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(InvalidInput, match=sentence):
        read_settings(tmp_path / "params.yaml", environ={})


@pytest.mark.parametrize("change", [lambda c: c.update(intended_use=None), lambda c: c.pop("intended_use")])
def test_the_card_s_words_may_be_left_out(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """A registry that is filled with other models has words of its own."""
    settings = read_settings(changed(tmp_path, lambda c: change(c["registry"])), environ={})

    assert settings.registry.intended_use is None
    assert settings.registry.limitations is not None


def test_a_misspelt_key_is_named_with_its_line(tmp_path: Path) -> None:
    """Not as the key that is missing because of it."""
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("test_share:", "test_shar:"))
    line = text[: text.index("test_share:")].count("\n") + 1

    with pytest.raises(InvalidInput) as caught:
        read_settings(tmp_path / "params.yaml", environ={})

    assert str(caught.value) == f"params.yaml: split.test_shar: is not a known key (line {line})"


def test_a_key_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    """YAML itself would take the last one in silence."""
    (tmp_path / "params.yaml").write_text("split:\n  seed: 1\n  seed: 2\n")

    with pytest.raises(InvalidInput, match=r"split\.seed: is there twice \(lines 2 and 3\)"):
        read_settings(tmp_path / "params.yaml", environ={})


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """By its name."""
    with pytest.raises(InvalidInput, match=r"nowhere\.yaml: cannot be read"):
        read_settings(tmp_path / "nowhere.yaml", environ={})


def test_addresses_come_from_the_environment_and_default_to_var() -> None:
    """Whatever the current folder."""
    default = read_settings(environ={}).environment
    given = read_settings(
        environ={
            "MLFLOW_TRACKING_URI": "http://127.0.0.1:5000",
            "SIGNOFF_LEDGER_URL": "sqlite:////l",
            "SIGNOFF_ACTOR": "a",
        }
    ).environment

    assert default.tracking_uri == f"sqlite:///{VAR / 'mlflow.db'}"
    assert (given.tracking_uri, given.ledger_url, given.actor) == ("http://127.0.0.1:5000", "sqlite:////l", "a")


def test_whom_to_tell_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    """Such addresses hold secrets: no settings have them, and no message shows them."""
    file = tmp_path / "targets"
    file.write_text("# the team\n\nmailto://secret@a\n  json://b \n")
    several = {"SIGNOFF_NOTIFY_URLS": "mailto://secret@a\n json://b"}
    environments = [
        read_settings(environ=each).environment for each in ({}, several, {"SIGNOFF_NOTIFY_FILE": str(file)})
    ]

    assert [each.notify_targets() for each in environments] == [[], *2 * [["mailto://secret@a", "json://b"]]]
    assert "secret" not in repr(environments[1])
    with pytest.raises(InvalidInput, match="set one of them"):
        read_settings(environ={**several, "SIGNOFF_NOTIFY_FILE": str(file)}).environment.notify_targets()
    for content, why in ((None, "No such file or directory"), (b"\xff", "it is not in UTF-8")):
        named = tmp_path / f"named-{content is None}"
        if content is not None:
            named.write_bytes(content)
        with pytest.raises(InvalidInput, match=why):
            read_settings(environ={"SIGNOFF_NOTIFY_FILE": str(named)}).environment.notify_targets()


def test_signoff_params_names_another_file(tmp_path: Path) -> None:
    """As the command line and the dashboard read it."""
    file = changed(tmp_path, lambda c: c["registry"].update(model_name="other"))

    assert read_settings(environ={"SIGNOFF_PARAMS": str(file)}).registry.model_name == "other"
