"""What the flow starts with: fill an empty registry, train and register."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from pipeline.bootstrap import acting, desk, own_desk, publisher
from pipeline.cli import tables
from pipeline.cli.app import Json, Model, Version, app, print_out, progress, say
from pipeline.governance.errors import IntegrityFailure
from pipeline.governance.service import GovernanceService
from pipeline.model_card.content import sentences
from pipeline.settings import VAR, read_settings

Step = Literal["data", "train", "evaluate", "register"]


@app.command()
def demo(as_json: Json = False) -> None:
    """Fill an empty registry: train every candidate on the sample data, register, review, record a first champion."""
    from pipeline.training.train import fill

    settings = read_settings()
    service = own_desk(settings)  # programs of the desk act, not whoever starts them
    with progress(quiet=as_json) as report:
        champion, registered = fill(
            settings,
            service,
            publisher(settings),
            folder=VAR / "training",
            progress=report,
            registrar=acting(service, settings),
        )
    _show_registered(service, registered, as_json, champion=champion)


@app.command()
def train(
    candidate: Annotated[list[str] | None, typer.Option(help="Only this one; may be repeated.")] = None,
    data: Annotated[Path | None, typer.Option(help="A CSV or Parquet file instead of data.source.")] = None,
    params: Annotated[Path | None, typer.Option(help="Another params.yaml.")] = None,
    step: Annotated[Step | None, typer.Option(help="Only this step, from the files of the steps before.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the steps keep their files.")] = VAR / "training",
    as_json: Json = False,
) -> None:
    """Prepare, fit, evaluate and register candidates, then ask for None to Staging."""
    from pipeline.training.train import train as train_candidates

    settings = read_settings(params)
    service = own_desk(settings)
    with progress(quiet=as_json) as report:
        registered = train_candidates(
            settings,
            folder=folder,
            publisher=publisher(settings),
            step=step,
            names=candidate,
            data=data,
            desk=service,
            registrar=acting(service, settings),
            progress=report,
        )
    if step in {None, "register"}:
        _show_registered(service, registered, as_json)
    else:
        print_out(as_json, {"step": step, "folder": str(folder)}, lambda: say(f"{step}: done, see {folder}\n"))


def _show_registered(
    service: GovernanceService, registered: Sequence[Any], as_json: bool, *, champion: int | None = None
) -> None:
    """With the data report that went into the versions: all of one training have the same."""
    evidence = service.show(registered[0].model, registered[0].version)
    content: dict[str, Any] = {
        "registered": [each.as_json() for each in registered],
        "data": evidence.document("data_report"),
    }
    if champion is not None:
        content["champion"] = champion
    report = sentences(evidence.data_report, evidence.feature_schema.labels)
    print_out(as_json, content, lambda: tables.registered(registered, champion, report))


# Making a version again.


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
    from pipeline.reproduce.reproduce import ReproduceOptions
    from pipeline.reproduce.reproduce import reproduce as rebuild_and_compare

    settings = read_settings()
    with progress(quiet=as_json) as report:
        found = rebuild_and_compare(
            desk(settings),
            model,
            version,
            settings=settings,
            options=ReproduceOptions(data, install),
            progress=report,
        )
    print_out(as_json, found.as_json(), lambda: tables.reproduction(found))
    if found.differs:
        raise typer.Exit(IntegrityFailure.exit_code)
