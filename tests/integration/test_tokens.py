"""Identity tokens and roles on the command line, over a real ledger: who acts, and who is nobody."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from pipeline.bootstrap import own_desk
from pipeline.cli import app
from pipeline.settings import read_settings
from support.small_desk import copy_desk

MODEL = "obesity_classifier"
REASON = "Better than the champion in every class."
Verb = Callable[..., Any]
ALWAYS = {"demo", "train", "reconcile", "serve", "ledger upgrade"}  # the desk's own programs, and those without a desk


@pytest.fixture(scope="module")
def filled(demo_desk: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """What `signoff demo` leaves behind."""
    folder = tmp_path_factory.mktemp("filled")
    return folder, dict(copy_desk(demo_desk, folder))


@pytest.fixture
def folder(filled: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ledger and settings of this test's own, and a person called grace; the registry is only read."""
    there, environment = filled
    params = Path(shutil.copy(environment["SIGNOFF_PARAMS"], tmp_path / "params.yaml"))
    shutil.copy(there / "ledger.db", tmp_path)
    places = {"SIGNOFF_PARAMS": str(params), "SIGNOFF_LEDGER_URL": f"sqlite:///{tmp_path / 'ledger.db'}"}
    for name, value in {**environment, **places, "SIGNOFF_ACTOR": "grace"}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def with_login(folder: Path, **roles: object) -> None:
    """People log in from now on, and section `policy.roles` is this one."""
    file = folder / "params.yaml"
    content = yaml.safe_load(file.read_text())
    content["identity"] = {"provider": "oidc"}
    content["policy"]["roles"] |= roles
    file.write_text(yaml.safe_dump(content))


def test_a_token_is_printed_once_and_acts_for_its_owner(
    folder: Path, call: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the variable or a file; both are one too many; revoked, it is nobody."""
    code, made, _ = call("token", "new", "ci", "--role", "reviewer", "--days", "30")
    assert (code, made["token"].startswith("signoff_"), made["role"]) == (0, True, "reviewer")
    _, listed, _ = call("token", "list")
    assert made["token"] not in str(listed)
    assert [(each["name"], each["owner"], each["last_used_at"]) for each in listed] == [
        ("ci", "self_declared|grace", None)
    ]

    (folder / "secret").write_text(f"{made['token']}\n")
    monkeypatch.setenv("SIGNOFF_TOKEN_FILE", str(folder / "secret"))
    code, last, _ = call("alias", MODEL, "shadow", "2", "--reason", REASON)
    assert (code, last["to"]) == (0, "@shadow")
    _, history, _ = call("history", MODEL)
    assert (history[-1]["actor"], history[-1]["established"]) == ("grace", "token")
    assert call("promote", MODEL, "2", "Production", "--reason", REASON)[0] == 3
    code, _, error = call("override", MODEL, "2", "--to", "Production", "--reason", REASON)
    assert (code, "'grace' has the role reviewer" in error) == (3, True)
    monkeypatch.setenv("SIGNOFF_TOKEN", made["token"])
    assert call("models")[0] == 2
    monkeypatch.delenv("SIGNOFF_TOKEN_FILE")
    code, ended, _ = call("token", "revoke", "ci")
    assert (code, ended["state"]) == (0, "revoked")
    code, _, error = call("models")
    assert (code, error) == (3, "NotAllowed: actor: the token is not accepted\n")


def test_where_people_log_in_a_command_line_needs_a_token(
    folder: Path, call: Verb, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one is made at the machine; its owner then makes the others."""
    with_login(folder)
    assert call("models")[0] == 3
    assert call("token", "new", "ci", "--role", "admin", "--days", "1")[0] == 3
    code, made, _ = call("token", "new", "first", "--role", "admin", "--days", "7", "--bootstrap")
    assert code == 0
    assert call("token", "new", "again", "--role", "admin", "--days", "7", "--bootstrap")[0] == 3

    monkeypatch.setenv("SIGNOFF_TOKEN", made["token"])
    assert [each["name"] for each in call("models")[1]] == [MODEL]
    assert call("alias", MODEL, "shadow", "2", "--reason", REASON)[0] == 3
    assert call("token", "new", "second", "--role", "admin", "--days", "1")[0] == 0
    found = own_desk(read_settings()).first_token()
    assert found is not None
    assert found.name == "first"


COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
VERBS = sorted(name for name, command in COMMANDS.items() if name not in ALWAYS and not hasattr(command, "commands"))
GIVEN = {
    **dict.fromkeys(("model", "models", "reference"), MODEL),
    **dict.fromkeys(("stage", "to"), "Staging"),
    **dict.fromkeys(("version", "b", "decision", "number", "finding"), "2"),
    "a": "1",
    "row": "{}",
    "reason": REASON,
}


NEEDED = {"request": ["2", "--to", "Staging"], "override": ["2", "--to", "Staging"]}  # beside what they always need


def arguments(verb: str) -> list[str]:
    """Whatever the verb cannot do without; who asks is known before any of it is looked up."""
    words = [verb]
    for each in COMMANDS[verb].params:
        value = GIVEN.get(each.name, "x")
        if each.required:
            words += [value] if each.param_type_name == "argument" else [each.opts[0], value]
    return [*words, *NEEDED.get(verb, [])]


def test_no_verb_answers_nobody(folder: Path, call: Verb) -> None:
    """Where people log in and no token is shown: exit code 3, one sentence, nothing on standard output."""
    with_login(folder)
    answers = {verb: call(*arguments(verb)) for verb in VERBS}
    sentence = "NotAllowed: actor: 'grace' has no role here"
    expected = dict.fromkeys(VERBS, (3, None))

    assert {verb: (code, shown) for verb, (code, shown, _) in answers.items()} == expected
    assert [error for _, _, error in answers.values() if not error.startswith(sentence)] == []
