"""Kill a decision at every write, and let several decide at once, on a real MLflow registry and a real ledger."""

import multiprocessing
import os
import signal
import sqlite3
from contextlib import closing
from datetime import timedelta
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from pipeline.bootstrap import KeptRegistryId, SystemClock
from pipeline.governance.errors import Conflict
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import ENDS, Event, EventType, StoredEvent
from pipeline.governance.rules import decide
from support import registries
from support.desks import GRACE, MODEL, REASON, KnownDifferences, KnownSmoke, OpenDesk, default_policy
from support.soak import amount

WRITES = 8  # a promotion with an incumbent: intent, alias, two stages, tags, end; and some to spare


class Steps:
    """Kills this very process before one of its writes."""

    def __init__(self, left: int | None) -> None:
        self.left = left

    def step(self) -> None:
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.left is not None:
            self.left -= 1


def open_desk(folder: Path, *, die_before: int | None = None) -> OpenDesk:
    from pipeline.adapters.ledger.sql import SqlLedger
    from pipeline.adapters.mlflow.registry import MlflowRegistry

    steps = Steps(die_before)

    class DyingRegistry(MlflowRegistry):
        def set_alias(self, model: str, alias: str, version: int | None) -> None:
            steps.step()
            super().set_alias(model, alias, version)

        def set_stage(self, model: str, version: int, stage: Stage) -> None:
            steps.step()
            super().set_stage(model, version, stage)

        def set_tags(self, *arguments: Any) -> None:
            steps.step()
            super().set_tags(*arguments)

    registry = DyingRegistry(f"sqlite:///{folder / 'mlflow.db'}", experiment="signoff")
    ledger = SqlLedger(
        f"sqlite:///{folder / 'ledger.db'}", registry=KeptRegistryId(registry, "fixed"), clock=SystemClock()
    )
    return OpenDesk(
        registry=registry,
        ledger=DyingLedger(ledger, steps),
        policy=default_policy(),
        comparer=KnownDifferences(),
        smoke=KnownSmoke(),
        clock=SystemClock(),
        new_id=lambda: os.urandom(8).hex(),
        new_secret=lambda: os.urandom(32).hex(),
    )


class DyingLedger:
    """The ledger of a process that dies before one of its appends is committed, or right after one."""

    def __init__(self, ledger, steps: Steps) -> None:
        self._ledger, self._steps = ledger, steps

    def __getattr__(self, name: str):
        return getattr(self._ledger, name)

    def transaction(self):
        return DyingTransaction(self._ledger.transaction(), self._steps)


class DyingTransaction:
    """Passes everything on, but each append is a step."""

    def __init__(self, manager, steps: Steps) -> None:
        self._manager, self._steps = manager, steps

    def __enter__(self):
        self._open = self._manager.__enter__()
        return self

    def __exit__(self, *error: Any):
        return self._manager.__exit__(*error)

    def append(self, event: Event) -> StoredEvent:
        stored = self._open.append(event)
        self._steps.step()
        return stored

    def __getattr__(self, name: str):
        return getattr(self._open, name)


@pytest.fixture(scope="module")
def context() -> ForkServerContext:
    """Children of a process that has imported MLflow and opened no database: forking this one would copy threads."""
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(
        [
            *("pipeline.adapters.ledger.sql", "pipeline.adapters.mlflow.registry", "mlflow"),
            *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
        ]
    )
    return forkserver


@pytest.fixture(scope="module")
def prepared(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five versions of ours in Staging or Production; 1 is champion."""
    folder = tmp_path_factory.mktemp("prepared")
    uri = registries.copy_store(template, folder)
    filler = registries.Filler(uri)
    filler.add_model(MODEL)
    for number in range(5):
        filler.add_version(MODEL, metrics={"accuracy": 0.9 + number / 100, "baseline_accuracy": 0.2})
    desk = open_desk(folder)
    for number in range(1, 6):
        desk.promote(MODEL, number, Stage.STAGING, reason=REASON, actor=GRACE, accept_warnings=True)
    desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True)
    return folder


@pytest.fixture
def folder(prepared: Path, tmp_path: Path) -> Path:
    """A copy of the databases; the files of the models are shared and only read."""
    for name in ("mlflow.db", "ledger.db"):
        with closing(sqlite3.connect(prepared / name)) as source, closing(sqlite3.connect(tmp_path / name)) as copy:
            source.backup(copy)  # a plain copy would miss what is still in the write-ahead log
    name = "ledger.checkpoints.jsonl"
    (tmp_path / name).write_bytes((prepared / name).read_bytes())
    return tmp_path


def promote(folder: Path, version: int, die_before: int | None, expect: str | None = None) -> None:
    decide.DEADLINE = timedelta(minutes=5)  # in a process of its own; this is not about time
    desk = open_desk(folder, die_before=die_before)
    try:
        desk.promote(MODEL, version, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True, expect=expect)
    except Conflict:
        os._exit(4)


def check_invariants(desk: OpenDesk) -> None:
    """I1, I3, I4, I7 and I9, after one reconcile; a second one finds nothing to do."""
    desk.reconcile(MODEL, min_age=timedelta(0))
    assert desk.reconcile(MODEL, min_age=timedelta(0)) == []
    assert desk.verify() == []
    events = [stored.event for stored in desk.ledger.events()]
    intents = [event.decision for event in events if event.type is EventType.DECIDED]
    assert sorted(intents) == sorted(event.decision for event in events if event.type in ENDS)
    state = desk.registry.state(MODEL)
    assert state.in_stage(Stage.PRODUCTION) == [state.champion]


@pytest.mark.parametrize("die_before", amount((0, 2, 4, WRITES - 1), soak=range(WRITES)))
def test_a_decision_killed_at_any_write_is_finished_or_undone(
    context: ForkServerContext, folder: Path, die_before: int
) -> None:
    """Never half a state that nobody knows of."""
    child = context.Process(target=promote, args=(folder, 2, die_before))
    child.start()
    child.join()
    desk = open_desk(folder)
    check_invariants(desk)

    assert child.exitcode in (0, -signal.SIGKILL)
    assert desk.registry.state(MODEL).champion in (1, 2)
    assert (child.exitcode == 0) <= (desk.registry.state(MODEL).champion == 2)


def test_enough_writes_were_tried(context: ForkServerContext, folder: Path) -> None:
    """The last number of the test above kills nothing: every write came before it."""
    child = context.Process(target=promote, args=(folder, 2, WRITES - 1))
    child.start()
    child.join()

    assert child.exitcode == 0


def test_of_several_who_saw_the_same_state_exactly_one_wins(context: ForkServerContext, folder: Path) -> None:
    """The others read that the state changed; one champion, one Production version."""
    wins = []
    children = [context.Process(target=promote, args=(folder, version, None)) for version in (2, 3, 4, 5)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        wins.append(child.exitcode)
    desk = open_desk(folder)
    check_invariants(desk)

    assert set(wins) <= {0, 4}
    assert desk.registry.state(MODEL).champion in (2, 3, 4, 5)


def test_an_expected_state_is_won_once(context: ForkServerContext, folder: Path) -> None:
    """With the state that all of them looked at, three of four are refused."""
    from pipeline.governance.lifecycle import parse_target

    desk = open_desk(folder)
    children = []
    for version in (2, 3, 4, 5):
        expect = desk.review(parse_target(MODEL, version, "Production")).state
        children.append(context.Process(target=promote, args=(folder, version, None, expect)))
    for child in children:
        child.start()
    for child in children:
        child.join()
    check_invariants(desk)

    assert sorted(child.exitcode for child in children) == [0, 4, 4, 4]  # type: ignore[type-var]


def test_the_client_is_open_before_the_intent_is_written(folder: Path) -> None:
    """The first decision of a process imports MLflow; its deadline begins after that."""
    desk = open_desk(folder)
    opened = []

    def new_id() -> str:
        opened.append(desk.registry._opened is not None)
        return "decision-of-a-fresh-process"

    object.__setattr__(desk.decider, "new_id", new_id)
    assert desk.registry._opened is None
    desk.promote(MODEL, 2, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True)

    assert opened == [True]
