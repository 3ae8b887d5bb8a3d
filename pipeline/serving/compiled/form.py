"""What the process that asks knows of a compiled version: whether it answers, why not, and which rows it may answer.

Plain data that a worker sent: nothing compiled is in this process, see docs/adr/0035-compiled-and-proven-equal.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.governance.text import visible

Label = str | int | bool
MOST_ROWS = 256  # of one question; measured: of boosting, half of the time that scikit-learn takes
MARGIN = 2e-6  # twice compare.MOST_DIFFERENCE: closer classes may change places, so the original answers
ORIGINAL = "answered by the original"
NO_ROWS = "no evaluation rows came with it to compare on"
MOST_REASON = 300  # characters: it quotes names of the version


@dataclass(frozen=True)
class Equality:
    """How a compiled version compares with its original, or why there is nothing to compare."""

    equal: bool  # whether every label is the same and no probability differs by more than compare.MOST_DIFFERENCE
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

    @classmethod
    def of_answer(cls, answer: Mapping[str, Any]) -> "CompiledForm":
        """What a worker says after it has compiled. Raises KeyError, TypeError for anything else."""
        comparison = Equality(**answer["comparison"])
        if not comparison.equal:
            return cls(comparison)
        if len(answer["labels"]) != len(answer["classes"]):
            raise TypeError("a label per class")
        return cls(
            comparison,
            tuple(answer["classes"]),
            tuple(answer["labels"]),
            tuple(None if each is None else frozenset(each) for each in answer["known_texts"]),
        )

    @classmethod
    def refused(cls, why_not: str) -> "CompiledForm":
        """The original answers."""
        return cls(Equality(equal=False, why_not=why_not))

    @property
    def equal(self) -> bool:
        """Whether the compiled form answers."""
        return self.comparison.equal

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
