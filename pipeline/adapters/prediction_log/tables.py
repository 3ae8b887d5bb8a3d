"""The tables of the log of predictions, and their rows as values.

Times are text in ISO 8601 and UTC, of one width, so that they sort alike in SQLite and PostgreSQL. What comes from
callers and models is JSON in ASCII, which every database takes: PostgreSQL has no text with a NUL in it.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import orjson
import sqlalchemy as sa

from pipeline.adapters.ledger.tables import is_locked, one_line
from pipeline.governance.errors import InvalidInput, Unavailable
from pipeline.governance.record.ledger import iso
from pipeline.monitoring.prediction_log import (
    Block,
    CountKey,
    CountKind,
    Door,
    HourlyCount,
    KnownOutcome,
    LoggedPrediction,
    ShadowAnswer,
    StoredPrediction,
)

REVISION = "0001"
LONG_ISO = len('"2026-01-31T12:00:00.000001Z"')  # in JSON
ID, TIME, DIGEST = 36, 32, 64  # characters of a UUID, a time, a sha256
METADATA = sa.MetaData()
VERSION = sa.Table("prediction_log_version", METADATA, sa.Column("version_num", sa.String(32), primary_key=True))
BLOCKS = sa.Table(
    "prediction_block",
    METADATA,
    sa.Column("id", sa.String(ID), primary_key=True),
    sa.Column("process", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("opened_at", sa.String(TIME), nullable=False),
    sa.Column("written_at", sa.String(TIME), nullable=False),
    sa.Column("closed_at", sa.String(TIME)),
    sa.Column("batches", sa.BigInteger, nullable=False),
    sa.Column("written", sa.BigInteger, nullable=False),
    sa.Column("reserved", sa.BigInteger, nullable=False),
    sa.Column("lost", sa.BigInteger, nullable=False),
    sa.Index("prediction_block_of_model", "model", "opened_at"),
)
PREDICTIONS = sa.Table(
    "prediction",
    METADATA,
    sa.Column("prediction_id", sa.String(ID), primary_key=True),
    sa.Column("at", sa.String(TIME), nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(DIGEST), nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("door", sa.String(8), nullable=False),
    sa.Column("prediction", sa.Text, nullable=False),
    sa.Column("confidence", sa.Float),
    sa.Column("probabilities", sa.Text, nullable=False),
    sa.Column("clear", sa.Text, nullable=False),
    sa.Column("keyed", sa.Text, nullable=False),
    sa.Column("warnings", sa.Integer, nullable=False),
    sa.Column("milliseconds", sa.Float),
    sa.Index("prediction_of_model", "model", "at", "prediction_id"),
    sa.Index("prediction_at", "at", "prediction_id"),
)
SHADOWS = sa.Table(
    "prediction_shadow",
    METADATA,
    sa.Column("prediction_id", sa.String(ID), primary_key=True),
    sa.Column("at", sa.String(TIME), nullable=False),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("digest", sa.String(DIGEST), nullable=False),
    sa.Column("prediction", sa.Text, nullable=False),
    sa.Column("confidence", sa.Float),
    sa.Column("probabilities", sa.Text, nullable=False),
)
OUTCOMES = sa.Table(
    "prediction_outcome",
    METADATA,
    sa.Column("prediction_id", sa.String(ID), primary_key=True),
    sa.Column("at", sa.String(TIME), nullable=False),
    sa.Column("actual", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
)
COUNTS = sa.Table(
    "prediction_count",
    METADATA,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("hour", sa.String(TIME), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("digest", sa.String(DIGEST), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("bin", sa.Text, primary_key=True),
    sa.Column("n", sa.BigInteger, nullable=False),
)


# Text without an encoding, what is no JSON, such as NaN, numbers beyond 64 bits, and what PostgreSQL refuses: data such
# as a NUL, data that violate a constraint, and keys that are too long for an index.
TAKEN_NEVER = (sa.exc.DataError, sa.exc.IntegrityError, ValueError, OverflowError)
TAKEN_NEVER_STATES = ("22", "23", "54")


@contextmanager
def translated(busy_seconds: float) -> Iterator[None]:
    """The database's errors in our words, without its SQL."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError, ValueError, OverflowError) as error:
        why = getattr(error, "orig", None) or type(error).__name__
        if isinstance(error, TAKEN_NEVER) or (getattr(why, "sqlstate", None) or "").startswith(TAKEN_NEVER_STATES):
            raise InvalidInput(f"the log of predictions does not take a value: {one_line(why)}") from error
        if is_locked(why):
            raise Unavailable(f"the log of predictions stayed locked for {busy_seconds:g} s; try again") from error
        raise Unavailable(f"the log of predictions cannot be used: {one_line(why)}") from error


to_json = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode  # json.dumps would make one for each value


def fast_json(value: object) -> str:
    """As to_json, for what is written for every answer: a tenth of the time, where all of it is ASCII."""
    try:
        text = orjson.dumps(value)
    except TypeError:  # such as a whole number beyond 64 bits
        return to_json(value)
    return text.decode() if text.isascii() else to_json(value)


def fast_iso(moment: datetime) -> str:
    """As iso, a few times as fast; orjson leaves fractions out that are zero."""
    text = orjson.dumps(moment, option=orjson.OPT_UTC_Z)
    return text[1:-1].decode() if len(text) == LONG_ISO else iso(moment)


def prediction_row(found: LoggedPrediction) -> tuple[Any, ...]:
    """The values in the order of the columns of `prediction`."""
    prediction_id, at, *about, door, prediction, confidence, chances, clear, keyed, warnings, ms = found
    return (
        prediction_id,
        fast_iso(at),
        *about,
        door.value,
        fast_json(prediction),
        confidence,
        fast_json(chances) if chances else "{}",
        fast_json(clear) if clear else "{}",
        fast_json(keyed) if keyed else "{}",
        warnings,
        ms,
    )


def shadow_row(found: ShadowAnswer) -> tuple[Any, ...]:
    """The values in the order of the columns of `prediction_shadow`."""
    about = (found.prediction_id, iso(found.at), found.alias, found.version, found.digest)
    return (*about, to_json(found.prediction), found.confidence, to_json(found.probabilities))


def outcome_row(found: KnownOutcome) -> dict[str, Any]:
    return {
        "prediction_id": found.prediction_id,
        "at": iso(found.at),
        "actual": to_json(found.actual),
        "by": found.by,
    }


def count_rows(counts: Mapping[CountKey, int]) -> list[tuple[Any, ...]]:
    """The values in the order of the columns of `prediction_count`.

    In one order, so that two processes which count the same do not wait for each other in a circle.
    """
    texts = {hour: iso(hour) for hour in {key.hour for key in counts}}
    return sorted(
        (model, texts[hour], *about, kind.value, name, label, n)
        for (hour, model, *about, kind, name, label), n in counts.items()
    )


def block_of(row: sa.Row[Any]) -> Block:
    return Block(
        id=row.id,
        process=row.process,
        model=row.model,
        opened_at=datetime.fromisoformat(row.opened_at),
        written_at=datetime.fromisoformat(row.written_at),
        closed_at=None if row.closed_at is None else datetime.fromisoformat(row.closed_at),
        written=row.written,
        reserved=row.reserved,
        lost=row.lost,
    )


def count_of(row: sa.Row[Any]) -> HourlyCount:
    hour, kind = datetime.fromisoformat(row.hour), CountKind(row.kind)
    return HourlyCount(CountKey(hour, row.model, row.version, row.digest, kind, row.name, row.bin), row.n)


def stored_prediction(row: sa.Row[Any]) -> StoredPrediction:
    """From a row of `prediction` with the columns of the other two behind it, prefixed `shadow_` and `outcome_`."""
    found = LoggedPrediction(
        prediction_id=row.prediction_id,
        at=datetime.fromisoformat(row.at),
        model=row.model,
        version=row.version,
        digest=row.digest,
        alias=row.alias,
        door=Door(row.door),
        prediction=json.loads(row.prediction),
        confidence=row.confidence,
        probabilities=json.loads(row.probabilities),
        clear=json.loads(row.clear),
        keyed=json.loads(row.keyed),
        warnings=row.warnings,
        milliseconds=row.milliseconds,
    )
    return StoredPrediction(found, _shadow_of(row), _outcome_of(row))


def _shadow_of(row: sa.Row[Any]) -> ShadowAnswer | None:
    if row.shadow_at is None:
        return None
    return ShadowAnswer(
        prediction_id=row.prediction_id,
        at=datetime.fromisoformat(row.shadow_at),
        alias=row.shadow_alias,
        version=row.shadow_version,
        digest=row.shadow_digest,
        prediction=json.loads(row.shadow_prediction),
        confidence=row.shadow_confidence,
        probabilities=json.loads(row.shadow_probabilities),
    )


def _outcome_of(row: sa.Row[Any]) -> KnownOutcome | None:
    if row.outcome_at is None:
        return None
    actual, at = json.loads(row.outcome_actual), datetime.fromisoformat(row.outcome_at)
    return KnownOutcome(row.prediction_id, actual, at, row.outcome_by)
