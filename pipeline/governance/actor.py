"""Who acts, how that is known, and when two are the same person."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self

from pipeline.governance.text import visible

MOST_NAME_CHARACTERS = 100


class Established(StrEnum):
    """How an identity was established, weakest last."""

    OIDC = "oidc"
    PROXY_HEADER = "proxy_header"
    TOKEN = "token"  # noqa: S105 (a word, not a secret)
    PROGRAM = "program"
    SELF_DECLARED = "self_declared"


class Role(StrEnum):
    """What somebody may do here; `roles.ACTIONS` says what each of them allows."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    APPROVER = "approver"
    ADMIN = "admin"
    BREAKER = "breaker"
    CALLER = "caller"
    AUTOMATION = "automation"


class Person(NamedTuple):
    """By what two actors are told to be one: never by e-mail or display name, which somebody else may have too."""

    issuer: str  # who vouches for the subject; the way of establishing it where nobody does
    subject: str

    @property
    def reference(self) -> str:
        """Under which a table beside the chain has the person's name; 16 hexadecimal digits."""
        return hashlib.sha256(json.dumps(list(self), ensure_ascii=False).encode()).hexdigest()[:16]

    @property
    def text(self) -> str:
        """As section `subjects` of `policy.roles` names it: `issuer|subject`."""
        return f"{self.issuer}|{self.subject}"


@dataclass(frozen=True)
class Actor:
    """A person or program. Roles are not part of it: the service looks them up in the policy."""

    subject: str  # the name that the issuer gives and never gives again; of a token, its owner's
    established: Established
    display_name: str = ""
    issuer: str = ""  # empty where nobody vouches: self-declared people and programs
    groups: tuple[str, ...] = ()  # as the issuer lists them
    authenticated_at: datetime | None = None  # when the person last logged in; None: nobody says
    token: "UsedToken | None" = None  # which token acts; None: the person or program itself
    loopback: bool = False  # whether it came from this very machine

    @classmethod
    def by_token(cls, token: "UsedToken", *, loopback: bool = False) -> Self:
        """A token acts for its owner, and is the same person."""
        owner = token.owner
        return cls(owner.subject, Established.TOKEN, owner.display_name, owner.issuer, token=token, loopback=loopback)

    @property
    def itself(self) -> "Actor":
        """Without the token that acts for it."""
        return self.token.owner if self.token else self

    @property
    def person(self) -> Person:
        """A token and its owner have the same."""
        return Person(self.issuer or self.itself.established.value, self.subject)

    @property
    def has_a_name_apart(self) -> bool:
        """Whether what people call them is another thing than the subject, and none of the record's business."""
        return self.itself.established not in (Established.SELF_DECLARED, Established.PROGRAM)

    @property
    def is_program(self) -> bool:
        return self.established is Established.PROGRAM

    def is_same_person(self, other: "Actor") -> bool:
        return self.person == other.person


@dataclass(frozen=True)
class UsedToken:
    """A token that was shown and is good."""

    name: str
    role: Role  # the most that it may act as
    owner: Actor  # whoever made it, as established then
    # The role that its owner has beside those of the policy: of a first token, whose maker has none.
    owner_role: Role | None = None


def actor_json(actor: Actor, roles: tuple[str, ...]) -> dict[str, Any]:
    """As an event holds it: a name that may have to be erased is a reference. roles: those that allowed it."""
    content: dict[str, Any] = {
        "subject": actor.subject,
        "issuer": actor.issuer,
        "established": actor.established.value,
        "roles": list(roles),
    }
    if actor.has_a_name_apart:
        content["person"] = actor.person.reference
    else:
        content["display_name"] = actor.display_name or actor.subject
    if actor.authenticated_at is not None:
        content["authenticated_at"] = actor.authenticated_at.isoformat()
    if actor.token is not None:
        content["token"] = {"name": actor.token.name, "owner_established": actor.token.owner.established.value}
    return content


def person_in(content: Mapping[str, Any]) -> Person | None:
    """The person that an event's `actor` names, by what `Actor.person` compares; None where it names nobody."""
    subject = content.get("subject")
    if not subject:
        return None
    token = content.get("token") or {}
    established = token.get("owner_established") or content.get("established") or ""
    return Person(content.get("issuer") or established, subject)


def actor_in(content: Mapping[str, Any]) -> Actor:
    """Whoever signed an event, as far as it says: of a token its owner, with the groups that the roles may rest on."""
    token = content.get("token") or {}
    established = Established(token.get("owner_established") or content["established"])
    groups = tuple(content.get("groups") or ())
    return Actor(content["subject"], established, issuer=content.get("issuer") or "", groups=groups)


def kept_name(name: str) -> str:
    """A name as a login says it, on one line of plain text, cut where it is long; empty where nothing is left."""
    plain = "".join(each if each.isprintable() else " " for each in name)
    return " ".join(plain.split())[:MOST_NAME_CHARACTERS].rstrip()


def signature(subject: str, established: str | None) -> str:
    """Who, and how that is known, as one line of visible text: `grace (self-declared)`."""
    return f"{visible(subject)} ({(established or 'unknown').replace('_', '-')})"
