"""What the gates ask of a version's own files: a smoke prediction, and its metrics recomputed from its evaluation rows.

Each check gives a worker process of its own a private copy of the files, and ends the process.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.governance.errors import InvalidInput, NotFound, NotTried, Refused, SignoffError
from pipeline.governance.ports import Registry, VersionRecord
from pipeline.governance.record.documents import EVALUATION_ROWS, parse_feature_schema
from pipeline.governance.record.evidence import RecomputedMetrics
from pipeline.serving.compiled.form import CompiledForm, columns_to_compile
from pipeline.serving.copies import copy_files, label
from pipeline.serving.said import SOMETHING_ELSE, Description, checked, predicted_rows
from pipeline.serving.worker.client import Asked, Worker, WorkerRefusal
from pipeline.serving.worker.launch.processes import START_SECONDS
from pipeline.serving.worker.protocol import Frame
from pipeline.settings import ServingSettings
from pipeline.validation.schema import schema_of, schema_of_model

if TYPE_CHECKING:
    from pipeline.comparison.rows import Rows


LONGEST_LABEL = 80
NOT_TRIED = {"untrusted", "not_here", "no_input_example"}  # kinds of refusal that say nothing against the version
MOST_ROWS = 2_000  # of one request, as JSON


def one_worker(memory_megabytes: int) -> Asked:
    return Worker(memory_megabytes=memory_megabytes)


@contextmanager
def _private_copy(registry: Registry, record: VersionRecord, *, digest: str, worker: Asked) -> Iterator[Path]:
    """A folder with the version's files, for a worker that ends before the folder is removed.

    Raises as copies.copy_files does.
    """
    with tempfile.TemporaryDirectory(prefix="signoff-", ignore_cleanup_errors=True) as private:
        folder = Path(private) / "model"
        copy_files(registry, record, folder, digest=digest)
        try:
            yield folder
        finally:
            worker.stop()


@dataclass(frozen=True)
class SubprocessSmoke:
    """Predicts a version's own input example in a process that may crash."""

    registry: Registry
    seconds: float  # for loading and predicting, counted from when the worker has imported its libraries
    memory_megabytes: int  # limit of the worker
    allowed_types: tuple[str, ...]  # compiled types that a skops file may hold
    trust: str = "allow_list"  # or "producers"
    started: Callable[[int], Asked] = one_worker  # makes the worker, given its memory limit

    def predict(self, record: VersionRecord, *, file_digest: str) -> str:
        """The prediction for the input example, in words, such as "predicts Obesity_Type_I for its input example".

        Raises IntegrityFailure where the files are not those of the digest; NotTried where the policy does not load
        them, or there is no example; Refused with the reason where they do not load, crash, or exceed time or memory;
        NotFound and Unavailable as the registry does.
        """
        worker = self.started(self.memory_megabytes)
        request = {"op": "smoke", "allowed_types": list(self.allowed_types), "trust": self.trust}
        with _private_copy(self.registry, record, digest=file_digest, worker=worker) as folder:
            try:
                worker.ask({"op": "ping", "trust": self.trust}, seconds=START_SECONDS, about="the worker")
                answer = worker.ask({**request, "folder": str(folder)}, seconds=self.seconds, about=label(record))
            except WorkerRefusal as refusal:
                if refusal.kind in NOT_TRIED:
                    raise NotTried(str(refusal)) from refusal
                raise
        return _in_words(record, answer)


def _in_words(record: VersionRecord, answer: Frame) -> str:
    """The prediction in words. Raises Refused where the answer holds none."""
    prediction = answer.get("prediction")
    if not isinstance(prediction, list) or not prediction:
        raise Refused(f"{label(record)} predicts nothing for its input example")
    first = prediction[0]
    # Labels come from a stranger's file: one line, and not a long one.
    text = f"{first:g}" if isinstance(first, float) else " ".join(str(first).split())[:LONGEST_LABEL]
    more = f" and {len(prediction) - 1} more" if len(prediction) > 1 else ""
    return f"predicts {text}{more} for its input example"


@dataclass(frozen=True)
class WorkerRecomputer:
    """Has a worker predict a version's evaluation rows; their metrics are computed in this process."""

    registry: Registry
    serving: ServingSettings
    started: Callable[[int], Asked] = one_worker  # makes the worker, given its memory limit

    def recompute(self, record: VersionRecord, *, file_digest: str) -> RecomputedMetrics:
        """Every metric that the evaluation rows allow, recomputed.

        Raises NotFound where there are no evaluation rows, InvalidInput where they cannot be used, Refused where the
        model does not load or predict under the policy, IntegrityFailure where the files are not those of the digest.
        """
        from pipeline.comparison.metrics import measure
        from pipeline.comparison.rows import read_rows

        worker = self.started(self.serving.memory_megabytes)
        with _private_copy(self.registry, record, digest=file_digest, worker=worker) as folder:
            path = folder / EVALUATION_ROWS
            if not path.is_file():
                raise NotFound(f"{label(record)} came without evaluation rows")
            stored = read_rows(path.read_bytes(), label(record))
            request = {
                "op": "predict",
                "folder": str(folder),
                "digest": file_digest,
                "trust": self.serving.trust,
                "allowed_types": list(self.serving.allowed_types),
                "kept_models": 1,
            }
            answers = [
                worker.ask({**request, "rows": rows}, seconds=self.serving.predict_seconds, about=label(record))
                for rows in _chunks(stored, min(self.serving.chunk_rows, MOST_ROWS))
            ]
            compiled = self._compiled(worker, request, record)
        now = _recomputed_rows(stored, answers, label(record))
        return RecomputedMetrics(len(stored), measure(now), int((now.predicted != stored.predicted).sum()), compiled)

    def _compiled(self, worker: Asked, request: dict[str, Any], record: VersionRecord) -> str:
        """Whether the compiled form of the version would answer single rows, in words; empty where that is off.

        It is compared on the rows that a server compares it on: in the columns in which it would be asked.
        """
        if not self.serving.http.compile:
            return ""
        ask = partial(worker.ask, about=label(record))
        try:
            answer = ask({**request, "op": "describe"}, seconds=self.serving.predict_seconds)
            described = checked(Description, answer, about=label(record)).model_dump()
            found = self.registry.files(record)
            columns = parse_feature_schema(found.documents.get("feature_schema"))
            schema = schema_of(columns, found.signature) or schema_of_model(described)
            if schema is None:
                raise Refused("it does not say which columns it takes")
            answer = ask(
                {**request, "op": "compile", **columns_to_compile(schema)}, seconds=self.serving.explain_seconds
            )
        except WorkerRefusal as refusal:
            return CompiledForm.refused(f"its compilation {refusal.reason}").comparison.sentence
        except SignoffError as error:
            return CompiledForm.refused(str(error)).comparison.sentence
        return CompiledForm.of_answer(answer).comparison.sentence


def _columns(rows: "Rows") -> dict[str, list[str]]:
    """Names and dtypes of the inputs, as a request has them."""
    return {
        "columns": list(rows.inputs),
        "dtypes": ["" if column.dtype == object else "float64" for column in rows.inputs.values()],
    }


def _chunks(rows: "Rows", size: int) -> Iterator[dict[str, Any]]:
    """The inputs column by column, as a request holds them, `size` rows at a time."""
    for start in range(0, len(rows), size):
        columns = [column[start : start + size].tolist() for column in rows.inputs.values()]
        yield {
            **_columns(rows),
            "values": [[None if value != value else value for value in column] for column in columns],  # noqa: PLR0124
        }


def _recomputed_rows(stored: "Rows", answers: list[Frame], about: str) -> "Rows":
    """The stored rows with the predictions of the worker.

    Probabilities are in the order of the stored ones, where there are some; a class that the model does not know has
    probability 0. Raises Refused for another number of predictions, and for what is no answer; InvalidInput for
    predictions of another type.
    """
    import numpy as np

    from pipeline.comparison.rows import Rows

    said = [predicted_rows(answer, rows=None, about=about) for answer in answers]
    predicted = [value for each in said for value in each.predictions]
    if len(predicted) != len(stored):
        raise Refused(f"{about} gives {len(predicted):,} predictions for {len(stored):,} rows")
    chunks, classes = [each.probabilities for each in said if each.probabilities is not None], tuple(said[0].classes)
    names = stored.classes or classes
    if any(tuple(each.classes) != classes for each in said) or len(set(classes)) != len(classes):
        raise WorkerRefusal(about, SOMETHING_ELSE, kind="failed")
    if len(chunks) < len(said) or not set(classes) <= set(names):
        names, probabilities = (), np.empty((len(stored), 0))
    else:
        probabilities = np.zeros((len(stored), len(names)))
        probabilities[:, [names.index(name) for name in classes]] = np.concatenate([np.array(each) for each in chunks])
    kind = stored.predicted.dtype
    try:
        return Rows(stored.inputs, stored.actual, np.array(predicted, dtype=kind), names, probabilities)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{about}: predicts something else than its evaluation rows hold") from error
