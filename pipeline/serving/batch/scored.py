"""What came of a file of rows."""

from dataclasses import dataclass
from typing import Any

from pipeline.serving.batch.run import Scoring


@dataclass(frozen=True)
class Scored:
    """How many rows were read, scored, refused (`bad`), and scored although a value is outside the training data.

    ignored: columns of the file that the version does not take. notes: about the version, and columns that it takes and
    the file has not. first_problem: of a bad row.
    output, bad_file: where rows and refused rows were written; bad_file is None where there are none, and both are for
    an upload.
    """

    model: str
    version: int
    digest: str
    rows: int
    scored: int
    bad: int
    odd: int
    ignored: tuple[str, ...]
    notes: tuple[str, ...]
    first_problem: str = ""
    output: str | None = None
    bad_file: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "rows": self.rows,
            "scored": self.scored,
            "bad": self.bad,
            "outside_training": self.odd,
            "ignored": list(self.ignored),
            "warnings": list(self.notes),
            "output": self.output,
            "bad_rows": self.bad_file,
        }


def result_of(scoring: Scoring, *, output: str | None = None, bad_file: str | None = None) -> Scored:
    """Of a file that was read to its end. bad_file: where refused rows are, if there are some."""
    target, tally = scoring.target, scoring.tally
    notes = [*target.notes, *scoring.absent]
    if tally.unequal:
        notes.append(f"{target.label}: its explanations do not add up to its output by up to {tally.sum_error:.2g}")
    return Scored(
        target.resolved.model,
        target.resolved.version,
        target.digest,
        rows=tally.rows,
        scored=tally.scored,
        bad=tally.bad,
        odd=tally.odd,
        ignored=scoring.ignored,
        notes=tuple(notes),
        first_problem=tally.first_problem,
        output=output,
        bad_file=bad_file if tally.bad else None,
    )
