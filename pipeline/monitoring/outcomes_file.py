"""A file of outcomes: the columns `prediction_id` and `actual`, in the formats that `score` reads."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.chunks import RowsFile
from pipeline.serving.batch.read import open_table
from pipeline.validation.columns import value_at

COLUMNS = ("prediction_id", "actual")
ROWS_AT_ONCE = 10_000


def read_outcomes(path: Path) -> Iterator[tuple[object, object]]:
    """Each row's prediction_id and actual value, of which nothing was checked yet.

    Raises InvalidInput for a file that cannot be read, and where it lacks one of the two columns.
    """
    try:
        with path.open("rb") as stream:
            yield from _pairs(open_table(stream, name=path.name, size=path.stat().st_size))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read ({error.strerror})") from error


def _pairs(table: RowsFile) -> Iterator[tuple[object, object]]:
    for name in COLUMNS:
        if table.header.count(name) != 1:
            raise InvalidInput(f"the file: needs one column {name!r}; it has {', '.join(table.header[:20])}")
    positions = [table.header.index(name) for name in COLUMNS]
    for chunk in table.chunks(ROWS_AT_ONCE):
        if chunk.broken:
            raise InvalidInput(f"the file: row {chunk.broken[0].number}: {chunk.broken[0].problem}")
        names, actual = (chunk.rows.column(position) for position in positions)
        for row in range(len(names)):
            yield value_at(names, row), value_at(actual, row)
