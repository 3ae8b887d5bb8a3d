"""What was predicted and why, as plain data, with the version and the digest of the files that said so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.explanation.wording import sentences
from pipeline.governance.evidence import Evidence
from pipeline.governance.ports import VersionRecord
from pipeline.serving.trust import Trust, TrustState
from pipeline.validation.rows import Row
from pipeline.validation.schema import InputSchema

if TYPE_CHECKING:
    from pipeline.validation.columns import CheckedColumns


Answer = str | float | bool | Mapping[str, str | float | bool | None]


def table_header(names: Sequence[str]) -> list[str]:
    """What the columns of a table are called in a file of predictions; the one column where it answers with none."""
    return [f"prediction_{name}" for name in names] or ["prediction"]


@dataclass(frozen=True)
class Resolved:
    """A reference such as MODEL@ALIAS, looked up. alias: empty for MODEL/VERSION, "champion" for MODEL."""

    model: str
    version: int
    alias: str = ""


@dataclass(frozen=True)
class Target:
    """A version made ready to be asked, with its state and columns as they were then; keep it for a few seconds.

    schema: None where nothing says which columns it takes. classes: empty for a number. probabilities: whether it gives
    them. names: of the columns of a table that it answers with, empty for one value per row.
    model_type: scikit-learn's name, empty where it was not loaded.
    """

    resolved: Resolved
    record: VersionRecord
    evidence: Evidence
    state: TrustState
    schema: InputSchema | None
    classes: tuple[str, ...] = ()
    probabilities: bool = False
    names: tuple[str, ...] = ()
    model_type: str = ""
    example: Mapping[str, Sequence[Any]] | None = None

    @property
    def label(self) -> str:
        return f"version {self.resolved.version} of {self.resolved.model}"

    @property
    def digest(self) -> str:
        return self.state.digest or ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What everybody who sees a prediction of it should know."""
        notes = [f"{self.label}: {self.state.reason}"] if self.state.state is Trust.IN_REVIEW else []
        if self.state.foreign:
            notes.append(f"{self.label}: was loaded by MLflow, because serving.trust is producers")
        return tuple(notes)


@dataclass(frozen=True)
class Prediction:
    """One row. value: a class label or a number, or columns by name where the model answers with a table.

    probabilities: by class, empty where the model gives none.
    """

    value: Answer
    probabilities: Mapping[str, float]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Predictions:
    """One per row, in order. digest: of the files that were loaded. notes: about the version, not about a row."""

    model: str
    version: int
    digest: str
    state: TrustState
    classes: tuple[str, ...]
    rows: tuple[Prediction, ...]
    notes: tuple[str, ...] = ()

    def as_json(self, position: int = 0) -> dict[str, Any]:
        row = self.rows[position]
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "prediction": row.value,
            "probabilities": dict(row.probabilities),
            "warnings": [*self.notes, *row.warnings],
        }


@dataclass(frozen=True)
class PredictedColumns:
    """Many rows at once. answers: an Arrow table with `prediction` and one column per class, in the order of `classes`.

    checked: the rows that were asked about; those without a finite answer are among its problems, and have no row in
    `answers`. digest: of the files that were loaded.
    """

    target: Target
    classes: tuple[str, ...]
    answers: Any
    checked: "CheckedColumns"

    @property
    def digest(self) -> str:
        return self.target.digest


@dataclass(frozen=True)
class StrongestColumns:
    """What adds most to the predicted class. answers: an Arrow table with a column's name and what it adds, in pairs.

    sum_error, adds_up: see explanation.result.Explanation.
    """

    answers: Any
    sum_error: float
    adds_up: bool


@dataclass(frozen=True)
class Explanations:
    """One document per row, as the command `explain` prints it.

    rows: the values that were explained. sampled, tolerance, adds_up, fallback: see explanation.result.Explanation.
    background: a sentence where something else than the version's own background rows stood for "nothing known".
    """

    model: str
    version: int
    digest: str
    documents: tuple[Mapping[str, Any], ...]
    rows: tuple[Row, ...]
    units: Mapping[str, str]
    sampled: bool
    tolerance: float
    adds_up: bool
    fallback: str
    background: str = ""
    notes: tuple[str, ...] = ()

    def top_class(self, position: int = 0) -> str:
        """The class with the largest output."""
        output: Mapping[str, float] = self.documents[position]["output"]
        return max(output, key=lambda name: output[name])

    def sentences(self, position: int = 0, *, class_name: str | None = None, most: int = 5) -> list[str]:
        """In plain words, for the given class or the one with the largest output."""
        wanted = class_name or self.top_class(position)
        return sentences(self.documents[position], self.rows[position], wanted, units=self.units, most=most)


@dataclass(frozen=True)
class Opinion:
    """A second opinion about one row and class; agreement: the share of its top five columns that are also SHAP's.

    weights, r2 and scale: see explanation.surrogate.SecondOpinion.
    """

    weights: Mapping[str, float]
    r2: float
    scale: str
    agreement: float
