"""Kill a decision at every write, and let several decide at once, on a real MLflow registry and a real ledger."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pipeline.bootstrap import KeptRegistryId, SystemClock
from pipeline.governance.errors import Conflict, SignoffError
from pipeline.governance.lifecycle import Stage, stage_move
from pipeline.governance.record.ledger import Event, EventType, StoredEvent
from pipeline.governance.rules import decide
from support import registries
from support.desks import GRACE, MODEL, REASON, KnownDifferences, KnownSmoke, OpenDesk, default_policy
from support.places import Place, Places, check_invariants, copy_database, kill_before
from support.signers import ALAN, ANNA, RITA, approve
from support.soak import amount

if TYPE_CHECKING:
    from support.postgres import PostgresServer

Note = Callable[[str, object], None]  # keeps a figure in the report of a soak
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
    """Children of a process that has imported all and opened no database: forking this one would copy threads."""
    forkserver = multiprocessing.get_context("forkserver")
    forkserver.set_forkserver_preload(
        [
            *("pipeline.adapters.ledger.sql", "pipeline.adapters.mlflow.registry", "mlflow"),
            *("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store"),
            *("support.places", "support.signers", "psycopg"),
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
        copy_database(prepared / name, tmp_path / name)
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


# The same where several hosts share the ledger, and through `mlflow server`: a promotion, and one that others approve.

PLACES = amount(("postgres",), soak=("sqlite", "postgres", "server"))
SIGNED_PLACES = amount(("sqlite", "postgres"), soak=("sqlite", "postgres", "server"))
ROUNDS = amount(1, soak=40)
KILLS = amount(2, soak=None)  # None: at every step
OUTAGES = amount(1, soak=20)
ENOUGH = 6  # decisions that clients were told of before something is killed


@pytest.fixture
def places(request: pytest.FixtureRequest, prepared: Path, tmp_path: Path) -> Iterator[Callable[..., Places]]:
    """Makes places of a kind, with the prepared registry."""
    with ExitStack() as opened:

        def make(kind: str, *, approvals: int = 0) -> Places:
            found = Places(
                kind,
                prepared=prepared,
                folder=tmp_path,
                postgres=lambda: request.getfixturevalue("postgres"),
                approvals=approvals,
            )
            return opened.enter_context(closing(found))

        yield make


def promote_at(place: Place, version: int, expect: str | None, start: Any) -> None:
    """As soon as all are ready."""
    decide.DEADLINE = timedelta(minutes=5)  # in a process of its own; this is not about time
    desk = place.open()
    desk.registry.state(MODEL)
    start.wait()
    try:
        desk.promote(MODEL, version, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True, expect=expect)
    except Conflict:
        os._exit(4)


@pytest.mark.parametrize("kind", PLACES)
def test_in_every_round_one_of_four_wins(context: ForkServerContext, places: Callable[..., Places], kind: str) -> None:
    """Each has looked at the same state; the others are told that it changed."""
    from pipeline.governance.lifecycle import parse_target

    place = places(kind).new()
    desk = place.open()
    for _ in range(ROUNDS):
        state = desk.registry.state(MODEL)
        others = [version for version in range(1, 6) if version != state.champion]
        for version in others:
            if state.stages[version] is not Stage.STAGING:
                desk.promote(MODEL, version, Stage.STAGING, reason=REASON, actor=GRACE, accept_warnings=True)
        looked = [desk.review(parse_target(MODEL, version, "Production")).state for version in others]
        start = context.Barrier(len(others))
        children = [
            context.Process(target=promote_at, args=(place, version, expect, start))
            for version, expect in zip(others, looked, strict=True)
        ]
        for child in children:
            child.start()
        for child in children:
            child.join()
        check_invariants(desk)

        assert sorted(child.exitcode for child in children) == [0, 4, 4, 4]  # type: ignore[type-var]
        assert desk.registry.state(MODEL).champion == others[[child.exitcode for child in children].index(0)]


def promote_counting(place: Place, left: int | None, told: Connection) -> None:
    """Gives the number of its steps, unless it is killed before."""
    decide.DEADLINE = timedelta(minutes=5)
    steps = kill_before(place, left)
    place.open().promote(MODEL, 2, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True)
    told.send(steps[0])


def sign_counting(place: Place, left: int | None, told: Connection) -> None:
    """Gives the number of each act that is done, and last that of its steps, unless it is killed before."""
    decide.DEADLINE = timedelta(minutes=5)
    steps = kill_before(place, left)
    for sequence in signatures(place.open()):
        told.send(sequence)
    told.send(steps[0])


def signatures(desk: OpenDesk) -> Iterator[int]:
    """One asks, two approve, and the second of them decides; each act under its key, and the number of its event."""
    move = stage_move(MODEL, 2, Stage.PRODUCTION)
    asked = desk.request(move, reason=REASON, actor=RITA, accept_warnings=True, key="asked")
    yield asked.sequence
    for signer in (ANNA, ALAN):
        signed = approve(desk, asked, signer, key=f"signed by {signer.subject}").view.request.approvals
        yield next(each.sequence for each in signed if each.person == signer.person)


class Killed(NamedTuple):
    """What a process has left that was to be killed."""

    exit_code: int | None
    desk: OpenDesk
    told: list[int]


@pytest.fixture
def killed(context: ForkServerContext) -> Callable[..., Killed]:
    """Runs one of the above at a new place."""

    def run(act: Callable[..., None], places: Places, left: int | None) -> Killed:
        place = places.new()
        reading, writing = context.Pipe(duplex=False)
        with reading:
            child = context.Process(target=act, args=(place, left, writing))
            child.start()
            writing.close()
            child.join()
            return Killed(child.exitcode, place.open(), _rest(reading))

    return run


def some_of(steps: int) -> Sequence[int]:
    return range(steps) if KILLS is None else sorted(Random(7).sample(range(steps), KILLS))


@pytest.mark.parametrize("kind", PLACES)
def test_a_decision_killed_before_any_step_is_finished_or_undone(
    killed: Callable[..., Killed], places: Callable[..., Places], kind: str, record_property: Note
) -> None:
    """Statements, commits and calls, of the ledger and of the registry; some of them unless it is a soak."""
    there = places(kind)
    code, desk, (steps,) = killed(promote_counting, there, None)
    assert (code, desk.registry.state(MODEL).champion) == (0, 2)
    assert steps > WRITES
    codes = []
    for left in some_of(steps):
        code, desk, _ = killed(promote_counting, there, left)
        codes.append(code)
        check_invariants(desk)

        assert code in (0, -signal.SIGKILL), left
        assert desk.registry.state(MODEL).champion in (1, 2)
        assert (code == 0) <= (desk.registry.state(MODEL).champion == 2)
        desk.ledger.close()
    record_property("killed", f"{codes.count(-signal.SIGKILL)} times in {steps} steps")


@pytest.mark.parametrize("kind", SIGNED_PLACES)
def test_an_approval_killed_before_any_step_is_there_once_or_not_at_all(
    killed: Callable[..., Killed], places: Callable[..., Places], kind: str, record_property: Note
) -> None:
    """A request, a first and a last approval: what somebody was told of stays, the last one is applied, and whoever
    asks again under the same key finds what is there and makes the rest.
    """
    there = places(kind, approvals=2)
    code, desk, (*numbers, steps) = killed(sign_counting, there, None)
    assert (code, desk.registry.state(MODEL).champion, len(numbers)) == (0, 2, 3)
    codes = []
    for left in some_of(steps):
        code, desk, told = killed(sign_counting, there, left)
        codes.append(code)
        check_invariants(desk)
        assert code in (0, -signal.SIGKILL), left
        signed = _events(desk, EventType.APPROVED)
        assert desk.registry.state(MODEL).champion == (2 if len(signed) == 2 else 1), left

        again = list(signatures(desk))
        check_invariants(desk)

        assert again[: len(told)] == told, left
        assert again == [each.sequence for each in _events(desk, EventType.REQUESTED, EventType.APPROVED)]
        (applied,) = _events(desk, EventType.APPLIED)
        assert applied.event.content["approvals"] == again[1:]
        assert desk.registry.state(MODEL).champion == 2
        desk.ledger.close()
    record_property("killed", f"{codes.count(-signal.SIGKILL)} times in {steps} steps")


def _events(desk: OpenDesk, *types: EventType) -> list[StoredEvent]:
    return [each for each in desk.ledger.events() if each.event.type in types]


def keep_deciding(place: Place, name: str, told: Connection) -> None:
    """Sets an alias of its own for ever, another one after each failure; says each decision that is applied."""
    desk, version, failures = place.open(), 2, 0
    while True:
        alias = f"{name}-{failures}"  # one whose decision was broken off is free only when reconcile has ended it
        try:
            outcome = desk.set_alias(MODEL, alias, version, reason=REASON, actor=GRACE, accept_warnings=True)
        except SignoffError:
            failures += 1
            continue
        told.send(outcome.sequence)
        version = 5 - version


def keep_reconciling(place: Place) -> None:
    """As `reconcile --watch`, without a pause, finishing whatever was left."""
    from pipeline.cli.record import ReconcileWatch

    with Path(os.devnull).open("w") as silence:
        sys.stdout = sys.stderr = silence
        # No decision takes so long, however busy the machine is: who was given up on would write after its end.
        watch = ReconcileWatch(place.open(), None, timedelta(seconds=60))
        while True:
            watch.look()


def test_no_decision_that_somebody_was_told_of_is_lost(
    context: ForkServerContext, places: Callable[..., Places], postgres: "PostgresServer", record_property: Note
) -> None:
    """While PostgreSQL is restarted as after a crash, and everybody who works on the ledger is killed at once."""
    place = places("postgres").new()
    known: list[int] = []
    for number in range(OUTAGES):
        pipes = [context.Pipe(duplex=False) for _ in range(amount(2, soak=4))]
        children = [
            context.Process(target=keep_deciding, args=(place, f"own-{number}-{index}", writing))
            for index, (_, writing) in enumerate(pipes)
        ]
        children += [context.Process(target=keep_reconciling, args=(place,)) for _ in range(2)]
        for child in children:
            child.start()
        try:
            known += [reading.recv() for reading, _ in pipes for _ in range(ENOUGH)]
            postgres.restart("immediate")
            known += [reading.recv() for reading, _ in pipes for _ in range(ENOUGH)]
        finally:
            for child in children:
                child.kill()
            for child in children:
                child.join()
        for reading, writing in pipes:
            writing.close()
            known += _rest(reading)
    desk = place.open()
    check_invariants(desk)
    applied = {each.event.content["intent"] for each in desk.ledger.events() if each.event.type is EventType.APPLIED}

    assert len(known) >= 2 * ENOUGH
    assert set(known) <= applied
    record_property("told", f"of {len(known)} decisions in {OUTAGES} restarts")


def _rest(reading: Connection) -> list[int]:
    """What was said before the end; of a message that was cut off, nothing."""
    found = []
    with suppress(EOFError, OSError):
        while reading.poll(0):
            found.append(int(reading.recv()))
    return found
