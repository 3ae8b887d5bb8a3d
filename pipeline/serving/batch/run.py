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
from pipeline.serving.batch.chunks import Chunk, Position
from pipeline.serving.batch.read import RowsFile, without_name
from pipeline.serving.batch.resume import Counts
from pipeline.serving.batch.write import CsvWriter, Writer
from pipeline.serving.copies import label
from pipeline.serving.predictions import StrongestColumns, Target, table_header
from pipeline.serving.scorer import Scorer
from pipeline.serving.targets import input_schema
from pipeline.serving.worker.arrow import heard_pairs, joined, rows_of
from pipeline.serving.worker.client import Answering
from pipeline.validation.columns import Arrow, CheckedColumns, Input, cell_of, check_many
from pipeline.validation.rows import InvalidRows, absent_columns, check_columns
from pipeline.validation.schema import InputSchema

# Why, for many rows: the columns that add most to what is predicted for each.

MOST_AT_ONCE = 50  # rows


def strongest_columns(
    scorer: Scorer, target: Target, checked: CheckedColumns, *, most: int, worker: Answering | None = None
) -> StrongestColumns:
    """Of the usable ones of many rows, at least one. worker: who is asked instead of the scorer's own.

    Raises as Scorer.predict_columns does, and InvalidInput, Refused where the version cannot be explained.
    """
    count, pairs, parts = checked.values.num_rows, min(most, len(checked.schema.columns)), []
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


Report = Callable[[int, int, str], None]  # (percent done, 100, what was done)
EXPLAINED_ROWS = 100  # in one chunk, so that somebody sees it move and Ctrl-C does not wait long
AHEAD = 1  # chunks that are ready beside those that are being predicted


def silent(_done: int, _total: int, _text: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class ScoringOptions:
    """How rows are predicted. explain: how many contributions are added per row. most_rows: refuse a file with more.

    worker: who is asked instead of the scorer's own. parallel: requests at once.
    """

    chunk_rows: int
    explain: int = 0
    most_rows: int | None = None
    worker: Answering | None = None
    parallel: int = 1

    @property
    def rows_at_once(self) -> int:
        return min(self.chunk_rows, EXPLAINED_ROWS) if self.explain else self.chunk_rows


@dataclass(frozen=True)
class _Answer:
    """The columns that are added to the usable rows of a chunk, None where it has none; checked: which those are."""

    checked: CheckedColumns
    added: Arrow
    sum_error: float = 0.0
    unequal: bool = False


@dataclass
class Scoring:
    """One file. Raises InvalidInput where its columns do not fit, and as Scorer.predict_columns does."""

    scorer: Scorer
    target: Target
    table: RowsFile
    way: ScoringOptions
    tally: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        problems = check_columns(self.table.header, self.schema)
        if missing := [problem for problem in problems if problem.column in self.schema.names]:
            raise InvalidRows(missing)
        # Rows of a file have columns that are nobody's input, such as a number of the row or the truth.
        self.ignored = tuple(
            f"column {place} (no name)" if without_name(name) else name
            for place, name in enumerate(self.table.header, start=1)
            if name not in self.schema.names
        )
        self.absent = absent_columns(self.table.header, self.schema)
        if taken := [name for name in self.added if name in self.table.header]:
            raise InvalidInput(f"{taken[0]}: the file has a column of this name already, which the output needs")

    @property
    def schema(self) -> InputSchema:
        return input_schema(self.target)

    @property
    def added(self) -> list[str]:
        """The columns of the output that follow those of the input."""
        classes = self.target.classes if self.target.probabilities else ()
        reasons = [
            name
            for number in range(1, min(self.way.explain, len(self.schema.columns)) + 1)
            for name in (f"reason_{number}", f"reason_{number}_contribution")
        ]
        chances = [f"probability_{name}" for name in classes]
        return [*table_header(self.target.names), *chances, *reasons, "model_version", "model_digest"]

    def run(
        self,
        opened: Callable[[Arrow], Writer],
        refused: CsvWriter,
        *,
        mark: Callable[[Position, Counts], None],
        report: Report,
    ) -> None:
        """From where the table stands to its end. opened: the sink for columns with the added schema.

        mark: is told after each chunk that it was written.
        """
        pace = _Pace(self.tally.rows)
        sink: Writer | None = None
        with self._answers() as answers:
            for chunk, answer in answers:
                checked = answer.checked
                if answer.added is not None:
                    sink = sink or opened(answer.added.schema)
                    output = self._output(chunk, checked, answer.added, typed=sink.typed)
                    sink.write(output, _kept(chunk.lines, checked))
                self._refuse(chunk, checked, refused)
                self._count(chunk, answer)
                mark(chunk.after, self.tally)
                report(int(100 * self.table.share_read()), 100, pace.text(self.tally))

    @contextmanager
    def _answers(self) -> Iterator[Iterator[tuple[Chunk, _Answer]]]:
        threads = ThreadPoolExecutor(self.way.parallel)
        try:
            yield self._in_order(threads)
        finally:
            threads.shutdown(cancel_futures=True)

    def _in_order(self, threads: ThreadPoolExecutor) -> Iterator[tuple[Chunk, _Answer]]:
        """As they come in the file, however long each takes; only so many are in memory."""
        asked: deque[tuple[Chunk, Future[_Answer]]] = deque()
        for chunk in self.table.chunks(self.way.rows_at_once):
            self._check_count(len(chunk) + sum(len(each) for each, _ in asked))
            asked.append((chunk, threads.submit(self._ask, self._checked(chunk))))
            while len(asked) > self.way.parallel + AHEAD or (asked and asked[0][1].done()):
                first, answer = asked.popleft()
                yield first, answer.result()
        for chunk, answer in asked:
            yield chunk, answer.result()

    def _check_count(self, more: int) -> None:
        if self.way.most_rows is not None and self.tally.rows + more > self.way.most_rows:
            raise InvalidInput(f"the file: has more than {self.way.most_rows:,} rows")

    def _checked(self, chunk: Chunk) -> CheckedColumns:
        given = Input.of_table(chunk.cells, self.schema)
        return check_many(given, self.schema, from_text=self.table.from_text, numbers=chunk.numbers)

    def _ask(self, checked: CheckedColumns) -> _Answer:
        """In a thread of its own, which waits for a worker."""
        if not checked.values.num_rows:
            return _Answer(checked, None)
        found = self.scorer.predict_columns(self.target, checked, worker=self.way.worker)
        checked, count = found.checked, found.checked.values.num_rows
        if not count:
            return _Answer(checked, None)
        chances = list(found.answers.columns[1:]) if self.target.probabilities else []
        about = [pa.repeat(self.target.resolved.version, count), pa.repeat(self.target.digest, count)]
        reasons: list[Arrow] = []
        error, unequal = 0.0, False
        if self.way.explain:
            why = strongest_columns(self.scorer, self.target, checked, most=self.way.explain, worker=self.way.worker)
            reasons, error, unequal = list(why.answers.columns), why.sum_error, not why.adds_up
        columns = [*self._predicted(found.answers.column("prediction")), *chances, *reasons, *about]
        return _Answer(checked, pa.table(columns, names=self.added), error, unequal)

    def _predicted(self, column: Arrow) -> list[Arrow]:
        """One column, or those of a table. Raises Refused where they are not what the header says."""
        told = [field.name for field in column.type] if pa.types.is_struct(column.type) else []
        if told != list(self.target.names):
            known = f"has the columns {visible(', '.join(told))}" if told else "has one value per row"
            raise Refused(f"{self.target.label}: its answer {known}, which its input example does not show")
        return list(column.combine_chunks().flatten()) if told else [column]

    def _output(self, chunk: Chunk, checked: CheckedColumns, added: Arrow, *, typed: bool) -> Arrow:
        """The usable rows as they came, or in the types of their columns, and what was added."""
        kept = _kept(chunk.cells, checked)
        names = self.schema.names if typed and self.table.from_text else ()
        columns = [
            checked.values.column(names.index(name)) if name in names else kept.column(position)
            for position, name in enumerate(self.table.header)
        ]
        return pa.table([*columns, *added.columns], names=[*self.table.header, *self.added])

    def _refuse(self, chunk: Chunk, checked: CheckedColumns, refused: CsvWriter) -> None:
        rows: list[Sequence[Any]] = [
            [line.number, f"row {line.number}: {line.problem}", *line.cells[: len(self.table.header)]]
            for line in chunk.broken
        ]
        for position, problems in checked.problems.items():
            reason = "; ".join(each.sentence for each in problems)
            cells = [cell_of(column, position) for column in chunk.cells.columns]
            rows.append([int(chunk.numbers[position]), reason, *cells])
        rows.sort(key=lambda row: int(row[0]))
        if rows:
            refused.write_cells(rows)
            self.tally = replace(self.tally, first_problem=self.tally.first_problem or str(rows[0][1]))

    def _count(self, chunk: Chunk, answer: _Answer) -> None:
        before, checked = self.tally, answer.checked
        scored = checked.values.num_rows
        self.tally = replace(
            before,
            rows=before.rows + len(chunk),
            scored=before.scored + scored,
            bad=before.bad + len(chunk) - scored,
            odd=before.odd + int(checked.odd.sum()),
            sum_error=max(before.sum_error, answer.sum_error),
            unequal=before.unequal or answer.unequal,
        )


def _kept(rows: Arrow, checked: CheckedColumns) -> Arrow:
    """The usable ones."""
    return rows if rows is None or checked.usable.all() else rows.filter(pa.array(checked.usable))


@dataclass
class _Pace:
    """Rows per second since this run began."""

    before: int
    since: float = field(default_factory=time.monotonic)

    def text(self, tally: Counts) -> str:
        rate = (tally.rows - self.before) / max(1e-6, time.monotonic() - self.since)
        return f"{tally.rows:,} rows, {tally.bad:,} bad, {rate:,.0f} rows/s"
