"""The settings of the policy: who has which roles, and which gates and roles each kind of move needs."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.governance.actor import Person, Role
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.metrics import DEFAULT_RULES, Direction, MetricRules, direction_of
from pipeline.governance.policy import GateRule, Mode, MoveRules, Policy
from pipeline.governance.roles import DECIDING, Roles
from pipeline.governance.rules.gates import GATES
from pipeline.settings.file import SettingsSection, Word

# What a rule must say about a gate beside its modes; a gate that is not listed takes nothing.
GATE_PARAMETERS: Mapping[str, frozenset[str]] = {
    "accuracy": frozenset({"minimum"}),
    "error": frozenset({"metric", "maximum"}),
    "not_worse_than_incumbent": frozenset({"metric"}),
    "no_slice_worse": frozenset({"metric", "minimum_rows"}),
}


RoleName = Annotated[Role, Field(strict=False)]


def _deciding(roles: list[Role]) -> list[Role]:
    if others := [role for role in roles if role not in DECIDING]:
        raise ValueError(f"the role {others[0]} decides no move; allowed are {', '.join(DECIDING)}")
    return roles


def _with_issuer(subject: str) -> str:
    issuer, _, name = subject.partition("|")
    if not issuer or not name:
        raise ValueError(f"{subject!r} must be written issuer|subject, such as https://login.example.org|248289761001")
    return subject


DecidingRoles = Annotated[list[RoleName], AfterValidator(_deciding)]
Subject = Annotated[Word, AfterValidator(_with_issuer)]


class RoleSettings(SettingsSection):
    """Who has which roles, as in the file; Roles explains the sections."""

    programs: dict[Word, list[RoleName]] = Field(default_factory=dict)
    self_declared: list[RoleName] | None = None
    groups: dict[Word, list[RoleName]] = Field(default_factory=dict)
    subjects: dict[Subject, list[RoleName]] = Field(default_factory=dict)
    tokens: dict[Word, list[RoleName]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def read_flat(cls, content: Any) -> Any:  # noqa: ANN401 (whatever YAML holds)
        """Without a section that is a mapping, as all files were once: beside self_declared, the names of programs."""
        if not isinstance(content, dict) or any(isinstance(value, dict) for value in content.values()):
            return content
        sections = {name: value for name, value in content.items() if name in cls.model_fields}
        programs = {name: value for name, value in content.items() if name not in cls.model_fields}
        return {"programs": programs, **sections}

    def roles(self) -> Roles:
        return Roles(
            programs=_tuples(self.programs),
            self_declared=None if self.self_declared is None else tuple(self.self_declared),
            groups=_tuples(self.groups),
            subjects={
                Person(*subject.split("|", maxsplit=1)): tuple(roles) for subject, roles in self.subjects.items()
            },
            tokens=_tuples(self.tokens),
        )


def _tuples(names: Mapping[str, list[Role]]) -> dict[str, tuple[Role, ...]]:
    return {name: tuple(roles) for name, roles in names.items()}


class GateSettings(SettingsSection):
    """One gate of a move, as in the file; GateRule explains the fields."""

    mode: Mode = Field(strict=False)
    foreign: Mode | None = Field(default=None, strict=False)
    missing: Mode | None = Field(default=None, strict=False)
    minimum: float | None = None
    metric: Word | None = None
    minimum_rows: int | None = Field(default=None, ge=1)
    maximum: float | None = Field(default=None, ge=0)


class MoveSettings(SettingsSection):
    """What a kind of move needs."""

    # One of them is needed; with none nobody may.
    roles: DecidingRoles = Field(default_factory=list)
    gates: dict[Word, GateSettings] = Field(default_factory=dict)

    @model_validator(mode="after")
    def gates_exist(self) -> Self:
        if unknown := sorted(set(self.gates) - set(GATES)):
            raise ValueError(f"gates: no gate is called {', '.join(unknown)}; there are {', '.join(sorted(GATES))}")
        return self

    @model_validator(mode="after")
    def gates_have_their_parameters(self) -> Self:
        for name, gate in self.gates.items():
            given = frozenset(gate.model_dump(exclude_none=True)) - {"mode", "foreign", "missing"}
            wanted = GATE_PARAMETERS.get(name, frozenset())
            if given != wanted:
                raise ValueError(f"gates: {name} takes {', '.join(sorted(wanted)) or 'no parameter'}")
        return self

    @model_validator(mode="after")
    def an_error_is_better_when_less(self) -> Self:
        gate = self.gates.get("error")
        if gate and gate.metric and direction_of(gate.metric) is Direction.HIGHEST:
            raise ValueError(f"gates: error takes a metric of which less is better, such as rmse, not {gate.metric}")
        return self


class PolicySettings(SettingsSection):
    """Who may make which moves. A move that is not listed is closed: nothing is allowed by omission."""

    roles: RoleSettings
    # By model, the columns that a person could change; the smallest change to another class keeps to them.
    may_change: dict[Word, list[Word]] = Field(default_factory=dict)
    moves: dict[Word, MoveSettings]

    @model_validator(mode="after")
    def moves_exist(self) -> Self:
        if unknown := sorted(set(self.moves) - {kind.value for kind in MoveKind}):
            raise ValueError(f"moves: no move is called {', '.join(unknown)}; there are {', '.join(MoveKind)}")
        return self

    def policy(self, metrics: MetricRules = DEFAULT_RULES) -> Policy:
        return Policy(
            moves={
                MoveKind(name): MoveRules(
                    gates={gate: GateRule(**rule.model_dump()) for gate, rule in move.gates.items()},
                    roles=tuple(move.roles),
                )
                for name, move in self.moves.items()
            },
            roles=self.roles.roles(),
            metrics=metrics,
        )
