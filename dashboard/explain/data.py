"""What came with a version about its explanations, checked: files come from strangers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.components import tables
from pipeline.comparison.rows import Rows
from pipeline.explanation.result import Explanation, to_json
from pipeline.governance.documents import ExplanationSummary
from pipeline.governance.errors import InvalidInput
from pipeline.validation.rows import Row

Array = NDArray[Any]
LOW_CONFIDENCE = 0.6
WRONG, UNSURE = "Wrong", f"Probability below {LOW_CONFIDENCE:g}"
MOST_INPUTS = 30
HIGHEST, PREDICTED = "Highest probability", "Predicted"


@dataclass(frozen=True)
class Stored:
    """The values behind the summary. positions: of the explained rows among the evaluation rows, in order."""

    explanation: Explanation
    positions: tuple[int, ...]

    def document(self, row: int) -> dict[str, Any] | None:
        """As a live explanation would be; None for a row that was not explained."""
        return to_json(self.explanation, self.positions.index(row)) if row in self.positions else None


def stored(explanation: Explanation, summary: ExplanationSummary, rows: Rows) -> Stored:
    """Raises InvalidInput where the files do not fit together."""
    fits = len(summary.rows) == len(explanation) and all(0 <= each < len(rows) for each in summary.rows)
    if not fits or not set(explanation.columns) <= set(rows.inputs):
        raise InvalidInput("explanation: its rows and columns are not those of the evaluation rows")
    return Stored(explanation, summary.rows)


def columns_of(held: Stored, rows: Rows) -> dict[str, Array]:
    """The values of the explained rows by column, in the explanation's order."""
    return {name: rows.inputs[name][list(held.positions)] for name in held.explanation.columns}


def one_row(rows: Rows, position: int) -> Row:
    """As the scorer takes it: plain values, None for a missing one."""
    return {name: _plain(column[position]) for name, column in rows.inputs.items()}


def positions(rows: Rows, kinds: Sequence[str], actual: Sequence[str]) -> list[int]:
    """Of the rows that are of every kind and of any of the classes (none given: all)."""
    keep = np.ones(len(rows), dtype=bool)
    if WRONG in kinds:
        keep &= rows.actual != rows.predicted
    if UNSURE in kinds and len(rows.classes):
        keep &= rows.probabilities.max(axis=1) < LOW_CONFIDENCE
    if actual:
        keep &= np.isin([tables.cell(_plain(each)) for each in rows.actual], list(actual))
    return [int(each) for each in np.flatnonzero(keep)]


def actual_classes(rows: Rows) -> list[str]:
    return sorted({tables.cell(_plain(each)) for each in rows.actual})


def table(rows: Rows, chosen: Sequence[int]) -> pd.DataFrame:
    """What is known of the chosen rows, then what they hold."""
    held = list(chosen)
    frame: dict[str, Any] = {
        "Row": held,
        "Actual": [tables.cell(_plain(each)) for each in rows.actual[held]],
        PREDICTED: [tables.cell(_plain(each)) for each in rows.predicted[held]],
    }
    if len(rows.classes):
        frame[HIGHEST] = rows.probabilities[held].max(axis=1)
    for name in list(rows.inputs)[:MOST_INPUTS]:
        head = tables.cell(name)
        frame[f"{head} (input)" if head in frame else head] = [_plain(each) for each in rows.inputs[name][held]]
    return pd.DataFrame(frame)


def _plain(value: Any) -> Any:  # noqa: ANN401 (a number or a text, as the column holds it)
    found = value.item() if isinstance(value, np.generic) else value
    return None if found != found else found  # noqa: PLR0124 (NaN differs from itself)
