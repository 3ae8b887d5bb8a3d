"""The gates for somebody else's pipeline: reviews of several versions in the form that the pipeline reads."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from pipeline.bootstrap import desk
from pipeline.cli import check_formats
from pipeline.cli.app import Json, app, say
from pipeline.governance.rules.review import worst
from pipeline.settings import params_file, read_settings


class CheckFormat(StrEnum):
    """How `check` prints."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"
    SARIF = "sarif"
    JUNIT = "junit"


@app.command()
def check(
    references: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="MODEL (its newest version), MODEL/VERSION or MODEL@ALIAS; several are checked in turn.",
            show_default=False,
        ),
    ],
    to: Annotated[str, typer.Option(help="Staging, Production, Archived, None or @ALIAS.", show_default=False)],
    form: Annotated[CheckFormat, typer.Option("--format", help="What is printed.")] = CheckFormat.TEXT,
    as_json: Json = False,
) -> None:
    """Check whether moves are open, for a pipeline; writes nothing. Exit code 0 open, 3 blocked, 7 files changed."""
    settings = read_settings()
    service = desk(settings)
    reviews = [service.check(reference, to) for reference in references]
    chosen = CheckFormat.JSON if as_json else form
    if chosen is CheckFormat.TEXT:
        check_formats.draw(reviews)
    elif chosen is CheckFormat.SARIF:
        say(check_formats.sarif(reviews, policy=_policy_address()))
    else:
        say(check_formats.WRITTEN[chosen.value](reviews))
    if refusal := worst(reviews):
        raise typer.Exit(refusal.exit_code)


def _policy_address() -> str:
    """The settings' file, relative to the current folder as code scanning wants it; its name where it is elsewhere."""
    file = params_file().resolve()
    here = Path.cwd()
    return quote((file.relative_to(here) if file.is_relative_to(here) else Path(file.name)).as_posix())
