"""Compiled forms of the versions that serve: made by a process of its own, installed in each worker, asked first.

Nothing compiled is stored: the bytes stay in memory as long as the version serves, and a worker that was started again
gets them again.
"""

import array
import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from pipeline.governance.errors import SignoffError, Unavailable
from pipeline.governance.record.documents import EVALUATION_ROWS
from pipeline.serving.compiled.form import NO_ROWS, SOMETHING_ELSE, CompiledForm, columns_to_compile
from pipeline.serving.compiled.lane import exchange
from pipeline.serving.predictions import PredictedColumns, Prediction, Target
from pipeline.serving.targets import input_schema
from pipeline.serving.worker.client import Asked, WorkerRefusal
from pipeline.serving.worker.protocol import DOUBLES, Frame, framed
from pipeline.validation.rows import CheckedRow

if TYPE_CHECKING:
    from pipeline.serving.scorer import Scorer
    from pipeline.validation.columns import CheckedColumns

DOUBLE_BYTES = 8
KEPT = 2  # the version that serves and the one before it, which may still be answering
Columns = Sequence[Sequence[Any]]


class CompiledForms:
    """Keeps what serves compiled. One thread calls `keep` now and then; an event loop asks."""

    def __init__(self, scorer: "Scorer", workers: Asked, started: Callable[[], Asked] | None) -> None:
        """started: makes a worker process for compiling, which is ended afterwards; None compiles nothing."""
        self._scorer, self._workers, self._started = scorer, workers, started
        self._made: LRUCache[str, CompiledForm] = LRUCache(KEPT)  # by digest
        self._ready: frozenset[str] = frozenset()  # digests that every worker has
        self._lock = threading.Lock()  # guards _made

    @property
    def off(self) -> bool:
        """Whether nothing is compiled."""
        return self._started is None

    def of(self, target: Target) -> CompiledForm | None:
        """Whether the version is answered by a compiled form, and why not; None while that is being found out."""
        with self._lock:
            made = self._made.get(target.digest)
        return None if made is None or (made.equal and target.digest not in self._ready) else made

    def keep(self, target: Target) -> None:
        """Compiles the version unless it was, and gives it to each worker that has it not.

        What cannot be done now is done at the next call; the original answers meanwhile.
        """
        if self._started is None:
            return
        with self._lock:
            made = self._made.get(target.digest)
        try:
            if made is None:
                made = self._make(target, self._started)
                with self._lock:
                    self._made[target.digest] = made
            if made.equal:
                self._install(target, made)
        except Unavailable:  # the registry, or a process that does not start
            return

    def _make(self, target: Target, started: Callable[[], Asked]) -> CompiledForm:
        """Raises Unavailable."""
        if EVALUATION_ROWS not in {file["path"] for file in target.evidence.content["files"]}:
            return CompiledForm.refused(NO_ROWS)
        try:
            schema = input_schema(target)
        except SignoffError as error:
            return CompiledForm.refused(str(error))
        worker = started()
        try:
            answer = self._scorer.ask(target, "compile", worker=worker, **columns_to_compile(schema))
        except Unavailable:
            raise
        except WorkerRefusal as refusal:
            return CompiledForm.refused(f"its compilation {refusal.reason}")
        except SignoffError as error:
            return CompiledForm.refused(str(error))
        finally:
            worker.stop()
        form = CompiledForm.of_answer(answer)
        if form.equal and form.classes != target.classes:
            return CompiledForm.refused("its compiled form has other classes")
        return CompiledForm.refused(SOMETHING_ELSE) if form.equal and len(form.texts) != len(schema.names) else form

    def _install(self, target: Target, form: CompiledForm) -> None:
        """Raises Unavailable."""
        try:
            for worker in self._workers.workers:
                if not self._scorer.ask(target, "install", worker=worker).get("installed"):
                    with self._workers.apart(worker):
                        self._scorer.ask(target, "install", worker=worker, **form.code)
        except Unavailable:
            raise
        except SignoffError as error:
            with self._lock:
                self._made[target.digest] = CompiledForm.refused(str(error))
            return
        self._ready = frozenset(digest for digest in (*self._ready, target.digest) if digest in self._made)

    async def predict(self, target: Target, rows: Sequence[CheckedRow]) -> list[Prediction] | None:
        """The answers to a few rows; None where the original has to answer."""
        form = self._form(target, len(rows))
        if form is None or not all(form.takes(row.values.values()) for row in rows):
            return None
        columns = list(zip(*(row.values.values() for row in rows), strict=True))
        found = await self._ask(target, form, columns)
        if found is None:
            return None
        return [
            Prediction(
                value=form.label(probabilities),
                probabilities=dict(zip(form.classes, probabilities, strict=True)),
                warnings=tuple(warning.sentence for warning in row.warnings),
            )
            for row, probabilities in zip(rows, found, strict=True)
        ]

    async def predict_columns(self, target: Target, checked: "CheckedColumns") -> PredictedColumns | None:
        """The answers to the usable ones of a few rows; None where the original has to answer."""
        import pyarrow as pa

        form = self._form(target, checked.values.num_rows)
        if form is None:
            return None
        columns = [column.to_pylist() for column in checked.values.columns]
        if not all(map(form.takes, zip(*columns, strict=True))):
            return None
        found = await self._ask(target, form, columns)
        if found is None:
            return None
        by_class = {str(position): list(each) for position, each in enumerate(zip(*found, strict=True))}
        answers = pa.table({"prediction": list(map(form.label, found)), **by_class})
        return PredictedColumns(target, form.classes, answers, checked)

    def _form(self, target: Target, rows: int) -> CompiledForm | None:
        """The compiled form, where it is equal and so few rows are asked about that it is faster."""
        form = self.of(target)
        return form if form and form.equal and 0 < rows <= form.most_rows else None

    async def _ask(self, target: Target, form: CompiledForm, columns: Columns) -> list[list[float]] | None:
        """The probabilities of rows in the columns of the version's schema; None where a worker has none."""
        seconds = self._scorer.policy.predict_seconds
        question = {"op": "answer", "digest": target.digest, "values": columns, "cpu_seconds": seconds}
        with self._workers.pipes() as pipes:
            if pipes is None:
                return None
            frame = b"".join(framed({**question, "memory_megabytes": pipes.memory_megabytes}))
            answer = await exchange(pipes, frame, seconds=seconds)
        found = _rows(answer, form, len(columns[0])) if answer else None
        return found if found is not None and all(map(form.decides, found)) else None


def _rows(answer: Frame, form: CompiledForm, count: int) -> list[list[float]] | None:
    """The numbers of an answer row by row; None for anything else than was asked for."""
    content = answer.get(DOUBLES)
    width = len(form.classes)
    if not isinstance(content, bytes) or len(content) != count * width * DOUBLE_BYTES:
        return None
    numbers = array.array("d", content).tolist()
    if not all(map(math.isfinite, numbers)):
        return None
    return [numbers[start : start + width] for start in range(0, len(numbers), width)]
