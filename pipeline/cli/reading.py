"""Looking: models, versions, comparisons, cards and reviews."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.bootstrap import desk, scorer
from pipeline.cli import tables
from pipeline.cli.app import Json, Model, Recompute, Version, app, line, print_out, say, write
from pipeline.governance.errors import Blocked, InvalidInput
from pipeline.governance.lifecycle import parse_target
from pipeline.governance.listing import model_json, version_json
from pipeline.governance.metrics import Direction
from pipeline.governance.ports import VersionRow
from pipeline.governance.roles import Action
from pipeline.settings import Settings, read_settings

if TYPE_CHECKING:
    from pipeline.governance.service import GovernanceService
    from pipeline.serving.trust import TrustState


@app.command()
def models(as_json: Json = False) -> None:
    """List the registered models."""
    service = desk()
    records = service.models()
    found = [model_json(each, service.not_approved_here(each.name)) for each in records]
    print_out(as_json, found, lambda: tables.models(records))
    if not as_json:
        for each in (each for each in found if each["not_approved_here"]):
            line(f"{each['name']}: {each['not_approved_here']}")


@app.command()
def versions(
    model: Model,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="A column; repeatable. Default: what the model has.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the versions of a model, newest first, with metrics, stage, aliases and tags."""
    settings = read_settings()
    service = desk(settings)
    if metric:
        shown, rows = metric, service.versions_with(model, metric)
    elif as_json:
        shown, rows = [], service.versions(model)
    else:
        shown, rows = service.telling_versions(model, ["accuracy", settings.evaluation.primary_metric])
    print_out(as_json, [version_json(row) for row in rows], lambda: tables.versions(rows, shown))


@app.command()
def show(model: Model, version: Version, as_json: Json = False) -> None:
    """Show one version with its files and digests."""
    from pipeline.validation.schema import shown_json

    evidence = desk().show(model, version)
    print_out(as_json, shown_json(evidence), lambda: tables.evidence(evidence))


@app.command()
def best(
    model: Model,
    metric: Annotated[str | None, typer.Option(help="Default: evaluation.primary_metric.")] = None,
    lowest: Annotated[bool, typer.Option("--lowest", help="Less is better.")] = False,
    highest: Annotated[bool, typer.Option("--highest", help="More is better.")] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only those that wait in Staging, in order of merit beside the champion.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the version with the best metric: the lowest of an error or loss, else the highest.

    A metric whose name says neither needs --lowest or --highest. With --waiting: which version should serve, and why.
    """
    if lowest + highest + waiting > 1:
        raise InvalidInput("best: --lowest, --highest and --waiting exclude each other; give one of them")
    settings = read_settings()
    if waiting:
        _waiting(settings, model, metric, as_json=as_json)
        return
    service, direction = desk(settings), Direction.LOWEST if lowest else Direction.HIGHEST if highest else None
    found = service.best(model, metric or settings.evaluation.primary_metric, direction)
    content = {**version_json(found.row), "metric": found.metric, "direction": found.direction.value}
    trust = _trust(settings, service, found.row)
    shown = {**content, "left_out": list(found.left_out), "trust": trust.state.value}
    print_out(as_json, shown, lambda: tables.best(found, trust))


def _waiting(settings: Settings, model: str, metric: str | None, *, as_json: bool) -> None:
    """The order of merit, by the metric that the versions table of the dashboard has first where none is named."""
    service, primary = desk(settings), settings.evaluation.primary_metric
    if metric is None:
        metric = next(iter(service.telling_versions(model, [primary])[0]), primary)
    found = service.waiting(model, metric)
    top = found.best.version if found.best else found.champion
    trust = None if top is None else _trust(settings, service, service.version(model, top).row)
    content = {"model": model, **found.as_json(), "trust": trust and trust.state.value}
    print_out(as_json, content, lambda: tables.waiting(found, top, trust))


def _trust(settings: Settings, service: "GovernanceService", row: VersionRow) -> "TrustState":
    """Whether a version may be used, by the record and its files; nothing is loaded.

    To who may not predict the record alone says it.
    """
    evidence = service.show(row.model, row.version)
    if not service.may(Action.PREDICT):
        from pipeline.serving.trust import judge

        return judge(evidence, service.recorded(row.model))
    found = scorer(settings, service)
    try:
        return found.targets.recorded_trust(evidence)
    finally:
        found.close()


@app.command()
def compare(
    model: Model,
    a: Annotated[int, typer.Argument(help="Version number.", min=1, show_default=False)],
    b: Annotated[int, typer.Argument(help="Version number; differences are B minus A.", min=1, show_default=False)],
    as_json: Json = False,
) -> None:
    """Compare two versions: metrics with verdicts, classes, slices, and what else differs."""
    found = desk().compare(model, a, b)
    print_out(as_json, found.as_json(), lambda: tables.comparison(found))


@app.command()
def card(
    model: Model,
    version: Version,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained HTML file.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write Markdown; without a file it is printed.")] = None,
    as_json: Json = False,
) -> None:
    """Write the model card of a version; what the registry lacks is listed as missing."""
    from pipeline import model_card

    found = model_card.describe(desk(), model, version)
    for path, render in ((html, model_card.to_html), (markdown, model_card.to_markdown)):
        if path is not None:
            write(path, [render(found)])
    if as_json or (html is None and markdown is None):
        print_out(as_json, found.as_json(), lambda: say(model_card.to_markdown(found)))


@app.command()
def review(
    model: Model,
    version: Version,
    to: Annotated[str, typer.Option(help="Staging, Production, Archived, None or @ALIAS.", show_default=False)],
    recompute: Recompute = False,
    as_json: Json = False,
) -> None:
    """Show the gates of a move and whether it is open; exit code 0 open, 3 blocked."""
    found = desk().review(parse_target(model, version, to), recompute=recompute)
    print_out(as_json, found.as_json(), lambda: tables.review(found))
    if not found.open:
        raise typer.Exit(Blocked.exit_code)
