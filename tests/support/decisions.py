"""Short ways to decide in a test, and to see what was written."""

from typing import Any

from pipeline.governance.lifecycle import Stage, parse_target
from pipeline.governance.record.ledger import EventType, UnknownType
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    OpenDesk,
)


def promote(desk: OpenDesk, version: int, stage: Stage, **options: Any):
    return desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, **options)


def champion(desk: OpenDesk, *versions: int) -> None:
    for version in versions:
        promote(desk, version, Stage.STAGING)
        promote(desk, version, Stage.PRODUCTION)


def types(desk: OpenDesk) -> list[EventType | UnknownType]:
    return [entry.type for entry in desk.history(MODEL)]


STAGING = parse_target(MODEL, 1, "Staging")
