"""What each path of the desk asks of the service; each answer is the JSON of the verb of the same name."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.governance.actor import Actor
from pipeline.governance.lifecycle import Move, MoveKind, Stage, parse_target
from pipeline.governance.listing import model_json, version_json
from pipeline.governance.record.history import entry
from pipeline.governance.rules.decide import Options
from pipeline.governance.rules.repeats import KeyOptions
from pipeline.governance.rules.signing.approval import SignedAct
from pipeline.governance.service import GovernanceService
from pipeline.governance.service.news import who_was_faster
from pipeline.governance.text import parse_time
from pipeline.http_api.desk import given
from pipeline.monitoring.log_desk import LogDesk
from pipeline.validation.schema import shown_json


@dataclass(frozen=True)
class Visit:
    """One request: whose, and about what."""

    service: GovernanceService  # for whoever asks
    path: Mapping[str, str | int]  # what the path names
    once: KeyOptions
    log: LogDesk  # for the same person

    @property
    def actor(self) -> Actor:
        return self.service.actor

    @property
    def model(self) -> str:
        return str(self.path["model"])

    @property
    def version(self) -> int:
        return int(self.path["version"])

    @property
    def request(self) -> int:
        return int(self.path["id"])

    def options(self, decision: given.DecisionInput, *, recompute: bool = False) -> Options:
        return {
            "evidence": decision.evidence,
            "expect": decision.expect,
            "accept_warnings": decision.accept_warnings,
            "recompute": recompute,
            **self.once,
        }

    @contextmanager
    def deciding(self, decision: given.DecisionInput) -> Iterator[GovernanceService]:
        with who_was_faster(self.service, self.model, decision.expect):
            yield self.service


def list_models(visit: Visit, _: given.Nothing) -> object:
    service = visit.service
    return [model_json(each, service.not_approved_here(each.name)) for each in service.models()]


def list_versions(visit: Visit, query: given.VersionsQuery) -> object:
    service, metrics = visit.service, query.metric
    rows = service.versions_with(visit.model, metrics) if metrics else service.versions(visit.model)
    return [version_json(row) for row in rows]


def show(visit: Visit, _: given.Nothing) -> object:
    return shown_json(visit.service.show(visit.model, visit.version))


def review(visit: Visit, query: given.ReviewQuery) -> object:
    move = parse_target(visit.model, visit.version, query.to)
    return visit.service.review(move, recompute=query.recompute).as_json()


def compare(visit: Visit, query: given.CompareQuery) -> object:
    return visit.service.compare(visit.model, query.a, query.b).as_json()


def history(visit: Visit, query: given.HistoryQuery) -> object:
    if query.at is not None:
        return visit.service.at(visit.model, parse_time(query.at)).as_json()
    events = visit.service.history(visit.model, before=query.before, newest=query.limit)
    return [each.as_json() for each in events]


def list_requests(visit: Visit, query: given.RequestsQuery) -> object:
    return [each.as_json() for each in visit.service.requests(query.model, due=query.due)]


def show_request(visit: Visit, _: given.Nothing) -> object:
    return visit.service.find_request(visit.request).as_json()


def promote(visit: Visit, body: given.PromoteInput) -> object:
    options = visit.options(body, recompute=body.recompute)
    with visit.deciding(body) as service:
        stage = Stage(body.stage)
        done = service.promote(visit.model, body.version, stage, reason=body.reason, actor=visit.actor, **options)
    return done.as_json()


def set_alias(visit: Visit, body: given.AliasInput) -> object:
    options = visit.options(body, recompute=body.recompute)
    with visit.deciding(body) as service:
        done = service.set_alias(
            visit.model, body.alias, body.version, reason=body.reason, actor=visit.actor, **options
        )
    return done.as_json()


def remove_alias(visit: Visit, body: given.UnaliasInput) -> object:
    options = visit.options(body)
    with visit.deciding(body) as service:
        done = service.remove_alias(visit.model, body.alias, reason=body.reason, actor=visit.actor, **options)
    return done.as_json()


def roll_back(visit: Visit, body: given.RollbackInput) -> object:
    options = visit.options(body)
    with visit.deciding(body) as service:
        done = service.rollback(visit.model, reason=body.reason, actor=visit.actor, **options)
    return done.as_json()


def request(visit: Visit, body: given.DecisionInput | given.RequestAdoption) -> object:
    service, seen = visit.service, {"evidence": body.evidence, "expect": body.expect}
    common: dict[str, Any] = {"reason": body.reason, "actor": visit.actor, **seen, **visit.once}
    if isinstance(body, given.RequestAdoption):
        made = service.request_adoption(visit.model, **common)
    else:
        made = service.request(_asked(visit, body), accept_warnings=body.accept_warnings, **common)
    return service.find_request(made.sequence).as_json()


def _asked(visit: Visit, body: given.DecisionInput) -> Move:
    match body:
        case given.RequestMove():
            return parse_target(visit.model, body.version, body.to)
        case given.RequestUnalias():
            return Move(visit.model, MoveKind.UNALIAS, None, body.unalias)
        case _:
            return visit.service.rollback_move(visit.model)


def approve(visit: Visit, body: given.ApproveInput) -> object:
    act = SignedAct(
        visit.request, body.reason, visit.actor, body.evidence, body.expect, tuple(body.attest), **visit.once
    )
    return visit.service.approve(act).as_json()


def reject(visit: Visit, body: given.CloseInput) -> object:
    return visit.service.reject(SignedAct(visit.request, body.reason, visit.actor, **visit.once)).as_json()


def withdraw(visit: Visit, body: given.CloseInput) -> object:
    return visit.service.withdraw(SignedAct(visit.request, body.reason, visit.actor, **visit.once)).as_json()


def comment(visit: Visit, body: given.CommentInput) -> object:
    stored = visit.service.comment(
        visit.model, body.version, body.text, actor=visit.actor, request=body.request, **visit.once
    )
    return entry(stored).as_json()


def tell_outcomes(visit: Visit, body: given.OutcomesInput) -> object:
    return visit.log.tell_outcomes((each.prediction_id, each.actual) for each in body.outcomes).as_json()
