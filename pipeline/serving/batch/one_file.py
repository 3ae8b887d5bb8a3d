"""One file that is scored under way to its place: staged, gone on with after an interruption, and delivered whole."""

import gzip
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.jobs import Job
from pipeline.serving.batch.read import GZIP, PARQUET, TEXT, kind_of, open_table
from pipeline.serving.batch.resume import Mark, Staging
from pipeline.serving.batch.run import Report, Scoring, Way
from pipeline.serving.batch.scored import Scored, result_of
from pipeline.serving.batch.write import ArrowSink, CsvSink, Sink, output_schema, to_parquet
from pipeline.serving.predictions import Target
from pipeline.serving.scorer import Scorer
from pipeline.validation.column_checks import Arrow

Say = Callable[[str], object]
FORMAT = 1  # of what is staged; another one is not gone on with


def unsaid(_text: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class OneFile:
    """folder: where it is staged."""

    scorer: Scorer
    target: Target
    job: Job
    way: Way
    folder: Path

    def score(self, report: Report, say: Say, *, restart: bool) -> Scored:
        """Raises InvalidInput where the file cannot be read, or where no row could be scored."""
        staging = Staging(self.folder, self._about())
        if restart:
            staging.drop()
        elif reason := staging.left_over():
            say(f"{self.job.target.name}: starts over, with {reason}")
            staging.drop()
        found = self._delivered_before(staging)
        if found is None:
            try:
                found = self._scored(staging, report, say)
            except InvalidInput:
                staging.drop()
                raise
        if not found.scored:
            why = f"the first: {found.first_problem}; all are in {self.job.bad.name}" if found.bad else "it has none"
            raise InvalidInput(f"{self.job.source}: no row could be scored ({why})")
        return found

    def _about(self) -> dict[str, Any]:
        """What the result depends on, in words that end "starts over, with another ..."."""
        return {
            "format": FORMAT,
            "input": [str(self.job.source), self.job.source.state()],
            "output": str(self.job.target),
            "model": self.target.resolved.model,
            "version": self.target.resolved.version,
            "digest": self.target.digest,
            "chunk_rows": self.way.chunk_rows,
            "explain": self.way.explain,
        }

    def _delivered_before(self, staging: Staging) -> Scored | None:
        """By a run that ended before all its files were done, or while it put this one in its place."""
        result = staging.finished()
        if result is None:
            return None
        found = Scored(**{**result, "ignored": tuple(result["ignored"]), "notes": tuple(result["notes"])})
        if not self._deliverable(staging).exists() and found.scored and not self.job.target.exists():
            staging.drop()
            return None
        self._deliver(staging, found)
        return found

    def _scored(self, staging: Staging, report: Report, say: Say) -> Scored:
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.job.source.reading(self.folder.with_suffix(".input")) as (stream, size), staging.writing() as mark:
            scoring = Scoring(
                self.scorer, self.target, open_table(stream, name=self.job.source.name, size=size), self.way
            )
            if mark is not None:
                self._go_on(scoring, mark, say)
            refused = CsvSink(staging.bad, ["line", "reason", *scoring.table.header])
            if mark is None:
                refused.begin()
            scoring.run(self._sink(staging, scoring, fresh=mark is None), refused, mark=staging.mark, report=report)
        if scoring.tally.scored:
            self._finished(staging)
        found = result_of(scoring, output=str(self.job.target), bad_file=str(self.job.bad))
        staging.finish(asdict(found))
        self._deliver(staging, found)
        return found

    def _go_on(self, scoring: Scoring, mark: Mark, say: Say) -> None:
        scoring.table.go_to(mark.position)
        scoring.tally = mark.tally
        say(f"{self.job.target.name}: goes on after {mark.tally.rows:,} rows")

    @property
    def _kind(self) -> str:
        return kind_of(self.job.target.name)

    def _finished(self, staging: Staging) -> None:
        """What is not delivered as it was staged is made of it; the same rows give the same bytes."""
        made = self._deliverable(staging)
        if made == staging.rows_path:
            return
        with staging.rows_path.open("rb") as rows, made.open("wb") as file:
            if self._kind == PARQUET:
                to_parquet(rows, file)
            else:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    shutil.copyfileobj(rows, packed)

    def _sink(self, staging: Staging, scoring: Scoring, *, fresh: bool) -> Callable[[Arrow], Sink]:
        table = scoring.table
        header = [*table.header, *scoring.added]
        separator = TEXT.get(self._kind, "")
        text = CsvSink(
            staging.rows,
            header,
            input_columns=len(table.header) if table.separator == separator else 0,
            separator=separator or ",",
        )
        if separator and fresh:
            text.begin()

        def opened(added: Arrow) -> Sink:
            if separator:
                return text
            schema = output_schema(table.header, added, layout=scoring.layout, schema=table.schema)
            typed = ArrowSink(staging.rows, schema)
            if not staging.rows.size:
                typed.begin()
            return typed

        return opened

    def _deliverable(self, staging: Staging) -> Path:
        made = self._kind == PARQUET or self._kind.endswith(GZIP)
        return self.folder / "made" if made else staging.rows_path

    def _deliver(self, staging: Staging, found: Scored) -> None:
        """What is there from an earlier run would be taken for this one's. Can be repeated."""
        if not found.bad:
            self.job.bad.remove()
        elif staging.bad_path.exists():
            self.job.bad.receive(staging.bad_path)
        if found.scored and (file := self._deliverable(staging)).exists():
            self.job.target.receive(file)
