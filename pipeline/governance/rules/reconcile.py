"""Holding the ledger against the registry: first sight, crashes, changes by another way, bytes that changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from pipeline.governance.actor import Actor
from pipeline.governance.errors import ApprovalsNeeded, Conflict, NotFound, Refused, Unavailable
from pipeline.governance.lifecycle import ModelState, Move, MoveKind
from pipeline.governance.ports import KnownRegistry, Ledger, PendingDecision, Registry, SteadyClock
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.record.ledger import Event, EventType, SlotChange, SlotState, StoredEvent, iso
from pipeline.governance.record.out_of_band import (
    OutOfBandChange,
    check_champion_in_production,
    check_expected,
    check_one_production,
    check_unmoved,
    find_differences,
    own_slots,
    put_in_use,
    state_text,
    unreported,
)
from pipeline.governance.rules.decide import RECONCILE_AFTER, Decider, needs_approval, state_of
from pipeline.governance.rules.review import Reviewer
from pipeline.governance.rules.signing.matter import is_signed, moves_past, rules_of_adoption
from pipeline.governance.rules.tampering import Changed, Watch


@dataclass(frozen=True)
class Reconciler:
    """Reports what is different and finishes what a crash left; a second pass finds nothing to do."""

    registry: Registry
    ledger: Ledger
    clock: SteadyClock
    decider: Decider
    reviewer: Reviewer
    watch: Watch
    first_seen: dict[str, float] = field(default_factory=dict, init=False, compare=False)

    def take_over(self, model: str) -> StoredEvent | None:
        """Record a model that the ledger has not seen: what was found now, nothing claimed about before.

        Raises NotFound for a model that the registry does not have either.
        """
        if self.ledger.baseline(model) is not None:
            return None
        state = self.registry.state(model)
        subject = self.champion_subject(model, state)
        changes = tuple(SlotChange(slot, None, value, value) for slot, value in own_slots(model, state))
        event = Event(EventType.BASELINE, model, self.clock.now(), changes, content={"subject": subject})
        with self.ledger.transaction() as transaction:
            return None if transaction.has_baseline(model) else transaction.append(event)

    def differences(self, model: str) -> list[OutOfBandChange]:
        """Reads only. Empty for a model without a baseline: nothing was claimed about it."""
        baseline = self.ledger.baseline(model)
        if baseline is None:
            return []
        slots, state = self.ledger.slots(model), self.state(model)
        return find_differences(model, slots, state, baseline=baseline.event.at, now=self.clock.now())

    def reconcile(self, model: str, *, min_age: timedelta = RECONCILE_AFTER) -> list[StoredEvent]:
        """Take over, finish intents older than `min_age`, record new out-of-band changes and changed bytes."""
        events = [self.first_look(model), *self._finish(model, min_age), self._report(model)]
        events += [self.watch.record(model, each) for each in self.changed_files(model)]
        return [event for event in events if event is not None]

    def look(self, model: str) -> list[StoredEvent]:
        """Record what nobody has to ask for, the takeover and new out-of-band changes; the registry stays as it is."""
        return [event for event in (self.first_look(model), self._report(model)) if event is not None]

    def first_look(self, model: str) -> StoredEvent | None:
        """`take_over`, also of a name that the ledger knows from a refusal alone: then there is nothing to record."""
        try:
            return self.take_over(model)
        except NotFound:
            return None

    def adopt(self, model: str, *, reason: str, actor: Actor, expect: str | None = None) -> StoredEvent:
        """Take what is there as recorded from now on; `expect` is the state_text of what the actor looked at.

        Raises Refused where nothing differs, two versions would be in Production, the champion would not be or files
        were changed; StateChanged where it moved again.
        """
        with self._denying(model, reason, actor) as move:
            differences, state = self.reported(model, expect), self.state(model)
            moves = moves_past(self.reviewer, model, differences)
            if needed := rules_of_adoption(self.reviewer, moves).approvals:
                raise ApprovalsNeeded(needs_approval("adopt", needed))
            self.check_adoptable(model, differences, state)
            content = {
                **self._signed(move, actor, reason),
                "meaning": "adopt",
                "subject": self.champion_subject(model, state),
            }
            with self.ledger.transaction() as transaction:
                check_unmoved(transaction, differences)
                return transaction.append(self.adopted(model, differences, content))

    def check_adoptable(self, model: str, differences: Sequence[OutOfBandChange], state: ModelState) -> None:
        """Raises Refused where two versions would be in Production, the champion outside, or files were changed."""
        check_one_production(differences, state)
        if changed := self.changed_files(model):
            raise Refused(f"reconcile: {changed[0].sentence}; revert, or archive it and register it anew")
        check_champion_in_production(differences, state)

    def adopted(self, model: str, differences: Iterable[OutOfBandChange], content: Mapping[str, Any]) -> Event:
        """The event that takes what differs as recorded."""
        changes = tuple(SlotChange(each.slot, each.recorded, each.observed, each.observed) for each in differences)
        return Event(EventType.ADOPTED, model, self.clock.now(), changes, content=content)

    def revert(self, model: str, *, reason: str, actor: Actor, expect: str | None = None) -> StoredEvent:
        """Put the registry back to what the ledger says.

        Raises Refused where nothing differs or other bytes would come into use, StateChanged where it moved again,
        Conflict and Unavailable as decisions.
        """
        with self._denying(model, reason, actor) as move:
            differences = self.reported(model, expect)
            if other := next(self.watch.replaced(model, put_in_use(differences)), None):
                raise Refused(f"revert: {other.sentence}; adopt what is there, or put the recorded files back")
            changes = tuple(SlotChange(each.slot, each.observed, each.recorded) for each in differences)
            content = {
                **self._signed(move, actor, reason),
                "meaning": "revert",
                "subject": {"model": model, "version": None},
            }
            self.registry.prepare()
            with self.ledger.transaction() as transaction:
                check_unmoved(transaction, differences)
                begun = self.clock.elapsed()
                decided = self.decider.intend(transaction, move, changes, key=None, content=content)
        return self.decider.carry_out(decided, EventType.REVERTED, begun=begun)

    @contextmanager
    def _denying(self, model: str, reason: str, actor: Actor) -> Iterator[Move]:
        """Authorise, and record whatever refuses the block as `denied`."""
        move = Move(model, MoveKind.RECONCILE, None)
        try:
            self.decider.policy.authorise(actor, move.kind)
            yield move
        except (Refused, Conflict) as error:
            self.decider.deny(move, actor, reason, error=error)

    def changed_files(self, model: str) -> list[Changed]:
        """Versions in use whose files are not those recorded."""
        return list(self.watch.changed(model, self.state(model)))

    def pending(self, model: str | None = None) -> list[PendingDecision]:
        """The decisions that have not ended, oldest first, of one model or all.

        Their age is that of the database's clock, or since this reconciler first saw them, whichever says more: a stamp
        may be of a clock that was ahead.
        """
        now, found = self.clock.elapsed(), self.ledger.pending(model)
        seen = (timedelta(seconds=now - self.first_seen.setdefault(each.decision, now)) for each in found)
        return [replace(each, age=max(each.age, since)) for each, since in zip(found, seen, strict=True)]

    def _finish(self, model: str, min_age: timedelta) -> Iterable[StoredEvent]:
        for each in self.pending(model):
            if each.age >= min_age:
                yield self._finish_one(next(self.ledger.events(model=model, after=each.sequence - 1)))

    def _finish_one(self, decided: StoredEvent) -> StoredEvent:
        """Roll forward what reached its commit point, and what several persons signed, if its files are still those.

        Anything else is aborted, or a conflict if somebody moved it.
        """
        meaning = decided.event.content.get("meaning")
        end = EventType.REVERTED if meaning == "revert" else EventType.APPLIED
        commit = decided.event.changes[0]
        value = self.state(decided.event.model).value(commit.slot)
        if value == commit.to or (value == commit.expected and is_signed(decided, self.reviewer)):
            self.registry.prepare()
            stored = self.decider.carry_out(decided, end)
            if end is EventType.APPLIED:
                self.decider.keep_checkpoint()  # one that could not be kept is made good by the next
            return stored
        event = self.decider.end_of(decided, self.state(decided.event.model), end, recovered=True)
        return self.decider.close(decided, event)

    def _report(self, model: str) -> StoredEvent | None:
        """One `out_of_band` event for all slots in which the registry is not what was last seen."""
        if self.ledger.baseline(model) is None:
            return None
        slots = self.ledger.slots(model)
        news = unreported(model, slots, self.state(model))
        if not news:
            return None
        changes = tuple(
            SlotChange(slot, slots.get(slot, SlotState.initial(slot)).recorded, None, value) for slot, value in news
        )
        event = Event(EventType.OUT_OF_BAND, model, self.clock.now(), changes, content={"subject": {"model": model}})
        with self.ledger.transaction() as transaction:
            if any(transaction.slot(slot) != slots.get(slot) for slot, _ in news):
                return None  # somebody decided meanwhile; the next pass looks again
            return transaction.append(event)

    def reported(self, model: str, expect: str | None) -> list[OutOfBandChange]:
        """The differences, if they are those expected, recorded as out-of-band so that what is ended was also seen.

        What moves between the two reads is not signed: `check_unmoved` compares with what was recorded.
        """
        self.take_over(model)
        differences = self.differences(model)
        check_expected(differences, expect)
        if not differences:
            raise Refused(f"reconcile: nothing differs between the registry and the ledger for {model!r}")
        self._report(model)
        return differences

    def champion_subject(self, model: str, state: ModelState) -> dict[str, Any]:
        found = self.champion_evidence(model, state)
        return {"model": model, "version": state.champion} if found is None else found.subject()

    def champion_evidence(self, model: str, state: ModelState) -> Evidence | None:
        if state.champion is None:
            return None
        try:
            return self.reviewer.evidence(self.registry.version(model, state.champion))
        except NotFound:
            return None

    def state(self, model: str) -> ModelState:
        return state_of(self.registry, model)

    def _signed(self, move: Move, actor: Actor, reason: str) -> dict[str, Any]:
        """Authorised once more: the role may have been taken away meanwhile."""
        policy = self.decider.policy
        policy.authorise(actor, move.kind)
        return self.decider.signed(move, actor, reason, policy=policy)


# What is not as it was recorded: in the ledger itself, in the registry, in the files of what is in use.

MOST_NAMED = 5
CLOCKS_DIFFER = timedelta(minutes=1)
UNITS = ((timedelta(days=2), timedelta(days=1), "days"), (timedelta(hours=2), timedelta(hours=1), "h"))
MINUTES = (timedelta(minutes=2), timedelta(minutes=1), "min")


@dataclass(frozen=True)
class IntegrityProblem:
    """What `verify` found."""

    kind: str  # registry, ledger, pending, out_of_band or tampering
    model: str  # empty where it is about all of them
    text: str
    plain: str = ""  # the same for a person, where the text is for those who know our words

    def as_json(self) -> dict[str, str]:
        return {"kind": self.kind, "model": self.model, "text": self.text}


@dataclass(frozen=True)
class Unresolved:
    """What is left for a person after reconciling, for one model or all."""

    differences: Mapping[str, Sequence[OutOfBandChange]]  # by model; only models with any
    pending: Sequence[PendingDecision]
    gone: Sequence[str]  # models that were taken over, and that the registry does not have any more
    problems: Sequence[IntegrityProblem]  # an unknown registry, and changed files of versions in use

    def as_json(self) -> dict[str, Any]:
        return {
            "differences": [each.as_json() for found in self.differences.values() for each in found],
            "states": {model: state_text(found) for model, found in self.differences.items()},
            "pending": [pending_json(each) for each in self.pending],
            "gone": list(self.gone),
            "problems": [each.as_json() for each in self.problems],
        }


@dataclass(frozen=True)
class Verification:
    """What `verify` is asked."""

    registry: Callable[[], str | None]  # the id that the registry has; None where it has none
    models: Callable[[], Iterable[str]]  # the names of the models that there are
    new: bool = False  # whether the registry is meant to be one that the ledger does not know
    checkpoints: Sequence[Path] = ()  # files of them that were kept elsewhere


def find_problems(ledger: Ledger, reconciler: Reconciler, asked: Verification) -> Iterator[IntegrityProblem]:
    """The ledger's own, which registry this is, then model by model.

    Where the ledger is damaged, what cannot be looked at because of that is a problem too. Raises Unavailable where the
    ledger is whole and the registry does not answer.
    """
    own = ledger.problems(asked.checkpoints)
    check = partial(_careful, own)
    if not asked.new:
        yield from check("", lambda: _registry_problems(ledger, asked.registry()))
    yield from (IntegrityProblem("ledger", "", text) for text in own)
    yield from check("", lambda: _pending_problems(reconciler))
    names: list[str] = []

    def name() -> Iterator[IntegrityProblem]:
        names.extend(asked.models())
        yield from ()

    yield from check("", name)
    for model in names:
        yield from check(model, partial(_model_problems, reconciler, model))


def _careful(own: Sequence[str], model: str, check: Callable[[], Iterable[IntegrityProblem]]) -> list[IntegrityProblem]:
    """What is found, and what ended the search where the ledger is damaged: what was found before is not lost."""
    found: list[IntegrityProblem] = []
    try:
        found.extend(check())
    except Unavailable as error:
        if not own:
            raise
        if str(error) in own:  # the whole file: said once
            return found
        found.append(IntegrityProblem("ledger", model, f"not all could be checked: {error}"))
    return found


def _registry_problems(ledger: Ledger, registry: str | None) -> Iterator[IntegrityProblem]:
    if unknown := unknown_registry(ledger, registry):
        yield IntegrityProblem("registry", "", unknown)


def _pending_problems(reconciler: Reconciler) -> Iterator[IntegrityProblem]:
    for each in reconciler.pending():
        if each.age > RECONCILE_AFTER:
            yield IntegrityProblem("pending", each.model, pending_sentence(each))


def _model_problems(reconciler: Reconciler, model: str) -> Iterator[IntegrityProblem]:
    yield from (
        IntegrityProblem("out_of_band", model, each.sentence, each.plain) for each in reconciler.differences(model)
    )
    yield from (IntegrityProblem("tampering", model, each.sentence) for each in reconciler.changed_files(model))


def unknown_registry(ledger: Ledger, registry: str | None) -> str | None:
    """Why the ledger's word about this registry is worth nothing, as one sentence; None where it knows it.

    registry: the id that it has, None where it has none.
    """
    known, new = ledger.registries(), "or `verify --new` if the registry is new"
    if not ledger.exists():
        return f"there is no ledger: it was lost, or nothing was recorded yet; name its address, {new}"
    here = f"the registry at {ledger.address}" if ledger.address else "this registry"
    if not ledger.models() and not ledger.tokens.all():  # a token is made before anything is decided
        its = f"its id is {registry}" if registry else "it has no id"
        return f"the ledger holds nothing about {here} ({its}), it knows {_named(known)}; name the right address, {new}"
    addresses = [each.address for each in known if each.registry == registry]
    if not ledger.address or not addresses or ledger.address in addresses:
        return None
    there = ", ".join(addresses[-MOST_NAMED:])
    return (
        f"the ledger knows {here} by its id {registry}, but at {there}; name that address, or reconcile if it has moved"
    )


def set_back(ledger: Ledger) -> list[str]:
    """Where time went back from one event to the next, by more than clocks differ and a lock is waited for.

    No problem of the ledger, whose order is by sequence, but of somebody's clock; the newest are named.
    """
    found = []
    for (before, earlier), (number, at) in pairwise(ledger.stamps()):
        if earlier - at > CLOCKS_DIFFER:
            back = lasting(earlier - at)
            found.append(f"event {number} is stamped {back} before event {before}; a clock was set, or ran ahead")
    more = [f"time went back {len(found) - MOST_NAMED} more times before"] if len(found) > MOST_NAMED else []
    return [*more, *found[-MOST_NAMED:]]


def pending_sentence(pending: PendingDecision) -> str:
    """How long it has not ended, and since when by the clock of whoever decided."""
    stamped = f"{pending.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    return f"decision {pending.sequence} is pending since {stamped}, for {lasting(pending.age)}; reconcile finishes it"


def pending_json(pending: PendingDecision) -> dict[str, str | int | float]:
    return {
        "sequence": pending.sequence,
        "model": pending.model,
        "decision": pending.decision,
        "at": iso(pending.at),
        "age_seconds": round(pending.age.total_seconds(), 3),
    }


def lasting(age: timedelta) -> str:
    """A duration in the largest unit that it has two of."""
    for least, unit, name in (*UNITS, MINUTES):
        if age >= least:
            return f"{age // unit} {name}"
    return f"{age // timedelta(seconds=1)} s"


def _named(known: Iterable[KnownRegistry]) -> str:
    pairs = [f"{each.registry} at {each.address}" for each in known]
    more = f" and {len(pairs) - MOST_NAMED} more" if len(pairs) > MOST_NAMED else ""
    return ", ".join(pairs[-MOST_NAMED:]) + more if pairs else "another one"
