"""What the process that asks knows of a compiled version: whether it answers, why not, and which rows it may answer.

Plain data that a worker sent: nothing compiled is in this process, see docs/adr/0035-compiled-and-proven-equal.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, ValidationError

from pipeline.governance.text import visible
from pipeline.serving.said import Said
from pipeline.validation.schema import InputSchema

Label = str | int | float | bool
MOST_ROWS = 256  # of one question; scikit-learn gets ahead of forests at about a thousand, see ADR 35
MOST_BOOSTED = 128  # of boosting, where scikit-learn gets ahead at about two hundred
MOST_DIFFERENCE = 1e-6  # of a probability
MARGIN = 2 * MOST_DIFFERENCE  # closer classes may change places, so the original answers
MOST_STORED = 100_000  # rows that are compared
MOST_AT_THRESHOLDS = 160_000  # rows: two per split and column, as many as both may be
MOST_TEXTS = 200  # different ones of a column: with more it is free text, of which rows never hold all
ORIGINAL = "answered by the original"
NO_ROWS = "no evaluation rows came with it to compare on"
SOMETHING_ELSE = "its compilation answers something else than was asked"
MOST_REASON = 300  # characters: it quotes names of the version


def columns_to_compile(schema: InputSchema) -> dict[str, list[Any]]:
    """The fields of a request to compile that say in which columns rows are compared, and in which they will come."""
    return {
        "columns": list(schema.names),
        "dtypes": [column.dtype for column in schema.columns],
        "categories": [list(column.categories) for column in schema.columns],
    }


@dataclass(frozen=True)
class Equality:
    """How a compiled version compares with its original, or why there is nothing to compare."""

    equal: bool  # whether every label is the same and no probability differs by more than MOST_DIFFERENCE
    why_not: str = ""  # the end of a sentence; empty where they are equal
    stored: int = 0  # rows compared that came with the version: evaluation rows and input example
    at_thresholds: int = 0  # rows compared on both sides of the model's own split thresholds
    difference: float = 0.0  # the largest of any probability

    @property
    def sentence(self) -> str:
        """Such as "compiled, equal on 720 rows and 900 at split thresholds, largest difference 6e-8"."""
        if not self.equal:
            return f"{ORIGINAL}: {visible(self.why_not, most=MOST_REASON)}"
        near = f" and {self.at_thresholds:,} at split thresholds" if self.at_thresholds else ""
        return f"compiled, equal on {self.stored:,} rows{near}, largest difference {short_number(self.difference)}"

    def as_json(self) -> dict[str, Any]:
        return dict(vars(self))


class _Compared(Said):
    """See Equality."""

    equal: bool
    why_not: str = ""
    stored: int = Field(0, ge=0, le=MOST_STORED)
    at_thresholds: int = Field(0, ge=0, le=MOST_AT_THRESHOLDS)
    difference: float = Field(0.0, ge=0, le=MOST_DIFFERENCE)


class _Made(Said):
    """What installs a compiled form, see code.Code.as_frame: columns by name, and one row to try it with."""

    names: list[str]
    texts: list[bool]
    joined: bool
    graph: int = Field(ge=0)
    code: bytes
    sample: list[Annotated[list[Label], Field(min_length=1, max_length=1)]]


class _Answers(Said):
    """See CompiledForm."""

    classes: list[str] = Field(min_length=1)
    labels: list[Label]
    known_texts: list[Annotated[list[str], Field(max_length=MOST_TEXTS)] | None]


def short_number(value: float) -> str:
    """One digit and its power of ten, such as 6e-8; 0 for 0."""
    mantissa, power = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(power)}" if value else "0"


@dataclass(frozen=True)
class CompiledForm:
    """The compiled form of one version, as the workers hold it."""

    comparison: Equality
    classes: tuple[str, ...] = ()  # names of the columns of probabilities
    labels: tuple[Label, ...] = ()  # what is predicted where the probability of that class is the largest
    # By column of the schema: the texts that were compared, None for numbers. Another text goes to the original.
    texts: tuple[frozenset[str] | None, ...] = ()

    # The fields of a request that installs it; empty where it is not equal.
    code: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> "CompiledForm":
        """What a worker says after it has compiled; refused where that is anything else than was asked."""
        try:
            comparison = Equality(**_Compared.model_validate(answer.get("comparison")).model_dump())
            if not comparison.equal:
                return cls(comparison)
            found, made = _Answers.model_validate(answer), _Made.model_validate(answer)
        except ValidationError:
            return cls.refused(SOMETHING_ELSE)
        by_column = {len(each) for each in (found.known_texts, made.names, made.texts, made.sample)}
        if len(by_column) > 1 or len(found.labels) != len(found.classes):
            return cls.refused(SOMETHING_ELSE)
        texts = tuple(None if each is None else frozenset(each) for each in found.known_texts)
        return cls(comparison, tuple(found.classes), tuple(found.labels), texts, made.model_dump())

    @classmethod
    def refused(cls, why_not: str) -> "CompiledForm":
        """The original answers."""
        return cls(Equality(equal=False, why_not=why_not))

    @property
    def equal(self) -> bool:
        """Whether the compiled form answers."""
        return self.comparison.equal

    @property
    def most_rows(self) -> int:
        """So many may be asked about at once: with more the original is faster."""
        boosted = len(self.code["code"]) > self.code["graph"]  # the trees behind the graph, see code.Code
        return MOST_BOOSTED if boosted else MOST_ROWS

    def takes(self, values: Iterable[object]) -> bool:
        """Whether it may answer a checked row, by its values in the schema's order: none is missing, no text is new."""
        return all(
            value is not None if known is None else value in known
            for value, known in zip(values, self.texts, strict=True)
        )

    def decides(self, probabilities: Sequence[float]) -> bool:
        """Whether the label is beyond doubt: the two largest are further apart than rounding may carry them."""
        largest = sorted(probabilities)[-2:]
        return largest[-1] - largest[0] > MARGIN or len(largest) == 1

    def label(self, probabilities: Sequence[float]) -> Label:
        """What is predicted: the first of the classes with the largest probability, as NumPy's argmax."""
        return self.labels[max(range(len(probabilities)), key=probabilities.__getitem__)]
