"""Rows on both sides of a model's own split thresholds: where two ways to compute the same value part, if they do.

A row whose prepared value lies next to a threshold falls into another leaf when the last bit of the preparation
differs. Stored rows hardly ever lie there, so such rows are looked for: the raw number is bisected, by the original
preparation, until two neighbouring doubles fall to the two sides.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.serving.compiled.convert import BOOSTING, FORESTS

MOST_THRESHOLDS = 400  # evenly among all of a model's, in the order of column and value
MOST_SPLITS = 200_000  # that are looked at
STEPS = 80  # halvings from a column's range to neighbouring doubles take about 60

Prepare = Callable[[pd.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Splits:
    """Some splits of a model: a prepared value of this column goes left where it is at most the threshold."""

    columns: np.ndarray  # of the prepared rows, (n,)
    thresholds: np.ndarray  # (n,)
    kind: type[np.floating[Any]]  # in which the model compares

    def left(self, prepared: np.ndarray) -> np.ndarray:
        """Which rows (n, columns) go left at the split of the same position."""
        values = prepared[np.arange(len(self.columns)), self.columns]
        with np.errstate(over="ignore"):
            return np.asarray(values.astype(self.kind) <= self.thresholds)

    def take(self, positions: np.ndarray) -> "Splits":
        return Splits(self.columns[positions], self.thresholds[positions], self.kind)


def splits_of(estimator: Any) -> Splits:  # noqa: ANN401 (scikit-learn's)
    """At most MOST_THRESHOLDS different splits; none of a model without trees."""
    columns, thresholds = _all_splits(estimator)
    pairs = np.unique(np.column_stack([columns, thresholds])[:MOST_SPLITS], axis=0)
    some = pairs[np.unique(np.linspace(0, len(pairs) - 1, MOST_THRESHOLDS).astype(int))] if len(pairs) else pairs
    kind = np.float32 if type(estimator) in FORESTS else np.float64
    return Splits(some[:, 0].astype(int), some[:, 1], kind)


def _all_splits(estimator: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401
    """Column and threshold of every split by a number."""
    found: list[tuple[np.ndarray, np.ndarray]] = [(np.empty(0), np.empty(0))]
    if type(estimator) in FORESTS:
        for tree in (each.tree_ for each in estimator.estimators_):
            inner = tree.children_left != -1
            found.append((tree.feature[inner], tree.threshold[inner]))
    elif type(estimator) in BOOSTING:
        for nodes in (tree.nodes for stage in estimator._predictors for tree in stage):  # noqa: SLF001 (nowhere public)
            inner = (nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)
            found.append((nodes["feature_idx"][inner], nodes["num_threshold"][inner]))
    columns, thresholds = (np.concatenate(each) for each in zip(*found, strict=True))
    finite = np.isfinite(thresholds)
    return columns[finite], thresholds[finite]


def rows_at(splits: Splits, rows: pd.DataFrame, prepare: Prepare) -> pd.DataFrame:
    """Pairs of rows that differ in one number by one step of a double and fall to different sides of a split.

    The first half of the rows holds one of each pair, the second half the other. rows: complete ones, in the columns
    that the model is given; each pair begins with one of them. prepare: gives the prepared rows, shape (n, prepared
    columns). Splits that no number of these rows crosses are left out.
    """
    columns = [name for name in rows.columns if pd.api.types.is_numeric_dtype(rows[name])]
    if not len(splits.columns) or not columns:
        return rows.iloc[:0]
    base = rows.iloc[np.arange(len(splits.columns)) % len(rows)].reset_index(drop=True)
    ends = {name: [np.full(len(base), float(end)) for end in (rows[name].min(), rows[name].max())] for name in columns}
    left = {name: [splits.left(prepare(_with(base, {name: end}))) for end in ends[name]] for name in columns}
    crossing = {name: np.flatnonzero(left[name][0] != left[name][1]) for name in columns}
    positions = np.concatenate(list(crossing.values()))
    search = _Bisection(
        splits.take(positions),
        base.iloc[positions].reset_index(drop=True),
        np.repeat(np.array(columns, dtype=object), [len(each) for each in crossing.values()]),
        prepare,
    )
    low, high = (np.concatenate([ends[name][side][crossing[name]] for name in columns]) for side in (0, 1))
    return search.pairs(low, high)


@dataclass(frozen=True)
class _Bisection:
    """Splits, each with a row and the column of it in which the split is looked for."""

    splits: Splits
    rows: pd.DataFrame
    columns: np.ndarray  # names, one per row
    prepare: Prepare

    def pairs(self, low: np.ndarray, high: np.ndarray) -> pd.DataFrame:
        """The rows with the two neighbouring values around each split, found by halving from low to high."""
        if not len(low):
            return self.rows
        left = self._left(low)
        for _ in range(STEPS):
            middle = low + (high - low) / 2
            if ((middle == low) | (middle == high)).all():
                break
            same = self._left(middle) == left
            low, high = np.where(same, middle, low), np.where(same, high, middle)
        return pd.concat([self._rows_with(low), self._rows_with(high)], ignore_index=True)

    def _left(self, values: np.ndarray) -> np.ndarray:
        return self.splits.left(self.prepare(self._rows_with(values)))

    def _rows_with(self, values: np.ndarray) -> pd.DataFrame:
        """The rows with other values, each in its own column."""
        own = {name: self.columns == name for name in dict.fromkeys(self.columns)}
        return _with(self.rows, {name: np.where(mask, values, self.rows[name]) for name, mask in own.items()})


def _with(rows: pd.DataFrame, values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The rows with other values in some columns; a column of whole numbers gets the nearest ones below."""
    whole = {
        name: np.floor(each) if pd.api.types.is_integer_dtype(rows[name]) else each for name, each in values.items()
    }
    return rows.assign(**whole).astype({name: rows[name].dtype for name in whole})
