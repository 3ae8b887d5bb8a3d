"""Deciding: check a request against its review, record the intent, apply it, confirm it.

The order is that of an idempotent request with atomic phases (brandur.org/idempotency-keys): intent, foreign call,
confirmation, each of which may be repeated.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from pipeline.governance.actor import Actor, actor_json
from pipeline.governance.errors import (
    ApprovalsNeeded,
    Conflict,
    DecisionPending,
    InvalidInput,
    LedgerBusy,
    NotFound,
    Refused,
    StateChanged,
    Unavailable,
)
from pipeline.governance.lifecycle import ModelState, Move, MoveKind, Slot, Stage
from pipeline.governance.policy import LivePolicy, Policy
from pipeline.governance.ports import Ledger, LedgerTransaction, Registry, SteadyClock
from pipeline.governance.record.evidence import VALIDATION_TAG
from pipeline.governance.record.ledger import Event, EventType, SlotChange, StoredEvent, iso
from pipeline.governance.rules.repeats import KeyOptions, check_same, check_unused, key_digest, record_refusal
from pipeline.governance.rules.review import Review, Reviewer, check_registry, check_slot
from pipeline.governance.rules.tampering import Watch

# A request for a decision, what it gives, and what is checked against the review before anything is written.


@dataclass(frozen=True)
class Request:
    """One call to decide."""

    move: Move
    reason: str
    actor: Actor
    evidence: str | None = None  # the digest that the actor looked at; None decides on a fresh read
    expect: str | None = None  # the state that the actor looked at; likewise
    accept_warnings: bool = False
    recompute: bool = False  # whether the claims are held against the bytes, as in the review
    # Idempotency: the same key again, such as a double click, gives the first outcome and changes nothing.
    key: str | None = None
    body: str = ""  # the digest of all that the key stands for, where that is more than move, reason and actor

    @property
    def digest(self) -> str:
        """What a key stands for: another move, reason or actor under the same key is another request."""
        move = [self.move.model, self.move.kind.value, self.move.version, self.move.alias]
        return key_digest({"move": move, "reason": self.reason, "actor": self.actor.subject}, self.body)


@dataclass(frozen=True)
class Outcome:
    """A decision that was applied."""

    decision: str
    sequence: int
    model: str
    version: int | None
    target: str  # in words: a stage or an alias
    changes: tuple[SlotChange, ...]
    evidence: str | None
    replayed: bool = False  # whether an earlier request with the same key had applied it
    notice: str = ""  # what else has to be known about it, as a sentence

    def as_json(self) -> dict[str, Any]:
        content = {
            "decision": self.decision,
            "sequence": self.sequence,
            "model": self.model,
            "version": self.version,
            "to": self.target,
            "changes": [change.as_json() for change in self.changes],
            "evidence": self.evidence,
            "replayed": self.replayed,
        }
        return {**content, "notice": self.notice} if self.notice else content


class Intent(NamedTuple):
    """A decision that is recorded and not yet applied."""

    decided: StoredEvent
    begun: float  # when its time began, see carry_out


class Options(KeyOptions, total=False):
    """What the actor looked at and accepts; see Request."""

    evidence: str | None
    expect: str | None
    accept_warnings: bool
    recompute: bool


DEADLINE = timedelta(seconds=15)
RECONCILE_AFTER = 3 * DEADLINE
# What an intent rests on beside its review, and its end repeats.
QUOTED = ("requested", "requested_by", "approvals", "overridden")
VALIDATED = {MoveKind.STAGING: "passed", MoveKind.PRODUCTION: "approved", MoveKind.ROLLBACK: "approved"}


@dataclass(frozen=True)
class Decider:
    """The only writer of decisions."""

    registry: Registry
    ledger: Ledger
    policies: LivePolicy
    clock: SteadyClock
    reviewer: Reviewer
    watch: Watch
    new_id: Callable[[], str]

    @property
    def policy(self) -> Policy:
        """As it is now. Raises NotAllowed while the roles cannot be read."""
        return self.policies.now()

    def decide(self, request: Request) -> Outcome:
        """Raises Refused and Conflict after recording `denied`; Unavailable where the end is not known yet."""
        try:
            if earlier := self.earlier(request):
                return earlier
            self.policy.authorise(request.actor, request.move.kind)
            review = self.review(request.move, recompute=request.recompute)
            if needed := review.rules.approvals:
                raise ApprovalsNeeded(needs_approval(request.move.kind.value, needed))
            review.check(expect=request.expect, evidence=request.evidence, accept_warnings=request.accept_warnings)
            self.check_rollback(request.move)
            with self.locked(request, review) as transaction:
                self.policy.authorise(request.actor, request.move.kind)  # a role may have been taken away meanwhile
                intent = self.intend_reviewed(transaction, request, review)
        except (Refused, Conflict) as error:
            self.deny(request.move, request.actor, request.reason, error=error)
        return self.finish(request.move, intent)

    def review(self, move: Move, *, recompute: bool = False) -> Review:
        """The review that a decision is made on: nothing is from a cache, and changed files are an alarm."""
        review = self.reviewer.review(move, fresh=True, recompute=recompute)
        if review.files_changed:
            self.watch.look(review.evidence)
        return review

    def finish(self, move: Move, intent: Intent) -> Outcome:
        """Apply what was recorded. Raises as `carry_out`."""
        end = self.carry_out(intent.decided, EventType.APPLIED, begun=intent.begun)
        return _outcome(move, intent.decided, end, notice=self.keep_checkpoint())

    def check_rollback(self, move: Move) -> None:
        """A rollback goes to the champion before the present one; which that is may have changed since it was named."""
        if move.kind is MoveKind.ROLLBACK and move.version != self.reviewer.previous_champion(move.model):
            raise StateChanged(
                f"rollback: version {move.version} is not the previous champion; look at the review again"
            )

    def deny(
        self,
        move: Move,
        actor: Actor,
        reason: str,
        *,
        error: Refused | Conflict,
        about: Mapping[str, Any] = MappingProxyType({}),
    ) -> NoReturn:
        """Record the refusal, see record_refusal, then raise it. about: what else it says, such as what was wanted."""
        content = {
            **self.signed(move, actor, reason, policy=self.policies.known()),
            "subject": self._named(move),
            "to": move.target,
            "refusal": type(error).__name__,
            "why": str(error),
            **about,
        }
        record_refusal(self.ledger, Event(EventType.DENIED, move.model, self.clock.now(), content=content))
        raise error

    def intend(
        self,
        transaction: LedgerTransaction,
        move: Move,
        changes: tuple[SlotChange, ...],
        *,
        key: str | None,
        content: Mapping[str, Any],
        decision: str | None = None,
    ) -> StoredEvent:
        """Record `decided`."""
        number = decision or self.new_id()
        event = Event(EventType.DECIDED, move.model, self.clock.now(), changes, number, key=key, content=content)
        return transaction.append(event)

    def carry_out(self, decided: StoredEvent, end: EventType, *, begun: float | None = None) -> StoredEvent:
        """Apply what an intent says, read it back and record how it ended.

        begun: before the intent was recorded, by the clock's `elapsed`; None: somebody else's is finished here.
        Raises Unavailable, and leaves the intent to `reconcile`, where the registry stops answering; Conflict where the
        registry did not take the change.
        """
        try:
            event, failure = self._carry_out(decided, end, begun)
            stored = self.close(decided, event)
        except (Unavailable, LedgerBusy) as error:
            raise Unavailable(f"{error}; decision {decided.sequence} is recorded and reconcile finishes it") from error
        if stored.event.type is not end:
            why = str(failure) if failure else "the registry shows something else after the change"
            if stored.event is not event:
                why = "reconcile ended it meanwhile; if something was written after that, reconcile shows it"
            raise Conflict(f"decision {decided.sequence} was not applied ({stored.event.type}): {why}") from failure
        return stored

    def keep_checkpoint(self) -> str:
        """Empty, or why it could not be kept: the decision is applied all the same."""
        try:
            self.ledger.keep_checkpoint()
        except (Unavailable, LedgerBusy) as error:
            return f"applied; the checkpoint could not be kept: {error}"
        return ""

    def _carry_out(
        self, decided: StoredEvent, end: EventType, begun: float | None
    ) -> tuple[Event, NotFound | InvalidInput | None]:
        failure: NotFound | InvalidInput | None = None
        try:
            self._apply(decided, begun)
        except (NotFound, InvalidInput) as error:
            failure = error  # the registry's own refusal: what is there now decides how this ended
        state = state_of(self.registry, decided.event.model)
        return self.end_of(decided, state, end, recovered=begun is None), failure

    def end_of(self, decided: StoredEvent, state: ModelState, end: EventType, *, recovered: bool = False) -> Event:
        """How an intent ended, judged by the slot that commits it."""
        seen = tuple(
            SlotChange(each.slot, each.expected, each.to, state.value(each.slot)) for each in decided.event.changes
        )
        commit = seen[0]
        if commit.observed != commit.to:
            end = EventType.ABORTED if commit.observed == commit.expected else EventType.CONFLICT
        keys = ("actor", "meaning", "reason", "subject", "evidence", "to")
        content = {key: decided.event.content[key] for key in keys if key in decided.event.content}
        content |= {key: found for key in QUOTED if (found := decided.event.content.get(key))}
        content |= {"recovered": recovered, "intent": decided.sequence}
        return Event(end, decided.event.model, self.clock.now(), seen, decided.event.decision, content=content)

    @contextmanager
    def locked(self, request: Request, review: Review) -> Iterator[LedgerTransaction]:
        """TX 1: the lock, then everything that could have changed since the review is compared once more.

        Raises StateChanged and DecisionPending.
        """
        self.registry.prepare()  # not between intent and effect: the deadline would count it
        for evidence in (review.evidence, review.incumbent):
            if evidence is not None:
                self.ledger.put_evidence(evidence.digest, evidence.text)
        state = self.registry.state(request.move.model)  # before the lock: nobody waits for a registry under it
        with self.ledger.transaction() as transaction:
            check_unused(transaction, request.key)
            for change, seen in zip(review.changes, review.slots, strict=True):
                check_slot(transaction.slot(change.slot), seen, change.slot)
            check_registry(review.changes, state)
            yield transaction

    def intend_reviewed(
        self,
        transaction: LedgerTransaction,
        request: Request,
        review: Review,
        *,
        decision: str | None = None,
        quoted: Mapping[str, Any] = MappingProxyType({}),
    ) -> Intent:
        """Record `decided` with what was reviewed.

        decision: its id, where an event before it names it. quoted: what it rests on beside that, such as signatures.
        """
        changes = tuple(SlotChange(each.slot, each.expected, each.to) for each in review.changes)
        content, begun = {**self._content(request, review), **quoted}, self.clock.elapsed()
        decided = self.intend(transaction, request.move, changes, key=request.key, content=content, decision=decision)
        return Intent(decided, begun)

    def _content(self, request: Request, review: Review) -> dict[str, Any]:
        champion, policy = review.incumbent, self.policy
        incumbent = champion and {"version": champion.version, "evidence": champion.digest}
        status = VALIDATED.get(review.move.kind)
        return {
            **self.signed(request.move, request.actor, request.reason, policy=policy),
            "subject": review.evidence.subject(),
            "to": review.move.target,
            "gates": [gate.as_json() for gate in review.gates],
            "accepted_warnings": [gate.name for gate in review.warnings],
            "policy": policy.digest,
            "evidence": review.evidence.digest,
            "incumbent": incumbent,
            "approvals": [],
            "request": request.digest,
            "state": review.state,
            # Our pipeline registers the tag as "pending"; one of somebody else's with the same name stays as it is.
            "tags": {VALIDATION_TAG: status} if status and review.evidence.ours else {},
        }

    def _named(self, move: Move) -> dict[str, Any]:
        """The subject of a refusal, as far as the registry says: a number is given out again after a deletion."""
        subject = {"model": move.model, "version": move.version}
        if move.version is None:
            return subject
        try:
            created_at = self.registry.version(move.model, move.version).row.created_at
        except (NotFound, Unavailable):
            return subject
        return {**subject, "created_at": iso(created_at)}

    def signed(self, move: Move, actor: Actor, reason: str, *, policy: Policy) -> dict[str, Any]:
        """Who, by which roles of the policy, what for and why, as an event holds it."""
        roles = policy.roles_for(actor, move.kind)
        return {"actor": actor_json(actor, roles), "meaning": move.kind.value, "reason": reason}

    def _apply(self, decided: StoredEvent, begun: float | None) -> None:
        """Each change only while the intent is open: whoever ended it meanwhile has read the registry as it was."""
        for change in (each for each in decided.event.changes if each.expected != each.to):
            if begun is not None and self.clock.elapsed() - begun > DEADLINE.total_seconds():
                raise Unavailable(f"the registry: took longer than {DEADLINE.seconds} s")
            if not self._is_open(decided):
                return
            apply_change(self.registry, change.slot, change.to)
        subject = decided.event.content["subject"]
        if decided.event.changes[0].to is not None and subject.get("version") is not None:
            # For readers of MLflow's own screens; nothing here is ever read back.
            ours = {"signoff.sequence": str(decided.sequence), "signoff.decided_at": iso(decided.event.at)}
            tags = {**ours, **decided.event.content.get("tags", {})}
            self.registry.set_tags(decided.event.model, subject["version"], tags)

    def _is_open(self, decided: StoredEvent) -> bool:
        slot = self.ledger.slots(decided.event.model).get(decided.event.changes[0].slot)
        return slot is not None and slot.pending == decided.event.decision

    def close(self, decided: StoredEvent, event: Event) -> StoredEvent:
        """TX 2, unless somebody else has recorded the end meanwhile."""
        with self.ledger.transaction() as transaction:
            slot = transaction.slot(decided.event.changes[0].slot)
            if slot is not None and slot.pending == decided.event.decision:
                return transaction.append(event)
        return self._recorded_end(decided)

    def _recorded_end(self, decided: StoredEvent) -> StoredEvent:
        later = self.ledger.events(model=decided.event.model, after=decided.sequence)
        return next(stored for stored in later if stored.event.decision == decided.event.decision)

    def earlier(self, request: Request) -> Outcome | None:
        """The outcome of an earlier request with the same key. Raises KeyReused and DecisionPending."""
        if request.key is None:
            return None
        with self.ledger.transaction() as transaction:
            decided = transaction.find_key(request.key)
        if decided is None:
            return None
        check_same(decided, request.digest)
        later = self.ledger.events(model=request.move.model, after=decided.sequence)
        end = next((each for each in later if each.event.decision == decided.event.decision), None)
        if end is None:
            raise DecisionPending(f"decision {decided.sequence} has not ended; reconcile finishes it")
        if end.event.type is not EventType.APPLIED:
            raise Conflict(
                f"decision {decided.sequence} was not applied ({end.event.type}); ask again with another key"
            )
        return _outcome(request.move, decided, end, replayed=True)


def needs_approval(act: str, needed: int) -> str:
    of = "somebody else" if needed == 1 else f"{needed} others"
    return f"{act}: needs the approval of {of}; ask for it with `request` instead"


def state_of(registry: Registry, model: str) -> ModelState:
    """A model that was deleted is one without aliases and versions."""
    try:
        return registry.state(model)
    except NotFound:
        return ModelState()


def apply_change(registry: Registry, slot: Slot, to: str | None) -> None:
    """Put one slot into a state. Raises InvalidInput for a stage that cannot be set because the version was deleted."""
    if slot.kind == "alias":
        registry.set_alias(slot.model, slot.name, None if to is None else int(to))
    elif to is None:
        raise InvalidInput(f"{slot.label}: a deleted version cannot be brought back or deleted from here")
    else:
        registry.set_stage(slot.model, int(slot.name), Stage(to))


def _outcome(
    move: Move, decided: StoredEvent, end: StoredEvent, *, replayed: bool = False, notice: str = ""
) -> Outcome:
    content = decided.event.content
    return Outcome(
        decision=str(decided.event.decision),
        sequence=decided.sequence,
        model=move.model,
        version=content["subject"]["version"],
        target=content.get("to", move.target),
        changes=end.event.changes,
        evidence=content.get("evidence"),
        replayed=replayed,
        notice=notice,
    )
