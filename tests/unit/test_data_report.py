"""The data report in sentences."""

import pytest

from pipeline.governance.record.documents import parse_data_report
from pipeline.model_card.content import sentences

REPORT = {
    "rows_read": 2111,
    "rows_used": 2080,
    "dropped": {"missing_target": 0, "unknown_target": 7, "duplicates": 24},
    "extra_columns": ["note"],
    "columns": {
        "Age": {"above_maximum": 3, "missing": 2, "minimum": 10.0, "maximum": 100.0, "default": 24.0},
        "Weight": {"below_minimum": 1, "minimum": 25.0, "maximum": 260.0, "default": 80.0},
        "CALC": {"unknown": {"Daily": 4}, "default": "Sometimes"},
    },
}


def test_everything_that_was_done_to_the_rows_is_said() -> None:
    """Dropped, clipped, replaced and left out, each with its number."""
    assert sentences(parse_data_report(REPORT), {}) == [
        "2,111 rows read, 2,080 used; dropped: 7 with an unknown class, 24 exact duplicates.",
        "Age: 3 above 100, clipped to it.",
        "Age: 2 missing, replaced by 24.",
        "Weight: 1 below 25, clipped to it.",
        "CALC: 'Daily' is no category, 4 times replaced by Sometimes.",
        "Columns not used: note.",
    ]


def test_a_column_is_called_what_people_call_it() -> None:
    """Its own name stands behind."""
    told = sentences(parse_data_report(REPORT), {"CALC": "Drinks alcohol"})

    assert "Drinks alcohol (CALC): 'Daily' is no category, 4 times replaced by Sometimes." in told


def test_nothing_to_repair_is_said_too() -> None:
    """Silence could mean that nobody looked."""
    report = {"rows_read": 10, "rows_used": 10, "dropped": {}, "columns": {}, "extra_columns": []}

    assert sentences(parse_data_report(report), {}) == [
        "10 rows read, 10 used; dropped: none.",
        "No value was clipped or replaced.",
    ]


@pytest.mark.parametrize(
    "report",
    [{}, {"rows_read": "many"}, {"rows_read": 1}, {"rows_read": 1, "rows_used": 1, "columns": [], "dropped": 3}],
)
def test_a_strange_report_is_no_error(report: dict[str, object]) -> None:
    """It lies in the registry, where anybody can write."""
    assert len(sentences(parse_data_report(report), {})) in (0, 2)
