"""Versions made ready to be asked: what a reference means, whether it may be used, and which columns it takes."""

import hashlib
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from cachetools import LRUCache

from pipeline.governance.errors import IntegrityFailure, NotFound, OutOfBand, Refused, SignoffError
from pipeline.governance.lifecycle import CHAMPION, parse_reference
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.out_of_band import champion_differs
from pipeline.governance.record.standing import LedgerView
from pipeline.governance.service import GovernanceService
from pipeline.governance.text import visible
from pipeline.serving.predictions import Resolved, Target
from pipeline.serving.said import Description, checked
from pipeline.serving.trust import Trust, TrustState, judge
from pipeline.serving.worker.allow_list import MODEL_DESCRIPTION, model_file
from pipeline.serving.worker.client import WorkerRefusal
from pipeline.serving.worker.load import parse_description
from pipeline.serving.worker.protocol import Frame
from pipeline.validation.schema import InputSchema, schema_of, schema_of_model, started_with

# What MODEL, MODEL@ALIAS and MODEL/VERSION mean: the registry says it, and of a champion the ledger has to agree.


class References:
    """Resolves references; keeps what the ledger holds of a model until it holds more. Threads may share it."""

    def __init__(self, service: GovernanceService) -> None:
        self._service = service
        self._views: dict[str, tuple[int, LedgerView]] = {}

    def resolve(self, reference: str) -> Resolved:
        """The version of MODEL (its champion), MODEL@ALIAS or MODEL/VERSION. Raises NotFound, InvalidInput.

        Raises OutOfBand where the registry has another champion than the ledger: what serves must have been recorded.
        """
        named = parse_reference(reference, self._is_model)
        if named.version is not None:
            return Resolved(named.model, named.version)
        model, alias = named.model, CHAMPION if named.alias is None else named.alias
        version = self._service.state(model).aliases.get(alias)
        if version is None:
            raise NotFound(f"alias: {model!r} has no alias {alias!r}")
        if alias == CHAMPION:
            self._check_champion(model, version)
        return Resolved(model, version, alias)

    def _is_model(self, name: str) -> bool:
        return any(record.name == name for record in self._service.models())

    def _check_champion(self, model: str, version: int) -> None:
        view = self.ledger_view(model)
        if view.known and view.champion != version:
            raise OutOfBand(champion_differs(model, version, view.champion))

    def ledger_view(self, model: str) -> LedgerView:
        """What the ledger holds of the model; read again only when it has a newer event about it."""
        newest = self._service.newest_event(model)
        known = self._views.get(model)
        if known is None or known[0] != newest:
            known = self._views[model] = (newest, self._service.recorded(model))
        return known[1]


MOST_REMEMBERED = 256
# Kinds of refusal that the same bytes would meet again.
ABOUT_THE_FILES = {"untrusted", "not_here", "refused", "failed"}


class Targets:
    """Makes versions ready to be asked. Threads may share it."""

    def __init__(self, service: GovernanceService, *, policy: str, describe: Callable[[Target], Frame]) -> None:
        """policy: `serving.trust`. describe: has a worker load a version and say what it is."""
        self._service, self._policy, self._ask = service, policy, describe
        self._references = References(service)
        # Both by the files' digest: equal bytes give the same answer.
        self._descriptions: LRUCache[str, Description | WorkerRefusal] = LRUCache(MOST_REMEMBERED)
        self._refusals: LRUCache[str, str | None] = LRUCache(MOST_REMEMBERED)
        self._lock = threading.Lock()  # guards both

    def resolve(self, reference: str) -> Resolved:
        """See References.resolve."""
        return self._references.resolve(reference)

    def target(self, reference: str | Resolved) -> Target:
        """The version with its state and columns; the first time it is copied and loaded. Raises as resolve does."""
        resolved = self.resolve(reference) if isinstance(reference, str) else reference
        record = self._service.version(resolved.model, resolved.version)
        evidence = self._service.evidence_of(record)
        schema = schema_of(evidence.feature_schema, evidence.content["signature"])
        state = self._judged(evidence)
        target = Target(resolved, record, evidence, state, schema)
        return self._loaded(target) if state.usable else target

    def recorded_trust(self, evidence: Evidence) -> TrustState:
        """The trust in a version by the ledger and MLmodel, without loading it: a usable one may still fail to load.

        Raises Unavailable where the registry does not answer.
        """
        state = self._judged(evidence)
        if not state.usable or self._policy != "allow_list":
            return state
        try:
            refusal = self._refusal(evidence, str(state.digest))
        except NotFound as error:  # gone since, or its store does not answer: no property of the bytes
            refusal = str(error)
        return state if refusal is None else TrustState(Trust.UNTRUSTED, state.digest, refusal)

    def ledger_view(self, model: str) -> LedgerView:
        """See References.ledger_view."""
        return self._references.ledger_view(model)

    def usable(self, reference: str | Target) -> Target:
        """A target that may be asked. Raises Refused for an untrusted version, IntegrityFailure for a tampered one."""
        target = self.target(reference) if isinstance(reference, str) else reference
        if target.state.state is Trust.TAMPERED:
            raise IntegrityFailure(f"{target.label}: {target.state.reason}")
        if not target.state.usable:
            raise Refused(f"{target.label} is not loaded: {target.state.reason}")
        return target

    def _judged(self, evidence: Evidence) -> TrustState:
        """The trust in a version by the ledger; changed files raise the alarm."""
        state = judge(evidence, self.ledger_view(evidence.model))
        if state.state is Trust.TAMPERED:
            with suppress(SignoffError):  # the version is refused also while the ledger cannot be written
                self._service.report_tampering(evidence)
        return state

    def _refusal(self, evidence: Evidence, digest: str) -> str | None:
        """Why MLmodel forbids to load the version; None where it does not. Raises NotFound."""
        with self._lock:
            if digest in self._refusals:
                return self._refusals[digest]
        record = self._service.version(evidence.model, evidence.version)
        content = self._service.read_file(record, MODEL_DESCRIPTION)
        files = {file["path"]: file["sha256"] for file in evidence.content["files"]}
        found = None
        try:
            model_file(parse_description(content), set(files))
        except Refused as refusal:
            found = str(refusal)
        if hashlib.sha256(content).hexdigest() == files.get(MODEL_DESCRIPTION):
            with self._lock:
                self._refusals[digest] = found
        return found

    def _loaded(self, target: Target) -> Target:
        """The target with what only loading tells: whether the policy allows it, its classes, its example's columns."""
        try:
            found = self._describe(target)
        except WorkerRefusal as refusal:
            tried = refusal.kind not in {"untrusted", "not_here"}
            return replace(target, state=TrustState(Trust.UNTRUSTED, target.digest, refusal.reason, loaded=tried))
        except Refused as refusal:  # it is too large to be copied
            return replace(target, state=TrustState(Trust.UNTRUSTED, target.digest, str(refusal)))
        return replace(
            target,
            state=replace(target.state, loaded=True, mlflow_flavor=found.mlflow_flavor),
            schema=(
                started_with(target.schema, found.example) if target.schema else schema_of_model(found.model_dump())
            ),
            classes=tuple(found.classes),
            names=tuple(found.names),
            probabilities=found.probabilities,
            model_type=found.model_type,
            example=found.example,
        )

    def _describe(self, target: Target) -> Description:
        """The worker's description; the same bytes are described, or refused for what they are, only once."""
        with self._lock:
            known = self._descriptions.get(target.digest)
        if known is None:
            try:
                known = checked(Description, self._ask(target), about=target.label)
            except WorkerRefusal as refusal:
                if refusal.kind not in ABOUT_THE_FILES:
                    raise
                known = refusal
            with self._lock:
                self._descriptions[target.digest] = known
        if isinstance(known, WorkerRefusal):
            raise known
        return known


def input_schema(target: Target) -> InputSchema:
    """The columns to give. Raises Refused where nothing names them, or a required one cannot be given."""
    if target.schema is None:
        raise Refused(f"{target.label} does not say which columns it takes: no schema, signature, example or names")
    if never := [column for column in target.schema.columns if column.refusal and column.required]:
        raise Refused(f"{target.label} cannot be asked: its column {visible(never[0].name)} {never[0].refusal}")
    return target.schema
