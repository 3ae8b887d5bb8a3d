"""Makes the reference profile of a version from its evaluation rows: at registration, or later of one that has none."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison.metrics import positions, row_errors
from pipeline.comparison.rows import Rows, class_names, read_rows
from pipeline.governance.ports import Json, ModelReader, VersionRecord
from pipeline.governance.record.documents import EVALUATION_ROWS, parse_feature_schema
from pipeline.monitoring.profile import (
    BELOW,
    CONFIDENCE_TOLERANCE,
    DOCUMENT,
    INNER,
    MISSING,
    MOST_BINS,
    BinCounts,
    CategoryBins,
    ConfidenceCounts,
    NumberBins,
    Profile,
    is_countable,
    parse_profile,
)
from pipeline.validation.ranges import is_outside, training_range
from pipeline.validation.schema import ColumnSchema, InputSchema, schema_of

Array = NDArray[Any]
MOST_STEPS = 10  # of numbers and of confidence: deciles, as is common for comparing distributions
FEWEST_ROWS_OF_STEP = 20
FEWEST_ROWS_OF_CATEGORY = 5  # of text of which nobody lists the categories: rarer ones are "any other"


def find_profile(reader: ModelReader, record: VersionRecord) -> Profile:
    """The profile that came with a version, else one made from its evaluation rows.

    Raises NotFound where it has neither, InvalidInput where its rows cannot be read.
    """
    documents = reader.files(record).documents
    found = parse_profile(documents.get(DOCUMENT))
    if found is not None:
        return found
    name = f"version {record.row.version}"
    return profile_of(reader.read_file(record, EVALUATION_ROWS), documents.get("feature_schema"), name)


def profile_of(evaluation_rows: bytes, feature_schema: Json, name: str) -> Profile:
    """The profile of evaluation rows (Parquet, see comparison.rows); `name` begins the sentence of an error.

    feature_schema: the document of that name, for categories and the range of the training data; None: there is none.
    Raises InvalidInput.
    """
    rows = read_rows(evaluation_rows, name)
    schema = schema_of(parse_feature_schema(feature_schema), None) or InputSchema((), "feature schema")
    columns = {each: _column(values, schema.column(each)) for each, values in rows.inputs.items() if is_countable(each)}
    known = {each: counted for each, counted in columns.items() if counted is not None}
    return Profile(len(rows), known, _predictions(rows), _confidence(rows))


def _column(values: Array, column: ColumnSchema | None) -> BinCounts | None:
    """None for numbers of which every one is missing."""
    if values.dtype == object:
        return _counted_categories(values, _listed(values, column))
    return _counted_numbers(values, None if column is None else training_range(column))


def _counted_numbers(values: Array, ends: tuple[float, float] | None = None) -> BinCounts | None:
    known = values[np.isfinite(values)]
    if not len(known):
        return None
    if ends is None or ends[0] > ends[1]:  # a stranger may have written them
        ends = float(known.min()), float(known.max())
    low, high = ends
    cuts = tuple(cut for cut in _steps(known) if low < cut <= high)
    bins = NumberBins(low, high, cuts)
    return BinCounts(bins, _counts(number_bins(bins, values), len(bins)))


def _steps(known: Array) -> list[float]:
    """Where steps begin: at each value of a few, else at quantiles, so that all have about as many rows."""
    different = np.unique(known)
    if len(different) <= MOST_STEPS:
        return [float(value) for value in different[1:]]
    steps = min(MOST_STEPS, max(2, len(known) // FEWEST_ROWS_OF_STEP))
    shares = np.arange(1, steps) / steps
    # Values that occur, not means of two: as many digits as the data have.
    return [float(value) for value in np.unique(np.quantile(known, shares, method="inverted_cdf"))]


def number_bins(bins: NumberBins, values: Array) -> Array:
    """The bin of each number of a column, as `NumberBins.bin_of` of each gives it."""
    found: Array = INNER + np.searchsorted(np.array(bins.cuts), values, side="right")
    ends = bins.low, bins.high
    for position in np.flatnonzero(~((values >= bins.low) & (values <= bins.high))):
        value = float(values[position])
        if np.isnan(value):
            found[position] = MISSING
        elif is_outside(value, ends):
            found[position] = BELOW if value < bins.low else bins.above
    return found


def _listed(values: Array, column: ColumnSchema | None) -> list[str]:
    """The categories that get a bin each: those of the schema, else those that are no rarity; the most frequent."""
    names, counts = np.unique(values[values != None].astype(str), return_counts=True)  # noqa: E711 (of each value)
    found = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    if column is not None and column.categories:
        listed = list(column.categories)
    else:
        listed = [name for name, count in found.items() if count >= FEWEST_ROWS_OF_CATEGORY]
    if len(listed) <= MOST_BINS:
        return listed
    return sorted(listed, key=lambda name: (-found.get(name, 0), name))[:MOST_BINS]


def _counted_categories(values: Array, listed: list[str]) -> BinCounts:
    bins = CategoryBins(tuple(dict.fromkeys(listed)))
    return BinCounts(bins, _counts(np.array([bins.bin_of(value) for value in values.tolist()]), len(bins)))


def _predictions(rows: Rows) -> BinCounts:
    """Of the predicted classes, else of the predicted numbers. Raises InvalidInput as metrics do."""
    if row_errors(rows) is not None:
        counted = _counted_numbers(rows.predicted)
        assert counted is not None  # noqa: S101 (row_errors refuses what is not finite)
        return counted
    labels, (predicted,) = positions(rows.classes, rows.predicted)
    names = [str(label) for label in labels]
    listed = list(dict.fromkeys([*rows.classes, *names]))[:MOST_BINS]
    return _counted_categories(np.array(names, dtype=object)[predicted], listed)


def _confidence(rows: Rows) -> ConfidenceCounts | None:
    """None where there are no probabilities, or some that are none."""
    probabilities = rows.probabilities
    if not rows.classes or not ((probabilities >= 0) & (probabilities <= 1)).all():
        return None
    highest = probabilities.max(axis=1)
    right = class_names(rows.actual, rows.classes) == class_names(rows.predicted, rows.classes)
    steps = min(MOST_STEPS, max(1, len(rows) // FEWEST_ROWS_OF_STEP))
    quantiles = np.unique(np.quantile(highest, np.arange(1, steps) / steps, method="inverted_cdf"))
    # Steps that begin nearer to each other than answers may differ are one.
    cuts = quantiles[np.diff(quantiles, prepend=highest.min()) > 2 * CONFIDENCE_TOLERANCE]
    found, size = np.searchsorted(cuts, highest + CONFIDENCE_TOLERANCE, side="right"), len(cuts) + 1
    counts, hits = _counts(found, size), _counts(found[right], size)
    return ConfidenceCounts(tuple(map(float, cuts)), counts, hits)


def _counts(bins: Array, size: int) -> tuple[int, ...]:
    return tuple(np.bincount(bins.astype(np.intp), minlength=size).tolist())
