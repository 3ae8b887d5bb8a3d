"""Files of rows in, the same rows with predictions out: the command `score`, and the upload of the dashboard.

Rows that cannot be used do not stop the others: they go to a second file with their line and the reason.
"""

import hashlib
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.governance.errors import InvalidInput
from pipeline.serving.batch.inputs import Place
from pipeline.serving.batch.jobs import Job, jobs
from pipeline.serving.batch.one_file import OneFile, Say, unsaid
from pipeline.serving.batch.read import open_table
from pipeline.serving.batch.resume import alone, disk_full
from pipeline.serving.batch.run import Report, Scoring, Way, silent
from pipeline.serving.batch.scored import Scored, result_of
from pipeline.serving.batch.write import CsvSink
from pipeline.serving.predictions import Target
from pipeline.serving.scorer import Scorer
from pipeline.settings import VAR


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
    way: Way
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
    scoring = Scoring(scorer, scorer.targets.usable(reference), table, Way(chunk_rows, most_rows=most_rows))
    as_they_stand = len(table.header) if table.separator == "," else 0
    rows = CsvSink(output, [*table.header, *scoring.added], input_columns=as_they_stand)
    refused = CsvSink(bad, ["line", "reason", *table.header])
    for sink in (rows, refused):
        sink.begin()
    scoring.run(lambda _: rows, refused, mark=lambda *_: None, report=report)
    found = result_of(scoring)
    return ScoredUpload(found, output.getvalue(), bad.getvalue() if found.bad else b"")
