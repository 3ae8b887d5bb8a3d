"""The log of predictions in SQL tables of its own, through SQLAlchemy Core, on SQLite or PostgreSQL.

It is opened as the ledger's database is (see adapters.ledger.database): readers see one snapshot and write nothing,
writers take one lock first. The tables are made by the first write.
"""

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from itertools import chain
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's too
from sqlalchemy.sql.compiler import SQLCompiler

from pipeline.adapters.ledger.database import open_database
from pipeline.adapters.ledger.tables import table_names
from pipeline.adapters.prediction_log.tables import (
    BLOCKS,
    COUNTS,
    METADATA,
    OUTCOMES,
    PREDICTIONS,
    REVISION,
    SHADOWS,
    VERSION,
    block_of,
    count_of,
    count_rows,
    outcome_row,
    prediction_row,
    shadow_row,
    stored_prediction,
    to_json,
    translated,
)
from pipeline.governance.errors import Unavailable
from pipeline.governance.record.ledger import iso
from pipeline.monitoring.prediction_log import (
    MOST_ROWS_COUNTED,
    MOST_WAITING,
    Block,
    HourlyCount,
    KnownOutcome,
    LogBatch,
    OutcomesTold,
    Purged,
    RowsKept,
    Selection,
    StoredPrediction,
)

SETTING = "SIGNOFF_LOG_URL"
BUSY_SECONDS = 5
PURGED_AT_ONCE = 5_000  # rows of one transaction: others write between two
ASKED_AT_ONCE = 1_000  # ids of one statement
COMPILED_INSERTS = 16  # three of each database
INSERTED_AT_ONCE = 200  # rows of one statement: SQLite takes at most 32,766 values
ONE_ROW = re.compile(r"(\((?:\?, )*\?\))")  # what a compiled statement has for the values of one
OF_BLOCK = BLOCKS.c.id == sa.bindparam("of_block")
ADD_COUNT = insert(COUNTS)
ADD_COUNT = ADD_COUNT.on_conflict_do_update(
    index_elements=list(COUNTS.primary_key.columns), set_={"n": COUNTS.c.n + ADD_COUNT.excluded.n}
)
ADD_PREDICTION = PREDICTIONS.insert()
KEEP_SHADOW = insert(SHADOWS).on_conflict_do_nothing()
KEEP_OUTCOME = insert(OUTCOMES)
KEEP_OUTCOME = KEEP_OUTCOME.on_conflict_do_update(
    index_elements=[OUTCOMES.c.prediction_id],
    set_={name: KEEP_OUTCOME.excluded[name] for name in ("at", "actual", "by")},
)
ROWS = sa.select(
    PREDICTIONS,
    *(column.label(f"shadow_{column.name}") for column in SHADOWS.c if not column.primary_key),
    *(column.label(f"outcome_{column.name}") for column in OUTCOMES.c if not column.primary_key),
).select_from(
    PREDICTIONS.outerjoin(SHADOWS, SHADOWS.c.prediction_id == PREDICTIONS.c.prediction_id).outerjoin(
        OUTCOMES, OUTCOMES.c.prediction_id == PREDICTIONS.c.prediction_id
    )
)


class SqlPredictionLog:
    """Implements PredictionLog."""

    def __init__(self, url: str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        """Opens nothing yet. Raises InvalidInput for a database that is neither SQLite nor PostgreSQL."""
        self._database = open_database(url, busy_seconds=busy_seconds, setting=SETTING)
        self._busy_seconds = busy_seconds

    @property
    def place(self) -> str:
        return self._database.place

    def close(self) -> None:
        """Closes the connections that wait for the next use; a later one opens its own."""
        self._database.reading.dispose()
        self._database.writing.dispose()

    def open_block(self, *, process: str, model: str, at: datetime) -> str:
        block = {
            "id": uuid.uuid4().hex,
            "process": process,
            "model": model,
            "opened_at": iso(at),
            "written_at": iso(at),
        }
        with self._write() as connection:
            empty = {"batches": 0, "written": 0, "reserved": MOST_WAITING, "lost": 0}
            connection.execute(BLOCKS.insert(), {**block, **empty})
        return block["id"]

    def write(self, block: str, batch: LogBatch, *, close: bool = False) -> None:
        with self._write() as connection:
            found = connection.execute(BLOCKS.select().where(OF_BLOCK), {"of_block": block}).first()
            if found is None:
                raise Unavailable(f"the log of predictions has no block {block}: somebody has deleted it")
            if found.batches >= batch.number:
                if close and found.closed_at is None:  # it was written, and nobody heard so: what is new is the end
                    end = {"reserved": found.written, "written_at": iso(batch.at), "closed_at": iso(batch.at)}
                    connection.execute(BLOCKS.update().where(OF_BLOCK), {"of_block": block, **end})
                return
            self._add(connection, batch)
            written = found.written + batch.answered
            moved = {
                "written": written,
                "reserved": written if close else written + MOST_WAITING,
                "batches": batch.number,
                "lost": batch.lost,
                "written_at": iso(batch.at),
                "closed_at": iso(batch.at) if close else None,
            }
            connection.execute(BLOCKS.update().where(OF_BLOCK), {"of_block": block, **moved})

    def blocks(self, model: str | None = None) -> list[Block]:
        wanted = BLOCKS.select().order_by(BLOCKS.c.opened_at.desc(), BLOCKS.c.id)
        if model is not None:
            wanted = wanted.where(BLOCKS.c.model == model)
        return [block_of(row) for row in self._rows(wanted)]

    def predictions(self, wanted: Selection) -> list[StoredPrediction]:
        found = ROWS.where(PREDICTIONS.c.model == wanted.model, *_period(PREDICTIONS.c.at, wanted.since, wanted.until))
        if wanted.version is not None:
            found = found.where(PREDICTIONS.c.version == wanted.version)
        if wanted.with_outcome:
            found = found.where(OUTCOMES.c.prediction_id.is_not(None))
        if wanted.shadowed:
            found = found.where(SHADOWS.c.prediction_id.is_not(None))
        if wanted.shadow_version is not None:
            found = found.where(SHADOWS.c.version == wanted.shadow_version)
        newest_first = found.order_by(PREDICTIONS.c.at.desc(), PREDICTIONS.c.prediction_id.desc())
        return [stored_prediction(row) for row in self._rows(newest_first.limit(wanted.most))]

    def rows_kept(self, model: str | None = None, *, most: int = MOST_ROWS_COUNTED) -> RowsKept:
        of_model = () if model is None else (PREDICTIONS.c.model == model,)
        some = sa.select(PREDICTIONS.c.prediction_id).where(*of_model).limit(most + 1).subquery()
        oldest = sa.select(sa.func.min(PREDICTIONS.c.at)).where(*of_model).scalar_subquery()
        for row in self._rows(sa.select(sa.func.count().label("n"), oldest.label("oldest")).select_from(some)):
            at = None if row.oldest is None else datetime.fromisoformat(row.oldest)
            return RowsKept(min(row.n, most), at, row.n > most)
        return RowsKept()

    def counts(
        self, model: str, *, since: datetime | None = None, until: datetime | None = None, version: int | None = None
    ) -> list[HourlyCount]:
        wanted = COUNTS.select().where(COUNTS.c.model == model, *_period(COUNTS.c.hour, since, until))
        if version is not None:
            wanted = wanted.where(COUNTS.c.version == version)
        return [count_of(row) for row in self._rows(wanted.order_by(*COUNTS.primary_key.columns))]

    def record_outcomes(self, outcomes: Sequence[KnownOutcome]) -> OutcomesTold:
        last = {each.prediction_id: each for each in outcomes}
        with self._write() as connection:
            known = _known_outcomes(connection, list(last))
            there = [each for name, each in last.items() if name in known]
            changed = [each for each in there if known[each.prediction_id] != to_json(each.actual)]
            if changed:
                connection.execute(KEEP_OUTCOME, [outcome_row(each) for each in changed])
        new = sum(known[each.prediction_id] is None for each in changed)
        return OutcomesTold(
            recorded=new,
            corrected=len(changed) - new,
            unchanged=len(there) - len(changed),
            unknown=tuple(name for name in last if name not in known),
        )

    def purge(self, before: datetime, *, counts: bool = False) -> Purged:
        predictions = 0
        while there := self._purge_rows(before):
            predictions += there
        while self._purge_shadows(before):
            pass
        with self._write() as connection:
            old = connection.execute(COUNTS.delete().where(COUNTS.c.hour < iso(before))).rowcount if counts else 0
        return Purged(predictions, old, self._purge_blocks(before))

    def purge_some(self, before: datetime) -> int:
        return self._purge_rows(before) or self._purge_shadows(before) or self._purge_blocks(before)

    def _purge_rows(self, before: datetime) -> int:
        """Deletes some of the rows and what came to them; gives how many, 0 when there are none."""
        order = (PREDICTIONS.c.at, PREDICTIONS.c.prediction_id)
        with self._write() as connection:
            oldest = sa.select(PREDICTIONS.c.prediction_id).where(PREDICTIONS.c.at < iso(before)).order_by(*order)
            ids = list(connection.scalars(oldest.limit(PURGED_AT_ONCE)))
            for table in (OUTCOMES, SHADOWS, PREDICTIONS):
                connection.execute(table.delete().where(table.c.prediction_id.in_(ids)))
            return len(ids)

    def _purge_shadows(self, before: datetime) -> int:
        """Deletes some of the answers of a shadow to rows that never came into the log; gives how many.

        An answer is younger than its row: what is old here has no row any more. Ids are in the order of time, so it is
        among the first, and the rest of the table is not read.
        """
        first = (
            sa.select(SHADOWS.c.prediction_id, SHADOWS.c.at)
            .order_by(SHADOWS.c.prediction_id)
            .limit(PURGED_AT_ONCE)
            .subquery()
        )
        old = sa.select(first.c.prediction_id).where(first.c.at < iso(before))
        ids = [row.prediction_id for row in self._rows(old)]
        if ids:
            with self._write() as connection:
                connection.execute(SHADOWS.delete().where(SHADOWS.c.prediction_id.in_(ids)))
        return len(ids)

    def _purge_blocks(self, before: datetime) -> int:
        with self._write() as connection:
            return connection.execute(BLOCKS.delete().where(BLOCKS.c.closed_at < iso(before))).rowcount

    def _add(self, connection: sa.Connection, batch: LogBatch) -> None:
        if batch.predictions:
            _insert(connection, ADD_PREDICTION, [prediction_row(each) for each in batch.predictions])
        if batch.shadows:
            _insert(connection, KEEP_SHADOW, [shadow_row(each) for each in batch.shadows])
        if batch.counts:
            _insert(connection, ADD_COUNT, count_rows(batch.counts))

    def _rows(self, wanted: sa.Select[Any]) -> list[sa.Row[Any]]:
        """The rows of a query; none where there is no log yet."""
        with translated(self._busy_seconds):
            if not self._database.may_exist():
                return []
            with self._database.reading.begin() as connection:
                if not _is_there(connection):
                    return []
                return list(connection.execute(wanted))

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock, on tables that are there."""
        with translated(self._busy_seconds), self._database.writing.begin() as connection:
            if not _is_there(connection):
                METADATA.create_all(connection)
                connection.execute(VERSION.insert(), {"version_num": REVISION})
            yield connection


@lru_cache(COMPILED_INSERTS)
def _compiled(into: sa.Insert, dialect: sa.Dialect) -> SQLCompiler:
    return into.compile(dialect=dialect)


def _insert(connection: sa.Connection, into: sa.Insert, rows: list[tuple[Any, ...]]) -> None:
    """Rows in the order of the table's columns, given to the driver as they are: a third of the time of `execute`.

    SQLite gets many in one statement. Row by row its driver would let go of the interpreter's lock and want it again
    each time, and whoever answers meanwhile would be interrupted as often.
    """
    statement, names = _compiled(into, connection.dialect), into.table.columns.keys()
    if not statement.positional:
        connection.exec_driver_sql(str(statement), [dict(zip(names, row, strict=True)) for row in rows])
        return
    head, values, tail = ONE_ROW.split(str(statement))
    for first in range(0, len(rows), INSERTED_AT_ONCE):
        some = rows[first : first + INSERTED_AT_ONCE]
        connection.exec_driver_sql(f"{head}{', '.join([values] * len(some))}{tail}", tuple(chain.from_iterable(some)))


def _is_there(connection: sa.Connection) -> bool:
    """Whether there is a log. Raises Unavailable for tables of a later version of Signoff."""
    if VERSION.name not in table_names(connection):
        return False
    if (revision := connection.scalar(sa.select(VERSION.c.version_num))) != REVISION:
        raise Unavailable(
            f"the log of predictions: its tables have the revision {revision!r}, which this version of Signoff does "
            "not know; upgrade Signoff"
        )
    return True


def _period(column: sa.Column[str], since: datetime | None, until: datetime | None) -> Iterator[sa.ColumnElement[bool]]:
    if since is not None:
        yield column >= iso(since)
    if until is not None:
        yield column < iso(until)


def _known_outcomes(connection: sa.Connection, ids: Sequence[str]) -> dict[str, str | None]:
    """By id of those predictions that are in the log: the outcome as JSON, None where none is known."""
    found: dict[str, str | None] = {}
    both = PREDICTIONS.outerjoin(OUTCOMES, OUTCOMES.c.prediction_id == PREDICTIONS.c.prediction_id)
    wanted = sa.select(PREDICTIONS.c.prediction_id, OUTCOMES.c.actual).select_from(both)
    for first in range(0, len(ids), ASKED_AT_ONCE):
        some = wanted.where(PREDICTIONS.c.prediction_id.in_(ids[first : first + ASKED_AT_ONCE]))
        found.update({row.prediction_id: row.actual for row in connection.execute(some)})
    return found
