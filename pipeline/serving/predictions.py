"""What was predicted and why, as plain data, with the version and the digest of the files that said so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.explanation.wording import sentences
from pipeline.governance.ports import VersionRecord
from pipeline.governance.record.evidence import Evidence
from pipeline.serving.trust import Trust, TrustState
from pipeline.validation.rows import Row
from pipeline.validation.schema import InputSchema

if TYPE_CHECKING:
    from pipeline.validation.columns import CheckedColumns


Answer = str | float | bool | Mapping[str, str | float | bool | None]


def table_header(names: Sequence[str]) -> list[str]:
    """The column names of the predictions in a file: those of a table, else `prediction`."""
    return [f"prediction_{name}" for name in names] or ["prediction"]


@dataclass(frozen=True)
class Resolved:
    """The version that a reference such as MODEL@ALIAS names."""

    model: str
    version: int
    alias: str = ""  # empty for MODEL/VERSION, "champion" for MODEL


@dataclass(frozen=True)
class Target:
    """A version made ready to be asked, with its state and columns as they were then: to be used within seconds."""

    resolved: Resolved
    record: VersionRecord  # the registry's record of it
    evidence: Evidence  # what is known of it
    state: TrustState  # whether it may be used
    schema: InputSchema | None  # None where nothing says which columns it takes
    classes: tuple[str, ...] = ()  # empty for a model that predicts a number
    probabilities: bool = False  # whether it gives a probability per class
    names: tuple[str, ...] = ()  # the columns of a table that it answers with; empty for one value per row
    model_type: str = ""  # scikit-learn's class name; empty where it was not loaded
    example: Mapping[str, Sequence[Any]] | None = None  # its input example by column, None where it was not loaded

    @property
    def label(self) -> str:
        return f"version {self.resolved.version} of {self.resolved.model}"

    @property
    def digest(self) -> str:
        return self.state.digest or ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What everybody who sees a prediction of it should know."""
        notes = [f"{self.label}: {self.state.reason}"] if self.state.state in {Trust.IN_REVIEW, Trust.OUTSIDE} else []
        if self.state.mlflow_flavor:
            notes.append(f"{self.label}: was loaded by MLflow, because serving.trust is producers")
        return tuple(notes)


@dataclass(frozen=True)
class Prediction:
    """The prediction for one row."""

    value: Answer  # a class label or a number, or columns by name where the model answers with a table
    probabilities: Mapping[str, float]  # by class, empty where the model gives none
    warnings: tuple[str, ...] = ()  # about values outside the training data


@dataclass(frozen=True)
class Predictions:
    """The predictions of one version for one or more rows."""

    model: str
    version: int
    digest: str  # of the files that were loaded
    state: TrustState  # its trust when it was asked
    classes: tuple[str, ...]  # in the order of the probabilities
    rows: tuple[Prediction, ...]  # in the order of the rows
    notes: tuple[str, ...] = ()  # about the version, not about a row

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
    """The predictions of one version for many rows, by column."""

    target: Target
    classes: tuple[str, ...]
    answers: (
        Any  # an Arrow table with `prediction` and one column of probabilities per class, in the order of `classes`
    )
    checked: "CheckedColumns"  # the rows; those without a finite answer are among its problems, not in `answers`

    @property
    def digest(self) -> str:
        """The digest of the files that were loaded."""
        return self.target.digest


@dataclass(frozen=True)
class StrongestColumns:
    """The largest contributions to the predicted class, for many rows."""

    answers: Any  # an Arrow table: per rank a column with the names and one with the contributions
    sum_error: float  # see explanation.result.Explanation
    adds_up: bool  # see explanation.result.Explanation


@dataclass(frozen=True)
class Explanations:
    """The explanations of one version for one or more rows."""

    model: str
    version: int
    digest: str  # of the files that were loaded
    documents: tuple[Mapping[str, Any], ...]  # one per row, as the command `explain` prints it
    rows: tuple[Row, ...]  # the values that were explained
    units: Mapping[str, str]  # of the columns, by name
    labels: Mapping[str, str]  # what people call the columns whose name does not say it
    sampled: bool  # see explanation.result.Explanation, as for the next three
    tolerance: float
    adds_up: bool
    fallback: str
    background: str = ""  # a sentence where other rows than the version's own background stood for "nothing known"
    notes: tuple[str, ...] = ()  # about the version, not about a row

    @property
    def scale(self) -> str:
        return str(self.documents[0]["scale"])

    def comparable_with(self, other: "Explanations") -> bool:
        """Whether the two have a difference: on the same scale, no log-odds, and by the same method.

        Log-odds say little about what a person sees, and exact and sampled values answer different questions about
        columns that go together.
        """
        if self.scale != other.scale or self.scale == "log-odds" or self.sampled != other.sampled:
            return False
        return self.sampled or self.documents[0]["method"] == other.documents[0]["method"]

    def top_class(self, position: int = 0) -> str:
        """The class with the largest output."""
        output: Mapping[str, float] = self.documents[position]["output"]
        return max(output, key=lambda name: output[name])

    def sentences(self, position: int = 0, *, class_name: str | None = None, most: int = 5) -> list[str]:
        """The reasons in plain words, for the given class or the one with the largest output."""
        wanted = class_name or self.top_class(position)
        document, row = self.documents[position], self.rows[position]
        return sentences(document, row, wanted, units=self.units, labels=self.labels, most=most)


@dataclass(frozen=True)
class Opinion:
    """A second opinion about one row and class, see explanation.surrogate.SecondOpinion."""

    weights: Mapping[str, float]  # by column
    r2: float  # see SecondOpinion
    scale: str  # see SecondOpinion
    agreement: float  # the share of its five largest columns that are also among SHAP's
