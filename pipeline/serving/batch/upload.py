"""A file of rows that came through the browser: its predictions, and what a page tells about them; a template of it."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.batch import Scored, result_of
from pipeline.serving.batch.chunks import Chunk
from pipeline.serving.batch.read import open_table, short, without_name
from pipeline.serving.batch.run import Report, Scoring, ScoringOptions, silent
from pipeline.serving.batch.write import CsvWriter
from pipeline.serving.predictions import Target
from pipeline.serving.scorer import Scorer
from pipeline.validation.columns import Arrow, CheckedColumns, Mask
from pipeline.validation.rows import Problem, Value, example_row
from pipeline.validation.schema import InputSchema
from pipeline.validation.values import digits

HEAD_ROWS = 20  # of the preview
MOST_OUTSIDE = 1_000  # values outside the training data that are named
MOST_COUNTED = 50  # different predictions that are counted one by one


@dataclass(frozen=True)
class UploadedRows:
    """The rows of an upload that were predicted."""

    # An Arrow table: the columns that are no input of the version, then the predictions and probabilities.
    table: Arrow
    # The columns that are no input, one of which may hold the truth.
    others: tuple[str, ...]
    # In which line of the file each row is; the header is line 1. Of Parquet the number of the row.
    lines: Mask
    # The first rows with all their columns, as an Arrow table.
    head: Arrow
    # Values outside the training data, at most MOST_OUTSIDE of them.
    outside: tuple[Problem, ...]
    # Whether each value of the file is text, as in CSV.
    from_text: bool
    # An Arrow table: the version's own columns, as they were checked.
    inputs: Arrow

    @property
    def prediction_counts(self) -> Mapping[str, int]:
        """How often each class was predicted, the most frequent first; empty of numbers, and of too many classes."""
        if "prediction" not in self.table.column_names or not pa.types.is_string(self.predictions.type):
            return {}
        found = pc.value_counts(self.predictions).to_pylist()
        if len(found) > MOST_COUNTED:
            return {}
        return {each["values"]: each["counts"] for each in sorted(found, key=lambda each: -each["counts"])}

    @property
    def numbers(self) -> Mapping[str, float]:
        """The smallest, the middle and the largest prediction; empty of anything but numbers."""
        names = self.table.column_names
        if "prediction" not in names or not (
            pa.types.is_floating(self.predictions.type) or pa.types.is_integer(self.predictions.type)
        ):
            return {}
        ends = pc.min_max(self.predictions).as_py()
        middle = float(np.median(self.predictions.to_numpy(zero_copy_only=False)))
        return {"Smallest": ends["min"], "Median": middle, "Largest": ends["max"]}

    @property
    def predictions(self) -> Arrow:
        """One prediction per row; raises KeyError where the version answers with a table."""
        return self.table.column("prediction").combine_chunks()


@dataclass(frozen=True)
class ScoredUpload:
    """A scored upload, both files as CSV."""

    result: Scored  # counts and notes
    output: bytes  # the rows with their predictions
    bad: bytes  # empty where every row was scored
    rows: UploadedRows | None = None  # None where no row was scored


@dataclass
class _Collector:
    """A writer that passes rows on to a CSV file and keeps what UploadedRows holds of them."""

    csv: CsvWriter
    scoring: Scoring
    typed: bool = False
    parts: list[Arrow] = field(default_factory=list)
    heads: list[Arrow] = field(default_factory=list)
    lines: list[Mask] = field(default_factory=list)
    outside: list[Problem] = field(default_factory=list)
    inputs: list[Arrow] = field(default_factory=list)

    def begin(self) -> None:
        self.csv.begin()

    @property
    def others(self) -> tuple[str, ...]:
        names = self.scoring.schema.names
        return tuple(name for name in self.scoring.table.header if name not in names and not without_name(name))

    def write(self, rows: Arrow, lines: Arrow = None) -> None:
        self.csv.write(rows, lines)
        header = self.scoring.table.header
        if (known := sum(each.num_rows for each in self.heads)) < HEAD_ROWS:
            names = [f"column {number}" if without_name(name) else name for number, name in enumerate(header, start=1)]
            head = rows.slice(0, HEAD_ROWS - known).select(range(rows.num_columns - 2))
            self.heads.append(head.rename_columns([*names, *self.scoring.added[:-2]]))
        others = [position for position, name in enumerate(header) if name in self.others]
        added = range(len(header), rows.num_columns - 2)  # without version and digest, the same in every row
        self.parts.append(rows.select([*others, *added]))

    def watch(self, chunk: Chunk, checked: CheckedColumns) -> None:
        """Records the lines and inputs of written rows, and which values lie outside the training data."""
        self.inputs.append(pa.Table.from_batches([checked.values]))
        self.lines.append(np.asarray(chunk.numbers)[checked.usable])
        for position in np.flatnonzero(checked.out_of_range):
            if len(self.outside) >= MOST_OUTSIDE:
                return
            self.outside += checked.warnings(int(position))

    def uploaded(self) -> UploadedRows | None:
        if not self.parts:
            return None
        table, head, inputs = (
            pa.concat_tables(each, promote_options="permissive") for each in (self.parts, self.heads, self.inputs)
        )
        return UploadedRows(
            table,
            self.others,
            np.concatenate(self.lines),
            head,
            outside=tuple(self.outside[:MOST_OUTSIDE]),
            from_text=self.scoring.table.from_text,
            inputs=inputs,
        )


def score_upload(
    scorer: Scorer,
    reference: str | Target,
    content: bytes,
    *,
    name: str,
    most_bytes: int,
    most_rows: int,
    chunk_rows: int,
    report: Report = silent,
) -> ScoredUpload:
    """The predictions for a file; the answer is CSV. Raises as Batch.score does, but not for bad rows."""
    if len(content) > most_bytes:
        raise InvalidInput(f"{short(name)}: is larger than {most_bytes / 2**20:g} MB")
    output, bad = io.BytesIO(), io.BytesIO()
    table = open_table(io.BytesIO(content), name=name, size=len(content), most_unpacked=most_bytes)
    scoring = Scoring(scorer, scorer.targets.usable(reference), table, ScoringOptions(chunk_rows, most_rows=most_rows))
    as_they_stand = len(table.header) if table.separator == "," else 0
    rows = CsvWriter(output, [*table.header, *scoring.added], input_columns=as_they_stand)
    collector = _Collector(rows, scoring)
    refused = CsvWriter(bad, ["line", "reason", *table.header])
    for writer in (rows, refused):
        writer.begin()
    scoring.run(lambda _: collector, refused, checkpoint=lambda *_: None, report=report, watch=collector.watch)
    found = result_of(scoring)
    return ScoredUpload(found, output.getvalue(), bad.getvalue() if found.bad else b"", collector.uploaded())


def template(schema: InputSchema, example: Mapping[str, Sequence[object]] | None) -> bytes:
    """A CSV file to fill in: the header and one row, from the defaults, else from the input example of the version.

    A column of which nothing is known has an empty cell.
    """
    columns = [column for column in schema.columns if not column.refusal]
    whole = example_row(schema, example)
    values: Mapping[str, Value] = whole.values if whole else {column.name: column.default for column in columns}
    found = io.BytesIO()
    writer = CsvWriter(found, [column.name for column in columns])
    writer.begin()
    writer.write_values([[_written(values.get(column.name)) for column in columns]])
    return found.getvalue()


def _written(value: Value) -> str:
    if value is None:
        return ""
    return digits(value) if isinstance(value, float) else str(value)
