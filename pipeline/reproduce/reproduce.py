"""REPRODUCE: rebuilds a version from its recorded commit, data, settings and environment, and lists what differs.

The rebuild is a process in a git worktree of its own. It gets no address of the registry or the ledger, and nothing
that came from the registry is run: the commit is one of our own, the settings are data.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from pipeline.governance.errors import InvalidInput, NotFound, Unavailable
from pipeline.governance.ports import Json, ModelReader
from pipeline.governance.record.documents import entry_of
from pipeline.reproduce import rebuild
from pipeline.reproduce.differences import (
    Rebuilt,
    RebuiltDifference,
    Verdict,
    check_predictions,
    other_conditions,
    result_differences,
    verdict,
)
from pipeline.reproduce.recorded import REBUILT, RecordedVersion, read_recorded
from pipeline.serving.worker.launch.processes import environment as bare_environment
from pipeline.settings import Settings
from pipeline.training.data import SAMPLE, SAMPLE_NAME
from pipeline.training.files import read_json
from pipeline.training.lineage import THREAD_VARIABLES, git
from pipeline.training.train import Progress

# The code of a recorded commit in a folder of its own, and an interpreter to run it with.

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
    base = shutil.which(f"python{'.'.join(python.split('.')[:2])}")
    # A pyenv shim exists for versions that are not active, and does not run.
    if base is None or subprocess.run([base, "-c", USABLE], capture_output=True, check=False).returncode:  # noqa: S603
        base = sys.executable
    _install([base, "-m", "venv", str(folder)], code)
    interpreter = folder / "bin" / "python"
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt")
    _install([str(interpreter), *pip], code)
    return interpreter


def _install(command: Sequence[str], folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise Unavailable(f"the recorded packages cannot be installed: {lines[-1][:200]}")


STEPS = ("check out", "prepare", "fit", "evaluate", "compare")


@dataclass(frozen=True)
class Reproduction:
    """The result of a rebuild."""

    model: str
    version: int
    # Whose code was run.
    commit: str
    # Rows whose predictions were compared, and the largest difference of a probability.
    rows: int
    largest_difference: float
    # What a rebuild must give again and did not.
    differences: tuple[RebuiltDifference, ...]
    # Where its environment was another.
    conditions: tuple[RebuiltDifference, ...]
    # What was not recorded, in sentences.
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        return verdict(self.differences, self.conditions)

    @property
    def differs(self) -> bool:
        """Whether the rebuild differs by more than rounding."""
        return self.verdict is Verdict.DIFFERS

    def as_json(self) -> dict[str, Json]:
        return {
            "model": self.model,
            "version": self.version,
            "commit": self.commit,
            "verdict": self.verdict.value,
            "identical": self.verdict is Verdict.IDENTICAL,
            "rows": self.rows,
            "largest_difference": self.largest_difference,
            "differences": [each.as_json() for each in self.differences],
            "conditions": [each.as_json() for each in self.conditions],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class ReproduceOptions:
    """What a person may choose for a rebuild."""

    # The file that the version was trained on, if it is not where data.source points.
    data: Path | None = None
    # Whether the commit's own packages are installed in a new environment, instead of using those of this process.
    install: bool = False


def reproduce(
    reader: ModelReader,
    model: str,
    version: int,
    *,
    settings: Settings,
    options: ReproduceOptions,
    progress: Progress,
) -> Reproduction:
    """Rebuilds a version and compares. Raises NotFound for what is not here, Refused for another producer's version."""
    recorded = read_recorded(reader, model, version)
    commit = recorded.lineage.git.commit
    if commit is None:
        raise NotFound(f"{recorded.label}: was trained outside a git checkout, so its code is not recorded")
    require_commit(commit)
    data = _data_file(recorded, options.data, Path(settings.data.source))
    with TemporaryDirectory(prefix="signoff-reproduce-") as scratch:
        rebuilt = _rebuild(recorded, commit, Path(scratch), data=data, install=options.install, progress=progress)
    predictions = check_predictions(recorded.rows, rebuilt.rows)
    return Reproduction(
        model=model,
        version=version,
        commit=commit,
        rows=predictions.n,
        largest_difference=predictions.largest_difference,
        differences=tuple(result_differences(recorded, rebuilt, predictions)),
        conditions=tuple(other_conditions(recorded, rebuilt)),
        notes=recorded.notes,
    )


def _data_file(recorded: RecordedVersion, given: Path | None, own: Path) -> Path | None:
    """The file whose bytes are the recorded ones, None for the sample, which the recorded code generates.

    own: what the settings of now name; taken where it has the recorded name. Raises NotFound, InvalidInput.
    """
    facts, label = recorded.lineage.data, recorded.label
    if facts.source == SAMPLE_NAME:
        if given is not None:
            raise InvalidInput(f"{given}: {label} was trained on {SAMPLE_NAME}; leave --data away")
        return None
    path = given or (own if own.name == facts.source else None)
    if path is None or not path.is_file():
        missing = f"{path}: is no file" if path else f"{facts.source}: is not where data.source points"
        raise NotFound(f"{missing}; give the data of {label} (sha256 {facts.sha256}) with --data FILE")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != facts.sha256:
        raise InvalidInput(
            f"{path}: has sha256 {found}, but {label} was trained on {facts.source} with {facts.sha256}; "
            "give that file with --data FILE"
        )
    return path.resolve()


def _rebuild(
    recorded: RecordedVersion, commit: str, scratch: Path, *, data: Path | None, install: bool, progress: Progress
) -> Rebuilt:
    progress(0, len(STEPS), "check out and install" if install else "check out")
    with worktree(commit, scratch / "code") as code:
        python = str(recorded.environment.python or "")
        interpreter = fresh_interpreter(code, scratch / "venv", python=python) if install else Path(sys.executable)
        params = scratch / "params.yaml"
        params.write_text(json.dumps(_params(recorded, code, data)), encoding="utf-8")
        command = [
            str(interpreter),
            "-P",
            str(rebuild.__file__),
            str(code),
            str(params),
            REBUILT,
            str(scratch / "work"),
        ]
        environment = _environment(recorded, code, scratch)
        _run(command + ([str(data)] if data else []), code, environment=environment, progress=progress)
    progress(len(STEPS) - 1, len(STEPS), "compare")
    return _rebuilt(scratch / "work")


def _params(recorded: RecordedVersion, code: Path, data: Path | None) -> dict[str, Any]:
    """params.yaml of the commit under the recorded settings; what they do not name has no part in the training."""
    try:
        content = yaml.safe_load((code / "params.yaml").read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(f"commit {recorded.lineage.git.commit}: has no params.yaml") from error
    source = {"source": str(data) if data else SAMPLE}
    return {
        **content,
        **recorded.settings,
        "data": {**content["data"], **entry_of(recorded.settings, "data"), **source},
    }


def _environment(recorded: RecordedVersion, code: Path, scratch: Path) -> dict[str, str]:
    """The variables of the rebuild: recorded threads, and addresses that lead to no registry and no ledger."""
    bare = {name: text for name, text in bare_environment(scratch).items() if name not in THREAD_VARIABLES}
    set_then = {name: recorded.environment.threads.get(name) for name in THREAD_VARIABLES}
    return {
        **bare,
        **{name: text for name, text in set_then.items() if isinstance(text, str) and re.fullmatch(r"\d{1,4}", text)},
        "PYTHONPATH": str(code),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{scratch / 'nowhere' / 'mlflow.db'}",
        "SIGNOFF_LEDGER_URL": f"sqlite:///{scratch / 'nowhere' / 'ledger.db'}",
    }


def _run(command: list[str], folder: Path, *, environment: Mapping[str, str], progress: Progress) -> None:
    with (folder.parent / "errors.txt").open("w+", encoding="utf-8", errors="replace") as errors:
        with subprocess.Popen(  # noqa: S603 (our own code)
            command, cwd=folder, env=dict(environment), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process:
            for line in process.stdout or ():
                if line.strip() in STEPS:
                    progress(STEPS.index(line.strip()), len(STEPS), line.strip())
        errors.seek(0)
        if process.returncode:
            lines = errors.read().strip().splitlines() or ["it gave no reason"]
            raise Unavailable(f"the recorded code does not run here: {lines[-1][:300]}")


def _rebuilt(work: Path) -> Rebuilt:
    origin = work / REBUILT / "origin.json"
    return Rebuilt(
        data=read_json(work / "data.json"),
        fit=read_json(work / REBUILT / "fit.json"),
        evaluation=read_json(work / REBUILT / "evaluation.json"),
        rows=(work / REBUILT / "evaluation_rows.parquet").read_bytes(),
        # Code before origin.json records the interpreter and the packages only, and so did its versions.
        environment={
            **read_json(work / "installed.json"),
            **(read_json(origin)["environment"] if origin.exists() else {}),
        },
    )
