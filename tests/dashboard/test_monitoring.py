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
from pipeline.governance.record.findings import Finding, Severity
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
from support.desks import GRACE, MODEL, OpenDesk, TickingClock, build_desk, default_policy, small_registry
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
        replace(DRIFT, name="FAF", effect=0.09),
        replace(DRIFT, name="Height", effect=0.2),
        # All rows lie where all of them lay before: there is nothing to test, and nothing differs.
        replace(DRIFT, name="CH2O", test="", adjusted=1.0, effect=0.0, before=(0.0, 1.0), now=(0.0, 1.0)),
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


def urgent(desk: OpenDesk) -> list[Finding]:
    """The open findings as the page lists them."""
    return sorted(desk.findings(MODEL), key=lambda each: (each.severity is not Severity.HIGH, each.column is not None))


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
    """Traffic, accuracy and predictions with test, size of the difference, n and window."""
    app = open_page(watched(SEEN), "monitoring")
    accuracy = next(each.value for each in app.dataframe if "95 % interval" in each.value)

    assert not app.exception
    assert metrics(app) == {
        "Rows answered": "303",
        "Accuracy, estimated": "0.8600",
        "95 % answered within": "20 ms",
        "Values refused": "3",
        "Values out of range": "3",
    }
    assert list(accuracy["Figure"]) == ["Approved", "Estimated"]
    assert "Not distinguishable: distance 0.050, chi-squared test, adjusted p 0.4000, n = 500." in texts(app)
    assert any(each.value.startswith("Version 1 from 2026-01-0") for each in app.caption), app.caption
    assert "1 request: Unavailable 1" in texts(app)
    assert "1 process ended before the last answers were written" in texts(app)
    assert {"Requests failed", "The log has gaps"} <= set(named(app))


def test_columns_are_called_as_findings_call_them(open_page: Open) -> None:
    """By the settings: what differs much would be a high finding, what differs little none; one is shown in full."""
    app = open_page(watched(SEEN), "monitoring", show="Columns")
    columns = next(each.value for each in app.dataframe if "Verdict" in each.value)

    assert not app.exception
    assert [(name, verdict) for name, (verdict,) in zip(columns["Column"], columns["Verdict"], strict=True)] == [
        ("Age", "✕ Differs much"),
        ("Height", "! Differs"),
        ("FAF", "· Differs little"),
        ("Weight", "≈ Not distinguishable"),
        ("CH2O", "≈ Not distinguishable"),
        ("SMOKE", "· Too few rows"),
    ]
    assert "Differs much: distance 0.300, chi-squared test, adjusted p under 0.0001, n = 500." in texts(app)
    assert any("6 distributions" in each.value for each in app.caption)


def test_few_rows_are_said_to_be_few(open_page: Open) -> None:
    """Since nothing becomes a finding below monitoring.fewest_rows."""
    app = open_page(watched(replace(SEEN, n=99, asked=[])), "monitoring")

    assert "Few rows" in named(app)
    assert "99 rows in this time; below 100 no difference becomes a finding." in texts(app)


@pytest.mark.parametrize("show", ["At a glance", "Columns"])
def test_a_log_that_says_nothing_yet_is_said_to(open_page: Open, show: str) -> None:
    """In the words of the watcher, such as that no row came or that there is no profile."""
    silent = KnownWatcher(n=0, gap="No prediction of this version was logged in this time.")
    app = open_page(watched(silent), "monitoring", show=show)

    assert not app.exception
    assert "Nothing to compare" in named(app)
    assert silent.gap in texts(app)
    assert metrics(app)["Rows answered"] == "0"


def test_measured_goes_before_estimated(open_page: Open) -> None:
    """Where outcomes are known."""
    seen = replace(SEEN, measured=AccuracyFigure(0.9, 0.88, 0.92, 400))

    assert metrics(open_page(watched(seen), "monitoring"))["Accuracy, measured"] == "0.9000"


def test_few_outcomes_stand_beside_the_estimate(open_page: Open) -> None:
    """Until there are as many as make a finding; the table has their number and interval."""
    seen = replace(SEEN, measured=AccuracyFigure(0.0, 0.0, 0.8, 1))
    app = open_page(watched(seen), "monitoring")

    assert "Accuracy, estimated" in metrics(app)
    assert "Accuracy, measured" not in metrics(app)


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
        assert {each.column for each in desk.findings(MODEL)} == {"Height", None}
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
        assert len(desk.findings(MODEL)) == 3

    def test_all_of_a_version_are_closed_with_one_sentence(self, open_page: Open) -> None:
        """Each is an event of its own; one that a colleague closes meanwhile stays as they have closed it."""
        desk = watched(SEEN)
        app = open_page(desk, "monitoring")
        first, *others = (each.sequence for each in urgent(desk))

        app.text_area(key=f"reason/close/all/{first}").set_value(LOOKED)
        desk.close_finding(others[0], reason="Seen on Monday already; nothing to do.", actor=GRACE)
        app.button(key=f"close/all/{first}").click()
        app.run()

        assert desk.findings(MODEL) == []
        reasons = {each.sequence: each.closed_because for each in desk.findings(MODEL, closed=True)}
        assert reasons == {first: LOOKED, others[0]: "Seen on Monday already; nothing to do.", others[1]: LOOKED}

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
            assert "3 findings of obesity_classifier" in named(app)
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
