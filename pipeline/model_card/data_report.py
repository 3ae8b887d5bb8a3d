"""What training did to the rows before it used them, in sentences, from the document `data_report.json`."""

from collections.abc import Iterator

from pipeline.governance.documents import ColumnReport, DataReport
from pipeline.governance.text import visible

LONGEST = 60
DROPPED = {
    "missing_target": "without a class",
    "unknown_target": "with an unknown class",
    "duplicates": "exact duplicates",
}


def sentences(report: DataReport | None) -> list[str]:
    """What a reader is told; empty where there is no report."""
    if report is None:
        return []
    dropped = ", ".join(f"{count:,} {words}" for name, words in DROPPED.items() if (count := report.dropped.get(name)))
    repaired = [text for column in report.columns for text in _column(column)]
    ignored = ", ".join(_text(name) for name in report.extra_columns)
    return [
        f"{report.rows_read:,} rows read, {report.rows_used:,} used; dropped: {dropped or 'none'}.",
        *(repaired or ["No value was clipped or replaced."]),
        *([f"Columns not used: {ignored}."] if ignored else []),
    ]


def _column(found: ColumnReport) -> Iterator[str]:
    name, default = visible(found.name, most=LONGEST), _text(found.default)
    if found.below_minimum:
        yield f"{name}: {found.below_minimum:,} below {_text(found.minimum)}, clipped to it."
    if found.above_maximum:
        yield f"{name}: {found.above_maximum:,} above {_text(found.maximum)}, clipped to it."
    for value, count in found.unknown.items():
        yield f"{name}: {visible(value, most=LONGEST)!r} is no category, {_text(count)} times replaced by {default}."
    if found.missing:
        yield f"{name}: {found.missing:,} missing, replaced by {default}."


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else visible(str(value), most=LONGEST)
