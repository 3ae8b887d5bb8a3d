"""Making a version again."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.bootstrap import desk
from pipeline.cli import training_tables
from pipeline.cli.app import Json, Model, Version, app, print_out
from pipeline.cli.progress import progress
from pipeline.governance.errors import IntegrityFailure
from pipeline.settings import read_settings


@app.command()
def reproduce(
    model: Model,
    version: Version,
    data: Annotated[
        Path | None, typer.Option(help="The file that it was trained on, if data.source is another.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="With the packages of its commit, in a new environment.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Rebuild a version from its recorded commit, data, settings and environment.

    Exit code 7 where it differs by more than 1e-9, as rounding on another processor does not.
    """
    from pipeline.reproduce.reproduce import Options
    from pipeline.reproduce.reproduce import reproduce as rebuild_and_compare

    settings = read_settings()
    with progress(quiet=as_json) as report:
        found = rebuild_and_compare(
            desk(settings).registry,
            model,
            version,
            settings=settings,
            options=Options(data, install),
            progress=report,
        )
    print_out(as_json, found.as_json(), lambda: training_tables.reproduction(found))
    if found.differs:
        raise typer.Exit(IntegrityFailure.exit_code)
