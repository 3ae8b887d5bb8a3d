"""Slices of evaluation rows: each value of a category, and bands of age."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

AGE = "Age"  # the column that is cut into bands
MOST_VALUES = 50  # a text column with more different values is no category and gives no slices


@dataclass(frozen=True)
class Slice:
    """Some of the rows, and what they have in common."""

    # The column by which the rows were chosen.
    column: str
    # The category, or the ages of a band from one edge to the next.
    value: str
    # A mask over all rows: which belong to the slice.
    inside: NDArray[np.bool_]

    @property
    def label(self) -> str:
        return f"{self.column} = {self.value}"


def age_bands(ages: NDArray[Any], edges: Sequence[float]) -> Iterator[Slice]:
    """One slice per pair of edges, in years; each band holds its lower edge, the last one its upper edge too."""
    for low, high in pairwise(edges):
        inside = (ages >= low) & ((ages < high) | ((high == edges[-1]) & (ages <= high)))
        yield Slice(AGE, f"{low:g}\N{EN DASH}{high:g}", inside)


def category_slices(name: str, column: NDArray[Any], categories: Sequence[str]) -> Iterator[Slice]:
    """One slice per category, in the given order; some may be empty."""
    return (Slice(name, category, np.asarray(column == category, dtype=bool)) for category in categories)


def slices(inputs: Mapping[str, NDArray[Any]], age_edges: Sequence[float]) -> Iterator[Slice]:
    """The slices of evaluation rows of which nothing but the columns is known: every category that occurs, and ages."""
    for name, column in inputs.items():
        if column.dtype == object:
            values = sorted({value for value in column.tolist() if value is not None})
            if len(values) <= MOST_VALUES:
                yield from category_slices(name, column, values)
        elif name == AGE:
            yield from age_bands(column, age_edges)
