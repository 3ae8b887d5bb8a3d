"""A million rows through `score`, beside the bare Pipeline in one process per core; and the memory that it takes."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from pipeline.bootstrap import desk
from pipeline.serving.copies import PrivateCopies
from pipeline.serving.pool import cores
from pipeline.settings import read_settings
from pipeline.training.sample import generate_sample

MODEL = "obesity_classifier"
VERSIONS = {"random forest": 2, "histogram boosting": 4, "logistic regression": 1}
ROWS, FEWER, SAMPLE = 1_000_000, 100_000, 20_000
# The floor: the rows of one core in memory, one call, one thread.
BARE = """
import sys, time, pandas as pd
from pathlib import Path
from pipeline.serving.loader import load_model
model = load_model(Path(sys.argv[1]), allowed_types=tuple(sys.argv[4:])).model
frame = pd.read_parquet(sys.argv[2]).head(int(sys.argv[3]))
frame = frame[list(model.feature_names_in_)]
model.predict_proba(frame.head(1000))
print("ready", flush=True)
sys.stdin.readline()
start = time.perf_counter()
model.predict_proba(frame)
print(time.perf_counter() - start, flush=True)
"""
OURS = """
import resource, sys, time
from pipeline.bootstrap import desk, scorer
from pipeline.serving.batch import Batch
from pipeline.serving.scoring import Way
from pipeline.settings import read_settings
settings = read_settings()
using = scorer(settings, desk(settings))
way = Way(settings.serving.chunk_rows, parallel=using.parallel)
batch = Batch(using, using.usable(sys.argv[1]), way, say=lambda _: 0)
batch.score(sys.argv[4], sys.argv[3])
start = time.perf_counter()
found, = batch.score(sys.argv[2], sys.argv[3])
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, found.scored)
using.close()
"""


def score_figures(environment: Mapping[str, str], folder: Path) -> dict[str, tuple[str, str]]:
    """Figure and budget by what it is about."""
    os.environ.update(environment)
    folder.mkdir()
    write_rows(folder)
    figures = {}
    for name, version in VERSIONS.items():
        bare = bare_rate(version, folder)
        for kind in ("csv", "parquet"):
            rate, megabytes = our_rate(version, folder, kind, ROWS)
            budget = "at least 85 %" if name == "random forest" else "no budget"
            figures[f"score, {name}, {kind}"] = (
                f"{rate:,.0f} rows/s, floor {bare:,.0f}, {rate / bare:.0%}; {megabytes:,.0f} MB", budget,
            )  # fmt: skip
            if name == "random forest":
                small = our_rate(version, folder, kind, FEWER)[1]
                growth = (
                    f"{small:,.0f} MB at {FEWER:,} rows, {megabytes:,.0f} MB at {ROWS:,}, {megabytes / small:.2f} x"
                )
                figures[f"score, memory, {kind}"] = (growth, "at most 1.2 x")
    return figures


def write_rows(folder: Path) -> None:
    """The sample's rows again and again."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    columns = list(read_settings().schema_.columns)
    sample = pa.Table.from_pandas(generate_sample(SAMPLE, seed=7)[columns], preserve_index=False)
    for rows in (FEWER, ROWS):
        with (
            pq.ParquetWriter(folder / f"{rows}.parquet", sample.schema) as parquet,
            pa.csv.CSVWriter(folder / f"{rows}.csv", sample.schema) as text,
        ):
            for _ in range(rows // SAMPLE):
                parquet.write_table(sample)
                text.write_table(sample)


def bare_rate(version: int, folder: Path) -> float:
    """Rows per second of all cores together, each with its share of a million."""
    settings = read_settings()
    service = desk(settings)
    record, types = service.version(MODEL, version), settings.serving.allowed_types
    digest = str(service.show(MODEL, version).file_digest)
    environment = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with PrivateCopies(service.registry, most=1).using(record, digest) as model:
        command = [
            sys.executable,
            "-c",
            BARE,
            str(model),
            str(folder / f"{ROWS}.parquet"),
            str(ROWS // cores()),
            *types,
        ]
        started = [subprocess.Popen(command, env=environment, **pipes) for _ in range(cores())]
        for process in started:  # none begins before all have loaded
            assert process.stdout
            process.stdout.readline()
        for process in started:
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
        return ROWS / max(float(process.communicate()[0]) for process in started)


def our_rate(version: int, folder: Path, kind: str, rows: int) -> tuple[float, float]:
    """Rows per second, and the peak of the memory of the process that reads and writes."""
    files = [str(folder / f"{rows}.{kind}"), str(folder / f"out.{kind}"), str(folder / f"{FEWER}.{kind}")]
    done = subprocess.run(
        [sys.executable, "-c", OURS, f"{MODEL}/{version}", *files], check=True, stdout=subprocess.PIPE, text=True
    )
    seconds, megabytes, scored = map(float, done.stdout.split())
    assert scored == rows
    return rows / seconds, megabytes
