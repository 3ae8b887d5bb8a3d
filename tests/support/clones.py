"""A git repository with the files of this one as they are now, and commands that run in it as a user would run them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.settings import ROOT
from support.small_desk import small_params

TREES = {"estimator": "random_forest", "parameters": {"n_estimators": 20, "max_depth": 8}}
LINES = {"estimator": "logistic_regression", "parameters": {"C": 1.0, "max_iter": 2000}}
COMMAND_SECONDS = 500


def small_content(candidates: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The project's settings with two small candidates and little to evaluate."""
    return small_params(candidates or {"trees": TREES, "lines": LINES}, rows=500)


def write_params(file: Path, content: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def clone_project(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """Every file that is tracked here, or new and not ignored, with settings (small ones by default), committed."""
    listed = command(ROOT, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in listed.split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    write_params(folder / "params.yaml", content or small_content())
    command(folder, "git", "init", "--quiet", "--initial-branch", "main")
    commit(folder, "Small candidates")
    return folder


def commit(folder: Path, subject: str) -> str:
    """Everything that is not ignored; gives the commit."""
    command(folder, "git", "add", "--all")
    who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
    command(folder, "git", *who, "commit", "--quiet", "--allow-empty", "--message", subject)
    return command(folder, "git", "rev-parse", "HEAD").strip()


def attempt(
    folder: Path, *arguments: str, given: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """With this interpreter's programs first on the path, and nothing of whoever runs the tests."""
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_SITE_CACHE_DIR": str(folder / "var" / "dvc" / "site"),
        **variables,
    }
    return subprocess.run(
        arguments,
        input=given,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def command(folder: Path, *arguments: str, given: str | None = None, **variables: str) -> str:
    """What the command prints; it must end well. given: its standard input."""
    done = attempt(folder, *arguments, given=given, **variables)
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout
