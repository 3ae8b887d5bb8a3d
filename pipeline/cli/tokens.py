"""Identity tokens: who acts on a command line or over HTTP where nobody types a name."""

from typing import Annotated

import typer

from pipeline.bootstrap import desk, signer
from pipeline.cli import tables
from pipeline.cli.app import Json, app, note, print_out, say
from pipeline.governance.record.ledger import iso
from pipeline.governance.tokens import MOST_DAYS, parse_role
from pipeline.settings import read_settings

token = typer.Typer(name="token", help="Make, list and revoke tokens that act for their owner.", no_args_is_help=True)
app.add_typer(token)

Name = Annotated[str, typer.Argument(help="What it is for, such as ci.", show_default=False)]


@token.command()
def new(
    name: Name,
    role: Annotated[str, typer.Option(help="At most a role of one's own.", show_default=False)],
    days: Annotated[int, typer.Option(help=f"For how long it is good: 1 to {MOST_DAYS}.", show_default=False)],
    bootstrap: Annotated[
        bool, typer.Option("--bootstrap", help="The first one, at this machine, before anybody can log in.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a token that acts for whoever makes it, and print it: this once, it is kept nowhere."""
    settings = read_settings()
    service = desk(settings)
    made = service.as_(signer(service, settings)).issue_token(name, parse_role(role), days, first=bootstrap)
    content = {"token": made.secret, "name": name, "role": role, "expires_at": iso(made.record.expires_at)}
    print_out(as_json, content, lambda: say(f"{made.secret}\n"))
    note(f"token {name}: {role} until {made.record.expires_at:%Y-%m-%d %H:%M} UTC; keep it now, it is not shown again")


@token.command("list")
def list_tokens(as_json: Json = False) -> None:
    """List one's own tokens; whoever looks after them sees everybody's."""
    service = desk()
    found = [each.as_json(service.time()) for each in service.tokens()]
    print_out(as_json, found, lambda: tables.tokens(found))


@token.command()
def revoke(name: Name, as_json: Json = False) -> None:
    """End a token now; whoever looks after tokens ends anybody's."""
    settings = read_settings()
    service = desk(settings)
    ended = service.as_(signer(service, settings)).revoke_token(name)
    print_out(as_json, ended.as_json(service.time()), lambda: say(f"token {name}: revoked\n"))
