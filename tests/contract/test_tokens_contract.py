"""The ports Tokens and Names: what every place that keeps them must do, in memory and in SQL."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.ledger.sql import SqlLedger
from pipeline.governance.actor import Actor, Established, Person, Role
from pipeline.governance.ports import Ledger
from pipeline.governance.record.ledger import Event, EventType
from pipeline.governance.tokens import TokenRecord, secret_digest
from support.desks import TickingClock
from support.in_memory import EPOCH, InMemoryLedger

if TYPE_CHECKING:
    from support.postgres import PostgresServer

OWNER = Actor("g-1", Established.OIDC, issuer="https://login.example.org", groups=("a|b", "é \u202e"))
CI = TokenRecord("ci", secret_digest("one"), Role.REVIEWER, OWNER, EPOCH, EPOCH + timedelta(days=30), first=True)
ROBOT = replace(CI, name="a robot", sha256=secret_digest("two"), role=Role.VIEWER, first=False)


class OneRegistry:
    """A registry id that was chosen."""

    def __init__(self, name: str) -> None:
        self.name = name

    def known(self) -> str:
        return self.name

    def keep(self) -> str:
        return self.name


def sql_ledger(url: str, registry: str = "registry-1") -> SqlLedger:
    return SqlLedger(url, registry=OneRegistry(registry), clock=TickingClock())


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield InMemoryLedger()
    elif request.param == "sqlite":
        yield sql_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        opened = sql_ledger(server.url(schema=server.new_schema()))
        yield opened
        opened.close()


def keep(ledger: Ledger, *records: TokenRecord) -> None:
    with ledger.transaction() as transaction:
        for record in records:
            transaction.keep_token(record)


def test_what_is_kept_comes_back(ledger: Ledger) -> None:
    """Every field, by name, and by the hash of its secret; inside a transaction too."""
    assert ledger.tokens.all() == []
    assert ledger.tokens.find(CI.sha256) is None
    keep(ledger, CI, ROBOT)

    assert ledger.tokens.all() == [ROBOT, CI]
    assert ledger.tokens.find(CI.sha256) == CI
    assert ledger.tokens.find(secret_digest("three")) is None
    with ledger.transaction() as transaction:
        assert transaction.issued_tokens() == [ROBOT, CI]


def test_one_of_the_same_name_is_replaced(ledger: Ledger) -> None:
    """A revoked one, or one that takes its place: its secret finds nothing any more."""
    keep(ledger, CI)
    revoked = replace(CI, revoked_at=EPOCH + timedelta(seconds=1))
    keep(ledger, revoked)
    assert ledger.tokens.all() == [revoked]
    keep(ledger, replace(CI, sha256=secret_digest("another")))

    assert ledger.tokens.find(CI.sha256) is None
    assert [each.revoked_at for each in ledger.tokens.all()] == [None]


def test_the_last_use_is_kept(ledger: Ledger) -> None:
    """Beside the chain: it is no event."""
    keep(ledger, CI, ROBOT)
    ledger.tokens.used("ci", EPOCH + timedelta(hours=1))

    assert [each.last_used_at for each in ledger.tokens.all()] == [None, EPOCH + timedelta(hours=1)]
    assert ledger.count() == 0


def test_a_transaction_that_raises_keeps_no_token(ledger: Ledger) -> None:
    """Token and event are there together, or neither is."""

    def fail() -> None:
        with ledger.transaction() as transaction:
            transaction.keep_token(CI)
            transaction.append(Event(EventType.TOKEN_ISSUED, "", EPOCH))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (ledger.tokens.all(), ledger.count()) == ([], 0)


def test_a_name_is_kept_once_per_person(ledger: Ledger) -> None:
    """The last one, under a reference; it is no event."""
    assert ledger.names.all() == {}
    ledger.names.keep(OWNER.person, "Ada")
    ledger.names.keep(Person("https://other.example.org", "g-1"), "Ben")
    ledger.names.keep(OWNER.person, "Ada Lovelace \u202e")

    assert sorted(ledger.names.all().values()) == ["Ada Lovelace \u202e", "Ben"]
    assert ledger.names.all()[OWNER.person.reference] == "Ada Lovelace \u202e"
    assert ledger.count() == 0


def test_an_event_about_a_token_names_no_model(ledger: Ledger) -> None:
    """It is part of the chain and of nobody's history of a model."""
    with ledger.transaction() as transaction:
        transaction.append(Event(EventType.TOKEN_ISSUED, "", EPOCH))
        transaction.append(Event(EventType.DENIED, "m", EPOCH))

    assert (ledger.models(), ledger.count(), ledger.problems()) == (["m"], 2, [])


def test_another_registry_has_tokens_of_its_own(tmp_path: Path) -> None:
    """Of two registries in one ledger; the same name may be in both."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    keep(sql_ledger(url), CI)
    other = sql_ledger(url, "registry-2")
    keep(other, replace(CI, sha256=secret_digest("other")))

    assert other.tokens.find(CI.sha256) is None
    assert [each.sha256 for each in other.tokens.all()] == [secret_digest("other")]
