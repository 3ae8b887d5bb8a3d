"""Predictions and explanations of registered versions, under the trust policy and never in this process."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pipeline.governance.errors import IntegrityFailure
from pipeline.governance.service import GovernanceService
from pipeline.serving.compiled.forms import CompiledForms
from pipeline.serving.copies import PrivateCopies, label
from pipeline.serving.predictions import (
    Explanations,
    Opinion,
    PredictedColumns,
    Prediction,
    Predictions,
    Target,
)
from pipeline.serving.said import predicted_rows
from pipeline.serving.targets import Targets, input_schema
from pipeline.serving.trust import LoadingPolicy
from pipeline.serving.worker.client import Answering, Asked
from pipeline.serving.worker.protocol import Frame
from pipeline.validation.rows import CheckedRow, check_rows, columnar

if TYPE_CHECKING:
    from pipeline.validation.columns import CheckedColumns


class Scorer:
    """Asks one worker or several; safe to share between threads. `close` ends the worker processes."""

    def __init__(
        self,
        service: GovernanceService,
        worker: Asked,
        policy: LoadingPolicy,
        *,
        compiler: Callable[[], Asked] | None = None,
    ) -> None:
        """compiler: makes a worker process in which a version is compiled; None compiles nothing."""
        self._worker, self.policy = worker, policy
        self._copies = PrivateCopies(service, most=policy.kept_models + 2)
        self.compiled = CompiledForms(self, worker, compiler)
        self.targets = Targets(service, policy=policy.trust, describe=lambda target: self.ask(target, "describe"))

    def start(self) -> None:
        """Begins with a worker's imports, for instance from the dashboard's lifespan. Returns at once."""
        self._worker.start()

    def start_all(self) -> None:
        """Begins with the imports of every worker. Returns at once."""
        for worker in self._worker.workers:
            worker.start()

    def close(self) -> None:
        """Ends the workers and removes the copies: a signal may end the process before it removes them itself."""
        self._worker.stop()
        self._copies.close()

    def abandon(self) -> None:
        """Ends the workers at once and removes the copies."""
        self._worker.kill()
        self.close()

    @property
    def concurrency(self) -> int:
        """How many requests are answered at once."""
        return len(self._worker.workers)

    @property
    def worker_restarts(self) -> int:
        """How many worker processes were started in place of another."""
        return self._worker.restarts

    def try_out(self, target: Target, row: CheckedRow) -> None:
        """Has every worker predict one row: the model is in its memory then. Raises as predict does."""
        for worker in self._worker.workers:
            self.predict_checked(target, [row], worker=worker)

    @contextmanager
    def keeping(self, target: Target) -> Iterator[None]:
        """Keeps the private copy on disk: the version can be asked although the registry is gone."""
        with self._copies.using(target.record, target.digest):
            yield

    # Asking it

    def predict(
        self, reference: str | Target, rows: Sequence[Mapping[str, object]], *, from_text: bool = False
    ) -> Predictions:
        """Checks and predicts rows. from_text: see rows.check_row.

        Raises InvalidRows, and as Targets.usable and Targets.target do.
        """
        target = self.targets.usable(reference)
        return self.predict_checked(target, check_rows(rows, input_schema(target), from_text=from_text))

    def predict_checked(
        self, target: Target, rows: Sequence[CheckedRow], *, worker: Answering | None = None
    ) -> Predictions:
        """Predicts rows that were checked against the target's own schema. worker: asked instead of the scorer's."""
        values = columnar([row.values for row in rows], input_schema(target))
        answer = self.ask(target, "predict", worker=worker, rows=values)
        said = predicted_rows(answer, rows=len(rows), about=label(target.record))
        classes = tuple(said.classes)
        chances = said.probabilities or [[]] * len(rows)
        found = [
            Prediction(
                value=value,
                probabilities=dict(zip(classes, chance, strict=True)) if chance else {},
                warnings=tuple(warning.sentence for warning in row.warnings),
            )
            for value, chance, row in zip(said.predictions, chances, rows, strict=True)
        ]
        resolved = target.resolved
        about = (resolved.model, resolved.version, target.digest, target.state)
        return Predictions(*about, classes=classes, rows=tuple(found), notes=target.notes)

    def predict_columns(
        self, target: Target, checked: "CheckedColumns", *, worker: Answering | None = None
    ) -> PredictedColumns:
        """Predicts the usable ones of many checked rows. worker: asked instead of the scorer's."""
        from pipeline.serving.worker import arrow  # noqa: PLC0415 (pyarrow and pandas)

        answer = self.ask(target, "predict", worker=worker, **arrow.rows_of(checked))
        answers = arrow.decode_predictions(answer, rows=checked.values.num_rows, about=label(target.record))
        answered, answers = arrow.without_unanswered(checked, answers)
        return PredictedColumns(target, tuple(answer["classes"]), answers, answered)

    def explain(
        self,
        reference: str | Target,
        rows: Sequence[Mapping[str, object]],
        *,
        from_text: bool = False,
        sample: bool = False,
    ) -> Explanations:
        """Explains at most 50 rows: what each column adds to the output, per class. Raises as predict does.

        sample: whether it is sampled although it could be exact; the scale is then probability where there is one.
        """
        target = self.targets.usable(reference)
        values = tuple(row.values for row in check_rows(rows, input_schema(target), from_text=from_text))
        answer = self.ask(target, "explain", rows=columnar(values, input_schema(target)), sample=sample)
        resolved = target.resolved
        return Explanations(
            model=resolved.model,
            version=resolved.version,
            digest=target.digest,
            documents=tuple(answer["explanations"]),
            rows=values,
            units=target.evidence.feature_schema.units,
            labels=target.evidence.feature_schema.labels,
            sampled=answer["sampled"],
            tolerance=answer["tolerance"],
            adds_up=answer["adds_up"],
            fallback=answer["fallback"],
            background=answer["background"],
            notes=target.notes,
        )

    def explain_alike(
        self, targets: Sequence[Target], rows: Sequence[Sequence[Mapping[str, object]]]
    ) -> list[Explanations]:
        """Of two versions, by one method and on one scale: exact on probability where both can, else both sampled.

        rows: for each version the rows in its own columns. A version without probabilities stays on the scale of its
        values (see Explanations.comparable_with). Raises as predict does.
        """
        found = [self.explain(*each) for each in zip(targets, rows, strict=True)]
        if found[0].comparable_with(found[1]):
            return found
        pairs = zip(found, targets, rows, strict=True)
        return [each if each.sampled else self.explain(target, own, sample=True) for each, target, own in pairs]

    def second_opinion(
        self, reference: str | Target, explained: Explanations, *, position: int = 0, class_name: str | None = None
    ) -> Opinion:
        """A second opinion about one explained row and class (None: the largest output). Raises as predict does."""
        target, document = self.targets.usable(reference), explained.documents[position]
        wanted = class_name or explained.top_class(position)
        answer = self.ask(
            target,
            "second_opinion",
            rows=columnar([explained.rows[position]], input_schema(target)),
            class_index=list(document["classes"]).index(wanted),
            scale=document["scale"],
            contributions=document["contributions"][wanted],
        )
        return Opinion(answer["weights"], answer["r2"], answer["scale"], answer["agreement"])

    def files(self, target: Target) -> dict[str, bytes]:
        """The files of the private copy, by path."""
        with self._copies.using(target.record, target.digest):
            folder = self._copies.renewed(target.record, target.digest)
            paths = [path for path in folder.rglob("*") if path.is_file()]
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    def ask(self, target: Target, operation: str, *, worker: Answering | None = None, **more: object) -> Frame:
        """The worker's answer to an operation about the private copy of a usable version."""
        explaining = operation in {"compile", "explain", "second_opinion", "strongest"}
        seconds = self.policy.explain_seconds if explaining else self.policy.predict_seconds
        with self._copies.using(target.record, target.digest) as folder:
            request = {
                "op": operation,
                "folder": str(folder),
                "digest": target.digest,
                "trust": self.policy.trust,
                "allowed_types": list(self.policy.allowed_types),
                "kept_models": self.policy.kept_models,
                **more,
            }
            ask = partial((worker or self._worker).ask, seconds=seconds, about=label(target.record))
            try:
                return ask(request)
            except IntegrityFailure:
                return ask({**request, "folder": str(self._copies.renewed(target.record, target.digest))})
