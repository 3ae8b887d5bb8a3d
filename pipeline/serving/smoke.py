"""A smoke prediction: a version's own input example, predicted in a process that may crash."""

import subprocess
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from pipeline.governance.errors import Refused
from pipeline.governance.ports import Registry, VersionRecord
from pipeline.serving.copies import copy_files, label
from pipeline.serving.frames import BrokenFrame, read_frame, write_frame
from pipeline.serving.launch import COMMAND, ending
from pipeline.serving.launch import environment as _environment

LONGEST_LABEL = 80


@dataclass(frozen=True)
class SubprocessSmoke:
    """Copies the files, hashes the copy, and lets the worker load that copy and nothing else."""

    registry: Registry
    seconds: float
    memory_megabytes: int
    allowed_types: tuple[str, ...]
    trust: str = "allow_list"

    def predict(self, record: VersionRecord, *, file_digest: str) -> str:
        """What was predicted, in words, such as "predicts Obesity_Type_I for its input example".

        Raises IntegrityFailure where the files are not those of the digest; Refused with the reason where they do not
        load under the policy, crash, or exceed time or memory; NotFound and Unavailable as the registry does.
        """
        with tempfile.TemporaryDirectory(prefix="signoff-", ignore_cleanup_errors=True) as private:
            folder = Path(private) / "model"
            home = Path(private) / "home"  # the worker's current folder: never the model's, Python imports from there
            home.mkdir()
            copy_files(self.registry, record, folder, digest=file_digest)
            return _in_words(record, self._ask(record, folder, home))

    def _ask(self, record: VersionRecord, folder: Path, home: Path) -> dict[str, Any]:
        request = BytesIO()
        content = {"op": "smoke", "folder": str(folder), "allowed_types": list(self.allowed_types), "trust": self.trust}
        limits = {"memory_megabytes": self.memory_megabytes, "cpu_seconds": self.seconds}
        write_frame(request, content | limits)
        try:
            done = subprocess.run(  # noqa: S603 (our own program, no argument from outside)
                COMMAND,
                input=request.getvalue(),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self.seconds,
                cwd=home,
                env=_environment(home),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Refused(f"{label(record)} did not answer within {self.seconds:g} s") from error
        return self._judge(record, done)

    def _judge(self, record: VersionRecord, done: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
        if done.returncode != 0:
            raise Refused(f"{label(record)} crashed the process that tried it ({ending(done.returncode)})")
        try:
            answer = read_frame(BytesIO(done.stdout))
        except BrokenFrame as error:
            raise Refused(f"{label(record)}: the answer cannot be read ({error})") from error
        if answer is None or ("error" not in answer and "prediction" not in answer):
            raise Refused(f"{label(record)}: there was no answer")
        if answer.get("kind") == "memory":
            raise Refused(f"{label(record)} needs more than {self.memory_megabytes} MB of memory")
        if "error" in answer:
            separator = ":" if answer.get("kind") in {"refused", "untrusted"} else ""
            raise Refused(f"{label(record)}{separator} {answer['error']}")
        return answer


def _in_words(record: VersionRecord, answer: dict[str, Any]) -> str:
    prediction = answer["prediction"]
    if not isinstance(prediction, list) or not prediction:
        raise Refused(f"{label(record)} predicts nothing for its input example")
    first = prediction[0]
    # Labels come from a stranger's file: one line, and not a long one.
    text = f"{first:g}" if isinstance(first, float) else " ".join(str(first).split())[:LONGEST_LABEL]
    more = f" and {len(prediction) - 1} more" if len(prediction) > 1 else ""
    return f"predicts {text}{more} for its input example"
