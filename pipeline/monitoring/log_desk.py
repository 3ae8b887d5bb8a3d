"""The log of predictions for whoever asks: what it holds, outcomes, two versions side by side, and what is deleted.

Every method asks the desk first whether its actor may; see `roles.ACTIONS`.
"""

import math
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pipeline.governance.errors import InvalidInput, NotFound
from pipeline.governance.ports import Clock
from pipeline.governance.record.ledger import iso
from pipeline.governance.roles import Action
from pipeline.governance.service import GovernanceService
from pipeline.governance.text import visible
from pipeline.monitoring.prediction_log import (
    Block,
    HourlyCount,
    KnownOutcome,
    OutcomesTold,
    PredictionLog,
    Purged,
    RowsKept,
    Selection,
    StoredPrediction,
)
from pipeline.validation.rows import InvalidRows, Problem

if TYPE_CHECKING:
    from pipeline.comparison import PairedBootstrap
    from pipeline.comparison.rows import Rows
    from pipeline.governance.rules.paired import Paired
    from pipeline.monitoring.side_by_side import SideBySide

MOST_COMPARED = 20_000  # the newest rows that both versions answered
MOST_OUTCOMES = 100_000  # told at once
MOST_CHARACTERS = 200  # of an outcome
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class LogStatus:
    """How complete the log is, by the blocks of the processes that write to it."""

    place: str
    blocks: tuple[Block, ...]  # newest first
    now: datetime
    rows: RowsKept

    @property
    def gaps(self) -> tuple[Block, ...]:
        """Blocks of processes that ended without closing them."""
        return tuple(block for block in self.blocks if block.is_gap(self.now))

    @property
    def written(self) -> int:
        """Answers that are accounted for."""
        return sum(block.written for block in self.blocks)

    @property
    def lost(self) -> int:
        """Answers of which their process knew that they are not."""
        return sum(block.lost for block in self.blocks)

    def as_json(self) -> dict[str, Any]:
        return {
            "place": self.place,
            "written": self.written,
            "lost": self.lost,
            "rows": {"n": self.rows.n, "oldest": self.rows.oldest and iso(self.rows.oldest), "more": self.rows.more},
            "gaps": [block_json(block, self.now) for block in self.gaps],
            "blocks": [block_json(block, self.now) for block in self.blocks],
        }


def block_json(block: Block, now: datetime) -> dict[str, Any]:
    """The numbers of one process."""
    return {
        "process": block.process,
        "model": block.model,
        "opened_at": iso(block.opened_at),
        "written_at": iso(block.written_at),
        "closed_at": None if block.closed_at is None else iso(block.closed_at),
        "written": block.written,
        "lost": block.lost,
        "gap": block.is_gap(now),
        "at_most": block.reserved - block.written,
    }


def row_json(found: StoredPrediction) -> dict[str, Any]:
    """One row of the log, as `log show` prints it."""
    row, shadow, outcome = found.prediction, found.shadow, found.outcome
    return {
        "prediction_id": row.prediction_id,
        "at": iso(row.at),
        "model": row.model,
        "version": row.version,
        "digest": row.digest,
        "alias": row.alias,
        "door": row.door.value,
        "prediction": row.prediction,
        "confidence": row.confidence,
        "probabilities": dict(row.probabilities),
        "values": dict(row.clear),
        "keyed": dict(row.keyed),
        "warnings": row.warnings,
        "milliseconds": row.milliseconds,
        "shadow": None if shadow is None else {"version": shadow.version, "prediction": shadow.prediction},
        "actual": None if outcome is None else outcome.actual,
    }


class LogDesk:
    """The log for one actor. Raises NotAllowed where they may not, Unavailable where the log does not answer."""

    def __init__(
        self, service: GovernanceService, log: PredictionLog, comparer: "PairedBootstrap", *, clock: Clock
    ) -> None:
        self._service, self._log, self._comparer, self._clock = service, log, comparer, clock

    def as_(self, service: GovernanceService) -> "LogDesk":
        """The same for whoever asks with another service."""
        return LogDesk(service, self._log, self._comparer, clock=self._clock)

    def status(self, model: str | None = None) -> LogStatus:
        """The blocks and the number of rows of a model, or of all."""
        self._service.authorise(Action.READ)
        blocks, rows = tuple(self._log.blocks(model)), self._log.rows_kept(model)
        return LogStatus(self._log.place, blocks, self._clock.now(), rows)

    def counts(
        self, model: str, *, since: datetime | None = None, until: datetime | None = None, version: int | None = None
    ) -> list[HourlyCount]:
        """See PredictionLog.counts. Of an hour with few answers they show the steps and categories of each value."""
        self._service.authorise(Action.READ)
        return self._log.counts(model, since=since, until=until, version=version)

    def rows(self, wanted: Selection) -> list[StoredPrediction]:
        """Rows as they are stored, newest first."""
        self._service.authorise(Action.READ_LOG)
        return self._log.predictions(wanted)

    def tell_outcomes(self, told: Iterable[tuple[object, object]]) -> OutcomesTold:
        """Keeps what turned out to be true, by prediction_id; the last one told counts.

        Raises InvalidRows where one of them is no id or no value; nothing is kept then.
        """
        self._service.authorise(Action.OUTCOMES)
        given = list(told)
        if not 0 < len(given) <= MOST_OUTCOMES:
            raise InvalidInput(f"outcomes: there are {len(given):,}; 1 to {MOST_OUTCOMES:,} are taken at once")
        at, by = self._clock.now(), self._service.actor.person.text
        problems = [found for number, each in enumerate(given, start=1) for found in _problems(number, *each)]
        if problems:
            raise InvalidRows(problems)
        return self._log.record_outcomes([KnownOutcome(str(name), actual, at, by) for name, actual in given])  # type: ignore[arg-type]

    def purge(self, before: datetime, *, counts: bool = False) -> Purged:
        """Deletes rows that were answered before a moment, with their outcomes; `counts`: the hourly counts too."""
        self._service.authorise(Action.PURGE_LOG)
        if before > self._clock.now():
            raise InvalidInput(f"before: {iso(before)} has not come yet")
        return self._log.purge(before, counts=counts)

    def side_by_side(self, wanted: Selection) -> "SideBySide":
        """A version and its shadow on the same rows: those of the newest row that both answered, where none is named.

        Raises NotFound where there is no such row.
        """
        from pipeline.monitoring.side_by_side import SideBySide, agreement_of, flip_counts_of, flipped, paired_rows

        self._service.authorise(Action.READ_LOG)
        rows = self._both(wanted)
        newest = rows[0]
        assert newest.shadow is not None  # noqa: S101 (asked for)
        known = [each for each in rows if each.outcome is not None]
        agree, interval = agreement_of(rows, confidence=self._comparer.confidence)
        return SideBySide(
            model=wanted.model,
            version=newest.prediction.version,
            shadow=newest.shadow.version,
            alias=newest.shadow.alias,
            since=rows[-1].prediction.at,
            until=newest.prediction.at,
            n=len(rows),
            agree=agree,
            interval=interval,
            flips=flipped(rows),
            flip_counts=flip_counts_of(rows),
            outcomes=len(known),
            paired=self._paired(paired_rows(known)),
        )

    def _paired(self, pair: "tuple[Rows, Rows] | None") -> "Paired | None":
        """None also where `comparison` does not take the rows, such as classes beside numbers."""
        with suppress(InvalidInput):
            return None if pair is None else self._comparer.pair_rows(*pair)
        return None

    def _both(self, wanted: Selection) -> Sequence[StoredPrediction]:
        """The rows that the two versions of the newest one answered, by the digests of their files."""
        newest = self._log.predictions(replace(wanted, shadowed=True, most=1))
        if not newest or newest[0].shadow is None:
            raise NotFound(f"shadow: no row of {visible(wanted.model)} in the log was answered by a second version")
        version, shadow = newest[0].prediction.version, newest[0].shadow.version
        of_pair = replace(wanted, version=version, shadow_version=shadow, shadowed=True, most=MOST_COMPARED)
        digests = newest[0].prediction.digest, newest[0].shadow.digest
        found = self._log.predictions(of_pair)
        return [each for each in found if each.shadow and (each.prediction.digest, each.shadow.digest) == digests]


def _problems(number: int, name: object, actual: object) -> list[Problem]:
    found = []
    if not isinstance(name, str) or not UUID.fullmatch(name):
        found.append(("prediction_id", "is not the prediction_id of an answer"))
    if isinstance(actual, str):
        if not 0 < len(actual) <= MOST_CHARACTERS:
            found.append(("actual", f"must have 1 to {MOST_CHARACTERS} characters"))
    elif not isinstance(actual, bool | int | float) or not math.isfinite(actual):
        found.append(("actual", "must be text, a finite number or a truth value"))
    return [Problem(column, number, f"row {number}, {column}: {sentence}") for column, sentence in found]
