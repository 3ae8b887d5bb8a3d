"""Two versions side by side as data frames; `a` is the reference, differences are b minus a."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dashboard.components import tables, words
from pipeline.governance.record.documents import DOCUMENTS, EVALUATION_ROWS
from pipeline.governance.record.evidence import Evidence
from pipeline.governance.rules.compare import Comparison, Differences, MetricRow, compared
from pipeline.governance.rules.paired import Flip, FlipKind

DIFFERS, SAME = "! Differs", "✓ Same"
REFERENCE = "Reference"
WORST_FIRST = ("worse", "better", "not distinguishable")
VERDICT, RESULT, RIGHT = "Verdict", "Result", "Right"
DIFFERENCE, INTERVAL = "Difference", "Interval of the difference"
SECTIONS = {"Parameters": "params", "Tags": "tags", "Schema": "schema", "Data": "data", "Environment": "environment"}
NO_CONTENT: Mapping[str, Any] = {
    "params": {},
    "tags": {},
    "signature": None,
    "flavors": [],
    **dict.fromkeys(DOCUMENTS),
}
NO_ROW = MetricRow("", None, None, None)
METRIC = "Metric"
SAME_NUMBER = 1e-9
MOST_INPUTS = 60


def heads(comparison: Comparison) -> tuple[str, str]:
    return f"Version {comparison.a.version}", f"Version {comparison.b.version}"


def versions(comparison: Comparison) -> dict[str, int]:
    """Both numbers by `heads`."""
    return dict(zip(heads(comparison), (comparison.a.version, comparison.b.version), strict=True))


def flavor(evidence: Evidence) -> str:
    """Stands for the type of a model where no tag names it: the MLflow flavor that it was saved as."""
    flavors = [str(name) for name in evidence.content["flavors"] if name != "python_function"]
    return f"MLflow flavor {flavors[0]}" if flavors else "type unknown"


def counts(rows: Iterable[MetricRow]) -> dict[str, int]:
    """How many rows have each verdict."""
    found = [row.verdict for row in rows]
    return {verdict: found.count(verdict) for verdict in words.VERDICTS if verdict in found}


def metrics(comparison: Comparison) -> pd.DataFrame:
    """Every metric of either version, well-known first; verdicts only where both were evaluated on the same rows."""
    known = [*tables.FIRST_METRICS, "calibration_error"]
    rank = {name: index for index, name in enumerate(known)}
    found = sorted(comparison.metrics, key=lambda row: (rank.get(row.name, len(rank)), row.name))
    frame = metric_rows(METRIC, found, heads(comparison))
    for head, evidence in zip(heads(comparison), (comparison.a, comparison.b), strict=True):
        intervals = [_own_interval(evidence, row) for row in found]
        if any(intervals):
            frame[f"{head}, interval"] = intervals
    return frame


def without_rows(comparison: Comparison) -> list[str]:
    """The versions that came without stored evaluation rows."""
    sides = zip(heads(comparison), (comparison.a, comparison.b), strict=True)
    return [
        head for head, evidence in sides if all(each["path"] != EVALUATION_ROWS for each in evidence.content["files"])
    ]


def metric_rows(head: str, found: Sequence[MetricRow], names: tuple[str, str]) -> pd.DataFrame:
    """Both values, their difference, and where any row has a verdict the columns of the paired comparison.

    head: what the rows are, such as METRIC or "Class". names: what the two versions are called.
    """
    paired = any(row.verdict for row in found)
    called = words.metric if head == METRIC else tables.cell
    columns: dict[str, list[Any]] = {head: [called(row.name) for row in found]}
    if paired:
        columns[VERDICT] = [_verdict(row) for row in found]
    columns |= {
        names[0]: [row.a for row in found],
        names[1]: [row.b for row in found],
        DIFFERENCE: [row.difference for row in found],
    }
    if paired:
        columns[INTERVAL] = [signed_interval(row) for row in found]
        columns["n"] = [row.n for row in found]
    return pd.DataFrame(columns)


def signed_interval(row: MetricRow) -> str | None:
    return None if row.interval is None else words.signed_interval(*row.interval)


def worst_first(found: Iterable[MetricRow]) -> list[MetricRow]:
    return sorted(found, key=lambda row: WORST_FIRST.index(row.verdict) if row.verdict in WORST_FIRST else -1)


def at_a_glance(comparisons: Sequence[Comparison], names: Sequence[str]) -> pd.DataFrame:
    """One row for the reference, then one per version compared with it. names: of the metrics that are shown."""
    shown = [comparisons[0].a, *(each.b for each in comparisons)]
    columns: dict[str, list[Any]] = {
        "Version": [each.version for each in shown],
        "Type": [tables.cell(each.content["tags"].get("model_type", "")) for each in shown],
    }
    for name in names:
        found = [next((row for row in each.metrics if row.name == name), NO_ROW) for each in comparisons]
        columns[name] = [found[0].a, *(row.b for row in found)]
        columns[f"{name}, verdict"] = [[REFERENCE], *(_verdict(row) for row in found)]
    flipped = [each.paired.agreement.flipped if each.paired and each.paired.agreement else None for each in comparisons]
    return pd.DataFrame({**columns, "Flips": pd.array([None, *flipped], dtype="Int64")})


def contradictions(comparison: Comparison) -> list[str]:
    """Sentences about metrics whose claimed value differs from the one that the version's own stored rows give."""
    found = []
    for row in comparison.metrics:
        for evidence, value in ((comparison.a, row.a), (comparison.b, row.b)):
            claim = evidence.metric(row.name)
            if row.verdict and claim and value is not None and abs(claim.value - value) > SAME_NUMBER:
                found.append(
                    f"Version {evidence.version} claims {words.metric_in_text(row.name)} {words.number(claim.value)}; "
                    f"its stored rows give {words.number(value)}."
                )
    return found


def differences(comparison: Comparison, section: str, *, only: bool) -> pd.DataFrame:
    """What differs in one of SECTIONS; with only=False also what is equal, below it."""
    found: Differences = getattr(comparison, SECTIONS[section])
    different = {pair.name: (pair.a, pair.b) for pair in found.different}
    same = (
        {} if only else {name: value for name, value in _all_of(comparison, section).items() if name not in different}
    )
    rows = [*different.items(), *((name, (value, value)) for name, value in same.items())]
    frame = pd.DataFrame(
        {
            RESULT: [[DIFFERS if name in different else SAME] for name, _ in rows],
            "Name": [tables.cell(name) for name, _ in rows],
            heads(comparison)[0]: [_shown(pair[0]) for _, pair in rows],
            heads(comparison)[1]: [_shown(pair[1]) for _, pair in rows],
        }
    )
    return frame.drop(columns=RESULT) if only else frame


def explained_by(evidence: Evidence) -> str:
    """Method, scale and number of rows of the explanation summary, in its own words."""
    summary = evidence.explanation
    found = [tables.cell(summary.method), tables.cell(summary.scale), summary.n and f"{summary.n:,} rows"]
    return ", ".join(each for each in found if each)


def right_words(names: tuple[str, str]) -> dict[FlipKind, str]:
    """How each kind of flipped row is called: by the version that is right on it."""
    return {
        FlipKind.GAINED: f"Only {names[1].lower()}",
        FlipKind.LOST: f"Only {names[0].lower()}",
        FlipKind.CHANGED: "Neither",
    }


def flips(rows: Sequence[Flip], names: tuple[str, str], labels: Mapping[str, str]) -> pd.DataFrame:
    """One row per flip: the actual class, the prediction of each version, then the inputs of the row by their label."""
    columns: dict[str, list[Any]] = {
        "Row": [flip.row for flip in rows],
        RIGHT: [[right_words(names)[flip.kind]] for flip in rows],
        "Actual": [_shown(flip.actual) for flip in rows],
        names[0]: [_shown(flip.a) for flip in rows],
        f"{names[0]}, probability": [flip.a_probability for flip in rows],
        names[1]: [_shown(flip.b) for flip in rows],
        f"{names[1]}, probability": [flip.b_probability for flip in rows],
    }
    for name in list(rows[0].inputs)[:MOST_INPUTS] if rows else ():
        head = words.column(name, labels)
        values = [flip.inputs.get(name) for flip in rows]
        shown = [tables.cell(value) if isinstance(value, str) else value for value in values]
        columns[f"{head} (input)" if head in columns else head] = shown
    return pd.DataFrame(columns)


def filtered(rows: Sequence[Flip], kinds: Iterable[FlipKind], actual: Iterable[str]) -> list[Flip]:
    """The flips of any of the kinds and with any of the actual classes; where none are given, of all."""
    wanted, classes = set(kinds) or set(FlipKind), set(actual)
    return [flip for flip in rows if flip.kind in wanted and (not classes or tables.cell(flip.actual) in classes)]


def actual_classes(rows: Sequence[Flip]) -> list[str]:
    return sorted({tables.cell(flip.actual) for flip in rows})


def _verdict(row: MetricRow) -> list[str]:
    return [words.VERDICTS[row.verdict]] if row.verdict in words.VERDICTS else []


def _own_interval(evidence: Evidence, row: MetricRow) -> str | None:
    """The interval of one version's metric, with n where the row has none: no metric is shown without its n."""
    metric = evidence.metric(row.name)
    if metric is None:
        return None
    return (words.interval(metric.low, metric.high) if row.n else words.spread(metric)) or None


def _all_of(comparison: Comparison, section: str) -> Mapping[str, Any]:
    """Everything that the reference has in a section: what differs between it and a version that has nothing."""
    empty = Evidence({**comparison.a.content, **NO_CONTENT}, "", "")
    found: Differences = getattr(compared(comparison.a, empty), SECTIONS[section])
    return {pair.name: pair.a for pair in found.different}


def _shown(value: object) -> str | None:
    """None stays: the table shows that there is nothing."""
    return None if value is None else tables.cell(value)
