"""Where a desk of several processes works, made anew for each kill; and what holds when everything has come to rest."""

import os
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.bootstrap import KeptRegistryId, SystemClock
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import ENDS, EventType
from support import registries
from support.desks import MODEL, KnownDifferences, KnownSmoke, OpenDesk, default_policy
from support.signers import TRAINER, signing_policy

if TYPE_CHECKING:
    from support.postgres import PostgresServer


class Place(NamedTuple):
    """Addresses of a registry and a ledger, which a process of its own can be given."""

    registry: str
    ledger: str
    checkpoints: Path
    approvals: int = 0  # that a promotion to Production asks for

    def open(self) -> OpenDesk:
        from pipeline.adapters.ledger.sql import SqlLedger
        from pipeline.adapters.mlflow.registry import MlflowRegistry

        registry = MlflowRegistry(self.registry, experiment="signoff")
        ledger = SqlLedger(
            self.ledger,
            registry=KeptRegistryId(registry, "fixed"),
            clock=SystemClock(),
            checkpoint_file=self.checkpoints,
        )
        return OpenDesk(
            registry=registry,
            ledger=ledger,
            policy=signing_policy(self.approvals) if self.approvals else default_policy(),
            comparer=KnownDifferences(),
            smoke=KnownSmoke(),
            clock=SystemClock(),
            new_id=lambda: os.urandom(8).hex(),
            new_secret=lambda: os.urandom(32).hex(),
        )


class Places:
    """Places of one kind: `sqlite`, `postgres` (the ledger), or `server` (the registry, behind `mlflow server`).

    Each is a copy of one that was taken over once, and ends the one before it: one server is enough for all of them.
    """

    def __init__(
        self, kind: str, *, prepared: Path, folder: Path, postgres: "Callable[[], PostgresServer]", approvals: int = 0
    ) -> None:
        """prepared: the folder of a registry's database. postgres: asked where the kind needs it."""
        self._kind, self._prepared, self._folder, self._postgres = kind, prepared, folder, postgres
        self._running, self._server = ExitStack(), ""
        self._template = self._database = ""
        self._first = self._take_over(approvals)

    def close(self) -> None:
        self._running.close()

    def new(self) -> Place:
        """Nothing has happened there since it was taken over."""
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        registry, checkpoints = self._registry(), folder / "checkpoints.jsonl"
        if self._first.checkpoints.exists():
            shutil.copyfile(self._first.checkpoints, checkpoints)
        return Place(registry, self._copied_ledger(folder), checkpoints, self._first.approvals)

    def _take_over(self, approvals: int) -> Place:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        ledger = f"sqlite:///{folder / 'ledger.db'}"
        if self._kind == "postgres":
            self._template = self._new_database("template0")
            ledger = self._postgres().url(self._template)
        found = Place(self._registry(), ledger, folder / "checkpoints.jsonl", approvals)
        desk = found.open()
        assert len(desk.take_over()) == 1
        for row in desk.registry.table(MODEL):
            desk.record_registration(MODEL, row.version, TRAINER)
        desk.ledger.close()
        return found

    def _registry(self) -> str:
        """As prepared, and always at the same address: MLflow keeps open whatever this process has opened."""
        folder = self._folder / "registry"
        folder.mkdir(exist_ok=True)
        copy_database(self._prepared / "mlflow.db", folder / "mlflow.db")
        database = f"sqlite:///{folder / 'mlflow.db'}"
        if self._kind != "server":
            return database
        if not self._server:
            self._server = self._running.enter_context(registries.mlflow_server(database, folder))
        return self._server

    def _copied_ledger(self, folder: Path) -> str:
        if self._kind == "postgres":
            self._drop()
            self._database = self._new_database(self._template)
            return self._postgres().url(self._database)
        copy_database(Path(self._first.ledger.removeprefix("sqlite:///")), folder / "ledger.db")
        return f"sqlite:///{folder / 'ledger.db'}"

    def _new_database(self, template: str) -> str:
        """A copy, which takes a tenth of the time that making the tables does."""
        name = f"place_{os.urandom(6).hex()}"
        self._postgres().execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def _drop(self) -> None:
        if self._database:
            self._postgres().execute(f"DROP DATABASE {self._database} WITH (FORCE)")


def copy_database(source: Path, copy: Path) -> None:
    """Of SQLite, also where others have it open: a plain copy would miss what is still in the write-ahead log."""
    with closing(sqlite3.connect(source)) as before, closing(sqlite3.connect(copy)) as after:
        before.backup(after)


def kill_before(place: Place, left: int | None) -> list[int]:
    """Kills this very process before a step: a statement of SQL or a commit; at a registry behind a server, a call.

    There the statements are those of a ledger in SQLite, which is a place of its own. left: the steps that it still
    takes; None: all. Gives the number of those that it has taken, as its one element.
    """
    import sqlalchemy as sa

    steps = [0]

    def step(*_: object) -> None:
        if steps[0] == left:
            os.kill(os.getpid(), signal.SIGKILL)
        steps[0] += 1

    if place.registry.startswith("http"):
        sys.addaudithook(lambda event, _: step() if event == "http.client.send" else None)
    else:
        sa.event.listen(sa.Engine, "before_cursor_execute", step)
        sa.event.listen(sa.Engine, "commit", step)
    return steps


def check_invariants(desk: OpenDesk) -> None:
    """I1, I3 to I7 and I9, after one reconcile; a second one finds nothing to do.

    I2 is looked at where people sign, I8 where a server answers.
    """
    desk.reconcile(MODEL, min_age=timedelta(0))
    assert desk.reconcile(MODEL, min_age=timedelta(0)) == []
    assert desk.verify() == []
    events = [stored.event for stored in desk.ledger.events()]
    intents = [event.decision for event in events if event.type is EventType.DECIDED]
    assert sorted(intents) == sorted(event.decision for event in events if event.type in ENDS)
    assert not any(event.changes for event in events if event.type is EventType.DENIED)
    keys = [event.key for event in events if event.key]
    assert len(keys) == len(set(keys))
    state = desk.registry.state(MODEL)
    assert state.in_stage(Stage.PRODUCTION) == [state.champion]
