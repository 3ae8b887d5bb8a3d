"""A million rows through `score`, beside the bare Pipeline in one process per core; and the memory that it takes."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.bootstrap import desk
from pipeline.serving.copies import PrivateCopies
from pipeline.serving.worker.client import cores
from pipeline.settings import read_settings
from pipeline.training.data import generate_sample

MODEL = "obesity_classifier"
VERSIONS = {"random forest": 2, "histogram boosting": 4, "logistic regression": 1}
BUDGETED = "random forest"
ROWS, FEWER, SAMPLE = 1_000_000, 100_000, 20_000
# The floor: the rows of one core in memory, one call, one thread.
BARE = """
import sys, time, pandas as pd
from pathlib import Path
from pipeline.serving.worker.load import load_model
model = load_model(Path(sys.argv[1]), allowed_types=tuple(sys.argv[4:])).model
frame = pd.read_parquet(sys.argv[2]).head(int(sys.argv[3]))
frame = frame[list(model.feature_names_in_)]
model.predict_proba(frame.head(1000))
print("ready", flush=True)
sys.stdin.readline()
start, began = time.perf_counter(), time.process_time()
model.predict_proba(frame)
print(time.perf_counter() - start, time.process_time() - began, flush=True)
"""
OURS = """
import os, resource, sys, time
from pathlib import Path
from pipeline.bootstrap import desk, scorer
from pipeline.serving.batch.batch import Batch
from pipeline.serving.batch.run import ScoringOptions
from pipeline.settings import read_settings
settings = read_settings()
using = scorer(settings, desk(settings))
way = ScoringOptions(settings.serving.chunk_rows, parallel=using.concurrency)
batch = Batch(using, using.targets.usable(sys.argv[1]), way, say=lambda _: 0)
def processor():  # seconds of this process and of its workers
    stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in using._worker.pids]
    return time.process_time() + sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")
batch.score(sys.argv[4], sys.argv[3])
start, began = time.perf_counter(), processor()
found, = batch.score(sys.argv[2], sys.argv[3])
seconds, used = time.perf_counter() - start, processor() - began
print(seconds, used, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, found.scored)
using.close()
"""


@dataclass(frozen=True)
class Rate:
    """Rows per second, and per second of a processor; megabytes: the peak of the process that reads and writes."""

    rows: int
    seconds: float
    processor_seconds: float
    megabytes: float = 0

    @property
    def per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def per_core(self) -> float:
        return self.rows / self.processor_seconds


def score_figures(environment: Mapping[str, str], folder: Path) -> dict[str, tuple[str, str]]:
    """Figure and budget by what it is about. Per core, because other programs may want the cores too."""
    os.environ.update(environment)
    folder.mkdir()
    write_rows(folder)
    figures = {}
    for name, version in VERSIONS.items():
        bare = bare_rate(version, folder)
        for kind in ("csv", "parquet"):
            ours = our_rate(version, folder, kind, ROWS)
            text = f"{ours.per_core:,.0f} rows/s/core, floor {bare.per_core:,.0f}, {ours.per_core / bare.per_core:.0%}"
            together = f"; {ours.per_second:,.0f} rows/s together, floor {bare.per_second:,.0f}"
            figures[f"score, {name}, {kind}"] = text + together, "at least 85 %" if name == BUDGETED else "none"
            if name == BUDGETED:
                few = our_rate(version, folder, kind, FEWER)
                growth = f"{few.megabytes:,.0f} MB at {FEWER:,} rows, {ours.megabytes:,.0f} MB at {ROWS:,}"
                figures[f"score, memory, {kind}"] = f"{growth}, {ours.megabytes / few.megabytes:.2f} x", "at most 1.2 x"
    return figures


def write_rows(folder: Path) -> None:
    """The sample's rows again and again."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    columns = list(read_settings().schema_.columns)
    sample = pa.Table.from_pandas(generate_sample(SAMPLE, seed=7)[columns], preserve_index=False)
    unquoted = pa.csv.WriteOptions(quoting_style="none")
    for rows in (FEWER, ROWS):
        with (
            pq.ParquetWriter(folder / f"{rows}.parquet", sample.schema) as parquet,
            pa.csv.CSVWriter(folder / f"{rows}.csv", sample.schema, write_options=unquoted) as text,
        ):
            for _ in range(rows // SAMPLE):
                parquet.write_table(sample)
                text.write_table(sample)


def bare_rate(version: int, folder: Path) -> Rate:
    """All cores together, each with its share of a million rows."""
    settings = read_settings()
    service = desk(settings)
    record, types = service.version(MODEL, version), settings.serving.allowed_types
    digest = str(service.show(MODEL, version).file_digest)
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with PrivateCopies(service, most=1).using(record, digest) as model:
        command = [
            sys.executable,
            "-c",
            BARE,
            str(model),
            str(folder / f"{ROWS}.parquet"),
            str(ROWS // cores()),
            *types,
        ]
        started = [subprocess.Popen(command, env=environment, **pipes) for _ in range(cores())]  # type: ignore[call-overload]
        for process in started:  # none begins before all have loaded
            assert process.stdout
            process.stdout.readline()
        for process in started:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        times = [tuple(map(float, process.communicate()[0].split())) for process in started]
        return Rate(ROWS, max(each[0] for each in times), sum(each[1] for each in times))


def our_rate(version: int, folder: Path, kind: str, rows: int) -> Rate:
    files = [str(folder / f"{rows}.{kind}"), str(folder / f"out.{kind}"), str(folder / f"{FEWER}.{kind}")]
    done = subprocess.run(
        [sys.executable, "-c", OURS, f"{MODEL}/{version}", *files], check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, used, megabytes, scored = map(float, done.stdout.split())
    assert scored == rows
    return Rate(rows, seconds, used, megabytes)
