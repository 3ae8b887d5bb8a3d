"""A smoke prediction: a version's own input example, predicted in a process that may crash."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.governance.documents import EVALUATION_ROWS
from pipeline.governance.errors import InvalidInput, NotFound, NotTried, Refused
from pipeline.governance.evidence import RecomputedMetrics
from pipeline.governance.ports import Registry, VersionRecord
from pipeline.serving.copies import copy_files, label
from pipeline.serving.worker.client import START_SECONDS, Asked, Worker, WorkerRefusal
from pipeline.settings import ServingSettings

if TYPE_CHECKING:
    from pipeline.comparison.rows import Rows


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


# A version's own bytes on its own evaluation rows: what they give now, to hold its claims against.

Answer = dict[str, Any]
MOST_AT_ONCE = 2_000  # rows, as JSON


@dataclass(frozen=True)
class WorkerRecomputer:
    """A worker of its own predicts from a private copy, and ends; the metrics are counted in this process."""

    registry: Registry
    serving: ServingSettings

    def recompute(self, record: VersionRecord, *, file_digest: str) -> RecomputedMetrics:
        """Every metric that the rows allow.

        Raises NotFound where there are no evaluation rows, InvalidInput where they cannot be used, Refused where the
        model does not load or predict under the policy, IntegrityFailure where the files are not those of the digest.
        """
        from pipeline.comparison.metrics import measure
        from pipeline.comparison.rows import read_rows

        with tempfile.TemporaryDirectory(prefix="signoff-", ignore_cleanup_errors=True) as private:
            folder = Path(private) / "model"
            copy_files(self.registry, record, folder, digest=file_digest)
            path = folder / EVALUATION_ROWS
            if not path.is_file():
                raise NotFound(f"{label(record)} came without evaluation rows")
            stored = read_rows(path.read_bytes(), label(record))
            answers = self._ask(record, stored, {"folder": str(folder), "digest": file_digest})
        now = _rows_now(stored, answers, label(record))
        return RecomputedMetrics(len(stored), measure(now), int((now.predicted != stored.predicted).sum()))

    def _ask(self, record: VersionRecord, rows: "Rows", model: Answer) -> list[Answer]:
        policy = {"trust": self.serving.trust, "allowed_types": list(self.serving.allowed_types), "kept_models": 1}
        worker = Worker(memory_megabytes=self.serving.memory_megabytes)
        try:
            return [
                worker.ask(
                    {"op": "predict", "rows": chunk, **model, **policy},
                    seconds=self.serving.predict_seconds,
                    about=label(record),
                )
                for chunk in _chunks(rows, min(self.serving.chunk_rows, MOST_AT_ONCE))
            ]
        finally:
            worker.stop()


def _chunks(rows: "Rows", size: int) -> Iterator[Answer]:
    """The inputs as the worker takes them."""
    texts = [column.dtype == object for column in rows.inputs.values()]
    for start in range(0, len(rows), size):
        columns = [column[start : start + size].tolist() for column in rows.inputs.values()]
        yield {
            "columns": list(rows.inputs),
            "dtypes": ["" if text else "float64" for text in texts],
            "values": [[None if value != value else value for value in column] for column in columns],  # noqa: PLR0124
        }


def _rows_now(stored: "Rows", answers: list[Answer], about: str) -> "Rows":
    """The stored rows with the predictions of now. Probabilities are in the order of the stored columns where there are
    some: a class that the model does not know has probability 0.
    """
    import numpy as np

    from pipeline.comparison.rows import Rows

    predicted = [value for answer in answers for value in answer["predictions"]]
    if len(predicted) != len(stored):
        raise Refused(f"{about} gives {len(predicted):,} predictions for {len(stored):,} rows")
    said, classes = [answer["probabilities"] for answer in answers], tuple(answers[0]["classes"])
    names = stored.classes or classes
    if None in said or not set(classes) <= set(names):
        names, chances = (), np.empty((len(stored), 0))
    else:
        chances = np.zeros((len(stored), len(names)))
        chances[:, [names.index(name) for name in classes]] = np.concatenate([np.array(each) for each in said])
    kind = stored.predicted.dtype
    try:
        return Rows(stored.inputs, stored.actual, np.array(predicted, dtype=kind), names, chances)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{about}: predicts something else than its evaluation rows hold") from error
