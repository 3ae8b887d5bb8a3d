"""A file of rows in, the same rows with predictions out: the command `score`, and the upload of the dashboard.

Rows that cannot be used do not stop the others: they go to a second file with their line and the reason.
"""

import io
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from pipeline.governance.errors import InvalidInput
from pipeline.serving.layout import Layout
from pipeline.serving.predictions import Prediction, Target
from pipeline.serving.rows import CheckedRow, InvalidRows, check_columns, check_row
from pipeline.serving.scorer import Scorer, layout
from pipeline.serving.sinks import CsvSink, ParquetSink, Sink
from pipeline.serving.table_files import Line, Table, open_table

Report = Callable[[int, int, str], None]  # (percent done, 100, what was done)
BAD = ".bad.csv"
BUFFER_BYTES = 2**20


def _silent(_done: int, _total: int, _text: str) -> None:
    """Nobody watches."""


@dataclass(frozen=True)
class Scored:
    """How many rows were read, scored, refused (`bad`), and scored although a value is outside the training data.

    ignored: columns of the file that the version does not take. notes: about the version. first_problem: of a bad row.
    bad_file: where the refused rows were written, None where there are none or where nobody asked for a file.
    """

    model: str
    version: int
    digest: str
    rows: int
    scored: int
    bad: int
    odd: int
    ignored: tuple[str, ...]
    notes: tuple[str, ...]
    first_problem: str = ""
    bad_file: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "rows": self.rows,
            "scored": self.scored,
            "bad": self.bad,
            "outside_training": self.odd,
            "ignored": list(self.ignored),
            "warnings": list(self.notes),
        }


@dataclass(frozen=True)
class ScoredUpload:
    """Both files as CSV; `bad` is empty where every row was scored."""

    result: Scored
    output: bytes
    bad: bytes


def score_file(
    scorer: Scorer, reference: str, source: Path, target: Path, *, chunk_rows: int, report: Report
) -> Scored:
    """From CSV or Parquet to CSV or Parquet, by the endings; `chunk_rows` rows in memory at once.

    Both files appear when they are complete: TARGET, and TARGET.bad.csv where rows were refused. Raises InvalidInput
    for a file that cannot be read, or where no row could be scored; and as Scorer.usable does.
    """
    if target.suffix.casefold() not in {".csv", ".parquet"}:
        raise InvalidInput(f"{target}: must end in .csv or .parquet")
    if not target.parent.is_dir() or (target.exists() and source.exists() and target.samefile(source)):
        raise InvalidInput(f"{target}: needs a folder that exists, and a name other than the input's")
    bad = target.with_name(target.name + BAD)
    try:
        with source.open("rb") as stream, tempfile.TemporaryDirectory(dir=target.parent, prefix=".signoff-") as folder:
            table = open_table(stream, name=source.name)
            scoring = Scoring(scorer, scorer.usable(reference), table)
            files = (Path(folder) / "output", Path(folder) / "bad")
            with files[0].open("wb", BUFFER_BYTES) as output, files[1].open("wb", BUFFER_BYTES) as refused:
                parquet = target.suffix.casefold() == ".parquet"
                result = scoring.run(output, refused, parquet=parquet, chunk_rows=chunk_rows, report=report)
            _move(files[1], bad, wanted=result.bad > 0)
            if result.scored:
                _move(files[0], target, wanted=True)
    except OSError as error:
        raise InvalidInput(f"{error.filename or source}: {error.strerror}") from error
    if not result.scored:
        why = f"the first: {result.first_problem}; all are in {bad.name}" if result.bad else "it has none"
        raise InvalidInput(f"{source}: no row could be scored ({why})")
    return replace(result, bad_file=str(bad) if result.bad else None)


def _move(file: Path, target: Path, *, wanted: bool) -> None:
    """One from an earlier call would be taken for this one's."""
    if wanted:
        file.replace(target)
    else:
        target.unlink(missing_ok=True)


def score_upload(
    scorer: Scorer,
    reference: str | Target,
    content: bytes,
    *,
    name: str,
    most_bytes: int,
    most_rows: int,
    chunk_rows: int,
    report: Report = _silent,
) -> ScoredUpload:
    """A file that came through the browser; the answer is CSV. Raises as score_file does, but not for bad rows."""
    if len(content) > most_bytes:
        raise InvalidInput(f"{name}: is larger than {most_bytes / 2**20:g} MB")
    output, bad = io.BytesIO(), io.BytesIO()
    scoring = Scoring(scorer, scorer.usable(reference), open_table(io.BytesIO(content), name=name), most_rows=most_rows)
    result = scoring.run(output, bad, parquet=False, chunk_rows=chunk_rows, report=report)
    return ScoredUpload(result, output.getvalue(), bad.getvalue() if result.bad else b"")


@dataclass
class Scoring:
    """One file on its way. most_rows: refuse a file with more; None is no limit."""

    scorer: Scorer
    target: Target
    table: Table
    most_rows: int | None = None
    counts: dict[str, int] = field(default_factory=lambda: {"rows": 0, "scored": 0, "bad": 0, "odd": 0})
    first_problem: str = ""

    def __post_init__(self) -> None:
        problems = check_columns(self.table.header, self.layout)
        if missing := [problem for problem in problems if problem.column in self.layout.names]:
            raise InvalidRows(missing)
        # Rows of a file have columns that are nobody's input, such as a number of the row or the truth.
        self.ignored = tuple(problem.column for problem in problems)
        if taken := [name for name in self.added if name in self.table.header]:
            raise InvalidInput(f"{taken[0]}: the file has a column of this name already, which the output needs")

    @property
    def layout(self) -> Layout:
        return layout(self.target)

    @property
    def added(self) -> list[str]:
        """The columns of the output that follow those of the input."""
        classes = self.target.classes if self.target.probabilities else ()
        return ["prediction", *(f"probability_{name}" for name in classes), "model_version", "model_digest"]

    def run(
        self, output: IO[bytes], bad: IO[bytes], *, parquet: bool, chunk_rows: int, report: Report = _silent
    ) -> Scored:
        """Raises InvalidInput where the file cannot be read to its end."""
        header = [*self.table.header, *self.added]
        schema = getattr(self.table, "schema", None)
        sink: Sink = (
            ParquetSink(output, header, layout=self.layout, schema=schema) if parquet else CsvSink(output, header)
        )
        refused = CsvSink(bad, ["line", "reason", *self.table.header])
        for chunk in self.table.chunks(chunk_rows):
            self._count("rows", len(chunk))
            good = self._sort_out(chunk, refused)
            if good:
                sink.write(self._predicted(good, typed=sink.typed and self.table.from_text))
            report(int(100 * self.table.share_read()), 100, f"{self.counts['rows']:,} rows, {self.counts['bad']:,} bad")
        sink.finish()
        refused.finish()
        return self._result()

    def _result(self) -> Scored:
        resolved, counts = self.target.resolved, self.counts
        return Scored(
            resolved.model,
            resolved.version,
            self.target.digest,
            rows=counts["rows"],
            scored=counts["scored"],
            bad=counts["bad"],
            odd=counts["odd"],
            ignored=self.ignored,
            notes=self.target.notes,
            first_problem=self.first_problem,
        )

    def _sort_out(self, chunk: Sequence[Line], refused: CsvSink) -> list[tuple[Line, CheckedRow]]:
        """The rows that can be used; the others are written with their reason."""
        if self.most_rows is not None and self.counts["rows"] > self.most_rows:
            raise InvalidInput(f"the file: has more than {self.most_rows:,} rows")
        good, bad = [], []
        for line in chunk:
            checked = None if line.problem else self._check(line)
            if checked is not None and not checked.problems:
                good.append((line, checked))
                self._count("odd", bool(checked.warnings))
                continue
            reason = (
                "; ".join(each.sentence for each in checked.problems)
                if checked
                else f"row {line.number}: {line.problem}"
            )
            self.first_problem = self.first_problem or reason
            bad.append([line.number, reason, *line.cells[: len(self.table.header)]])
        refused.write(bad)
        self._count("bad", len(bad))
        return good

    def _check(self, line: Line) -> CheckedRow:
        cells = zip(self.table.header, line.cells, strict=True)
        given = {name: cell for name, cell in cells if name not in self.ignored}
        return check_row(given, self.layout, from_text=self.table.from_text, row=line.number)

    def _predicted(self, good: Sequence[tuple[Line, CheckedRow]], *, typed: bool) -> list[list[Any]]:
        found = self.scorer.predict_checked(self.target, [row for _, row in good])
        self._count("scored", len(good))
        return [
            [*self._cells(line, row, typed=typed), *self._said(prediction)]
            for (line, row), prediction in zip(good, found.rows, strict=True)
        ]

    def _cells(self, line: Line, row: CheckedRow, *, typed: bool) -> Sequence[Any]:
        if not typed:
            return line.cells
        return [row.values.get(name, cell) for name, cell in zip(self.table.header, line.cells, strict=True)]

    def _said(self, prediction: Prediction) -> list[Any]:
        chances = [prediction.probabilities[name] for name in self.target.classes] if self.target.probabilities else []
        return [prediction.value, *chances, self.target.resolved.version, self.target.digest]

    def _count(self, what: str, more: int) -> None:
        self.counts[what] += more
