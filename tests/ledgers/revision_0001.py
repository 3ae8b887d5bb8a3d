"""Writes a ledger as the version before migrations did, as SQL text: `python tests/ledgers/revision_0001.py FOLDER`.

It was run at commit 333251e, the last one without a version table; a later one writes later tables.
"""

import sqlite3
import sys
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.governance.errors import Blocked, Unavailable
from pipeline.governance.lifecycle import Stage
from pipeline.governance.ports import Ledger
from pipeline.governance.service import GovernanceService
from support.desks import GRACE, MODEL, REASON, TickingClock, build_desk, small_registry
from support.in_memory import InMemoryRegistry


class FixedId:
    """A registry id that was chosen."""

    def __init__(self, value: str) -> None:
        self.value = value

    def known(self) -> str:
        return self.value

    keep = known


class SilentRegistry(InMemoryRegistry):
    """One that stops answering when an alias named `pending` is set."""

    def set_alias(self, model: str, alias: str, version: int | None) -> None:
        if alias == "pending":
            raise Unavailable("the registry does not answer")
        super().set_alias(model, alias, version)


def story(registry: InMemoryRegistry, ledger: Ledger) -> GovernanceService:
    """Baseline, promotions, a rollback, a refusal, an out-of-band change, changed bytes and one pending decision."""
    desk = build_desk(registry, ledger, clock=TickingClock())
    desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=GRACE)
    for version in (1, 2, 3):
        if version > 1:
            desk.promote(MODEL, version, Stage.STAGING, reason=REASON, actor=GRACE)
        desk.promote(MODEL, version, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True)
    desk.rollback(MODEL, reason="The third one was wrong: é \u202e ok.", actor=GRACE, accept_warnings=True)
    with suppress(Blocked):
        desk.promote(MODEL, 3, Stage.PRODUCTION, reason=REASON, actor=GRACE, accept_warnings=True)
    registry.set_alias(MODEL, "mine", 1)
    desk.reconcile(MODEL)
    registry.write_file(MODEL, 1, "model.skops", content=b"changed")
    desk.reconcile(MODEL)
    with suppress(Unavailable):
        desk.set_alias(MODEL, "pending", 2, reason=REASON, actor=GRACE, key="a-key")
    return desk


def silent_registry() -> SilentRegistry:
    """The three versions of `small_registry`."""
    registry, small = SilentRegistry(), small_registry()
    registry.__dict__.update(small.__dict__)
    return registry


def dump(folder: Path) -> None:
    """The ledger of two registries as SQL text, with the checkpoint file beside it."""
    database = folder / "ledger.db"
    for name in ("registry-1", "registry-2"):
        story(silent_registry(), SqlLedger(f"sqlite:///{database}", registry=FixedId(name), clock=TickingClock()))
    with sqlite3.connect(database) as connection:
        here = Path(__file__).with_suffix(".sql")
        here.write_text("\n".join(connection.iterdump()) + "\n", encoding="utf-8")
        here.with_suffix(".checkpoints.jsonl").write_bytes((folder / "ledger.checkpoints.jsonl").read_bytes())


if __name__ == "__main__":
    dump(Path(sys.argv[1]))
