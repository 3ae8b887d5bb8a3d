"""The exported ledger, checked by somebody who has nothing but the file, json and sha256."""

import hashlib
import json
from typing import Any

import pytest

from pipeline.governance.errors import NotFound
from pipeline.governance.lifecycle import Stage
from support.desks import GRACE, MODEL, REASON, OpenDesk, add_good_version, build_desk, small_registry
from support.in_memory import InMemoryLedger

OTHER = "another"


def filled() -> OpenDesk:
    """Two models whose events alternate in the one chain; the second decision was compared with an incumbent."""
    registry = small_registry(versions=2)
    registry.add_model(OTHER)
    add_good_version(registry, model=OTHER)
    desk = build_desk(registry)
    for model, version, stage in (
        (MODEL, 1, Stage.STAGING),
        (OTHER, 1, Stage.STAGING),
        (MODEL, 1, Stage.PRODUCTION),
        (MODEL, 2, Stage.STAGING),
    ):
        desk.promote(model, version, stage, reason=f"{REASON} Ünïcode \u2028 too.", actor=GRACE)
    return desk


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def wrong(document: dict[str, Any]) -> list[str]:
    """What docs/governance.md says, and no code of the project."""
    found, previous = [], "0" * 64
    for number, row in enumerate(document["events"], start=1):
        computed = sha256(f"signoff-event-v1\0{previous}\0{number}\0{row['body']}")
        if (row["sequence"], row["previous_hash"], row["hash"]) != (number, previous, computed):
            found.append(f"event {number}")
        previous = row["hash"]
    for digest, text in document["evidence"].items():
        if text is None or sha256(text) != digest:
            found.append(f"evidence {digest}")
            continue
        files = json.loads(text)["files"]
        if (
            sha256("\n".join(sorted(f"{each['sha256']}  {each['path']}" for each in files)))
            != (json.loads(text)["file_digest"])
        ):
            found.append(f"files of {digest}")
    return found


def document(desk: OpenDesk, model: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = json.loads("".join(desk.export(model)))
    return found


def test_the_exported_chain_can_be_recomputed() -> None:
    """Every hash, every quoted evidence and every file digest, with sha256 alone."""
    found = document(filled())

    assert wrong(found) == []
    assert len(found["events"]) == 10
    assert [json.loads(row["body"])["model"] for row in found["events"]].count(OTHER) == 3


@pytest.mark.parametrize("part", ["body", "hash", "previous_hash", "sequence"])
def test_whatever_is_changed_is_found(part: str) -> None:
    """Also an event that was taken out."""
    changed, cut = document(filled()), document(filled())
    row = changed["events"][4]
    row[part] = row[part].replace("a", "b") if isinstance(row[part], str) else row[part] + 1
    del cut["events"][4]

    assert "event 5" in wrong(changed)
    assert "event 5" in wrong(cut)


def test_a_model_s_export_has_the_whole_chain_and_its_own_evidence() -> None:
    """A chain with events left out proves nothing; what was seen of other models is nobody's business here."""
    desk = filled()
    found = document(desk, MODEL)
    models = {json.loads(text)["model"] for text in found["evidence"].values()}

    assert found["events"] == document(desk)["events"]
    assert models == {MODEL}
    assert {json.loads(text)["model"] for text in document(desk)["evidence"].values()} == {MODEL, OTHER}


def test_every_quoted_evidence_is_there() -> None:
    """Of the version that was decided about, and of the champion that it was compared with."""
    found = document(filled(), MODEL)
    bodies = [json.loads(row["body"]) for row in found["events"]]
    quoted = {body["evidence"] for body in bodies if "evidence" in body and body["model"] == MODEL}
    incumbents = {body["incumbent"]["evidence"] for body in bodies if body.get("incumbent")}

    assert len(incumbents) == 1
    assert set(found["evidence"]) == quoted | incumbents


def test_lost_evidence_is_null_and_found() -> None:
    """The export of a damaged ledger is still one: whoever checks it sees what is gone."""
    desk = filled()
    ledger = desk.ledger
    assert isinstance(ledger, InMemoryLedger)
    digest = next(iter(ledger._evidence))
    del ledger._evidence[digest]

    assert wrong(document(desk)) == [f"evidence {digest}"]


def test_an_empty_ledger_is_an_empty_document() -> None:
    """And a model that nobody knows is not found, before a file is begun."""
    desk = build_desk()

    assert document(desk, MODEL) == {"events": [], "evidence": {}}
    with pytest.raises(NotFound):
        desk.export("nobody")
