"""A desk in memory for tests: the real rules over the in-memory registry and ledger, with a clock that ticks."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from pipeline.governance.actor import Actor, Established
from pipeline.governance.errors import Refused
from pipeline.governance.lifecycle import Move
from pipeline.governance.policy import Policy
from pipeline.governance.ports import Json, Ledger, MetricDifference, Registry, VersionRecord
from pipeline.governance.record.evidence import RecomputedMetrics
from pipeline.governance.roles import RoleBook
from pipeline.governance.rules.decide import Decider
from pipeline.governance.rules.paired import Agreement, Confusions, Flip, Flips, Paired, PairedComparer
from pipeline.governance.rules.reconcile import Reconciler
from pipeline.governance.rules.review import Reviewer
from pipeline.governance.rules.watching import Watching
from pipeline.governance.service import GovernanceService
from pipeline.governance.service.notices import Messenger
from pipeline.settings import read_settings
from support.in_memory import EPOCH, InMemoryLedger, InMemoryRegistry

MODEL = "obesity_classifier"
GRACE = Actor("grace", Established.SELF_DECLARED, loopback=True)
PIPELINE = Actor("pipeline", Established.PROGRAM)
AGREEMENT = Agreement(
    both_right=6, only_a_right=1, only_b_right=2, both_wrong_alike=1, both_wrong_differently=0, p_value=1.0
)
REASON = "Better in every class on the held-out rows."


@dataclass
class TickingClock:
    """Each look is a second later. set_by: how far somebody has set it, ahead or back; its steady hand knows better."""

    time: datetime = EPOCH
    set_by: timedelta = timedelta(0)

    def now(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time + self.set_by

    def elapsed(self) -> float:
        return (self.time - EPOCH).total_seconds()


@dataclass
class KnownDifferences:
    """A comparer that gives what the test says, or refuses with its sentence."""

    differences: Sequence[MetricDifference] = ()
    refusal: Exception | None = None
    flipped: Sequence[Flip] = ()

    def compare(self, candidate: bytes, incumbent: bytes) -> list[MetricDifference]:
        if self.refusal:
            raise self.refusal
        return list(self.differences)

    def pair(self, a: bytes, b: bytes) -> Paired:
        found = self.compare(b, a)
        return Paired(
            n=AGREEMENT.n,
            metrics=tuple(each for each in found if not each.slice),
            classes=tuple(each for each in found if each.metric == "recall"),
            slices=tuple(each for each in found if each.slice and each.metric == "accuracy"),
            agreement=AGREEMENT,
            confusions=Confusions(("no", "yes"), ((5, 1), (2, 2)), ((6, 0), (2, 2)), ((7, 0), (1, 2))),
        )

    def flips(self, a: bytes, b: bytes) -> Flips:
        self.compare(b, a)
        return Flips(AGREEMENT, tuple(self.flipped))


@dataclass
class KnownClaims:
    """A recomputer that measures what the test says, or refuses with its sentence."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    changed_rows: int = 0
    refusal: Exception | None = None
    compiled: str = ""

    def recompute(self, record: VersionRecord, *, file_digest: str) -> RecomputedMetrics:
        if self.refusal:
            raise self.refusal
        return RecomputedMetrics(627, self.metrics, self.changed_rows, self.compiled)


@dataclass
class KnownSmoke:
    """A smoke predictor that gives what the test says, or refuses with its sentence."""

    refusal: Exception | None = None
    asked: list[int] = field(default_factory=list)

    def predict(self, record: VersionRecord, *, file_digest: str) -> str:
        self.asked.append(record.row.version)
        if self.refusal:
            raise self.refusal
        return "predicts Normal_Weight"


@cache
def default_policy() -> Policy:
    return read_settings(environ={}).policy.policy()


@dataclass
class DatabaseClock:
    """That of the ledger's database: nobody has set it."""

    clock: TickingClock

    def now(self) -> datetime:
        return self.clock.time


class OpenDesk(GovernanceService):
    """A desk whose parts a test may look at, or make fail: those that it was built of are of the test's own types."""

    @property
    def registry(self) -> Any:
        return self._registry

    @property
    def ledger(self) -> Any:
        return self._ledger

    @property
    def clock(self) -> Any:
        return self._decider.clock

    @property
    def policy(self) -> Policy:
        return self._decider.policy

    @property
    def reviewer(self) -> Reviewer:
        return self._reviewer

    @property
    def decider(self) -> Decider:
        return self._decider

    @property
    def reconciler(self) -> Reconciler:
        return self._reconciler


def build_desk(
    registry: Registry | None = None,
    ledger: Ledger | None = None,
    *,
    policy: Policy | None = None,
    comparer: PairedComparer | None = None,
    smoke: KnownSmoke | None = None,
    recomputer: KnownClaims | None = None,
    clock: TickingClock | None = None,
    roles: RoleBook | None = None,
    messenger: Messenger | None = None,
    watching: Watching | None = None,
) -> OpenDesk:
    ids = (f"decision-{number}" for number in itertools.count(1))
    clock = clock or TickingClock()
    return OpenDesk(
        registry=registry or small_registry(),
        ledger=ledger or InMemoryLedger(database_clock=DatabaseClock(clock)),
        policy=policy or default_policy(),
        comparer=comparer or KnownDifferences([equal("f1_macro")]),
        smoke=smoke or KnownSmoke(),
        clock=clock,
        new_id=lambda: next(ids),
        new_secret=lambda: f"secret-{next(ids)}",
        recomputer=recomputer,
        roles=roles,
        messenger=messenger,
        watching=watching,
    )


def failing(_: Registry, error: Exception) -> Callable[..., Any]:
    """A method that raises."""

    def call(*_: Any, **__: Any) -> None:
        raise error

    return call


def before_the_lock(desk: OpenDesk, act: Callable[[OpenDesk], object]) -> None:
    """Another process acts once, between a decision's review and its lock."""
    review = desk.reviewer.review
    raced: list[bool] = []

    def race(move: Move, **options: Any):
        found = review(move, **options)
        if not raced:
            raced.append(True)
            act(build_desk(desk.registry, desk.ledger))
        return found

    object.__setattr__(desk.reviewer, "review", race)


def small_registry(*, versions: int = 3) -> InMemoryRegistry:
    """A registry with one model and versions of ours that pass every gate."""
    registry = InMemoryRegistry()
    registry.add_model(MODEL, description="Obesity level from a survey")
    for number in range(1, versions + 1):
        add_good_version(registry, accuracy=0.9 + number / 100)
    return registry


def add_good_version(
    registry: InMemoryRegistry, *, model: str = MODEL, accuracy: float = 0.93, tags: Mapping[str, str] | None = None
) -> int:
    return registry.add_version(
        model,
        metrics={"accuracy": accuracy},
        tags={"produced_by": "signoff", "model_type": "random_forest", **(tags or {})},
        files={
            "MLmodel": b"flavors",
            "model.skops": f"{accuracy}".encode(),
            "signoff/evaluation_rows.parquet": b"rows",
        },
        documents=good_documents(accuracy),
        signature={"inputs": [{"name": "Age", "type": "double"}], "outputs": [{"type": "string"}]},
    )


def registered_again(desk: OpenDesk, *, accuracy: float = 0.95) -> None:
    """The model is deleted and registered anew: version 1 is other files now, and the ledger is told."""
    registry = desk.registry
    assert isinstance(registry, InMemoryRegistry)
    registry.add_model(MODEL)
    add_good_version(registry, accuracy=accuracy)
    desk.adopt(MODEL, reason="Deleted and registered anew.", actor=GRACE)


def good_documents(accuracy: float) -> dict[str, Json]:
    low, high = round(accuracy - 0.02, 4), round(accuracy + 0.02, 4)
    return {
        "evaluation": {
            "n": 627,
            "metrics": {"accuracy": {"value": accuracy, "low": low, "high": high}},
            "baseline": {"class": "Obesity_Type_I", "accuracy": 0.17},
        },
        "feature_schema": {"columns": {"Age": {"type": "number"}}},
        "explanation": {"sum_error": 1e-15, "tolerance": 1e-9},
    }


def equal(metric: str, *, slice: str = "") -> MetricDifference:  # noqa: A002 (the field's own name)
    return MetricDifference(metric, 0.0, -0.01, 0.01, 627, slice)


def worse(metric: str, *, n: int = 627, slice: str = "") -> MetricDifference:  # noqa: A002 (the field's own name)
    return MetricDifference(metric, -0.05, -0.08, -0.02, n, slice)


def refused(sentence: str) -> Refused:
    return Refused(sentence)
