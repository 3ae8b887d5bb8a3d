"""Who has which roles, and what each role may do.

A name never matches another section of `policy.roles`, and what the table of actions does not list is refused. The
service does not know by which door somebody came: command line, screens and HTTP ask the same methods.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from pipeline.governance.actor import Actor, Established, Person, Role

Names = Mapping[str, tuple[Role, ...]]
# Of which a move may ask for one. Whoever reads, calls, looks after tokens or breaks the glass decides no move by that.
DECIDING = (Role.AUTOMATION, Role.REVIEWER, Role.APPROVER)


class Provider(StrEnum):
    """Who establishes the identity of people: `identity.provider`."""

    LOCAL = "local"  # nobody: names are self-declared
    OIDC = "oidc"
    PROXY = "proxy"


class Action(StrEnum):
    """What somebody may want to do here."""

    READ = "read"  # models, versions, reviews, the record
    PREDICT = "predict"  # predictions, explanations, metrics of the API
    RECORD = "record"  # have the desk write down what it finds, and finish what a crash left
    COMMENT = "comment"
    REQUEST = "request"  # a move that needs others, and to take the request back
    DECIDE = "decide"  # a move that one person decides, and how a difference ends; policy.moves says for whom
    APPROVE = "approve"  # and reject; policy.moves says for whom
    OVERRIDE = "override"  # decide past approvals and gates, in the open
    ACKNOWLEDGE = "acknowledge"  # that somebody did
    CLOSE = "close"  # a finding that somebody has looked at
    READ_LOG = "read_log"  # rows of the log of predictions, which may hold personal data
    OUTCOMES = "outcomes"  # tell what turned out to be true
    PURGE_LOG = "purge_log"  # delete rows of the log
    OWN_TOKENS = "own_tokens"  # make, list and revoke tokens that act for oneself
    ALL_TOKENS = "all_tokens"  # list and revoke everybody's


READING = frozenset(set(Role) - {Role.CALLER})
ACTIONS: Mapping[Action, frozenset[Role]] = {
    Action.READ: READING,
    Action.PREDICT: frozenset({Role.CALLER, Role.REVIEWER, Role.APPROVER, Role.AUTOMATION}),
    Action.RECORD: frozenset({Role.REVIEWER, Role.APPROVER, Role.AUTOMATION}),
    Action.COMMENT: frozenset({Role.REVIEWER, Role.APPROVER, Role.ADMIN, Role.BREAKER}),
    Action.REQUEST: frozenset(DECIDING),
    Action.DECIDE: frozenset(DECIDING),
    Action.APPROVE: frozenset({Role.REVIEWER, Role.APPROVER}),
    Action.OVERRIDE: frozenset({Role.BREAKER}),
    Action.ACKNOWLEDGE: frozenset({Role.ADMIN, Role.APPROVER}),
    Action.CLOSE: frozenset({Role.APPROVER}),
    Action.READ_LOG: frozenset({Role.REVIEWER, Role.APPROVER}),
    # Whoever asks for predictions is the one who hears what became of them.
    Action.OUTCOMES: frozenset({Role.CALLER, Role.REVIEWER, Role.APPROVER, Role.AUTOMATION}),
    Action.PURGE_LOG: frozenset({Role.APPROVER, Role.ADMIN}),
    Action.OWN_TOKENS: READING - {Role.AUTOMATION},
    Action.ALL_TOKENS: frozenset({Role.ADMIN}),
}
# What the desk's own programs do beside their roles: nobody from outside can be one.
OF_PROGRAMS = frozenset({Action.READ, Action.PREDICT, Action.RECORD})
# What everybody may who can reach a desk that has nobody to log in to.
OPEN_WITHOUT_LOGIN = frozenset({Action.READ, Action.PREDICT})


@dataclass(frozen=True)
class Roles:
    """The roles of everybody. Who stands in no section has none."""

    programs: Names = field(default_factory=dict)  # parts of Signoff that act by themselves, by name
    # of everybody whose name nobody has checked; None where the file does not say, which is as none
    self_declared: tuple[Role, ...] | None = None
    groups: Names = field(default_factory=dict)  # as the login provider or the proxy lists them
    subjects: Mapping[Person, tuple[Role, ...]] = field(default_factory=dict)
    tokens: Names = field(default_factory=dict)  # the most that a token of this name may have

    def of(self, actor: Actor) -> tuple[Role, ...]:
        """The roles of an actor; empty: none."""
        match actor.established:
            case Established.TOKEN:
                return self._of_token(actor)
            case Established.PROGRAM:
                return self.programs.get(actor.subject, ())
            case Established.SELF_DECLARED:
                return self.self_declared or ()
            case _:
                return self._of_person(actor)

    def _of_person(self, actor: Actor) -> tuple[Role, ...]:
        own = self.subjects.get(actor.person, ())
        return _each_once([*own, *(role for group in actor.groups for role in self.groups.get(group, ()))])

    def _of_token(self, actor: Actor) -> tuple[Role, ...]:
        """Its own, if its owner has it now and section `tokens`, where it names the token, lists it."""
        token = actor.token
        if token is None:
            return ()
        listed = self.tokens.get(token.name, (token.role,))
        owned = [*([token.owner_role] if token.owner_role else []), *self.of(token.owner)]
        return (token.role,) if at_most(token.role, listed) and at_most(token.role, owned) else ()

    def content(self) -> dict[str, Any]:
        """As plain data for the policy's digest: in the flat form of earlier files as far as that can say it."""
        if self.groups or self.subjects or self.tokens:
            return {
                "programs": self.programs,
                "self_declared": self.self_declared or (),
                "groups": self.groups,
                "subjects": {person.text: roles for person, roles in self.subjects.items()},
                "tokens": self.tokens,
            }
        if self.self_declared is None:
            return dict(self.programs)
        return {**self.programs, Established.SELF_DECLARED.value: self.self_declared}


def _each_once(roles: Iterable[Role]) -> tuple[Role, ...]:
    return tuple(dict.fromkeys(roles))


def at_most(role: Role, owned: Iterable[Role]) -> bool:
    """Whether a role is no more than some others: one of them, or one that only reads or predicts where they do too.

    Of the roles that decide none is less than another: a move may ask for any of them.
    """
    roles = set(owned)
    if role in roles or role not in (Role.VIEWER, Role.CALLER):
        return role in roles
    return all(not roles.isdisjoint(allowed) for allowed in ACTIONS.values() if role in allowed)


class RoleBook(Protocol):
    """The roles of everybody as they are now: they may change while the desk runs."""

    def now(self) -> Roles:
        """Raises NotAllowed, with the line, while they cannot be read: then nobody decides."""

    def known(self) -> Roles:
        """As `now`, or those that could be read last: reading goes on."""


@dataclass(frozen=True)
class FixedRoles:
    """Roles that do not change."""

    roles: Roles

    def now(self) -> Roles:
        return self.roles

    def known(self) -> Roles:
        return self.roles
