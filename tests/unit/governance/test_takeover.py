"""Models that the desk did not make: those it never saw, those that are gone, and registries that use aliases alone."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.bootstrap import KeptRegistryId
from pipeline.governance.errors import Blocked, NotAllowed, OutOfBand, Refused, StateChanged, Unavailable
from pipeline.governance.lifecycle import ModelState, Stage, parse_target
from pipeline.governance.ports import KnownRegistry
from pipeline.governance.record.ledger import EventType, UnknownType
from pipeline.governance.record.standing import LedgerView
from support.desks import (
    GRACE,
    MODEL,
    PIPELINE,
    REASON,
    OpenDesk,
    add_good_version,
    before_the_lock,
    build_desk,
    small_registry,
)
from support.in_memory import EPOCH, InMemoryLedger, InMemoryRegistry

OTHER = "churn"


def found_registry() -> InMemoryRegistry:
    """As a trainer left it: 1 is champion in Production, 2 waits in Staging, an alias of somebody's own."""
    registry = small_registry()
    registry.set_alias(MODEL, "champion", 1)
    registry.set_alias(MODEL, "nightly", 3)
    registry.set_stage(MODEL, 1, Stage.PRODUCTION)
    registry.set_stage(MODEL, 2, Stage.STAGING)
    return registry


def promote(desk: OpenDesk, version: int, stage: Stage, **options: Any):
    return desk.promote(MODEL, version, stage, reason=REASON, actor=GRACE, **options)


def types(desk: OpenDesk, model: str = MODEL) -> list[EventType | UnknownType]:
    return [stored.event.type for stored in desk.ledger.events(model=model)]


def refused_before_the_takeover(desk: OpenDesk) -> None:
    """The first event about the model is a refusal: it says nothing about what the registry held."""
    with pytest.raises(NotAllowed):
        desk.adopt(MODEL, reason=REASON, actor=PIPELINE)


def nothing(_: OpenDesk) -> None:
    """The ledger holds no event at all."""


@pytest.mark.parametrize("before", [nothing, refused_before_the_takeover])
class TestAModelThatWasNeverSeen:
    """Where there is no baseline, nothing has moved."""

    def test_is_settled_in_every_review(self, before: Callable[[OpenDesk], None]) -> None:
        """Of a stage, of an alias, and of a champion's successor."""
        desk = build_desk(found_registry())
        before(desk)

        assert desk.review(parse_target(MODEL, 2, "Production")).open
        assert desk.review(parse_target(MODEL, 2, "@nightly")).open
        assert desk.review(parse_target(MODEL, 2, "Archived")).open

    def test_is_in_the_same_state_after_the_takeover(self, before: Callable[[OpenDesk], None]) -> None:
        """What a review handed out is taken back by the decision that takes the model over."""
        desk = build_desk(found_registry())
        before(desk)
        review = desk.review(parse_target(MODEL, 2, "Production"))
        promote(desk, 2, Stage.PRODUCTION, expect=review.state, evidence=review.evidence.digest)

        assert review.state == "@champion=1#0,/2=Staging#0,/1=Production#0"
        assert types(desk)[-3:] == [EventType.BASELINE, EventType.DECIDED, EventType.APPLIED]

    def test_differs_nowhere(self, before: Callable[[OpenDesk], None]) -> None:
        """First page, verify, and the readers of the ledger that serve predictions."""
        desk = build_desk(found_registry())
        before(desk)

        assert desk.differences(MODEL) == []
        assert desk.overview()[0].differences == ()
        assert desk.verify(new=True) == []
        assert not LedgerView.read(desk.ledger, MODEL).known

    def test_is_taken_over_by_reconcile(self, before: Callable[[OpenDesk], None]) -> None:
        """As it was found; from then on a move by another way is one."""
        registry = found_registry()
        desk = build_desk(registry)
        before(desk)

        assert [stored.event.type for stored in desk.reconcile()] == [EventType.BASELINE]
        registry.set_alias(MODEL, "nightly", 2)
        assert [each.sentence for each in desk.differences(MODEL)] == ["@nightly is 2, the ledger says 3"]


class TestTheDesksOwnLook:
    """Without anybody asking: what is new is recorded, and the registry is left alone."""

    def test_takes_over_models_that_appear_later(self) -> None:
        """Once each."""
        registry = found_registry()
        desk = build_desk(registry)
        first = [stored.event.model for stored in desk.look()]
        registry.add_model(OTHER)
        add_good_version(registry, model=OTHER)
        registry.set_alias(OTHER, "champion", 1)
        second = [stored.event.model for stored in desk.look()]

        assert (first, second, desk.look()) == ([MODEL], [OTHER], [])
        assert desk.review(parse_target(OTHER, 1, "Production")).open

    def test_records_what_moved_by_another_way(self) -> None:
        """Once, as reconcile does; nobody's signature is needed to have seen it."""
        registry = found_registry()
        desk = build_desk(registry)
        desk.look()
        registry.set_alias(MODEL, "champion", 3)
        there = registry.state(MODEL)

        assert [stored.event.type for stored in desk.look()] == [EventType.OUT_OF_BAND]
        assert desk.look() == []
        assert registry.state(MODEL) == there

    def test_claims_nothing_about_a_name_that_was_only_refused(self) -> None:
        """A mistyped model in a refusal stops neither the look nor reconcile."""
        desk = build_desk(found_registry())
        with pytest.raises(NotAllowed):
            desk.adopt("mistyped", reason=REASON, actor=PIPELINE)

        assert [stored.event.model for stored in desk.look()] == [MODEL]
        assert desk.reconcile() == []
        assert desk.gone_models() == []
        assert desk.verify() == []


def test_models_that_were_renamed_or_deleted_are_named() -> None:
    """Also those about which the ledger holds no alias and no stage."""
    registry = found_registry()
    registry.add_model(OTHER)
    desk = build_desk(registry)
    desk.look()
    registry._models["renamed"] = registry._models.pop(MODEL)
    del registry._models[OTHER]

    assert desk.gone_models() == [OTHER, MODEL]
    assert desk.known_models() == [OTHER, MODEL, "renamed"]
    assert desk.differences(MODEL)[0].sentence == "@champion is not there, the ledger says 1"
    assert [(stored.event.model, stored.event.type) for stored in desk.reconcile()] == [
        (MODEL, EventType.OUT_OF_BAND),
        ("renamed", EventType.BASELINE),
    ]


class TestARegistryOfAliasesAlone:
    """The champion is in stage None, as MLflow's own documentation has it: no desk may forbid every way on."""

    def desk(self, ledger: InMemoryLedger | None = None) -> OpenDesk:
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 1)
        return build_desk(registry, ledger)

    def test_its_champion_is_promoted_as_it_is(self) -> None:
        """It serves already and only gets the stage; the alias is not written again."""
        desk = self.desk()
        review = desk.review(parse_target(MODEL, 1, "Production"))
        outcome = promote(desk, 1, Stage.PRODUCTION)

        assert review.open
        assert next(gate.observed for gate in review.gates if gate.name == "stage_is_staging") == (
            "None, serves as champion"
        )
        assert [(each.slot.label, each.expected, each.to) for each in outcome.changes] == [
            ("/1", "None", "Production"),
            ("@champion", "1", "1"),
        ]
        assert desk.registry.state(MODEL) == ModelState(
            {"champion": 1}, {1: Stage.PRODUCTION, 2: Stage.NONE, 3: Stage.NONE}
        )
        assert desk.differences(MODEL) == []
        assert [desk.history(MODEL)[-1].before, desk.history(MODEL)[-1].after] == ["None", "Production"]

    def test_its_champion_on_the_way_to_staging_is_told_the_other_way(self) -> None:
        """One refusal, with a way on that is open."""
        desk = self.desk()
        with pytest.raises(Blocked, match="It serves as champion: promote it to Production as it is"):
            promote(desk, 1, Stage.STAGING)
        promote(desk, 1, Stage.PRODUCTION)

    def test_a_successor_goes_through_staging_and_is_rolled_back(self) -> None:
        """Back to the champion that was found, by the digest of the takeover."""
        desk = self.desk()
        promote(desk, 2, Stage.STAGING)
        promote(desk, 2, Stage.PRODUCTION)
        desk.rollback(MODEL, reason=REASON, actor=GRACE)

        assert desk.registry.state(MODEL) == ModelState(
            {"champion": 1}, {1: Stage.PRODUCTION, 2: Stage.ARCHIVED, 3: Stage.NONE}
        )

    @pytest.mark.parametrize(("end", "champion"), [("adopt", 2), ("revert", 1)])
    def test_a_champion_that_somebody_moved_is_adopted_or_reverted(self, end: str, champion: int) -> None:
        """And may be promoted then."""
        desk = self.desk()
        desk.look()
        desk.registry.set_alias(MODEL, "champion", 2)
        with pytest.raises(OutOfBand, match="the alias champion is on version 2; accept or undo it on History first"):
            promote(desk, 2, Stage.PRODUCTION)
        getattr(desk, end)(MODEL, reason=REASON, actor=GRACE)
        promote(desk, champion, Stage.PRODUCTION)

        assert desk.registry.state(MODEL).in_stage(Stage.PRODUCTION) == [champion]
        assert desk.verify() == []

    def test_of_its_champion_and_a_successor_at_the_same_time_one_wins(self) -> None:
        """They change no slot in common; the alias that one of them only holds is where they meet."""
        desk = self.desk()
        promote(desk, 2, Stage.STAGING)
        before_the_lock(desk, lambda other: promote(other, 2, Stage.PRODUCTION))
        with pytest.raises(StateChanged, match="@champion changed since you looked"):
            promote(desk, 1, Stage.PRODUCTION)

        assert desk.registry.state(MODEL).in_stage(Stage.PRODUCTION) == [2]

    def test_a_successor_loses_against_its_champion_in_the_same_way(self) -> None:
        """Whichever comes first."""
        desk = self.desk()
        promote(desk, 2, Stage.STAGING)
        before_the_lock(desk, lambda other: promote(other, 1, Stage.PRODUCTION))
        with pytest.raises(StateChanged):
            promote(desk, 2, Stage.PRODUCTION)

        assert desk.registry.state(MODEL).champion == 1
        assert desk.registry.state(MODEL).in_stage(Stage.PRODUCTION) == [1]


def test_what_moves_in_the_registry_before_the_lock_is_seen() -> None:
    """Not by the ledger, which nobody asked: by one more look at the registry."""
    registry = small_registry()
    desk = build_desk(registry)
    before_the_lock(desk, lambda _: registry.set_stage(MODEL, 1, Stage.ARCHIVED))
    with pytest.raises(StateChanged, match="/1 changed since you looked"):
        promote(desk, 1, Stage.STAGING)

    assert registry.state(MODEL).stages[1] is Stage.ARCHIVED


def test_a_champion_in_production_still_leaves_only_by_a_successor() -> None:
    """The way on of a registry without stages is none for one that has them."""
    desk = build_desk(found_registry())
    with pytest.raises(Refused, match="promote a successor or roll back first"):
        promote(desk, 1, Stage.STAGING)


class KnowsTheseRegistries(InMemoryLedger):
    """A ledger at an address that wrote about the registries of these ids and addresses."""

    known: tuple[tuple[str, str], ...] = ()

    def registries(self) -> list[KnownRegistry]:
        return [KnownRegistry(address, registry, EPOCH) for registry, address in self.known]


def test_the_record_is_read_where_the_ledger_can_tell_whose_it_is() -> None:
    """Of a registry that does not answer: by its address, or because there is one only; of several they are named."""
    registry, ledger = InMemoryRegistry(), KnowsTheseRegistries(address="http://typo")
    registry.down = True
    kept, desk = KeptRegistryId(registry, None, ledger), build_desk(registry, ledger=ledger)
    with pytest.raises(Unavailable, match=r"does not answer$"):
        kept.known()
    ledger.known = (("one", "http://a"), ("one", "http://b"))
    assert (kept.known(), desk.whose_record()) == (
        "one",
        (
            "nothing was ever written about its address, this is the record of the only registry that the ledger "
            "knows, at http://b"
        ),
    )
    ledger.known = (("one", "http://a"), ("two", "http://b"))
    with pytest.raises(Unavailable, match="does not answer; the ledger has the records of: http://a, http://b"):
        kept.known()
    ledger.known = (("one", "http://a"), ("two", "http://typo"))
    assert (kept.known(), desk.whose_record()) == ("two", "this is the record of the registry that had its address")
