"""What a version does in production: the log of predictions, outcomes, and a shadow beside the champion."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.bootstrap import desk, log_desk, signer
from pipeline.cli.app import Json, Model, app, digits, line, print_out, signed, table, to_the_second
from pipeline.governance.text import figure, parse_time
from pipeline.settings import read_settings

if TYPE_CHECKING:
    from pipeline.monitoring.log_desk import LogDesk, LogStatus
    from pipeline.monitoring.prediction_log import Block, OutcomesTold, StoredPrediction
    from pipeline.monitoring.side_by_side import SideBySide

log = typer.Typer(name="log", help="Read and purge the log of predictions.", no_args_is_help=True)
app.add_typer(log)

Since = Annotated[str | None, typer.Option(help="The first moment, ISO 8601.")]
Until = Annotated[str | None, typer.Option(help="The first moment that is not meant any more, ISO 8601.")]
OneVersion = Annotated[int | None, typer.Option("--version", min=1, help="Only what this version answered.")]
MOST_SHOWN = 10_000


def _desk() -> "LogDesk":
    settings = read_settings()
    service = desk(settings)
    return log_desk(settings, service)


def _signing_desk() -> "LogDesk":
    """For what is written: whoever does it has a name."""
    settings = read_settings()
    service = desk(settings)
    return log_desk(settings, service.as_(signer(service, settings)))


@log.command()
def status(
    model: Annotated[str | None, typer.Argument(help="Only of this model.", show_default=False)] = None,
    as_json: Json = False,
) -> None:
    """Say how complete the log is: what each process has written, and which ended without saying so."""
    found = _desk().status(model)
    print_out(as_json, found.as_json(), lambda: _draw_status(found))


@log.command()
def show(
    model: Model,
    since: Since = None,
    until: Until = None,
    version: OneVersion = None,
    most: Annotated[int, typer.Option(min=1, max=MOST_SHOWN, help="The newest so many.")] = 20,
    as_json: Json = False,
) -> None:
    """List logged predictions, newest first, with the columns that are stored and what came to them later."""
    from pipeline.monitoring.log_desk import row_json
    from pipeline.monitoring.prediction_log import Selection

    wanted = Selection(model, _time(since, "since"), _time(until, "until"), version, most=most)
    found = _desk().rows(wanted)
    print_out(as_json, [row_json(each) for each in found], lambda: _draw_rows(found))


@log.command()
def purge(
    before: Annotated[str, typer.Option(help="Delete what was answered before, ISO 8601.", show_default=False)],
    counts: Annotated[bool, typer.Option("--counts", help="The hourly counts of before too.")] = False,
    as_json: Json = False,
) -> None:
    """Delete old rows of the log with their outcomes; `serve` does so by itself after monitoring.log.days."""
    found = _signing_desk().purge(parse_time(before, about="before"), counts=counts)
    print_out(as_json, found.as_json(), lambda: line(f"deleted: {found.predictions:,} rows, {found.counts:,} counts"))


@app.command()
def outcomes(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet with the columns prediction_id and actual.")],
    as_json: Json = False,
) -> None:
    """Tell what turned out to be true, by prediction_id; the last one told of a prediction counts."""
    from pipeline.monitoring.outcomes_file import read_outcomes

    found = _signing_desk().tell_outcomes(read_outcomes(file))
    print_out(as_json, found.as_json(), lambda: _draw_told(found))


@app.command()
def shadow(model: Model, since: Since = None, version: OneVersion = None, as_json: Json = False) -> None:
    """Compare what answers with its shadow on the same logged rows: agreement, and with outcomes which is better."""
    from pipeline.monitoring.prediction_log import Selection

    found = _desk().side_by_side(Selection(model, _time(since, "since"), version=version))
    print_out(as_json, found.as_json(), lambda: _draw_side_by_side(found))


def _time(text: str | None, about: str) -> datetime | None:
    return None if text is None else parse_time(text, about=about)


def _draw_status(found: "LogStatus") -> None:
    heads = ["Process", "Model", "Opened (UTC)", "Last written", "Written", "Lost", "State"]
    rows = [
        [
            block.process,
            block.model,
            to_the_second(block.opened_at),
            to_the_second(block.written_at),
            block.written,
            block.lost,
            _state(block, found.now),
        ]
        for block in found.blocks
    ]
    table(heads, rows, empty=f"{found.place} holds no predictions: monitoring.log.enabled turns the log on.")
    if found.rows.oldest is not None:
        line(f"{found.rows.words} kept; the oldest is of {to_the_second(found.rows.oldest)} UTC.")


def _state(block: "Block", now: datetime) -> str:
    if block.closed_at is not None:
        return "closed"
    if not block.is_gap(now):
        return "open"
    return f"gap: ended without closing; up to {block.reserved - block.written:,} answers after its last write"


def _draw_rows(found: "list[StoredPrediction]") -> None:
    heads = ["At (UTC)", "Prediction id", "Version", "Predicted", "Confidence", "Shadow", "Outcome"]
    rows = [
        [
            to_the_second(each.prediction.at),
            each.prediction.prediction_id,
            each.prediction.version,
            each.prediction.prediction,
            digits(each.prediction.confidence),
            each.shadow and f"{each.shadow.prediction} (version {each.shadow.version})",
            each.outcome and each.outcome.actual,
        ]
        for each in found
    ]
    table(heads, rows, empty="No row is stored.")


def _draw_told(found: "OutcomesTold") -> None:
    line(f"{found.recorded:,} recorded, {found.corrected:,} corrected, {found.unchanged:,} known before")
    if found.unknown:
        line(f"{len(found.unknown):,} are of no row in the log; the first: {found.unknown[0]}")


def _draw_side_by_side(found: "SideBySide") -> None:
    low, high = found.interval
    line(
        f"Version {found.version} and its shadow, version {found.shadow} ({found.alias}), give the same answer to "
        f"{found.share:.1%} of {found.n:,} rows ({low:.1%} to {high:.1%})."
    )
    flips = [
        [to_the_second(each.prediction.at), each.prediction.prediction_id, each.prediction.prediction,
         each.shadow and each.shadow.prediction, each.outcome and each.outcome.actual]
        for each in found.flips
    ]  # fmt: skip
    if flips:
        table(["At (UTC)", "Prediction id", f"Version {found.version}", f"Version {found.shadow}", "Outcome"], flips)
    if found.paired is None:
        line(f"Outcomes are known of {found.outcomes:,} rows: too few to say which is better.")
        return
    line(f"On {found.paired.n:,} rows with outcomes:")
    heads = ["Metric", f"Version {found.version}", f"Version {found.shadow}", "Difference", "95 % interval", "Verdict"]
    rows = [
        [each.metric, digits(each.incumbent), digits(each.candidate), signed(each.difference),
         f"{figure(each.low)} to {figure(each.high)}", each.verdict]
        for each in found.paired.metrics
    ]  # fmt: skip
    table(heads, rows)
