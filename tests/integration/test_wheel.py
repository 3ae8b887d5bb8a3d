"""An installed wheel, away from any checkout: `signoff check`, and the steps of action.yml."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from pipeline.settings import ROOT
from support.small_desk import copy_desk


def run(*command: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    bare = {"PATH": os.defpath, "HOME": str(cwd), "MLFLOW_DISABLE_TELEMETRY": "true", **(environment or {})}
    return subprocess.run(command, cwd=cwd, env=bare, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As the runner's temporary folder: `signoff/` in it has the wheel, and the libraries of this environment."""
    folder = tmp_path_factory.mktemp("runner")
    source = folder / "source"  # built in a copy: a build leaves folders beside the code
    source.mkdir()
    for name in ("pipeline", "dashboard"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "params.yaml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    built = run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", folder, source, cwd=folder)
    assert built.returncode == 0, built.stderr
    home = folder / "signoff"
    assert run(sys.executable, "-m", "venv", "--without-pip", home, cwd=folder).returncode == 0
    packages = next((home / "lib").glob("python*/site-packages"))
    # A folder that a .pth file names is searched, but its own .pth files, such as the checkout's, are not read.
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = folder.glob("signoff-*.whl")
    done = run(*pip, "--python", home, "install", "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=folder)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)
    return folder


def test_an_installed_wheel_checks_in_an_empty_folder(temporary: Path, demo_desk: Path, tmp_path: Path) -> None:
    """With the default settings that it carries; the folder is as empty afterwards, the registry's files unchanged."""
    environment = copy_desk(demo_desk, tmp_path / "desk")
    empty = tmp_path / "empty"
    empty.mkdir()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "desk").rglob("*")}
    registry = {"MLFLOW_TRACKING_URI": environment["MLFLOW_TRACKING_URI"]}
    command = (temporary / "signoff" / "bin" / "signoff", "check", "obesity_classifier", "--to", "Production", "--json")
    done = run(*command, cwd=empty, environment=registry)

    assert done.returncode == 0, done.stderr
    assert [(each["version"], each["open"]) for each in json.loads(done.stdout)] == [(4, True)]
    assert list(empty.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "desk").rglob("*")} == before


def test_without_a_checkout_the_state_is_that_of_the_current_folder(temporary: Path, tmp_path: Path) -> None:
    """Not a folder among the libraries, which may be read-only and is everybody's."""
    code = "from pipeline.settings import VAR, read_settings; print(VAR, read_settings().environment.ledger_url)"
    done = run(temporary / "signoff" / "bin" / "python", "-c", code, cwd=tmp_path)

    assert done.stdout.split() == [str(tmp_path / "var"), f"sqlite:///{tmp_path / 'var' / 'ledger.db'}"], done.stderr


def test_the_action_writes_its_report_and_fails_where_a_move_is_closed(
    temporary: Path, demo_desk: Path, tmp_path: Path
) -> None:
    """The step as action.yml has it, with inputs of several lines."""
    environment = copy_desk(demo_desk, tmp_path)
    _, check = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))["runs"]["steps"]
    inputs = {
        "MODELS": "obesity_classifier\nobesity_classifier@champion",
        "TO": "Archived",
        "FORMAT": "sarif",
        "OUTPUT": "found.sarif",
        "MLFLOW_TRACKING_URI": environment["MLFLOW_TRACKING_URI"],
        "SIGNOFF_LEDGER_URL": "",
        "SIGNOFF_PARAMS": "",
    }
    assert set(check["env"]) == set(inputs)
    command = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", check["run"])  # as GitHub starts it
    done = run(*command, cwd=tmp_path, environment={**inputs, "RUNNER_TEMP": str(temporary)})

    assert done.returncode == 3, done.stderr
    results = json.loads((tmp_path / "found.sarif").read_text(encoding="utf-8"))["runs"][0]["results"]
    assert [result["ruleId"] for result in results] == ["not_champion"]
