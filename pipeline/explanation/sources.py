"""Which original column each encoded column is computed from, found by moving one column at a time."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline

from pipeline.explanation.model_output import Preparation
from pipeline.explanation.result import Numbers

MOST_ROWS_AT_ONCE = 5_000
STEPS = (1, -1)
Chosen = Any  # see _chosen_names


def column_sources(transform: Callable[[pd.DataFrame], Numbers], probe: pd.DataFrame) -> Numbers:
    """Matrix of 0 and 1, shape (encoded columns, original columns): 1 where the first is computed from the second.

    Column names are not looked at: `a_b` may be value b of column `a`, or a column. Each column is moved by one row, in
    both directions, so that of a product of two columns each factor meets the same combinations and both show. What
    `probe` does not make visible has no source: the caller's sum check finds that.
    """
    encoded = transform(probe)
    sources = np.zeros((encoded.shape[1], probe.shape[1]))
    moves = [(column, step) for column in range(probe.shape[1]) for step in STEPS]
    at_once = max(1, MOST_ROWS_AT_ONCE // len(probe))
    for start in range(0, len(moves), at_once):
        some = moves[start : start + at_once]
        moved = transform(_moved(probe, some)).reshape(len(some), *encoded.shape)
        changed = ((moved != encoded) & ~(np.isnan(moved) & np.isnan(encoded))).any(axis=1)
        for (column, _), which in zip(some, changed, strict=True):
            sources[which, column] = 1
    return sources


def _moved(probe: pd.DataFrame, moves: Sequence[tuple[int, int]]) -> pd.DataFrame:
    """The probe once per move, each copy below the other, so that the transformer is called once."""
    here = np.arange(len(probe))
    blocks = {
        column: np.concatenate([np.roll(here, step) if moved == column else here for moved, step in moves])
        for column in range(probe.shape[1])
    }
    return pd.DataFrame({name: probe[name].array.take(blocks[column]) for column, name in enumerate(probe.columns)})


def probe_rows(preparation: Preparation, background: pd.DataFrame) -> pd.DataFrame:
    """Rows to probe with: the background, and below it rows with every category that an encoder knows.

    A background of some 50 rows lacks rare categories, yet also their absence has an effect.
    """
    known = dict(_known_categories(preparation, background.columns))
    further = {name: _further_values(column, known.get(name, [])) for name, column in background.items()}
    count = max(len(values) for values in further.values())
    return pd.DataFrame(
        {
            name: pd.concat([column, further[name].take(np.arange(count) % len(further[name]))], ignore_index=True)
            for name, column in background.items()
        }
    )


def _further_values(column: pd.Series, categories: Sequence[Any]) -> pd.Series:
    present = column.dropna().drop_duplicates()
    if not pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        values = [*present, *(each for each in categories if isinstance(each, str))]
        return pd.Series(values or [None], dtype="object").astype(column.dtype)
    numbers = pd.to_numeric(pd.Series([*categories], dtype="object"), errors="coerce").dropna()
    # No value beyond those of the background where they suffice: an encoder may refuse it.
    ends = [float(present.min()), float(present.max())] if len(present) else [0.0]
    beyond = [ends[-1] + 1] if len(present) < 2 and numbers.empty else []  # noqa: PLR2004
    return pd.Series([*ends, *beyond, *numbers], dtype="float64")


def _known_categories(step: Preparation, columns: pd.Index) -> Iterator[tuple[Any, list[Any]]]:
    """The fitted `categories_` of encoders in pipelines and column transformers, by column.

    Values to probe with, no more: one that is assigned to a wrong column is only an unknown category there.
    """
    if isinstance(step, Pipeline):
        for _, part in step.steps:
            yield from _known_categories(part, columns)
    elif isinstance(step, ColumnTransformer):
        for _, part, chosen in step.transformers_:
            yield from _known_categories(part, _chosen_names(chosen, columns))
    elif len(categories := getattr(step, "categories_", [])) == len(columns):
        yield from ((name, list(values)) for name, values in zip(columns, categories, strict=True))


def _chosen_names(chosen: Chosen, columns: pd.Index) -> pd.Index:
    """The names of the columns given to a part of a ColumnTransformer: as name, names, positions, mask or slice."""
    if isinstance(chosen, slice):
        by_name = isinstance(chosen.start or chosen.stop, str)
        return columns[columns.slice_indexer(chosen.start, chosen.stop) if by_name else chosen]
    names = np.atleast_1d(np.asarray(chosen))
    if not names.size:
        return columns[:0]
    return columns[names] if names.dtype.kind in "bi" else pd.Index(names)
