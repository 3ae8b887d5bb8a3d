"""Out-of-band changes: where the registry is not what the ledger says, because somebody moved it by another way."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.governance.errors import Refused, StateChanged
from pipeline.governance.lifecycle import CHAMPION, IN_USE, ModelState, Slot, Stage
from pipeline.governance.ports import LedgerTransaction
from pipeline.governance.record.ledger import SlotState, iso, slot_text
from pipeline.governance.text import visible

ENDED_BY = "accept or undo it on History first (reconcile --adopt, --revert)"


@dataclass(frozen=True)
class OutOfBandChange:
    """A slot in which the registry is not what the ledger says; it changed between `since` and `seen`."""

    slot: Slot
    recorded: str | None  # what the ledger says
    observed: str | None  # what the registry holds
    since: datetime
    seen: datetime
    generation: int  # of the slot in the ledger
    reported: bool  # whether an `out_of_band` event says so already

    @property
    def sentence(self) -> str:
        observed, recorded = self.observed or "not there", self.recorded or "not there"
        return f"{self.slot.label} is {observed}, the ledger says {recorded}"

    @property
    def of_champion(self) -> bool:
        """Whether it is about what serves."""
        return self.slot == Slot.of_alias(self.slot.model, CHAMPION)

    @property
    def plain(self) -> str:
        """For somebody who does not know our words: what was changed, and what registry and record say."""
        name, end = visible(self.slot.name), "was changed outside of this desk"
        observed, recorded = visible(self.observed or ""), visible(self.recorded or "")
        if self.slot.kind == "alias":
            what = "champion" if self.slot.name == CHAMPION else f"alias {name}"
            there, kept = (f"version {each}" if each else "no version" for each in (observed, recorded))
            return f"The {what} {end}: the registry says {there}, the record says {kept}."
        if not observed:
            return f"Version {name} was deleted outside of this desk: the record says that it is in {recorded}."
        return f"The stage of version {name} {end}: the registry says {observed}, the record says {recorded or 'gone'}."

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.slot.model,
            "slot": self.slot.label,
            "recorded": self.recorded,
            "observed": self.observed,
            "since": iso(self.since),
            "seen": iso(self.seen),
        }


def champion_differs(model: str, observed: int | None, recorded: int | None) -> str:
    """Why nothing follows a champion that was changed by another way, for whoever asked for it."""
    there, kept = (f"version {each}" if each else "no version" for each in (observed, recorded))
    differs = f"it is {there} in the registry, the record says {kept}"
    return f"the champion of {model!r} was changed outside of this desk: {differs}; {ENDED_BY}"


def find_differences(
    model: str, slots: Mapping[Slot, SlotState], state: ModelState, *, baseline: datetime, now: datetime
) -> list[OutOfBandChange]:
    """Every slot that differs and about which nothing is pending; `baseline`: when the ledger first saw the model."""
    found = []
    for slot in all_slots(model, slots, state):
        slot_state, value = slots.get(slot, SlotState.initial(slot)), state.value(slot)
        if not slot_state.pending and value != slot_state.recorded:
            reported = slot_state.out_of_band and slot_state.observed == value
            since = min(slot_state.since or baseline, now)  # a clock that was ahead knew of it no later than now
            found.append(OutOfBandChange(slot, slot_state.recorded, value, since, now, slot_state.generation, reported))
    return found


def unreported(model: str, slots: Mapping[Slot, SlotState], state: ModelState) -> list[tuple[Slot, str | None]]:
    """The slots whose content is not what the ledger last saw there, with that content."""
    news = []
    for slot in all_slots(model, slots, state):
        slot_state, value = slots.get(slot, SlotState.initial(slot)), state.value(slot)
        last_seen = slot_state.observed if slot_state.out_of_band else slot_state.recorded
        if not slot_state.pending and value != last_seen:
            news.append((slot, value))
    return news


def own_slots(model: str, state: ModelState) -> list[tuple[Slot, str | None]]:
    """Every slot with a content of its own: an alias that is there, a stage other than None."""
    aliases = [(Slot.of_alias(model, alias), str(version)) for alias, version in state.aliases.items()]
    stages = [
        (Slot.of_stage(model, version), stage.value)
        for version, stage in state.stages.items()
        if stage is not Stage.NONE
    ]
    return [*sorted(aliases), *sorted(stages)]


def all_slots(model: str, slots: Iterable[Slot], state: ModelState) -> list[Slot]:
    """What either side knows of, and a version that was deleted as long as the ledger names it."""
    return sorted({*slots, *(slot for slot, _ in own_slots(model, state))})


def state_text(differences: Iterable[OutOfBandChange]) -> str:
    """What somebody who ends the differences looked at, as a review hands out its state."""
    return ",".join(slot_text(each.slot, each.observed, each.generation) for each in differences)


def check_expected(differences: Iterable[OutOfBandChange], expect: str | None) -> None:
    """Raises StateChanged where the differences are not those that the actor looked at (None: whatever there is)."""
    state = state_text(differences)
    if expect not in (None, state):
        now = f"it is {visible(state)}" if state else "nothing differs any more"
        seen = f"expected {visible(str(expect))}, {now}"
        raise StateChanged(f"state: it has changed since you looked ({seen}); look at the differences again")


def put_in_use(differences: Iterable[OutOfBandChange]) -> set[int]:
    """The versions that get an alias, Staging or Production back where the differences are reverted."""
    aliased = {int(each.recorded) for each in differences if each.slot.kind == "alias" and each.recorded}
    return aliased | {int(each.slot.name) for each in differences if each.recorded in IN_USE}


def check_one_production(differences: Iterable[OutOfBandChange], state: ModelState) -> None:
    versions = state.in_stage(Stage.PRODUCTION)
    if len(versions) > 1 and any(each.observed == Stage.PRODUCTION for each in differences):
        named = ", ".join(str(version) for version in versions)
        raise Refused(f"adopt: it would leave the versions {named} in Production; revert, or archive all but one")


def check_champion_in_production(differences: Iterable[OutOfBandChange], state: ModelState) -> None:
    """Adopting must not part the two: the desk moves no champion to Staging, so that it could not promote that one.

    Where they were apart already, what touches neither of them may be adopted.
    """
    own = (f"@{CHAMPION}", f"/{state.champion}")
    parted = any(each.slot.label in own or each.observed == Stage.PRODUCTION for each in differences)
    if parted and state.champion_outside_production:
        raise Refused(
            f"adopt: it would leave champion {state.champion} outside Production; revert and promote the version that "
            "should serve, or move the stages in the registry too"
        )


def check_unmoved(transaction: LedgerTransaction, differences: Iterable[OutOfBandChange]) -> None:
    for each in differences:
        current = transaction.slot(each.slot)
        if (
            current is None
            or current.pending
            or (current.generation, current.observed) != (each.generation, each.observed)
        ):
            raise StateChanged(f"state: {each.slot.label} changed since you looked; reconcile again")
