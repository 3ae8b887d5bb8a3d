"""The interpreter that a rebuild gets: real virtual environments."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.governance.errors import Unavailable
from pipeline.reproduce.reproduce import fresh_interpreter
from support.soak import only_in_soak


def shim(folder: Path, environment: pytest.MonkeyPatch, last: str) -> None:
    """First on the path a pyenv shim of Python 3.98, which ends with these lines."""
    path = folder / "bin" / "python3.98"
    path.parent.mkdir()
    path.write_text(f"#!/bin/sh\n{last}\n")
    path.chmod(0o755)
    environment.setenv("PATH", str(path.parent), prepend=":")


def test_a_fresh_interpreter_has_only_what_the_commit_asks_for(tmp_path, monkeypatch):
    """A virtual environment of its own, by this Python where the recorded one does not run, as a shim of a version that
    is not active; what cannot be installed is one sentence.
    """
    shim(tmp_path, monkeypatch, "exit 1")
    (tmp_path / "requirements.txt").write_text("")
    interpreter = fresh_interpreter(tmp_path, tmp_path / "venv", python="3.98.1")
    tried = subprocess.run([interpreter, "-c", "import numpy"], capture_output=True, text=True, check=False)

    assert "No module named 'numpy'" in tried.stderr
    assert interpreter.is_relative_to(tmp_path)
    (tmp_path / "requirements.txt").write_text("./nowhere\n")
    with pytest.raises(Unavailable, match="the recorded packages cannot be installed: "):
        fresh_interpreter(tmp_path, Path(tmp_path / "venv"), python="3.99.0")


@only_in_soak
def test_the_recorded_python_is_taken_where_it_runs(tmp_path, monkeypatch):
    """It makes the virtual environment."""
    used = tmp_path / "used"
    shim(tmp_path, monkeypatch, f'echo "$@" >> {used}\nexec {sys.executable} "$@"')
    (tmp_path / "requirements.txt").write_text("")

    assert fresh_interpreter(tmp_path, tmp_path / "venv", python="3.98.1").is_file()
    assert "-m venv" in used.read_text()
