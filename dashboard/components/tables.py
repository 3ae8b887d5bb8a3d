"""Tables as data frames. Text from the registry only ever becomes a cell, which nothing reads as markdown."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pandas as pd

from dashboard.components import words
from pipeline.comparison.performance import Residuals
from pipeline.comparison.search import SliceSearch
from pipeline.governance.lifecycle import CHAMPION
from pipeline.governance.metrics import Direction, bounds
from pipeline.governance.ports import MetricDifference, VersionRow
from pipeline.governance.record.documents import Evaluation
from pipeline.governance.record.evidence import LATENCY_METRIC, Evidence, Metric
from pipeline.governance.record.history import GateCount
from pipeline.governance.record.ledger import iso
from pipeline.governance.record.out_of_band import OutOfBandChange
from pipeline.governance.rules.compare import MetricColumn
from pipeline.governance.rules.gate_words import label_of
from pipeline.governance.rules.paired import CalibrationPoint
from pipeline.governance.text import MINUS, minus, visible

SHARES = ("accuracy", "f1_macro", "f1_weighted", "precision_macro", "recall_macro")
FIRST_METRICS = (*SHARES, "log_loss")
OWNER_TAGS = ("owner", "mlflow.user", "produced_by")  # ours, else MLflow's user, else what made the version
BEST = "Best in"  # the column with the metrics of which a version has the best value
AIMS = {Direction.HIGHEST: "\N{UPWARDS ARROW}", Direction.LOWEST: "\N{DOWNWARDS ARROW}"}
TEXT_COLUMN = "text"  # what the filter looks at, not shown
LONGEST_CELL, MOST_BEST = 300, 3
Gates = Mapping[tuple[int, str | None], GateCount]


def versions(
    rows: Sequence[VersionRow], metrics: Sequence[MetricColumn], gates: Gates = MappingProxyType({})
) -> pd.DataFrame:
    """One row per version, newest first, with a column `text` for the filter. gates: see service.gate_counts.

    Each metric has up to three columns: its value; its interval, where any version has one; and the value minus the
    champion's, where there is a champion that has it.
    """
    figures: dict[str, Any] = {}
    champion = next((row for row in rows if CHAMPION in row.aliases), None)
    for metric in metrics:
        figures |= _figures(rows, metric.name, champion)
    frame = pd.DataFrame(
        {
            "Version": [row.version for row in rows],
            **figures,
            BEST: [_best_in(row.version, metrics) for row in rows],
            "Stage": [row.stage.value for row in rows],
            "Aliases": [[visible(alias) for alias in row.aliases] for row in rows],
            "Gates": [_gate_words(gates.get((row.version, iso(row.created_at)))) for row in rows],
            "Type": [cell(row.tags.get("model_type", "")) for row in rows],
            "Created": [utc(row.created_at) for row in rows],
            "Owner": [cell(next((row.tags[name] for name in OWNER_TAGS if row.tags.get(name)), "")) for row in rows],
            "Status": [row.status.removesuffix("_REGISTRATION") for row in rows],
            "Description": [cell(row.description) for row in rows],
        }
    )
    frame[TEXT_COLUMN] = [_searched(row) for row in rows]
    return frame


def _figures(rows: Sequence[VersionRow], name: str, champion: VersionRow | None) -> dict[str, Any]:
    """The columns of one metric."""
    values, low, high = ([row.metrics.get(each) for row in rows] for each in (name, *bounds(name)))
    found: dict[str, Any] = {name: pd.array(values, dtype="Float64")}
    if any(each is not None for each in low):
        found[interval_of(name)] = [words.interval(*ends) for ends in zip(low, high, strict=True)]
    theirs = champion.metrics.get(name) if champion else None
    if theirs is not None:
        differences = [
            None if row is champion or name not in row.metrics else round(row.metrics[name] - theirs, 4) + 0.0
            for row in rows  # plus zero: no difference is drawn as -0.0000
        ]
        found[difference_of(name)] = pd.array(differences, dtype="Float64")
    return found


def interval_of(metric: str) -> str:
    """The column of a metric's intervals."""
    return f"{metric} interval"


def difference_of(metric: str) -> str:
    """The column of a metric's plain differences to the champion's value."""
    return f"{metric} {MINUS} champion"


def aim(direction: Direction | None) -> str:
    """Which end of a metric is better, as an arrow; empty where nobody says so."""
    return "" if direction is None else AIMS[direction]


def _best_in(version: int, metrics: Sequence[MetricColumn]) -> list[str]:
    """The metrics of which no version has a better value; the latency is a price and none of them."""
    judged = [each for each in metrics if each.name != LATENCY_METRIC]
    best = [words.metric(each.name) for each in judged if version in each.best]
    return best if len(best) < len(judged) or len(best) < MOST_BEST else [f"All {len(best)}"]


def _gate_words(count: GateCount | None) -> str:
    if count is None:
        return ""
    return f"{count.passed} passed" + (f", {count.failed} not" if count.failed else "")


def narrowed(frame: pd.DataFrame, text: str, stages: Sequence[str]) -> pd.DataFrame:
    """The rows that hold every word of the text, in any of the stages (none given: all)."""
    keep = pd.Series(data=True, index=frame.index)
    if stages:
        keep &= frame["Stage"].isin(stages)
    for word in text.casefold().split():
        keep &= frame[TEXT_COLUMN].str.contains(word, regex=False)
    return frame[keep]


def brief(frame: pd.DataFrame, version: int, metrics: Sequence[str]) -> str:
    """One version of the versions table in a few words; empty where the table no longer has it."""
    row = next(iter(frame[frame["Version"] == version].to_dict("records")), {})
    figures = [f"{words.metric(name)} {words.number(row[name])}" for name in metrics if pd.notna(row.get(name))]
    return "   ".join([*figures, row.get("Type", "")])


def gate_rows(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The table of gates, from the JSON of their results as a decision keeps it with a `result` in words."""
    found = list(rows)
    return pd.DataFrame(
        {
            "Result": [[row["result"]] for row in found],
            "Gate": [label_of(str(row["name"])) for row in found],
            "Observed": [cell(row["observed"]) for row in found],
            "Required": [cell(row["required"]) for row in found],
            "Mode": [row["mode"] for row in found],
        }
    )


def metrics(
    evidence: Evidence, champion: Evidence | None, differences: Iterable[MetricDifference] | None
) -> pd.DataFrame:
    """Every metric with interval and n, the champion's beside it, and the paired difference where there is one."""
    compared = {each.metric: each for each in differences or () if not each.slice}
    own, value_columns = ordered(evidence.metrics()), metric_columns(evidence, champion)
    theirs = [champion.metric(metric.name) if champion else None for metric in own]
    columns: dict[str, Any] = {
        "Metric": [words.metric(metric.name) for metric in own],
        value_columns[0]: [metric.value for metric in own],
    }
    if champion is not None:
        columns[value_columns[1]] = [metric.value if metric else None for metric in theirs]
    if compared:  # in front, since a phone shows the first columns
        columns["Difference on the same rows"] = [_difference(compared.get(metric.name)) or None for metric in own]
    columns["Interval"] = [words.interval(metric.low, metric.high) or None for metric in own]
    columns["n"] = pd.array([metric.n for metric in own], dtype="Int64")
    if champion is not None:
        intervals = [words.interval(metric.low, metric.high) if metric else "" for metric in theirs]
        columns["Champion interval"] = [each or None for each in intervals]
    return pd.DataFrame(columns)


def metric_columns(evidence: Evidence, champion: Evidence | None) -> tuple[str, ...]:
    """The names of the columns of `metrics` that hold values."""
    own = f"Version {evidence.version}"
    return (own,) if champion is None else (own, f"Champion {champion.version}")


def ordered(found: Iterable[Metric]) -> list[Metric]:
    """Well-known metrics first, then by name."""
    rank = {name: index for index, name in enumerate(FIRST_METRICS)}
    return sorted(found, key=lambda metric: (rank.get(metric.name, len(rank)), metric.name))


def per_class(evaluation: Evaluation) -> pd.DataFrame:
    rows = evaluation.per_class
    return pd.DataFrame(
        {
            "Class": [cell(row.name) for row in rows],
            "n": pd.array([row.n for row in rows], dtype="Int64"),
            "Precision": [row.precision for row in rows],
            "Recall": [row.recall for row in rows],
            "Recall interval": [words.interval(row.recall_low, row.recall_high) for row in rows],
            "F1": [row.f1 for row in rows],
        }
    )


def slices(evaluation: Evaluation, labels: Mapping[str, str]) -> pd.DataFrame:
    """Accuracy per slice. labels: what people call the columns."""
    rows = evaluation.slices
    return pd.DataFrame(
        {
            "Column": [words.column(cell(row.column), labels) for row in rows],
            "Value": [cell(row.value) for row in rows],
            "n": pd.array([row.n for row in rows], dtype="Int64"),
            "Accuracy": [row.accuracy for row in rows],
            "Interval": [words.interval(row.low, row.high) for row in rows],
        }
    )


def confusion(evaluation: Evaluation) -> tuple[list[str], list[list[float]]] | None:
    """Classes and counts by row, None where the file holds no square matrix of numbers."""
    found = evaluation.confusion
    return None if found is None else ([cell(name) for name in found.classes], [list(line) for line in found.counts])


def files(evidence: Evidence) -> pd.DataFrame:
    found = evidence.content["files"]
    return pd.DataFrame(
        {
            "File": [visible(each["path"]) for each in found],
            "Size": [words.size(each["size"]) for each in found],
            "sha256": [each["sha256"] for each in found],
        }
    )


def names_and_values(content: Mapping[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {"Name": [cell(name) for name in sorted(content)], "Value": [cell(content[name]) for name in sorted(content)]}
    )


def differences(changes: Iterable[OutOfBandChange]) -> pd.DataFrame:
    found = list(changes)
    return pd.DataFrame(
        {
            "Model": [cell(each.slot.model) for each in found],
            "What": [each.slot.in_words for each in found],
            "Registry": [each.observed or "not there" for each in found],
            "Record": [each.recorded or "not there" for each in found],
            "Changed after": [utc(each.since) for each in found],
            "Seen": [utc(each.seen) for each in found],
        }
    )


# How good a version is by its kind.


def calibration(curves: Mapping[str, Sequence[CalibrationPoint]]) -> pd.DataFrame:
    """One row per point of the picture. curves: per version one point per bin."""
    rows = [(name, point) for name, points in curves.items() for point in points]
    frame = pd.DataFrame(
        {
            "Version": [name for name, _ in rows],
            "Highest probability": [f"{point.low:.1f}\N{EN DASH}{point.high:.1f}" for _, point in rows],
            "n": [point.n for _, point in rows],
            "Mean probability": [point.probability for _, point in rows],
            "Share right": [point.right for _, point in rows],
            "Interval": [words.interval(point.right_low, point.right_high) for _, point in rows],
        }
    )
    return frame if len(curves) > 1 else frame.drop(columns="Version")


def error_ranges(found: Residuals) -> pd.DataFrame:
    """One row per range of the actual number; a bias above zero is a version that says too much."""
    return pd.DataFrame(
        {
            "Actual": [_range(each.start, each.end) for each in found.ranges],
            "n": [each.n for each in found.ranges],
            "Mean absolute error": [each.error for each in found.ranges],
            "Error, interval": [words.interval(each.error_low, each.error_high) for each in found.ranges],
            "Bias": [each.bias for each in found.ranges],
            "Bias, interval": [words.signed_interval(each.bias_low, each.bias_high) for each in found.ranges],
        }
    )


def _range(start: float, end: float) -> str:
    return f"{minus(f'{start:.4g}')} to {minus(f'{end:.4g}')}" if start < 0 else f"{start:.4g}\N{EN DASH}{end:.4g}"


def found_slices(found: SliceSearch, names: tuple[str, str], labels: Mapping[str, str]) -> pd.DataFrame:
    """One row per slice. names: of what is measured there, and of what it is held against. labels: of the columns."""
    between = words.signed_interval if found.paired else words.interval
    return pd.DataFrame(
        {
            "Rows where": [words.slice_of(each.parts, labels) for each in found.found],
            "n": [each.n for each in found.found],
            names[0]: [each.value for each in found.found],
            names[1]: [each.reference for each in found.found],
            "Difference": [each.difference for each in found.found],
            "Interval of the difference" if found.paired else "Interval": [
                between(each.low, each.high) for each in found.found
            ],
        }
    )


def utc(moment: datetime) -> datetime:
    """A time in UTC without its offset: pandas warns whenever Arrow reads a column of times that have one."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def cell(value: object) -> str:
    """One line of text of limited length, from a value of any kind and depth."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return visible(text, most=LONGEST_CELL)


def _searched(row: VersionRow) -> str:
    tags = " ".join(f"{name}={value}" for name, value in row.tags.items())
    return f"{row.version} {row.stage} {' '.join(row.aliases)} {row.status} {row.description} {tags}".casefold()


def _difference(found: MetricDifference | None) -> str:
    if found is None:
        return ""
    return f"{words.difference(found)}, n = {found.n:,}: {found.verdict}"
