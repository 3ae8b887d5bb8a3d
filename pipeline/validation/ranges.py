"""What a column accepts: the range of its numbers, the length of its text, and the range of the training data.

Defined here once, for one value (values), for many rows at once (columns), for the OpenAPI document of the version that
serves, and for the rows that training reads. A value outside of what is accepted is refused; one that is only outside
of the training data gets a warning. Standard library only.
"""

import math
import sys

from pipeline.validation.schema import ColumnSchema

EXACT = 2**53  # up to here a double holds every whole number
WHOLE = {"int64": 2**63, "int32": 2**31, "int16": 2**15, "int8": 2**7}  # one above the largest
LARGEST = {"float32": 3.4028235e38}  # what rounds to a finite number there
MOST_TEXT = 4_000  # characters
CLOSE = 1e-9  # relative: a number as near as this to an end of the training data does not lie outside


def whole_range(column: ColumnSchema) -> tuple[int, int]:
    """The smallest and the largest whole number that the column's type holds."""
    most = WHOLE.get(column.dtype, 2**63)
    return -most, most - 1


def largest_number(column: ColumnSchema) -> float:
    """The largest finite number that the column's type holds, where it is none of whole numbers."""
    return LARGEST.get(column.dtype, sys.float_info.max)


def accepted_range(column: ColumnSchema) -> tuple[float, float]:
    """The smallest and the largest number that a column of the kind "number" or "integer" accepts.

    A whole number that may be missing travels as a double: beyond what doubles tell apart, few are accepted.
    """
    lowest: float
    highest: float
    if column.kind == "integer":
        lowest, highest = whole_range(column)
        if not column.required:
            lowest, highest = max(lowest, -EXACT), min(highest, EXACT)
    else:
        lowest, highest = -largest_number(column), largest_number(column)
    if column.minimum is not None:
        lowest = max(lowest, column.minimum)
    if column.maximum is not None:
        highest = min(highest, column.maximum)
    return lowest, highest


def accepted_lengths(column: ColumnSchema) -> tuple[int, int]:
    """The fewest and the most characters of a text; an empty one is a missing value."""
    return int(column.required), MOST_TEXT


def training_range(column: ColumnSchema) -> tuple[float, float] | None:
    """The smallest and the largest number that the training rows held; None where the version does not say."""
    if column.lowest is None or column.highest is None:
        return None
    return column.lowest, column.highest


def is_outside(value: float, ends: tuple[float, float]) -> bool:
    """Whether a number lies outside of a range of the training data, and not as good as on one of its ends."""
    lowest, highest = ends
    return not lowest <= value <= highest and not any(math.isclose(value, end, rel_tol=CLOSE) for end in ends)
