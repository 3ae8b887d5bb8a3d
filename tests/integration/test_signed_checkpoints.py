"""Checkpoints that are signed, from `keys new` to `verify`, on one host and on two."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.conftest import Call
from support.small_desk import copy_desk

MODEL = "obesity_classifier"
REASON = "Better than the champion in every class."


class Host:
    """A desk of its own environment, which shares registry and ledger with another host."""

    def __init__(self, folder: Path, environment: dict[str, str], call: Call, patch: pytest.MonkeyPatch) -> None:
        self.folder, self.environment, self._call, self._patch = folder, environment, call, patch

    def run(self, *arguments: Any) -> tuple[int, Any, str]:
        for name, value in self.environment.items():
            self._patch.setenv(name, value)
        return self._call(*arguments)

    def lines(self) -> list[dict[str, Any]]:
        file = Path(self.environment["SIGNOFF_CHECKPOINT_FILE"])
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def alias(self, name: str) -> dict[str, Any]:
        code, outcome, said = self.run("alias", MODEL, name, 3, "--accept-warnings", "--reason", REASON)
        assert code == 0, said
        return dict(outcome)

    def problems(self, *options: Any) -> list[str]:
        _, found, _ = self.run("verify", *options)
        return [each["text"] for each in found["problems"]]


@pytest.fixture
def hosts(demo_desk: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch) -> tuple[Host, Host]:
    """Two, each with a key, whose public halves hold from the next event on; and the checkpoints from before."""
    environment = {**copy_desk(demo_desk, tmp_path / "desk")}
    before = (tmp_path / "desk" / "ledger.checkpoints.jsonl").read_text()
    made = []
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.jsonl").write_text(before)
        own = {"SIGNOFF_CHECKPOINT_FILE": str(tmp_path / name / "own.jsonl")}
        made.append(Host(tmp_path / name, {**environment, **own}, call, monkeypatch))
    params = Path(environment["SIGNOFF_PARAMS"])
    keys = []
    for host in made:
        file = host.folder / "key.pem"
        code, key, said = host.run("keys", "new", file, "--name", host.folder.name)
        assert code == 0, said
        keys.append({"name": key["name"], "public": key["public"], "from": key["from"]})
        host.environment["SIGNOFF_SIGNING_KEY_FILE"] = str(file)
    content = yaml.safe_load(params.read_text())
    params.write_text(yaml.safe_dump({**content, "checkpoints": {"keys": keys}}))
    return made[0], made[1]


def test_each_host_signs_and_each_verifies_both(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """Older lines are unsigned; a forged line, a foreign key and a missing signature are said by name."""
    north, south = hosts
    assert north.problems() == []
    first, second = north.alias("one"), south.alias("two")

    assert [("signature" in line) for line in north.lines()[-2:]] == [False, True]
    assert north.problems("--checkpoint", south.folder / "own.jsonl") == []
    code, keys, _ = north.run("keys", "list")
    assert (code, [(each["name"], each["here"]) for each in keys]) == (0, [("north", True), ("south", False)])

    last = south.lines()[-1]
    assert last["sequence"] == second["sequence"] + 1 > first["sequence"]
    forged = tmp_path / "forged.jsonl"
    for change, sentence in (
        ({"at": "2027-01-01T00:00:00.000000Z"}, "has a signature that does not fit the key 'south'"),
        ({"key": "0" * 16}, "is signed with the key 0000000000000000, which checkpoints.keys of params.yaml does not"),
        ({"key": None, "signature": None}, "is not signed, as it has to be by the key 'north' "),
    ):
        line = {name: value for name, value in {**last, **change}.items() if value is not None}
        forged.write_text(json.dumps(line) + "\n")
        (found,) = north.problems("--checkpoint", forged)
        assert found.startswith(f"event {last['sequence']}: its checkpoint {sentence}")


def test_a_host_without_its_key_decides_and_says_that_its_checkpoint_is_not_kept(hosts: tuple[Host, Host]) -> None:
    """It writes no line that verify would have to call wrong."""
    north, _ = hosts
    key = north.environment.pop("SIGNOFF_SIGNING_KEY_FILE")
    north._patch.delenv("SIGNOFF_SIGNING_KEY_FILE", raising=False)
    before = north.lines()
    outcome = north.alias("one")

    assert "must sign event" in outcome["notice"]
    assert "name its file in SIGNOFF_SIGNING_KEY_FILE" in outcome["notice"]
    assert (north.lines(), north.problems()) == (before, [])
    north.environment["SIGNOFF_SIGNING_KEY_FILE"] = f"{key}.gone"
    code, _, said = north.run("models")
    assert (code, said) == (
        2,
        f"InvalidInput: SIGNOFF_SIGNING_KEY_FILE: {key}.gone cannot be read (No such file or directory)\n",
    )


def test_a_decision_that_is_taken_home_has_the_keys_with_it(hosts: tuple[Host, Host], tmp_path: Path) -> None:
    """verify.py checks the signature with them."""
    number = hosts[0].alias("one")["sequence"]
    code, _, said = hosts[0].run("export", number, "--zip", tmp_path / "pack.zip")
    assert code == 0, said
    with zipfile.ZipFile(tmp_path / "pack.zip") as archive:
        names = [key["name"] for key in json.loads(archive.read("keys.json"))]

    assert names == ["north", "south"]
    assert "unchecked" not in verified(tmp_path / "pack.zip")


def test_a_decision_of_another_host_is_taken_home_with_its_checkpoints(
    hosts: tuple[Host, Host], tmp_path: Path
) -> None:
    """Without that host's file the pack says that nothing covers the decision; with it, whose signature does."""
    north, south = hosts
    number = north.alias("one")["sequence"]
    own, both = tmp_path / "own.zip", tmp_path / "both.zip"
    assert south.run("export", number, "--zip", own)[0] == 0
    code, _, said = south.run("export", number, "--zip", both, "--checkpoint", north.folder / "own.jsonl")
    assert code == 0, said
    alone, together = (verified(file) for file in (own, both))

    assert "no checkpoint covers event" in alone
    assert "no checkpoint covers event" not in together
    assert "the public keys came with the pack" in together  # by which the signature of the other host was checked
    foreign = tmp_path / "foreign.jsonl"
    foreign.write_text("")
    code, _, said = south.run("export", number, "--zip", both, "--checkpoint", foreign)
    assert (code, said) == (2, f"InvalidInput: checkpoint: {foreign} holds nothing of this registry\n")
    assert south.run("export", number, "--zip", both, "--checkpoint", tmp_path / "gone")[0] == 5


def verified(pack: Path) -> str:
    """What a bare Python says of a pack that is as it was made."""
    folder = pack.with_suffix("")
    with zipfile.ZipFile(pack) as archive:
        archive.extractall(folder)
    command = [sys.executable, "verify.py"]
    checked = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    return checked.stdout
