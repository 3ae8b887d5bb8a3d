"""The command line: one function per verb, each asks the service and prints; `--json` prints what other tools read."""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline import cli_tables as tables
from pipeline.bootstrap import desk, person, scorer
from pipeline.governance.errors import Blocked, IntegrityFailure, InvalidInput, SignoffError
from pipeline.governance.ledger import iso
from pipeline.governance.lifecycle import parse_stage, parse_target
from pipeline.governance.ports import ModelRecord, VersionRow
from pipeline.settings import VAR, read_settings

if TYPE_CHECKING:
    from pipeline.governance.request import Outcome
    from pipeline.governance.service import Options

app = typer.Typer(
    name="signoff",
    help="A review desk for an MLflow Model Registry.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Model = Annotated[str, typer.Argument(help="Name of the registered model.", show_default=False)]
Version = Annotated[int, typer.Argument(help="Version number.", min=1, show_default=False)]
Reference = Annotated[
    str, typer.Argument(metavar="MODEL", help="MODEL (its champion), MODEL@ALIAS or MODEL/VERSION.", show_default=False)
]
RowText = Annotated[str, typer.Option("--row", help="A JSON object such as '{\"Age\": 24}'.", show_default=False)]
Reason = Annotated[str, typer.Option(help="Why, in 10 to 2,000 characters; kept in the ledger.", show_default=False)]
Evidence = Annotated[str | None, typer.Option(help="Refuse unless the evidence still has this digest (see review).")]
Expect = Annotated[str | None, typer.Option(help="Refuse unless the state is still this one (see review).")]
AcceptWarnings = Annotated[bool, typer.Option("--accept-warnings", help="Go on in spite of warnings.")]
Key = Annotated[str | None, typer.Option(help="Idempotency key: the same key again is the same decision.")]


# What the flow starts with


@app.command()
def demo(as_json: Json = False) -> None:
    """Fill an empty registry: train every candidate on the sample data, register, review, record a first champion."""
    from pipeline.training.demo import fill

    settings = read_settings()
    with tables.progress(quiet=as_json) as report:
        champion, registered = fill(settings, desk(settings), report, folder=VAR / "training")
    _show_registered(registered, as_json, champion=champion)


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
    with tables.progress(quiet=as_json) as report:
        registered = train_candidates(
            settings, names=candidate, data=data, folder=VAR / "training", desk=desk(settings), progress=report
        )
    _show_registered(registered, as_json)


# Reading


@app.command()
def models(as_json: Json = False) -> None:
    """List the registered models."""
    records = desk().models()
    _print(as_json, [_model_json(record) for record in records], lambda: tables.models(records))


@app.command()
def versions(model: Model, as_json: Json = False) -> None:
    """List the versions of a model, newest first, with metrics, stage, aliases and tags."""
    settings = read_settings()
    shown = ["accuracy", settings.evaluation.primary_metric]
    rows = desk(settings).versions(model, None if as_json else list(dict.fromkeys(shown)))
    _print(as_json, [_version_json(row) for row in rows], lambda: tables.versions(rows, shown))


@app.command()
def show(model: Model, version: Version, as_json: Json = False) -> None:
    """Show one version with its files and digests."""
    evidence = desk().show(model, version)
    _print(as_json, {**evidence.content, "evidence": evidence.digest}, lambda: tables.evidence(evidence))


@app.command()
def best(
    model: Model,
    metric: Annotated[str | None, typer.Option(help="Default: evaluation.primary_metric.")] = None,
    as_json: Json = False,
) -> None:
    """Show the version with the highest metric."""
    settings = read_settings()
    name = metric or settings.evaluation.primary_metric
    row = desk(settings).best(model, name)
    _print(as_json, _version_json(row), lambda: tables.versions([row], [name]))


@app.command()
def compare(
    model: Model,
    a: Annotated[int, typer.Argument(help="Version number.", min=1, show_default=False)],
    b: Annotated[int, typer.Argument(help="Version number; differences are B minus A.", min=1, show_default=False)],
    as_json: Json = False,
) -> None:
    """Compare two versions: metrics with verdicts, classes, slices, and what else differs."""
    found = desk().compare(model, a, b)
    _print(as_json, found.as_json(), lambda: tables.comparison(found))


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
            _write(path, render(found))
    if as_json or (html is None and markdown is None):
        _print(as_json, found.as_json(), lambda: _say(model_card.to_markdown(found)))


@app.command()
def review(
    model: Model,
    version: Version,
    to: Annotated[str, typer.Option(help="Staging, Production, Archived, None or @ALIAS.", show_default=False)],
    recompute: Annotated[bool, typer.Option("--recompute", help="Score the evaluation rows again: seconds.")] = False,
    as_json: Json = False,
) -> None:
    """Show the gates of a move and whether it is open; exit code 0 open, 3 blocked."""
    found = desk().review(parse_target(model, version, to), recompute=recompute)
    _print(as_json, found.as_json(), lambda: tables.review(found))
    if not found.open:
        raise typer.Exit(Blocked.exit_code)


# Using a version: in a process of its own, under the trust policy


@app.command()
def predict(reference: Reference, row: RowText, as_json: Json = False) -> None:
    """Predict one row with the champion, or the version that an alias or a number names."""
    from pipeline.serving.rows import parse_row

    settings, given = read_settings(), parse_row(row)
    found = scorer(settings, desk(settings)).predict(reference, [given])
    _print(as_json, found.as_json(), lambda: tables.prediction(found))


@app.command()
def explain(model: Model, version: Version, row: RowText, as_json: Json = False) -> None:
    """Show what each column of a row adds to the output, per class."""
    from pipeline.serving.rows import parse_row

    settings, given = read_settings(), parse_row(row)
    found = scorer(settings, desk(settings)).explain(f"{model}/{version}", [given])
    _print(as_json, found.documents[0], lambda: tables.explanation(found))


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
    _print(as_json, content, lambda: tables.scored(found, str(target)))


# Deciding


@app.command()
def promote(
    model: Model,
    version: Version,
    stage: Annotated[str, typer.Argument(help="Staging, Production, Archived or None.", show_default=False)],
    reason: Reason,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Move a version to a stage; Production also makes it champion."""
    settings, options = read_settings(), _options(evidence, expect, accept_warnings, key)
    wanted = parse_stage(stage)
    outcome = desk(settings).promote(model, version, wanted, reason=reason, actor=person(settings), **options)
    _decided(outcome, as_json)


@app.command()
def alias(
    model: Model,
    alias: Annotated[str, typer.Argument(help="Name of the alias.", show_default=False)],
    version: Version,
    reason: Reason,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Point an alias at a version; champion also moves it to Production."""
    settings, options = read_settings(), _options(evidence, expect, accept_warnings, key)
    outcome = desk(settings).set_alias(model, alias, version, reason=reason, actor=person(settings), **options)
    _decided(outcome, as_json)


@app.command()
def unalias(
    model: Model,
    alias: Annotated[str, typer.Argument(help="Name of the alias.", show_default=False)],
    reason: Reason,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take an alias away."""
    settings, options = read_settings(), _options(evidence, expect, accept_warnings, key)
    outcome = desk(settings).remove_alias(model, alias, reason=reason, actor=person(settings), **options)
    _decided(outcome, as_json)


@app.command()
def rollback(
    model: Model,
    reason: Reason,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Return to the previous champion, if its files are those recorded and it still predicts."""
    settings, options = read_settings(), _options(evidence, expect, accept_warnings, key)
    outcome = desk(settings).rollback(model, reason=reason, actor=person(settings), **options)
    _decided(outcome, as_json)


# Looking back


@app.command()
def history(
    model: Model,
    at: Annotated[str | None, typer.Option(help="A time such as 2026-11-24T09:00Z: who was champion then?")] = None,
    as_json: Json = False,
) -> None:
    """Show who decided what, when and why, oldest first."""
    service = desk()
    if at is not None:
        moment = service.at(model, parse_time(at))
        _print(as_json, moment.as_json(), lambda: tables.moment(moment))
        return
    entries = service.history(model)
    _print(as_json, [entry.as_json() for entry in entries], lambda: tables.history(entries))


@app.command()
def verify(as_json: Json = False) -> None:
    """Check the ledger, the registry against it, and the champions' files; exit code 7 where something is wrong."""
    problems = desk().verify()
    content = {"ok": not problems, "problems": [problem.as_json() for problem in problems]}
    _print(as_json, content, lambda: tables.problems(problems))
    if problems:
        raise typer.Exit(IntegrityFailure.exit_code)


@app.command()
def reconcile(
    model: Annotated[str | None, typer.Argument(help="Only this model.", show_default=False)] = None,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take what the registry holds as recorded.")] = False,
    revert: Annotated[bool, typer.Option("--revert", help="Put the registry back to what the ledger says.")] = False,
    reason: Annotated[str, typer.Option(help="Why, in 10 to 2,000 characters.")] = "",
    as_json: Json = False,
) -> None:
    """Finish what a crash left and record what moved by another way; --adopt or --revert ends a difference."""
    settings = read_settings()
    service = desk(settings)
    events = service.reconcile(model)
    if adopt or revert:
        if model is None or adopt == revert:
            raise InvalidInput("reconcile: --adopt and --revert need a MODEL, and only one of the two")
        end = service.adopt if adopt else service.revert
        events.append(end(model, reason=reason, actor=person(settings)))
    names = [record.name for record in service.models()] if model is None else [model]
    differences = [each for name in names for each in service.differences(name)]
    content = {
        "events": [{"sequence": each.sequence, "type": each.event.type, "model": each.event.model} for each in events],
        "differences": [each.as_json() for each in differences],
    }
    _print(as_json, content, lambda: tables.reconciled(events, differences))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and give its exit code; a SignoffError is one sentence on standard error."""
    try:
        app(arguments, prog_name="signoff")
    except SignoffError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return error.exit_code
    except SystemExit as end:  # Typer leaves this way after each verb
        return end.code if isinstance(end.code, int) else 0
    return 0


def parse_time(text: str) -> datetime:
    """ISO 8601; without an offset it is UTC. Raises InvalidInput."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"at: {text!r} is not a time such as 2026-11-24T09:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _options(evidence: str | None, expect: str | None, accept_warnings: bool, key: str | None) -> "Options":
    return {"evidence": evidence, "expect": expect, "accept_warnings": accept_warnings, "key": key}


def _decided(outcome: "Outcome", as_json: bool) -> None:
    _print(as_json, outcome.as_json(), lambda: tables.outcome(outcome))


def _print(as_json: bool, content: Any, draw: Callable[[], None]) -> None:  # noqa: ANN401 (whatever is JSON)
    if as_json:
        _say(json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2) + "\n")
    else:
        draw()


def _say(text: str) -> None:
    sys.stdout.write(text)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written ({error.strerror})") from error


def _model_json(record: ModelRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "description": record.description,
        "versions": record.versions,
        "champion": record.aliases.get("champion"),
        "latest": record.latest,
    }


def _version_json(row: VersionRow) -> dict[str, Any]:
    return {
        "model": row.model,
        "version": row.version,
        "stage": row.stage.value,
        "aliases": list(row.aliases),
        "status": row.status,
        "metrics": dict(row.metrics),
        "params": dict(row.params),
        "tags": dict(row.tags),
        "run_id": row.run_id,
        "created_at": iso(row.created_at),
        "description": row.description,
    }


def _show_registered(registered: Sequence[Any], as_json: bool, *, champion: int | None = None) -> None:
    content: dict[str, Any] = {"registered": [each.as_json() for each in registered]}
    if champion is not None:
        content["champion"] = champion
    _print(as_json, content, lambda: tables.registered(registered, champion))
