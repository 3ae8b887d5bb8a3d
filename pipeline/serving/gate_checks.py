"""A smoke prediction: a version's own input example, predicted in a process that may crash."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.governance.errors import NotTried, Refused
from pipeline.governance.ports import Registry, VersionRecord
from pipeline.serving.worker.client import START_SECONDS, Asked, Worker, WorkerRefusal
from pipeline.serving.worker.copies import copy_files, label

LONGEST_LABEL = 80
NOT_TRIED = {"untrusted", "not_here", "no_input_example"}  # kinds of refusal that say nothing against the version


def one_worker(memory_megabytes: int) -> Asked:
    return Worker(memory_megabytes=memory_megabytes)


@dataclass(frozen=True)
class SubprocessSmoke:
    """Copies the files, hashes the copy, and lets a worker of its own load that copy and nothing else.

    seconds: for loading and predicting, counted from when the worker's libraries are imported.
    """

    registry: Registry
    seconds: float
    memory_megabytes: int
    allowed_types: tuple[str, ...]
    trust: str = "allow_list"
    started: Callable[[int], Asked] = one_worker

    def predict(self, record: VersionRecord, *, file_digest: str) -> str:
        """What was predicted, in words, such as "predicts Obesity_Type_I for its input example".

        Raises IntegrityFailure where the files are not those of the digest; NotTried where the policy does not load
        them, or there is no example; Refused with the reason where they do not load, crash, or exceed time or memory;
        NotFound and Unavailable as the registry does.
        """
        with tempfile.TemporaryDirectory(prefix="signoff-", ignore_cleanup_errors=True) as private:
            folder = Path(private) / "model"
            copy_files(self.registry, record, folder, digest=file_digest)
            return _in_words(record, self._ask(record, folder))

    def _ask(self, record: VersionRecord, folder: Path) -> dict[str, Any]:
        policy = {"allowed_types": list(self.allowed_types), "trust": self.trust}
        worker = self.started(self.memory_megabytes)
        try:
            worker.ask({"op": "ping", "trust": self.trust}, seconds=START_SECONDS, about="the worker")
            request = {"op": "smoke", "folder": str(folder), **policy}
            return worker.ask(request, seconds=self.seconds, about=label(record))
        except WorkerRefusal as refusal:
            if refusal.kind in NOT_TRIED:
                raise NotTried(str(refusal)) from refusal
            raise
        finally:
            worker.stop()


def _in_words(record: VersionRecord, answer: dict[str, Any]) -> str:
    prediction = answer.get("prediction")
    if not isinstance(prediction, list) or not prediction:
        raise Refused(f"{label(record)} predicts nothing for its input example")
    first = prediction[0]
    # Labels come from a stranger's file: one line, and not a long one.
    text = f"{first:g}" if isinstance(first, float) else " ".join(str(first).split())[:LONGEST_LABEL]
    more = f" and {len(prediction) - 1} more" if len(prediction) > 1 else ""
    return f"predicts {text}{more} for its input example"
