"""Identity tokens: who acts on a command line or over HTTP, as a secret that is kept as its hash alone."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import InvalidInput
from pipeline.governance.record.ledger import iso
from pipeline.governance.text import visible

PREFIX = "signoff_"
MOST_DAYS = 366
MOST_NAME_CHARACTERS = 100
MOST_TOKEN_CHARACTERS = 200
USE_KEPT_EVERY = timedelta(minutes=1)  # a last use is written at most so often
FIRST_SHOWN = timedelta(days=7)  # for how long a first token is something to look at
# Who vouches for whoever made the first token: the machine, where nobody could log in yet.
FIRST_ISSUER = "bootstrap"
NOT_ACCEPTED = "actor: the token is not accepted"  # whatever is wrong with it: nothing that helps guessing


class TokenState(StrEnum):
    """Whether a token is still good."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True)
class TokenRecord:
    """A token as the desk keeps it: everything but the secret."""

    name: str
    sha256: str  # of the secret, which has 256 bits of chance: no slow hash is needed
    role: Role
    owner: Actor  # whoever made it, as established then; without a display name
    issued_at: datetime
    expires_at: datetime
    first: bool = False  # whether it was made before anybody could log in
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def state(self, now: datetime) -> TokenState:
        if self.revoked_at is not None:
            return TokenState.REVOKED
        return TokenState.ACTIVE if now < self.expires_at else TokenState.EXPIRED

    @property
    def told(self) -> str:
        """As a sentence, for people who did not make it."""
        made, ends = (f"{time.astimezone(UTC):%Y-%m-%d %H:%M} UTC" for time in (self.issued_at, self.expires_at))
        what = f"the token {visible(self.name)} ({self.role.value})"
        return (
            f"{visible(self.owner.subject)} made {what} at the desk's machine on {made}, before anybody could log in. "
            f"It is good until {ends}, unless somebody revokes it."
        )

    def as_json(self, now: datetime) -> dict[str, Any]:
        return {
            "name": self.name,
            "role": self.role.value,
            "owner": self.owner.person.text,
            "issued_at": iso(self.issued_at),
            "expires_at": iso(self.expires_at),
            "last_used_at": None if self.last_used_at is None else iso(self.last_used_at),
            "state": self.state(now).value,
            "first": self.first,
        }


class Tokens(Protocol):
    """The tokens of one registry's desk, beside its chain; LedgerTransaction adds and revokes them.

    Reading finds none where there is no ledger. Every method may raise Unavailable.
    """

    def all(self) -> list[TokenRecord]:
        """By name, also those that are expired or revoked."""

    def find(self, sha256: str) -> TokenRecord | None:
        """The token whose secret has this hash."""

    def used(self, name: str, at: datetime) -> None:
        """Keep when a token was last used: no event, and no reason to fail. May raise LedgerBusy."""


def secret_digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def identity_token(authorization: bytes | None) -> str | None:
    """The identity token in the value of an Authorization header; None for anything else, such as the shared secret."""
    scheme, _, secret = (authorization or b"").partition(b" ")
    text = secret.strip().decode("latin-1")
    fits = text.startswith(PREFIX) and text.isascii() and len(text) <= MOST_TOKEN_CHARACTERS
    return text if fits and scheme.lower() == b"bearer" else None


def token_owner(maker: Actor, *, first: bool) -> Actor:
    """For whom a token acts: whoever makes it, and for a token that makes one, its owner.

    Of a first token it is the login name as the machine gives it, which the policy cannot mistake for anybody else.
    """
    if first:
        return Actor(maker.subject, Established.SELF_DECLARED, issuer=FIRST_ISSUER)
    source = maker.itself
    return Actor(source.subject, source.established, issuer=source.issuer, groups=source.groups)


def role_of_first(owner: Actor, tokens: Iterable[TokenRecord], now: datetime) -> Role | None:
    """What whoever made the first token may do without being listed: as that token does, as long as it is good."""
    if owner.issuer != FIRST_ISSUER:
        return None
    good = (each for each in tokens if each.first and each.state(now) is TokenState.ACTIVE)
    return next((each.role for each in good if each.owner.person == owner.person), None)


def check_name(name: str) -> str:
    """A name as it may stand in a settings file and on a line. Raises InvalidInput."""
    if not name or len(name) > MOST_NAME_CHARACTERS or not name.isprintable() or name != name.strip():
        raise InvalidInput(f"token: a name has 1 to {MOST_NAME_CHARACTERS} printable characters; got {name!r}")
    return name


def check_days(days: int) -> timedelta:
    """Raises InvalidInput."""
    if not 1 <= days <= MOST_DAYS:
        raise InvalidInput(f"days: a token is good for 1 to {MOST_DAYS} days; got {days}")
    return timedelta(days=days)


def parse_role(name: str) -> Role:
    """Raises InvalidInput."""
    try:
        return Role(name)
    except ValueError as error:
        raise InvalidInput(f"role: there is none called {name!r}; there are {', '.join(Role)}") from error
