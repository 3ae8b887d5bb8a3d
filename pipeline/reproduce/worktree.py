"""The code of a recorded commit in a folder of its own, and an interpreter to run it with."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.governance.errors import NotFound, Unavailable
from pipeline.training.environment import git

CHECKOUT_SECONDS = 300
USABLE = "import ensurepip, sqlite3, ssl"
# Of a fetched pull request nobody here has said that it is our code.
OUR_REFS = ("refs/heads", "refs/tags", "refs/remotes")


def require_commit(commit: str) -> None:
    """The commit is our own: some branch or tag of this checkout, or HEAD, contains it. Raises NotFound."""
    known = git("cat-file", "-e", f"{commit}^{{commit}}") is not None
    contained = known and (
        git("for-each-ref", "--count=1", "--format=%(refname)", f"--contains={commit}", *OUR_REFS)
        or git("merge-base", "--is-ancestor", commit, "HEAD") is not None
    )
    if not contained:
        raise NotFound(f"commit {commit}: no branch or tag of this checkout contains it; fetch the one that does")


@contextmanager
def worktree(commit: str, folder: Path) -> Iterator[Path]:
    """The commit's files in `folder`, which is removed afterwards. Raises Unavailable."""
    git("worktree", "prune")
    # Without hooks: what a checkout runs on this machine is no part of the recorded code.
    add = ("-c", "core.hooksPath=/dev/null", "worktree", "add", "--detach", "--quiet", str(folder), commit)
    try:
        if git(*add, seconds=CHECKOUT_SECONDS) is None:
            raise Unavailable(f"commit {commit}: git cannot check it out into {folder}")
        yield folder
    finally:
        git("worktree", "remove", "--force", str(folder), seconds=CHECKOUT_SECONDS)


def fresh_interpreter(code: Path, folder: Path, *, python: str) -> Path:
    """A new virtual environment in `folder` with the commit's own requirements.txt. Raises Unavailable.

    python: the recorded version; another Python of the same minor release is taken, else this one.
    """
    wanted = f"python{'.'.join(python.split('.')[:2])}"
    base = next(filter(_runs, filter(None, [shutil.which(wanted)])), sys.executable)
    _run([base, "-m", "venv", str(folder)], code)
    interpreter = folder / "bin" / "python"
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
    _run([str(interpreter), *pip], code)
    return interpreter


def _runs(program: str) -> bool:
    """A pyenv shim exists for versions that are not active, and does not run."""
    return subprocess.run([program, "-c", USABLE], capture_output=True, check=False).returncode == 0  # noqa: S603


def _run(command: Sequence[str], folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise Unavailable(f"the recorded packages cannot be installed: {lines[-1][:200]}")
