"""Predictions and explanations of registered versions, under the trust policy and never in this process."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.governance.errors import IntegrityFailure, NotFound, Refused
from pipeline.governance.evidence import Evidence
from pipeline.governance.service import GovernanceService
from pipeline.serving.client import Answering, Asked, WorkerRefusal
from pipeline.serving.copies import PrivateCopies, label
from pipeline.serving.frames import Frame
from pipeline.serving.layout import Layout, layout_of, layout_of_model, started_with
from pipeline.serving.loader import MODEL_DESCRIPTION, model_file, parse_description
from pipeline.serving.predictions import (
    Explanations,
    Opinion,
    PredictedColumns,
    Prediction,
    Predictions,
    Resolved,
    Target,
)
from pipeline.serving.references import References
from pipeline.serving.rows import CheckedRow, check_rows, columnar
from pipeline.serving.trust import LedgerView, Trust, TrustState, judge

if TYPE_CHECKING:
    from pipeline.serving.columns import CheckedColumns

MOST_REMEMBERED = 256
ABOUT_THE_FILES = {"untrusted", "refused", "failed"}  # kinds of refusal that the same bytes would meet again


@dataclass(frozen=True)
class LoadingPolicy:
    """trust: "allow_list" or "producers". allowed_types: compiled types that a skops file may hold."""

    trust: str
    allowed_types: tuple[str, ...]
    kept_models: int
    predict_seconds: float
    explain_seconds: float


class Scorer:
    """Asks one worker or several; safe to share between threads. `close` ends the worker processes."""

    def __init__(self, service: GovernanceService, worker: Asked, policy: LoadingPolicy) -> None:
        self._service, self._worker, self.policy = service, worker, policy
        self._copies = PrivateCopies(service.registry, most=policy.kept_models + 2)
        self._descriptions: OrderedDict[str, Frame | WorkerRefusal] = OrderedDict()
        self._recorded: dict[str, str] = {}  # by digest, which covers MLmodel: why it is not loaded, or nothing
        self._references = References(service)

    def start(self) -> None:
        """Begin with a worker's imports, for instance from the dashboard's lifespan. Returns at once."""
        self._worker.start()

    def start_all(self) -> None:
        """As start, for every worker."""
        for worker in self._worker.workers:
            worker.start()

    def close(self) -> None:
        """Nothing of a model stays on disk: a signal may end the process before it removes its copies by itself."""
        self._worker.stop()
        self._copies.close()

    def abandon(self) -> None:
        """As close does, without waiting for what the worker is at."""
        self._worker.kill()
        self.close()

    @property
    def lanes(self) -> int:
        """How many requests are worked at at once."""
        return len(self._worker.workers)

    @property
    def worker_restarts(self) -> int:
        """How often a worker process had to be started in place of another."""
        return self._worker.restarts

    def resolve(self, reference: str) -> Resolved:
        """See References.resolve."""
        return self._references.resolve(reference)

    def target(self, reference: str | Resolved) -> Target:
        """The version with its state and columns; the first time it is copied and loaded. Raises as resolve does."""
        resolved = self.resolve(reference) if isinstance(reference, str) else reference
        record = self._service.version(resolved.model, resolved.version)
        evidence = self._service.reviewer.evidence(record)
        layout = layout_of(evidence.document("feature_schema"), evidence.content["signature"])
        state = judge(evidence, self.ledger_view(resolved.model))
        target = Target(resolved, record, evidence, state, layout)
        return self._loaded(target) if state.usable else target

    def trust(self, model: str, version: int) -> TrustState:
        """One of the four states, with the reason. Raises NotFound, and Unavailable where that cannot be told now."""
        return self.target(Resolved(model, version)).state

    def recorded_trust(self, evidence: Evidence) -> TrustState:
        """What the ledger and MLmodel say of a version, without loading it: a usable one may still fail to load.

        Raises Unavailable where the registry does not answer.
        """
        state = judge(evidence, self.ledger_view(evidence.model))
        if not state.usable or self.policy.trust != "allow_list":
            return state
        digest = str(state.digest)
        if digest not in self._recorded:
            self._recorded[digest] = self._refusal(evidence)
        refusal = self._recorded[digest]
        return TrustState(Trust.UNTRUSTED, digest, refusal) if refusal else state

    def _refusal(self, evidence: Evidence) -> str:
        """What MLmodel says against loading a version; empty where nothing."""
        record = self._service.version(evidence.model, evidence.version)
        try:
            description = parse_description(self._service.registry.read_file(record, MODEL_DESCRIPTION))
            model_file(description, {file["path"] for file in evidence.content["files"]})
        except (NotFound, Refused) as refusal:
            return str(refusal)
        return ""

    def ledger_view(self, model: str) -> LedgerView:
        """See References.ledger_view."""
        return self._references.ledger_view(model)

    def try_out(self, target: Target, row: CheckedRow) -> None:
        """One prediction by every worker: the model is in its memory then. Raises as predict does."""
        for worker in self._worker.workers:
            self.predict_checked(target, [row], worker=worker)

    @contextmanager
    def keeping(self, target: Target) -> Iterator[None]:
        """Its private copy stays on disk: it can be asked although the registry is gone."""
        with self._copies.using(target.record, target.digest):
            yield

    # Asking it

    def predict(
        self, reference: str | Target, rows: Sequence[Mapping[str, object]], *, from_text: bool = False
    ) -> Predictions:
        """Checked rows, predicted. from_text: see rows.check_row.

        Raises InvalidRows; Refused for an untrusted version, IntegrityFailure for a tampered one; and as target does.
        """
        target = self.usable(reference)
        return self.predict_checked(target, check_rows(rows, layout(target), from_text=from_text))

    def predict_checked(
        self, target: Target, rows: Sequence[CheckedRow], *, worker: Answering | None = None
    ) -> Predictions:
        """Rows that were checked against the target's own layout. worker: who is asked instead."""
        values = columnar([row.values for row in rows], layout(target))
        answer = self.ask(target, "predict", worker=worker, rows=values)
        classes, probabilities = tuple(answer["classes"]), answer["probabilities"]
        found = [
            Prediction(
                value=value,
                probabilities=dict(zip(classes, probabilities[position], strict=True)) if probabilities else {},
                warnings=tuple(warning.sentence for warning in row.warnings),
            )
            for position, (value, row) in enumerate(zip(answer["predictions"], rows, strict=True))
        ]
        resolved = target.resolved
        about = (resolved.model, resolved.version, target.digest, target.state)
        return Predictions(*about, classes=classes, rows=tuple(found), notes=target.notes)

    def predict_columns(
        self, target: Target, checked: "CheckedColumns", *, worker: Answering | None = None
    ) -> PredictedColumns:
        """The usable ones of many rows, checked against the target's own layout. worker: who is asked instead."""
        from pipeline.serving import arrow_rows  # noqa: PLC0415 (pyarrow and pandas)

        answer = self.ask(target, "predict", worker=worker, **arrow_rows.rows_of(checked))
        count, about = checked.values.num_rows, label(target.record)
        return PredictedColumns(target, tuple(answer["classes"]), arrow_rows.heard(answer, rows=count, about=about))

    def explain(
        self, reference: str | Target, rows: Sequence[Mapping[str, object]], *, from_text: bool = False
    ) -> Explanations:
        """What each column adds to the output, per class, for at most 50 rows. Raises as predict does."""
        target = self.usable(reference)
        values = tuple(row.values for row in check_rows(rows, layout(target), from_text=from_text))
        answer = self.ask(target, "explain", rows=columnar(values, layout(target)))
        resolved = target.resolved
        return Explanations(
            model=resolved.model,
            version=resolved.version,
            digest=target.digest,
            documents=tuple(answer["explanations"]),
            rows=values,
            schema=target.evidence.document("feature_schema"),
            sampled=answer["sampled"],
            tolerance=answer["tolerance"],
            adds_up=answer["adds_up"],
            fallback=answer["fallback"],
            background=answer["background"],
            notes=target.notes,
        )

    def second_opinion(
        self, reference: str | Target, explained: Explanations, *, position: int = 0, class_name: str | None = None
    ) -> Opinion:
        """About one explained row and class (None: the one with the largest output). Raises as predict does."""
        target, document = self.usable(reference), explained.documents[position]
        wanted = class_name or explained.top_class(position)
        answer = self.ask(
            target,
            "second_opinion",
            rows=columnar([explained.rows[position]], layout(target)),
            class_index=list(document["classes"]).index(wanted),
            scale=document["scale"],
            contributions=document["contributions"][wanted],
        )
        return Opinion(answer["weights"], answer["r2"], answer["scale"], answer["agreement"])

    def files(self, target: Target) -> dict[str, bytes]:
        """Of the private copy, by path."""
        with self._copies.using(target.record, target.digest) as folder:
            paths = [path for path in folder.rglob("*") if path.is_file()]
            return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}

    def usable(self, reference: str | Target) -> Target:
        """Raises Refused for an untrusted version, IntegrityFailure for a tampered one."""
        target = self.target(reference) if isinstance(reference, str) else reference
        if target.state.state is Trust.TAMPERED:
            raise IntegrityFailure(f"{target.label}: {target.state.reason}")
        if not target.state.usable:
            raise Refused(f"{target.label} is not loaded: {target.state.reason}")
        return target

    # Inside

    def _loaded(self, target: Target) -> Target:
        """What only loading tells: whether the policy allows it, class labels, and columns where nothing else does."""
        try:
            found = self._describe(target)
        except WorkerRefusal as refusal:
            tried = refusal.kind != "untrusted"
            return replace(target, state=TrustState(Trust.UNTRUSTED, target.digest, refusal.reason, loaded=tried))
        except Refused as refusal:  # it is too large to be copied
            return replace(target, state=TrustState(Trust.UNTRUSTED, target.digest, str(refusal)))
        return replace(
            target,
            state=replace(target.state, loaded=True, foreign=found["foreign"]),
            layout=started_with(target.layout, found["example"]) if target.layout else layout_of_model(found),
            classes=tuple(found["classes"]),
            probabilities=found["probabilities"],
            model_type=found["model_type"],
            example=found["example"],
        )

    def _describe(self, target: Target) -> Frame:
        """The same bytes are described, or refused for what they are, only once."""
        known = self._descriptions.get(target.digest)
        if known is None:
            try:
                known = self.ask(target, "describe")
            except WorkerRefusal as refusal:
                if refusal.kind not in ABOUT_THE_FILES:
                    raise
                known = refusal
            self._descriptions[target.digest] = known
            while len(self._descriptions) > MOST_REMEMBERED:
                self._descriptions.popitem(last=False)
        if isinstance(known, WorkerRefusal):
            raise known
        return known

    def ask(self, target: Target, operation: str, *, worker: Answering | None = None, **more: object) -> Frame:
        """An operation of the worker, about the private copy of a usable version."""
        explaining = operation in {"explain", "second_opinion", "strongest"}
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
            return (worker or self._worker).ask(request, seconds=seconds, about=label(target.record))


def layout(target: Target) -> Layout:
    """Raises Refused where nothing says which columns the version takes."""
    if target.layout is None:
        raise Refused(f"{target.label} does not say which columns it takes: no schema, signature, example or names")
    return target.layout
