"""The service's part about who people are: identity tokens, and what people are called."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NoReturn

from pipeline.governance.actor import Actor, Established, Role, UsedToken, actor_json, kept_name
from pipeline.governance.errors import LedgerBusy, NotAllowed, NotFound, Refused, Unavailable
from pipeline.governance.policy import LivePolicy
from pipeline.governance.ports import Clock, Ledger
from pipeline.governance.record.ledger import Event, EventType
from pipeline.governance.roles import Action, at_most
from pipeline.governance.rules.repeats import record_refusal
from pipeline.governance.tokens import (
    FIRST_SHOWN,
    NOT_ACCEPTED,
    PREFIX,
    USE_KEPT_EVERY,
    TokenRecord,
    TokenState,
    check_days,
    check_end,
    check_name,
    role_of_first,
    secret_digest,
    token_owner,
)

MEANINGS = {EventType.TOKEN_ISSUED: "issue_token", EventType.TOKEN_REVOKED: "revoke_token"}


@dataclass(frozen=True)
class IssuedToken:
    """A token that was just made."""

    secret: str  # shown once and kept nowhere
    record: TokenRecord


class TokenDesk:
    """Tokens of the desk, for whoever asks."""

    actor: Actor

    def __init__(self, ledger: Ledger, *, policies: LivePolicy, clock: Clock, new_secret: Callable[[], str]) -> None:
        """new_secret: at least 256 bits of chance as text."""
        self._policies, self._token_clock, self._new_secret = policies, clock, new_secret
        self._token_ledger = ledger

    def authenticate(self, secret: str, *, loopback: bool = False) -> Actor:
        """Who comes with a token. Raises NotAllowed, with one and the same sentence, for one that is not good.

        When it was last used is kept at most once a minute, and is no reason to refuse it where that cannot be written.
        """
        now = self._token_clock.now()
        found = self._token_ledger.tokens.find(secret_digest(secret)) if secret.startswith(PREFIX) else None
        if found is None or found.state(now) is not TokenState.ACTIVE:
            raise NotAllowed(NOT_ACCEPTED)
        if found.last_used_at is None or now - found.last_used_at >= USE_KEPT_EVERY:
            with suppress(LedgerBusy, Unavailable):
                self._token_ledger.tokens.used(found.name, now)
        owner_role = role_of_first(found.owner, self._token_ledger.tokens.all(), now)
        return Actor.by_token(UsedToken(found.name, found.role, found.owner, owner_role), loopback=loopback)

    def issue_token(self, name: str, role: Role, days: int, *, first: bool = False) -> IssuedToken:
        """Make a token that acts for whoever asks, with at most what they may; its secret is in the answer alone.

        first: before anybody can log in, at this machine, while none was ever made. Raises InvalidInput for a name or
        number of days that cannot be, NotAllowed for a role that one does not have, and for who comes with a token for
        more days than that one has left; Refused for a name that is taken.
        """
        lasting, now, secret = check_days(days), self._token_clock.now(), PREFIX + self._new_secret()
        owner = token_owner(self.actor, first=first)
        record = TokenRecord(check_name(name), secret_digest(secret), role, owner, now, now + lasting, first)
        try:
            self._check_maker(role, first=first)
            with self._token_ledger.transaction() as transaction:
                there = transaction.issued_tokens()
                self._check_free(name, there, now, first=first)
                if self.actor.token:
                    record = replace(record, expires_at=check_end(days, self.actor.token.name, there, now=now))
                transaction.keep_token(record)
                transaction.append(self._token_event(EventType.TOKEN_ISSUED, record, now))
        except Refused as error:
            self._deny_token(EventType.TOKEN_ISSUED, name, error)
        return IssuedToken(secret, record)

    def _check_maker(self, role: Role, *, first: bool) -> None:
        policy = self._policies.now()
        policy.check_signer(self.actor)
        if first:
            if self.actor.established is not Established.SELF_DECLARED:
                raise NotAllowed("token: the first one is made by a person at this machine, not by a token or a login")
            return
        policy.check(self.actor, Action.OWN_TOKENS)
        own = policy.roles_of(self.actor)
        if not at_most(role, own):
            raise NotAllowed(f"token: its role is at most one's own ({', '.join(own)}); got {role.value}")

    def token_roles(self) -> tuple[Role, ...]:
        """The roles that a token of whoever asks may have now, told before anything is typed; nothing is recorded.

        Raises NotAllowed for who makes none, StaleLogin among them.
        """
        policy = self._policies.known()
        policy.check_signer(self.actor)
        return tuple(role for role in Role if at_most(role, policy.roles_of(self.actor)))

    def _check_free(self, name: str, there: list[TokenRecord], now: datetime, *, first: bool) -> None:
        if first and there:
            raise NotAllowed("token: the first one was made already; whoever has a role makes the others")
        if any(each.name == name and each.state(now) is TokenState.ACTIVE for each in there):
            raise Refused(f"token: there is one called {name!r}; revoke it first, or take another name")

    def keep_name(self, actor: Actor) -> None:
        """Keep what somebody is called, as a login says it; where it is known already, nothing is written.

        No act fails for want of a name: the subject stands for it until the next one.
        """
        name = kept_name(actor.display_name) if actor.has_a_name_apart else ""
        if not name:
            return
        with suppress(LedgerBusy, Unavailable):
            if self._token_ledger.names.all().get(actor.person.reference) != name:
                self._token_ledger.names.keep(actor.person, name)

    def time(self) -> datetime:
        """Now, by the desk's clock: by which tokens expire."""
        return self._token_clock.now()

    def tokens(self) -> list[TokenRecord]:
        """One's own by name, and everybody's for whoever looks after them, with what their owners are called."""
        everybody = self._policies.known().may(self.actor, Action.ALL_TOKENS)
        found = [
            each for each in self._token_ledger.tokens.all() if everybody or each.owner.person == self.actor.person
        ]
        names = self._token_ledger.names.all() if found else {}
        return [
            replace(each, owner=replace(each.owner, display_name=names.get(each.owner.person.reference, "")))
            for each in found
        ]

    def revoke_token(self, name: str) -> TokenRecord:
        """End a token now. Raises NotFound for one that is not one's own, unless one looks after everybody's."""
        now = self._token_clock.now()
        try:
            policy = self._policies.known()  # ending access goes on while the roles cannot be read
            policy.check_signer(self.actor)
            policy.check(self.actor, Action.OWN_TOKENS)
            with self._token_ledger.transaction() as transaction:
                seen = {each.name for each in self.tokens()}
                found = next((each for each in transaction.issued_tokens() if each.name == name and name in seen), None)
                if found is None or found.revoked_at is not None:
                    raise NotFound(f"token: there is none called {name!r} that could be revoked")
                revoked = replace(found, revoked_at=now)
                transaction.keep_token(revoked)
                transaction.append(self._token_event(EventType.TOKEN_REVOKED, revoked, now))
        except Refused as error:
            self._deny_token(EventType.TOKEN_REVOKED, name, error)
        return revoked

    def first_token(self) -> TokenRecord | None:
        """The one that was made before anybody could log in, for a week: somebody else should know of it."""
        now = self._token_clock.now()
        found = (each for each in self._token_ledger.tokens.all() if each.first)
        return next((each for each in found if now - each.issued_at < FIRST_SHOWN), None)

    def _token_event(self, kind: EventType, record: TokenRecord, now: datetime) -> Event:
        about = {
            "name": record.name,
            "role": record.role.value,
            "owner": {"issuer": record.owner.person.issuer, "subject": record.owner.subject},
            "expires_at": record.expires_at.isoformat(),
            "first": record.first,
        }
        return Event(kind, "", now, content={**self._token_signed(kind), "token": about})

    def _token_signed(self, wanted: EventType) -> Mapping[str, Any]:
        roles = self._policies.known().roles_of(self.actor)
        return {"actor": actor_json(self.actor, roles), "meaning": MEANINGS[wanted]}

    def _deny_token(self, wanted: EventType, name: str, error: Refused) -> NoReturn:
        """Record the refusal, see record_refusal, then raise it."""
        about = {"token": {"name": name}, "refusal": type(error).__name__, "why": str(error)}
        content = {**self._token_signed(wanted), **about}
        record_refusal(self._token_ledger, Event(EventType.DENIED, "", self._token_clock.now(), content=content))
        raise error
