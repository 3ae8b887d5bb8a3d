"""Why, for many rows: the columns that add most to what is predicted for each."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.explanation.wording import ROUNDING
from pipeline.serving.predictions import StrongestColumns, Target
from pipeline.serving.scorer import Scorer
from pipeline.serving.worker.arrow import heard_pairs, joined, rows_of
from pipeline.serving.worker.client import Answering
from pipeline.serving.worker.copies import label
from pipeline.validation.column_checks import Arrow
from pipeline.validation.columns import CheckedColumns

MOST_AT_ONCE = 50  # rows


def strongest_columns(
    scorer: Scorer, target: Target, checked: CheckedColumns, *, most: int, worker: Answering | None = None
) -> StrongestColumns:
    """Of the usable ones of many rows, at least one. worker: who is asked instead of the scorer's own.

    Raises as Scorer.predict_columns does, and InvalidInput, Refused where the version cannot be explained.
    """
    count, pairs, parts = checked.values.num_rows, min(most, len(checked.layout.columns)), []
    for first in range(0, count, MOST_AT_ONCE):
        part = replace(checked, values=checked.values.slice(first, MOST_AT_ONCE))
        answer = scorer.ask(target, "strongest", worker=worker, most=most, **rows_of(part))
        table = heard_pairs(answer, rows=part.values.num_rows, pairs=pairs, about=label(target.record))
        parts.append((_reasons(table, pairs), float(answer["sum_error"]), answer["adds_up"] is True))
    tables, errors, sound = zip(*parts, strict=True)
    return StrongestColumns(joined(tables), max(errors), all(sound))


def _reasons(table: Arrow, pairs: int) -> Arrow:
    """Without what is no reason: an effect of nothing, or of rounding, beside the largest."""
    sizes = [np.abs(table.column(f"{rank} adds").to_numpy()) for rank in range(pairs)]
    for rank, size in enumerate(sizes):
        kept = pa.array(size > ROUNDING * sizes[0])
        for name in (f"{rank}", f"{rank} adds"):
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, pc.if_else(kept, table.column(name), None))
    return table
