"""Two versions side by side as data frames; `a` is the reference, differences are b minus a."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dashboard.components import tables, words
from pipeline.governance.compare import Comparison, Differences, MetricRow, compared
from pipeline.governance.documents import DOCUMENTS, EVALUATION_ROWS
from pipeline.governance.evidence import Evidence
from pipeline.governance.paired import Flip, FlipKind
from pipeline.governance.text import visible

DIFFERS, SAME = "! Differs", "✓ Same"
REFERENCE = "Reference"
BETTER, WORSE, ALIKE = "✓ Better", "✕ Worse", "≈ Not distinguishable"
VERDICTS = {"better": BETTER, "worse": WORSE, "not distinguishable": ALIKE}
WORST_FIRST = ("worse", "better", "not distinguishable")
VERDICT, RESULT, RIGHT = "Verdict", "Result", "Right"
DIFFERENCE, INTERVAL = "Difference", "Interval of the difference"
PARTS = {"Parameters": "params", "Tags": "tags", "Schema": "schema", "Data": "data", "Environment": "environment"}
NOTHING_HELD: Mapping[str, Any] = {
    "params": {},
    "tags": {},
    "signature": None,
    "flavors": [],
    **dict.fromkeys(DOCUMENTS),
}
NO_LINE = MetricRow("", None, None, None)
SAME_NUMBER = 1e-9
MOST_INPUTS = 60


def heads(comparison: Comparison) -> tuple[str, str]:
    return f"Version {comparison.a.version}", f"Version {comparison.b.version}"


def flavor(evidence: Evidence) -> str:
    """What it was saved as, where no tag says of which type it is."""
    held = [str(name) for name in evidence.content["flavors"] if name != "python_function"]
    return f"MLflow flavor {held[0]}" if held else "type unknown"


def counts(lines: Iterable[MetricRow]) -> dict[str, int]:
    """How many lines have each verdict."""
    found = [line.verdict for line in lines]
    return {verdict: found.count(verdict) for verdict in VERDICTS if verdict in found}


def metrics(comparison: Comparison) -> pd.DataFrame:
    """Every metric of either version; verdicts only where both were evaluated on the same rows."""
    found = _ranked(comparison.metrics)
    frame = lines("Metric", found, heads(comparison))
    for head, evidence in zip(heads(comparison), (comparison.a, comparison.b), strict=True):
        intervals = [_own_interval(evidence, line) for line in found]
        if any(intervals):
            frame[f"{head}, interval"] = intervals
    return frame


def without_rows(comparison: Comparison) -> list[str]:
    """The versions that came without stored evaluation rows."""
    sides = zip(heads(comparison), (comparison.a, comparison.b), strict=True)
    return [
        head for head, evidence in sides if all(each["path"] != EVALUATION_ROWS for each in evidence.content["files"])
    ]


def lines(head: str, found: Sequence[MetricRow], names: tuple[str, str]) -> pd.DataFrame:
    """Without the columns that nothing in it has."""
    compared_lines = [line for line in found if line.verdict]
    columns: dict[str, list[Any]] = {head: [tables.cell(line.name) for line in found]}
    if compared_lines:
        columns[VERDICT] = [_verdict(line) for line in found]
    columns |= {
        names[0]: [line.a for line in found],
        names[1]: [line.b for line in found],
        DIFFERENCE: [line.difference for line in found],
    }
    if compared_lines:
        columns[INTERVAL] = [signed_interval(line) for line in found]
        columns["n"] = [line.n for line in found]
    return pd.DataFrame(columns)


def signed_interval(line: MetricRow) -> str | None:
    return None if line.interval is None else f"{line.interval[0]:+.4f} to {line.interval[1]:+.4f}"


def worst_first(found: Iterable[MetricRow]) -> list[MetricRow]:
    return sorted(found, key=lambda line: WORST_FIRST.index(line.verdict) if line.verdict in WORST_FIRST else -1)


def at_a_glance(comparisons: Sequence[Comparison], names: Sequence[str]) -> pd.DataFrame:
    """One line for the reference, then one per version that is compared with it."""
    shown = [comparisons[0].a, *(each.b for each in comparisons)]
    columns: dict[str, list[Any]] = {
        "Version": [each.version for each in shown],
        "Type": [tables.cell(each.content["tags"].get("model_type", "")) for each in shown],
    }
    for name in names:
        found = [next((line for line in each.metrics if line.name == name), NO_LINE) for each in comparisons]
        columns[name] = [found[0].a, *(line.b for line in found)]
        columns[f"{name}, verdict"] = [[REFERENCE], *(_verdict(line) for line in found)]
    flipped = [each.paired.agreement.flipped if each.paired and each.paired.agreement else None for each in comparisons]
    return pd.DataFrame({**columns, "Flips": pd.array([None, *flipped], dtype="Int64")})


def contradictions(comparison: Comparison) -> list[str]:
    """Where a version claims another figure than its own stored rows give."""
    found = []
    for line in comparison.metrics:
        for evidence, value in ((comparison.a, line.a), (comparison.b, line.b)):
            claim = evidence.metric(line.name)
            if line.verdict and claim and value is not None and abs(claim.value - value) > SAME_NUMBER:
                found.append(
                    f"Version {evidence.version} claims {visible(line.name)} {claim.value:.4f}; "
                    f"its stored rows give {value:.4f}."
                )
    return found


def differences(comparison: Comparison, part: str, *, only: bool) -> pd.DataFrame:
    """What differs in one of PARTS, or everything of it with what differs first."""
    held: Differences = getattr(comparison, PARTS[part])
    different = {pair.name: (pair.a, pair.b) for pair in held.different}
    same = {} if only else {name: value for name, value in _all_of(comparison, part).items() if name not in different}
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
    """How the importance was found, in the summary's own words."""
    summary = evidence.explanation
    parts = [tables.cell(summary.method), tables.cell(summary.scale), summary.n and f"{summary.n:,} rows"]
    return ", ".join(part for part in parts if part)


def right_words(names: tuple[str, str]) -> dict[FlipKind, str]:
    """Who is right on a flipped row."""
    return {
        FlipKind.GAINED: f"Only {names[1].lower()}",
        FlipKind.LOST: f"Only {names[0].lower()}",
        FlipKind.CHANGED: "Neither",
    }


def flips(rows: Sequence[Flip], names: tuple[str, str]) -> pd.DataFrame:
    """What each version says about a row, then what the row holds."""
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
        head = tables.cell(name)
        columns[f"{head} (input)" if head in columns else head] = [_plain(flip.inputs.get(name)) for flip in rows]
    return pd.DataFrame(columns)


def filtered(rows: Sequence[Flip], kinds: Iterable[FlipKind], actual: Iterable[str]) -> list[Flip]:
    """Nothing chosen: all."""
    wanted, classes = set(kinds) or set(FlipKind), set(actual)
    return [flip for flip in rows if flip.kind in wanted and (not classes or tables.cell(flip.actual) in classes)]


def actual_classes(rows: Sequence[Flip]) -> list[str]:
    return sorted({tables.cell(flip.actual) for flip in rows})


def _verdict(line: MetricRow) -> list[str]:
    return [VERDICTS[line.verdict]] if line.verdict in VERDICTS else []


def _ranked(found: Iterable[MetricRow]) -> list[MetricRow]:
    """The well-known ones first, then by name."""
    known = [*tables.FIRST_METRICS, "calibration_error"]
    rank = {name: index for index, name in enumerate(known)}
    return sorted(found, key=lambda line: (rank.get(line.name, len(rank)), line.name))


def _own_interval(evidence: Evidence, line: MetricRow) -> str | None:
    """With n where the line has none: a figure never travels without."""
    metric = evidence.metric(line.name)
    if metric is None:
        return None
    return (words.interval(metric.low, metric.high) if line.n else words.spread(metric)) or None


def _all_of(comparison: Comparison, part: str) -> Mapping[str, Any]:
    """Everything the reference has in that part: what differs between it and a version that has nothing."""
    empty = Evidence({**comparison.a.content, **NOTHING_HELD}, "", "")
    held: Differences = getattr(compared(comparison.a, empty), PARTS[part])
    return {pair.name: pair.a for pair in held.different}


def _shown(value: object) -> str | None:
    """None stays: the table shows that there is nothing."""
    return None if value is None else tables.cell(value)


def _plain(value: object) -> object:
    return tables.cell(value) if isinstance(value, str) else value
