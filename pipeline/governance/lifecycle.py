"""Stages, aliases, slots, and what each kind of move changes."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from pipeline.governance.errors import InvalidInput
from pipeline.governance.text import visible

CHAMPION = "champion"
MOST_ALIAS_CHARACTERS = 255
# MLflow also allows a trailing newline and any letter of Unicode; names that look alike are no help in a review.
ALIAS_PATTERN = re.compile(r"[A-Za-z0-9_\-]+")
RESERVED_ALIAS = re.compile(r"latest|v\d+", re.IGNORECASE)


class Stage(StrEnum):
    """MLflow's own words. MLflow calls them deprecated; here they are the states of a review."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


IN_USE = (Stage.STAGING, Stage.PRODUCTION)


class MoveKind(StrEnum):
    """What the policy has rules for."""

    STAGING = "staging"
    PRODUCTION = "production"
    ARCHIVED = "archived"
    NONE = "none"
    ALIAS = "alias"
    UNALIAS = "unalias"
    ROLLBACK = "rollback"
    RECONCILE = "reconcile"


MOVE_TO_STAGE = {
    Stage.STAGING: MoveKind.STAGING,
    Stage.PRODUCTION: MoveKind.PRODUCTION,
    Stage.ARCHIVED: MoveKind.ARCHIVED,
    Stage.NONE: MoveKind.NONE,
}


class Slot(NamedTuple):
    """What a move changes: an alias of a model (`name` is the alias) or the stage of a version (`name` its number)."""

    model: str
    kind: str
    name: str

    @classmethod
    def of_alias(cls, model: str, alias: str) -> "Slot":
        return cls(model, "alias", alias)

    @classmethod
    def of_stage(cls, model: str, version: int) -> "Slot":
        return cls(model, "stage", str(version))

    @property
    def label(self) -> str:
        """Short text without the model: `@champion` or `/3`."""
        return f"@{self.name}" if self.kind == "alias" else f"/{self.name}"

    @property
    def in_words(self) -> str:
        """For people, without the model: `champion`, `alias x` or `the stage of version 3`."""
        name = visible(self.name)
        if self.kind == "stage":
            return f"the stage of version {name}"
        return name if self.name == CHAMPION else f"alias {name}"

    def holding(self, content: str | None) -> str:
        """The slot with a content, in words for the middle of a sentence."""
        name = visible(self.name)
        if self.kind == "alias":
            return f"the alias {name} is on {'no version' if content is None else f'version {content}'}"
        if content is None:
            return f"version {name} is not there"
        return f"version {name} is in {'no stage' if content == Stage.NONE else content}"


@dataclass(frozen=True)
class ModelState:
    """What the registry says about one model now: alias → version, and version → stage for every version."""

    aliases: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[int, Stage] = field(default_factory=dict)

    @property
    def champion(self) -> int | None:
        return self.aliases.get(CHAMPION)

    @property
    def champion_outside_production(self) -> bool:
        """Not where no version is in Production and the champion is in no stage: such a registry uses no stages."""
        if self.champion is None:
            return False
        production, stage = self.in_stage(Stage.PRODUCTION), self.stages.get(self.champion, Stage.NONE)
        return self.champion not in production and (bool(production) or stage is not Stage.NONE)

    def value(self, slot: Slot) -> str | None:
        """The slot's content as text: a version number or a stage; None for an alias or a version that is not there."""
        if slot.kind == "alias":
            version = self.aliases.get(slot.name)
            return None if version is None else str(version)
        stage = self.stages.get(int(slot.name))
        return None if stage is None else stage.value

    def in_stage(self, stage: Stage) -> list[int]:
        return sorted(version for version, current in self.stages.items() if current is stage)


@dataclass(frozen=True)
class Change:
    """One slot from an expected content to a new one; None removes an alias. Equal: it is held as it is."""

    slot: Slot
    expected: str | None
    to: str | None

    @property
    def moves(self) -> bool:
        return self.expected != self.to


@dataclass(frozen=True)
class Move:
    """What an actor asks for: a version into a stage, an alias onto a version or off (version None)."""

    model: str
    kind: MoveKind
    version: int | None
    alias: str | None = None

    @property
    def target(self) -> str:
        """In words, as screens and `--to` show it: a stage, or an alias with its sign; else the kind itself."""
        if self.kind in (MoveKind.PRODUCTION, MoveKind.ROLLBACK):
            return Stage.PRODUCTION.value
        if self.kind in (MoveKind.ALIAS, MoveKind.UNALIAS):
            return f"@{self.alias}"
        return next((stage.value for stage, kind in MOVE_TO_STAGE.items() if kind is self.kind), self.kind.value)


def stage_move(model: str, version: int, stage: Stage) -> Move:
    return Move(model, MOVE_TO_STAGE[stage], version)


def alias_move(model: str, alias: str, version: int) -> Move:
    """Setting the champion promotes: one is not had without the other."""
    check_alias(alias)
    if alias == CHAMPION:
        return Move(model, MoveKind.PRODUCTION, version)
    return Move(model, MoveKind.ALIAS, version, alias)


def parse_target(model: str, version: int, target: str) -> Move:
    """A move from its target in words: a stage in any case, or `@alias`.

    Raises InvalidInput for anything else.
    """
    if target.startswith("@"):
        return alias_move(model, target[1:], version)
    return stage_move(model, version, parse_stage(target))


@dataclass(frozen=True)
class VersionReference:
    """MODEL, MODEL@ALIAS or MODEL/VERSION, taken apart; nobody has looked whether it is there."""

    model: str
    version: int | None = None  # of MODEL/VERSION
    alias: str | None = None  # of MODEL@ALIAS, empty where nothing follows the @


def parse_reference(text: str, is_model: Callable[[str], bool]) -> VersionReference:
    """What somebody wrote for a version; is_model: whether a model has exactly this name, which may hold an @.

    Raises InvalidInput where a / is not followed by a number.
    """
    name, slash, number = text.rpartition("/")
    if slash:
        if not number.isdecimal() or not number.isascii() or not name:
            raise InvalidInput(f"model: {text!r} is none of MODEL, MODEL@ALIAS and MODEL/VERSION")
        return VersionReference(name, version=int(number))
    name, at, alias = text.rpartition("@")
    return VersionReference(text) if not at or is_model(text) else VersionReference(name, alias=alias)


def parse_stage(text: str) -> Stage:
    """Raises InvalidInput with the four allowed words."""
    for stage in Stage:
        if stage.value.casefold() == text.strip().casefold():
            return stage
    raise InvalidInput(f"stage: {text!r} is not one of {', '.join(Stage)}")


def check_alias(alias: str) -> None:
    """Raises InvalidInput for a name that MLflow refuses or that nobody can tell apart from another."""
    if not ALIAS_PATTERN.fullmatch(alias) or len(alias) > MOST_ALIAS_CHARACTERS:
        raise InvalidInput(f"alias: {alias!r} is not made of 1 to {MOST_ALIAS_CHARACTERS} letters, digits, - and _")
    if RESERVED_ALIAS.fullmatch(alias):
        raise InvalidInput(f"alias: {alias!r} is reserved by MLflow; choose a name other than latest and v1, v2, ...")


def check_move(move: Move) -> Move:
    """The move itself. Raises InvalidInput for one that no verb makes, such as the alias champion without a stage."""
    of_alias = move.kind in (MoveKind.ALIAS, MoveKind.UNALIAS)
    complete = (move.version is None) == (move.kind is MoveKind.UNALIAS) and (move.alias is not None) == of_alias
    if move.alias is not None:
        check_alias(move.alias)
    if not complete or move.kind is MoveKind.RECONCILE or (move.kind is MoveKind.ALIAS and move.alias == CHAMPION):
        raise InvalidInput(f"move: {move.kind.value} with version {move.version} and alias {move.alias} is no move")
    return move


def plan_changes(move: Move, state: ModelState) -> list[Change]:
    """The slots that the move is about, the one that commits it first; empty when nothing would change.

    An alias commits where one changes, because MLflow keeps exactly one version per alias; stages follow from it. Last
    come those that are right already: two who move them at the same time must meet in the ledger.
    """
    if move.version is not None and move.kind in (MoveKind.PRODUCTION, MoveKind.ROLLBACK):
        changes = sorted(_champion_changes(move.model, move.version, state), key=lambda change: not change.moves)
        return changes if changes[0].moves else []
    if move.alias is not None:
        slot, to = Slot.of_alias(move.model, move.alias), None if move.version is None else str(move.version)
    else:
        slot, to = Slot.of_stage(move.model, move.version or 0), move.target
    change = Change(slot, state.value(slot), to)
    return [change] if change.moves else []


def _champion_changes(model: str, version: int, state: ModelState) -> list[Change]:
    alias, stage = Slot.of_alias(model, CHAMPION), Slot.of_stage(model, version)
    others = [other for other in state.in_stage(Stage.PRODUCTION) if other != version]
    return [
        Change(alias, state.value(alias), str(version)),
        Change(stage, state.value(stage), Stage.PRODUCTION.value),
        *(Change(Slot.of_stage(model, other), Stage.PRODUCTION.value, Stage.ARCHIVED.value) for other in others),
    ]
