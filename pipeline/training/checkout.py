"""The project's own git checkout: which commit its code is, and how it differs from it."""

import shutil
import subprocess
from typing import Any

from pipeline.settings import ROOT

GIT_SECONDS = 10
# What DVC writes while it runs: it is no code and changes nothing.
NOT_CODE = ":(exclude)dvc.lock"
MOST_CHANGED = 20


def git_state() -> dict[str, Any]:
    """Commit and which files differ from it; nulls where the project is no checkout or git is not there."""
    commit = git("rev-parse", "HEAD")
    listed = None if commit is None else git("diff", "--name-only", "HEAD", "--", ".", NOT_CODE)
    if listed is None:
        return {"commit": commit, "dirty": None, "changed": None}
    changed = listed.splitlines()
    return {"commit": commit, "dirty": bool(changed), "changed": changed[:MOST_CHANGED]}


def git(*arguments: str, seconds: float = GIT_SECONDS) -> str | None:
    """What git prints, stripped; None where it fails, is not installed, or the project is no checkout."""
    program = shutil.which("git")
    if program is None or not (ROOT / ".git").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 (a fixed command)
            [program, *arguments], cwd=ROOT, capture_output=True, text=True, check=True, timeout=seconds
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
