"""Two versions on the same evaluation rows, as plain values. Everywhere a is the first, b the second, and b - a."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from pipeline.governance.ports import Comparer, Json, MetricDifference


@dataclass(frozen=True)
class Agreement:
    """How many rows each predicts right; `p_value` of McNemar's exact test that both are right equally often."""

    both_right: int
    only_a_right: int
    only_b_right: int
    both_wrong_alike: int
    both_wrong_differently: int
    p_value: float

    @property
    def n(self) -> int:
        return self.both_right + self.both_wrong_alike + self.flipped

    @property
    def flipped(self) -> int:
        """Rows that the two predict differently."""
        return self.only_a_right + self.only_b_right + self.both_wrong_differently

    def as_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "both_right": self.both_right,
            "only_a_right": self.only_a_right,
            "only_b_right": self.only_b_right,
            "both_wrong_alike": self.both_wrong_alike,
            "both_wrong_differently": self.both_wrong_differently,
            "flipped": self.flipped,
            "p_value": self.p_value,
        }


@dataclass(frozen=True)
class CalibrationPoint:
    """The rows whose highest probability lies in [low, high): a bin of the calibration error, or several thin ones."""

    # The lower end of the bin, a tenth.
    low: float
    # The upper end.
    high: float
    # The mean of the highest probability.
    probability: float
    # The share predicted right.
    right: float
    # Rows.
    n: int
    # The interval of the share.
    right_low: float
    right_high: float


def drawn_calibration_error(points: Sequence[CalibrationPoint]) -> float:
    """The calibration error over the bins as they are drawn; where some were merged, at most that over all ten."""
    rows = sum(point.n for point in points)
    return sum(point.n * abs(point.probability - point.right) for point in points) / max(1, rows)


@dataclass(frozen=True)
class Confusions:
    """Counts over `classes`: `a` and `b` by [true][predicted], `moves` by [predicted by a][predicted by b]."""

    classes: tuple[str, ...]
    a: tuple[tuple[int, ...], ...]
    b: tuple[tuple[int, ...], ...]
    moves: tuple[tuple[int, ...], ...]

    @property
    def difference(self) -> tuple[tuple[int, ...], ...]:
        """Counts of b minus those of a, by [true][predicted]."""
        pairs = zip(self.a, self.b, strict=True)
        return tuple(tuple(after - before for before, after in zip(*pair, strict=True)) for pair in pairs)


@dataclass(frozen=True)
class Paired:
    """What two files of n evaluation rows say.

    metrics: over all rows. classes: recall per class, named in `slice`. slices: accuracy, of numbers the mean absolute
    error. Within `classes` and within `slices` the intervals hold together. agreement, confusions: None where numbers
    are predicted. calibration: None where a file has no usable probabilities.
    """

    n: int
    metrics: tuple[MetricDifference, ...]
    classes: tuple[MetricDifference, ...]
    slices: tuple[MetricDifference, ...]
    agreement: Agreement | None
    confusions: Confusions | None
    calibration_a: tuple[CalibrationPoint, ...] | None = None
    calibration_b: tuple[CalibrationPoint, ...] | None = None


class FlipKind(StrEnum):
    """What a flipped row means for b."""

    GAINED = "only b is right"
    LOST = "only a is right"
    CHANGED = "both are wrong, differently"


@dataclass(frozen=True)
class Flip:
    """One row that the two predict differently."""

    row: int  # its position in the evaluation rows, from 0
    inputs: Mapping[str, Json]
    actual: Json
    a: Json
    b: Json
    kind: FlipKind
    a_probability: float | None = None  # each version's highest one, in [0, 1]; None where the file has none
    b_probability: float | None = None


@dataclass(frozen=True)
class Flips:
    """The flipped rows in their order; `rows` may be fewer than `agreement.flipped` says, the first ones then."""

    agreement: Agreement
    rows: tuple[Flip, ...]


class PairedComparer(Comparer, Protocol):
    """Compares two versions for people; every method raises InvalidInput, with the reason, when the rows differ."""

    def pair(self, a: bytes, b: bytes) -> Paired:
        """From two evaluation-row files (Parquet)."""

    def flips(self, a: bytes, b: bytes) -> Flips:
        """From two evaluation-row files (Parquet)."""
