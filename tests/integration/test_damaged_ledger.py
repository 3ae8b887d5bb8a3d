"""`verify` survives what it looks for: whatever is damaged is a finding, and none that was found before is lost."""

import json
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from ledgers.revision_0001 import FixedId
from pipeline.adapters.ledger.checkpoints import append_line
from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import Stage
from support.desks import GRACE, MODEL, REASON, OpenDesk, TickingClock, build_desk, small_registry

DEEP = "[" * 100_000 + "]" * 100_000
TRIGGERS = [
    "ledger_event_no_update", "ledger_event_no_delete", "ledger_evidence_no_update", "ledger_evidence_no_delete",
]  # fmt: skip


def open_ledger(folder: Path) -> SqlLedger:
    return SqlLedger(f"sqlite:///{folder / 'ledger.db'}", registry=FixedId("registry-1"), clock=TickingClock())


@pytest.fixture
def desk(tmp_path: Path) -> OpenDesk:
    """Three promotions; the second event is damaged in every test, and has to be found whatever else is."""
    desk = build_desk(small_registry(), open_ledger(tmp_path))
    for version in (1, 2, 3):
        desk.promote(MODEL, version, Stage.STAGING, reason=REASON, actor=GRACE)
    desk.ledger.close()
    return desk


def damage(folder: Path, *statements: tuple[str, tuple[object, ...]]) -> None:
    with closing(sqlite3.connect(folder / "ledger.db")) as connection:
        for name in TRIGGERS:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("UPDATE ledger_event SET body = replace(body, 'grace', 'eve') WHERE sequence = 2")
        for statement, values in statements:
            connection.execute(statement, values)
        connection.commit()


EVENT_4 = "UPDATE ledger_event SET {} WHERE sequence = 4"
BODY = EVENT_4.format("body = ?")
FLAT = '{"type":"applied","model":[],"at":"2026-01-01T00:00:00Z","changes":[],"decision":null,"key":null}'
UNREAD, SLOT_1 = "event 4: cannot be read", "slot /1 of 'obesity_classifier': "
KEPT, FILE = "files of version 1 of 'obesity_classifier': the event", "the ledger's file: "
DAMAGES: dict[str, tuple[str, tuple[object, ...], str]] = {
    "a number": (BODY, (17,), UNREAD),
    "a number as text": (BODY, ("17",), UNREAD),
    "nothing of an event": (BODY, ("[]",), UNREAD),
    "deep": (BODY, (DEEP,), UNREAD),
    "deep inside": (BODY, (f'{{"changes":{DEEP}}}',), UNREAD),
    "a blob": (BODY, (b"\xff\xfe\x00",), UNREAD),
    "changes of another shape": (BODY, (FLAT,), UNREAD),
    **{
        f"{name} of another shape": (EVENT_4.format(f"body = json_set(body, '$.{name}', json('{value}'))"), (), UNREAD)
        for name, value in (
            ("actor", "7"),
            ("subject", "[1]"),
            ("gates", "[1]"),
            ("reason", "{}"),
            ("evidence", "[1]"),
            ("changes[0].to", "1"),
            ("at", '"2026-01-01T00:00:00"'),
        )
    },
    "no UTF-8": (EVENT_4.format("body = CAST(x'7bff7d' AS TEXT)"), (), "event 4: is not in UTF-8"),
    "no UTF-8 in a column": (EVENT_4.format("model = CAST(x'ff' AS TEXT)"), (), "event 4: its columns"),
    "a hash that is none": (EVENT_4.format("hash = x'00'"), (), "event 4: was changed"),
    "a slot's number": ("UPDATE ledger_slot SET generation = 'many'", (), f"{SLOT_1}is not what"),
    "a slot's time": ("UPDATE ledger_slot SET since = 'never'", (), f"{SLOT_1}cannot be read"),
    "a slot's name": ("UPDATE ledger_slot SET name = x'00ff' WHERE name = '1'", (), f"{SLOT_1}is not"),
    "a slot's kind": ("UPDATE ledger_slot SET kind = 'foo' WHERE name = '1'", (), SLOT_1),
    "a slot's version": ("UPDATE ledger_slot SET kind = 'alias', recorded = '1.5' WHERE name = '1'", (), "slot @1 of"),
    "evidence": ("UPDATE ledger_evidence SET body = CAST(x'ff' AS TEXT)", (), "evidence "),
    "evidence that is a number": ("UPDATE ledger_evidence SET body = 5", (), "evidence "),
    "what still counts": ("UPDATE ledger_mark SET sequence = 1", (), KEPT),
    "no slots": ("DROP TABLE ledger_slot", (), f"{FILE}its slots cannot be read (no such table: ledger_slot)"),
    "no evidence": ("DROP TABLE ledger_evidence", (), f"{FILE}its evidence cannot be read"),
    "no marks": ("DROP TABLE ledger_mark", (), f"{FILE}what still counts of its events cannot be read"),
    "a registry's time": (
        "INSERT INTO ledger_registry VALUES ('registry-1', 'http://host', 'never')",
        (),
        "not all could be checked: ",
    ),
    "no registries": ("DROP TABLE ledger_registry", (), "not all could be checked: "),
}


@pytest.mark.parametrize("what", list(DAMAGES))
def test_verify_names_what_is_damaged(desk: OpenDesk, tmp_path: Path, what: str) -> None:
    """With the finding of another event before it."""
    statement, values, sentence = DAMAGES[what]
    damage(tmp_path, (statement, values))

    found = [each.text for each in desk.verify()]
    assert desk.set_back() == []
    assert any(each.startswith("event 2: was changed") for each in found), found
    assert any(each.startswith(sentence) for each in found), found


def test_verify_reads_text_that_the_faster_parser_refuses(desk: OpenDesk, tmp_path: Path) -> None:
    """Half of a surrogate pair is JSON: the event was changed, and can be read."""
    damage(tmp_path, ("UPDATE ledger_event SET body = replace(body, ?, ?) WHERE sequence = 4", (REASON, r"\ud800")))

    found = [each for each in open_ledger(tmp_path).problems() if each.startswith("event 4")]

    assert found == ["event 4: was changed after it was written"]


@pytest.mark.parametrize("what", [each for each in DAMAGES if "event 4" in DAMAGES[each][2]])
def test_the_history_lists_the_others(desk: OpenDesk, tmp_path: Path, what: str) -> None:
    """A damaged event is one line that says so, whatever is in it."""
    statement, values, _ = DAMAGES[what]
    damage(tmp_path, (statement, values))

    assert [each.sequence for each in desk.history()] == [1, 2, 3, 4, 5, 6, 7]
    assert len(desk.history_page().lines) >= 3
    json.dumps([each.as_json() for each in desk.history()]).encode()


@pytest.mark.parametrize("pages", [0, 1, 2, 5, 9, 14])
def test_verify_of_a_file_that_was_cut_off_is_a_finding(desk: OpenDesk, tmp_path: Path, pages: int) -> None:
    """However much of it is left, also nothing; no exception, and never clean."""
    file = tmp_path / "ledger.db"
    os.truncate(file, pages * 4096 + (100 if pages else 0))

    assert build_desk(small_registry(), open_ledger(tmp_path)).verify()


@pytest.mark.parametrize("page", range(1, 28))
def test_verify_of_a_file_with_a_broken_page_is_a_finding(desk: OpenDesk, tmp_path: Path, page: int) -> None:
    """Whichever page it is that was overwritten, as long as it holds something."""
    file = tmp_path / "ledger.db"
    content = bytearray(file.read_bytes())
    assert len(content) >= 28 * 4096
    content[page * 4096 : (page + 1) * 4096] = b"\xa5" * 4096
    file.write_bytes(content)

    desk = build_desk(small_registry(), open_ledger(tmp_path))
    assert desk.verify()
    assert (desk.set_back(), desk.unprotected()) == ([], None)


def test_a_file_whose_table_names_are_not_utf8_is_a_finding(desk: OpenDesk, tmp_path: Path) -> None:
    """What SQLite says of it cannot be read either."""
    file = tmp_path / "ledger.db"
    file.write_bytes(file.read_bytes().replace(b"CREATE TABLE ledger_slot", b"CREATE TAB\xd4\xff ledger_slot"))
    desk = build_desk(small_registry(), open_ledger(tmp_path))

    assert [each.text for each in desk.verify()] == ["the ledger cannot be used: what it holds is not in UTF-8"]


@pytest.mark.parametrize("values", ["x'ff', '2026-01-01T00:00:00Z'", "'http://host', 'never'", "'http://host', 5"])
def test_a_registry_of_the_list_that_cannot_be_read_is_a_finding(desk: OpenDesk, tmp_path: Path, values: str) -> None:
    """Also where nothing else is damaged."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute(f"INSERT INTO ledger_registry VALUES ('registry-2', {values})")
        connection.commit()

    found = [each.text for each in desk.verify()]
    assert "registry 1 of those that the ledger knows: cannot be read" in found


def test_a_ledger_whose_revision_is_gone_is_read_all_the_same(desk: OpenDesk, tmp_path: Path) -> None:
    """A lost number is no lost ledger."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        connection.execute("DELETE FROM ledger_version")
        connection.commit()

    assert len(desk.history(MODEL)) == 7
    assert desk.ledger.exists()


def test_a_file_that_is_no_database_is_a_finding(tmp_path: Path) -> None:
    """Not an unavailable ledger: somebody has put something else there."""
    (tmp_path / "ledger.db").write_text("this is no database, but long enough to look at" * 400)
    found = build_desk(small_registry(), open_ledger(tmp_path)).verify()

    assert any("file is not a database" in each.text for each in found)


def test_a_checkpoint_from_elsewhere_finds_what_the_own_one_does_not(desk: OpenDesk, tmp_path: Path) -> None:
    """Who owns the ledger owns the file beside it too; one that was copied away tells."""
    elsewhere = tmp_path / "elsewhere.jsonl"
    own = tmp_path / "ledger.checkpoints.jsonl"
    elsewhere.write_text(own.read_text().replace('"sequence": 7', '"sequence": 9'))
    assert desk.verify(new=True) == []

    found = [each.text for each in desk.verify(new=True, checkpoints=[elsewhere])]
    assert found == ["event 9: is in a checkpoint and was cut off"]
    with pytest.raises(NotFound, match="there is no file"):
        desk.verify(new=True, checkpoints=[tmp_path / "nowhere"])


@pytest.mark.parametrize("text", ["", '{"registry": "registry-2", "sequence": 1, "hash": "0"}\n'])
def test_a_checkpoint_from_elsewhere_that_is_of_another_registry_protects_nothing(
    desk: OpenDesk, tmp_path: Path, text: str
) -> None:
    """Somebody believes that it does."""
    elsewhere = tmp_path / "elsewhere.jsonl"
    elsewhere.write_text(text)

    found = [each.text for each in desk.verify(checkpoints=[elsewhere])]
    assert found == [f"checkpoint file {elsewhere}: holds nothing of this registry"]


def test_without_a_checkpoint_file_it_is_said_what_is_not_protected(tmp_path: Path) -> None:
    """A note, no finding, until the first decision keeps one."""
    desk = build_desk(small_registry(), open_ledger(tmp_path))
    assert desk.unprotected() is None
    desk.take_over()
    assert (desk.verify(new=True), "could have written it anew" in str(desk.unprotected())) == ([], True)
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    assert desk.unprotected() is None


LINE = '{"registry": "registry-1", "sequence": 7, "hash": "f", "at": "2026-01-01T00:00:00Z"}'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"{LINE}\n"),
        (f"{LINE}\n", f"{LINE}\n{LINE}\n"),
        (f"{LINE}\n{LINE[:30]}", f"{LINE}\n{LINE}\n"),
        (LINE[:30], f"{LINE}\n"),
        (LINE, f"{LINE}\n{LINE}\n"),
        ("no json\n", f"no json\n{LINE}\n"),
    ],
)
def test_a_line_is_appended_to_whole_ones(tmp_path: Path, before: str, after: str) -> None:
    """What a full disk left of a line is cut off, what is whole stays, also where it is damaged."""
    file = tmp_path / "ledger.checkpoints.jsonl"
    if before:
        file.write_text(before)
    append_line(file, LINE)

    assert file.read_text() == after


def test_a_full_disk_leaves_no_part_of_a_line_and_the_decision_is_applied(desk: OpenDesk, tmp_path: Path) -> None:
    """In a process that may write no more than half a line to a file; the outcome says what is missing."""
    checkpoints = tmp_path / "ledger.checkpoints.jsonl"
    before = checkpoints.read_text()
    checkpoints.write_text("\n" * (2_000_000 - len(before)) + before)  # the ledger itself stays below the limit
    command = [sys.executable, str(Path(__file__).with_name("decide_on_a_full_disk.py")), str(tmp_path), "2000100"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    outcome = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert outcome["notice"].startswith("applied; the checkpoint could not be kept: ")
    assert checkpoints.read_text().lstrip("\n") == before
    ledger = open_ledger(tmp_path)
    assert next(ledger.page()).event.type == "applied"
    ledger.keep_checkpoint()
    assert (
        len(checkpoints.read_text().splitlines()) == len((("\n" * (2_000_000 - len(before))) + before).splitlines()) + 1
    )
    assert resource.RLIM_INFINITY == resource.getrlimit(resource.RLIMIT_FSIZE)[0]
