"""Files of rows in, the same rows with predictions out: the command `score`.

Rows that cannot be used do not stop the others: they go to a second file with their line and the reason.
"""

import gzip
import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.inputs import Job, Location, jobs
from pipeline.serving.batch.read import GZIP, PARQUET, TEXT, kind_of, open_table
from pipeline.serving.batch.resume import Checkpoint, LeftOver, Staging, alone, disk_full
from pipeline.serving.batch.run import Report, Scoring, ScoringOptions, silent
from pipeline.serving.batch.write import ArrowWriter, CsvWriter, Writer, output_schema, to_parquet
from pipeline.serving.predictions import Target
from pipeline.serving.scorer import Scorer
from pipeline.settings import VAR
from pipeline.validation.columns import Arrow

# The result of scoring a file of rows.


@dataclass(frozen=True)
class Scored:
    """The result of scoring one file of rows."""

    model: str
    version: int
    digest: str  # of the model's files that were loaded
    rows: int  # that were read
    scored: int  # rows that were predicted
    bad: int  # rows that were refused
    out_of_range: int  # rows that were scored although a value is outside the training data
    ignored: tuple[str, ...]  # columns of the file that the version does not take
    notes: tuple[str, ...]  # about the version, and about columns that it takes and the file has not
    first_problem: str = ""  # the sentence about the first bad row
    output: str | None = None  # where the rows were written; None for an upload
    bad_file: str | None = None  # where refused rows were written; None where there are none, and for an upload

    def as_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "digest": self.digest,
            "rows": self.rows,
            "scored": self.scored,
            "bad": self.bad,
            "outside_training": self.out_of_range,
            "ignored": list(self.ignored),
            "warnings": list(self.notes),
            "output": self.output,
            "bad_rows": self.bad_file,
        }


def result_of(scoring: Scoring, *, output: str | None = None, bad_file: str | None = None) -> Scored:
    """The result of a file that was read to its end. bad_file: where refused rows are, if there are some."""
    target, counts = scoring.target, scoring.counts
    notes = [*target.notes, *scoring.absent]
    if counts.unequal:
        notes.append(f"{target.label}: its explanations do not add up to its output by up to {counts.sum_error:.2g}")
    return Scored(
        target.resolved.model,
        target.resolved.version,
        target.digest,
        rows=counts.rows,
        scored=counts.scored,
        bad=counts.bad,
        out_of_range=counts.out_of_range,
        ignored=scoring.ignored,
        notes=tuple(notes),
        first_problem=counts.first_problem,
        output=output,
        bad_file=bad_file if counts.bad else None,
    )


# One file: scored into a staging folder, resumed there after an interruption, and delivered whole.

Say = Callable[[str], object]
FORMAT = 2  # of staged files; a run with another number starts over


def unsaid(_text: str) -> None:
    """Drops the sentence."""


@dataclass(frozen=True)
class OneFile:
    """One input file that a version scores into one output file."""

    scorer: Scorer
    target: Target  # the version that predicts
    job: Job  # which file goes into which
    options: ScoringOptions  # how rows are predicted
    folder: Path  # where the result is staged

    def score(self, report: Report, say: Say, *, restart: bool) -> Scored:
        """Scores the file. Raises InvalidInput where it cannot be read, or where no row could be scored."""
        staging = Staging(self.folder, self._about())
        if restart:
            staging.drop()
        elif staging.left_over() is LeftOver.STALE:
            say(f"{self.job.target.name}: starts over, with another {', '.join(staging.changed())} than before")
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
        """Everything that the result depends on, by names that end the sentence "starts over, with another ..."."""
        return {
            "format": FORMAT,
            "input": [str(self.job.source), self.job.source.state()],
            "output": str(self.job.target),
            "model": self.target.resolved.model,
            "version": self.target.resolved.version,
            "digest": self.target.digest,
            "chunk_rows": self.options.chunk_rows,
            "explain": self.options.explain,
            "log": self.options.tell is not None,
        }

    def _delivered_before(self, staging: Staging) -> Scored | None:
        """The result of a run that ended before all its files were done, or while it delivered this one."""
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
        with (
            self.job.source.reading(self.folder.with_suffix(".input")) as (stream, size),
            staging.writing() as checkpoint,
        ):
            scoring = Scoring(
                self.scorer, self.target, open_table(stream, name=self.job.source.name, size=size), self.options
            )
            if checkpoint is not None:
                self._go_on(scoring, checkpoint, say)
            refused = CsvWriter(staging.bad, ["line", "reason", *scoring.table.header])
            if checkpoint is None:
                refused.begin()
            scoring.run(
                self._open_writer(staging, scoring, fresh=checkpoint is None),
                refused,
                checkpoint=staging.checkpoint,
                report=report,
            )
        if scoring.counts.scored:
            self._finished(staging)
        found = result_of(scoring, output=str(self.job.target), bad_file=str(self.job.bad))
        staging.finish(asdict(found))
        self._deliver(staging, found)
        return found

    def _go_on(self, scoring: Scoring, checkpoint: Checkpoint, say: Say) -> None:
        scoring.table.go_to(checkpoint.position)
        scoring.counts = checkpoint.counts
        say(f"{self.job.target.name}: goes on after {checkpoint.counts.rows:,} rows")

    @property
    def _kind(self) -> str:
        return kind_of(self.job.target.name)

    def _finished(self, staging: Staging) -> None:
        """Makes of the staged rows what is delivered otherwise; the same rows give the same bytes."""
        made = self._deliverable(staging)
        if made == staging.rows_path:
            return
        with staging.rows_path.open("rb") as rows, made.open("wb") as file:
            if self._kind == PARQUET:
                to_parquet(rows, file)
            else:
                with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                    shutil.copyfileobj(rows, packed)

    def _open_writer(self, staging: Staging, scoring: Scoring, *, fresh: bool) -> Callable[[Arrow], Writer]:
        table = scoring.table
        header = [*table.header, *scoring.added]
        separator = TEXT.get(self._kind, "")
        text = CsvWriter(
            staging.rows,
            header,
            input_columns=len(table.header) if table.separator == separator else 0,
            separator=separator or ",",
        )
        if separator and fresh:
            text.begin()

        def open_writer(added: Arrow) -> Writer:
            if separator:
                return text
            schema = output_schema(table.header, added, schema=scoring.schema, arrow=table.arrow_schema)
            typed = ArrowWriter(staging.rows, schema)
            if not staging.rows.size:
                typed.begin()
            return typed

        return open_writer

    def _deliverable(self, staging: Staging) -> Path:
        made = self._kind == PARQUET or self._kind.endswith(GZIP)
        return self.folder / "made" if made else staging.rows_path

    def _deliver(self, staging: Staging, found: Scored) -> None:
        """Moves the result to its place and removes what an earlier run left there. Can be repeated."""
        if not found.bad:
            self.job.bad.remove()
        elif staging.bad_path.exists():
            self.job.bad.receive(staging.bad_path)
        if found.scored and (file := self._deliverable(staging)).exists():
            self.job.target.receive(file)


@dataclass(frozen=True)
class Batch:
    """Files that one version scores."""

    scorer: Scorer
    reference: str | Target  # MODEL, MODEL@ALIAS or MODEL/VERSION
    options: ScoringOptions  # how rows are predicted
    report: Report = silent  # called with the progress of each file
    say: Say = unsaid  # called with a sentence about whatever is unusual

    def score(self, given: str, wanted: str, *, restart: bool = False) -> list[Scored]:
        """Scores text or Parquet into text or Parquet, by the endings; which files those are, see inputs.jobs.

        Each file, and FILE.bad.csv where rows were refused, appears when it is complete. An earlier run of the same is
        gone on with, unless `restart`; one that was stopped, in whatever way, leaves what it needs for that.

        Raises InvalidInput for a file that cannot be read or of which no row could be scored, after the others were;
        Conflict for a second run at the same time; Unavailable for a full disk; and as Targets.usable does.
        """
        found, location = jobs(given, wanted), Location.at(wanted)
        target = self.scorer.targets.usable(self.reference)
        if found[0].target != location:
            location.make_folder()
        root = _root(location, folder=found[0].target != location)
        with disk_full(wanted), alone(root, wanted):
            done, failed = self._each(found, target, root, restart=restart)
            shutil.rmtree(root, ignore_errors=True)
        if failed:
            several = f"{len(failed)} of {len(found)} files could not be scored; the first: {failed[0]}"
            raise failed[0] if len(found) == 1 else InvalidInput(several)
        return done

    def _each(
        self, found: Sequence[Job], target: Target, root: Path, *, restart: bool
    ) -> tuple[list[Scored], list[InvalidInput]]:
        """The results of the files; one that cannot be scored does not stop the others."""
        done, failed = [], []
        for number, job in enumerate(found, start=1):
            one = OneFile(self.scorer, target, job, self.options, root / _short_digest(str(job.target)))
            try:
                done.append(one.score(self._of_file(number, found), self.say, restart=restart))
            except InvalidInput as error:
                failed.append(error)
        return done, failed

    def _of_file(self, number: int, found: Sequence[Job]) -> Report:
        if len(found) == 1:
            return self.report
        about = f"{number} of {len(found)}, {found[number - 1].source.name}"
        return lambda done, total, text: self.report(done, total, f"{about}: {text}")


def _root(location: Location, *, folder: bool) -> Path:
    """The staging folder: on the disk of the output, so that one step moves the result there, else in `var/`."""
    name = _short_digest(str(location))
    if location.local is None:
        return VAR / "scoring" / name
    return (location.local if folder else location.local.parent) / f".signoff-{name}"


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]
