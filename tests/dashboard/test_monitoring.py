"""The page Monitoring, and what other pages say of a champion that is not any more what was approved."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.caching import forget_reads
from pipeline.governance.actor import Role
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.ledger import EventType
from pipeline.governance.roles import Roles
from pipeline.governance.rules.watching import (
    LOG_IS_OFF,
    AccuracyFigure,
    HourlyTraffic,
    TrafficReport,
    Watching,
)
from support.decisions import champion, promote
from support.desks import MODEL, OpenDesk, TickingClock, build_desk, default_policy, small_registry
from support.in_memory import EPOCH
from support.seen import badges, texts
from support.watched import DRIFT, KnownWatcher

Open = Callable[..., AppTest]
LOOKED = "The survey asks adults only since Monday; retraining is under way."
HOURS = tuple(HourlyTraffic(EPOCH + timedelta(hours=hour), 100 + hour, hour, 1, hour // 2) for hour in range(3))
TRAFFIC = TrafficReport(HOURS, 5.0, 20.0, {"Age": 3, "": 1}, {"Age": 3}, {"Unavailable": 1}, lost=7, gaps=1)
SEEN = KnownWatcher(
    [
        DRIFT,
        replace(DRIFT, name="Weight", adjusted=0.7, effect=0.02),
        replace(DRIFT, name="SMOKE", test="", adjusted=1.0, effect=0.0),
    ],
    predictions=replace(DRIFT, name="predictions", adjusted=0.4, effect=0.05),
    confidence=replace(DRIFT, name="confidence", adjusted=0.4, effect=0.05),
    estimated=AccuracyFigure(0.86, 0.84, 0.88, 500),
    traffic=TRAFFIC,
)


def watched(watcher: KnownWatcher | None = None, *, roles: tuple[Role, ...] | None = None) -> OpenDesk:
    """Version 1 is champion. roles: of who looks at the page later on; None: those of the shipped settings."""
    book = ChangingRoles(default_policy().roles)
    desk = build_desk(
        small_registry(),
        clock=TickingClock(EPOCH + timedelta(days=1)),
        roles=book,
        watching=Watching() if watcher is None else Watching(watcher),
    )
    champion(desk, 1)
    promote(desk, 2, Stage.STAGING)
    if watcher is not None:
        desk.record_findings(MODEL)
    if roles is not None:
        book.roles = replace(book.roles, self_declared=roles)
    return desk


@dataclass
class ChangingRoles:
    """Roles that somebody changes while the desk runs."""

    roles: Roles

    def now(self) -> Roles:
        return self.roles

    def known(self) -> Roles:
        return self.roles


def named(app: AppTest) -> list[str]:
    """What the badges say, without colour and icon."""
    return [re.sub(r"^:\w+-badge\[(:material/\w+: )?|\]$", "", each).replace("\\", "") for each in badges(app)]


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in app.metric}


def test_a_desk_without_a_log_says_how_to_turn_it_on(open_page: Open) -> None:
    """And shows what was approved."""
    app = open_page(watched(), "monitoring")

    assert not app.exception
    assert LOG_IS_OFF in texts(app)
    assert "enabled: true" in app.code[0].value
    assert "Accuracy" in [each.value for each in app.header]


def test_what_serves_is_shown_beside_what_was_approved(open_page: Open) -> None:
    """Traffic, accuracy, predictions and each column with test, size of the effect, n and window."""
    app = open_page(watched(SEEN), "monitoring")
    columns = next(each.value for each in app.dataframe if "Verdict" in each.value)
    accuracy = next(each.value for each in app.dataframe if "95 % interval" in each.value)

    assert not app.exception
    assert metrics(app) == {
        "Rows answered": "303",
        "Accuracy, estimated": "0.8600",
        "95 % answered within": "20 ms",
        "Values refused": "3",
        "Values out of range": "3",
    }
    assert list(accuracy[""]) == ["Approved", "Estimated"]
    assert list(columns["Column"]) == ["Age", "Weight", "SMOKE"]
    assert [verdict for (verdict,) in columns["Verdict"]] == ["! Differs", "≈ Not distinguishable", "· Too few rows"]
    assert "Differs: distance 0.300, chi-squared test, adjusted p under 0.0001, n = 500." in texts(app)
    assert "1 request: Unavailable 1" in texts(app)
    assert "1 process ended before the last answers were written" in texts(app)
    assert {"Requests failed", "The log has gaps"} <= set(named(app))


def test_measured_goes_before_estimated(open_page: Open) -> None:
    """Where outcomes are known."""
    seen = replace(SEEN, measured=AccuracyFigure(0.9, 0.88, 0.92, 400))

    assert metrics(open_page(watched(seen), "monitoring"))["Accuracy, measured"] == "0.9000"


def test_a_model_without_champion_has_nothing_to_watch(open_page: Open) -> None:
    """It says so."""
    app = open_page(build_desk(), "monitoring")

    assert [each.value for each in app.info] == ["No champion: nothing serves, so there is nothing to watch."]


def test_the_window_is_chosen(open_page: Open) -> None:
    """A day, a week or a month in whole hours, named by the address."""
    seen = replace(SEEN, asked=[])
    app = open_page(watched(seen), "monitoring", window="Last 7 days")
    window = seen.asked[-1][1]

    assert not app.exception
    assert (window.until - window.since, window.since.minute) == (timedelta(days=7), 0)


class TestFindings:
    """What somebody must look at."""

    def test_an_approver_closes_one_with_a_sentence(self, open_page: Open) -> None:
        """The box goes, the list of closed ones has it with the reason, the history has both events."""
        desk = watched(SEEN)
        app = open_page(desk, "monitoring")
        before = named(app)
        (number,) = {each.sequence for each in desk.findings(MODEL) if each.column == "Age"}

        app.text_area(key=f"reason/close/{number}").set_value(LOOKED)
        app.button(key=f"close/{number}").click()
        app.run()

        assert "Review again: version 1" in before
        assert desk.history(MODEL)[-1].type is EventType.FINDING_CLOSED
        assert [each.column for each in desk.findings(MODEL)] == [None]
        closed = next(each.value for each in app.dataframe if "Closed by" in each.value)
        assert list(closed["Reason"]) == [LOOKED]

    def test_a_reason_that_is_none_is_refused_where_it_is_typed(self, open_page: Open) -> None:
        """Nothing is closed."""
        desk = watched(SEEN)
        app = open_page(desk, "monitoring")
        number = max(each.sequence for each in desk.findings(MODEL))
        app.button(key=f"close/{number}").click()
        app.run()

        assert "Not closed" in named(app)
        assert len(desk.findings(MODEL)) == 2

    def test_who_may_not_close_sees_no_form(self, open_page: Open) -> None:
        """But what was found."""
        desk = watched(SEEN, roles=(Role.REVIEWER,))
        app = open_page(desk, "monitoring")

        assert "Review again: version 1" in named(app)
        assert not app.text_area

    @pytest.mark.parametrize("page", ["", "review"])
    def test_other_pages_mark_the_version(self, open_page: Open, page: str) -> None:
        """The Overview lists what was found; Review says of the version that it is to be reviewed again."""
        desk = watched(SEEN)
        app = open_page(desk, page, model=MODEL, version="1")

        assert "Review again" in named(app)
        if not page:
            assert "2 findings of obesity_classifier" in named(app)
            assert "Version 1: The column Age holds other values" in texts(app)

    def test_history_tells_them(self, open_page: Open) -> None:
        """As events of the version."""
        desk = watched(SEEN)
        forget_reads()
        app = open_page(desk, "history", model=MODEL)
        table = app.dataframe[0].value

        assert not app.exception
        assert [event for (event,) in table["Event"]][:2] == ["! Finding", "! Finding"]
        assert "The column Age holds other values" in table["Reason"].iloc[0] + table["Reason"].iloc[1]
