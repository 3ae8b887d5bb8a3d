"""What the champion meets in production: monitor · findings · close."""

from typing import Annotated

import typer

from pipeline.bootstrap import desk, signer
from pipeline.cli import tables as record_tables
from pipeline.cli.app import Json, Model, Reason, app, print_out
from pipeline.cli.watching import tables
from pipeline.governance.record.history import entry
from pipeline.governance.text import parse_time
from pipeline.settings import read_settings


@app.command()
def monitor(
    model: Model,
    version: Annotated[int | None, typer.Option(help="Number of a version, instead of the champion.", min=1)] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="From this hour on (ISO 8601), instead of the last day.")
    ] = None,
    record: Annotated[bool, typer.Option("--record", help="Record what somebody must look at as findings.")] = False,
    as_json: Json = False,
) -> None:
    """Show what a version met in production beside what it was evaluated on, and how often it is right."""
    service, begin = desk(), None if since is None else parse_time(since, about="since")
    if not record:
        report = service.monitor(model, version, since=begin)
        print_out(as_json, report.as_json(), lambda: tables.watched(report))
        return
    report, new = service.record_findings(model, version, since=begin)
    content = {**report.as_json(), "findings": [each.as_json() for each in new]}
    print_out(as_json, content, lambda: tables.recorded(report, new))


@app.command()
def findings(
    model: Model,
    every: Annotated[bool, typer.Option("--all", help="Also those that are closed.")] = False,
    as_json: Json = False,
) -> None:
    """List what somebody must look at, the newest first."""
    found = desk().findings(model, closed=every)
    print_out(as_json, [each.as_json() for each in found], lambda: tables.findings(found))


@app.command()
def close(
    finding: Annotated[
        int, typer.Argument(metavar="FINDING", help="Number of the finding.", min=1, show_default=False)
    ],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Close a finding: say that you have looked at it, and what came of it."""
    settings = read_settings()
    service = desk(settings)
    stored = service.close_finding(finding, reason=reason, actor=signer(service, settings))
    print_out(as_json, entry(stored).as_json(), lambda: record_tables.history([entry(stored)]))
