"""Using a version, in a process of its own and under the trust policy."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.bootstrap import desk, scorer
from pipeline.cli import tables
from pipeline.cli.app import Json, Model, Reference, RowText, Version, app, print_out
from pipeline.settings import read_settings


@app.command()
def predict(reference: Reference, row: RowText, as_json: Json = False) -> None:
    """Predict one row with the champion, or the version that an alias or a number names."""
    from pipeline.serving.rows import parse_row

    settings, given = read_settings(), parse_row(row)
    found = scorer(settings, desk(settings)).predict(reference, [given])
    print_out(as_json, found.as_json(), lambda: tables.prediction(found))


@app.command()
def explain(model: Model, version: Version, row: RowText, as_json: Json = False) -> None:
    """Show what each column of a row adds to the output, per class."""
    from pipeline.serving.rows import parse_row

    settings, given = read_settings(), parse_row(row)
    found = scorer(settings, desk(settings)).explain(f"{model}/{version}", [given])
    print_out(as_json, found.documents[0], lambda: tables.explanation(found))


@app.command()
def score(
    reference: Reference,
    source: Annotated[Path, typer.Argument(metavar="IN", help="A CSV or Parquet file of rows.", show_default=False)],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A CSV or Parquet file to write.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Predict the rows of a file; rows that cannot be used go to OUT.bad.csv with line and reason."""
    from pipeline.serving.batch import score_file

    settings = read_settings()
    using = scorer(settings, desk(settings))
    with tables.progress(quiet=as_json) as report:
        found = score_file(using, reference, source, target, chunk_rows=settings.serving.chunk_rows, report=report)
    content = {**found.as_json(), "output": str(target), "bad_rows": found.bad_file}
    print_out(as_json, content, lambda: tables.scored(found, str(target)))
