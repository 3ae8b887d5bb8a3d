"""Events as text, the chain, and what replaying gives."""

from datetime import timedelta
from typing import Any

import pytest

from pipeline.governance.lifecycle import Slot
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.ledger import (
    FIRST_HASH,
    Event,
    EventType,
    SlotChange,
    SlotState,
    canonical,
    chain,
    chain_problems,
    event_hash,
    fold,
    former_champions,
    iso,
    replay,
)
from support.in_memory import EPOCH

CHAMPION = Slot.of_alias("m", "champion")


def moved(kind: EventType, to: str | None, **content: Any) -> Event:
    return Event(kind, "m", EPOCH, (SlotChange(CHAMPION, None, to, to),), content=content)


def test_the_text_of_an_event_is_sorted_json_and_reads_back() -> None:
    """Byte for byte the same for the same event."""
    event = Event(EventType.DENIED, "m", EPOCH, decision="d", key="k", content={"z": 1, "a": "é"})

    assert event.body() == (
        '{"a":"é","at":"2026-01-01T00:00:00.000000Z","changes":[],"decision":"d","key":"k","model":"m","type":"denied","z":1}'
    )
    assert Event.from_body(event.body()) == event


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"reason":"r"', '"reason":{}'),
        ('"gates":[]', '"gates":[1]'),
        ('"gates":[]', '"gates":[{"name":"reason"}]'),
        ('"to":"7"', '"to":7'),
        ("00.000000Z", "00.000000"),
    ],
)
def test_json_that_no_event_was_ever_written_as_is_none(before: str, after: str) -> None:
    """A field of another type, a gate that says nothing, a slot's content that is no text, a time without a zone."""
    body = moved(EventType.APPLIED, "7", reason="r", gates=[]).body()
    assert Event.from_body(body).content["reason"] == "r"
    assert before in body

    with pytest.raises(TypeError):
        Event.from_body(body.replace(before, after, 1))


def test_nan_is_not_written() -> None:
    """A ledger that other programs cannot read is no ledger."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"a": float("nan")})


def test_times_are_utc_with_microseconds() -> None:
    """One way to write a moment."""
    assert iso(EPOCH + timedelta(microseconds=5)) == "2026-01-01T00:00:00.000005Z"


def test_the_hash_covers_text_place_and_the_event_before() -> None:
    """Nothing can be moved, changed or put in between."""
    hashes = {event_hash("a", 1, "x"), event_hash("b", 1, "x"), event_hash("a", 2, "x"), event_hash("a", 1, "y")}

    assert len(hashes) == 4


def test_a_broken_chain_names_the_event() -> None:
    """Number, link and content are checked each by itself."""
    first = chain(moved(EventType.BASELINE, "1"), 1, FIRST_HASH)
    second = chain(moved(EventType.APPLIED, "2"), 2, first.hash)

    assert chain_problems([first, second]) == []
    assert chain_problems([second]) == [
        "event 2: should be number 1",
        "event 2: does not follow from the event before it",
    ]
    assert chain_problems([first._replace(body="{}")]) == ["event 1: was changed after it was written"]


@pytest.mark.parametrize(
    ("kind", "observed", "after"),
    [
        (EventType.BASELINE, "2", SlotState("2", 0, None, observed="2", since=EPOCH)),
        (EventType.DECIDED, None, SlotState("1", 3, "d")),
        (EventType.APPLIED, "2", SlotState("2", 4, None, observed="2", since=EPOCH)),
        (EventType.ABORTED, "1", SlotState("1", 3)),
        (EventType.CONFLICT, "7", SlotState("1", 3, None, out_of_band=True, observed="7")),
        (EventType.OUT_OF_BAND, "7", SlotState("1", 3, None, out_of_band=True, observed="7")),
        (EventType.OUT_OF_BAND, "1", SlotState("1", 3, None, out_of_band=False, observed="1", since=EPOCH)),
        (EventType.ADOPTED, "2", SlotState("2", 4, None, observed="2", since=EPOCH)),
        (EventType.REVERTED, "2", SlotState("2", 4, None, observed="2", since=EPOCH)),
        (EventType.DENIED, None, SlotState("1", 3)),
    ],
)
def test_each_event_folds_into_the_slot(kind: EventType, observed: str | None, after: SlotState) -> None:
    """State is the replay of events."""
    change = SlotChange(CHAMPION, "1", "2", observed)

    assert fold(SlotState("1", 3), Event(kind, "m", EPOCH, (change,), "d"), change) == after


def test_a_slot_before_any_event_is_empty() -> None:
    """A version starts in stage None, an alias is not there."""
    assert SlotState.initial(Slot.of_stage("m", 1)).recorded == "None"
    assert SlotState.initial(CHAMPION).recorded is None
    assert replay([]) == {}


def test_former_champions_are_a_stack() -> None:
    """A rollback takes off what it left; a removed alias leaves the stack alone; the same again adds nothing."""
    events = [
        moved(EventType.BASELINE, "1"),
        moved(EventType.APPLIED, "2"),
        moved(EventType.APPLIED, "2"),
        moved(EventType.OUT_OF_BAND, "9"),
        moved(EventType.APPLIED, "3"),
        moved(EventType.APPLIED, "2", meaning="rollback"),
        moved(EventType.ADOPTED, None),
        moved(EventType.APPLIED, "4"),
    ]

    assert [version for version, _ in former_champions(events, CHAMPION)] == [1, 2, 4]


@pytest.mark.parametrize(
    ("low", "high", "verdict"), [(0.01, 0.03, "better"), (-0.03, -0.01, "worse"), (-0.01, 0.01, "not distinguishable")]
)
def test_a_difference_is_judged_by_its_interval(low: float, high: float, verdict: str) -> None:
    """Digits alone decide nothing."""
    assert MetricDifference("accuracy", 0.0, low, high, 627).verdict == verdict
