"""Using a version, in a process of its own and under the trust policy."""

import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from pipeline.bootstrap import desk, own_desk, recorder, scorer
from pipeline.cli import tables
from pipeline.cli.app import Json, Model, Reference, RowText, Version, app, note, print_out, progress
from pipeline.governance.errors import InvalidInput
from pipeline.settings import Settings, read_settings

if TYPE_CHECKING:
    from pipeline.serving.batch.batch import Batch
    from pipeline.serving.batch.run import Report, ScoringOptions


EXPLAINED = "3"
STOPPED = 130  # as a shell counts the signal


@app.command()
def predict(reference: Reference, row: RowText, as_json: Json = False) -> None:
    """Predict one row with the champion, or the version that an alias or a number names."""
    from pipeline.validation.rows import parse_row

    settings, given = read_settings(), parse_row(row)
    found = scorer(settings, desk(settings)).predict(reference, [given])
    print_out(as_json, found.as_json(), lambda: tables.prediction(found))


@app.command()
def explain(model: Model, version: Version, row: RowText, as_json: Json = False) -> None:
    """Show what each column of a row adds to the output, per class."""
    from pipeline.validation.rows import parse_row

    settings, given = read_settings(), parse_row(row)
    found = scorer(settings, desk(settings)).explain(f"{model}/{version}", [given])
    print_out(as_json, found.documents[0], lambda: tables.explanation(found))


class ScoreCommand(TyperCommand):
    """Takes `--explain` with and without a number, which Typer does not."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 (private to Typer)
        following = [*args[1:], ""]
        alone = [place for place, each in enumerate(args) if each == "--explain" and not following[place].isdecimal()]
        for place in reversed(alone):
            args.insert(place + 1, EXPLAINED)
        return super().parse_args(ctx, args)


FILES = "CSV or Parquet: a file, folder, pattern, or address of one."
Source = Annotated[str, typer.Argument(metavar="IN", help=FILES, show_default=False)]
Output = Annotated[str, typer.Argument(metavar="OUT", help="A file for one input, else a folder.", show_default=False)]
STRONGEST = "Add the N (3) strongest contributions per row."
Strongest = Annotated[int | None, typer.Option("--explain", metavar="[N]", help=STRONGEST, min=1)]
LOGGED = "Log the rows as answers are (monitoring.log), and add the column prediction_id."
Logged = Annotated[bool, typer.Option("--log", help=LOGGED)]
Restart = Annotated[bool, typer.Option("--restart", help="Begin again, also where a run was interrupted.")]
CLUSTER = "Predict on the Dask cluster there, which you trust."
Scheduler = Annotated[str | None, typer.Option(metavar="ADDRESS", help=CLUSTER)]
Authority = Annotated[str | None, typer.Option(metavar="FILE", help="Certificate authority of the cluster.")]
Certificate = Annotated[str | None, typer.Option(metavar="FILE", help="Your certificate for the cluster.")]
PrivateKey = Annotated[str | None, typer.Option(metavar="FILE", help="The key of your certificate.")]


@app.command(cls=ScoreCommand)
def score(
    reference: Reference,
    source: Source,
    target: Output,
    explain_columns: Strongest = None,
    restart: Restart = False,
    log: Logged = False,
    scheduler: Scheduler = None,
    tls_ca: Authority = None,
    tls_cert: Certificate = None,
    tls_key: PrivateKey = None,
    as_json: Json = False,
) -> None:
    """Predict the rows of files; rows that cannot be used go to OUT.bad.csv with line and reason."""
    from pipeline.serving.batch.batch import Batch
    from pipeline.serving.batch.run import ScoringOptions

    settings = read_settings()
    service = desk(settings)
    using = scorer(settings, service)
    options = ScoringOptions(settings.serving.chunk_rows, explain=explain_columns or 0, parallel=using.concurrency)
    with ExitStack() as stack:
        if log:
            options = stack.enter_context(_logged(settings, using.targets.resolve(reference).model, options))
        bar = stack.enter_context(progress(quiet=as_json))
        report = stack.enter_context(stoppable(target, bar))
        batch = Batch(using, reference, options, report, note)
        if scheduler is None:
            found = batch.score(source, target, restart=restart)
        else:
            with _on_cluster(batch, scheduler, (tls_ca, tls_cert, tls_key), settings) as there:
                found = there.score(source, target, restart=restart)
    content = found[0].as_json() if len(found) == 1 else [each.as_json() for each in found]
    print_out(as_json, content, lambda: tables.scored(found))


@contextmanager
def _logged(settings: Settings, model: str, options: "ScoringOptions") -> "Iterator[ScoringOptions]":
    """The options with a log that is told of every row. Raises InvalidInput where the settings have none."""
    from pipeline.monitoring.prediction_log import MOST_WAITING
    from pipeline.monitoring.recording.recorder import PredictionRecorder

    recording = recorder(settings, own_desk(settings), model, writer=None, door="file")
    if not isinstance(recording, PredictionRecorder):
        raise InvalidInput("--log: monitoring.log.enabled is off")
    recording.start()
    try:
        yield replace(options, chunk_rows=min(options.chunk_rows, MOST_WAITING), tell=recording.told_by_file)
    finally:
        recording.close()


@contextmanager
def _on_cluster(
    batch: "Batch", address: str, tls: tuple[str | None, str | None, str | None], settings: Settings
) -> "Iterator[Batch]":
    """The same batch, predicted there."""
    try:
        from pipeline.serving.worker.dask import DaskModel, Tls, cluster
    except ImportError as error:
        raise InvalidInput(f"--scheduler: needs the package {error.name}: pip install distributed") from error
    target = batch.scorer.targets.usable(batch.reference)
    model = DaskModel(batch.scorer.files(target), target.digest, settings.serving.memory_megabytes)
    with cluster(address, Tls(*tls), model) as there:
        yield replace(batch, reference=target, options=replace(batch.options, worker=there, parallel=there.size))


@contextmanager
def stoppable(target: str, report: "Report") -> "Iterator[Report]":
    """Ctrl-C ends the command with exit code 130 and a sentence that says how to go on; gives the report to use.

    Python drops a KeyboardInterrupt that is raised inside a finaliser or the callback of a weak reference, and the
    command would run on to exit code 0. Ctrl-C is therefore remembered, and raised again at the next report.
    """
    pressed = False

    def press(_signal: int, _frame: object) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    def checked(done: int, total: int, text: str) -> None:
        if pressed:
            raise KeyboardInterrupt
        report(done, total, text)

    # What ignores Ctrl-C, such as a command in the background, goes on ignoring it.
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, press)
    try:
        yield checked
    except KeyboardInterrupt:
        note(f"{target}: stopped; the same command goes on from here")
        raise typer.Exit(STOPPED) from None
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


# The champion over HTTP.


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port to listen on; 0 takes a free one.")] = 8000,
    model: Annotated[str | None, typer.Option(help="Model to serve (default: SIGNOFF_MODEL, params.yaml).")] = None,
    with_desk: Annotated[
        bool, typer.Option("--desk", help="Also the desk itself under /api/v1, for who shows an identity token.")
    ] = False,
) -> None:
    """Answer predictions of a model's champion over HTTP, and follow it when it changes.

    With --desk requests, approvals and decisions are taken too, with the JSON and the refusals of the command line.
    """
    from pipeline.http_api.server import serve as run_server

    run_server(read_settings(), host=host, port=port, model=model, desk=with_desk)
