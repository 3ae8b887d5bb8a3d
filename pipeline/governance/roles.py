"""Who has which roles: the sections of `policy.roles`, in which a name never matches another section's."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.governance.actor import Actor, Established, Person, Role

Names = Mapping[str, tuple[Role, ...]]
# Of which a move may ask for one. Whoever reads, calls, looks after tokens or breaks the glass decides no move by that.
DECIDING = (Role.AUTOMATION, Role.REVIEWER, Role.APPROVER)


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
        owned = (token.owner_role, *self.of(token.owner))
        return (token.role,) if token.role in listed and token.role in owned else ()

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
