"""The trend of a metric: where versions, champions and events lie, and what is left out."""

import pytest

from pipeline.governance.metrics import Direction
from pipeline.governance.record.ledger import EventType
from pipeline.governance.rules import trend as rules
from support.desks import MODEL, build_desk
from support.trends import happened, minute, registry_of, shown


def test_a_version_has_its_value_and_interval() -> None:
    """One step apart in the order of registration."""
    found = shown(build_desk(registry_of(0.8, 0.9)))

    assert [(point.place, point.value) for point in found.points] == [(1, 0.8), (2, 0.9)]
    assert [found.points[0].low, found.points[0].high] == pytest.approx([0.78, 0.82])
    assert (found.direction, found.versions, found.marked_since) == (Direction.HIGHEST, 2, None)


def test_a_version_without_a_value_is_a_named_gap() -> None:
    """Also one whose figure cannot be the metric; and an interval that is not around its value is none."""
    registry = registry_of(None, 62.0)
    registry.add_version(MODEL, metrics={"accuracy": 0.9, "accuracy_low": 0.95, "accuracy_high": 0.99})
    found = shown(build_desk(registry))
    without, impossible, odd = found.points

    assert (without.value, without.gap) == (None, "version 1 has no accuracy")
    assert (impossible.value, impossible.gap) == (None, "accuracy is 62, and a share lies between 0 and 1")
    assert (odd.value, odd.low, odd.high) == (0.9, None, None)
    assert ([place for place, _ in found.gaps()], found.known) == ([1, 2], (odd,))


def test_champions_lie_between_the_registrations_of_their_time() -> None:
    """In order: from the gap in which a period began to that in which it ended; the last one is open."""
    desk = build_desk(registry_of(0.8, 0.9, 0.85))
    happened(desk, 1.5, to=1)
    happened(desk, 2.3, to=None)
    happened(desk, 2.6, to=2)
    found = shown(desk)

    assert [(band.start, band.end, band.value) for band in found.bands] == [
        (1.5, pytest.approx(2 + 1 / 3), 0.8),
        (pytest.approx(2 + 2 / 3), found.end, 0.9),
    ]
    assert [point.served for point in found.points] == [True, True, False]


def test_a_champion_whose_number_was_given_out_again_has_no_value() -> None:
    """What has its number now is another version, and never served."""
    desk = build_desk(registry_of(0.8))
    happened(desk, 5, to=1, created_at="2020-01-01T00:00:00.000000Z")
    found = shown(desk)

    assert ([band.value for band in found.bands], found.points[0].served) == ([None], False)


def test_a_champion_of_the_registry_alone_counts() -> None:
    """Where the ledger says nothing."""
    registry = registry_of(0.8)
    registry.set_alias(MODEL, "champion", 1)

    assert shown(build_desk(registry)).points[0].served


def test_decisions_and_alarms_are_marked_in_their_gap() -> None:
    """Those of one gap together, oldest first; refusals are not marked."""
    desk = build_desk(registry_of(0.8, 0.9))
    for at, kind in ((1.2, EventType.APPLIED), (1.4, EventType.REVERTED), (1.6, EventType.DENIED)):
        happened(desk, at, kind)
    happened(desk, 9, EventType.TAMPERING)
    happened(desk, 10, EventType.OUT_OF_BAND)
    decisions, alarms = shown(desk).marks

    assert ([each.type for each in decisions.entries], decisions.place, decisions.alarm) == (
        [EventType.APPLIED, EventType.REVERTED],
        1.5,
        False,
    )
    assert (len(alarms.entries), alarms.place, alarms.alarm) == (2, 2.5, True)


def test_a_range_is_cut_at_its_ends() -> None:
    """A period that began before it begins at its edge; what happened before or after it is not marked."""
    desk = build_desk(registry_of(0.8, 0.9, 0.85, 0.95))
    for at, version in ((1.5, 1), (2.5, 2), (4.5, 4)):
        happened(desk, at, to=version)
    found = shown(desk, versions=(2, 3))

    assert [point.row.version for point in found.points] == [2, 3]
    assert [(band.period.version, band.start, band.end) for band in found.bands] == [
        (1, rules.LEFT, 1.5),
        (2, 1.5, found.end),
    ]
    assert [mark.place for mark in found.marks] == [1.5]
    assert found.end == 3


def test_no_versions_have_a_trend_too() -> None:
    """Without points, bands and marks, whatever the ledger holds."""
    desk = build_desk(registry_of())
    happened(desk, 1, to=1)
    found = shown(desk)

    assert (found.points, found.bands, found.marks, found.groups()) == ((), (), (), [])


def test_decisions_that_are_too_many_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since when they are marked; nothing where all that is shown came later."""
    monkeypatch.setattr(rules, "MOST_MARKS", 2)
    desk = build_desk(registry_of(0.8, 0.9))
    for at in (1.1, 1.2, 1.3, 5):
        happened(desk, at)

    assert shown(desk).marked_since == minute(1.2)
    assert shown(desk, versions=(2, 2)).marked_since is None
    assert sum(len(mark.entries) for mark in shown(desk).marks) == 2


def test_more_than_some_hundred_versions_are_grouped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours as median, lowest and highest; those without any value are left out. The newest are shown first."""
    monkeypatch.setattr(rules, "MOST_POINTS", 4)
    monkeypatch.setattr(rules, "NEWEST_VERSIONS", 3)
    desk = build_desk(registry_of(0.1, 0.3, 0.2, None, None, None))
    found = shown(desk, versions=(1, 6))

    assert [point.row.version for point in shown(desk).points] == [4, 5, 6]
    assert (found.grouped, found.group_size, shown(desk).grouped, shown(desk).group_size) == (True, 3, False, 1)
    assert [(each.first, each.last, each.place, each.n) for each in found.groups()] == [(1, 3, 2, 3)]
    assert [(each.lowest, each.middle, each.highest) for each in found.groups()] == [(0.1, 0.2, 0.3)]
    assert found.gaps() == [(5, "3 of versions 4 to 6 without a value")]


def test_the_best_of_a_column_is_said_only_where_it_can_be() -> None:
    """Not of a metric of unknown direction, nor where one version alone has a value."""
    registry = registry_of(0.8)
    registry.add_version(MODEL, metrics={"profit": 3.0})
    registry.add_version(MODEL, metrics={"profit": 4.0, "rmse": 1.0, "mae": 2.0})
    registry.add_version(MODEL, metrics={"mae": 2.0})
    desk = build_desk(registry)
    names = ["accuracy", "profit", "rmse", "mae"]
    columns = desk.metric_columns(desk.versions(MODEL), names)

    assert [(each.name, each.direction, set(each.best)) for each in columns] == [
        ("accuracy", Direction.HIGHEST, set()),
        ("profit", None, set()),
        ("rmse", Direction.LOWEST, set()),
        ("mae", Direction.LOWEST, {3, 4}),
    ]


def test_intervals_of_a_table_are_read_with_it() -> None:
    """Where somebody asks for them, and never as columns of their own."""
    desk = build_desk(registry_of(0.8))
    names, (with_ends,) = desk.telling_versions(MODEL, ["accuracy"], ["accuracy"])
    _, (without,) = desk.telling_versions(MODEL, ["accuracy"])

    assert (names, sorted(with_ends.metrics)) == (["accuracy"], ["accuracy", "accuracy_high", "accuracy_low"])
    assert list(without.metrics) == ["accuracy"]
