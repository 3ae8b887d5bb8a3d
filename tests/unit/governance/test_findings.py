"""Findings: what is seen in production is recorded once, gates its version, and is closed with a sentence."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pipeline.governance.actor import Actor, Established, Role
from pipeline.governance.errors import (
    Blocked,
    InvalidInput,
    NotAllowed,
    NotFound,
    RequestClosed,
    WarningsNotAccepted,
)
from pipeline.governance.lifecycle import Stage
from pipeline.governance.record.findings import Finding, FindingKind, Severity, Window, by_matter
from pipeline.governance.record.history import entry
from pipeline.governance.record.ledger import EventType, Topic
from pipeline.governance.record.telling import told
from pipeline.governance.rules.watching import (
    LOG_IS_OFF,
    AccuracyFigure,
    AccuracyReport,
    Drift,
    HourlyTraffic,
    TrafficReport,
    Watching,
    WatchReport,
    WatchRules,
    sightings,
    window_until,
)
from support.decisions import champion, promote
from support.desks import (
    GRACE,
    MODEL,
    PIPELINE,
    REASON,
    OpenDesk,
    TickingClock,
    build_desk,
    default_policy,
    small_registry,
)
from support.in_memory import EPOCH
from support.signers import RITA
from support.watched import APPROVED, DRIFT, KnownWatcher

LOOKED = "The survey has a new question; the shift is as expected."
VIEWER = Actor("vera", Established.OIDC, issuer="https://login.example.org")
SMALL = replace(DRIFT, effect=0.15)
UNBOUNDED = replace(APPROVED, low=None)
OTHER_VALUES = "The column Age holds other values than the rows that the version was evaluated on"


def watched(watcher: KnownWatcher, **options: Any) -> OpenDesk:
    """A desk whose champion is version 1; version 2 is in Staging."""
    clock = TickingClock(EPOCH + timedelta(days=1))
    desk = build_desk(small_registry(), watching=Watching(watcher), clock=clock, **options)
    champion(desk, 1)
    promote(desk, 2, Stage.STAGING)
    return desk


def found(desk: OpenDesk) -> list[Finding]:
    return desk.record_findings(MODEL)[1]


class TestWhatIsAFinding:
    """A rule over figures, without any of the log."""

    WINDOW = Window(EPOCH, EPOCH + timedelta(hours=1))

    def seen(self, *columns: Drift, n: int = 500, **options: Any) -> list[tuple[FindingKind, Severity]]:
        report = WatchReport(MODEL, 1, self.WINDOW, n, columns=columns, **options)
        return [(each.kind, each.severity) for each in sightings(report, WatchRules())]

    @pytest.mark.parametrize(
        ("drift", "expected"),
        [
            pytest.param(DRIFT, [(FindingKind.COLUMN, Severity.HIGH)], id="far"),
            pytest.param(SMALL, [(FindingKind.COLUMN, Severity.MEDIUM)], id="some way"),
            pytest.param(replace(DRIFT, effect=0.09), [], id="too little to matter"),
            pytest.param(replace(DRIFT, adjusted=0.051), [], id="may be chance"),
        ],
    )
    def test_a_column_differs_by_more_than_chance_and_enough_to_matter(self, drift, expected):
        """Both: with many rows every difference is significant, with few every one is large."""
        assert self.seen(drift) == expected
        assert self.seen(drift, n=99) == []

    def test_a_column_is_called_what_people_call_it(self):
        """With its own name behind."""
        report = WatchReport(MODEL, 1, self.WINDOW, 500, columns=(replace(DRIFT, name="FCVC"),))

        (found,) = sightings(report, WatchRules(), {"FCVC": "Eats vegetables with meals"})

        assert found.what.startswith("The column Eats vegetables with meals (FCVC) holds other values")
        assert found.column == "FCVC"

    def test_predictions_and_confidence_are_told_apart(self):
        """From columns, which may have the same name."""
        drift = replace(DRIFT, name="predictions")

        assert self.seen(drift, predictions=drift, confidence=replace(SMALL)) == [
            (FindingKind.COLUMN, Severity.HIGH),
            (FindingKind.PREDICTIONS, Severity.HIGH),
            (FindingKind.CONFIDENCE, Severity.MEDIUM),
        ]

    @pytest.mark.parametrize(
        ("accuracy", "expected"),
        [
            pytest.param(AccuracyReport(APPROVED, AccuracyFigure(0.88, 0.86, 0.90, 500)), Severity.HIGH, id="below"),
            pytest.param(AccuracyReport(APPROVED, AccuracyFigure(0.9, 0.88, 0.92, 500)), Severity.MEDIUM, id="overlap"),
            pytest.param(AccuracyReport(APPROVED, AccuracyFigure(0.92, 0.9, 0.94, 500)), None, id="inside"),
            pytest.param(
                AccuracyReport(APPROVED, AccuracyFigure(0.8, 0.7, 0.85, 9), AccuracyFigure(0.92, 0.9, 0.94, 500)),
                None,
                id="measured goes before estimated",
            ),
            pytest.param(
                AccuracyReport(APPROVED, AccuracyFigure(0.92, 0.9, 0.94, 500), AccuracyFigure(0.0, 0.0, 0.8, 99)),
                None,
                id="too few outcomes",
            ),
            pytest.param(
                AccuracyReport(APPROVED, None, AccuracyFigure(0.0, 0.0, 0.8, 1)), None, id="one outcome and no estimate"
            ),
            pytest.param(
                AccuracyReport(UNBOUNDED, AccuracyFigure(0.8, 0.7, 0.85, 9)),
                Severity.MEDIUM,
                id="no low",
            ),
            pytest.param(AccuracyReport(APPROVED, replace(APPROVED, high=None)), None, id="no interval"),
            pytest.param(AccuracyReport(None, APPROVED), None, id="nothing approved"),
            pytest.param(AccuracyReport(APPROVED), None, id="nothing known"),
        ],
    )
    def test_an_accuracy_below_the_approved_one(self, accuracy, expected):
        """High where not even the intervals meet."""
        assert self.seen(accuracy=accuracy) == ([] if expected is None else [(FindingKind.ACCURACY, expected)])

    def test_a_finding_is_one_sentence_with_its_figures(self):
        """Which column, how far, and where most of it is; an accuracy with its interval."""
        report = WatchReport(
            MODEL,
            1,
            self.WINDOW,
            500,
            columns=(DRIFT, replace(DRIFT, labels=(), before=(), now=())),
            accuracy=AccuracyReport(UNBOUNDED, AccuracyFigure(0.88, 0.86, 0.9, 500)),
        )

        assert [each.what for each in sightings(report, WatchRules())] == [
            "The estimated accuracy is 0.8800 (0.8600 to 0.9000); approved was 0.9300.",
            f"{OTHER_VALUES} (distance 0.30; missing: 10% then, 40% now).",
            f"{OTHER_VALUES} (distance 0.30).",
        ]


class TestLooking:
    """Reads, and says so."""

    def test_a_look_writes_nothing(self):
        """Whatever it sees; the champion is looked at, over the last day in whole hours."""
        watcher = KnownWatcher([DRIFT])
        desk = watched(watcher)
        before = desk.ledger.count()

        report = desk.monitor(MODEL)

        assert (desk.ledger.count(), report.version) == (before, 1)
        assert report.accuracy.approved == AccuracyFigure(0.91, 0.89, 0.93, 627)
        assert watcher.asked[-1][1] == window_until(desk.clock.time, timedelta(hours=24))
        assert watcher.asked[-1][1].until.minute == 0

    def test_since_names_the_hour(self):
        """Counts are kept by the hour, so the whole of it is looked at; a time to come is none."""
        watcher = KnownWatcher()
        desk = watched(watcher)

        desk.monitor(MODEL, 2, since=EPOCH + timedelta(minutes=59))

        assert (watcher.asked[-1][0], watcher.asked[-1][1].since) == (2, EPOCH.replace(minute=0, second=0))
        with pytest.raises(InvalidInput, match=r"^since: .* is in the future"):
            desk.monitor(MODEL, since=EPOCH + timedelta(days=9))

    def test_a_model_without_champion_is_named(self):
        """There is nothing that serves."""
        with pytest.raises(NotFound, match="has no champion; name a version"):
            build_desk().monitor(MODEL)

    def test_a_desk_without_a_log_says_how_to_have_one(self):
        """And still shows what was approved."""
        desk = build_desk()
        champion(desk, 1)

        report = desk.monitor(MODEL)

        assert (report.gap, report.n) == (LOG_IS_OFF, 0)
        assert report.as_json()["accuracy"]["approved"]["value"] == 0.91
        assert found(desk) == []

    def test_the_report_is_json(self):
        """As `signoff monitor --json` prints it."""
        traffic = TrafficReport((HourlyTraffic(EPOCH, 5, 1, 2, 3), HourlyTraffic(EPOCH, 1, 0, 0, 0)), 5.0, 20.0, lost=4)
        report = WatchReport(MODEL, 1, Window(EPOCH, EPOCH), 6, traffic, (DRIFT,), SMALL)

        content = report.as_json()

        assert report.drifts == (DRIFT, SMALL)
        assert content["traffic"] == {
            "rows": 6,
            "refused": 1,
            "out_of_range": 2,
            "failed": 3,
            "p50_ms": 5.0,
            "p95_ms": 20.0,
            "lost": 4,
            "gaps": 0,
        }
        assert content["drift"][0] == {
            "column": "Age",
            "test": "chi-squared",
            "p": 1e-9,
            "adjusted": 1e-8,
            "effect": 0.3,
            "n": 500,
            "outside": 0.02,
        }
        assert (content["predictions"]["effect"], content["confidence"], content["gap"]) == (0.15, None, None)


class TestRecording:
    """One finding per column and window."""

    def test_a_finding_is_an_event_of_its_version(self):
        """With severity, window, owner and one sentence; the history tells it, a person may be told."""
        desk = watched(KnownWatcher([DRIFT]))

        (finding,) = found(desk)

        assert (finding.version, finding.column, finding.severity) == (1, "Age", Severity.HIGH)
        assert (finding.owner, finding.is_open, finding.closed_by, finding.closed_because) == (
            "grace (self-declared)",
            True,
            None,
            None,
        )
        assert desk.findings(MODEL) == desk.findings() == [finding]
        event = desk.event(finding.sequence)
        assert event is not None
        assert event.type is EventType.FINDING_OPENED
        assert told(event).splitlines()[0].endswith("UTC: Version 1 has to be looked at.")
        assert told(event).splitlines()[1] == f"Found: {finding.what}"
        assert event.version == 1

    def test_it_is_told_once(self):
        """Not while it is open, nor for the same time after it was closed; then again."""
        desk = watched(KnownWatcher([DRIFT]))
        (first,) = found(desk)
        again = found(desk)
        desk.close_finding(first.sequence, reason=LOOKED, actor=GRACE)
        same_time = found(desk)
        desk.clock.time += timedelta(hours=25)

        assert (again, same_time) == ([], [])
        assert [each.column for each in found(desk)] == ["Age"]

    def test_a_high_one_is_told_beside_a_medium_one(self):
        """The other way round it says nothing new; another column is another finding."""
        watcher = KnownWatcher([SMALL])
        desk = watched(watcher)
        found(desk)
        watcher.columns = [DRIFT, replace(SMALL, name="Weight")]
        worse = found(desk)
        watcher.columns = [SMALL]

        assert [(each.column, each.severity) for each in worse] == [("Age", Severity.HIGH), ("Weight", Severity.MEDIUM)]
        assert found(desk) == []
        together = by_matter(desk.findings(MODEL))
        assert [[each.column for each in same] for same in together] == [["Weight"], ["Age", "Age"]]

    def test_a_version_that_nobody_made_champion_here_has_no_owner(self):
        """It was champion when the desk first looked."""
        registry = small_registry()
        registry.set_alias(MODEL, "champion", 3)
        desk = build_desk(registry, watching=Watching(KnownWatcher([DRIFT])))

        assert found(desk)[0].owner is None

    def test_a_finding_is_json(self):
        """As `signoff findings --json` prints it, before and after it is closed."""
        desk = watched(KnownWatcher([DRIFT]))
        (finding,) = found(desk)
        before = finding.as_json()
        desk.close_finding(finding.sequence, reason=LOOKED, actor=GRACE)
        (after,) = desk.findings(MODEL, closed=True)

        assert before["closed"] is None
        assert {name: before[name] for name in ("id", "model", "version", "severity", "column", "owner", "effect")} == {
            "id": finding.sequence,
            "model": MODEL,
            "version": 1,
            "severity": "high",
            "column": "Age",
            "owner": "grace",
            "effect": 0.3,
        }
        assert after.as_json()["closed"]["by"] == "grace"
        assert after.as_json()["closed"]["reason"] == after.closed_because == LOOKED
        assert after.closed_by == "grace (self-declared)"

    def test_people_are_called_by_their_names(self):
        """Whoever made the version champion, and whoever closed it, by the name that was kept when they signed."""
        ada = Actor("u-7", Established.OIDC, "Ada", "https://login.example.org")
        policy = default_policy()
        known = replace(policy.roles, subjects={ada.person: (Role.APPROVER,)})
        desk = watched(KnownWatcher([DRIFT]), policy=replace(policy, roles=known))
        (finding,) = found(desk)
        desk.close_finding(finding.sequence, reason=LOOKED, actor=ada)
        (after,) = desk.findings(MODEL, closed=True)

        assert (after.owner, after.closed_by) == ("grace (self-declared)", "Ada (oidc)")
        assert after.as_json()["closed"]["by"] == "u-7"


class TestClosing:
    """By somebody who may, with a sentence."""

    def test_closed_is_an_event(self):
        """Who, when and why are kept, and it is open no more."""
        desk = watched(KnownWatcher([DRIFT]))
        (finding,) = found(desk)

        stored = desk.close_finding(finding.sequence, reason=LOOKED, actor=GRACE)

        assert told(entry(stored)).splitlines()[0].endswith(f"grace closed finding {finding.sequence}.")
        assert desk.findings(MODEL) == []
        assert desk.review_again(MODEL) == frozenset()

    @pytest.mark.parametrize("actor", [RITA, VIEWER])
    def test_who_is_no_approver_is_refused_and_recorded(self, actor):
        """`denied` says what was wanted."""
        desk = watched(KnownWatcher([DRIFT]), roles=None)
        (finding,) = found(desk)

        with pytest.raises(NotAllowed):
            desk.close_finding(finding.sequence, reason=LOOKED, actor=actor)

        last = desk.history(MODEL)[-1]
        assert (last.type, last.content["closes"]) == (EventType.DENIED, finding.sequence)
        assert f"asked to close finding {finding.sequence} and was refused" in told(last)
        assert desk.findings(MODEL) == [finding]

    def test_nobody_closes_twice(self):
        """The second is a conflict."""
        desk = watched(KnownWatcher([DRIFT]))
        (finding,) = found(desk)
        desk.close_finding(finding.sequence, reason=LOOKED, actor=GRACE)

        with pytest.raises(RequestClosed, match="was closed already"):
            desk.close_finding(finding.sequence, reason=LOOKED, actor=GRACE)

    def test_a_reason_is_a_sentence(self):
        """As for every decision."""
        desk = watched(KnownWatcher([DRIFT]))
        (finding,) = found(desk)

        with pytest.raises(InvalidInput, match="reason"):
            desk.close_finding(finding.sequence, reason="ok", actor=GRACE)

    @pytest.mark.parametrize("number", [1, 99])
    def test_another_number_is_no_finding(self, number):
        """Of another event, or of none."""
        with pytest.raises(NotFound, match="finding: the ledger holds none with the number"):
            watched(KnownWatcher()).close_finding(number, reason=LOOKED, actor=GRACE)

    def test_an_empty_ledger_holds_none(self):
        """Nor does a model that nobody knows."""
        desk = build_desk()

        assert desk.findings(MODEL) == []
        with pytest.raises(NotFound):
            desk.close_finding(1, reason=LOOKED, actor=GRACE)
        with pytest.raises(NotFound):
            desk.findings("nobody knows it")


class TestTheGate:
    """A high finding stops its own version, and nothing else by itself."""

    def test_its_version_gets_no_further_role(self):
        """Until it is closed."""
        watcher = KnownWatcher([DRIFT])
        desk = watched(watcher)
        (finding,) = found(desk)

        assert desk.review_again(MODEL) == {(1, desk.show(MODEL, 1).content["created_at"])}
        with pytest.raises(Blocked, match=f"Nothing to be looked at: Open: finding {finding.sequence}, version 1"):
            desk.set_alias(MODEL, "challenger", 1, reason=REASON, actor=GRACE)
        desk.close_finding(finding.sequence, reason=LOOKED, actor=GRACE)
        desk.set_alias(MODEL, "challenger", 1, reason=REASON, actor=GRACE)

        assert desk.state(MODEL).aliases["challenger"] == 1

    def test_a_successor_is_promoted_with_the_warning_accepted(self):
        """It may be true of that one too."""
        desk = watched(KnownWatcher([DRIFT]))
        found(desk)

        with pytest.raises(WarningsNotAccepted, match="in other versions: Open: finding"):
            promote(desk, 2, Stage.PRODUCTION)
        promote(desk, 2, Stage.PRODUCTION, accept_warnings=True)

        assert desk.state(MODEL).champion == 2

    def test_rollback_archiving_and_what_training_brings_go_on(self):
        """Whoever must go back can; a new version waits in Staging as ever."""
        desk = watched(KnownWatcher([DRIFT]))
        promote(desk, 2, Stage.PRODUCTION)
        found(desk)

        desk.promote(MODEL, 3, Stage.STAGING, reason=REASON, actor=PIPELINE)
        desk.rollback(MODEL, reason=REASON, actor=GRACE)
        promote(desk, 3, Stage.ARCHIVED)

        assert desk.state(MODEL).champion == 1

    def test_a_medium_one_stops_nothing(self):
        """It waits for somebody all the same."""
        desk = watched(KnownWatcher([SMALL]))
        found(desk)

        assert desk.review_again(MODEL) == frozenset()
        promote(desk, 2, Stage.PRODUCTION)

    def test_many_are_named_by_the_first(self):
        """A sentence stays one."""
        desk = watched(KnownWatcher([replace(DRIFT, name=f"column {number}") for number in range(5)]))
        found(desk)

        with pytest.raises(Blocked, match="and 2 more"):
            desk.set_alias(MODEL, "challenger", 1, reason=REASON, actor=GRACE)

    def test_a_number_that_is_given_out_again_is_another_version(self):
        """What was found about the old one does not stop it."""
        desk = watched(KnownWatcher([DRIFT]))
        (finding,) = found(desk)

        assert finding.is_about(1, desk.show(MODEL, 1).content["created_at"])
        assert not finding.is_about(1, "2020-01-01T00:00:00.000000Z")


def test_a_finding_counts_for_nothing_else() -> None:
    """It settles no files, moves nothing, and the chain holds."""
    desk = watched(KnownWatcher([DRIFT]))
    before = [desk.ledger.current(MODEL, topic) for topic in (Topic.FILES, Topic.GATES, Topic.ALARM)]
    found(desk)

    assert [desk.ledger.current(MODEL, topic) for topic in (Topic.FILES, Topic.GATES, Topic.ALARM)] == before
    assert desk.verify() == []


def test_a_severity_of_a_later_version_is_a_high_one() -> None:
    """Whoever does not know it is careful."""
    desk = watched(KnownWatcher([SMALL]))
    (finding,) = found(desk)

    assert replace(finding, content={**finding.content, "severity": "critical"}).severity is Severity.HIGH


def test_windows_overlap_where_they_share_a_moment() -> None:
    """One that begins where another ends does not."""
    at = datetime(2026, 11, 28, tzinfo=UTC)
    first = Window(at, at + timedelta(hours=2))

    assert first.overlaps(Window(at + timedelta(hours=1), at + timedelta(hours=3)))
    assert not first.overlaps(Window(at + timedelta(hours=2), at + timedelta(hours=3)))
