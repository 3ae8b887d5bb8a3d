"""Search for a sequence of decisions, crashes, lost answers and outsiders that breaks a promise of the desk.

The invariants I1 to I9 are those of docs/governance.md.
"""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pipeline.governance.actor import Actor, Role
from pipeline.governance.errors import Conflict, NotFound, Refused, Unavailable
from pipeline.governance.lifecycle import CHAMPION, ModelState, MoveKind, Slot, Stage, stage_move
from pipeline.governance.policy import Policy
from pipeline.governance.record.ledger import ENDS, Event, EventType, StoredEvent
from pipeline.governance.record.out_of_band import state_text
from pipeline.governance.record.requests import find_open_requests, find_request, find_requests
from pipeline.governance.rules.decide import Outcome
from pipeline.governance.rules.signing.approval import SignedAct
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    DatabaseClock,
    TickingClock,
    build_desk,
    default_policy,
    small_registry,
)
from support.in_memory import InMemoryLedger, InMemoryRegistry
from support.soak import amount

versions = st.integers(1, 4)
aliases = st.sampled_from(["champion", "challenger", "shadow"])
stages = st.sampled_from(list(Stage))
ends = st.sampled_from(["adopt", "revert"])
# After how many writes to registry and ledger the process dies; None: it lives.
crashes = st.sampled_from([None, None, None, None, 0, 1, 2, 3, 4, 5])
losses = st.sampled_from([None, None, None, "request", "answer"])


class Crash(BaseException):
    """Not an Exception, so that nothing can catch it."""


class Faults:
    """Counts writes, dies before one of them, and loses one request or answer of the registry."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.lost: str | None = None

    def step(self) -> None:
        if self.left == 0:
            raise Crash
        if self.left is not None:
            self.left -= 1


class FaultyRegistry(InMemoryRegistry):
    """The registry in memory behind a bad network."""

    faults: Faults

    def set_alias(self, model: str, alias: str, version: int | None) -> None:
        self.write(super().set_alias, model, alias, version)

    def set_stage(self, model: str, version: int, stage: Stage) -> None:
        self.write(super().set_stage, model, version, stage)

    def write(self, call, *arguments: Any) -> None:
        self.faults.step()
        if self.faults.lost == "request":
            raise Unavailable("lost")
        call(*arguments)
        if self.faults.lost == "answer":
            raise Unavailable("lost")


class FaultyLedger(InMemoryLedger):
    """The ledger in memory of a process that may die."""

    faults: Faults

    def append(self, event: Event) -> StoredEvent:
        self.faults.step()
        return super().append(event)


class Decisions(RuleBasedStateMachine):
    """One model, four versions, and everything that may happen to them."""

    def __init__(self) -> None:
        super().__init__()
        self.faults, self.clock = Faults(), TickingClock()
        self.registry, self.ledger = FaultyRegistry(), FaultyLedger(database_clock=DatabaseClock(self.clock))
        self.registry.__dict__.update(small_registry(versions=4).__dict__)
        self.registry.faults = self.ledger.faults = self.faults
        self.desk = build_desk(self.registry, self.ledger, clock=self.clock, policy=self.policy())
        self.keys: dict[str, Outcome] = {}
        self.attempts = 0
        self.outsider_was_here = False

    def policy(self) -> Policy:
        return default_policy()

    def attempt(self, call, crash: int | None, lost: str | None, **options: Any) -> None:
        """One request, which may be refused, may conflict, may lose its connection or its process."""
        self.attempts += 1
        self.faults.left, self.faults.lost = crash, lost
        before, denied = self.registry.state(MODEL), self.count(EventType.DENIED)
        try:
            outcome = call(reason=REASON, actor=GRACE, **options)
            if isinstance(outcome, Outcome):
                self.keys[str(options.get("key"))] = outcome
        except (Crash, Unavailable, NotFound):
            pass
        except (Refused, Conflict) as error:
            self.heal()
            assert self.registry.state(MODEL) == before, "I5: a refused request changes nothing"
            if "was not applied" not in str(error):
                assert self.count(EventType.DENIED) == denied + 1, "I5: and leaves one denied"
        finally:
            self.heal()

    def heal(self) -> None:
        self.faults.left = self.faults.lost = None

    def count(self, kind: EventType) -> int:
        return Counter(stored.event.type for stored in self.ledger.events())[kind]

    @rule(version=versions, stage=stages, crash=crashes, lost=losses)
    def promote(self, version: int, stage: Stage, crash: int | None, lost: str | None) -> None:
        key = f"key {self.attempts}"
        self.attempt(lambda **each: self.desk.promote(MODEL, version, stage, **each), crash, lost, key=key)

    @rule(version=versions, alias=aliases, crash=crashes, lost=losses)
    def set_alias(self, version: int, alias: str, crash: int | None, lost: str | None) -> None:
        key = f"key {self.attempts}"
        self.attempt(lambda **each: self.desk.set_alias(MODEL, alias, version, **each), crash, lost, key=key)

    @rule(alias=aliases, crash=crashes, lost=losses)
    def remove_alias(self, alias: str, crash: int | None, lost: str | None) -> None:
        self.attempt(lambda **each: self.desk.remove_alias(MODEL, alias, **each), crash, lost)

    @rule(crash=crashes, lost=losses)
    def roll_back(self, crash: int | None, lost: str | None) -> None:
        self.attempt(lambda **each: self.desk.rollback(MODEL, **each), crash, lost)

    @rule(crash=crashes, lost=losses)
    def revert(self, crash: int | None, lost: str | None) -> None:
        self.attempt(lambda **each: self.desk.revert(MODEL, **each), crash, lost)

    @rule(crash=crashes)
    def adopt(self, crash: int | None) -> None:
        self.attempt(lambda **each: self.desk.adopt(MODEL, **each), crash, None)

    @rule(version=versions, alias=aliases, end=ends)
    def what_moved_after_a_look_is_not_signed(self, version: int, alias: str, end: str) -> None:
        """I2: neither adopted nor reverted."""
        looked_at = state_text(self.desk.differences(MODEL))
        self.somebody_else_moves_an_alias(version, alias)
        if state_text(self.desk.differences(MODEL)) == looked_at:
            return
        ended = self.count(EventType.ADOPTED), self.count(EventType.REVERTED)
        self.attempt(lambda **each: getattr(self.desk, end)(MODEL, **each), None, None, expect=looked_at)
        assert ended == (self.count(EventType.ADOPTED), self.count(EventType.REVERTED)), "I2"

    @rule(version=versions)
    def adopt_a_champion_that_somebody_else_moved(self, version: int) -> None:
        """Where the stages do not follow: see the last invariant."""
        self.somebody_else_moves_an_alias(version, CHAMPION)
        self.adopt(None)

    @precondition(lambda self: self.keys)
    @rule()
    def the_same_key_has_one_effect(self) -> None:
        """I6."""
        key, first = list(self.keys.items())[-1]
        before = self.registry.state(MODEL), len(list(self.ledger.events()))
        decided = next(stored for stored in self.ledger.events() if stored.event.decision == first.decision)
        kind, version = decided.event.content["meaning"], first.version
        if kind in ("staging", "production", "archived", "none"):
            again = self.desk.promote(MODEL, version, Stage(first.target), reason=REASON, actor=GRACE, key=key)  # type: ignore[arg-type]
            assert (again.decision, again.replayed) == (first.decision, True)
        assert before == (self.registry.state(MODEL), len(list(self.ledger.events())))

    @rule(version=versions | st.none(), alias=aliases)
    def somebody_else_moves_an_alias(self, version: int | None, alias: str) -> None:
        InMemoryRegistry.set_alias(self.registry, MODEL, alias, version)
        self.outsider_was_here = True

    @rule(version=versions, stage=stages)
    def somebody_else_moves_a_stage(self, version: int, stage: Stage) -> None:
        InMemoryRegistry.set_stage(self.registry, MODEL, version, stage)
        self.outsider_was_here = True

    @rule()
    def reconcile_leaves_nothing_open(self) -> None:
        """I3 and I9: at rest ledger and registry agree, or an out-of-band change is open; a second pass is idle."""
        self.clock.time += timedelta(minutes=5)
        self.desk.reconcile(MODEL)
        slots = self.ledger.slots(MODEL)
        state = self.registry.state(MODEL)
        for slot, held in slots.items():
            assert held.pending is None, "I9"
            assert held.out_of_band or held.recorded == state.value(slot), "I3"
        assert self.desk.reconcile(MODEL) == []

    @rule()
    def keep_a_checkpoint(self) -> None:
        self.ledger.keep_checkpoint()

    @invariant()
    def the_chain_is_whole(self) -> None:
        """I4."""
        assert self.ledger.problems() == []

    @invariant()
    def every_intent_has_at_most_one_end(self) -> None:
        """I1; and I2: nothing is applied that was not decided with an actor, a reason, gates and a role."""
        intents: dict[str, Event] = {}
        for stored in self.ledger.events():
            event = stored.event
            if event.type is EventType.DECIDED:
                intents[str(event.decision)] = event
                assert event.content["actor"]["roles"], "I2"
                assert event.content["reason"] == REASON
                assert not any(g["mode"] == "prevent" and not g["passed"] for g in event.content.get("gates", [])), "I2"
            elif event.type in ENDS:
                intents.pop(str(event.decision))  # KeyError: an end without intent, or a second one

    @invariant()
    def one_champion_and_one_production(self) -> None:
        """I7, as long as nobody went around the desk and nothing is pending."""
        slots = self.ledger.slots(MODEL)
        if self.outsider_was_here or any(held.pending for held in slots.values()):
            return
        state = self.registry.state(MODEL)
        production = state.in_stage(Stage.PRODUCTION)
        assert production == ([state.aliases[CHAMPION]] if CHAMPION in state.aliases else [])

    @invariant()
    def an_adoption_parts_no_champion_from_production(self) -> None:
        """I7, whoever went around the desk: by the ledger, where a champion was adopted and nothing is pending."""
        last, slots = self.ledger.last(MODEL), self.ledger.slots(MODEL)
        champion = Slot.of_alias(MODEL, CHAMPION)
        if last is None or last.event.type is not EventType.ADOPTED:
            return
        adopted = any(each.slot == champion and each.to is not None for each in last.event.changes)
        if not adopted or any(held.pending for held in slots.values()):
            return
        stages = {int(slot.name): Stage(held.recorded) for slot, held in slots.items() if slot.kind == "stage"}  # type: ignore[arg-type]
        recorded = ModelState({CHAMPION: int(str(slots[champion].recorded))}, stages)
        assert not recorded.champion_outside_production, "I7"


TestDecisions = Decisions.TestCase
TestDecisions.settings = settings(
    max_examples=amount(120, soak=5_000),
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


MARY, JOE = (replace(GRACE, subject=name) for name in ("mary", "joe"))
some_signers = st.lists(st.sampled_from([GRACE, MARY, JOE]), min_size=1, max_size=3)
acts = st.sampled_from(["approve", "approve", "approve", "reject", "withdraw"])


class Signatures(Decisions):
    """The same desk, where Production and the way back take two persons, and one may break the glass."""

    def policy(self) -> Policy:
        found = default_policy()
        kinds = (MoveKind.PRODUCTION, MoveKind.ROLLBACK)
        asked = {kind: replace(found.moves[kind], approvals=1) for kind in kinds}
        roles = replace(found.roles, self_declared=(Role.REVIEWER, Role.APPROVER, Role.BREAKER))
        return replace(found, moves={**found.moves, **asked}, roles=roles)

    @initialize(version=versions)
    def one_version_has_a_registrar(self, version: int) -> None:
        """Of the others nobody is known, which takes one approval more."""
        self.desk.record_registration(MODEL, version, JOE)

    @rule(version=versions, crash=crashes)
    def ask(self, version: int, crash: int | None) -> None:
        """After what a request needs: nothing differs, and the version is in Staging."""
        self.reconcile_leaves_nothing_open()
        if self.desk.differences(MODEL):
            self.attempt(lambda **each: self.desk.revert(MODEL, **each), None, None)
        self.promote(version, Stage.STAGING, None, None)
        move = stage_move(MODEL, version, Stage.PRODUCTION)
        self.attempt(lambda **each: self.desk.request(move, **each), crash, None, key=f"key {self.attempts}")

    @rule(crash=crashes)
    def ask_to_roll_back_or_adopt(self, crash: int | None) -> None:
        self.attempt(lambda **each: self.desk.request_rollback(MODEL, **each), crash, None)
        self.attempt(lambda **each: self.desk.request_adoption(MODEL, **each), crash, None)

    @precondition(lambda self: any(each.event.type is EventType.REQUESTED for each in self.ledger.events()))
    @rule(actors=some_signers, act=acts, older=st.integers(0, 1), crash=crashes, lost=losses)
    def sign(self, actors: list[Actor], act: str, older: int, crash: int | None, lost: str | None) -> None:
        """Some approve; the last one does this or that, and may lose the connection or the process."""
        asked = [each.sequence for each in self.ledger.events() if each.event.type is EventType.REQUESTED]
        number = asked[max(len(asked) - 1 - older, 0)]
        found = find_request(self.ledger, number).binding
        *before, last = [SignedAct(number, REASON, actor, found.evidence, found.state) for actor in actors]
        for signing in before:
            self.attempt(lambda signing=signing, **_: self.desk.approve(signing), None, None)
        self.attempt(lambda **_: getattr(self.desk, act)(last), crash, lost)

    @rule(version=versions, crash=crashes, lost=losses)
    def break_the_glass(self, version: int, crash: int | None, lost: str | None) -> None:
        move = stage_move(MODEL, version, Stage.PRODUCTION)
        self.attempt(lambda **each: self.desk.override(move, **each), crash, lost, key=f"key {self.attempts}")

    @rule(days=st.integers(1, 5))
    def time_passes(self, days: int) -> None:
        self.clock.time += timedelta(days=days)

    @invariant()
    def open_requests_are_those_that_have_not_ended(self) -> None:
        """They are looked for by their signatures alone; told from every event about each request it is the same."""
        every = [(each.sequence, each.end is None) for each in find_requests(self.ledger, MODEL)]

        assert [each.sequence for each in find_open_requests(self.ledger)] == [
            number for number, is_open in every if is_open
        ]

    @invariant()
    def no_champion_without_signatures(self) -> None:
        """I2: what made a champion rests on a second person, or on an override that says so."""
        events = {stored.sequence: stored.event for stored in self.ledger.events()}
        for number, event in events.items():
            meaning = event.content.get("meaning")
            moved = any(each.slot == Slot.of_alias(MODEL, CHAMPION) and each.to is not None for each in event.changes)
            if event.type is EventType.ADOPTED and moved:
                assert event.content.get("requested"), "I2"
            if event.type not in (EventType.DECIDED, EventType.ADOPTED) or not event.content.get("requested"):
                decided = event.type is EventType.DECIDED and meaning in ("production", "rollback")
                assert not decided or events[number - 1].type is EventType.OVERRIDDEN, "I2"
                continue
            request = events[event.content["requested"]]
            signed = [events[each] for each in event.content["approvals"]]
            persons = {each.content["actor"]["subject"] for each in signed}
            assert len(persons) == len(signed) >= 1, "I2"
            assert request.content["actor"]["subject"] not in persons, "I2"
            assert all(each.content["requested"] == event.content["requested"] for each in signed), "I2"
            assert all(each.type is EventType.APPROVED for each in signed), "I2"


TestSignatures = Signatures.TestCase
TestSignatures.settings = settings(
    max_examples=amount(25, soak=2_000),
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
