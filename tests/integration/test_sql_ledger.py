"""The SQLite ledger against accidents, forgers, locks and several processes."""

import multiprocessing
import re
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
import sqlalchemy as sa

from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.adapters.ledger.tables import translated
from pipeline.governance.actor import Person
from pipeline.governance.errors import InvalidInput, LedgerBusy, Unavailable
from pipeline.governance.lifecycle import Slot
from pipeline.governance.record.ledger import Event, EventType, SlotChange, digest_of, event_hash
from pipeline.settings import ROOT
from support.desks import TickingClock
from support.in_memory import EPOCH

CHAMPION = Slot.of_alias("m", "champion")


class FixedId:
    """A registry id that was chosen."""

    def __init__(self, value: str | None = "registry-1") -> None:
        self.value = value

    def known(self) -> str | None:
        return self.value

    def keep(self) -> str:
        self.value = self.value or "chosen"
        return self.value


def open_ledger(folder: Path, registry: str = "registry-1") -> SqlLedger:
    return SqlLedger(f"sqlite:///{folder / 'ledger.db'}", registry=FixedId(registry), clock=TickingClock())


@pytest.fixture
def ledger(tmp_path: Path) -> SqlLedger:
    """Three decisions, each with its intent and end, and a checkpoint."""
    ledger = open_ledger(tmp_path)
    with ledger.transaction() as transaction:
        transaction.append(Event(EventType.BASELINE, "m", EPOCH, (SlotChange(CHAMPION, None, "1", "1"),)))
        for number in (2, 3, 4):
            change = SlotChange(CHAMPION, str(number - 1), str(number), str(number))
            content = {"reason": "grace says so"}
            for kind in (EventType.DECIDED, EventType.APPLIED):
                transaction.append(Event(kind, "m", EPOCH, (change,), f"d{number}", content=content))
    ledger.put_evidence(digest_of("text"), "text")
    ledger.keep_checkpoint()
    assert ledger.problems() == []
    return ledger


def execute(tmp_path: Path, *statements: str, triggers: bool = True) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        if not triggers:
            for name in ("ledger_event_no_update", "ledger_event_no_delete"):
                connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_event SET body = '{}' WHERE sequence = 1",
        "DELETE FROM ledger_event",
        "UPDATE ledger_evidence SET body = 'other'",
        "DELETE FROM ledger_evidence",
    ],
)
def test_the_database_refuses_to_change_what_was_written(ledger: SqlLedger, tmp_path: Path, statement: str) -> None:
    """Triggers stop accidents."""
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        execute(tmp_path, statement)


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE ledger_event SET body = replace(body, 'grace', 'eve') WHERE sequence = 3", "event 3: was changed"),
        ("UPDATE ledger_event SET body = 'no json' WHERE sequence = 3", "event 3: cannot be read"),
        ("UPDATE ledger_event SET model = 'other' WHERE sequence = 3", "event 3: its columns differ from its body"),
        ("DELETE FROM ledger_event WHERE sequence = 3", "event 4: should be number 3"),
        ("DELETE FROM ledger_event WHERE sequence > 5", "event 7: is in a checkpoint and was cut off"),
        ("UPDATE ledger_slot SET recorded = '9'", "slot @champion of 'm': is not what replaying the events gives"),
        ("DELETE FROM ledger_slot", "slot @champion of 'm': is not what replaying the events gives"),
    ],
)
def test_a_forger_without_triggers_is_found(ledger: SqlLedger, tmp_path: Path, statement: str, problem: str) -> None:
    """Each change leaves a broken link, a differing copy or a missing number."""
    execute(tmp_path, statement, triggers=False)

    assert any(each.startswith(problem) for each in ledger.problems()), ledger.problems()


def test_evidence_that_was_changed_or_deleted_is_found(ledger: SqlLedger, tmp_path: Path) -> None:
    """What the approver saw can be trusted as far as the events that quote it."""
    with ledger.transaction() as transaction:
        transaction.append(Event(EventType.DENIED, "m", EPOCH, content={"evidence": digest_of("gone")}))
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("DROP TRIGGER ledger_evidence_no_update")
        connection.execute("UPDATE ledger_evidence SET body = 'other'")
    connection.close()

    assert ledger.problems() == [
        f"evidence {digest_of('text')[:12]}: was changed after it was written",
        f"event 8: the evidence {digest_of('gone')[:12]} that it quotes is gone",
    ]


def test_only_a_checkpoint_tells_a_ledger_that_was_written_anew(ledger: SqlLedger, tmp_path: Path) -> None:
    """Tamper-evident, not tamper-proof: with a new file the forgery is clean."""
    forge(tmp_path)

    assert ledger.problems() == ["event 7: differs from its checkpoint"]
    ledger.checkpoint_file.unlink()
    ledger.keep_checkpoint()
    assert ledger.problems() == []


def test_a_checkpoint_file_that_is_gone_is_a_problem(ledger: SqlLedger) -> None:
    """Also where it holds lines of another registry alone."""
    lost = "checkpoint file: is gone, or holds nothing of this registry, after 3 decisions"
    kept = ledger.checkpoint_file.read_text()

    ledger.checkpoint_file.unlink()
    assert ledger.problems() == [lost]
    ledger.checkpoint_file.write_text(kept.replace("registry-1", "registry-2"))
    assert ledger.problems() == [lost]


def test_a_crash_before_the_first_checkpoint_is_no_problem(tmp_path: Path) -> None:
    """One decision may have ended without one."""
    ledger = open_ledger(tmp_path)
    change = SlotChange(CHAMPION, None, "1", "1")
    with ledger.transaction() as transaction:
        for kind in (EventType.DECIDED, EventType.APPLIED):
            transaction.append(Event(kind, "m", EPOCH, (change,), "d1"))

    assert ledger.problems() == []


def forge(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute("DROP TRIGGER ledger_event_no_update")
        previous = "0" * 64
        for sequence, body in connection.execute("SELECT sequence, body FROM ledger_event ORDER BY 1").fetchall():
            forged = body.replace("grace", "eve")
            digest = event_hash(previous, sequence, forged)
            values = (forged, previous, digest, sequence)
            connection.execute("UPDATE ledger_event SET body=?, previous_hash=?, hash=? WHERE sequence=?", values)
            previous = digest
    connection.close()


def test_a_damaged_checkpoint_file_is_a_problem(ledger: SqlLedger) -> None:
    """It is evidence too."""
    with ledger.checkpoint_file.open("a") as file:
        file.write("no json\n")

    assert ledger.problems() == ["checkpoint file: a line cannot be read (no json)"]


def test_reading_a_damaged_event_says_so(ledger: SqlLedger, tmp_path: Path) -> None:
    """One sentence instead of a traceback."""
    execute(tmp_path, "UPDATE ledger_event SET body = 'no json' WHERE sequence = 3", triggers=False)
    with pytest.raises(Unavailable, match="event 3 cannot be read; run verify"):
        list(ledger.events())


def test_registries_have_chains_of_their_own(ledger: SqlLedger, tmp_path: Path) -> None:
    """One database may serve several registries."""
    other = open_ledger(tmp_path, "registry-2")
    with other.transaction() as transaction:
        stored = transaction.append(Event(EventType.DENIED, "m", EPOCH))

    assert stored.sequence == 1
    assert (len(list(ledger.events())), len(list(other.events()))) == (7, 1)
    assert (ledger.problems(), other.problems()) == ([], [])


def test_a_registry_without_an_id_has_no_events_and_gets_one_with_the_first(tmp_path: Path) -> None:
    """Reading chooses nothing."""
    registry = FixedId(None)
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.db'}", registry=registry, clock=TickingClock())

    assert list(ledger.events()) == []
    assert registry.value is None
    with ledger.transaction() as transaction:
        transaction.append(Event(EventType.DENIED, "m", EPOCH))
    assert registry.value == "chosen"


def test_a_locked_ledger_is_busy_and_unchanged(ledger: SqlLedger, tmp_path: Path) -> None:
    """A clear sentence after the wait, nothing half written."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    blocked = SqlLedger(url, registry=FixedId(), clock=TickingClock(), busy_seconds=0.2)
    assert len(list(blocked.events())) == 7
    holder = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(LedgerBusy, match="stayed locked for"), blocked.transaction() as transaction:
        transaction.append(Event(EventType.DENIED, "m", EPOCH))
    holder.execute("ROLLBACK")
    holder.close()

    assert len(list(ledger.events())) == 7


def test_a_ledger_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    """Not a traceback, not an empty history."""
    (tmp_path / "ledger.db").write_text("this is no database, but long enough to look at" * 40)
    with pytest.raises(Unavailable, match="cannot be used"):
        list(open_ledger(tmp_path).events())


def test_a_ledger_in_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    """The parent is a file; to readers there is none."""
    (tmp_path / "file").write_text("")
    ledger = open_ledger(tmp_path / "file")
    with pytest.raises(Unavailable), ledger.transaction():
        pass
    assert (list(ledger.events()), ledger.exists()) == ([], False)


@pytest.mark.parametrize(
    "url",
    [
        *("", "no url", "sqlite://", "sqlite:///:memory:", "sqlite://folder/l.db", "mysql://host/db"),
        *("postgresql://host", "postgresql+psycopg2://host/db", "postgres://host/db"),
    ],
)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    """Named by the setting's name, with the two forms that it may have."""
    forms = "sqlite:////path/FILE.db or postgresql+psycopg://USER@HOST/DATABASE"
    with pytest.raises(InvalidInput, match=rf"^SIGNOFF_LEDGER_URL: .*{re.escape(forms)}$"):
        SqlLedger(url, registry=FixedId(), clock=TickingClock())


def append_some(folder: Path, count: int) -> None:
    ledger = open_ledger(folder)
    for _ in range(count):
        with ledger.transaction() as transaction:
            transaction.append(Event(EventType.DENIED, "m", EPOCH))


def test_several_processes_start_on_an_empty_folder_and_make_one_chain(tmp_path: Path) -> None:
    """The tables are made once; no number is lost."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append_some, args=(tmp_path, 15)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ledger = open_ledger(tmp_path)

    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    assert [stored.sequence for stored in ledger.events()] == list(range(1, 61))
    assert ledger.problems() == []


def test_readers_do_not_wait_for_a_writer(ledger: SqlLedger) -> None:
    """A page is drawn while a decision is made."""
    seen: list[int] = []
    with ledger.transaction() as transaction:
        transaction.append(Event(EventType.DENIED, "m", EPOCH))
        reader = threading.Thread(target=lambda: seen.append(len(list(ledger.events()))))
        reader.start()
        reader.join()

    assert seen == [7]


def test_a_name_is_erased_by_the_documented_statement(ledger: SqlLedger, tmp_path: Path) -> None:
    """That of docs/governance.md, as it stands: the name is gone, others stay, and the record verifies."""
    page = (ROOT / "docs" / "governance.md").read_text(encoding="utf-8")
    (statement,) = re.findall(r"```sql\n(DELETE FROM ledger_person .*?;)\n```", page, re.DOTALL)
    issuer, subject = re.findall(r"'([^']+)'", statement)
    grace, ada = (Person(issuer, each) for each in (subject, "2"))
    ledger.names.keep(grace, "Grace Hopper")
    ledger.names.keep(ada, "Ada")
    execute(tmp_path, statement)

    assert ledger.names.all() == {ada.reference: "Ada"}
    assert ledger.problems() == []


WHILE_IT_IS_IMPORTED = """
import sys
from pipeline import bootstrap
from pipeline.adapters.ledger.tables import EVENTS
from pipeline.governance.record.ledger import EventType

class OtherThread:
    def find_spec(self, name, path, target=None):
        if name.startswith("sqlalchemy.orm."):
            EVENTS.c.type == EventType.DECIDED

bootstrap.prepare_threads()
sys.meta_path.insert(0, OtherThread())
import sqlalchemy.orm
"""


def test_a_server_asks_the_ledger_while_mlflow_is_imported() -> None:
    """MLflow brings in a part of SQLAlchemy on which every statement stumbles until it is complete."""
    subprocess.run([sys.executable, "-c", WHILE_IT_IS_IMPORTED], cwd=ROOT, check=True)


@pytest.mark.parametrize("wanted", [True, False])
def test_rows_that_nobody_wants_any_more_raise_nothing(wanted: bool) -> None:
    """A server that went away is an error to who still waits for rows, and none to who has what they asked for."""

    def rows() -> Generator[int, None, None]:
        with translated():
            try:
                yield 1
            finally:
                raise sa.exc.OperationalError("close", {}, Exception("the server closed the connection"))

    given = rows()
    assert next(given) == 1
    if wanted:
        with pytest.raises(Unavailable, match="the ledger cannot be used: the server closed the connection"):
            next(given)
    given.close()
