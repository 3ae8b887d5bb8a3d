"""What two versions make of the same columns on the same rows: the difference of the importance, with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from pipeline.explanation.result import Explanation, Numbers


@dataclass(frozen=True)
class ImportanceDifference:
    """How much more a column moves the output of b than that of a; in the unit of the contributions."""

    column: str
    # The mean absolute contribution over rows and classes in each version.
    a: float
    b: float
    # The ends of the interval of b minus a: Student's over the rows, widened to hold together over the columns.
    low: float
    high: float
    # Rows that both explain.
    n: int

    @property
    def difference(self) -> float:
        return self.b - self.a


def sizes_of_documents(documents: Sequence[Mapping[str, Any]]) -> dict[str, Numbers]:
    """Per column, shape (rows,): the mean over the classes of |contribution|. documents: see result.to_json."""
    by_class = [list(document["contributions"].values()) for document in documents]
    columns = list(by_class[0][0])
    values = np.abs([[[effects[name] for name in columns] for effects in classes] for classes in by_class])
    return dict(zip(columns, values.mean(axis=1).T, strict=True))


def sizes_of(explanation: Explanation, positions: Sequence[int]) -> dict[str, Numbers]:
    """The same for some rows of a stored explanation, by their positions in it."""
    values = np.abs(explanation.values[list(positions)]).mean(axis=2)
    return dict(zip(explanation.columns, values.T, strict=True))


def importance_differences(
    a: Mapping[str, Numbers], b: Mapping[str, Numbers], confidence: float
) -> list[ImportanceDifference]:
    """Of the columns that both have, the largest difference first; empty for fewer than two rows.

    a, b: per column, shape (rows,), of the same rows, on one scale and by one method.
    """
    names = [name for name in a if name in b]
    if not names or len(a[names[0]]) < 2:  # noqa: PLR2004
        return []
    n, found = len(a[names[0]]), []
    quantile = float(-stdtrit(n - 1, (1 - confidence) / 2 / len(names)))
    for name in names:
        steps = b[name] - a[name]
        reach, middle = quantile * float(steps.std(ddof=1)) / n**0.5, float(steps.mean())
        means = float(a[name].mean()), float(b[name].mean())
        found.append(ImportanceDifference(name, *means, middle - reach, middle + reach, n))
    return sorted(found, key=lambda each: -abs(each.difference))
