"""What the flow starts with: fill an empty registry, train and register."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.bootstrap import desk
from pipeline.cli import tables
from pipeline.cli.app import Json, app, print_out
from pipeline.data_report import sentences
from pipeline.governance.service import GovernanceService
from pipeline.settings import VAR, read_settings


@app.command()
def demo(as_json: Json = False) -> None:
    """Fill an empty registry: train every candidate on the sample data, register, review, record a first champion."""
    from pipeline.training.demo import fill

    settings = read_settings()
    service = desk(settings)
    with tables.progress(quiet=as_json) as report:
        champion, registered = fill(settings, service, report, folder=VAR / "training")
    _show_registered(service, registered, as_json, champion=champion)


@app.command()
def train(
    candidate: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    data: Annotated[Path | None, typer.Option(help="A CSV or Parquet file instead of data.source.")] = None,
    params: Annotated[Path | None, typer.Option(help="Another params.yaml.")] = None,
    as_json: Json = False,
) -> None:
    """Prepare, fit, evaluate and register candidates, then ask for None to Staging."""
    from pipeline.training.train import train as train_candidates

    settings = read_settings(params)
    service = desk(settings)
    with tables.progress(quiet=as_json) as report:
        registered = train_candidates(
            settings, names=candidate, data=data, folder=VAR / "training", desk=service, progress=report
        )
    _show_registered(service, registered, as_json)


def _show_registered(
    service: GovernanceService, registered: Sequence[Any], as_json: bool, *, champion: int | None = None
) -> None:
    """With the data report that went into the versions: all of one training have the same."""
    data = service.show(registered[0].model, registered[0].version).document("data_report")
    content: dict[str, Any] = {"registered": [each.as_json() for each in registered], "data": data}
    if champion is not None:
        content["champion"] = champion
    print_out(as_json, content, lambda: tables.registered(registered, champion, sentences(data)))
