"""The comparer: from two files of evaluation rows to plain values. NumPy and PyArrow are imported when it is asked."""

import hashlib
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from cachetools import LRUCache

from pipeline.governance.errors import InvalidInput
from pipeline.governance.ports import MetricDifference
from pipeline.governance.record.documents import Evaluation
from pipeline.governance.rules.paired import Flips, Paired

if TYPE_CHECKING:
    from pipeline.comparison.intervals import Draws
    from pipeline.comparison.rows import Rows


MOST_CACHED = 500  # comparisons of two files, about 10 kB each


@dataclass(frozen=True)
class PairedBootstrap:
    """Compares two versions on their stored evaluation rows, with intervals from the paired bootstrap.

    Each file is Parquet: the input columns, then `actual`, `predicted` and, per class, `probability_CLASS`. The same
    two files give the same numbers. Every method raises InvalidInput with one sentence where a file cannot be used or
    the rows differ.
    """

    # How often rows are drawn again, for the metrics over all rows.
    samples: int
    # Of the random generator.
    seed: int
    # Of each interval, such as 0.95.
    confidence: float
    # The edges in years that cut a column named Age into slices, see slices.age_bands.
    age_bands: tuple[float, ...] = ()
    # The last comparisons, by the digests of the two files.
    cache: "LRUCache[tuple[bytes, bytes], tuple[MetricDifference, ...]]" = field(
        default_factory=lambda: LRUCache(MOST_CACHED), compare=False, repr=False
    )
    lock: Lock = field(default_factory=Lock, compare=False, repr=False)

    def compare(self, candidate: bytes, incumbent: bytes) -> list[MetricDifference]:
        """Metrics over all rows first, then accuracy per slice, of numbers the mean absolute error.

        The same two files are compared once: a page asks for every version that waits.
        """
        key = hashlib.sha256(candidate).digest(), hashlib.sha256(incumbent).digest()
        with self.lock:
            if (known := self.cache.get(key)) is not None:
                return list(known)
        from pipeline.comparison import intervals

        ours, theirs = _same_rows(candidate, incumbent, names=("candidate", "incumbent"))
        found = intervals.overall(ours, theirs, self._draws())
        found += intervals.sliced(ours, theirs, self._draws(), age_bands=self.age_bands)
        with self.lock:
            self.cache[key] = tuple(found)
        return found

    def pair(self, a: bytes, b: bytes) -> Paired:
        """Everything that two versions differ in on the same rows, b minus a."""
        return self.pair_rows(*_same_rows(a, b, names=("a", "b")))

    def pair_rows(self, first: "Rows", second: "Rows") -> Paired:
        """As `pair`, of rows that were read and are the same ones in the same order: second minus first."""
        from pipeline.comparison import agreement, intervals

        classes = intervals.both_errors(second, first) is None
        return Paired(
            n=len(first),
            metrics=tuple(intervals.overall(second, first, self._draws())),
            classes=tuple(intervals.per_class(second, first, self._draws())),
            slices=tuple(intervals.sliced(second, first, self._draws(), age_bands=self.age_bands)),
            agreement=agreement.agreement(first, second) if classes else None,
            confusions=agreement.confusion_counts(first, second) if classes else None,
            calibration_a=agreement.calibration(first, self.confidence),
            calibration_b=agreement.calibration(second, self.confidence),
        )

    def flips(self, a: bytes, b: bytes) -> Flips:
        """The rows that the two predict differently; of classes only."""
        from pipeline.comparison import agreement, intervals

        first, second = _same_rows(a, b, names=("a", "b"))
        if intervals.both_errors(second, first) is not None:
            raise InvalidInput("the two predict numbers, which do not flip as classes do")
        return agreement.flips(first, second)

    def evaluate(self, rows: "Rows") -> Evaluation:
        """What one version does on rows with their truth, as training evaluates the rows that it held out."""
        from pipeline.comparison.evaluation import evaluate_rows

        return evaluate_rows(rows, self._draws())

    def _draws(self) -> "Draws":
        from pipeline.comparison.intervals import Draws

        return Draws(self.samples, self.seed, self.confidence)


def _same_rows(first: bytes, second: bytes, *, names: tuple[str, str]) -> "tuple[Rows, Rows]":
    from pipeline.comparison.rows import read_rows, require_same_rows

    ours, theirs = read_rows(first, names[0]), read_rows(second, names[1])
    require_same_rows(ours, theirs)
    return ours, theirs
