"""Identity tokens, as hashes, and what people are called: in tables of their own beside the chain."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert  # its ON CONFLICT is SQLite's too

from pipeline.adapters.ledger.tables import METADATA, moment
from pipeline.governance.actor import Actor, Established, Person, Role
from pipeline.governance.errors import Unavailable
from pipeline.governance.record.ledger import iso
from pipeline.governance.tokens import TokenRecord

TOKENS = sa.Table(
    "ledger_token",
    METADATA,
    sa.Column("registry", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False, unique=True),
    sa.Column("role", sa.String(20), nullable=False),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("established", sa.String(20), nullable=False),
    sa.Column("owner_groups", sa.Text, nullable=False),
    sa.Column("is_first", sa.Boolean, nullable=False),
    sa.Column("issued_at", sa.String(32), nullable=False),
    sa.Column("expires_at", sa.String(32), nullable=False),
    sa.Column("revoked_at", sa.String(32)),
    sa.Column("last_used_at", sa.String(32)),
)
PEOPLE = sa.Table(
    "ledger_person",
    METADATA,
    sa.Column("reference", sa.String(16), primary_key=True),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("display_name", sa.Text, nullable=False),
)
TOKENS_SINCE, NAMES_SINCE = "0005", "0006"  # the revisions that made the tables: later ones have them too
OF_NAME = sa.and_(TOKENS.c.registry == sa.bindparam("of_registry"), TOKENS.c.name == sa.bindparam("of_name"))
TIMES = ("issued_at", "expires_at", "revoked_at", "last_used_at")


class OpenForReading(Protocol):
    """What is needed of an open ledger."""

    @property
    def connection(self) -> sa.Connection:
        """A connection that reads one snapshot."""

    @property
    def revision(self) -> str:
        """Of the tables."""


class SqlNames:
    """What people are called, of all registries of the ledger; implements the port Names."""

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[OpenForReading]],
        write: Callable[[], AbstractContextManager[sa.Connection]],
    ) -> None:
        """read, write: open the ledger."""
        self._read, self._write = read, write

    def all(self) -> dict[str, str]:
        with self._read() as opened:
            rows = opened.connection.execute(sa.select(PEOPLE)).all() if opened.revision >= NAMES_SINCE else []
        return {str(row.reference): str(row.display_name) for row in rows}

    def keep(self, person: Person, name: str) -> None:
        row = {"reference": person.reference, "issuer": person.issuer, "subject": person.subject, "display_name": name}
        new = insert(PEOPLE)
        again = new.on_conflict_do_update(
            index_elements=["reference"], set_={"display_name": new.excluded.display_name}
        )
        with self._write() as connection:
            connection.execute(again, row)


class SqlTokens:
    """The tokens of one registry; implements the port Tokens."""

    def __init__(
        self,
        read: Callable[[], AbstractContextManager[OpenForReading]],
        write: Callable[[], AbstractContextManager[sa.Connection]],
        registry: Callable[[], str],
    ) -> None:
        """read, write: open the ledger. registry: the id of the registry, empty where it has none yet."""
        self._read, self._write, self._registry = read, write, registry

    def all(self) -> list[TokenRecord]:
        with self._read() as opened:
            return tokens_of(opened.connection, self._registry()) if opened.revision >= TOKENS_SINCE else []

    def find(self, sha256: str) -> TokenRecord | None:
        wanted = sa.select(TOKENS).where(TOKENS.c.sha256 == sha256, TOKENS.c.registry == self._registry())
        with self._read() as opened:
            row = opened.connection.execute(wanted).first() if opened.revision >= TOKENS_SINCE else None
        return None if row is None else _record(row)

    def used(self, name: str, at: datetime) -> None:
        with self._write() as connection:
            key = {"of_registry": self._registry(), "of_name": name}
            connection.execute(TOKENS.update().where(OF_NAME).values(last_used_at=iso(at)), key)


def tokens_of(connection: sa.Connection, registry: str) -> list[TokenRecord]:
    """By name."""
    wanted = sa.select(TOKENS).where(TOKENS.c.registry == registry)
    return sorted(map(_record, connection.execute(wanted)), key=lambda each: each.name)


def put_token(connection: sa.Connection, registry: str, record: TokenRecord) -> None:
    """In place of one of the same name."""
    connection.execute(TOKENS.delete().where(OF_NAME), {"of_registry": registry, "of_name": record.name})
    times = {name: getattr(record, name) for name in TIMES}
    row = {
        "registry": registry,
        "name": record.name,
        "sha256": record.sha256,
        "role": record.role.value,
        "issuer": record.owner.issuer,
        "subject": record.owner.subject,
        "established": record.owner.established.value,
        "owner_groups": json.dumps(record.owner.groups),
        "is_first": record.first,
        **{name: None if time is None else iso(time) for name, time in times.items()},
    }
    connection.execute(TOKENS.insert(), row)


def _record(row: sa.Row[Any]) -> TokenRecord:
    """Raises Unavailable for a row that was not written by us: whoever it is about is nobody then."""
    issued_at, expires_at = (moment(each, "token") for each in (row.issued_at, row.expires_at))
    revoked_at, last_used_at = (
        None if each is None else moment(each, "token") for each in (row.revoked_at, row.last_used_at)
    )
    try:
        groups = tuple(map(str, json.loads(row.owner_groups)))
        owner = Actor(row.subject, Established(row.established), issuer=row.issuer, groups=groups)
        role = Role(row.role)
    except (ValueError, TypeError) as error:
        raise Unavailable("the ledger's token cannot be read; revoke it and make another one") from error
    return TokenRecord(
        row.name,
        row.sha256,
        role,
        owner,
        issued_at,
        expires_at,
        first=bool(row.is_first),
        revoked_at=revoked_at,
        last_used_at=last_used_at,
    )
