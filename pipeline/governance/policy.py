"""The policy as a value: which gates a move must pass, in which mode, and who may do what."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, TypeVar

from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import NotAllowed, StaleLogin
from pipeline.governance.lifecycle import MoveKind
from pipeline.governance.metrics import DEFAULT_RULES, MetricRules
from pipeline.governance.ports import Clock
from pipeline.governance.record.ledger import canonical, digest_of
from pipeline.governance.roles import ACTIONS, OF_PROGRAMS, OPEN_WITHOUT_LOGIN, Action, Provider, RoleBook, Roles
from pipeline.governance.text import visible

Number = TypeVar("Number", int, float)
TIER_TAG = "risk_tier"  # of a model or a version


class Mode(StrEnum):
    """What a gate that does not pass does to the move."""

    PREVENT = "prevent"
    WARN = "warn"
    ALLOW = "allow"


@dataclass(frozen=True)
class GateRule:
    """One gate of one move."""

    mode: Mode
    foreign: Mode | None = None  # the mode for versions that our pipeline did not make; None: `mode`
    missing: Mode | None = None  # the mode where the registry does not have what the gate looks at; None: `mode`
    minimum: float | None = None  # the least value of the metric
    metric: str | None = None  # None: the gate's own
    minimum_rows: int | None = None  # slices with fewer rows are left out
    maximum: float | None = None  # the greatest value of the metric

    def mode_for(self, *, ours: bool, present: bool) -> Mode:
        if not present and self.missing is not None:
            return self.missing
        return self.foreign if not ours and self.foreign is not None else self.mode

    def stricter(self, other: "GateRule") -> "GateRule":
        """Of both: for each case the mode that does more, of the bounds the harder one; the metric is this rule's."""
        foreign, missing = (
            None if ours is None and theirs is None else _stricter_mode(ours or self.mode, theirs or other.mode)
            for ours, theirs in ((self.foreign, other.foreign), (self.missing, other.missing))
        )
        return replace(
            self,
            mode=_stricter_mode(self.mode, other.mode),
            foreign=foreign,
            missing=missing,
            minimum=_chosen(max, self.minimum, other.minimum),
            maximum=_chosen(min, self.maximum, other.maximum),
            minimum_rows=_chosen(min, self.minimum_rows, other.minimum_rows),
        )


EXPIRES_DAYS = 7


@dataclass(frozen=True)
class MoveRules:
    """What a move has to pass, who may make it, and whose signatures it needs."""

    gates: Mapping[str, GateRule] = field(default_factory=dict)  # by name, in the order in which a review lists them
    roles: tuple[Role, ...] = ()  # of which one is needed
    approvals: int = 0  # of persons other than who asks for it; 0: whoever may make it decides alone
    approver_roles: tuple[Role, ...] = (Role.APPROVER,)  # of which an approval needs one
    expires_days: int = EXPIRES_DAYS  # after which nobody can approve a request any more
    attestations: Mapping[str, str] = field(default_factory=dict)  # sentences that each approver confirms, by key

    @property
    def asking_roles(self) -> tuple[Role, ...]:
        """Of which one is needed to ask for the move: a reviewer may always ask, for asking moves nothing."""
        return tuple(dict.fromkeys((*self.roles, *self.approver_roles, Role.REVIEWER)))

    def content(self) -> dict[str, Any]:
        """As JSON; what is as it was before it could be said is left out, so that digests of old files stay."""
        found: dict[str, Any] = {
            "gates": {name: _content(rule) for name, rule in self.gates.items()},
            "roles": self.roles,
        }
        later = {
            "approvals": self.approvals,
            "approver_roles": self.approver_roles,
            "expires_days": self.expires_days,
            "attestations": dict(self.attestations),
        }
        return found | {name: value for name, value in later.items() if value != getattr(NOTHING_ASKED, name)}

    def stricter(self, other: "MoveRules") -> "MoveRules":
        """Both at once: of each gate the stricter bounds and modes, of the approvals the higher number."""
        gates = dict(self.gates)
        for name, rule in other.gates.items():
            gates[name] = gates[name].stricter(rule) if name in gates else rule
        return replace(self, gates=gates, approvals=max(self.approvals, other.approvals))

    def together(self, other: "MoveRules") -> "MoveRules":
        """What two moves ask for that one signature stands for: of everything the stricter, and of sentences all.

        Roles are those that both allow, which may be none. Another sentence under the same key gets a key of its own.
        """
        sentences = dict(self.attestations)
        for key, text in other.attestations.items():
            free = key
            while sentences.get(free, text) != text:
                free = f"{free}_2"
            sentences[free] = text
        return replace(
            self.stricter(other),
            roles=tuple(role for role in self.roles if role in other.roles),
            approver_roles=tuple(role for role in self.approver_roles if role in other.approver_roles),
            expires_days=min(self.expires_days, other.expires_days),
            attestations=sentences,
        )


NOTHING_ASKED = MoveRules()


@dataclass(frozen=True)
class Tier:
    """Models of which more is asked."""

    name: str
    models: tuple[str, ...] = ()
    # What is asked in addition. Only gates and approvals count: a tier opens nothing and gives nobody a role.
    moves: Mapping[MoveKind, MoveRules] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        moves = {kind: rules.content() for kind, rules in self.moves.items()}
        return {"name": self.name, "models": self.models, "moves": moves}


@dataclass(frozen=True)
class Policy:
    """Who may make which move, and what the move has to pass."""

    moves: Mapping[MoveKind, MoveRules]  # those that are open; a move that is not listed is closed to everybody
    roles: Roles = field(default_factory=Roles)
    metrics: MetricRules = DEFAULT_RULES  # how gates find and judge metrics
    provider: Provider = Provider.LOCAL  # who establishes the identity of people
    fresh: timedelta | None = None  # how old a login may be when something is signed; None: as old as the session
    at: datetime | None = None  # the time at which it is asked, see LivePolicy; None: not while somebody acts
    tiers: tuple[Tier, ...] = ()  # each asks for more than those before it
    override_skips: tuple[str, ...] = ()  # gates that an override may leave unpassed
    logins: Mapping[str, str] = field(default_factory=dict)  # from logins in MLflow to subjects here

    @property
    def digest(self) -> str:
        """sha256 of the policy's canonical JSON, bound to every decision.

        What came later and is not used is left out: the digest of a file that did not change stays.
        """
        moves = {kind: rules.content() for kind, rules in self.moves.items()}
        content: dict[str, Any] = {"moves": moves, "roles": self.roles.content()}
        if self.metrics != DEFAULT_RULES:
            content["metrics"] = self.metrics.as_json()
        if self.provider is not Provider.LOCAL:
            content["provider"] = self.provider.value
        if self.provider is Provider.OIDC and self.fresh:
            content["fresh_minutes"] = int(self.fresh.total_seconds()) // 60
        if self.tiers:
            content["tiers"] = [tier.content() for tier in self.tiers]
        later = {"override_skips": self.override_skips, "logins": dict(self.logins)}
        content |= {name: value for name, value in later.items() if value}
        return digest_of(canonical(content))

    def rules_of(self, kind: MoveKind, tier: int = 0) -> MoveRules:
        """Of a tier, see `tier_of`; neither gates nor roles for a move that is not listed."""
        rules = self.moves.get(kind)
        if rules is None:
            return NOTHING_ASKED
        for each in self.tiers[:tier]:
            rules = rules.stricter(each.moves.get(kind, NOTHING_ASKED))
        return rules

    def tier_of(self, model: str, *tags: Mapping[str, str]) -> int:
        """How many tiers hold for a model: the highest that lists it, or that a tag of model or version names.

        A tag is anybody's word: it can raise the tier, never lower it, and one that names no tier says nothing.
        """
        named = {each.get(TIER_TAG, "").casefold() for each in tags}
        found = (
            number for number, tier in enumerate(self.tiers, 1) if model in tier.models or tier.name.casefold() in named
        )
        return max(found, default=0)

    def rules_digest(self, rules: MoveRules) -> str:
        """sha256 of what one move asks for, bound to a request: the rest of the policy may change meanwhile."""
        content: dict[str, Any] = {"rules": rules.content()}
        if self.metrics != DEFAULT_RULES:
            content["metrics"] = self.metrics.as_json()
        return digest_of(canonical(content))

    def closed(self, kind: MoveKind) -> str | None:
        """Why nobody may make the move, in a sentence; None where it is listed."""
        return None if kind in self.moves else f"policy.moves does not list {kind.value}: nobody may do it."

    def check_signer(self, actor: Actor) -> None:
        """Raises NotAllowed for who signs nothing, whatever it is: a name that anybody on the network may type, and who
        logged in too long ago.
        """
        if actor.established is Established.SELF_DECLARED and not actor.loopback:
            raise NotAllowed(
                "actor: a self-declared identity decides only on this machine; this one came over the network"
            )
        self._check_login(actor)

    def check_decider(self, actor: Actor) -> None:
        """Raises NotAllowed for who signs nothing, and for who has no role that decides anything."""
        self.check_signer(actor)
        self.check(actor, Action.DECIDE)

    def _check_login(self, actor: Actor) -> None:
        """Raises StaleLogin for a person by OpenID Connect whose login is too old, or of nobody knows what age."""
        if actor.established is not Established.OIDC or self.fresh is None or self.at is None:
            return
        if actor.authenticated_at is None or self.at - actor.authenticated_at > self.fresh:
            minutes = int(self.fresh.total_seconds()) // 60
            raise StaleLogin(
                f"actor: log in again to sign; a login may be {minutes} minutes old (identity.fresh_minutes)"
            )

    def authorise(self, actor: Actor, kind: MoveKind) -> None:
        """Raises NotAllowed for who decides nothing, and where none of the actor's roles allows the move."""
        self.check_signer(actor)
        if sentence := self.closed(kind):
            raise NotAllowed(f"actor: {sentence.removesuffix('.')}")
        self.demand(actor, Action.DECIDE, among=self.rules_of(kind).roles, act=kind.value)

    def demand(
        self, actor: Actor, action: Action, *, among: Iterable[Role] | None = None, act: str = ""
    ) -> tuple[Role, ...]:
        """The actor's roles by which they may sign. Raises NotAllowed where there is none.

        among: those that the rules of a move list; what the table does not let do the action is none of them. act: what
        is wanted, in a word.
        """
        self.check_signer(actor)
        open_to, own = ACTIONS[action], self.roles_of(actor)
        wanted = sorted(open_to) if among is None else [role for role in among if role in open_to]
        if not (found := tuple(role for role in own if role in wanted)):
            needed = ", ".join(wanted) or "nobody"
            raise NotAllowed(f"actor: {_who_has(actor, own)}; {act or action.value} needs one of {needed}")
        return found

    def check(self, actor: Actor, action: Action) -> None:
        """Raises NotAllowed where nothing says that the actor may. Moves have rules of their own, see authorise."""
        if not self.may(actor, action):
            needed = ", ".join(sorted(ACTIONS[action]))
            who = _who_has(actor, self.roles_of(actor))
            raise NotAllowed(f"actor: {who}, and {action.value} needs one of {needed}; policy.roles says who has which")

    def may(self, actor: Actor, action: Action) -> bool:
        if actor.is_program and action in OF_PROGRAMS:
            return True
        if self.provider is Provider.LOCAL and actor.established is Established.SELF_DECLARED:
            if action in OPEN_WITHOUT_LOGIN:
                return True
            return actor.loopback and self._has_role_for(actor, action)
        return self._has_role_for(actor, action)

    def _has_role_for(self, actor: Actor, action: Action) -> bool:
        return not ACTIONS[action].isdisjoint(self.roles_of(actor))

    def roles_of(self, actor: Actor) -> tuple[Role, ...]:
        """See Roles.of; where people log in, a name that nobody has checked has none."""
        if self.provider is Provider.LOCAL:
            return self.roles.of(actor)
        return replace(self.roles, self_declared=None).of(actor)

    def roles_for(self, actor: Actor, kind: MoveKind) -> tuple[Role, ...]:
        """The actor's roles that allow the move; empty: not allowed."""
        open_to = ACTIONS[Action.DECIDE].intersection(self.rules_of(kind).roles)
        return tuple(role for role in self.roles_of(actor) if role in open_to)


@dataclass(frozen=True)
class LivePolicy:
    """The policy with the roles as they are now: the rest holds until the desk is started anew."""

    started: Policy  # as it was read when the desk was started
    book: RoleBook
    clock: Clock

    def now(self) -> Policy:
        """What a decision is made by. Raises NotAllowed while the roles cannot be read."""
        return replace(self.started, roles=self.book.now(), at=self.clock.now())

    def known(self) -> Policy:
        """What may be read by, also while the roles cannot be."""
        return replace(self.started, roles=self.book.known(), at=self.clock.now())


def _who_has(actor: Actor, roles: Iterable[Role]) -> str:
    """The beginning of a refusal: who it is, by the name that the record has of them, and the roles that they have."""
    own = list(roles)
    has = f"has the role{'s' if len(own) > 1 else ''} {', '.join(own)}" if own else "has no role here"
    return f"{visible(actor.subject)!r} {has}"


def _stricter_mode(a: Mode, b: Mode) -> Mode:
    return max(a, b, key=[Mode.ALLOW, Mode.WARN, Mode.PREVENT].index)


def _chosen(choose: Callable[[Number, Number], Number], a: Number | None, b: Number | None) -> Number | None:
    """Of two bounds, either of which may not be there."""
    return choose(a, b) if a is not None and b is not None else b if a is None else a


def _content(rule: GateRule) -> dict[str, Any]:
    return {name: value for name, value in asdict(rule).items() if name != "maximum" or value is not None}
