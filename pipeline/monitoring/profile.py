"""The reference profile of a version: its held-out rows as counts per column, predicted class and confidence.

Rows that a version meets later are counted in the same bins, and compared without any row being kept. It comes with the
version as `signoff/profile.json`, so a stranger may have written it: what is of another shape is left out, never an
error. Standard library only.
"""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, repeat
from typing import Any

from pipeline.governance.record.documents import FOLDER, entry_of, number
from pipeline.governance.text import visible
from pipeline.validation.ranges import is_outside
from pipeline.validation.schema import MOST_COLUMNS
from pipeline.validation.values import digits

DOCUMENT = "profile"
PATH = f"{FOLDER}{DOCUMENT}.json"
MISSING, BELOW, OTHER = 0, 1, 1  # the first two bins of numbers, and of categories
INNER = 2  # the bins before the first inner one
MOST_BINS = 64  # of one column
MOST_COUNT = 2**53
CONFIDENCE_TOLERANCE = 1e-6  # as much as a compiled form's probabilities may differ from the original's
MOST_LABEL = 40
MOST_NAME = 200  # characters of a column that is counted: its name is part of each count's key
TRUTH_VALUES = {"False": 0.0, "True": 1.0}


@dataclass(frozen=True)
class NumberBins:
    """Bins of a column of numbers: missing, below, one for each step between two cuts, above."""

    low: float  # the ends of the training data, or of the held-out rows where nobody says; what lies on one is inside
    high: float
    cuts: tuple[float, ...]  # ascending, between the ends; each begins a new bin

    def __len__(self) -> int:
        return len(self.cuts) + INNER + 2

    @property
    def above(self) -> int:
        """The bin of what lies above the training data."""
        return len(self) - 1

    def bin_of(self, value: object) -> int:
        """The bin of a checked value; what is no number counts as missing."""
        if not isinstance(value, int | float) or value != value:  # noqa: PLR0124 (NaN differs from itself)
            return MISSING
        if self.low <= value <= self.high or not is_outside(value, (self.low, self.high)):
            return INNER + bisect_right(self.cuts, value)
        return BELOW if value < self.low else self.above

    def counted(self, values: Sequence[object]) -> Counter[int]:
        """How many values each bin holds, by the bin's number; a fraction of the time of `bin_of` for each."""
        edges: Any = (self.low, *self.cuts, math.nextafter(self.high, math.inf))
        try:
            steps = Counter(map(bisect_right, repeat(edges), values))
        except TypeError:  # there are values that are no numbers
            return _counted(values, self.bin_of)
        ends = steps.pop(0, 0) + steps.pop(len(edges), 0)
        found = Counter({INNER + step - 1: n for step, n in steps.items()})
        if ends:  # below, above, as good as inside, or NaN
            found += _counted((each for each in values if not self.low <= each <= self.high), self.bin_of)  # type: ignore[operator] # numbers
        return found

    @property
    def outside(self) -> tuple[int, ...]:
        """The bins of what the training data did not hold."""
        return (BELOW, self.above)

    def labels(self) -> tuple[str, ...]:
        """What people call each bin."""
        low, high = digits(self.low), digits(self.high)
        ends = pairwise((self.low, *self.cuts, self.high))
        steps = tuple(digits(one) if one == two else f"{digits(one)} to {digits(two)}" for one, two in ends)
        return ("missing", f"below {low}", *steps, f"above {high}")

    def as_json(self) -> dict[str, Any]:
        return {"kind": "number", "low": self.low, "high": self.high, "cuts": list(self.cuts)}


@dataclass(frozen=True)
class CategoryBins:
    """Bins of a column of categories, or of the predicted classes: missing, any other, one for each category."""

    categories: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.categories) + INNER

    @cached_property
    def _positions(self) -> dict[object, int]:
        """Also by the number that a class is the name of: a model may answer 1, 1.0 or true for the class 1."""
        by_name: dict[object, int] = {name: INNER + position for position, name in enumerate(self.categories)}
        numbers = ((_named_number(name), position) for name, position in by_name.items())
        return {**{value: position for value, position in numbers if value is not None}, **by_name}

    def bin_of(self, value: object) -> int:
        """The bin of a checked value, or of a prediction."""
        if value is None or value != value:  # noqa: PLR0124 (NaN differs from itself)
            return MISSING
        return self._positions.get(value, OTHER)

    def counted(self, values: Iterable[object]) -> Counter[int]:
        """How many values each bin holds, by the bin's number."""
        return _counted(values, self.bin_of)

    @property
    def outside(self) -> tuple[int, ...]:
        """The bins of what the held-out rows hardly held."""
        return (OTHER,)

    def labels(self) -> tuple[str, ...]:
        """What people call each bin."""
        return ("missing", "any other", *(visible(name, most=MOST_LABEL) for name in self.categories))

    def as_json(self) -> dict[str, Any]:
        return {"kind": "category", "categories": list(self.categories)}


@dataclass(frozen=True)
class BinCounts:
    """How many of the held-out rows fell into each bin of one column, or of the predictions."""

    bins: NumberBins | CategoryBins
    counts: tuple[int, ...]  # one per bin

    def as_json(self) -> dict[str, Any]:
        return {**self.bins.as_json(), "counts": list(self.counts)}


@dataclass(frozen=True)
class ConfidenceCounts:
    """The highest probability of each held-out row, in steps, and how often the prediction was right in each."""

    cuts: tuple[float, ...]  # ascending, inside 0 to 1; each begins a new bin, see bin_of
    counts: tuple[int, ...]  # rows per bin
    hits: tuple[int, ...]  # of these, rows that were predicted right

    def bin_of(self, confidence: float) -> int:
        """The bin of a highest probability; one that misses a cut by CONFIDENCE_TOLERANCE at most lies on it.

        Cuts are probabilities that occur, and in a forest of few trees many rows have the same one. The compiled form
        answers them in single precision, a little above or below.
        """
        return bisect_right(self.cuts, confidence + CONFIDENCE_TOLERANCE)

    def counted(self, confidences: Iterable[float]) -> Counter[int]:
        """How many highest probabilities each bin holds, by the bin's number."""
        return Counter(map(bisect_right, repeat(self.cuts), [each + CONFIDENCE_TOLERANCE for each in confidences]))

    def labels(self) -> tuple[str, ...]:
        """What people call each bin."""
        return tuple(f"{one:.2f} to {two:.2f}" for one, two in pairwise((0.0, *self.cuts, 1.0)))

    def as_json(self) -> dict[str, Any]:
        return {"cuts": list(self.cuts), "counts": list(self.counts), "hits": list(self.hits)}


@dataclass(frozen=True)
class Profile:
    """What a version was evaluated on, as counts."""

    rows: int  # held-out rows
    columns: Mapping[str, BinCounts]  # by name, in the order of the model's inputs
    predictions: BinCounts  # the predicted classes; of a version that predicts numbers, those
    confidence: ConfidenceCounts | None  # None where the version gives no probabilities

    def as_json(self) -> dict[str, Any]:
        """The document `profile.json`."""
        return {
            "rows": self.rows,
            "columns": {name: found.as_json() for name, found in self.columns.items()},
            "predictions": self.predictions.as_json(),
            "confidence": None if self.confidence is None else self.confidence.as_json(),
        }


def parse_profile(document: object) -> Profile | None:
    """The profile in the document that came with a version; None where it holds none."""
    found = document if isinstance(document, Mapping) else {}
    rows, predictions = _count(found.get("rows")), _bin_counts(found.get("predictions"))
    if not rows or predictions is None:
        return None
    columns = entry_of(found, "columns")
    if len(columns) > MOST_COLUMNS:
        return None
    named = {name: _bin_counts(entry) for name, entry in columns.items() if is_countable(name)}
    parsed = {name: counted for name, counted in named.items() if counted is not None}
    return Profile(rows, parsed, predictions, _confidence(entry_of(found, "confidence")))


def is_countable(name: str) -> bool:
    """Whether a column may be counted by its name: no longer than MOST_NAME, without what nobody sees, such as NUL."""
    return visible(name, most=MOST_NAME) == name


def _counted(values: Iterable[Any], bin_of: Callable[[Any], int]) -> Counter[int]:
    """Equal values are counted first, so that the bin of each is looked for once."""
    found: Counter[int] = Counter()
    for value, n in Counter(values).items():
        found[bin_of(value)] += n
    return found


def _bin_counts(entry: object) -> BinCounts | None:
    if not isinstance(entry, Mapping):
        return None
    bins = _numbers(entry) if entry.get("kind") == "number" else _categories(entry)
    counts = _counts(entry.get("counts"))
    if bins is None or counts is None or len(counts) != len(bins) or not sum(counts):
        return None
    return BinCounts(bins, counts)


def _numbers(entry: Mapping[str, Any]) -> NumberBins | None:
    low, high, cuts = number(entry.get("low")), number(entry.get("high")), _cuts(entry.get("cuts"))
    if low is None or high is None or cuts is None or low > high:
        return None
    return NumberBins(low, high, cuts) if not cuts or low < cuts[0] <= cuts[-1] <= high else None


def _categories(entry: Mapping[str, Any]) -> CategoryBins | None:
    names = entry.get("categories")
    if not isinstance(names, list) or len(names) > MOST_BINS or not all(isinstance(name, str) for name in names):
        return None
    return CategoryBins(tuple(names)) if len(set(names)) == len(names) else None


def _confidence(entry: Mapping[str, Any]) -> ConfidenceCounts | None:
    cuts, counts, hits = _cuts(entry.get("cuts")), _counts(entry.get("counts")), _counts(entry.get("hits"))
    if cuts is None or counts is None or hits is None or not sum(counts):
        return None
    if not len(cuts) + 1 == len(counts) == len(hits) or any(not 0 < cut <= 1 for cut in cuts):
        return None
    if any(hit > count for hit, count in zip(hits, counts, strict=True)):
        return None
    return ConfidenceCounts(cuts, counts, hits)


def _cuts(values: object) -> tuple[float, ...] | None:
    """Numbers that ascend."""
    if not isinstance(values, list) or len(values) > MOST_BINS:
        return None
    cuts = [number(value) for value in values]
    known = tuple(cut for cut in cuts if cut is not None)
    ascending = len(known) == len(cuts) and all(one < two for one, two in pairwise(known))
    return known if ascending else None


def _counts(values: object) -> tuple[int, ...] | None:
    if not isinstance(values, list) or len(values) > MOST_BINS + INNER + 2:
        return None
    return _all_known([_count(value) for value in values])


def _all_known(counts: Sequence[int | None]) -> tuple[int, ...] | None:
    known = tuple(count for count in counts if count is not None)
    return known if len(known) == len(counts) else None


def _count(value: object) -> int | None:
    return value if type(value) is int and 0 <= value <= MOST_COUNT else None


def _named_number(name: object) -> float | None:
    """The number that text is, such as 1 for "1"; None for other text."""
    text = str(name)
    if text in TRUTH_VALUES:
        return TRUTH_VALUES[text]
    try:
        return number(float(text))
    except ValueError:
        return None
