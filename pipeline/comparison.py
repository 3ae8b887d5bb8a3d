"""Two versions on the same rows: differences of metrics with intervals from the paired bootstrap.

Both are judged on rows drawn again together, so that what makes a row hard for both cancels out (B. Efron and
R. Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pipeline.governance.errors import InvalidInput
from pipeline.governance.ports import MetricDifference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Arrow = Any  # of a library without types
ACTUAL, PREDICTED, AGE = "actual", "predicted", "Age"
MOST_BYTES = 100 * 2**20
MOST_ROWS = 200_000
MOST_CELLS = 20_000_000
MOST_CHARACTERS = 10_000  # of one text: each is compared once per row
MOST_CLASSES = 40
MOST_NUMBERS_AT_ONCE = 5_000_000  # in one block of draws
UNREADABLE = ArithmeticError, AttributeError, LookupError, OSError, TypeError, ValueError  # types that others register
MOST_VALUES = 50  # of a text column that is cut into slices


@dataclass(frozen=True)
class PairedBootstrap:
    """samples: draws for the metrics over all rows. confidence: of each interval, such as 0.95.

    age_bands: edges in years for slices of a column named Age; each band holds its lower edge, the last one both.
    """

    samples: int
    seed: int
    confidence: float
    age_bands: tuple[float, ...] = ()

    def compare(self, candidate: bytes, incumbent: bytes) -> list[MetricDifference]:
        """Metrics over all rows first, then accuracy per slice.

        Each file is Parquet: the input columns, then `actual`, `predicted` and what may follow. The same two files give
        the same numbers. Raises InvalidInput with one sentence where a file cannot be used or the rows differ.
        """
        ours, theirs = _read(candidate, "candidate"), _read(incumbent, "incumbent")
        _require_same_rows(ours, theirs)
        return [*self._overall(ours, theirs), *self._sliced(ours, theirs)]

    def _overall(self, ours: "_Rows", theirs: "_Rows") -> Iterator[MetricDifference]:
        """Percentile intervals.

        A metric depends on the counts of (actual, candidate's, incumbent's) only, so drawing rows with replacement is
        drawing those counts from a multinomial distribution.
        """
        import numpy as np

        size, triples = _triples(ours, theirs)
        kinds, counts = np.unique(triples, axis=1, return_counts=True)
        n, block = int(counts.sum()), max(1, MOST_NUMBERS_AT_ONCE // len(counts))
        random = np.random.default_rng(self.seed)
        parts = [_differences(counts[None, :], kinds, size)]
        for start in range(0, self.samples, block):
            draws = random.multinomial(n, counts / n, size=min(block, self.samples - start))
            parts.append(_differences(draws, kinds, size))
        tail = (1 - self.confidence) / 2
        for name in parts[0]:
            observed, *drawn = np.concatenate([part[name] for part in parts])
            low, high = np.quantile(drawn, [tail, 1 - tail])
            yield MetricDifference(name, float(observed), float(low), float(high), n)

    def _sliced(self, ours: "_Rows", theirs: "_Rows") -> list[MetricDifference]:
        """Accuracy in each slice, with wider intervals: together they hold at the confidence (Bonferroni).

        With 40 slices at 95 % each interval is one at 99.875 %: otherwise two slices would look different by chance.
        """
        import numpy as np

        right, before = ours.actual == ours.predicted, theirs.actual == theirs.predicted
        slices = [(label, inside) for label, inside in _slices(ours.inputs, self.age_bands) if inside.any()]
        tail = (1 - self.confidence) / 2 / max(1, len(slices))
        found = []
        for label, inside in slices:
            n = int(inside.sum())
            gained, lost = (int(np.count_nonzero(which & inside)) for which in (right & ~before, before & ~right))
            low, high = _accuracy_interval(gained, lost, n=n, tail=tail)
            found.append(MetricDifference("accuracy", (gained - lost) / n, low, high, n, label))
        return found


@dataclass(frozen=True)
class _Rows:
    """Columns of equal length: numbers as float64, text as Python strings (None where there is none)."""

    inputs: dict[str, "Array"]
    actual: "Array"
    predicted: "Array"


def _read(data: bytes, name: str) -> _Rows:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if len(data) > MOST_BYTES:
        raise InvalidInput(f"{name}: the evaluation rows are larger than {MOST_BYTES // 2**20} MB")
    try:
        schema = pq.read_schema(io.BytesIO(data))
        # As dictionaries: a text that is repeated in every row stays one in memory.
        texts = [field.name for field in schema if field.type in {pa.string(), pa.large_string()}]
        parquet = pq.ParquetFile(io.BytesIO(data), read_dictionary=texts)
        needed = _needed(parquet, name)
        table = parquet.read(columns=needed)
        columns = {column: _values(table.column(column), f"{name}: {column}") for column in needed}
    except (pa.ArrowException, *UNREADABLE) as error:
        sentence = str(error).strip().split("\n", maxsplit=1)[0][:200]
        raise InvalidInput(f"{name}: the evaluation rows cannot be read ({sentence})") from error
    return _Rows(actual=columns.pop(ACTUAL), predicted=columns.pop(PREDICTED), inputs=columns)


def _needed(parquet: Arrow, name: str) -> list[str]:
    """The input columns, which stand before `actual`, and the two of the result. Nothing was unpacked yet."""
    names, rows = parquet.schema_arrow.names, parquet.metadata.num_rows
    if missing := [column for column in (ACTUAL, PREDICTED) if names.count(column) != 1]:
        raise InvalidInput(f"{name}: the evaluation rows have no column {missing[0]!r}, or several")
    inputs = [column for column in names[: names.index(ACTUAL)] if column != PREDICTED]
    if len(set(inputs)) < len(inputs):
        raise InvalidInput(f"{name}: the evaluation rows have two columns of the same name")
    if not 0 < rows <= MOST_ROWS or rows * len(names) > MOST_CELLS:
        raise InvalidInput(f"{name}: {rows:,} evaluation rows of {len(names):,} columns; at most {MOST_ROWS:,} rows")
    return [*inputs, ACTUAL, PREDICTED]


def _values(column: Arrow, place: str) -> "Array":
    """Plain numbers or text: what a file says about Python types or pandas is not looked at."""
    import numpy as np
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return column.cast(pa.float64(), safe=False).to_numpy()
    if not pa.types.is_dictionary(kind) or kind.value_type not in {pa.string(), pa.large_string()}:
        raise InvalidInput(f"{place}: holds {str(kind)[:80]}; evaluation rows hold numbers and text")
    whole = column.unify_dictionaries().combine_chunks()
    texts = [*whole.dictionary.to_pylist(), None]
    if any(len(text or "") > MOST_CHARACTERS for text in texts):
        raise InvalidInput(f"{place}: holds a text of more than {MOST_CHARACTERS:,} characters")
    return np.array(texts, dtype=object)[whole.indices.fill_null(-1).to_numpy()]


def _require_same_rows(ours: _Rows, theirs: _Rows) -> None:
    if only := sorted(set(ours.inputs) ^ set(theirs.inputs)):
        raise InvalidInput(f"the two were not evaluated on the same columns (only one of them has {only[0]!r})")
    n, m = len(ours.actual), len(theirs.actual)
    if n != m:
        raise InvalidInput(f"the two were not evaluated on the same rows ({n:,} and {m:,} rows)")
    pairs = {name: (column, theirs.inputs[name]) for name, column in ours.inputs.items()}
    for name, (first, second) in {**pairs, ACTUAL: (ours.actual, theirs.actual)}.items():
        if different := _count_different(first, second):
            where = f"{name} differs in {different:,} of {n:,} rows"
            raise InvalidInput(f"the two were not evaluated on the same rows ({where})")


def _count_different(first: "Array", second: "Array") -> int:
    both_missing = (first != first) & (second != second)  # noqa: PLR0124 (NaN differs from itself)
    return int(((first != second) & ~both_missing).sum())


def _triples(ours: _Rows, theirs: _Rows) -> tuple[int, "Array"]:
    """The number of classes, and per row (actual, candidate's, incumbent's) as positions among them; shape (3, n)."""
    import numpy as np

    position: dict[Any, int] = {}
    columns = [ours.actual, ours.predicted, theirs.predicted]
    triples = np.array([[position.setdefault(value, len(position)) for value in column.tolist()] for column in columns])
    if any(value is None or value != value for value in position):  # noqa: PLR0124 (NaN differs from itself)
        raise InvalidInput(f"{ACTUAL} or {PREDICTED}: has missing values")
    if len(position) > MOST_CLASSES:
        raise InvalidInput(f"{ACTUAL}: {len(position):,} different values; classes are compared up to {MOST_CLASSES}")
    return len(position), triples


def _differences(weights: "Array", kinds: "Array", size: int) -> "dict[str, Array]":
    """Candidate minus incumbent per line of `weights`, which says how often each kind of row, (3, kinds), is there."""
    actual, first, second = kinds
    ours, theirs = (_metrics(_confusions(weights, actual * size + said, size)) for said in (first, second))
    return {name: ours[name] - theirs[name] for name in ours}


def _confusions(weights: "Array", cells: "Array", size: int) -> "Array":
    """One matrix per line of `weights`, true classes as rows; weights[:, i] belongs into cells[i]."""
    import numpy as np

    lines = len(weights)
    places = np.arange(lines)[:, None] * size**2 + cells
    counts = np.bincount(places.ravel(), weights=weights.ravel(), minlength=lines * size**2)
    return counts.reshape(lines, size, size)


def _metrics(confusions: "Array") -> dict[str, "Array"]:
    """scikit-learn's metrics, one value per matrix.

    As there, macro averages leave out a class that is neither true nor predicted, and 0/0 counts as 0.
    """
    hits = confusions.diagonal(axis1=1, axis2=2)
    support, predicted = confusions.sum(axis=2), confusions.sum(axis=1)
    classes, rows = (support + predicted > 0).sum(axis=1), support.sum(axis=1)
    f1 = 2 * hits / (support + predicted).clip(min=1)
    return {
        "accuracy": hits.sum(axis=1) / rows,
        "f1_macro": f1.sum(axis=1) / classes,
        "f1_weighted": (f1 * support).sum(axis=1) / rows,
        "precision_macro": (hits / predicted.clip(min=1)).sum(axis=1) / classes,
        "recall_macro": (hits / support.clip(min=1)).sum(axis=1) / classes,
    }


def _slices(inputs: dict[str, "Array"], age_bands: tuple[float, ...]) -> Iterator[tuple[str, "Array"]]:
    """A label and the rows of it; a text column with very many values is no category and gives no slices."""
    for name, column in inputs.items():
        if column.dtype == object:
            values = sorted({value for value in column.tolist() if value is not None})
            yield from ((f"{name} = {value}", column == value) for value in values if len(values) <= MOST_VALUES)
        elif name == AGE:
            for low, high in pairwise(age_bands):
                inside = (column >= low) & ((column < high) | ((high == age_bands[-1]) & (column <= high)))
                yield f"{AGE} = {low:g}\N{EN DASH}{high:g}", inside


def _accuracy_interval(gained: int, lost: int, *, n: int, tail: float) -> tuple[float, float]:
    """The percentile interval of (gained - lost) / n that infinitely many draws of the n rows would give.

    The sum of n independent steps of +1, -1 and 0 has the n-th convolution power as its distribution; far out, where
    Bonferroni puts the limits, a thousand draws would say nothing.
    """
    import numpy as np

    if gained == lost == 0:
        return 0.0, 0.0
    step = np.zeros(2 * n + 1)
    step[[0, 1, -1]] = (n - gained - lost) / n, gained / n, lost / n  # position -1 stands for the step -1
    power = np.fft.irfft(np.fft.rfft(step) ** n, len(step))
    cumulated = np.cumsum(np.roll(power, n))  # position i stands for the sum i - n
    low, high = (int(np.searchsorted(cumulated, share)) - n for share in (tail, 1 - tail))
    return low / n, high / n
