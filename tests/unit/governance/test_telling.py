"""Events as sentences, and one number per decision."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.governance.errors import NotFound, Refused, Unavailable
from pipeline.governance.lifecycle import Slot, Stage
from pipeline.governance.record.history import Entry, entry, one_line_each
from pipeline.governance.record.ledger import (
    Event,
    EventType,
    SlotChange,
    StoredEvent,
    UnknownType,
    UnreadableEvent,
    chain,
)
from pipeline.governance.record.telling import change_of, change_or_wish, changes_text, event_word, sentence, told
from support.decisions import champion, promote
from support.desks import (
    GRACE,
    MODEL,
    REASON,
    OpenDesk,
    TickingClock,
    build_desk,
    failing,
    registered_again,
    small_registry,
)
from support.in_memory import EPOCH


def told_lines(entries: Sequence[Entry]) -> list[str]:
    """What a reader of the history reads, one line per decision."""
    return [": ".join(filter(None, (sentence(each), change_of(each)))) for each in one_line_each(entries)]


def promoted() -> OpenDesk:
    """Version 1 was champion, version 2 is."""
    desk = build_desk(small_registry(), clock=TickingClock(EPOCH + timedelta(minutes=3)))  # the versions are there
    champion(desk, 1)
    promote(desk, 2, Stage.STAGING)
    promote(desk, 2, Stage.PRODUCTION)
    return desk


class TestAPromotion:
    """Moves an alias and two stages."""

    def test_is_told_with_everything_that_it_changed(self) -> None:
        """From what to what: the champion, the version's stage and that of the version before it."""
        assert told_lines(promoted().history(MODEL))[-1] == (
            "grace promoted version 2 to Production: "
            "champion 1 → 2; version 2 Staging → Production; version 1 Production → Archived"
        )

    def test_is_in_the_record_of_each_version_that_it_touched(self) -> None:
        """Also of the one that lost its place, and of none that it left alone."""
        desk = promoted()
        applied = desk.history(MODEL)[-1]

        assert [desk.decisions(MODEL, version)[-1] for version in (1, 2)] == [applied, applied]
        assert desk.decisions(MODEL, 3) == []

    def test_has_one_number(self) -> None:
        """That of its intent, also for its end; an event of no decision has its own."""
        baseline, *_, decided, applied = promoted().history(MODEL)

        assert (decided.number, applied.number) == (decided.sequence, decided.sequence)
        assert (baseline.number, applied.as_json()["number"]) == (baseline.sequence, decided.sequence)

    def test_is_not_told_of_a_version_that_got_the_number_later(self) -> None:
        """A number is given out again after a deletion: what moved the earlier version is not about the new one."""
        desk = promoted()
        registered_again(desk)

        assert desk.decisions(MODEL, 1) == []


class TestOtherEvents:
    """Each kind has a sentence of its own."""

    def test_of_aliases_and_refusals(self) -> None:
        """Names as they were asked for, also where nothing was changed."""
        desk = build_desk(small_registry())
        desk.set_alias(MODEL, "mine", 1, reason=REASON, actor=GRACE)
        desk.set_alias(MODEL, "mine", 2, reason=REASON, actor=GRACE)
        desk.remove_alias(MODEL, "mine", reason=REASON, actor=GRACE)
        with pytest.raises(Refused):
            promote(desk, 3, Stage.PRODUCTION)

        assert told_lines(desk.history(MODEL)) == [
            "The desk took the model over as it was: no alias or stage yet",
            "grace set the alias mine on version 1: alias mine none → 1",
            "grace set the alias mine on version 2: alias mine 1 → 2",
            "grace removed the alias mine: alias mine 2 → none",
            "grace asked to promote version 3 to Production and was refused",
        ]

    def test_of_what_moved_past_the_desk(self) -> None:
        """What was seen, and who ended it how; each is in the record of the versions that it touched."""
        desk = promoted()
        for end in (desk.revert, desk.adopt):
            desk.registry.set_alias(MODEL, "mine", 3)
            desk.reconcile(MODEL)
            end(MODEL, reason=REASON, actor=GRACE)

        assert told_lines(desk.history(MODEL))[-4:] == [
            "The registry was changed outside of this desk: alias mine none → 3",
            "grace undid what was changed outside of this desk: alias mine 3 → none",
            "The registry was changed outside of this desk: alias mine none → 3",
            "grace accepted what was changed outside of this desk: alias mine none → 3",
        ]
        assert told_lines(desk.decisions(MODEL, 3)) == told_lines(desk.history(MODEL))[-4:]

    def test_of_a_decision_that_has_not_ended(self) -> None:
        """It is told as a wish."""
        desk = build_desk(small_registry())
        desk.registry.set_stage = failing(desk.registry, Unavailable("gone"))
        with pytest.raises(Unavailable):
            promote(desk, 1, Stage.STAGING)

        assert (
            told_lines(desk.history(MODEL))[-1]
            == "grace decided to move version 1 to Staging: version 1 no stage → Staging"
        )

    def test_of_one_that_the_registry_did_not_take(self) -> None:
        """And of what was found instead."""
        desk = build_desk(small_registry())
        desk.registry.set_stage = failing(desk.registry, NotFound("gone"))
        with pytest.raises(Exception, match="was not applied"):
            promote(desk, 1, Stage.STAGING)

        assert told_lines(desk.history(MODEL))[-1] == (
            "grace decided to move version 1 to Staging, and it was not carried out: version 1 no stage → Staging"
        )

    def test_of_a_type_that_is_not_known_here(self) -> None:
        """And of one that cannot be read."""
        later = chain(Event(UnknownType("signed"), MODEL, EPOCH), 1, "0" * 64)

        assert sentence(entry(later)) == "Somebody: signed"
        assert sentence(entry(UnreadableEvent(2, "17", MODEL))) == "This event cannot be read"

    def test_of_a_meaning_that_is_not_known_here(self) -> None:
        """An event of a later version may mean anything."""
        later = stored(EventType.APPLIED, content={"meaning": "{who}", "actor": {"subject": "ada\n"}})

        assert sentence(entry(later)) == r"ada\n decided something of a kind that is not known here"


def stored(kind: EventType, **options: object) -> StoredEvent:
    return chain(Event(kind, MODEL, EPOCH, **options), 1, "0" * 64)  # type: ignore[arg-type]


def test_many_changes_are_counted() -> None:
    """A model that was deleted changes all of its versions; text from the registry stays on its line."""
    stages = [SlotChange(Slot.of_stage(MODEL, number), "Staging", None, None) for number in range(1, 12)]
    odd = SlotChange(Slot.of_alias(MODEL, "a\nb"), "1", None, "2")

    assert changes_text(EventType.OUT_OF_BAND, [odd, *stages], most=2) == (
        r"alias a\nb 1 → 2; version 1 Staging → gone; and 10 more"
    )


def test_an_event_in_full() -> None:
    """When, who, what, every change and why, a line for each part; nobody's text can make a line of its own."""
    desk = build_desk()
    desk.promote(MODEL, 1, Stage.STAGING, reason=f"{REASON}\nmallory did it", actor=GRACE)
    last = desk.history(MODEL)[-1]

    assert told(last) == (
        f"{last.at:%Y-%m-%d %H:%M:%S} UTC: grace moved version 1 to Staging.\n"
        f"version 1 no stage → Staging\nReason: {REASON}\\nmallory did it"
    )
    assert told(replace(last, at=None, content={})).startswith("grace moved version 1 to Staging.")


@pytest.mark.parametrize(
    ("kind", "content", "word", "line"),
    [
        (EventType.APPLIED, {"meaning": "rollback"}, "! Rolled back", ""),
        (EventType.APPLIED, {"meaning": "of a later version"}, "✓ Applied", ""),
        (EventType.DENIED, {"version": 3, "to": "Production"}, "✕ Refused", "asked: version 3 → Production"),
        (EventType.DENIED, {"version": 3, "to": "@champion"}, "✕ Refused", "asked: version 3 → champion"),
        (EventType.DENIED, {"to": "@a\nb"}, "✕ Refused", r"asked: → alias a\nb"),
        (
            EventType.APPROVED,
            {"version": 2, "to": "Production", "requested": 5},
            "✓ Approved",
            "request 5: version 2 → Production",
        ),
        (EventType.REGISTERED, {"version": 4}, "· Registered", "version 4"),
        (
            EventType.TAMPERING,
            {"recorded_digest": "a" * 64},
            "! Files changed",
            f"fingerprint of the files {'a' * 12} → gone",
        ),
        (UnknownType("of_a_later_version"), {}, "· of_a_later_version", ""),
    ],
)
def test_an_event_as_a_row_of_a_list(kind: EventType, content: dict[str, object], word: str, line: str) -> None:
    """A word for what became of it, and everything that it changed, or what was asked for."""
    found = replace(entry(stored(EventType.COMMENTED)), type=kind, content=content)
    about: dict[str, Any] = {
        "version": content.get("version"),
        "after": content.get("to"),
        "meaning": content.get("meaning"),
    }
    shown = replace(found, **about)

    assert event_word(shown) == word
    assert change_or_wish(shown) == line
