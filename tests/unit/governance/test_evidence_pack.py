"""An evidence pack, checked by somebody who has nothing but the unpacked zip and a Python interpreter."""

import ast
import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from pipeline.evidence_pack import evidence_pack, file_name, verify
from pipeline.evidence_pack.report import report_html
from pipeline.evidence_pack.verify import Pack, checked, shown
from pipeline.governance.errors import NotFound, Refused, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import Event, EventType, UnreadableEvent
from support.desks import GRACE, MODEL, REASON, OpenDesk, add_good_version, build_desk, good_documents, small_registry
from support.in_memory import EPOCH, InMemoryRegistry
from support.signers import ALAN, approve, ask, signing_desk

DECISION = 9  # the third of four decisions: version 1 to Production, compared with nobody
COMPARED = 13  # version 2 to Production, compared with the champion
NAMES = {"README.txt", "report.html", "events.jsonl", "checkpoints.jsonl", "verify.py", "manifest.json"}
HOSTILE = '</td></table><script>alert(1)</script> <img src=x onerror=alert(1)>\u202e " onmouseover="x\x1b[2J'


def filled() -> OpenDesk:
    """Two models in one chain: decisions 2, 5, 7 to 13, every second event an end."""
    registry = small_registry(versions=2)
    registry.add_model("another")
    add_good_version(registry, model="another")
    desk = build_desk(registry)
    moves = [
        (MODEL, 1, Stage.STAGING),
        ("another", 1, Stage.STAGING),
        (MODEL, 2, Stage.STAGING),
        (MODEL, 1, Stage.PRODUCTION),
        ("another", 1, Stage.PRODUCTION),
        (MODEL, 2, Stage.PRODUCTION),
    ]
    for model, version, stage in moves:
        desk.promote(model, version, stage, reason=f"{REASON} Ünïcode too.", actor=GRACE, accept_warnings=True)
    return desk


def pack_bytes(desk: OpenDesk, number: int) -> bytes:
    with evidence_pack(desk, number) as file:
        return file.read()


def unpacked(desk: OpenDesk, number: int, folder: Path) -> Path:
    folder.mkdir(parents=True)
    with evidence_pack(desk, number) as file, zipfile.ZipFile(file) as archive:
        archive.extractall(folder)
    return folder


def check(folder: Path, kept: list[Path], *keys: str) -> Pack:
    return checked(folder, kept, list(keys))


def run_bare(folder: Path, *arguments: str) -> tuple[int, str]:
    """By an interpreter without site-packages, environment and Signoff, in the folder of the pack."""
    command = [sys.executable, "-I", "-S", "verify.py", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False, env={})
    assert done.stderr == ""
    return done.returncode, done.stdout


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "events.jsonl").read_text(encoding="utf-8").split("\n") if line]


def write_rows(folder: Path, found: list[dict[str, Any]]) -> None:
    (folder / "events.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in found))


def listed_anew(folder: Path, **changes: Any) -> None:
    """A forger who makes the manifest fit the files again."""
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for entry in manifest["files"]:
        data = (folder / entry["path"]).read_bytes()
        entry |= {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest | changes), encoding="utf-8")


def test_a_pack_is_ok_where_there_is_no_signoff(tmp_path: Path) -> None:
    """It says what happened, by whom and why, and which part of the chain it has seen."""
    code, text = run_bare(unpacked(filled(), COMPARED, tmp_path / "pack"))

    assert code == 0, text
    assert text.endswith("ok: decision 13, events 13 to 14\n")
    assert "event 13: decided, at 2026-01-01T00:00:" in text
    assert 'model obesity_classifier, version 2, meaning production, by grace, known by self_declared, reason "' in text
    assert "note: the checkpoints came with the pack" in text


def flip_a_byte(folder: Path) -> None:
    data = (folder / "events.jsonl").read_bytes()
    (folder / "events.jsonl").write_bytes(data.replace(b"Better in every class", b"better in every class"))


def drop_the_last_event(folder: Path) -> None:
    write_rows(folder, rows(folder)[:-1])


def swap_a_file(folder: Path) -> None:
    first, second = sorted((folder / "evidence").iterdir())
    first.write_bytes(second.read_bytes())


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (flip_a_byte, "WRONG: event 13: was changed after it was written"),
        (drop_the_last_event, "WRONG: event 14: is missing"),
        (swap_a_file, ": was changed after it was written"),
    ],
)
@pytest.mark.parametrize("forged", [False, True])
def test_a_damaged_pack_is_named_where_there_is_no_signoff(
    tmp_path: Path, damage: Callable[[Path], None], sentence: str, forged: bool
) -> None:
    """Also where the list of files was made to fit."""
    folder = unpacked(filled(), COMPARED, tmp_path / "pack")
    damage(folder)
    if forged:
        listed_anew(folder)
    code, text = run_bare(folder)

    assert code == 7
    assert sentence in text
    assert ("is not the file that the manifest lists" in text) is not forged


def test_a_tail_that_was_cut_off_with_its_checkpoint_is_named_by_one_kept_elsewhere(tmp_path: Path) -> None:
    """Whoever forges the whole pack cannot forge the line that the auditor has."""
    desk = filled()
    folder, kept = unpacked(desk, COMPARED, tmp_path / "pack"), tmp_path / "kept.jsonl"
    kept.write_text((folder / "checkpoints.jsonl").read_text())
    drop_the_last_event(folder)
    (folder / "checkpoints.jsonl").write_text("")
    listed_anew(folder, events=[13], last=13)

    alone, with_kept = run_bare(folder), run_bare(folder, "--checkpoint", str(kept))

    assert alone[0] == 0
    assert "note: decision 13 had not ended when the pack was made" in alone[1]
    assert "note: no checkpoint covers event 13" in alone[1]
    assert with_kept[0] == 7
    assert "holds no checkpoint of the events in this pack" in with_kept[1]


def test_checkpoints_that_the_auditor_kept_say_ok_and_name_what_differs(tmp_path: Path) -> None:
    """Any number of files; one that cannot be read is named, one that lies in the folder is no file too many."""
    folder = unpacked(filled(), COMPARED, tmp_path / "pack")
    kept = folder / "kept.jsonl"
    kept.write_text((folder / "checkpoints.jsonl").read_text() + "damaged\n")
    good = check(folder, [kept])
    other = json.loads(kept.read_text().splitlines()[0])
    kept.write_text(json.dumps({**other, "hash": "0" * 64}) + "\n" + json.dumps({**other, "sequence": 99}))
    bad = check(folder, [kept, tmp_path / "missing"])

    assert (good.problems, good.notes) == ([], [])
    assert [each.partition(" in ")[0].partition(":")[2] for each in bad.problems] == [
        " differs from its checkpoint",
        " cannot be read (No such file or directory)",
    ]


def test_the_checkpoint_before_places_the_first_event(tmp_path: Path) -> None:
    """An auditor who kept only an older line can still say that the pack follows from it."""
    folder, kept = unpacked(filled(), DECISION, tmp_path / "pack"), tmp_path / "kept.jsonl"
    line = {"registry": "registry-1", "sequence": 8, "hash": rows(folder)[0]["previous_hash"]}
    kept.write_text(json.dumps(line))
    good = check(folder, [kept])
    kept.write_text(json.dumps({**line, "hash": "0" * 64}))

    assert good.problems == []
    assert [each.partition(" in ")[0] for each in check(folder, [kept]).problems] == [
        "event 8: differs from its checkpoint"
    ]


def signed(folder: Path, key: Ed25519PrivateKey, **changes: Any) -> str:
    """Signs every checkpoint of a pack; gives the public key in base64. changes: of lines that are signed already."""
    raw = key.public_key().public_bytes_raw()
    lines = []
    for line in (folder / "checkpoints.jsonl").read_text().splitlines():
        found = {"at": "2026-01-01T00:00:00Z", **json.loads(line)}
        text = json.dumps(found, sort_keys=True, separators=(",", ":"))
        signature = base64.b64encode(key.sign(f"signoff-checkpoint-v1\0{text}".encode())).decode()
        own = hashlib.sha256(raw).hexdigest()[:16]
        lines.append(json.dumps({**found, "key": own, "signature": signature, **changes}) + "\n")
    (folder / "checkpoints.jsonl").write_text("".join(lines))
    listed_anew(folder)
    return base64.b64encode(raw).decode()


def test_signatures_of_checkpoints_are_checked_where_that_can_be_done(tmp_path: Path) -> None:
    """By a key that the reader knows; without the package for it they are said to be unchecked."""
    folder = unpacked(filled(), COMPARED, tmp_path / "pack")
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    public = signed(folder, key)
    wrong = base64.b64encode(other.public_key().public_bytes_raw()).decode()
    bare = run_bare(folder, "--key", public)

    assert (check(folder, [], public).problems, check(folder, [], public).notes) == ([], [])
    assert check(folder, []).notes[1] == "signatures are unchecked: no public key is known; name it by --key PUBLIC"
    assert bare[0] == 0
    assert "note: signatures are unchecked: that needs the package cryptography" in bare[1]
    assert check(folder, [], wrong, "no base64 \u00e9").problems == [
        "event 14: its checkpoint is signed with a key that is not known"
    ]


@pytest.mark.parametrize("changes", [{"at": "2026-01-02T00:00:00Z"}, {"signature": "AAAA"}, {"signature": 7}])
def test_a_signature_that_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Of other fields, or none at all."""
    folder = unpacked(filled(), COMPARED, tmp_path / "pack")
    public = signed(folder, Ed25519PrivateKey.generate(), **changes)

    assert check(folder, [], public).problems == ["event 14: its checkpoint has a signature that does not fit"]


def test_keys_that_came_with_the_pack_say_from_when_a_checkpoint_has_to_be_signed(tmp_path: Path) -> None:
    """An older line is unsigned, not wrong; that the keys came with the pack is said."""
    folder = unpacked(filled(), COMPARED, tmp_path / "pack")
    keys = folder / "keys.json"
    public = base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode()
    found = {}
    for first in (15, 14):
        keys.write_text(json.dumps([{"name": "2026", "public": public, "first": first, "last": None}]))
        found[first] = [each for each in check(folder, []).problems if "keys.json" not in each]
    own = signed(folder, Ed25519PrivateKey.generate())
    keys.write_text(json.dumps([{"public": own, "first": 1, "last": 99}, 7]))

    assert found == {15: [], 14: ["event 14: its checkpoint is not signed, as it has to be"]}
    assert check(folder, []).notes[1] == "the public keys came with the pack: compare with your own by --key PUBLIC"


def change(name: str, value: Any, *, row: int = 0) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        found = rows(folder)
        found[row][name] = value
        write_rows(folder, found)
        listed_anew(folder)

    return damage


def manifest(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: listed_anew(folder, **changes)


def file(path: str, data: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / path).write_bytes(data)

    return damage


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (change("previous_hash", "1" * 64, row=1), "event 14: does not follow from the event before it"),
        (change("hash", "1" * 64), "event 13: was changed after it was written"),
        (change("sequence", 12), "event 12: is no event of this pack"),
        (change("sequence", 14), "events.jsonl: has a line that cannot be read, or comes twice"),
        (change("body", "[17"), "events.jsonl: has a line that cannot be read, or comes twice"),
        (change("body", "\ud800"), "event 13: was changed after it was written"),
        (file("manifest.json", b"[]"), "manifest.json: is missing, or cannot be read"),
        (file("manifest.json", b"[" * 100_000), "manifest.json: is missing, or cannot be read"),
        (file("verify.py", b""), "verify.py: is not the file that the manifest lists"),
        (file("report.htm", b"read me"), "report.htm: is no file of this pack"),
        (file("events.jsonl", b""), "events 13 to 14: are missing"),
        (manifest(last=10**18), "events 15 to 1000000000000000000: are missing"),
        (manifest(format="other"), "manifest.json: is not that of a pack that this program knows"),
        (manifest(events=[13, 14, 900]), "event 900: is an event of the decision, and is not here"),
        (manifest(events=7, files=7), "manifest.json: is not that of a pack that this program knows"),
        (manifest(model="other"), "manifest.json: names another model than event 13"),
        (manifest(files=[{"path": "../secret"}]), "manifest.json: lists ../secret, which is no file of a pack"),
        (manifest(files=[{"path": "x\x1b"}]), '"x\\u001b": is missing'),
        (manifest(decision=14), "event 14: is the end of another decision"),
    ],
)
def test_whatever_is_wrong_is_named(tmp_path: Path, damage: Callable[[Path], None], sentence: str) -> None:
    """One sentence, and never a traceback."""
    folder = unpacked(filled(), COMPARED, tmp_path / "pack")
    damage(folder)

    assert any(each.startswith(sentence) for each in check(folder, []).problems), check(folder, []).problems


def test_evidence_that_nobody_quotes_or_that_is_none_is_named(tmp_path: Path) -> None:
    """A text with the right sha256 is not yet what the approver saw."""
    folder = unpacked(filled(), DECISION, tmp_path / "pack")
    for text in (b"[]", b'{"files": [{"path": "a", "sha256": "1"}], "file_digest": "0"}'):
        (folder / "evidence" / f"{hashlib.sha256(text).hexdigest()}.json").write_bytes(text)
    found = {each.partition(": ")[2] for each in check(folder, []).problems}

    assert {
        "no event of the decision quotes it",
        "cannot be read",
        "its files do not have the digest that it names",
        "is no file of this pack",
    } == found


def test_the_same_decision_is_the_same_bytes(tmp_path: Path) -> None:
    """Twice, and after others were made: the part of the chain ends with the checkpoint behind the decision."""
    desk = filled()
    first = pack_bytes(desk, DECISION)
    desk.promote(MODEL, 1, Stage.NONE, reason=REASON, actor=GRACE)
    folder = unpacked(desk, DECISION, tmp_path / "pack")

    assert pack_bytes(desk, DECISION) == first == pack_bytes(desk, DECISION + 1)
    assert [row["sequence"] for row in rows(folder)] == [9, 10]
    assert {each.relative_to(folder).parts[0] for each in folder.iterdir()} == {*NAMES, "evidence"}
    assert file_name(DECISION) == "signoff-decision-9.zip"


def test_events_of_others_between_the_decision_and_its_checkpoint_are_there(tmp_path: Path) -> None:
    """A chain with events left out proves nothing; evidence of others is nobody's business here."""
    desk = filled()
    desk.ledger.checkpoints[:] = [each for each in desk.ledger.checkpoints if each[0] in (4, 14)]
    folder = unpacked(desk, DECISION, tmp_path / "pack")

    assert [row["sequence"] for row in rows(folder)] == list(range(9, 15))
    assert check(folder, []).problems == []
    assert len(list((folder / "evidence").iterdir())) == 1


def test_a_decision_that_has_not_ended_and_one_without_checkpoint_say_so(tmp_path: Path) -> None:
    """Up to the newest event, with a note."""
    desk = build_desk(small_registry(versions=1))
    desk.take_over()
    set_stage = desk.registry.set_stage

    def unanswered(*_: Any) -> None:
        raise Unavailable("the registry does not answer")

    desk.registry.set_stage = unanswered
    with pytest.raises(Unavailable):
        desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    desk.registry.set_stage = set_stage
    folder = unpacked(desk, 2, tmp_path / "pack")

    assert [row["sequence"] for row in rows(folder)] == [2]
    assert check(folder, []).notes == [
        "decision 2 had not ended when the pack was made",
        "no checkpoint covers event 2: whoever owned the ledger could have written it anew",
    ]
    assert "It had not ended when this was written." in (folder / "report.html").read_text(encoding="utf-8")


def signed_request(desk: OpenDesk, *, decided: bool) -> None:
    """A request (2) with two approvals (3, 5), a comment of somebody between, and what came of it (6, 7)."""
    desk.take_over()

    def event(kind: EventType, by: str, **content: Any) -> Event:
        actor = {"subject": by, "established": "oidc", "issuer": "https://login", "roles": ["approver"]}
        decision = "d1" if "approvals" in content else None
        about = {"actor": actor, "subject": {"version": 1}, "meaning": "staging", "reason": REASON}
        return Event(kind, MODEL, EPOCH, decision=decision, content={**about, **content})

    opened = [{"panel": "gates", "at": "2026-01-01T00:00:00Z"}]
    confirmed = {"attested": {"bias": "I looked for bias."}, "opened": opened}
    events = [
        event(EventType.REQUESTED, "ada"),
        event(EventType.APPROVED, "grace", requested=2, **confirmed),
        event(EventType.DENIED, "ada", requested=2),
        event(EventType.APPROVED if decided else EventType.REJECTED, "linus", requested=2),
    ]
    if decided:
        quoted = {"requested": 2, "approvals": [3, 5]}
        events += [event(EventType.DECIDED, "linus", **quoted), event(EventType.APPLIED, "linus", intent=6, **quoted)]
    with desk.ledger.transaction() as transaction:
        for each in events:
            transaction.append(each)
    desk.ledger.keep_checkpoint()


def test_a_decision_has_its_signatures_with_it(tmp_path: Path) -> None:
    """By whichever of its numbers it is asked for; the report says what was confirmed and what had been opened."""
    desk = build_desk(small_registry(versions=1))
    signed_request(desk, decided=True)
    folder = unpacked(desk, 6, tmp_path / "pack")
    text = (folder / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")

    assert {tuple(each.sequence for each in desk.decision_record(number).story) for number in (2, 3, 5, 6, 7)} == {
        (2, 3, 5, 6, 7)
    }
    assert check(folder, []).problems == []
    assert [row["sequence"] for row in rows(folder)] == [2, 3, 4, 5, 6, 7]
    for part in ("3 approved", "grace (oidc)", "bias: I looked for bias.", "gates at 2026-01-01T00:00:00Z"):
        assert part in text


def test_a_decision_of_two_persons_is_taken_home_by_the_real_road(tmp_path: Path) -> None:
    """Asked for, approved and applied by the service; every one of its events leads to the same pack."""
    desk = signing_desk()
    request = ask(desk)
    approve(desk, request, ALAN)
    last = desk.history(MODEL)[-1]
    folder = unpacked(desk, last.sequence, tmp_path / "pack")
    text = (folder / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")
    numbers = [each.sequence for each in desk.decision_record(last.number).story]

    assert check(folder, []).problems == []
    assert [json.loads(row["body"])["type"] for row in rows(folder) if row["sequence"] in numbers] == [
        "requested",
        "approved",
        "decided",
        "applied",
    ]
    assert {pack_bytes(desk, number) for number in numbers} == {pack_bytes(desk, last.number)}
    assert "rita (oidc)" in text
    assert "alan (oidc)" in text


def test_a_request_that_led_to_nothing_is_its_own_story(tmp_path: Path) -> None:
    """Who asked and who rejected it."""
    desk = build_desk(small_registry(versions=1))
    signed_request(desk, decided=False)
    folder = unpacked(desk, 5, tmp_path / "pack")

    assert [each.sequence for each in desk.decision_record(2).story] == [2, 3, 5]
    assert (check(folder, []).problems, check(folder, []).notes[0][:15]) == ([], "the checkpoints")
    assert "Event 2: obesity" in (folder / "report.html").read_text(encoding="utf-8").replace("<wbr>", "")


def test_a_refusal_can_be_taken_home_too(tmp_path: Path) -> None:
    """It is an event by itself, and quotes no evidence."""
    desk = build_desk(small_registry(versions=1))
    with pytest.raises(Refused):
        desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=GRACE)
    folder = unpacked(desk, 2, tmp_path / "pack")

    assert check(folder, []).problems == []
    assert "The event quotes no evidence." in (folder / "report.html").read_text(encoding="utf-8")


def test_what_the_ledger_lost_or_changed_is_named_by_report_and_program(tmp_path: Path) -> None:
    """The pack of a damaged ledger is still one."""
    desk = filled()
    incumbent, digest = sorted(
        desk.decision_record(COMPARED).evidence, key=lambda each: json.loads(desk.evidence(each))["version"]
    )
    del desk.ledger._evidence[incumbent]
    lost = unpacked(desk, COMPARED, tmp_path / "lost")
    desk.ledger._evidence |= {digest: "{}", incumbent: "{}"}
    changed = unpacked(desk, COMPARED, tmp_path / "changed")

    assert check(lost, []).problems == [f"evidence {incumbent}: event 14 quotes it, and it is not here"] or (
        check(lost, []).problems == [f"evidence {incumbent}: event 13 quotes it, and it is not here"]
    )
    assert f"The ledger does not hold the evidence {incumbent} any more." in (lost / "report.html").read_text()
    assert len(check(changed, []).problems) == 2
    assert f"The evidence {digest} was changed after it was written." in (changed / "report.html").read_text()


def test_a_ledger_that_was_written_by_a_stranger_makes_no_path_and_no_traceback(tmp_path: Path) -> None:
    """A digest that is none is never a name in the zip; evidence that is none is named in the report."""
    desk = filled()
    bad = hashlib.sha256(b'{"model": 1}').hexdigest()
    for number, digest in ((DECISION, "../../evil"), (COMPARED, bad)):
        stored = desk.ledger._events[number - 1]
        event = stored.event._replace(content={**stored.event.content, "evidence": digest, "incumbent": None})
        desk.ledger._events[number - 1] = stored._replace(event=event)
    desk.ledger._evidence |= {"../../evil": "x", bad: '{"model": 1}'}
    record = desk.decision_record(COMPARED)
    with evidence_pack(desk, DECISION) as found, zipfile.ZipFile(found) as archive:
        names = archive.namelist()

    assert not any("evil" in name for name in names)
    assert f"The evidence {bad} cannot be read." in report_html(record)


def test_what_nobody_recorded_is_not_found_and_what_is_damaged_not_available() -> None:
    """One sentence each."""
    desk = filled()
    with pytest.raises(NotFound, match="decision: the ledger holds no event 900"):
        desk.decision_record(900)
    desk.ledger.page = lambda before: iter([UnreadableEvent(before - 1, "decided", MODEL)])
    with pytest.raises(Unavailable, match="event 3 cannot be read; run verify"):
        desk.decision_record(3)


class Tags(HTMLParser):
    """Every element and attribute of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}


def test_the_report_runs_nothing_and_shows_text_of_strangers_as_text() -> None:
    """Descriptions, tags, parameters, classes, gates and reasons, in a page that loads nothing."""
    registry = InMemoryRegistry()
    registry.add_model(HOSTILE)
    documents = good_documents(0.93)
    documents["evaluation"]["per_class"] = [{"class": HOSTILE, "recall": 0.9, "n": 5}]
    registry.add_version(
        HOSTILE,
        tags={"produced_by": "signoff", "intended_use": HOSTILE, HOSTILE: HOSTILE},
        params={HOSTILE: HOSTILE},
        metrics={HOSTILE: 0.5},
        description=HOSTILE,
        documents=documents,
        files={"MLmodel": b"x", f"a{HOSTILE}".replace("/", ""): b"y"},
        signature={"inputs": []},
    )
    desk = build_desk(registry)
    desk.promote(HOSTILE, 1, Stage.STAGING, reason=HOSTILE, actor=GRACE, accept_warnings=True)
    page, tags = report_html(desk.decision_record(2)), Tags()
    tags.feed(page)

    assert not tags.found & {"script", "img", "iframe", "a", "link", "onerror", "onmouseover", "src", "href"}
    assert page.replace("<wbr>", "").count("&lt;script&gt;alert(1)&lt;/script&gt;") > 8
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "default-src 'none'" in page


def test_the_report_says_what_the_approver_saw() -> None:
    """Who, when, why, what it changed, gates, the champion's metrics beside, files and digests."""
    desk = filled()
    page = report_html(desk.decision_record(COMPARED))
    text = page.replace("<wbr>", "")

    for part in (
        "Decision 13: obesity_classifier",
        "grace promoted version 2 to Production.",
        "grace (self-declared)",
        f"{REASON} Ünïcode too.",
        "<td>champion</td>",
        "Version is ready",
        "version 1, the champion at that time",
        "Metrics beside the champion&#x27;s",
        "model.skops",
        str(desk.decision_record(COMPARED).decided.content["evidence"]),
    ):
        assert part in text


def test_the_program_is_one_that_older_pythons_read() -> None:
    """An auditor's machine may be some years old; and it imports the standard library alone, but for signatures."""
    tree = ast.parse(Path(verify.__file__).read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {each.module for each in ast.walk(tree) if isinstance(each, ast.ImportFrom)}
    imported |= {name.name for each in ast.walk(tree) if isinstance(each, ast.Import) for name in each.names}
    outside = {name for name in imported if name and name.split(".")[0] not in sys.stdlib_module_names}

    assert {name.split(".")[0] for name in outside} == {"cryptography"}


def test_text_for_a_terminal_is_escaped() -> None:
    """Nobody writes into an auditor's terminal by the name of a model."""
    assert shown("plain text") == "plain text"
    assert shown("a\x1b[2J\u202e") == '"a\\u001b[2J\\u202e"'
    assert shown(None) == "null"
