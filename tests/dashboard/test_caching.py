"""Answers that visitors share: asked once, fresh after a write; figures by what they are drawn from."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event
from types import MappingProxyType

import numpy as np
import pytest

from dashboard.caching import SharedAnswers, drawn_once
from dashboard.components import charts
from pipeline.governance.record.evidence import Metric

PATIENCE = 60


@dataclass
class SlowRead:
    """A read that ends when it is told to."""

    begun: Event
    may_end: Event
    asked: int = 0

    def __call__(self, model: str) -> str:
        self.asked += 1
        answer = f"{model} as read {self.asked}"
        self.begun.set()
        assert self.may_end.wait(PATIENCE)
        return answer


@pytest.fixture
def slow() -> SlowRead:
    return SlowRead(Event(), Event())


def test_who_asks_the_same_waits_for_the_answer(slow: SlowRead) -> None:
    """Ten visitors at once are one read."""
    shared = SharedAnswers(slow, {})
    with ThreadPoolExecutor(10) as visitors:
        found = [visitors.submit(shared, "m") for _ in range(10)]
        assert slow.begun.wait(PATIENCE)
        slow.may_end.set()
        assert {each.result(PATIENCE) for each in found} == {"m as read 1"}

    assert (shared("m"), shared("other")) == ("m as read 1", "other as read 2")


def test_a_read_from_before_a_write_answers_nobody_after_it(slow: SlowRead) -> None:
    """Whoever decides does not see the state before the decision because somebody else was just reading it."""
    shared = SharedAnswers(slow, {})
    with ThreadPoolExecutor(1) as visitor:
        before = visitor.submit(shared, "m")
        assert slow.begun.wait(PATIENCE)
        shared.clear()
        slow.may_end.set()
        assert shared("m") == "m as read 2"
        assert before.result(PATIENCE) == "m as read 1"

    assert shared("m") == "m as read 2"


def test_what_fails_is_asked_again() -> None:
    """A registry that is back answers the next visitor."""
    answers = iter(["", "there"])

    def read() -> str:
        if not (found := next(answers)):
            raise OSError("gone")
        return found

    shared = SharedAnswers(read, {})
    with pytest.raises(OSError, match="gone"):
        shared()
    assert shared() == "there"


def test_a_figure_is_drawn_once_for_the_same_content() -> None:
    """Equal values give the same figure, whoever made them; another value gives another one."""
    own = [Metric("accuracy", 0.9, 0.88, 0.92, n=300)]
    drawn = charts.metric_intervals(own, [], ("Version 4", ""))

    assert charts.metric_intervals([Metric("accuracy", 0.9, 0.88, 0.92, n=300)], [], ("Version 4", "")) is drawn
    other = charts.metric_intervals([Metric("accuracy", 0.9, 0.88, 0.93, n=300)], [], ("Version 4", ""))
    assert other.data[0].error_x.array != drawn.data[0].error_x.array


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(2000.0), np.arange(2000.0) + 1e-9),
        (np.array(["a", None], dtype=object), np.array(["a", "b"], dtype=object)),
        (np.arange(4), np.arange(4).reshape(2, 2)),
        (np.float32(1), np.float32(2)),
        (MappingProxyType({"a": 1.0}), MappingProxyType({"a": 2.0})),
        (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
        ({"a": [1, None]}, {"b": [1, None]}),
    ],
)
def test_contents_are_told_apart(one: object, other: object) -> None:
    """Whatever kinds of values a figure is drawn from."""
    count = iter(range(10))
    draw = drawn_once(lambda _: next(count))

    assert [draw(one), draw(one), draw(other), draw(one)] == [0, 0, 1, 0]


def test_what_cannot_be_told_apart_is_refused() -> None:
    """A figure of another value is never shown for want of a way to compare the two."""
    with pytest.raises(TypeError, match="not from object"):
        drawn_once(lambda _: 1)(object())
