"""The road of several persons: each verb is one request to the service."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.bootstrap import desk, signer
from pipeline.cli import tables
from pipeline.cli.app import AcceptWarnings, Evidence, Expect, Json, Key, Model, Reason, Version, app, print_out
from pipeline.governance.actor import Actor
from pipeline.governance.errors import InvalidInput
from pipeline.governance.lifecycle import Move, MoveKind, parse_target
from pipeline.governance.record.history import entry
from pipeline.governance.rules.signing.approval import SignedAct
from pipeline.settings import read_settings

if TYPE_CHECKING:
    from pipeline.governance.service import GovernanceService

Number = Annotated[int, typer.Argument(metavar="ID", help="Number of the request.", min=1, show_default=False)]
SomeVersion = Annotated[int | None, typer.Argument(help="Version number.", min=1, show_default=False)]
To = Annotated[str | None, typer.Option(help="Staging, Production, Archived, None or @ALIAS.", show_default=False)]
Rollback = Annotated[bool, typer.Option("--rollback", help="Back to the previous champion.")]


@app.command()
def request(
    model: Model,
    reason: Reason,
    version: SomeVersion = None,
    to: To = None,
    unalias: Annotated[str | None, typer.Option(metavar="ALIAS", help="Take an alias away.")] = None,
    rollback: Rollback = False,
    adopt: Annotated[bool, typer.Option("--adopt", help="Take what the registry holds as recorded.")] = False,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Ask for a move that needs the approval of others: VERSION --to, --unalias, --rollback or --adopt."""
    _check_one("request", to=to is not None, unalias=unalias is not None, rollback=rollback, adopt=adopt)
    service, actor = _desk_of_signer()
    if adopt:
        made = service.request_adoption(model, reason=reason, actor=actor, evidence=evidence, expect=expect, key=key)
    else:
        move = service.rollback_move(model) if rollback else _move(model, version, to, unalias=unalias)
        made = service.request(
            move,
            reason=reason,
            actor=actor,
            evidence=evidence,
            expect=expect,
            accept_warnings=accept_warnings,
            key=key,
        )
    found = service.find_request(made.sequence)
    print_out(as_json, found.as_json(), lambda: tables.request(found))


@app.command()
def approve(
    number: Number,
    reason: Reason,
    evidence: Annotated[str, typer.Option(help="The digest that you looked at (see review).", show_default=False)],
    expect: Annotated[str, typer.Option(help="The state that you looked at (see review).", show_default=False)],
    attest: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Confirm a sentence of the policy; one by one.")
    ] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Approve a request of somebody else; the last approval that is needed makes the move."""
    service, actor = _desk_of_signer()
    signing = SignedAct(number, reason, actor, evidence, expect, tuple(attest or ()), key=key)
    done = service.approve(signing)
    print_out(as_json, done.as_json(), lambda: tables.approved(done))


@app.command()
def reject(number: Number, reason: Reason, key: Key = None, as_json: Json = False) -> None:
    """End a request of somebody else."""
    service, actor = _desk_of_signer()
    found = service.reject(SignedAct(number, reason, actor, key=key))
    print_out(as_json, found.as_json(), lambda: tables.request(found))


@app.command()
def withdraw(number: Number, reason: Reason, key: Key = None, as_json: Json = False) -> None:
    """End a request of your own."""
    service, actor = _desk_of_signer()
    found = service.withdraw(SignedAct(number, reason, actor, key=key))
    print_out(as_json, found.as_json(), lambda: tables.request(found))


@app.command()
def requests(
    model: Annotated[str | None, typer.Argument(help="Only this model.", show_default=False)] = None,
    due: Annotated[
        bool, typer.Option("--due", help="Those that nobody can approve as they are: something changed, or time is up.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the requests that wait, and the overrides that nobody else has looked at."""
    service = desk()
    found, overrides = service.requests(model, due=due), service.open_overrides(model)
    print_out(as_json, [each.as_json() for each in found], lambda: tables.requests(found, overrides))


@app.command()
def comment(
    model: Model,
    version: Version,
    text: Annotated[str, typer.Argument(help="Plain text, up to 2,000 characters.", show_default=False)],
    request: Annotated[int | None, typer.Option(metavar="ID", help="About this request too.", min=1)] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Add a comment to the record of a version, and of a request about it."""
    service, actor = _desk_of_signer()
    stored = service.comment(model, version, text, actor=actor, request=request, key=key)
    print_out(as_json, entry(stored).as_json(), lambda: tables.history([entry(stored)]))


@app.command()
def override(
    model: Model,
    reason: Reason,
    version: SomeVersion = None,
    to: To = None,
    rollback: Rollback = False,
    evidence: Evidence = None,
    expect: Expect = None,
    accept_warnings: AcceptWarnings = False,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Break glass: make a move without the approvals of others; it stays open until somebody else acknowledges it."""
    _check_one("override", to=to is not None, rollback=rollback)
    service, actor = _desk_of_signer()
    outcome = service.override(
        service.rollback_move(model) if rollback else _move(model, version, to, unalias=None),
        reason=reason,
        actor=actor,
        evidence=evidence,
        expect=expect,
        accept_warnings=accept_warnings,
        key=key,
    )
    print_out(as_json, outcome.as_json(), lambda: tables.outcome(outcome))


@app.command()
def acknowledge(
    number: Annotated[
        int, typer.Argument(metavar="ID", help="Number of the override or its decision.", min=1, show_default=False)
    ],
    reason: Reason,
    as_json: Json = False,
) -> None:
    """Say that you have looked at somebody's override."""
    service, actor = _desk_of_signer()
    stored = service.acknowledge(number, reason=reason, actor=actor)
    print_out(as_json, entry(stored).as_json(), lambda: tables.history([entry(stored)]))


def _desk_of_signer() -> tuple["GovernanceService", Actor]:
    """The service, and in whose name this process signs there."""
    settings = read_settings()
    service = desk(settings)
    return service, signer(service, settings)


def _check_one(verb: str, **given: bool) -> None:
    """Raises InvalidInput unless exactly one of the options says what is wanted."""
    if sum(given.values()) != 1:
        raise InvalidInput(f"{verb}: give one of {', '.join(f'--{name}' for name in given)}")


def _move(model: str, version: int | None, to: str | None, *, unalias: str | None) -> Move:
    if unalias is not None:
        return Move(model, MoveKind.UNALIAS, None, unalias)
    if version is None or to is None:
        raise InvalidInput("version: --to needs the number of a VERSION")
    return parse_target(model, version, to)
