"""A smoke prediction: a version's own input example, predicted in a process that may crash."""

import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pipeline.governance.errors import IntegrityFailure, Refused, Unavailable
from pipeline.governance.evidence import manifest_digest
from pipeline.governance.ports import Registry, VersionRecord
from pipeline.serving.loader import MOST_BYTES, MOST_FILES, files_of
from pipeline.serving.worker import BrokenFrame, read_frame, write_frame
from pipeline.settings import ROOT

LONGEST_LABEL = 80


@dataclass(frozen=True)
class SubprocessSmoke:
    """Copies the files, hashes the copy, and lets the worker load that copy and nothing else."""

    registry: Registry
    seconds: float
    memory_megabytes: int
    allowed_types: tuple[str, ...]

    def predict(self, record: VersionRecord, *, file_digest: str) -> str:
        """What was predicted, in words, such as "predicts Obesity_Type_I for its input example".

        Raises IntegrityFailure where the files are not those of the digest; Refused with the reason where they do not
        load under the policy, crash, or exceed time or memory; NotFound and Unavailable as the registry does.
        """
        with tempfile.TemporaryDirectory(prefix="signoff-", ignore_cleanup_errors=True) as private:
            folder = Path(private) / "model"
            home = Path(private) / "home"  # the worker's current folder: never the model's, Python imports from there
            home.mkdir()
            self._copy(record, folder)
            if manifest_digest(files_of(folder)) != file_digest:
                raise IntegrityFailure(f"{_label(record)}: the files are not those that were looked at")
            return _in_words(record, self._ask(record, folder, home))

    def _copy(self, record: VersionRecord, folder: Path) -> None:
        """Into a folder that the temporary one above (0700) keeps from other users."""
        folder.mkdir()
        files = self.registry.files(record, fresh=True).files
        if len(files) > MOST_FILES or sum(file.size for file in files) > MOST_BYTES:
            raise Refused(f"{_label(record)}: the model has too many files or bytes")
        for file in files:
            if "\0" in file.path or not (folder / file.path).resolve().is_relative_to(folder.resolve()):
                raise Refused(f"{_label(record)}: a file's path leaves the model's folder")
            _write(folder / file.path, self.registry.read_file(record, file.path))

    def _ask(self, record: VersionRecord, folder: Path, home: Path) -> dict[str, Any]:
        request = BytesIO()
        content = {"op": "smoke", "folder": str(folder), "allowed_types": list(self.allowed_types)}
        limits = {"memory_megabytes": self.memory_megabytes, "cpu_seconds": self.seconds}
        write_frame(request, content | limits)
        try:
            done = subprocess.run(
                # -P: the current folder is no place to import from.
                [sys.executable, "-P", "-m", "pipeline.serving.worker"],
                input=request.getvalue(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self.seconds,
                cwd=home,
                env=_environment(home),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Refused(f"{_label(record)} did not answer within {self.seconds:g} s") from error
        return self._judge(record, done)

    def _judge(self, record: VersionRecord, done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
        if done.returncode != 0:
            raise Refused(f"{_label(record)} crashed the process that tried it ({_ending(done.returncode)})")
        try:
            answer = read_frame(BytesIO(done.stdout))
        except BrokenFrame as error:
            raise Refused(f"{_label(record)}: the answer cannot be read ({error})") from error
        if answer is None or ("error" not in answer and "prediction" not in answer):
            raise Refused(f"{_label(record)}: there was no answer")
        if answer.get("kind") == "memory":
            raise Refused(f"{_label(record)} needs more than {self.memory_megabytes} MB of memory")
        if "error" in answer:
            separator = ":" if answer.get("kind") == "refused" else ""
            raise Refused(f"{_label(record)}{separator} {answer['error']}")
        return answer


def _write(target: Path, content: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise Unavailable(f"the model's files cannot be copied ({error.strerror})") from error


def _environment(home: Path) -> dict[str, str]:
    """Nothing of ours: no tracking address, no credentials. One thread, so that memory does not grow with the cores."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return {"PATH": os.defpath, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **threads}


def _ending(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def _in_words(record: VersionRecord, answer: dict[str, Any]) -> str:
    prediction = answer["prediction"]
    if not isinstance(prediction, list) or not prediction:
        raise Refused(f"{_label(record)} predicts nothing for its input example")
    first = prediction[0]
    # Labels come from a stranger's file: one line, and not a long one.
    text = f"{first:g}" if isinstance(first, float) else " ".join(str(first).split())[:LONGEST_LABEL]
    more = f" and {len(prediction) - 1} more" if len(prediction) > 1 else ""
    return f"predicts {text}{more} for its input example"


def _label(record: VersionRecord) -> str:
    return f"version {record.row.version} of {record.row.model}"
