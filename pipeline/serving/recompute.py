"""A version's own bytes on its own evaluation rows: what they give now, to hold its claims against."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.governance.claims import Measured
from pipeline.governance.errors import InvalidInput, NotFound, Refused
from pipeline.governance.ports import Registry, VersionRecord
from pipeline.governance.review import EVALUATION_ROWS
from pipeline.serving.worker.client import Worker
from pipeline.serving.worker.copies import copy_files, label
from pipeline.settings import ServingSettings

if TYPE_CHECKING:
    from pipeline.comparison.rows import Rows

Answer = dict[str, Any]
MOST_AT_ONCE = 2_000  # rows, as JSON


@dataclass(frozen=True)
class WorkerRecomputer:
    """A worker of its own predicts from a private copy, and ends; the metrics are counted in this process."""

    registry: Registry
    serving: ServingSettings

    def recompute(self, record: VersionRecord, *, file_digest: str) -> Measured:
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
        return Measured(len(stored), measure(now), int((now.predicted != stored.predicted).sum()))

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
