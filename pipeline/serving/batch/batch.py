"""Files of rows in, the same rows with predictions out: the command `score`, and the upload of the dashboard.

Rows that cannot be used do not stop the others: they go to a second file with their line and the reason.
"""

import gzip
import hashlib
import io
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.inputs import Job, Place, jobs
from pipeline.serving.batch.read import GZIP, PARQUET, TEXT, kind_of, open_table
from pipeline.serving.batch.resume import Checkpoint, Staging, alone, disk_full
from pipeline.serving.batch.run import Report, Scoring, ScoringOptions, silent
from pipeline.serving.batch.write import ArrowWriter, CsvWriter, Writer, output_schema, to_parquet
from pipeline.serving.predictions import Target
from pipeline.serving.scorer import Scorer
from pipeline.settings import VAR
from pipeline.validation.columns import Arrow

# What came of a file of rows.


@dataclass(frozen=True)
class Scored:
    """How many rows were read, scored, refused (`bad`), and scored although a value is outside the training data.

    ignored: columns of the file that the version does not take. notes: about the version, and columns that it takes and
    the file has not. first_problem: of a bad row.
    output, bad_file: where rows and refused rows were written; bad_file is None where there are none, and both are for
    an upload.
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
    output: str | None = None
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
            "output": self.output,
            "bad_rows": self.bad_file,
        }


def result_of(scoring: Scoring, *, output: str | None = None, bad_file: str | None = None) -> Scored:
    """Of a file that was read to its end. bad_file: where refused rows are, if there are some."""
    target, tally = scoring.target, scoring.tally
    notes = [*target.notes, *scoring.absent]
    if tally.unequal:
        notes.append(f"{target.label}: its explanations do not add up to its output by up to {tally.sum_error:.2g}")
    return Scored(
        target.resolved.model,
        target.resolved.version,
        target.digest,
        rows=tally.rows,
        scored=tally.scored,
        bad=tally.bad,
        odd=tally.odd,
        ignored=scoring.ignored,
        notes=tuple(notes),
        first_problem=tally.first_problem,
        output=output,
        bad_file=bad_file if tally.bad else None,
    )


# One file that is scored under way to its place: staged, gone on with after an interruption, and delivered whole.

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
    way: ScoringOptions
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
            refused = CsvWriter(staging.bad, ["line", "reason", *scoring.table.header])
            if mark is None:
                refused.begin()
            scoring.run(self._sink(staging, scoring, fresh=mark is None), refused, mark=staging.mark, report=report)
        if scoring.tally.scored:
            self._finished(staging)
        found = result_of(scoring, output=str(self.job.target), bad_file=str(self.job.bad))
        staging.finish(asdict(found))
        self._deliver(staging, found)
        return found

    def _go_on(self, scoring: Scoring, mark: Checkpoint, say: Say) -> None:
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

    def _sink(self, staging: Staging, scoring: Scoring, *, fresh: bool) -> Callable[[Arrow], Writer]:
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

        def opened(added: Arrow) -> Writer:
            if separator:
                return text
            schema = output_schema(table.header, added, schema=scoring.schema, arrow=table.arrow_schema)
            typed = ArrowWriter(staging.rows, schema)
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


@dataclass(frozen=True)
class ScoredUpload:
    """Both files as CSV; `bad` is empty where every row was scored."""

    result: Scored
    output: bytes
    bad: bytes


@dataclass(frozen=True)
class Batch:
    """Files that one version scores. report: is told how far each is. say: is told in a sentence what is unusual."""

    scorer: Scorer
    reference: str | Target
    way: ScoringOptions
    report: Report = silent
    say: Say = unsaid

    def score(self, given: str, wanted: str, *, restart: bool = False) -> list[Scored]:
        """From text or Parquet to text or Parquet, by the endings; which files those are, see jobs.jobs.

        Each file, and FILE.bad.csv where rows were refused, appears when it is complete. An earlier run of the same is
        gone on with, unless `restart`; one that was stopped, in whatever way, leaves what it needs for that.

        Raises InvalidInput for a file that cannot be read or of which no row could be scored, after the others were;
        Conflict for a second run at the same time; Unavailable for a full disk; and as Targets.usable does.
        """
        found, place = jobs(given, wanted), Place.at(wanted)
        target = self.scorer.targets.usable(self.reference)
        if found[0].target != place:
            place.make_folder()
        root = _root(place, folder=found[0].target != place)
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
        """A file that cannot be scored does not stop the others."""
        done, failed = [], []
        for number, job in enumerate(found, start=1):
            one = OneFile(self.scorer, target, job, self.way, root / _short_digest(str(job.target)))
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


def _root(place: Place, *, folder: bool) -> Path:
    """On the disk of the output, so that it can be moved there in one step; else in `var/`."""
    name = _short_digest(str(place))
    if place.local is None:
        return VAR / "scoring" / name
    return (place.local if folder else place.local.parent) / f".signoff-{name}"


def _short_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


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
    """A file that came through the browser; the answer is CSV. Raises as Batch.score does, but not for bad rows."""
    if len(content) > most_bytes:
        raise InvalidInput(f"{name}: is larger than {most_bytes / 2**20:g} MB")
    output, bad = io.BytesIO(), io.BytesIO()
    table = open_table(io.BytesIO(content), name=name, size=len(content), most_unpacked=most_bytes)
    scoring = Scoring(scorer, scorer.targets.usable(reference), table, ScoringOptions(chunk_rows, most_rows=most_rows))
    as_they_stand = len(table.header) if table.separator == "," else 0
    rows = CsvWriter(output, [*table.header, *scoring.added], input_columns=as_they_stand)
    refused = CsvWriter(bad, ["line", "reason", *table.header])
    for sink in (rows, refused):
        sink.begin()
    scoring.run(lambda _: rows, refused, mark=lambda *_: None, report=report)
    found = result_of(scoring)
    return ScoredUpload(found, output.getvalue(), bad.getvalue() if found.bad else b"")
