"""What training did to the rows before it used them, in sentences, from the document `data_report.json`."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.governance.evidence import entry_of, number
from pipeline.governance.text import visible

LONGEST = 60
DROPPED = {
    "missing_target": "without a class",
    "unknown_target": "with an unknown class",
    "duplicates": "exact duplicates",
}
CLIPPED = {"below_minimum": ("below", "minimum"), "above_maximum": ("above", "maximum")}


def sentences(report: Mapping[str, Any]) -> list[str]:
    """Empty where there is no report. It may come from a stranger, so nothing in it is taken for granted."""
    read, used = number(report.get("rows_read")), number(report.get("rows_used"))
    if read is None or used is None:
        return []
    counts = {words: number(entry_of(report, "dropped").get(name)) for name, words in DROPPED.items()}
    dropped = ", ".join(f"{count:,.0f} {words}" for words, count in counts.items() if count)
    columns = entry_of(report, "columns")
    repaired = [text for name in columns for text in _column(name, entry_of(columns, name))]
    return [
        f"{read:,.0f} rows read, {used:,.0f} used; dropped: {dropped or 'none'}.",
        *(repaired or ["No value was clipped or replaced."]),
        *_ignored(report.get("extra_columns")),
    ]


def _column(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    column = visible(name, most=LONGEST)
    for key, (side, bound) in CLIPPED.items():
        if count := number(found.get(key)):
            yield f"{column}: {count:,.0f} {side} {_text(found.get(bound))}, clipped to it."
    default = _text(found.get("default"))
    for value, count in entry_of(found, "unknown").items():
        yield f"{column}: {visible(value, most=LONGEST)!r} is no category, {_text(count)} times replaced by {default}."
    if count := number(found.get("missing")):
        yield f"{column}: {count:,.0f} missing, replaced by {default}."


def _ignored(names: object) -> Iterator[str]:
    if isinstance(names, list) and names:
        yield f"Columns not used: {', '.join(_text(name) for name in names)}."


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else visible(str(value), most=LONGEST)
