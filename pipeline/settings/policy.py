"""The settings of the policy: who has which roles, and which gates and roles each kind of move needs."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from pipeline.governance.actor import Person, Role
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.metrics import DEFAULT_RULES, Direction, MetricRules, direction_of
from pipeline.governance.policy import EXPIRES_DAYS, GateRule, Mode, MoveRules, Policy, Tier
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

MOST_APPROVALS, MOST_DAYS = 9, 365


RoleName = Annotated[Role, Field(strict=False)]


def _deciding(roles: list[Role]) -> list[Role]:
    if others := [role for role in roles if role not in DECIDING]:
        raise ValueError(f"the role {others[0]} decides no move; allowed are {', '.join(DECIDING)}")
    return roles


def _people(roles: list[Role]) -> list[Role]:
    if Role.AUTOMATION in roles:
        raise ValueError(f"the role {Role.AUTOMATION} is of programs, and an approval is somebody's signature")
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


class MovePart(SettingsSection):
    """What a kind of move needs, as a move and a tier say it."""

    gates: dict[Word, GateSettings] = Field(default_factory=dict)
    # Signatures of persons other than who asks for the move; 0: whoever may make it decides alone.
    approvals: int = Field(default=0, ge=0, le=MOST_APPROVALS)

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

    def gate_rules(self) -> dict[str, GateRule]:
        return {name: GateRule(**gate.model_dump()) for name, gate in self.gates.items()}


class MoveSettings(MovePart):
    """What a kind of move needs."""

    # One of them is needed; with none nobody may.
    roles: DecidingRoles = Field(default_factory=list)
    # One of them is needed to approve or reject; no program signs.
    approver_roles: Annotated[DecidingRoles, AfterValidator(_people)] = Field(
        default_factory=lambda: [Role.APPROVER], min_length=1
    )
    # After which a request can no longer be approved.
    expires_days: int = Field(default=EXPIRES_DAYS, ge=1, le=MOST_DAYS)
    # Sentences that each approver confirms, by a key to name them with.
    attestations: dict[Word, Word] = Field(default_factory=dict)

    def rules(self) -> MoveRules:
        return MoveRules(
            gates=self.gate_rules(),
            roles=tuple(self.roles),
            approvals=self.approvals,
            approver_roles=tuple(self.approver_roles),
            expires_days=self.expires_days,
            attestations=dict(self.attestations),
        )


class TierSettings(SettingsSection):
    """Models of which more is asked: a tier adds to the policy and to the tiers before it, and takes nothing away."""

    # Names of registered models; others come here by the tag `risk_tier` alone.
    models: list[Word] = Field(default_factory=list)
    moves: dict[Word, MovePart]


class PolicySettings(SettingsSection):
    """Who may make which moves. A move that is not listed is closed: nothing is allowed by omission."""

    roles: RoleSettings
    # By model, the columns that a person could change; the smallest change to another class keeps to them.
    may_change: dict[Word, list[Word]] = Field(default_factory=dict)
    moves: dict[Word, MoveSettings]
    # By name, each stricter than those before it.
    tiers: dict[Word, TierSettings] = Field(default_factory=dict)
    # Gates that an override may leave unpassed; those that always hold are none of them.
    override_skips: list[Word] = Field(default_factory=list)

    @model_validator(mode="after")
    def moves_exist(self) -> Self:
        if unknown := sorted(set(self.moves) - {kind.value for kind in MoveKind}):
            raise ValueError(f"moves: no move is called {', '.join(unknown)}; there are {', '.join(MoveKind)}")
        return self

    @model_validator(mode="after")
    def adopting_asks_for_what_it_adopts(self) -> Self:
        if self.moves.get("reconcile", MoveSettings()).approvals:
            raise ValueError("moves: reconcile takes no approvals; adopting asks for those of the move that it adopts")
        return self

    @model_validator(mode="after")
    def attestations_have_somebody_to_confirm_them(self) -> Self:
        raised = {kind for tier in self.tiers.values() for kind, part in tier.moves.items() if part.approvals}
        for name, move in self.moves.items():
            if move.attestations and not move.approvals and name not in raised:
                raise ValueError(f"moves: {name} has attestations, and nobody approves it; set its approvals")
        return self

    @model_validator(mode="after")
    def skipped_gates_exist(self) -> Self:
        if unknown := sorted(set(self.override_skips) - set(GATES)):
            raise ValueError(f"override_skips: no gate is called {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def tiers_add_to_moves(self) -> Self:
        for name, tier in self.tiers.items():
            if unknown := sorted(set(tier.moves) - set(self.moves)):
                raise ValueError(f"tiers: {name} adds to moves that are not listed: {', '.join(unknown)}")
            for kind, part in tier.moves.items():
                for gate, rule in part.gates.items():
                    base = self.moves[kind].gates.get(gate)
                    if base is not None and base.metric != rule.metric:
                        raise ValueError(f"tiers: {name} judges {gate} of {kind} by another metric; repeat the metric")
        return self

    def policy(self, metrics: MetricRules = DEFAULT_RULES, *, logins: Mapping[str, str] | None = None) -> Policy:
        """logins: from logins in MLflow to subjects here, see IdentitySettings."""
        return Policy(
            moves={MoveKind(name): move.rules() for name, move in self.moves.items()},
            roles=self.roles.roles(),
            metrics=metrics,
            tiers=tuple(
                Tier(
                    name,
                    tuple(tier.models),
                    {
                        MoveKind(kind): MoveRules(gates=part.gate_rules(), approvals=part.approvals)
                        for kind, part in tier.moves.items()
                    },
                )
                for name, tier in self.tiers.items()
            ),
            override_skips=tuple(self.override_skips),
            logins=dict(logins or {}),
        )
