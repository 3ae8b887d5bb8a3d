"""Rows as small whole numbers, so that values of several rows can be mixed without touching their types."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Codes = NDArray[np.int32]


@dataclass(frozen=True)
class CodedRows:
    """codes: (n, columns), the position of each value in the levels of its column; a missing value is a value."""

    codes: Codes
    levels: tuple[Any, ...]
    columns: pd.Index

    def decode(self, codes: Codes) -> pd.DataFrame:
        """Rows with the values and types of the coded ones: whole numbers stay whole, missing stays missing."""
        pairs = zip(self.columns, self.levels, codes.T, strict=True)
        return pd.DataFrame({name: levels.take(column) for name, levels, column in pairs})


def coded(frames: Sequence[pd.DataFrame]) -> CodedRows:
    """The frames, of the same columns, one below the other."""
    together = pd.concat(frames, ignore_index=True)
    pairs = [pd.factorize(column, use_na_sentinel=False) for _, column in together.items()]
    codes = np.column_stack([codes for codes, _ in pairs]).astype(np.int32)
    return CodedRows(codes, tuple(levels for _, levels in pairs), together.columns)
