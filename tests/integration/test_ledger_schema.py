"""The ledger's revisions: an old ledger is read as it is and upgraded by the first write, a later one is only read."""

import hashlib
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

from ledgers.revision_0001 import FixedId, silent_registry
from pipeline.adapters.ledger.schema import HEAD, KNOWN
from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.adapters.ledger.tables import METADATA
from pipeline.governance.actor import Role
from pipeline.governance.errors import NotFound, Unavailable
from pipeline.governance.lifecycle import Slot, Stage
from pipeline.governance.record.ledger import Event, EventType, replay
from pipeline.settings import ROOT
from support.desks import GRACE, MODEL, REASON, OpenDesk, TickingClock, build_desk
from support.in_memory import InMemoryRegistry

FIRST = ROOT / "tests" / "ledgers" / "revision_0001.sql"


def old_ledger(folder: Path, *changes: str) -> Path:
    """The dump as a database, in the journal mode that it had, with its checkpoints beside it."""
    file = folder / "ledger.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(FIRST.read_text(encoding="utf-8"))
        connection.execute("PRAGMA journal_mode=WAL")
        for change in changes:
            connection.execute(change)
        connection.commit()
    checkpoints = FIRST.with_suffix(".checkpoints.jsonl").read_bytes()
    (folder / "ledger.checkpoints.jsonl").write_bytes(checkpoints)
    return file


def opened(folder: Path, registry: str = "registry-1", address: str = "") -> SqlLedger:
    url = f"sqlite:///{folder / 'ledger.db'}"
    return SqlLedger(url, registry=FixedId(registry), clock=TickingClock(), address=address)


def old_registry() -> InMemoryRegistry:
    """As the story of the dump left it."""
    registry = silent_registry()
    for alias, version in (("champion", 2), ("mine", 1)):
        registry.set_alias(MODEL, alias, version)
    for version, stage in ((1, Stage.ARCHIVED), (2, Stage.PRODUCTION), (3, Stage.ARCHIVED)):
        registry.set_stage(MODEL, version, stage)
    registry.write_file(MODEL, 1, "model.skops", content=b"changed")
    return registry


def desk_of(folder: Path) -> OpenDesk:
    return build_desk(old_registry(), opened(folder))


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder with its digest."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def revision(folder: Path) -> str:
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        return str(connection.execute("SELECT version_num FROM ledger_version").fetchone()[0])


READING: list[Callable[[OpenDesk], object]] = [
    lambda desk: desk.history(MODEL),
    lambda desk: list(desk.export(MODEL)),
    lambda desk: desk.champions(MODEL),
    lambda desk: desk.decisions(MODEL, 2),
    lambda desk: desk.overview(),
    lambda desk: desk.differences(MODEL),
    lambda desk: desk.gate_counts(MODEL),
    lambda desk: desk.verify(),
    lambda desk: desk.ledger.pending(),
    lambda desk: desk.ledger.registries(),
]


def test_an_old_ledger_is_read_as_it_is(tmp_path: Path) -> None:
    """Every reading method answers, and no byte of any file in the folder has changed afterwards."""
    old_ledger(tmp_path)
    before = contents(tmp_path)
    desk = desk_of(tmp_path)
    for read in READING:
        read(desk)
    ledger = desk.ledger

    assert len(desk.history(MODEL)) == 19
    assert [period.version for period in desk.champions(MODEL)] == [1, 2, 3, 2]
    assert ledger.slots(MODEL) == replay(stored.event for stored in ledger.events())
    assert (ledger.problems(), ledger.registries(), ledger.exists()) == ([], [], True)
    assert desk.rollback_move(MODEL).version == 1
    ledger.close()
    assert contents(tmp_path) == before


def test_an_old_ledger_knows_no_tokens_and_a_later_one_does(tmp_path: Path) -> None:
    """Whoever comes with a token is not locked out by an upgrade that the next write will make."""
    old_ledger(tmp_path)
    desk = desk_of(tmp_path)
    assert (desk.ledger.tokens.all(), desk.ledger.tokens.find("0" * 64), desk.ledger.names.all()) == ([], None, {})
    made = desk.as_(GRACE).issue_token("ci", Role.REVIEWER, 1)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("UPDATE ledger_version SET version_num = '0999'")
        connection.commit()

    assert desk_of(tmp_path).authenticate(made.secret).subject == "grace"


def test_the_first_write_upgrades_an_old_ledger(tmp_path: Path) -> None:
    """The events stay byte for byte, both registries still verify, and the desk goes on deciding."""
    old_ledger(tmp_path)
    desk = desk_of(tmp_path)
    before = list(desk.ledger.events())

    desk.promote(MODEL, 3, Stage.STAGING, reason=REASON, actor=GRACE)
    after = list(desk.ledger.events())
    assert after[: len(before)] == before
    assert [stored.event.type for stored in after[len(before) :]] == [EventType.DECIDED, EventType.APPLIED]
    assert revision(tmp_path) == HEAD
    assert (desk.ledger.problems(), opened(tmp_path, "registry-2").problems()) == ([], [])


def test_an_upgrade_can_be_asked_for(tmp_path: Path) -> None:
    """It says what was and what is; a second one changes nothing; without a ledger there is none to upgrade."""
    with pytest.raises(NotFound, match="there is none at"):
        opened(tmp_path).upgrade()
    assert list(tmp_path.iterdir()) == []

    old_ledger(tmp_path)
    assert [(done.before, done.after) for done in (opened(tmp_path).upgrade() for _ in range(2))] == [
        ("0001", HEAD),
        (HEAD, HEAD),
    ]


def test_a_pending_decision_of_an_old_ledger_has_its_own_age(tmp_path: Path) -> None:
    """Before and after the upgrade; a stamp from the future counts from the upgrade."""
    old_ledger(tmp_path)
    ledger = opened(tmp_path)
    (before,) = ledger.pending()
    ledger.upgrade()
    (after,) = ledger.pending(MODEL)

    assert (before.sequence, before.decision, before.at) == (after.sequence, after.decision, after.at)
    assert before.age.days > 300
    assert abs(after.age - before.age).total_seconds() < 600
    assert ledger.pending("another") == []


def test_a_stamp_that_lies_ahead_is_pending_since_the_upgrade(tmp_path: Path) -> None:
    """No age is negative, and none is taken from a clock that was ahead."""
    body = 'replace(body, \'"at":"2026\', \'"at":"2926\')'
    old_ledger(tmp_path, "DROP TRIGGER ledger_event_no_update", f"UPDATE ledger_event SET body = {body}")
    ledger = opened(tmp_path)

    assert ledger.pending()[0].age.total_seconds() == 0
    ledger.upgrade()
    assert 0 <= ledger.pending()[0].age.total_seconds() < 600


@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
def test_a_new_ledger_has_the_tables_that_this_version_reads(tmp_path: Path) -> None:
    """The revisions give exactly the tables, columns and indexes of `tables.py`, and the code knows all of them."""
    script = ScriptDirectory(str(ROOT / "pipeline" / "adapters" / "ledger" / "migrations"))
    assert tuple(sorted(each.revision for each in script.walk_revisions())) == KNOWN
    assert script.get_current_head() == HEAD

    with opened(tmp_path).transaction():
        pass
    found = sa.MetaData()
    found.reflect(sa.create_engine(f"sqlite:///{tmp_path / 'ledger.db'}"))
    assert shape(found, without="ledger_version") == shape(METADATA)


def shape(metadata: sa.MetaData, without: str = "") -> dict[str, tuple[list[Any], list[Any]]]:
    """Columns and indexes of each table."""
    return {
        table.name: (
            [(column.name, str(column.type), column.nullable, column.primary_key) for column in table.columns],
            sorted((index.name, [column.name for column in index.columns]) for index in table.indexes),
        )
        for table in metadata.tables.values()
        if table.name != without
    }


def test_an_upgraded_ledger_has_the_tables_of_a_new_one(tmp_path: Path) -> None:
    """Triggers included, whichever way it came there."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old_ledger(tmp_path / "old")
    for name in ("old", "new"):
        with opened(tmp_path / name).transaction():
            pass

    assert definitions(tmp_path / "old") == definitions(tmp_path / "new")


def definitions(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return sorted(" ".join(sql.replace('"', "").replace("( ", "(").split()) for (sql,) in rows)


LATER_EVENT = (
    "INSERT INTO ledger_event SELECT registry, sequence + 1, hash, 'f', replace(body, '\"baseline\"', '\"signed\"'), "
    "'signed', model, NULL, NULL FROM ledger_event WHERE type = 'baseline'"
)
LATER = {
    "tables": ("UPDATE ledger_version SET version_num = '9999'", r"revision '9999'.*read but not write"),
    "an event": (LATER_EVENT, r"type 'signed'.*list but not follow"),
}


@pytest.mark.parametrize("what", list(LATER))
def test_a_ledger_of_a_later_version_is_read_and_not_written(tmp_path: Path, what: str) -> None:
    """One sentence, nothing in the ledger, no id kept in the registry; the history still lists it."""
    statement, sentence = LATER[what]
    ledger = opened(tmp_path)
    with ledger.transaction() as transaction:
        transaction.append(Event(EventType.BASELINE, MODEL, TickingClock().now()))
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute(statement)
        connection.commit()
    before = list(ledger.events())

    with pytest.raises(Unavailable, match=sentence), ledger.transaction():
        pass
    with pytest.raises(Unavailable, match=sentence):
        ledger.put_evidence("0" * 64, "text")
    with pytest.raises(Unavailable, match=sentence):
        ledger.upgrade()
    desk = build_desk(ledger=ledger)
    with pytest.raises(Unavailable, match=sentence):
        desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    assert list(ledger.events()) == before
    assert [each.type.value for each in desk.history(MODEL)] == ["baseline", "signed"][: len(before)]


def test_reading_makes_no_ledger(tmp_path: Path) -> None:
    """An empty ledger is found, and neither file nor folder appears; a database without its tables is none either."""
    folder = tmp_path / "not" / "there"
    desk = build_desk(ledger=opened(folder))
    for read in READING[:1] + READING[2:]:
        read(desk)
    assert not desk.ledger.exists()
    assert list(tmp_path.iterdir()) == []

    file = tmp_path / "ledger.db"
    file.touch()
    desk = build_desk(ledger=opened(tmp_path))
    desk.overview()
    assert not desk.ledger.exists()
    assert (file.read_bytes(), list(tmp_path.iterdir())) == (b"", [file])


def test_a_reader_leaves_what_a_crash_left(tmp_path: Path) -> None:
    """The events of a log that nobody has folded in are read, and the ledger's own bytes stay."""
    source, folder = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    folder.mkdir()
    ledger = opened(source)
    with ledger.transaction() as transaction:
        transaction.append(Event(EventType.BASELINE, MODEL, TickingClock().now()))
    for name in ("ledger.db", "ledger.db-wal"):  # what a process that was killed leaves
        (folder / name).write_bytes((source / name).read_bytes())
    before = contents(folder)

    copy = opened(folder)
    assert len(list(copy.events())) == 1
    copy.close()
    after = contents(folder)
    after.pop("ledger.db-shm", None)
    assert after == before


def test_an_address_is_kept_once_with_the_id_that_it_had(tmp_path: Path) -> None:
    """By the first write of each process, beside other addresses and other registries."""
    for registry, address in (("one", "http://host:5000/"), ("one", "http://host:5000"), ("two", "http://host:5000")):
        with opened(tmp_path, registry, address).transaction() as transaction:
            transaction.append(Event(EventType.DENIED, MODEL, TickingClock().now()))
    with opened(tmp_path, "three").transaction():
        pass

    found = opened(tmp_path).registries()
    assert [(each.address, each.registry) for each in found] == [
        ("http://host:5000", "one"),
        ("http://host:5000", "two"),
    ]


def test_two_readers_of_an_old_ledger_and_a_writer_meet(tmp_path: Path) -> None:
    """One that had it open before the upgrade reads on."""
    old_ledger(tmp_path)
    reader, writer = opened(tmp_path), opened(tmp_path)
    assert len(list(reader.events())) == 19
    with writer.transaction() as transaction:
        transaction.append(Event(EventType.DENIED, MODEL, TickingClock().now()))

    assert len(list(reader.events())) == 20
    assert reader.pending()[0].model == MODEL
    assert reader.slots(MODEL)[Slot.of_alias(MODEL, "champion")].recorded == "2"
