"""One model on the first page."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.governance.history import Entry, entry
from pipeline.governance.ledger import StoredEvent, UnreadableEvent
from pipeline.governance.lifecycle import ModelState, Stage
from pipeline.governance.out_of_band import Difference
from pipeline.governance.ports import ModelRecord, PendingDecision


@dataclass(frozen=True)
class ModelOverview:
    """One model on the first page: what serves, what waits in Staging, what differs, what has not ended, what was last.

    outside: whether the champion is not in Production.
    """

    record: ModelRecord
    champion: int | None
    outside: bool
    stages: dict[Stage, int]
    waiting: tuple[int, ...]
    differences: tuple[Difference, ...]
    pending: tuple[PendingDecision, ...]
    last: Entry | None


def overview(
    record: ModelRecord,
    state: ModelState,
    *,
    differences: Sequence[Difference],
    pending: Sequence[PendingDecision],
    last: StoredEvent | UnreadableEvent | None,
) -> ModelOverview:
    """From what registry and ledger hold of the model; `last` is its newest event."""
    waiting = [version for version in state.in_stage(Stage.STAGING) if version != state.champion]
    return ModelOverview(
        record=record,
        champion=state.champion,
        outside=state.champion_outside_production,
        stages={stage: len(state.in_stage(stage)) for stage in Stage},
        waiting=tuple(sorted(waiting, reverse=True)),
        differences=tuple(differences),
        pending=tuple(pending),
        last=entry(last) if last else None,
    )
