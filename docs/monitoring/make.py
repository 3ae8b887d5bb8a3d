"""The alerts and the Grafana dashboard, described once; run as a program it writes the two files beside it.

Prometheus reads alerts.yml, Grafana imports dashboard.json; docs/operations.md says how.
"""

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueTextMode, LegendDisplayMode
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
)

HERE = Path(__file__).parent
ALERTS, DASHBOARD = HERE / "alerts.yml", HERE / "dashboard.json"
HEAD = "# Written by docs/monitoring/make.py. Labels: severity is critical, warning or info.\n"


@dataclass(frozen=True)
class Alert:
    """One rule: whoever is called learns what is so and what to do."""

    name: str
    query: str
    minutes: int  # for which it must hold
    severity: str
    summary: str
    action: str

    def as_rule(self) -> dict[str, object]:
        return {
            "alert": self.name,
            "expr": self.query,
            **({"for": f"{self.minutes}m"} if self.minutes else {}),
            "labels": {"severity": self.severity},
            "annotations": {"summary": self.summary, "description": self.action},
        }


OF_MODEL = "{{ $labels.model }}"
OF_VERSION = f"version {{{{ $labels.version }}}} of {OF_MODEL}"
RULES = (
    Alert(
        "SignoffChampionNotAnswering",
        "signoff_ready == 0 or absent(signoff_ready)",
        1,
        "critical",
        "No champion answers.",
        "GET /readyz of the API says why; where nothing answers there, start it.",
    ),
    Alert(
        "SignoffDegraded",
        "signoff_degraded == 1",
        5,
        "warning",
        "What serves is not the champion as it should be.",
        "GET /readyz of the API says why, in one sentence.",
    ),
    Alert(
        "SignoffDrift",
        "count by (job, model, version) (max by (job, model, version, kind, column) "
        '(signoff_watch_severity{kind!="accuracy"}) >= 1)',
        0,
        "warning",
        f"{{{{ $value }}}} distributions differ from those that {OF_VERSION} was evaluated on.",
        f"signoff monitor {OF_MODEL}, or the page Monitoring, says which and how far.",
    ),
    Alert(
        "SignoffAccuracyBelowApproved",
        'max by (job, model, version) (signoff_watch_severity{kind="accuracy"}) >= 1',
        0,
        "warning",
        f"The accuracy of {OF_VERSION}, measured or else estimated, is below the approved one.",
        f"signoff monitor {OF_MODEL} has the figures; signoff findings {OF_MODEL} what is open about it.",
    ),
    Alert(
        "SignoffHighFindingOpen",
        'max by (job, model) (signoff_findings_open{severity="high"}) > 0',
        0,
        "warning",
        f"{{{{ $value }}}} high findings about {OF_MODEL} are open.",
        "Somebody looks at them and closes them with a sentence: signoff close FINDING --reason R.",
    ),
    Alert(
        "SignoffNotWatched",
        "min by (job, model) (signoff_watch_failed) == 1 or time() - max by (job, model) "
        "(signoff_watch_timestamp_seconds) > 3 * max by (job, model) (signoff_watch_every_seconds)",
        15,
        "warning",
        f"Nobody sees what {OF_MODEL} meets: looking at it fails, or nobody looks any more.",
        "The log of the API says why; drift and accuracy are those of the last look that succeeded.",
    ),
    Alert(
        "SignoffLogGap",
        "max by (job, model) (signoff_log_gaps) > 0",
        0,
        "warning",
        f"The log of predictions of {OF_MODEL} has a gap: a process ended without writing the last of its answers.",
        "signoff log status says which process, and how many answers can be missing.",
    ),
    Alert(
        "SignoffLogNotWritten",
        "sum by (job) (increase(signoff_log_lost_total[10m])) > 0 or min by (job) (signoff_log_writing) == 0",
        5,
        "warning",
        "Answers do not get into the log of predictions.",
        "Look at its database; what waits in memory is written when it is back, beyond 32,768 answers it is lost.",
    ),
    Alert(
        "SignoffNotCompiled",
        "min by (job) (signoff_compiled) == 0",
        15,
        "info",
        "The original answers single rows, more slowly: the compiled form is not used.",
        "GET /model_info of the API says why.",
    ),
    Alert(
        "SignoffChangedPastTheDesk",
        "max by (job) (signoff_out_of_band_changes) > 0",
        0,
        "critical",
        "{{ $value }} slots of the registry were changed past the desk.",
        "The Overview says which; signoff reconcile MODEL --revert or --adopt ends it, with a reason.",
    ),
    Alert(
        "SignoffDecisionPending",
        "max by (job) (signoff_pending_decisions) > 0",
        5,
        "warning",
        "A decision was recorded and is not applied.",
        "signoff reconcile finishes it.",
    ),
    Alert(
        "SignoffNotLooking",
        "time() - max by (job) (signoff_look_timestamp_seconds) > 300",
        0,
        "warning",
        "The desk has not looked at the registry for five minutes.",
        "Registry or ledger do not answer; the log of the dashboard says which.",
    ),
)


@dataclass(frozen=True)
class Query:
    """What Prometheus is asked, and what its series are called."""

    text: str
    legend: str


@dataclass(frozen=True)
class Shown:
    """One panel."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    width: int = 8  # of 24
    number: bool = False  # the last value as a number, instead of a line over time
    named: bool = False  # of a number: the series' name is shown, not its value
    alarm: float | None = None  # of a number: from which value on it is red
    says: str = ""


RATE = "[$__rate_interval]"
OF = '{model=~"$model"}'
PREDICTED = 'signoff_http_request_seconds_bucket{route=~"/predict.*"}'
ROWS: dict[str, Sequence[Shown]] = {
    "Serving": (
        Shown("Champion", [Query(f"max by (model, version) (signoff_champion{OF})", "{{model}} {{version}}")],
              width=6, number=True, named=True),
        Shown("Processes that do not answer", [Query("sum(1 - signoff_ready)", "")], width=6, number=True, alarm=1),
        Shown("Degraded", [Query("sum(signoff_degraded)", "")], width=6, number=True, alarm=1),
        Shown("Compiled", [Query("min(signoff_compiled)", "")], width=6, number=True,
              says="1 where the compiled form answers single rows; nothing where compiling is off."),
        Shown("Requests", [Query(f"sum by (status) (rate(signoff_http_requests_total{RATE}))", "{{status}}")], "reqps"),
        Shown("Time to predict", [
            Query(f"histogram_quantile({share}, sum by (le) (rate({PREDICTED}{RATE})))", name)
            for share, name in ((0.5, "half"), (0.95, "95 %"))
        ], "s"),
        Shown("Predicted classes",
              [Query(f"sum by (class) (rate(signoff_predictions_total{OF}{RATE}))", "{{class}}")], "ops"),
    ),
    "Watching": (
        Shown("Drift", [Query(f"max by (kind, column) (signoff_drift_effect{OF})", "{{kind}} {{column}}")],
              says="Jensen-Shannon distance to the held-out rows, 0 (the same) to 1, of the last look."),
        Shown("Accuracy", [
            Query(f"max by (source) (signoff_accuracy{OF})", "{{source}}"),
            Query(f"max by (source) (signoff_accuracy_low{OF})", "{{source}}, from"),
            Query(f"max by (source) (signoff_accuracy_high{OF})", "{{source}}, to"),
        ], "percentunit", says="As approved, estimated without labels, and measured by outcomes, with its interval."),
        Shown("Open findings", [Query(f"max by (severity) (signoff_findings_open{OF})", "{{severity}}")]),
        Shown("What differs", [
            Query(f"count(max by (model, kind, column) (signoff_watch_severity{OF}) >= 1) or vector(0)", "")
        ], width=8, number=True, alarm=1, says="Distributions and the accuracy, judged as a finding is."),
        Shown("Rows of the window", [Query(f"max(signoff_watched_rows{OF})", "")], number=True),
        Shown("Since the last look", [Query(f"time() - max(signoff_watch_timestamp_seconds{OF})", "")], "s",
              number=True),
    ),
    "Log of predictions": (
        Shown("Answers written", [Query(f"sum(rate(signoff_log_rows_total{RATE}))", "written")], "ops", width=12),
        Shown("Waiting", [Query("sum(signoff_log_waiting)", "")], width=4, number=True),
        Shown("Lost in a day", [Query("sum(increase(signoff_log_lost_total[1d]))", "")], width=4, number=True, alarm=1),
        Shown("Gaps", [Query(f"max(signoff_log_gaps{OF})", "")], width=4, number=True, alarm=1),
    ),
    "Desk": (
        Shown("Changes past the desk", [Query("max(signoff_out_of_band_changes)", "")], width=6, number=True, alarm=1),
        Shown("Pending decisions", [Query("max(signoff_pending_decisions)", "")], width=6, number=True, alarm=1),
        Shown("Since the desk looked", [Query("time() - max(signoff_look_timestamp_seconds)", "")], "s", width=6,
              number=True, alarm=300),
        Shown("Tokens that were not good, in a day", [Query("sum(increase(signoff_unauthorized_total[1d]))", "")],
              width=6, number=True),
        Shown("Pages opened in an hour", [Query("sum by (page) (increase(signoff_pages_total[1h]))", "{{page}}")]),
        Shown("Refusals in an hour", [Query("sum by (error) (increase(signoff_refusals_total[1h]))", "{{error}}")]),
        Shown("Recorded in an hour",
              [Query("sum by (type) (increase(signoff_recorded_events_total[1h]))", "{{type}}")]),
    ),
}  # fmt: skip
SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


def alerts_text() -> str:
    """Rules for Prometheus."""
    rules = [each.as_rule() for each in RULES]
    groups = {"groups": [{"name": "signoff", "rules": rules}]}
    return HEAD + yaml.safe_dump(groups, sort_keys=False, width=120, allow_unicode=True)


def dashboard_text() -> str:
    """A dashboard for Grafana's import."""
    models = (
        dashboard.QueryVariable("model")
        .label("Model")
        .datasource(SOURCE)
        .query("label_values(signoff_champion, model)")
        .include_all(True)
        .all_value(".*")
        .refresh(VariableRefresh.ON_DASHBOARD_LOAD)
        .current(VariableOption(selected=True, text="All", value="$__all"))
    )
    board = (
        dashboard.Dashboard("Signoff")
        .uid("signoff")
        .description("What serves, what it meets, and what happens to the registry.")
        .tags(["signoff"])
        .time("now-24h", "now")
        .refresh("1m")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(models)
    )
    number = itertools.count(1)
    for title, panels in ROWS.items():
        board = board.with_row(dashboard.Row(title).id(next(number)))
        for shown in panels:
            panel = _number(shown) if shown.number else _lines(shown)
            board = board.with_panel(panel.id(next(number)))
    return json.dumps(board.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"


def _targets(shown: Shown) -> list[prometheus.Dataquery]:
    found = []
    for letter, query in zip("ABCDEF", shown.queries, strict=False):
        asked = prometheus.Dataquery().ref_id(letter).datasource(SOURCE).expr(query.text).legend_format(query.legend)
        found.append(asked.instant() if shown.number else asked.range())
    return found


def _number(shown: Shown) -> stat.Panel:
    steps = [Threshold(color="text", value=None)]
    if shown.alarm is not None:
        steps.append(Threshold(color="red", value=shown.alarm))
    panel = (
        stat.Panel()
        .title(shown.title)
        .description(shown.says)
        .datasource(SOURCE)
        .unit(shown.unit)
        .span(shown.width)
        .height(4)
        .reduce_options(options.ReduceDataOptions().calcs(["lastNotNull"]))
        .color_mode(BigValueColorMode.VALUE)
        .text_mode(BigValueTextMode.NAME if shown.named else BigValueTextMode.VALUE)
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps))
    )
    return panel.targets(list(_targets(shown)))


def _lines(shown: Shown) -> timeseries.Panel:
    legend = options.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    panel = (
        timeseries.Panel()
        .title(shown.title)
        .description(shown.says)
        .datasource(SOURCE)
        .unit(shown.unit)
        .span(shown.width)
        .height(8)
        .min(0)
        .legend(legend)
    )
    return panel.targets(list(_targets(shown)))


if __name__ == "__main__":
    ALERTS.write_text(alerts_text(), encoding="utf-8")
    DASHBOARD.write_text(dashboard_text(), encoding="utf-8")
