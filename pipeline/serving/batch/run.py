"""One file of rows on its way through a version: read, checked, predicted by all workers at once, written in order."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.explanation.wording import ROUNDING
from pipeline.governance.errors import InvalidInput, Refused
from pipeline.governance.text import visible
from pipeline.serving.batch.chunks import Chunk, Position, RowsFile
from pipeline.serving.batch.read import without_name
from pipeline.serving.batch.resume import Counts
from pipeline.serving.batch.write import CsvWriter, Writer
from pipeline.serving.copies import label
from pipeline.serving.predictions import PredictedColumns, StrongestColumns, Target, table_header
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.serving.worker.arrow import decode_contributions, joined, rows_of
from pipeline.serving.worker.client import Answering
from pipeline.validation.columns import Arrow, CheckedColumns, Input, check_many, value_at
from pipeline.validation.rows import MOST_NAME, InvalidRows, Problem, absent_columns, check_columns
from pipeline.validation.schema import InputSchema

# Why, for many rows: the columns that add most to what is predicted for each.

MOST_AT_ONCE = 50  # rows


def strongest_columns(
    scorer: Scorer, target: Target, checked: CheckedColumns, *, most: int, worker: Answering | None = None
) -> StrongestColumns:
    """The largest contributions for the usable ones of many rows. worker: asked instead of the scorer's own.

    Raises as Scorer.predict_columns does, and InvalidInput, Refused where the version cannot be explained.
    """
    count, ranks, parts = checked.values.num_rows, min(most, len(checked.schema.columns)), []
    for first in range(0, count, MOST_AT_ONCE):
        part = replace(checked, values=checked.values.slice(first, MOST_AT_ONCE))
        answer = scorer.ask(target, "strongest", worker=worker, most=most, **rows_of(part))
        table = decode_contributions(answer, rows=part.values.num_rows, ranks=ranks, about=label(target.record))
        parts.append((_reasons(table, ranks), float(answer["sum_error"]), answer["adds_up"] is True))
    tables, errors, sound = zip(*parts, strict=True)
    return StrongestColumns(joined(tables), max(errors), all(sound))


def _reasons(table: Arrow, ranks: int) -> Arrow:
    """The table, with null for contributions that are nothing or no more than rounding beside the largest."""
    sizes = [np.abs(table.column(f"{rank} adds").to_numpy()) for rank in range(ranks)]
    for rank, size in enumerate(sizes):
        noticed = pa.array(size > ROUNDING * sizes[0])
        for name in (f"{rank}", f"{rank} adds"):
            index = table.schema.get_field_index(name)
            table = table.set_column(index, name, pc.if_else(noticed, table.column(name), None))
    return table


Report = Callable[[int, int, str], None]  # (percent done, 100, what was done)
EXPLAINED_ROWS = 100  # in one chunk, so that somebody sees it move and Ctrl-C does not wait long
MANY_MISSING = 4  # columns, which are told in one sentence
AHEAD = 1  # chunks that are ready beside those that are being predicted


def unwatched(_chunk: Chunk, _checked: CheckedColumns) -> None:
    """Drops the rows: nobody watches."""


def silent(_done: int, _total: int, _text: str) -> None:
    """Drops the progress: nobody watches."""


@dataclass(frozen=True)
class ScoringOptions:
    """How the rows of a file are predicted."""

    chunk_rows: int  # rows that are asked about in one request, at most
    explain: int = 0  # how many of the largest contributions are added to each row
    most_rows: int | None = None  # a file with more is refused
    worker: Answering | None = None  # asked instead of the scorer's own workers
    # Is told what was predicted, by several threads, and gives an id for each row, which the output has too.
    tell: Callable[[PredictedColumns], Sequence[str]] | None = None
    parallel: int = 1  # requests at once

    @property
    def rows_at_once(self) -> int:
        return min(self.chunk_rows, EXPLAINED_ROWS) if self.explain else self.chunk_rows


@dataclass(frozen=True)
class _Answer:
    """The answer to one request about a chunk."""

    checked: CheckedColumns  # the verdict on the rows of the chunk
    added: Arrow  # a table of the columns added to usable rows, None where there are none
    sum_error: float = 0.0  # see resume.Counts
    unequal: bool = False  # see resume.Counts


@dataclass
class Scoring:
    """One file. Raises InvalidInput where its columns do not fit, and as Scorer.predict_columns does."""

    scorer: Scorer
    target: Target  # the version that predicts
    table: RowsFile  # the file of rows, open
    options: ScoringOptions  # how rows are predicted
    counts: Counts = field(default_factory=Counts)  # over the rows so far

    def __post_init__(self) -> None:
        problems = check_columns(self.table.header, self.schema)
        if missing := [problem for problem in problems if problem.column in self.schema.names]:
            raise self._lacking(missing)
        # Rows of a file have columns that are nobody's input, such as a number of the row or the truth.
        self.ignored = tuple(
            f"column {number} (no name)" if without_name(name) else name
            for number, name in enumerate(self.table.header, start=1)
            if name not in self.schema.names
        )
        self.absent = absent_columns(self.table.header, self.schema)
        if taken := [name for name in self.added if name in self.table.header]:
            raise InvalidInput(f"{taken[0]}: the file has a column of this name already, which the output needs")

    def _lacking(self, missing: Sequence[Problem]) -> InvalidInput:
        """A sentence per missing column; one sentence where the file is another one altogether."""
        if len(missing) < MANY_MISSING:
            return InvalidRows(missing)
        names = ", ".join(visible(problem.column, most=MOST_NAME) for problem in missing)
        return InvalidInput(f"the file: {len(missing)} of {len(self.schema.columns)} columns are missing: {names}")

    @property
    def schema(self) -> InputSchema:
        return input_schema(self.target)

    @property
    def added(self) -> list[str]:
        """The names of the output's columns that follow those of the input."""
        classes = self.target.classes if self.target.probabilities else ()
        reasons = [
            name
            for number in range(1, min(self.options.explain, len(self.schema.columns)) + 1)
            for name in (f"reason_{number}", f"reason_{number}_contribution")
        ]
        probabilities = [f"probability_{name}" for name in classes]
        ids = ["prediction_id"] if self.options.tell else []
        return [*table_header(self.target.names), *probabilities, *reasons, *ids, "model_version", "model_digest"]

    def run(
        self,
        open_writer: Callable[[Arrow], Writer],
        refused: CsvWriter,
        *,
        checkpoint: Callable[[Position, Counts], None],
        report: Report,
        watch: Callable[[Chunk, CheckedColumns], None] = unwatched,
    ) -> None:
        """Scores from the table's position to its end.

        open_writer: gives the writer of the output, from the Arrow schema of the columns that are added. refused: takes
        the rows that cannot be used. checkpoint: is called after each chunk that was written. watch: is told each
        chunk and the verdict on its rows.
        """
        pace = _Pace(self.counts.rows)
        writer: Writer | None = None
        with self._answers() as answers:
            for chunk, answer in answers:
                checked = answer.checked
                if answer.added is not None:
                    writer = writer or open_writer(answer.added.schema)
                    output = self._output(chunk, checked, answer.added, typed=writer.typed)
                    writer.write(output, _usable(chunk.lines, checked))
                self._refuse(chunk, checked, refused)
                self._count(chunk, answer)
                watch(chunk, checked)
                checkpoint(chunk.after, self.counts)
                report(int(100 * self.table.share_read()), 100, pace.text(self.counts))

    @contextmanager
    def _answers(self) -> Iterator[Iterator[tuple[Chunk, _Answer]]]:
        threads = ThreadPoolExecutor(self.options.parallel)
        try:
            yield self._in_order(threads)
        finally:
            threads.shutdown(cancel_futures=True)

    def _in_order(self, threads: ThreadPoolExecutor) -> Iterator[tuple[Chunk, _Answer]]:
        """The answers in the order of the file, however long each takes; few chunks are in memory at a time."""
        asked: deque[tuple[Chunk, Future[_Answer]]] = deque()
        for chunk in self.table.chunks(self.options.rows_at_once):
            most, rows = self.options.most_rows, self.counts.rows + len(chunk) + sum(len(each) for each, _ in asked)
            if most is not None and rows > most:
                raise InvalidInput(f"the file: has more than {most:,} rows")
            given = Input.of_table(chunk.rows, self.schema)
            checked = check_many(given, self.schema, from_text=self.table.from_text, numbers=chunk.numbers)
            asked.append((chunk, threads.submit(self._ask, checked)))
            while len(asked) > self.options.parallel + AHEAD or (asked and asked[0][1].done()):
                first, answer = asked.popleft()
                yield first, answer.result()
        for chunk, answer in asked:
            yield chunk, answer.result()

    def _ask(self, checked: CheckedColumns) -> _Answer:
        """Predicts one chunk, in a thread of its own that waits for a worker."""
        if not checked.values.num_rows:
            return _Answer(checked, None)
        found = self.scorer.predict_columns(self.target, checked, worker=self.options.worker)
        checked, count = found.checked, found.checked.values.num_rows
        if not count:
            return _Answer(checked, None)
        probabilities = list(found.answers.columns[1:]) if self.target.probabilities else []
        about = [pa.repeat(self.target.resolved.version, count), pa.repeat(self.target.digest, count)]
        if self.options.tell:
            about = [pa.array(self.options.tell(found), pa.string()), *about]
        reasons: list[Arrow] = []
        error, unequal = 0.0, False
        if self.options.explain:
            why = strongest_columns(
                self.scorer, self.target, checked, most=self.options.explain, worker=self.options.worker
            )
            reasons, error, unequal = list(why.answers.columns), why.sum_error, not why.adds_up
        columns = [*self._predicted(found.answers.column("prediction")), *probabilities, *reasons, *about]
        return _Answer(checked, pa.table(columns, names=self.added), error, unequal)

    def _predicted(self, column: Arrow) -> list[Arrow]:
        """The columns of the prediction: one, or a table's. Raises Refused where they are not those of the header."""
        names = [field.name for field in column.type] if pa.types.is_struct(column.type) else []
        if names != list(self.target.names):
            known = f"has the columns {visible(', '.join(names))}" if names else "has one value per row"
            raise Refused(f"{self.target.label}: its answer {known}, which its input example does not show")
        return list(column.combine_chunks().flatten()) if names else [column]

    def _output(self, chunk: Chunk, checked: CheckedColumns, added: Arrow, *, typed: bool) -> Arrow:
        """The usable rows as they came, or in the types of their columns, with the added columns."""
        usable = _usable(chunk.rows, checked)
        names = self.schema.names if typed and self.table.from_text else ()
        columns = [
            checked.values.column(names.index(name)) if name in names else usable.column(position)
            for position, name in enumerate(self.table.header)
        ]
        return pa.table([*columns, *added.columns], names=[*self.table.header, *self.added])

    def _refuse(self, chunk: Chunk, checked: CheckedColumns, refused: CsvWriter) -> None:
        rows: list[Sequence[Any]] = [
            [line.number, f"row {line.number}: {line.problem}", *line.values[: len(self.table.header)]]
            for line in chunk.broken
        ]
        for position, problems in checked.problems.items():
            reason = "; ".join(each.sentence for each in problems)
            values = [value_at(column, position) for column in chunk.rows.columns]
            rows.append([int(chunk.numbers[position]), reason, *values])
        rows.sort(key=lambda row: int(row[0]))
        if rows:
            refused.write_values(rows)
            self.counts = replace(self.counts, first_problem=self.counts.first_problem or str(rows[0][1]))

    def _count(self, chunk: Chunk, answer: _Answer) -> None:
        before, checked = self.counts, answer.checked
        scored = checked.values.num_rows
        self.counts = replace(
            before,
            rows=before.rows + len(chunk),
            scored=before.scored + scored,
            bad=before.bad + len(chunk) - scored,
            out_of_range=before.out_of_range + int(checked.out_of_range.sum()),
            sum_error=max(before.sum_error, answer.sum_error),
            unequal=before.unequal or answer.unequal,
        )


def _usable(rows: Arrow, checked: CheckedColumns) -> Arrow:
    """The usable rows of a chunk."""
    return rows if rows is None or checked.usable.all() else rows.filter(pa.array(checked.usable))


@dataclass
class _Pace:
    """Rows per second since this run began."""

    before: int  # rows of the run that was resumed
    since: float = field(default_factory=time.monotonic)  # seconds, by time.monotonic

    def text(self, counts: Counts) -> str:
        rate = (counts.rows - self.before) / max(1e-6, time.monotonic() - self.since)
        return f"{counts.rows:,} rows, {counts.bad:,} bad, {rate:,.0f} rows/s"
