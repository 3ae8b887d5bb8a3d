"""The policy as a value: which gates a move must pass, in which mode, and who may make it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum

from pipeline.governance.actors import Actor, Established
from pipeline.governance.ledger import canonical, digest_of
from pipeline.governance.lifecycle import MoveKind


class Mode(StrEnum):
    """What a gate that does not pass does to the move."""

    PREVENT = "prevent"
    WARN = "warn"
    ALLOW = "allow"


@dataclass(frozen=True)
class GateRule:
    """One gate of one move.

    foreign: the mode for versions that our pipeline did not make; missing: the mode where the registry does not have
    what the gate looks at; both default to `mode`. minimum: the least metric value. minimum_rows: slices with fewer
    rows are left out.
    """

    mode: Mode
    foreign: Mode | None = None
    missing: Mode | None = None
    minimum: float | None = None
    metric: str | None = None
    minimum_rows: int | None = None

    def mode_for(self, *, ours: bool, present: bool) -> Mode:
        if not present and self.missing is not None:
            return self.missing
        return self.foreign if not ours and self.foreign is not None else self.mode


@dataclass(frozen=True)
class MoveRules:
    """The gates of a move by name, in the order in which a review lists them, and the roles of which one is needed."""

    gates: Mapping[str, GateRule] = field(default_factory=dict)
    roles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Policy:
    """`roles`: the roles of `self_declared` people and of programs by their name."""

    moves: Mapping[MoveKind, MoveRules]
    roles: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """sha256 of the policy's canonical JSON, bound to every decision."""
        return digest_of(canonical(asdict(self)))

    def roles_of(self, actor: Actor) -> tuple[str, ...]:
        """A program has the roles listed under its name; a person those of the way the identity was established."""
        key = actor.subject if actor.established is Established.PROGRAM else actor.established.value
        return self.roles.get(key, ())

    def roles_for(self, actor: Actor, kind: MoveKind) -> tuple[str, ...]:
        """The actor's roles that allow the move; empty: not allowed."""
        return tuple(role for role in self.roles_of(actor) if role in self.moves[kind].roles)
