"""The ledger in PostgreSQL: what the server refuses, what a forger leaves, and a server that goes away."""

import multiprocessing
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from integration.test_ledger_schema import shape
from integration.test_sql_ledger import CHAMPION, FixedId
from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.adapters.ledger.tables import METADATA
from pipeline.governance.actor import Role
from pipeline.governance.errors import LedgerBusy, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import Event, EventType, SlotChange, digest_of
from pipeline.governance.service.notices import Messenger
from pipeline.settings import ROOT
from support.desks import GRACE, MODEL, REASON, TickingClock, build_desk, small_registry
from support.in_memory import EPOCH
from support.postgres import PostgresServer, postgres_server
from support.targets import KnownTargets

PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SHARED = PAGE.partition("## One ledger for several hosts")[2].partition("\n## ")[0]
ROLES, GRANTS = re.findall(r"```sql\n(.*?)```", SHARED, re.DOTALL)
SOON = 10  # seconds, in which whoever asks a server that does not answer is told
DENIED = Event(EventType.DENIED, "m", EPOCH)


def open_ledger(url: str, folder: Path, registry: str = "registry-1", **options: float) -> SqlLedger:
    checkpoints = folder / "checkpoints.jsonl"
    return SqlLedger(
        url,
        registry=FixedId(registry),
        clock=TickingClock(),
        checkpoint_file=checkpoints,
        **options,  # type: ignore[arg-type]
    )


def append(ledger: SqlLedger, *events: Event) -> None:
    with ledger.transaction() as transaction:
        for event in events:
            transaction.append(event)


def fill(ledger: SqlLedger) -> None:
    """Three decisions, each with its intent and end, evidence and a checkpoint."""
    append(ledger, Event(EventType.BASELINE, "m", EPOCH, (SlotChange(CHAMPION, None, "1", "1"),)))
    for number in (2, 3, 4):
        change = SlotChange(CHAMPION, str(number - 1), str(number), str(number))
        content = {"reason": "grace says so", "subject": {"version": number}}
        kinds = (EventType.DECIDED, EventType.APPLIED)
        append(ledger, *(Event(kind, "m", EPOCH, (change,), f"d{number}", content=content) for kind in kinds))
    ledger.put_evidence(digest_of("text"), "text")
    ledger.keep_checkpoint()
    assert ledger.problems() == []


@pytest.fixture
def schema(postgres: PostgresServer) -> str:
    return postgres.new_schema()


@pytest.fixture
def ledger(postgres: PostgresServer, schema: str, tmp_path: Path) -> Iterator[SqlLedger]:
    opened = open_ledger(postgres.url(schema=schema), tmp_path)
    fill(opened)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_event SET body = '{}' WHERE sequence = 1",
        "DELETE FROM ledger_event",
        "TRUNCATE ledger_event",
        "DELETE FROM ledger_evidence",
        "TRUNCATE ledger_registry",
    ],
)
def test_the_server_refuses_to_change_what_was_written(
    ledger: SqlLedger, postgres: PostgresServer, schema: str, statement: str
) -> None:
    """Also to whoever owns it, as long as the triggers stand."""
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="append-only"):
        postgres.execute(statement, schema=schema)


OPEN = "ALTER TABLE ledger_event DISABLE TRIGGER ALL;"
FORGERIES = {
    "UPDATE ledger_event SET body = replace(body, 'grace', 'eve') WHERE sequence = 3": "event 3: was changed",
    "UPDATE ledger_event SET body = 'no json' WHERE sequence = 3": "event 3: cannot be read",
    "UPDATE ledger_event SET model = 'other' WHERE sequence = 3": "event 3: its columns differ from its body",
    "DELETE FROM ledger_event WHERE sequence = 3": "event 4: should be number 3",
    "DELETE FROM ledger_event WHERE sequence > 5": "event 7: is in a checkpoint and was cut off",
    "UPDATE ledger_slot SET recorded = '9'": "slot @champion of 'm': is not what replaying the events gives",
    "DROP TABLE ledger_slot": "the ledger's file: its slots cannot be read",
    "DROP TABLE ledger_event": "the ledger's file: its events cannot be read",
}


@pytest.mark.parametrize("statement", FORGERIES)
def test_a_forger_without_triggers_is_found(
    ledger: SqlLedger, postgres: PostgresServer, schema: str, statement: str
) -> None:
    """As on SQLite: a broken link, a differing copy, a missing number, a table that is gone."""
    postgres.execute(f"{OPEN} {statement}", schema=schema)

    assert any(each.startswith(FORGERIES[statement]) for each in ledger.problems()), ledger.problems()


def test_the_tables_are_those_that_this_version_reads(ledger: SqlLedger, postgres: PostgresServer, schema: str) -> None:
    """The revisions give on PostgreSQL what they give on SQLite."""
    engine, found = sa.create_engine(postgres.url(schema=schema)), sa.MetaData()
    found.reflect(engine)
    engine.dispose()
    there, wanted = shape(found, without="ledger_version"), shape(METADATA)

    assert {name: columns for name, (columns, _) in there.items()} == {name: each[0] for name, each in wanted.items()}
    for name, (_, indexes) in wanted.items():
        assert [each for each in there[name][1] if each in indexes] == indexes


def test_a_damaged_text_is_listed_and_has_no_time(ledger: SqlLedger, postgres: PostgresServer, schema: str) -> None:
    """The database's own functions answer whatever the text is."""
    postgres.execute(f"{OPEN} UPDATE ledger_event SET body = '{{\"at\": 7' WHERE sequence = 3", schema=schema)

    assert [sequence for sequence, _ in ledger.stamps()] == [1, 2, 4, 5, 6, 7]
    assert [each.sequence for each in ledger.page()] == [7, 6, 5, 4, 3, 2, 1]
    with pytest.raises(Unavailable, match="event 3 cannot be read; run verify"):
        list(ledger.events())


def test_a_host_that_never_decided_verifies_clean(ledger: SqlLedger, tmp_path: Path) -> None:
    """It keeps no checkpoints yet, and says so; it finds what those of another host show."""
    (tmp_path / "other").mkdir()
    url = ledger._database.reading.url
    other = open_ledger(url.render_as_string(hide_password=False), tmp_path / "other")

    assert other.problems() == []
    assert "no checkpoint file" in str(other.unprotected())
    assert other.problems([ledger.checkpoint_file]) == []
    other.close()


def append_some(url: str, folder: Path, count: int) -> None:
    ledger = open_ledger(url, folder)
    for _ in range(count):
        append(ledger, DENIED)


def test_several_hosts_start_on_an_empty_database_and_make_one_chain(
    postgres: PostgresServer, schema: str, tmp_path: Path
) -> None:
    """The tables are made once, under the lock; no number is lost."""
    context = multiprocessing.get_context("spawn")
    arguments = (postgres.url(schema=schema), tmp_path, 10)
    workers = [context.Process(target=append_some, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ledger = open_ledger(postgres.url(schema=schema), tmp_path)

    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert [stored.sequence for stored in ledger.events()] == list(range(1, 31))
    assert ledger.problems() == []
    ledger.close()


def test_a_locked_ledger_is_busy_and_readers_do_not_wait(
    ledger: SqlLedger, postgres: PostgresServer, schema: str, tmp_path: Path
) -> None:
    """A page is drawn while a decision is made; another decision says that the ledger is busy."""
    blocked = open_ledger(postgres.url(schema=schema), tmp_path, busy_seconds=0.2)
    with ledger.transaction() as transaction:
        transaction.append(DENIED)
        assert len(list(blocked.events())) == 7
        with pytest.raises(LedgerBusy, match="stayed locked for"), blocked.transaction():
            pass
    append(blocked, DENIED)

    assert len(list(ledger.events())) == 9
    blocked.close()


def test_a_snapshot_from_before_the_lock_is_not_what_a_writer_reads(ledger: SqlLedger) -> None:
    """A writer that waited reads the head that the other one left."""
    begun = threading.Event()

    def second() -> None:
        begun.set()
        append(ledger, DENIED)

    with ledger.transaction() as transaction:
        waiting = threading.Thread(target=second)
        waiting.start()
        begun.wait()
        transaction.append(DENIED)
    waiting.join()

    assert [stored.sequence for stored in ledger.events()] == list(range(1, 10))


def test_a_server_that_was_restarted_answers_the_next_one(
    ledger: SqlLedger, postgres: PostgresServer, schema: str
) -> None:
    """Broken connections that wait in the pool are nobody's error; what was committed is there."""
    assert ledger.count() == 7
    postgres.restart()

    assert ledger.count() == 7
    append(ledger, DENIED)
    assert ledger.problems() == []


def told(ledger: SqlLedger) -> str:
    begun = time.monotonic()
    with pytest.raises(Unavailable) as refused:
        ledger.count()
    with pytest.raises(Unavailable), ledger.transaction():
        pass
    assert time.monotonic() - begun < 2 * SOON
    return str(refused.value)


@contextmanager
def stopped(postgres: PostgresServer) -> Iterator[None]:
    """Every process of the server hangs."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listed.splitlines()]
    processes = [postgres.process, *(child for child, parent in pairs if parent == postgres.process)]
    for each in processes:
        os.kill(each, signal.SIGSTOP)
    try:
        yield
    finally:
        for each in processes:
            os.kill(each, signal.SIGCONT)


def test_a_server_that_hangs_or_is_down_is_a_clear_error_soon(tmp_path: Path) -> None:
    """With a connection that it has and without, on the way to read and to write; then it goes on."""
    with postgres_server() as server:
        url = server.url()
        ledger, late = open_ledger(url, tmp_path), open_ledger(url, tmp_path)
        append(ledger, DENIED)
        with stopped(server):
            assert "timeout expired" in told(ledger)
            assert "timeout expired" in told(late)
        append(ledger, DENIED)
        server.control("stop", "--mode=immediate")
        assert re.search(r"ledger cannot be used: .*No such file or directory", told(ledger))
        server.restart()
        append(late, DENIED)

        assert (ledger.count(), ledger.problems()) == (3, [])
        ledger.close()
        late.close()


def test_a_server_that_stops_answering_within_a_decision_is_given_up(tmp_path: Path) -> None:
    """Nothing of the transaction is there afterwards."""
    with postgres_server() as server:
        ledger = open_ledger(server.url(), tmp_path, busy_seconds=0.5)
        append(ledger, DENIED)
        begun = time.monotonic()
        refused = pytest.raises(Unavailable, match="did not answer within")
        with ExitStack() as until, refused, ledger.transaction() as transaction:
            until.enter_context(stopped(server))
            transaction.append(DENIED)

        assert time.monotonic() - begun < SOON
        assert ledger.count() == 1
        ledger.close()


def test_a_database_that_cannot_hold_every_text_is_refused(postgres: PostgresServer, tmp_path: Path) -> None:
    """Before a table is made."""
    postgres.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    ledger = open_ledger(postgres.url("latin"), tmp_path)
    with pytest.raises(Unavailable, match=r"encoding LATIN1; make one with ENCODING 'UTF8'"), ledger.transaction():
        pass

    assert not ledger.exists()
    ledger.close()


# The application's role, by the SQL of docs/operations.md, word for word.


@pytest.fixture(scope="module")
def with_roles(postgres: PostgresServer) -> PostgresServer:
    postgres.execute(*ROLES.strip().split("\n"))
    return postgres


@pytest.fixture(scope="module")
def owned(with_roles: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The owner has made the tables; a folder for checkpoints."""
    folder = tmp_path_factory.mktemp("role")
    owner = open_ledger(with_roles.url("signoff", user="signoff_owner"), folder)
    assert owner.upgrade(new=True).before is None
    owner.close()
    with_roles.execute(GRANTS, database="signoff", user="signoff_owner")
    return folder


def test_every_table_is_in_the_grants() -> None:
    """Whoever adds one says what the application may do with it."""
    assert [name for name in METADATA.tables if name not in GRANTS] == []


def test_the_applications_role_is_enough_to_decide_and_to_verify(with_roles: PostgresServer, owned: Path) -> None:
    """Events, slots, champions, rollbacks, evidence, registries, checkpoints."""
    ledger = SqlLedger(
        with_roles.url("signoff", user="signoff"),
        registry=FixedId(),
        clock=TickingClock(),
        address="http://registry:5000",
        checkpoint_file=owned / "checkpoints.jsonl",
    )
    fill(ledger)
    back = Event(
        EventType.APPLIED, "m", EPOCH, (SlotChange(CHAMPION, "4", "3", "3"),), "d5", content={"meaning": "rollback"}
    )
    append(ledger, back)

    assert [stored.sequence for stored in ledger.former_champions("m")] == [1, 3, 5]
    assert len(ledger.registries()) == 1
    ledger.close()


def test_the_applications_role_is_enough_for_tokens_names_and_notices(with_roles: PostgresServer, owned: Path) -> None:
    """A token is made, used and revoked, a name is kept, and who is to be told is told."""
    clock, targets = TickingClock(), KnownTargets()
    ledger = SqlLedger(with_roles.url("signoff", user="signoff"), registry=FixedId(), clock=clock, told=("applied",))
    desk = build_desk(small_registry(), ledger, clock=clock, messenger=Messenger(ledger, targets, clock))
    made = desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 1)
    program = desk.authenticate(made.secret)
    ledger.names.keep(GRACE.person, "Grace Hopper")
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=program)

    assert (desk.send_notices(), len(targets.sent), desk.unsent_notices()) == (1, 1, [])
    assert ledger.names.all() == {GRACE.person.reference: "Grace Hopper"}
    assert desk.as_(GRACE).revoke_token("ci").revoked_at is not None
    assert [each.last_used_at is not None for each in ledger.tokens.all()] == [True]
    ledger.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger_event SET model = 'other'",
        "DELETE FROM ledger_event",
        "TRUNCATE ledger_event",
        "UPDATE ledger_evidence SET body = ''",
        "DELETE FROM ledger_registry",
        "ALTER TABLE ledger_event DISABLE TRIGGER ALL",
        "DROP TRIGGER ledger_event_append_only ON ledger_event",
        "DROP TABLE ledger_event",
        "CREATE TABLE another (a int)",
        "UPDATE ledger_version SET version_num = '0001'",
    ],
)
def test_the_applications_role_may_not_change_what_was_written(
    with_roles: PostgresServer, owned: Path, statement: str
) -> None:
    """Not even where no trigger would refuse."""
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        with_roles.execute(statement, database="signoff", user="signoff")


def test_without_tables_it_is_told_what_it_may_not(with_roles: PostgresServer, tmp_path: Path) -> None:
    """The owner makes them."""
    with_roles.execute(
        "CREATE SCHEMA empty AUTHORIZATION signoff_owner; GRANT USAGE ON SCHEMA empty TO signoff",
        database="signoff",
    )
    ledger = open_ledger(with_roles.url("signoff", user="signoff", schema="empty"), tmp_path)
    with pytest.raises(Unavailable, match="permission denied for schema empty"), ledger.transaction():
        pass
    ledger.close()


def test_backup_and_restore_bring_it_back(with_roles: PostgresServer, owned: Path, tmp_path: Path) -> None:
    """What came after the backup is named by the checkpoints."""
    saved, restored = (
        next(line for line in PAGE.splitlines() if line.startswith(program)) for program in ("pg_dump", "pg_restore")
    )
    ledger = open_ledger(with_roles.url("signoff", user="signoff"), owned)
    run_on_host(with_roles, tmp_path, saved)
    before = ledger.count()
    append(ledger, DENIED)
    ledger.keep_checkpoint()
    run_on_host(with_roles, tmp_path, restored)

    assert ledger.count() == before
    assert ledger.problems() == [f"event {before + 1}: is in a checkpoint and was cut off"]
    append(ledger, DENIED)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        with_roles.execute("DELETE FROM ledger_event", database="signoff", user="signoff")
    ledger.close()


def run_on_host(server: PostgresServer, folder: Path, line: str) -> None:
    """A line of the page, with a folder in the place of /srv/backup/today and the socket in that of localhost."""
    here = line.replace("/srv/backup/today", str(folder)).replace("@localhost/", "@/")
    environment = {"PATH": f"{server.programs}:{os.environ['PATH']}", "PGHOST": str(server.folder)}
    done = subprocess.run(["sh", "-eu", "-c", here], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
