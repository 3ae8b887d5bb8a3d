"""The explanation values that came with a version, checked against its evaluation rows: files come from strangers."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from dashboard import session
from pipeline.comparison.rows import Rows
from pipeline.explanation.result import Explanation, to_json
from pipeline.governance.documents import ExplanationSummary
from pipeline.governance.errors import InvalidInput
from pipeline.governance.evidence import Evidence

Array = NDArray[Any]


@dataclass(frozen=True)
class StoredExplanation:
    """The values behind the explanation summary."""

    # Contributions per explained row, column and class.
    explanation: Explanation
    # The number of each explained row among the evaluation rows, in the order of the explanation.
    positions: tuple[int, ...]

    def document(self, row: int) -> dict[str, Any] | None:
        """The explanation of one evaluation row, as a live one would be; None for a row that was not explained."""
        return to_json(self.explanation, self.positions.index(row)) if row in self.positions else None

    def values_by_column(self, rows: Rows) -> dict[str, Array]:
        """What the explained rows hold, per column in the order of the explanation."""
        return {name: rows.inputs[name][list(self.positions)] for name in self.explanation.columns}


def stored_explanation(evidence: Evidence) -> StoredExplanation:
    """Reads what came with the version. Raises NotFound and InvalidInput where files are missing or do not fit."""
    model, version = evidence.model, evidence.version
    explanation, rows = session.stored_explanation(model, version), session.evaluation_rows(model, version)
    return matched(explanation, evidence.explanation, rows)


def matched(explanation: Explanation, summary: ExplanationSummary, rows: Rows) -> StoredExplanation:
    """Finds the explained rows among the evaluation rows. Raises InvalidInput where the files do not fit together."""
    fits = len(summary.rows) == len(explanation) and all(0 <= each < len(rows) for each in summary.rows)
    if not fits or not set(explanation.columns) <= set(rows.inputs):
        raise InvalidInput("explanation: its rows and columns are not those of the evaluation rows")
    return StoredExplanation(explanation, summary.rows)
