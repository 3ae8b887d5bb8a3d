"""The desk's promises, one decision at a time."""

import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.governance.decide import Request
from pipeline.governance.errors import (
    Blocked,
    Conflict,
    DecisionPending,
    InvalidInput,
    KeyReused,
    LedgerBusy,
    NotAllowed,
    NotFound,
    NothingToDo,
    NotTried,
    OutOfBand,
    Refused,
    SignoffError,
    StaleEvidence,
    StateChanged,
    Unavailable,
    WarningsNotAccepted,
)
from pipeline.governance.history import GateCount, Moment, entry, given_out_again, one_line_each
from pipeline.governance.ledger import Event, EventType, SlotState, StoredEvent, UnknownType, UnreadableEvent, iso
from pipeline.governance.lifecycle import ModelState, Move, MoveKind, Slot, Stage, alias_move, parse_target, stage_move
from pipeline.governance.metrics import Direction, MetricRules
from pipeline.governance.out_of_band import check_unmoved, state_text
from pipeline.governance.policy import Actor, Established, GateRule, Mode
from pipeline.governance.review import check_slot
from support.desks import (
    GRACE,
    MODEL,
    PIPELINE,
    REASON,
    KnownClaims,
    KnownDifferences,
    KnownSmoke,
    OpenDesk,
    add_good_version,
    before_the_lock,
    build_desk,
    default_policy,
    failing,
    refused,
    registered_again,
    small_registry,
    worse,
)
from support.in_memory import EPOCH, InMemoryLedger, InMemoryRegistry

NOBODY = Actor("nobody", Established.PROGRAM)  # the policy lists no such program
OUR_EVENTS = [EventType.BASELINE, EventType.DECIDED, EventType.APPLIED]


def promote(desk: OpenDesk, version: int, stage: Stage, **options: Any):
    return desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, **options)


def move_stages(registry: InMemoryRegistry, stages: dict[int, Stage]) -> None:
    for version, stage in stages.items():
        registry.set_stage(MODEL, version, stage)


def champion(desk: OpenDesk, *versions: int) -> None:
    for version in versions:
        promote(desk, version, Stage.STAGING)
        promote(desk, version, Stage.PRODUCTION)


def types(desk: OpenDesk) -> list[EventType | UnknownType]:
    return [entry.type for entry in desk.history(MODEL)]


class TestPromotion:
    """Into a stage."""

    def test_changes_the_registry_and_is_found_in_the_history(self) -> None:
        """Baseline, intent, end; the last line says who, when, why, from what to what."""
        desk = build_desk()
        outcome = promote(desk, 1, Stage.STAGING)
        entry = desk.history(MODEL)[-1]

        assert desk.registry.state(MODEL).stages[1] is Stage.STAGING
        assert OUR_EVENTS == types(desk)
        assert ("grace", REASON, 1, "None", "Staging") == (
            entry.actor,
            entry.reason,
            entry.version,
            entry.before,
            entry.after,
        )
        assert (outcome.sequence, outcome.target, outcome.replayed) == (2, "Staging", False)

    def test_binds_evidence_bytes_gates_policy_and_identity(self) -> None:
        """Everything that an auditor asks for is in the intent."""
        desk = build_desk()
        review = desk.review(parse_target(MODEL, 1, "Staging"))
        promote(desk, 1, Stage.STAGING)
        content = desk.history(MODEL)[1].content

        assert content["evidence"] == review.evidence.digest
        assert desk.evidence(content["evidence"]) == review.evidence.text
        assert content["subject"]["file_digest"] == review.evidence.file_digest
        assert content["policy"] == desk.policy.digest
        assert content["actor"]["established"] == "self_declared"
        assert content["actor"]["roles"] == ["reviewer", "approver"]
        assert [gate["name"] for gate in content["gates"]][:2] == ["changes_something", "slot_settled"]

    def test_to_production_sets_the_champion_and_archives_the_one_before(self) -> None:
        """One champion, one Production version."""
        desk = build_desk()
        champion(desk, 1, 2)

        assert desk.registry.state(MODEL) == ModelState(
            {"champion": 2}, {1: Stage.ARCHIVED, 2: Stage.PRODUCTION, 3: Stage.NONE}
        )

    def test_names_the_incumbent_it_was_compared_with(self) -> None:
        """And keeps the incumbent's evidence, so that the screen can be replayed whole."""
        desk = build_desk()
        champion(desk, 1, 2)
        incumbent = desk.history(MODEL)[-2].content["incumbent"]

        assert incumbent["version"] == 1
        assert desk.evidence(incumbent["evidence"])

    def test_mirrors_its_number_into_the_registry(self) -> None:
        """For readers of MLflow's own screens."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING)

        assert desk.registry.version(MODEL, 1).row.tags["signoff.sequence"] == "2"

    def test_says_in_the_registry_what_became_of_the_validation(self) -> None:
        """The tag that our pipeline registers as pending follows the decision, and is no part of the evidence."""
        registry = small_registry(versions=0)
        add_good_version(registry, tags={"validation_status": "pending"})
        desk = build_desk(registry)
        before = desk.show(MODEL, 1).content["tags"]
        seen = [promote(desk, 1, stage) and self.validation(desk) for stage in (Stage.STAGING, Stage.PRODUCTION)]

        assert seen == ["passed", "approved"]
        assert desk.show(MODEL, 1).content["tags"] == before

    def test_leaves_somebody_elses_validation_tag_alone(self) -> None:
        """A version that our pipeline did not make keeps its own, which is evidence."""
        registry = small_registry(versions=0)
        add_good_version(registry, tags={"validation_status": "mine", "produced_by": "somebody"})
        desk = build_desk(registry)
        promote(desk, 1, Stage.STAGING)

        assert self.validation(desk) == "mine"
        assert desk.show(MODEL, 1).content["tags"]["validation_status"] == "mine"

    @staticmethod
    def validation(desk: OpenDesk) -> str:
        return desk.registry.version(MODEL, 1).row.tags["validation_status"]

    def test_counts_its_gates(self) -> None:
        """By version and creation time: how many passed at the last decision."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING)
        ((version, created),) = desk.gate_counts(MODEL)

        assert (version, created) == (1, iso(desk.version(MODEL, 1).row.created_at))
        assert desk.gate_counts(MODEL)[version, created] == GateCount(10, 0)

    def test_keeps_a_checkpoint(self) -> None:
        """So that cutting the ledger's tail is seen."""
        ledger = InMemoryLedger()
        promote(build_desk(ledger=ledger), 1, Stage.STAGING)

        assert [number for number, _ in ledger.checkpoints] == [3]


class FullDisk(InMemoryLedger):
    """A ledger beside which no checkpoint can be kept."""

    def keep_checkpoint(self) -> None:
        raise Unavailable("the ledger cannot be used: No space left on device")


class TestACheckpointThatCannotBeKept:
    """The decision is applied, and whoever made it is told."""

    def test_is_said_beside_the_decision(self) -> None:
        """In the outcome and its JSON; another decision has no word of it."""
        told = promote(build_desk(ledger=FullDisk()), 1, Stage.STAGING)
        quiet = promote(build_desk(), 1, Stage.STAGING)

        assert told.notice == (
            "applied; the checkpoint could not be kept: the ledger cannot be used: No space left on device"
        )
        assert told.as_json() == {**quiet.as_json(), "notice": told.notice}

    def test_is_no_reason_to_end_a_reconciliation(self) -> None:
        """The intent of a crash is finished all the same."""
        registry = small_registry()
        desk = build_desk(registry, FullDisk())
        desk.take_over()
        state, read = registry.state, []

        def silent_after_the_change(model: str) -> ModelState:
            read.append(model)
            if registry._models[model].versions[1].row.stage is Stage.STAGING:
                raise Unavailable("the registry does not answer")
            return state(model)

        registry.state = silent_after_the_change
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.STAGING)
        registry.state = state

        assert [each.event.type for each in desk.reconcile(MODEL, min_age=timedelta())] == [EventType.APPLIED]


class TestVerifyOfADamagedLedger:
    """What was found is not lost where the rest cannot be looked at."""

    def test_keeps_what_was_found_where_the_registry_is_silent_too(self) -> None:
        """With a whole ledger a silent registry is no finding: nothing is known then."""
        ledger = InMemoryLedger()
        desk = build_desk(ledger=ledger)
        promote(desk, 1, Stage.STAGING)
        desk.registry.down = True
        with pytest.raises(Unavailable):
            desk.verify()
        ledger._events.pop(1)

        found = [each.text for each in desk.verify()]
        assert "event 3: should be number 2" in found
        assert any(each.startswith("not all could be checked: the registry") for each in found)


REFUSALS: list[tuple[str, Callable[[OpenDesk], object], type[SignoffError]]] = [
    ("a gate that prevents", lambda desk: promote(desk, 1, Stage.PRODUCTION), Blocked),
    ("nothing to do", lambda desk: promote(desk, 3, Stage.NONE), NothingToDo),
    ("an old state", lambda desk: promote(desk, 1, Stage.STAGING, expect="/1=Archived#4"), StateChanged),
    ("old evidence", lambda desk: promote(desk, 1, Stage.STAGING, evidence="0" * 64), StaleEvidence),
    (
        "no role",
        lambda desk: desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=PIPELINE),
        NotAllowed,
    ),
    (
        "an unknown program",
        lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=Actor("cron", Established.PROGRAM)),
        NotAllowed,
    ),
    (
        "an identity that the policy does not know",
        lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=Actor("eve", Established.TOKEN)),
        NotAllowed,
    ),
]


@pytest.mark.parametrize(("call", "error"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_refused_request_changes_nothing_and_leaves_one_denied(
    call: Callable[[OpenDesk], object], error: type[SignoffError]
) -> None:
    """Refusals are events too."""
    desk = build_desk()
    before = desk.registry.state(MODEL)
    with pytest.raises(error):
        call(desk)
    entry = desk.history(MODEL)[-1]

    assert desk.registry.state(MODEL) == before
    assert types(desk).count(EventType.DENIED) == 1
    assert (entry.type, entry.content["refusal"], bool(entry.why)) == (EventType.DENIED, error.__name__, True)


@pytest.mark.parametrize(
    ("move", "subject"),
    [
        (lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=NOBODY), {"version", "created_at"}),
        (lambda desk: desk.promote(MODEL, 9, Stage.STAGING, reason=REASON, actor=NOBODY), {"version"}),
        (lambda desk: desk.remove_alias(MODEL, "shadow", reason=REASON, actor=NOBODY), set()),
    ],
)
def test_a_refusal_says_which_version_was_meant(move: Callable[[OpenDesk], object], subject: set[str]) -> None:
    """By number and time of registration, as far as there is one; nothing is read where no version was named."""
    desk = build_desk()
    with pytest.raises(NotAllowed):
        move(desk)
    held = desk.history(MODEL)[-1].content["subject"]

    assert {name for name, value in held.items() if value is not None} == {"model", *subject}


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda desk: desk.promote(MODEL, 1, Stage.STAGING, reason="short", actor=GRACE), InvalidInput),
        (lambda desk: desk.promote("nobody", 1, Stage.STAGING, reason=REASON, actor=GRACE), NotFound),
        (lambda desk: promote(desk, 99, Stage.STAGING), NotFound),
        (lambda desk: desk.set_alias(MODEL, "v1", 1, reason=REASON, actor=GRACE), InvalidInput),
        (lambda desk: desk.remove_alias(MODEL, "gone", reason=REASON, actor=GRACE), NotFound),
        (lambda desk: desk.rollback(MODEL, reason=REASON, actor=GRACE), NotFound),
        (lambda desk: desk.best(MODEL, "no_such_metric"), NotFound),
        (lambda desk: desk.at("nobody", desk.clock.now()), NotFound),
        (lambda desk: desk.history("nobody"), NotFound),
        (lambda desk: desk.reconcile("nobody"), NotFound),
        (lambda desk: desk.evidence("0" * 64), NotFound),
    ],
)
def test_malformed_input_is_no_request(call: Callable[[OpenDesk], object], error: type[SignoffError]) -> None:
    """Nothing is recorded about it."""
    desk = build_desk()
    with pytest.raises(error):
        call(desk)

    assert EventType.DENIED not in [entry.type for entry in desk.history()]


class TestMovesThatAreNotListed:
    """Closed to everybody."""

    def desk(self, *closed: MoveKind) -> OpenDesk:
        policy = default_policy()
        return build_desk(policy=replace(policy, moves={k: v for k, v in policy.moves.items() if k not in closed}))

    def test_block_their_review_and_are_refused(self) -> None:
        """Both say that the policy does not list the move."""
        desk, sentence = self.desk(MoveKind.STAGING), "policy.moves does not list staging: nobody may do it"
        review = desk.review(STAGING)

        assert [(gate.name, gate.why) for gate in review.blocked_by] == [("move_listed", f"{sentence}.")]
        with pytest.raises(NotAllowed, match=re.escape(sentence)):
            promote(desk, 1, Stage.STAGING)
        assert types(desk)[-1] is EventType.DENIED

    def test_end_no_difference(self) -> None:
        """Reconcile is a move like the others."""
        desk = self.desk(MoveKind.RECONCILE)
        desk.take_over()
        desk.registry.set_stage(MODEL, 2, Stage.PRODUCTION)

        with pytest.raises(NotAllowed, match=r"policy\.moves does not list reconcile"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)

    def test_leave_the_others_open(self) -> None:
        """Whatever is listed."""
        desk = self.desk(MoveKind.ROLLBACK, MoveKind.ARCHIVED)
        champion(desk, 1)

        assert desk.review(stage_move(MODEL, 2, Stage.STAGING)).open


class TestWarnings:
    """A warning is shown, asks for an acceptance, and is recorded."""

    def desk(self) -> OpenDesk:
        desk = build_desk(comparer=KnownDifferences([worse("f1_macro")]))
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        return desk

    def test_stop_the_move_until_they_are_accepted(self) -> None:
        """The sentence names the gate."""
        with pytest.raises(WarningsNotAccepted, match=r"not_worse_than_incumbent: f1_macro is worse by 0\.0500"):
            promote(self.desk(), 2, Stage.PRODUCTION)

    def test_are_recorded_when_accepted(self) -> None:
        """By name."""
        desk = self.desk()
        promote(desk, 2, Stage.PRODUCTION, accept_warnings=True)

        assert desk.history(MODEL)[-2].content["accepted_warnings"] == ["not_worse_than_incumbent"]

    def test_leave_the_review_open(self) -> None:
        """Only a gate that prevents closes it."""
        review = self.desk().review(parse_target(MODEL, 2, "Production"))

        assert review.open
        assert [gate.name for gate in review.warnings] == ["not_worse_than_incumbent"]
        assert review.as_json()["to"] == "Production"


@pytest.mark.parametrize("refusal", [InvalidInput("other rows"), NotFound("no rows")])
def test_versions_that_cannot_be_compared_say_why(refusal: Exception) -> None:
    """The gate warns and quotes the reason."""
    desk = build_desk(comparer=KnownDifferences(refusal=refusal))
    champion(desk, 1)
    review = desk.review(parse_target(MODEL, 2, "Production"))
    whys = [gate.why for gate in review.warnings]

    assert whys == [f"Not comparable on the same rows: {refusal}"] * 2


class TestIdempotency:
    """A double click, a reload or a retry is one decision."""

    def test_the_same_key_again_changes_nothing(self) -> None:
        """And gives the first outcome."""
        desk = build_desk()
        first = promote(desk, 1, Stage.STAGING, key="k")
        again = promote(desk, 1, Stage.STAGING, key="k")

        assert (first.decision, first.sequence) == (again.decision, again.sequence)
        assert again.replayed
        assert OUR_EVENTS == types(desk)

    def test_the_same_key_for_another_request_is_refused(self) -> None:
        """A key stands for one request."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING, key="k")
        with pytest.raises(KeyReused):
            promote(desk, 2, Stage.STAGING, key="k")

    def test_a_key_that_has_not_ended_is_pending(self) -> None:
        """The caller waits for reconcile."""
        registry = small_registry()
        desk = build_desk(registry)
        registry.set_stage = failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.STAGING, key="k")
        with pytest.raises(DecisionPending):
            promote(desk, 1, Stage.STAGING, key="k")

    def test_a_key_that_was_aborted_is_used_up(self) -> None:
        """The caller asks again with another."""
        registry = small_registry()
        desk = build_desk(registry)
        registry.set_stage = failing(registry, NotFound("no"))
        with pytest.raises(Conflict):
            promote(desk, 1, Stage.STAGING, key="k")
        with pytest.raises(Conflict, match="ask again with another key"):
            promote(desk, 1, Stage.STAGING, key="k")

    def test_two_at_the_same_moment_are_one(self) -> None:
        """The second finds the first's key under the lock."""
        desk = build_desk()
        before_the_lock(desk, lambda other: promote(other, 1, Stage.STAGING, key="k"))
        with pytest.raises(DecisionPending):
            promote(desk, 1, Stage.STAGING, key="k")

        assert types(desk).count(EventType.APPLIED) == 1


class TestConcurrency:
    """Of two who looked at the same state, one wins."""

    def test_the_other_is_told_that_the_state_changed(self) -> None:
        """Checked under the ledger's lock, after the review."""
        desk = build_desk()
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        promote(desk, 3, Stage.STAGING)
        before_the_lock(desk, lambda other: promote(other, 3, Stage.PRODUCTION))
        with pytest.raises(StateChanged):
            promote(desk, 2, Stage.PRODUCTION)

        assert desk.registry.state(MODEL).champion == 3
        assert types(desk)[-1] is EventType.DENIED

    def test_a_state_that_came_back_is_not_the_one_that_was_looked_at(self) -> None:
        """A to B and back to A between review and lock: somebody decided twice, whatever the registry shows now."""
        desk = build_desk()

        def there_and_back(other: OpenDesk) -> None:
            promote(other, 1, Stage.ARCHIVED)
            promote(other, 1, Stage.NONE)

        before_the_lock(desk, there_and_back)
        with pytest.raises(StateChanged, match="/1 changed since you looked"):
            promote(desk, 1, Stage.STAGING)

        assert desk.registry.state(MODEL).stages[1] is Stage.NONE
        assert types(desk)[-1] is EventType.DENIED

    def test_a_move_by_another_way_that_was_recorded_meanwhile_is_seen_under_the_lock(self) -> None:
        """The ledger recorded it between review and lock: nothing is decided on top of it."""
        registry = small_registry()
        desk = build_desk(registry)

        def moved(other: OpenDesk) -> None:
            registry.set_stage(MODEL, 1, Stage.ARCHIVED)
            other.reconcile(MODEL)

        before_the_lock(desk, moved)
        with pytest.raises(StateChanged, match="/1 changed since you looked"):
            promote(desk, 1, Stage.STAGING)

        assert registry.state(MODEL).stages[1] is Stage.ARCHIVED

    def test_each_slot_of_a_move_is_compared(self) -> None:
        """Also one that only follows: the stage of the version that a promotion archives."""
        desk = build_desk()
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        review = desk.review(parse_target(MODEL, 2, "Production"))
        for change, seen in zip(review.changes, review.slots, strict=True):
            later = replace(
                review, slots=tuple(held._replace(generation=9) if held is seen else held for held in review.slots)
            )
            with pytest.raises(StateChanged, match=f"{change.slot.label} changed since you looked"):
                desk.decider._record(Request(review.move, REASON, GRACE), later)

        assert [each.slot.label for each in review.changes] == ["@champion", "/2", "/1"]

    @pytest.mark.parametrize(
        ("seen", "error"),
        [
            pytest.param({}, None, id="as it was seen"),
            pytest.param({"since": EPOCH}, None, id="confirmed later"),
            pytest.param({"recorded": "Staging"}, StateChanged, id="another content"),
            pytest.param({"generation": 2}, StateChanged, id="decided since"),
            pytest.param({"out_of_band": True}, StateChanged, id="no out-of-band change any more"),
            pytest.param({"recorded": "Staging", "generation": 2, "out_of_band": True}, StateChanged, id="everything"),
        ],
    )
    def test_the_compare_looks_at_content_generation_and_out_of_band(
        self, seen: dict[str, Any], error: type[SignoffError] | None
    ) -> None:
        """Each of them by itself."""
        slot = Slot.of_stage(MODEL, 1)
        held = SlotState("None", 1)
        with pytest.raises(error) if error else nullcontext():
            check_slot(held, held._replace(**seen), slot)

    def test_a_slot_that_no_event_names_is_compared_as_untouched(self) -> None:
        """A version starts in stage None; an event about it since is another state."""
        slot = Slot.of_stage(MODEL, 1)
        check_slot(None, SlotState.initial(slot), slot)
        with pytest.raises(StateChanged):
            check_slot(None, SlotState("None", 1), slot)
        with pytest.raises(DecisionPending):
            check_slot(SlotState("None", 0, "decision-1"), SlotState("None", 0, "decision-1"), slot)

    def test_a_pending_decision_stops_the_next_one(self) -> None:
        """Until reconcile has finished it."""
        registry = small_registry()
        desk = build_desk(registry)
        held, registry.set_stage = registry.set_stage, failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable, match="reconcile finishes it"):
            promote(desk, 1, Stage.STAGING)
        registry.set_stage = held
        with pytest.raises(DecisionPending):
            promote(desk, 1, Stage.ARCHIVED)

    def test_a_pending_decision_is_seen_under_the_lock_too(self) -> None:
        """It may have come after the review."""
        registry = small_registry()
        desk = build_desk(registry)

        def half_done(other: OpenDesk) -> None:
            held, registry.set_stage = registry.set_stage, failing(registry, Unavailable("gone"))
            with pytest.raises(Unavailable):
                promote(other, 1, Stage.STAGING)
            registry.set_stage = held

        before_the_lock(desk, half_done)
        with pytest.raises(DecisionPending):
            promote(desk, 1, Stage.STAGING)

    def test_a_late_writer_gives_up(self) -> None:
        """A promoter that slept past its deadline must not write."""
        desk = build_desk()
        desk.reconciler.take_over(MODEL)
        intend = desk.decider.intend

        def slow(*arguments: Any, **options: Any):
            stored = intend(*arguments, **options)
            desk.clock.time += timedelta(minutes=1)
            return stored

        object.__setattr__(desk.decider, "intend", slow)
        with pytest.raises(Unavailable, match="took longer than"):
            promote(desk, 1, Stage.STAGING)

        assert desk.registry.state(MODEL).stages[1] is Stage.NONE

    def test_a_ledger_that_is_busy_at_the_end_leaves_the_intent(self) -> None:
        """The registry was changed, and reconcile records it."""
        desk = build_desk()
        desk.reconciler.take_over(MODEL)
        object.__setattr__(desk.decider, "close", failing(small_registry(), LedgerBusy("locked")))
        with pytest.raises(Unavailable, match="reconcile finishes it"):
            promote(desk, 1, Stage.STAGING)


class Logged(InMemoryRegistry):
    """Says in which order it is opened and written to."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.__dict__.update(small_registry().__dict__)
        self.log = log

    def prepare(self) -> None:
        super().prepare()
        self.log.append("open")

    def set_alias(self, model: str, alias: str, version: int | None) -> None:
        super().set_alias(model, alias, version)
        self.log.append("write")

    def set_stage(self, model: str, version: int, stage: Stage) -> None:
        super().set_stage(model, version, stage)
        self.log.append("write")


class LoggedLedger(InMemoryLedger):
    """Says when an intent and its end are recorded."""

    def __init__(self, log: list[str]) -> None:
        super().__init__()
        self.log = log

    def append(self, event: Event) -> StoredEvent:
        if event.decision is not None:
            self.log.append(event.type.value)
        return super().append(event)


class TestOpening:
    """What the first write needs is loaded before the intent: seconds that no decision may be charged with."""

    def desk(self) -> tuple[OpenDesk, list[str]]:
        log: list[str] = []
        return build_desk(Logged(log), LoggedLedger(log)), log

    def test_comes_before_the_intent(self) -> None:
        """Between intent and effect there is nothing to wait for."""
        desk, log = self.desk()
        promote(desk, 1, Stage.STAGING)

        assert log == ["open", "decided", "write", "applied"]

    def test_that_fails_leaves_no_intent(self) -> None:
        """A registry that takes no writes is met before the ledger is."""
        desk, log = self.desk()
        desk.registry.prepare = failing(small_registry(), Unavailable("the registry is for reading"))
        with pytest.raises(Unavailable, match="for reading"):
            promote(desk, 1, Stage.STAGING)

        assert log == []
        assert types(desk) == [EventType.BASELINE]

    def test_is_not_waited_for_by_a_refusal(self) -> None:
        """A gate says no at once."""
        desk, log = self.desk()
        with pytest.raises(Blocked):
            promote(desk, 1, Stage.PRODUCTION)

        assert log == []

    def test_comes_before_a_revert_and_before_what_reconcile_finishes(self) -> None:
        """Every intent that is carried out."""
        desk, log = self.desk()
        promote(desk, 1, Stage.STAGING)
        InMemoryRegistry.set_stage(desk.registry, MODEL, 1, Stage.ARCHIVED)
        log.clear()
        desk.revert(MODEL, reason=REASON, actor=GRACE)
        reverted, close = list(log), desk.decider.close
        object.__setattr__(desk.decider, "close", failing(small_registry(), LedgerBusy("locked")))
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.ARCHIVED)
        object.__setattr__(desk.decider, "close", close)
        log.clear()
        desk.reconcile(MODEL, min_age=timedelta(0))

        assert reverted == ["open", "decided", "write", "reverted"]
        assert log == ["open", "write", "applied"]


class TestRollback:
    """Back to the champion before, with proof."""

    def test_returns_to_the_champion_before(self) -> None:
        """Files as recorded, and it still predicts."""
        smoke = KnownSmoke()
        desk = build_desk(smoke=smoke)
        champion(desk, 1, 2)
        outcome = desk.rollback(MODEL, reason=REASON, actor=GRACE)

        assert desk.registry.state(MODEL).champion == 1
        assert (outcome.version, smoke.asked) == (1, [1])
        assert desk.registry.state(MODEL).stages[2] is Stage.ARCHIVED

    def test_twice_goes_back_two_steps(self) -> None:
        """Not forth to the version that was just left."""
        desk = build_desk()
        champion(desk, 1, 2, 3)
        desk.rollback(MODEL, reason=REASON, actor=GRACE)
        desk.rollback(MODEL, reason=REASON, actor=GRACE)

        assert desk.registry.state(MODEL).champion == 1
        with pytest.raises(NotFound, match="knows no earlier champion"):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)

    def test_is_blocked_where_the_files_were_changed(self) -> None:
        """The bytes are not those that were champion."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1, 2)
        registry.write_file(MODEL, 1, "model.skops", content=b"other")
        with pytest.raises(Blocked, match="digest_recorded"):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)

    @pytest.mark.parametrize("files", [True, False])
    def test_is_blocked_where_it_does_not_predict(self, files: bool) -> None:
        """The gate quotes the reason."""
        registry = small_registry()
        desk = build_desk(registry, smoke=KnownSmoke(refused("It crashed.")))
        champion(desk, 1, 2)
        if not files:
            registry._models[MODEL].files[1] = {}
        with pytest.raises(Blocked, match=r"smoke_prediction: (It crashed|The model's files cannot be read)"):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)

    def test_is_possible_for_whatever_the_desk_promoted(self) -> None:
        """Also where the version cannot be tried here: that is a warning, which is accepted and recorded."""
        desk = build_desk(smoke=KnownSmoke(NotTried("its flavor is lightgbm")))
        champion(desk, 1, 2)

        with pytest.raises(WarningsNotAccepted, match="smoke_prediction: its flavor is lightgbm"):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)
        assert desk.rollback(MODEL, reason=REASON, actor=GRACE, accept_warnings=True).version == 1

    def test_is_not_decided_while_nothing_is_known(self) -> None:
        """Unavailable is not a failed gate."""
        desk = build_desk(smoke=KnownSmoke(Unavailable("gone")))
        champion(desk, 1, 2)
        with pytest.raises(Unavailable):
            desk.rollback(MODEL, reason=REASON, actor=GRACE)

    def test_knows_the_champion_that_was_taken_over(self) -> None:
        """The baseline holds its digest."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        registry.set_stage(MODEL, 1, Stage.PRODUCTION)
        desk = build_desk(registry)
        champion(desk, 2)
        desk.rollback(MODEL, reason=REASON, actor=GRACE)

        assert registry.state(MODEL).champion == 1


class TestAliases:
    """Names that move."""

    def test_are_set_and_taken_away(self) -> None:
        """Without a stage."""
        desk = build_desk()
        desk.set_alias(MODEL, "shadow", 2, reason=REASON, actor=GRACE)
        assert desk.registry.state(MODEL).aliases == {"shadow": 2}
        desk.remove_alias(MODEL, "shadow", reason=REASON, actor=GRACE)
        assert desk.registry.state(MODEL).aliases == {}

    def test_champion_promotes(self) -> None:
        """One is not had without the other."""
        desk = build_desk()
        promote(desk, 2, Stage.STAGING)
        desk.set_alias(MODEL, "champion", 2, reason=REASON, actor=GRACE)

        assert desk.registry.state(MODEL).stages[2] is Stage.PRODUCTION

    @pytest.mark.parametrize(
        "leave",
        [
            lambda desk: promote(desk, 1, Stage.ARCHIVED),
            lambda desk: promote(desk, 1, Stage.NONE),
            lambda desk: promote(desk, 1, Stage.STAGING),
            lambda desk: desk.remove_alias(MODEL, "champion", reason=REASON, actor=GRACE),
        ],
    )
    def test_champion_leaves_only_with_a_successor(self, leave: Callable[[OpenDesk], object]) -> None:
        """Promote another or roll back first."""
        desk = build_desk()
        champion(desk, 1)
        with pytest.raises(Blocked, match="not_champion: It serves as champion"):
            leave(desk)


@dataclass
class KnownSlot:
    """The ledger under its lock, where every slot is as the test says."""

    held: SlotState | None

    def slot(self, _: Slot) -> SlotState | None:
        return self.held


class TestOutOfBand:
    """Somebody moved it by another way."""

    def moved(self) -> tuple[OpenDesk, InMemoryRegistry]:
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_alias(MODEL, "champion", 3)
        return desk, registry

    def test_is_shown_with_the_time_in_which_it_happened(self) -> None:
        """After the ledger last knew, before it was seen."""
        desk, _ = self.moved()
        (difference,) = desk.differences(MODEL)

        assert difference.sentence == "@champion is 3, the ledger says 1"
        assert difference.since == desk.history(MODEL)[-1].at
        assert difference.seen > difference.since
        assert difference.as_json()["slot"] == "@champion"
        assert not difference.reported

    def test_stops_decisions_about_that_slot_only(self) -> None:
        """Until it is adopted or reverted."""
        desk, _ = self.moved()
        promote(desk, 2, Stage.STAGING)
        with pytest.raises(OutOfBand):
            promote(desk, 2, Stage.PRODUCTION)

    def test_is_recorded_once(self) -> None:
        """A second pass finds nothing new."""
        desk, _ = self.moved()

        assert [stored.event.type for stored in desk.reconcile(MODEL)] == [EventType.OUT_OF_BAND]
        assert desk.reconcile(MODEL) == []
        assert desk.differences(MODEL)[0].reported

    def test_that_goes_away_by_itself_is_recorded_too(self) -> None:
        """And no longer stops anything."""
        desk, registry = self.moved()
        desk.reconcile(MODEL)
        registry.set_alias(MODEL, "champion", 1)

        assert [stored.event.type for stored in desk.reconcile(MODEL)] == [EventType.OUT_OF_BAND]
        assert desk.differences(MODEL) == []
        promote(desk, 2, Stage.STAGING)
        promote(desk, 2, Stage.PRODUCTION)

    def test_can_be_adopted(self) -> None:
        """The ledger takes what is there; decisions go on."""
        desk, registry = self.moved()
        move_stages(registry, {1: Stage.ARCHIVED, 3: Stage.PRODUCTION})
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.differences(MODEL) == []
        assert desk.at(MODEL, desk.clock.now()).champion == 3
        assert [period.version for period in desk.champions(MODEL)] == [1, 3]
        assert desk.history(MODEL)[-1].version == 3

    def test_that_was_adopted_names_the_version_that_moved(self) -> None:
        """Not the champion of the time, nor any where an alias was taken away."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        desk.set_alias(MODEL, "canary", 2, reason=REASON, actor=GRACE)
        named = []
        for move in (
            lambda: registry.set_alias(MODEL, "canary", 3),
            lambda: registry.set_alias(MODEL, "canary", None),
            lambda: registry.set_stage(MODEL, 2, Stage.ARCHIVED),
        ):
            move()
            desk.adopt(MODEL, reason=REASON, actor=GRACE)
            named.append(desk.history(MODEL)[-1].version)

        assert named == [3, None, 2]

    def test_can_be_reverted(self) -> None:
        """The registry gets what the ledger says, log first."""
        desk, registry = self.moved()
        desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert registry.state(MODEL).champion == 1
        assert types(desk)[-3:] == [EventType.OUT_OF_BAND, EventType.DECIDED, EventType.REVERTED]

    @pytest.mark.parametrize("end", ["adopt", "revert"])
    def test_needs_a_difference_and_a_role_to_be_ended(self, end: str) -> None:
        """Nothing to adopt is a refusal; a program may not."""
        desk, _ = self.moved()
        with pytest.raises(NotAllowed):
            getattr(desk, end)(MODEL, reason=REASON, actor=PIPELINE)
        with pytest.raises(Refused, match="nothing differs"):
            getattr(build_desk(), end)(MODEL, reason=REASON, actor=GRACE)

    @pytest.mark.parametrize("end", ["adopt", "revert"])
    def test_that_moves_again_meanwhile_is_a_conflict(self, end: str) -> None:
        """What is ended must be what was seen."""
        desk, registry = self.canary()

        def move(other: OpenDesk) -> None:
            registry.set_alias(MODEL, "canary", 1)
            other.reconcile(MODEL)

        self.meanwhile(desk, move)
        with pytest.raises(StateChanged, match="changed since you looked"):
            getattr(desk, end)(MODEL, reason=REASON, actor=GRACE)

    @pytest.mark.parametrize(
        "now",
        [
            pytest.param({"generation": 2}, id="decided since"),
            pytest.param({"observed": "1"}, id="moved since"),
            pytest.param({"pending": "decision-9"}, id="being decided"),
            pytest.param(None, id="no event names it any more"),
        ],
    )
    def test_is_compared_under_the_lock(self, now: dict[str, Any] | None) -> None:
        """Each of generation, content and what is pending by itself."""
        desk, _ = self.canary()
        desk.reconcile(MODEL)
        differences, slot = desk.differences(MODEL), Slot.of_alias(MODEL, "canary")
        held = desk.ledger.slots(MODEL)[slot]
        check_unmoved(KnownSlot(held), differences)  # type: ignore[arg-type]
        with pytest.raises(StateChanged, match="@canary changed since you looked"):
            check_unmoved(KnownSlot(None if now is None else held._replace(**now)), differences)  # type: ignore[arg-type]

    def test_that_somebody_else_adopts_meanwhile_is_adopted_once(self) -> None:
        """The registry looks the same; the ledger's generation tells."""
        desk, _ = self.canary()
        self.meanwhile(desk, lambda other: other.adopt(MODEL, reason=REASON, actor=GRACE))
        with pytest.raises(StateChanged, match="@canary changed since you looked"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert types(desk)[-2:] == [EventType.ADOPTED, EventType.DENIED]

    def canary(self) -> tuple[OpenDesk, InMemoryRegistry]:
        registry = small_registry()
        desk = build_desk(registry)
        desk.set_alias(MODEL, "canary", 2, reason=REASON, actor=GRACE)
        registry.set_alias(MODEL, "canary", 3)
        return desk, registry

    def meanwhile(self, desk: OpenDesk, act: Callable[[OpenDesk], object]) -> None:
        """Another process acts between what was read and what is written."""
        reported = desk.reconciler._reported

        def race(*arguments: Any):
            found = reported(*arguments)
            act(build_desk(desk.registry, desk.ledger))
            return found

        object.__setattr__(desk.reconciler, "_reported", race)

    @pytest.mark.parametrize("end", ["adopt", "revert"])
    def test_is_ended_in_the_state_that_was_looked_at(self, end: str) -> None:
        """What was handed out is taken back, also after it was recorded as out-of-band."""
        desk, _ = self.canary()
        state = state_text(desk.differences(MODEL))
        desk.reconcile(MODEL)
        getattr(desk, end)(MODEL, reason=REASON, actor=GRACE, expect=state)

        assert state == "@canary=3#1"
        assert desk.differences(MODEL) == []

    @pytest.mark.parametrize("end", ["adopt", "revert"])
    @pytest.mark.parametrize(
        ("slot", "now"),
        [
            pytest.param("canary", "it is @canary=1#1", id="the same slot again"),
            pytest.param("shadow", "it is @canary=3#1,@shadow=1#0", id="another slot too"),
        ],
    )
    def test_that_moves_after_somebody_looked_is_not_signed(self, end: str, slot: str, now: str) -> None:
        """Nothing is written but the refusal."""
        desk, registry = self.canary()
        state, before = state_text(desk.differences(MODEL)), types(desk)
        registry.set_alias(MODEL, slot, 1)
        there = registry.state(MODEL)
        with pytest.raises(StateChanged, match=f"expected @canary=3#1, {now}; look at the differences again"):
            getattr(desk, end)(MODEL, reason=REASON, actor=GRACE, expect=state)

        assert types(desk) == [*before, EventType.DENIED]
        assert registry.state(MODEL) == there

    def test_that_somebody_else_has_ended_is_told(self) -> None:
        """To whoever looked before."""
        desk, _ = self.canary()
        state = state_text(desk.differences(MODEL))
        desk.adopt(MODEL, reason=REASON, actor=GRACE, expect=state)
        with pytest.raises(StateChanged, match="nothing differs any more"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE, expect=state)

    @pytest.mark.parametrize(
        ("holder", "stages"),
        [
            pytest.param(2, {}, id="the alias alone"),
            pytest.param(2, {2: Stage.ARCHIVED}, id="the alias, to an archived version"),
            pytest.param(1, {1: Stage.ARCHIVED, 2: Stage.PRODUCTION}, id="the stages alone"),
            pytest.param(1, {1: Stage.ARCHIVED}, id="the champion is archived"),
            pytest.param(2, {1: Stage.NONE, 2: Stage.STAGING}, id="nobody is left in Production"),
        ],
    )
    def test_is_not_adopted_where_the_champion_would_leave_production(
        self, holder: int, stages: dict[int, Stage]
    ) -> None:
        """One is not had without the other; reverted, the version that should serve is promoted."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_alias(MODEL, "champion", holder)
        move_stages(registry, stages)
        with pytest.raises(Refused, match=f"champion {holder} outside Production; revert and promote"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)
        desk.revert(MODEL, reason=REASON, actor=GRACE)
        champion(desk, 2)

        assert desk.differences(MODEL) == []
        assert registry.state(MODEL).in_stage(Stage.PRODUCTION) == [2]

    def test_of_a_champion_is_adopted_where_no_stages_are_used(self) -> None:
        """Such a registry has no Production that could say otherwise."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        desk = build_desk(registry)
        desk.take_over()
        registry.set_alias(MODEL, "champion", 2)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.at(MODEL, desk.clock.now()).champion == 2

    def test_of_something_else_is_adopted_where_the_champion_was_outside_production(self) -> None:
        """As it was found; the first page says so, and the stray Production version may go."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        registry.set_stage(MODEL, 2, Stage.PRODUCTION)
        desk = build_desk(registry)
        desk.take_over()
        registry.set_alias(MODEL, "canary", 3)
        assert desk.overview()[0].outside
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        registry.set_stage(MODEL, 2, Stage.ARCHIVED)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.differences(MODEL) == []
        assert not desk.overview()[0].outside

    def test_of_a_deleted_champion_is_adopted_with_its_successor(self) -> None:
        """There is nothing to revert to."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.delete_version(MODEL, 1)
        registry.set_alias(MODEL, "champion", 2)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.differences(MODEL) == []

    def test_is_not_adopted_where_two_would_be_in_production(self) -> None:
        """At most one Production version per model."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_stage(MODEL, 2, Stage.PRODUCTION)
        with pytest.raises(Refused, match="the versions 1, 2 in Production"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)

    def test_of_a_deleted_version_can_be_adopted_and_not_reverted(self) -> None:
        """Nothing brings a deleted version back."""
        registry = small_registry()
        desk = build_desk(registry)
        promote(desk, 2, Stage.STAGING)
        registry.delete_version(MODEL, 2)
        with pytest.raises(Conflict, match="has no version 2"):
            desk.revert(MODEL, reason=REASON, actor=GRACE)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.differences(MODEL) == []

    def test_of_a_version_that_came_back_cannot_be_reverted_to_deleted(self) -> None:
        """Signoff deletes nothing."""
        registry = small_registry()
        desk = build_desk(registry)
        promote(desk, 2, Stage.STAGING)
        kept = registry._models[MODEL].versions[2]
        registry.delete_version(MODEL, 2)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        registry._models[MODEL].versions[2] = kept
        with pytest.raises(Conflict, match="cannot be brought back or deleted"):
            desk.revert(MODEL, reason=REASON, actor=GRACE)

    def test_of_a_deleted_model_is_seen(self) -> None:
        """Every slot that the ledger names is gone."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        del registry._models[MODEL]

        assert [each.sentence for each in desk.differences(MODEL)] == [
            "@champion is not there, the ledger says 1",
            "/1 is not there, the ledger says Production",
        ]

    def test_is_not_reverted_onto_bytes_that_were_not_recorded(self) -> None:
        """A number that was given out again names another version, which nobody approved."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.add_model(MODEL)
        registry.add_version(MODEL, files={"model/other": b"of somebody else"})
        with pytest.raises(Refused, match=r"^revert: the files of champion 1 are now .*; adopt what is there"):
            desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert registry.state(MODEL).champion is None
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        assert desk.verify() == []

    def test_is_reverted_where_the_same_bytes_were_registered_again(self) -> None:
        """What was approved is the bytes."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        files = registry._models[MODEL].files[1]
        registry.add_model(MODEL)
        registry.add_version(MODEL, files=files)
        desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert registry.state(MODEL).champion == 1

    def test_of_a_deleted_model_is_no_decision_that_stays_open(self) -> None:
        """A revert that finds no model ends as aborted; adopting ends the differences."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        del registry._models[MODEL]
        with pytest.raises(Conflict, match="aborted"):
            desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert desk.pending(MODEL) == []
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        assert desk.verify() == []

    def test_before_the_first_sight_is_not_claimed(self) -> None:
        """Only changes after the baseline can be out-of-band."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 2)
        desk = build_desk(registry)

        assert desk.differences(MODEL) == []
        assert [stored.event.type for stored in desk.take_over()] == [EventType.BASELINE]
        assert desk.take_over() == []
        assert desk.differences(MODEL) == []

    def test_is_left_for_the_next_pass_where_somebody_decided_meanwhile(self) -> None:
        """The out-of-band change is reported of what was compared, or not at all."""
        desk, _ = self.moved()
        slots = desk.ledger.slots(MODEL)
        desk.reconcile(MODEL)
        object.__setattr__(desk.ledger, "slots", lambda _: slots)

        assert desk.reconciler._report(MODEL) is None


class TestReconcile:
    """What a crash left is finished."""

    def crashed(self, *, applied: bool, elsewhere: bool = False) -> tuple[OpenDesk, InMemoryRegistry]:
        registry = small_registry()
        desk = build_desk(registry)
        promote(desk, 1, Stage.STAGING)
        held = registry.set_alias
        registry.set_alias = failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.PRODUCTION)
        registry.set_alias = held
        if applied:
            registry.set_alias(MODEL, "champion", 1)
        if elsewhere:
            registry.set_alias(MODEL, "champion", 3)
        return desk, registry

    def test_rolls_forward_what_reached_its_commit_point(self) -> None:
        """The stages that follow from the alias are set too."""
        desk, registry = self.crashed(applied=True)
        events = desk.reconcile(MODEL, min_age=timedelta(0))

        assert [stored.event.type for stored in events] == [EventType.APPLIED]
        assert events[0].event.content["recovered"]
        assert registry.state(MODEL).stages[1] is Stage.PRODUCTION
        assert desk.differences(MODEL) == []

    def test_aborts_what_did_not(self) -> None:
        """The registry is as before, and the slot is free again."""
        desk, _ = self.crashed(applied=False)

        assert [each.event.type for each in desk.reconcile(MODEL, min_age=timedelta(0))] == [EventType.ABORTED]
        promote(desk, 1, Stage.PRODUCTION)

    def test_leaves_what_somebody_else_moved_as_a_conflict(self) -> None:
        """A person ends it."""
        desk, _ = self.crashed(applied=False, elsewhere=True)

        assert [each.event.type for each in desk.reconcile(MODEL, min_age=timedelta(0))] == [EventType.CONFLICT]
        assert [each.sentence for each in desk.differences(MODEL)] == ["@champion is 3, the ledger says not there"]

    def test_leaves_young_intents_alone(self) -> None:
        """Somebody may be at work."""
        desk, _ = self.crashed(applied=True)

        assert desk.reconcile(MODEL, min_age=timedelta(hours=1)) == []

    def test_finishes_a_revert_as_a_revert(self) -> None:
        """Each intent has its own kind of end."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_alias(MODEL, "champion", 3)
        held, registry.set_alias = registry.set_alias, failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            desk.revert(MODEL, reason=REASON, actor=GRACE)
        registry.set_alias = held
        registry.set_alias(MODEL, "champion", 1)
        events = desk.reconcile(MODEL, min_age=timedelta(0))

        assert [stored.event.type for stored in events] == [EventType.REVERTED]

    def test_writes_one_end_where_two_reconcile(self) -> None:
        """The second finds it recorded."""
        desk, _ = self.crashed(applied=True)
        decided = next(stored for stored in desk.ledger.events() if stored.sequence == 4)
        first = desk.decider.carry_out(decided, EventType.APPLIED)

        assert desk.decider.carry_out(decided, EventType.APPLIED) == first

    def test_takes_over_every_model_at_once(self) -> None:
        """Without a name it goes through all of them."""
        registry = small_registry()
        registry.add_model("another")
        desk = build_desk(registry)

        assert [stored.event.model for stored in desk.reconcile()] == ["another", MODEL]


def test_a_baseline_that_somebody_else_wrote_meanwhile_is_enough() -> None:
    """One per model."""
    registry = small_registry()
    ledger = InMemoryLedger()
    desk = build_desk(registry, ledger)
    state = registry.state

    def race(model: str) -> ModelState:
        registry.state = state
        build_desk(registry, ledger).reconciler.take_over(model)
        return state(model)

    registry.state = race

    assert desk.reconciler.take_over(MODEL) is None
    assert len(list(ledger.events())) == 1


class TestTampering:
    """Registered bytes can be overwritten in MLflow; here it is seen."""

    def desk(self) -> tuple[OpenDesk, InMemoryRegistry]:
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        return desk, registry

    @pytest.mark.parametrize("lost", [False, True])
    def test_of_the_champion_is_found_by_verify(self, lost: bool) -> None:
        """Changed or gone."""
        desk, registry = self.desk()
        registry._models[MODEL].files[1] = {} if lost else {"MLmodel": b"evil"}
        (problem,) = desk.verify()

        assert (problem.kind, problem.model) == ("tampering", MODEL)
        assert problem.as_json()["text"].startswith("the files of champion 1 are " + ("gone" if lost else "now "))

    def test_is_recorded_once_by_reconcile(self) -> None:
        """An alarm, not a flood."""
        desk, registry = self.desk()
        registry.write_file(MODEL, 1, "model.skops", content=b"evil")

        assert [stored.event.type for stored in desk.reconcile(MODEL)] == [EventType.TAMPERING]
        assert desk.reconcile(MODEL) == []
        registry.write_file(MODEL, 1, "model.skops", content=b"worse")
        assert [stored.event.type for stored in desk.reconcile(MODEL)] == [EventType.TAMPERING]

    @pytest.mark.parametrize("stage", [Stage.STAGING, Stage.PRODUCTION])
    def test_of_a_reviewed_version_stops_its_way(self, stage: Stage) -> None:
        """Overwritten after its review: no role on these bytes, the refusal and the alarm are kept, `verify` tells."""
        desk, registry = self.desk()
        promote(desk, 2, Stage.STAGING)
        registry.write_file(MODEL, 2, "model.skops", content=b"evil")
        before = types(desk)

        move = stage_move(MODEL, 2, stage) if stage is Stage.PRODUCTION else alias_move(MODEL, "shadow", 2)
        gate = next(each for each in desk.review(move).gates if each.name == "files_unchanged")
        assert (gate.passed, gate.mode) == (False, Mode.PREVENT)
        assert gate.why.endswith("; register what is there as a new version.")
        with pytest.raises(Blocked, match="files_unchanged: Its files have the digest"):
            desk.decider.decide(Request(move, REASON, GRACE, accept_warnings=True))
        assert types(desk) == [*before, EventType.TAMPERING, EventType.DENIED]
        assert [problem.text[:23] for problem in desk.verify()] == ["the files of version 2 "]

    def test_of_a_reviewed_version_may_be_put_away(self) -> None:
        """Archiving gives no role."""
        desk, registry = self.desk()
        promote(desk, 2, Stage.STAGING)
        registry.write_file(MODEL, 2, "model.skops", content=b"evil")
        promote(desk, 2, Stage.ARCHIVED)

        assert desk.verify() == []

    def test_of_a_champion_is_not_adopted(self) -> None:
        """Neither is a move by another way onto changed bytes."""
        desk, registry = self.desk()
        promote(desk, 2, Stage.STAGING)
        registry.write_file(MODEL, 2, "model.skops", content=b"evil")
        registry.set_alias(MODEL, "champion", 2)

        with pytest.raises(Refused, match="reconcile: the files of version 2 are now"):
            desk.adopt(MODEL, reason=REASON, actor=GRACE)
        desk.revert(MODEL, reason=REASON, actor=GRACE)
        assert desk.registry.state(MODEL).champion == 1

    def test_is_not_claimed_of_another_version_under_the_number(self) -> None:
        """After a deletion numbers begin again: what is recorded was another version's."""
        desk, registry = self.desk()
        champion(desk, 2)
        held = registry._models[MODEL].versions
        held[1] = replace(held[1], row=replace(held[1].row, created_at=held[1].row.created_at + timedelta(days=1)))
        registry.write_file(MODEL, 1, "model.skops", content=b"of another version")

        move = stage_move(MODEL, 1, Stage.STAGING)
        gate = next(each for each in desk.review(move).gates if each.name == "files_unchanged")
        assert (gate.passed, gate.required) == (True, "recorded with this decision")

    def test_that_somebody_met_is_recorded_once(self) -> None:
        """Whoever reads a version may say so; honest files record nothing."""
        desk, registry = self.desk()
        assert desk.report_tampering(desk.show(MODEL, 1)) is None
        registry.write_file(MODEL, 1, "model.skops", content=b"evil")

        assert desk.report_tampering(desk.show(MODEL, 1)) is not None
        assert desk.report_tampering(desk.show(MODEL, 1)) is None
        assert desk.reconcile(MODEL) == []

    def test_of_a_champion_that_was_deleted_is_out_of_band(self) -> None:
        """No alias, no bytes to look at."""
        desk, registry = self.desk()
        registry.delete_version(MODEL, 1)

        assert {problem.kind for problem in desk.verify()} == {"out_of_band"}

    def test_is_not_claimed_of_a_champion_whose_bytes_were_never_recorded(self) -> None:
        """An alias that points to a version that vanished has no digest in the baseline."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        version = registry.version
        registry.version = failing(registry, NotFound("gone"))
        desk = build_desk(registry)
        desk.take_over()
        registry.version = version

        assert desk.verify() == []

    def test_of_a_version_that_vanishes_while_looking_is_gone(self) -> None:
        """No traceback between two reads."""
        desk, registry = self.desk()
        registry.version = failing(registry, NotFound("gone"))

        assert [problem.kind for problem in desk.verify()] == ["tampering"]

    def test_clean_is_clean(self) -> None:
        """Nothing found where nothing is wrong."""
        desk, _ = self.desk()

        assert desk.verify() == []

    def test_of_the_ledger_is_found_too(self) -> None:
        """The chain's own problems come first."""
        ledger = InMemoryLedger()
        desk = build_desk(ledger=ledger)
        promote(desk, 1, Stage.STAGING)
        ledger._events.pop(0)

        assert desk.verify()[0].kind == "ledger"


class TestPagesOfTheHistory:
    """The newest lines first, one per decision."""

    def test_hold_each_decision_with_its_intent(self) -> None:
        """Also where the intent is on an older page, on which it is no line of its own."""
        desk = build_desk()
        for version in (1, 2):
            promote(desk, version, Stage.STAGING)
        first = desk.history_page(MODEL, lines=1)
        second = desk.history_page(MODEL, before=first.older, lines=1)
        rest = desk.history_page(MODEL, before=second.older)

        assert [(entry.sequence, intent and intent.sequence) for entry, intent in first.lines] == [(5, 4)]
        assert [(entry.sequence, intent and intent.sequence) for entry, intent in second.lines] == [(3, 2)]
        assert ([entry.sequence for entry, _ in rest.lines], rest.older) == ([1], None)
        assert desk.event(99) is None

    def test_of_a_model_that_nobody_knows_are_not_found(self) -> None:
        """An address may name anything; a model without events has an empty page."""
        desk = build_desk()
        with pytest.raises(NotFound):
            desk.history_page("nobody")
        assert desk.history_page(MODEL).lines == ()

    def test_of_some_types_name_their_intent_too(self) -> None:
        """It is looked up by its number."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING)
        ((end, intent),) = desk.history_page(MODEL, only={"applied"}).lines

        assert (end.sequence, intent and intent.sequence) == (3, 2)

    def test_list_an_event_that_cannot_be_read(self) -> None:
        """As what its columns say; it is about no version."""
        read = entry(UnreadableEvent(3, "decided", MODEL))

        assert (read.type.value, read.at, read.as_json()["at"]) == ("unreadable", None, None)
        assert str(read.why).endswith("it is called decided.")
        assert not read.is_about(1, "2026")
        assert not replace(read, version=1).is_about(1, "2026")

    def test_a_rollback_to_a_champion_further_back_finds_its_files(self) -> None:
        """Not only to the one before; a version that never was champion has none."""
        desk = build_desk()
        for version in (1, 2, 3):
            champion(desk, version)
        first = desk.show(MODEL, 1).file_digest

        assert desk.reviewer._recorded_digest(Move(MODEL, MoveKind.ROLLBACK, 1)) == first
        assert desk.reviewer._recorded_digest(Move(MODEL, MoveKind.ROLLBACK, 9)) is None


class TestLookingBack:
    """Who was champion when."""

    def test_a_time_in_the_past_shows_champion_and_stages(self) -> None:
        """As the ledger knew them then."""
        desk = build_desk()
        champion(desk, 1)
        then = desk.clock.now()
        champion(desk, 2)

        begin, registered = desk.history(MODEL)[0].at, iso(desk.version(MODEL, 1).row.created_at)
        assert desk.at(MODEL, then) == Moment(MODEL, then, 1, {1: "Production"}, begin, registered)
        assert desk.at(MODEL, desk.clock.now()).as_json()["stages"] == {"1": "Archived", "2": "Production"}
        assert desk.at(MODEL, begin).champion is None  # type: ignore[arg-type]

    def test_before_the_ledger_begins_nothing_is_claimed(self) -> None:
        """Not that nobody was champion: somebody may have been."""
        desk = build_desk()
        champion(desk, 1)
        begin = desk.history(MODEL)[0].at
        assert begin
        before, first = desk.at(MODEL, begin - timedelta(hours=1)), desk.at(MODEL, begin)

        assert before.unknown == (
            "The ledger begins at 2026-01-01 00:00:01 UTC for this model: nothing is known about before."
        )
        assert (before.as_json()["known"], before.as_json()["since"]) == (False, iso(begin))
        assert (before.as_json()["champion"], before.as_json()["stages"]) == (None, {})
        assert (first.known, first.unknown, first.as_json()["known"]) == (True, None, True)

    def test_a_refusal_alone_is_no_beginning(self) -> None:
        """It says nothing about what the registry held."""
        desk = build_desk()
        with pytest.raises(NotAllowed):
            desk.adopt(MODEL, reason=REASON, actor=PIPELINE)
        found = desk.at(MODEL, desk.clock.now())

        assert (found.known, found.as_json()["since"]) == (False, None)
        assert found.unknown == "The ledger has not taken this model over: nothing is known about it."

    def test_a_number_that_was_given_out_again_is_two_champions(self) -> None:
        """Each by its time of registration, and a sentence says so."""
        desk = build_desk()
        champion(desk, 1)
        then, old = desk.clock.now(), desk.version(MODEL, 1).row.created_at
        assert given_out_again(desk.history(MODEL)) == []
        registered_again(desk)
        champion(desk, 1)
        new = desk.version(MODEL, 1).row.created_at

        assert [each.created_at for each in desk.champions(MODEL)] == [iso(old), iso(new)]
        assert desk.at(MODEL, then).created_at == iso(old)
        assert desk.at(MODEL, desk.clock.now()).as_json()["created_at"] == iso(new)
        assert given_out_again(desk.history(MODEL)) == [
            f"Number 1 of {MODEL} was given out again: its versions were registered {iso(old)} and {iso(new)}."
        ]

    def test_an_event_is_about_one_version_not_about_a_number(self) -> None:
        """Also one that holds the number alone: an alarm, a change that was adopted beside the champion."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.write_file(MODEL, 1, "model.skops", content=b"other bytes")
        desk.reconcile(MODEL)
        old = iso(desk.version(MODEL, 1).row.created_at)
        before = desk.history(MODEL)
        registered_again(desk)
        desk.clock.time += timedelta(hours=1)
        promote(desk, 1, Stage.STAGING)
        registry.set_stage(MODEL, 1, Stage.ARCHIVED)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)
        entries, new = desk.history(MODEL), iso(desk.version(MODEL, 1).row.created_at)

        assert {each.type for each in before if each.version == 1 and each.created_at is None} == {EventType.TAMPERING}
        assert [each.type for each in entries if each.is_about(1, new)] == [
            EventType.DECIDED,
            EventType.APPLIED,
            EventType.ADOPTED,
        ]
        assert not any(each.is_about(1, new) for each in before)
        assert not any(each.is_about(2, old) for each in before)
        assert {each.type for each in before if each.is_about(1, old)} >= {EventType.DECIDED, EventType.APPLIED}

    def test_the_time_line_has_no_overlap(self) -> None:
        """One period ends where the next starts."""
        desk = build_desk()
        champion(desk, 1, 2)
        first, second = desk.champions(MODEL)

        assert (first.version, second.version) == (1, 2)
        assert (first.end, second.end) == (second.start, None)

    def test_a_champion_that_vanished_ends_its_period(self) -> None:
        """Adopted: nobody is champion."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        registry.set_alias(MODEL, "champion", None)
        desk.adopt(MODEL, reason=REASON, actor=GRACE)

        assert desk.champions(MODEL)[0].end is not None
        assert desk.at(MODEL, desk.clock.now()).champion is None

    def test_a_stage_move_does_not_cut_the_champion_s_period(self) -> None:
        """Only the champion's own slot does."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        promote(desk, 2, Stage.STAGING)
        desk.set_alias(MODEL, "champion", 2, reason=REASON, actor=GRACE)
        registry.set_alias(MODEL, "champion", 3)
        desk.revert(MODEL, reason=REASON, actor=GRACE)

        assert [period.version for period in desk.champions(MODEL)] == [1, 2]

    def test_for_people_an_intent_and_its_end_are_one_line(self) -> None:
        """An intent that has not ended keeps its own."""
        registry = small_registry()
        desk = build_desk(registry)
        promote(desk, 1, Stage.STAGING)
        registry.set_stage = failing(registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            promote(desk, 2, Stage.STAGING)

        assert [each.type for each in one_line_each(desk.history(MODEL))] == [
            EventType.BASELINE,
            EventType.APPLIED,
            EventType.DECIDED,
        ]

    def test_the_history_is_plain_json(self) -> None:
        """With the names that other tools read."""
        desk = build_desk()
        promote(desk, 1, Stage.STAGING)
        keys = {"sequence", "type", "at", "actor", "reason", "model", "version", "from", "to", "evidence"}
        baseline, *_, applied = desk.history(MODEL)

        assert keys <= set(baseline.as_json())
        assert (applied.signature, applied.as_json()["established"]) == ("grace (self-declared)", "self_declared")
        assert applied.as_json()["created_at"] == iso(desk.version(MODEL, 1).row.created_at)
        assert (baseline.signature, baseline.as_json()["established"]) == (None, None)


class TestReading:
    """Lists and overviews."""

    def test_the_overview_says_what_serves_and_what_waits(self) -> None:
        """One entry per model."""
        desk = build_desk()
        champion(desk, 1)
        promote(desk, 3, Stage.STAGING)
        (model,) = desk.overview()

        assert (model.champion, model.waiting, model.differences) == (1, (3,), ())
        assert model.stages[Stage.NONE] == 1
        assert model.last is not None
        assert [record.name for record in desk.models()] == [MODEL]

    def test_a_model_without_events_has_no_last_one(self) -> None:
        """Reading writes nothing."""
        desk = build_desk()

        assert desk.overview()[0].last is None
        assert desk.history() == []
        assert desk.history(MODEL) == []

    def test_the_best_version_has_the_highest_metric(self) -> None:
        """Of equal ones the newest."""
        desk = build_desk()

        assert desk.best(MODEL, "accuracy").version == 3
        assert [row.version for row in desk.versions(MODEL, ["accuracy"])] == [3, 2, 1]

    def test_the_best_by_a_loss_is_the_lowest(self) -> None:
        """As the words better and worse have it on every page."""
        registry = small_registry(versions=0)
        for loss in (0.3, 0.2, 0.4):
            registry.add_version(MODEL, metrics={"log_loss": loss})

        assert build_desk(registry).best(MODEL, "log_loss").version == 2

    @pytest.mark.parametrize("metric", ["rmse", "val_loss", "validation_0-mlogloss"])
    def test_the_best_by_an_error_is_the_lowest(self, metric: str) -> None:
        """And whoever asks is told so."""
        registry = small_registry(versions=0)
        for error in (1.0, 50.0):
            registry.add_version(MODEL, metrics={metric: error})
        found = build_desk(registry).best(MODEL, metric)

        assert (found.version, found.metric, found.direction) == (1, metric, Direction.LOWEST)
        assert build_desk(registry).best(MODEL, metric, Direction.HIGHEST).version == 2

    def test_the_best_by_a_name_that_says_nothing_is_not_guessed(self) -> None:
        """The caller says which end, or the settings do."""
        registry = small_registry(versions=0)
        for profit in (1.0, 50.0):
            registry.add_version(MODEL, metrics={"profit": profit})
        policy = replace(default_policy(), metrics=MetricRules(higher=frozenset({"profit"})))

        with pytest.raises(InvalidInput, match="say --highest or --lowest"):
            build_desk(registry).best(MODEL, "profit")
        assert build_desk(registry).best(MODEL, "profit", Direction.LOWEST).version == 1
        assert build_desk(registry, policy=policy).best(MODEL, "profit").version == 2

    def test_the_best_has_a_figure_that_can_be_one(self) -> None:
        """An accuracy in percent is left out, and that is told; where no other is there, it is not found."""
        registry = small_registry(versions=0)
        for share in (0.8, 62.0):
            registry.add_version(MODEL, metrics={"accuracy": share, "auc": 90.0})
        found = build_desk(registry).best(MODEL, "accuracy")

        assert (found.version, found.left_out) == (1, (2,))
        with pytest.raises(NotFound, match="no version of 'obesity_classifier' has a 'auc' between 0 and 1"):
            build_desk(registry).best(MODEL, "auc")

    def test_the_best_is_found_under_an_accepted_name(self) -> None:
        """The exact name first; what none has is told with what there is."""
        registry = small_registry(versions=0)
        for error in (3.0, 2.0):
            registry.add_version(MODEL, metrics={"root_mean_squared_error": error})
        found = build_desk(registry).best(MODEL, "rmse")

        assert (found.version, found.metric) == (2, "root_mean_squared_error")
        with pytest.raises(NotFound, match="has a metric 'f1_macro'; ask for one of 'root_mean_squared_error'"):
            build_desk(registry).best(MODEL, "f1_macro")

    def test_a_table_of_versions_has_the_metrics_of_the_model(self) -> None:
        """Those that were asked for where there are any, else what there is; a name that none has is told."""
        registry = small_registry(versions=0)
        registry.add_version(MODEL, metrics={"rmse": 3.0, "r2": 0.5})
        desk = build_desk(registry)

        assert desk.telling_versions(MODEL, ["accuracy"])[0] == ["r2", "rmse"]
        assert desk.telling_versions(MODEL, ["r2", "accuracy"])[0] == ["r2"]
        assert [row.metrics for row in desk.versions_with(MODEL, ["rmse"])] == [{"rmse": 3.0}]
        with pytest.raises(NotFound, match="has a metric 'mae'; ask for one of 'r2', 'rmse'"):
            desk.versions_with(MODEL, ["rmse", "mae"])

    def test_a_program_asks_once_about_a_version(self) -> None:
        """Whatever the answer was; one in a stage needs no asking."""
        registry = small_registry()
        desk = build_desk(registry)
        registry.set_stage(MODEL, 3, Stage.ARCHIVED)
        before = [desk.unasked(MODEL, version, PIPELINE) for version in (1, 2, 3)]
        with pytest.raises(Refused):
            desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=PIPELINE)

        assert before == [True, True, False]
        assert [desk.unasked(MODEL, version, PIPELINE) for version in (1, 2)] == [False, True]

    def test_a_program_asks_about_the_version_that_has_a_number_now(self) -> None:
        """What it asked about a deleted one of the same number does not count, its refusals neither."""
        desk = build_desk()
        with pytest.raises(Refused):
            desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=PIPELINE)
        desk.promote(MODEL, 1, Stage.STAGING, reason=REASON, actor=PIPELINE)
        registered_again(desk)

        assert desk.unasked(MODEL, 1, PIPELINE)
        with pytest.raises(Refused):
            desk.promote(MODEL, 1, Stage.PRODUCTION, reason=REASON, actor=PIPELINE)
        assert not desk.unasked(MODEL, 1, PIPELINE)

    def test_a_review_reads_only(self) -> None:
        """No event, no change."""
        desk = build_desk()
        desk.review(Move(MODEL, MoveKind.STAGING, 1))

        assert list(desk.ledger.events()) == []

    def test_a_champion_that_cannot_be_read_is_no_incumbent(self) -> None:
        """The alias may point to what was deleted a moment ago."""
        registry = small_registry()
        desk = build_desk(registry)
        champion(desk, 1)
        version = registry.version
        registry.version = lambda model, number: (  # type: ignore[assignment]
            version(model, number) if number != 1 else failing(registry, NotFound("gone"))()
        )

        assert desk.review(parse_target(MODEL, 2, "Staging")).incumbent is None


def test_the_outcome_is_plain_json() -> None:
    """With the slots that changed."""
    outcome = promote(build_desk(), 1, Stage.STAGING).as_json()

    assert outcome["to"] == "Staging"
    assert outcome["changes"] == [
        {"kind": "stage", "name": "1", "expected": "None", "to": "Staging", "observed": "Staging"}
    ]


STAGING = parse_target(MODEL, 1, "Staging")


class TestRecomputation:
    """Claims held against what the version's own bytes give."""

    def test_shows_claimed_beside_recomputed(self) -> None:
        """By source; a metric that nobody claimed is no claim."""
        desk = build_desk(recomputer=KnownClaims({"accuracy": 0.91, "f1_macro": 0.9}))
        found = desk.recompute(MODEL, 1)

        assert [(each.source, each.claimed, each.recomputed) for each in found.claims] == [
            ("evaluation", 0.91, 0.91),
            ("run", 0.91, 0.91),
        ]
        assert found.holds
        assert found.as_json()["claims"][0]["holds"]

    def test_a_false_claim_fails_the_gate(self) -> None:
        """A warning names it; the review hands out the figures."""
        desk = build_desk(recomputer=KnownClaims({"accuracy": 0.8}))
        review = desk.review(STAGING, recompute=True)

        assert [gate.name for gate in review.warnings] == ["claims_recomputed"]
        assert "accuracy is claimed as 0.91 by the evaluation file and is 0.8" in review.warnings[0].why
        assert review.as_json()["recomputed"]["holds"] is False
        assert desk.review(STAGING, recomputed=review.recomputation).gates == review.gates

    def test_counts_in_a_decision_that_asks_for_it(self) -> None:
        """As a warning to accept; without asking, nothing is loaded."""
        desk = build_desk(recomputer=KnownClaims({"accuracy": 0.8}))
        with pytest.raises(WarningsNotAccepted, match="claims_recomputed"):
            promote(desk, 1, Stage.STAGING, recompute=True)
        promote(desk, 1, Stage.STAGING)

    def test_nobody_asked(self) -> None:
        """No gate, no figures, no second that it takes."""
        review = build_desk(recomputer=KnownClaims(refusal=refused("It was asked."))).review(STAGING)

        assert "claims_recomputed" not in [gate.name for gate in review.gates]
        assert "recomputed" not in review.as_json()

    def test_a_policy_may_ask_every_time(self) -> None:
        """Then the gate binds decisions too, in the policy's mode."""
        policy = default_policy()
        rules = policy.moves[MoveKind.STAGING]
        gates = {**rules.gates, "claims_recomputed": GateRule(Mode.PREVENT)}
        strict = replace(policy, moves={**policy.moves, MoveKind.STAGING: replace(rules, gates=gates)})

        with pytest.raises(Blocked, match="1 of 627 stored predictions"):
            promote(build_desk(policy=strict, recomputer=KnownClaims(changed_rows=1)), 1, Stage.STAGING)

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({}, "this desk loads no models"),
            ({"recomputer": KnownClaims(refusal=refused("It crashed"))}, "Not recomputed: It crashed."),
        ],
        ids=["no worker", "refused"],
    )
    def test_what_cannot_be_recomputed_says_why(self, options: dict[str, Any], sentence: str) -> None:
        """As a gate of the review; asked for by itself, it is the refusal."""
        desk = build_desk(**options)

        assert sentence in desk.review(STAGING, recompute=True).warnings[0].why
        with pytest.raises(Refused):
            desk.recompute(MODEL, 1)

    def test_files_that_are_gone(self) -> None:
        """Nothing to recompute with."""
        registry = small_registry(versions=0)
        registry.add_version(MODEL, files={})

        with pytest.raises(NotFound, match="files cannot be read"):
            build_desk(registry, recomputer=KnownClaims()).recompute(MODEL, 1)

    def test_a_registry_that_is_down_is_no_verdict(self) -> None:
        """Unavailable, not a failed gate."""
        desk = build_desk(recomputer=KnownClaims(refusal=Unavailable("gone")))

        with pytest.raises(Unavailable):
            desk.review(STAGING, recompute=True)
