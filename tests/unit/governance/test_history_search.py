"""The history narrowed by person, version, time and text: what is found, and how much is read for it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from pipeline.governance.errors import Refused
from pipeline.governance.lifecycle import Slot, Stage
from pipeline.governance.record.history import UNREADABLE, Entry, entry
from pipeline.governance.record.ledger import Event, EventType, SlotChange, UnreadableEvent
from pipeline.governance.service import reading
from pipeline.governance.service.reading import HistoryFilter
from support.decisions import champion, promote
from support.desks import MODEL, PIPELINE, OpenDesk, TickingClock, build_desk, small_registry
from support.in_memory import EPOCH

DAY = timedelta(days=1)


@pytest.fixture
def desk() -> OpenDesk:
    """Version 1 became champion on the first day, version 2 took its place on the third; one refusal in between."""
    desk = build_desk(small_registry())
    champion(desk, 1)
    desk.clock.time = EPOCH + DAY
    with pytest.raises(Refused):
        desk.promote(MODEL, 3, Stage.PRODUCTION, reason="Let the machine do it.", actor=PIPELINE)
    desk.clock.time = EPOCH + 2 * DAY
    promote(desk, 2, Stage.STAGING)
    promote(desk, 2, Stage.PRODUCTION)
    return desk


def numbers(desk: OpenDesk, model: str | None = MODEL, *, page: Any = (), **asked: Any) -> list[int]:
    """Of the decisions that are found, the newest first."""
    found = desk.history_page(model, asked=HistoryFilter(**asked), **dict(page))
    return [each.number for each, _ in found.lines]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, [9, 7, 6, 4, 2, 1]),
        ({"person": "PIPE"}, [6]),
        ({"version": 1}, [9, 4, 2]),
        ({"version": 3}, [6]),
        ({"text": "champion promoted"}, [9, 4]),
        ({"text": "machine"}, [6]),
        ({"text": "2026-01-02 00:00"}, [6]),
        ({"text": "no such word"}, []),
        ({"since": EPOCH + DAY}, [9, 7, 6]),
        ({"until": EPOCH + DAY}, [4, 2, 1]),
        ({"since": EPOCH + DAY, "until": EPOCH + 2 * DAY}, [6]),
        ({"until": EPOCH - DAY}, []),
        ({"until": EPOCH - DAY, "version": 1}, []),
    ],
)
def test_each_filter_narrows(desk: OpenDesk, asked: dict[str, Any], found: list[int]) -> None:
    """In any case and order of words; a version is found also where a decision about another one moved it."""
    assert numbers(desk, **asked) == found
    assert numbers(desk, None, **asked) == found


def test_filters_go_with_types_and_pages(desk: OpenDesk) -> None:
    """As without them."""
    assert numbers(desk, page={"only": {"applied"}}, version=1) == [9, 4, 2]
    assert numbers(desk, page={"only": {"denied"}}, version=3) == [6]
    assert numbers(desk, page={"without": {"applied"}}, version=1) == []
    assert numbers(desk, page={"before": 9}, version=1) == [4, 2]
    assert numbers(desk, page={"before": 5}, until=EPOCH + DAY) == [2, 1]


def test_a_search_reads_so_many_events(desk: OpenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says how many; the next page goes on where it stopped, so that nothing is left out."""
    monkeypatch.setattr(reading, "MOST_SEARCHED", 4)
    asked = HistoryFilter(text="taken took over")
    first = desk.history_page(MODEL, asked=asked)
    found, before = list(first.lines), first.older
    while before is not None:
        page = desk.history_page(MODEL, asked=asked, before=before)
        found, before = [*found, *page.lines], page.older

    assert (first.lines, first.searched, first.older) == ((), 4, 7)
    assert found == []
    assert desk.history_page(MODEL).searched is None
    assert desk.history_page(MODEL, asked=HistoryFilter(person="grace"), lines=1).searched is None


def test_a_period_is_reached_without_reading_what_is_newer() -> None:
    """By a binary search over the numbers: of ten thousand events some dozens are read."""
    desk = build_desk(small_registry(), clock=TickingClock())
    slot = Slot.of_alias(MODEL, "other")
    with desk.ledger.transaction() as transaction:
        for number in range(10_000):
            change = (SlotChange(slot, None, None, str(number)),)
            transaction.append(Event(EventType.OUT_OF_BAND, MODEL, EPOCH + number * DAY, change))
    read: list[Entry] = []
    kept = desk.ledger.page

    def counted(*arguments: Any, **options: Any) -> Any:
        for each in kept(*arguments, **options):
            read.append(entry(each))
            yield each

    desk.ledger.page = counted  # type: ignore[method-assign]
    found = desk.history_page(MODEL, asked=HistoryFilter(since=EPOCH + 10 * DAY, until=EPOCH + 12 * DAY))

    assert [each.at for each, _ in found.lines] == [EPOCH + 11 * DAY, EPOCH + 10 * DAY]
    assert found.older is None
    assert len(read) < 40


@pytest.mark.parametrize("narrow", [{"since": EPOCH}, {"until": EPOCH}, {"version": 1}, {"person": "grace"}])
def test_an_event_that_cannot_be_read_matches_nothing(narrow: dict[str, Any]) -> None:
    """It has no time and no version; without a filter it is listed."""
    damaged = entry(UnreadableEvent(3, "decided", MODEL))

    assert not HistoryFilter(**narrow).matches(damaged)
    assert HistoryFilter(text="cannot be read").matches(damaged)
    assert damaged.type is UNREADABLE


def test_damaged_events_are_passed_over_in_time(desk: OpenDesk) -> None:
    """The search for a period goes by the readable ones beside them."""
    stored = list(desk.ledger.events())
    damaged: Sequence[Any] = [
        UnreadableEvent(each.sequence, "x", MODEL) if each.sequence % 2 else each for each in stored
    ]

    def page(*_: Any, before: int | None = None, **__: Any) -> Any:
        return iter([each for each in reversed(damaged) if before is None or each.sequence < before])

    desk.ledger.page = page  # type: ignore[method-assign]

    assert numbers(desk, since=EPOCH, until=EPOCH + DAY) == []
    assert numbers(desk, since=EPOCH + DAY, until=EPOCH + 2 * DAY) == [6]


def test_a_line_is_found_by_either_number(desk: OpenDesk) -> None:
    """Of a decision by that of its intent or its end; another event by its own."""
    assert desk.line(9) == desk.line(10) == desk.decision(9)
    refusal = desk.line(6)
    assert refusal is not None
    assert (refusal[0].type, refusal[1]) == (EventType.DENIED, None)
    assert desk.line(99) is None
