"""What the verbs of watching print for people."""

from collections.abc import Sequence

from pipeline.cli.app import digits, line, table, when
from pipeline.governance.record.findings import Finding
from pipeline.governance.rules.watching import AccuracyReport, Drift, WatchReport

SIGNIFICANT = 3  # digits of a p-value


def watched(report: WatchReport) -> None:
    window = report.window
    line(
        f"Version {report.version} of {report.model}, {when(window.since)} to {when(window.until)} UTC: "
        f"{report.traffic.total('rows'):,} rows answered"
    )
    _traffic(report)
    if report.gap:
        line(report.gap)
    _accuracy(report.accuracy)
    drifts = sorted(report.drifts, key=lambda each: (each.adjusted, -each.effect))
    if report.n:
        heads = ["Column", "Test", "p", "Adjusted", "Distance", "Rows", "Out of range"]
        table(heads, [_drift(each) for each in drifts])


def _traffic(report: WatchReport) -> None:
    found = report.traffic
    rows: list[list[str | None]] = [
        ["Refused values", f"{found.total('refused'):,}"],
        ["Values outside the training data", f"{found.total('outside'):,}"],
        ["Failed requests", f"{found.total('failed'):,}"],
        ["Half of the requests within", _milliseconds(found.p50_ms)],
        ["95 % of the requests within", _milliseconds(found.p95_ms)],
        ["Answers that were not counted", f"{found.lost:,}" if found.lost else None],
        ["Processes that ended before they had written everything", f"{found.gaps:,}" if found.gaps else None],
    ]
    table(["", ""], [row for row in rows if row[1] is not None])


def _accuracy(found: AccuracyReport) -> None:
    figures = {"approved": found.approved, "estimated": found.estimated, "measured": found.measured}
    rows = [
        [name, digits(each.value), digits(each.low), digits(each.high), each.n]
        for name, each in figures.items()
        if each is not None
    ]
    table(["Accuracy", "Value", "Low", "High", "Rows"], rows, empty="Its accuracy is not known.")


def _drift(found: Drift) -> list[object]:
    shown = [f"{each:.{SIGNIFICANT}g}" for each in (found.p, found.adjusted)] if found.test else ["", ""]
    return [
        found.name,
        found.test or "too few rows",
        *shown,
        f"{found.effect:.3f}",
        f"{found.n:,}",
        f"{found.outside:.1%}",
    ]


def _milliseconds(value: float | None) -> str | None:
    return None if value is None else f"{value:g} ms"


def recorded(report: WatchReport, new: Sequence[Finding]) -> None:
    watched(report)
    if new:
        findings(new)
    else:
        line("Nothing new that somebody must look at.")


def findings(found: Sequence[Finding]) -> None:
    rows = [
        [
            each.sequence,
            each.severity.value,
            each.version,
            when(each.opened_at),
            each.what,
            each.owner or "",
            _end(each),
        ]
        for each in found
    ]
    heads = ["No.", "Severity", "Version", "Opened (UTC)", "What", "Owner", "Closed"]
    table(heads, rows, empty="Nobody has to look at anything.")


def _end(found: Finding) -> str:
    return "" if found.is_open else f"{found.closed_by}: {found.closed_because}"
