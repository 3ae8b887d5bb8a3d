"""Events that an earlier version wrote under another name: `drift`, `drift_adopted` and `drift_reverted`."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ledgers.revision_0001 import FixedId
from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.history import Entry
from pipeline.governance.record.ledger import EARLIER_NAMES, FIRST_HASH, EventType, event_hash
from pipeline.governance.service import GovernanceService
from support.desks import GRACE, MODEL, REASON, TickingClock, build_desk, small_registry

OUT_OF_BAND = (EventType.OUT_OF_BAND, EventType.ADOPTED, EventType.REVERTED)


@pytest.fixture
def desk(tmp_path: Path) -> GovernanceService:
    """A desk whose ledger holds an adopted, a reverted and an open out-of-band change, all under the earlier names."""
    file, registry = tmp_path / "ledger.db", small_registry()
    ledger = SqlLedger(f"sqlite:///{file}", registry=FixedId("registry-1"), clock=TickingClock())
    desk = build_desk(registry, ledger)
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    registry.set_alias(MODEL, "champion", 1)
    registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    desk.adopt(MODEL, reason="It served before the desk knew.", actor=GRACE)
    registry.set_stage(MODEL, 2, Stage.STAGING)
    desk.revert(MODEL, reason="Nobody has asked for this.", actor=GRACE)
    registry.set_alias(MODEL, "mine", 2)
    desk.reconcile(MODEL)
    assert written_types(file) >= {kind.value for kind in OUT_OF_BAND}
    write_earlier_names(file)
    assert written_types(file) >= set(EARLIER_NAMES)
    return desk


def written_types(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as connection:
        return {str(row[0]) for row in connection.execute("SELECT type FROM ledger_event")}


def write_earlier_names(file: Path) -> None:
    """The same chain as the earlier version would have written it, with the hashes of that text."""
    names = {kind.value: earlier for earlier, kind in EARLIER_NAMES.items()}
    previous = FIRST_HASH
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TRIGGER ledger_event_no_update")
        for sequence, kind, body in connection.execute(
            "SELECT sequence, type, body FROM ledger_event ORDER BY sequence"
        ).fetchall():
            earlier = names.get(kind, kind)
            text = body.replace(f'"type":"{kind}"', f'"type":"{earlier}"')
            new = event_hash(previous, sequence, text)
            connection.execute(
                "UPDATE ledger_event SET previous_hash = ?, hash = ?, body = ?, type = ? WHERE sequence = ?",
                (previous, new, text, earlier, sequence),
            )
            previous = new
        connection.commit()
    file.with_suffix(".checkpoints.jsonl").unlink()


def out_of_band(entries: list[Entry]) -> list[str]:
    return [each.type.value for each in entries if each.type in OUT_OF_BAND]


def test_they_read_as_the_new_types(desk: GovernanceService) -> None:
    """History, filters and JSON name the type of today; the decisions about a version include its adoption."""
    expected = ["out_of_band", "adopted", "out_of_band", "reverted", "out_of_band"]
    assert out_of_band(desk.history(MODEL)) == expected
    assert [each.as_json()["type"] for each in desk.history(MODEL) if each.type in OUT_OF_BAND] == expected
    shown = desk.history_page(MODEL, only={kind.value for kind in OUT_OF_BAND})
    assert [each.type.value for each, _ in shown.lines] == expected[::-1]
    rest = desk.history_page(MODEL, without={kind.value for kind in OUT_OF_BAND})
    assert out_of_band([each for each, _ in rest.lines]) == []
    assert EventType.ADOPTED in {each.type for each in desk.decisions(MODEL, 1)}
    assert [period.version for period in desk.champions(MODEL)] == [1]


def test_their_text_and_hashes_stay(desk: GovernanceService) -> None:
    """Verify finds nothing but the open change, and an export holds the very text that was hashed."""
    assert [problem.kind for problem in desk.verify()] == ["out_of_band"]
    assert '\\"type\\":\\"drift_adopted\\"' in "".join(desk.export(MODEL))


def test_the_desk_goes_on_deciding(desk: GovernanceService, tmp_path: Path) -> None:
    """The next out-of-band events have the new names, beside the old ones, and the chain still verifies."""
    desk.adopt(MODEL, reason="The alias may stay there.", actor=GRACE)
    desk.promote(MODEL, 2, Stage.STAGING, reason=REASON, actor=GRACE)
    assert written_types(tmp_path / "ledger.db") >= {"drift", "drift_adopted", "drift_reverted", "adopted"}
    assert desk.verify() == []


CHANGES: list[Callable[[sqlite3.Connection], object]] = [
    lambda connection: connection.execute("UPDATE ledger_event SET type = 'out_of_band' WHERE type = 'drift'"),
    lambda connection: connection.execute("UPDATE ledger_event SET type = 'drift' WHERE type = 'drift_adopted'"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_column_is_found(
    desk: GovernanceService, tmp_path: Path, change: Callable[[sqlite3.Connection], object]
) -> None:
    """A column that was given another name than the text has, also one that means the same."""
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as connection:
        change(connection)
        connection.commit()
    assert "its columns differ from its body" in " ".join(problem.text for problem in desk.verify())
